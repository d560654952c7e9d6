//! A span that goes along with work in several parts, such as the future of a request and the body of the response.

use std::future::Future;
use std::thread;

use span_runtime::{Context, InContext, Instrument as _, Span, Status, names};

/// A span, and what is current in each part of the work that it is for.
///
/// It ends by [`end`](Work::end), as an error with a panic in a part, and otherwise, by its drop, as that of work that was given up.
pub(crate) struct Work {
    span: Option<Span>,
    context: Context,
}

impl Work {
    /// What is current in the work is the span, or, if it records nothing, what is current here: a trace that came in is passed on.
    pub(crate) fn new(span: Span) -> Self {
        let is_somewhere = span.span_id().is_some();
        let context = if is_somewhere { Context::of(&span.handle()) } else { Context::current() };
        Work { span: Some(span), context }
    }

    /// Runs a part of the work.
    pub(crate) fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        let _entered = self.context.enter();
        let _unwinds = Unwinds { span: &mut self.span, from_outside: thread::panicking() };
        part()
    }

    /// Calls what makes a future of the work, which [`watch`](Work::watch) polls: it takes along what is current, and what becomes current in
    /// it by guards that it holds from one poll to the next, as futures that are not `Send` can.
    pub(crate) fn begin<F: Future>(&mut self, call: impl FnOnce() -> F) -> InContext<F> {
        self.run(|| call().in_current_span())
    }

    /// Runs a part of the work that takes along what is current by itself.
    pub(crate) fn watch<R>(&mut self, part: impl FnOnce() -> R) -> R {
        let _unwinds = Unwinds { span: &mut self.span, from_outside: thread::panicking() };
        part()
    }

    /// The span, unless it has ended.
    pub(crate) fn span(&mut self) -> Option<&mut Span> {
        self.span.as_mut()
    }

    /// Ends the span.
    pub(crate) fn end(&mut self) {
        self.span = None;
    }

    /// Ends the span as an error of this kind. The error's text is not recorded: it may quote what it was given.
    pub(crate) fn fail(&mut self, kind: &str) {
        if let Some(mut span) = self.span.take() {
            span.set_status(Status::Error);
            span.set_attribute(names::ERROR_TYPE, kind);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.set_attribute(names::CANCELLED, true);
        }
    }
}

/// Whoever catches a panic may drop the work much later, and without unwinding.
struct Unwinds<'w> {
    span: &'w mut Option<Span>,
    from_outside: bool,
}

impl Drop for Unwinds<'_> {
    fn drop(&mut self) {
        if !self.from_outside && thread::panicking() {
            if let Some(mut span) = self.span.take() {
                span.set_status(Status::Error);
            }
        }
    }
}
