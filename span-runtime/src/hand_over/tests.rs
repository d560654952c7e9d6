use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// How much less is done under Miri, which takes a thousand times as long and looks at each access.
const SHARE: usize = if cfg!(miri) { 10 } else { 1 };

fn ends<T>(bytes: usize) -> (Source<T>, Consumer<T, usize>, Arc<Budget>) {
    let budget = Arc::new(Budget::new(bytes));
    let (source, consumer) = hand_over(Arc::clone(&budget), Arc::default());
    (source, consumer, budget)
}

fn push<T>(producer: &mut Producer<T>, items: impl IntoIterator<Item = T>) -> Result<(), NoRoom> {
    let items: Vec<T> = items.into_iter().collect();
    let mut room = producer.reserve(items.len())?;
    for item in items {
        room.write(item);
    }
    if room.publish() { Ok(()) } else { Err(NoRoom::Closed) }
}

impl<T, C, F: FnMut(&mut C, T)> Sink<T, C> for F {
    fn take(&mut self, context: &mut C, item: T) {
        self(context, item);
    }
}

fn drained<T>(consumer: &mut Consumer<T, usize>) -> Vec<T> {
    let mut items = Vec::new();
    consumer.drain(&mut |_: &mut usize, item| items.push(item));
    items
}

#[test]
fn what_is_published_is_seen_while_the_chunk_is_open() {
    let (source, mut consumer, _) = ends(1 << 20);
    let mut producer = source.producer();
    push(&mut producer, [1, 2]).expect("room");
    assert!(consumer.has_any());
    assert_eq!(drained(&mut consumer), [1, 2]);
    assert!(!consumer.has_any());
    push(&mut producer, [3]).expect("room");
    assert_eq!(drained(&mut consumer), [3]);
}

#[test]
fn what_is_reserved_and_not_published_is_not_seen_and_not_leaked() {
    let (source, mut consumer, _) = ends(1 << 20);
    let mut producer = source.producer();
    let item = Arc::new(());
    {
        let mut room = producer.reserve(2).expect("room");
        room.write(Arc::clone(&item));
    }
    assert_eq!(Arc::strong_count(&item), 1);
    assert!(drained(&mut consumer).is_empty());
    push(&mut producer, [Arc::clone(&item)]).expect("room");
    assert_eq!(drained(&mut consumer).len(), 1);
}

#[test]
fn a_group_is_never_split_and_order_is_kept() {
    let (source, mut consumer, _) = ends(8 << 20);
    let mut producer = source.producer();
    let mut expected = Vec::new();
    for group in 0..1000 / SHARE {
        let items: Vec<(usize, usize)> = (0..=group % CAPACITY).map(|at| (group, at)).collect();
        expected.extend(items.iter().copied());
        push(&mut producer, items).expect("room");
    }
    assert_eq!(drained(&mut consumer), expected);
}

#[test]
fn the_context_starts_anew_in_each_chunk_and_stays_between_drains() {
    let (source, mut consumer, _) = ends(1 << 20);
    let mut producer = source.producer();
    let mut seen = Vec::new();
    for item in 0..CAPACITY + 3 {
        push(&mut producer, [item]).expect("room");
        consumer.drain(&mut |count: &mut usize, _| {
            *count += 1;
            seen.push(*count);
        });
    }
    let expected: Vec<usize> = (1..=CAPACITY).chain(1..=3).collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_budget_bounds_it_and_is_given_back() {
    let chunk = size_of::<chunk::Chunk<u64>>();
    // An eighth stays with the flusher, so three of four.
    let (source, mut consumer, budget) = ends::<u64>(chunk * 4);
    let mut producer = source.producer();
    let mut accepted = 0;
    while push(&mut producer, [7]).is_ok() {
        accepted += 1;
        assert!(accepted <= 3 * CAPACITY, "the bound holds");
    }
    assert_eq!(accepted, 3 * CAPACITY);
    assert_eq!(push(&mut producer, [7]), Err(NoRoom::Full));
    assert_eq!(drained(&mut consumer).len(), accepted);
    push(&mut producer, [8]).expect("there is room again");
    drop(producer);
    assert_eq!(drained(&mut consumer), [8]);
    assert!(budget.used() <= chunk * 3, "{}", budget.used());
}

#[test]
fn nothing_is_accepted_after_the_consumer_has_gone() {
    let (source, consumer, _) = ends::<u8>(1 << 20);
    let (mut fresh, mut with_open_chunk) = (source.producer(), source.producer());
    push(&mut with_open_chunk, [1]).expect("room");
    drop(consumer);
    assert_eq!(push(&mut fresh, [1]), Err(NoRoom::Closed));
    assert_eq!(push(&mut with_open_chunk, [1]), Err(NoRoom::Closed));
    assert!(with_open_chunk.fits(1) && !with_open_chunk.push(1));
}

#[test]
fn whatever_is_left_is_dropped_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let (source, mut consumer, _) = ends(1 << 20);
    let mut producer = source.producer();
    push(&mut producer, (0..10).map(|_| Counted(Arc::clone(&drops)))).expect("room");
    assert_eq!(drained(&mut consumer).len(), 10);
    assert_eq!(drops.load(Ordering::Relaxed), 10);
    push(&mut producer, (0..10).map(|_| Counted(Arc::clone(&drops)))).expect("room");
    drop((producer, consumer, source));
    assert_eq!(drops.load(Ordering::Relaxed), 20);
}

#[test]
fn threads_that_come_and_go_lose_nothing() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20 / SHARE;
    const ITEMS: usize = 500 / SHARE;
    let (source, mut consumer, _) = ends(16 << 20);
    let total = thread::scope(|scope| {
        for id in 0..THREADS {
            let source = &source;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    thread::scope(|inner| {
                        inner.spawn(|| {
                            let mut producer = source.producer();
                            for item in 0..ITEMS {
                                push(&mut producer, [(id, round, item)]).expect("the budget is large enough");
                            }
                        });
                    });
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut next = [[0; ROUNDS]; THREADS];
        let mut total = 0;
        while total < THREADS * ROUNDS * ITEMS && Instant::now() < deadline {
            total += consumer.drain(&mut |_: &mut usize, (id, round, item): (usize, usize, usize)| {
                assert_eq!(next[id][round], item, "in order");
                next[id][round] += 1;
            });
            thread::yield_now();
        }
        total
    });
    assert_eq!(total, THREADS * ROUNDS * ITEMS);
}

#[test]
fn a_deep_sleeper_is_woken_by_the_next_publication() {
    let budget = Arc::new(Budget::new(1 << 20));
    let doorbell = Arc::new(Doorbell::default());
    let (source, mut consumer) = hand_over::<u8, ()>(budget, Arc::clone(&doorbell));
    let sleeper = thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut count = 0;
        while count == 0 && Instant::now() < deadline {
            doorbell.deep_sleep(Duration::from_secs(30), || consumer.has_any());
            count = consumer.drain(&mut |(): &mut (), _: u8| ());
        }
        count
    });
    let mut producer = source.producer();
    push(&mut producer, [1]).expect("room");
    assert_eq!(sleeper.join().expect("the sleeper wakes"), 1);
}
