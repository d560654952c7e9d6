//! Errors of anyhow and their causes, on spans.
#![cfg(feature = "anyhow")]
#![forbid(unsafe_code)]

use std::future::pending;
use std::time::Duration;

use anyhow::Context as _;
use span_integrations::anyhow::RecordError as _;
// Both can be in scope, and each finds what is its own.
use span_integrations::error::RecordError as _;
use span_runtime::{Instrument as _, start_span};
use span_tests::Harness;
use tokio::time::timeout;

#[test]
fn context_is_the_message_and_what_is_below_are_the_causes() {
    let harness = Harness::new();
    {
        let _span = start_span("load").start();
        let port = "http".parse::<u16>().context("the port is no number").context("no settings").record_error();
        assert!(port.is_err());
    }
    {
        let _span = start_span("plain").start();
        assert!(Err::<(), _>(anyhow::anyhow!("no such order")).record_error().is_err());
        assert!(anyhow::Ok(3).record_error().is_ok());
    }
    {
        let _span = start_span("of std").start();
        assert!("http".parse::<u16>().record_error().is_err());
    }
    let expected = "\
        load [error] error.message=\"no settings\" error.causes=[\"the port is no number\",\"invalid digit found in string\"]\n\
        ---\n\
        plain [error] error.message=\"no such order\"\n\
        ---\n\
        of std [error] error.message=\"invalid digit found in string\" error.type=\"core::num::error::ParseIntError\"\n";
    assert_eq!(harness.text(&["error.message", "error.causes", "error.type"]), expected);
}

/// Work in a span of this name, which fails after a while with an error of this name.
async fn fails(name: &'static str) {
    let work = async {
        tokio::task::yield_now().await;
        Err::<(), _>(anyhow::anyhow!("the cause")).context(name).record_error()
    };
    assert!(work.in_span(start_span(name).inactive().start()).await.is_err());
}

#[test]
fn errors_at_once_go_to_their_own_spans() {
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("there are threads");
    runtime.block_on(async {
        // On one task, and on two.
        tokio::join!(fails("one"), fails("two"));
        let (three, four) = (fails("three").in_current_span(), fails("four").in_current_span());
        let (three, four) = (tokio::spawn(three), tokio::spawn(four));
        three.await.expect("it does not panic");
        four.await.expect("it does not panic");
    });
    let text = harness.text(&["error.message", "error.causes"]);
    let mut trees: Vec<&str> = text.split("---\n").collect();
    trees.sort_unstable();
    let expected = ["four", "one", "three", "two"]
        .map(|name| format!("{name} [error] error.message=\"{name}\" error.causes=[\"the cause\"]\n"));
    assert_eq!(trees, expected);
}

#[test]
fn what_is_out_of_time_dropped_and_in_a_panic() {
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there is a thread");
    runtime.block_on(async {
        let limit = Duration::from_millis(1);
        let late = async { timeout(limit, pending::<()>()).await.context("too late").record_error() };
        assert!(late.in_span(start_span("late").inactive().start()).await.is_err());
        let dropped = async {
            pending::<()>().await;
            Err::<(), _>(anyhow::anyhow!("never")).record_error()
        };
        assert!(timeout(limit, dropped.in_span(start_span("dropped").inactive().start())).await.is_err());
        let panics = async {
            assert!(Err::<(), _>(anyhow::anyhow!("told")).record_error().is_ok(), "on purpose");
        };
        let panics = panics.in_span(start_span("panics").inactive().start());
        assert!(tokio::spawn(panics.in_current_span()).await.expect_err("it panics").is_panic());
    });
    let expected = "\
        late [error] error.message=\"too late\" error.causes=[\"deadline has elapsed\"]\n---\n\
        dropped span.cancelled=true\n---\n\
        panics [error] error.message=\"told\"\n";
    assert_eq!(harness.text(&["error.message", "error.causes", "span.cancelled"]), expected);
}

#[test]
fn without_a_runtime_and_unsampled_the_result_goes_through() {
    let fails = || Err::<(), _>(anyhow::anyhow!("no such order")).record_error();
    assert_eq!(fails().expect_err("it fails").to_string(), "no such order");
    let harness = Harness::sampling(0.0);
    {
        let _span = start_span("unsampled").start();
        assert_eq!(fails().expect_err("it fails").to_string(), "no such order");
    }
    assert_eq!(harness.text(&[]), "");
}
