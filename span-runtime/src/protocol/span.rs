//! A span of the span v2 protocol. (behaviours 38 to 41)
//!
//! What is the same for all spans of a process, of a segment or of a thread is text that was made once; a span
//! appends it.

use std::borrow::Cow;

use crate::attributes::Value;
use crate::client::Settings;
use crate::clock::UnixNanos;
use crate::names;
use crate::protocol::{Known, Packed, SDK_NAME, SDK_VERSION, json};
use crate::record::{Rare, SpanRecord};
use crate::scrub::Privacy;
use crate::segment::Segment;

/// Attributes that stand on spans by themselves, each with its text; the user's own of the same key replaces one,
/// unless it is protected.
#[derive(Debug, Default)]
pub(crate) struct Common {
    each: Vec<(&'static str, Vec<u8>)>,
    /// All of them, joined by commas, with one at the end.
    all: Vec<u8>,
}

impl Common {
    pub(crate) fn new(attributes: Vec<(&'static str, Value)>) -> Self {
        let mut common = Common::default();
        for (key, value) in attributes {
            let mut text = Vec::new();
            json::attribute(&mut text, key, &value);
            text.push(b',');
            common.all.extend_from_slice(&text);
            common.each.push((key, text));
        }
        common
    }

    fn write(&self, buffer: &mut Vec<u8>, overridden: &[&str]) {
        if overridden.is_empty() {
            buffer.extend_from_slice(&self.all);
        } else {
            for (_, text) in self.each.iter().filter(|(key, _)| !overridden.contains(key)) {
                buffer.extend_from_slice(text);
            }
        }
    }
}

/// What is the same for every span of a process, and for every segment span of it.
pub(crate) fn constant_attributes(settings: &Settings, integrations: &[&'static str]) -> (Common, Common) {
    let text = |text: &str| Value::of(text);
    let mut every = vec![
        (names::ORIGIN, Value::from_static("manual")),
        (names::TRACE_LIFECYCLE, Value::from_static("stream")),
        (names::SDK_NAME, Value::from_static(SDK_NAME)),
        (names::SDK_VERSION, Value::from_static(SDK_VERSION)),
        (names::ENVIRONMENT, text(&settings.environment)),
        (names::RUNTIME_NAME, Value::from_static("rustc")),
    ];
    every.extend(settings.release.as_deref().map(|release| (names::RELEASE, text(release))));
    every.extend(settings.server_name.as_deref().map(|name| (names::SERVER_ADDRESS, text(name))));
    let version = env!("SPAN_RUNTIME_RUSTC_VERSION");
    if !version.is_empty() {
        every.push((names::RUNTIME_VERSION, Value::from_static(version)));
    }
    let mut segments = vec![
        (names::PLATFORM, Value::from_static("native")),
        (names::OS_NAME, Value::from_static(std::env::consts::OS)),
    ];
    segments.extend(settings.dist.as_deref().map(|dist| (names::DIST, text(dist))));
    if !integrations.is_empty() {
        segments.push((names::SDK_INTEGRATIONS, Value::of(integrations)));
    }
    if settings.record_command_args {
        let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
        let arguments = Value::of(arguments);
        let cleaned = settings.privacy().clean(names::COMMAND_ARGS, &arguments).map(Cow::into_owned);
        segments.extend(cleaned.map(|arguments| (names::COMMAND_ARGS, arguments)));
    }
    (Common::new(every), Common::new(segments))
}

/// What is the same for every span that a thread started.
pub(crate) fn thread_attributes(id: &str, name: Option<&str>) -> Common {
    let mut attributes = vec![(names::THREAD_ID, Value::of(id))];
    attributes.extend(name.map(|name| (names::THREAD_NAME, Value::of(name))));
    Common::new(attributes)
}

/// Names that a span carries by itself, so that the user's attribute of the same name must not stand beside it.
/// True for those that the user cannot replace.
pub(super) fn reserved(key: &str) -> Option<bool> {
    match key {
        names::TRACE_LIFECYCLE | names::SDK_NAME | names::SDK_VERSION | names::SEGMENT_ID | names::SEGMENT_NAME => {
            Some(true)
        }
        names::ENVIRONMENT
        | names::RELEASE
        | names::SERVER_ADDRESS
        | names::RUNTIME_NAME
        | names::RUNTIME_VERSION
        | names::PLATFORM
        | names::OS_NAME
        | names::SDK_INTEGRATIONS
        | names::COMMAND_ARGS
        | names::DIST
        | names::THREAD_ID
        | names::THREAD_NAME
        | names::SEGMENT_NAME_SOURCE
        | names::ORIGIN
        | names::OP => Some(false),
        _ => None,
    }
}

/// What is the same for every span of a segment, made once for each run of its spans.
#[derive(Debug, Default)]
pub(crate) struct SegmentText {
    /// `{"trace_id":"...","span_id":"`
    head: Vec<u8>,
    /// Each with a comma behind it.
    attributes: Vec<u8>,
    source: &'static str,
    named_by_url: bool,
}

impl SegmentText {
    /// That of a segment, in the memory of another's.
    pub(crate) fn turn_to(&mut self, segment: &Segment, privacy: Privacy<'_>) {
        let SegmentText { head, attributes, source, named_by_url } = self;
        *source = segment.source;
        *named_by_url = segment.is_named_by_url();

        head.clear();
        head.extend_from_slice(br#"{"trace_id":""#);
        json::hex128(head, segment.trace().id.as_u128());
        head.extend_from_slice(br#"","span_id":""#);

        attributes.clear();
        attributes.push(b'"');
        attributes.extend_from_slice(names::SEGMENT_ID.as_bytes());
        attributes.extend_from_slice(br#"":{"type":"string","value":""#);
        json::hex64(attributes, segment.span_id.as_u64());
        attributes.extend_from_slice(br#""},""#);
        attributes.extend_from_slice(names::SEGMENT_NAME.as_bytes());
        attributes.extend_from_slice(br#"":{"type":"string","value":"#);
        let name = segment.name();
        json::string(attributes, &privacy.clean_name(named(&name), *named_by_url));
        attributes.extend_from_slice(b"},");
    }
}

/// The protocol wants a name that is not empty.
pub(super) fn named(name: &str) -> &str {
    if name.is_empty() { "(unnamed)" } else { name }
}

/// What was made before for many spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) segment: &'a SegmentText,
    /// For every span of the process.
    pub(crate) every: &'a Common,
    /// For every segment span of it.
    pub(crate) segments: &'a Common,
    /// For every span that the thread started.
    pub(crate) thread: Option<&'a Common>,
    pub(crate) privacy: Privacy<'a>,
}

/// One finished span with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct SpanText<'a> {
    pub(crate) record: &'a SpanRecord,
    pub(crate) attributes: &'a [Packed],
    pub(crate) rare: Option<&'a Rare>,
    pub(crate) start: UnixNanos,
    pub(crate) end: UnixNanos,
}

impl SpanText<'_> {
    /// Appends the span as a JSON object.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>, around: Around<'_>, known: &mut Known) {
        let record = self.record;
        buffer.extend_from_slice(&around.segment.head);
        json::hex64(buffer, record.span_id.as_u64());
        if let Some(parent) = record.parent_id {
            buffer.extend_from_slice(br#"","parent_span_id":""#);
            json::hex64(buffer, parent.as_u64());
        }
        buffer.extend_from_slice(br#"","name":"#);
        self.write_name(buffer, around, known);
        // Of a known length each, so that they are stored rather than copied.
        match (record.error, record.is_segment) {
            (false, false) => buffer.extend_from_slice(br#","status":"ok","is_segment":false,"start_timestamp":"#),
            (false, true) => buffer.extend_from_slice(br#","status":"ok","is_segment":true,"start_timestamp":"#),
            (true, false) => buffer.extend_from_slice(br#","status":"error","is_segment":false,"start_timestamp":"#),
            (true, true) => buffer.extend_from_slice(br#","status":"error","is_segment":true,"start_timestamp":"#),
        }
        json::seconds(buffer, self.start);
        buffer.extend_from_slice(br#","end_timestamp":"#);
        json::seconds(buffer, self.end.max(self.start));
        buffer.extend_from_slice(br#","attributes":{"#);
        self.write_attributes(buffer, around, known);
        buffer.push(b'}');
        self.write_links(buffer, around.privacy);
        buffer.push(b'}');
    }

    fn write_name(&self, buffer: &mut Vec<u8>, around: Around<'_>, known: &mut Known) {
        let is_url = self.record.is_segment && around.segment.named_by_url;
        let own = self.rare.and_then(|rare| rare.name.as_deref());
        let of_site = self.record.site.name();
        if own.is_none() && !is_url {
            if let Some(name) = known.name(of_site, around.privacy) {
                return buffer.extend_from_slice(name);
            }
        }
        json::string(buffer, &around.privacy.clean_name(named(own.unwrap_or(of_site)), is_url));
    }

    fn write_attributes(&self, buffer: &mut Vec<u8>, around: Around<'_>, known: &mut Known) {
        let Around { segment, every, segments, thread, privacy } = around;
        let site = self.record.given_by().and_then(|site| known.site(site, privacy));
        let (literals, replacing) = known.literals(site);
        let mut overridden = known.overridden(self.attributes);
        overridden.extend(replacing);
        every.write(buffer, &overridden);
        buffer.extend_from_slice(&segment.attributes);
        if let Some(thread) = thread {
            thread.write(buffer, &overridden);
        }
        if self.record.is_segment {
            segments.write(buffer, &overridden);
            if !overridden.contains(&names::SEGMENT_NAME_SOURCE) {
                json::attribute(buffer, names::SEGMENT_NAME_SOURCE, &Value::from_static(segment.source));
                buffer.push(b',');
            }
        }
        if let Some(op) = self.record.site.op().filter(|_| !overridden.contains(&names::OP)) {
            json::attribute(buffer, names::OP, &Value::from_static(op));
            buffer.push(b',');
        }
        buffer.extend_from_slice(literals);
        known.write(buffer, self.attributes, privacy);
        // Every part ends with a comma, and there is at least one.
        buffer.pop();
    }

    fn write_links(&self, buffer: &mut Vec<u8>, privacy: Privacy<'_>) {
        let Some(rare) = self.rare.filter(|rare| !rare.links.is_empty()) else { return };
        buffer.extend_from_slice(br#","links":"#);
        json::array(buffer, &rare.links, |buffer, link| {
            buffer.extend_from_slice(br#"{"trace_id":"#);
            json::string(buffer, &link.trace_id.to_string());
            buffer.extend_from_slice(br#","span_id":"#);
            json::string(buffer, &link.span_id.to_string());
            if let Some(sampled) = link.sampled {
                buffer.extend_from_slice(br#","sampled":"#);
                json::boolean(buffer, sampled);
            }
            let mut between: &[u8] = br#","attributes":{"#;
            for attribute in link.attributes.iter().filter(|attribute| !attribute.key.is_empty()) {
                if let Some(value) = privacy.clean(&attribute.key, &attribute.value) {
                    buffer.extend_from_slice(between);
                    json::attribute(buffer, &attribute.key, &value);
                    between = b",";
                }
            }
            if between == b"," {
                buffer.push(b'}');
            }
            buffer.push(b'}');
        });
    }
}
