//! The example `shop`, as the program that people start.
#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use span_tests::servers::Server;

/// How long a run may take on a busy machine. It takes six seconds.
const BOUND: Duration = Duration::from_secs(120);

/// Nobody listens on the port 9 of a machine for tests.
const NOWHERE: &str = "redis://127.0.0.1:9";

/// The visit before all others, as the service of each span and its name below those above it.
const VISIT: &str = "\
customers  visit
customers    GET http://shop/items/42
shop           GET /items/{id}
shop             price
shop               cache.get shop-example:42: miss
shop               SELECT price FROM item WHERE i…
shop               cache.put shop-example:42
shop             GET http://stock/items/42
stock              GET /items/{id}
stock                SELECT coalesce(sum(pieces),…
customers    POST http://shop/orders
shop           POST /orders
shop             price
shop               cache.get shop-example:42
shop             reserve
shop               POST http://stock/reservations
stock                POST /reservations
stock                  BEGIN
stock                  SELECT id, pieces FROM she…
stock                  pick shelves
stock                  UPDATE shelf SET pieces = …
stock                  UPDATE shelf SET pieces = …
stock                  COMMIT
shop             INSERT INTO sale (item, count, t…
";

/// The same without a cache.
const WITHOUT_CACHE: [(&str, &str); 3] = [
    ("shop               cache.get shop-example:42: miss\n", ""),
    ("shop               cache.put shop-example:42\n", ""),
    ("shop               cache.get shop-example:42\n", "shop               SELECT price FROM item WHERE i…\n"),
];

/// The program, which `cargo test` builds beside its tests.
fn program() -> PathBuf {
    let test = env::current_exe().expect("this program has a path");
    let folder = test.ancestors().nth(2).expect("it is in a folder of the build's");
    let program = folder.join("examples").join(format!("shop{}", env::consts::EXE_SUFFIX));
    let built = fs::metadata(&program).and_then(|program| program.modified());
    let built =
        built.expect("the example is built: with `--test shop` cargo leaves it out, with `-p example-shop` alone not");
    for source in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the sources are there") {
        let source = source.expect("it can be listed");
        let changed = source.metadata().and_then(|source| source.modified()).expect("files have times");
        assert!(source.path().is_dir() || changed <= built, "{} is newer than the example", source.path().display());
    }
    program
}

fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(program());
    command.args(arguments).env_remove("REDIS_URL").envs(variables.iter().copied());
    // A variable that is meant for others.
    command.env("SENTRY_DSN", "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it can be started")
}

/// All that is written to a stream. Each process that the program started has the same error stream: its end is the end of all.
fn read(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it is text");
        sender.send(text).expect("somebody waits");
    });
    receiver
}

/// Runs it to its end, and that of all its processes: its exit code, and what it wrote.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut program = start(arguments, variables);
    let out = read(program.stdout.take().expect("it is piped"));
    let err = read(program.stderr.take().expect("it is piped"));
    let ended = err.recv_timeout(BOUND).and_then(|err| Ok((out.recv_timeout(BOUND)?, err)));
    if ended.is_err() {
        program.kill().expect("it runs");
    }
    let (out, err) = ended.expect("all of its processes end");
    (program.wait().expect("it is ours").code(), out, err)
}

/// A run in which all goes well.
fn visit(arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
    let (code, out, err) = run(arguments, variables);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (_, waterfall) = out.split_once("The visit before all others:\n\n").expect("there is one");
    let rows = waterfall.lines().skip(1).take_while(|line| !line.is_empty());
    let names = rows.map(|row| format!("{}\n", row.split(['█', '▌', '▐']).next().unwrap_or_default().trim_end()));
    (names.collect(), out)
}

/// The number before a word.
fn number(text: &str, word: &str) -> usize {
    let (before, _) = text.split_once(word).unwrap_or_else(|| panic!("there is no {word:?} in {text}"));
    let number = before.rsplit([' ', '\n']).next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("before {word:?} is {number:?}"))
}

/// What a run says of its numbers.
fn check_numbers(out: &str) {
    let (spans, traces) = (number(out, " spans arrived"), number(out, " traces in "));
    let end = format!("all {spans} spans arrived, and all {traces} traces are whole\n");
    assert!(out.ends_with(&end), "{out}");
    // 200 visits by customers, the one before them, and the report.
    assert_eq!(traces, 202, "{out}");
    let sent = ["customers", "shop", "stock"].map(|name| {
        let line = out.lines().find(|line| line.starts_with(name) && line.contains("started=")).expect("it has one");
        let started = line.split("started=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
        assert!(line.ends_with(&format!(" started={started} sent={started} lost=0 open=0")), "{line}");
        started.parse::<usize>().expect("a number")
    });
    assert_eq!(sent.iter().sum::<usize>(), spans, "{out}");
    // Of the 30 pieces that everybody wants, orders take four each; what nobody has is looked for only.
    for (answer, count) in [("404 Not Found", 40), ("409 Conflict", 33), ("201 Created", 128)] {
        let line = out.lines().find(|line| line.ends_with(answer)).unwrap_or_else(|| panic!("no {answer} in {out}"));
        assert!(line.trim_start().starts_with(&format!("{count} × ")), "{line}");
    }
}

/// Of a request that takes six seconds the spans come while it is served: those of the stock, whose own requests have ended, at
/// once; those of the shop with the next batch.
fn check_report(out: &str) {
    let (_, report) = out.split_once("Meanwhile a report was read, for ").expect("there is one");
    let after = |whose: &str| -> f64 {
        let line = report.lines().find(|line| line.ends_with(whose)).expect("it is told");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number of seconds")
    };
    let took: f64 = report.split(' ').next().and_then(|number| number.parse().ok()).expect("a number of seconds");
    let (stock, shop) = (after("of stock"), after("of shop"));
    assert!(stock < took && shop < took && after("of customers") >= took, "{out}");
    assert_eq!(number(report, " spans\n"), 2 + 2 + 3 * 120, "{out}");
}

// behaviours 28, 46, 50
#[test]
fn both_services_continue_the_trace_of_the_customer() {
    let (visit, out) = visit(&["--without-redis"], &[("REDIS_URL", NOWHERE)]);
    let expected = WITHOUT_CACHE.iter().fold(VISIT.to_owned(), |text, (with, without)| text.replacen(with, without, 1));
    assert_eq!(visit, expected, "\n{visit}");
    assert!(out.contains("The shop runs without a cache, as it was asked to.\n"), "{out}");
    check_numbers(&out);
    check_report(&out);
}

#[test]
fn a_redis_is_started_where_it_is_installed() {
    if Server::redis().is_none() {
        return;
    }
    let (visit, out) = visit(&[], &[]);
    assert_eq!(visit, VISIT, "\n{visit}");
    assert!(out.contains("\nredis is below process "), "{out}");
    check_numbers(&out);
}

#[test]
fn a_redis_that_is_named_is_the_cache() {
    let Some(server) = Server::redis() else { return };
    let (visit, out) = visit(&[], &[("REDIS_URL", &format!("redis://{}", server.addr))]);
    assert_eq!(visit, VISIT, "\n{visit}");
    assert!(out.contains("\nredis is the one of REDIS_URL\n"), "{out}");
    check_numbers(&out);
}

#[test]
fn a_redis_that_is_named_and_not_there_is_an_error() {
    let (code, out, err) = run(&[], &[("REDIS_URL", NOWHERE)]);
    assert_eq!(code, Some(1), "{out}");
    assert!(err.contains("error: shop ended early\n"), "{err}");
}

// The customers continue a trace whose beginning is not there.
#[test]
fn a_trace_in_pieces_is_a_fault() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (code, out, err) = run(&["--without-redis"], &[("SENTRY_TRACE", &format!("{trace}-00f067aa0ba902b7-1"))]);
    assert_eq!((code, err), (Some(1), format!("error: trace {trace} is in pieces\n")), "{out}");
}

#[test]
fn the_services_end_with_a_driver_that_is_killed() {
    let mut program = start(&[], &[]);
    let err = read(program.stderr.take().expect("it is piped"));
    let mut out = BufReader::new(program.stdout.take().expect("it is piped")).lines();
    out.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("shop is process ")))
        .expect("it starts")
        .expect("it is text");
    program.kill().expect("it runs");
    program.wait().expect("it is ours");
    let said = err.recv_timeout(BOUND).expect("all of its processes end");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn wrong_arguments_are_told_and_nothing_starts() {
    let (code, out, err) = run(&["--fast"], &[]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("error: unknown arguments [\"--fast\"]"), "{err}");
    let (code, out, err) = run(&["--help"], &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("--without-redis"), "{out}");
}
