//! Errors of sentry-rust, in the trace of the current span.
#![cfg(feature = "sentry")]
#![forbid(unsafe_code)]

use std::future::pending;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sentry_core::protocol::{Context, Event};
use sentry_core::{Client, ClientOptions, Envelope, Hub, Level, Scope, TransactionContext};
use span_integrations::sentry::{integration, options, options_of, transport_of};
use span_runtime::testing::{Receiver, Tree, tree};
use span_runtime::{Instrument as _, Options, Runtime, current_span, names, start_span};
use span_tests::{Harness, SOON};

const DSN: &str = "http://0123456789abcdef0123456789abcdef@127.0.0.1/1";

/// Keeps what a client sends.
#[derive(Default)]
struct Kept(Mutex<Vec<Envelope>>);

impl sentry_core::Transport for Kept {
    fn send_envelope(&self, envelope: Envelope) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(envelope);
    }
}

impl Kept {
    fn envelopes(&self) -> Vec<Envelope> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn events(&self) -> Vec<Event<'static>> {
        self.envelopes().iter().filter_map(|envelope| envelope.event().cloned()).collect()
    }

    /// Each event as its message and its ids.
    fn lines(&self) -> Vec<String> {
        let line = |event: &Event<'_>| {
            let ids = match event.contexts.get("trace") {
                Some(Context::Trace(trace)) => format!("{}-{}", trace.trace_id, trace.span_id),
                other => format!("{other:?}"),
            };
            format!("{} {ids}", event.message.as_deref().unwrap_or_default())
        };
        self.events().iter().map(line).collect()
    }
}

/// A hub whose client has our integration, and what it sends.
fn hub() -> (Arc<Hub>, Arc<Kept>) {
    hub_with(ClientOptions::new().add_integration(integration()))
}

fn hub_with(options: ClientOptions) -> (Arc<Hub>, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let client = Client::with_options(options.dsn(DSN).transport(Arc::clone(&kept)));
    (Arc::new(Hub::new(Some(Arc::new(client)), Arc::new(Scope::default()))), kept)
}

fn capture(message: &str) {
    sentry_core::capture_message(message, Level::Error);
}

/// The ids of the current span, as `Kept` shows them.
fn ids() -> String {
    let span = current_span();
    format!("{}-{}", span.trace_id().expect("in a span"), span.span_id().expect("in a span"))
}

#[test]
fn events_have_the_ids_of_the_span_that_they_are_captured_in() {
    let harness = Harness::new();
    let (hub, kept) = hub();
    let expected = Hub::run(hub, || {
        let outer = start_span("outer").start();
        capture("in outer");
        let in_outer = ids();
        let in_inner = {
            let _inner = start_span("inner").start();
            sentry_core::with_scope(|scope| scope.set_tag("order", 42), || capture("in inner"));
            ids()
        };
        capture("in outer again");
        outer.end();
        [format!("in outer {in_outer}"), format!("in inner {in_inner}"), format!("in outer again {in_outer}")]
    });
    assert_eq!(kept.lines(), expected);
    assert_eq!(kept.events()[1].tags["order"], "42", "the rest is as it was");
    assert!(
        kept.events()[0].sdk.as_ref().is_some_and(|sdk| sdk.integrations.contains(&"span-runtime".to_owned())),
        "the event says who was there"
    );
    assert_eq!(
        harness.text(&[names::SDK_INTEGRATIONS]).replace(" sentry.sdk.integrations=[\"sentry\"]", ""),
        "outer\n  inner\n"
    );
}

#[test]
fn an_event_outside_of_any_span_keeps_the_trace_of_its_scope() {
    let harness = Harness::new();
    let (hub, kept) = hub();
    Hub::run(hub, || {
        capture("first");
        capture("second");
        start_span("between").start().end();
        capture("third");
    });
    let lines = kept.lines();
    let of = |line: &str| line.split_once(' ').map(|(_, ids)| ids.to_owned()).expect("a message and ids");
    assert!(lines.iter().all(|line| of(line) == of(&lines[0])), "{lines:?}");
    assert!(!lines[0].contains("None"), "it has one: {lines:?}");
    harness.finish();
}

#[test]
fn our_span_counts_and_not_a_transaction_around_it() {
    let harness = Harness::new();
    let (hub, kept) = hub();
    let in_span = Hub::run(hub, || {
        let transaction = sentry_core::start_transaction(TransactionContext::new("theirs", "task"));
        sentry_core::configure_scope(|scope| scope.set_span(Some(transaction.clone().into())));
        capture("in theirs");
        let span = start_span("ours").start();
        capture("in ours");
        let in_span = ids();
        span.end();
        transaction.finish();
        in_span
    });
    let lines = kept.lines();
    assert_eq!(lines[1], format!("in ours {in_span}"));
    assert!(!lines[0].contains(&in_span[..32]), "{lines:?}");
    assert_eq!(harness.text(&[]), "ours\n");
}

#[test]
fn events_below_an_unsampled_segment_have_its_ids() {
    let harness = Harness::sampling(0.0);
    let (hub, kept) = hub();
    let in_root = Hub::run(hub, || {
        let _root = start_span("root").start();
        let in_root = ids();
        let _child = start_span("child").start();
        capture("in child");
        in_root
    });
    assert_eq!(kept.lines(), [format!("in child {in_root}")]);
    harness.finish();
}

#[test]
fn without_a_runtime_events_are_as_they_were() {
    let (hub, kept) = hub();
    let (other_hub, other) = hub_with(ClientOptions::new());
    Hub::run(hub, || {
        let _span = start_span("nothing").start();
        capture("message");
    });
    Hub::run(other_hub, || capture("message"));
    let contexts = |kept: &Kept| kept.events()[0].contexts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(contexts(&kept), contexts(&other));
}

/// Captures an event, lets others run, and captures another one.
async fn request(name: &'static str) {
    for _ in 0..2 {
        capture(&format!("{name} {}", ids()));
        tokio::task::yield_now().await;
    }
}

/// The messages are the ids that there should be.
fn check(kept: &Kept, events: usize) {
    let lines = kept.lines();
    assert_eq!(lines.len(), events, "{lines:?}");
    for line in &lines {
        let mut words = line.split(' ').skip(1);
        assert_eq!(words.next(), words.next(), "{line}");
    }
}

#[test]
fn two_requests_at_once_have_their_own_ids() {
    let harness = Harness::new();
    let (hub, kept) = hub();
    // On one task.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is a thread");
    Hub::run(hub.clone(), || {
        let in_span = |name| request(name).in_span(start_span(name).inactive().start());
        runtime.block_on(async { tokio::join!(in_span("one"), in_span("two")) });
    });
    check(&kept, 4);
    // On two threads.
    std::thread::scope(|scope| {
        for name in ["three", "four"] {
            let (hub, context) = (hub.clone(), span_runtime::Context::current());
            scope.spawn(move || {
                context.run(|| {
                    Hub::run(hub, || {
                        let _span = start_span(name).start();
                        capture(&format!("{name} {}", ids()));
                    });
                });
            });
        }
    });
    check(&kept, 6);
    harness.finish();
}

#[test]
fn what_is_cancelled_or_in_time_out_leaves_no_ids_behind() {
    let harness = Harness::new();
    let (hub, kept) = hub();
    let in_span = Hub::run(hub, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there is a thread");
        runtime.block_on(async {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let work = async {
                capture("before");
                sender.send(ids()).expect("somebody waits");
                pending::<()>().await;
            };
            let work = work.in_span(start_span("slow").inactive().start());
            assert!(tokio::time::timeout(Duration::from_millis(10), work).await.is_err());
            capture("timed out");
            receiver.await.expect("it was sent")
        })
    });
    let lines = kept.lines();
    assert_eq!(lines[0], format!("before {in_span}"));
    assert!(!lines[1].contains(&in_span[..32]), "{lines:?}");
    assert_eq!(harness.text(&[names::CANCELLED]), "slow span.cancelled=true\n");
}

#[test]
fn a_panic_that_is_captured_in_its_hook_is_in_the_trace() {
    let harness = Harness::new();
    let (hub, kept) = hub();
    let before = Arc::new(panic::take_hook());
    panic::set_hook({
        let before = Arc::clone(&before);
        Box::new(move |info| {
            capture("panic");
            before(info);
        })
    });
    let in_span = Hub::run(hub, || {
        let mut in_span = String::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _span = start_span("fails").start();
            in_span = ids();
            panic!("on purpose");
        }));
        assert!(result.is_err());
        in_span
    });
    assert_eq!(kept.lines(), [format!("panic {in_span}")]);
    assert_eq!(harness.text(&[]), "fails [error]\n");
}

/// What a runtime with these options and a span sends to the receiver.
fn send(options: Options) -> Runtime {
    let runtime = Runtime::new(options.traces_sample_rate(1.0)).expect("the options are valid");
    let entered = runtime.enter();
    start_span("span").start().end();
    assert!(runtime.flush(SOON), "it is sent in time");
    drop(entered);
    runtime
}

#[test]
fn spans_go_where_the_client_sends_with_its_release_and_environment() {
    let receiver = Receiver::start().expect("a port is free");
    let theirs =
        ClientOptions::new().dsn(&receiver.dsn()).release("shop@1.0.0").environment("staging").server_name("host-1");
    let hub = Arc::new(Hub::new(Some(Arc::new(Client::with_options(theirs))), Arc::new(Scope::default())));
    let runtime = Hub::run(hub, || send(options()));
    assert_eq!(runtime.stats().sent, 1);
    let shown = [names::RELEASE, names::ENVIRONMENT, names::SERVER_ADDRESS];
    assert_eq!(
        Tree::new(&receiver.spans()).attributes(&shown).to_string(),
        "span sentry.release=\"shop@1.0.0\" sentry.environment=\"staging\" server.address=\"host-1\"\n"
    );
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviour 38
#[test]
fn data_on_persons_are_sent_where_the_client_sends_them() {
    for (is_sent, expected) in [(false, "span\n"), (true, "span client.address=\"192.0.2.1\"\n")] {
        let receiver = Receiver::start().expect("a port is free");
        let theirs = ClientOptions::new().dsn(&receiver.dsn()).send_default_pii(is_sent);
        let options = options_of(&Client::with_options(theirs)).traces_sample_rate(1.0);
        let runtime = Runtime::new(options).expect("the options are valid");
        let entered = runtime.enter();
        start_span("span").attribute(names::CLIENT_ADDRESS, "192.0.2.1").start().end();
        assert!(runtime.flush(SOON), "it is sent in time");
        drop(entered);
        assert_eq!(Tree::new(&receiver.spans()).attributes(&[names::CLIENT_ADDRESS]).to_string(), expected);
    }
}

#[test]
fn a_client_without_a_dsn_and_no_client_send_nothing() {
    let client = Client::with_options(ClientOptions::new());
    assert!(transport_of(&client).is_none());
    assert_eq!(send(options_of(&client)).stats().started, 0);
    let nobody = Arc::new(Hub::new(None, Arc::new(Scope::default())));
    assert_eq!(Hub::run(nobody, || send(options())).stats().started, 0);
}

#[test]
fn spans_and_errors_share_a_transport() {
    let (hub, kept) = hub();
    let client = hub.client().expect("it was given one");
    let transport = transport_of(&client).expect("it has one");
    let runtime = Hub::run(hub, || {
        let options = options_of(&client).transport(transport);
        let runtime = Runtime::new(options.traces_sample_rate(1.0)).expect("the options are valid");
        let entered = runtime.enter();
        let span = start_span("span").start();
        capture("error");
        span.end();
        assert!(runtime.flush(SOON), "it is sent in time");
        drop(entered);
        runtime
    });
    assert_eq!((runtime.stats().sent, runtime.stats().lost.total()), (1, 0));
    let mut spans = Vec::new();
    for envelope in kept.envelopes().iter().filter(|envelope| envelope.event().is_none()) {
        let mut bytes = Vec::new();
        envelope.to_writer(&mut bytes).expect("it is in memory");
        let parsed = span_runtime::testing::Envelope::parse(&bytes).expect("it is as it was given");
        spans.extend(parsed.spans().to_vec());
    }
    assert_eq!(tree(&spans), "span\n");
    assert_eq!(kept.lines(), [format!("error {}-{}", spans[0].trace_id, spans[0].span_id)]);
}
