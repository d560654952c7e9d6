//! What can be told of the next start without a look at the stack: thread-local values that need no borrow.
//!
//! Invariant: what is said is so, or it is [`Fast::Other`], which is always so. There is a word below a segment that is not sampled, and
//! only there; then the tallies are that segment's.

use std::cell::Cell;

use crate::client::Tally;

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
    /// The word of a guard that names the runtime and the reason of the loss; not 0.
    pub(crate) word: u64,
}

/// Each by itself, so that a start reads what it needs and no more.
struct State {
    is_empty: Cell<bool>,
    is_recording: Cell<bool>,
    word: Cell<u64>,
    started: Cell<Tally>,
    ended: Cell<Tally>,
}

thread_local! {
    // Without a destructor, so that there is nothing to look up before it can be read, and it is there until the thread is gone.
    static STATE: State = const {
        State {
            is_empty: Cell::new(true),
            is_recording: Cell::new(false),
            word: Cell::new(0),
            started: Cell::new(Tally::NOWHERE),
            ended: Cell::new(Tally::NOWHERE),
        }
    };
}

/// Whether nothing is current, and no runtime or trace is entered.
#[inline(always)]
pub(crate) fn is_empty() -> bool {
    // It is always there; but the compiler does not know, and would have a panic at hand. So it is below.
    STATE.try_with(|state| state.is_empty.get()).unwrap_or(false)
}

/// Whether a span that records is current: a child of it does so too, unless a rule is against it.
#[inline(always)]
pub(crate) fn is_recording() -> bool {
    STATE.try_with(|state| state.is_recording.get()).unwrap_or(false)
}

/// Counts the start of a span below a segment that is not sampled, and gives the word of its guard. `None` if there is no such segment.
#[inline(always)]
pub(crate) fn start_unsampled() -> Option<u64> {
    let start = |state: &State| {
        let word = state.word.get();
        (word != 0).then(|| {
            state.started.get().count();
            word
        })
    };
    STATE.try_with(start).unwrap_or(None)
}

/// Counts the end of a span whose guard has this word, if what is current is still what was when it started. False if not.
#[inline(always)]
pub(crate) fn end_unsampled(word: u64) -> bool {
    let end = |state: &State| {
        let is_current = state.word.get() == word;
        if is_current {
            state.ended.get().count();
        }
        is_current
    };
    STATE.try_with(end).unwrap_or(false)
}

pub(super) fn set(fast: Fast) {
    STATE.with(|state| {
        state.is_empty.set(matches!(fast, Fast::Empty));
        state.is_recording.set(matches!(fast, Fast::Recording));
        match fast {
            Fast::Unsampled(Unsampled { started, ended, word }) => {
                state.started.set(started);
                state.ended.set(ended);
                state.word.set(word);
            }
            Fast::Empty | Fast::Recording | Fast::Other => state.word.set(0),
        }
    });
}
