//! Which requests are recorded, said before there is a span: most are not, and a span that is made only to be
//! dropped costs as much as all else that is done with a request. The sampler is the one that the SDK asks when
//! it makes the span, and is asked the same, so it gives the same answer. Knows no exporter.

use std::cell::Cell;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SamplingDecision, ShouldSample};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{self, Filter};

use super::span::{NAME, TARGET};

thread_local! {
    /// The trace that this thread's next span begins, if it was chosen for its id.
    static CHOSEN: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Lets pass the spans of requests that are recorded. Whose child a request is, the current OpenTelemetry
/// context says while its span is made.
#[derive(Debug)]
pub(super) struct Recorded {
    sampler: Box<dyn ShouldSample>,
}

impl Recorded {
    pub(super) fn by(sampler: Box<dyn ShouldSample>) -> Self {
        Self { sampler }
    }

    fn is_wanted(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }

    fn is_recorded(&self, caller: &Context) -> bool {
        let span = caller.span();
        let parent = Some(span.span_context()).filter(|parent| parent.is_valid());
        let trace = match parent {
            Some(parent) => parent.trace_id(),
            None => RandomIdGenerator::default().new_trace_id(),
        };
        let asked = self.sampler.should_sample(
            parent.map(|_| caller),
            trace,
            NAME,
            &SpanKind::Server,
            &[],
            &[],
        );
        let is_recorded = asked.decision != SamplingDecision::Drop;
        CHOSEN.set(Some(trace).filter(|_| is_recorded && parent.is_none()));
        is_recorded
    }
}

impl<S> Filter<S> for Recorded {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        // Others ask whether spans are wanted at all.
        Self::is_wanted(metadata)
            && (metadata.name() != NAME || Context::map_current(|caller| self.is_recorded(caller)))
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match Self::is_wanted(metadata) {
            true if metadata.name() == NAME => Interest::sometimes(),
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(Level::DEBUG.into())
    }
}

/// Random ids; but a trace that was chosen for its id has that one.
#[derive(Debug, Default)]
pub(super) struct ChosenIds(RandomIdGenerator);

impl IdGenerator for ChosenIds {
    fn new_trace_id(&self) -> TraceId {
        CHOSEN.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::Sampler;

    use super::*;

    fn caller(flags: TraceFlags) -> Context {
        let (trace, span) = (TraceId::from(7_u128), SpanId::from(7_u64));
        let parent = SpanContext::new(trace, span, flags, true, TraceState::default());
        Context::new().with_remote_span_context(parent)
    }

    #[test]
    fn a_caller_that_decides_is_followed_and_begins_no_trace() {
        let recorded = Recorded::by(Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOff))));
        assert!(recorded.is_recorded(&caller(TraceFlags::SAMPLED)));
        assert_eq!(CHOSEN.take(), None, "the trace is the caller's");
        assert!(!recorded.is_recorded(&caller(TraceFlags::default())));
        assert!(!recorded.is_recorded(&Context::new()));
    }

    #[test]
    fn a_trace_has_the_id_that_it_was_chosen_for() {
        let (half, ids) = (Sampler::TraceIdRatioBased(0.5), ChosenIds::default());
        let recorded = Recorded::by(Box::new(half.clone()));
        let mut chosen = 0;
        for _ in 0..1_000 {
            if !recorded.is_recorded(&Context::new()) {
                assert_eq!(CHOSEN.take(), None);
                continue;
            }
            chosen += 1;
            let again =
                half.should_sample(None, ids.new_trace_id(), "", &SpanKind::Server, &[], &[]);
            assert_eq!(again.decision, SamplingDecision::RecordAndSample, "the SDK says otherwise");
        }
        assert!((300..700).contains(&chosen), "{chosen} of 1,000");
    }
}
