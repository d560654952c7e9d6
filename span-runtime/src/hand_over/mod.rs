//! The hand-over: how what a thread has finished reaches the flusher, without a lock on either side.
//!
//! # Shape
//!
//! A [`Producer`] belongs to one thread and writes items into its *open chunk*, a block of
//! [`chunk::CAPACITY`] slots. The moment a chunk is opened it goes, as a shared pointer, through a bounded
//! crossbeam channel, *the ring*, to the one [`Consumer`]; so the consumer knows of every chunk
//! before anything is in it, and takes what has been published while the chunk is still being
//! filled. A span on a thread that then goes idle is therefore visible at once, with no swap and no
//! timer on the thread's side. A chunk that is full (or whose thread ended) is closed; once the
//! consumer has taken its last item it goes back, empty, through a second crossbeam channel, *the
//! pool*.
//!
//! # Invariants
//!
//! 1. **One writer, one reader.** A chunk has one producer from the moment it is opened until it is
//!    closed, and one consumer until it is recycled. The producer never touches a chunk that it closed.
//! 2. **Published before read.** Slots `taken..published` are initialised, all others are not.
//!    `published` is written by the producer only (Release, after the slots), `taken` by the
//!    consumer only.
//! 3. **Known before used.** A chunk is in the ring before its first item is published. So whatever
//!    was published before a drain began is seen by that drain: the ground under `flush`.
//! 4. **Bounded.** Chunks exist only within the [`Budget`], and the ring and the pool each have room for
//!    every chunk that the budget allows: handing over never fails for want of room in a channel.
//!
//! Order within a producer is kept; between producers there is none.

mod budget;
mod chunk;
mod doorbell;
mod fork;
#[cfg(all(loom, test))]
mod models;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::sync::Arc;

pub(crate) use budget::Budget;
pub(crate) use chunk::CAPACITY;
use chunk::{Chunk, SharedChunk};
pub(crate) use doorbell::Doorbell;
use sync::{Receiver, Sender, TrySendError, bounded};

/// How many empty chunks the pool keeps while there is work: 4 MB, enough for 60,000 spans between two naps of the
/// flusher. What is beyond goes back to the allocator, and to the budget. A chunk that was freed costs its next user a
/// page fault.
const KEEP_FREE: usize = 1024;

/// How many it keeps when there is none.
const KEEP_FREE_IDLE: usize = 32;

/// Makes the two ends: a factory for producers, and the one consumer.
pub(crate) fn hand_over<T, C>(budget: Arc<Budget>, doorbell: Arc<Doorbell>) -> (Source<T>, Consumer<T, C>) {
    let most_chunks = (budget.limit() / size_of::<Chunk<T>>()).max(1);
    let (ring_in, ring_out) = bounded(most_chunks);
    let (pool_in, pool_out) = bounded(most_chunks);
    let source = Source { ring: ring_in, pool: pool_out, budget: Arc::clone(&budget), doorbell };
    let consumer = Consumer {
        doorbell: Arc::clone(&source.doorbell),
        ring: ring_out,
        pool: pool_in,
        pooled: source.pool.clone(),
        chunks_a_breath: (most_chunks / 128).clamp(1, MOST_CHUNKS_A_BREATH),
        budget,
        live: Vec::new(),
    };
    (source, consumer)
}

/// Makes producers; one is kept by the runtime, each thread gets its own producer from it.
pub(crate) struct Source<T> {
    ring: Sender<SharedChunk<T>>,
    pool: Receiver<SharedChunk<T>>,
    budget: Arc<Budget>,
    doorbell: Arc<Doorbell>,
}

impl<T> Source<T> {
    /// A producer for one thread. It opens its first chunk when it is first used.
    pub(crate) fn producer(&self) -> Producer<T> {
        Producer {
            open: None,
            written: 0,
            ring: self.ring.clone(),
            pool: self.pool.clone(),
            budget: Arc::clone(&self.budget),
            doorbell: Arc::clone(&self.doorbell),
        }
    }
}

impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("in_ring", &self.ring.len()).field("in_pool", &self.pool.len()).finish()
    }
}

/// The writing end of one thread.
pub(crate) struct Producer<T> {
    open: Option<SharedChunk<T>>,
    /// The open chunk's `published`, kept here so that the hot path does not read the shared cell.
    written: usize,
    ring: Sender<SharedChunk<T>>,
    pool: Receiver<SharedChunk<T>>,
    budget: Arc<Budget>,
    doorbell: Arc<Doorbell>,
}

/// Why there was no room for what a thread wanted to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The byte budget is spent.
    Full,
    /// The consumer is gone, or in another process.
    Closed,
}

impl<T> Producer<T> {
    /// Reserves room for `count` items side by side, at most [`CAPACITY`]. Nothing is seen by the consumer until
    /// [`Reservation::publish`]; a reservation that is dropped instead drops what was written.
    ///
    /// # Errors
    ///
    /// When a chunk is needed and the budget has no room for one, or the consumer is gone.
    #[inline]
    pub(crate) fn reserve(&mut self, count: usize) -> Result<Reservation<'_, T>, NoRoom> {
        if !self.fits(count) {
            self.open_another(count)?;
        }
        match &self.open {
            Some(chunk) => {
                let start = self.written;
                Ok(Reservation {
                    chunk,
                    start,
                    next: start,
                    end: start + count,
                    written: &mut self.written,
                    doorbell: &self.doorbell,
                })
            }
            None => Err(NoRoom::Closed),
        }
    }

    /// Whether the open chunk has room for `count` items. If not, the next reservation starts a new chunk.
    #[inline(always)]
    pub(crate) fn fits(&self, count: usize) -> bool {
        self.open.is_some() && self.written + count <= CAPACITY
    }

    /// Writes and publishes a single item, for which the caller has seen that there is [room](Self::fits). False if
    /// nobody will take it.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) -> bool {
        match &self.open {
            Some(chunk) => {
                debug_assert!(self.written < CAPACITY, "the caller has seen that it fits");
                chunk.write(self.written, item);
                self.written += 1;
                chunk.publish(self.written);
                self.doorbell.published()
            }
            // `fits` is false without an open chunk. The item is forgotten rather than dropped: a drop would want its
            // address, and so keep the item in memory on the way to its slot.
            None => {
                debug_assert!(false, "the caller has seen that it fits");
                std::mem::forget(item);
                false
            }
        }
    }

    /// Writes an item with one ahead of it, perhaps, and those that belong behind it, for which the caller has seen that there is
    /// [room](Self::fits), and publishes them together. False if nobody will take them.
    #[inline(always)]
    pub(crate) fn push_all(&mut self, ahead: Option<T>, item: T, behind: impl Iterator<Item = T>) -> bool {
        let Some(chunk) = &self.open else {
            debug_assert!(false, "the caller has seen that they fit");
            // As in `push`.
            std::mem::forget((ahead, item));
            return false;
        };
        let mut next = self.written;
        if let Some(ahead) = ahead {
            chunk.write(next, ahead);
            next += 1;
        }
        chunk.write(next, item);
        next += 1;
        for item in behind {
            debug_assert!(next < CAPACITY, "the caller has seen that they fit");
            // No branch: one would keep the item in memory, to be dropped on the other side of it. What is too much would take the place of
            // the last.
            chunk.write(next.min(CAPACITY - 1), item);
            next = (next + 1).min(CAPACITY);
        }
        self.written = next;
        chunk.publish(next);
        self.doorbell.published()
    }

    #[cold]
    fn open_another(&mut self, count: usize) -> Result<(), NoRoom> {
        debug_assert!(count <= CAPACITY, "a group of {count} items can never fit into a chunk of {CAPACITY}");
        if count > CAPACITY {
            return Err(NoRoom::Full);
        }
        // Before the channels: what one of the other threads was doing to them at the fork is never done.
        if !self.doorbell.seems_ours() {
            return Err(NoRoom::Closed);
        }
        let chunk = match self.pool.try_recv() {
            Ok(chunk) => chunk,
            Err(_) if self.budget.try_take(size_of::<Chunk<T>>()) => SharedChunk::new(Chunk::new()),
            Err(_) => {
                self.doorbell.ring();
                return Err(NoRoom::Full);
            }
        };
        // Invariant 3: the consumer is told before the first item is in.
        match self.ring.try_send(SharedChunk::clone(&chunk)) {
            Ok(()) => {}
            // Invariant 4 says that this cannot be; if it is, nothing was written yet and the chunk is dropped.
            Err(TrySendError::Full(_)) => {
                self.budget.give_back(size_of::<Chunk<T>>());
                return Err(NoRoom::Full);
            }
            Err(TrySendError::Disconnected(_)) => {
                self.budget.give_back(size_of::<Chunk<T>>());
                return Err(NoRoom::Closed);
            }
        }
        self.close_open();
        self.open = Some(chunk);
        self.written = 0;
        if self.budget.is_tight() {
            self.doorbell.ring();
        }
        Ok(())
    }

    fn close_open(&mut self) {
        if let Some(chunk) = self.open.take() {
            chunk.close();
        }
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.close_open();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("written", &self.written).finish_non_exhaustive()
    }
}

/// Room for a group of items that the consumer will see together.
#[derive(Debug)]
pub(crate) struct Reservation<'a, T> {
    chunk: &'a SharedChunk<T>,
    start: usize,
    next: usize,
    /// At most `CAPACITY`.
    end: usize,
    written: &'a mut usize,
    doorbell: &'a Doorbell,
}

impl<T> Reservation<'_, T> {
    /// Writes the next item of the group. Callers count first.
    ///
    /// # Panics
    ///
    /// With debug assertions, when more is written than was reserved. Without, such an item takes the place of the last.
    #[inline(always)]
    pub(crate) fn write(&mut self, item: T) {
        debug_assert!(self.next < self.end, "more items are written than were reserved");
        // No branch: one would keep the item in memory, to be dropped on the other side of it.
        self.chunk.write(self.next.min(self.end - 1), item);
        self.next = (self.next + 1).min(self.end);
    }

    /// Shows the group to the consumer, and wakes it if it is in deep sleep. False if nobody will take it.
    #[inline]
    pub(crate) fn publish(self) -> bool {
        let end = self.next;
        *self.written = end;
        self.chunk.publish(end);
        let doorbell = self.doorbell;
        std::mem::forget(self);
        doorbell.published()
    }
}

impl<T> Drop for Reservation<'_, T> {
    fn drop(&mut self) {
        for index in self.start..self.next {
            self.chunk.unwrite(index);
        }
    }
}

/// The reading end; there is one.
pub(crate) struct Consumer<T, C> {
    doorbell: Arc<Doorbell>,
    ring: Receiver<SharedChunk<T>>,
    pool: Sender<SharedChunk<T>>,
    pooled: Receiver<SharedChunk<T>>,
    budget: Arc<Budget>,
    /// How many chunks a drain takes before it lets the sink make room: a small part of the bound.
    chunks_a_breath: usize,
    live: Vec<(SharedChunk<T>, C)>,
}

/// Where a drain puts what it takes.
pub(crate) trait Sink<T, C> {
    /// Takes an item. `context` starts at its default in each chunk and is kept from item to item of it.
    fn take(&mut self, context: &mut C, item: T);

    /// Is called every few chunks: the memory of those is free again, what was taken from them is not.
    fn breathe(&mut self) {}
}

/// The most chunks that a drain takes before it lets the sink make room. With a small bound it is less: 64 spans of as many traces take nine
/// times as much where they wait as in their chunk.
const MOST_CHUNKS_A_BREATH: usize = 16;

impl<T, C: Default> Consumer<T, C> {
    /// Takes everything that was published before the call, and returns how many items that were.
    pub(crate) fn drain(&mut self, sink: &mut impl Sink<T, C>) -> usize {
        while let Ok(chunk) = self.ring.try_recv() {
            self.live.push((chunk, C::default()));
        }
        let (pool, budget, chunks_a_breath) = (&self.pool, &self.budget, self.chunks_a_breath);
        let (mut count, mut chunks) = (0, 0);
        self.live.retain_mut(|(chunk, context)| {
            count += chunk.take_published(|item| sink.take(context, item));
            let finished = chunk.is_finished();
            if finished {
                recycle(pool, budget, chunk);
                chunks += 1;
                if chunks % chunks_a_breath == 0 {
                    sink.breathe();
                }
            }
            !finished
        });
        count
    }
}

impl<T, C> Consumer<T, C> {
    /// Gives back most of what is pooled. For when nothing has come for a while.
    pub(crate) fn trim(&self) {
        while self.pooled.len() > KEEP_FREE_IDLE && self.pooled.try_recv().is_ok() {
            self.budget.give_back(size_of::<Chunk<T>>());
        }
    }

    /// Whether a drain would take something.
    pub(crate) fn has_any(&self) -> bool {
        !self.ring.is_empty() || self.live.iter().any(|(chunk, _)| chunk.has_untaken())
    }
}

/// Puts an emptied chunk into the pool, or gives its memory back when the pool has enough.
fn recycle<T>(pool: &Sender<SharedChunk<T>>, budget: &Budget, chunk: &SharedChunk<T>) {
    if pool.len() < KEEP_FREE && !budget.is_tight() {
        chunk.reset();
        if pool.try_send(SharedChunk::clone(chunk)).is_ok() {
            return;
        }
    }
    budget.give_back(size_of::<Chunk<T>>());
}

impl<T, C> Drop for Consumer<T, C> {
    fn drop(&mut self) {
        self.doorbell.gone();
    }
}

impl<T, C> fmt::Debug for Consumer<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("live", &self.live.len()).finish_non_exhaustive()
    }
}
