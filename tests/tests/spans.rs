//! Starting and ending spans: guards, spans, handles, parents, the current span, attributes, links, status.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, SystemTime};

use span_runtime::testing::{Span as Received, tree};
use span_runtime::{Link, Parent, Runtime, Status, Value, current_span, debug, display, new_trace, start_span};
use span_tests::Harness;

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "one span named {name}");
    found[0]
}

fn parent_of<'a>(spans: &'a [Received], name: &str) -> Option<&'a str> {
    let parent = named(spans, name).parent_span_id.as_deref()?;
    Some(&spans.iter().find(|span| span.span_id == parent).expect("the parent was received").name)
}

fn current_name() -> Option<String> {
    current_span().name()
}

// behaviour 6
#[test]
fn guard_drop_and_end_are_the_same_and_a_span_starts_when_it_is_started() {
    let harness = Harness::new();
    let before = SystemTime::now();
    let span = start_span("late").inactive().start();
    let handle = span.handle();
    {
        let _dropped = start_span("dropped").start();
    }
    start_span("ended").start().end();
    assert_eq!(handle.name().as_deref(), Some("late"));
    span.end();
    let spans = harness.finish();
    assert_eq!(spans.len(), 3);
    let late = named(&spans, "late");
    assert!(late.start_timestamp <= named(&spans, "dropped").start_timestamp);
    assert!(late.end_timestamp >= named(&spans, "ended").end_timestamp);
    let before = before.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((late.start_timestamp - before).abs() < 5.0, "the wall clock's time");
}

// behaviour 6, 41
#[test]
fn times_of_the_callers_own_are_kept_and_an_end_is_never_before_the_start() {
    let harness = Harness::new();
    let now = SystemTime::now();
    let start = now - Duration::from_secs(10);
    start_span("back-dated").start_time(start).start().end_at(now - Duration::from_secs(4));
    start_span("backwards").start().end_at(now - Duration::from_secs(100));
    start_span("owned").start_time(start).inactive().start().end_at(now);
    let spans = harness.finish();
    assert!((named(&spans, "back-dated").duration().as_secs_f64() - 6.0).abs() < 1e-3);
    assert_eq!(named(&spans, "backwards").duration(), Duration::ZERO);
    assert!((named(&spans, "owned").duration().as_secs_f64() - 10.0).abs() < 1e-3);
}

// behaviour 7, 8
#[test]
fn early_returns_and_question_marks_end_the_span_and_leave_the_right_one_current() {
    fn fails() -> Result<(), std::num::ParseIntError> {
        let _span = start_span("fails").start();
        "x".parse::<u8>()?;
        Ok(())
    }
    let harness = Harness::new();
    let outer = start_span("outer").start();
    assert!(fails().is_err());
    assert_eq!(current_name().as_deref(), Some("outer"));
    outer.end();
    assert_eq!(current_name(), None);
    assert_eq!(tree(&harness.finish()), "outer\n  fails\n");
}

// behaviour 8
#[test]
fn a_panic_that_unwinds_through_a_span_makes_it_an_error_and_nothing_else_one() {
    struct InDrop;
    impl Drop for InDrop {
        fn drop(&mut self) {
            start_span("while unwinding").start().end();
        }
    }
    let harness = Harness::new();
    let outer = start_span("outer").start();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _inner = start_span("inner").start();
        let _in_drop = InDrop;
        panic!("on purpose");
    }));
    assert!(result.is_err());
    assert_eq!(current_name().as_deref(), Some("outer"));
    outer.end();
    assert_eq!(tree(&harness.finish()), "outer\n  inner [error]\n    while unwinding\n");
}

// behaviour 8
#[test]
fn status_is_ok_unless_set() {
    let harness = Harness::new();
    let span = start_span("changed").start();
    assert_eq!(span.status(), Some(Status::Ok));
    span.set_status(Status::Error);
    span.set_status(Status::Ok);
    span.set_status(Status::Error);
    drop(span);
    assert_eq!(tree(&harness.finish()), "changed [error]\n");
}

// behaviour 9
#[test]
fn an_inactive_span_is_a_child_and_never_current() {
    let harness = Harness::new();
    let root = start_span("root").start();
    let inactive = start_span("inactive").inactive().start();
    assert_eq!(current_name().as_deref(), Some("root"));
    start_span("sibling").start().end();
    drop(root);
    drop(inactive);
    let spans = harness.finish();
    assert_eq!(parent_of(&spans, "inactive"), Some("root"));
    assert_eq!(parent_of(&spans, "sibling"), Some("root"));
}

// behaviour 9, 10, 33
#[test]
fn unsampled_spans_are_never_sent_whichever_way_they_hang_together() {
    let harness = Harness::sampling(0.0);
    {
        let root = start_span("root").start();
        assert!(!root.is_sampled());
        let inactive = start_span("inactive").inactive().start();
        assert!(!inactive.is_sampled());
        assert_eq!(current_span().span_id(), root.span_id(), "the inactive one is not current");
        let child = start_span("child").start();
        assert_eq!(child.trace_id(), root.trace_id());
        assert!(child.span_id().is_some(), "a valid id for outgoing headers");
        thread::scope(|scope| {
            let handle = root.handle();
            scope.spawn(move || start_span("elsewhere").parent(&handle).start().end());
        });
        start_span("below inactive").parent(&inactive).start().end();
        let stats = harness.runtime().stats();
        assert_eq!((stats.started, stats.open, stats.lost.total()), (5, 3, 2));
    }
    let stats = harness.runtime().stats();
    assert_eq!((stats.started, stats.open), (5, 0));
    assert_eq!(stats.lost.get(span_runtime::LossReason::SampleRate), 5);
    assert!(harness.finish().is_empty());
}

// behaviour 10
#[test]
fn a_parent_overrides_the_current_span_and_none_makes_a_root() {
    let harness = Harness::new();
    let outer = start_span("outer").start();
    let other = start_span("other").inactive().start();
    start_span("of other").parent(&other).start().end();
    start_span("of handle").parent(other.handle()).start().end();
    start_span("of some").parent(Some(&other)).start().end();
    start_span("of none").parent(None::<&span_runtime::Span>).start().end();
    start_span("of root").root().start().end();
    start_span("of current").parent(Parent::CURRENT).start().end();
    start_span("of guard").parent(&outer).start().end();
    let trace = outer.trace_id().expect("sampled").to_string();
    drop((outer, other));
    let spans = harness.finish();
    for (name, parent) in [
        ("of other", Some("other")),
        ("of handle", Some("other")),
        ("of some", Some("other")),
        ("of none", None),
        ("of root", None),
        ("of current", Some("outer")),
        ("of guard", Some("outer")),
    ] {
        assert_eq!(parent_of(&spans, name), parent, "{name}");
        let span = named(&spans, name);
        assert_eq!(span.is_segment, parent.is_none(), "{name}");
        assert_eq!(span.trace_id == trace, parent.is_some(), "{name}");
    }
}

// behaviour 10
#[test]
fn a_parent_may_have_ended_and_may_live_on_another_thread() {
    let harness = Harness::new();
    let handle = {
        let parent = start_span("parent").start();
        parent.handle()
    };
    start_span("after").parent(&handle).start().end();
    thread::spawn(move || {
        let child = start_span("elsewhere").parent(&handle).start();
        start_span("below").start().end();
        child.end();
    })
    .join()
    .expect("the thread works");
    let spans = harness.finish();
    assert_eq!(parent_of(&spans, "after"), Some("parent"));
    assert_eq!(parent_of(&spans, "elsewhere"), Some("parent"));
    assert_eq!(parent_of(&spans, "below"), Some("elsewhere"));
    assert_ne!(named(&spans, "elsewhere").attribute("thread.id"), named(&spans, "parent").attribute("thread.id"));
}

// behaviour 11
#[test]
fn ending_out_of_order_never_leaves_an_ended_span_current() {
    let harness = Harness::new();
    let a = start_span("a").start();
    let b = start_span("b").start();
    let c = start_span("c").start();
    b.end();
    assert_eq!(current_name().as_deref(), Some("c"));
    start_span("below c").start().end();
    c.end();
    assert_eq!(current_name().as_deref(), Some("a"), "b is passed over");
    start_span("below a").start().end();
    a.end();
    assert_eq!(current_name(), None);
    // The root ends first.
    let root = start_span("root").start();
    let child = start_span("child").start();
    root.end();
    start_span("grandchild").start().end();
    child.end();
    assert_eq!(current_name(), None);
    let spans = harness.finish();
    for (name, parent) in
        [("c", "b"), ("below c", "c"), ("below a", "a"), ("b", "a"), ("child", "root"), ("grandchild", "child")]
    {
        assert_eq!(parent_of(&spans, name), Some(parent), "{name}");
    }
    assert_eq!(named(&spans, "root").trace_id, named(&spans, "grandchild").trace_id);
}

// behaviour 12
#[test]
fn each_segment_has_a_trace_of_its_own_unless_a_scope_shares_one() {
    let harness = Harness::new();
    start_span("one").start().end();
    start_span("two").start().end();
    let trace = new_trace();
    {
        let _in_trace = trace.enter();
        start_span("three").start().end();
        start_span("four").start().end();
        let outer = start_span("five").start();
        start_span("root inside").root().start().end();
        outer.end();
    }
    start_span("six").start().end();
    let spans = harness.finish();
    let of = |name| named(&spans, name).trace_id.clone();
    let shared = trace.trace_id().to_string();
    assert!(spans.iter().all(|span| span.is_segment));
    for name in ["three", "four", "five", "root inside"] {
        assert_eq!(of(name), shared, "{name}");
    }
    let own = [of("one"), of("two"), of("six"), shared];
    assert_eq!(own.iter().collect::<std::collections::HashSet<_>>().len(), 4);
}

// behaviour 13
#[test]
fn the_current_span_can_be_changed_and_read_from_anywhere_in_it() {
    fn deep_inside() {
        let span = current_span();
        span.set_attribute("deep", true);
        span.set_name("renamed");
        span.add_link(Link::new(span.trace_id().expect("one"), span.span_id().expect("one")).sampled(true));
        assert!(span.is_sampled());
    }
    let harness = Harness::new();
    let span = start_span("original").start();
    deep_inside();
    let handle = current_span().handle();
    let other = thread::spawn(move || {
        handle.set_attribute("from", "another thread");
        handle.set_status(Status::Error);
        assert_eq!(handle.attribute("deep"), Some(Value::of(true)));
        handle
    });
    let handle = other.join().expect("the thread works");
    assert_eq!(span.name().as_deref(), Some("renamed"));
    assert_eq!(span.attribute("from").as_ref().and_then(Value::as_str), Some("another thread"));
    assert_eq!(span.attributes().len(), 2);
    span.end();
    handle.set_attribute("too", "late");
    assert_eq!((handle.name(), handle.status(), handle.attributes().len()), (None, None, 0));
    let spans = harness.finish();
    let span = named(&spans, "renamed");
    assert_eq!(span.text("from"), Some("another thread"));
    assert_eq!(span.attribute("too"), None);
    assert_eq!(span.status, "error");
    assert_eq!(span.links.len(), 1);
    assert_eq!(span.text("sentry.segment.name"), Some("renamed"), "behaviour 40");
}

// behaviour 13
#[test]
fn without_a_current_span_nothing_happens() {
    let span = current_span();
    span.set_attribute("a", 1);
    assert_eq!((span.name(), span.trace_id(), span.is_sampled()), (None, None, false));
    start_span("below nothing").parent(&span).start().end();
}

// behaviour 14
#[test]
fn attributes_of_every_type_arrive_with_their_type() {
    let harness = Harness::new();
    let span = start_span("typed").attribute("declared", 1).start();
    span.set_attribute("bool", true);
    span.set_attribute("integer", -3_i16);
    span.set_attribute("large", u64::MAX);
    span.set_attribute("double", 0.5_f32);
    span.set_attribute("nan", f64::NAN);
    span.set_attribute("static", "text");
    span.set_attribute("owned", String::from("a text that is longer than what is kept inside of a value"));
    span.set_attribute(format!("key {}", 1), "any key");
    span.set_attribute("list", vec![1, 2]);
    span.set_attribute("doubles", [f64::INFINITY, 1.5]);
    span.set_attribute("empty", Vec::<String>::new());
    span.set_attribute("none", None::<u8>);
    span.set_attribute("shown", display(std::net::Ipv4Addr::LOCALHOST));
    span.set_attribute("debugged", debug(Some(1)));
    span.set_attribute("removed", 1);
    span.remove_attribute("removed");
    span.set_attribute("declared", 2);
    span.set_attributes([("many a", 1), ("many b", 2)]);
    drop(span);
    let spans = harness.finish();
    let span = named(&spans, "typed");
    let of = |key: &str| {
        span.attributes.get(key).map(|attribute| format!("{} {}", attribute.type_, attribute.value)).unwrap_or_default()
    };
    assert_eq!(of("bool"), "boolean true");
    assert_eq!(of("integer"), "integer -3");
    assert_eq!(of("large"), "string \"18446744073709551615\"");
    assert_eq!(of("double"), "double 0.5");
    assert_eq!(of("nan"), "string \"nan\"");
    assert_eq!(of("static"), "string \"text\"");
    assert!(of("owned").contains("longer than"));
    assert_eq!(of("key 1"), "string \"any key\"");
    assert_eq!(of("list"), "array [1,2]");
    assert_eq!(of("doubles"), "array [\"inf\",\"1.5\"]");
    assert_eq!(of("empty"), "array []");
    assert_eq!(of("none"), "");
    assert_eq!(of("shown"), "string \"127.0.0.1\"");
    assert_eq!(of("debugged"), "string \"Some(1)\"");
    assert_eq!(of("removed"), "");
    assert_eq!(of("declared"), "integer 2");
    assert_eq!(of("many b"), "integer 2");
}

// behaviour 14
#[test]
fn a_span_with_very_many_and_very_large_attributes_arrives_whole() {
    let harness = Harness::new();
    let span = start_span("large").start();
    for at in 0..300 {
        span.set_attribute(format!("attribute {at}"), at);
    }
    span.set_attribute("million", "é".repeat(500_000));
    drop(span);
    let spans = harness.finish();
    let span = named(&spans, "large");
    assert_eq!(span.text("million").map(str::len), Some(1_000_000));
    assert!((0..300).all(|at| span.attribute(&format!("attribute {at}")).is_some()));
}

// behaviour 39, 40
#[test]
fn the_users_attribute_replaces_the_one_of_the_same_name_and_never_stands_beside_it() {
    let harness = Harness::new();
    let span = start_span("client").attribute("server.address", "db.internal").attribute("sentry.op", "db").start();
    span.set_attribute("sentry.origin", "auto.db.test");
    span.set_attribute("sentry.segment.name", "not yours");
    span.set_attribute("thread.name", "mine");
    drop(span);
    // The capture transport's checker refuses duplicate keys.
    let spans = harness.finish();
    let span = named(&spans, "client");
    assert_eq!(span.text("server.address"), Some("db.internal"));
    assert_eq!(span.text("sentry.op"), Some("db"));
    assert_eq!(span.text("sentry.origin"), Some("auto.db.test"));
    assert_eq!(span.text("thread.name"), Some("mine"));
    assert_eq!(span.text("sentry.segment.name"), Some("client"));
}

// behaviour 15
#[test]
fn links_arrive() {
    let harness = Harness::new();
    let first = start_span("first").inactive().start();
    let (trace, id) = (first.trace_id().expect("sampled"), first.span_id().expect("sampled"));
    first.end();
    let second =
        start_span("second").link(Link::new(trace, id).attribute("sentry.link.type", "previous_trace")).start();
    second.add_link(Link::new(trace, id).sampled(false));
    drop(second);
    let spans = harness.finish();
    let links = &named(&spans, "second").links;
    assert_eq!(links.len(), 2);
    assert_eq!(links[0]["span_id"], id.to_string());
    assert_eq!(links[0]["attributes"]["sentry.link.type"]["value"], "previous_trace");
    assert_eq!(links[1]["sampled"], false);
}

// behaviour 16, 40
#[test]
fn names_can_be_made_and_changed_until_the_end() {
    let harness = Harness::new();
    let root = start_span(format!("GET /{}", 7)).source("url").start();
    let mut owned = start_span("child").inactive().start();
    owned.set_name("renamed child");
    owned.end();
    start_span(String::new()).start().end();
    root.set_name("GET /{id}");
    root.end();
    let spans = harness.finish();
    let child = named(&spans, "renamed child");
    assert_eq!(child.text("sentry.segment.name"), Some("GET /{id}"), "the name as it is when it is written");
    assert_eq!(named(&spans, "GET /{id}").text("sentry.segment.name.source"), Some("url"));
    assert!(spans.iter().any(|span| span.name == "(unnamed)"), "an empty name would be refused");
}

// behaviour 7
#[test]
fn a_forgotten_guard_ends_with_its_thread() {
    let harness = Harness::new();
    let parent = start_span("parent").start();
    let handle = parent.handle();
    thread::spawn(move || std::mem::forget(start_span("forgotten").parent(&handle).start())).join().expect("it works");
    drop(parent);
    assert_eq!(tree(&harness.finish()), "parent\n  forgotten\n");
}

// behaviour 7
#[test]
fn spans_that_end_in_destructors_of_a_thread_are_not_lost() {
    use std::cell::RefCell;
    thread_local! {
        static KEPT: RefCell<Vec<span_runtime::Span>> = const { RefCell::new(Vec::new()) };
        static GUARD: RefCell<Option<span_runtime::SpanGuard>> = const { RefCell::new(None) };
    }
    let harness = Harness::new();
    let root = start_span("root").start();
    let handle = root.handle();
    thread::spawn(move || {
        // Destructors of thread-locals run in an order that nobody promises: one is made before ours, one after.
        KEPT.with(|kept| kept.borrow_mut().push(start_span("before").parent(&handle).inactive().start()));
        GUARD.with(|guard| *guard.borrow_mut() = Some(start_span("guard").parent(&handle).start()));
        KEPT.with(|kept| kept.borrow_mut().push(start_span("after").parent(&handle).inactive().start()));
    })
    .join()
    .expect("nothing panics");
    drop(root);
    let spans = harness.finish();
    assert_eq!(spans.len(), 4, "{}", tree(&spans));
}

// behaviour 12
#[test]
fn runtimes_side_by_side_do_not_mix() {
    let (first, second) = (Harness::new(), Harness::new());
    // The harness made last is the one that is entered.
    let of_second = start_span("second").start();
    let of_first = {
        let _entered = first.runtime().enter();
        let span = start_span("first").start();
        start_span("below first").start().end();
        span.handle()
    };
    start_span("below second").start().end();
    start_span("far below first").parent(&of_first).start().end();
    drop(of_second);
    assert_eq!(tree(&second.finish()), "second\n  below second\n");
    assert_eq!(tree(&first.finish()), "first\n  below first\n  far below first\n");
}

#[test]
fn a_span_that_ends_after_the_close_does_no_harm() {
    let transport = span_runtime::testing::CaptureTransport::new();
    let options = span_runtime::Options::new().transport(transport.clone()).traces_sample_rate(1.0);
    let runtime = Runtime::new(options).expect("valid");
    let entered = runtime.enter();
    let root = start_span("root").start();
    start_span("in time").start().end();
    let late = start_span("late").inactive().start();
    assert!(runtime.close(Duration::from_secs(10)));
    start_span("below a root of before").start().end();
    late.end();
    drop(root);
    let span = start_span("after the close").start();
    assert_eq!(span.trace_id(), None);
    drop(span);
    drop(entered);
    assert_eq!(transport.spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["in time"]);
}

// behaviour 10, 33: the parent decides, also for what starts inside of the child
#[test]
fn below_an_unsampled_parent_everything_is_unsampled_even_inside_a_sampled_span() {
    let (unsampled, sampled) = (Harness::sampling(0.0), Harness::new());
    let parent = {
        let _entered = unsampled.runtime().enter();
        start_span("unsampled").inactive().start()
    };
    {
        let _outer = start_span("outer").start();
        let child = start_span("child").parent(&parent).start();
        assert_eq!(current_span().trace_id(), parent.trace_id());
        assert_eq!(child.handle().trace_id(), parent.trace_id());
        start_span("grandchild").start().end();
        child.end();
        assert_eq!(current_name().as_deref(), Some("outer"));
    }
    parent.end();
    assert_eq!(unsampled.runtime().stats().lost.get(span_runtime::LossReason::SampleRate), 3);
    assert_eq!(tree(&sampled.finish()), "outer\n");
    assert!(unsampled.finish().is_empty());
}

// behaviour 10, 12
#[test]
fn below_a_span_that_records_nothing_a_segment_starts() {
    let nothing = current_span().handle();
    let harness = Harness::new();
    start_span("child of nothing").parent(&nothing).start().end();
    assert!(harness.finish()[0].is_segment);
}
