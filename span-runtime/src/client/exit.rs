//! The exit hook: what finished goes out also where the process ends by `exit`, or by a return from `main`, and the guard is still
//! there. (behaviour 47)
//!
//! It runs on the thread that calls `exit`, when that thread's own thread-local values are gone, while all other threads go on. So it
//! waits without anything that is thread-local, blocks on no lock, and has no code of the user's called on its thread.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};

use super::init::{MARGIN, give};
use super::{Core, fork};
use crate::context;
use crate::flusher::Command;

/// Runtimes whose guard has not ended them yet: the installed one, and one that is just being closed.
static WATCHED: Mutex<Vec<Arc<Core>>> = Mutex::new(Vec::new());

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Has a runtime closed when the process ends, unless it is before.
pub(super) fn watch(core: &Arc<Core>) {
    if !core.settings.exit_hook {
        return;
    }
    if let Some(mut watched) = fork::lock(&WATCHED) {
        watched.push(Arc::clone(core));
    }
    // Once: a child that was forked has its parent's registrations.
    if !REGISTERED.swap(true, Ordering::Relaxed) && !shutdown_hooks::add_shutdown_hook(at_exit) {
        core.tell(format_args!("the exit hook could not be registered"));
    }
}

/// It has been closed.
pub(super) fn unwatch(core: &Arc<Core>) {
    let removed = fork::lock(&WATCHED).and_then(|mut watched| {
        let at = watched.iter().position(|watched| Arc::ptr_eq(watched, core))?;
        Some(watched.swap_remove(at))
    });
    drop(removed);
}

extern "C" fn at_exit() {
    // Nothing in there panics. If it did, the process would abort, in place of the end that it was to come to.
    let _ = catch_unwind(close_all);
}

fn close_all() {
    // The thread of a runtime would be waiting for itself. In a child there is nobody who could answer.
    if context::is_ours() {
        return;
    }
    let watched = fork::lock_soon(&WATCHED).map(|watched| watched.clone()).unwrap_or_default();
    let closing = watched.iter().filter(|core| core.is_ours()).map(|core| {
        core.close();
        let timeout = core.settings.shutdown_timeout;
        give(core, timeout, Command::Close)
    });
    // All of them first, so that they close side by side.
    for (deadline, answer) in closing.collect::<Vec<_>>().into_iter().flatten() {
        poll(&answer, deadline.checked_add(MARGIN).unwrap_or(deadline));
    }
}

/// Waits for an answer without what the channel keeps for a thread, which is gone. False if none has come by the deadline.
pub(super) fn poll(answer: &Receiver<bool>, deadline: Instant) -> bool {
    loop {
        match answer.try_recv() {
            Ok(sent) => return sent,
            Err(TryRecvError::Disconnected) => return false,
            Err(TryRecvError::Empty) if Instant::now() >= deadline => return false,
            Err(TryRecvError::Empty) => thread::sleep(Duration::from_millis(1)),
        }
    }
}
