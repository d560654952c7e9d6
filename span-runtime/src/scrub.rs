//! What of a span's texts leaves the process. (behaviour 37; sensitive data, Sentry's SDK documents)
//!
//! It runs where spans are written, on the flusher's thread, so that nothing that was recorded before gets past it.
//!
//! # Invariants
//!
//! 1. What is cleaned is clean: to clean it again changes nothing.
//! 2. A text in which there is nothing to clean is not copied.
//! 3. The time is linear in the length of the text.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions in texts, and lengths of texts, that are in memory; a suffix is no longer than its text"
)]

use std::borrow::Cow;

use crate::attributes::{List, Repr, Text, Value};
use crate::names;

/// What stands in the place of what was filtered.
const FILTERED: &str = "[Filtered]";

/// Words that make a key sensitive.
const WORDS: [&str; 27] = [
    "apikey",
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "csrf",
    "csrftoken",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "privatekey",
    "pwd",
    "saml",
    "secret",
    "secrets",
    "sessionid",
    "sso",
    "token",
    "xsrf",
    "xsrftoken",
    "accesskey",
];

/// Pairs of words that do.
const PAIRS: [[&str; 2]; 8] = [
    ["api", "key"],
    ["private", "key"],
    ["access", "key"],
    ["secret", "key"],
    ["signing", "key"],
    ["encryption", "key"],
    ["session", "id"],
    ["connection", "string"],
];

/// Filters secrets out of what is sent: the values of attributes whose key says that they are one, and, in all names and texts, the
/// credentials and the query values of URLs.
///
/// A key is sensitive if one of its words is: `http.request.header.authorization`, `user_password` and `apiKey` are, and
/// `gen_ai.usage.total_tokens` and `cache.key` are not.
///
/// ```
/// use span_runtime::{Options, Scrubber};
///
/// let options = Options::new().scrubber(Scrubber::new().deny("iban").allow("csrf.enabled"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    denied: Vec<String>,
    allowed: Vec<String>,
}

impl Scrubber {
    /// One that knows the words that passwords, tokens, cookies and their kin go by.
    pub fn new() -> Self {
        Self::default()
    }

    /// Filters the values of keys with this word as well. More than a word is an error from `init`: no key would be filtered.
    #[must_use]
    pub fn deny(mut self, word: impl Into<String>) -> Self {
        self.denied.push(word.into());
        self
    }

    /// Does not filter the values of this key; URLs in them still are.
    #[must_use]
    pub fn allow(mut self, key: impl Into<String>) -> Self {
        self.allowed.push(key.into());
        self
    }

    /// A denied word that no key can have, because it is none: `user.email` are two.
    pub(crate) fn idle_word(&self) -> Option<&str> {
        self.denied.iter().map(String::as_str).find(|denied| words(denied).ne([*denied]))
    }

    fn hides_key(&self, key: &str) -> bool {
        if key.starts_with(names::SENTRY) || self.allowed.iter().any(|allowed| allowed == key) {
            return false;
        }
        let mut before = "";
        words(key).any(|word| {
            let is = |sensitive: &str| sensitive.eq_ignore_ascii_case(word);
            let pair = |[first, second]: &[&str; 2]| first.eq_ignore_ascii_case(before) && is(second);
            let sensitive =
                WORDS.iter().any(|word| is(word)) || PAIRS.iter().any(pair) || self.denied.iter().any(|word| is(word));
            before = word;
            sensitive
        })
    }

    /// The arguments of a process, where keys and their values are `--key=value` or two arguments.
    fn clean_arguments(&self, arguments: &[Text]) -> Vec<String> {
        let mut is_value = false;
        let clean = arguments.iter().map(|argument| {
            let argument = argument.as_str();
            let was_value = is_value;
            // Also of what was taken for a value: `--sso --password x`.
            is_value = argument.starts_with('-') && !argument.contains('=') && self.hides_key(argument);
            match argument.split_once('=') {
                _ if was_value => FILTERED.to_owned(),
                Some((key, value)) if !value.is_empty() && !key.contains("://") && self.hides_key(key) => {
                    format!("{key}={FILTERED}")
                }
                _ => clean_urls(argument).into_owned(),
            }
        });
        clean.collect()
    }

    /// What is to be done with the values of a key.
    fn judge(&self, key: &str) -> Verdict {
        if self.hides_key(key) { Verdict::Hidden } else { Verdict::Shown(texts_of(key)) }
    }

    fn clean_value<'v>(&self, key: &str, value: &'v Value) -> Cow<'v, Value> {
        let verdict = self.judge(key);
        match &value.0 {
            // Whether there is one is no secret.
            Repr::Bool(_) => Cow::Borrowed(value),
            _ if verdict == Verdict::Hidden => Cow::Owned(Value::from_static(FILTERED)),
            Repr::Text(text) => match verdict.clean(text.as_str()) {
                Cow::Borrowed(_) => Cow::Borrowed(value),
                Cow::Owned(clean) => Cow::Owned(Value::of(clean)),
            },
            Repr::List(list) => match &**list {
                List::Texts(texts) if key == names::COMMAND_ARGS => Cow::Owned(Value::of(self.clean_arguments(texts))),
                List::Texts(texts) => {
                    let clean: Vec<Cow<'_, str>> = texts.iter().map(|text| verdict.clean(text.as_str())).collect();
                    if clean.iter().all(|text| matches!(text, Cow::Borrowed(_))) {
                        return Cow::Borrowed(value);
                    }
                    let clean: Vec<String> = clean.into_iter().map(Cow::into_owned).collect();
                    Cow::Owned(Value::of(clean))
                }
                _ => Cow::Borrowed(value),
            },
            _ => Cow::Borrowed(value),
        }
    }
}

/// What of a span's texts may be sent, by the options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Privacy<'a> {
    pub(crate) scrubber: Option<&'a Scrubber>,
    /// Whether attributes may be sent that say who somebody is.
    pub(crate) personal: bool,
}

impl Privacy<'_> {
    /// The value of an attribute as it may be sent; `None` if it is to be left out.
    pub(crate) fn clean<'v>(&self, key: &str, value: &'v Value) -> Option<Cow<'v, Value>> {
        if !self.personal && is_personal(key) {
            return None;
        }
        Some(self.scrubber.map_or(Cow::Borrowed(value), |scrubber| scrubber.clean_value(key, value)))
    }

    /// What is to be done with the values of a key, lists apart. It takes longer than to do it, and is always the same.
    pub(crate) fn judge(&self, key: &str) -> Verdict {
        if !self.personal && is_personal(key) {
            return Verdict::LeftOut;
        }
        self.scrubber.map_or(Verdict::AsItIs, |scrubber| scrubber.judge(key))
    }

    /// A name or another text as it may be sent.
    pub(crate) fn clean_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.scrubber.is_some() { clean_urls(text) } else { Cow::Borrowed(text) }
    }

    /// A name as it may be sent. One that is a URL's may be a path with a query behind it.
    pub(crate) fn clean_name<'t>(&self, name: &'t str, is_url: bool) -> Cow<'t, str> {
        if is_url && self.scrubber.is_some() && name.contains(['?', '#']) {
            Cow::Owned(clean_path(name))
        } else {
            self.clean_text(name)
        }
    }
}

/// Headers of a request that say which address somebody has.
const PERSONAL_HEADERS: [&str; 6] =
    ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip", "x-client-ip"];

/// Whether an attribute says who a user is or which address they have; sent only with `send_default_pii`.
fn is_personal(key: &str) -> bool {
    let header = |key: &str| {
        let same = |known: &str| {
            known.len() == key.len()
                && known.bytes().zip(key.bytes()).all(|(a, b)| a == b.to_ascii_lowercase() || a == b'-' && b == b'_')
        };
        PERSONAL_HEADERS.iter().any(|known| same(known))
    };
    names::PERSONAL.contains(&key)
        || names::PERSONAL_FAMILIES.iter().any(|family| key.starts_with(family))
        || key.strip_prefix(names::REQUEST_HEADER).is_some_and(header)
}

/// The words of a key: what stands between signs, and what begins with a capital behind a small letter.
fn words(key: &str) -> impl Iterator<Item = &str> {
    let mut rest = key;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|character: char| !character.is_alphanumeric());
        let mut small = false;
        let end = rest.find(|character: char| {
            let ends = !character.is_alphanumeric() || small && character.is_uppercase();
            small = character.is_lowercase();
            ends
        });
        // Where a character begins.
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

/// What is to be done with the values of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are not sent, and neither is the key.
    LeftOut,
    /// They are not sent; that there is one is.
    Hidden,
    /// They are sent; their texts are cleaned.
    Shown(Texts),
    /// They are sent.
    AsItIs,
}

impl Verdict {
    /// A text as it may be sent.
    #[inline]
    pub(crate) fn clean(self, text: &str) -> Cow<'_, str> {
        match self {
            Verdict::LeftOut | Verdict::Hidden => Cow::Borrowed(FILTERED),
            Verdict::Shown(Texts::Query) if !text.is_empty() => Cow::Owned(clean_query_text(text)),
            Verdict::Shown(Texts::Path) if text.contains(['?', '#']) => Cow::Owned(clean_path(text)),
            Verdict::Shown(_) => clean_urls(text),
            Verdict::AsItIs => Cow::Borrowed(text),
        }
    }
}

/// What the text of an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// A query string by itself.
    Query,
    /// A URL, or the part of one behind the host.
    Path,
    /// Any text; there may be URLs in it.
    Any,
}

fn texts_of(key: &str) -> Texts {
    if names::QUERIES.contains(&key) {
        Texts::Query
    } else if names::URLS.contains(&key) {
        Texts::Path
    } else {
        Texts::Any
    }
}

/// Where what could be a URL has its `://`. Most texts have no colon, which is seen faster than the rest.
#[inline]
fn first_url(text: &str) -> Option<usize> {
    if text.as_bytes().contains(&b':') { text.find("://") } else { None }
}

/// Cleans all URLs in a text.
fn clean_urls(text: &str) -> Cow<'_, str> {
    let Some(first) = first_url(text) else { return Cow::Borrowed(text) };
    let mut clean = String::with_capacity(text.len() + FILTERED.len());
    let (before, mut rest) = text.split_at(first);
    clean.push_str(before);
    // `rest` begins with `://`.
    loop {
        let next = rest.get(3..).and_then(|rest| rest.find("://")).map_or(rest.len(), |at| at + 3);
        let head = rest.get(..next).unwrap_or(rest);
        let end = match head.find(ends_url) {
            Some(end) => end,
            // A URL within the query of another is part of that query; anything else that looks like two is cut there.
            None if head.contains(['?', '#']) => rest.find(ends_url).unwrap_or(rest.len()),
            None => next,
        };
        let (url, behind) = rest.split_at(end);
        clean_url(&mut clean, url);
        match behind.find("://") {
            None => {
                clean.push_str(behind);
                break;
            }
            Some(at) => {
                let (between, next) = behind.split_at(at);
                clean.push_str(between);
                rest = next;
            }
        }
    }
    if clean == text { Cow::Borrowed(text) } else { Cow::Owned(clean) }
}

/// Whether a character ends a URL in running text.
fn ends_url(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>' | '`' | '{' | '}' | '|' | '\\')
}

/// Cleans what follows the scheme of one URL, `://` and all.
fn clean_url(clean: &mut String, url: &str) {
    clean.push_str("://");
    let rest = url.get(3..).unwrap_or_default();
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            clean.push_str(FILTERED);
            if user.contains(':') {
                clean.push(':');
                clean.push_str(FILTERED);
            }
            clean.push('@');
            clean.push_str(host);
        }
        None => clean.push_str(authority),
    }
    clean_tail(clean, tail);
}

/// Cleans the query and the fragment behind a path.
fn clean_tail(clean: &mut String, tail: &str) {
    let (rest, fragment) = match tail.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (tail, None),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    clean.push_str(path);
    if let Some(query) = query {
        clean.push('?');
        clean_query(clean, query);
    }
    if let Some(fragment) = fragment {
        clean.push('#');
        // OAuth hands tokens over in one.
        if fragment.contains('=') { clean_query(clean, fragment) } else { clean.push_str(fragment) }
    }
}

/// Cleans `a=1&b=2`: keys stay.
fn clean_query(clean: &mut String, query: &str) {
    for (at, piece) in query.split('&').enumerate() {
        if at > 0 {
            clean.push('&');
        }
        let (key, value) = piece.split_once('=').map_or(("", piece), |(key, value)| (key, value));
        if piece.len() > value.len() {
            clean.push_str(key);
            clean.push('=');
        }
        if !value.is_empty() {
            clean.push_str(FILTERED);
        }
    }
}

/// Cleans a query string by itself, with its sign or without.
fn clean_query_text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let query = text.strip_prefix(['?', '#']).unwrap_or(text);
    clean.push_str(text.get(..text.len() - query.len()).unwrap_or_default());
    clean_query(&mut clean, query);
    clean
}

/// Cleans a URL, or what is behind the host of one.
fn clean_path(text: &str) -> String {
    if text.contains("://") {
        return clean_urls(text).into_owned();
    }
    let mut clean = String::with_capacity(text.len());
    clean_tail(&mut clean, text);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 37
    #[test]
    fn keys() {
        let scrubber = Scrubber::new().deny("iban").allow("csrf.enabled");
        for hidden in [
            "password",
            "db.password",
            "user_password",
            "userPassword",
            "PASSWORD",
            "http.request.header.authorization",
            "http.request.header.set-cookie",
            "http.request.header.x-api-key",
            "apiKey",
            "api_key",
            "aws.secret_access_key",
            "X-CSRF-Token",
            "session.id",
            "sessionId",
            "oauth.token",
            "customer.iban",
            "auth",
            "jwt",
            "privateKey",
        ] {
            assert!(scrubber.hides_key(hidden), "{hidden}");
        }
        for shown in [
            "",
            "order.id",
            "gen_ai.usage.total_tokens",
            "cache.key",
            "db.key",
            "author",
            "sentry.token",
            "csrf.enabled",
            "key",
            "tokenizer",
            "session_count",
            "compass",
            "http.route",
        ] {
            assert!(!scrubber.hides_key(shown), "{shown}");
        }
    }

    // behaviour 37
    #[test]
    fn urls_in_texts() {
        for (text, expected) in [
            (
                "GET https://user:pw@host:8/a/b?x=1&y=#top",
                "GET https://[Filtered]:[Filtered]@host:8/a/b?x=[Filtered]&y=#top",
            ),
            ("postgres://app@db/shop", "postgres://[Filtered]@db/shop"),
            ("https://h/a?token", "https://h/a?[Filtered]"),
            ("https://h/a?", "https://h/a?"),
            ("https://h/#access_token=1&state=2", "https://h/#access_token=[Filtered]&state=[Filtered]"),
            ("https://h?next=https://u:p@i?a=b c", "https://h?next=[Filtered] c"),
            ("a://b?c=d e://f@g, \"h://i?j\" k", "a://b?c=[Filtered] e://[Filtered]@g, \"h://i?[Filtered]\" k"),
            ("http://@@@", "http://[Filtered]@"),
            ("http://h/mail@example", "http://h/mail@example"),
            ("://u:p@é/ü?é=ü", "://[Filtered]:[Filtered]@é/ü?é=[Filtered]"),
            ("a://b://u:p@c", "a://b://[Filtered]:[Filtered]@c"),
        ] {
            let clean = clean_urls(text);
            assert_eq!(clean, expected, "{text}");
            assert_eq!(clean_urls(&clean), expected, "to clean it again changes nothing");
        }
        for plain in ["", "SELECT 1", "https://h/a/b", "a?b=c", "://", "x://"] {
            assert!(matches!(clean_urls(plain), Cow::Borrowed(_)), "{plain}");
        }
        for long in ["://".repeat(100_000), "a://b?".repeat(100_000), format!("a://{}", "@".repeat(300_000))] {
            let clean = clean_urls(&long).into_owned();
            assert_eq!(clean_urls(&clean), clean);
        }
    }

    // behaviour 37
    #[test]
    fn values() {
        let scrubber = Scrubber::new();
        let clean = |key: &str, value: Value| scrubber.clean_value(key, &value).into_owned();
        let filtered = Value::of(FILTERED);
        assert_eq!(clean("password", Value::of("x")), filtered);
        assert_eq!(clean("password", Value::of(7)), filtered);
        assert_eq!(clean("password", Value::of(true)), Value::of(true), "whether there is one is no secret");
        assert_eq!(clean("tokens.token", Value::of(["a", "b"])), filtered);
        assert_eq!(clean("links", Value::of(["a", "h://u@i"])), Value::of(["a", "h://[Filtered]@i"]));
        assert_eq!(clean("url.query", Value::of("?a=1&b")), Value::of("?a=[Filtered]&[Filtered]"));
        assert_eq!(clean("url.fragment", Value::of("a=1")), Value::of("a=[Filtered]"));
        assert_eq!(clean("http.target", Value::of("/a?b=1")), Value::of("/a?b=[Filtered]"));
        assert_eq!(
            clean("db.query.text", Value::of("SELECT a FROM b WHERE c = ?")),
            Value::of("SELECT a FROM b WHERE c = ?")
        );
        for key in ["url.query", "http.target"] {
            let once = clean(key, Value::of("/x?a=1&b#c"));
            assert_eq!(clean(key, once.clone()), once);
        }
    }

    // behaviours 37, 39
    #[test]
    fn arguments() {
        let scrubber = Scrubber::new().deny("pin");
        for (arguments, clean) in [
            (&["shop", "--verbose", "-p", "80"][..], &["shop", "--verbose", "-p", "80"][..]),
            (&["--password=x=y", "TOKEN=x", "--token="], &["--password=[Filtered]", "TOKEN=[Filtered]", "--token="]),
            (&["--api-key", "a=b", "c=d"], &["--api-key", "[Filtered]", "c=d"]),
            (&["--pin", "1234", "5678"], &["--pin", "[Filtered]", "5678"]),
            (&["--sso", "--password", "x", "y"], &["--sso", "[Filtered]", "[Filtered]", "y"]),
            (&["--auth", "--password=x", "y"], &["--auth", "[Filtered]", "y"]),
            (
                &["https://u:p@h/?token=x", "--url=a://u@b"],
                &["https://[Filtered]:[Filtered]@h/?token=[Filtered]", "--url=a://[Filtered]@b"],
            ),
            (&["password", "x"], &["password", "x"]),
            (&["--password"], &["--password"]),
        ] {
            let cleaned = scrubber.clean_value(names::COMMAND_ARGS, &Value::of(arguments)).into_owned();
            assert_eq!(cleaned, Value::of(clean), "{arguments:?}");
            assert_eq!(scrubber.clean_value(names::COMMAND_ARGS, &cleaned).into_owned(), cleaned);
        }
    }

    // behaviour 37
    #[test]
    fn what_says_who_somebody_is_is_left_out() {
        let privacy = |personal| Privacy { scrubber: None, personal };
        let value = Value::of("x");
        for key in ["user.id", "user.email", "client.address", "http.request.header.X_Forwarded-For", "enduser.id"] {
            assert_eq!(privacy(false).clean(key, &value), None, "{key}");
            assert!(privacy(true).clean(key, &value).is_some(), "{key}");
        }
        for key in ["user_agent.original", "server.address", "username_length", "http.request.header.accept", "users"] {
            assert!(privacy(false).clean(key, &value).is_some(), "{key}");
        }
    }
}
