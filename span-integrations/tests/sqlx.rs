//! Queries of sqlx, on SQLite and PostgreSQL.
#![cfg(feature = "sqlx")]
#![forbid(unsafe_code)]

mod databases;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures_core::stream::BoxStream;
use span_integrations::sqlx::{Traced, traced};
use span_runtime::{Instrument as _, names, start_span};
use span_tests::servers::Server;
use span_tests::{Harness, SOON};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection as _, Executor, PgConnection, PgPool, Row as _, SqliteConnection, SqlitePool};

use databases::{WHERE, block_on, panics, tree};

const SHOWN: [&str; 5] =
    [names::OP, names::DB_OPERATION_NAME, names::DB_RESPONSE_RETURNED_ROWS, names::ERROR_TYPE, names::CANCELLED];

/// A database in memory, with a table; what was done for that has no spans.
async fn sqlite() -> Traced<SqlitePool> {
    let options = SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(200));
    let pool = options.connect("sqlite::memory:").await.expect("there is memory");
    pool.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)").await.expect("it is SQL");
    traced(pool)
}

/// The URL of the server that the tests start.
fn url() -> Option<String> {
    Some(format!("postgres://app:secret@{}/postgres", Server::postgres()?.addr))
}

/// A pool of that server, whose tables are its own and gone with it, and the server's URL.
async fn postgres() -> Option<(Traced<PgPool>, String)> {
    let url = url()?;
    let create = "CREATE TEMPORARY TABLE item (id INTEGER PRIMARY KEY, name TEXT)";
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(SOON).connect(&url).await;
    let pool = pool.expect("the server is there");
    pool.execute(create).await.expect("it is SQL");
    Some((traced(pool).at(&url), url))
}

/// The next of a stream.
async fn next<T>(stream: &mut BoxStream<'_, T>) -> Option<T> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// The same work on any database.
macro_rules! shop {
    ($pool:expr) => {{
        let pool = $pool;
        let insert = "INSERT INTO item (id, name) VALUES ($1, $2)";
        // A pool.
        sqlx::query(insert).bind(1).bind("tea").execute(pool).await.expect("it is new");
        let rows = sqlx::query("SELECT id FROM item").fetch_all(pool).await.expect("there is a table");
        assert_eq!(rows.len(), 1);
        let none = sqlx::query("SELECT id FROM item WHERE id = $1").bind(7).fetch_optional(pool).await;
        assert!(none.expect("there is a table").is_none());
        // A transaction, one inside of it that is rolled back, and one that is.
        let mut transaction = pool.begin().await.expect("there is a connection");
        sqlx::query(insert).bind(2).bind("cup").execute(&mut transaction).await.expect("it is new");
        let mut inside = transaction.begin().await.expect("it is a savepoint");
        sqlx::query(insert).bind(3).bind("pot").execute(&mut inside).await.expect("it is new");
        inside.rollback().await.expect("it is open");
        transaction.commit().await.expect("it is open");
        let transaction = pool.begin().await.expect("there is a connection");
        transaction.rollback().await.expect("it is open");
        // A connection.
        let mut connection = pool.acquire().await.expect("there is a connection");
        let count =
            sqlx::query("select count(*) from item").fetch_one(&mut connection).await.expect("there is a table");
        assert_eq!(count.get::<i64, _>(0), 2);
    }};
}

/// What that makes.
const SHOP: [&str; 11] = [
    "INSERT INTO item (id, name) VALUES ($1, $2) sentry.op=\"db\" db.operation.name=\"INSERT\" db.response.returned_rows=0",
    "SELECT id FROM item sentry.op=\"db\" db.operation.name=\"SELECT\" db.response.returned_rows=1",
    "SELECT id FROM item WHERE id = $1 sentry.op=\"db\" db.operation.name=\"SELECT\" db.response.returned_rows=0",
    "BEGIN sentry.op=\"db\" db.operation.name=\"BEGIN\"",
    "INSERT INTO item (id, name) VALUES ($1, $2) sentry.op=\"db\" db.operation.name=\"INSERT\" db.response.returned_rows=0",
    "SAVEPOINT sentry.op=\"db\" db.operation.name=\"SAVEPOINT\"",
    "INSERT INTO item (id, name) VALUES ($1, $2) sentry.op=\"db\" db.operation.name=\"INSERT\" db.response.returned_rows=0",
    "ROLLBACK sentry.op=\"db\" db.operation.name=\"ROLLBACK\"",
    "COMMIT sentry.op=\"db\" db.operation.name=\"COMMIT\"",
    "BEGIN sentry.op=\"db\" db.operation.name=\"BEGIN\"",
    "ROLLBACK sentry.op=\"db\" db.operation.name=\"ROLLBACK\"",
];
const COUNT: &str =
    "select count(*) from item sentry.op=\"db\" db.operation.name=\"SELECT\" db.response.returned_rows=1";

#[test]
fn pools_connections_and_transactions_of_sqlite() {
    let harness = Harness::new();
    block_on(async { shop!(&sqlite().await) });
    assert_eq!(harness.text(&SHOWN), tree(&[&SHOP[..], &[COUNT]].concat()));
}

#[test]
fn a_transaction_may_begin_by_a_statement_of_its_own() {
    let harness = Harness::new();
    block_on(async {
        let pool = sqlite().await;
        pool.begin_with("BEGIN IMMEDIATE").await.expect("there is a connection").commit().await.expect("it is open");
        let mut connection = pool.acquire().await.expect("there is a connection");
        let mut transaction = connection.begin_with("BEGIN EXCLUSIVE").await.expect("nobody else has it");
        // Inside of a transaction there are savepoints only.
        assert!(transaction.begin_with("BEGIN").await.is_err());
        transaction.rollback().await.expect("it is open");
    });
    let shown = ["db.operation.name", "error.type"];
    let expected = "\
request
  BEGIN IMMEDIATE db.operation.name=\"BEGIN\"
  COMMIT db.operation.name=\"COMMIT\"
  BEGIN EXCLUSIVE db.operation.name=\"BEGIN\"
  BEGIN [error] db.operation.name=\"BEGIN\" error.type=\"invalid savepoint\"
  ROLLBACK db.operation.name=\"ROLLBACK\"
";
    assert_eq!(harness.text(&shown), expected);
}

#[test]
fn pools_connections_and_transactions_of_postgresql() {
    let harness = Harness::new();
    let is_there = block_on(async {
        let Some((pool, _)) = postgres().await else { return false };
        shop!(&pool);
        true
    });
    let text = harness.text(&SHOWN);
    if is_there {
        assert_eq!(text, tree(&[&SHOP[..], &[COUNT]].concat()));
    }
}

// behaviours 37, 38
#[test]
fn spans_say_where_the_database_is_and_no_value() {
    let harness = Harness::new();
    let port = block_on(async {
        let sqlite = sqlite().await.at("sqlite:data/shop.db?mode=rw");
        sqlx::query("SELECT $1").bind("bound").execute(&sqlite).await.expect("it is SQL");
        let (pool, url) = postgres().await?;
        sqlx::query("SELECT $1").bind("bound").execute(&pool).await.expect("it is SQL");
        url.split([':', '/']).find(|part| part.parse::<u16>().is_ok()).map(str::to_owned)
    });
    let spans = harness.finish();
    let text = span_runtime::testing::Tree::new(&spans).attributes(&WHERE).to_string();
    let sqlite = "SELECT $1 sentry.origin=\"auto.db.sqlx\" db.system.name=\"sqlite\" db.driver.name=\"sqlx\" db.query.text=\"SELECT $1\" \
        db.namespace=\"data/shop.db\"";
    let host = spans[0].text(names::SERVER_ADDRESS).expect("all spans have one").to_owned();
    let text =
        text.replace(&format!(" server.address=\"{host}\""), "").replace("request sentry.origin=\"manual\"", "request");
    let mut expected = vec![sqlite.to_owned()];
    expected.extend(port.map(|port| {
        format!(
            "SELECT $1 sentry.origin=\"auto.db.sqlx\" db.system.name=\"postgresql\" db.driver.name=\"sqlx\" db.query.text=\"SELECT $1\" \
             db.namespace=\"postgres\" server.address=\"127.0.0.1\" server.port={port} db.user=\"app\""
        )
    }));
    assert_eq!(text, tree(&expected.iter().map(String::as_str).collect::<Vec<_>>()));
    let told = format!("{spans:?}");
    assert!(!told.contains("bound") && !told.contains("secret"), "{told}");
}

#[test]
fn errors_of_the_database_have_its_code() {
    let harness = Harness::new();
    let with_postgres = block_on(async {
        let insert = "INSERT INTO item (id) VALUES (1)";
        let pool = sqlite().await;
        sqlx::query(insert).execute(&pool).await.expect("it is new");
        sqlx::query(insert).execute(&pool).await.expect_err("it is there");
        sqlx::query("SELECT").fetch_optional(&pool).await.expect_err("it is no SQL");
        let missing = sqlx::query("SELECT id FROM item WHERE id = 7").fetch_one(&pool).await;
        assert!(matches!(missing, Err(sqlx::Error::RowNotFound)), "which is no fault of the query");
        let held = pool.acquire().await.expect("there is one");
        let waited = sqlx::query("SELECT 1").fetch_all(&pool).await;
        assert!(matches!(waited, Err(sqlx::Error::PoolTimedOut)), "it waits for the one that is held");
        drop(held);
        let Some((pool, _)) = postgres().await else { return false };
        sqlx::query(insert).execute(&pool).await.expect("it is new");
        sqlx::query(insert).execute(&pool).await.expect_err("it is there");
        true
    });
    let insert = "INSERT INTO item (id) VALUES (1)";
    let first = format!("{insert} db.response.returned_rows=0");
    let (twice, twice_in_postgres) =
        (format!("{insert} [error] error.type=\"1555\""), format!("{insert} [error] error.type=\"23505\""));
    let mut expected = vec![
        &*first,
        &*twice,
        "SELECT [error] error.type=\"1\"",
        "SELECT id FROM item WHERE id = 7 db.response.returned_rows=0",
        "SELECT 1 [error] error.type=\"pool timed out\"",
    ];
    if with_postgres {
        expected.extend([&*first, &*twice_in_postgres]);
    }
    let shown = [names::DB_RESPONSE_RETURNED_ROWS, names::ERROR_TYPE, names::CANCELLED];
    assert_eq!(harness.text(&shown), tree(&expected));
}

#[test]
fn streams_and_prepared_statements() {
    let harness = Harness::new();
    block_on(async {
        let pool = sqlite().await;
        {
            let mut rows = sqlx::query("SELECT 1 UNION SELECT 2").fetch(&pool);
            while let Some(row) = next(&mut rows).await {
                row.expect("it is SQL");
            }
            assert!(next(&mut rows).await.is_none(), "it stays at its end");
        }
        let mut connection = pool.acquire().await.expect("there is a connection");
        let statement = (&mut connection).prepare("SELECT $1 + 1".into_sql()).await.expect("it is SQL");
        let query = sqlx::Statement::query(&statement).bind(41);
        assert_eq!(query.fetch_one(&mut connection).await.expect("it is SQL").get::<i64, _>(0), 42);
        let query = sqlx::query("SELECT $1").bind(7).persistent(false);
        query.execute(&mut connection).await.expect("it is SQL");
    });
    let expected = [
        "SELECT 1 UNION SELECT 2 db.operation.name=\"SELECT\" db.response.returned_rows=2",
        "SELECT $1 + 1 db.operation.name=\"PREPARE\"",
        "SELECT $1 + 1 db.operation.name=\"SELECT\" db.response.returned_rows=1",
        "SELECT $1 db.operation.name=\"SELECT\" db.response.returned_rows=1",
    ];
    assert_eq!(harness.text(&SHOWN[1..]), tree(&expected));
}

/// A text that sqlx takes.
trait IntoSql {
    fn into_sql(self) -> sqlx::SqlStr;
}

impl IntoSql for &'static str {
    fn into_sql(self) -> sqlx::SqlStr {
        sqlx::SqlStr::from_static(self)
    }
}

#[test]
fn what_is_dropped_half_way_is_cancelled() {
    let harness = Harness::new();
    let with_postgres = block_on(async {
        let pool = sqlite().await;
        {
            let mut rows = sqlx::query("SELECT 1 UNION SELECT 2").fetch(&pool);
            assert!(next(&mut rows).await.is_some());
        }
        // One that is never polled makes no span.
        drop(sqlx::query("SELECT 3").fetch(&pool));
        drop(sqlx::query("SELECT 4").fetch_optional(&pool));
        let Some((pool, _)) = postgres().await else { return false };
        let sleep = sqlx::query("SELECT pg_sleep(600)").execute(&pool);
        assert!(tokio::time::timeout(Duration::from_millis(50), sleep).await.is_err(), "it takes ten minutes");
        true
    });
    let mut expected = vec!["SELECT 1 UNION SELECT 2 span.cancelled=true"];
    if with_postgres {
        expected.push("SELECT pg_sleep(600) span.cancelled=true");
    }
    assert_eq!(harness.text(&[names::CANCELLED, names::DB_RESPONSE_RETURNED_ROWS]), tree(&expected));
}

/// The same faults by any executor.
macro_rules! faults {
    ($executor:expr) => {{
        {
            let mut rows = sqlx::query("SELECT 1 UNION SELECT 2").fetch($executor);
            assert!(next(&mut rows).await.is_some());
        }
        let reads = sqlx::query("SELECT 1").map(|_| -> i64 { panic!("on purpose") });
        assert!(panics(reads.fetch_all($executor)).await);
        sqlx::query("SELECT nothing").execute($executor).await.expect_err("there is no such column");
    }};
}

/// ... on a pool, on a connection of it and in a transaction of that.
macro_rules! faults_everywhere {
    ($pool:expr) => {{
        let pool = $pool;
        faults!(pool);
        let mut connection = pool.acquire().await.expect("there is one");
        faults!(&mut connection);
        let mut transaction = connection.begin().await.expect("there is none yet");
        faults!(&mut transaction);
        transaction.rollback().await.expect("it is open");
    }};
}

/// What the faults make, where the database calls an unknown column so.
fn faults(code: &str) -> String {
    let once = [
        "SELECT 1 UNION SELECT 2 sentry.op=\"db\" db.operation.name=\"SELECT\" span.cancelled=true".to_owned(),
        // The panic drops the rest of the rows.
        "SELECT 1 [error] sentry.op=\"db\" db.operation.name=\"SELECT\" span.cancelled=true".to_owned(),
        format!("SELECT nothing [error] sentry.op=\"db\" db.operation.name=\"SELECT\" error.type=\"{code}\""),
    ];
    let command = |name: &str| vec![format!("{name} sentry.op=\"db\" db.operation.name=\"{name}\"")];
    let all = [once.to_vec(), once.to_vec(), command("BEGIN"), once.to_vec(), command("ROLLBACK")].concat();
    tree(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn faults_on_pools_connections_and_transactions_of_sqlite() {
    let harness = Harness::new();
    block_on(async { faults_everywhere!(&sqlite().await) });
    assert_eq!(harness.text(&SHOWN), faults("1"));
}

#[test]
fn faults_on_pools_connections_and_transactions_of_postgresql() {
    let harness = Harness::new();
    let is_there = block_on(async {
        let Some((pool, _)) = postgres().await else { return false };
        faults_everywhere!(&pool);
        true
    });
    let text = harness.text(&SHOWN);
    if is_there {
        assert_eq!(text, faults("42703"));
    }
}

#[test]
fn what_takes_too_long_by_the_databases_own_limits() {
    let harness = Harness::new();
    let with_postgres = block_on(async {
        let file = File(std::env::temp_dir().join(format!("span-sqlx-{}.db", std::process::id())));
        let options = SqliteConnectOptions::new().filename(&file.0).create_if_missing(true);
        let options = options.busy_timeout(Duration::from_millis(50));
        let mut one = SqliteConnection::connect_with(&options).await.expect("there is room");
        let mut two = SqliteConnection::connect_with(&options).await.expect("there is room");
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut one).await.expect("nobody else has it");
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut traced(&mut two)).await.expect_err("the other one has it");
        let Some((pool, _)) = postgres().await else { return false };
        let mut connection = pool.acquire().await.expect("there is one");
        sqlx::query("SET statement_timeout = 50").execute(&mut connection).await.expect("it is SQL");
        sqlx::query("SELECT pg_sleep(600)").execute(&mut connection).await.expect_err("it takes ten minutes");
        let waits = sqlx::query("SELECT 1").execute(&pool);
        assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err(), "there is no other connection");
        true
    });
    let mut expected = vec!["BEGIN EXCLUSIVE [error] error.type=\"5\""];
    if with_postgres {
        expected.extend([
            "SET statement_timeout = 50 db.response.returned_rows=0",
            "SELECT pg_sleep(600) [error] error.type=\"57014\"",
            "SELECT 1 span.cancelled=true",
        ]);
    }
    assert_eq!(harness.text(&SHOWN[2..]), tree(&expected));
}

/// A database in a file, which is removed.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _there = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_panic_over_a_row() {
    let harness = Harness::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        block_on(async {
            let pool = sqlite().await;
            let reads = sqlx::query("SELECT 1").map(|_: sqlx::sqlite::SqliteRow| -> i64 { panic!("on purpose") });
            reads.fetch_all(&pool).await
        })
    }));
    assert!(panicked.is_err());
    let text = harness.text(&[]);
    assert_eq!(text, "request [error]\n  SELECT 1 [error]\n");
}

/// A request of its own, with two queries.
macro_rules! request {
    ($pool:expr, $name:expr, $query:expr) => {{
        let (pool, name, query): (_, &'static str, &'static str) = ($pool, $name, $query);
        let work = async move {
            for _ in 0..2 {
                sqlx::query(query).execute(&pool).await.expect("it is SQL");
            }
        };
        work.in_span(start_span(name).inactive().start())
    }};
}

/// Requests at once, on any database.
macro_rules! at_once {
    ($pool:expr) => {{
        let pool = $pool;
        // On one task, and on two.
        tokio::join!(request!(pool.clone(), "one", "SELECT 1"), request!(pool.clone(), "two", "SELECT 2"));
        let (three, four) = (
            tokio::spawn(request!(pool.clone(), "three", "SELECT 3").in_current_span()),
            tokio::spawn(request!(pool.clone(), "four", "SELECT 4").in_current_span()),
        );
        three.await.expect("it does not panic");
        four.await.expect("it does not panic");
        // Of one request, at the same time.
        let (five, six) = (sqlx::query("SELECT 5").execute(&pool), sqlx::query("SELECT 6").execute(&pool));
        let (five, six) = tokio::join!(five, six);
        five.and(six).expect("it is SQL");
    }};
}

fn check_at_once(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for (name, query) in [("one", "1"), ("two", "2"), ("three", "3"), ("four", "4")] {
        let at = lines.iter().position(|line| line.trim() == name).expect("it was sent");
        let query = format!("    SELECT {query}");
        assert_eq!(lines[at + 1..=at + 2], [&*query, &*query], "{text}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("  S")).count(), 2, "{text}");
    assert_eq!(lines.len(), 15, "{text}");
}

#[test]
fn two_requests_at_once_have_their_own_queries() {
    let harness = Harness::new();
    block_on(async { at_once!(sqlite().await) });
    check_at_once(&harness.text(&[]));
}

#[test]
fn two_requests_at_once_have_their_own_queries_of_postgresql() {
    let harness = Harness::new();
    let is_there = block_on(async {
        let Some(url) = url() else { return false };
        let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(SOON).connect(&url).await;
        at_once!(traced(pool.expect("the server is there")));
        true
    });
    let text = harness.text(&[]);
    if is_there {
        check_at_once(&text);
    }
}

/// Queries on two threads, each with a connection of this kind.
macro_rules! on_two_threads {
    ($connection:ty, $url:expr) => {{
        let harness = Harness::new();
        let url: &str = $url;
        let worker = |name: &'static str| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is one thread");
            let work = async {
                let mut connection = <$connection>::connect(url).await.expect("the database is there");
                let mut connection = traced(&mut connection);
                sqlx::query("SELECT 1").execute(&mut connection).await.expect("it is SQL");
            };
            runtime.block_on(work.in_span(start_span(name).inactive().start()));
        };
        let request = start_span("request").start();
        std::thread::scope(|scope| {
            for name in ["one", "two"] {
                let context = span_runtime::Context::current();
                scope.spawn(move || context.run(|| worker(name)));
            }
        });
        request.end();
        let text = harness.text(&[]);
        for name in ["one", "two"] {
            assert!(text.contains(&format!("\n  {name}\n    SELECT 1\n")), "{text}");
        }
    }};
}

#[test]
fn on_two_threads() {
    on_two_threads!(SqliteConnection, "sqlite::memory:");
    let Some(url) = url() else { return };
    on_two_threads!(PgConnection, &url);
}

#[test]
fn outside_of_any_span_and_without_sampling_nothing_is_recorded() {
    let work = async {
        let pool = sqlite().await;
        shop!(&pool);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is one thread");
    let harness = Harness::new();
    runtime.block_on(work);
    assert_eq!(harness.text(&[]), "", "there is no span around");
    let harness = Harness::sampling(0.0);
    block_on(async { shop!(&sqlite().await) });
    assert_eq!(harness.text(&[]), "");
    // And with no runtime at all.
    block_on(async { shop!(&sqlite().await) });
}

/// What code that is generic over databases looks like.
async fn ping<DB: sqlx::Database>(pool: &sqlx::Pool<DB>, traced: &Traced<sqlx::Pool<DB>>) -> Result<(), sqlx::Error>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    pool.execute("SELECT 1").await?;
    traced.execute("SELECT 2").await?;
    Ok(())
}

/// A function that takes any executor.
fn any<'e, 'c: 'e, E>(executor: E) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + 'e>>
where
    E: Executor<'c, Database = sqlx::Sqlite> + 'e,
{
    Box::pin(async move { executor.execute("SELECT 3").await.map(|_| ()) })
}

#[test]
fn generic_code_takes_it() {
    let harness = Harness::new();
    block_on(async {
        let pool = sqlite().await;
        ping(pool.inner(), &pool).await.expect("it is SQL");
        any(&pool).await.expect("it is SQL");
        let mut connection = pool.acquire().await.expect("there is a connection");
        any(&mut connection).await.expect("it is SQL");
        any(&mut **connection.inner_mut()).await.expect("it is SQL");
        drop(connection);
        let mut transaction = pool.into_inner().begin().await.map(traced).expect("there is a connection");
        any(&mut transaction).await.expect("it is SQL");
    });
    assert_eq!(harness.text(&[]), tree(&["SELECT 2", "SELECT 3", "SELECT 3", "SELECT 3"]));
}
