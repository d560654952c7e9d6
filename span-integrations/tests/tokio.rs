//! What is current, in tasks of tokio.
#![cfg(feature = "tokio")]
#![forbid(unsafe_code)]

use std::future::pending;
use std::time::Duration;

use span_integrations::tokio::{JoinSet, LocalSet, in_current_span, spawn, spawn_blocking, spawn_local};
use span_runtime::{Instrument as _, current_span, start_span};
use span_tests::Harness;
use tokio::sync::Barrier;
use tokio::time::timeout;

/// Runs a future in a span, on a runtime of one thread, or of several.
fn block_on<F: Future>(workers: usize, name: &'static str, future: F) -> F::Output {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers).enable_time().build().expect("there are threads");
    let output = runtime.block_on(future.in_span(start_span(name).inactive().start()));
    // Tasks that were aborted are dropped before this returns.
    drop(runtime);
    output
}

/// Work with a span, which goes on after a while.
async fn work(name: &'static str) {
    let inside = async {
        assert_eq!(current_span().name().as_deref(), Some(name));
        tokio::task::yield_now().await;
        assert_eq!(current_span().name().as_deref(), Some(name));
    };
    inside.in_span(start_span(name).inactive().start()).await;
}

/// Work with a span, which never ends.
async fn never(name: &'static str) {
    pending::<()>().in_span(start_span(name).inactive().start()).await;
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn tasks_have_what_is_current_where_they_were_spawned() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, "request", async {
            spawn(work("spawned")).await.expect("it does not panic");
            spawn_blocking(|| start_span("blocking").start().end()).await.expect("it does not panic");
            let handle = tokio::runtime::Handle::current();
            let by_handle = handle.spawn_blocking(in_current_span(|| start_span("by handle").start().end()));
            by_handle.await.expect("it does not panic");
            assert_eq!(current_span().name().as_deref(), Some("request"));
        });
        assert_eq!(harness.text(&[]), "request\n  spawned\n  blocking\n  by handle\n", "{workers} workers");
    }
}

#[test]
fn what_stays_on_its_thread_needs_nothing() {
    let harness = Harness::new();
    block_on(2, "request", async {
        let task = async {
            tokio::task::block_in_place(|| {
                start_span("in place").start().end();
                tokio::runtime::Handle::current().block_on(work("blocked on"));
            });
        };
        spawn(task).await.expect("it does not panic");
    });
    assert_eq!(harness.text(&[]), "request\n  in place\n  blocked on\n");
}

#[test]
fn sets_of_tasks() {
    let harness = Harness::new();
    let names = block_on(2, "request", async {
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            work("a").await;
            "a"
        });
        tasks.spawn_blocking(|| {
            start_span("b").start().end();
            "b"
        });
        tasks.spawn_on(async { "c" }, &tokio::runtime::Handle::current());
        assert_eq!(tasks.len(), 3, "what is tokio's own is there");
        let mut names = tasks.join_all().await;
        names.sort_unstable();
        names
    });
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(sorted(&harness.text(&[])), ["  a", "  b", "request"]);
}

#[test]
fn local_sets_of_tasks() {
    let harness = Harness::new();
    block_on(1, "request", async {
        let local = LocalSet::new();
        local.spawn_local(work("before it runs"));
        let inside = async {
            spawn_local(work("inside")).await.expect("it does not panic");
            let mut tasks = JoinSet::new();
            tasks.spawn_local(work("in a set"));
            tasks.join_all().await;
        };
        local.run_until(inside.in_span(start_span("run").inactive().start())).await;
        local.spawn_local(work("at the end"));
        local.await;
    });
    let expected = ["    in a set", "    inside", "  at the end", "  before it runs", "  run", "request"];
    assert_eq!(sorted(&harness.text(&[])), expected);
}

#[test]
fn concurrent_tasks_never_see_each_other() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, "all", async {
            let barrier = std::sync::Arc::new(Barrier::new(2));
            let request = |name: &'static str, child: &'static str| {
                let barrier = barrier.clone();
                let inside = async move {
                    barrier.wait().await;
                    let task = spawn(work(child));
                    barrier.wait().await;
                    assert_eq!(current_span().name().as_deref(), Some(name));
                    task.await.expect("it does not panic");
                };
                inside.in_span(start_span(name).inactive().start())
            };
            // On one task, and on two.
            tokio::join!(request("one", "of one"), request("two", "of two"));
            let (three, four) = (spawn(request("three", "of three")), spawn(request("four", "of four")));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let text = harness.text(&[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 9, "{text}");
        for name in ["one", "two", "three", "four"] {
            let at = lines.iter().position(|line| line.trim() == name).expect("it was sent");
            assert_eq!(lines[at + 1], format!("    of {name}"), "{workers} workers:\n{text}");
        }
    }
}

#[test]
fn aborted_tasks_and_timeouts_mark_the_spans_in_them() {
    let harness = Harness::new();
    block_on(1, "request", async {
        let aborted = spawn(never("aborted"));
        tokio::task::yield_now().await;
        aborted.abort();
        assert!(aborted.await.expect_err("it was aborted").is_cancelled());

        assert!(timeout(Duration::from_millis(1), never("timed out")).await.is_err());

        let mut tasks = JoinSet::new();
        tasks.spawn(never("dropped with its set"));
        tokio::task::yield_now().await;
        tasks.shutdown().await;

        // It goes on behind a handle that is dropped, until the runtime is.
        drop(spawn(never("left alone")));
        tokio::task::yield_now().await;
    });
    let text = harness.text(&["span.cancelled"]);
    let expected = "\
        request\n  \
        aborted span.cancelled=true\n  \
        timed out span.cancelled=true\n  \
        dropped with its set span.cancelled=true\n  \
        left alone span.cancelled=true\n";
    assert_eq!(text, expected);
}

#[test]
fn what_a_task_drops_is_dropped_in_what_it_carries() {
    struct InDrop;
    impl Drop for InDrop {
        fn drop(&mut self) {
            start_span("while dropping").start().end();
        }
    }
    let harness = Harness::new();
    block_on(1, "request", async {
        let task = spawn(async {
            let _in_drop = InDrop;
            pending::<()>().await;
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.is_err());
    });
    assert_eq!(harness.text(&[]), "request\n  while dropping\n");
}

#[test]
fn a_panic_in_a_task_is_an_error_of_the_spans_in_it_and_of_no_other() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, "request", async {
            let fails = async { panic!("on purpose") };
            let task = spawn(fails.in_span(start_span("task").inactive().start()));
            assert!(task.await.expect_err("it panics").is_panic());
            let blocking = spawn_blocking(|| {
                let _span = start_span("blocking").start();
                panic!("on purpose");
            });
            assert!(blocking.await.expect_err("it panics").is_panic());
            // The threads of the pool have nothing of it left.
            spawn_blocking(|| start_span("afterwards").start().end()).await.expect("it does not panic");
            tokio::task::spawn_blocking(|| assert_eq!(current_span().span_id(), None))
                .await
                .expect("nothing is current");
        });
        assert_eq!(
            harness.text(&[]),
            "request\n  task [error]\n  blocking [error]\n  afterwards\n",
            "{workers} workers"
        );
    }
}

#[test]
fn without_a_runtime_and_unsampled_tasks_do_their_work() {
    let answer = || {
        block_on(2, "request", async {
            spawn(async {
                start_span("child").start().end();
                6 * 7
            })
            .await
            .expect("it does not panic")
        })
    };
    assert_eq!(answer(), 42);
    let harness = Harness::sampling(0.0);
    assert_eq!(answer(), 42);
    assert_eq!(harness.runtime().stats().started, 2, "below `request`");
    assert_eq!(harness.text(&[]), "");
}
