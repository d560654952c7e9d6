//! Framing, and what is decoded from envelopes that keep all rules.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{CHILD, Draft, SEGMENT, TRACE, noon};
use crate::testing::Envelope;

#[test]
fn a_valid_envelope_is_decoded_in_full() {
    let bytes = Draft::spans(noon()).bytes();
    let envelope = Envelope::parse_at(&bytes, noon()).expect("the golden envelope keeps all rules");
    assert_eq!(envelope.raw, bytes);
    assert_eq!(envelope.arrived, noon());
    assert_eq!(envelope.item_types(), ["span"]);
    assert_eq!(envelope.trace_id(), Some(TRACE));
    assert_eq!(envelope.items[0].json().expect("the payload is JSON")["version"], 2);
    let [child, segment] = envelope.spans() else { panic!("two spans, found {}", envelope.spans().len()) };
    assert_eq!((child.span_id.as_str(), child.parent_span_id.as_deref()), (CHILD, Some(SEGMENT)));
    assert_eq!((child.name.as_str(), child.status.as_str(), child.is_segment), ("SELECT orders", "error", false));
    assert_eq!(child.links[0]["span_id"], SEGMENT);
    assert_eq!(child.duration(), Duration::from_millis(250));
    assert_eq!((segment.trace_id.as_str(), segment.parent_span_id.as_deref()), (TRACE, None));
    assert!(segment.is_segment);
    assert_eq!(segment.attribute("order.id"), Some(&json!(7)));
    assert_eq!(segment.attributes["ratio"].type_, "double");
    assert_eq!(segment.text("sentry.segment.name.source"), Some("route"));
    assert_eq!(segment.text("order.id"), None);
}

#[test]
fn transactions_and_client_reports_pass() {
    Envelope::parse_at(&Draft::transaction(noon()).bytes(), noon()).expect("the transaction keeps all rules");
    let report = Envelope::parse_at(&Draft::report(noon()).bytes(), noon()).expect("the report keeps all rules");
    let expected = [("sample_rate", 12), ("queue_overflow", 3)];
    assert_eq!(report.client_reports(), expected.map(|(reason, n)| (reason.to_owned(), "span".to_owned(), n)));
    assert!(report.spans().is_empty());
    assert_eq!(report.trace_id(), None);
}

#[test]
fn a_client_report_may_ride_with_spans() {
    let (spans, report) = (Draft::spans(noon()), Draft::report(noon()));
    let bytes = [spans.bytes(), report.item_bytes()].concat();
    let envelope = Envelope::parse_at(&bytes, noon()).expect("the two may be mixed");
    assert_eq!(envelope.item_types(), ["span", "client_report"]);
    assert_eq!((envelope.spans().len(), envelope.client_reports().len()), (2, 2));
}

#[test]
fn the_last_newline_is_optional() {
    let mut bytes = Draft::spans(noon()).bytes();
    assert_eq!(bytes.pop(), Some(b'\n'));
    assert!(Envelope::parse_at(&bytes, noon()).is_ok());
}

#[test]
fn a_payload_may_hold_newlines() {
    let mut draft = Draft::report(noon());
    let payload =
        "{\n\"timestamp\":1717245000,\"discarded_events\":[{\"reason\":\"a\",\"category\":\"b\",\"quantity\":1}]}\n";
    draft.item["length"] = payload.len().into();
    let bytes = format!("{{}}\n{}\n{payload}", draft.item);
    let envelope = Envelope::parse_at(bytes.as_bytes(), noon()).expect("the length spans the newlines");
    assert_eq!(envelope.items[0].payload, payload.as_bytes());
}

#[test]
fn the_clock_decides() {
    let bytes = Draft::spans(noon()).bytes();
    assert!(Envelope::parse_at(&bytes, SystemTime::UNIX_EPOCH).is_err());
    // Spans may be late for as long as the project keeps its data, which is not ours to know.
    assert!(Envelope::parse(&bytes).is_ok());
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let violations = Envelope::parse_at(bytes, noon()).expect_err(expected);
    assert!(violations.iter().any(|words| words.contains(expected)), "{expected:?} is not in {violations:#?}");
}

#[test]
fn broken_framing_is_refused() {
    let draft = Draft::report(noon());
    let (item, payload) = (draft.item_bytes(), draft.payload.to_string());
    let with = |header: &[u8], rest: &[u8]| [header, b"\n", rest].concat();
    let after = |tail: &str| with(b"{}", format!("{}{tail}", String::from_utf8_lossy(&item)).as_bytes());
    refused(b"", "envelope: must not be empty");
    refused(b"{}", "envelope: must have at least one item, found none");
    refused(b"\n", "envelope header: must be one line of JSON, found \"\": EOF");
    refused(&with(b"[1]", &item), "envelope header: must be a JSON object, found [1]");
    refused(&with(b"{\"a\":\"\xff\"}", &item), "envelope header: must be one line of JSON");
    refused(&with(b"{\"a\": 1}", &item), "envelope header: must be compact, without blanks, found \"{\\\"a\\\": 1}\"");
    refused(&with(b"{\"a\":1}\r", &item), "envelope header: must be compact");
    refused(&with(b"{\n}", &item), "envelope header: must be one line of JSON, found \"{\"");
    refused(&with(b"{\"a\":{\"b\":1,\"b\":1}}", &item), "envelope header: must not repeat a key, found a.b twice");
    refused(&after("\n\n"), "item 1: must not be an empty line; one newline may end the last item");
    refused(&after("\n{}"), "item 1: must have a newline between header and payload, found the end");
    refused(&after("\nx\n"), "item 1, header: must be one line of JSON, found \"x\"");
    refused(&after("x"), &format!("item 0: must end with a newline after {} bytes, found 'x'", payload.len()));
    refused(
        &with(b"{}", b"{\"type\":\"log\",\"length\":9}\n12345678"),
        "item 0: length must match the payload, found 9 with 8 bytes left",
    );
    refused(
        &with(b"{}", b"{\"type\":\"log\"}\n1"),
        "item 0: length must be the payload's bytes as an unsigned 32-bit integer, found nothing",
    );
    for length in ["4294967296", "-1", "1.0", "\"1\""] {
        let item = format!("{{\"type\":\"log\",\"length\":{length}}}\n1");
        refused(&with(b"{}", item.as_bytes()), &format!("as an unsigned 32-bit integer, found {length}"));
    }
    refused(
        &with(b"{}", b"{\"type\":\"log\",\"type\":\"log\",\"length\":1}\n1"),
        "item 0, header: must not repeat a key, found type twice",
    );
    refused(&vec![b' '; (200 << 20) + 1], "envelope: must have at most 209715200 bytes, found 209715201");
}

#[test]
fn wrong_mixtures_are_refused() {
    let (spans, transaction) = (Draft::spans(noon()), Draft::transaction(noon()));
    let twice = |draft: &Draft| [draft.bytes(), draft.item_bytes()].concat();
    let both = [spans.bytes(), transaction.item_bytes()].concat();
    refused(&twice(&spans), "envelope: must have at most one span item, found 2");
    refused(&twice(&transaction), "envelope: must have at most one transaction item, found 2");
    refused(&both, "envelope: must not mix kinds of telemetry, found span, transaction");
    let log = [spans.header.to_string().as_bytes(), b"\n{\"type\":\"log\",\"length\":0}\n"].concat();
    refused(&log, "envelope: must not have a trace header beside a log or metric item");
}

#[test]
fn quotes_are_short() {
    let mut draft = Draft::spans(noon());
    draft.payload["items"][0]["status"] = "é".repeat(1000).into();
    let violations = Envelope::parse_at(&draft.bytes(), noon()).expect_err("the status is wrong");
    let expected = format!("found \"{}… (2002 bytes)", "é".repeat(79));
    assert!(violations[0].ends_with(&expected), "{violations:?}");
}

#[test]
fn all_violations_are_listed() {
    let mut draft = Draft::spans(noon());
    draft.payload["items"][0]["name"] = json!("");
    draft.payload["items"][1]["status"] = json!("fine");
    draft.header["sent_at"] = json!("now");
    let violations = Envelope::parse_at(&draft.bytes(), noon()).expect_err("three rules are broken");
    assert_eq!(
        violations,
        [
            "envelope header: sent_at must be an RFC 3339 timestamp with a zone, found \"now\"",
            "item 0, span 0: name must be a non-empty string, found \"\"",
            "item 0, span 1: status must be \"ok\" or \"error\", found \"fine\"",
        ]
    );
}
