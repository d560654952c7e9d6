//! Compares what a layer costs a handler of axum that returns at once: ours, tower-http's and sentry's, all of them in one run, round by round.
//!
//! `cargo run --release -p benches --bin layers -- [ROUNDS]`
//! `cargo run --release -p benches --bin layers -- --instructions`
//!
//! A router with one route is called in process, on one thread, without sockets, and each response is read to the end of its body. In each
//! round the router without a layer goes first, and what it took is taken off of what the others took: printed is the cost of the
//! layer alone, in ns a request, as median over the rounds, their range, and how much of it ours takes that does as much. Beside that stand
//! the CPU time of the thread that serves, that of the whole process until everything is exported, and the share of the spans that
//! the exporter was given. Ours writes its envelopes in full; the exporters of the others count what they are given and serialise nothing.
//!
//! Requests are made before the clock starts. Those with headers are each of another trace.
//!
//! `--instructions` counts the instructions of the thread that serves, under callgrind: they repeat where times do not.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io};

use benches::callgrind;
use benches::layers::{self, Incoming, Layered, Running, Server};
use cpu_time::{ProcessTime, ThreadTime};

/// Requests that are made, and then served, one after the other.
const BATCH: usize = 100;

/// A measurement.
const BATCHES: usize = 50;

const SETS: [(&str, Incoming); 2] =
    [("requests that begin a trace", Incoming::Nothing), ("requests that continue a trace", Incoming::Trace)];

/// One measurement, in ns a request.
#[derive(Debug, Clone, Copy)]
struct Sample {
    wall: f64,
    thread: f64,
    process: f64,
    delivered: f64,
}

impl Sample {
    /// What is above that of another.
    fn above(self, base: Sample) -> Sample {
        Sample {
            wall: self.wall - base.wall,
            thread: self.thread - base.thread,
            process: self.process - base.process,
            delivered: self.delivered,
        }
    }
}

/// Serves a batch, and returns what the thread took for it: time, and CPU time.
fn serve(running: &mut Running<'_>, incoming: Incoming) -> (Duration, Duration) {
    let mut requests = running.requests(BATCH, incoming);
    let (mut wall, mut thread) = (Duration::ZERO, Duration::ZERO);
    running.serve(&mut |server| {
        let requests = std::mem::take(&mut requests);
        let cpu = ThreadTime::now();
        let begin = Instant::now();
        server.serve(requests);
        wall = begin.elapsed();
        thread = cpu.elapsed();
    });
    (wall, thread)
}

fn measure(layered: &Layered, incoming: Incoming) -> Sample {
    let mut running = layered.install();
    // The first requests make what a thread keeps for itself.
    serve(&mut running, incoming);
    running.flush();
    let before = running.delivered();
    let process = ProcessTime::now();
    let (mut wall, mut thread) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..BATCHES {
        let batch = serve(&mut running, incoming);
        wall += batch.0;
        thread += batch.1;
    }
    running.flush();
    let process = process.elapsed();
    let requests = (BATCH * BATCHES) as f64;
    Sample {
        wall: wall.as_nanos() as f64 / requests,
        thread: thread.as_nanos() as f64 / requests,
        process: process.as_nanos() as f64 / requests,
        delivered: if layered.exports() { (running.delivered() - before) as f64 / requests } else { 1.0 },
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn of(samples: &[Sample], value: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(value).collect())
}

fn row(name: &str, samples: &[Sample], ours: Option<f64>) {
    let lowest = samples.iter().map(|sample| sample.wall).fold(f64::INFINITY, f64::min);
    let highest = samples.iter().map(|sample| sample.wall).fold(f64::NEG_INFINITY, f64::max);
    let wall = of(samples, |s| s.wall);
    let ratio = ours.map_or_else(String::new, |ours| format!("{:.2}", ours / wall));
    let range = format!("({lowest:.0} to {highest:.0})");
    println!(
        "  {name:<28} {wall:8.0} {range:<18} {ratio:>6}   {:8.0} {:8.0}   {:5.1} %",
        of(samples, |s| s.thread),
        of(samples, |s| s.process),
        of(samples, |s| s.delivered) * 100.0,
    );
}

fn compare(all: &[Layered], incoming: Incoming, rounds: usize) {
    let mut base = Vec::new();
    let mut costs = vec![Vec::new(); all.len()];
    for round in 0..=rounds {
        let mut samples = all.iter().map(|layered| measure(layered, incoming));
        let Some(without) = samples.next() else { return };
        let above: Vec<Sample> = samples.map(|sample| sample.above(without)).collect();
        // The first round warms threads, pools and caches.
        if round > 0 {
            base.push(without);
            costs.iter_mut().skip(1).zip(above).for_each(|(costs, above)| costs.push(above));
        }
    }
    let ours = |name: &str| {
        let at = all.iter().position(|layered| layered.name == name)?;
        costs.get(at).map(|samples| of(samples, |s| s.wall))
    };
    for (layered, costs) in all.iter().zip(&costs) {
        let samples = if costs.is_empty() { &base } else { costs };
        row(layered.name, samples, layered.ours.and_then(ours));
    }
}

/// Checks each of them with each set of requests.
fn verify(all: &[Layered]) -> Result<(), String> {
    for (name, incoming) in SETS {
        for layered in all {
            layered.verify(incoming).map_err(|error| format!("{}, {name}: {error}", layered.name))?;
        }
    }
    Ok(())
}

/// callgrind counts while a thread is inside of this, and finds it by its name.
#[inline(never)]
fn counted_requests(server: &mut Server, requests: Vec<layers::Request>) {
    server.serve(requests);
    std::hint::black_box(server);
}

/// In the process that is counted.
fn run(layered: &Layered, incoming: Incoming) {
    let mut running = layered.install();
    serve(&mut running, incoming);
    running.flush();
    let mut requests = running.requests(BATCH, incoming);
    running.serve(&mut |server| counted_requests(server, std::mem::take(&mut requests)));
    running.flush();
}

/// Instructions a request, above those of no layer.
fn instructions(all: &[Layered]) -> io::Result<()> {
    for (set, (name, _)) in SETS.iter().enumerate() {
        println!("\n{name}");
        let mut base = 0.0;
        for (at, layered) in all.iter().enumerate() {
            let counted = callgrind::instructions("*counted_requests*", &format!("--run={set},{at}"))?;
            let counted = counted as f64 / BATCH as f64;
            println!("  {:<28} {:8.0}", layered.name, counted - base);
            if at == 0 {
                base = counted;
            }
        }
    }
    Ok(())
}

/// What `--run=` names: a set, and one of the layers.
fn to_run<'l>(all: &'l [Layered], argument: &str) -> Option<(&'l Layered, Incoming)> {
    let (set, at) = argument.strip_prefix("--run=")?.split_once(',')?;
    let (_, incoming) = SETS.get(set.parse::<usize>().ok()?)?;
    Some((all.get(at.parse::<usize>().ok()?)?, *incoming))
}

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    let all = layers::all();
    if let Some((layered, incoming)) = argument.as_deref().and_then(|argument| to_run(&all, argument)) {
        run(layered, incoming);
        return ExitCode::SUCCESS;
    }
    if let Err(error) = verify(&all) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    if argument.as_deref() == Some("--instructions") {
        println!("instructions a request; what a layer adds to those of none");
        if let Err(error) = instructions(&all) {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    let rounds = match argument.map(|rounds| rounds.parse::<usize>()) {
        None => 15,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("the number of rounds is a whole number above 0");
            return ExitCode::from(2);
        }
    };
    println!("{rounds} rounds of {} requests; ns a request, and what a layer adds to that", BATCH * BATCHES);
    println!(
        "                                 median (lowest to highest)  ours of it   CPU of: thread, process   delivered"
    );
    for (name, incoming) in SETS {
        println!("\n{name}");
        compare(&all, incoming, rounds);
    }
    ExitCode::SUCCESS
}
