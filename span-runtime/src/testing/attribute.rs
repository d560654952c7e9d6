//! Attributes of spans and links, decoded and checked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Span;
use super::findings::{self, Findings, Place};

/// The value of an attribute and its declared type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Attribute {
    /// `boolean`, `integer`, `double`, `string` or `array`.
    pub type_: String,
    /// A value of that type.
    pub value: Value,
}

/// Checks attributes and gives those that could be decoded.
pub(super) fn read_attributes(
    findings: &mut Findings,
    place: &Place<'_>,
    attributes: &Map<String, Value>,
) -> BTreeMap<String, Attribute> {
    let mut read = BTreeMap::new();
    for (key, attribute) in attributes {
        let name = format!("attribute {key:?}");
        let place = place.member(&name);
        if key.is_empty() {
            findings.add(&place, "must have a name");
        }
        let Some(members) = attribute.as_object() else {
            findings
                .add(&place, format_args!("must be an object of type and value, found {}", findings::short(attribute)));
            continue;
        };
        findings.only(&place, members, &["type", "value", "unit"]);
        findings.allow(&place, members, "unit", findings::TEXT, findings::text);
        let rule = "must be boolean, integer, double, string or array";
        let type_ = findings.expect(&place, members, "type", rule, |value| {
            value.as_str().filter(|text| matches!(*text, "boolean" | "integer" | "double" | "string" | "array"))
        });
        // Without a type there is no rule for the value.
        let Some(type_) = type_ else { continue };
        let rule = format!("must be {}", value_rule(type_));
        let value =
            findings.expect(&place, members, "value", &rule, |value| matches_type(type_, value).then_some(value));
        if let Some(value) = value {
            read.insert(key.clone(), Attribute { type_: type_.to_owned(), value: value.clone() });
        }
    }
    read
}

fn value_rule(type_: &str) -> &'static str {
    match type_ {
        "boolean" => "true or false, as its type says",
        "integer" => "an integer within 64 signed bits, as its type says",
        "double" => "a number, as its type says",
        "string" => "a string, as its type says",
        _ => "a flat array of strings, of booleans or of numbers, as its type says",
    }
}

fn matches_type(type_: &str, value: &Value) -> bool {
    match type_ {
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "double" => value.is_number(),
        "string" => value.is_string(),
        // Nulls may stand among any kind.
        _ => value.as_array().is_some_and(|entries| {
            let all = |kind: fn(&Value) -> bool| entries.iter().all(|entry| entry.is_null() || kind(entry));
            all(Value::is_string) || all(Value::is_boolean) || all(Value::is_number)
        }),
    }
}

/// Checks the attributes that the documents require of every span, and those with rules of their own.
pub(super) fn check_required_attributes(findings: &mut Findings, place: &Place<'_>, span: &Span) {
    for key in ["sentry.sdk.name", "sentry.sdk.version", "sentry.segment.id", "sentry.segment.name"] {
        if span.text(key).is_none_or(str::is_empty) {
            findings.add(place, format_args!("attribute {key:?} {}, found {}", findings::TEXT, found(span, key)));
        }
    }
    if let Some(id) = span.attribute("sentry.segment.id").filter(|id| findings::span_id(id).is_none()) {
        let rule = findings::SPAN_ID;
        findings.add(place, format_args!("attribute \"sentry.segment.id\" {rule}, found {}", findings::short(id)));
    }
    if span.is_segment {
        if span.text("sentry.segment.id") != Some(&span.span_id) {
            let found = found(span, "sentry.segment.id");
            findings.add(
                place,
                format_args!("attribute \"sentry.segment.id\" of a segment must be its span_id, found {found}"),
            );
        }
        let sources = ["custom", "url", "route", "view", "component", "task"];
        let key = "sentry.segment.name.source";
        if !span.text(key).is_some_and(|source| sources.contains(&source)) {
            let sources = sources.join(", ");
            findings.add(
                place,
                format_args!("attribute {key:?} of a segment must be among {sources}, found {}", found(span, key)),
            );
        }
    }
    if let Some(rate) = span.attribute("sentry.client_sample_rate").and_then(Value::as_f64) {
        if !(rate > 0.0 && rate <= 1.0) {
            findings.add(
                place,
                format_args!("attribute \"sentry.client_sample_rate\" must be above 0 and at most 1, found {rate}"),
            );
        }
    }
    if span.text("client.address") == Some("{{auto}}") {
        findings.add(
            place,
            "attribute \"client.address\" must not ask Relay for the connection's address, found \"{{auto}}\"",
        );
    }
}

fn found(span: &Span, key: &str) -> String {
    span.attribute(key).map_or_else(|| "nothing".to_owned(), findings::short)
}
