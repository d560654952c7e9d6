//! Client reports and transactions, changed one by one.

use serde_json::json;

use super::super::{Draft, noon};
use super::{cut, each_is_refused, set};

#[test]
fn client_reports() {
    each_is_refused(
        || Draft::report(noon()),
        vec![
            set("payload/x", json!(1), "item 0: members must be among timestamp, discarded_events, "),
            cut("payload/timestamp", "item 0: timestamp must be seconds since 1970 or RFC 3339 text, found nothing"),
            set("payload/timestamp", json!(0), "item 0: timestamp must lie between 2020 and 60 s from now, found 0"),
            set(
                "payload/discarded_events",
                json!([]),
                "item 0: discarded_events must be an array that is not empty, found []",
            ),
            set("payload/discarded_events", json!([1]), "item 0, discarded event 0: must be an object, found 1"),
            cut("payload/discarded_events/0/reason", "item 0, discarded event 0: reason must be a non-empty string"),
            set(
                "payload/discarded_events/1/category",
                json!(""),
                "item 0, discarded event 1: category must be a non-empty string",
            ),
            set(
                "payload/discarded_events/1/quantity",
                json!(0),
                "item 0, discarded event 1: quantity must be an integer above 0, found 0",
            ),
            set(
                "payload/discarded_events/0/n",
                json!(0),
                "item 0, discarded event 0: members must be among reason, category, quantity, found \"n\"",
            ),
            set("payload", json!(1), "item 0: payload must be an object, found 1"),
            set(
                "payload/timestamp",
                "x".repeat(100 << 10).into(),
                "item 0: payload must have at most 102400 bytes, found ",
            ),
        ],
    );
}

#[test]
fn transactions() {
    each_is_refused(
        || Draft::transaction(noon()),
        vec![
            set("payload/type", json!("event"), "item 0: type must be \"transaction\", found \"event\""),
            cut("payload/transaction", "item 0: transaction must be a non-empty string, found nothing"),
            cut("payload/platform", "item 0: platform must be a non-empty string, found nothing"),
            cut("payload/event_id", "item 0: event_id must be a UUID, with or without hyphens, found nothing"),
            cut("header/event_id", "item 0: event_id must be that of the envelope header, found nothing there"),
            set(
                "header/event_id",
                json!("1".repeat(32)),
                "item 0: event_id must be that of the envelope header, found 1111",
            ),
            cut(
                "payload/start_timestamp",
                "item 0: start_timestamp must be seconds since 1970 or RFC 3339 text, found nothing",
            ),
            set("payload/timestamp", json!("2019-06-01T12:30:00Z"), "item 0: timestamp must lie between 2020"),
            set(
                "payload/start_timestamp",
                json!(1_717_245_000.5),
                "item 0: must not end before it starts, found 1717245000.5 to 1717245000",
            ),
            cut("payload/contexts", "item 0: contexts must be an object, found nothing"),
            cut("payload/contexts/trace", "item 0, contexts: trace must be an object, found nothing"),
            set(
                "payload/contexts/trace/span_id",
                json!("0"),
                "item 0, contexts.trace: span_id must be 16 lowercase hex",
            ),
            cut("payload/contexts/trace/trace_id", "item 0, contexts.trace: trace_id must be 32 lowercase hex"),
            set(
                "header/trace",
                json!({"trace_id": "1".repeat(32)}),
                "item 0: trace_id must be that of the envelope's trace header, 1111",
            ),
            set("payload/spans", json!({}), "item 0: spans must be an array, found {}"),
            set("payload/spans", json!([1]), "item 0, child span 0: must be an object, found 1"),
            cut("payload/spans/0/timestamp", "item 0, child span 0: timestamp must be seconds"),
            set(
                "payload/spans/0/start_timestamp",
                json!(1_717_245_000),
                "item 0, child span 0: must not end before it starts",
            ),
            cut("payload/spans/0/span_id", "item 0, child span 0: span_id must be 16 lowercase hex"),
            set(
                "payload/spans/0/trace_id",
                json!("1".repeat(32)),
                "item 0, child span 0: trace_id must be that of its transaction, 4bf9",
            ),
            set("payload/x", "x".repeat(1 << 20).into(), "item 0: payload must have at most 1048576 bytes, found "),
        ],
    );
}
