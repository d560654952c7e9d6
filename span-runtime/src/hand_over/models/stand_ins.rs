//! What stands in for the standard library and for crossbeam in a model.
//!
//! # The channel
//!
//! crossbeam's channel is not built for loom, so a queue with the same contract takes its place. It promises no more than the
//! real one: all operations have one order, each sees what those before it did to the queue, and what a sender did before it sent
//! a message is seen by who receives that message. A mutex around the queue would promise far more, namely that whoever asks whether it is
//! empty sees all that any sender did before, and would hide missing fences elsewhere. So the queue is in a mutex that loom does not
//! know of, behind a counter that it does, by which it tries the orders; and each message carries the one ordering that is promised.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc as StdArc, Mutex, MutexGuard, OnceLock as StdOnceLock, PoisonError};
use std::time::Duration;

use loom::sync::atomic::AtomicBool;

pub(crate) use crossbeam_channel::{TryRecvError, TrySendError};
pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};

loom::thread_local! {
    static CURRENT: Thread = Thread(StdArc::default());
}

/// A thread as one that can be woken. loom's own shows the sleeper at once what its waker did, and not when the sleep ends.
#[derive(Debug, Clone)]
pub(crate) struct Thread(StdArc<Parker>);

#[derive(Debug, Default)]
struct Parker {
    woken: loom::sync::Mutex<bool>,
    wake: loom::sync::Condvar,
}

impl Thread {
    pub(crate) fn unpark(&self) {
        *self.0.woken.lock().expect("nobody panics with it") = true;
        self.0.wake.notify_one();
    }
}

pub(crate) fn current() -> Thread {
    CURRENT.with(Thread::clone)
}

/// There is no time in a model: nothing but `unpark` ends this.
pub(crate) fn park_timeout(_timeout: Duration) {
    let Parker { woken, wake } = &*current().0;
    let mut woken = woken.lock().expect("nobody panics with it");
    while !*woken {
        woken = wake.wait(woken).expect("nobody panics with it");
    }
    *woken = false;
}

/// The standard library's, for a value that one thread sets and others look for.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    is_set: AtomicBool,
    value: StdOnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        OnceLock { is_set: AtomicBool::new(false), value: StdOnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.is_set.load(Ordering::Acquire).then(|| self.value.get()).flatten()
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        let value = self.value.get_or_init(init);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    // One for each message that there is room for, and one for each that somebody is about to send.
    let stamps = room + loom::MAX_THREADS;
    let channel = StdArc::new(Channel {
        turn: AtomicUsize::new(0),
        stamps: (0..stamps).map(|_| AtomicBool::new(false)).collect(),
        queue: Mutex::new(Queue { messages: VecDeque::new(), room, receivers: 1, free: (0..stamps).collect() }),
    });
    (Sender(StdArc::clone(&channel)), Receiver(channel))
}

struct Channel<T> {
    turn: AtomicUsize,
    /// By these what a sender did gets to who receives its message. Made with the channel, as loom lets nobody touch an atomic who
    /// may not know yet that it was made.
    stamps: Vec<AtomicBool>,
    queue: Mutex<Queue<T>>,
}

struct Queue<T> {
    messages: VecDeque<Message<T>>,
    room: usize,
    receivers: usize,
    /// Stamps that no message has.
    free: Vec<usize>,
}

struct Message<T> {
    stamp: usize,
    item: T,
}

impl<T> Channel<T> {
    /// Waits for its turn, which is where loom may let another thread go first, and locks the queue. Nothing that loom knows of may
    /// happen before it is unlocked; so no message is dropped in between.
    fn turn(&self) -> MutexGuard<'_, Queue<T>> {
        // Relaxed: a place in the order and nothing else.
        self.turn.fetch_add(1, Ordering::Relaxed);
        self.queue()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Sender<T>(StdArc<Channel<T>>);

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let stamp = self.0.queue().free.pop().expect("there is one for each thread");
        // Release: pairs with the Acquire in `try_recv`. Read-modify-writes both, which see the last value.
        assert!(!self.0.stamps[stamp].swap(true, Ordering::Release), "the stamp was free");
        let message = Message { stamp, item };
        let mut queue = self.0.turn();
        let refused = if queue.receivers == 0 {
            TrySendError::Disconnected(message.item)
        } else if queue.messages.len() == queue.room {
            TrySendError::Full(message.item)
        } else {
            queue.messages.push_back(message);
            return Ok(());
        };
        drop(queue);
        self.0.stamps[stamp].swap(false, Ordering::Relaxed);
        self.0.queue().free.push(stamp);
        Err(refused)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.turn().messages.len()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(StdArc::clone(&self.0))
    }
}

pub(crate) struct Receiver<T>(StdArc<Channel<T>>);

impl<T> Receiver<T> {
    /// That all senders are gone is not told: nobody asks for it.
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let message = self.0.turn().messages.pop_front();
        let Message { stamp, item } = message.ok_or(TryRecvError::Empty)?;
        // Acquire: pairs with the Release in `try_send`.
        assert!(self.0.stamps[stamp].swap(false, Ordering::Acquire), "a message is received once");
        self.0.queue().free.push(stamp);
        Ok(item)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.turn().messages.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.queue().receivers += 1;
        Receiver(StdArc::clone(&self.0))
    }
}

/// The last one takes along what nobody will receive now.
impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // A model that has failed goes no further.
        let mut queue = if std::thread::panicking() { self.0.queue() } else { self.0.turn() };
        queue.receivers -= 1;
        let left = if queue.receivers == 0 { std::mem::take(&mut queue.messages) } else { VecDeque::new() };
        drop(queue);
        drop(left);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
