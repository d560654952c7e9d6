//! What can be told of the next start without a look at the stack: a thread-local value that needs no borrow.
//!
//! Invariant: what it says is so, or it says [`Fast::Other`], which is always so.

use std::cell::Cell;

use crate::client::Tally;

thread_local! {
    // Without a destructor, so that there is nothing to look up before it can be read, and it is there until the thread is gone.
    static FAST: Cell<Fast> = const { Cell::new(Fast::Empty) };
}

/// What is current on this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fast {
    /// Nothing, and no runtime or trace is entered.
    Empty,
    /// A segment that is not sampled: what starts is counted, and nothing else.
    Unsampled(Unsampled),
    /// A span that records: a child of it does so too, unless a rule is against it.
    Recording,
    /// Anything: one has to look.
    Other,
}

/// How spans below a segment that is not sampled are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unsampled {
    pub(crate) started: Tally,
    pub(crate) ended: Tally,
    /// The word of a guard that names the runtime and the reason of the loss.
    pub(crate) word: u64,
}

/// What is current on this thread.
#[inline(always)]
pub(crate) fn fast() -> Fast {
    // It is always there; but the compiler does not know, and would have a panic at hand.
    FAST.try_with(Cell::get).unwrap_or(Fast::Other)
}

pub(super) fn set(fast: Fast) {
    FAST.set(fast);
}
