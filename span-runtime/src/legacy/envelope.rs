//! A transaction as an envelope. (behaviour 55; transaction payloads, Sentry's event documents)
#![expect(clippy::arithmetic_side_effects, reason = "lengths of what is in memory")]

use std::borrow::Cow;

use super::facts::Facts;
use super::parcel::Finished;
use super::transaction::Child;
use crate::client::Settings;
use crate::clock::UnixNanos;
use crate::ids::Generator;
use crate::propagation::ContextText;
use crate::protocol::{SDK_NAME, SDK_VERSION, json};
use crate::scrub::Privacy;
use crate::segment::Segment;
use crate::{Key, Value};

/// The most bytes that a transaction may have; the server refuses a larger one.
const MOST_BYTES: usize = 1 << 20;

/// Writes the whole envelope, and says how many of the children are in it: all, unless it would become too large.
pub(super) fn write(finished: &Finished, settings: &Settings, now: UnixNanos) -> (Vec<u8>, usize) {
    let event_id = Generator::seeded().trace_id().to_string();
    let (payload, children) = payload(finished, settings, &event_id);
    let mut trace = Vec::new();
    finished.segment.write_context(&mut trace, &ContextText::new(settings));

    let mut bytes = Vec::with_capacity(payload.len() + 512 + trace.len());
    bytes.extend_from_slice(br#"{"event_id":"#);
    json::string(&mut bytes, &event_id);
    bytes.extend_from_slice(br#","sent_at":"#);
    json::rfc3339(&mut bytes, now);
    bytes.extend_from_slice(br#","trace":"#);
    bytes.extend_from_slice(&trace);
    bytes.extend_from_slice(b"}\n{\"type\":\"transaction\",\"length\":");
    json::unsigned(&mut bytes, payload.len() as u64);
    bytes.extend_from_slice(b"}\n");
    bytes.extend_from_slice(&payload);
    bytes.push(b'\n');
    (bytes, children)
}

fn payload(finished: &Finished, settings: &Settings, event_id: &str) -> (Vec<u8>, usize) {
    let Finished { segment, start, end, facts, children } = finished;
    let privacy = settings.privacy();
    let mut text = Vec::with_capacity(2048 + children.len() * 256);
    text.extend_from_slice(br#"{"type":"transaction","platform":"native","event_id":"#);
    json::string(&mut text, event_id);
    member(&mut text, "transaction", &privacy.clean_name(named(&segment.name()), segment.is_named_by_url()));
    text.extend_from_slice(br#","transaction_info":{"source":"#);
    json::string(&mut text, segment.source);
    text.push(b'}');
    times(&mut text, *start, *end);
    text.extend_from_slice(br#","sdk":{"name":"#);
    json::string(&mut text, SDK_NAME);
    member(&mut text, "version", SDK_VERSION);
    text.push(b'}');
    member(&mut text, "environment", &settings.environment);
    for (key, value) in
        [("release", &settings.release), ("dist", &settings.dist), ("server_name", &settings.server_name)]
    {
        if let Some(value) = value {
            member(&mut text, key, value);
        }
    }
    tags(&mut text, facts, privacy);
    contexts(&mut text, segment, facts, privacy);
    text.extend_from_slice(br#","spans":["#);
    let mut written = 0;
    for child in children {
        let before = text.len();
        if written > 0 {
            text.push(b',');
        }
        write_child(&mut text, segment, child, privacy);
        // The brackets at the end.
        if text.len() + 2 > MOST_BYTES {
            text.truncate(before);
            break;
        }
        written += 1;
    }
    text.extend_from_slice(b"]}");
    (text, written)
}

fn contexts(text: &mut Vec<u8>, segment: &Segment, facts: &Facts, privacy: Privacy<'_>) {
    let trace = segment.trace();
    text.extend_from_slice(br#","contexts":{"trace":{"type":"trace""#);
    member(text, "trace_id", &trace.id.to_string());
    member(text, "span_id", &segment.span_id.to_string());
    if let Some(parent) = trace.parent_id() {
        member(text, "parent_span_id", &parent.to_string());
    }
    described(text, facts, privacy);
    text.extend_from_slice(br#"},"runtime":{"type":"runtime","name":"rustc""#);
    let version = env!("SPAN_RUNTIME_RUSTC_VERSION");
    if !version.is_empty() {
        member(text, "version", version);
    }
    text.extend_from_slice(br#"},"os":{"type":"os","name":"#);
    json::string(text, std::env::consts::OS);
    text.extend_from_slice(b"}}");
}

fn write_child(text: &mut Vec<u8>, segment: &Segment, child: &Child, privacy: Privacy<'_>) {
    text.extend_from_slice(br#"{"trace_id":"#);
    json::string(text, &segment.trace().id.to_string());
    member(text, "span_id", &child.span_id.to_string());
    member(text, "parent_span_id", &child.parent_id.to_string());
    if !child.facts.description.is_empty() {
        member(text, "description", &privacy.clean_text(&child.facts.description));
    }
    times(text, child.start, child.end);
    described(text, &child.facts, privacy);
    tags(text, &child.facts, privacy);
    text.push(b'}');
}

/// What the trace context and a child span have in common.
fn described(text: &mut Vec<u8>, facts: &Facts, privacy: Privacy<'_>) {
    member(text, "op", if facts.op.is_empty() { "default" } else { &facts.op });
    member(text, "origin", "manual");
    // A span that nobody found fault with went well.
    member(text, "status", facts.status.map_or("ok", |status| status.as_str()));
    let data = facts.data.iter().filter_map(|(key, value)| Some((key, privacy.clean(key, value)?)));
    object(text, "data", data);
}

fn tags(text: &mut Vec<u8>, facts: &Facts, privacy: Privacy<'_>) {
    let tags = facts.tags.iter().filter_map(|(key, value)| {
        Some((key, Cow::Owned(privacy.clean(key, &Value::of(value.as_str()))?.into_owned())))
    });
    object(text, "tags", tags);
}

/// `,"key":{...}`, unless there is nothing in it.
fn object<'m>(text: &mut Vec<u8>, key: &str, members: impl Iterator<Item = (&'m Key, Cow<'m, Value>)>) {
    let mut opening = format!(",\"{key}\":{{");
    for (key, value) in members {
        text.extend_from_slice(opening.as_bytes());
        opening = ",".into();
        json::string(text, key);
        text.push(b':');
        json::value(text, &value);
    }
    if opening == "," {
        text.push(b'}');
    }
}

fn times(text: &mut Vec<u8>, start: UnixNanos, end: UnixNanos) {
    text.extend_from_slice(br#","start_timestamp":"#);
    json::seconds(text, start);
    text.extend_from_slice(br#","timestamp":"#);
    json::seconds(text, end);
}

/// `,"key":"value"`
fn member(text: &mut Vec<u8>, key: &str, value: &str) {
    text.push(b',');
    json::string(text, key);
    text.push(b':');
    json::string(text, value);
}

fn named(name: &str) -> &str {
    if name.is_empty() { "(unnamed)" } else { name }
}
