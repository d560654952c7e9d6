//! JSON, written straight into a buffer.
//!
//! Escaping and the printing of floats are serde_json's. Writing into a `Vec` cannot fail, and neither can
//! serialising a string or a number, so nothing here returns an error.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "what is taken off is part of what it is taken from, and 64 bits of nanoseconds leave room for all sums"
)]

use std::io::Write as _;

use crate::attributes::{List, Repr, Value};
use crate::clock::UnixNanos;

/// A string with its quotes.
pub(crate) fn string(buffer: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(buffer, text);
}

pub(crate) fn float(buffer: &mut Vec<u8>, number: f64) {
    let _ = serde_json::to_writer(buffer, &number);
}

pub(crate) fn integer(buffer: &mut Vec<u8>, number: i64) {
    let _ = serde_json::to_writer(buffer, &number);
}

pub(crate) fn unsigned(buffer: &mut Vec<u8>, number: u64) {
    let _ = serde_json::to_writer(buffer, &number);
}

pub(crate) fn boolean(buffer: &mut Vec<u8>, value: bool) {
    buffer.extend_from_slice(if value { b"true" } else { b"false" });
}

/// 16 lowercase hexadecimal digits.
#[expect(clippy::indexing_slicing, reason = "eight bytes are sixteen digits, and half a byte is below sixteen")]
pub(crate) fn hex64(buffer: &mut Vec<u8>, number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 16];
    for (at, byte) in number.to_be_bytes().into_iter().enumerate() {
        digits[2 * at] = DIGITS[usize::from(byte >> 4)];
        digits[2 * at + 1] = DIGITS[usize::from(byte & 15)];
    }
    buffer.extend_from_slice(&digits);
}

/// Seconds with six decimals: what Sentry stores.
pub(crate) fn seconds(buffer: &mut Vec<u8>, time: UnixNanos) {
    let micros = time.0 / 1000;
    unsigned(buffer, micros / 1_000_000);
    // Below a million, which fits.
    let mut rest = (micros % 1_000_000) as u32;
    let mut digits = *b".000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    buffer.extend_from_slice(&digits);
}

/// The time as RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(buffer: &mut Vec<u8>, time: UnixNanos) {
    let seconds = time.0 / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to a date, by eras of 400 years that begin on the first of March. (Howard Hinnant, `civil_from_days`)
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let millis = time.0 / 1_000_000 % 1000;
    let _ = write!(buffer, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z\"");
}

/// `"key":{"type":...,"value":...}`.
pub(crate) fn attribute(buffer: &mut Vec<u8>, key: &str, value: &Value) {
    string(buffer, key);
    buffer.extend_from_slice(match &value.0 {
        Repr::Bool(_) => br#":{"type":"boolean","value":"#,
        Repr::Integer(_) => br#":{"type":"integer","value":"#,
        Repr::Double(_) => br#":{"type":"double","value":"#,
        Repr::Text(_) => br#":{"type":"string","value":"#,
        Repr::List(_) => br#":{"type":"array","value":"#,
    });
    self::value(buffer, value);
    buffer.push(b'}');
}

/// A value without its type.
pub(crate) fn value(buffer: &mut Vec<u8>, value: &Value) {
    match &value.0 {
        Repr::Bool(value) => boolean(buffer, *value),
        Repr::Integer(value) => integer(buffer, *value),
        Repr::Double(value) => float(buffer, *value),
        Repr::Text(text) => string(buffer, text.as_str()),
        Repr::List(list) => match &**list {
            List::Bools(items) => array(buffer, items, |buffer, item| boolean(buffer, *item)),
            List::Integers(items) => array(buffer, items, |buffer, item| integer(buffer, *item)),
            List::Doubles(items) => array(buffer, items, |buffer, item| float(buffer, *item)),
            List::Texts(items) => array(buffer, items, |buffer, item| string(buffer, item.as_str())),
        },
    }
}

/// `[a,b,...]`.
pub(crate) fn array<T>(buffer: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    buffer.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            buffer.push(b',');
        }
        write(buffer, item);
    }
    buffer.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut buffer = Vec::new();
        write(&mut buffer);
        String::from_utf8(buffer).expect("JSON is UTF-8")
    }

    #[test]
    fn times() {
        let rfc = |seconds: u64, nanos: u64| written(|b| rfc3339(b, UnixNanos(seconds * 1_000_000_000 + nanos)));
        assert_eq!(rfc(0, 0), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(rfc(951_782_399, 999_999_999), "\"2000-02-28T23:59:59.999Z\"");
        assert_eq!(rfc(951_782_400, 0), "\"2000-02-29T00:00:00.000Z\"");
        assert_eq!(rfc(1_709_251_199, 0), "\"2024-02-29T23:59:59.000Z\"");
        assert_eq!(rfc(4_107_542_400, 0), "\"2100-03-01T00:00:00.000Z\"");
        assert_eq!(written(|b| seconds(b, UnixNanos(1_700_000_000_000_001_999))), "1700000000.000001");
        assert_eq!(written(|b| seconds(b, UnixNanos(999_999_999))), "0.999999");
    }

    #[test]
    fn values() {
        assert_eq!(written(|b| hex64(b, 0xab)), "00000000000000ab");
        let shown = |value: Value| written(|b| attribute(b, "k\"", &value));
        assert_eq!(shown(Value::of(1.0)), r#""k\"":{"type":"double","value":1.0}"#);
        assert_eq!(shown(Value::of(-1)), r#""k\"":{"type":"integer","value":-1}"#);
        assert_eq!(shown(Value::of("a\n\u{1}")), r#""k\"":{"type":"string","value":"a\n\u0001"}"#);
        assert_eq!(shown(Value::of([1.5, 2.0])), r#""k\"":{"type":"array","value":[1.5,2.0]}"#);
        assert_eq!(shown(Value::of(Vec::<bool>::new())), r#""k\"":{"type":"array","value":[]}"#);
    }
}
