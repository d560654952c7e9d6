//! Models of the hand-over: loom runs each in every order that its threads can take, and with every value that a load may see.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p span-runtime --no-default-features --release --target-dir target/loom --lib hand_over::models
//! ```
//!
//! The code under test is the hand-over's own; what a model plays is who calls it: threads that end spans, the flusher's loop, whoever
//! flushes or closes. A chunk has two slots here, so that two spans fill one. Items are numbers of a producer's, in order, which shows
//! what is missing, doubled or out of order; that none is torn loom sees for itself, as it lets nobody into a slot that
//! somebody else may be in, and that no chunk is leaked as well.
//!
//! `docs/reliability.md` says which mutations of the code each model has found.

mod close;
mod flush;
mod ring;
pub(super) mod stand_ins;

use std::sync::Arc;

use loom::model::Builder;

use super::{Budget, Consumer, Doorbell, NoRoom, Producer, Sink, Source, hand_over};

/// Runs a model with at most so many switches away from a thread that could go on. Where two threads' steps matter to each other, few
/// switches suffice to show it; without a bound, models of three threads run for hours.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// An item: whose it is, and which of theirs.
type Item = (usize, usize);

type Ends = (Source<Item>, Consumer<Item, usize>, Arc<Budget>, Arc<Doorbell>);

/// The two ends, with a budget of so many chunks, and an eighth that is the flusher's.
fn ends(chunks: usize) -> Ends {
    let budget = Arc::new(Budget::new((chunks * chunk_bytes()).div_ceil(7) * 8));
    let doorbell = Arc::new(Doorbell::default());
    let (source, consumer) = hand_over(Arc::clone(&budget), Arc::clone(&doorbell));
    (source, consumer, budget, doorbell)
}

fn chunk_bytes() -> usize {
    size_of::<super::Chunk<Item>>()
}

/// When every producer has ended and everything was drained: every chunk came back, and the budget counts those that are pooled.
fn check_settled(consumer: &Consumer<Item, usize>, budget: &Budget) {
    assert!(!consumer.has_any());
    assert_eq!(consumer.live.len(), 0, "a thread that has ended has closed its chunk");
    assert_eq!(budget.used(), consumer.pooled.len() * chunk_bytes());
}

/// As a lane does it: into the open chunk where there is room, else through a reservation.
fn push(producer: &mut Producer<Item>, item: Item) -> Result<(), NoRoom> {
    let taken = if producer.fits(1) {
        producer.push(item)
    } else {
        let mut room = producer.reserve(1)?;
        room.write(item);
        room.publish()
    };
    if taken { Ok(()) } else { Err(NoRoom::Closed) }
}

/// What came out, by producer, in order.
#[derive(Debug, Default)]
struct Taken([Vec<usize>; 2]);

impl Sink<Item, usize> for Taken {
    fn take(&mut self, _: &mut usize, (producer, number): Item) {
        self.0[producer].push(number);
    }
}
