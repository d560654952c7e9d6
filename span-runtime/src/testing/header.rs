//! The header of an envelope and the `trace` header in it, checked.

use serde_json::{Map, Value};

use super::findings::{self, Findings, Place};
use super::rfc3339;

/// Envelope headers that Relay writes itself and would believe if a client sent them.
const OWNED_BY_RELAY: [&str; 11] = [
    "retention",
    "downsampled_retention",
    "required_features",
    "client",
    "version",
    "origin",
    "remote_addr",
    "forwarded_for",
    "user_agent",
    "client_hints",
    "no_cache",
];

/// Checks an envelope's header, with its trace header.
pub(super) fn check(findings: &mut Findings, header: &Map<String, Value>) {
    let place = Place::new("envelope header");
    for name in OWNED_BY_RELAY.iter().filter(|name| header.contains_key(**name)) {
        findings.add(&place, format_args!("must not have {name}, which belongs to Relay"));
    }
    findings.allow(&place, header, "event_id", findings::UUID, findings::uuid);
    let dsn = "must be a DSN with a key of 32 characters and a numeric project";
    findings.allow(&place, header, "dsn", dsn, |value| parse_dsn(value.as_str()?));
    findings.allow(&place, header, "sdk", findings::OBJECT, Value::as_object);
    check_sent_at(findings, &place, header);
    if let Some(trace) = findings.allow(&place, header, "trace", findings::OBJECT, Value::as_object) {
        check_trace_header(findings, trace);
    }
}

/// Beyond this distance Relay takes the client's clock for wrong and shifts all timestamps.
const CLOCK_DRIFT: f64 = 55.0 * 60.0;

fn check_sent_at(findings: &mut Findings, place: &Place<'_>, header: &Map<String, Value>) {
    let read = |value: &Value| rfc3339::seconds(value.as_str()?);
    let rule = "must be an RFC 3339 timestamp with a zone";
    let Some(sent_at) = findings.allow(place, header, "sent_at", rule, read) else { return };
    let drift = sent_at - findings.now();
    if drift.abs() > CLOCK_DRIFT {
        findings.add(place, format_args!("sent_at must be within 55 minutes of now, found {drift:.0} s away"));
    }
}

/// The dynamic sampling context. If Relay cannot parse it, all spans of the envelope are dropped.
fn check_trace_header(findings: &mut Findings, trace: &Map<String, Value>) {
    let place = Place::new("trace header");
    for (key, value) in trace.iter().filter(|(_, value)| !value.is_string()) {
        findings.add(&place, format_args!("{key} must be a string, found {}", findings::short(value)));
    }
    findings.expect(&place, trace, "trace_id", findings::TRACE_ID, findings::trace_id);
    let rule = "must be 32 ASCII characters";
    findings.expect(&place, trace, "public_key", rule, |value| value.as_str().filter(|key| is_public_key(key)));
    let rule = "must be a string that holds a JSON number of at least 0";
    findings.allow(&place, trace, "sample_rate", rule, |value| {
        let rate: serde_json::Number = serde_json::from_str(value.as_str()?).ok()?;
        rate.as_f64().filter(|rate| *rate >= 0.0)
    });
    let rule = "must be \"true\" or \"false\"";
    findings
        .allow(&place, trace, "sampled", rule, |value| value.as_str().filter(|text| matches!(*text, "true" | "false")));
    findings.allow(&place, trace, "replay_id", findings::UUID, findings::uuid);
}

/// Whether a text can be a DSN's public key for Relay.
pub(super) fn is_public_key(key: &str) -> bool {
    key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The public key and the project of a DSN.
pub(super) fn parse_dsn(dsn: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = dsn.split_once("://")?;
    let (user, address) = rest.split_once('@')?;
    let key = user.split_once(':').map_or(user, |(key, _secret)| key);
    let (host, project) = address.rsplit_once('/')?;
    let valid = matches!(scheme, "http" | "https") && is_public_key(key) && !host.is_empty();
    (valid && is_number(project)).then_some((key, project))
}

/// Whether a text can be a project id.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
