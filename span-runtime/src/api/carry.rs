//! How a future or stream carries what is current in it, from poll to poll. (behaviours 8, 12)
//!
//! Invariant: between polls the span is here; during a poll it is on the thread's stack, and it comes back
//! however the poll ends, or ends with it. Nobody else can take it from there.
//!
//! A span of an annotated `async fn` starts on the stack, as that of any function, and if the first poll is the last it ends there too:
//! only a future that is pending takes its span along.

use std::sync::Arc;

use super::{Span, SpanHandle, Unstarted, guard, span};
use crate::LossReason;
use crate::client::Core;
use crate::clock::Reading;
use crate::context::{self, Current, Entry, Local};
use crate::names;
use crate::open::{Change, Status};
use crate::private::Outcome;
use crate::segment::Trace;
use crate::{Key, Value};

/// What is carried.
#[derive(Debug)]
pub(super) enum What {
    /// A span that starts at the first poll.
    Unstarted(Unstarted),
    Span(Span),
    /// A span that is not made current.
    Inactive(Span),
    Handle(SpanHandle),
    Trace(Arc<Trace>, Option<Arc<Core>>),
    Runtime(Arc<Core>),
    /// It is on the stack of the thread that polls.
    OnStack,
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

    /// Makes it current until the guard that is returned is dropped. A span that has not started starts now.
    #[inline(never)]
    pub(super) fn attach(&mut self) -> Attached<'_> {
        let at = match &mut self.what {
            What::Unstarted(unstarted) => {
                let at = At::of(unstarted.start().into_kind());
                self.what = What::OnStack;
                at
            }
            what => context::with(|local| attach_to(local, what, &mut self.above)).unwrap_or(At::Nowhere),
        };
        Attached { carried: self, at, unwinding: std::thread::panicking() }
    }

    /// Whether it is a span that has not started.
    pub(super) fn is_unstarted(&self) -> bool {
        matches!(self.what, What::Unstarted(_))
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

/// Puts what is carried on the stack, from where `detach` brings it back.
#[inline]
fn attach_to(local: &mut Local, what: &mut What, above: &mut Vec<Entry>) -> At {
    if local.is_silenced() || matches!(what, What::Inactive(_) | What::Unstarted(_) | What::OnStack | What::Nothing) {
        return At::Nowhere;
    }
    let token = |local: &mut Local| local.token();
    let (id, entry, at): (u64, Entry, fn(u64, u32) -> At) = match std::mem::replace(what, What::OnStack) {
        What::Span(mut span) => match std::mem::replace(&mut span.0, span::Kind::Nothing) {
            span::Kind::Recording(open) => {
                (open.span_id.as_u64(), Entry::Span(open), |id, index| At::Recording { id, index })
            }
            span::Kind::Unsent(handle) => {
                let token = token(local);
                (token, Entry::Context(token, handle), |token, index| At::Unsent { token, index })
            }
            span::Kind::Nothing => return At::Nowhere,
        },
        other => {
            let token = token(local);
            let entry = match other {
                What::Handle(handle) => Entry::Context(token, handle),
                What::Trace(trace, core) => Entry::Trace(token, trace, core),
                What::Runtime(core) => Entry::Runtime(token, core),
                What::Span(_) | What::Inactive(_) | What::Unstarted(_) | What::OnStack | What::Nothing => {
                    return At::Nowhere;
                }
            };
            (token, entry, |token, index| At::Context { token, index })
        }
    };
    at(id, local.attach(entry, above))
}

/// Where on the thread's stack that stands which is carried.
#[derive(Debug, Clone, Copy)]
enum At {
    Nowhere,
    /// A span that is recorded.
    Recording {
        id: u64,
        index: u32,
    },
    /// A span that is not sent.
    Unsent {
        token: u64,
        index: u32,
    },
    /// What is no span of this future's.
    Context {
        token: u64,
        index: u32,
    },
    /// A span below a segment that is not sampled: nothing of it stands there.
    Unsampled {
        runtime: u32,
        loss: LossReason,
    },
}

impl At {
    #[inline]
    fn of(kind: guard::Kind) -> Self {
        match kind {
            guard::Kind::Nothing => At::Nowhere,
            guard::Kind::UnsampledChild { runtime, loss } => At::Unsampled { runtime, loss },
            guard::Kind::Recording { id, index } => At::Recording { id, index },
            guard::Kind::Unsent { token, index } => At::Unsent { token, index },
        }
    }
}

/// Keeps what a future carries current; its drop takes it back.
pub(super) struct Attached<'a> {
    carried: &'a mut Carried,
    at: At,
    unwinding: bool,
}

impl Attached<'_> {
    /// Runs `f` on the outcome of the span, if it is one that records.
    pub(super) fn with_outcome(&mut self, f: impl FnOnce(&mut Outcome<'_>)) {
        match (self.at, &mut self.carried.what) {
            (At::Recording { id, index }, _) => f(&mut Outcome::of_entry(id, index)),
            (At::Nowhere, What::Inactive(span)) => f(&mut Outcome::of_span(span)),
            _ => {}
        }
    }

    /// Ends the span, if it is one, where it stands.
    #[inline(never)]
    pub(super) fn end(mut self) {
        let ended = match self.at {
            At::Recording { id, index } => {
                let end = Reading::now();
                context::with(|local| local.end_on_top(id, index, end)) == Some(true)
            }
            At::Unsampled { runtime, loss } => {
                context::end_unsampled(runtime, loss);
                true
            }
            _ => false,
        };
        if ended {
            // Nothing is left to be taken back.
            std::mem::forget(self);
            return;
        }
        self.take_back();
        self.carried.end();
    }

    /// Takes what is carried off the stack.
    #[inline(never)]
    fn take_back(&mut self) {
        let carried = &mut *self.carried;
        let at = std::mem::replace(&mut self.at, At::Nowhere);
        let own = match at {
            At::Nowhere => return,
            At::Unsampled { .. } => None,
            At::Recording { id: token, index } | At::Unsent { token, index } | At::Context { token, index } => {
                context::with(|local| local.detach(token, index, &mut carried.above)).flatten()
            }
        };
        carried.what = match (at, own) {
            // Its segment is what is current: it stays so in the polls to come, on whatever thread, and says how the end is counted.
            (At::Unsampled { .. }, _) => What::Span(Span(span::Kind::Unsent(context::current_handle()))),
            (_, Some(Entry::Span(open))) => What::Span(Span(span::Kind::Recording(open))),
            (At::Unsent { .. }, Some(Entry::Context(_, handle))) => What::Span(Span(span::Kind::Unsent(handle))),
            (_, Some(Entry::Context(_, handle))) => What::Handle(handle),
            (_, Some(Entry::Trace(_, trace, core))) => What::Trace(trace, core),
            (_, Some(Entry::Runtime(_, core))) => What::Runtime(core),
            (_, Some(Entry::Silence(_) | Entry::Ended(_)) | None) => What::Nothing,
        };
    }
}

impl Drop for Attached<'_> {
    #[inline]
    fn drop(&mut self) {
        self.take_back();
        // A panic goes through: whoever catches it may drop the future much later, and without unwinding.
        if !self.unwinding && std::thread::panicking() {
            if let Some(span) = self.carried.span() {
                span.change(Change::Status(Status::Error));
                span.close(None);
            }
        }
    }
}
