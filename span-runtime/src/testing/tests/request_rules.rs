//! The rules for the request around an envelope.

use std::time::Instant;

use super::{Draft, noon};
use crate::testing::{Request, request_rules};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn check(method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Vec<String> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body,
        arrived: noon(),
        arrived_instant: Instant::now(),
        connection: 0,
        keep_alive: true,
    };
    request_rules::check(&request).1
}

fn with_headers(headers: &[(&str, &str)]) -> Vec<String> {
    check("POST", "/api/42/envelope/", headers, Draft::spans(noon()).bytes())
}

fn auth() -> String {
    format!("Sentry sentry_version=7, sentry_client=span-runtime/0.1.0, sentry_key={KEY}")
}

#[test]
fn each_way_to_authenticate_passes() {
    let none: [&str; 0] = [];
    assert_eq!(with_headers(&[("X-Sentry-Auth", &auth())]), none);
    assert_eq!(with_headers(&[("authorization", &auth())]), none);
    assert_eq!(with_headers(&[("x-sentry-auth", &format!("sentry sentry_key={KEY}.flag"))]), none);
    // The base64 of the key and an empty password.
    let basic = "Basic MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY6";
    assert_eq!(with_headers(&[("Authorization", basic)]), none);
    let path = format!("/api/42/envelope/?sentry_key={KEY}&sentry_version=7");
    assert_eq!(check("POST", &path, &[], Draft::spans(noon()).bytes()), none);
}

#[test]
fn broken_authentication_is_found() {
    let found = |headers: &[(&str, &str)], expected: &str| assert_eq!(with_headers(headers), [expected]);
    found(&[], "http: must authenticate by X-Sentry-Auth, Authorization or a query with sentry_key, found none");
    found(
        &[("X-Sentry-Auth", &auth()), ("Authorization", &auth())],
        "http: must authenticate in one way, found X-Sentry-Auth and Authorization",
    );
    found(
        &[("X-Sentry-Auth", "Sentry sentry_key=abc")],
        "http: sentry_key in X-Sentry-Auth must have 32 ASCII characters, found \"abc\"",
    );
    found(
        &[("Authorization", "Basic ?")],
        "http: sentry_key in Authorization must have 32 ASCII characters, found \"\"",
    );
    found(
        &[("X-Sentry-Auth", &format!("{}, sentry_version=8", auth().replace("sentry_version=7, ", "")))],
        "http: sentry_version must be a number up to 7, found \"8\"",
    );
    found(
        &[("X-Sentry-Auth", &auth().replace("span-runtime", "sentry.relay"))],
        "http: sentry_client must not claim to be a Relay, found \"sentry.relay/0.1.0\"",
    );
}

#[test]
fn method_path_and_content_type_are_checked() {
    let body = || Draft::spans(noon()).bytes();
    let auth = auth();
    let auth = ("X-Sentry-Auth", auth.as_str());
    let none: [&str; 0] = [];
    let rule = "http: the path must be /api/<numeric project>/envelope/, found";
    assert_eq!(check("PUT", "/api/42/envelope/", &[auth], body()), ["http: the method must be POST, found \"PUT\""]);
    for path in ["/api/x/envelope/", "/api/42/envelope", "/api/42/store/", "/api//envelope/", "/", "http://proxied"] {
        assert_eq!(check("POST", path, &[auth], body()), [format!("{rule} {path:?}")]);
    }
    assert_eq!(check("POST", "http://proxied:80/api/42/envelope/", &[auth], body()), none);
    let type_ = |value| with_headers(&[auth, ("content-type", value)]);
    assert_eq!(type_("application/x-sentry-envelope; charset=utf-8"), none);
    assert_eq!(
        type_("application/json"),
        ["http: Content-Type must be application/x-sentry-envelope or left out, found \"application/json\""]
    );
}

#[test]
fn encodings_that_are_not_known_are_not_read() {
    let auth = auth();
    let auth = ("X-Sentry-Auth", auth.as_str());
    let read = if cfg!(feature = "gzip") { "plain and gzip bodies" } else { "plain bodies" };
    assert_eq!(
        with_headers(&[auth, ("Content-Encoding", "br")]),
        [format!("http: cannot decode br here: the receiver reads {read} only")]
    );
    assert_eq!(with_headers(&[auth, ("Content-Encoding", "identity")]), [""; 0]);
}

// behaviour 51
#[cfg(feature = "gzip")]
#[test]
fn gzip_is_read_if_it_is_gzip_and_nothing_else() {
    use std::io::Write as _;

    let auth = auth();
    let headers = [("X-Sentry-Auth", auth.as_str()), ("Content-Encoding", "gzip")];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&Draft::spans(noon()).bytes()).expect("to write to a Vec does not fail");
    let body = encoder.finish().expect("to write to a Vec does not fail");
    let checked = |body: &[u8]| check("POST", "/api/42/envelope/", &headers, body.to_vec());
    assert_eq!(checked(&body), [""; 0]);
    assert!(checked(&body[..body.len() / 2])[0].starts_with("http: the body must be gzip"));
    assert!(checked(b"{}\n")[0].starts_with("http: the body must be gzip"));
    let more = [&body[..], b"more"].concat();
    assert_eq!(checked(&more), ["http: the body must end with its gzip stream, and has 4 bytes after it"]);
}

#[test]
fn a_dsn_in_the_header_agrees_with_the_request() {
    let with_dsn = |dsn: &str| {
        let mut draft = Draft::spans(noon());
        draft.header["dsn"] = dsn.into();
        check("POST", "/api/42/envelope/", &[("X-Sentry-Auth", &auth())], draft.bytes())
    };
    assert_eq!(with_dsn(&format!("https://{KEY}@sentry.example/42")), [""; 0]);
    let other = "f".repeat(32);
    assert_eq!(
        with_dsn(&format!("https://{other}:secret@sentry.example:9000/7")),
        [
            format!("envelope header: dsn must have the key of the request, found {other:?}"),
            "envelope header: dsn must have the project of the request, found \"7\"".to_owned(),
        ]
    );
}
