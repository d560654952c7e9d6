//! Whether this is still the process in which something was made, or a child that was forked from it.
//!
//! The process id says it, by a system call of 100 ns. So that threads can ask each time they open a chunk, forks are counted as well: in the
//! child, by what `pthread_atfork` calls there before `fork` returns.
//!
//! Invariant: where the count says "another process", it is one. The opposite holds for `fork`, and not for ways to make a process that run no
//! handlers, such as `_Fork` or a bare `clone`; the id knows of these too.
#![allow(unsafe_code, reason = "one call of C's, which the standard library has no name for")]

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks there are between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub(super) struct Origin {
    id: u32,
    /// What [`FORKS`] was, if it counts.
    forks: Option<u32>,
}

impl Origin {
    /// This process.
    pub(super) fn here() -> Self {
        Origin { id: process::id(), forks: count_forks().then(|| FORKS.load(Ordering::Relaxed)) }
    }

    /// Whether this is still the process. A system call.
    pub(super) fn is_here(&self) -> bool {
        process::id() == self.id
    }

    /// The same by the count, where there is one.
    #[inline]
    pub(super) fn seems_here(&self) -> bool {
        match self.forks {
            // Relaxed: in the child there is one thread, the one that counted.
            Some(forks) => FORKS.load(Ordering::Relaxed) == forks,
            None => self.is_here(),
        }
    }
}

#[cfg(all(unix, not(miri)))]
extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Has forks counted from here on. False if that cannot be.
#[cfg(all(unix, not(miri)))]
fn count_forks() -> bool {
    use std::sync::OnceLock;

    type Handler = Option<extern "C" fn()>;
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> i32;
    }
    static COUNTS: OnceLock<bool> = OnceLock::new();
    // SAFETY: the declaration is POSIX's. The handler lives as long as this code is loaded (a library that is unloaded has its handlers
    // taken out by the C library), and does what may be done in a child of a process with threads: it adds to a number, without a lock, an
    // allocation or a panic.
    *COUNTS.get_or_init(|| unsafe { pthread_atfork(None, None, Some(forked)) } == 0)
}

#[cfg(not(all(unix, not(miri))))]
fn count_forks() -> bool {
    false
}
