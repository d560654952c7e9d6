//! Futures and streams that carry their span: tasks, cancellation, panics, guards held across a suspension point.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::{join, poll_fn, select};
use futures_util::{FutureExt, StreamExt, stream};
use span_runtime::testing::tree;
use span_runtime::{Instrument, InstrumentStream, current_span, new_trace, start_span};
use span_tests::{Harness, SOON};
use tokio::sync::Barrier;

/// Suspends once.
async fn pause() {
    let mut polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn current() -> Option<String> {
    current_span().name()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

// behaviour 12
#[test]
fn a_future_carries_its_span_and_puts_back_what_was_current() {
    let harness = Harness::new();
    block_on(async {
        let outer = start_span("outer").inactive().start();
        async {
            assert_eq!(current().as_deref(), Some("outer"));
            let inner = async {
                assert_eq!(current().as_deref(), Some("inner"));
                pause().await;
                assert_eq!(current().as_deref(), Some("inner"));
                start_span("leaf").start().end();
            };
            inner.in_span(start_span("inner").inactive().start()).await;
            assert_eq!(current().as_deref(), Some("outer"));
        }
        .in_span(outer)
        .await;
        assert_eq!(current(), None);
    });
    assert_eq!(tree(&harness.finish()), "outer\n  inner\n    leaf\n");
}

// behaviour 12: Python's asyncio fault
#[test]
fn concurrent_tasks_on_one_thread_never_cross() {
    let harness = Harness::new();
    block_on(async {
        let work = |name: &'static str| {
            let span = start_span(name).inactive().start();
            async move {
                for _ in 0..5 {
                    pause().await;
                    assert_eq!(current().as_deref(), Some(name));
                    start_span(format!("of {name}")).start().end();
                }
            }
            .in_span(span)
        };
        join(join(work("a"), work("b")), join(work("c"), work("d"))).await;
    });
    let spans = harness.finish();
    assert_eq!(spans.len(), 4 * 6);
    for span in spans.iter().filter(|span| !span.is_segment) {
        let parent =
            spans.iter().find(|other| Some(&other.span_id) == span.parent_span_id.as_ref()).expect("it is here");
        assert_eq!(span.name, format!("of {}", parent.name));
        assert_eq!(span.trace_id, parent.trace_id);
    }
}

// behaviour 43, 12: 64 traces interleaved on 4 threads and across tasks
#[test]
fn tasks_that_move_between_threads_keep_their_trace() {
    let harness = Harness::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let barrier = std::sync::Arc::new(Barrier::new(64));
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let barrier = barrier.clone();
                let root = start_span(format!("task {task}")).inactive().start();
                let work = async move {
                    barrier.wait().await;
                    for round in 0..20 {
                        tokio::task::yield_now().await;
                        let inner = async {
                            pause().await;
                            assert_eq!(current().as_deref(), Some("step"));
                        };
                        inner.in_span(start_span("step").attribute("round", round).inactive().start()).await;
                    }
                };
                tokio::spawn(work.in_span(root))
            })
            .collect();
        for task in tasks {
            task.await.expect("the task works");
        }
    });
    let transport = harness.transport().clone();
    let spans = harness.finish();
    assert_eq!(spans.len(), 64 * 21);
    for envelope in transport.envelopes() {
        let trace = envelope.trace_id().expect("a trace").to_owned();
        assert!(envelope.spans().iter().all(|span| span.trace_id == trace));
    }
    for root in spans.iter().filter(|span| span.is_segment) {
        let children = spans.iter().filter(|span| span.parent_span_id.as_ref() == Some(&root.span_id)).count();
        assert_eq!(children, 20, "{}", root.name);
    }
}

// behaviour 8
#[test]
fn a_future_that_is_dropped_half_way_ends_its_span_and_says_so() {
    struct InDrop;
    impl Drop for InDrop {
        fn drop(&mut self) {
            start_span("in drop").start().end();
        }
    }
    let harness = Harness::new();
    block_on(async {
        let root = start_span("root").start();
        {
            let slow = async {
                let _in_drop = InDrop;
                std::future::pending::<()>().await;
            };
            let slow = pin!(slow.in_span(start_span("loser").inactive().start()));
            let quick = pin!(pause().in_span(start_span("winner").inactive().start()));
            select(slow, quick).await;
        }
        let never = async {}.in_span(start_span("never polled").inactive().start());
        drop(never);
        assert_eq!(current().as_deref(), Some("root"));
        drop(root);
    });
    let spans = harness.finish();
    for (name, cancelled) in [("loser", true), ("winner", false), ("never polled", true), ("root", false)] {
        let span = spans.iter().find(|span| span.name == name).expect(name);
        assert_eq!(span.attribute("span.cancelled").is_some(), cancelled, "{name}");
        assert_eq!(span.status, "ok", "{name}");
    }
    assert!(tree(&spans).contains("  loser\n    in drop\n"), "{}", tree(&spans));
}

// behaviour 8
#[test]
fn a_panic_in_a_task_makes_its_span_an_error_and_the_thread_goes_on() {
    let harness = Harness::new();
    block_on(async {
        let root = start_span("root").start();
        let fails = async {
            pause().await;
            let _guard = start_span("guard").start();
            panic!("on purpose");
        };
        let result =
            std::panic::AssertUnwindSafe(fails.in_span(start_span("fails").inactive().start())).catch_unwind().await;
        assert!(result.is_err());
        assert_eq!(current().as_deref(), Some("root"));
        drop(root);
    });
    let spans = harness.finish();
    assert_eq!(tree(&spans), "root\n  fails [error]\n    guard [error]\n");
    assert!(spans.iter().all(|span| span.attribute("span.cancelled").is_none()));
}

// behaviour 12, 13
#[test]
fn a_spawned_task_can_carry_the_current_span() {
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(
        async {
            let task = tokio::spawn(
                async {
                    pause().await;
                    current_span().set_attribute("from", "the task");
                    start_span("in task").start().end();
                }
                .in_current_span(),
            );
            task.await.expect("the task works");
        }
        .in_span(start_span("root").inactive().start()),
    );
    let spans = harness.finish();
    assert_eq!(tree(&spans), "root\n  in task\n");
    assert!(spans.iter().any(|span| span.text("from") == Some("the task")));
}

// behaviour 12
#[test]
fn a_spawned_task_can_carry_a_trace_or_a_runtime_as_well() {
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    // The harness's runtime is what is current on this thread, and no worker knows of it.
    let task = runtime.spawn(async { start_span("of the runtime").start().end() }.in_current_span());
    runtime.block_on(task).expect("the task works");
    let trace = new_trace();
    let task = {
        let _entered = trace.enter();
        runtime.spawn(async { start_span("of the trace").start().end() }.in_current_span())
    };
    runtime.block_on(task).expect("the task works");
    let spans = harness.finish();
    assert_eq!(spans.len(), 2, "{}", tree(&spans));
    let of_trace = spans.iter().find(|span| span.name == "of the trace").expect("it is here");
    assert_eq!(of_trace.trace_id, trace.trace_id().to_string());
}

// behaviour 13: concurrent changes to one span, by handles of it on several threads
#[test]
fn one_span_can_be_changed_from_many_tasks_at_once() {
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().expect("a runtime");
    runtime.block_on(async {
        let root = start_span("root").inactive().start();
        let tasks: Vec<_> = (0..20)
            .map(|task| {
                let handle = root.handle();
                tokio::spawn(async move {
                    for round in 0..50 {
                        handle.set_attribute(format!("task {task}"), round);
                        tokio::task::yield_now().await;
                        start_span("child").parent(&handle).start().end();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("the task works");
        }
        root.end();
    });
    let spans = harness.finish();
    assert_eq!(spans.len(), 1001);
    let root = spans.iter().find(|span| span.is_segment).expect("the root");
    assert!((0..20).all(|task| root.attribute(&format!("task {task}")).and_then(serde_number) == Some(49)));
}

fn serde_number(value: &serde_json::Value) -> Option<i64> {
    value.as_i64()
}

// behaviour 12: a future that is not Send can hold a guard across an `.await`
#[test]
fn a_guard_that_is_held_across_an_await_does_not_leak_into_other_tasks() {
    let harness = Harness::new();
    block_on(async {
        let holds = async {
            let guard = start_span("held").start();
            let below = start_span("below").start();
            pause().await;
            assert_eq!(current().as_deref(), Some("below"));
            start_span("leaf").start().end();
            drop(below);
            pause().await;
            assert_eq!(current().as_deref(), Some("held"));
            drop(guard);
            assert_eq!(current().as_deref(), Some("a"));
        };
        let other = async {
            for _ in 0..4 {
                assert_eq!(current().as_deref(), Some("b"));
                pause().await;
            }
        };
        join(holds.in_span(start_span("a").inactive().start()), other.in_span(start_span("b").inactive().start()))
            .await;
        assert_eq!(current(), None);
        // And one that is dropped while it holds the guard.
        let mut dropped = Box::pin(
            async {
                let _guard = start_span("held in c").start();
                std::future::pending::<()>().await;
            }
            .in_span(start_span("c").inactive().start()),
        );
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(current(), None);
        drop(dropped);
        assert_eq!(current(), None);
    });
    let spans = harness.finish();
    let tree = tree(&spans);
    assert!(tree.contains("a\n  held\n    below\n      leaf\n"), "{tree}");
    assert!(tree.contains("c\n  held in c\n"), "{tree}");
}

// behaviour 17
#[test]
fn a_stream_carries_its_span_until_it_ends_or_is_dropped() {
    let harness = Harness::new();
    block_on(async {
        let items = stream::iter(0..3).then(|item| async move {
            pause().await;
            start_span(format!("item {item}")).start().end();
            item
        });
        let items = InstrumentStream::in_span(items, start_span("whole").inactive().start());
        assert_eq!(items.collect::<Vec<_>>().await, [0, 1, 2]);
        let endless = InstrumentStream::in_span(stream::repeat(1), start_span("cut").inactive().start());
        let mut endless = pin!(endless);
        assert_eq!(endless.next().await, Some(1));
    });
    let spans = harness.finish();
    assert!(tree(&spans).contains("whole\n  item 0\n  item 1\n  item 2\n"), "{}", tree(&spans));
    let cut = spans.iter().find(|span| span.name == "cut").expect("it ended when it was dropped");
    assert_eq!(cut.attribute("span.cancelled"), Some(&true.into()));
}

// behaviour 12
#[test]
fn a_future_carries_a_trace() {
    let harness = Harness::new();
    let trace = new_trace();
    block_on(
        async {
            start_span("one").start().end();
            pause().await;
            start_span("two").start().end();
        }
        .in_trace(trace.clone()),
    );
    start_span("outside").start().end();
    let spans = harness.finish();
    let shared = trace.trace_id().to_string();
    let inside: Vec<_> = spans.iter().filter(|span| span.trace_id == shared).map(|span| &*span.name).collect();
    assert_eq!(inside, ["one", "two"]);
}

// behaviour 10, 33
#[test]
fn an_unsampled_future_makes_what_is_in_it_unsampled() {
    let harness = Harness::sampling(0.0);
    block_on(
        async {
            start_span("child").start().end();
            pause().await;
            start_span("child").start().end();
            assert!(current_span().span_id().is_some());
        }
        .in_span(start_span("root").inactive().start()),
    );
    let stats = harness.runtime().stats();
    assert_eq!((stats.started, stats.open, stats.lost.total()), (3, 0, 3));
    assert!(harness.finish().is_empty());
}

#[test]
fn an_aborted_task_ends_its_span() {
    let harness = Harness::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let span = start_span("task").inactive().start();
    let task = runtime.spawn(std::future::pending::<()>().in_span(span));
    task.abort();
    assert!(runtime.block_on(task).expect_err("aborted").is_cancelled());
    assert!(harness.runtime().flush(SOON));
    let spans = harness.finish();
    assert_eq!(spans[0].attribute("span.cancelled"), Some(&true.into()));
}
