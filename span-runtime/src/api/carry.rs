//! How a future or stream carries what is current in it, from poll to poll. (behaviours 8, 12)
//!
//! Invariant: between polls the span is here; during a poll it is on the thread's stack, and it comes back
//! however the poll ends. Nobody else can take it from there.

use std::sync::Arc;

use super::{Span, SpanHandle, span};
use crate::client::Core;
use crate::context::{self, Current, Entry};
use crate::names;
use crate::open::{Change, Status};
use crate::segment::Trace;
use crate::{Key, Value};

/// What is carried.
#[derive(Debug)]
pub(super) enum What {
    Span(Span),
    /// A span that is not made current.
    Inactive(Span),
    Handle(SpanHandle),
    Trace(Arc<Trace>, Option<Arc<Core>>),
    Runtime(Arc<Core>),
    Nothing,
}

impl What {
    /// What is current here.
    pub(super) fn current() -> Self {
        match context::current() {
            Current::Span { id, index } => What::Handle(context::handle(id, index)),
            Current::Elsewhere(handle) => What::Handle(handle),
            Current::Trace(trace, core) => What::Trace(trace, core),
            Current::Runtime(core) => What::Runtime(core),
            Current::Nothing => What::Nothing,
        }
    }
}

#[derive(Debug)]
pub(super) struct Carried {
    what: What,
    /// Entries of guards that are held across an `.await`, which futures that are not `Send` can do.
    above: Vec<Entry>,
}

impl Carried {
    pub(super) fn new(what: What) -> Self {
        Carried { what, above: Vec::new() }
    }

    /// Makes it current until the guard that is returned is dropped.
    #[inline]
    pub(super) fn attach(&mut self) -> Attached<'_> {
        let at = context::with(|local| {
            if local.is_silenced() {
                return None;
            }
            let (id, entry) = match &mut self.what {
                What::Span(span) => match std::mem::replace(&mut span.0, span::Kind::Nothing) {
                    span::Kind::Recording(open) => (open.span_id.as_u64(), Entry::Span(open)),
                    span::Kind::Unsent(handle) => {
                        let token = local.token();
                        (token, Entry::Context(token, handle))
                    }
                    span::Kind::Nothing => return None,
                },
                What::Handle(handle) => {
                    let token = local.token();
                    (token, Entry::Context(token, std::mem::replace(handle, SpanHandle::nothing())))
                }
                What::Inactive(_) => return None,
                What::Trace(trace, core) => {
                    let token = local.token();
                    (token, Entry::Trace(token, Arc::clone(trace), core.clone()))
                }
                What::Runtime(core) => {
                    let token = local.token();
                    (token, Entry::Runtime(token, Arc::clone(core)))
                }
                What::Nothing => return None,
            };
            Some((id, local.attach(entry, &mut self.above)))
        });
        Attached { carried: self, at: at.flatten(), unwinding: std::thread::panicking() }
    }

    /// The span, if it is one.
    pub(super) fn span(&mut self) -> Option<&mut Span> {
        match &mut self.what {
            What::Span(span) | What::Inactive(span) => Some(span),
            _ => None,
        }
    }

    /// Ends the span, if it is one.
    pub(super) fn end(&mut self) {
        if let Some(span) = self.span() {
            span.close(None);
        }
    }

    /// Ends the span, if it is one, as that of work that was given up.
    pub(super) fn cancel(&mut self) {
        if let Some(span) = self.span() {
            span.change(Change::Set(Key::Borrowed(names::CANCELLED), Value::of(true)));
            span.close(None);
        }
    }
}

/// Keeps what a future carries current; its drop takes it back.
pub(super) struct Attached<'a> {
    carried: &'a mut Carried,
    at: Option<(u64, u32)>,
    unwinding: bool,
}

impl Drop for Attached<'_> {
    #[inline]
    fn drop(&mut self) {
        let Some((id, index)) = self.at else { return };
        let carried = &mut *self.carried;
        let own = context::with(|local| local.detach(id, index, &mut carried.above)).flatten();
        match (&mut carried.what, own) {
            (What::Span(span), Some(Entry::Span(open))) => span.0 = span::Kind::Recording(open),
            (What::Span(span), Some(Entry::Context(_, handle))) => span.0 = span::Kind::Unsent(handle),
            (What::Handle(kept), Some(Entry::Context(_, handle))) => *kept = handle,
            _ => {}
        }
        // A panic goes through: whoever catches it may drop the future much later, and without unwinding.
        if !self.unwinding && std::thread::panicking() {
            if let Some(span) = carried.span() {
                span.change(Change::Status(Status::Error));
                span.close(None);
            }
        }
    }
}
