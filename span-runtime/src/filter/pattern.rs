//! Texts, globs and regular expressions.

use regex_lite::Regex;

/// A text to look for: as it is, as a glob, or as a regular expression.
///
/// Text as it is stands for all of a name in [`ignore_spans`](crate::Options::ignore_spans), and for any part of a URL in
/// [`trace_propagation_targets`](crate::Options::trace_propagation_targets), as in every SDK of Sentry.
///
/// ```
/// use span_runtime::{Options, Pattern};
///
/// let options = Options::new()
///     .ignore_spans(["GET /health"])
///     .ignore_spans([Pattern::glob("GET /static/*"), Pattern::regex(r"cache\.(get|put)")]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Glob,
    Regex,
}

impl Pattern {
    /// This text as it is. A `&str` or `String` can stand for it wherever a pattern is wanted.
    pub fn text(text: impl Into<String>) -> Self {
        Pattern { text: text.into(), kind: Kind::Text }
    }

    /// A glob: `*` stands for any number of characters, `?` for one; it is for the whole of a text.
    pub fn glob(glob: impl Into<String>) -> Self {
        Pattern { text: glob.into(), kind: Kind::Glob }
    }

    /// A regular expression, in the syntax of the crate `regex-lite`: for the whole of a name, or any part of a URL. One that cannot be
    /// read is an error from `init`.
    pub fn regex(regex: impl Into<String>) -> Self {
        Pattern { text: regex.into(), kind: Kind::Regex }
    }

    /// As it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Makes it ready for use, or says what is wrong with it.
    pub(crate) fn compile(&self, place: Where) -> Result<Matcher, String> {
        let regex = |text: &str| Regex::new(text).map_err(|error| error.to_string());
        match (self.kind, place) {
            (Kind::Text, _) => Ok(Matcher::Text(self.text.clone(), place)),
            (Kind::Glob, _) => regex(&glob(&self.text)).map(Matcher::Regex),
            (Kind::Regex, Where::Anywhere) => regex(&self.text).map(Matcher::Regex),
            // By itself first, so that a bracket too many is told of in the text that was given.
            (Kind::Regex, Where::Whole) => {
                regex(&self.text).and_then(|_| regex(&format!(r"\A(?:{})\z", self.text))).map(Matcher::Regex)
            }
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Pattern::text(text)
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Pattern::text(text)
    }
}

/// A glob as a regular expression.
fn glob(glob: &str) -> String {
    let mut regex = String::from(r"(?s)\A");
    for character in glob.chars() {
        match character {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            other => regex.push_str(&regex_lite::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(r"\z");
    regex
}

/// Where a pattern is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// It is all of the text.
    Whole,
    /// It is any part of the text.
    Anywhere,
}

/// A pattern that is ready for use.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    Text(String, Where),
    Regex(Regex),
}

impl Matcher {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Matcher::Text(wanted, Where::Whole) => text == wanted,
            Matcher::Text(wanted, Where::Anywhere) => text.contains(wanted.as_str()),
            Matcher::Regex(regex) => regex.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: impl Into<Pattern>, place: Where, text: &str) -> bool {
        pattern.into().compile(place).expect("it is well formed").matches(text)
    }

    // behaviour 35
    #[test]
    fn a_name_matches_as_a_whole() {
        let whole = |pattern: Pattern, text| matches(pattern, Where::Whole, text);
        assert!(whole("a.c".into(), "a.c") && !whole("a.c".into(), "abc") && !whole("a.c".into(), "xa.c"));
        assert!(whole(Pattern::glob("GET /s/*"), "GET /s/a/b\nc") && !whole(Pattern::glob("GET /s/*"), "xGET /s/a"));
        assert!(whole(Pattern::glob("a.?[1]"), "a.é[1]") && !whole(Pattern::glob("a.?[1]"), "abé1"));
        assert!(whole(Pattern::regex("a|bc"), "bc") && !whole(Pattern::regex("a|bc"), "abc"));
        assert!(!whole(Pattern::regex("a$"), "a\n"));
    }

    // behaviour 28
    #[test]
    fn a_target_matches_anywhere() {
        let anywhere = |pattern: Pattern, text| matches(pattern, Where::Anywhere, text);
        assert!(
            anywhere("example.com".into(), "https://api.example.com/x")
                && !anywhere("example.com".into(), "https://example.org")
        );
        assert!(anywhere(Pattern::regex("^https://.*/v[0-9]"), "https://a/v2/x") && anywhere("".into(), "https://a"));
        assert!(anywhere(Pattern::glob("https://*"), "https://a") && !anywhere(Pattern::glob("https://"), "https://a"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for place in [Where::Whole, Where::Anywhere] {
            assert!(Pattern::regex("a(").compile(place).is_err());
            assert!(Pattern::regex("a)|(b").compile(place).is_err());
        }
    }
}
