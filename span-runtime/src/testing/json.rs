//! What `serde_json` does not say about a text it accepts: repeated keys, padding, number literals.
//!
//! `serde_json` decides what is JSON (it refuses invalid UTF-8, lone surrogates, numbers beyond
//! `f64` and a depth of 128). A map of it keeps the last of two equal keys, and a number forgets
//! how many digits it was written with, so a second pass walks the accepted text for these.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

/// Parses a text that must be one JSON value and nothing else.
///
/// # Errors
///
/// The parser's words if it is not.
pub(super) fn parse(text: &[u8]) -> Result<(&str, Value), String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok((text, value))
}

/// One step on the way from the outermost value to an inner one.
#[derive(Debug, PartialEq)]
pub(super) enum Step<'t> {
    Key(Cow<'t, str>),
    Index(usize),
}

/// What the second pass found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    /// Keys that an object has twice, each with the path to it.
    pub(super) repeated: Vec<String>,
    /// Whether blanks stand outside strings.
    pub(super) padded: bool,
}

/// Walks a text that [`parse`] accepted and calls `number` with the path and text of each number.
///
/// The walk relies on the text being JSON: it looks at single characters only. On other text it
/// ends as well, with useless findings.
pub(super) fn scan<'t>(text: &'t str, mut number: impl FnMut(&[Step<'t>], &'t str)) -> Scan {
    let bytes = text.as_bytes();
    let mut scan = Scan::default();
    // The keys seen in each open object (unused for arrays), and where we are in each.
    let mut keys: Vec<HashSet<Cow<'t, str>>> = Vec::new();
    let mut path: Vec<Step<'t>> = Vec::new();
    let mut key_is_next = false;
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => string_end(bytes, at),
            b'-' | b'0'..=b'9' => {
                let literal = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                at + bytes[at..].iter().take_while(|byte| literal(byte)).count()
            }
            _ => at + 1,
        };
        match bytes[at] {
            b'"' if key_is_next => {
                let key = unquote(&text[at..end]);
                // An object is open, or no key would be expected.
                if let (Some(seen), Some(step)) = (keys.last_mut(), path.last_mut()) {
                    let first = seen.insert(key.clone());
                    *step = Step::Key(key);
                    if !first {
                        scan.repeated.push(display(&path));
                    }
                }
                key_is_next = false;
            }
            b'-' | b'0'..=b'9' => number(&path, &text[at..end]),
            b'{' => {
                keys.push(HashSet::new());
                path.push(Step::Key(Cow::Borrowed("")));
                key_is_next = true;
            }
            b'[' => {
                keys.push(HashSet::new());
                path.push(Step::Index(0));
            }
            b'}' | b']' => {
                keys.pop();
                path.pop();
                key_is_next = false;
            }
            b',' => match path.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                _ => key_is_next = true,
            },
            b' ' | b'\t' | b'\r' | b'\n' => scan.padded = true,
            // Strings that are values, colons, and the letters of true, false and null.
            _ => {}
        }
        at = end;
    }
    scan
}

/// The offset after the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The key in a quoted text, escapes resolved: `"\u0061"` repeats `"a"`.
fn unquote(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\\') {
        return Cow::Borrowed(quoted.trim_matches('"'));
    }
    // The text was parsed before, so the other branch is never taken.
    serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned)
}

/// A path as `items[3].attributes.x`.
fn display(path: &[Step<'_>]) -> String {
    let mut out = String::new();
    for step in path {
        // Writing into a String cannot fail.
        let _ = match step {
            Step::Key(key) if out.is_empty() => write!(out, "{key}"),
            Step::Key(key) => write!(out, ".{key}"),
            Step::Index(index) => write!(out, "[{index}]"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{display, parse, scan};

    fn scanned(text: &str) -> (Vec<String>, bool, Vec<String>) {
        parse(text.as_bytes()).expect("the test's text is JSON");
        let mut numbers = Vec::new();
        let scan = scan(text, |path, literal| numbers.push(format!("{}={literal}", display(path))));
        (scan.repeated, scan.padded, numbers)
    }

    #[test]
    fn finds_repeated_keys_at_any_depth() {
        let (repeated, padded, _) = scanned(r#"{"a":{"b":1,"b":2},"c":[{"d":0},{"d":0,"\u0064":[]}],"a":"a"}"#);
        assert_eq!(repeated, ["a.b", "c[1].d", "a"]);
        assert!(!padded);
    }

    #[test]
    fn strings_do_not_look_like_structure() {
        let (repeated, padded, numbers) = scanned(r#"{"a\"":"}, \"a\\","b":["{","]",":",","],"c":""}"#);
        assert_eq!((repeated.len(), padded, numbers.len()), (0, false, 0));
    }

    #[test]
    fn gives_numbers_as_written() {
        let (_, padded, numbers) = scanned("{\"a\":[1.250000, -2e3],\"b\":{\"c\":0}, \"d\":9}");
        assert_eq!(numbers, ["a[0]=1.250000", "a[1]=-2e3", "b.c=0", "d=9"]);
        assert!(padded);
    }

    #[test]
    fn refuses_what_relay_refuses() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(deep(127).as_bytes()).is_ok());
        let refused = [
            b"NaN".to_vec(),
            b"1e999".to_vec(),
            b"\"\\ud800\"".to_vec(),
            b"\"\xff\"".to_vec(),
            b"{} {}".to_vec(),
            b"{\"a\":}".to_vec(),
            deep(128).into_bytes(),
        ];
        for text in refused {
            assert!(parse(&text).is_err(), "{}", String::from_utf8_lossy(&text));
        }
    }
}
