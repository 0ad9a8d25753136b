//! The span of a request: its name, its attributes, and whose child it is. Knows no exporter.
//!
//! Attributes are those of OpenTelemetry's conventions for RPC, the reason code and the revision. They
//! say what was asked of the API and how it ended, never about whom or where: traces go to another
//! system, with other readers, and who may do what is nobody else's business.

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The target of request spans, apart from everything else: exporting them turns on no log line, and
/// logging turns on no span.
pub const TARGET: &str = "bailiwick::request";
/// The name of request spans for the subscriber; collectors are told the method.
pub(super) const NAME: &str = "request";

/// Attributes of a request's span.
pub mod attribute {
    /// Always `grpc`.
    pub const SYSTEM: &str = "rpc.system";
    /// The full name of the service; absent for what is not served.
    pub const SERVICE: &str = "rpc.service";
    /// The method, without its service; absent for what is not served.
    pub const METHOD: &str = "rpc.method";
    /// The gRPC code as a number.
    pub const CODE: &str = "rpc.grpc.status_code";
    /// The reason code of an error.
    pub const REASON: &str = "error.type";
    /// The revision that answered, or the commit's.
    pub const REVISION: &str = "bailiwick.revision";
}

/// Begins the span of a request: a child of the caller's span where its headers name one. `method` is
/// `package.Service/Method`, or any one word for what is not served. Costs a look at one static where
/// nobody wants spans.
#[must_use]
pub fn begin(method: &str, headers: &HeaderMap) -> Span {
    if LevelFilter::current() < Level::DEBUG {
        return Span::none();
    }
    let caller = TraceContextPropagator::new().extract(&Headers(headers));
    // Whether it is recorded may depend on it.
    let _asked_by = caller.clone().attach();
    // The names stand in `attribute` too; the macro takes none but literals.
    let span = tracing::debug_span!(
        target: TARGET,
        parent: None,
        NAME,
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        otel.status_description = Empty,
        rpc.system = "grpc",
        rpc.service = Empty,
        rpc.method = Empty,
        rpc.grpc.status_code = Empty,
        "error.type" = Empty,
        bailiwick.revision = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    if let Some((service, name)) = method.split_once('/') {
        span.record(attribute::SERVICE, service).record(attribute::METHOD, name);
    }
    // Fails where spans are only logged: then there is no trace to be a part of.
    let _ = span.set_parent(caller);
    // Begins it on this thread, which knows the id that it was chosen for.
    let _begun = span.context();
    span
}

/// Notes the revision on the span of the request that this thread works on.
pub fn note_revision(revision: u64) {
    if LevelFilter::current() < Level::DEBUG {
        return;
    }
    // OTLP has no unsigned numbers: it would become a text.
    let revision = i64::try_from(revision).unwrap_or(i64::MAX);
    Span::current().record(attribute::REVISION, revision);
}

/// Ends the span of a request with its code and its reason code. By the conventions only what is the
/// service's fault marks a server's span as an error; a caller's error shows by code and reason.
pub fn end(span: &Span, code: Code, reason: &'static str) {
    if span.is_disabled() {
        return;
    }
    span.record(attribute::CODE, i64::from(i32::from(code)));
    if code == Code::Ok {
        return;
    }
    span.record(attribute::REASON, reason);
    let fault = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if fault {
        span.record("otel.status_code", "ERROR").record("otel.status_description", reason);
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
