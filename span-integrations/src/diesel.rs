//! Spans of the queries of [`diesel`] 2.3, on any of its databases.
//!
//! ```
//! // Before connections are made; nothing changes where queries are:
//! span_integrations::diesel::install()?;
//! # Ok::<(), diesel::result::Error>(())
//! ```
//!
//! # Invariant
//!
//! Queries and their results are what they are without it. No value that is bound to a query is recorded, nor formatted. Outside of any
//! span nothing is recorded.
//!
//! # Hook
//!
//! [`Instrumentation`], the default one of all connections or [that of one](spans). It hears where a connection is made, and where each query
//! begins and ends, one after the other on a connection, those that begin and end transactions as well. A query that gives rows ends
//! with its last row, or where these are dropped, which is no error. How many rows there were it does not hear. PostgreSQL gives all rows
//! at once, unless they are asked for row by row.
//!
//! What shows a query shows its values behind it. They are cut off by how diesel 2.3 separates them, which it does not promise to keep: so
//! no later minor version is taken.
//!
//! # Attributes
//!
//! Each span is a child of the current one.
//!
//! | | |
//! | --- | --- |
//! | name | the query's text, or `connect` |
//! | `sentry.op`, `sentry.origin` | `db`, `auto.db.diesel` |
//! | status | `error` where the database refuses the query or does not answer, and for a panic |
//! | `db.system.name` | `postgresql`, `mysql`, `sqlite`, by the URL; `other_sql` where there is none |
//! | `db.driver.name` | `diesel` |
//! | `db.query.text` | the text with its placeholders, never a value that is bound; may be sensitive where values are written into it |
//! | `db.operation.name` | the word that it begins with, or `CONNECT` |
//! | `db.namespace`, `server.address`, `server.port`, `db.user` | from the URL that the connection was made with; its password goes nowhere |
//! | `error.type` | what kind of error it is, such as `UniqueViolation` |

use std::fmt::{self, Write as _};
use std::thread;

use ::diesel::QueryResult;
use ::diesel::connection::{DebugQuery, Instrumentation, InstrumentationEvent, set_default_instrumentation};
use ::diesel::result::{ConnectionError, Error};
use span_runtime::{Parent, Span, Status, display, names, register_integration};

use crate::common::{Database, child};

const ORIGIN: &str = "auto.db.diesel";
const NAME: &str = "diesel";

/// What diesel writes between a query and its values.
const BINDS: &str = " -- binds: ";

/// Makes spans of the queries of all connections that are made from now on, in the place of the default instrumentation that there was.
///
/// ```
/// span_integrations::diesel::install()?;
/// # Ok::<(), diesel::result::Error>(())
/// ```
///
/// # Errors
///
/// Where something that was setting a default instrumentation has panicked.
pub fn install() -> QueryResult<()> {
    register_integration(NAME);
    set_default_instrumentation(|| Some(Box::new(spans())))
}

/// Makes spans of the queries of one connection, by its `set_instrumentation`.
///
/// ```
/// use diesel::Connection as _;
///
/// let url = "shop.db";
/// # let url = ":memory:";
/// let mut connection = diesel::SqliteConnection::establish(url)?;
/// connection.set_instrumentation(span_integrations::diesel::spans().at(url));
/// # Ok::<(), diesel::ConnectionError>(())
/// ```
pub fn spans() -> Spans {
    register_integration(NAME);
    Spans { database: Database::of(NAME, "other_sql"), open: None }
}

/// The instrumentation of a connection; made by [`spans`].
#[derive(Debug)]
pub struct Spans {
    database: Database,
    /// What the connection does.
    open: Option<Span>,
}

impl Spans {
    /// Says where the database is, by the URL that it was connected to, where the connection was made before.
    ///
    /// ```
    /// let spans = span_integrations::diesel::spans().at("postgres://app:secret@db.example/shop");
    /// # drop(spans);
    /// ```
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        self.database = database(url);
        self
    }

    fn connect(&mut self, url: &str) {
        self.database = database(url);
        // What asks for it has ended.
        self.open = None;
        if Parent::ONLY_CURRENT.may_record() {
            let span = self.database.describe(child("connect", "db", ORIGIN));
            self.open = Some(span.attribute(names::DB_OPERATION_NAME, "CONNECT").inactive().start());
        }
    }

    fn finish(&mut self, error: Option<&dyn fmt::Display>) {
        let Some(mut span) = self.open.take() else { return };
        if let Some(kind) = error {
            span.set_attribute(names::ERROR_TYPE, display(kind));
        }
        // Rows that are dropped by a panic are finished without an error.
        if error.is_some() || thread::panicking() {
            span.set_status(Status::Error);
        }
        span.end();
    }
}

impl Instrumentation for Spans {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => self.connect(url),
            InstrumentationEvent::FinishEstablishConnection { error, .. } => {
                self.finish(error.map(kind_of_connection).as_ref().map(|kind| kind as &dyn fmt::Display));
            }
            InstrumentationEvent::StartQuery { query, .. } => {
                self.open = Some(self.database.query(ORIGIN, || without_values(query)));
            }
            InstrumentationEvent::FinishQuery { error, .. } => {
                self.finish(error.map(kind).as_ref().map(|kind| kind as &dyn fmt::Display));
            }
            // Queries begin and end transactions, and have spans; what is cached is no operation.
            _ => {}
        }
    }
}

/// The database at a URL. A text of `key=value` pairs, which libpq takes too and which may have a password, is not looked into.
fn database(url: &str) -> Database {
    let (scheme, _) = url.split_once("://").unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" => Database::of(NAME, "postgresql").at(url),
        "mysql" => Database::of(NAME, "mysql").at(url),
        "" if is_pairs(url) => Database::of(NAME, "postgresql"),
        _ => Database::of(NAME, "sqlite").at(url),
    }
}

fn is_pairs(url: &str) -> bool {
    let key = url.trim_start().split('=').next().unwrap_or_default().trim_end();
    url.contains('=') && !key.is_empty() && key.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_')
}

/// A query's text.
fn without_values(query: &dyn DebugQuery) -> String {
    let mut text = UntilBinds(String::new());
    // It ends with an error where the values begin: that is how they are not even formatted.
    let _at_the_values = write!(text, "{query}");
    text.0
}

/// Takes text until the values of a query begin. A query that has the same sign in its text ends there: rather too little than a value.
struct UntilBinds(String);

impl fmt::Write for UntilBinds {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The sign may come in pieces.
        let mut from = self.0.len().saturating_sub(BINDS.len());
        while !self.0.is_char_boundary(from) {
            from -= 1;
        }
        self.0.push_str(text);
        let Some(at) = self.0[from..].find(BINDS) else { return Ok(()) };
        self.0.truncate(from + at);
        Err(fmt::Error)
    }
}

/// The kind of error. Texts may quote values.
fn kind(error: &Error) -> String {
    match error {
        Error::DatabaseError(kind, _) => format!("{kind:?}"),
        Error::QueryBuilderError(_) => "QueryBuilderError".to_owned(),
        Error::SerializationError(_) => "SerializationError".to_owned(),
        Error::DeserializationError(_) => "DeserializationError".to_owned(),
        Error::InvalidCString(_) => "InvalidCString".to_owned(),
        Error::NotFound => "NotFound".to_owned(),
        Error::RollbackTransaction => "RollbackTransaction".to_owned(),
        Error::AlreadyInTransaction => "AlreadyInTransaction".to_owned(),
        Error::NotInTransaction => "NotInTransaction".to_owned(),
        Error::BrokenTransactionManager => "BrokenTransactionManager".to_owned(),
        _ => "other".to_owned(),
    }
}

fn kind_of_connection(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::BadConnection(_) => "BadConnection",
        ConnectionError::InvalidConnectionUrl(_) => "InvalidConnectionUrl",
        ConnectionError::InvalidCString(_) => "InvalidCString",
        ConnectionError::CouldntSetupConfiguration(_) => "CouldntSetupConfiguration",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes these pieces; the last one must not be asked for.
    fn cut(pieces: &[&str]) -> String {
        let mut text = UntilBinds(String::new());
        let written = pieces.iter().try_for_each(|piece| text.write_str(piece));
        assert_eq!(written.is_err(), pieces.concat().contains(BINDS), "{pieces:?}");
        text.0
    }

    // behaviour 37
    #[test]
    fn texts_end_where_the_values_begin() {
        assert_eq!(cut(&["SELECT ?", " -- binds: ", "[1]"]), "SELECT ?");
        assert_eq!(cut(&["SELECT 'ü'", " -- bi", "nds: ", "[1]"]), "SELECT 'ü'");
        assert_eq!(cut(&["SELECT ' -- binds: ' || ?", " -- binds: ", "[1]"]), "SELECT '");
        assert_eq!(cut(&["BEGIN"]), "BEGIN");
        assert_eq!(cut(&["üüüüüüüüüüü", "ü"]), "üüüüüüüüüüüü");
        assert_eq!(cut(&[]), "");
    }

    #[test]
    fn systems_by_their_urls_and_passwords_of_none() {
        for (url, system, namespace) in [
            ("postgres://app:secret@db/shop", "postgresql", Some("shop")),
            ("host=db user=app password=secret dbname=shop", "postgresql", None),
            ("password = secret", "postgresql", None),
            ("mysql://app:secret@db/shop", "mysql", Some("shop")),
            ("shop.db", "sqlite", Some("shop.db")),
            ("file:shop.db?mode=ro", "sqlite", Some("shop.db")),
            (":memory:", "sqlite", Some(":memory:")),
        ] {
            let database = database(url);
            assert_eq!((&*database.system, database.namespace.as_deref()), (system, namespace), "{url}");
            assert!(!format!("{database:?}").contains("secret"), "{database:?}");
        }
    }
}
