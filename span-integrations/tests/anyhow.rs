//! Errors of anyhow and their causes, on spans.
#![cfg(feature = "anyhow")]
#![forbid(unsafe_code)]

use anyhow::Context as _;
use span_integrations::anyhow::RecordError as _;
// Both can be in scope, and each finds what is its own.
use span_integrations::error::RecordError as _;
use span_runtime::start_span;
use span_tests::Harness;

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
