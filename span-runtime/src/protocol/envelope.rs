//! An envelope: one header line, then items of a header line and a payload each.
//!
//! An item's header states the length of its payload. So the payload is written first, behind a gap that is as wide as the headers can get,
//! and the headers are then put right in front of it; nothing is moved.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths of what is in memory; a buffer of the writer begins with the gap"
)]

use crate::clock::UnixNanos;
use crate::ids::TraceId;
use crate::propagation::Baggage;
use crate::protocol::{MOST_BYTES, json};

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

/// Room for the headers in front of the payload, beside the sampling context: 200 bytes, if both numbers have ten digits.
const GAP: usize = 256;

/// What is in front of the spans, and behind them.
const BEFORE: &[u8] = br#"{"version":2,"items":["#;
const AFTER: &[u8] = b"]}";

/// Bytes that are ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    buffer: Vec<u8>,
    /// Where it begins.
    start: usize,
}

impl Envelope {
    pub(crate) fn new(buffer: Vec<u8>) -> Self {
        Envelope { buffer, start: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The memory, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// Puts envelopes together.
#[derive(Debug)]
pub(crate) struct EnvelopeWriter {
    /// A gap, `BEFORE`, and the spans so far.
    buffer: Vec<u8>,
    /// How wide the gap is.
    gap: usize,
    spans: usize,
}

impl EnvelopeWriter {
    /// One that uses the memory of an earlier envelope, with room for a header `trace` of this length and spans of about so many bytes.
    pub(crate) fn new(mut buffer: Vec<u8>, trace: usize, spans: usize) -> Self {
        let gap = GAP + trace;
        buffer.clear();
        buffer.reserve(gap + spans);
        buffer.resize(gap, b' ');
        buffer.extend_from_slice(BEFORE);
        EnvelopeWriter { buffer, gap, spans: 0 }
    }

    /// How many spans were added.
    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// Adds a span. What `write` appends must be one JSON object.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Added {
        let before = self.buffer.len();
        if self.spans > 0 {
            self.buffer.push(b',');
        }
        let start = self.buffer.len();
        write(&mut self.buffer);
        if self.buffer.len() - self.gap + AFTER.len() <= MOST_BYTES {
            self.spans += 1;
            return Added::Yes;
        }
        if self.spans == 0 {
            self.buffer.truncate(before);
            return Added::TooLarge;
        }
        let span = self.buffer.split_off(start);
        self.buffer.truncate(before);
        Added::Full(span)
    }

    /// The envelope with the spans that were added, and a client report if there is one.
    ///
    /// `trace` is the header's `trace`, as JSON.
    #[expect(clippy::indexing_slicing, reason = "the buffer begins with a gap, which is never shortened")]
    pub(crate) fn finish(self, trace: &[u8], sent_at: UnixNanos, report: Option<&[u8]>) -> Envelope {
        let EnvelopeWriter { mut buffer, gap, spans } = self;
        buffer.extend_from_slice(AFTER);
        let length = buffer.len() - gap;
        buffer.push(b'\n');
        if let Some(report) = report {
            buffer.extend_from_slice(report);
        }

        let mut headers = Vec::with_capacity(GAP + trace.len());
        headers.extend_from_slice(br#"{"sent_at":"#);
        json::rfc3339(&mut headers, sent_at);
        headers.extend_from_slice(br#","trace":"#);
        headers.extend_from_slice(trace);
        headers.extend_from_slice(b"}\n");
        headers.extend_from_slice(br#"{"type":"span","item_count":"#);
        json::unsigned(&mut headers, spans as u64);
        headers.extend_from_slice(br#","content_type":"application/vnd.sentry.items.span.v2+json","length":"#);
        json::unsigned(&mut headers, length as u64);
        headers.extend_from_slice(b"}\n");

        match gap.checked_sub(headers.len()) {
            Some(start) => {
                buffer[start..gap].copy_from_slice(&headers);
                Envelope { buffer, start }
            }
            None => {
                // It is longer than was said.
                buffer.splice(..gap, headers);
                Envelope::new(buffer)
            }
        }
    }
}

/// Appends a sampling context as the header `trace` of envelopes. All values are strings: the receiving end takes a number for a missing header, and
/// drops every span. So it does for a context that it cannot read; one that came from elsewhere goes without what it would not read, and
/// with what it asks for. (behaviour 43)
pub(crate) fn write_context(text: &mut Vec<u8>, context: &Baggage, trace_id: TraceId, public_key: &str) {
    let start = text.len();
    let mut member = |key: &str, value: &str| {
        text.push(if text.len() == start { b'{' } else { b',' });
        json::string(text, key);
        text.push(b':');
        json::string(text, value);
    };
    let theirs =
        context.get("public_key").filter(|key| key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_graphic()));
    member("trace_id", &trace_id.to_string());
    member("public_key", theirs.unwrap_or(public_key));
    for (key, value) in context.sampling_context() {
        let readable = match key {
            "trace_id" | "public_key" => false,
            "sample_rate" => serde_json::from_str(value).is_ok_and(|rate: f64| rate >= 0.0),
            "sampled" => matches!(value, "true" | "false"),
            "replay_id" => value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
            _ => true,
        };
        if readable {
            member(key, value);
        }
    }
    text.push(b'}');
}
