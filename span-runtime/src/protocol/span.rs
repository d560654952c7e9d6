//! A span of the span v2 protocol. (behaviours 38 to 41)
//!
//! What is the same for all spans of a process, of a segment or of a thread is text that was made once; a span
//! appends it.

use std::borrow::Cow;

use crate::attributes::Value;
use crate::client::Settings;
use crate::clock::UnixNanos;
use crate::names;
use crate::protocol::{SDK_NAME, SDK_VERSION, json};
use crate::record::{Attribute, Rare, Slot, SpanRecord};
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
fn reserved(key: &str) -> Option<bool> {
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
#[derive(Debug)]
pub(crate) struct SegmentText {
    /// `{"trace_id":"...","span_id":"`
    head: Vec<u8>,
    attributes: Vec<u8>,
    source: Common,
    named_by_url: bool,
}

impl SegmentText {
    pub(crate) fn new(segment: &Segment, privacy: Privacy<'_>) -> Self {
        let mut head = Vec::with_capacity(64);
        head.extend_from_slice(br#"{"trace_id":""#);
        let trace_id = segment.trace().id.as_u128();
        json::hex64(&mut head, (trace_id >> 64) as u64);
        json::hex64(&mut head, trace_id as u64);
        head.extend_from_slice(br#"","span_id":""#);

        let mut attributes = Vec::with_capacity(128);
        json::attribute(&mut attributes, names::SEGMENT_ID, &Value::of(segment.span_id.to_string()));
        attributes.push(b',');
        let named_by_url = segment.is_named_by_url();
        let name = segment.name();
        let name = privacy.clean_name(named(&name), named_by_url);
        json::attribute(&mut attributes, names::SEGMENT_NAME, &Value::of(&*name));
        attributes.push(b',');
        let source = Common::new(vec![(names::SEGMENT_NAME_SOURCE, Value::from_static(segment.source))]);
        SegmentText { head, attributes, source, named_by_url }
    }
}

/// The protocol wants a name that is not empty.
fn named(name: &str) -> &str {
    if name.is_empty() { "(unnamed)" } else { name }
}

/// One finished span with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct SpanText<'a> {
    pub(crate) record: &'a SpanRecord,
    /// The slots behind the span's.
    pub(crate) behind: &'a [Slot],
    pub(crate) start: UnixNanos,
    pub(crate) end: UnixNanos,
}

impl<'a> SpanText<'a> {
    fn attributes(&self) -> impl Iterator<Item = &'a Attribute> + use<'a> {
        self.behind.iter().flat_map(|slot| match slot {
            Slot::Attribute(one) => std::slice::from_ref(one),
            Slot::Attributes(all) => all,
            Slot::Segment(_) | Slot::Span(_) | Slot::Rare(_) => &[],
        })
    }

    fn rare(&self) -> Option<&'a Rare> {
        // At most one, and the last.
        match self.behind.last() {
            Some(Slot::Rare(rare)) => Some(rare),
            _ => None,
        }
    }

    /// Appends the span as a JSON object.
    pub(crate) fn write(
        &self,
        buffer: &mut Vec<u8>,
        segment: &SegmentText,
        (every, segments): (&Common, &Common),
        thread: Option<&Common>,
        privacy: Privacy<'_>,
    ) {
        let record = self.record;
        buffer.extend_from_slice(&segment.head);
        json::hex64(buffer, record.span_id.as_u64());
        if let Some(parent) = record.parent_id {
            buffer.extend_from_slice(br#"","parent_span_id":""#);
            json::hex64(buffer, parent.as_u64());
        }
        buffer.extend_from_slice(br#"","name":"#);
        let name = self.rare().and_then(|rare| rare.name.as_deref()).unwrap_or(record.site.name());
        json::string(buffer, &privacy.clean_name(named(name), record.is_segment && segment.named_by_url));
        buffer.extend_from_slice(if record.error { br#","status":"error""# } else { br#","status":"ok""# });
        buffer.extend_from_slice(br#","is_segment":"#);
        json::boolean(buffer, record.is_segment);
        buffer.extend_from_slice(br#","start_timestamp":"#);
        json::seconds(buffer, self.start);
        buffer.extend_from_slice(br#","end_timestamp":"#);
        json::seconds(buffer, self.end.max(self.start));
        buffer.extend_from_slice(br#","attributes":{"#);
        self.write_attributes(buffer, segment, (every, segments), thread, privacy);
        buffer.push(b'}');
        self.write_links(buffer, privacy);
        buffer.push(b'}');
    }

    fn write_attributes(
        &self,
        buffer: &mut Vec<u8>,
        segment: &SegmentText,
        (every, segments): (&Common, &Common),
        thread: Option<&Common>,
        privacy: Privacy<'_>,
    ) {
        // Almost no span overrides anything: then this stays empty, and does not allocate.
        let overridden: Vec<&str> =
            self.attributes().map(|attribute| &*attribute.key).filter(|key| reserved(key) == Some(false)).collect();
        every.write(buffer, &overridden);
        buffer.extend_from_slice(&segment.attributes);
        if let Some(thread) = thread {
            thread.write(buffer, &overridden);
        }
        if self.record.is_segment {
            segments.write(buffer, &overridden);
            segment.source.write(buffer, &overridden);
        }
        if let Some(op) = self.record.site.op() {
            if !overridden.contains(&names::OP) {
                json::attribute(buffer, names::OP, &Value::from_static(op));
                buffer.push(b',');
            }
        }
        for attribute in self.attributes() {
            if !attribute.key.is_empty() && reserved(&attribute.key) != Some(true) {
                if let Some(value) = privacy.clean(&attribute.key, &attribute.value) {
                    json::attribute(buffer, &attribute.key, &value);
                    buffer.push(b',');
                }
            }
        }
        // Every part ends with a comma, and there is at least one.
        buffer.pop();
    }

    fn write_links(&self, buffer: &mut Vec<u8>, privacy: Privacy<'_>) {
        let Some(rare) = self.rare().filter(|rare| !rare.links.is_empty()) else { return };
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
