//! Ways to hand 56 bytes over from the threads that make spans to one that takes them: that of span-runtime, whose source is built in here
//! by itself, and those that were thought of beside it.
//!
//! `cargo run --release -p benches --bin hand_over -- [ROUNDS]`
//!
//! Each round takes each way, one right after the other: so many threads hand over 10,000 items each as fast as they can, to a consumer that takes what
//! there is every half a millisecond, as the flusher naps while there is work. What is printed is the median of the rounds, in ns an
//! item on the thread that hands over, and the share that arrived. What arrives is added up and compared, so that no item counts that was
//! lost, doubled or torn.
#![allow(unsafe_code, reason = "the hand-over's own, in span-runtime/src/hand_over/chunk.rs")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use crossbeam_queue::ArrayQueue;

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::all,
    reason = "the module of another crate, of which a part is used"
)]
#[path = "../../../span-runtime/src/hand_over/mod.rs"]
mod hand_over;

/// As large as a slot.
type Item = [u64; 7];

const ITEMS: u64 = 10_000;

/// How long the consumer sleeps in between.
const NAP: Duration = Duration::from_micros(500);

fn item(number: u64) -> Item {
    [number; 7]
}

/// What the consumer found.
#[derive(Debug, Default)]
struct Taken {
    count: AtomicU64,
    sum: AtomicU64,
}

impl Taken {
    fn take(&self, item: Item) {
        let [first, rest @ ..] = item;
        assert!(rest.iter().all(|word| *word == first), "an item is whole: {item:?}");
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(first, Ordering::Relaxed);
    }
}

/// A way to hand over. `Producer` is a thread's end of it.
trait Way: Send + Sync {
    type Producer: Send;

    fn producer(&self) -> Self::Producer;

    /// False if there was no room.
    fn hand_over(producer: &mut Self::Producer, item: Item) -> bool;

    /// What a thread does when it has nothing more.
    fn finish(_: &mut Self::Producer) {}

    /// Takes what there is.
    fn drain(&mut self, taken: &Taken);
}

/// One bounded channel for all threads, an item at a time.
struct Shared(Sender<Item>, Receiver<Item>);

impl Way for Shared {
    type Producer = Sender<Item>;

    fn producer(&self) -> Self::Producer {
        self.0.clone()
    }

    #[inline(always)]
    fn hand_over(producer: &mut Self::Producer, item: Item) -> bool {
        !matches!(producer.try_send(item), Err(TrySendError::Full(_)))
    }

    fn drain(&mut self, taken: &Taken) {
        self.1.try_iter().for_each(|item| taken.take(item));
    }
}

/// The same with lists of 64 that a thread fills first.
struct Batches(Sender<Vec<Item>>, Receiver<Vec<Item>>);

impl Way for Batches {
    type Producer = (Vec<Item>, Sender<Vec<Item>>);

    fn producer(&self) -> Self::Producer {
        (Vec::with_capacity(64), self.0.clone())
    }

    #[inline(always)]
    fn hand_over((list, channel): &mut Self::Producer, item: Item) -> bool {
        list.push(item);
        list.len() < 64 || channel.try_send(std::mem::replace(list, Vec::with_capacity(64))).is_ok()
    }

    fn finish((list, channel): &mut Self::Producer) {
        let _ = channel.try_send(std::mem::take(list));
    }

    fn drain(&mut self, taken: &Taken) {
        self.1.try_iter().flatten().for_each(|item| taken.take(item));
    }
}

/// A ring of 8,192 for each thread.
struct Rings(Vec<Arc<ArrayQueue<Item>>>, AtomicU64);

impl Way for Rings {
    type Producer = Arc<ArrayQueue<Item>>;

    fn producer(&self) -> Self::Producer {
        // One for each thread that there will be.
        Arc::clone(&self.0[self.1.fetch_add(1, Ordering::Relaxed) as usize % self.0.len()])
    }

    #[inline(always)]
    fn hand_over(producer: &mut Self::Producer, item: Item) -> bool {
        producer.push(item).is_ok()
    }

    fn drain(&mut self, taken: &Taken) {
        for ring in &self.0 {
            while let Some(item) = ring.pop() {
                taken.take(item);
            }
        }
    }
}

struct Into<'a>(&'a Taken);

impl hand_over::Sink<Item, ()> for Into<'_> {
    fn take(&mut self, (): &mut (), item: Item) {
        self.0.take(item);
    }
}

/// Chunks of 64 that go through the ring when they are opened: what span-runtime does.
struct Chunks {
    source: hand_over::Source<Item>,
    /// Locked by nobody: it stays with the one thread that drains.
    consumer: Mutex<hand_over::Consumer<Item, ()>>,
}

impl Way for Chunks {
    type Producer = hand_over::Producer<Item>;

    fn producer(&self) -> Self::Producer {
        self.source.producer()
    }

    #[inline(always)]
    fn hand_over(producer: &mut Self::Producer, item: Item) -> bool {
        if producer.fits(1) {
            return producer.push(item);
        }
        match producer.reserve(1) {
            Ok(mut room) => {
                room.write(item);
                room.publish()
            }
            Err(_) => false,
        }
    }

    fn drain(&mut self, taken: &Taken) {
        self.consumer.get_mut().expect("nobody panics").drain(&mut Into(taken));
    }
}

/// ns an item, and the share that arrived.
fn measure<W: Way>(way: &mut W, threads: u64) -> (f64, f64) {
    let (taken, done, barrier) = (Taken::default(), AtomicBool::new(false), Barrier::new(threads as usize));
    let producers: Vec<W::Producer> = (0..threads).map(|_| way.producer()).collect();
    let elapsed: Vec<Duration> = thread::scope(|scope| {
        let spawn = |mut producer: W::Producer| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let begin = Instant::now();
                for number in 0..ITEMS {
                    std::hint::black_box(W::hand_over(&mut producer, item(std::hint::black_box(number))));
                }
                W::finish(&mut producer);
                begin.elapsed()
            })
        };
        let running: Vec<_> = producers.into_iter().map(spawn).collect();
        let (taken, done) = (&taken, &done);
        let consumer = scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                way.drain(taken);
                thread::sleep(NAP);
            }
            way.drain(taken);
        });
        let elapsed = running.into_iter().map(|thread| thread.join().expect("it hands over")).collect();
        done.store(true, Ordering::Release);
        consumer.join().expect("items are whole");
        elapsed
    });
    let (count, sum) = (taken.count.into_inner(), taken.sum.into_inner());
    if count == threads * ITEMS {
        assert_eq!(sum, threads * (0..ITEMS).sum::<u64>(), "each arrived once");
    }
    let total: f64 = elapsed.iter().map(|one| one.as_nanos() as f64).sum();
    (total / (threads * ITEMS) as f64, count as f64 / (threads * ITEMS) as f64)
}

fn chunks() -> Chunks {
    let (budget, doorbell) = (hand_over::Budget::new(64 << 20), hand_over::Doorbell::default());
    let (source, consumer) = hand_over::hand_over(Arc::new(budget), Arc::new(doorbell));
    Chunks { source, consumer: Mutex::new(consumer) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map(|rounds| rounds.parse::<usize>()) {
        None => 31,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("the number of rounds is a whole number above 0");
            return ExitCode::from(2);
        }
    };
    for threads in [1, 2, 4] {
        let (items_in, items_out) = bounded(65_536);
        let (lists_in, lists_out) = bounded(1024);
        let (mut shared, mut batches) = (Shared(items_in, items_out), Batches(lists_in, lists_out));
        let rings = (0..threads).map(|_| Arc::new(ArrayQueue::new(8192))).collect();
        let (mut rings, mut chunks) = (Rings(rings, AtomicU64::new(0)), chunks());
        let mut samples: [Vec<(f64, f64)>; 4] = Default::default();
        for round in 0..=rounds {
            let each = [
                measure(&mut shared, threads),
                measure(&mut batches, threads),
                measure(&mut rings, threads),
                measure(&mut chunks, threads),
            ];
            // The first one warms.
            if round > 0 {
                samples.iter_mut().zip(each).for_each(|(samples, one)| samples.push(one));
            }
        }
        println!("\n{threads} thread(s): ns an item on its thread, share that arrived");
        let names = ["one shared channel", "lists of 64 through it", "a ring of 8,192 a thread", "chunks, when opened"];
        for (name, samples) in names.iter().zip(&samples) {
            let of = |value: fn(&(f64, f64)) -> f64| median(samples.iter().map(value).collect());
            println!("  {name:<26} {:6.1}   {:5.1} %", of(|s| s.0), of(|s| s.1) * 100.0);
        }
    }
    ExitCode::SUCCESS
}
