//! What the checker found: broken rules, each with its place and what stood there instead.
//!
//! Almost every rule goes through [`Findings::expect`] or [`Findings::allow`]: a member, the words
//! of its rule, and a function that reads the value if it obeys. The value readers stand below.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::rfc3339;

/// The rules that one body broke, and the time by which its timestamps are judged.
#[derive(Debug)]
pub(super) struct Findings {
    now: f64,
    found: Vec<String>,
}

impl Findings {
    pub(super) fn new(now: SystemTime) -> Self {
        // A clock before 1970 makes every timestamp "in the future", which is what it deserves.
        let now = now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self { now, found: Vec::new() }
    }

    /// Seconds since 1970 at which the body arrived.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.found
    }

    /// Adds a broken rule.
    pub(super) fn add(&mut self, place: &Place<'_>, words: impl fmt::Display) {
        self.found.push(format!("{place}: {words}"));
    }

    /// Reads a member that must be there.
    pub(super) fn expect<'v, T>(
        &mut self,
        place: &Place<'_>,
        object: &'v Map<String, Value>,
        key: &str,
        rule: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Option<T> {
        if object.contains_key(key) {
            return self.allow(place, object, key, rule, read);
        }
        self.add(place, format_args!("{key} {rule}, found nothing"));
        None
    }

    /// Reads a member that may be left out, but must obey its rule if it is there.
    pub(super) fn allow<'v, T>(
        &mut self,
        place: &Place<'_>,
        object: &'v Map<String, Value>,
        key: &str,
        rule: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let value = object.get(key)?;
        let read = read(value);
        if read.is_none() {
            self.add(place, format_args!("{key} {rule}, found {}", short(value)));
        }
        read
    }

    /// Finds members whose names are not in `known`.
    pub(super) fn only(&mut self, place: &Place<'_>, object: &Map<String, Value>, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let known = known.join(", ");
            self.add(place, format_args!("members must be among {known}, found {key:?}"));
        }
    }

    /// Finds a start that lies after its end.
    pub(super) fn ordered(&mut self, place: &Place<'_>, start: Option<f64>, end: Option<f64>) {
        if let (Some(start), Some(end)) = (start, end) {
            if start > end {
                self.add(place, format_args!("must not end before it starts, found {start} to {end}"));
            }
        }
    }
}

/// Where something stands in an envelope, from the outside in; written out only when needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    outer: Option<&'a Place<'a>>,
    what: &'a str,
    index: Option<usize>,
}

impl<'a> Place<'a> {
    pub(super) fn new(what: &'a str) -> Self {
        Self { outer: None, what, index: None }
    }

    pub(super) fn item(index: usize) -> Self {
        Self { outer: None, what: "item", index: Some(index) }
    }

    pub(super) fn member(&'a self, what: &'a str) -> Self {
        Self { outer: Some(self), what, index: None }
    }

    pub(super) fn nth(&'a self, what: &'a str, index: usize) -> Self {
        Self { outer: Some(self), what, index: Some(index) }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            write!(f, "{outer}, ")?;
        }
        f.write_str(self.what)?;
        match self.index {
            Some(index) => write!(f, " {index}"),
            None => Ok(()),
        }
    }
}

/// The longest piece of a body that a violation quotes, in characters.
const QUOTED: usize = 80;

/// A value as it is quoted in a violation.
pub(super) fn short(value: &Value) -> String {
    shorten(&value.to_string())
}

/// A text cut to what a violation quotes.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], text.len()),
        None => text.to_owned(),
    }
}

pub(super) const TRACE_ID: &str = "must be 32 lowercase hex digits and not all zero";
pub(super) const SPAN_ID: &str = "must be 16 lowercase hex digits and not all zero";
pub(super) const UUID: &str = "must be a UUID, with or without hyphens";
pub(super) const TEXT: &str = "must be a non-empty string";
pub(super) const BOOLEAN: &str = "must be true or false";
pub(super) const OBJECT: &str = "must be an object";
pub(super) const SANE_TIME: &str = "must lie between 2020 and 60 s from now";

/// The 32 digits of a trace id.
pub(super) fn trace_id(value: &Value) -> Option<&str> {
    lower_hex(value, 32)
}

/// The 16 digits of a span id.
pub(super) fn span_id(value: &Value) -> Option<&str> {
    lower_hex(value, 16)
}

fn lower_hex(value: &Value, length: usize) -> Option<&str> {
    let text = value.as_str()?;
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let valid = text.len() == length && digits && text.bytes().any(|byte| byte != b'0');
    valid.then_some(text)
}

/// A UUID's 32 digits in lower case, for comparing its two spellings.
pub(super) fn uuid(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let hyphenated =
        text.len() == 36 && text.char_indices().all(|(at, c)| (c == '-') == matches!(at, 8 | 13 | 18 | 23));
    let digits = if hyphenated { text.replace('-', "") } else { text.to_owned() };
    let valid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
}

/// A string that is not empty.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Seconds since 1970 from a number or RFC 3339 text, the two forms that events may use.
pub(super) fn any_time(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => rfc3339::seconds(text),
        _ => value.as_f64(),
    }
}

/// Whether a time is one that a span recorded by a running program can have.
pub(super) fn is_sane(time: f64, now: f64) -> bool {
    /// 2020-01-01T00:00:00Z: older means milliseconds since boot, or an unset clock.
    const EARLIEST: f64 = 1_577_836_800.0;
    /// Relay shifts spans that lie further ahead.
    const MOST_AHEAD: f64 = 60.0;
    time >= EARLIEST && time <= now + MOST_AHEAD
}
