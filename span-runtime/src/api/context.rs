//! What is current here, for code that runs elsewhere. (behaviours 10, 12)

use std::marker::PhantomData;
use std::sync::Arc;

use super::SpanHandle;
use crate::client::{Core, global};
use crate::context::{self, Current, Entry};
use crate::segment::Trace;

/// What is current at some place, to be made current at another: a span, a trace or a runtime.
///
/// It is for code that has threads of its own, and for those who write such helpers: pools, callbacks, other tracers. It does not keep
/// its span open. Futures have it simpler, by [`in_current_span`](crate::Instrument::in_current_span).
///
/// ```
/// # use span_runtime::{Runtime, Options, testing::{CaptureTransport, tree}};
/// # let transport = CaptureTransport::new();
/// # let runtime = Runtime::new(Options::new().transport(transport.clone()).traces_sample_rate(1.0)).unwrap();
/// # let _entered = runtime.enter();
/// use span_runtime::{Context, start_span};
///
/// let import = start_span("import").start();
/// let here = Context::current();
/// std::thread::spawn(move || {
///     let _entered = here.enter();
///     start_span("chunk").start().end(); // a child of `import`
/// })
/// .join()
/// .unwrap();
/// # drop(import);
/// # assert!(runtime.flush(std::time::Duration::from_secs(20)));
/// # assert_eq!(tree(&transport.spans()), "import\n  chunk\n");
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is current by it until it is entered"]
pub struct Context(What);

#[derive(Debug, Clone)]
enum What {
    Span(SpanHandle),
    Trace(Arc<Trace>, Option<Arc<Core>>),
    Runtime(Arc<Core>),
    /// Nothing is to be recorded.
    Silence,
    Nothing,
}

impl Context {
    /// What is current where this is called.
    pub fn current() -> Self {
        Context(match context::current() {
            Current::Span { id, index } => What::Span(context::handle(id, index)),
            Current::Elsewhere(handle) => What::Span(handle),
            Current::Trace(trace, core) => What::Trace(trace, core),
            Current::Runtime(core) => What::Runtime(core),
            // There is a runtime, and it is not for this place: inside of a hook, or on a thread of ours.
            Current::Nothing if global::any() && context::runtime().is_none() => What::Silence,
            Current::Nothing => What::Nothing,
        })
    }

    /// A context in which this span is current.
    pub fn of(span: &SpanHandle) -> Self {
        Context(if span.place().is_some() { What::Span(span.clone()) } else { What::Nothing })
    }

    /// Makes it current on this thread until the guard is dropped. Inside of it, other spans, traces and contexts can be entered and
    /// left, and it can be entered several times, on several threads.
    pub fn enter(&self) -> ContextGuard {
        let entered = context::with(|local| {
            // Where nothing is to be recorded, nothing that comes from elsewhere changes that.
            if local.is_silenced() {
                return None;
            }
            let token = local.token();
            let entry = match &self.0 {
                What::Span(handle) => Entry::Context(token, handle.clone()),
                What::Trace(trace, core) => Entry::Trace(token, Arc::clone(trace), core.clone()),
                What::Runtime(core) => Entry::Runtime(token, Arc::clone(core)),
                What::Silence => Entry::Silence(token),
                What::Nothing => return None,
            };
            Some((token, local.push(entry)))
        });
        ContextGuard { entered: entered.flatten(), not_send: PhantomData }
    }

    /// Calls `f` with it current.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        f()
    }
}

/// Keeps a context current on this thread; made by [`Context::enter`].
#[derive(Debug)]
#[must_use = "the context is left when this guard is dropped"]
pub struct ContextGuard {
    entered: Option<(u64, u32)>,
    not_send: PhantomData<*const ()>,
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        if let Some((token, index)) = self.entered {
            let _removed = context::with(|local| local.remove(token, index));
        }
    }
}
