//! What all spans of a segment share, and what all segments of a trace share.
//!
//! Invariant: whether a segment is sampled is decided before its first span exists and never changes; every
//! child reads it here. The trace's sampling context is built once and then stays as it is.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::client::Core;
use crate::ids::{SpanId, TraceId};

/// What the segments of one trace share in this process.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    /// The parent in the process that this trace came from.
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) sample_rand: f64,
    /// The envelope's `trace` header, as JSON; written when the first span of the trace is.
    pub(crate) header: OnceLock<Box<str>>,
}

impl Trace {
    pub(crate) fn new(id: TraceId, sample_rand: f64) -> Self {
        Trace { id, parent_id: None, sample_rand, header: OnceLock::new() }
    }
}

/// A trace of its own, or one that segments share through a scope.
#[derive(Debug)]
pub(crate) enum TraceRef {
    Own(Trace),
    Shared(Arc<Trace>),
}

/// What all spans of a local root share.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) core: Arc<Core>,
    pub(crate) trace: TraceRef,
    /// The span id of the segment span.
    pub(crate) span_id: SpanId,
    pub(crate) sampled: bool,
    pub(crate) sample_rate: f64,
    name: Mutex<Cow<'static, str>>,
    pub(crate) source: &'static str,
    /// The wall clock at the clock's origin, as it stood when the flusher first saw this segment.
    pub(crate) wall_origin: OnceLock<u64>,
}

/// The values of `sentry.segment.name.source`.
pub(crate) const SOURCES: [&str; 6] = ["custom", "url", "route", "view", "component", "task"];

impl Segment {
    pub(crate) fn new(
        core: Arc<Core>,
        trace: TraceRef,
        span_id: SpanId,
        decision: crate::sampling::Decision,
        name: Cow<'static, str>,
        source: Option<&'static str>,
    ) -> Self {
        Segment {
            core,
            trace,
            span_id,
            sampled: decision.sampled,
            sample_rate: decision.rate,
            name: Mutex::new(name),
            source: source.unwrap_or(SOURCES[0]),
            wall_origin: OnceLock::new(),
        }
    }

    pub(crate) fn trace(&self) -> &Trace {
        match &self.trace {
            TraceRef::Own(trace) => trace,
            TraceRef::Shared(trace) => trace,
        }
    }

    /// The name as it is now. The lock is held for a copy only.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn rename(&self, name: Cow<'static, str>) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }
}
