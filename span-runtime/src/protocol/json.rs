//! JSON, written straight into a buffer.
//!
//! Escaping and the printing of floats are serde_json's; a text that needs no escaping is copied. Writing into a `Vec` cannot fail, and neither can
//! serialising a string or a number, so nothing here returns an error.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "what is taken off is part of what it is taken from, and 64 bits of nanoseconds leave room for all sums"
)]

use std::io::Write as _;

use crate::attributes::{List, Repr, Value};
use crate::clock::UnixNanos;

/// A string with its quotes.
#[inline]
pub(crate) fn string(buffer: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        buffer.reserve(text.len() + 2);
        buffer.push(b'"');
        buffer.extend_from_slice(text.as_bytes());
        buffer.push(b'"');
    } else {
        let _ = serde_json::to_writer(buffer, text);
    }
}

/// Whether a text is its own JSON: no control characters, no quote, no backslash. Eight bytes at a time; the last eight may be looked at twice.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let eight = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map(u64::from_ne_bytes);
    match text.len().checked_sub(8).and_then(|at| text.get(at..)) {
        Some(last) => text.chunks_exact(8).chain([last]).all(|bytes| eight(bytes).is_ok_and(are_plain)),
        None => text.iter().all(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\'),
    }
}

/// The same of the eight bytes of a word. A byte below `n` is what gets a high bit by the subtraction of `n` and has none of its own;
/// a borrow can only come from such a byte, so that the answer for the whole word is right.
#[inline]
fn are_plain(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let below = |word: u64, n: u8| word.wrapping_sub(u64::from(n) * EACH) & !word & HIGH;
    let equal = |byte: u8| below(word ^ (u64::from(byte) * EACH), 1);
    below(word, b' ') | equal(b'"') | equal(b'\\') == 0
}

pub(crate) fn float(buffer: &mut Vec<u8>, number: f64) {
    let _ = serde_json::to_writer(buffer, &number);
}

#[inline]
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
#[inline]
pub(crate) fn hex64(buffer: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 16];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&HEX[usize::from(byte)]);
    }
    buffer.extend_from_slice(&digits);
}

/// 32 of them.
pub(crate) fn hex128(buffer: &mut Vec<u8>, number: u128) {
    hex64(buffer, (number >> 64) as u64);
    hex64(buffer, number as u64);
}

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = pairs(b"0123456789abcdef");

/// The two digits of each number below 100.
const DECIMAL: [[u8; 2]; 100] = pairs(b"0123456789");

/// All pairs of these digits, in the order of the numbers that they are.
#[expect(clippy::indexing_slicing, reason = "run by the compiler only, which would find it")]
const fn pairs<const DIGITS: usize, const PAIRS: usize>(digits: &[u8; DIGITS]) -> [[u8; 2]; PAIRS] {
    let mut pairs = [[0; 2]; PAIRS];
    let mut at = 0;
    while at < PAIRS {
        pairs[at] = [digits[at / DIGITS], digits[at % DIGITS]];
        at += 1;
    }
    pairs
}

/// The last digits of a number, as many as there is room for, with zeros in front.
#[expect(clippy::indexing_slicing, reason = "a remainder of 100 is below 100")]
fn decimals<const COUNT: usize>(mut number: u64) -> [u8; COUNT] {
    const { assert!(COUNT % 2 == 0, "they are written in pairs") };
    let mut digits = [b'0'; COUNT];
    for pair in digits.chunks_exact_mut(2).rev() {
        // Below 100.
        pair.copy_from_slice(&DECIMAL[(number % 100) as usize]);
        number /= 100;
    }
    digits
}

/// Seconds with six decimals: what Sentry stores.
pub(crate) fn seconds(buffer: &mut Vec<u8>, time: UnixNanos) {
    let (seconds, micros) = (time.0 / 1_000_000_000, time.0 / 1000 % 1_000_000);
    let mut digits = [b'.'; 17];
    match seconds {
        // From 2001 to 2286.
        1_000_000_000..=9_999_999_999 => {
            digits[..10].copy_from_slice(&decimals::<10>(seconds));
            digits[11..].copy_from_slice(&decimals::<6>(micros));
            buffer.extend_from_slice(&digits);
        }
        _ => {
            unsigned(buffer, seconds);
            buffer.push(b'.');
            buffer.extend_from_slice(&decimals::<6>(micros));
        }
    }
}

/// A number from 0 to 1 as a text of six decimals.
pub(crate) fn fraction(buffer: &mut Vec<u8>, number: f64) {
    let micros = (number * 1e6).round();
    // What has six decimals is one of these within the precision of a float; anything else is rounded by those who know how.
    if (0.0..1e6).contains(&micros) && (number * 1e6 - micros).abs() < 1e-3 {
        buffer.extend_from_slice(b"0.");
        // Below a million, which fits.
        buffer.extend_from_slice(&decimals::<6>(micros as u64));
    } else {
        let _ = write!(buffer, "{number:.6}");
    }
}

/// The time as RFC 3339 in UTC with milliseconds.
#[expect(clippy::indexing_slicing, reason = "places in a text of 26 bytes")]
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
    // The nanoseconds since 1970 of 64 bits end in the year 2554.
    let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
    text[1..5].copy_from_slice(&decimals::<4>(year));
    for (at, number) in [(6, month), (9, day), (12, hour), (15, minute), (18, second)] {
        text[at..at + 2].copy_from_slice(&decimals::<2>(number));
    }
    text[21..24].copy_from_slice(&decimals::<4>(millis)[1..]);
    buffer.extend_from_slice(&text);
}

/// `"key":{"type":...,"value":...}`.
pub(crate) fn attribute(buffer: &mut Vec<u8>, key: &str, value: &Value) {
    string(buffer, key);
    buffer.extend_from_slice(br#":{"type":""#);
    typed(buffer, value);
}

/// What is behind `"key":{"type":"`.
pub(crate) fn typed(buffer: &mut Vec<u8>, value: &Value) {
    // Of a known length each, so that they are stored rather than copied.
    match &value.0 {
        Repr::Bool(_) => buffer.extend_from_slice(br#"boolean","value":"#),
        Repr::Integer(_) => buffer.extend_from_slice(br#"integer","value":"#),
        Repr::Double(_) => buffer.extend_from_slice(br#"double","value":"#),
        Repr::Text(_) => buffer.extend_from_slice(br#"string","value":"#),
        Repr::List(_) => buffer.extend_from_slice(br#"array","value":"#),
    }
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
        assert_eq!(written(|b| seconds(b, UnixNanos(999_999_999_000_001_000))), "999999999.000001");
        assert_eq!(written(|b| seconds(b, UnixNanos(9_999_999_999_999_999_999))), "9999999999.999999");
        assert_eq!(written(|b| seconds(b, UnixNanos(u64::MAX))), "18446744073.709551");
    }

    #[test]
    fn fractions_are_those_of_the_standard_library() {
        for at in (0..1_000_000).step_by(997) {
            let number = f64::from(at) / 1e6;
            assert_eq!(written(|b| fraction(b, number)), format!("{number:.6}"));
        }
        for number in
            [0.0, 1e-6, 0.1234565, 0.0000005, 0.9999995, 0.9999996, 1.0, 1.0 - f64::EPSILON, 0.3333333333333333]
        {
            assert_eq!(written(|b| fraction(b, number)), format!("{number:.6}"), "{number:?}");
        }
    }

    #[test]
    fn a_text_is_escaped_wherever_in_it_that_is_needed() {
        // Long enough for a word before, one behind, and all remainders.
        let others = ['a', 'é', '\u{7f}', ' ', '!', '#', '[', ']', '\u{10ffff}'];
        for escaped in ['"', '\\', '\0', '\u{1f}', '\n', '\u{8}'] {
            for length in 0..20 {
                for other in others {
                    let plain: String = std::iter::repeat_n(other, length).collect();
                    assert_eq!(written(|b| string(b, &plain)), serde_json::to_string(&plain).expect("it is a text"));
                    for at in 0..=length {
                        let text: String =
                            plain.chars().take(at).chain([escaped]).chain(plain.chars().skip(at)).collect();
                        assert!(!is_plain(text.as_bytes()), "{text:?}");
                        assert_eq!(written(|b| string(b, &text)), serde_json::to_string(&text).expect("it is a text"));
                    }
                }
            }
        }
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
