//! Client reports and transactions, checked.

use serde_json::{Map, Value};

use super::Item;
use super::findings::{self, Findings, Place};
use super::payload::read_payload;

/// Above these sizes Relay answers 413.
const MAX_CLIENT_REPORT: usize = 100 << 10;
const MAX_TRANSACTION: usize = 1 << 20;

/// Checks a client report and gives what it says was lost.
pub(super) fn read_client_report(
    findings: &mut Findings,
    place: &Place<'_>,
    item: &Item,
) -> Vec<(String, String, u64)> {
    let Some(report) = read_payload(findings, place, item, MAX_CLIENT_REPORT, |_, _, _| {}) else { return Vec::new() };
    let known = ["timestamp", "discarded_events", "rate_limited_events", "filtered_events", "filtered_sampling_events"];
    findings.only(place, &report, &known);
    read_time(findings, place, &report, "timestamp");
    let rule = "must be an array that is not empty";
    let events = findings
        .expect(place, &report, "discarded_events", rule, |value| value.as_array().filter(|events| !events.is_empty()));
    let mut losses = Vec::new();
    for (index, event) in events.map_or(&[][..], Vec::as_slice).iter().enumerate() {
        let place = place.nth("discarded event", index);
        let Some(event) = event.as_object() else {
            findings.add(&place, format_args!("must be an object, found {}", findings::short(event)));
            continue;
        };
        findings.only(&place, event, &["reason", "category", "quantity"]);
        let reason = findings.expect(&place, event, "reason", findings::TEXT, findings::text);
        let category = findings.expect(&place, event, "category", findings::TEXT, findings::text);
        let rule = "must be an integer above 0";
        let quantity = findings.expect(&place, event, "quantity", rule, |value| value.as_u64().filter(|n| *n > 0));
        if let (Some(reason), Some(category), Some(quantity)) = (reason, category, quantity) {
            losses.push((reason.to_owned(), category.to_owned(), quantity));
        }
    }
    losses
}

/// Checks a transaction with its child spans. Relay drops the whole of it for one bad child.
pub(super) fn check_transaction(findings: &mut Findings, place: &Place<'_>, item: &Item, header: &Map<String, Value>) {
    let Some(event) = read_payload(findings, place, item, MAX_TRANSACTION, |_, _, _| {}) else { return };
    findings.expect(place, &event, "type", "must be \"transaction\"", |value| (value == "transaction").then_some(()));
    findings.expect(place, &event, "transaction", findings::TEXT, findings::text);
    findings.expect(place, &event, "platform", findings::TEXT, findings::text);
    let event_id = findings.expect(place, &event, "event_id", findings::UUID, findings::uuid);
    let in_header = header.get("event_id").and_then(findings::uuid);
    if event_id.is_some() && event_id != in_header {
        let found = in_header.unwrap_or_else(|| "nothing".to_owned());
        findings.add(place, format_args!("event_id must be that of the envelope header, found {found} there"));
    }
    check_times(findings, place, &event);

    let contexts = findings.expect(place, &event, "contexts", findings::OBJECT, Value::as_object);
    let trace = contexts.and_then(|contexts| {
        findings.expect(&place.member("contexts"), contexts, "trace", findings::OBJECT, Value::as_object)
    });
    let trace_id = trace.and_then(|trace| check_ids(findings, &place.member("contexts.trace"), trace));
    let in_header = header.get("trace").and_then(|trace| trace.get("trace_id")).and_then(Value::as_str);
    check_same_trace(findings, place, trace_id, in_header, "the envelope's trace header");

    let spans = findings.allow(place, &event, "spans", "must be an array", Value::as_array);
    for (index, span) in spans.map_or(&[][..], Vec::as_slice).iter().enumerate() {
        let place = place.nth("child span", index);
        let Some(span) = span.as_object() else {
            findings.add(&place, format_args!("must be an object, found {}", findings::short(span)));
            continue;
        };
        check_times(findings, &place, span);
        let child_trace = check_ids(findings, &place, span);
        check_same_trace(findings, &place, child_trace, trace_id, "its transaction");
    }
}

fn check_same_trace(
    findings: &mut Findings,
    place: &Place<'_>,
    found: Option<&str>,
    expected: Option<&str>,
    owner: &str,
) {
    if let (Some(found), Some(expected)) = (found, expected) {
        if found != expected {
            findings.add(place, format_args!("trace_id must be that of {owner}, {expected}, found {found}"));
        }
    }
}

/// Checks both ids and the parent's, and gives the trace id.
fn check_ids<'v>(findings: &mut Findings, place: &Place<'_>, owner: &'v Map<String, Value>) -> Option<&'v str> {
    findings.expect(place, owner, "span_id", findings::SPAN_ID, findings::span_id);
    findings.allow(place, owner, "parent_span_id", findings::SPAN_ID, findings::span_id);
    findings.expect(place, owner, "trace_id", findings::TRACE_ID, findings::trace_id)
}

fn check_times(findings: &mut Findings, place: &Place<'_>, owner: &Map<String, Value>) {
    let start = read_time(findings, place, owner, "start_timestamp");
    let end = read_time(findings, place, owner, "timestamp");
    findings.ordered(place, start, end);
}

fn read_time(findings: &mut Findings, place: &Place<'_>, owner: &Map<String, Value>, key: &str) -> Option<f64> {
    let rule = "must be seconds since 1970 or RFC 3339 text";
    let time = findings.expect(place, owner, key, rule, findings::any_time)?;
    if !findings::is_sane(time, findings.now()) {
        findings.add(place, format_args!("{key} {}, found {time}", findings::SANE_TIME));
    }
    Some(time)
}
