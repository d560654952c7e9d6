//! Spans of all kinds for a long time, at a rate that the way out can sustain, over HTTP to another process: resident memory stays flat and
//! the numbers are exact.
//!
//! `cargo run --release -p span-tests --example soak -- 1800` runs for half an hour.
//!
//! The receiver is this program again, so that what is measured is the memory of the one that is instrumented.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::{
    Instrument, Link, LossReason, Options, Runtime, Span, SpanBuilder, Stats, Status, continue_trace, current_span,
    start_span, trace_headers,
};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, accept_all};

span_runtime::lifecycle!(stream);

/// The first argument of the process that receives.
const RECEIVER: &str = "--receiver";

/// How much more memory may be resident after the first minute than the most in it, half of the time: a byte kept for each span would be
/// more than that after half an hour.
const TOLERANCE: usize = 2 << 20;

/// The same for a moment: what waits while the machine does not let the receiver run.
const PEAK: usize = 8 << 20;

const WORKERS: u64 = 4;

/// Each worker does all of its work this often, which makes about 2,000 spans a second, in 200 traces.
const ROUND: Duration = Duration::from_millis(100);

/// Spans that were started and are to arrive; each has its number as an attribute.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Spans that were started in segments that are not sampled.
static UNSAMPLED: AtomicU64 = AtomicU64::new(0);

fn main() {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some(RECEIVER) {
        return receive();
    }
    let seconds = argument.as_deref().map_or(Ok(60), str::parse).expect("how many seconds, as a number");
    soak(Duration::from_secs(seconds));
}

fn soak(duration: Duration) {
    let mut receiver = Other::start();
    let options = Options::new().dsn(receiver.dsn()).traces_sampler(|context| match context.name() {
        "health check" => 0.0,
        _ => 1.0,
    });
    let runtime = Arc::new(Runtime::new(options).expect("the options are valid"));
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (runtime, stop) = (Arc::clone(&runtime), Arc::clone(&stop));
            thread::spawn(move || work(&runtime, &stop))
        })
        .collect();
    let memory = watch(&runtime, duration);
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("a worker does not panic");
    }
    assert!(runtime.flush(SOON), "everything arrives: {}", runtime.stats());
    let stats = runtime.stats();
    println!("{stats}");
    check(&stats, &receiver.end());
    let Memory { settled, later } = memory;
    let (median, highest) = (later[later.len() / 2], later[later.len() - 1]);
    println!("up to {settled} bytes in the first minute, {median} after it in the median, {highest} at most");
    assert!(median <= settled + TOLERANCE, "resident memory is flat");
    assert!(highest <= settled + PEAK, "resident memory has no peaks");
}

/// Nothing is lost but what was not sampled, and what was sent is what arrived, each span once.
fn check(stats: &Stats, arrived: &Arrived) {
    let (sampled, unsampled) = (SERIAL.load(Ordering::Relaxed), UNSAMPLED.load(Ordering::Relaxed));
    assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
    assert_eq!(stats.started, sampled + unsampled, "{stats:?}");
    assert_eq!(stats.sent, sampled, "{stats:?}");
    assert_eq!((stats.lost.get(LossReason::SampleRate), stats.lost.total()), (unsampled, unsampled), "{stats:?}");
    assert_eq!((arrived.distinct, arrived.twice, arrived.violations), (sampled, 0, 0), "what was sent is what arrived");
}

/// Resident memory in bytes.
#[derive(Debug, Default)]
struct Memory {
    /// The highest of the first minute, or of the first third of a shorter run.
    settled: usize,
    /// Each second after that, the lowest first.
    later: Vec<usize>,
}

/// Reads the resident memory every second, and prints it every minute.
fn watch(runtime: &Runtime, duration: Duration) -> Memory {
    let settles = Duration::from_secs(60).min(duration / 3);
    let begin = Instant::now();
    let mut memory = Memory::default();
    let mut second = 0;
    while begin.elapsed() < duration {
        second += 1;
        thread::sleep((Duration::from_secs(1) * second).saturating_sub(begin.elapsed()));
        let now = resident();
        match begin.elapsed() <= settles {
            true => memory.settled = memory.settled.max(now),
            false => memory.later.push(now),
        }
        if second % 60 == 0 || begin.elapsed() >= duration {
            println!("{second:>5} s {now:>10} bytes resident   {}", runtime.stats());
        }
    }
    memory.later.sort_unstable();
    memory
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("with this line");
    let kilobytes: usize = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in kB");
    kilobytes * 1024
}

/// A span that is to arrive.
fn span(name: &'static str) -> SpanBuilder {
    start_span(name).attribute("serial", SERIAL.fetch_add(1, Ordering::Relaxed))
}

/// What one worker does until it is told to stop.
fn work(runtime: &Runtime, stop: &AtomicBool) {
    let _entered = runtime.enter();
    let tasks = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    // Its spans end on another thread than they start on.
    let (detached, ends) = mpsc::channel::<Span>();
    let ender = thread::spawn(move || ends.into_iter().for_each(Span::end));
    // It stays open all the time.
    let open = span("process").start();
    let mut round = 0;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        request(round);
        tasks.block_on(fan_out());
        threads();
        detach(&detached);
        continued();
        unsampled();
        round += 1;
        next += ROUND;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    drop(open);
    drop(detached);
    ender.join().expect("it does not panic");
}

/// A trace of nested spans with attributes of all types, links and statuses.
fn request(round: u64) {
    let root = span("request").root().attribute("round", round).source("route").start();
    root.set_name(format!("request {}", round % 10));
    for part in 0..4 {
        let outer = span("part").attribute("share", 0.25).attribute("words", ["a", "b"]).start();
        for _ in 0..4 {
            let inner = span("step").attribute("text", "x".repeat(part * 100)).start();
            inner.set_attribute("last", part == 3);
            inner.set_status(if part == 2 { Status::Error } else { Status::Ok });
        }
        if let (Some(trace), Some(id)) = (root.trace_id(), root.span_id()) {
            outer.add_link(Link::new(trace, id).attribute("why", "a link"));
        }
    }
}

/// Tasks on other threads, of which one is given up.
async fn fan_out() {
    let all = async {
        let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(task().in_span(span("task").inactive().start()))).collect();
        let given_up = tokio::spawn(std::future::pending::<()>().in_span(span("given up").inactive().start()));
        for task in tasks {
            task.await.expect("it does not panic");
        }
        given_up.abort();
        assert!(given_up.await.is_err(), "it was given up");
    };
    all.in_span(span("fan out").root().inactive().start()).await;
}

async fn task() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
        current_span().set_attribute("progress", true);
        tokio::task::yield_now().in_span(span("poll").inactive().start()).await;
    }
}

/// Threads that live for one span.
fn threads() {
    let root = span("threads").root().start();
    let handle = root.handle();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| span("short-lived").parent(&handle).start().end());
        }
    });
}

/// Spans that are ended elsewhere, the last one after its parent.
fn detach(to: &Sender<Span>) {
    let root = span("detached root").root().start();
    for _ in 0..4 {
        to.send(span("detached").inactive().start()).expect("the other thread takes them");
    }
    drop(root);
}

/// A trace that goes on in what could be another service.
fn continued() {
    let caller = span("caller").root().start();
    let headers = trace_headers();
    let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let trace = continue_trace(pairs);
    drop(caller);
    let _in_trace = trace.enter();
    span("callee").start().end();
}

/// A trace that is not sent.
fn unsampled() {
    UNSAMPLED.fetch_add(3, Ordering::Relaxed);
    let _root = start_span("health check").root().start();
    start_span("below it").start().end();
    start_span("below it").attribute("kept", false).start().end();
}

/// The process that receives, as the other one sees it.
struct Other {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    dsn: String,
}

impl Other {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the path of this program"))
            .arg(RECEIVER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let stdin = process.stdin.take();
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let dsn = line(&mut stdout);
        Other { process, stdin, stdout, dsn }
    }

    fn dsn(&self) -> &str {
        &self.dsn
    }

    /// Has it say what has arrived, and end.
    fn end(&mut self) -> Arrived {
        drop(self.stdin.take());
        let line = line(&mut self.stdout);
        println!("arrived: {line}");
        let number = |name: &str| {
            let rest = line.split_once(&format!("{name}=")).expect("it says all numbers").1;
            rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        self.process.wait().expect("it ends");
        Arrived { distinct: number("distinct"), twice: number("twice"), violations: number("violations") }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It has ended already, unless something was wrong here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn line(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the receiver writes");
    line.trim().to_owned()
}

/// What the receiver has seen.
#[derive(Debug, Default)]
struct Arrived {
    distinct: u64,
    twice: u64,
    violations: u64,
}

/// The same, with a bit for each span.
#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    arrived: Arrived,
}

impl Seen {
    fn add(&mut self, serial: u64) {
        let (word, bit) = (usize::try_from(serial / 64).expect("there are not that many"), 1 << (serial % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.arrived.distinct += 1;
        } else {
            self.arrived.twice += 1;
        }
    }

    fn violate(&mut self, what: &str) {
        eprintln!("{what}");
        self.arrived.violations += 1;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes envelopes until standard input ends, and says what was in them.
fn receive() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let endpoint = Endpoint::start({
        let seen = Arc::clone(&seen);
        move |mut stream, _| {
            accept_all(&mut stream, |posted| match posted.envelope() {
                Ok(envelope) => {
                    let mut seen = lock(&seen);
                    for span in envelope.spans() {
                        match span.attribute("serial").and_then(|serial| serial.as_u64()) {
                            Some(serial) => seen.add(serial),
                            None => seen.violate(&format!("{} has no number", span.name)),
                        }
                    }
                }
                Err(violations) => violations.iter().for_each(|what| lock(&seen).violate(what)),
            })
        }
    });
    println!("{}", endpoint.dsn("http"));
    io::stdout().flush().expect("the other process reads");
    // What is sent there is of no interest, but its end is.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let seen = lock(&seen);
    let Arrived { distinct, twice, violations } = &seen.arrived;
    println!("distinct={distinct} twice={twice} violations={violations}");
}
