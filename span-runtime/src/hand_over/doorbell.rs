//! How the flusher sleeps, and who wakes it.
//!
//! Waking a sleeping thread is a system call of about 3 µs, so nobody pays it per span. While there is work the
//! flusher *naps* for some milliseconds at a time and nobody wakes it, unless memory gets tight. When nothing has come for a while it goes into *deep*
//! sleep; the first span after that wakes it.
//!
//! The check on the span's path is one relaxed load without a fence. So it can miss a flusher that is just falling
//! asleep; the flusher looks at all chunks once more after it has announced its sleep, and sleeps at most
//! [`LONGEST_SLEEP`], which bounds what a missed wake-up can cost. A command, of which there are few, does not miss it: there both sides
//! have a fence between what they write and what they look at.

use std::time::Duration;

use super::fork::Origin;
use super::sync::{AtomicU8, OnceLock, Ordering, Thread, current, fence, park_timeout};

/// The longest that a span can lie unnoticed after a missed wake-up. Well below the 5 s of behaviour 46.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(1);

const AWAKE: u8 = 0;
const NAPPING: u8 = 1;
const DEEP: u8 = 2;
/// There will be no flusher any more. What is published now is never taken.
const GONE: u8 = 3;

#[derive(Debug)]
pub(crate) struct Doorbell {
    state: AtomicU8,
    sleeper: OnceLock<Thread>,
    /// The process that the flusher is in.
    origin: Origin,
}

impl Default for Doorbell {
    fn default() -> Self {
        Doorbell { state: AtomicU8::new(AWAKE), sleeper: OnceLock::new(), origin: Origin::here() }
    }
}

impl Doorbell {
    /// After something was published: wakes the flusher if it is in deep sleep. Returns whether there is a flusher at all. On
    /// the span's path.
    #[inline(always)]
    pub(crate) fn published(&self) -> bool {
        // Relaxed: pairs with nothing, as the module's documentation says.
        self.state.load(Ordering::Relaxed) < DEEP || self.wake_or_gone()
    }

    #[cold]
    fn wake_or_gone(&self) -> bool {
        self.ring();
        // Relaxed: nothing is read that was written before it.
        self.state.load(Ordering::Relaxed) != GONE
    }

    /// Whether the flusher is in this process. In one that was forked there is none, and there never will be. A system call.
    pub(crate) fn is_ours(&self) -> bool {
        self.gone_unless(self.origin.is_here())
    }

    /// The same without a system call, for a process that was made by `fork`.
    #[inline]
    pub(super) fn seems_ours(&self) -> bool {
        self.gone_unless(self.origin.seems_here())
    }

    #[inline]
    fn gone_unless(&self, ours: bool) -> bool {
        if !ours {
            self.gone();
        }
        ours
    }

    /// The flusher takes nothing any more.
    pub(crate) fn gone(&self) {
        // Pairs with nothing: who ends a span in the very moment may not see it.
        self.state.store(GONE, Ordering::SeqCst);
    }

    /// Wakes the flusher if it sleeps at all. Of several callers one pays.
    #[cold]
    pub(crate) fn ring(&self) {
        // SeqCst: what was done before ringing, such as a command that was sent, is out before the state is looked at. Pairs with the
        // fence in `sleep`: either the flusher's last look finds it, or the announcement is seen here.
        fence(Ordering::SeqCst);
        // AcqRel: what was done before ringing is seen by the flusher when it finds itself awake, by the Acquire in `sleep`.
        let asleep = |state| matches!(state, NAPPING | DEEP).then_some(AWAKE);
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, asleep).is_ok() {
            if let Some(sleeper) = self.sleeper.get() {
                sleeper.unpark();
            }
        }
    }

    /// Sleeps for `timeout`; only `ring` ends it early, unless it comes just before. Flusher only.
    pub(crate) fn nap(&self, timeout: Duration) {
        self.sleep(NAPPING, timeout, || false);
    }

    /// Sleeps for `timeout` or [`LONGEST_SLEEP`]; the next span ends it. `anything` is asked once more after the
    /// sleep was announced. Flusher only.
    pub(crate) fn deep_sleep(&self, timeout: Duration, anything: impl FnOnce() -> bool) {
        self.sleep(DEEP, timeout.min(LONGEST_SLEEP), anything);
    }

    fn sleep(&self, how: u8, timeout: Duration, anything: impl FnOnce() -> bool) {
        self.sleeper.get_or_init(current);
        // Release: who finds the flusher asleep finds out whom to wake. Pairs with the read-modify-write in `ring`.
        self.state.store(how, Ordering::Release);
        // SeqCst, so that the announcement is out before `anything` looks at the chunks and the commands. Pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the read-modify-write in `ring`; where that came first, there is something to do.
        if !anything() && self.state.load(Ordering::Acquire) == how {
            park_timeout(timeout);
        }
        // Relaxed: says nothing of what was done before it.
        self.state.store(AWAKE, Ordering::Relaxed);
    }
}
