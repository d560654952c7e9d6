//! Databases: where one is, and the spans of its queries.

use std::borrow::Cow;

use span_runtime::{Parent, Span, SpanBuilder, names};

use super::{Url, child, nothing};

/// A database, as the spans of its queries name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Database {
    /// The library that makes the queries.
    pub(crate) driver: &'static str,
    pub(crate) system: Cow<'static, str>,
    pub(crate) namespace: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
}

impl Database {
    /// One of this system, behind this library, of which nothing else is known.
    pub(crate) fn of(driver: &'static str, system: impl Into<Cow<'static, str>>) -> Self {
        Database { driver, system: system.into(), ..Database::default() }
    }

    /// Takes from a URL what it says of the database. Its password and its parameters are not looked at.
    pub(crate) fn at(self, url: &str) -> Self {
        let parts = Url::of(url);
        if parts.scheme.is_empty() || self.system == "sqlite" {
            return self.file(url);
        }
        let system_port = match &*self.system {
            "postgresql" => Some(5432),
            "mysql" => Some(3306),
            "redis" => Some(6379),
            _ => None,
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Database {
            namespace: some(parts.path.trim_start_matches('/')),
            address: some(parts.host),
            port: parts.port.or(system_port).filter(|_| !parts.host.is_empty()),
            user: user(url),
            ..self
        }
    }

    /// One that is a file, or in memory: `sqlite:shop.db?mode=ro`, `sqlite://shop.db`, `file:shop.db`, `shop.db`.
    fn file(self, url: &str) -> Self {
        let path = url.split('?').next().unwrap_or_default();
        let path = path.trim_start_matches("sqlite:").trim_start_matches("file:");
        let path = path.strip_prefix("//").unwrap_or(path);
        Database { namespace: (!path.is_empty()).then(|| path.to_owned()), ..self }
    }

    /// Begins a span, current nowhere, for a query with this text; outside of any span it records nothing, and `text` is not asked for.
    pub(crate) fn query(&self, origin: &'static str, text: impl FnOnce() -> String) -> Span {
        if !Parent::ONLY_CURRENT.may_record() {
            return nothing().inactive().start();
        }
        let text = text();
        let operation = operation(&text).map(|word| word.to_ascii_uppercase());
        let span = self.describe(child(text.clone(), "db", origin)).attribute(names::DB_QUERY_TEXT, text);
        span.attribute(names::DB_OPERATION_NAME, operation).inactive().start()
    }

    /// Adds what is known of the database.
    pub(crate) fn describe(&self, mut span: SpanBuilder) -> SpanBuilder {
        span =
            span.attribute(names::DB_SYSTEM_NAME, self.system.as_ref()).attribute(names::DB_DRIVER_NAME, self.driver);
        for (key, value) in [
            (names::DB_NAMESPACE, &self.namespace),
            (names::SERVER_ADDRESS, &self.address),
            (names::DB_USER, &self.user),
        ] {
            if let Some(value) = value {
                span = span.attribute(key, value.as_str());
            }
        }
        if let Some(port) = self.port {
            span = span.attribute(names::SERVER_PORT, u64::from(port));
        }
        span
    }
}

/// The name before the password and the host.
fn user(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (credentials, _) = authority.rsplit_once('@')?;
    credentials.split(':').next().filter(|user| !user.is_empty()).map(str::to_owned)
}

/// The word that a statement begins with, as it is written: `select`.
fn operation(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches(|sign: char| sign.is_whitespace() || sign == '(');
    // Comments before it are those of libraries that say where a query is from.
    while let Some(behind) = behind_comment(rest) {
        rest = behind.trim_start_matches(|sign: char| sign.is_whitespace() || sign == '(');
    }
    let end = rest.find(|sign: char| !sign.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|word| !word.is_empty())
}

fn behind_comment(text: &str) -> Option<&str> {
    if let Some(comment) = text.strip_prefix("--") {
        return Some(comment.split_once('\n').map_or("", |(_, behind)| behind));
    }
    let comment = text.strip_prefix("/*")?;
    Some(comment.split_once("*/").map_or("", |(_, behind)| behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 37
    #[test]
    fn urls_say_where_a_database_is_and_keep_the_password() {
        for (system, url, expected) in [
            ("postgresql", "postgres://app:p%40ss@db.example:5433/shop?sslmode=require", "shop db.example 5433 app"),
            ("postgresql", "postgresql://db.example/shop", "shop db.example 5432 -"),
            ("postgresql", "postgres:///shop", "shop - - -"),
            ("mysql", "mysql://root@127.0.0.1", "- 127.0.0.1 3306 root"),
            ("redis", "redis://:secret@[::1]/1", "1 ::1 6379 -"),
            ("sqlite", "sqlite://data/shop.db?mode=ro", "data/shop.db - - -"),
            ("sqlite", "sqlite::memory:", ":memory: - - -"),
            ("sqlite", "file:shop.db", "shop.db - - -"),
            ("sqlite", ":memory:", ":memory: - - -"),
            ("sqlite", "/var/shop.db", "/var/shop.db - - -"),
            ("sqlite", "", "- - - -"),
        ] {
            let database = Database::of("none", system).at(url);
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let port = or_none(database.port.map(|port| port.to_string()));
            let (namespace, address, user) = (database.namespace, database.address, database.user);
            let text = format!("{} {} {port} {}", or_none(namespace), or_none(address), or_none(user));
            assert_eq!(text, expected, "{url}");
        }
    }

    #[test]
    fn operations() {
        for (text, expected) in [
            ("SELECT 1", Some("SELECT")),
            ("\n  insert into a values (?)", Some("insert")),
            ("(select 1) union (select 2)", Some("select")),
            ("-- orders\nUPDATE a SET b = 1", Some("UPDATE")),
            ("/* a *//* b */ DELETE FROM a", Some("DELETE")),
            ("BEGIN;", Some("BEGIN")),
            ("/* no end", None),
            ("-- no end", None),
            ("42", None),
            ("", None),
        ] {
            assert_eq!(operation(text), expected, "{text}");
        }
    }
}
