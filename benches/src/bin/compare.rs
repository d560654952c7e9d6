//! Compares span-runtime with its peers, all of them in one run, round by round.
//!
//! `cargo run --release -p benches --bin compare -- [ROUNDS] [WORKLOAD] [PEER...]`
//!
//! The machine's speed changes while one measures, so only ratios within a run mean something: each round runs a workload with every
//! peer, one right after the other. Printed are the medians over the rounds, their range, and the ratio to fastrace.
//!
//! A span that was dropped was not cheap, and neither is one that costs its time elsewhere. So beside the time of the
//! threads that make the spans stand their CPU time, that of the whole process until everything is exported, and the share of the spans that
//! the exporter was given. Ours writes its envelopes in full; the exporters of the others count what they are given and serialise nothing.
//! The last rows are ours without serialising: with spans that the other side has asked not to be sent. Beside them stands what the process takes
//! with fastrace in the same rounds.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use benches::peers::{self, Peer, Streaming};
use benches::workload::{OWNED, Shape, WORKLOADS, Workload};
use cpu_time::{ProcessTime, ThreadTime};

/// One measurement, in ns per span.
#[derive(Clone, Copy)]
struct Sample {
    wall: f64,
    producers: f64,
    process: f64,
    delivered: f64,
}

/// What the threads took that made the spans.
struct Producers {
    wall: Duration,
    cpu: Duration,
}

fn produce(peer: &dyn Peer, workload: &Workload) -> Producers {
    let run = || {
        let cpu = ThreadTime::now();
        let begin = Instant::now();
        for _ in 0..workload.requests {
            peer.request(workload.shape);
        }
        Producers { wall: begin.elapsed(), cpu: cpu.elapsed() }
    };
    let Some(threads) = workload.threads else { return run() };
    let barrier = Barrier::new(threads);
    let each: Vec<Producers> = thread::scope(|scope| {
        let spawn = |_| {
            scope.spawn(|| {
                // The first request of a thread makes what it keeps for itself.
                peer.request(workload.shape);
                barrier.wait();
                run()
            })
        };
        let running: Vec<_> = (0..threads).map(spawn).collect();
        running.into_iter().map(|thread| thread.join().expect("a request does not panic")).collect()
    });
    Producers {
        wall: each.iter().map(|one| one.wall).max().unwrap_or_default(),
        cpu: each.iter().map(|one| one.cpu).sum(),
    }
}

fn measure(peer: &dyn Peer, workload: &Workload) -> Sample {
    let before = peer.delivered();
    let process = ProcessTime::now();
    let producers = produce(peer, workload);
    peer.flush();
    let process = process.elapsed();
    let threads = workload.threads.unwrap_or(1);
    let spans = (workload.shape.spans() * workload.requests * threads) as f64;
    // With threads of their own, each has made one request more.
    let made = workload.shape.recorded() * (workload.requests + usize::from(workload.threads.is_some())) * threads;
    Sample {
        wall: producers.wall.as_nanos() as f64 / spans,
        producers: producers.cpu.as_nanos() as f64 / spans,
        process: process.as_nanos() as f64 / spans,
        delivered: if made == 0 { 1.0 } else { (peer.delivered() - before) as f64 / made as f64 },
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(name: &str, samples: &[Sample], baseline: f64) {
    let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
    let lowest = samples.iter().map(|sample| sample.wall).fold(f64::INFINITY, f64::min);
    let highest = samples.iter().map(|sample| sample.wall).fold(0.0, f64::max);
    let (wall, producers, process) = (of(|s| s.wall), of(|s| s.producers), of(|s| s.process));
    println!(
        "  {name:<24} {wall:8.1} ({lowest:.1} to {highest:.1})   {:5.2}   {producers:8.1} {process:8.1}   {:5.1} %",
        wall / baseline,
        of(|s| s.delivered) * 100.0,
    );
}

fn compare(peers: &mut [Box<dyn Peer>], workload: &Workload, rounds: usize) {
    let mut known: Vec<_> = peers.iter_mut().filter(|peer| peer.knows(workload.shape)).collect();
    for peer in &mut known {
        peer.prepare(workload.shape);
    }
    let mut samples = vec![Vec::new(); known.len()];
    for round in 0..=rounds {
        for (peer, samples) in known.iter().zip(&mut samples) {
            let sample = measure(&***peer, workload);
            // The first round warms threads, pools and caches.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    println!("\n{}", workload.name);
    let of = |name: &str| known.iter().position(|peer| peer.name() == name);
    let baseline = of("fastrace").and_then(|at| samples.get(at));
    let baseline = baseline.map_or(f64::NAN, |samples| median(samples.iter().map(|sample| sample.wall).collect()));
    for (peer, samples) in known.iter().zip(&samples) {
        row(peer.name(), samples, baseline);
    }
}

/// Two readings of the clock that ours and fastrace use: the least that a span with a start and an end can cost. And with the owned text of the
/// three attributes, which the program makes, and somebody has to free.
fn floor(owned: bool) -> f64 {
    let once = || {
        let begin = Instant::now();
        for _ in 0..10_000 {
            let start = fastant::Instant::now();
            if owned {
                std::hint::black_box(std::hint::black_box(OWNED).to_owned());
            }
            std::hint::black_box((start, fastant::Instant::now()));
        }
        begin.elapsed().as_nanos() as f64 / 10_000.0
    };
    median((0..15).map(|_| once()).collect())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let rounds = match arguments.next().map(|rounds| rounds.parse::<usize>()) {
        None => 15,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("the number of rounds is a whole number above 0");
            return ExitCode::from(2);
        }
    };
    let wanted = arguments.next().unwrap_or_default();
    // Those of which the name is a part, unless one has this very name.
    let is_name = WORKLOADS.iter().any(|workload| workload.name == wanted);
    let is_wanted = |name: &str| if is_name { name == wanted } else { name.contains(&wanted) };
    let chosen = || WORKLOADS.iter().filter(|workload| is_wanted(workload.name));

    println!("{rounds} rounds; ns per span");
    println!("two readings of the clock: {:.1}; and a short owned text: {:.1}", floor(false), floor(true));
    println!(
        "                               median (lowest to highest)  of fastrace   CPU of: producers, process   delivered"
    );
    let named: Vec<String> = arguments.collect();
    let mut peers = peers::all();
    peers.retain(|peer| named.is_empty() || named.iter().any(|name| peer.name().contains(name)));
    for workload in chosen().filter(|workload| !workload.shape.wants_client()) {
        compare(&mut peers, workload, rounds);
    }
    for peer in &mut peers {
        peer.install();
        if let Err(error) = peer.verify() {
            eprintln!("{}: {error}", peer.name());
            return ExitCode::FAILURE;
        }
    }
    for workload in chosen().filter(|workload| workload.shape.wants_client()) {
        compare(&mut peers, workload, rounds);
    }
    drop(peers);
    if named.is_empty() || named.iter().any(|name| "span-runtime".contains(name.as_str())) {
        without_serialising(rounds);
    }
    ExitCode::SUCCESS
}

/// What ours costs the process when nothing is serialised, and fastrace in the same rounds.
fn without_serialising(rounds: usize) {
    let mut ours = Streaming::default();
    ours.install();
    ours.limit();
    let mut others = peers::all();
    others.retain(|peer| peer.name() == "fastrace");
    others.iter_mut().for_each(|peer| peer.install());
    println!("\nspan-runtime, nothing serialised");
    for (name, requests, shape) in
        [("requests of 10", 1_000, Shape::Children(10)), ("requests of 100", 100, Shape::Children(100))]
    {
        let workload = Workload { name, shape, requests, threads: None };
        let (mut samples, mut of_others) = (Vec::new(), Vec::new());
        // The first of each warms.
        for _ in 0..=rounds {
            samples.push(measure(&ours, &workload));
            of_others.extend(others.iter().map(|peer| measure(&**peer, &workload)));
        }
        let process = |samples: &[Sample]| median(samples.iter().map(|sample| sample.process).collect());
        row(name, &samples[1..], f64::NAN);
        let of_others = process(of_others.get(1..).unwrap_or_default());
        println!("    of the process, {:.2} of fastrace's {of_others:.1}", process(&samples[1..]) / of_others);
    }
}
