//! The capture transport.

use std::thread;
use std::time::{Duration, SystemTime};

use super::{CHILD, Draft};
use crate::testing::CaptureTransport;
use crate::transport::Transport;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn keeps_what_it_accepts() {
    let capture = CaptureTransport::new();
    let arriving = capture.subscribe();
    let mut transport = capture.clone();
    let response = transport.send(&Draft::spans(SystemTime::now()).bytes()).expect("nothing fails here");
    assert_eq!(response.status, 200);
    transport.send(&Draft::report(SystemTime::now()).bytes()).expect("nothing fails here");
    transport.send(&Draft::report(SystemTime::now()).bytes()).expect("nothing fails here");
    assert_eq!((capture.attempts(), capture.envelopes().len(), capture.span_count()), (3, 3, 2));
    assert_eq!(capture.spans()[0].span_id, CHILD);
    assert_eq!(
        capture.client_reports(),
        [("queue_overflow".into(), "span".into(), 6), ("sample_rate".into(), "span".into(), 24)]
    );
    assert_eq!(arriving.try_iter().count(), 3);
    assert_eq!(capture.violations(), [""; 0]);
    capture.forget();
    assert_eq!((capture.attempts(), capture.envelopes().len(), capture.span_count()), (3, 0, 0));
}

#[test]
fn refuses_as_told() {
    let capture = CaptureTransport::new();
    let mut transport = capture.clone();
    let spans = Draft::spans(SystemTime::now()).bytes();
    capture.answer_with_limits(429, Some("60:span"), Some("60"));
    let response = transport.send(&spans).expect("a status is an answer");
    assert_eq!(response.status, 429);
    assert_eq!((response.rate_limits.as_deref(), response.retry_after.as_deref()), (Some("60:span"), Some("60")));
    capture.fail_with("the wire is cut");
    let error = transport.send(&spans).expect_err("the network fails");
    assert_eq!(error.to_string(), "the wire is cut");
    assert!(capture.envelopes().is_empty());
    capture.answer_with(202);
    transport.send(&spans).expect("all is well again");
    assert_eq!((capture.attempts(), capture.envelopes().len()), (3, 1));
}

#[test]
fn records_violations() {
    let capture = CaptureTransport::new();
    capture.clone().send(b"{}").expect("the answer does not depend on the body");
    assert_eq!(capture.violations(), ["request 0: envelope: must have at least one item, found none"]);
    assert!(capture.envelopes().is_empty());
}

#[test]
fn waits_for_what_comes_and_no_longer_than_told() {
    let capture = CaptureTransport::new();
    assert!(!capture.wait_until(Duration::from_millis(1), |capture| capture.attempts() > 0));
    let mut transport = capture.clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..10 {
                transport.send(&Draft::spans(SystemTime::now()).bytes()).expect("nothing fails here");
            }
        });
        assert!(capture.wait_until(LONG, |capture| capture.span_count() == 20));
        assert!(capture.wait_until(Duration::MAX, |capture| capture.attempts() == 10));
    });
}
