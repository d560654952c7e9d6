//! Spans on their way: batches, triggers and bounds, over real HTTP.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::{Answer, Receiver};
use span_runtime::{LossReason, Options, Runtime, current_span, start_span};
use span_tests::SOON;

fn receiver() -> Receiver {
    Receiver::start().expect("a port on loopback")
}

fn runtime(receiver: &Receiver) -> Runtime {
    with_options(receiver, |options| options)
}

/// One that sends each envelope once; what comes of tries after that is in `transport.rs`.
fn without_retries(receiver: &Receiver) -> Runtime {
    with_options(receiver, |options| options.retry_timeout(Duration::ZERO))
}

fn with_options(receiver: &Receiver, set: impl FnOnce(Options) -> Options) -> Runtime {
    let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0).release("tests@1").server_name("host");
    Runtime::new(set(options)).expect("the options are valid")
}

/// Nothing is open or buffered, every span is accounted for, and what was sent is what arrived, each span once.
#[track_caller]
fn assert_adds_up(runtime: &Runtime, receiver: &Receiver) {
    let stats = runtime.stats();
    assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
    assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats:?}");
    let spans = receiver.spans();
    assert_eq!(spans.len() as u64, stats.sent, "{stats:?}");
    let distinct: HashSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(distinct.len(), spans.len(), "no span twice");
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviour 38, 39, 43, 51: the receiver's checker parses the bytes and knows the rules; this pins what it cannot know
#[test]
fn an_envelope_as_it_stands_on_the_wire() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    {
        let _entered = runtime.enter();
        let _root = start_span("root").start();
        start_span("child").attribute("a", 1).start().end();
    }
    assert!(runtime.flush(SOON));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1, "one trace, one envelope");
    let request = &requests[0];
    assert_eq!((&*request.method, &*request.path), ("POST", "/api/42/envelope/"));
    assert_eq!(request.header("content-type"), Some("application/x-sentry-envelope"));
    let client = request.header("user-agent").expect("it introduces itself");
    assert!(client.starts_with("sentry.rust.span-runtime/"), "{client}");
    let auth = request.header("x-sentry-auth").expect("it has the key");
    assert!(auth.starts_with("Sentry sentry_version=7, sentry_client=sentry.rust.span-runtime/"), "{auth}");
    let envelope = &receiver.envelopes()[0];
    let trace = envelope.header["trace"].as_object().expect("a trace header");
    assert_eq!(trace["transaction"], "root");
    assert_eq!(trace["sample_rate"], "1");
    assert_eq!(trace["sampled"], "true");
    assert_eq!(trace["release"], "tests@1");
    assert_eq!(trace["environment"], "production");
    assert_eq!(envelope.item_types(), ["span"]);
    let spans = envelope.spans();
    let (child, root) = (&spans[0], &spans[1]);
    assert_eq!(child.parent_span_id.as_ref(), Some(&root.span_id));
    for span in spans {
        assert_eq!(span.text("sentry.origin"), Some("manual"));
        assert_eq!(span.text("sentry.trace_lifecycle"), Some("stream"));
        assert_eq!(span.text("sentry.sdk.name"), Some("sentry.rust.span-runtime"));
        assert_eq!(span.text("sentry.release"), Some("tests@1"));
        assert_eq!(span.text("sentry.environment"), Some("production"));
        assert_eq!(span.text("server.address"), Some("host"));
        assert_eq!(span.text("sentry.segment.id"), Some(&*root.span_id));
        assert_eq!(span.text("sentry.segment.name"), Some("root"));
        assert_eq!(span.text("process.runtime.name"), Some("rustc"));
        assert!(span.text("process.runtime.version").is_some_and(|version| version.starts_with("1.")));
        assert!(span.text("thread.id").is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit())));
        assert!(span.text("thread.name").is_some());
    }
    assert_eq!(root.text("sentry.platform"), Some("native"));
    assert_eq!(root.text("sentry.segment.name.source"), Some("custom"));
    assert_eq!(root.text("os.name"), Some(std::env::consts::OS));
    assert_eq!(child.attribute("sentry.platform"), None);
    assert_adds_up(&runtime, &receiver);
}

// behaviour 46, and 44: the 5 s after a batch's first span
#[test]
fn a_child_arrives_within_six_seconds_of_its_end_while_its_root_is_open() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    let entered = runtime.enter();
    let root = start_span("root").start();
    let opened = Instant::now();
    let handle = root.handle();
    // One on this thread, and one on a thread that then stays idle for as long as the root is open.
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            start_span("on an idle thread").parent(&handle).start().end();
            barrier.wait();
        });
        for round in 0..4 {
            // Ends spread over the time, so that the deadline of one batch is not the end of another.
            let ended = Instant::now();
            start_span(format!("child {round}")).start().end();
            let expected = receiver.span_count() + if round == 0 { 2 } else { 1 };
            assert!(receiver.wait_until(Duration::from_secs(6), |receiver| receiver.span_count() >= expected));
            assert!(ended.elapsed() < Duration::from_secs(6), "{:?}", ended.elapsed());
        }
        assert!(receiver.spans().iter().any(|span| span.name == "on an idle thread"));
        barrier.wait();
    });
    assert!(opened.elapsed() > Duration::from_secs(12), "the root was open all the time: {:?}", opened.elapsed());
    assert!(receiver.spans().iter().all(|span| span.name != "root"));
    drop(root);
    drop(entered);
    assert!(runtime.flush(SOON));
    assert_adds_up(&runtime, &receiver);
}

// behaviour 44: at most 500 ms after the segment's end
#[test]
fn a_trace_leaves_soon_after_its_segment_ends_with_its_late_children() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    let entered = runtime.enter();
    let root = start_span("root").start();
    let late = start_span("late").inactive().start();
    root.end();
    late.end();
    let ended = Instant::now();
    assert!(receiver.wait_until(SOON, |receiver| receiver.span_count() == 2));
    assert!(ended.elapsed() < Duration::from_secs(2), "{:?}", ended.elapsed());
    assert_eq!(receiver.envelopes().len(), 1, "the late child rode along");
    drop(entered);
    assert!(runtime.flush(SOON));
    assert_adds_up(&runtime, &receiver);
}

// behaviour 44, 45: in the seed, bursts lost spans at 1,000
#[test]
fn a_burst_of_50_000_spans_from_one_thread_arrives_whole() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    {
        let _entered = runtime.enter();
        let _root = start_span("burst").start();
        for at in 0..50_000 {
            start_span("child").attribute("at", at).start().end();
        }
    }
    assert!(runtime.flush(SOON));
    assert_eq!(runtime.stats().lost.total(), 0);
    assert_eq!(receiver.span_count(), 50_001);
    assert!(receiver.envelopes().iter().all(|envelope| envelope.spans().len() <= 1000));
    assert_adds_up(&runtime, &receiver);
}

// behaviour 44, 45
#[test]
fn a_burst_of_four_times_12_500_spans_from_four_threads_arrives_whole() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    {
        let _entered = runtime.enter();
        let root = start_span("burst").start();
        let handle = root.handle();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _part = start_span("part").parent(&handle).start();
                    for _ in 0..12_500 {
                        start_span("child").start().end();
                    }
                });
            }
        });
    }
    assert!(runtime.flush(SOON));
    assert_eq!(runtime.stats().lost.total(), 0);
    assert_eq!(receiver.span_count(), 50_005);
    assert!(receiver.envelopes().iter().all(|envelope| envelope.spans().len() <= 1000));
    assert_adds_up(&runtime, &receiver);
}

// behaviour 43
#[test]
fn traces_never_share_an_envelope() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    thread::scope(|scope| {
        for thread in 0..4 {
            let runtime = &runtime;
            scope.spawn(move || {
                let _entered = runtime.enter();
                let roots: Vec<_> =
                    (0..16).map(|at| start_span(format!("root {thread} {at}")).root().inactive().start()).collect();
                for round in 0..50 {
                    for root in &roots {
                        let span = start_span("child").parent(root).start();
                        start_span("grandchild").attribute("round", round).start().end();
                        assert_eq!(current_span().span_id(), span.span_id());
                    }
                }
            });
        }
    });
    assert!(runtime.flush(SOON));
    assert_eq!(receiver.span_count(), 64 * 101);
    let mut traces = HashSet::new();
    for envelope in receiver.envelopes() {
        let trace = envelope.trace_id().expect("a trace").to_owned();
        assert!(envelope.spans().iter().all(|span| span.trace_id == trace));
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 64);
    // Parents are intact: every span but the roots has one, in its own trace.
    let spans = receiver.spans();
    let ids: HashSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    for span in &spans {
        assert_eq!(span.parent_span_id.is_none(), span.is_segment);
        if let Some(parent) = &span.parent_span_id {
            assert!(ids.contains(&(&span.trace_id, parent)), "{}", span.name);
        }
    }
    assert_adds_up(&runtime, &receiver);
}

/// Ends spans for a while, and returns the median of what an end costs, in nanoseconds.
fn median_cost(spans: usize) -> u64 {
    let mut costs: Vec<u64> = (0..spans)
        .map(|_| {
            let span = start_span("measured").start();
            let begin = Instant::now();
            span.end();
            u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

// behaviour 48: what an end costs does not depend on the endpoint, which would be off by a factor of thousands
#[test]
fn a_hanging_endpoint_holds_up_nobody_and_the_losses_are_counted() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    let runtime = with_options(&receiver, |options| options.max_buffer_bytes(4 << 20));
    let _entered = runtime.enter();
    let root = start_span("root").start();
    let mut highest = 0;
    let deadline = Instant::now() + SOON;
    // Until the bound is reached and traces are dropped.
    while runtime.stats().lost.get(LossReason::BufferOverflow) == 0 && Instant::now() < deadline {
        let cost = median_cost(2000);
        assert!(cost < 100_000, "the median end took {cost} ns");
        highest = highest.max(runtime.stats().buffered_bytes);
        start_span("another trace").root().start().end();
    }
    assert!(runtime.stats().lost.get(LossReason::BufferOverflow) > 0);
    assert!(highest <= 4 << 20, "{highest}");
    drop(root);
    let started = Instant::now();
    assert!(!runtime.flush(Duration::from_millis(300)));
    assert!(started.elapsed() < Duration::from_secs(3), "a flush keeps to its bound");
    // It comes back, and what is still buffered arrives.
    receiver.answer_with(Answer::status(200));
    let root = start_span("after").start();
    drop(root);
    assert!(receiver.wait_until(SOON, |receiver| receiver.spans().iter().any(|span| span.name == "after")));
    runtime.flush(SOON);
    assert_eq!(receiver.violations(), [""; 0]);
    let stats = runtime.stats();
    assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
    assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats:?}");
}

// behaviour 48
#[test]
fn slow_and_refusing_endpoints_do_not_change_what_an_end_costs() {
    for answer in [Answer::status(200).after(Duration::from_millis(300)), Answer::close(), Answer::status(503)] {
        let receiver = receiver();
        receiver.answer_with(answer.clone());
        let runtime = without_retries(&receiver);
        {
            let _entered = runtime.enter();
            let _root = start_span("root").start();
            for _ in 0..5 {
                let cost = median_cost(1000);
                assert!(cost < 100_000, "the median end took {cost} ns in front of {answer:?}");
            }
        }
        runtime.flush(SOON);
        let stats = runtime.stats();
        assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
        assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats:?}");
        assert_eq!(receiver.violations(), [""; 0]);
    }
}

// behaviour 50, 52
#[test]
fn refused_and_failed_envelopes_are_counted_by_reason() {
    for (answer, reason) in [
        (Answer::status(400), LossReason::SendError),
        (Answer::status(413), LossReason::SendError),
        (Answer::status(503), LossReason::NetworkError),
        (Answer::close(), LossReason::NetworkError),
        (Answer::garbage(), LossReason::NetworkError),
        (Answer::redirect("http://127.0.0.1:1/"), LossReason::NetworkError),
    ] {
        let receiver = receiver();
        receiver.answer_with(answer.clone());
        let runtime = without_retries(&receiver);
        {
            let _entered = runtime.enter();
            let _root = start_span("root").start();
            start_span("child").start().end();
        }
        assert!(!runtime.flush(SOON), "it did not arrive: {answer:?}");
        let stats = runtime.stats();
        assert_eq!(stats.lost.get(reason), 2, "{answer:?} {stats:?}");
        assert_eq!((stats.lost.total(), stats.sent, stats.buffered, stats.open), (2, 0, 0, 0), "{answer:?}");
        assert_eq!(receiver.violations(), [""; 0]);
    }
}

// behaviour 48
#[test]
fn nobody_listening_is_a_loss_that_is_counted() {
    let gone = receiver();
    let runtime = without_retries(&gone);
    drop(gone);
    {
        let _entered = runtime.enter();
        start_span("root").start().end();
    }
    assert!(!runtime.flush(SOON));
    assert_eq!(runtime.stats().lost.get(LossReason::NetworkError), 1);
}

// behaviour 49
#[test]
fn losses_are_reported_with_the_next_envelope_and_again_if_that_one_is_lost() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    let entered = runtime.enter();
    receiver.answer_next(Answer::status(400));
    start_span("lost").start().end();
    assert!(!runtime.flush(SOON));
    // Reports are looked at once a second at most; closing does not wait for that.
    start_span("sent").start().end();
    drop(entered);
    assert!(runtime.close(SOON));
    assert_eq!(receiver.client_reports(), [("send_error".to_owned(), "span".to_owned(), 1)]);
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviour 49
#[test]
fn spans_that_were_not_sampled_are_reported_at_close_and_not_when_reports_are_off() {
    for reports in [true, false] {
        let receiver = receiver();
        let runtime = with_options(&receiver, |options| options.traces_sample_rate(0.0).send_client_reports(reports));
        {
            let _entered = runtime.enter();
            let _root = start_span("root").start();
            start_span("child").start().end();
        }
        assert!(runtime.close(SOON));
        let expected: &[(String, String, u64)] =
            if reports { &[("sample_rate".into(), "span".into(), 2)] } else { &[] };
        assert_eq!(receiver.client_reports(), expected);
        assert_eq!(receiver.violations(), [""; 0]);
    }
}

// behaviour 47
#[test]
fn closing_in_front_of_a_hanging_endpoint_keeps_to_its_bound_and_counts_what_is_left() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0);
    let guard = span_runtime::init(options).expect("the one test of this binary that installs a runtime");
    {
        let _root = start_span("root").start();
        for _ in 0..2500 {
            start_span("child").start().end();
        }
    }
    let begin = Instant::now();
    let (sent, stats) = guard.close(Duration::from_millis(500));
    assert!(!sent);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(stats.lost.get(LossReason::NetworkError), 2501, "{stats:?}");
    assert_eq!((stats.started, stats.sent, stats.buffered, stats.open), (2501, 0, 0, 0), "{stats:?}");
}

// behaviour 44: an envelope's size, and a span that is larger than one
#[test]
fn a_batch_is_split_by_size_and_a_span_that_is_too_large_is_lost_alone() {
    let receiver = receiver();
    let runtime = runtime(&receiver);
    {
        let _entered = runtime.enter();
        let _root = start_span("root").start();
        // Control characters take six bytes each, which no estimate expects.
        for _ in 0..12 {
            start_span("large").attribute("text", "\u{1}".repeat(900_000)).start().end();
        }
        start_span("too large").attribute("text", "x".repeat(11 << 20)).start().end();
    }
    assert!(!runtime.flush(SOON), "one span was lost");
    assert_eq!(runtime.stats().lost.get(LossReason::BufferOverflow), 1);
    assert_eq!(receiver.span_count(), 13);
    assert!(receiver.envelopes().iter().all(|envelope| envelope.raw.len() < (10 << 20) + 4096));
    assert_adds_up(&runtime, &receiver);
}

// behaviour 47, 49: a server that is down is not asked again and again at the end
#[test]
fn closing_in_front_of_a_failing_endpoint_is_quick_and_quiet() {
    let receiver = receiver();
    receiver.answer_with(Answer::status(503));
    let runtime = runtime(&receiver);
    {
        let _entered = runtime.enter();
        start_span("root").start().end();
    }
    let begin = Instant::now();
    assert!(!runtime.close(Duration::from_secs(10)));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(receiver.request_count() <= 2, "{} requests", receiver.request_count());
}
