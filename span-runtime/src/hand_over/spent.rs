//! The way back: what the consumer is through with, to be used again by the threads that it came from.
//!
//! Memory that one thread gets from the allocator and another gives back is dear to both. So it goes back here, by the magazine, through a
//! bounded channel; what finds no room is dropped. It is never waited for: a thread that finds no magazine makes what it needs.
//!
//! Invariant: what is on this way belongs to nobody else, and holds nothing of what it was used for.

use std::fmt;
use std::mem;
use std::sync::Arc;

use super::Doorbell;
use super::sync::{Receiver, Sender, bounded};

/// How many things go back at once, so that the channel costs a small part of what each saves. A thread that goes idle keeps no more.
pub(crate) const MAGAZINE: usize = 16;

/// The most magazines on the way.
const MOST: usize = 256;

/// The two ends. All magazines together have no more than so many things.
pub(crate) fn way_back<T>(most: usize, doorbell: Arc<Doorbell>) -> (Spent<T>, Again<T>) {
    let (give, take) = bounded((most / MAGAZINE).clamp(1, MOST));
    let again = Again { take: take.clone(), doorbell };
    (Spent { give, take, filling: Vec::new() }, again)
}

/// The consumer's end.
pub(crate) struct Spent<T> {
    give: Sender<Vec<T>>,
    /// What is on the way goes with this end: it may lead back to who has the other.
    take: Receiver<Vec<T>>,
    filling: Vec<T>,
}

impl<T> Spent<T> {
    /// Sends something back.
    pub(crate) fn give(&mut self, thing: T) {
        if self.filling.len() >= MAGAZINE {
            let full = mem::replace(&mut self.filling, Vec::with_capacity(MAGAZINE));
            // Without room they are dropped.
            drop(self.give.try_send(full));
        }
        self.filling.push(thing);
    }

    /// Drops what is on the way. For when nobody has taken any for a while.
    pub(crate) fn trim(&mut self) {
        self.filling = Vec::new();
        while self.take.try_recv().is_ok() {}
    }
}

impl<T> Drop for Spent<T> {
    fn drop(&mut self) {
        self.trim();
    }
}

impl<T> fmt::Debug for Spent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spent").field("filling", &self.filling.len()).finish_non_exhaustive()
    }
}

/// The end that the threads share.
pub(crate) struct Again<T> {
    take: Receiver<Vec<T>>,
    doorbell: Arc<Doorbell>,
}

impl<T> Again<T> {
    /// A magazine, if one is there.
    pub(crate) fn take(&self) -> Option<Vec<T>> {
        // Before the channel: what one of the other threads was doing to it at a fork is never done.
        if !self.doorbell.seems_ours() {
            return None;
        }
        self.take.try_recv().ok()
    }
}

impl<T> fmt::Debug for Again<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn things_come_back_by_the_magazine_and_what_finds_no_room_is_dropped() {
        let (mut spent, again) = way_back(2 * MAGAZINE, Arc::default());
        let thing = Arc::new(());
        for _ in 0..=MAGAZINE {
            assert!(again.take().is_none(), "no magazine is full yet");
            spent.give(Arc::clone(&thing));
        }
        assert_eq!(again.take().map(|things| things.len()), Some(MAGAZINE));
        for _ in 0..10 * MAGAZINE {
            spent.give(Arc::clone(&thing));
        }
        assert!(Arc::strong_count(&thing) <= 1 + 3 * MAGAZINE, "two are on the way, and one is filled");
        spent.trim();
        assert_eq!(Arc::strong_count(&thing), 1);
        assert!(again.take().is_none());
    }

    /// Whoever has the other end may keep this one from going.
    #[test]
    fn what_is_on_the_way_goes_with_the_consumer() {
        let (mut spent, again) = way_back(MAGAZINE, Arc::default());
        let thing = Arc::new(());
        (0..=MAGAZINE).for_each(|_| spent.give(Arc::clone(&thing)));
        drop(spent);
        assert_eq!(Arc::strong_count(&thing), 1);
        assert!(again.take().is_none());
    }
}
