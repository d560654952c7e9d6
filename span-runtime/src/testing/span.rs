//! Span containers and the spans in them, decoded and checked.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Item;
use super::attribute::{Attribute, check_required_attributes, read_attributes};
use super::findings::{self, Findings, Place};
use super::json::Step;
use super::payload::read_payload;

const CONTENT_TYPE: &str = "application/vnd.sentry.items.span.v2+json";
/// The documents' limit on spans in one envelope.
const MAX_SPANS: usize = 1000;
/// The documents' limit on a buffer that is flushed.
const MAX_CONTAINER: usize = 10 << 20;

/// One span as it was received.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// 32 lowercase hex digits.
    pub trace_id: String,
    /// 16 lowercase hex digits.
    pub span_id: String,
    /// The parent's `span_id`; `None` for a root.
    pub parent_span_id: Option<String>,
    /// Never empty.
    pub name: String,
    /// `ok` or `error`.
    pub status: String,
    /// Whether this is the topmost span of its process.
    pub is_segment: bool,
    /// Seconds since 1970.
    pub start_timestamp: f64,
    /// Seconds since 1970, not before the start.
    pub end_timestamp: f64,
    /// The attributes with their types.
    pub attributes: BTreeMap<String, Attribute>,
    /// The links as they were sent.
    pub links: Vec<Value>,
    /// When the span's envelope arrived.
    pub arrived: SystemTime,
}

impl Span {
    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes.get(key).map(|attribute| &attribute.value)
    }

    /// The value of an attribute that is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.attribute(key)?.as_str()
    }

    /// From start to end, to the microsecond.
    pub fn duration(&self) -> Duration {
        // A float cast saturates: a negative difference, which the checker refuses, would become 0.
        Duration::from_micros(((self.end_timestamp - self.start_timestamp) * 1e6).round() as u64)
    }
}

/// Checks a span item and gives the spans that could be decoded.
pub(super) fn read_container(
    findings: &mut Findings,
    place: &Place<'_>,
    item: &Item,
    trace_id: Option<&str>,
    arrived: SystemTime,
) -> Vec<Span> {
    findings.only(place, &item.header, &["type", "length", "item_count", "content_type"]);
    let rule = format!("must be {CONTENT_TYPE:?}");
    findings.expect(place, &item.header, "content_type", &rule, |value| {
        value.as_str().filter(|text| *text == CONTENT_TYPE)
    });
    let number =
        |findings: &mut Findings, path: &[Step<'_>], literal: &str| check_number(findings, place, path, literal);
    let Some(payload) = read_payload(findings, place, item, MAX_CONTAINER, number) else { return Vec::new() };
    let inside = place.member("payload");
    findings.only(&inside, &payload, &["version", "ingest_settings", "items"]);
    findings.expect(&inside, &payload, "version", "must be 2", |version| (version.as_u64() == Some(2)).then_some(()));
    check_ingest_settings(findings, &inside, &payload);
    let Some(items) = findings.expect(&inside, &payload, "items", "must be an array", Value::as_array) else {
        return Vec::new();
    };
    if !(1..=MAX_SPANS).contains(&items.len()) {
        findings.add(&inside, format_args!("items must hold 1 to {MAX_SPANS} spans, found {}", items.len()));
    }
    let rule = format!("must be {}, the number of spans in the payload", items.len());
    findings.expect(place, &item.header, "item_count", &rule, |count| {
        (count.as_u64() == Some(items.len() as u64)).then_some(())
    });
    read_spans(findings, place, items, trace_id, arrived)
}

/// Finds digits of timestamps that Relay would cut off, which only the text shows.
fn check_number(findings: &mut Findings, place: &Place<'_>, path: &[Step<'_>], literal: &str) {
    if let [Step::Key(items), Step::Index(index), Step::Key(field)] = path {
        let timestamp = items == "items" && (field == "start_timestamp" || field == "end_timestamp");
        if timestamp && !is_plain_microseconds(literal) {
            let words = "must be a plain decimal with at most 6 digits after the point";
            findings.add(&place.nth("span", *index), format_args!("{field} {words}, found {literal}"));
        }
    }
}

fn is_plain_microseconds(literal: &str) -> bool {
    let fraction = literal.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.len() <= 6 && !literal.contains(['e', 'E'])
}

/// A server that lets Relay infer address or browser stores its own as its user's.
fn check_ingest_settings(findings: &mut Findings, place: &Place<'_>, payload: &Map<String, Value>) {
    let settings = findings.allow(place, payload, "ingest_settings", findings::OBJECT, Value::as_object);
    for key in ["infer_ip", "infer_user_agent"] {
        let never = |value: &Value| (value == "never").then_some(());
        settings.and_then(|settings| findings.allow(place, settings, key, "must be \"never\"", never));
    }
}

fn read_spans(
    findings: &mut Findings,
    place: &Place<'_>,
    items: &[Value],
    trace_id: Option<&str>,
    arrived: SystemTime,
) -> Vec<Span> {
    let mut ids = HashSet::new();
    let mut spans = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = place.nth("span", index);
        let Some(fields) = item.as_object() else {
            findings.add(&place, format_args!("must be an object, found {}", findings::short(item)));
            continue;
        };
        let Some(span) = read_span(findings, &place, fields, arrived) else { continue };
        if let Some(expected) = trace_id.filter(|expected| *expected != span.trace_id) {
            let words = "trace_id must be that of the envelope's trace header";
            findings.add(&place, format_args!("{words}, {expected}, found {}", span.trace_id));
        }
        if !ids.insert(span.span_id.clone()) {
            findings.add(&place, format_args!("span_id must be unique in its envelope, found {} again", span.span_id));
        }
        spans.push(span);
    }
    spans
}

const FIELDS: [&str; 10] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "status",
    "is_segment",
    "start_timestamp",
    "end_timestamp",
    "links",
    "attributes",
];

/// Reads one span; `None` if a field that identifies or places it is missing.
fn read_span(
    findings: &mut Findings,
    place: &Place<'_>,
    fields: &Map<String, Value>,
    arrived: SystemTime,
) -> Option<Span> {
    findings.only(place, fields, &FIELDS);
    let trace_id = findings.expect(place, fields, "trace_id", findings::TRACE_ID, findings::trace_id);
    let span_id = findings.expect(place, fields, "span_id", findings::SPAN_ID, findings::span_id);
    let parent_span_id = findings.allow(place, fields, "parent_span_id", findings::SPAN_ID, findings::span_id);
    if parent_span_id.is_some() && parent_span_id == span_id {
        findings.add(place, "parent_span_id must not be the span's own id");
    }
    let name = findings.expect(place, fields, "name", findings::TEXT, findings::text);
    let status = findings.expect(place, fields, "status", "must be \"ok\" or \"error\"", |value| {
        value.as_str().filter(|text| matches!(*text, "ok" | "error"))
    });
    let is_segment = findings.expect(place, fields, "is_segment", findings::BOOLEAN, Value::as_bool);
    let start = read_time(findings, place, fields, "start_timestamp");
    let end = read_time(findings, place, fields, "end_timestamp");
    findings.ordered(place, start, end);
    let links = findings.allow(place, fields, "links", "must be an array", Value::as_array);
    let links = links.map_or(&[][..], Vec::as_slice);
    for (index, link) in links.iter().enumerate() {
        check_link(findings, &place.nth("link", index), link);
    }
    let attributes = findings.expect(place, fields, "attributes", findings::OBJECT, Value::as_object);
    let attributes = attributes.map(|attributes| read_attributes(findings, place, attributes)).unwrap_or_default();
    let span = Span {
        trace_id: trace_id?.to_owned(),
        span_id: span_id?.to_owned(),
        parent_span_id: parent_span_id.map(str::to_owned),
        name: name?.to_owned(),
        status: status?.to_owned(),
        is_segment: is_segment?,
        start_timestamp: start?,
        end_timestamp: end?,
        attributes,
        links: links.to_vec(),
        arrived,
    };
    check_required_attributes(findings, place, &span);
    Some(span)
}

fn read_time(findings: &mut Findings, place: &Place<'_>, fields: &Map<String, Value>, key: &str) -> Option<f64> {
    let rule = "must be a number of seconds since 1970";
    let time = findings.expect(place, fields, key, rule, Value::as_f64)?;
    if !findings::is_sane(time, findings.now()) {
        findings.add(place, format_args!("{key} {}, found {time}", findings::SANE_TIME));
    }
    Some(time)
}

fn check_link(findings: &mut Findings, place: &Place<'_>, link: &Value) {
    let Some(link) = link.as_object() else {
        findings.add(place, format_args!("must be an object, found {}", findings::short(link)));
        return;
    };
    findings.only(place, link, &["trace_id", "span_id", "sampled", "attributes"]);
    findings.expect(place, link, "trace_id", findings::TRACE_ID, findings::trace_id);
    findings.expect(place, link, "span_id", findings::SPAN_ID, findings::span_id);
    findings.allow(place, link, "sampled", findings::BOOLEAN, Value::as_bool);
    if let Some(attributes) = findings.allow(place, link, "attributes", findings::OBJECT, Value::as_object) {
        read_attributes(findings, place, attributes);
    }
}
