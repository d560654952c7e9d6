//! Spans and their attributes, changed one by one.

use serde_json::{Value, json};

use super::super::{CHILD, Draft, noon};
use super::{cut, each_is_refused, set};
use crate::testing::Envelope;

#[test]
fn spans() {
    each_is_refused(
        || Draft::spans(noon()),
        vec![
            set("payload/items/0/op", json!("db"), "item 0, span 0: members must be among trace_id, span_id, "),
            set("payload/items/0/__header", json!({}), "links, attributes, found \"__header\""),
            cut(
                "payload/items/0/trace_id",
                "item 0, span 0: trace_id must be 32 lowercase hex digits and not all zero, found nothing",
            ),
            set(
                "payload/items/0/trace_id",
                json!("1".repeat(32)),
                "span 0: trace_id must be that of the envelope's trace header, 4bf9",
            ),
            set("payload/items/0/trace_id", json!("A".repeat(32)), "span 0: trace_id must be 32 lowercase hex"),
            set(
                "payload/items/0/span_id",
                json!("0".repeat(16)),
                "span 0: span_id must be 16 lowercase hex digits and not all zero, found \"0000000000000000\"",
            ),
            set("payload/items/0/span_id", json!("1234"), "span 0: span_id must be 16 lowercase hex"),
            set(
                "payload/items/1/span_id",
                json!(CHILD),
                "span 1: span_id must be unique in its envelope, found 53995c3f42cd8ad8 again",
            ),
            set(
                "payload/items/0/parent_span_id",
                Value::Null,
                "span 0: parent_span_id must be 16 lowercase hex digits and not all zero, found null",
            ),
            set("payload/items/0/parent_span_id", json!(CHILD), "span 0: parent_span_id must not be the span's own id"),
            set("payload/items/0/name", json!(""), "span 0: name must be a non-empty string, found \"\""),
            cut("payload/items/0/name", "span 0: name must be a non-empty string, found nothing"),
            set(
                "payload/items/0/status",
                json!("cancelled"),
                "span 0: status must be \"ok\" or \"error\", found \"cancelled\"",
            ),
            cut("payload/items/0/is_segment", "span 0: is_segment must be true or false, found nothing"),
            set("payload/items/0/is_segment", json!(1), "span 0: is_segment must be true or false, found 1"),
            cut(
                "payload/items/0/start_timestamp",
                "span 0: start_timestamp must be a number of seconds since 1970, found nothing",
            ),
            set(
                "payload/items/0/end_timestamp",
                json!("2024-06-01T12:30:00Z"),
                "span 0: end_timestamp must be a number of seconds since 1970, found \"2024-06-01T12:30:00Z\"",
            ),
            set(
                "payload/items/0/start_timestamp",
                json!(1.5),
                "span 0: start_timestamp must lie between 2020 and 60 s from now, found 1.5",
            ),
            set(
                "payload/items/0/end_timestamp",
                json!(1_717_245_061),
                "span 0: end_timestamp must lie between 2020 and 60 s from now, found 1717245061",
            ),
            set(
                "payload/items/0/start_timestamp",
                json!(1_717_245_000),
                "span 0: must not end before it starts, found 1717245000 to 1717244999.5",
            ),
            set("payload/items/0/links", json!({}), "span 0: links must be an array, found {}"),
            set("payload/items/0/links", json!([1]), "span 0, link 0: must be an object, found 1"),
            cut("payload/items/0/links/0/trace_id", "span 0, link 0: trace_id must be 32 lowercase hex"),
            set("payload/items/0/links/0/span_id", json!("x"), "span 0, link 0: span_id must be 16 lowercase hex"),
            set(
                "payload/items/0/links/0/sampled",
                json!("true"),
                "span 0, link 0: sampled must be true or false, found \"true\"",
            ),
            set(
                "payload/items/0/links/0/type",
                json!(1),
                "span 0, link 0: members must be among trace_id, span_id, sampled, attributes, found \"type\"",
            ),
            set(
                "payload/items/0/links/0/attributes/kind/value",
                json!(1),
                "span 0, link 0, attribute \"kind\": value must be a string, as its type says, found 1",
            ),
            set("payload/items/0/attributes", json!([]), "span 0: attributes must be an object, found []"),
        ],
    );
}

#[test]
fn span_attributes() {
    each_is_refused(
        || Draft::spans(noon()),
        vec![
            set(
                "payload/items/1/attributes/x",
                json!(1),
                "span 1, attribute \"x\": must be an object of type and value, found 1",
            ),
            set(
                "payload/items/1/attributes/",
                json!({"type": "integer", "value": 1}),
                "span 1, attribute \"\": must have a name",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"value": 1}),
                "attribute \"x\": type must be boolean, integer, double, string or array, found nothing",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "object", "value": {}}),
                "attribute \"x\": type must be boolean, integer, double, string or array, found \"object\"",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "string"}),
                "attribute \"x\": value must be a string, as its type says, found nothing",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "string", "value": "", "v": 1}),
                "attribute \"x\": members must be among type, value, unit, found \"v\"",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "string", "value": "", "unit": 1}),
                "attribute \"x\": unit must be a non-empty string, found 1",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "string", "value": null}),
                "value must be a string, as its type says, found null",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "boolean", "value": 0}),
                "value must be true or false, as its type says, found 0",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "integer", "value": 1.0}),
                "value must be an integer within 64 signed bits, as its type says, found 1.0",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "integer", "value": 1_u64 << 63}),
                "value must be an integer within 64 signed bits, as its type says, found 9223372036854775808",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "double", "value": "nan"}),
                "value must be a number, as its type says, found \"nan\"",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "array", "value": [1, "a"]}),
                "value must be a flat array of strings, of booleans or of numbers, as its type says, found [1,\"a\"]",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "array", "value": [[1]]}),
                "value must be a flat array of strings, of booleans or of numbers, as its type says, found [[1]]",
            ),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "array", "value": "a"}),
                "value must be a flat array of strings",
            ),
            cut(
                "payload/items/1/attributes/sentry.sdk.name",
                "span 1: attribute \"sentry.sdk.name\" must be a non-empty string, found nothing",
            ),
            set(
                "payload/items/1/attributes/sentry.sdk.version/value",
                json!(""),
                "span 1: attribute \"sentry.sdk.version\" must be a non-empty string, found \"\"",
            ),
            cut(
                "payload/items/0/attributes/sentry.segment.name",
                "span 0: attribute \"sentry.segment.name\" must be a non-empty string, found nothing",
            ),
            set(
                "payload/items/0/attributes/sentry.segment.id/value",
                json!("x"),
                "span 0: attribute \"sentry.segment.id\" must be 16 lowercase hex digits and not all zero, found \"x\"",
            ),
            set(
                "payload/items/1/attributes/sentry.segment.id/value",
                json!(CHILD),
                "span 1: attribute \"sentry.segment.id\" of a segment must be its span_id, found \"53995c3f42cd8ad8\"",
            ),
            cut(
                "payload/items/1/attributes/sentry.segment.name.source",
                "span 1: attribute \"sentry.segment.name.source\" of a segment must be among custom, url, route, view, component, task, found nothing",
            ),
            set(
                "payload/items/1/attributes/sentry.segment.name.source/value",
                json!("path"),
                "of a segment must be among custom, url, route, view, component, task, found \"path\"",
            ),
            set(
                "payload/items/1/attributes/sentry.client_sample_rate",
                json!({"type": "double", "value": 0.0}),
                "attribute \"sentry.client_sample_rate\" must be above 0 and at most 1, found 0",
            ),
            set(
                "payload/items/1/attributes/client.address",
                json!({"type": "string", "value": "{{auto}}"}),
                "attribute \"client.address\" must not ask Relay for the connection's address",
            ),
        ],
    );
}

#[test]
fn attributes_of_every_type_pass() {
    let values = [
        ("integer", json!(i64::MIN)),
        ("integer", json!(i64::MAX)),
        ("double", json!(1)),
        ("double", json!(-1e300)),
        ("boolean", json!(false)),
        ("string", json!("")),
        ("array", json!([])),
        ("array", json!([null, 1, 2.5])),
        ("array", json!([true, false])),
        ("array", json!(["a", "\u{1f980}"])),
    ];
    for (type_, value) in values {
        let mut draft = Draft::spans(noon());
        set("payload/items/1/attributes/x", json!({"type": type_, "value": value}), "").apply(&mut draft);
        let envelope = Envelope::parse_at(&draft.bytes(), noon()).expect("the value fits its type");
        assert_eq!(envelope.spans()[1].attribute("x"), Some(&value));
    }
}

/// Rules that only the payload's text shows: what to replace, by what, and the words.
#[test]
fn span_payload_text() {
    let cases = [
        (
            "\"ratio\":{",
            "\"ratio\":{\"type\":\"double\",",
            "payload must not repeat a key, found items[0].attributes.ratio.type twice",
        ),
        (
            "1717244999.25",
            "1717244999.2500000",
            "item 0, span 0: start_timestamp must be a plain decimal with at most 6 digits after the point, found 1717244999.2500000",
        ),
        ("1717244999.5", "1.7172449995e9", "item 0, span 0: end_timestamp must be a plain decimal"),
        ("0.5", "NaN", "item 0: payload must be JSON, found"),
        ("0.5", "1e999", "number out of range"),
        ("SELECT", "\\ud800", "item 0: payload must be JSON, found"),
        ("SELECT", "\n", "control character"),
        ("\"version\":2", "\"version\":2,", "item 0: payload must be JSON, found"),
    ];
    for (from, to, expected) in cases {
        let mut draft = Draft::spans(noon());
        let payload = draft.payload.to_string();
        assert!(payload.contains(from), "{from} is not in {payload}");
        let payload = payload.replacen(from, to, 1);
        draft.item["length"] = payload.len().into();
        let bytes = format!("{}\n{}\n{payload}\n", draft.header, draft.item);
        let violations = Envelope::parse_at(bytes.as_bytes(), noon()).err().unwrap_or_default();
        assert!(violations.iter().any(|words| words.contains(expected)), "{expected:?} is not in {violations:#?}");
    }
}

#[test]
fn too_deep_a_payload_is_refused() {
    let mut draft = Draft::spans(noon());
    let payload = draft.payload.to_string().replacen(
        "\"value\":7",
        &format!("\"value\":{}{}", "[".repeat(123), "]".repeat(123)),
        1,
    );
    draft.item["length"] = payload.len().into();
    let bytes = format!("{}\n{}\n{payload}\n", draft.header, draft.item);
    let violations = Envelope::parse_at(bytes.as_bytes(), noon()).expect_err("the payload is 128 deep");
    assert!(violations[0].contains("recursion limit exceeded"), "{violations:?}");
}
