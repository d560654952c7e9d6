//! What came with a trace from another process. (behaviours 28 to 31)

use super::baggage::{MOST_BYTES, within_bounds};
use super::{BAGGAGE, BAGGAGE_VARIABLE, Baggage, SENTRY_TRACE, SentryTrace, TRACE_VARIABLE, TRACEPARENT, Traceparent};
use crate::ids::{SpanId, TraceId};

/// A trace that began elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) trace_id: TraceId,
    pub(crate) parent_id: SpanId,
    /// What was decided there.
    pub(crate) sampled: Option<bool>,
    /// Sentry's part of the `baggage`, as it came. Empty where none came that belongs to this trace.
    pub(crate) baggage: Baggage,
}

/// The texts of the headers, where a carrier has them.
#[derive(Debug, Default)]
struct Texts {
    sentry_trace: Option<Vec<u8>>,
    baggage: Option<Vec<u8>>,
    traceparent: Option<Vec<u8>>,
}

impl Texts {
    /// The text for a header, by its name in any case.
    fn of(&mut self, name: &str) -> Option<&mut Option<Vec<u8>>> {
        [(SENTRY_TRACE, &mut self.sentry_trace), (BAGGAGE, &mut self.baggage), (TRACEPARENT, &mut self.traceparent)]
            .into_iter()
            .find_map(|(known, text)| name.eq_ignore_ascii_case(known).then_some(text))
    }

    /// A header that is there more than once is a list. No more of it is kept than can be read.
    fn add(text: &mut Option<Vec<u8>>, value: &[u8]) {
        let text = match text {
            None => text.insert(Vec::new()),
            Some(text) => {
                // However many there are, they add nothing once the bound is passed.
                if text.len() <= MOST_BYTES {
                    text.push(b',');
                }
                text
            }
        };
        // One byte beyond the bound, by which it is seen that there was more.
        let room = (MOST_BYTES + 1).saturating_sub(text.len());
        text.extend_from_slice(value.get(..room).unwrap_or(value));
    }

    fn read(self) -> Option<Incoming> {
        // Of a list a part means something without the rest; of the other headers it does not.
        let listed = self.baggage.as_deref().and_then(|bytes| bytes.get(..within_bounds(bytes)));
        let baggage = listed.and_then(text).and_then(Baggage::parse).unwrap_or_default().without_others();
        let whole = |bytes: &[u8]| bytes.len() <= MOST_BYTES;
        let sentry_trace = self.sentry_trace.as_deref().filter(|bytes| whole(bytes)).and_then(text);
        let traceparent = self.traceparent.as_deref().filter(|bytes| whole(bytes)).and_then(text);
        let named = baggage.get("trace_id").map(|id| id.parse::<TraceId>().ok());
        let incoming = |trace_id, parent_id, sampled, believed: bool| {
            let baggage = if believed { baggage } else { Baggage::default() };
            Some(Incoming { trace_id, parent_id, sampled, baggage })
        };
        if let Some(header) = sentry_trace.and_then(SentryTrace::parse) {
            let SentryTrace { trace_id, span_id, sampled } = header;
            // A context of another trace would make the server refuse every span.
            return incoming(trace_id, span_id, sampled, named.is_none_or(|id| id == Some(trace_id)));
        }
        let Traceparent { trace_id, span_id, sampled } = Traceparent::parse(traceparent?)?;
        // A proxy that knows nothing of Sentry passes the `baggage` of some trace on, perhaps of this one.
        incoming(trace_id, span_id, Some(sampled), named == Some(Some(trace_id)))
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

impl Incoming {
    /// Reads a trace from headers. `None` if there is none, or if what is there is malformed.
    pub(crate) fn from_headers<K: AsRef<str>, V: AsRef<[u8]>>(
        headers: impl IntoIterator<Item = (K, V)>,
    ) -> Option<Self> {
        let mut texts = Texts::default();
        for (name, value) in headers {
            if let Some(text) = texts.of(name.as_ref()) {
                Texts::add(text, value.as_ref());
            }
        }
        texts.read()
    }

    /// As [`from_headers`](Self::from_headers), by asking for each header.
    pub(crate) fn from_lookup<V: AsRef<[u8]>>(mut get: impl FnMut(&'static str) -> Option<V>) -> Option<Self> {
        Self::from_headers([SENTRY_TRACE, BAGGAGE, TRACEPARENT].into_iter().filter_map(|name| Some((name, get(name)?))))
    }

    /// As [`from_headers`](Self::from_headers), from the process's environment.
    pub(crate) fn from_env() -> Option<Self> {
        let variables = [(SENTRY_TRACE, TRACE_VARIABLE), (BAGGAGE, BAGGAGE_VARIABLE)];
        Self::from_headers(
            variables.into_iter().filter_map(|(name, variable)| Some((name, std::env::var(variable).ok()?))),
        )
    }

    /// Whether a process of this organisation may continue it: not if both are known and differ, and, where one of them is not known,
    /// not if `strict`. (behaviour 31)
    pub(crate) fn is_of(&self, org_id: Option<&str>, strict: bool) -> bool {
        match (self.baggage.get("org_id").filter(|id| !id.is_empty()), org_id) {
            (Some(theirs), Some(ours)) => theirs == ours,
            (None, None) => true,
            _ => !strict,
        }
    }

    /// The random number that came with it.
    pub(crate) fn sample_rand(&self) -> Option<f64> {
        self.baggage.get("sample_rand")?.parse().ok().filter(|rand| (0.0..1.0).contains(rand))
    }

    /// The rate at which it was decided.
    pub(crate) fn sample_rate(&self) -> Option<f64> {
        self.baggage.get("sample_rate")?.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "771a43a4192642f0b136d5159a501700";
    const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn read(headers: &[(&str, &str)]) -> Option<Incoming> {
        Incoming::from_headers(headers.iter().copied())
    }

    // behaviour 28
    #[test]
    fn sentry_trace_comes_first_and_names_have_no_case() {
        let sentry = format!("{TRACE}-{SPAN}-0");
        let w3c = format!("00-{OTHER}-{SPAN}-01");
        let both = read(&[("TraceParent", &w3c), ("SENTRY-Trace", &sentry)]).expect("a trace");
        assert_eq!((both.trace_id.to_string().as_str(), both.sampled), (TRACE, Some(false)));
        let one = read(&[("traceparent", &w3c), ("sentry-trace", "nonsense")]).expect("a trace");
        assert_eq!((one.trace_id.to_string().as_str(), one.sampled), (OTHER, Some(true)));
        let looked_up = Incoming::from_lookup(|name| (name == "sentry-trace").then_some(&sentry)).expect("a trace");
        assert_eq!(looked_up.trace_id, both.trace_id);
        assert_eq!(read(&[("baggage", &format!("sentry-trace_id={TRACE}"))]), None, "nothing to continue");
    }

    // behaviour 29
    #[test]
    fn malformed_baggage_is_none_and_the_trace_is_continued_without() {
        let sentry = format!("{TRACE}-{SPAN}-1");
        for baggage in
            ["sentry-release=%zz".to_owned(), format!("sentry-trace_id={OTHER},sentry-release=a"), "x".into()]
        {
            let read = read(&[("sentry-trace", &sentry), ("baggage", &baggage)]).expect("a trace");
            assert!(read.baggage.is_foreign(), "{baggage}");
        }
        let not_text =
            Incoming::from_headers([("sentry-trace", sentry.as_bytes()), ("baggage", &b"sentry-a=\xff"[..])]);
        assert!(not_text.expect("a trace").baggage.is_foreign());
    }

    // behaviour 29
    #[test]
    fn two_of_a_header_are_ambiguous_whatever_their_length() {
        let sentry = format!("{TRACE}-{SPAN}-1");
        let w3c = format!("01-{TRACE}-{SPAN}-01-more");
        for (name, value) in [("sentry-trace", &sentry), ("traceparent", &w3c)] {
            for second in [value.clone(), String::new(), "x".repeat(MOST_BYTES)] {
                assert!(read(&[(name, value)]).is_some());
                assert_eq!(read(&[(name, value), (name, &second)]), None, "{name}");
                // A proxy may have joined them.
                assert_eq!(read(&[(name, &format!("{value},{second}"))]), None, "{name}");
            }
        }
    }

    // behaviour 28
    #[test]
    fn baggage_in_several_headers_is_one_list_within_the_bounds() {
        let sentry = format!("{TRACE}-{SPAN}-1");
        let long = format!("x={}", "é".repeat(4 << 10));
        let read = read(&[
            ("baggage", "sentry-a=1"),
            ("sentry-trace", &sentry),
            ("Baggage", "sentry-b=2,o=1"),
            ("baggage", &long),
        ]);
        let baggage = read.expect("a trace").baggage;
        assert_eq!(baggage.to_string(), "sentry-a=1,sentry-b=2", "cut at a member, also within a character");
    }

    // behaviour 28
    #[test]
    fn the_context_beside_a_traceparent_is_believed_if_it_is_of_that_trace() {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let with =
            |baggage: &str| read(&[("traceparent", &w3c), ("baggage", baggage)]).expect("a trace").baggage.to_string();
        let own = format!("sentry-trace_id={TRACE},sentry-release=a");
        assert_eq!(with(&own), own);
        assert_eq!(with("sentry-release=a"), "");
        assert_eq!(with(&own.replace(TRACE, OTHER)), "");
    }

    // behaviour 31
    #[test]
    fn organisations() {
        let with = |baggage: &str| {
            read(&[("sentry-trace", &format!("{TRACE}-{SPAN}")), ("baggage", baggage)]).expect("a trace")
        };
        let (one, none) = (with("sentry-org_id=1"), with("sentry-org_id="));
        for strict in [false, true] {
            assert!(one.is_of(Some("1"), strict));
            assert!(!one.is_of(Some("2"), strict));
            assert!(none.is_of(None, strict));
            assert_eq!(one.is_of(None, strict), !strict);
            assert_eq!(none.is_of(Some("1"), strict), !strict);
        }
    }

    // behaviour 25
    #[test]
    fn numbers_out_of_range_are_none() {
        let with = |baggage: &str| {
            read(&[("sentry-trace", &format!("{TRACE}-{SPAN}")), ("baggage", baggage)]).expect("a trace")
        };
        assert_eq!(with("sentry-sample_rand=0.25,sentry-sample_rate=1").sample_rand(), Some(0.25));
        assert_eq!(with("sentry-sample_rand=0.25,sentry-sample_rate=1").sample_rate(), Some(1.0));
        for odd in ["1.5", "-0.1", "nan", "inf", "x", ""] {
            let read = with(&format!("sentry-sample_rand={odd},sentry-sample_rate={odd}"));
            assert_eq!((read.sample_rand(), read.sample_rate()), (None, None), "{odd}");
        }
        assert_eq!(with("sentry-sample_rand=1").sample_rand(), None);
    }
}
