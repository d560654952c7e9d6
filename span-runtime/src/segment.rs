//! What all spans of a segment share, and what all segments of a trace share.
//!
//! Invariant: whether a segment is sampled is decided before its first span exists and never changes; every
//! child reads it here. The trace's sampling context is built once and then stays as it is.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use crate::client::{Core, LossReason, fork};
use crate::ids::{Generator, SpanId, TraceId};
use crate::propagation::{Baggage, ContextText, Dsc, Incoming};
use crate::record::Attribute;
use crate::sampling::{self, Decision, Rate};

/// What the segments of one trace share in this process.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: TraceId,
    pub(crate) sample_rand: f64,
    /// What a trace has that came from elsewhere, or is a scope: most are neither.
    pub(crate) origin: Option<Box<Origin>>,
    /// In a box, so that a segment that has not needed it yet is small.
    dsc: OnceLock<Box<Dsc>>,
}

/// Where a trace comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The parent in the process that it came from.
    pub(crate) parent_id: Option<SpanId>,
    /// What stands for a span where there is none: that parent, or an id that was made up.
    pub(crate) span_id: SpanId,
    /// What was decided there.
    pub(crate) sampled: Option<bool>,
    /// The rate at which it was.
    pub(crate) sample_rate: Option<f64>,
    /// The sampling context, as it came; empty if none did.
    baggage: Baggage,
    /// What only the sampler sees.
    pub(crate) for_sampler: Vec<Attribute>,
}

impl Trace {
    /// A trace that begins here.
    pub(crate) fn new(ids: &mut Generator) -> Self {
        Trace { id: ids.trace_id(), sample_rand: ids.sample_rand(), origin: None, dsc: OnceLock::new() }
    }

    /// A trace that is none.
    fn blank() -> Self {
        Trace { id: TraceId::MAX, sample_rand: 0.0, origin: None, dsc: OnceLock::new() }
    }

    /// Has a blank one begin here. Each field is assigned by itself: nothing is moved.
    #[inline]
    fn begin(&mut self, ids: &mut Generator) {
        self.id = ids.trace_id();
        self.sample_rand = ids.sample_rand();
    }

    /// A trace that begins here, before there is a span in it.
    pub(crate) fn scope(ids: &mut Generator) -> Self {
        let origin = Origin {
            parent_id: None,
            span_id: ids.span_id(),
            sampled: None,
            sample_rate: None,
            baggage: Baggage::default(),
            for_sampler: Vec::new(),
        };
        Trace { origin: Some(Box::new(origin)), ..Trace::new(ids) }
    }

    /// A trace that began elsewhere.
    pub(crate) fn continued(incoming: Incoming) -> Self {
        let sample_rate = incoming.sample_rate();
        let made_up = || sampling::agreeing_rand(incoming.trace_id, incoming.sampled, sample_rate);
        Trace {
            id: incoming.trace_id,
            sample_rand: incoming.sample_rand().unwrap_or_else(made_up),
            origin: Some(Box::new(Origin {
                parent_id: Some(incoming.parent_id),
                span_id: incoming.parent_id,
                sampled: incoming.sampled,
                sample_rate,
                baggage: incoming.baggage,
                for_sampler: Vec::new(),
            })),
            dsc: OnceLock::new(),
        }
    }

    pub(crate) fn parent_id(&self) -> Option<SpanId> {
        self.origin.as_ref()?.parent_id
    }

    /// What was decided where it came from.
    pub(crate) fn parent_sampled(&self) -> Option<bool> {
        self.origin.as_ref()?.sampled
    }

    /// The sampling context that it came with.
    pub(crate) fn incoming(&self) -> Option<&Baggage> {
        self.origin.as_ref().map(|origin| &origin.baggage)
    }

    /// The sampling context, if it is settled.
    pub(crate) fn dsc(&self) -> Option<&Dsc> {
        self.dsc.get().map(|dsc| &**dsc)
    }
}

/// A trace of its own, or one that segments share through a scope.
#[derive(Debug)]
pub(crate) enum TraceRef {
    Own(Trace),
    Shared(Arc<Trace>),
}

impl TraceRef {
    pub(crate) fn get(&self) -> &Trace {
        match self {
            TraceRef::Own(trace) => trace,
            TraceRef::Shared(trace) => trace,
        }
    }
}

/// What all spans of a local root share.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) core: Arc<Core>,
    pub(crate) trace: TraceRef,
    /// The span id of the segment span.
    pub(crate) span_id: SpanId,
    pub(crate) sampled: bool,
    /// Why it is not sampled, if it is not.
    pub(crate) loss: LossReason,
    /// The rate at which that was decided, where it is known.
    pub(crate) sample_rate: Option<f64>,
    /// Whether this process decided, and not the one that the trace came from.
    pub(crate) decided_here: bool,
    name: Mutex<Cow<'static, str>>,
    pub(crate) source: &'static str,
    /// The wall clock at the clock's origin, as it stood when the flusher first saw this segment; 0 until then. The flusher writes it before it
    /// gives the segment's spans to anybody, so that Relaxed does for it.
    pub(crate) wall_origin: AtomicU64,
    /// Where the flusher had a batch of its trace when it last looked. The flusher's alone, so that Relaxed does for it.
    pub(crate) place: AtomicU32,
}

/// The values of `sentry.segment.name.source`.
pub(crate) const SOURCES: [&str; 6] = ["custom", "url", "route", "view", "component", "task"];

impl Segment {
    pub(crate) fn new(
        core: Arc<Core>,
        trace: TraceRef,
        span_id: SpanId,
        decision: Decision,
        name: Cow<'static, str>,
        source: Option<&'static str>,
    ) -> Self {
        Segment {
            core,
            trace,
            span_id,
            sampled: decision.sampled,
            loss: decision.loss,
            sample_rate: decision.rate,
            decided_here: decision.here,
            name: Mutex::new(name),
            source: source.unwrap_or(SOURCES[0]),
            wall_origin: AtomicU64::new(0),
            place: AtomicU32::new(u32::MAX),
        }
    }

    /// Has a blank one begin in a trace of its own, about which a rate decides.
    pub(crate) fn begin(&mut self, ids: &mut Generator, rate: f64, name: &'static str, source: Option<&'static str>) {
        if let TraceRef::Own(trace) = &mut self.trace {
            trace.begin(ids);
        }
        let decision = sampling::decide(self.trace.get(), Rate::Fixed(rate), self.core.halvings());
        self.span_id = ids.span_id();
        self.sampled = decision.sampled;
        self.loss = decision.loss;
        self.sample_rate = decision.rate;
        self.decided_here = decision.here;
        if let Ok(own) = self.name.get_mut() {
            *own = Cow::Borrowed(name);
        }
        self.source = source.unwrap_or(SOURCES[0]);
    }

    /// Makes it blank again, if nobody else has it, and says whether it is.
    pub(crate) fn clear(this: &mut Arc<Self>) -> bool {
        let Some(own) = Arc::get_mut(this) else { return false };
        let Ok(name) = own.name.get_mut() else { return false };
        if let Cow::Owned(_) = name {
            *name = Cow::Borrowed("");
        }
        match &mut own.trace {
            TraceRef::Own(trace) => {
                trace.origin = None;
                trace.dsc.take();
            }
            TraceRef::Shared(_) => own.trace = TraceRef::Own(Trace::blank()),
        }
        *own.wall_origin.get_mut() = 0;
        *own.place.get_mut() = u32::MAX;
        true
    }

    pub(crate) fn trace(&self) -> &Trace {
        self.trace.get()
    }

    /// The sampling context of its trace, which is settled now if it was not before.
    pub(crate) fn dsc(&self) -> &Dsc {
        self.trace().dsc.get_or_init(|| Dsc::freeze(self).into())
    }

    /// Appends that as the header `trace` of envelopes.
    pub(crate) fn write_context(&self, text: &mut Vec<u8>, constant: &ContextText) {
        self.dsc().write(text, constant, &self.core.settings, self.trace());
    }

    /// Whether its name is what a client asked for, rather than what it was matched with.
    pub(crate) fn is_named_by_url(&self) -> bool {
        self.source == SOURCES[1]
    }

    /// The name as it is now. The lock is held for a copy only.
    pub(crate) fn name(&self) -> Cow<'static, str> {
        fork::lock(&self.name).map(|name| name.clone()).unwrap_or_default()
    }

    pub(crate) fn rename(&self, name: Cow<'static, str>) {
        if let Some(mut current) = fork::lock(&self.name) {
            *current = name;
        }
    }
}
