//! What the transports say through `log`: trouble once, and secrets never. The logger is the process's, so there is one test.
#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;
use span_runtime::testing::{Answer, Receiver};
use span_runtime::{Options, Runtime, start_span};
use span_tests::SOON;

/// Everything that anybody in this process says, however quietly.
static SAID: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = format!("{}: {}", record.target(), record.args());
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push((record.level(), text));
    }

    fn flush(&self) {}
}

/// What was said until now.
fn said() -> Vec<(Level, String)> {
    std::mem::take(&mut *SAID.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What of it an operator reads.
fn told(said: &[(Level, String)]) -> Vec<(Level, &str)> {
    said.iter().filter(|(level, _)| *level <= Level::Warn).map(|(level, text)| (*level, text.as_str())).collect()
}

fn trace(runtime: &Runtime) {
    let _entered = runtime.enter();
    start_span("root").start().end();
}

// behaviours 48, 52, 53, 54
#[test]
fn trouble_is_told_once_and_secrets_never() {
    log::set_logger(&Listener).expect("there is no other logger");
    log::set_max_level(log::LevelFilter::Trace);
    let mut all = Vec::new();
    for pooled in [false, true] {
        for (status, level, words) in [
            (413, Level::Error, "too large"),
            (401, Level::Warn, "refused an envelope with status 401"),
            (503, Level::Warn, "could not be sent"),
        ] {
            let receiver = Receiver::start().expect("a port on loopback");
            receiver.answer_with(Answer::status(status));
            let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0).pooled_transport(pooled);
            let runtime = Runtime::new(options).expect("the options are valid");
            let deadline = Instant::now() + SOON;
            while receiver.request_count() < 4 {
                assert!(Instant::now() < deadline, "it is asked again and again");
                trace(&runtime);
                runtime.flush(Duration::from_millis(200));
            }
            receiver.answer_with(Answer::status(200));
            trace(&runtime);
            runtime.flush(SOON);
            drop(runtime);
            let said = said();
            let told = told(&said);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].0 == level && told[0].1.contains(words), "{told:?}");
            let recovered = said.iter().any(|(_, text)| text.contains("answers again"));
            assert_eq!(recovered, status == 503, "{said:?}");
            all.extend(said);
        }
    }

    // A proxy, with a password, and a viewer, neither of which is there.
    let gone = Receiver::start().expect("a port on loopback");
    let addr = gone.addr();
    drop(gone);
    let options = Options::new()
        .dsn("http://0123456789abcdef0123456789abcdef@localhost/1")
        .traces_sample_rate(1.0)
        .pooled_transport(true)
        .http_proxy(format!("http://user:password@{addr}"))
        .spotlight(format!("http://{addr}/stream"));
    let shown = format!("{options:?}");
    let runtime = Runtime::new(options).expect("the options are valid");
    for _ in 0..3 {
        trace(&runtime);
        runtime.flush(Duration::from_millis(200));
    }
    drop(runtime);
    let said = said();
    let told = told(&said);
    assert_eq!(told.iter().filter(|(_, text)| text.contains("Spotlight")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|(_, text)| text.contains("could not be sent")).count(), 1, "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");

    all.extend(said);
    assert!(all.iter().any(|(_, text)| text.starts_with("ureq")), "what the client says is heard here too");
    for text in all.iter().map(|(_, text)| text).chain([&shown]) {
        let secret = ["0123456789abcdef", "password", "cGFzc3dvcmQ", "dXNlcjpwYXNzd29yZA"];
        assert!(!secret.iter().any(|secret| text.contains(secret)), "{text}");
    }
}
