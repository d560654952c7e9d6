//! Commands of redis, on a server.
#![cfg(feature = "redis")]
#![forbid(unsafe_code)]

mod databases;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, Client, Cmd, Commands as _, ConnectionLike, RedisResult, Value, aio, pipe};
use span_integrations::redis::{Traced, traced};
use span_runtime::testing::Tree;
use span_runtime::{Instrument as _, names, start_span};
use span_tests::servers::Server;
use span_tests::{Harness, SOON};

use databases::{block_on, panics, tree};

const SHOWN: [&str; 6] = [
    names::OP,
    names::DB_OPERATION_NAME,
    names::DB_QUERY_TEXT,
    names::DB_OPERATION_BATCH_SIZE,
    names::ERROR_TYPE,
    names::CANCELLED,
];
const WHERE: [&str; 7] = [
    names::ORIGIN,
    names::DB_SYSTEM_NAME,
    names::DB_DRIVER_NAME,
    names::DB_NAMESPACE,
    names::SERVER_ADDRESS,
    names::SERVER_PORT,
    names::DB_USER,
];
const CACHE: [&str; 5] =
    [names::OP, names::CACHE_KEY, names::CACHE_HIT, names::CACHE_ITEM_SIZE, names::DB_OPERATION_NAME];

/// As `block_on`, on a runtime of this thread alone.
fn block_on_alone<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("it is this thread").block_on(future.in_span(start_span("request").inactive().start()))
}

/// The URL of a database of the server.
fn url(database: u8) -> Option<String> {
    Some(format!("redis://{}/{database}", Server::redis()?.addr))
}

/// A blocking connection, if there is a server.
fn blocking(database: u8) -> Option<Traced<redis::Connection>> {
    let url = url(database)?;
    let connection = Client::open(url.as_str()).and_then(|client| client.get_connection());
    Some(traced(connection.expect("the server is there")).at(&url))
}

/// An async connection, if there is a server.
async fn nonblocking(database: u8) -> Option<Traced<MultiplexedConnection>> {
    let url = url(database)?;
    let client = Client::open(url.as_str()).expect("it is a URL");
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(SOON));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    Some(traced(connection.expect("the server is there")).at(&url))
}

/// A span of one command.
fn line(operation: &str, text: &str) -> String {
    format!("{operation} sentry.op=\"db.redis\" db.operation.name=\"{operation}\" db.query.text=\"{text}\"")
}

/// What both kinds of connection make of the same commands.
fn expected() -> String {
    let batch = |operation: &str| format!("{} db.operation.batch.size=2", line(operation, "SET ? ?\\nGET ?"));
    let lines = [
        line("SET", "SET ? ?"),
        line("GET", "GET ?"),
        batch("PIPELINE"),
        batch("MULTI"),
        // The server says no.
        line("INCRBY", "INCRBY ? ?").replace("INCRBY sentry", "INCRBY [error] sentry") + " error.type=\"ERR\"",
        line("LPOP", "LPOP ?").replace("LPOP sentry", "LPOP [error] sentry") + " error.type=\"WRONGTYPE\"",
    ];
    tree(&lines.each_ref().map(String::as_str))
}

/// Commands, one by one and several at once.
fn several(atomic: bool) -> redis::Pipeline {
    let mut pipeline = pipe();
    if atomic {
        pipeline.atomic();
    }
    pipeline.set("a", "in a pipeline").ignore().get("a");
    pipeline
}

#[test]
fn commands_on_a_blocking_connection() {
    let Some(mut connection) = blocking(1) else { return };
    let harness = Harness::new();
    let request = start_span("request").start();
    let () = connection.set("a", "tea").expect("it is taken");
    assert_eq!(connection.get::<_, String>("a").expect("it is there"), "tea");
    for atomic in [false, true] {
        let (got,): (String,) = several(atomic).query(&mut connection).expect("it is there");
        assert_eq!(got, "in a pipeline");
    }
    connection.incr::<_, _, i64>("a", 1).expect_err("it is no number");
    connection.lpop::<_, String>("a", None).expect_err("it is no list");
    request.end();
    assert_eq!(harness.text(&SHOWN), expected());
}

#[test]
fn commands_on_an_async_connection() {
    let harness = Harness::new();
    let is_there = block_on(async {
        let Some(mut connection) = nonblocking(2).await else { return false };
        let () = connection.set("a", "tea").await.expect("it is taken");
        assert_eq!(connection.get::<_, String>("a").await.expect("it is there"), "tea");
        for atomic in [false, true] {
            let (got,): (String,) = several(atomic).query_async(&mut connection).await.expect("it is there");
            assert_eq!(got, "in a pipeline");
        }
        connection.incr::<_, _, i64>("a", 1).await.expect_err("it is no number");
        connection.lpop::<_, String>("a", None).await.expect_err("it is no list");
        true
    });
    let text = harness.text(&SHOWN);
    if is_there {
        assert_eq!(text, expected());
    }
}

// behaviours 37, 38
#[test]
fn spans_say_where_the_server_is_and_neither_keys_nor_values() {
    let Some(mut connection) = blocking(3) else { return };
    let port = Server::redis().expect("it was there just now").addr.port();
    connection = connection.at(&format!("redis://app:hidden@127.0.0.1:{port}/9"));
    let harness = Harness::new();
    let request = start_span("request").start();
    let () = connection.set("session:hidden", "hidden").expect("it is taken");
    let () = pipe().get("session:hidden").query(&mut connection).map(|(_,): (String,)| ()).expect("it is there");
    request.end();
    let spans = harness.finish();
    let told = format!("{spans:?}");
    assert!(!told.contains("hidden"), "{told}");
    let text = Tree::new(&spans[..]).attributes(&WHERE).to_string();
    let place = format!(
        "sentry.origin=\"auto.db.redis\" db.system.name=\"redis\" db.driver.name=\"redis\" db.namespace=\"3\" server.address=\"127.0.0.1\" \
         server.port={port} db.user=\"app\""
    );
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines, [format!("  SET {place}"), format!("  PIPELINE {place}")]);
}

#[test]
fn a_cache_has_hits_and_misses() {
    let Some(connection) = blocking(4) else { return };
    let mut connection = connection.cache(["page:"]);
    let harness = Harness::new();
    let request = start_span("request").start();
    let get = |connection: &mut Traced<redis::Connection>, key: &str| {
        connection.get::<_, Option<String>>(key).expect("it is answered")
    };
    assert_eq!(get(&mut connection, "page:1"), None);
    let () = connection.set("page:1", "four").expect("it is taken");
    let () = connection.set_ex("page:2", "seconds", 60).expect("it is taken");
    assert_eq!(get(&mut connection, "page:1").as_deref(), Some("four"));
    let some: Vec<Option<String>> = connection.mget(&["page:0", "page:2"]).expect("it is answered");
    assert_eq!(some, [None, Some("seconds".to_owned())]);
    let none: Vec<Option<String>> = connection.mget(&["page:8", "page:9"]).expect("it is answered");
    assert_eq!(none, [None, None]);
    let () = connection.mset(&[("page:3", "a"), ("page:4", "bc")]).expect("it is taken");
    let () = connection.del("page:3").expect("it is there");
    // What is no key of the cache, or not only.
    let () = connection.set("other", "value").expect("it is taken");
    let some: Vec<Option<String>> = connection.mget(&["page:2", "other"]).expect("it is answered");
    assert_eq!(some.len(), 2);
    request.end();
    let expected = [
        "page:1 sentry.op=\"cache.get\" cache.key=[\"page:1\"] cache.hit=false db.operation.name=\"GET\"",
        "page:1 sentry.op=\"cache.put\" cache.key=[\"page:1\"] cache.item_size=4 db.operation.name=\"SET\"",
        "page:2 sentry.op=\"cache.put\" cache.key=[\"page:2\"] cache.item_size=7 db.operation.name=\"SETEX\"",
        "page:1 sentry.op=\"cache.get\" cache.key=[\"page:1\"] cache.hit=true cache.item_size=4 db.operation.name=\"GET\"",
        "page:0, page:2 sentry.op=\"cache.get\" cache.key=[\"page:0\",\"page:2\"] cache.hit=true cache.item_size=7 db.operation.name=\"MGET\"",
        "page:8, page:9 sentry.op=\"cache.get\" cache.key=[\"page:8\",\"page:9\"] cache.hit=false db.operation.name=\"MGET\"",
        "page:3, page:4 sentry.op=\"cache.put\" cache.key=[\"page:3\",\"page:4\"] cache.item_size=3 db.operation.name=\"MSET\"",
        "page:3 sentry.op=\"cache.remove\" cache.key=[\"page:3\"] db.operation.name=\"DEL\"",
        "SET sentry.op=\"db.redis\" db.operation.name=\"SET\"",
        "MGET sentry.op=\"db.redis\" db.operation.name=\"MGET\"",
    ];
    assert_eq!(harness.text(&CACHE), tree(&expected));
}

#[test]
fn what_takes_too_long_or_is_dropped_ends_its_span() {
    let harness = Harness::new();
    let is_there = block_on(async {
        let Some(mut connection) = nonblocking(5).await else { return false };
        // By the one who waits.
        let pops = connection.blpop::<_, Value>("nothing", 600.0);
        assert!(tokio::time::timeout(Duration::from_millis(50), pops).await.is_err(), "it takes ten minutes");
        // By the task.
        let open = harness.runtime().stats().open;
        let task = tokio::spawn(async move { connection.blpop::<_, Value>("nothing", 600.0).await }.in_current_span());
        let begun = async {
            while harness.runtime().stats().open == open {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(span_tests::SOON, begun).await.expect("its span begins");
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        // By the connection.
        let client = Client::open(url(5).expect("it was there just now")).expect("it is a URL");
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_millis(50)));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = traced(connection.expect("the server is there"));
        connection.blpop::<_, Value>("nothing", 600.0).await.expect_err("it takes ten minutes");
        true
    });
    let text = harness.text(&SHOWN[4..]);
    if is_there {
        let expected =
            ["BLPOP span.cancelled=true", "BLPOP span.cancelled=true", "BLPOP [error] error.type=\"timeout\""];
        assert_eq!(text, tree(&expected));
    }
}

#[test]
fn a_blocking_connection_that_is_out_of_time() {
    let Some(mut connection) = blocking(6) else { return };
    connection.inner().set_read_timeout(Some(Duration::from_millis(50))).expect("it is a time");
    let harness = Harness::new();
    let request = start_span("request").start();
    connection.blpop::<_, Value>("nothing", 600.0).expect_err("it takes ten minutes");
    request.end();
    assert_eq!(harness.text(&SHOWN[4..]), tree(&["BLPOP [error] error.type=\"timeout\""]));
}

/// A connection that panics.
struct Panics;

impl ConnectionLike for Panics {
    fn req_packed_command(&mut self, _: &[u8]) -> RedisResult<Value> {
        panic!("on purpose")
    }

    fn req_packed_commands(&mut self, _: &[u8], _: usize, _: usize) -> RedisResult<Vec<Value>> {
        panic!("on purpose")
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        false
    }

    fn is_open(&self) -> bool {
        false
    }
}

impl aio::ConnectionLike for Panics {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> redis::RedisFuture<'a, Value> {
        Box::pin(async { panic!("on purpose") })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a redis::Pipeline,
        _: usize,
        _: usize,
    ) -> redis::RedisFuture<'a, Vec<Value>> {
        Box::pin(async { panic!("on purpose") })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

#[test]
fn a_panic_makes_the_span_an_error() {
    let harness = Harness::new();
    let request = start_span("request").start();
    let mut connection = traced(Panics);
    assert!(!connection.check_connection() && !connection.is_open() && connection.supports_pipelining());
    let blocking = catch_unwind(AssertUnwindSafe(|| redis::cmd("PING").exec(&mut connection)));
    let batch = catch_unwind(AssertUnwindSafe(|| several(false).exec(&mut connection)));
    assert!(blocking.is_err() && batch.is_err());
    request.end();
    let waiting =
        catch_unwind(AssertUnwindSafe(|| block_on(async { redis::cmd("PING").exec_async(&mut traced(Panics)).await })));
    assert!(waiting.is_err());
    let text = harness.text(&[]);
    assert!(text.contains("request\n  PING [error]\n  PIPELINE [error]\n"), "{text}");
    assert!(text.contains("request [error]\n  PING [error]\n"), "{text}");
}

/// Polls a future once, and drops it. On a runtime of one thread nobody can answer meanwhile.
async fn half_way<T>(future: impl Future<Output = T>) {
    let mut future = Box::pin(future);
    let is_pending = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await;
    assert!(is_pending, "the answer takes a while");
}

/// Commands of which one is refused, at once.
fn refused(atomic: bool) -> redis::Pipeline {
    let mut pipeline = pipe();
    if atomic {
        pipeline.atomic();
    }
    pipeline.set("text", "tea").ignore().incr("text", 1);
    pipeline
}

#[test]
fn what_goes_at_once_may_be_refused_may_take_too_long_and_may_be_dropped() {
    let harness = Harness::new();
    let is_there = block_on_alone(async {
        let (Some(mut connection), Some(mut waiting)) = (nonblocking(10).await, blocking(10)) else { return false };
        for atomic in [false, true] {
            refused(atomic).exec_async(&mut connection).await.expect_err("it is no number");
            half_way(several(atomic).exec_async(&mut connection)).await;
        }
        let pops = || pipe().blpop("nothing", 600.0).clone();
        let client = Client::open(url(10).expect("it was there just now")).expect("it is a URL");
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_millis(50)));
        let impatient = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut impatient = traced(impatient.expect("the server is there"));
        pops().exec_async(&mut impatient).await.expect_err("it takes ten minutes");
        assert!(panics(several(false).exec_async(&mut traced(Panics))).await);
        // The same on a blocking connection.
        for atomic in [false, true] {
            refused(atomic).exec(&mut waiting).expect_err("it is no number");
        }
        waiting.inner().set_read_timeout(Some(Duration::from_millis(50))).expect("it is a time");
        pops().exec(&mut waiting).expect_err("it takes ten minutes");
        true
    });
    let text = harness.text(&SHOWN[3..]);
    if !is_there {
        return;
    }
    let two = "db.operation.batch.size=2";
    let refused = |name: &str| format!("{name} [error] {two} error.type=\"ERR\"");
    let dropped = |name: &str| format!("{name} {two} span.cancelled=true");
    let late = "PIPELINE [error] db.operation.batch.size=1 error.type=\"timeout\"".to_owned();
    let expected = [
        refused("PIPELINE"),
        dropped("PIPELINE"),
        refused("MULTI"),
        dropped("MULTI"),
        late.clone(),
        format!("PIPELINE [error] {two}"),
        refused("PIPELINE"),
        refused("MULTI"),
        late,
    ];
    assert_eq!(text, tree(&expected.each_ref().map(String::as_str)));
}

#[test]
fn a_cache_that_refuses_that_is_dropped_and_that_panics() {
    let harness = Harness::new();
    let is_there = block_on_alone(async {
        let Some(connection) = nonblocking(11).await else { return false };
        let mut connection = connection.cache([""]);
        let miss: Option<String> = connection.get("page:1").await.expect("it is answered");
        let () = connection.set("page:1", "four").await.expect("it is taken");
        let hit: Option<String> = connection.get("page:1").await.expect("it is answered");
        assert_eq!((miss, hit.as_deref()), (None, Some("four")));
        let () = connection.rpush("list", "a").await.expect("it is new");
        connection.get::<_, Option<String>>("list").await.expect_err("it is no text");
        half_way(connection.get::<_, Option<String>>("page:1")).await;
        let mut broken = traced(Panics).cache([""]);
        assert!(panics(redis::cmd("GET").arg("page:1").exec_async(&mut broken)).await);
        true
    });
    let text =
        harness.text(&[names::OP, names::CACHE_HIT, names::CACHE_ITEM_SIZE, names::ERROR_TYPE, names::CANCELLED]);
    if is_there {
        let expected = [
            "page:1 sentry.op=\"cache.get\" cache.hit=false",
            "page:1 sentry.op=\"cache.put\" cache.item_size=4",
            "page:1 sentry.op=\"cache.get\" cache.hit=true cache.item_size=4",
            "RPUSH sentry.op=\"db.redis\"",
            "list [error] sentry.op=\"cache.get\" error.type=\"WRONGTYPE\"",
            "page:1 sentry.op=\"cache.get\" span.cancelled=true",
            "page:1 [error] sentry.op=\"cache.get\"",
        ];
        assert_eq!(text, tree(&expected));
    }
}

/// A request of its own, with two commands and one more that goes by itself as many do.
async fn request(mut connection: Traced<MultiplexedConnection>, name: &'static str, command: &'static str) {
    let work = async {
        for _ in 0..2 {
            redis::cmd(command).arg("none").exec_async(&mut connection).await.expect("it is answered");
        }
        pipe().cmd(command).arg("none").exec_async(&mut connection).await.expect("it is answered");
    };
    work.in_span(start_span(name).inactive().start()).await;
}

#[test]
fn two_requests_at_once_have_their_own_commands() {
    let harness = Harness::new();
    let is_there = block_on(async {
        let Some(connection) = nonblocking(7).await else { return false };
        // On one task, and on two.
        tokio::join!(request(connection.clone(), "one", "GET"), request(connection.clone(), "two", "TTL"));
        let task = |name, command| tokio::spawn(request(connection.clone(), name, command).in_current_span());
        let (three, four) = (task("three", "TYPE"), task("four", "EXISTS"));
        three.await.expect("it does not panic");
        four.await.expect("it does not panic");
        true
    });
    let text = harness.text(&[names::DB_QUERY_TEXT]);
    if !is_there {
        return;
    }
    let lines: Vec<&str> = text.lines().collect();
    for (name, command) in [("one", "GET"), ("two", "TTL"), ("three", "TYPE"), ("four", "EXISTS")] {
        let at = lines.iter().position(|line| line.trim() == name).expect("it was sent");
        let shown = format!("db.query.text=\"{command} ?\"");
        let command = format!("    {command} {shown}");
        assert_eq!(lines[at + 1..=at + 3], [&*command, &*command, &*format!("    PIPELINE {shown}")], "{text}");
    }
    assert_eq!(lines.len(), 17, "{text}");
}

#[test]
fn on_two_threads() {
    if url(8).is_none() {
        return;
    }
    let harness = Harness::new();
    let around = start_span("request").start();
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let context = span_runtime::Context::current();
            scope.spawn(move || {
                context.run(|| {
                    let _request = start_span(name).start();
                    let mut connection = blocking(8).expect("it was there just now").cache(["page:"]);
                    assert!(!connection.exists::<_, bool>("nothing").expect("it is answered"));
                    assert!(connection.get::<_, Option<String>>("page:1").expect("it is answered").is_none());
                    pipe().get("nothing").exec(&mut connection).expect("it is answered");
                });
            });
        }
    });
    around.end();
    let text = harness.text(&[]);
    for name in ["one", "two"] {
        assert!(text.contains(&format!("\n  {name}\n    EXISTS\n    page:1\n    PIPELINE\n")), "{text}");
    }
}

#[test]
fn outside_of_any_span_and_without_sampling_nothing_is_recorded() {
    let Some(mut connection) = blocking(9) else { return };
    let mut work = || {
        let () = connection.set("a", "tea").expect("it is taken");
        assert_eq!(connection.get::<_, String>("a").expect("it is there"), "tea");
        let () = several(true).query(&mut connection).map(|(_,): (String,)| ()).expect("it is there");
    };
    let harness = Harness::new();
    work();
    assert_eq!(harness.text(&[]), "", "there is no span around");
    let harness = Harness::sampling(0.0);
    let request = start_span("request").start();
    work();
    request.end();
    assert_eq!(harness.text(&[]), "");
    // And with no runtime at all.
    work();
}

/// What is around any of these is one itself: the compiler looks.
#[test]
fn connections_of_clusters_and_managers_are_taken() {
    fn is_blocking<C: ConnectionLike>() {}
    fn is_async<C: aio::ConnectionLike + redis::AsyncCommands + Clone + Send + 'static>() {}
    is_blocking::<Traced<redis::Connection>>();
    is_blocking::<Traced<redis::cluster::ClusterConnection>>();
    is_async::<Traced<redis::cluster_async::ClusterConnection>>();
    is_async::<Traced<aio::ConnectionManager>>();
}
