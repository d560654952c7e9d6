//! What is current, taken to other threads.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use span_runtime::testing::{CaptureTransport, tree};
use span_runtime::{
    Context, Options, Parent, Runtime, continue_trace, current_span, new_trace, start_span, trace_headers,
};
use span_tests::{Harness, SOON};

/// Runs `f` on a thread of its own.
fn elsewhere<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(f).join().expect("it does not panic"))
}

// behaviours 10, 13
#[test]
fn a_span_is_current_elsewhere_while_it_is_entered_and_not_afterwards() {
    let harness = Harness::new();
    let outer = start_span("outer").start();
    let here = Context::current();
    elsewhere(|| {
        let entered = here.enter();
        assert_eq!(current_span().name().as_deref(), Some("outer"));
        current_span().set_attribute("seen", true);
        start_span("inside").start().end();
        drop(entered);
        assert_eq!(current_span().span_id(), None);
    });
    assert_eq!(outer.attribute("seen").and_then(|seen| seen.as_bool()), Some(true));
    outer.end();
    assert_eq!(tree(&harness.finish()), "outer\n  inside\n");
}

// behaviours 9, 10
#[test]
fn it_can_be_entered_twice_at_once_and_left_in_any_order() {
    let harness = Harness::new();
    let (first, second) = (start_span("first").inactive().start(), start_span("second").inactive().start());
    let (in_first, in_second) = (Context::of(&first.handle()), Context::of(&second.handle()));
    thread::scope(|scope| {
        for name in ["one thread", "another thread"] {
            let in_first = &in_first;
            scope.spawn(move || in_first.run(|| start_span(name).start().end()));
        }
    });
    let one = in_first.enter();
    let two = in_second.enter();
    let again = in_first.enter();
    drop(two);
    start_span("again").start().end();
    drop(one);
    start_span("still").start().end();
    drop(again);
    assert_eq!(current_span().span_id(), None);
    second.end();
    drop(first);
    let mut lines: Vec<String> = tree(&harness.finish()).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["  again", "  another thread", "  one thread", "  still", "---", "first", "second"]);
}

// behaviours 9, 12, 28
#[test]
fn traces_runtimes_and_unsampled_segments_are_taken_along() {
    const INCOMING: &str = "771a43a4192642f0b136d5159a501700-b7ad6b7169203331";
    let harness = Harness::new();
    let in_runtime = Context::current();
    let trace = new_trace();
    let in_trace = {
        let _entered = trace.enter();
        Context::current()
    };
    let in_other = {
        let _entered = continue_trace([("sentry-trace", INCOMING)]).enter();
        Context::current()
    };
    elsewhere(|| {
        start_span("nowhere").start().end();
        in_runtime.run(|| start_span("of the runtime").start().end());
        in_trace.run(|| assert_eq!(start_span("of the trace").start().trace_id(), Some(trace.trace_id())));
        in_other.run(|| assert_eq!(trace_headers().sentry_trace(), Some(INCOMING)));
    });
    assert_eq!(tree(&harness.finish()), "of the runtime\n---\nof the trace\n");

    let harness = Harness::sampling(0.0);
    let root = start_span("root").start();
    let (unsampled, trace_id) = (Context::current(), root.trace_id());
    elsewhere(|| {
        let _entered = unsampled.enter();
        assert_eq!(start_span("child").start().trace_id(), trace_id);
    });
    root.end();
    assert_eq!(harness.runtime().stats().started, 2);
    assert!(harness.finish().is_empty());
}

// behaviour 48
#[test]
fn where_nothing_is_to_be_recorded_nothing_is_recorded_elsewhere_either() {
    let harness = Harness::new();
    let outer = start_span("outer").start();
    let in_outer = Context::current();
    let options = Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0);
    let hooked = options.before_send_span(move |_| {
        in_outer.run(|| start_span("brought in").start().end());
        let here = Context::current();
        elsewhere(|| here.run(|| start_span("from a hook").start().end()));
    });
    let runtime = Runtime::new(hooked).expect("the options are valid");
    {
        let _entered = runtime.enter();
        start_span("seen by the hook").start().end();
    }
    assert!(runtime.flush(SOON));
    assert_eq!(runtime.stats().started, 1);
    outer.end();
    assert_eq!(tree(&harness.finish()), "outer\n");
}

// behaviour 8
#[test]
fn a_panic_leaves_it() {
    let harness = Harness::new();
    let span = start_span("span").inactive().start();
    let context = Context::of(&span.handle());
    let result = catch_unwind(AssertUnwindSafe(|| context.run(|| panic!("on purpose"))));
    assert!(result.is_err());
    assert_eq!(current_span().span_id(), None);
    span.end();
    assert_eq!(tree(&harness.finish()), "span\n", "the span itself has not been left by the panic");
}

// behaviour 26
#[test]
fn where_there_is_nothing_there_is_nothing_to_take_along() {
    let context = Context::current();
    let entered = context.enter();
    assert_eq!(current_span().span_id(), None);
    drop(entered);
    let harness = Harness::new();
    let nothing = Context::of(&context.run(|| current_span().handle()));
    let outer = start_span("outer").start();
    nothing.run(|| assert_eq!(current_span().name().as_deref(), Some("outer")));
    drop(outer);
    assert_eq!(tree(&harness.finish()), "outer\n");
}

// behaviours 26, 35
#[test]
fn what_may_be_recorded_is_known_before_it_starts() {
    let all = || [Parent::CURRENT, Parent::ONLY_CURRENT, Parent::ROOT].map(|parent| parent.may_record());
    assert_eq!(all(), [false; 3], "there is no runtime");
    let harness = Harness::sampling(0.0);
    assert_eq!(all(), [false; 3], "nothing is sampled");
    harness.finish();
    let harness = Harness::with(|options| options.traces_sample_rate(1.0).ignore_spans(["ignored"]));
    assert_eq!(all(), [true, false, true]);
    let root = start_span("root").start();
    assert_eq!(all(), [true; 3]);
    assert!(Parent::of(&root).may_record());
    {
        let _ignored = start_span("ignored").start();
        assert_eq!(all(), [true; 3], "what is below hangs on `root`");
    }
    root.end();
    let segment = start_span("ignored").start();
    assert_eq!(all(), [false, false, true]);
    drop(segment);
    assert_eq!(tree(&harness.finish()), "root\n");
}
