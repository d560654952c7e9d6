//! The header `sentry-trace`. (trace propagation, Sentry's SDK documents)

use crate::ids::{SpanId, TraceId};

/// What a `sentry-trace` header says: `{trace id}-{span id}`, and `-1` or `-0` where it was decided.
///
/// ```
/// use span_runtime::propagation::SentryTrace;
///
/// let header = SentryTrace::parse("771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1").unwrap();
/// assert_eq!(header.sampled, Some(true));
/// assert_eq!(header.to_string(), "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1");
/// assert_eq!(SentryTrace::parse("771a43a4192642f0b136d5159a501700-b7ad6b7169203331-maybe"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentryTrace {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that the header was made in.
    pub span_id: SpanId,
    /// Whether that span is sampled. `None` leaves the decision to whoever reads it.
    pub sampled: Option<bool>,
}

impl SentryTrace {
    /// Reads `{trace id}-{span id}` or `{trace id}-{span id}-{0 or 1}`, with blanks around it. Anything else is nothing: a header is
    /// believed as a whole or not at all.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        // 32, 16 and 1 digits, and the signs between, which are no digits.
        let (trace_id, rest) = text.split_at_checked(32)?;
        let (span_id, rest) = rest.strip_prefix('-')?.split_at_checked(16)?;
        let sampled = match rest {
            "" => None,
            "-1" => Some(true),
            "-0" => Some(false),
            _ => return None,
        };
        Some(SentryTrace { trace_id: trace_id.parse().ok()?, span_id: span_id.parse().ok()?, sampled })
    }
}

impl std::fmt::Display for SentryTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.trace_id, self.span_id)?;
        match self.sampled {
            Some(true) => f.write_str("-1"),
            Some(false) => f.write_str("-0"),
            None => Ok(()),
        }
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
        for (flag, sampled) in [("", None), ("-1", Some(true)), ("-0", Some(false))] {
            let text = format!("{TRACE}-{SPAN}{flag}");
            let read = SentryTrace::parse(&text).expect("it is well formed");
            assert_eq!(read.sampled, sampled);
            assert_eq!(read.to_string(), text);
            assert_eq!(SentryTrace::parse(&format!(" \t{text} ")), Some(read), "blanks around it do no harm");
        }
    }

    // behaviour 29
    #[test]
    fn what_is_malformed_is_nothing() {
        let zero = "0".repeat(32);
        let malformed = [
            "".to_owned(),
            "-".to_owned(),
            TRACE.to_owned(),
            format!("{TRACE}-"),
            format!("{TRACE}-{SPAN}-"),
            format!("{TRACE}-{SPAN}-2"),
            format!("{TRACE}-{SPAN}-1-1"),
            format!("{TRACE}-{SPAN}-01"),
            format!("{zero}-{SPAN}-1"),
            format!("{TRACE}-0000000000000000-1"),
            format!("{}-{SPAN}", &TRACE[1..]),
            format!("{TRACE}x-{SPAN}"),
            format!("+{}-{SPAN}", &TRACE[1..]),
            format!("{TRACE}-{SPAN}\n1"),
            "\u{e9}".repeat(30),
            "a".repeat(1 << 20),
        ];
        for text in malformed {
            assert_eq!(SentryTrace::parse(&text), None, "{text:.60}");
        }
    }
}
