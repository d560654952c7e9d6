//! Spans of the queries of [`sqlx`] 0.9, on any of its databases.
//!
//! ```no_run
//! # async fn example() -> Result<(), sqlx::Error> {
//! # type PgPool = sqlx::Pool<sqlx::Postgres>;
//! let url = "postgres://app@localhost/shop";
//! let pool = span_integrations::sqlx::traced(PgPool::connect(url).await?).at(url);
//!
//! let mut transaction = pool.begin().await?;
//! sqlx::query("UPDATE item SET left = left - 1 WHERE id = $1").bind(42).execute(&mut transaction).await?;
//! transaction.commit().await?;
//! let left = sqlx::query("SELECT left FROM item").fetch_all(&pool).await?;
//! # drop(left);
//! # Ok(())
//! # }
//! ```
//!
//! # Invariant
//!
//! Queries, their arguments and their results are what they are without it. Outside of any span nothing is recorded.
//!
//! # Hook
//!
//! [`Executor`], around a [pool](Pool), a connection or a transaction: queries that are given `&pool`, `&mut connection` or
//! `&mut transaction` of here have spans, and also what begins and ends a transaction. A span begins when the query is first
//! polled and ends when its last row was read; on a pool it has the time in which it waits for a connection. A stream of rows
//! that is dropped before is cancelled.
//!
//! It does not see what is done on what is [inside](Traced::inner), such as migrations, nor the roll-back that a transaction owes when it
//! is dropped, which sqlx does with the next query.
//!
//! sqlx's `Executor` has one method more where its feature `macros` is on. It is therefore on with this module.
//!
//! # Attributes
//!
//! Each span is a child of the current one.
//!
//! | | |
//! | --- | --- |
//! | name | the query's text; `BEGIN`, `SAVEPOINT`, `COMMIT`, `ROLLBACK` of a transaction |
//! | `sentry.op`, `sentry.origin` | `db`, `auto.db.sqlx` |
//! | status | `error` where the database refuses the query or does not answer, and for a panic; `span.cancelled` where rows or answer were not waited for |
//! | `db.system.name` | `postgresql`, `sqlite`, `mysql` |
//! | `db.driver.name` | `sqlx` |
//! | `db.query.text` | the text with its placeholders, never a value that is bound; may be sensitive where values are written into it |
//! | `db.operation.name` | the word that it begins with |
//! | `db.response.returned_rows` | how many rows were read |
//! | `db.namespace`, `server.address`, `server.port`, `db.user` | from [the URL](Traced::at): sqlx has them, but tells them by its drivers' own types only |
//! | `error.type` | the code that the database gives, such as `23505`, or what kind of [`Error`] it is |

use std::borrow::Cow;
use std::fmt::Debug;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::sqlx::error::BoxDynError;
use ::sqlx::pool::PoolConnection;
use ::sqlx::{Connection, Describe, Either, Error, Execute, Executor, Pool, SqlSafeStr, SqlStr, Transaction};
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use span_runtime::{CurrentSpan, InSpanStream, InstrumentStream as _, Span, current_span, names, register_integration};

use crate::common::{Database, fail, observe};

const ORIGIN: &str = "auto.db.sqlx";
const NAME: &str = "sqlx";

/// Gives the queries on a pool or a connection spans: on a [`Pool`], a [`PoolConnection`], `&mut` a connection, a [`Transaction`].
///
/// ```
/// # async fn example(connection: &mut sqlx::SqliteConnection) -> Result<(), sqlx::Error> {
/// let mut connection = span_integrations::sqlx::traced(connection).at("sqlite:shop.db");
/// sqlx::query("SELECT 1").execute(&mut connection).await?;
/// # Ok(())
/// # }
/// ```
pub fn traced<T: Traceable>(inner: T) -> Traced<T> {
    register_integration(NAME);
    let name = <T::Database as ::sqlx::Database>::NAME;
    Traced { inner, database: Arc::new(Database::of(NAME, name.to_ascii_lowercase())) }
}

/// What has a database behind it; the argument of [`traced`].
pub trait Traceable {
    /// Which one.
    type Database: ::sqlx::Database;
}

impl<DB: ::sqlx::Database> Traceable for Pool<DB> {
    type Database = DB;
}

impl<DB: ::sqlx::Database> Traceable for PoolConnection<DB> {
    type Database = DB;
}

impl<DB: ::sqlx::Database> Traceable for Transaction<'_, DB> {
    type Database = DB;
}

impl<C: Connection> Traceable for &mut C {
    type Database = C::Database;
}

/// What is one connection, by itself or lent.
///
/// That it is an executor is said of [`Lent`](Self::Lent), not where `Executor` is implemented: there the compiler would look for it without
/// end in code that is generic over databases.
pub trait Connected: Traceable {
    /// The connection, for one query.
    type Lent<'l>: Executor<'l, Database = Self::Database>
    where
        Self: 'l;

    /// Lends the connection to a query.
    fn lend(&mut self) -> Self::Lent<'_>;

    /// The connection.
    fn connection(&mut self) -> &mut <Self::Database as ::sqlx::Database>::Connection;
}

macro_rules! connected {
    ([$($generic:tt)*] $connected:ty, $connection:ty) => {
        impl<$($generic)*> Connected for $connected
        where
            for<'i> &'i mut $connection: Executor<'i, Database = Self::Database>,
        {
            type Lent<'l>
                = &'l mut $connection
            where
                Self: 'l;

            fn lend(&mut self) -> &mut $connection {
                self
            }

            fn connection(&mut self) -> &mut $connection {
                self
            }
        }
    };
}
connected!([DB: ::sqlx::Database] PoolConnection<DB>, DB::Connection);
connected!([DB: ::sqlx::Database] Transaction<'_, DB>, DB::Connection);
connected!([C: Connection] &mut C, C);

/// A pool, a connection or a transaction whose queries have spans; made by [`traced`].
#[derive(Debug, Clone)]
pub struct Traced<T> {
    inner: T,
    database: Arc<Database>,
}

impl<T> Traced<T> {
    /// Says where the database is, by the URL that it was connected to. Its password and its parameters go nowhere.
    ///
    /// ```
    /// # fn example(pool: sqlx::Pool<sqlx::Postgres>) {
    /// let pool = span_integrations::sqlx::traced(pool).at("postgres://app:secret@db.example/shop");
    /// # }
    /// ```
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        let database = Database::of(NAME, self.database.system.clone()).at(url);
        Traced { database: Arc::new(database), ..self }
    }

    /// What is inside, whose queries have no spans.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// As [`inner`](Self::inner), to change it.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// As [`inner`](Self::inner), for good.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn same<U>(&self, inner: U) -> Traced<U> {
        Traced { inner, database: Arc::clone(&self.database) }
    }
}

impl<DB: ::sqlx::Database> Traced<Pool<DB>> {
    /// A connection, as [`Pool::acquire`] gives it; the wait has no span.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn acquire(&self) -> Result<Traced<PoolConnection<DB>>, Error> {
        Ok(self.same(self.inner.acquire().await?))
    }

    /// Begins a transaction, as [`Pool::begin`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin(&self) -> Result<Traced<Transaction<'static, DB>>, Error> {
        let begun = command(&self.database, "BEGIN", self.inner.begin()).await?;
        Ok(self.same(begun))
    }

    /// Begins a transaction by this statement, as [`Pool::begin_with`] does: SQLite with several connections wants `BEGIN IMMEDIATE`
    /// where a transaction writes what it has read.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin_with(&self, statement: impl SqlSafeStr) -> Result<Traced<Transaction<'static, DB>>, Error> {
        let statement = statement.into_sql_str();
        let begun = command(&self.database, statement.clone().as_str(), self.inner.begin_with(statement)).await?;
        Ok(self.same(begun))
    }
}

impl<T: Connected> Traced<T> {
    /// Begins a transaction, or inside of one a part of it that can be rolled back by itself, as [`Connection::begin`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin(&mut self) -> Result<Traced<Transaction<'_, T::Database>>, Error> {
        let connection = self.inner.connection();
        let name = if connection.is_in_transaction() { "SAVEPOINT" } else { "BEGIN" };
        let begun = command(&self.database, name, connection.begin()).await?;
        Ok(Traced { inner: begun, database: Arc::clone(&self.database) })
    }

    /// Begins a transaction by this statement, as [`Connection::begin_with`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin_with(
        &mut self,
        statement: impl SqlSafeStr,
    ) -> Result<Traced<Transaction<'_, T::Database>>, Error> {
        let (connection, statement) = (self.inner.connection(), statement.into_sql_str());
        let begun = command(&self.database, statement.clone().as_str(), connection.begin_with(statement)).await?;
        Ok(Traced { inner: begun, database: Arc::clone(&self.database) })
    }
}

impl<DB: ::sqlx::Database> Traced<Transaction<'_, DB>> {
    /// Commits it, as [`Transaction::commit`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn commit(self) -> Result<(), Error> {
        command(&self.database, "COMMIT", self.inner.commit()).await
    }

    /// Rolls it back, as [`Transaction::rollback`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn rollback(self) -> Result<(), Error> {
        command(&self.database, "ROLLBACK", self.inner.rollback()).await
    }
}

/// Runs what sqlx has a method for, in a span with this text.
async fn command<T>(database: &Database, text: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let span = database.query(ORIGIN, || text.to_owned());
    observe(span, work, |span, result| {
        if let Err(error) = result {
            fail(span, kind(error));
        }
    })
    .await
}

impl<'p, DB: ::sqlx::Database> Executor<'p> for &'_ Traced<Pool<DB>>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Fetched<'e, DB>
    where
        E: 'q + Execute<'q, DB>,
    {
        let query = Query::of(query);
        fetch::<DB>(&self.database, query.sql.clone(), self.inner.fetch_many(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        E: 'q + Execute<'q, DB>,
    {
        let query = Query::of(query);
        fetch_one(&self.database, query.sql.clone(), self.inner.fetch_optional(query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'p: 'e,
    {
        prepare(&self.database, sql.clone(), self.inner.prepare_with(sql, parameters))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'p: 'e,
    {
        self.inner.describe(sql)
    }
}

impl<'c, T> Executor<'c> for &'c mut Traced<T>
where
    T: Connected + Send + Debug,
{
    type Database = T::Database;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Fetched<'e, T::Database>
    where
        'c: 'e,
        E: 'q + Execute<'q, T::Database>,
    {
        let query = Query::of(query);
        fetch::<T::Database>(&self.database, query.sql.clone(), self.inner.lend().fetch_many(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<T::Database as ::sqlx::Database>::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, T::Database>,
    {
        let query = Query::of(query);
        fetch_one(&self.database, query.sql.clone(), self.inner.lend().fetch_optional(query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<T::Database as ::sqlx::Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<T::Database as ::sqlx::Database>::Statement, Error>>
    where
        'c: 'e,
    {
        prepare(&self.database, sql.clone(), self.inner.lend().prepare_with(sql, parameters))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<T::Database>, Error>>
    where
        'c: 'e,
    {
        self.inner.lend().describe(sql)
    }
}

/// What a query is made of: its text can be had by taking it apart only.
struct Query<DB: ::sqlx::Database> {
    sql: SqlStr,
    statement: Option<DB::Statement>,
    arguments: Option<Result<Option<DB::Arguments>, BoxDynError>>,
    is_persistent: bool,
}

impl<DB: ::sqlx::Database> Query<DB> {
    fn of<'q>(mut query: impl Execute<'q, DB>) -> Self {
        let (statement, arguments) = (query.statement().cloned(), query.take_arguments());
        let is_persistent = query.persistent();
        Query { sql: query.sql(), statement, arguments: Some(arguments), is_persistent }
    }
}

impl<DB: ::sqlx::Database> Execute<'_, DB> for Query<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}

/// What is read of a query: rows, and the end of each of its statements.
type Step<DB> = Either<<DB as ::sqlx::Database>::QueryResult, <DB as ::sqlx::Database>::Row>;
type Fetched<'e, DB> = BoxStream<'e, Result<Step<DB>, Error>>;

fn fetch<'e, DB: ::sqlx::Database>(database: &Arc<Database>, sql: SqlStr, steps: Fetched<'e, DB>) -> Fetched<'e, DB> {
    let made: Fetch<'e, DB> = Fetch::Made { database: Arc::clone(database), sql, steps };
    Box::pin(made)
}

fn fetch_one<'e, R: Send + 'e>(
    database: &Arc<Database>,
    sql: SqlStr,
    row: BoxFuture<'e, Result<Option<R>, Error>>,
) -> BoxFuture<'e, Result<Option<R>, Error>> {
    let database = Arc::clone(database);
    Box::pin(async move {
        let span = database.query(ORIGIN, || sql.as_str().to_owned());
        observe(span, row, |span, result| match result {
            Ok(row) => span.set_attribute(names::DB_RESPONSE_RETURNED_ROWS, u64::from(row.is_some())),
            Err(error) => fail(span, kind(error)),
        })
        .await
    })
}

fn prepare<'e, S: Send + 'e>(
    database: &Arc<Database>,
    sql: SqlStr,
    statement: BoxFuture<'e, Result<S, Error>>,
) -> BoxFuture<'e, Result<S, Error>> {
    let database = Arc::clone(database);
    Box::pin(async move {
        let span = database.query(ORIGIN, || sql.as_str().to_owned());
        observe(span, statement, |span, result| {
            span.set_attribute(names::DB_OPERATION_NAME, "PREPARE");
            if let Err(error) = result {
                fail(span, kind(error));
            }
        })
        .await
    })
}

/// What comes of a query, in a span that begins where it is first polled.
enum Fetch<'e, DB: ::sqlx::Database> {
    Made { database: Arc<Database>, sql: SqlStr, steps: Fetched<'e, DB> },
    Begun(Pin<Box<InSpanStream<Counted<'e, DB>>>>),
    Ended,
}

impl<DB: ::sqlx::Database> Unpin for Fetch<'_, DB> {}

impl<'e, DB: ::sqlx::Database> Fetch<'e, DB> {
    /// The stream, begun.
    fn begun(&mut self) -> Option<&mut Pin<Box<InSpanStream<Counted<'e, DB>>>>> {
        if let Fetch::Made { .. } = self
            && let Fetch::Made { database, sql, steps } = mem::replace(self, Fetch::Ended)
        {
            let span: Span = database.query(ORIGIN, || sql.as_str().to_owned());
            let is_recorded = span.is_sampled();
            *self = Fetch::Begun(Box::pin(Counted { steps, rows: 0, is_over: false, is_recorded }.in_span(span)));
        }
        match self {
            Fetch::Begun(stream) => Some(stream),
            _ => None,
        }
    }
}

impl<DB: ::sqlx::Database> Stream for Fetch<'_, DB> {
    type Item = Result<Step<DB>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = self.begun() else { return Poll::Ready(None) };
        let step = ready!(stream.as_mut().poll_next(context));
        if let Some(Err(_)) = step {
            // Few read on behind an error. It is the end, and the span is not one that was dropped half way.
            let _end = stream.as_mut().poll_next(context);
        }
        Poll::Ready(step)
    }
}

/// Counts the rows, for the current span.
struct Counted<'e, DB: ::sqlx::Database> {
    steps: Fetched<'e, DB>,
    rows: u64,
    is_over: bool,
    /// What is current behind a span that records nothing is another one.
    is_recorded: bool,
}

impl<DB: ::sqlx::Database> Unpin for Counted<'_, DB> {}

impl<DB: ::sqlx::Database> Stream for Counted<'_, DB> {
    type Item = Result<Step<DB>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let step = ready!(self.steps.as_mut().poll_next(context));
        match &step {
            Some(Ok(Either::Right(_))) => self.rows += 1,
            Some(Ok(Either::Left(_))) => {}
            Some(Err(error)) => self.end(|span, _| fail(span, kind(error))),
            None => self.end(|span, rows| span.set_attribute(names::DB_RESPONSE_RETURNED_ROWS, rows)),
        }
        Poll::Ready(step)
    }
}

impl<DB: ::sqlx::Database> Counted<'_, DB> {
    fn end(&mut self, tell: impl FnOnce(&CurrentSpan, u64)) {
        self.is_over = true;
        if self.is_recorded {
            tell(&current_span(), self.rows);
        }
    }
}

/// The code of the database, or the kind of error. Texts may quote values.
fn kind(error: &Error) -> Cow<'_, str> {
    let kind = match error {
        Error::Database(error) => return error.code().unwrap_or(Cow::Borrowed("database")),
        Error::Configuration(_) => "configuration",
        Error::Io(_) => "io",
        Error::Tls(_) => "tls",
        Error::Protocol(_) => "protocol",
        Error::Encode(_) => "encode",
        Error::Decode(_) | Error::ColumnDecode { .. } => "decode",
        Error::PoolTimedOut => "pool timed out",
        Error::PoolClosed => "pool closed",
        Error::WorkerCrashed => "worker crashed",
        Error::BeginFailed => "begin failed",
        Error::InvalidSavePointStatement => "invalid savepoint",
        _ => "other",
    };
    Cow::Borrowed(kind)
}
