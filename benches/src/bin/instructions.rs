//! Counts the instructions of the threads that make spans, and of the flusher's, under callgrind, and compares them with what is recorded.
//!
//! `cargo run --release -p benches --bin instructions [-- --record]`
//!
//! Instructions repeat where times do not: the same program, the same count, whatever else the machine does. So a change that makes the path
//! of a span longer is seen, which a time would hide in its noise. What is recorded is in `benches/instructions.txt`, as instructions per
//! span; `--record` writes it anew. The counts belong to one compiler: with another one the comparison is only printed.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use benches::callgrind;
use benches::peers::{Peer, Streaming};
use benches::workload::Shape;

/// A count may be so much above the recorded one: chunks are taken where the flusher happens to be.
const TOLERANCE: f64 = 1.04;

/// And so many instructions, where a count is small.
const SLACK: f64 = 3.0;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

/// The compiler that the record is of.
const RUSTC: &str = "1.95";

/// So many requests of each, after as many to warm up.
const REQUESTS: usize = 200;

const COUNTED: &[(&str, Shape)] = &[
    ("requests of 1", Shape::Children(1)),
    ("requests of 10", Shape::Children(10)),
    ("requests of 100", Shape::Children(100)),
    ("requests of 1, 3 attributes", Shape::Attributes(1)),
    ("requests of 100, 3 attributes", Shape::Attributes(100)),
    ("100 deep", Shape::Nested(100)),
    ("functions, requests of 100", Shape::Functions(100)),
    ("ready futures, requests of 100", Shape::Ready(100)),
    ("futures pending once, requests of 100", Shape::Pending(100)),
    ("unsampled, requests of 100", Shape::Unsampled(100)),
    ("tracing off", Shape::Off(100)),
    ("no client", Shape::NoClient(100)),
    ("no current span", Shape::NoCurrent(100)),
];

/// What the flusher is counted with: all that its thread does in its life, from the drain to the envelope.
const BEHIND: &[(&str, Shape)] = &[
    ("flusher, requests of 1, 8 attributes", Shape::Eight(1)),
    ("flusher, requests of 10, 8 attributes", Shape::Eight(10)),
    ("flusher, requests of 100, 8 attributes", Shape::Eight(100)),
    ("flusher, requests of 100", Shape::Children(100)),
];

/// The threads that make spans, while the endpoint hangs: what [`COUNTED`] says of the same shapes.
const HANGING: &[(&str, Shape)] = &[("requests of 10, the endpoint hangs", Shape::Children(10))];

/// So many times [`REQUESTS`], so that its naps and its start weigh little.
const ROUNDS_BEHIND: usize = 20;

/// One of [`COUNTED`], of [`BEHIND`] or of [`HANGING`].
#[derive(Debug, Clone, Copy)]
struct Count {
    name: &'static str,
    shape: Shape,
    behind: bool,
    hangs: bool,
}

fn counts() -> impl Iterator<Item = Count> {
    let of = |behind, hangs| move |&(name, shape)| Count { name, shape, behind, hangs };
    COUNTED
        .iter()
        .map(of(false, false))
        .chain(BEHIND.iter().map(of(true, false)))
        .chain(HANGING.iter().map(of(false, true)))
}

/// callgrind counts while a thread is inside of this, and finds it by its name.
#[inline(never)]
fn counted_requests(peer: &Streaming, shape: Shape) {
    for _ in 0..REQUESTS {
        peer.request(shape);
    }
    std::hint::black_box(peer);
}

/// In the process that is counted.
fn run(count: Count) {
    let shape = count.shape;
    let mut peer = Streaming::default();
    if count.behind {
        peer.install();
        peer.prepare(shape);
        for _ in 0..ROUNDS_BEHIND {
            counted_requests(&peer, shape);
            peer.flush();
        }
        return;
    }
    peer.install();
    peer.prepare(shape);
    for _ in 0..REQUESTS {
        peer.request(shape);
    }
    peer.flush();
    peer.hang(count.hangs);
    counted_requests(&peer, shape);
    peer.hang(false);
    peer.flush();
}

impl Count {
    /// The function inside of which callgrind counts.
    fn inside(self) -> &'static str {
        if self.behind { "*Flusher::run*" } else { "*counted_requests*" }
    }

    /// How many spans are made inside of it, or come through it.
    fn spans(self) -> usize {
        self.shape.spans() * REQUESTS * if self.behind { ROUNDS_BEHIND } else { 1 }
    }
}

/// Instructions per span.
fn count(at: usize, count: Count) -> io::Result<f64> {
    let instructions = callgrind::instructions(count.inside(), &format!("--run={at}"))?;
    Ok(instructions as f64 / count.spans() as f64)
}

fn recorded() -> BTreeMap<String, f64> {
    let text = fs::read_to_string(RECORD).unwrap_or_default();
    let line = |line: &str| {
        let (name, count) = line.rsplit_once(' ')?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn is_the_compiler() -> bool {
    let version = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).starts_with(&format!("rustc {RUSTC}")))
}

fn main() -> ExitCode {
    let argument = env::args().nth(1).unwrap_or_default();
    if let Some(count) = argument.strip_prefix("--run=").and_then(|at| counts().nth(at.parse().ok()?)) {
        run(count);
        return ExitCode::SUCCESS;
    }
    let recorded = recorded();
    let (mut text, mut worse) = (String::new(), 0);
    for (at, each) in counts().enumerate() {
        let name = each.name;
        let count = match count(at, each) {
            Ok(count) => count,
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let before = recorded.get(name).copied();
        let is_worse = before.is_none_or(|before| count > before * TOLERANCE + SLACK);
        worse += usize::from(is_worse);
        let before = before.map_or("nothing recorded".into(), |before| format!("{before:.1} recorded"));
        println!("{name:<40} {count:8.1} instructions a span, {before}{}", if is_worse { "   MORE" } else { "" });
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<40} {count:.1}");
    }
    if argument == "--record" {
        return match fs::write(RECORD, text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{RECORD}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if worse > 0 && !is_the_compiler() {
        println!("the record is of rustc {RUSTC}; another compiler, another count");
        return ExitCode::SUCCESS;
    }
    if worse > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
