//! An envelope: one header line, then items of a header line and a payload each.
//!
//! An item's header states the length of its payload, so the payload is written first, into a buffer that is
//! kept, and the envelope is put together around it.

use crate::client::Settings;
use crate::clock::UnixNanos;
use crate::protocol::{MOST_BYTES, json};
use crate::segment::Segment;

/// What became of a span that was added to an envelope.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is in.
    Yes,
    /// It alone is larger than an envelope may be.
    TooLarge,
    /// It does not fit beside the others: finish this envelope and add the text to the next.
    Full(Vec<u8>),
}

/// Puts envelopes together. Its buffer is reused from envelope to envelope.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeWriter {
    payload: Vec<u8>,
    spans: usize,
}

impl EnvelopeWriter {
    /// How many spans were added.
    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// Adds a span. What `write` appends must be one JSON object.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Added {
        let before = self.payload.len();
        if self.spans > 0 {
            self.payload.push(b',');
        }
        let start = self.payload.len();
        write(&mut self.payload);
        let size = self.payload.len() - start;
        if self.payload.len() <= MOST_BYTES {
            self.spans += 1;
            return Added::Yes;
        }
        if size > MOST_BYTES {
            self.payload.truncate(before);
            return Added::TooLarge;
        }
        let span = self.payload.split_off(start);
        self.payload.truncate(before);
        Added::Full(span)
    }

    /// The envelope with the spans that were added, which begins anew, and a client report if there is one.
    ///
    /// `trace` is the header's `trace`, as JSON.
    pub(crate) fn finish(&mut self, trace: &str, sent_at: UnixNanos, report: Option<&[u8]>) -> Vec<u8> {
        let mut envelope = Vec::with_capacity(self.payload.len() + trace.len() + report.map_or(0, <[u8]>::len) + 512);
        envelope.extend_from_slice(br#"{"sent_at":"#);
        json::rfc3339(&mut envelope, sent_at);
        envelope.extend_from_slice(br#","trace":"#);
        envelope.extend_from_slice(trace.as_bytes());
        envelope.extend_from_slice(b"}\n");

        const BEFORE: &[u8] = br#"{"version":2,"items":["#;
        const AFTER: &[u8] = b"]}";
        envelope.extend_from_slice(br#"{"type":"span","item_count":"#);
        json::unsigned(&mut envelope, self.spans as u64);
        envelope.extend_from_slice(br#","content_type":"application/vnd.sentry.items.span.v2+json","length":"#);
        json::unsigned(&mut envelope, (BEFORE.len() + self.payload.len() + AFTER.len()) as u64);
        envelope.extend_from_slice(b"}\n");
        envelope.extend_from_slice(BEFORE);
        envelope.extend_from_slice(&self.payload);
        envelope.extend_from_slice(AFTER);
        envelope.push(b'\n');
        if let Some(report) = report {
            envelope.extend_from_slice(report);
        }
        self.payload.clear();
        // One large trace must not make the buffer large for ever.
        self.payload.shrink_to(2 << 20);
        self.spans = 0;
        envelope
    }
}

/// The dynamic sampling context of a trace that begins here, as JSON. All values are strings: the receiving end
/// takes a number for a missing header, and drops every span. (behaviour 43)
pub(crate) fn trace_header(settings: &Settings, segment: &Segment) -> Box<str> {
    let trace = segment.trace();
    let name = segment.name();
    let mut text = Vec::new();
    let mut member = |key: &str, value: &str| {
        text.push(if text.is_empty() { b'{' } else { b',' });
        json::string(&mut text, key);
        text.push(b':');
        json::string(&mut text, value);
    };
    member("trace_id", &trace.id.to_string());
    member("public_key", settings.dsn.public_key());
    member("sample_rate", &segment.sample_rate.to_string());
    member("sample_rand", &format!("{:.6}", trace.sample_rand));
    member("sampled", if segment.sampled { "true" } else { "false" });
    if let Some(release) = &settings.release {
        member("release", release);
    }
    member("environment", &settings.environment);
    if let Some(org_id) = settings.dsn.org_id() {
        member("org_id", org_id);
    }
    if segment.source != "url" && !name.is_empty() {
        member("transaction", &name);
    }
    text.push(b'}');
    // What serde_json escapes is UTF-8.
    String::from_utf8(text).unwrap_or_default().into()
}
