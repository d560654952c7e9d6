//! The rules for the request around an envelope: method, path, authentication, encodings.

use std::borrow::Cow;

use super::findings::{Findings, Place, shorten};
use super::{Envelope, Request, header};

/// Checks a request and decodes its envelope; all broken rules, those of the body included.
pub(super) fn check(request: &Request) -> (Option<Envelope>, Vec<String>) {
    let mut findings = Findings::new(request.arrived);
    let place = Place::new("http");
    if request.method != "POST" {
        findings.add(&place, format_args!("the method must be POST, found {:?}", shorten(&request.method)));
    }
    let project = project(&request.path);
    if project.is_none() {
        let path = shorten(&request.path);
        findings.add(&place, format_args!("the path must be /api/<numeric project>/envelope/, found {path:?}"));
    }
    check_content_type(&mut findings, &place, request);
    let key = check_authentication(&mut findings, &place, request);

    let body = match decode(request) {
        Ok(body) => body,
        Err(words) => {
            findings.add(&place, words);
            return (None, findings.into_list());
        }
    };
    let envelope = match Envelope::parse_at(&body, request.arrived) {
        Ok(envelope) => {
            check_dsn(&mut findings, &envelope, key.as_deref(), project);
            Some(envelope)
        }
        Err(violations) => {
            let mut all = findings.into_list();
            all.extend(violations);
            return (None, all);
        }
    };
    (envelope, findings.into_list())
}

/// The body without its content encoding, or what is wrong with it.
fn decode(request: &Request) -> Result<Cow<'_, [u8]>, String> {
    let encodings: Vec<&str> = request.headers("content-encoding").filter(|encoding| !is_identity(encoding)).collect();
    match encodings[..] {
        [] => Ok(Cow::Borrowed(&request.body)),
        #[cfg(feature = "gzip")]
        [encoding] if encoding.eq_ignore_ascii_case("gzip") => gunzip(&request.body).map(Cow::Owned),
        _ => {
            let read = if cfg!(feature = "gzip") { "plain and gzip bodies" } else { "plain bodies" };
            Err(format!("cannot decode {} here: the receiver reads {read} only", encodings.join(", ")))
        }
    }
}

/// The longest body once it is decoded, as Relay has it.
#[cfg(feature = "gzip")]
const MAX_DECODED: u64 = 200 << 20;

#[cfg(feature = "gzip")]
fn gunzip(body: &[u8]) -> Result<Vec<u8>, String> {
    use std::io::Read as _;

    let mut decoded = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(body);
    decoder
        .by_ref()
        .take(MAX_DECODED + 1)
        .read_to_end(&mut decoded)
        .map_err(|error| format!("the body must be gzip, as its Content-Encoding says: {error}"))?;
    if decoded.len() as u64 > MAX_DECODED {
        return Err(format!("a body must have at most {MAX_DECODED} bytes once it is decoded"));
    }
    match decoder.into_inner() {
        [] => Ok(decoded),
        rest => Err(format!("the body must end with its gzip stream, and has {} bytes after it", rest.len())),
    }
}

/// Relay ignores these two.
fn is_identity(encoding: &str) -> bool {
    ["", "identity", "utf-8"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
}

/// The project in a target, which a client that takes us for its proxy sends with scheme and host.
fn project(target: &str) -> Option<&str> {
    let path = match target.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => target,
    };
    let path = path.split('?').next()?;
    let project = path.strip_prefix("/api/")?.strip_suffix("/envelope/")?;
    header::is_number(project).then_some(project)
}

fn check_content_type(findings: &mut Findings, place: &Place<'_>, request: &Request) {
    if let Some(given) = request.header("content-type") {
        let essence = given.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-sentry-envelope") {
            let given = shorten(given);
            findings.add(
                place,
                format_args!("Content-Type must be application/x-sentry-envelope or left out, found {given:?}"),
            );
        }
    }
}

/// Checks that there is exactly one kind of authentication and that it is sound; gives its key.
fn check_authentication(findings: &mut Findings, place: &Place<'_>, request: &Request) -> Option<String> {
    let mut kinds: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    for value in request.headers("x-sentry-auth") {
        kinds.push(("X-Sentry-Auth", sentry_pairs(value)));
    }
    for value in request.headers("authorization") {
        let pairs = basic_pairs(value).unwrap_or_else(|| sentry_pairs(value));
        kinds.push(("Authorization", pairs));
    }
    if let Some((_, query)) = request.path.split_once('?').filter(|(_, query)| query.contains("sentry_")) {
        kinds.push(("query", pairs(query, '&')));
    }
    let (kind, pairs) = match &kinds[..] {
        [one] => one,
        [] => {
            findings
                .add(place, "must authenticate by X-Sentry-Auth, Authorization or a query with sentry_key, found none");
            return None;
        }
        several => {
            let names: Vec<_> = several.iter().map(|(kind, _)| *kind).collect();
            findings.add(place, format_args!("must authenticate in one way, found {}", names.join(" and ")));
            return None;
        }
    };
    let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(version) = get("sentry_version") {
        if version.parse::<u16>().map_or(true, |version| version > 7) {
            findings.add(place, format_args!("sentry_version must be a number up to 7, found {:?}", shorten(version)));
        }
    }
    if let Some(client) = get("sentry_client").filter(|client| client.starts_with("sentry.relay/")) {
        findings.add(place, format_args!("sentry_client must not claim to be a Relay, found {:?}", shorten(client)));
    }
    let key = get("sentry_key").unwrap_or_default();
    // Relay allows flags after a dot.
    let bare = key.split_once('.').map_or(key, |(bare, _flag)| bare);
    if !header::is_public_key(bare) {
        findings
            .add(place, format_args!("sentry_key in {kind} must have 32 ASCII characters, found {:?}", shorten(key)));
        return None;
    }
    Some(bare.to_owned())
}

/// `Sentry k=v, k=v`; nothing if it is something else, so that its key is found missing.
fn sentry_pairs(value: &str) -> Vec<(String, String)> {
    match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sentry") => pairs(rest, ','),
        _ => Vec::new(),
    }
}

fn pairs(text: &str, separator: char) -> Vec<(String, String)> {
    let parts = text.split(separator).filter_map(|part| part.split_once('='));
    parts.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The user of basic authentication, which is the key.
fn basic_pairs(value: &str) -> Option<Vec<(String, String)>> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = decode_base64(encoded.trim()).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let user = decoded.split(':').next().unwrap_or_default();
    Some(vec![("sentry_key".to_owned(), user.to_owned())])
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        // At most 7 bits are held back, and 6 come: 13 of 32.
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// A DSN in the envelope header must agree with the request.
fn check_dsn(findings: &mut Findings, envelope: &Envelope, key: Option<&str>, project: Option<&str>) {
    let dsn = envelope.header.get("dsn").and_then(|dsn| dsn.as_str());
    let Some((dsn_key, dsn_project)) = dsn.and_then(header::parse_dsn) else { return };
    let place = Place::new("envelope header");
    if key.is_some_and(|key| key != dsn_key) {
        findings.add(&place, format_args!("dsn must have the key of the request, found {dsn_key:?}"));
    }
    if project.is_some_and(|project| project != dsn_project) {
        findings.add(&place, format_args!("dsn must have the project of the request, found {dsn_project:?}"));
    }
}
