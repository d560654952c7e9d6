//! How a process or a thread ends, and what is delivered then. (behaviours 47, 50)
//!
//! Each test runs the program in `src/bin/ends.rs`, which comes to one of these ends, and sends to the test's receiver.
#![cfg(unix)]
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::{Answer, Receiver, Span};
use span_tests::SOON;

/// What the program exits with where it calls `exit`.
const CODE: Option<i32> = Some(7);
const SIGABRT: Option<i32> = Some(6);
const SIGTERM: Option<i32> = Some(15);

/// The longest that a program of this kind may take on a machine that is busy, far below what it would wait for if it waited in vain.
const LONGEST: Duration = Duration::from_secs(60);

const FINISHED: [&str; 2] = ["on another thread", "on the main thread"];

/// A program that has ended, and what it left behind.
struct Ended {
    status: ExitStatus,
    took: Duration,
    said: String,
    receiver: Receiver,
}

impl Ended {
    /// Runs the program to this end.
    fn by(end: &str) -> Self {
        Self::by_with(end, Answer::status(200))
    }

    /// The same, with a server that answers like this.
    fn by_with(end: &str, answer: Answer) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ends"));
        program.arg(end);
        Self::run(program, answer)
    }

    fn run(mut program: Command, answer: Answer) -> Self {
        let receiver = Receiver::start().expect("a loopback port is free");
        receiver.answer_with(answer);
        let begin = Instant::now();
        // A group of its own, with what it forks.
        program.env("ENDS_DSN", receiver.dsn()).process_group(0).stderr(Stdio::piped());
        let mut child = program.spawn().expect("the program runs");
        let mut stderr = child.stderr.take().expect("it is piped");
        let reading = thread::spawn(move || {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            said
        });
        let status = loop {
            if let Some(status) = child.try_wait().expect("it is a child of this process") {
                break status;
            }
            if begin.elapsed() > LONGEST {
                let group = format!("kill -KILL -{}", child.id());
                let _ = Command::new("sh").args(["-c", &group]).status();
                panic!("it has not ended: {}", reading.join().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(2));
        };
        let took = begin.elapsed();
        Ended { status, took, said: reading.join().expect("reading does not panic"), receiver }
    }

    fn assert_exited(&self, code: Option<i32>) {
        assert_eq!((self.status.code(), self.status.signal()), (code, None), "{}", self.said);
    }

    fn assert_killed(&self, signal: Option<i32>) {
        assert_eq!((self.status.code(), self.status.signal()), (None, signal), "{}", self.said);
    }

    /// What arrived, each span once.
    fn spans(&self) -> Vec<Span> {
        assert_eq!(self.receiver.violations(), [""; 0]);
        let spans = self.receiver.spans();
        let ids: HashSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert_eq!(ids.len(), spans.len(), "each span arrives once, and has an id of its own");
        spans
    }

    /// The names of what arrived, in the order of the alphabet.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.spans().into_iter().map(|span| span.name).collect();
        names.sort();
        names
    }
}

fn assert_finished(ended: &Ended, more: &[&str]) {
    let mut expected: Vec<&str> = FINISHED.into_iter().chain(more.iter().copied()).collect();
    expected.sort_unstable();
    assert_eq!(ended.names(), expected, "{}", ended.said);
}

// behaviour 47
#[test]
fn a_return_from_main_without_the_guard_hands_over_what_finished() {
    for end in ["return", "static"] {
        let ended = Ended::by(end);
        ended.assert_exited(Some(0));
        assert_finished(&ended, &[]);
    }
}

// behaviour 47
#[test]
fn an_exit_hands_over_what_finished_whoever_calls_it() {
    for end in ["exit", "exit_in_a_sampler", "exit_on_many_threads"] {
        let ended = Ended::by(end);
        ended.assert_exited(CODE);
        assert_finished(&ended, &[]);
    }
}

// behaviour 47: `exit` runs the destructors of the calling thread's thread-local values, and so ends what is open there
#[test]
fn an_exit_inside_of_a_span_ends_it() {
    for end in ["exit_in_span", "exit_on_another_thread"] {
        let ended = Ended::by(end);
        ended.assert_exited(CODE);
        assert_finished(&ended, &["around the exit"]);
    }
}

// behaviour 47
#[test]
fn without_the_hook_an_exit_hands_over_nothing() {
    let ended = Ended::by("exit_without_the_hook");
    ended.assert_exited(CODE);
    assert_eq!(ended.names(), [""; 0]);
}

// behaviour 47
#[test]
fn the_hook_and_the_guard_do_not_both_send() {
    for end in ["exit_after_the_guard", "exit_while_the_guard_is_dropped"] {
        // So slow that the one is not through when the other begins.
        let ended = Ended::by_with(end, Answer::status(200).after(Duration::from_millis(300)));
        ended.assert_exited(CODE);
        assert_finished(&ended, &[]);
    }
}

// behaviour 47: what other threads have open is not sent, and what they go on to end does not hold up the exit
#[test]
fn threads_that_go_on_neither_lose_what_they_ended_nor_hold_up_the_exit() {
    let ended = Ended::by("exit_with_threads_that_go_on");
    ended.assert_exited(CODE);
    let names = ended.names();
    assert!(!names.iter().any(|name| name == "held by a thread that goes on"), "it has not ended");
    assert!(names.iter().filter(|name| *name == "ends all the time").count() > 10, "{names:?}");
    assert!(FINISHED.iter().all(|name| names.iter().any(|arrived| arrived == name)), "{names:?}");
    assert!(ended.took < SOON, "{:?}", ended.took);
}

// behaviour 47
#[test]
fn the_hook_keeps_to_the_shutdown_timeout() {
    let ended = Ended::by_with("exit_in_front_of_a_server_that_hangs", Answer::hang());
    ended.assert_exited(CODE);
    assert_eq!(ended.names(), [""; 0]);
    let bound = Duration::from_millis(500)..Duration::from_secs(10);
    assert!(bound.contains(&ended.took), "{:?}", ended.took);
}

// behaviours 47, 48: it would be waiting for itself, for as long as the shutdown timeout of five minutes allows
#[test]
fn an_exit_on_a_thread_of_the_runtime_waits_for_nothing() {
    for end in ["exit_in_a_hook", "exit_in_a_transport", "exit_in_a_logger"] {
        Ended::by(end).assert_exited(CODE);
    }
}

// behaviours 8, 47
#[test]
fn a_panic_in_main_drops_the_guard_and_marks_the_span() {
    let ended = Ended::by("panic");
    ended.assert_exited(Some(101));
    assert_finished(&ended, &["around the panic"]);
    let failed: Vec<_> = ended.spans().into_iter().filter(|span| span.status == "error").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name, "around the panic");
}

// behaviour 47
#[test]
fn a_panic_that_aborts_delivers_what_the_panic_hook_flushes() {
    let cargo = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--package", "span-tests-abort", "--features", "program", "--", "-C", "panic=abort"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_ends")).parent().expect("a program is in a folder");
    for (hook, delivered) in [("none", &[][..]), ("flush", &["before the panic"][..])] {
        let mut program = Command::new(folder.join("span-tests-abort"));
        program.arg(hook);
        let ended = Ended::run(program, Answer::status(200));
        ended.assert_killed(SIGABRT);
        assert_eq!(ended.names(), delivered, "{}", ended.said);
    }
}

// behaviour 47
#[test]
fn an_abort_and_a_signal_that_kills_deliver_what_was_sent_before() {
    let ended = Ended::by("abort");
    ended.assert_killed(SIGABRT);
    assert_finished(&ended, &[]);
    let ended = Ended::by("sigterm");
    ended.assert_killed(SIGTERM);
    assert_finished(&ended, &[]);
}

// behaviour 47
#[test]
fn a_signal_that_is_handled_is_as_good_as_a_return() {
    let ended = Ended::by("sigterm_with_a_handler");
    ended.assert_exited(Some(0));
    assert_finished(&ended, &["until it is told"]);
}

// behaviours 7, 47, 50: a thread's values are dropped in the opposite order to that in which it first used them
#[test]
fn spans_in_thread_local_values_end_with_their_thread() {
    let ended = Ended::by("thread_locals");
    ended.assert_exited(Some(0));
    assert_eq!(
        ended.names(),
        [
            "by a macro",
            "current, held by outer",
            "held by inner",
            "held by outer",
            "inactive",
            "root",
            "started by inner"
        ]
    );
}

// behaviours 47, 50
#[test]
fn after_a_close_nothing_is_recorded_until_the_next_init() {
    let ended = Ended::by("close_and_start_anew");
    ended.assert_exited(Some(0));
    assert_finished(&ended, &["of the second"]);
}

// behaviour 47
#[test]
fn a_child_that_was_forked_sends_nothing_of_its_parents_and_waits_for_nothing() {
    for end in ["fork_and_leave", "fork_and_go_on"] {
        let ended = Ended::by(end);
        ended.assert_exited(Some(0));
        assert_eq!(ended.names(), ["after the child", "before the fork", "root", "while the child runs"], "{end}");
    }
}

// behaviours 42, 47
#[test]
fn a_child_that_was_forked_can_start_a_runtime_of_its_own() {
    let ended = Ended::by("fork_and_start_anew");
    ended.assert_exited(Some(0));
    let mut counts = BTreeMap::new();
    for name in ended.names() {
        *counts.entry(name).or_insert(0) += 1;
    }
    let expected =
        [("before the fork", 1), ("of the first child", 101), ("of the parent", 100), ("of the second child", 101)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
    let traces: HashSet<_> = ended.spans().into_iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 303, "each is a trace of its own");
}

// behaviours 12, 42, 47
#[test]
fn traces_that_begin_on_both_sides_of_a_fork_are_not_the_same() {
    let ended = Ended::by("fork_and_begin_traces");
    ended.assert_exited(Some(0));
    let expected = [["before the fork"; 1].as_slice(), &["of a child"; 4], &["of the parent"; 2]].concat();
    assert_eq!(ended.names(), expected, "{}", ended.said);
    let traces: HashSet<_> = ended.spans().into_iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 7, "each is a trace of its own");
}

// behaviour 47
#[test]
fn a_fork_while_other_threads_hold_locks_leaves_nobody_waiting() {
    let ended = Ended::by("fork_in_a_crowd");
    ended.assert_exited(Some(0));
    assert!(!ended.spans().iter().any(|span| span.name.contains("child")), "those of the child are not sent");
}
