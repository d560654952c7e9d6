//! What a process has to mind that was forked from another: it has all of that one's memory, and none of its threads but one.
//!
//! A lock that another thread held at that moment is never given back. Such a moment is rare, since no lock of this crate is held for
//! longer than it takes to copy or count something; but a child that waits for ever is worse than one that goes without. So locks
//! that may be wanted in a child are taken here. In a process that was not forked, all this is is the lock.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LockResult, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread;
use std::time::Duration;

/// The process that made the first runtime; 0 before.
static HOME: AtomicU32 = AtomicU32::new(0);

/// How often a child looks whether one of its own threads has given a lock back, with a pause of a millisecond.
const PATIENCE: u32 = 100;

/// To be called before there is a runtime, and so a thread that could hold a lock at a fork.
pub(super) fn settle() {
    // Relaxed: a child sees what its parent's thread saw.
    let _ = HOME.compare_exchange(0, process::id(), Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether this process was forked from one that had a runtime, however long ago.
fn is_child() -> bool {
    let home = HOME.load(Ordering::Relaxed);
    home != 0 && home != process::id()
}

/// Locks; `None` if the lock was held when this process was forked.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    take(|| mutex.try_lock(), || mutex.lock())
}

/// As [`lock`].
pub(super) fn read<T: ?Sized>(lock: &RwLock<T>) -> Option<RwLockReadGuard<'_, T>> {
    take(|| lock.try_read(), || lock.read())
}

/// As [`lock`].
pub(super) fn write<T: ?Sized>(lock: &RwLock<T>) -> Option<RwLockWriteGuard<'_, T>> {
    take(|| lock.try_write(), || lock.write())
}

/// As [`lock`], and `None` also where somebody holds it for longer than anybody does: for the exit hook, which may find any thread stopped
/// anywhere.
pub(super) fn lock_soon<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let attempt = || mutex.try_lock();
    attempt_now(&attempt).or_else(|| attempt_for_a_while(&attempt))
}

fn take<G>(attempt: impl Fn() -> Result<G, TryLockError<G>>, wait: impl FnOnce() -> LockResult<G>) -> Option<G> {
    attempt_now(&attempt).or_else(|| {
        if is_child() { attempt_for_a_while(&attempt) } else { Some(wait().unwrap_or_else(PoisonError::into_inner)) }
    })
}

fn attempt_now<G>(attempt: &impl Fn() -> Result<G, TryLockError<G>>) -> Option<G> {
    match attempt() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cold]
fn attempt_for_a_while<G>(attempt: &impl Fn() -> Result<G, TryLockError<G>>) -> Option<G> {
    (0..PATIENCE).find_map(|_| {
        thread::sleep(Duration::from_millis(1));
        attempt_now(attempt)
    })
}
