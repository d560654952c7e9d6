//! Which segments are sampled, and by whose decision. (behaviours 23 to 27)
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::CaptureTransport;
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{
    LossReason, Options, Runtime, SpanGuard, Stats, Value, continue_trace, current_span, names, new_trace, start_span,
    trace_headers,
};
use span_tests::{Harness, SOON};

span_runtime::lifecycle!(stream);

const TRACE: &str = "771a43a4192642f0b136d5159a501700";
const PARENT: &str = "b7ad6b7169203331";

fn incoming(flag: &str, baggage: &str) -> [(&'static str, String); 2] {
    [("sentry-trace", format!("{TRACE}-{PARENT}{flag}")), ("baggage", baggage.to_owned())]
}

fn in_trace<R>(flag: &str, baggage: &str, f: impl FnOnce() -> R) -> R {
    let _entered = continue_trace(incoming(flag, baggage)).enter();
    f()
}

fn sampled() -> bool {
    start_span("segment").start().is_sampled()
}

// behaviour 23
#[test]
fn the_sampler_wins_over_the_parent_and_the_parent_over_the_rate() {
    for rate in [0.0, 1.0] {
        let harness = Harness::sampling(rate);
        assert_eq!(sampled(), rate == 1.0);
        assert!(in_trace("-1", "", sampled));
        assert!(!in_trace("-0", "", sampled));
        assert_eq!(in_trace("", "", sampled), rate == 1.0, "deferred: decided here");
        harness.finish();

        let harness = Harness::with(|options| options.traces_sample_rate(1.0 - rate).traces_sampler(move |_| rate));
        for flag in ["-1", "-0", ""] {
            assert_eq!(in_trace(flag, "", sampled), rate == 1.0, "{flag}");
        }
        harness.finish();
    }
}

// behaviours 23, 25
#[test]
fn the_number_that_came_in_decides_strictly_below_the_rate() {
    let harness = Harness::sampling(0.5);
    assert!(in_trace("", "sentry-sample_rand=0.499999", sampled));
    assert!(!in_trace("", "sentry-sample_rand=0.5", sampled));
    assert!(!in_trace("", "sentry-sample_rand=0.999999", sampled));
    let spans = harness.finish();
    assert_eq!(spans.len(), 1);
}

// behaviour 25
#[test]
fn a_number_that_is_made_up_agrees_with_the_decision_and_rate_that_came_in() {
    // A sampler that decides by the parent's rate comes to the parent's decision, whatever the trace.
    let harness = Harness::with(|options| {
        options.traces_sampler(|segment| segment.parent_sample_rate().expect("the parent's rate is known"))
    });
    for at in 0..200_u32 {
        let rate = f64::from(at % 9 + 1) / 10.0;
        for (flag, decided) in [("-1", true), ("-0", false)] {
            let sentry_trace =
                format!("{:032x}-{PARENT}{flag}", ((u128::from(at) + 1) << 64) | (u128::from(at) * 7919 + 1));
            let headers = [("sentry-trace", sentry_trace), ("baggage", format!("sentry-sample_rate={rate}"))];
            let _entered = continue_trace(headers).enter();
            assert_eq!(sampled(), decided, "{at} {rate} {flag}");
        }
    }
    harness.finish();
}

// behaviour 25
#[test]
fn the_number_of_a_head_has_six_decimals_and_goes_out() {
    let harness = Harness::new();
    for _ in 0..100 {
        let span = start_span("head").start();
        let headers = span.trace_headers();
        let baggage =
            span_runtime::propagation::Baggage::parse(headers.baggage().expect("baggage")).expect("well formed");
        let rand = baggage.get("sample_rand").expect("a number");
        assert!(rand.len() == 8 && (0.0..1.0).contains(&rand.parse::<f64>().expect("a number")), "{rand}");
    }
    harness.finish();
}

// behaviour 24
#[test]
fn the_sampler_is_given_what_is_known_at_the_start() {
    #[derive(Debug, PartialEq)]
    struct Seen(String, Option<Value>, Option<Value>, Option<Value>, String, Option<String>, Option<bool>, Option<f64>);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let harness = Harness::with(|options| {
        options.traces_sampler(move |segment| {
            let attribute = |key| segment.attribute(key).cloned();
            let seen = Seen(
                segment.name().to_owned(),
                attribute("http.route"),
                attribute(names::OP),
                attribute("queue.depth"),
                segment.trace_id().to_string(),
                segment.parent_span_id().map(|id| id.to_string()),
                segment.parent_sampled(),
                segment.parent_sample_rate(),
            );
            sink.lock().expect("one at a time").push(seen);
            1.0
        })
    });
    {
        let trace = continue_trace(incoming("-0", "sentry-sample_rate=0.25")).sampling_attribute("queue.depth", 7);
        let _entered = trace.enter();
        let _segment = start_span("GET /a").attribute("http.route", "/a").attribute(names::OP, "http.server").start();
        let _child = start_span("child").start();
    }
    let own = start_span("owned".to_owned()).start().trace_id().expect("an id").to_string();
    let by_macro = span!("by macro", "sentry.op" = "task", { current_span().trace_id().expect("an id").to_string() });
    let spans = harness.finish();
    let text = |text: &str| Some(Value::of(text));
    assert_eq!(
        *seen.lock().expect("one at a time"),
        [
            Seen(
                "GET /a".into(),
                text("/a"),
                text("http.server"),
                Some(Value::of(7)),
                TRACE.into(),
                Some(PARENT.into()),
                Some(false),
                Some(0.25)
            ),
            Seen("owned".into(), None, None, None, own, None, None, None),
            Seen("by macro".into(), None, text("task"), None, by_macro, None, None, None),
        ],
        "once for each segment, and not for its children"
    );
    assert!(spans.iter().all(|span| span.attribute("queue.depth").is_none()), "what is for the sampler is not sent");
}

// behaviour 24
#[test]
fn what_is_no_rate_samples_nothing_and_a_panic_is_counted_as_such() {
    for (result, reason) in [
        (Some(f64::NAN), LossReason::SampleRate),
        (Some(-0.1), LossReason::SampleRate),
        (Some(1.1), LossReason::SampleRate),
        (None, LossReason::CallbackError),
    ] {
        let harness = Harness::with(|options| options.traces_sampler(move |_| result.expect("the sampler panics")));
        {
            let _segment = start_span("segment").start();
            let _child = start_span("child").start();
            assert!(!current_span().is_sampled());
        }
        assert!(harness.runtime().flush(SOON));
        assert_eq!(harness.runtime().stats().lost.get(reason), 2, "{result:?}: children as well");
        assert!(harness.finish().is_empty());
    }
}

#[test]
fn a_sampler_that_starts_spans_blocks_or_looks_around_harms_nothing_but_its_own_result() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let harness = Harness::with(|options| {
        options.traces_sampler(move |segment| {
            counted.fetch_add(1, Ordering::Relaxed);
            if segment.name() == "slow" {
                thread::sleep(Duration::from_secs(1));
            }
            let span = start_span("in the sampler").start();
            assert!(!span.is_sampled() && span.trace_id().is_none() && trace_headers().is_empty());
            let in_trace = new_trace().enter();
            assert!(!start_span("in a trace in the sampler").start().is_sampled());
            drop(in_trace);
            current_span().set_attribute("from the sampler", true);
            span!("also in the sampler", { 1.0 })
        })
    });
    let outer = start_span("outer").start();
    let slow = thread::scope(|scope| {
        let runtime = harness.runtime();
        let slow = scope.spawn(move || {
            let _entered = runtime.enter();
            let began = Instant::now();
            assert!(start_span("slow").start().is_sampled());
            began.elapsed()
        });
        // Meanwhile others start theirs.
        let _inner = start_span("inner root").root().start();
        assert!(current_span().is_sampled());
        slow.join().expect("it is sampled")
    });
    assert!(slow >= Duration::from_secs(1));
    drop(outer);
    let spans = harness.finish();
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["inner root", "outer", "slow"]);
    assert!(spans.iter().all(|span| span.attribute("from the sampler").is_none()));
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

// behaviour 26
#[test]
fn with_tracing_off_a_trace_is_passed_on_as_it_came() {
    let harness = Harness::with(|options| options);
    for flag in ["-1", "-0", ""] {
        let baggage = "sentry-release=a%40b,sentry-a-b=c";
        in_trace(flag, baggage, || {
            let span = start_span("nothing").start();
            assert!(!span.is_sampled());
            for headers in [trace_headers(), span.trace_headers(), current_span().trace_headers()] {
                assert_eq!(headers.sentry_trace(), Some(&*format!("{TRACE}-{PARENT}{flag}")));
                assert_eq!(headers.baggage(), Some(baggage));
            }
        });
    }
    assert!(trace_headers().is_empty(), "no trace, no headers");
    assert_eq!(harness.runtime().stats(), Stats::default(), "nothing is counted");
    harness.finish();
}

// behaviours 23, 26
#[test]
fn unsampled_spans_never_evaluate_their_attributes() {
    let evaluated = Cell::new(0);
    let evaluate = || evaluated.set(evaluated.get() + 1);
    for rate in [Some(0.0), None] {
        let harness = Harness::with(|options| match rate {
            Some(rate) => options.traces_sample_rate(rate),
            None => options,
        });
        span!("segment", "a" = evaluate_to(&evaluate), {
            span!("child", "a" = evaluate_to(&evaluate), "b" = evaluate_to(&evaluate), {});
            span!("inactive child", inactive, "a" = evaluate_to(&evaluate), {});
        });
        harness.finish();
    }
    assert_eq!(evaluated.get(), 0);
    let harness = Harness::sampling(0.0);
    in_trace("-1", "", || span!("sampled by its parent", "a" = evaluate_to(&evaluate), {}));
    assert_eq!((evaluated.get(), harness.finish().len()), (1, 1), "the parent's decision is known before");
}

fn evaluate_to(evaluate: &impl Fn()) -> u32 {
    evaluate();
    7
}

thread_local! {
    static LATE: LateSpan = const { LateSpan };
}

/// What [`LateSpan`] was given.
static LATE_GUARD: Mutex<String> = Mutex::new(String::new());

/// Makes a span when its thread has given up everything else.
struct LateSpan;

impl Drop for LateSpan {
    fn drop(&mut self) {
        let guard = start_span("after the end of the thread").start();
        *LATE_GUARD.lock().expect("nobody panics with it") = format!("{guard:?}");
    }
}

// behaviour 50: the counters of a thread that is gone are another's by then
#[test]
fn a_span_after_the_end_of_its_thread_is_counted_for_nobody() {
    let (all, none) = (Harness::sampling(1.0), Harness::sampling(0.0));
    let kept = {
        let _entered = all.runtime().enter();
        start_span("kept").inactive().start()
    };
    let handle = kept.handle();
    thread::scope(|scope| {
        let (runtime, handle) = (none.runtime(), &handle);
        let thread = scope.spawn(move || {
            // First here is last to go.
            LATE.with(|_| {});
            std::mem::forget(runtime.enter());
            std::mem::forget(start_span("unsampled").start());
            // Above it when the thread ends, so that what is not sampled is current once more at the end.
            std::mem::forget(start_span("recorded").parent(handle).start());
        });
        // Its thread-local values are gone after this, and only after this.
        thread.join().expect("it does not panic");
    });
    drop(kept);
    assert_eq!(*LATE_GUARD.lock().expect("nobody panics with it"), "SpanGuard(records nothing)");
    assert_eq!(all.runtime().stats().started, 2);
    assert_eq!(none.runtime().stats().started, 1);
}

/// Takes envelopes only as long as it may.
struct Limited(CaptureTransport, Arc<AtomicUsize>);

impl Transport for Limited {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        let mut response = self.0.send(envelope)?;
        if self.1.load(Ordering::Acquire) > 0 {
            response.rate_limits = Some("2:span".into());
        }
        Ok(response)
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

fn rate_that_goes_out() -> f64 {
    let span: SpanGuard = start_span("segment").start();
    let headers = span.trace_headers();
    let baggage = span_runtime::propagation::Baggage::parse(headers.baggage().expect("baggage")).expect("well formed");
    baggage.get("sample_rate").expect("a rate").parse().expect("a number")
}

// behaviours 27, 52
#[test]
fn while_the_server_asks_for_a_pause_the_rate_is_halved_and_comes_back() {
    for enabled in [true, false] {
        let (capture, limited) = (CaptureTransport::new(), Arc::new(AtomicUsize::new(1)));
        let options = Options::new()
            .transport(Limited(capture.clone(), Arc::clone(&limited)))
            .traces_sample_rate(1.0)
            .enable_backpressure_handling(enabled);
        let runtime = Runtime::new(options).expect("the options are valid");
        let _entered = runtime.enter();
        drop(start_span("the first").start());
        assert!(runtime.flush(SOON), "the answer to this one limits");
        if enabled {
            wait_for(|| rate_that_goes_out() < 1.0);
            wait_for(|| {
                drop(start_span("segment").start());
                runtime.stats().lost.get(LossReason::Backpressure) > 0
            });
        }
        // The pause ends, and nothing limits any more.
        limited.store(0, Ordering::Release);
        wait_for(|| rate_that_goes_out() == 1.0);
        if !enabled {
            assert_eq!(runtime.stats().lost.get(LossReason::Backpressure), 0);
        }
        wait_for(|| runtime.flush(SOON));
        let stats = runtime.stats();
        assert_eq!(stats.started, stats.sent + stats.lost.total() + stats.buffered + stats.open, "{stats:?}");
    }
}
