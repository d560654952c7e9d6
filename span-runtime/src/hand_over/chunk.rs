//! A block of slots that one thread fills while another empties it. The only unsafe code of the crate, but for one call in `fork.rs`.
#![allow(
    unsafe_code,
    reason = "the hand-over's room: slots are written by one thread and read by another without a lock"
)]

use std::fmt;
use std::mem::MaybeUninit;

use super::sync::{Arc, AtomicU32, Ordering, UnsafeCell};

/// Slots in a chunk. 64 slots of a cache line each are a page: what is lost to a thread that opens a chunk and then
/// never fills it.
///
/// Two in the models, so that these get to the second chunk with few steps.
pub(crate) const CAPACITY: usize = if cfg!(all(loom, test)) { 2 } else { 64 };

/// Set in `published` when the producer will not touch the chunk again.
const CLOSED: u32 = 1 << 31;

const _: () = assert!(CAPACITY.is_power_of_two(), "indexes are masked");

/// A chunk as its two ends have it.
pub(super) type SharedChunk<T> = Arc<Chunk<T>>;

pub(super) struct Chunk<T> {
    /// How many slots the producer has published, and the `CLOSED` bit. Written by the producer, and by `reset`.
    published: AtomicU32,
    /// How many of them the consumer has taken. Written by the consumer, and by `reset`.
    taken: AtomicU32,
    /// `taken..published` are initialised and belong to the consumer; `published..` belong to the producer.
    slots: [UnsafeCell<MaybeUninit<T>>; CAPACITY],
}

// SAFETY: a slot is accessed by the producer before it is published and by the consumer after; the Release store of
// `published` in `publish` and the Acquire load in `take_published` order the two. A chunk gets another producer after
// `is_finished` only, whose Acquire load comes after the last access of the one before, by the Release store in `close`. That there is
// one of each at a time is what `Producer` and `Consumer` see to, which take `&mut self`. Items cross threads, so `T: Send`.
unsafe impl<T: Send> Sync for Chunk<T> {}

impl<T> Chunk<T> {
    pub(super) fn new() -> Self {
        Chunk {
            published: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            slots: std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit())),
        }
    }

    /// Writes an unpublished slot. Producer only.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the mask keeps it within the slots")]
    pub(super) fn write(&self, index: usize, item: T) {
        debug_assert!(index < CAPACITY, "`Reservation` stays below the end of what it reserved");
        // SAFETY: the caller is the chunk's one producer and `index` is not published, as `Reservation` counts from
        // `Producer::written` upwards: nobody else reads or writes this slot. The mask keeps it within the slots, and
        // changes nothing: it spares the panic that would have to drop the item.
        self.slots[index & (CAPACITY - 1)].with_mut(|slot| unsafe {
            (*slot).write(item);
        });
    }

    /// Drops a slot that was written and not published. Producer only.
    #[expect(clippy::indexing_slicing, reason = "it was written, by way of `write`")]
    pub(super) fn unwrite(&self, index: usize) {
        // SAFETY: as in `write`; the slot was initialised by it, which `Reservation` knows from `next`, and it is not dropped
        // again, as the `Reservation` ends with this.
        self.slots[index].with_mut(|slot| unsafe { (*slot).assume_init_drop() });
    }

    /// Publishes the slots below `end`. Producer only.
    #[inline]
    pub(super) fn publish(&self, end: usize) {
        // Release: the slots' contents before their number. Pairs with the Acquire in `take_published`.
        // `end` is at most CAPACITY, which is far below the CLOSED bit.
        self.published.store(end as u32, Ordering::Release);
    }

    /// Says that the producer will not touch this chunk again.
    pub(super) fn close(&self) {
        // Only the producer writes `published`, so its own value may be read relaxed. Release: this is the
        // producer's last access, and `is_finished` (Acquire) lets the consumer reset the chunk after it.
        let published = self.published.load(Ordering::Relaxed);
        self.published.store(published | CLOSED, Ordering::Release);
    }

    /// Takes every published item. Consumer only.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "below `published`, which is at most CAPACITY")]
    pub(super) fn take_published(&self, mut take: impl FnMut(T)) -> usize {
        let taken = self.taken.load(Ordering::Relaxed); // written by this thread only
        // Acquire: pairs with the Release in `publish`, and in `close`, which may be what is read.
        let published = self.published.load(Ordering::Acquire) & !CLOSED;
        for index in taken..published {
            // SAFETY: the slot is below `published`, so the producer initialised it and will not touch it again; it
            // is not below `taken`, so it was not taken before. The caller is the one `Consumer`, or the last owner of the
            // chunk, who drops it.
            let item = self.slots[index as usize].with_mut(|slot| unsafe { (*slot).assume_init_read() });
            // Before the call: should `take` unwind, the item is not taken a second time.
            self.taken.store(index + 1, Ordering::Relaxed);
            take(item);
        }
        (published - taken) as usize
    }

    /// Whether there is something to take. Consumer only.
    pub(super) fn has_untaken(&self) -> bool {
        // Acquire: pairs with the Release in `publish`. `taken` was written by this thread only.
        self.published.load(Ordering::Acquire) & !CLOSED != self.taken.load(Ordering::Relaxed)
    }

    /// Whether the producer is done with this chunk and everything in it was taken. Consumer only.
    pub(super) fn is_finished(&self) -> bool {
        // Acquire: pairs with the Release in `close`, so that `reset` comes after the producer's last access.
        let published = self.published.load(Ordering::Acquire);
        // `taken` was written by this thread only.
        published & CLOSED != 0 && published & !CLOSED == self.taken.load(Ordering::Relaxed)
    }

    /// Makes a finished chunk as good as new. Consumer only; the pool's channel orders it before the next producer.
    pub(super) fn reset(&self) {
        // Relaxed: by that channel's send and receive.
        self.taken.store(0, Ordering::Relaxed);
        self.published.store(0, Ordering::Relaxed);
    }
}

impl<T> Drop for Chunk<T> {
    fn drop(&mut self) {
        // What the other end did comes before, by the shared pointer's count.
        self.take_published(drop);
    }
}

impl<T> fmt::Debug for Chunk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("published", &self.published).field("taken", &self.taken).finish_non_exhaustive()
    }
}
