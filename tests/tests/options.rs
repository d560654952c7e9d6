//! Bad input gives a clear error and harms nothing.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use span_runtime::testing::{CaptureTransport, Receiver};
use span_runtime::{IgnoreRule, Options, Pattern, Runtime, Scrubber, TraceLifecycle, start_span};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What is said of the options to those who set them.
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

fn refusal(options: Options) -> String {
    Runtime::new(options).expect_err("the options are invalid").to_string()
}

#[test]
fn invalid_options_are_refused_with_what_was_given_and_what_would_work() {
    let new = Options::new;
    let second = Duration::from_secs(1);
    // What is set, what was given, and what would work.
    let cases = [
        (new().traces_sample_rate(-0.1), "traces_sample_rate is -0.1;", "from 0 (nothing) to 1"),
        (new().traces_sample_rate(1.1), "traces_sample_rate is 1.1;", "from 0 (nothing) to 1"),
        (new().traces_sample_rate(f64::NAN), "traces_sample_rate is NaN;", "from 0 (nothing) to 1"),
        (new().traces_sample_rate(f64::INFINITY), "traces_sample_rate is inf;", "from 0 (nothing) to 1"),
        (new().max_buffer_bytes(0), "max_buffer_bytes is 0;", "from 1048576 (1 MiB)"),
        (new().max_buffer_bytes((1 << 20) - 1), "max_buffer_bytes is 1048575;", "from 1048576 (1 MiB)"),
        (new().max_buffer_bytes((1 << 30) + 1), "max_buffer_bytes is 1073741825;", "to 1073741824 (1 GiB)"),
        (new().max_buffer_bytes(usize::MAX), "max_buffer_bytes is ", "to 1073741824 (1 GiB)"),
        (new().request_timeout(Duration::ZERO), "request_timeout is 0ns;", "from 1 s"),
        (new().request_timeout(second - Duration::from_nanos(1)), "request_timeout is 999.999999ms;", "from 1 s"),
        (new().request_timeout(86_401 * second), "request_timeout is 86401s;", "to 86400 s"),
        (new().request_timeout(Duration::MAX), "request_timeout is ", "to 86400 s"),
        (new().ignore_spans([Pattern::regex("a(")]), "ignore_spans holds the pattern `a(`,", "`Pattern::text`"),
        (
            new().ignore_spans([IgnoreRule::attribute("key", Pattern::regex("[z-a]"))]),
            "ignore_spans holds the pattern `[z-a]`,",
            "`Pattern::text`",
        ),
        (
            new().trace_propagation_targets([Pattern::regex("*")]),
            "trace_propagation_targets holds the pattern `*`,",
            "`Pattern::text`",
        ),
        (new().org_id(" "), "org_id is ` `;", "the number of your organisation"),
        (new().org_id("o123"), "org_id is `o123`;", "the number of your organisation"),
        (
            new().scrubber(Scrubber::new().deny("api.key")),
            "scrubber denies `api.key`,",
            "a word is what stands between",
        ),
        (
            new().scrubber(Scrubber::new().deny("userEmail")),
            "scrubber denies `userEmail`,",
            "a word is what stands between",
        ),
        (new().scrubber(Scrubber::new().deny("")), "scrubber denies ``,", "a word is what stands between"),
        (new().dsn("host/1"), "malformed dsn: it starts with `host/1`;", "http:// or https://"),
        (new().dsn("https://host/1"), "malformed dsn: it has no public key;", "https://KEY@host/project"),
        (new().dsn("https://k y@host/1"), "malformed dsn: its public key", "ASCII letters, digits, `-` and `_`"),
        (new().dsn("https://key@/1"), "malformed dsn: it has no host;", "https://key@HOST/project"),
        (new().dsn("https://key@h!/1"), "malformed dsn: `h!` is no host name;", "https://key@HOST/project"),
        (new().dsn("https://key@host:http/1"), "malformed dsn: the port `http`", "from 1 to 65535"),
        (new().dsn("https://key@host"), "malformed dsn: it has no project;", "https://key@host/PROJECT"),
        (new().dsn("https://key@host/project"), "malformed dsn: the project `project`", "https://key@host/42"),
        (new().dsn("https://key@host/ä/1"), "malformed dsn: its path", "visible ASCII characters"),
    ];
    for (options, given, works) in cases {
        let message = refusal(options);
        assert!(message.starts_with(given) && message.contains(works), "{message}");
    }
}

#[test]
fn values_at_the_limits_are_taken() {
    let second = Duration::from_secs(1);
    for set in [
        |options: Options| options.traces_sample_rate(0.0),
        |options: Options| options.traces_sample_rate(1.0),
        |options: Options| options.max_buffer_bytes(1 << 20),
        |options: Options| options.max_buffer_bytes(1 << 30),
        |options: Options| options.request_timeout(Duration::from_secs(1)),
        |options: Options| options.request_timeout(Duration::from_secs(86_400)),
        |options: Options| options.shutdown_timeout(Duration::ZERO),
        |options: Options| options.shutdown_timeout(Duration::MAX),
        |options: Options| options.org_id(" 1 "),
        |options: Options| options.release("").environment("").dist("").server_name(""),
        |options: Options| options.ignore_spans([""; 0]).trace_propagation_targets([""; 0]),
        |options: Options| options.scrubber(Scrubber::new().deny("iban").deny("IBAN").allow("any.key")),
        |options: Options| options.scrubber(None),
    ] {
        let transport = CaptureTransport::new();
        let options = set(Options::new().traces_sample_rate(1.0).transport(transport.clone()));
        let text = format!("{options:?}");
        let runtime = Runtime::new(options).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(runtime.close(second), "{text}");
    }
}

#[test]
fn without_a_dsn_everything_works_and_nothing_is_recorded() {
    let runtime = Runtime::new(Options::new().traces_sample_rate(1.0)).expect("no dsn is no error");
    let _entered = runtime.enter();
    let span = start_span("nothing").start();
    span.set_attribute("a", 1);
    assert_eq!((span.trace_id(), span.is_sampled()), (None, false));
    span.end();
    assert!(runtime.flush(Duration::from_secs(1)));
    assert_eq!(runtime.stats(), span_runtime::Stats::default());
    assert!(Runtime::new(Options::new().dsn("  ")).is_ok(), "an empty dsn is none");
}

#[test]
fn options_can_be_logged_without_the_key() {
    let text = format!("{:?}", Options::new().dsn(format!("https://{KEY}@host/1")));
    assert!(text.contains("host/1") && !text.contains(KEY), "{text}");
}

/// The environment belongs to a process, so each case has one: this test binary again, which runs the test below.
fn child(options: &str, variables: &[(&str, impl AsRef<OsStr>)]) -> String {
    let this = std::env::current_exe().expect("the path of this binary");
    let output = Command::new(this)
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("CHILD", options)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("this binary runs");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Prints what it is given.
struct Printer;

impl log::Log for Printer {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("span_runtime") {
            println!("\n{}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

#[test]
fn child_process() {
    let Ok(options) = std::env::var("CHILD") else {
        return; // run by the others only
    };
    log::set_logger(&Printer).expect("there is no other logger");
    log::set_max_level(log::LevelFilter::Trace);
    let options = match &*options {
        "from the environment" => Options::from_env(),
        "from code" => {
            let options =
                Options::from_env().traces_sample_rate(1.0).trace_lifecycle(TraceLifecycle::Stream).debug(false);
            options.release("code@1").environment("code").dist("code").server_name("code")
        }
        "new" => Options::new(),
        other => panic!("no such options: {other}"),
    };
    match span_runtime::init(options) {
        Ok(guard) => {
            let sampled = {
                let span = start_span("name of a span").attribute("key of an attribute", 1).start();
                (span.trace_id().is_some(), span.is_sampled())
            };
            guard.flush(Duration::from_secs(5));
            println!("\noutcome: {sampled:?}");
        }
        Err(error) => println!("\noutcome: {error}"),
    }
}

fn outcome(variables: &[(&str, impl AsRef<OsStr>)]) -> String {
    let output = child("from the environment", variables);
    let line = output.lines().find_map(|line| line.strip_prefix("outcome: "));
    line.unwrap_or_else(|| panic!("no outcome in: {output}")).to_owned()
}

const NOTHING: [(&str, &str); 0] = [];

/// Where nobody listens.
const NOWHERE: (&str, &str) = ("SENTRY_DSN", "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1");

#[test]
fn the_environment_is_read_and_nonsense_in_it_is_an_error() {
    let dsn = NOWHERE;
    assert_eq!(outcome(&NOTHING), "(false, false)");
    assert_eq!(outcome(&[dsn]), "(false, false)", "without a rate, tracing is off");
    assert_eq!(outcome(&[dsn, ("SENTRY_TRACES_SAMPLE_RATE", "1.0")]), "(true, true)");
    assert_eq!(outcome(&[dsn, ("SENTRY_TRACES_SAMPLE_RATE", "0")]), "(true, false)");
    assert_eq!(outcome(&[dsn, ("SENTRY_TRACES_SAMPLE_RATE", " ")]), "(false, false)", "empty is not set");
    for nonsense in ["two", "-1", "1.5", "NaN", "1,0"] {
        let message = outcome(&[dsn, ("SENTRY_TRACES_SAMPLE_RATE", nonsense)]);
        assert!(message.contains("SENTRY_TRACES_SAMPLE_RATE") && message.contains(nonsense), "{message}");
        assert!(message.contains("a number from 0 to 1"), "{message}");
    }
    let message = outcome(&[("SENTRY_DSN", "not a dsn")]);
    assert!(message.contains("malformed dsn in the environment variable SENTRY_DSN"), "{message}");
    assert!(message.contains("https://"), "{message}");
    assert_eq!(outcome(&[("SENTRY_DSN", "  ")]), "(false, false)", "empty is not set");
    for on in ["true", "1", "YES", "on", "false", "0", "no", "Off", ""] {
        assert_eq!(outcome(&[("SENTRY_DEBUG", on)]), "(false, false)", "{on}");
    }
    let message = outcome(&[("SENTRY_DEBUG", "2")]);
    assert!(message.contains("SENTRY_DEBUG is `2`; `true` or `false` would work"), "{message}");
}

#[test]
fn each_variable_is_read_for_what_code_does_not_set() {
    let receiver = Receiver::start().expect("a port on loopback");
    let dsn = receiver.dsn();
    let variables = [
        ("SENTRY_DSN", &*dsn),
        ("SENTRY_TRACES_SAMPLE_RATE", "1"),
        ("SENTRY_RELEASE", "environment@1"),
        ("SENTRY_ENVIRONMENT", "staging"),
        ("SENTRY_DIST", "7"),
        ("SENTRY_SERVER_NAME", "machine"),
        ("SENTRY_TRACE_LIFECYCLE", "stream"),
        ("SENTRY_DEBUG", "true"),
    ];
    let keys = ["sentry.release", "sentry.environment", "sentry.dist", "server.address"];
    for (options, expected) in [
        ("from the environment", Some(["environment@1", "staging", "7", "machine"])),
        ("from code", Some(["code@1", "code", "code", "code"])),
        ("new", None),
    ] {
        let output = child(options, &variables);
        let spans = receiver.spans();
        receiver.forget();
        let sent = spans.first().map(|span| keys.map(|key| span.text(key).unwrap_or_default()));
        assert_eq!(sent, expected, "{options}: {output}");
        assert_eq!(output.contains("DEBUG: "), options == "from the environment", "{options}: {output}");
    }
    // Where nothing says otherwise.
    let output = child("from the environment", &variables[..2]);
    let spans = receiver.spans();
    let sent = spans.first().map(|span| keys.map(|key| span.text(key)));
    assert!(matches!(sent, Some([None, Some("production"), None, _])), "{sent:?} {output}");
    // A service that does not sample in the environment, and does in code.
    let output = child("from code", &[("SENTRY_DSN", &*dsn), ("SENTRY_TRACES_SAMPLE_RATE", "0")]);
    assert!(output.contains("outcome: (true, true)"), "{output}");
}

#[cfg(unix)]
#[test]
fn variables_that_are_no_text_are_errors_that_show_no_key() {
    use std::os::unix::ffi::OsStrExt;
    for name in [
        "SENTRY_TRACES_SAMPLE_RATE",
        "SENTRY_RELEASE",
        "SENTRY_ENVIRONMENT",
        "SENTRY_DIST",
        "SENTRY_SERVER_NAME",
        "SENTRY_TRACE_LIFECYCLE",
        "SENTRY_DEBUG",
    ] {
        let message = outcome(&[(name, OsStr::from_bytes(b"shop@\xff"))]);
        assert_eq!(message, format!("the environment variable {name} is `shop@\u{fffd}`; text in UTF-8 would work"));
    }
    let message = outcome(&[("SENTRY_DSN", OsStr::from_bytes(format!("https://{KEY}@h\u{1}st/1").as_bytes()))]);
    assert!(message.contains("SENTRY_DSN") && message.contains("no host name") && !message.contains(KEY), "{message}");
    let broken = [b"https://", KEY.as_bytes(), b"\xff@host/1"].concat();
    let message = outcome(&[("SENTRY_DSN", OsStr::from_bytes(&broken))]);
    assert!(message.contains("SENTRY_DSN: its public key") && !message.contains(KEY), "{message}");
}

#[test]
fn debug_tells_what_the_runtime_does_and_nothing_of_single_spans() {
    let receiver = Receiver::start().expect("a port on loopback");
    let dsn = receiver.dsn();
    let variables = [("SENTRY_DSN", &*dsn), ("SENTRY_TRACES_SAMPLE_RATE", "1"), ("SENTRY_DEBUG", "true")];
    let output = child("from the environment", &variables);
    for told in [
        format!("spans go to http://***@{}/42", receiver.addr()),
        "the server took an envelope with 1 span".into(),
        "flush, 5s at most: everything is sent".into(),
        "closed, everything is sent: started=1 sent=1 lost=0 open=0".into(),
    ] {
        assert!(output.contains(&format!("DEBUG: sentry: {told}")), "{told} in {output}");
    }
    for untold in [KEY, "name of a span", "key of an attribute"] {
        assert!(!output.contains(untold), "{untold} in {output}");
    }
    let output = child("from the environment", &variables[1..]);
    assert!(output.contains("there is no dsn"), "{output}");
    let output = child("from the environment", &[variables[0], variables[2]]);
    assert!(output.contains("tracing is off"), "{output}");
    let output = child("from the environment", &[NOWHERE, variables[1], variables[2]]);
    for told in ["an envelope with 1 span is lost: network_error", "not everything was sent"] {
        assert!(output.contains(told), "{told} in {output}");
    }
    // What is not asked for is not told.
    let output = child("from the environment", &variables[..2]);
    assert!(!output.contains("DEBUG"), "{output}");
}

#[test]
fn a_second_init_is_refused_while_the_first_guard_lives() {
    let options = || Options::new().dsn(NOWHERE.1);
    let first = span_runtime::init(options()).expect("the first");
    let error = span_runtime::init(options()).expect_err("the second");
    assert!(error.to_string().contains("installed already"), "{error}");
    drop(first);
    drop(span_runtime::init(options()).expect("after the first has gone"));
}

// behaviour 1
#[test]
fn the_lifecycle_comes_from_the_option_or_else_from_the_environment() {
    let on = [NOWHERE, ("SENTRY_TRACES_SAMPLE_RATE", "1")];
    let with = |lifecycle: &str| outcome(&[&on[..], &[("SENTRY_TRACE_LIFECYCLE", lifecycle)]].concat());
    assert_eq!(with(""), "(true, true)", "the default is to stream");
    assert_eq!(with("stream"), "(true, true)");
    let message = with("static");
    if cfg!(feature = "legacy") {
        assert_eq!(message, "(false, false)", "nothing streams in the static lifecycle");
    } else {
        assert!(message.contains("feature `legacy`"), "{message}");
    }
    let message = with("transactions");
    assert!(message.contains("SENTRY_TRACE_LIFECYCLE") && message.contains("`stream` or `static`"), "{message}");

    let refused = Runtime::new(Options::new().trace_lifecycle(TraceLifecycle::Static));
    assert_eq!(refused.is_ok(), cfg!(feature = "legacy"), "{refused:?}");
}

const SOURCE: &str = include_str!("../../span-runtime/src/client/options.rs");

/// The setters of `Options`, each with its documentation.
fn setters() -> Vec<(&'static str, String)> {
    let mut documentation = String::new();
    let mut setters = Vec::new();
    for line in SOURCE.lines() {
        let line = line.trim_start();
        match (line.strip_prefix("///"), line.strip_prefix("pub fn ")) {
            (Some(text), _) => documentation.extend([text, " "]),
            (_, Some(signature)) if signature.contains("mut self") => {
                let name = signature.split(['(', '<']).next().expect("a split has a first piece");
                setters.push((name, std::mem::take(&mut documentation)));
            }
            _ if line.starts_with("#[") => {}
            _ => documentation.clear(),
        }
    }
    setters
}

/// The cells of all rows of the document whose first is an option.
fn rows() -> Vec<Vec<&'static str>> {
    let options = DOCUMENT.split("## What is invalid").next().expect("a split has a first piece");
    let rows = options.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The variables that a text names.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("SENTRY_")).collect()
}

#[test]
fn each_option_is_in_the_table_with_its_default_and_the_reason_for_it() {
    let options: BTreeSet<&str> = setters().iter().map(|(name, _)| *name).collect();
    assert!(options.len() > 20 && options.contains("dsn"), "they are found: {options:?}");
    let rows = rows();
    let documented: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(documented.len(), rows.len(), "each once");
    let missing: Vec<_> = options.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/configuration.md has no row for {missing:?}");
    let stale: Vec<_> = documented.difference(&options).collect();
    assert!(stale.is_empty(), "docs/configuration.md has a row for {stale:?}, which is no option");
    for row in rows {
        assert_eq!(row.len(), 5, "{row:?}");
        assert!(row[2..].iter().all(|cell| !cell.is_empty()), "default, reason and meaning: {row:?}");
    }
}

#[test]
fn each_option_says_its_default_and_its_variable() {
    for (name, documentation) in setters() {
        assert!(documentation.contains("Default:"), "the documentation of {name} has no default");
        let row = rows().into_iter().find(|row| row[0].trim_matches('`') == name).expect("the test above says so");
        let named: Vec<_> = variables(&documentation).into_iter().collect();
        assert_eq!(named, variables(row[1]).into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn each_variable_that_is_read_is_in_the_document_and_no_other() {
    let sources = [
        include_str!("../../span-runtime/src/client/settings.rs"),
        include_str!("../../span-runtime/src/propagation/mod.rs"),
    ];
    // Text in quotes is every second piece.
    let texts = sources.iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    let read: BTreeSet<&str> = texts.filter(|text| text.starts_with("SENTRY_")).collect();
    assert!(read.contains("SENTRY_DSN") && read.contains("SENTRY_BAGGAGE"), "they are found: {read:?}");
    assert_eq!(variables(DOCUMENT), read);
    let from_env = SOURCE.split("pub fn from_env").next().expect("a split has a first piece");
    assert_eq!(variables(from_env), read, "what the documentation of `from_env` names");
}

#[test]
fn what_init_says_is_what_the_document_says_that_it_does() {
    let new = Options::new;
    for options in [
        new().dsn("https://key@host/shop"),
        new().traces_sample_rate(1.5),
        new().scrubber(Scrubber::new().deny("user.email")),
        new().org_id("acme"),
        new().max_buffer_bytes(65_536),
        new().request_timeout(Duration::from_millis(500)),
    ] {
        let message = refusal(options);
        assert!(DOCUMENT.contains(&format!("| {message} |")), "{message}");
    }
    for (name, value) in [
        ("SENTRY_DSN", "sentry.io/42"),
        ("SENTRY_TRACES_SAMPLE_RATE", "50%"),
        ("SENTRY_TRACE_LIFECYCLE", "span"),
        ("SENTRY_DEBUG", "verbose"),
    ] {
        let message = outcome(&[(name, value)]);
        assert!(DOCUMENT.contains(&format!("| `{name}={value}` | {message} |")), "{message}");
    }
    // What regular expressions are refused for is said by their crate.
    let message = refusal(new().ignore_spans([Pattern::regex("GET (")]));
    let (before, after) =
        ("ignore_spans holds the pattern `GET (`, which cannot be read: ", "; `Pattern::text` takes any text as it is");
    assert!(message.starts_with(before) && message.ends_with(after), "{message}");
    assert!(DOCUMENT.contains(&format!("{before}…{after}")));
}
