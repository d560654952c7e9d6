//! The header `traceparent`. (Trace Context, W3C)

use crate::ids::{SpanId, TraceId};

/// The bit of the flags that says "sampled".
const SAMPLED: u8 = 1;

/// What a `traceparent` header says.
///
/// It has no way to leave the decision open: what is not marked as sampled counts as not sampled.
///
/// ```
/// use span_runtime::propagation::Traceparent;
///
/// let header = Traceparent::parse("00-771a43a4192642f0b136d5159a501700-b7ad6b7169203331-01").unwrap();
/// assert!(header.sampled);
/// assert_eq!(header.to_string(), "00-771a43a4192642f0b136d5159a501700-b7ad6b7169203331-01");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that the header was made in.
    pub span_id: SpanId,
    /// Whether that span is sampled.
    pub sampled: bool,
}

impl Traceparent {
    /// Reads a header of version 00, or the part of a later version's that all versions share. Anything else is nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let bytes = text.as_bytes();
        // `00-{32}-{16}-{2}`, in ASCII, so that the cuts below are between characters.
        let (head, rest) = (text.get(..55)?, bytes.get(55..)?);
        if !head.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')) {
            return None;
        }
        let mut parts = head.split('-');
        let version = byte(parts.next()?)?;
        let (trace_id, span_id) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let flags = byte(parts.next()?)?;
        // A later version may have more behind a further dash. With a comma in it, it is two headers that were joined.
        let known = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|&sign| sign == b'-') && !rest.contains(&b','),
        };
        (known && parts.next().is_none()).then_some(Traceparent { trace_id, span_id, sampled: flags & SAMPLED != 0 })
    }
}

/// Two hexadecimal digits.
fn byte(text: &str) -> Option<u8> {
    (text.len() == 2).then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl std::fmt::Display for Traceparent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "771a43a4192642f0b136d5159a501700";
    const SPAN: &str = "b7ad6b7169203331";

    // behaviour 28
    #[test]
    fn what_is_written_is_read() {
        for (flags, sampled) in [("00", false), ("01", true)] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let read = Traceparent::parse(&text).expect("it is well formed");
            assert_eq!(read.sampled, sampled);
            assert_eq!(read.to_string(), text);
        }
        let other_flags = Traceparent::parse(&format!(" 00-{TRACE}-{SPAN}-ff\t")).expect("unknown flags are let be");
        assert!(other_flags.sampled);
        for later in ["", "-", "-and more"] {
            assert!(Traceparent::parse(&format!("01-{TRACE}-{SPAN}-01{later}")).is_some(), "{later}");
        }
    }

    // behaviour 29
    #[test]
    fn what_is_malformed_is_nothing() {
        let malformed = [
            "".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-001"),
            format!("01-{TRACE}-{SPAN}-01x"),
            format!("01-{TRACE}-{SPAN}-01-x,01-{TRACE}-{SPAN}-00-x"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{}\u{e9}-01", &SPAN[2..]),
            "\u{e9}".repeat(55),
            "-".repeat(1 << 20),
        ];
        for text in malformed {
            assert_eq!(Traceparent::parse(&text), None, "{text:.80}");
        }
    }
}
