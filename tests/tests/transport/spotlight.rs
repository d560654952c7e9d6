//! The viewer on the developer's machine. (behaviour 54)

use std::io::Read;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use span_runtime::testing::CaptureTransport;
use span_runtime::{Options, Runtime};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, Posted, accept_all};

use super::{Kind, assert_adds_up, receiver, trace, wait_for};

type Seen = Arc<Mutex<Vec<Posted>>>;

/// A viewer, and what it was shown.
fn viewer() -> (Endpoint, Seen) {
    let seen = Seen::default();
    let shown = Arc::clone(&seen);
    let endpoint = Endpoint::start(move |mut stream, _| {
        accept_all(&mut stream, |posted| shown.lock().unwrap_or_else(PoisonError::into_inner).push(posted))
    });
    (endpoint, seen)
}

fn url(viewer: &Endpoint) -> String {
    format!("http://{}/stream", viewer.addr())
}

/// The names of the spans that a viewer was shown.
fn names(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let spans = |posted: &Posted| posted.envelope().expect("an envelope").spans().to_vec();
    seen.iter().flat_map(spans).map(|span| span.name).collect()
}

// behaviour 54
#[test]
fn the_viewer_is_shown_what_is_sent_and_nothing_of_it_is_counted() {
    let (receiver, (viewer, seen)) = (receiver(), viewer());
    let runtime =
        Runtime::new(Kind::Default.options(receiver.dsn()).spotlight(url(&viewer))).expect("the options are valid");
    for _ in 0..3 {
        trace(&runtime);
        assert!(runtime.flush(SOON));
    }
    wait_for("it is shown all of it", || names(&seen).len() == 6);
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.sent, stats.lost.total()), (6, 6, 0), "{stats:?}");
    let shown = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(shown.iter().all(|posted| posted.head.starts_with("POST /stream HTTP/1.1\r\n")));
    assert!(shown.iter().all(|posted| posted.header("content-type") == Some("application/x-sentry-envelope")));
    // The same bytes, as far as they are not compressed for Sentry; and the key is for Sentry only.
    if !cfg!(feature = "gzip") {
        let bodies: Vec<_> = receiver.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(shown.iter().map(|posted| posted.body.clone()).collect::<Vec<_>>(), bodies);
    }
    assert!(shown.iter().all(|posted| posted.header("x-sentry-auth").is_none()));
    assert_adds_up(&runtime, &receiver);
}

// behaviour 54: a program that is done at once has shown what it did
#[test]
fn closing_shows_the_viewer_what_is_left() {
    let (transport, (viewer, seen)) = (CaptureTransport::new(), viewer());
    let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0).spotlight(url(&viewer));
    let runtime = Runtime::new(options).expect("the options are valid");
    trace(&runtime);
    assert!(runtime.close(SOON));
    assert_eq!(names(&seen), ["child", "root"]);
    assert_eq!(transport.span_count(), 2, "whatever the transport is");
}

// behaviours 48, 54
#[test]
fn a_viewer_that_is_not_there_or_hangs_or_refuses_delays_nothing_and_loses_nothing() {
    let hangs = Endpoint::start(|mut stream, _| stream.read_to_end(&mut Vec::new()).map(drop));
    let refuses = Endpoint::start(|mut stream, _| {
        Posted::read(&mut stream)?;
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")
    });
    let gone = receiver();
    let addr = gone.addr();
    drop(gone);
    for url in [url(&hangs), url(&refuses), format!("http://{addr}/stream")] {
        let receiver = receiver();
        let runtime =
            Runtime::new(Kind::Default.options(receiver.dsn()).spotlight(&*url)).expect("the options are valid");
        let begin = Instant::now();
        for _ in 0..10 {
            trace(&runtime);
            assert!(runtime.flush(SOON));
        }
        // Each envelope would wait for two seconds otherwise.
        assert!(begin.elapsed() < Duration::from_secs(2), "{url}: {:?}", begin.elapsed());
        assert_adds_up(&runtime, &receiver);
        let begin = Instant::now();
        assert!(runtime.close(Duration::from_secs(1)), "{url}: all that counts was sent");
        assert!(begin.elapsed() < Duration::from_secs(3), "{url}: {:?}", begin.elapsed());
    }
}

// behaviour 54
#[test]
fn while_the_server_is_away_the_viewer_is_shown_what_happens() {
    let (viewer, seen) = viewer();
    let gone = receiver();
    let dsn = gone.dsn();
    drop(gone);
    let runtime = Runtime::new(Kind::Default.options(dsn).spotlight(url(&viewer))).expect("the options are valid");
    for _ in 0..3 {
        trace(&runtime);
        runtime.flush(Duration::ZERO);
    }
    wait_for("it is shown all of it", || names(&seen).len() == 6);
    assert_eq!(runtime.stats().sent, 0);
}

// behaviour 54
#[test]
fn without_a_dsn_the_viewer_gets_everything() {
    let (viewer, seen) = viewer();
    let runtime =
        Runtime::new(Options::new().traces_sample_rate(0.0).spotlight(url(&viewer))).expect("no dsn is no error");
    trace(&runtime);
    assert!(runtime.flush(SOON));
    assert_eq!(names(&seen), ["child", "root"]);
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.sent), (2, 2), "{stats:?}");
}

/// The environment belongs to a process, so that this test runs itself again with the variable.
// behaviour 54
#[test]
fn the_variable_says_where_the_viewer_is_and_the_option_whether() {
    if let Some(option) = std::env::var_os("CHILD_OPTION") {
        let options = match &*option.to_string_lossy() {
            "none" => Options::from_env(),
            "true" => Options::from_env().spotlight(true),
            "false" => Options::from_env().spotlight(false),
            url => Options::from_env().spotlight(url),
        };
        let runtime = Runtime::new(options).map(|runtime| {
            trace(&runtime);
            runtime.close(SOON)
        });
        println!("\noutcome: {runtime:?}");
        return;
    }
    let (named, other) = (viewer(), viewer());
    let (at_named, at_other) = (url(&named.0), url(&other.0));
    // Option, variable, and how many spans each of the two is shown.
    for (option, variable, expected) in [
        ("none", &*at_named, (2, 0)),
        ("true", &at_named, (2, 0)),
        ("false", &at_named, (0, 0)),
        (&*at_other, &at_named, (0, 2)),
        (&*at_other, "off", (0, 2)),
        ("none", "No", (0, 0)),
        ("none", "", (0, 0)),
    ] {
        let child = Command::new(std::env::current_exe().expect("the path of this binary"))
            .args(["--exact", "spotlight::the_variable_says_where_the_viewer_is_and_the_option_whether", "--nocapture"])
            .env_clear()
            .env("CHILD_OPTION", option)
            .env("SENTRY_SPOTLIGHT", variable)
            .output()
            .expect("this binary runs");
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(output.contains("outcome: Ok(true)"), "{option} {variable}: {output}");
        assert_eq!((names(&named.1).len(), names(&other.1).len()), expected, "{option} {variable}");
        named.1.lock().unwrap_or_else(PoisonError::into_inner).clear();
        other.1.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

// behaviour 54
#[test]
fn what_is_no_url_is_refused() {
    for given in ["localhost:8969", "file:///stream", "http://", "http://local host/"] {
        let message = Runtime::new(Options::new().spotlight(given)).expect_err(given).to_string();
        assert!(message.contains(given) && message.contains("http://"), "{message}");
    }
}
