//! A program that streams, with a dependency that makes transactions. (behaviours 3 and 4)
#![forbid(unsafe_code)]

span_runtime::lifecycle!(stream);

use span_runtime::prelude::*;
use span_tests::{Harness, Warnings};
use span_tests_legacy as dependency;

// The one test of this binary: it installs the logger.
#[tokio::test]
async fn transactions_of_a_dependency_record_nothing_say_so_once_and_leave_the_span_alone() {
    let warnings = Warnings::install();
    let harness = Harness::new();
    let root = start_span("request").start();
    for _ in 0..3 {
        assert_eq!(dependency::work(), 3, "the dependency's own code runs");
        assert_eq!(dependency::later(7).await, 7);
        assert_eq!(dependency::current(), None, "a span is no current transaction of the legacy API");
        assert_eq!(current_span().span_id(), root.span_id());
        span!("child", { assert_eq!(dependency::current(), None) });
    }
    drop(root);

    let spans = harness.finish();
    assert_eq!(spans.len(), 4, "nothing of the other lifecycle is sent");
    let told = warnings.take();
    assert_eq!(told.len(), dependency::CALL_SITES, "{told:#?}");
    for (at, text) in told.iter().enumerate() {
        assert!(text.contains("dependencies/legacy/src/lib.rs"), "{text}");
        assert!(text.contains("trace_lifecycle is `stream`"), "{text}");
        assert!(!told[..at].contains(text), "each place once: {text}");
    }
}
