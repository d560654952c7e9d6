//! The budget, and the end of the flusher.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::{Budget, NoRoom, Taken, check, ends, push};

/// Of three that need more than a third of the bound, and find it empty, exactly one gets it: the bound is never exceeded, and those who are
/// refused do not refuse each other.
#[test]
fn a_budget_is_never_exceeded_and_never_withheld() {
    check(4, || {
        let budget = Arc::new(Budget::new(8));
        let threads = [0; 2].map(|_| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || budget.try_take(4))
        });
        let own = budget.try_take(4);
        let others = threads.map(|thread| thread.join().expect("it does not panic"));
        let accepted = usize::from(own) + others.into_iter().filter(|taken| *taken).count();
        assert_eq!(accepted, 1, "four of seven");
        assert_eq!(budget.used(), 4);
        budget.give_back(4);
        assert_eq!(budget.used(), 0);
    });
}

/// The flusher takes what there is, says that it is gone, and goes, as at the end of `Flusher::close`. What ended before that is taken,
/// what ends after it is refused, and so counted lost by its own thread; neither is both. What ends in the very moment is left open here,
/// as it is in the code.
#[test]
fn what_ends_around_the_close_is_taken_or_refused() {
    check(3, || {
        let (source, mut consumer, _, doorbell) = ends(4);
        let ended = Arc::new(AtomicUsize::new(0));
        let gone = Arc::new(AtomicBool::new(false));
        let ending = {
            let (ended, gone) = (Arc::clone(&ended), Arc::clone(&gone));
            let mut producer = source.producer();
            thread::spawn(move || {
                // Where the flusher was known to be gone, and what became of each item.
                [0, 1, 2].map(|number| {
                    let known = gone.load(Ordering::Acquire);
                    let outcome = push(&mut producer, (0, number));
                    ended.store(number + 1, Ordering::Release);
                    (known, outcome)
                })
            })
        };
        let before = ended.load(Ordering::Acquire);
        let mut taken = Taken::default();
        consumer.drain(&mut taken);
        doorbell.gone();
        gone.store(true, Ordering::Release);
        drop(consumer);

        let outcomes = ending.join().expect("the producer does not panic");
        let taken = &taken.0[0];
        assert!(taken.iter().copied().eq(0..taken.len()), "in order, none twice: {taken:?}");
        assert!(taken.len() >= before, "{before} ended before: {taken:?}");
        for (number, (known, outcome)) in outcomes.into_iter().enumerate() {
            if number < before {
                assert_eq!(outcome, Ok(()), "{number} ended before, and is not counted lost as well");
            }
            if known {
                assert_eq!(outcome, Err(NoRoom::Closed), "{number} ended after");
                assert!(!taken.contains(&number), "{number} ended after");
            }
        }
    });
}
