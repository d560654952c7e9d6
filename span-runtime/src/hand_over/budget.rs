//! The byte bound for everything between a span's end and the socket.

use super::sync::{AtomicUsize, Ordering};

/// Counts bytes against a limit. Shared by the hand-over, the flusher's buckets and the transport's queue, so that a
/// burst may use all of it, wherever it stands at the moment.
///
/// It is a count and orders nothing else, so every access is relaxed; additions are read-modify-writes, of which none is lost.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget { used: AtomicUsize::new(0), limit }
    }

    /// The bound in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes taken at the moment.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for a thread that ends spans, if they are to be had: an eighth of the limit stays with the flusher,
    /// which for a moment has twice what it is moving.
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit - self.limit / 8;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// Takes `bytes` whether or not they fit: for the flusher, which makes room right after.
    pub(crate) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Above three quarters: the flusher drops whole traces until it is below, so that the threads which end spans
    /// find room.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit / 4 * 3
    }

    /// Above a quarter: worth waking the flusher before its nap is over.
    pub(crate) fn is_tight(&self) -> bool {
        self.used() > self.limit / 4
    }
}
