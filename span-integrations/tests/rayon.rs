//! What is current, in jobs of rayon.
#![cfg(feature = "rayon")]
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Barrier, mpsc};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use span_integrations::rayon::{InCurrentSpan as _, in_current_span, install, join, scope, spawn};
use span_runtime::{current_span, start_span};
use span_tests::{Harness, SOON};

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("there are threads")
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn install_join_scope_and_spawn_have_what_is_current() {
    let harness = Harness::new();
    let pool = pool(2);
    let import = start_span("import").start();
    let barrier = Barrier::new(2);
    let answer = install(&pool, || {
        start_span("installed").start().end();
        let meet = |name| {
            let _span = start_span(name).start();
            // Both run at once, on two threads.
            barrier.wait();
        };
        join(|| meet("left"), || meet("right"));
        scope(|scope| {
            start_span("in the scope").start().end();
            scope.spawn(|scope| {
                let _job = start_span("job").start();
                scope.spawn(|_| start_span("job of a job").start().end());
            });
        });
        42
    });
    assert_eq!(answer, 42);
    let (sender, receiver) = mpsc::channel();
    spawn(move || {
        start_span("spawned").start().end();
        sender.send(()).expect("somebody waits");
    });
    receiver.recv_timeout(SOON).expect("the job runs");
    pool.scope(|scope| {
        scope.spawn(|_| assert_eq!(current_span().span_id(), None, "a thread of the pool has nothing left"));
    });
    pool.scope_fifo(|scope| scope.spawn_fifo(|_| in_current_span(|| start_span("nowhere").start().end())()));
    assert_eq!(current_span().name().as_deref(), Some("import"));
    import.end();
    let expected =
        ["    job of a job", "  in the scope", "  installed", "  job", "  left", "  right", "  spawned", "import"];
    assert_eq!(sorted(&harness.text(&[])), expected);
}

#[test]
fn parallel_iterators_have_it_in_all_their_closures() {
    const ITEMS: usize = 64;
    let harness = Harness::new();
    let pool = pool(4);
    let import = start_span("import").start();
    let here = || assert_eq!(current_span().name().as_deref(), Some("import"));
    // No thread of the pool has it but by the adaptor. As many pieces as threads, which wait for each other.
    let barrier = Barrier::new(4);
    let pieces = (0..4_usize).into_par_iter().with_max_len(1).in_current_span();
    let sum = pool.install(|| {
        let met = pieces.map(|piece| {
            barrier.wait();
            here();
            piece
        });
        met.reduce(
            || {
                here();
                0
            },
            |left, right| {
                here();
                left + right
            },
        )
    });
    assert_eq!(sum, 6);

    let items = (0..ITEMS).into_par_iter().with_max_len(1).map(|item| {
        here();
        item
    });
    let items = items.in_current_span();
    let sum: usize = pool.install(|| {
        let recorded = items.map(|item| {
            start_span("item").start().end();
            item
        });
        recorded.filter(|_| current_span().name().is_some()).sum()
    });
    assert_eq!(sum, ITEMS * (ITEMS - 1) / 2);

    // By way of producers rather than consumers, before it and behind it; where iterators nest, each has its own.
    let chunks = (0..ITEMS).into_par_iter().inspect(|_| here()).chunks(3).inspect(|_| here()).in_current_span();
    let nested = chunks.flatten().in_current_span();
    let found = pool.install(|| {
        nested.find_any(|item| {
            here();
            *item == 7
        })
    });
    assert_eq!(found, Some(7));
    let behind = (0..ITEMS).into_par_iter().inspect(|_| here()).in_current_span();
    let zipped: Vec<(usize, usize)> = pool.install(|| behind.rev().zip(0..ITEMS).inspect(|_| here()).collect());
    assert_eq!((zipped.len(), zipped[0]), (ITEMS, (ITEMS - 1, 0)));

    pool.broadcast(|_| assert_eq!(current_span().span_id(), None, "nothing is left behind"));
    import.end();
    let text = harness.text(&[]);
    assert_eq!(text.lines().count(), ITEMS + 1);
    assert!(text.lines().skip(1).all(|line| line == "  item"), "{text}");
}

#[test]
fn jobs_run_on_several_threads_and_do_not_mix_two_requests() {
    const JOBS: usize = 50;
    let harness = Harness::new();
    let pool = pool(2);
    let request = |name: &'static str| {
        let span = start_span(name).start();
        install(&pool, || {
            (0..JOBS).into_par_iter().in_current_span().with_max_len(1).for_each(|_| {
                // While this waits for its second half, its thread may take up a job of the other request.
                join(
                    || assert_eq!(current_span().name().as_deref(), Some(name)),
                    || start_span("job").attribute("of", name).start().end(),
                );
                assert_eq!(current_span().name().as_deref(), Some(name));
            });
        });
        span.end();
    };
    std::thread::scope(|threads| {
        let here = span_runtime::Context::current();
        for name in ["one", "two"] {
            let (request, here) = (&request, here.clone());
            threads.spawn(move || here.run(|| request(name)));
        }
    });
    let text = harness.text(&["of"]);
    let trees: BTreeSet<&str> = text.split("---\n").collect();
    let tree = |name: &str| format!("{name}\n{}", format!("  job of=\"{name}\"\n").repeat(JOBS));
    assert_eq!(trees, BTreeSet::from([tree("one").as_str(), tree("two").as_str()]));
}

#[test]
fn a_panic_in_a_job_is_an_error_of_the_spans_that_it_goes_through() {
    let harness = Harness::new();
    let pool = pool(2);
    let import = start_span("import").start();
    let result = catch_unwind(AssertUnwindSafe(|| {
        install(&pool, || {
            ["a", "b"].par_iter().in_current_span().for_each(|line| {
                let _line = start_span(*line).start();
                assert_ne!(*line, "b", "on purpose");
            });
        });
    }));
    assert!(result.is_err());
    assert_eq!(current_span().name().as_deref(), Some("import"));
    pool.broadcast(|_| assert_eq!(current_span().span_id(), None));
    import.end();
    assert_eq!(sorted(&harness.text(&[])), ["  a", "  b [error]", "import"]);
}

#[test]
fn without_a_runtime_and_unsampled_jobs_do_their_work() {
    let work = || {
        let _root = start_span("root").start();
        let numbers = [1, 2, 3].par_iter().in_current_span().map(|number| {
            start_span("child").start().end();
            number
        });
        assert_eq!(numbers.sum::<i32>(), 6);
    };
    work();
    let harness = Harness::sampling(0.0);
    work();
    assert_eq!(harness.runtime().stats().started, 4, "below `root`");
    assert_eq!(harness.text(&[]), "");
}
