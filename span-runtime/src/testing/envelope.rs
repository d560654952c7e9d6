//! Envelopes: decoded from their bytes, with every rule of the wire checked on the way.
//!
//! Sentry's Relay answers 200 before it looks inside a span container, and drops what it does not
//! like later and silently. A test against a server that says 200 therefore proves nothing; this
//! checker refuses whatever Relay refuses or drops, and whatever Sentry's
//! [documents](https://develop.sentry.dev/sdk/foundations/envelopes/) forbid a client to send.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::findings::{self, Findings, Place};
use super::span::Span;
use super::{header, json, other_items, span};

/// Above this the newest Relay answers 413.
const MAX_ENVELOPE: usize = 200 << 20;

/// One envelope that kept every rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Envelope {
    /// The first line.
    pub header: Map<String, Value>,
    /// The items, in order.
    pub items: Vec<Item>,
    /// The bytes as they came.
    pub raw: Vec<u8>,
    /// When they came.
    pub arrived: SystemTime,
    spans: Vec<Span>,
    discarded: Vec<(String, String, u64)>,
}

/// One item of an envelope.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Item {
    /// The item's own header line.
    pub header: Map<String, Value>,
    /// Exactly as many bytes as the header's `length` says.
    pub payload: Vec<u8>,
}

impl Item {
    /// The `type` in the item's header, such as `span`.
    pub fn item_type(&self) -> &str {
        self.header.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The payload, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.payload).ok()
    }
}

impl Envelope {
    /// Decodes an envelope that has just arrived.
    ///
    /// # Errors
    ///
    /// Every rule that it breaks, each with its place and with what was found there.
    pub fn parse(raw: &[u8]) -> Result<Self, Vec<String>> {
        Self::parse_at(raw, SystemTime::now())
    }

    /// Decodes an envelope that arrived at the given time, by which its timestamps are judged.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_at(raw: &[u8], arrived: SystemTime) -> Result<Self, Vec<String>> {
        let mut findings = Findings::new(arrived);
        match read(raw, arrived, &mut findings) {
            Some(envelope) if findings.is_empty() => Ok(envelope),
            _ => Err(findings.into_list()),
        }
    }

    /// The spans of the envelope's span item; empty if it has none.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The trace that the envelope's `trace` header names.
    pub fn trace_id(&self) -> Option<&str> {
        self.header.get("trace")?.get("trace_id")?.as_str()
    }

    /// The type of each item, in order.
    pub fn item_types(&self) -> Vec<&str> {
        self.items.iter().map(Item::item_type).collect()
    }

    /// What the envelope's client reports say was lost: reason, category, quantity.
    pub fn client_reports(&self) -> &[(String, String, u64)] {
        &self.discarded
    }
}

/// Decodes as far as the framing allows. `None` goes with at least one finding.
fn read(raw: &[u8], arrived: SystemTime, findings: &mut Findings) -> Option<Envelope> {
    let whole = Place::new("envelope");
    if raw.is_empty() {
        findings.add(&whole, "must not be empty");
        return None;
    }
    if raw.len() > MAX_ENVELOPE {
        findings.add(&whole, format_args!("must have at most {MAX_ENVELOPE} bytes, found {}", raw.len()));
        return None;
    }
    let (line, rest) = split_line(raw);
    let header = read_header(findings, &Place::new("envelope header"), line)?;
    header::check(findings, &header);
    let items = read_items(findings, rest.unwrap_or_default())?;
    check_mixture(findings, &header, &items);

    let trace_id = header.get("trace").and_then(|trace| trace.get("trace_id")).and_then(Value::as_str);
    let (mut spans, mut discarded) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let place = Place::item(index);
        match item.item_type() {
            "span" => spans.extend(span::read_container(findings, &place, item, trace_id, arrived)),
            "client_report" => discarded.extend(other_items::read_client_report(findings, &place, item)),
            "transaction" => other_items::check_transaction(findings, &place, item, &header),
            // Other kinds of telemetry pass; this library does not send them.
            _ => {}
        }
    }
    Some(Envelope { header, items, raw: raw.to_vec(), arrived, spans, discarded })
}

/// The bytes before the first newline, and those after it if there is one.
fn split_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

/// Reads a header line. Relay takes padding in it; only compact lines are portable.
fn read_header(findings: &mut Findings, place: &Place<'_>, line: &[u8]) -> Option<Map<String, Value>> {
    let quoted = || findings::shorten(&String::from_utf8_lossy(line));
    let (text, value) = match json::parse(line) {
        Ok(parsed) => parsed,
        Err(error) => {
            findings.add(place, format_args!("must be one line of JSON, found {:?}: {error}", quoted()));
            return None;
        }
    };
    let scan = json::scan(text, |_, _| {});
    if scan.padded {
        findings.add(place, format_args!("must be compact, without blanks, found {:?}", quoted()));
    }
    for key in scan.repeated {
        findings.add(place, format_args!("must not repeat a key, found {key} twice"));
    }
    match value {
        Value::Object(map) => Some(map),
        other => {
            findings.add(place, format_args!("must be a JSON object, found {}", findings::short(&other)));
            None
        }
    }
}

/// Cuts the rest of an envelope into items.
fn read_items(findings: &mut Findings, mut rest: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    while !rest.is_empty() {
        let place = Place::item(items.len());
        if rest.iter().all(|byte| *byte == b'\n') {
            findings.add(&place, "must not be an empty line; one newline may end the last item");
            break;
        }
        let (line, after) = split_line(rest);
        let header = read_header(findings, &place.member("header"), line)?;
        let Some(after) = after else {
            findings.add(&place, "must have a newline between header and payload, found the end");
            return None;
        };
        let u32_rule = "must be the payload's bytes as an unsigned 32-bit integer";
        let length = findings.expect(&place, &header, "length", u32_rule, |value| u32::try_from(value.as_u64()?).ok());
        // Without a length Relay reads to the next newline; going on that way finds more mistakes.
        let length = length.map_or(split_line(after).0.len(), |length| length as usize);
        if length > after.len() {
            findings.add(
                &place,
                format_args!("length must match the payload, found {length} with {} bytes left", after.len()),
            );
            return None;
        }
        let (payload, after) = after.split_at(length);
        items.push(Item { header, payload: payload.to_vec() });
        rest = match after.split_first() {
            None => after,
            Some((b'\n', after)) => after,
            Some((byte, _)) => {
                let byte = byte.escape_ascii();
                findings.add(&place, format_args!("must end with a newline after {length} bytes, found '{byte}'"));
                return None;
            }
        };
    }
    Some(items)
}

/// Everything that an item may be; Relay drops an item of any other type.
const ITEM_TYPES: [&str; 20] = [
    "attachment",
    "check_in",
    "client_report",
    "event",
    "feedback",
    "log",
    "metric_buckets",
    "profile",
    "profile_chunk",
    "replay_event",
    "replay_recording",
    "replay_video",
    "session",
    "sessions",
    "span",
    "statsd",
    "trace_metric",
    "transaction",
    "user_feedback",
    "user_report",
];
/// Telemetry of which one envelope carries one kind only; the other types may accompany it.
const TELEMETRY: [&str; 7] = ["event", "feedback", "log", "metric_buckets", "span", "trace_metric", "transaction"];
/// Kinds of which one envelope carries one item only.
const SINGLE: [&str; 4] = ["event", "feedback", "span", "transaction"];
/// Item headers that Relay writes itself and would believe if a client sent them.
const ITEM_HEADERS_OWNED_BY_RELAY: [&str; 6] =
    ["metrics_extracted", "spans_extracted", "fully_normalized", "sampled", "span_count", "routing_hint"];

fn check_mixture(findings: &mut Findings, header: &Map<String, Value>, items: &[Item]) {
    let whole = Place::new("envelope");
    for (index, item) in items.iter().enumerate() {
        let place = Place::item(index);
        let rule = "must be a known item type";
        findings.expect(&place, &item.header, "type", rule, |value| {
            value.as_str().filter(|name| ITEM_TYPES.contains(name))
        });
        for name in ITEM_HEADERS_OWNED_BY_RELAY.iter().filter(|name| item.header.contains_key(**name)) {
            findings.add(&place, format_args!("must not have {name}, which belongs to Relay"));
        }
    }
    let types = || items.iter().map(Item::item_type);
    for name in SINGLE {
        let count = types().filter(|item_type| *item_type == name).count();
        if count > 1 {
            findings.add(&whole, format_args!("must have at most one {name} item, found {count}"));
        }
    }
    let kinds: Vec<_> = TELEMETRY.into_iter().filter(|name| types().any(|item_type| item_type == *name)).collect();
    if kinds.len() > 1 {
        findings.add(&whole, format_args!("must not mix kinds of telemetry, found {}", kinds.join(", ")));
    }
    if kinds.contains(&"span") && !header.contains_key("trace") {
        findings.add(&whole, "must have a trace header for its spans, found nothing");
    }
    if (kinds.contains(&"log") || kinds.contains(&"trace_metric")) && header.contains_key("trace") {
        findings.add(&whole, "must not have a trace header beside a log or metric item");
    }
    if items.is_empty() {
        findings.add(&whole, "must have at least one item, found none");
    }
}
