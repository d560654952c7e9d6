//! The ring of chunks, and the slots within a chunk.

use loom::thread;

use super::{Taken, check, check_settled, chunk_bytes, ends, push};

#[test]
fn a_chunk_is_read_while_it_is_filled_and_when_its_thread_ends() {
    check(3, || {
        let (source, mut consumer, budget, _) = ends(4);
        let mut producer = source.producer();
        let ending = thread::spawn(move || {
            for number in 0..3 {
                push(&mut producer, (0, number)).expect("there is room for two chunks");
            }
        });
        let mut taken = Taken::default();
        let mut counted = 0;
        for _ in 0..2 {
            counted += consumer.drain(&mut taken);
            assert!(taken.0[0].iter().copied().eq(0..taken.0[0].len()), "in order, none twice: {taken:?}");
        }
        ending.join().expect("the producer does not panic");
        counted += consumer.drain(&mut taken);
        assert_eq!(taken.0[0], [0, 1, 2]);
        assert_eq!(counted, 3);
        check_settled(&consumer, &budget);
    });
}

#[test]
fn a_group_comes_out_whole() {
    check(3, || {
        let (source, mut consumer, ..) = ends(4);
        let mut producer = source.producer();
        let ending = thread::spawn(move || {
            push(&mut producer, (0, 0)).expect("there is room");
            // The open chunk has room for one more, so that a group of two goes into another.
            let mut room = producer.reserve(2).expect("there is room");
            room.write((0, 1));
            room.write((0, 2));
            assert!(room.publish(), "there is a consumer");
        });
        let mut taken = Taken::default();
        for _ in 0..2 {
            consumer.drain(&mut taken);
            assert_ne!(taken.0[0].len(), 2, "half of a group: {taken:?}");
        }
        ending.join().expect("the producer does not panic");
        consumer.drain(&mut taken);
        assert_eq!(taken.0[0], [0, 1, 2]);
    });
}

/// Nor does it harm who gets the chunk next: here the thread ends, and its chunk, with the slot that it gave up, may go to another.
#[test]
fn what_is_reserved_and_given_up_is_not_seen() {
    check(3, || {
        let (source, mut consumer, ..) = ends(4);
        let mut producer = source.producer();
        let ending = thread::spawn(move || {
            push(&mut producer, (0, 0)).expect("there is room");
            let mut room = producer.reserve(1).expect("there is room");
            room.write((0, 7));
            drop(room);
        });
        let mut taken = Taken::default();
        consumer.drain(&mut taken);
        let mut next = source.producer();
        for number in 0..2 {
            push(&mut next, (1, number)).expect("there is room");
        }
        ending.join().expect("the producer does not panic");
        consumer.drain(&mut taken);
        assert_eq!(taken.0, [vec![0], vec![0, 1]]);
    });
}

/// A chunk comes out of the pool, and is looked at before anything new is in it.
#[test]
fn a_chunk_from_the_pool_is_as_good_as_new() {
    check(3, || {
        let (source, mut consumer, budget, _) = ends(8);
        let mut taken = Taken::default();
        let mut first = source.producer();
        for number in 0..2 {
            push(&mut first, (0, number)).expect("there is room");
        }
        drop(first);
        consumer.drain(&mut taken);
        assert_eq!(consumer.pooled.len(), 1, "it was recycled");
        let mut next = source.producer();
        let ending = thread::spawn(move || {
            for number in 0..2 {
                push(&mut next, (1, number)).expect("there is room");
            }
        });
        consumer.drain(&mut taken);
        consumer.drain(&mut taken);
        ending.join().expect("the producer does not panic");
        consumer.drain(&mut taken);
        assert_eq!(taken.0, [vec![0, 1], vec![0, 1]]);
        check_settled(&consumer, &budget);
    });
}

/// Two threads and a budget of two chunks, so that what one of them filled goes through the pool to whoever needs a chunk next. What finds
/// no room is refused and said to be.
#[test]
fn threads_share_the_chunks_that_the_budget_allows() {
    check(2, || {
        let (source, mut consumer, budget, _) = ends(2);
        let threads = [0, 1].map(|id| {
            let mut producer = source.producer();
            thread::spawn(move || {
                let accepted = |number: &usize| push(&mut producer, (id, *number)).is_ok();
                (0..3).filter(accepted).collect::<Vec<_>>()
            })
        });
        let mut taken = Taken::default();
        consumer.drain(&mut taken);
        consumer.drain(&mut taken);
        let accepted = threads.map(|thread| thread.join().expect("the producer does not panic"));
        consumer.drain(&mut taken);
        assert_eq!(taken.0, accepted, "what was accepted comes out, once and in order");
        check_settled(&consumer, &budget);
        assert!(budget.used() <= 2 * chunk_bytes(), "the bound holds");
    });
}

/// One thread ends with its chunk open; the consumer empties it while another thread needs one.
#[test]
fn a_chunk_goes_from_a_thread_that_ended_to_one_that_begins() {
    check(2, || {
        let (source, mut consumer, ..) = ends(4);
        let mut first = source.producer();
        let mut second = source.producer();
        let first = thread::spawn(move || push(&mut first, (0, 0)).expect("there is room"));
        let second = thread::spawn(move || {
            for number in 0..3 {
                push(&mut second, (1, number)).expect("there is room");
            }
        });
        let mut taken = Taken::default();
        consumer.drain(&mut taken);
        first.join().expect("the first does not panic");
        consumer.drain(&mut taken);
        second.join().expect("the second does not panic");
        consumer.drain(&mut taken);
        assert_eq!(taken.0, [vec![0], vec![0, 1, 2]]);
    });
}
