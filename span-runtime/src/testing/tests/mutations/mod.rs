//! One breaking change for each rule of headers and payloads, with the words it yields.

mod other_items;
mod spans;

use serde_json::{Value, json};

use super::{Draft, TRACE, noon};
use crate::testing::Envelope;

/// One change of a valid envelope, and the words that it yields.
struct Mutation {
    /// `header`, `item` or `payload`, then keys and indices down to the member.
    path: &'static str,
    /// `None` removes the member.
    value: Option<Value>,
    words: &'static str,
}

fn set(path: &'static str, value: Value, words: &'static str) -> Mutation {
    Mutation { path, value: Some(value), words }
}

fn cut(path: &'static str, words: &'static str) -> Mutation {
    Mutation { path, value: None, words }
}

impl Mutation {
    fn apply(self, draft: &mut Draft) {
        let (part, rest) = self.path.split_once('/').unwrap_or((self.path, ""));
        let part = match part {
            "header" => &mut draft.header,
            "item" => &mut draft.item,
            "payload" => &mut draft.payload,
            other => panic!("a draft has header, item and payload, found {other:?}"),
        };
        let Some(value) = self.value else {
            let (object, key) = rest.rsplit_once('/').unwrap_or(("", rest));
            let object = if object.is_empty() { part } else { member(part, object) };
            object.as_object_mut().and_then(|object| object.remove(key)).expect("the draft has what is cut");
            return;
        };
        *(if rest.is_empty() { part } else { member(part, rest) }) = value;
    }
}

/// The value at a path, made if it is not there.
fn member<'v>(value: &'v mut Value, path: &str) -> &'v mut Value {
    path.split('/').fold(value, |value, step| match step.parse::<usize>() {
        Ok(index) => &mut value[index],
        Err(_) => &mut value[step],
    })
}

/// Applies each mutation to a fresh draft and looks for its words among the violations.
#[track_caller]
fn each_is_refused(draft: impl Fn() -> Draft, mutations: Vec<Mutation>) {
    for mutation in mutations {
        let (mut draft, words) = (draft(), mutation.words);
        mutation.apply(&mut draft);
        let violations = Envelope::parse_at(&draft.bytes(), noon()).err().unwrap_or_default();
        assert!(violations.iter().any(|found| found.contains(words)), "{words:?} is not in {violations:#?}");
    }
}

#[test]
fn envelope_header() {
    each_is_refused(
        || Draft::spans(noon()),
        vec![
            set("header/retention", json!(90), "must not have retention, which belongs to Relay"),
            set("header/no_cache", json!(true), "must not have no_cache, which belongs to Relay"),
            set("header/event_id", json!("x"), "event_id must be a UUID, with or without hyphens, found \"x\""),
            set("header/dsn", json!("http://abc@localhost/42"), "dsn must be a DSN with a key of 32 characters"),
            set("header/sdk", json!(1), "sdk must be an object, found 1"),
            set(
                "header/sent_at",
                json!(1_717_245_000),
                "sent_at must be an RFC 3339 timestamp with a zone, found 1717245000",
            ),
            set(
                "header/sent_at",
                json!("2024-06-01T11:34:59Z"),
                "sent_at must be within 55 minutes of now, found -3301 s away",
            ),
            set(
                "header/sent_at",
                json!("2024-06-01T13:25:01Z"),
                "sent_at must be within 55 minutes of now, found 3301 s away",
            ),
            cut("header/trace", "envelope: must have a trace header for its spans, found nothing"),
            set("header/trace", json!("x"), "trace must be an object, found \"x\""),
            cut(
                "header/trace/trace_id",
                "trace header: trace_id must be 32 lowercase hex digits and not all zero, found nothing",
            ),
            set(
                "header/trace/trace_id",
                json!(TRACE.to_uppercase()),
                "trace header: trace_id must be 32 lowercase hex",
            ),
            set("header/trace/trace_id", json!("0".repeat(32)), "trace header: trace_id must be 32 lowercase hex"),
            cut("header/trace/public_key", "trace header: public_key must be 32 ASCII characters, found nothing"),
            set(
                "header/trace/public_key",
                json!("short"),
                "trace header: public_key must be 32 ASCII characters, found \"short\"",
            ),
            set("header/trace/sample_rate", json!(0.25), "trace header: sample_rate must be a string, found 0.25"),
            set(
                "header/trace/sample_rate",
                json!("all"),
                "trace header: sample_rate must be a string that holds a JSON number of at least 0, found \"all\"",
            ),
            set(
                "header/trace/sample_rate",
                json!("-1"),
                "trace header: sample_rate must be a string that holds a JSON number of at least 0, found \"-1\"",
            ),
            set("header/trace/sample_rate", json!("NaN"), "trace header: sample_rate must be a string that holds"),
            set("header/trace/sampled", json!("1"), "trace header: sampled must be \"true\" or \"false\", found \"1\""),
            set("header/trace/sampled", json!(true), "trace header: sampled must be a string, found true"),
            set("header/trace/replay_id", json!("x"), "trace header: replay_id must be a UUID"),
            set("header/trace/anything", Value::Null, "trace header: anything must be a string, found null"),
        ],
    );
}

#[test]
fn item_header_and_container() {
    each_is_refused(
        || Draft::spans(noon()),
        vec![
            cut("item/type", "item 0: type must be a known item type, found nothing"),
            set("item/type", json!("spans"), "item 0: type must be a known item type, found \"spans\""),
            set("item/fully_normalized", json!(true), "item 0: must not have fully_normalized, which belongs to Relay"),
            set(
                "item/filename",
                json!("x"),
                "item 0: members must be among type, length, item_count, content_type, found \"filename\"",
            ),
            cut(
                "item/content_type",
                "item 0: content_type must be \"application/vnd.sentry.items.span.v2+json\", found nothing",
            ),
            set("item/content_type", json!("application/json"), "item 0: content_type must be"),
            cut("item/item_count", "item 0: item_count must be 2, the number of spans in the payload, found nothing"),
            set(
                "item/item_count",
                json!(3),
                "item 0: item_count must be 2, the number of spans in the payload, found 3",
            ),
            set("payload", json!([]), "item 0: payload must be an object, found []"),
            cut("payload/version", "item 0, payload: version must be 2, found nothing"),
            set("payload/version", json!(1), "item 0, payload: version must be 2, found 1"),
            set(
                "payload/sdk",
                json!({}),
                "item 0, payload: members must be among version, ingest_settings, items, found \"sdk\"",
            ),
            set(
                "payload/ingest_settings",
                json!({"infer_ip": "auto"}),
                "item 0, payload: infer_ip must be \"never\", found \"auto\"",
            ),
            set("payload/items", json!({}), "item 0, payload: items must be an array, found {}"),
            set("payload/items", json!([]), "item 0, payload: items must hold 1 to 1000 spans, found 0"),
            set("payload/items", json!(vec![0; 1001]), "item 0, payload: items must hold 1 to 1000 spans, found 1001"),
            set(
                "payload/items/1/attributes/x",
                json!({"type": "string", "value": "x".repeat(10 << 20)}),
                "item 0: payload must have at most 10485760 bytes, found ",
            ),
            set("payload/items/1", json!(7), "item 0, span 1: must be an object, found 7"),
        ],
    );
}
