//! What an exporter was given.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A span, or a transaction, as an exporter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    name: String,
    /// The trace and the parent, if there is a parent.
    trace: Option<(String, String)>,
}

impl Seen {
    pub(super) fn new(name: impl Into<String>, trace: Option<(String, String)>) -> Self {
        Seen { name: name.into(), trace }
    }
}

/// Counts what an exporter is given. While it verifies, it keeps it as well.
#[derive(Debug, Default)]
pub(super) struct Exported {
    count: AtomicU64,
    kept: Mutex<Option<Vec<Seen>>>,
}

impl Exported {
    pub(super) fn add(&self, count: u64, look: impl FnOnce() -> Vec<Seen>) {
        self.count.fetch_add(count, Ordering::Relaxed);
        if let Some(kept) = &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            kept.extend(look());
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Keeps what comes from here on.
    pub(super) fn keep(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// What came, and keeps no more.
    pub(super) fn kept(&self) -> Vec<Seen> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}
