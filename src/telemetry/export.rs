//! Where request spans go: a collector, over OTLP. Requests never wait for it: spans wait in a queue of
//! their own, and are dropped where it is full. Knows no request.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Config, SdkTracerProvider, ShouldSample, SpanLimits,
};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::sampling::{ChosenIds, Recorded};
use crate::model::limits::{SPAN_FLUSH_SECONDS, SPANS_WAITING_MAX};

const SERVICE_NAME: Key = Key::from_static_str("service.name");
const SERVICE_VERSION: Key = Key::from_static_str("service.version");
/// What the libraries call a service that nobody has named.
const NAMELESS: &str = "unknown_service";

/// Sends request spans to a collector.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
    /// As the variables say.
    sampler: Box<dyn ShouldSample>,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Of another scheme, or of none.
    #[error("it needs http://, as in http://127.0.0.1:4317; there is no TLS to a collector")]
    Scheme,
    /// The rest of it, or a variable, makes no sense.
    #[error("{0}")]
    Unfit(#[from] ExporterBuildError),
}

impl Export {
    /// Prepares to send spans to this endpoint, `http://HOST:PORT`. It is connected to when there are
    /// spans. The standard `OTEL_` variables say the rest: the service's name, sampling (without them:
    /// what the caller samples, and everything that has no caller), timeout, headers. Needs a tokio
    /// runtime around it.
    ///
    /// # Errors
    /// The endpoint or a variable makes no sense.
    pub fn start(endpoint: &str) -> Result<Self, ExportError> {
        if !endpoint.starts_with("http://") {
            return Err(ExportError::Scheme);
        }
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let queue = BatchConfigBuilder::default().with_max_queue_size(SPANS_WAITING_MAX).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
        let sampler = Config::default().sampler;
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler.clone())
            .with_id_generator(ChosenIds::default())
            .with_resource(resource())
            .with_span_limits(SpanLimits { max_events_per_span: 0, ..SpanLimits::default() })
            .with_span_processor(processor)
            .build();
        Ok(Self { provider, sampler })
    }

    /// The part of a subscriber that takes request spans, and nothing else.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(Recorded::by(self.sampler.clone()))
    }

    /// Sends what waits and ends; gives up after [`SPAN_FLUSH_SECONDS`]. Blocks. Needs the runtime that
    /// it was started in.
    pub fn flush(self) {
        if let Err(error) =
            self.provider.shutdown_with_timeout(Duration::from_secs(SPAN_FLUSH_SECONDS))
        {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

fn resource() -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&SERVICE_NAME).map(|name| name.to_string()).unwrap_or_default();
    let builder = Resource::builder()
        .with_attribute(KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")));
    if name.is_empty() || name.starts_with(NAMELESS) {
        return builder.with_service_name(env!("CARGO_PKG_NAME")).build();
    }
    builder.build()
}
