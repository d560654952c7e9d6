//! The doorbell, and the handshake of a flush.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::mpsc;
use loom::thread;

use super::stand_ins::{Receiver, Sender, bounded, current};
use super::{Consumer, Doorbell, Item, Taken, check, ends, push};

/// Long enough: in a model only a ring ends a sleep.
const EVER: Duration = Duration::MAX;

/// What a flusher is told: to answer with what it has.
type Command = mpsc::Sender<Vec<usize>>;

/// The flusher's loop, as `Flusher::run`, `obey` and `sleep` have it, with what it took of the first producer in place of envelopes. It always sleeps
/// deeply, the sleep in which somebody relies on being able to wake it. It ends after so many commands, where the real one is told to.
fn flusher(mut consumer: Consumer<Item, usize>, commands: &Receiver<Command>, doorbell: &Doorbell, mut rounds: usize) {
    let mut taken = Taken::default();
    loop {
        consumer.drain(&mut taken);
        while let Ok(answer) = commands.try_recv() {
            // What was handed over before the command was given. (`Flusher::gather`)
            consumer.drain(&mut taken);
            answer.send(taken.0[0].clone()).expect("whoever flushes waits for the answer");
            rounds -= 1;
        }
        if rounds == 0 {
            return;
        }
        doorbell.deep_sleep(EVER, || consumer.has_any() || !commands.is_empty());
    }
}

/// As `Running::command` does it.
fn flush(control: &Sender<Command>, doorbell: &Doorbell) -> Vec<usize> {
    let (answer, answered) = mpsc::channel();
    assert!(control.try_send(answer).is_ok(), "there is room for the command");
    doorbell.ring();
    answered.recv().expect("the flusher answers")
}

/// A flush is answered, although the flusher sleeps until it is woken, and the answer holds what ended before: here on the thread that
/// flushes, and on one that has said so.
#[test]
fn a_flush_waits_for_what_ended_before_it_on_every_thread() {
    check(2, || {
        let (source, consumer, _, doorbell) = ends(4);
        let (control, commands) = bounded(1);
        let flusher = {
            let doorbell = Arc::clone(&doorbell);
            thread::spawn(move || flusher(consumer, &commands, &doorbell, 1))
        };
        let ended = Arc::new(AtomicBool::new(false));
        let ending = {
            let ended = Arc::clone(&ended);
            let mut producer = source.producer();
            thread::spawn(move || {
                // Whether anybody takes it is not asked: the flusher ends with the flush.
                let _ = push(&mut producer, (0, 0));
                // Release: what happened before the flush is what whoever flushes knows of.
                ended.store(true, Ordering::Release);
            })
        };
        let before = ended.load(Ordering::Acquire);
        let taken = flush(&control, &doorbell);
        assert!(!before || taken == [0], "{taken:?}");
        ending.join().expect("the producer does not panic");
        flusher.join().expect("the flusher does not panic");
    });
}

/// The same of more than a chunk, while the flusher drains.
#[test]
fn a_flush_waits_for_what_the_thread_ended_itself() {
    check(2, || {
        let (source, consumer, _, doorbell) = ends(4);
        let (control, commands) = bounded(1);
        let flusher = {
            let doorbell = Arc::clone(&doorbell);
            thread::spawn(move || flusher(consumer, &commands, &doorbell, 1))
        };
        let mut producer = source.producer();
        for number in 0..3 {
            push(&mut producer, (0, number)).expect("there is room");
        }
        assert_eq!(flush(&control, &doorbell), [0, 1, 2]);
        flusher.join().expect("the flusher does not panic");
    });
}

/// Two threads flush at once; one of them pays for the wake-up, and both are answered.
#[test]
fn of_two_flushes_at_once_both_are_answered() {
    check(3, || {
        let (_source, consumer, _, doorbell) = ends(4);
        let (control, commands) = bounded(2);
        let flusher = {
            let doorbell = Arc::clone(&doorbell);
            thread::spawn(move || flusher(consumer, &commands, &doorbell, 2))
        };
        let other = {
            let (control, doorbell) = (control.clone(), Arc::clone(&doorbell));
            thread::spawn(move || flush(&control, &doorbell))
        };
        flush(&control, &doorbell);
        other.join().expect("the other is answered");
        flusher.join().expect("the flusher does not panic");
    });
}

/// A span's own look at the doorbell may miss a flusher that is just falling asleep; then the time-out ends the sleep, which the producer
/// plays here. It does not miss one of which it knows that it sleeps: there the time-out is not played, and a wake-up that is lost
/// leaves the model without a thread that could go on.
#[test]
fn the_next_span_wakes_a_deep_sleeper() {
    check(4, || {
        let (source, mut consumer, _, doorbell) = ends(4);
        // The flusher knows the open chunk: what is pushed into that is seen by nothing but the doorbell and the slots.
        let mut producer = source.producer();
        push(&mut producer, (0, 0)).expect("there is room");
        consumer.drain(&mut Taken::default());
        let asleep = Arc::new(AtomicBool::new(false));
        let (clock, timers) = mpsc::channel();
        let sleeper = {
            let (doorbell, asleep) = (Arc::clone(&doorbell), Arc::clone(&asleep));
            thread::spawn(move || {
                clock.send(current()).expect("the producer plays the clock");
                let mut taken = Taken::default();
                while consumer.drain(&mut taken) == 0 {
                    doorbell.deep_sleep(EVER, || {
                        // Release: whoever sees this sees the announcement of the sleep.
                        asleep.store(true, Ordering::Release);
                        consumer.has_any()
                    });
                }
                // Not dropped before the producer is through, which would be told that nobody takes its item.
                (taken, consumer)
            })
        };
        let known = asleep.load(Ordering::Acquire);
        push(&mut producer, (0, 1)).expect("there is room");
        if !known {
            timers.recv().expect("the sleeper begins").unpark();
        }
        let (taken, _consumer) = sleeper.join().expect("the sleeper wakes");
        assert_eq!(taken.0[0], [1]);
    });
}
