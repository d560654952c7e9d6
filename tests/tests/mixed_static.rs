//! A program in the static lifecycle with a dependency whose spans stream. (behaviours 3 and 4)
#![forbid(unsafe_code)]

span_runtime::lifecycle!(static);

use legacy::TransactionContext;
use span_runtime::testing::CaptureTransport;
use span_runtime::{Options, Runtime, TraceLifecycle};
use span_tests::{SOON, Warnings};
use span_tests_streaming as dependency;

// The one test of this binary: it installs the logger.
#[tokio::test]
async fn spans_of_a_dependency_record_nothing_say_so_once_and_leave_the_transaction_alone() {
    let warnings = Warnings::install();
    let transport = CaptureTransport::new();
    let options =
        Options::new().transport(transport.clone()).traces_sample_rate(1.0).trace_lifecycle(TraceLifecycle::Static);
    let runtime = Runtime::new(options).expect("the options are valid");
    let _runtime = runtime.enter();

    let transaction = legacy::start_transaction(TransactionContext::new("request", "http.server"));
    let entered = transaction.enter();
    for _ in 0..3 {
        assert_eq!(dependency::work(), 15, "the dependency's own code runs");
        assert_eq!(dependency::later(7).await, 7);
        assert_eq!(dependency::current(), None, "a transaction is no current span of the streaming API");
        let current = legacy::current_span().expect("the transaction is current still");
        assert_eq!(current.span_id(), transaction.span_id());
    }
    drop(entered);
    transaction.start_child("test", "after").finish();
    transaction.finish();

    assert!(runtime.flush(SOON));
    let told = warnings.take();
    assert_eq!(told.len(), dependency::CALL_SITES, "{told:#?}");
    for (at, text) in told.iter().enumerate() {
        assert!(text.contains("dependencies/streaming/src/lib.rs"), "{text}");
        assert!(text.contains("trace_lifecycle is `static`"), "{text}");
        assert!(!told[..at].contains(text), "each place once: {text}");
    }
    let envelopes = transport.envelopes();
    assert_eq!(envelopes.len(), 1);
    assert_eq!(envelopes[0].item_types(), ["transaction"], "nothing of the other lifecycle is sent");
    assert_eq!(transport.violations(), [""; 0]);
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.sent, stats.lost.total(), stats.open), (2, 2, 0, 0), "{stats:?}");
}
