//! Tests of the test doubles: what they accept must be right, or every other test is worth little.

mod answers;
mod capture;
mod client;
mod envelope;
mod mutations;
mod receiver;
mod render;
mod request_rules;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SEGMENT: &str = "00f067aa0ba902b7";
const CHILD: &str = "53995c3f42cd8ad8";

/// 2024-06-01T12:30:00Z, at which the golden envelope arrives.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_717_245_000)
}

/// A valid span envelope in parts, to be broken before it is put together.
struct Draft {
    header: Value,
    item: Value,
    payload: Value,
}

impl Draft {
    /// A segment and its child, the child first, as spans end.
    fn spans(now: SystemTime) -> Self {
        let now = now.duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        let attributes = |source: Value| {
            let mut attributes = json!({
                "sentry.sdk.name": {"type": "string", "value": "span-runtime"},
                "sentry.sdk.version": {"type": "string", "value": "0.1.0"},
                "sentry.segment.id": {"type": "string", "value": SEGMENT},
                "sentry.segment.name": {"type": "string", "value": "GET /orders"},
                "order.id": {"type": "integer", "value": 7},
                "ratio": {"type": "double", "value": 0.5},
                "cached": {"type": "boolean", "value": true},
                "tags": {"type": "array", "value": ["a", null, "b"]},
            });
            if !source.is_null() {
                attributes["sentry.segment.name.source"] = json!({"type": "string", "value": source});
            }
            attributes
        };
        let start = now as f64 - 1.0;
        Self {
            header: json!({
                "trace": {"trace_id": TRACE, "public_key": "0123456789abcdef0123456789abcdef", "sample_rate": "0.25", "sampled": "true"},
            }),
            item: json!({"type": "span", "item_count": 2, "content_type": "application/vnd.sentry.items.span.v2+json"}),
            payload: json!({"version": 2, "items": [
                {
                    "trace_id": TRACE, "span_id": CHILD, "parent_span_id": SEGMENT, "name": "SELECT orders",
                    "status": "error", "is_segment": false, "start_timestamp": start + 0.25, "end_timestamp": start + 0.5,
                    "attributes": attributes(Value::Null),
                    "links": [{"trace_id": TRACE, "span_id": SEGMENT, "sampled": true,
                        "attributes": {"kind": {"type": "string", "value": "follows"}}}],
                },
                {
                    "trace_id": TRACE, "span_id": SEGMENT, "name": "GET /orders",
                    "status": "ok", "is_segment": true, "start_timestamp": start, "end_timestamp": start + 0.75,
                    "attributes": attributes(json!("route")),
                },
            ]}),
        }
    }

    /// A transaction with one child span.
    fn transaction(now: SystemTime) -> Self {
        let now = now.duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        Self {
            header: json!({"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "sent_at": "2024-06-01T12:30:00.5Z"}),
            item: json!({"type": "transaction"}),
            payload: json!({
                "type": "transaction", "event_id": "9ec79c33-ec99-42ab-8353-589fcb2e04dc", "transaction": "GET /orders",
                "platform": "native", "start_timestamp": now - 1, "timestamp": "2024-06-01T12:30:00Z",
                "contexts": {"trace": {"trace_id": TRACE, "span_id": SEGMENT, "op": "http.server"}},
                "spans": [{"trace_id": TRACE, "span_id": CHILD, "parent_span_id": SEGMENT,
                    "start_timestamp": now as f64 - 0.75, "timestamp": now as f64 - 0.5}],
            }),
        }
    }

    /// A client report with two losses.
    fn report(now: SystemTime) -> Self {
        let now = now.duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
        Self {
            header: json!({}),
            item: json!({"type": "client_report"}),
            payload: json!({"timestamp": now, "discarded_events": [
                {"reason": "sample_rate", "category": "span", "quantity": 12},
                {"reason": "queue_overflow", "category": "span", "quantity": 3},
            ]}),
        }
    }

    /// The envelope's bytes, with the item's right `length` unless one is set.
    fn bytes(&self) -> Vec<u8> {
        [self.header.to_string().into_bytes(), self.item_bytes(), Vec::new()].join(&b'\n')
    }

    /// The item's header and payload.
    fn item_bytes(&self) -> Vec<u8> {
        let payload = self.payload.to_string();
        let mut item = self.item.clone();
        if item.get("length").is_none() {
            item["length"] = payload.len().into();
        }
        format!("{item}\n{payload}").into_bytes()
    }
}
