//! What all payloads that we check have in common.

use serde_json::{Map, Value};

use super::Item;
use super::findings::{self, Findings, Place};
use super::json::{self, Step};

/// Reads a payload that must be one JSON object of limited size without repeated keys, and shows
/// `number` each number in it as it is written.
pub(super) fn read_payload(
    findings: &mut Findings,
    place: &Place<'_>,
    item: &Item,
    limit: usize,
    mut number: impl FnMut(&mut Findings, &[Step<'_>], &str),
) -> Option<Map<String, Value>> {
    if item.payload.len() > limit {
        let length = item.payload.len();
        findings.add(place, format_args!("payload must have at most {limit} bytes, found {length}"));
    }
    let (text, value) = match json::parse(&item.payload) {
        Ok(parsed) => parsed,
        Err(error) => {
            let quoted = findings::shorten(&String::from_utf8_lossy(&item.payload));
            findings.add(place, format_args!("payload must be JSON, found {quoted:?}: {error}"));
            return None;
        }
    };
    for key in json::scan(text, |path, literal| number(findings, path, literal)).repeated {
        findings.add(place, format_args!("payload must not repeat a key, found {key} twice"));
    }
    match value {
        Value::Object(map) => Some(map),
        other => {
            findings.add(place, format_args!("payload must be an object, found {}", findings::short(&other)));
            None
        }
    }
}
