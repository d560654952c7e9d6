//! Bad input gives a clear error and harms nothing.
#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use span_runtime::{Options, Runtime, TraceLifecycle, start_span};

fn refusal(options: Options) -> String {
    Runtime::new(options).expect_err("the options are invalid").to_string()
}

#[test]
fn invalid_options_are_refused_with_what_was_given_and_what_would_work() {
    for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let message = refusal(Options::new().traces_sample_rate(rate));
        assert!(message.contains(&rate.to_string()) && message.contains("from 0"), "{message}");
    }
    let message = refusal(Options::new().max_buffer_bytes(100));
    assert!(message.contains("100") && message.contains("1048576"), "{message}");
    let message = refusal(Options::new().request_timeout(Duration::from_millis(5)));
    assert!(message.contains("5ms") && message.contains("1 s"), "{message}");
    let message = refusal(Options::new().dsn("https://key@host/project"));
    assert!(message.contains("malformed dsn") && message.contains("project"), "{message}");
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
    let key = "0123456789abcdef0123456789abcdef";
    let text = format!("{:?}", Options::new().dsn(format!("https://{key}@host/1")));
    assert!(text.contains("host/1") && !text.contains(key), "{text}");
}

/// The environment belongs to a process, so each case has one: this test binary again, which runs the test below.
fn child(variables: &[(&str, &str)]) -> String {
    let this = std::env::current_exe().expect("the path of this binary");
    let output = Command::new(this)
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("CHILD", "1")
        .envs(variables.iter().copied())
        .output()
        .expect("this binary runs");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn child_process() {
    if std::env::var_os("CHILD").is_none() {
        return; // run by the others only
    }
    match span_runtime::init(Options::from_env()) {
        Ok(_guard) => {
            let sampled = {
                let span = start_span("x").start();
                (span.trace_id().is_some(), span.is_sampled())
            };
            println!("\noutcome: {sampled:?}");
        }
        Err(error) => println!("\noutcome: {error}"),
    }
}

fn outcome(variables: &[(&str, &str)]) -> String {
    let output = child(variables);
    let line = output.lines().find_map(|line| line.strip_prefix("outcome: "));
    line.unwrap_or_else(|| panic!("no outcome in: {output}")).to_owned()
}

#[test]
fn the_environment_is_read_and_nonsense_in_it_is_an_error() {
    let dsn = ("SENTRY_DSN", "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1");
    assert_eq!(outcome(&[]), "(false, false)");
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
    assert!(message.contains("malformed dsn") && message.contains("https://"), "{message}");
}

#[test]
fn a_second_init_is_refused_while_the_first_guard_lives() {
    let options = || Options::new().dsn("http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1");
    let first = span_runtime::init(options()).expect("the first");
    let error = span_runtime::init(options()).expect_err("the second");
    assert!(error.to_string().contains("installed already"), "{error}");
    drop(first);
    drop(span_runtime::init(options()).expect("after the first has gone"));
}

// behaviour 1
#[test]
fn the_lifecycle_comes_from_the_option_or_else_from_the_environment() {
    let on =
        [("SENTRY_DSN", "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1"), ("SENTRY_TRACES_SAMPLE_RATE", "1")];
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
