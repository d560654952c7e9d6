//! The current span. (behaviour 13)

use std::fmt;
use std::marker::PhantomData;

use super::{SpanHandle, getters, outgoing, setters};
use crate::context::{self, Current};
use crate::ids::{SpanId, TraceId};
use crate::lifecycle::legacy_words;
use crate::open::Change;
use crate::propagation::TraceHeaders;
use crate::record::{Details, Site};

/// The span that is current where this is called: in the task that runs now, or else on the thread.
///
/// ```
/// use span_runtime::current_span;
///
/// fn charge(total: f64) {
///     current_span().set_attribute("order.total", total);
/// }
/// # charge(1.0);
/// ```
///
/// If there is none, what is returned records nothing.
///
/// What is awaited comes first. In `current_span().set_attribute("rows", rows.await)` what was found is held across the `.await`, and the
/// future is not `Send`; of that a web framework may say no more than that something is no handler.
///
/// ```
/// # use span_runtime::current_span;
/// async fn load(rows: impl Future<Output = u64>) {
///     let rows = rows.await;
///     current_span().set_attribute("rows", rows);
/// }
/// ```
#[cfg_attr(feature = "legacy", track_caller)]
pub fn current_span() -> CurrentSpan {
    let which = match context::current() {
        Current::Span { id, index } => Which::Here { id, index },
        Current::Elsewhere(handle) => Which::Handle(handle),
        Current::Trace(..) | Current::Runtime(_) | Current::Nothing => {
            #[cfg(feature = "legacy")]
            crate::lifecycle::refuse_streaming(std::panic::Location::caller());
            Which::Handle(SpanHandle::nothing())
        }
    };
    CurrentSpan { which, not_send: PhantomData }
}

/// The current span, as [`current_span`] found it. It stays on its thread; to take the span elsewhere, get a
/// [`handle`](CurrentSpan::handle).
pub struct CurrentSpan {
    which: Which,
    not_send: PhantomData<*const ()>,
}

enum Which {
    /// An entry of this thread's stack.
    Here { id: u64, index: u32 },
    /// A span that lives elsewhere, or nothing.
    Handle(SpanHandle),
}

impl CurrentSpan {
    fn change(&self, change: Change) {
        match &self.which {
            Which::Here { id, index } => context::change(*id, *index, change),
            Which::Handle(handle) => handle.change(change),
        }
    }

    fn read<R>(&self, f: impl FnOnce(Site, &Details) -> R) -> Option<R> {
        match &self.which {
            Which::Here { id, index } => context::read(*id, *index, f),
            Which::Handle(handle) => handle.read(f),
        }
    }

    setters!([&self] self);
    getters!();
    legacy_words!(span);

    /// A handle that other threads and tasks can use.
    pub fn handle(&self) -> SpanHandle {
        match &self.which {
            Which::Here { id, index } => context::handle(*id, *index),
            Which::Handle(handle) => handle.clone(),
        }
    }

    outgoing!();

    fn headers(&self, url: Option<&str>) -> TraceHeaders {
        self.handle().headers(url)
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.handle().trace_id()
    }

    /// The id of the span; below an unsampled segment that of the segment's span.
    pub fn span_id(&self) -> Option<SpanId> {
        self.handle().span_id()
    }

    /// Whether it is sampled. False if there is no current span.
    pub fn is_sampled(&self) -> bool {
        match &self.which {
            Which::Here { .. } => true,
            Which::Handle(handle) => handle.is_sampled(),
        }
    }
}

impl fmt::Debug for CurrentSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CurrentSpan").field(&self.handle()).finish()
    }
}
