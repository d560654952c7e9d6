//! The server is killed in the middle of a stream, and comes back. (behaviours 46, 52)

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::start_span;
use span_tests::SOON;
use span_tests::endpoint::accept_all;

use super::{BOTH, Kind};

/// The process that is killed: this test binary again, with a port. It prints what it was sent before it answers, so that whatever
/// its client was told stands in its output.
#[test]
fn child_process() {
    let Ok(port) = std::env::var("CHILD_PORT") else { return }; // run by the test below only
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().expect("a port"))).expect("the port is free");
    // On a line of its own: the harness has printed half of one.
    println!("\nport {}", listener.local_addr().expect("it is bound").port());
    for stream in listener.incoming() {
        let serve = |mut stream: TcpStream| {
            accept_all(&mut stream, |posted| {
                let mut lines = String::new();
                for span in posted.envelope().expect("an envelope").spans() {
                    lines.push_str(&format!("span {}\n", span.span_id));
                }
                std::io::stdout().write_all(lines.as_bytes()).expect("the test reads");
            })
        };
        thread::spawn(move || stream.and_then(serve));
    }
}

type Arrived = Arc<Mutex<HashMap<String, usize>>>;

/// Starts the process on this port, 0 for any; its output goes to `arrived`.
fn start(port: u16, arrived: &Arrived) -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().expect("the path of this binary"))
        .args(["--exact", "killed::child_process", "--nocapture"])
        .env("CHILD_PORT", port.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let port = lines.find_map(|line| line.strip_prefix("port ")?.parse().ok()).expect("it says its port");
    let arrived = Arc::clone(arrived);
    thread::spawn(move || {
        for line in lines {
            if let Some(id) = line.strip_prefix("span ") {
                *arrived.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()).or_default() += 1;
            }
        }
    });
    (child, port)
}

// behaviours 46, 52
#[test]
fn what_was_buffered_when_the_server_was_killed_arrives_at_the_next_one() {
    for kind in BOTH {
        kill_and_return(kind);
    }
}

fn kill_and_return(kind: Kind) {
    let arrived = Arrived::default();
    let count = || arrived.lock().unwrap_or_else(PoisonError::into_inner).len();
    let (mut first, port) = start(0, &arrived);
    let runtime = kind.runtime(format!("http://0123456789abcdef0123456789abcdef@127.0.0.1:{port}/42"));
    let mut expected = Vec::new();
    let mut killed = None;
    let mut second = None;
    let begin = Instant::now();
    while expected.len() < 40_000 || second.is_none() {
        assert!(begin.elapsed() < SOON * 3, "{kind:?}: {}", runtime.stats());
        let _entered = runtime.enter();
        let root = start_span("root").start();
        for _ in 0..100 {
            let child = start_span("child").start();
            expected.push(child.span_id().expect("it is recorded").to_string());
        }
        expected.push(root.span_id().expect("it is recorded").to_string());
        drop(root);
        thread::sleep(Duration::from_millis(10));
        match killed {
            // In mid-stream: some have arrived, some are on their way.
            None if count() > 2_000 => {
                // SIGKILL, where there is one.
                first.kill().expect("it runs");
                first.wait().expect("it was killed");
                killed = Some(Instant::now());
            }
            Some(at) if second.is_none() && at.elapsed() > Duration::from_secs(2) => {
                second = Some(start(port, &arrived).0);
            }
            _ => {}
        }
    }
    assert!(runtime.flush(SOON), "{kind:?}: {}", runtime.stats());
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.lost.total()), (expected.len() as u64, 0), "{kind:?} {stats:?}");
    let deadline = Instant::now() + SOON;
    while count() < expected.len() {
        assert!(Instant::now() < deadline, "{kind:?}: {} of {} arrived", count(), expected.len());
        thread::sleep(Duration::from_millis(5));
    }
    let mut second = second.expect("it was started");
    second.kill().expect("it runs");
    second.wait().expect("it was killed");
    let arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(expected.iter().all(|id| arrived.contains_key(id)), "{kind:?}");
    // The one whose answer was lost with the server came twice, as one whole.
    let twice = arrived.values().filter(|times| **times > 1).count();
    assert!(twice <= 1000, "{kind:?}: {twice} spans came twice");
}
