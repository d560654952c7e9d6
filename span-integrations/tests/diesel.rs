//! Queries of diesel, on SQLite and PostgreSQL.
#![cfg(feature = "diesel")]
#![forbid(unsafe_code)]

mod databases;

use std::net::{Ipv4Addr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Once;
use std::time::Instant;
use std::{env, fs, process, thread};

use diesel::connection::{DefaultLoadingMode, SimpleConnection as _};
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use span_integrations::diesel::{install, spans};
use span_runtime::testing::Tree;
use span_runtime::{Context, names, start_span};
use span_tests::servers::Server;
use span_tests::{Harness, SOON};

use databases::{WHERE, tree};

diesel::table! {
    /// What the shop has.
    item (id) {
        /// Which one.
        id -> Integer,
        /// What it is called.
        name -> Nullable<Text>,
    }
}

const SHOWN: [&str; 3] = [names::OP, names::DB_OPERATION_NAME, names::ERROR_TYPE];

fn instrument() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| install().expect("nobody else sets one"));
}

/// Makes a connection to a database in memory, with a table.
fn connect() -> SqliteConnection {
    instrument();
    let mut connection = SqliteConnection::establish(":memory:").expect("there is memory");
    let create = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)";
    connection.batch_execute(create).expect("it is SQL");
    connection
}

/// The URL of the server that the tests start.
fn url() -> Option<String> {
    Some(format!("postgres://app:secret@{}/postgres?application_name=secret", Server::postgres()?.addr))
}

/// Makes a connection to that server, with a table that is its own and gone with it.
fn postgres() -> Option<PgConnection> {
    instrument();
    let mut connection = PgConnection::establish(&url()?).expect("the server is there");
    let create = "CREATE TEMPORARY TABLE item (id INTEGER PRIMARY KEY, name TEXT)";
    connection.batch_execute(create).expect("it is SQL");
    Some(connection)
}

/// The same on any database.
macro_rules! insert {
    ($connection:expr, $id:expr) => {
        diesel::insert_into(item::table).values((item::id.eq($id), item::name.eq("bound"))).execute($connection)
    };
}

diesel::define_sql_function! {
    /// Who serves the connection.
    fn pg_backend_pid() -> diesel::sql_types::Integer;
}

const INSERT: &str = "INSERT INTO `item` (`id`, `name`) VALUES (?, ?)";
const SELECT: &str = "SELECT `item`.`id` FROM `item` WHERE (`item`.`id` > ?)";
const PG_INSERT: &str = "INSERT INTO \"item\" (\"id\", \"name\") VALUES ($1, $2)";
const PG_SELECT: &str = "SELECT \"item\".\"id\" FROM \"item\" WHERE (\"item\".\"id\" > $1)";

/// The same work on any database.
macro_rules! shop {
    ($connection:expr) => {{
        let connection = $connection;
        insert!(connection, 1).expect("it is new");
        let found: Vec<i32> =
            item::table.select(item::id).filter(item::id.gt(0)).load(connection).expect("there is a table");
        assert_eq!(found, [1]);
        let committed = connection.transaction(|connection| {
            insert!(connection, 2)?;
            let rolled_back: QueryResult<()> = connection.transaction(|connection| {
                insert!(connection, 3)?;
                Err(Error::RollbackTransaction)
            });
            assert_eq!(rolled_back, Err(Error::RollbackTransaction));
            QueryResult::Ok(())
        });
        assert_eq!(committed, Ok(()));
        diesel::sql_query("select 1").execute(connection).expect("it is SQL");
    }};
}

/// Compares what that makes, behind the span of a connection that is made.
fn check_shop(text: &str, insert: &str, select: &str) {
    let line = |text: &str, operation: &str| format!("{text} sentry.op=\"db\" db.operation.name=\"{operation}\"");
    // What diesel asks of a connection when it makes one is not said here.
    let (connect, rest) = text.split_once("  INSERT").expect("there is an insert");
    assert!(connect.starts_with(&tree(&[&line("connect", "CONNECT")])), "{connect}");
    let expected = [
        line(insert, "INSERT"),
        line(select, "SELECT"),
        line("BEGIN", "BEGIN"),
        line(insert, "INSERT"),
        line("SAVEPOINT diesel_savepoint_1", "SAVEPOINT"),
        line(insert, "INSERT"),
        line("ROLLBACK TO SAVEPOINT diesel_savepoint_1", "ROLLBACK"),
        line("COMMIT", "COMMIT"),
        line("select 1", "SELECT"),
    ];
    let expected: String = expected.iter().map(|line| format!("  {line}\n")).collect();
    assert_eq!(format!("  INSERT{rest}"), expected);
}

#[test]
fn queries_transactions_and_the_connection() {
    let mut connection = connect();
    let harness = Harness::new();
    let request = start_span("request").start();
    let other = SqliteConnection::establish(":memory:").expect("there is memory");
    shop!(&mut connection);
    drop(other);
    request.end();
    check_shop(&harness.text(&SHOWN), INSERT, SELECT);
}

#[test]
fn queries_transactions_and_the_connection_of_postgresql() {
    let (Some(mut connection), Some(url)) = (postgres(), url()) else { return };
    let harness = Harness::new();
    let request = start_span("request").start();
    let other = PgConnection::establish(&url).expect("the server is there");
    shop!(&mut connection);
    drop(other);
    request.end();
    check_shop(&harness.text(&SHOWN), PG_INSERT, PG_SELECT);
}

// behaviours 37, 38
#[test]
fn spans_say_where_the_database_is_and_no_value() {
    let mut connection = connect();
    let harness = Harness::new();
    let request = start_span("request").start();
    insert!(&mut connection, 7).expect("it is new");
    item::table
        .filter(item::name.eq(" -- binds: bound"))
        .count()
        .get_result::<i64>(&mut connection)
        .expect("it is SQL");
    connection.set_instrumentation(spans());
    diesel::sql_query("SELECT ?")
        .bind::<diesel::sql_types::Text, _>("bound")
        .execute(&mut connection)
        .expect("it is SQL");
    connection.set_instrumentation(spans().at("sqlite://data/shop.db?mode=rw"));
    connection.batch_execute("SELECT 2").expect("it is SQL");
    request.end();
    let spans = harness.finish();
    let told = format!("{spans:?}");
    assert!(!told.contains("bound") && !told.contains("binds"), "{told}");
    let text = Tree::new(&spans[..]).attributes(&WHERE).to_string();
    let line = |query: &str, database: &str| {
        let (system, namespace) = database.split_once(' ').unwrap_or((database, ""));
        format!(
            "  {query} sentry.origin=\"auto.db.diesel\" db.system.name=\"{system}\" db.driver.name=\"diesel\" db.query.text=\"{query}\"{namespace}"
        )
    };
    let count = "SELECT COUNT(*) FROM `item` WHERE (`item`.`name` = ?)";
    let expected = [
        line(INSERT, "sqlite  db.namespace=\":memory:\""),
        line(count, "sqlite  db.namespace=\":memory:\""),
        line("SELECT ?", "other_sql"),
        line("SELECT 2", "sqlite  db.namespace=\"data/shop.db\""),
    ];
    let host = spans[0].text(names::SERVER_ADDRESS).expect("all spans have one");
    let text = text.replace(&format!(" server.address=\"{host}\""), "");
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), expected);
}

// behaviours 37, 38
#[test]
fn spans_say_where_postgresql_is_and_no_value() {
    let (Some(mut connection), Some(url)) = (postgres(), url()) else { return };
    let harness = Harness::new();
    let request = start_span("request").start();
    let other = PgConnection::establish(&url).expect("the server is there");
    insert!(&mut connection, 7).expect("it is new");
    let query = diesel::sql_query("SELECT $1").bind::<diesel::sql_types::Text, _>("bound");
    query.execute(&mut connection).expect("it is SQL");
    drop(other);
    request.end();
    let spans = harness.finish();
    let told = format!("{spans:?}");
    assert!(!told.contains("bound") && !told.contains("binds") && !told.contains("secret"), "{told}");
    let text = Tree::new(&spans[..]).attributes(&WHERE).to_string();
    let port = Server::postgres().expect("it was there just now").addr.port();
    let line = |name: &str, query: &str| {
        format!(
            "  {name} sentry.origin=\"auto.db.diesel\" db.system.name=\"postgresql\" db.driver.name=\"diesel\"{query} db.namespace=\"postgres\" \
             server.address=\"127.0.0.1\" server.port={port} db.user=\"app\""
        )
    };
    let query = |text: &str| line(text, &format!(" db.query.text={text:?}"));
    let lines: Vec<&str> = text.lines().skip(1).collect();
    // Between these is what diesel asks of a connection when it makes one.
    assert_eq!(lines.first(), Some(&&*line("connect", "")), "{text}");
    assert_eq!(lines[lines.len() - 2..], [query(PG_INSERT), query("SELECT $1")], "{text}");
}

#[test]
fn errors_have_their_kind() {
    let mut connection = connect();
    let harness = Harness::new();
    let request = start_span("request").start();
    insert!(&mut connection, 1).expect("it is new");
    let twice = insert!(&mut connection, 1);
    assert!(matches!(twice, Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))), "{twice:?}");
    diesel::sql_query("SELECT").execute(&mut connection).expect_err("it is no SQL");
    connection.batch_execute("ALSO NONE").expect_err("it is no SQL");
    let missing = item::table.select(item::id).filter(item::id.gt(7)).first::<i32>(&mut connection);
    assert_eq!(missing, Err(Error::NotFound), "which is no fault of the query");
    SqliteConnection::establish("/nowhere/at/all.db").map(|_| ()).expect_err("there is no such folder");
    request.end();
    let expected = [
        INSERT.to_owned(),
        format!("{INSERT} [error] error.type=\"UniqueViolation\""),
        "SELECT [error] error.type=\"Unknown\"".to_owned(),
        "ALSO NONE [error] error.type=\"Unknown\"".to_owned(),
        format!("{SELECT} LIMIT ?"),
        "connect [error] error.type=\"BadConnection\"".to_owned(),
    ];
    assert_eq!(harness.text(&SHOWN[2..]), tree(&expected.each_ref().map(String::as_str)));
}

#[test]
fn errors_of_postgresql_have_their_kind() {
    let Some(mut connection) = postgres() else { return };
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let nobody = format!("postgres://app:secret@{}/postgres", closed.local_addr().expect("it is bound"));
    drop(closed);
    let harness = Harness::new();
    let request = start_span("request").start();
    insert!(&mut connection, 1).expect("it is new");
    let twice = insert!(&mut connection, 1);
    assert!(matches!(twice, Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))), "{twice:?}");
    diesel::sql_query("SELECT nothing").execute(&mut connection).expect_err("there is no such column");
    connection.batch_execute("NO SQL").expect_err("it is none");
    let missing = item::table.select(item::id).filter(item::id.gt(7)).first::<i32>(&mut connection);
    assert_eq!(missing, Err(Error::NotFound), "which is no fault of the query");
    PgConnection::establish(&nobody).map(|_| ()).expect_err("nobody listens");
    request.end();
    let expected = [
        PG_INSERT.to_owned(),
        format!("{PG_INSERT} [error] error.type=\"UniqueViolation\""),
        "SELECT nothing [error] error.type=\"Unknown\"".to_owned(),
        "NO SQL [error] error.type=\"Unknown\"".to_owned(),
        format!("{PG_SELECT} LIMIT $2"),
        "connect [error] error.type=\"BadConnection\"".to_owned(),
    ];
    assert_eq!(harness.text(&SHOWN[2..]), tree(&expected.each_ref().map(String::as_str)));
}

/// A database in a file, which is removed.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _there = fs::remove_file(&self.0);
    }
}

#[test]
fn one_that_waits_too_long_for_another() {
    let file = File(env::temp_dir().join(format!("span-diesel-{}.db", process::id())));
    let path = file.0.to_str().expect("it is text");
    let (mut one, mut two) = (connect(), connect());
    for connection in [&mut one, &mut two] {
        *connection = SqliteConnection::establish(path).expect("there is room");
        connection.batch_execute("PRAGMA busy_timeout = 50").expect("it is SQL");
    }
    let harness = Harness::new();
    let request = start_span("request").start();
    one.batch_execute("BEGIN EXCLUSIVE").expect("nobody else has it");
    two.batch_execute("BEGIN EXCLUSIVE").expect_err("the other one has it");
    request.end();
    let expected = ["BEGIN EXCLUSIVE", "BEGIN EXCLUSIVE [error] error.type=\"Unknown\""];
    assert_eq!(harness.text(&SHOWN[2..]), tree(&expected));
}

#[test]
fn a_query_that_takes_too_long_and_one_that_another_connection_cancels() {
    let (Some(mut connection), Some(mut other)) = (postgres(), postgres()) else { return };
    let sleep = "SELECT pg_sleep(600)";
    let harness = Harness::new();
    let request = start_span("request").start();
    connection.batch_execute("SET statement_timeout = 50").expect("it is SQL");
    diesel::sql_query(sleep).execute(&mut connection).expect_err("it takes ten minutes");
    connection.batch_execute("SET statement_timeout = 0").expect("it is SQL");
    let id: i32 = diesel::select(pg_backend_pid()).get_result(&mut connection).expect("it is SQL");
    thread::scope(|scope| {
        let cancels = scope.spawn(move || {
            let end = Instant::now() + SOON;
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND pid = ";
            while diesel::sql_query(format!("{cancel}{id}")).execute(&mut other) == Ok(0) {
                assert!(Instant::now() < end, "the query does not begin");
            }
        });
        diesel::sql_query(sleep).execute(&mut connection).expect_err("it is cancelled");
        cancels.join().expect("it does not panic");
    });
    request.end();
    let expected = [
        "SET statement_timeout = 50",
        "SELECT pg_sleep(600) [error] error.type=\"Unknown\"",
        "SET statement_timeout = 0",
        "SELECT pg_backend_pid()",
        "SELECT pg_sleep(600) [error] error.type=\"Unknown\"",
    ];
    assert_eq!(harness.text(&SHOWN[2..]), tree(&expected));
}

#[test]
fn rows_that_are_dropped_half_way_and_a_panic_over_one() {
    let mut connection = connect();
    for id in [1, 2] {
        insert!(&mut connection, id).expect("it is new");
    }
    let harness = Harness::new();
    let request = start_span("request").start();
    let query = || item::table.select(item::id).filter(item::id.gt(0));
    {
        let mut rows = query().load_iter::<i32, DefaultLoadingMode>(&mut connection).expect("there is a table");
        assert_eq!(rows.next(), Some(Ok(1)));
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut rows = query().load_iter::<i32, DefaultLoadingMode>(&mut connection).expect("there is a table");
        assert_eq!(rows.next(), None, "on purpose: there is one");
    }));
    assert!(panicked.is_err());
    query().load::<i32>(&mut connection).expect("the connection is as it was");
    request.end();
    let expected = [SELECT.to_owned(), format!("{SELECT} [error]"), SELECT.to_owned()];
    assert_eq!(harness.text(&[names::CANCELLED]), tree(&expected.each_ref().map(String::as_str)));
}

#[test]
fn rows_of_postgresql_that_are_dropped_half_way_and_a_panic_over_one() {
    let Some(mut connection) = postgres() else { return };
    for id in [1, 2] {
        insert!(&mut connection, id).expect("it is new");
    }
    let harness = Harness::new();
    let request = start_span("request").start();
    let query = || item::table.select(item::id).filter(item::id.gt(0));
    {
        let rows = query().load_iter::<i32, PgRowByRowLoadingMode>(&mut connection);
        assert_eq!(rows.expect("there is a table").next(), Some(Ok(1)));
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let rows = query().load_iter::<i32, PgRowByRowLoadingMode>(&mut connection);
        assert_eq!(rows.expect("there is a table").next(), None, "on purpose: there is one");
    }));
    assert!(panicked.is_err());
    query().load::<i32>(&mut connection).expect("the connection is as it was");
    request.end();
    let expected = [PG_SELECT.to_owned(), format!("{PG_SELECT} [error]"), PG_SELECT.to_owned()];
    assert_eq!(harness.text(&[names::CANCELLED]), tree(&expected.each_ref().map(String::as_str)));
}

#[test]
fn two_queries_of_postgresql_at_once() {
    let (Some(mut one), Some(mut two)) = (postgres(), postgres()) else { return };
    for id in [1, 2] {
        insert!(&mut one, id).expect("it is new");
    }
    let harness = Harness::new();
    let request = start_span("request").start();
    // On one thread.
    let query = item::table.select(item::id).filter(item::id.gt(0));
    for row in query.load_iter::<i32, PgRowByRowLoadingMode>(&mut one).expect("there is a table") {
        let _row = start_span("row").start();
        insert!(&mut two, row.expect("it is a number")).expect("it is new");
    }
    // And on two.
    thread::scope(|scope| {
        for (name, mut connection) in [("one", one), ("two", two)] {
            let context = Context::current();
            scope.spawn(move || {
                context.run(|| {
                    let _request = start_span(name).start();
                    insert!(&mut connection, 3).expect("it is new");
                });
            });
        }
    });
    request.end();
    let text = harness.text(&[]);
    let below = format!("  {PG_INSERT}");
    let expected = tree(&[PG_SELECT, "row", &below, "row", &below]);
    assert!(text.starts_with(&expected), "{text}");
    for name in ["one", "two"] {
        assert!(text.contains(&format!("\n  {name}\n    {PG_INSERT}\n")), "{text}");
    }
}

#[test]
fn two_queries_at_once_on_one_thread() {
    let (mut one, mut two) = (connect(), connect());
    for id in [1, 2] {
        insert!(&mut one, id).expect("it is new");
    }
    let harness = Harness::new();
    let request = start_span("request").start();
    let query = item::table.select(item::id).filter(item::id.gt(0));
    for row in query.load_iter::<i32, DefaultLoadingMode>(&mut one).expect("there is a table") {
        let _row = start_span("row").start();
        insert!(&mut two, row.expect("it is a number")).expect("it is new");
    }
    request.end();
    let expected = [SELECT, "row", &format!("  {INSERT}"), "row", &format!("  {INSERT}")];
    assert_eq!(harness.text(&[]), tree(&expected));
}

#[test]
fn on_two_threads() {
    let connections = [("one", connect()), ("two", connect())];
    let harness = Harness::new();
    let request = start_span("request").start();
    thread::scope(|scope| {
        for (name, mut connection) in connections {
            let context = Context::current();
            scope.spawn(move || {
                context.run(|| {
                    let _request = start_span(name).start();
                    insert!(&mut connection, 1).expect("it is new");
                });
            });
        }
    });
    request.end();
    let text = harness.text(&[]);
    for name in ["one", "two"] {
        assert!(text.contains(&format!("\n  {name}\n    {INSERT}\n")), "{text}");
    }
}

/// Does work where none of it is recorded: outside of any span, unsampled, and with no runtime at all.
fn unrecorded(mut work: impl FnMut(i32)) {
    let harness = Harness::new();
    work(1);
    assert_eq!(harness.text(&[]), "", "there is no span around");
    let harness = Harness::sampling(0.0);
    let request = start_span("request").start();
    work(2);
    request.end();
    assert_eq!(harness.text(&[]), "");
    work(3);
}

/// Work that succeeds and work that fails, on any database.
macro_rules! both {
    ($connection:expr, $id:expr) => {{
        let (connection, id) = ($connection, $id);
        connection.transaction(|connection| insert!(connection, id)).expect("it is new");
        insert!(connection, id).expect_err("it is there");
    }};
}

#[test]
fn outside_of_any_span_and_without_sampling_nothing_is_recorded() {
    unrecorded(|id| both!(&mut connect(), id));
    let Some(mut connection) = postgres() else { return };
    unrecorded(|id| both!(&mut connection, id));
}
