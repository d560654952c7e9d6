//! Traces that several segments share. (behaviour 12)

use std::marker::PhantomData;
use std::sync::Arc;

use super::InContext;
use super::carry::What;
use crate::context::{self, Entry};
use crate::ids::{Generator, TraceId};
use crate::segment::Trace;

/// Begins a trace that the segments inside of its scope share. Without one, each segment has a trace of its own.
///
/// ```
/// use span_runtime::{new_trace, start_span};
///
/// let trace = new_trace();
/// {
///     let _in_trace = trace.enter();
///     start_span("fetch").start().end();
///     start_span("store").start().end(); // the same trace, another segment
/// }
/// ```
pub fn new_trace() -> TraceScope {
    let mut ids = Generator::seeded();
    TraceScope { trace: Arc::new(Trace::new(ids.trace_id(), ids.sample_rand())) }
}

/// A trace that segments can share: [entered](TraceScope::enter) by a thread, or carried by a future with
/// [`in_trace`](crate::Instrument::in_trace).
#[derive(Debug, Clone)]
#[must_use = "the trace is used only where it is entered"]
pub struct TraceScope {
    trace: Arc<Trace>,
}

impl TraceScope {
    /// The id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace.id
    }

    /// Makes segments that start on this thread belong to this trace, until the guard is dropped.
    pub fn enter(&self) -> TraceGuard {
        let entered = context::with(|local| {
            let token = local.token();
            let core = local.nearest_runtime();
            (token, local.push(Entry::Trace(token, Arc::clone(&self.trace), core)))
        });
        TraceGuard { entered, not_send: PhantomData }
    }
}

/// Keeps a trace entered on this thread; made by [`TraceScope::enter`].
#[derive(Debug)]
#[must_use = "the trace is left when this guard is dropped"]
pub struct TraceGuard {
    entered: Option<(u64, u32)>,
    not_send: PhantomData<*const ()>,
}

impl Drop for TraceGuard {
    fn drop(&mut self) {
        if let Some((token, index)) = self.entered {
            let _removed = context::with(|local| local.remove(token, index));
        }
    }
}

/// A future that carries a trace; made by [`Instrument::in_trace`](crate::Instrument::in_trace).
pub type InTrace<F> = InContext<F>;

pub(super) fn in_trace<F>(future: F, scope: TraceScope) -> InTrace<F> {
    let core = context::with(|local| local.nearest_runtime()).flatten();
    InContext::carrying(future, What::Trace(scope.trace, core))
}
