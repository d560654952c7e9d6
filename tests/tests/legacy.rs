//! Transactions, in the static lifecycle. (behaviours 55 to 58)
#![forbid(unsafe_code)]

span_runtime::lifecycle!(static);

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, SystemTime};

use legacy::{InScope as _, SpanStatus, Transaction, TransactionContext, current_span, start_transaction};
use serde_json::Value;
use span_runtime::testing::{Answer, CaptureTransport, Envelope, Receiver};
use span_runtime::{InitError, LossReason, Options, Runtime, RuntimeGuard, TraceLifecycle, transaction};
use span_tests::SOON;

/// A runtime of the static lifecycle, entered on the test's thread.
struct Harness {
    entered: RuntimeGuard,
    runtime: Runtime,
    transport: CaptureTransport,
}

impl Harness {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(set: impl FnOnce(Options) -> Options) -> Self {
        let transport = CaptureTransport::new();
        let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0);
        let options = options.trace_lifecycle(TraceLifecycle::Static).release("tests@1").server_name("host");
        let runtime = Runtime::new(set(options)).expect("the options are valid");
        Harness { entered: runtime.enter(), runtime, transport }
    }

    /// The transactions that arrived, each with its envelope, having checked that the numbers add up.
    fn finish(self) -> Vec<(Envelope, Value)> {
        assert!(self.runtime.flush(SOON), "everything is sent in time");
        let stats = self.runtime.stats();
        assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
        assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats:?}");
        assert_eq!(self.transport.violations(), [""; 0], "the receiving end would accept everything");
        let transactions = transactions(self.transport.envelopes());
        assert_eq!(transactions.len() as u64, stats.transactions_sent, "{stats:?}");
        let spans: usize = transactions.iter().map(|(_, event)| 1 + children(event).len()).sum();
        assert_eq!(spans as u64, stats.sent, "{stats:?}");
        drop(self.entered);
        transactions
    }
}

fn transactions(envelopes: Vec<Envelope>) -> Vec<(Envelope, Value)> {
    let event = |envelope: &Envelope| {
        envelope.items.iter().find(|item| item.item_type() == "transaction").and_then(|item| item.json())
    };
    envelopes.into_iter().filter_map(|envelope| event(&envelope).map(|event| (envelope, event))).collect()
}

fn children(event: &Value) -> &[Value] {
    event["spans"].as_array().map_or(&[], Vec::as_slice)
}

fn begin(name: &'static str) -> Transaction {
    start_transaction(TransactionContext::new(name, "test"))
}

// behaviour 55
#[test]
fn a_transaction_as_it_stands_on_the_wire() {
    let harness = Harness::new();
    let transaction = begin("checkout");
    transaction.set_tag("plan", "free");
    transaction.set_data("items", 3);
    let outer = transaction.start_child("db", "SELECT 1");
    outer.set_tag("db", 1);
    outer.set_data("rows", [1, 2]);
    let inner = outer.start_child("db.wait", "wait");
    inner.set_status(SpanStatus::DeadlineExceeded);
    inner.finish();
    outer.set_op("db.query");
    outer.set_description("SELECT 2");
    outer.finish();
    transaction.set_name("pay");
    transaction.finish();

    let sent = harness.finish();
    let [(envelope, event)] = sent.as_slice() else { panic!("one transaction, one envelope") };
    assert_eq!(envelope.item_types(), ["transaction"]);
    assert_eq!(event["event_id"], envelope.header["event_id"]);
    assert_eq!(event["transaction"], "pay");
    assert_eq!(event["transaction_info"]["source"], "custom");
    assert_eq!((&event["release"], &event["environment"]), (&"tests@1".into(), &"production".into()));
    assert_eq!(event["server_name"], "host");
    assert_eq!(event["tags"], serde_json::json!({"plan": "free"}));
    let trace = &event["contexts"]["trace"];
    assert_eq!((&trace["op"], &trace["status"], &trace["origin"]), (&"test".into(), &"ok".into(), &"manual".into()));
    assert_eq!(trace["data"], serde_json::json!({"items": 3}));
    assert_eq!(trace.get("parent_span_id"), None, "it is a root");

    // The children stand in the order in which they finished.
    let [inner, outer] = children(event) else { panic!("two children: {event}") };
    assert_eq!((&outer["op"], &outer["description"]), (&"db.query".into(), &"SELECT 2".into()));
    assert_eq!(outer["tags"], serde_json::json!({"db": "1"}));
    assert_eq!(outer["data"], serde_json::json!({"rows": [1, 2]}));
    assert_eq!(outer["parent_span_id"], trace["span_id"]);
    assert_eq!(inner["parent_span_id"], outer["span_id"]);
    assert_eq!(inner["status"], "deadline_exceeded");
    for span in [inner, outer] {
        assert_eq!(span["trace_id"], trace["trace_id"]);
        assert!(span["start_timestamp"].as_f64() >= event["start_timestamp"].as_f64(), "{span}");
        assert!(span["timestamp"].as_f64() <= event["timestamp"].as_f64(), "{span}");
    }
    let header = envelope.header["trace"].as_object().expect("a trace header");
    assert_eq!(header["trace_id"], trace["trace_id"]);
    assert_eq!((&header["transaction"], &header["sampled"]), (&"pay".into(), &"true".into()));
    assert!(header.values().all(Value::is_string), "{header:?}");
}

// behaviour 55, 28
#[test]
fn a_trace_is_continued_with_its_decision_and_handed_on() {
    const TRACE: &str = "771a43a4192642f0b136d5159a501700";
    const PARENT: &str = "b7ad6b7169203331";
    const DSC: &str = "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-sample_rand=0.9,sentry-release=shop%401";
    let continued = |flag: &str| {
        let headers = [
            ("Accept", "*/*".to_owned()),
            ("Sentry-Trace", format!("{TRACE}-{PARENT}{flag}")),
            ("Baggage", DSC.to_owned()),
        ];
        start_transaction(TransactionContext::continue_from_headers("GET /", "http.server", headers).source("route"))
    };
    let harness = Harness::with(|options| options.traces_sample_rate(0.0));
    let sampled = continued("-1");
    let (name, value) = sampled.iter_headers().next().expect("a header");
    assert_eq!(name, "sentry-trace");
    assert_eq!(value, format!("{TRACE}-{}-1", sampled.span_id().expect("an id")));
    let child = sampled.start_child("http.client", "GET /next");
    let (_, value) = child.iter_headers().next().expect("a header");
    assert_eq!(value, format!("{TRACE}-{}-1", child.span_id().expect("an id")));
    let baggage = child.iter_headers().find(|(name, _)| *name == "baggage").map(|(_, value)| value);
    assert_eq!(baggage.as_deref(), Some(DSC), "as it came");
    drop(child);
    sampled.finish();
    let unsampled = continued("-0");
    assert!(!unsampled.is_sampled());
    let sentry_trace = unsampled.iter_headers().find(|(name, _)| *name == "sentry-trace");
    assert!(sentry_trace.is_some_and(|(_, value)| value.ends_with("-0")));
    unsampled.finish();
    let deferred = continued("");
    assert_eq!((deferred.is_sampled(), deferred.trace_id().map(|id| id.to_string())), (false, Some(TRACE.into())));
    deferred.finish();
    let malformed = start_transaction(TransactionContext::continue_from_headers("a", "b", [("sentry-trace", "1-2-3")]));
    assert_ne!(malformed.trace_id().map(|id| id.to_string()), Some(TRACE.into()), "a trace of its own");
    malformed.finish();

    let sent = harness.finish();
    let [(envelope, event)] = sent.as_slice() else { panic!("one was sampled") };
    assert_eq!(event["contexts"]["trace"]["parent_span_id"], PARENT);
    assert_eq!(
        (&event["transaction_info"]["source"], &envelope.header["trace"]["trace_id"]),
        (&"route".into(), &TRACE.into())
    );
    assert_eq!(envelope.header["trace"]["release"], "shop@1", "the context is that of where the trace began");
}

// behaviour 23, 57
#[test]
fn what_is_not_sampled_is_counted_and_not_sent() {
    let harness = Harness::with(|options| options.traces_sample_rate(0.0));
    let transaction = begin("nothing");
    transaction.start_child("a", "b").finish();
    transaction.start_child("a", "b").finish();
    transaction.finish();
    let stats = harness.runtime.stats();
    assert_eq!((stats.started, stats.lost.get(LossReason::SampleRate)), (3, 3), "{stats:?}");
    assert_eq!(stats.transactions_lost.get(LossReason::SampleRate), 1, "{stats:?}");
    assert!(harness.finish().is_empty());
}

// behaviour 56
#[test]
fn children_beyond_a_thousand_are_counted() {
    let harness = Harness::new();
    let transaction = begin("large");
    for _ in 0..1_234 {
        transaction.start_child("a", "b").finish();
    }
    transaction.finish();
    let runtime = harness.runtime.stats();
    assert_eq!(runtime.lost.get(LossReason::BufferOverflow), 234, "{runtime:?}");
    let sent = harness.finish();
    assert_eq!(children(&sent[0].1).len(), 1_000);
    let ids: HashSet<_> = children(&sent[0].1).iter().map(|span| span["span_id"].as_str()).collect();
    assert_eq!(ids.len(), 1_000);
}

// behaviour 56: the server refuses a transaction above 1 MiB as a whole
#[test]
fn children_that_would_make_it_too_large_are_counted() {
    let harness = Harness::new();
    let transaction = begin("large");
    for _ in 0..20 {
        transaction.start_child("a", "b".repeat(100_000)).finish();
    }
    transaction.finish();
    // Whether it says that all was sent depends on whether the loss came before the call or during it.
    harness.runtime.flush(SOON);
    let lost = harness.runtime.stats().lost.get(LossReason::BufferOverflow);
    let sent = harness.finish();
    assert_eq!(children(&sent[0].1).len() as u64, 20 - lost);
    assert_eq!(lost, 10, "ten of them are just below 1 MiB");
}

// behaviour 56
#[test]
fn late_children_are_open_until_they_finish_and_then_counted() {
    let harness = Harness::new();
    let transaction = begin("early");
    let (late, dropped) = (transaction.start_child("a", "late"), transaction.start_child("a", "dropped"));
    transaction.start_child("a", "in time").finish();
    transaction.finish();
    assert!(harness.runtime.flush(SOON));
    let stats = harness.runtime.stats();
    assert_eq!((stats.open, stats.sent, stats.lost.total()), (2, 2, 0), "{stats:?}");
    late.start_child("a", "later still").finish();
    late.finish();
    drop(dropped);
    let stats = harness.runtime.stats();
    assert_eq!((stats.open, stats.lost.get(LossReason::BufferOverflow)), (0, 3), "{stats:?}");
    assert_eq!(children(&harness.finish()[0].1).len(), 1);
}

#[test]
fn an_abandoned_transaction_is_sent_when_nobody_holds_it_any_more() {
    let harness = Harness::new();
    let child = {
        let transaction = begin("abandoned");
        transaction.start_child("a", "in time").finish();
        transaction.start_child("a", "keeps it")
    };
    assert!(harness.runtime.flush(SOON));
    assert_eq!(harness.transport.envelopes().len(), 0, "its child keeps it");
    drop(child);
    let sent = harness.finish();
    assert_eq!(sent.len(), 1);
    assert_eq!(children(&sent[0].1).len(), 2);
}

#[test]
fn to_finish_twice_does_nothing_and_neither_does_what_comes_after() {
    let harness = Harness::new();
    let transaction = begin("once");
    let child = transaction.start_child("a", "b");
    child.clone().finish();
    child.set_tag("late", true);
    child.finish();
    transaction.clone().finish();
    transaction.set_tag("late", true);
    transaction.set_status(SpanStatus::Aborted);
    transaction.finish();
    let sent = harness.finish();
    let [(_, event)] = sent.as_slice() else { panic!("sent once") };
    assert_eq!((event.get("tags"), children(event).len()), (None, 1));
    assert_eq!(event["contexts"]["trace"]["status"], "ok");
}

#[test]
fn transactions_and_children_finish_on_any_thread() {
    let harness = Harness::new();
    let transaction = begin("here");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let transaction = transaction.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    transaction.start_child("a", "there").start_child("b", "below").finish();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    thread::spawn(move || transaction.finish()).join().expect("it does not panic");
    assert_eq!(children(&harness.finish()[0].1).len(), 400);
}

#[test]
fn a_panic_finishes_what_it_unwinds_through_as_failed() {
    let harness = Harness::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let transaction = begin("panics");
        let _entered = transaction.enter();
        let child = transaction.start_child("a", "panics too");
        let kept = transaction.start_child("a", "has a status");
        kept.set_status(SpanStatus::NotFound);
        child.set_tag("a", 1);
        std::panic::panic_any("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(current_span().is_none(), "it is not current any more");
    let sent = harness.finish();
    let [(_, event)] = sent.as_slice() else { panic!("it was sent") };
    assert_eq!(event["contexts"]["trace"]["status"], "internal_error");
    let statuses: Vec<_> = children(event).iter().map(|span| span["status"].as_str().unwrap_or_default()).collect();
    assert_eq!(statuses, ["not_found", "internal_error"]);
}

#[test]
fn times_that_the_caller_gives_are_kept_and_never_run_backwards() {
    let harness = Harness::new();
    let transaction = begin("timed");
    let later = SystemTime::now() + Duration::from_secs(5);
    transaction.start_child("a", "later").finish_with_timestamp(later);
    transaction.start_child("a", "before").finish_with_timestamp(SystemTime::UNIX_EPOCH);
    transaction.finish_with_timestamp(later);
    let sent = harness.finish();
    let duration = |span: &Value| span["timestamp"].as_f64().unwrap() - span["start_timestamp"].as_f64().unwrap();
    assert!(duration(&sent[0].1) > 4.0);
    assert!(duration(&children(&sent[0].1)[0]) > 4.0);
    assert!(duration(&children(&sent[0].1)[1]).abs() < 1e-9);
}

// behaviour 4, 55
#[test]
fn the_scope_has_one_current_transaction_or_span() {
    let harness = Harness::new();
    assert!(current_span().is_none());
    let (first, second) = (begin("first"), begin("second"));
    legacy::configure_scope(|scope| scope.set_span(&first));
    let current = || current_span().and_then(|span| span.span_id());
    assert_eq!(current(), first.span_id());
    {
        let _second = second.enter();
        assert_eq!(current(), second.span_id());
        let child = current_span().expect("the second").start_child("a", "b");
        {
            let _child = child.enter();
            assert_eq!(current(), child.span_id());
            thread::scope(|scope| {
                scope.spawn(|| assert!(current_span().is_none(), "each thread has a scope of its own"));
            });
        }
        assert_eq!(current(), second.span_id());
    }
    assert_eq!(current(), first.span_id());
    legacy::configure_scope(|scope| scope.set_span(None::<Transaction>));
    assert!(current_span().is_none());
    first.finish();
    second.finish();
    let sent = harness.finish();
    assert_eq!(sent.iter().map(|(_, event)| children(event).len()).sum::<usize>(), 1);
}

// behaviour 12, 58
#[tokio::test]
async fn concurrent_tasks_on_one_thread_do_not_cross() {
    #[transaction(name = format!("task {n}"), op = "task", tags("n" = n), data("twice" = n * 2))]
    async fn task(n: u64) -> Result<u64, String> {
        for _ in 0..10 {
            let current = current_span().expect("the transaction is current between all polls");
            current.start_child("step", format!("step of {n}")).finish();
            tokio::task::yield_now().await;
        }
        if n == 2 { Ok(n) } else { Err(format!("{n} is not 2")) }
    }

    let harness = Harness::new();
    let all = tokio::join!(task(1), task(2), task(3));
    assert!(all.0.is_err() && all.1.is_ok() && all.2.is_err());
    assert!(current_span().is_none());
    let sent = harness.finish();
    assert_eq!(sent.len(), 3);
    for (_, event) in &sent {
        let name = event["transaction"].as_str().expect("a name");
        let n = name.strip_prefix("task ").expect("its name");
        assert_eq!(children(event).len(), 10, "{name}");
        assert!(children(event).iter().all(|span| span["description"] == format!("step of {n}")), "{event}");
        let trace = &event["contexts"]["trace"];
        assert_eq!(trace["status"], if n == "2" { "ok" } else { "internal_error" });
        assert_eq!((&event["tags"]["n"], &trace["op"]), (&n.into(), &"task".into()));
        assert_eq!(trace["data"]["twice"].as_u64(), n.parse::<u64>().ok().map(|n| n * 2));
    }
}

// behaviour 58
#[test]
fn an_annotated_function_is_a_transaction() {
    struct Shop;
    impl Shop {
        #[transaction]
        fn checkout(&self, order: Option<String>) -> Result<String, String> {
            let child = current_span().expect("the transaction").start_child("price", "price");
            // An early return leaves the child to its drop.
            let order = order.ok_or("no order")?;
            child.finish();
            Ok(order)
        }
    }
    #[transaction("quiet", op = "task", source = "task")]
    fn quiet() {}

    let harness = Harness::new();
    assert_eq!(Shop.checkout(Some("7".into())), Ok("7".into()));
    assert_eq!(Shop.checkout(None), Err("no order".into()));
    quiet();
    assert!(current_span().is_none());
    let sent = harness.finish();
    let shown: Vec<_> = sent
        .iter()
        .map(|(_, event)| {
            let trace = &event["contexts"]["trace"];
            let source = &event["transaction_info"]["source"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&event["transaction"]),
                text(&trace["op"]),
                text(&trace["status"]),
                text(source),
                children(event).len(),
            )
        })
        .collect();
    let expected = |name: &str, op: &str, status: &str, source: &str, children| {
        (name.to_owned(), op.to_owned(), status.to_owned(), source.to_owned(), children)
    };
    assert_eq!(
        shown,
        [
            expected("legacy::checkout", "function", "ok", "custom", 1),
            expected("legacy::checkout", "function", "internal_error", "custom", 1),
            expected("quiet", "task", "ok", "task", 0),
        ]
    );
}

#[tokio::test]
async fn a_future_that_is_dropped_finishes_its_transaction() {
    #[transaction("waits")]
    async fn waits() {
        std::future::pending::<()>().await;
    }
    let harness = Harness::new();
    let timed_out = tokio::time::timeout(Duration::from_millis(10), waits()).await;
    assert!(timed_out.is_err());
    assert!(current_span().is_none());
    assert_eq!(harness.finish().len(), 1);
}

#[tokio::test]
async fn a_future_carries_a_child_span_that_was_made_by_hand() {
    let harness = Harness::new();
    let transaction = begin("outer");
    let child = transaction.start_child("a", "carried");
    let id = child.span_id();
    let seen = async {
        tokio::task::yield_now().await;
        current_span().and_then(|current| current.span_id())
    };
    assert_eq!(tokio::spawn(seen.in_scope(child)).await.expect("the task ends"), id);
    assert!(current_span().is_none());
    transaction.finish();
    assert_eq!(children(&harness.finish()[0].1).len(), 1);
}

// behaviour 57, 49
#[test]
fn a_transaction_that_the_server_refuses_counts_once_and_with_its_spans() {
    let harness = Harness::new();
    harness.transport.answer_with(400);
    let transaction = begin("refused");
    transaction.start_child("a", "b").finish();
    transaction.start_child("a", "b").finish();
    transaction.finish();
    assert!(!harness.runtime.flush(SOON));
    let stats = harness.runtime.stats();
    assert_eq!((stats.lost.get(LossReason::SendError), stats.sent), (3, 0), "{stats:?}");
    assert_eq!((stats.transactions_lost.get(LossReason::SendError), stats.transactions_sent), (1, 0), "{stats:?}");
    harness.transport.answer_with(200);
    harness.transport.forget();
    let Harness { runtime, transport, entered } = harness;
    drop(entered);
    assert!(runtime.close(SOON));
    let mut reports = transport.client_reports();
    reports.sort();
    let report = |category: &str, quantity| ("send_error".to_owned(), category.to_owned(), quantity);
    assert_eq!(reports, [report("span", 3), report("transaction", 1)]);
}

// behaviour 57, 47
#[test]
fn a_transaction_that_finishes_after_the_runtime_was_closed_is_counted() {
    let transport = CaptureTransport::new();
    let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0);
    let guard = legacy::init(options).expect("the options are valid");
    let transaction = begin("late");
    transaction.start_child("a", "b").finish();
    let (sent, _) = guard.close(SOON);
    assert!(sent);
    transaction.finish();
    assert!(transport.envelopes().is_empty());
}

// behaviour 45: what the bound has no room for is counted, and memory stays within it
#[test]
fn beyond_the_byte_bound_transactions_are_dropped_and_counted() {
    let receiver = Receiver::start().expect("a port on loopback");
    receiver.answer_with(Answer::hang());
    let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0).max_buffer_bytes(1 << 20);
    let options = options.trace_lifecycle(TraceLifecycle::Static).send_client_reports(false);
    let runtime = Runtime::new(options).expect("the options are valid");
    let entered = runtime.enter();
    for _ in 0..100 {
        let transaction = begin("large");
        transaction.start_child("a", "b".repeat(50_000)).finish();
        transaction.finish();
        assert!(runtime.stats().buffered_bytes <= 1 << 20, "{:?}", runtime.stats());
    }
    drop(entered);
    let lost = runtime.stats().lost;
    assert!(lost.get(LossReason::BufferOverflow) + lost.get(LossReason::QueueOverflow) > 100, "{lost:?}");
    runtime.close(Duration::from_millis(100));
}

// behaviour 1
#[test]
fn the_lifecycles_of_the_options_and_of_the_crate_must_agree() {
    let options = || Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0);
    let refused = legacy::init(options().trace_lifecycle(TraceLifecycle::Stream)).expect_err("they contradict");
    assert!(matches!(refused, InitError::Lifecycles { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("trace_lifecycle is `stream`") && text.contains("declared `static`"), "{text}");

    // Without a word of the crate's, the default is to stream.
    let runtime = Runtime::new(options()).expect("the options are valid");
    let _entered = runtime.enter();
    assert!(begin("nothing").trace_id().is_none());
}

// behaviours 37, 55
#[test]
fn transactions_are_filtered_as_spans_are() {
    let harness = Harness::new();
    let url = "GET https://user:hunter2@h/?token=hunter2";
    let transaction = start_transaction(TransactionContext::new(url, "test"));
    transaction.set_tag("api_key", "hunter2");
    transaction.set_data("password", "hunter2");
    transaction.set_data("user.email", "jane@example.com");
    let child = transaction.start_child("test", url);
    child.set_tag("session.id", "hunter2");
    child.set_data("url.query", "token=hunter2");
    child.set_data("user.name", "jane");
    child.finish();
    transaction.finish();
    let (envelope, event) = harness.finish().remove(0);
    let raw = String::from_utf8_lossy(&envelope.raw);
    assert!(!raw.contains("hunter2") && !raw.contains("jane"), "{raw}");
    let clean = "GET https://[Filtered]:[Filtered]@h/?token=[Filtered]";
    assert_eq!((&event["transaction"], &children(&event)[0]["description"]), (&clean.into(), &clean.into()));
    assert_eq!(event["tags"]["api_key"], "[Filtered]");
    assert_eq!(event["contexts"]["trace"]["data"], serde_json::json!({ "password": "[Filtered]" }));
    assert_eq!(children(&event)[0]["tags"]["session.id"], "[Filtered]");
    assert_eq!(children(&event)[0]["data"], serde_json::json!({ "url.query": "token=[Filtered]" }));
}
