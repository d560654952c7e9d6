//! A span that is current on this thread while its guard lives. (behaviours 6, 7, 11)

use std::fmt;
use std::marker::PhantomData;
use std::time::SystemTime;

use super::{SpanHandle, getters, outgoing, setters};
use crate::LossReason;
use crate::clock::Reading;
use crate::context::{self, PushedSegment, fast};
use crate::ids::{SpanId, TraceId};
use crate::lifecycle::legacy_words;
use crate::open::Change;
use crate::propagation::TraceHeaders;
use crate::record::{Details, Site};

/// A started span that is current on this thread. It ends when the guard is dropped, or by [`end`](SpanGuard::end).
///
/// A guard must not cross threads, nor be held across an `.await`: the compiler refuses both for futures that are
/// `Send`. Asynchronous code carries its span with [`in_span`](crate::Instrument::in_span), `#[span]` on an
/// `async fn`, or `span!("name", async { ... })`.
///
/// ```
/// use span_runtime::start_span;
///
/// let span = start_span("price basket").attribute("basket.items", 3).start();
/// span.set_attribute("total", 12.5);
/// drop(span);
/// ```
#[must_use = "the span ends when the guard is dropped; bind it to a variable"]
pub struct SpanGuard {
    // Two words, so that a guard travels in registers; `kind` puts them together.
    id: u64,
    at: u64,
    not_send: PhantomData<*const ()>,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Nothing: there is no runtime, tracing is off, or it has ended.
    Nothing,
    /// An entry of the thread's stack, by the span's id and by where it was pushed.
    Recording { id: u64, index: u32 },
    /// The entry of a span that is not sent, which tells how to count it: a segment that is not sampled, a span below one that was given as
    /// parent, or one that is ignored.
    Unsent { token: u64, index: u32 },
    /// Below a segment that is not sampled, of the runtime with this number: no entry, but to be counted.
    UnsampledChild { runtime: u32, loss: LossReason },
}

/// What the lower half of `at` says, less the bits for the reason of a loss; the upper half is an index or a runtime's number.
const NOTHING: u64 = 0;
const RECORDING: u64 = 1;
const UNSENT: u64 = 2;
const UNSAMPLED_CHILD: u64 = 3;
const KINDS: u64 = 0xff;

/// Where in `at` the reason begins for which an unsampled child is counted.
const LOSS: u32 = 8;

impl From<PushedSegment> for Kind {
    #[inline(always)]
    fn from(pushed: PushedSegment) -> Self {
        match pushed {
            PushedSegment::Recording { id, index } => Kind::Recording { id, index },
            PushedSegment::Unsent { token, index } => Kind::Unsent { token, index },
        }
    }
}

impl Kind {
    /// The two words of a guard.
    #[inline(always)]
    pub(super) const fn pack(self) -> (u64, u64) {
        let (id, tag, number) = match self {
            Kind::Nothing => (0, NOTHING, 0),
            Kind::Recording { id, index } => (id, RECORDING, index),
            Kind::Unsent { token, index } => (token, UNSENT, index),
            Kind::UnsampledChild { runtime, loss } => (0, UNSAMPLED_CHILD | (loss as u64) << LOSS, runtime),
        };
        (id, (number as u64) << 32 | tag)
    }

    #[inline(always)]
    fn unpack(id: u64, at: u64) -> Self {
        let number = (at >> 32) as u32;
        match at & KINDS {
            RECORDING => Kind::Recording { id, index: number },
            UNSENT => Kind::Unsent { token: id, index: number },
            UNSAMPLED_CHILD => {
                // Eight bits, which it was put in as.
                Kind::UnsampledChild { runtime: number, loss: LossReason::of_unsampled((at >> LOSS) as u8) }
            }
            _ => Kind::Nothing,
        }
    }
}

impl SpanGuard {
    #[inline(always)]
    pub(super) const fn new(kind: Kind) -> Self {
        Self::packed(kind.pack())
    }

    #[inline(always)]
    pub(super) const fn packed((id, at): (u64, u64)) -> Self {
        SpanGuard { id, at, not_send: PhantomData }
    }

    #[inline(always)]
    fn kind(&self) -> Kind {
        Kind::unpack(self.id, self.at)
    }

    /// What it is for, which the caller sees to from here on.
    #[inline(always)]
    pub(super) fn into_kind(self) -> Kind {
        let kind = self.kind();
        std::mem::forget(self);
        kind
    }

    #[inline]
    pub(crate) const fn nothing() -> Self {
        SpanGuard::new(Kind::Nothing)
    }

    #[inline(always)]
    pub(super) fn is_nothing(&self) -> bool {
        self.at & KINDS == NOTHING
    }

    pub(crate) fn change(&self, change: Change) {
        if let Kind::Recording { id, index } = self.kind() {
            context::change(id, index, change);
        }
    }

    fn read<R>(&self, f: impl FnOnce(Site, &Details) -> R) -> Option<R> {
        match self.kind() {
            Kind::Recording { id, index } => context::read(id, index, f),
            _ => None,
        }
    }

    setters!([&self] self);
    getters!();
    legacy_words!(span);

    /// A handle that others can use.
    pub fn handle(&self) -> SpanHandle {
        match self.kind() {
            Kind::Recording { id, index } => context::handle(id, index),
            Kind::Unsent { token, index } => context::context_at(token, index),
            Kind::UnsampledChild { .. } => context::current_handle(),
            Kind::Nothing => SpanHandle::nothing(),
        }
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.handle().trace_id()
    }

    /// The id of the span; below an unsampled segment that of the segment's span.
    pub fn span_id(&self) -> Option<SpanId> {
        self.handle().span_id()
    }

    outgoing!();

    fn headers(&self, url: Option<&str>) -> TraceHeaders {
        self.handle().headers(url)
    }

    /// Whether the span is sent: its segment was sampled, and it is not ignored.
    pub fn is_sampled(&self) -> bool {
        matches!(self.kind(), Kind::Recording { .. })
    }

    /// Ends the span now.
    #[inline]
    pub fn end(self) {
        drop(self);
    }

    /// Ends the span with a time of the caller's. A time before the start counts as the start.
    pub fn end_at(mut self, time: SystemTime) {
        self.close(Some(time));
    }

    #[inline]
    fn close(&mut self, at: Option<SystemTime>) {
        let kind = self.kind();
        self.at = NOTHING;
        match kind {
            Kind::Recording { id, index } => {
                let end = Reading::now();
                context::with(|local| local.end_at(id, index, end, at));
            }
            Kind::UnsampledChild { runtime, loss } => {
                context::end_unsampled(runtime, loss);
            }
            Kind::Unsent { token, index } => context::end_unsent(token, index),
            Kind::Nothing => {}
        }
    }
}

/// The second word of the guard of a span below a segment that is not sampled; the first is 0.
pub(crate) fn unsampled_word(runtime: u32, loss: LossReason) -> u64 {
    Kind::UnsampledChild { runtime, loss }.pack().1
}

/// Ends what a guard of these two words was for: out of line, and the same for all call sites.
#[inline(never)]
fn end(id: u64, at: u64) {
    if at & KINDS == RECORDING {
        let end = Reading::now();
        // The index is the upper half.
        context::with(|local| local.end(id, (at >> 32) as u32, end));
    } else {
        end_other(id, at);
    }
}

/// The same for what records nothing, with a look at what is current.
#[cold]
#[inline(never)]
fn end_other(id: u64, at: u64) {
    match Kind::unpack(id, at) {
        Kind::UnsampledChild { runtime, loss } => context::end_unsampled(runtime, loss),
        Kind::Unsent { token, index } => context::end_unsent(token, index),
        Kind::Recording { .. } | Kind::Nothing => {}
    }
}

impl Drop for SpanGuard {
    /// As little as can be: it stands in each function that has a span, and there twice.
    #[inline]
    fn drop(&mut self) {
        if self.at != NOTHING && !fast::end_unsampled(self.at) {
            end(self.id, self.at);
        }
    }
}

impl fmt::Debug for SpanGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind() {
            Kind::Recording { .. } => "SpanGuard(recording)",
            Kind::Unsent { .. } | Kind::UnsampledChild { .. } => "SpanGuard(not sent)",
            Kind::Nothing => "SpanGuard(records nothing)",
        })
    }
}
