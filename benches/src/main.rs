//! Compares span-runtime with its peers, all of them in one run, round by round.
//!
//! `cargo run --release -p benches --bin compare [ROUNDS]`
//!
//! The machine's speed changes while one measures, so only ratios within a round mean something: each round runs every
//! workload with every peer, one right after the other. Printed are the medians over the rounds, their range, and the ratio to fastrace.
//!
//! A span that was dropped was not cheap. So each peer has an exporter that counts what it is given, and the share
//! that arrived stands beside the time. What is measured is the thread that makes the spans; whatever works behind it works at the same
//! time, on a core of its own if the machine has one.
#![forbid(unsafe_code)]

mod peers;
mod workload;

use std::process::ExitCode;
use std::time::Instant;

use peers::Peer;
use workload::{WORKLOADS, Workload};

/// One measurement.
#[derive(Clone, Copy)]
struct Sample {
    nanos_per_span: f64,
    delivered: f64,
}

fn measure(peer: &mut dyn Peer, workload: &Workload) -> Sample {
    let before = peer.delivered();
    let begin = Instant::now();
    for _ in 0..workload.requests {
        peer.request(workload.children, workload.attributes);
    }
    let elapsed = begin.elapsed();
    peer.flush();
    let spans = workload.spans();
    Sample {
        nanos_per_span: elapsed.as_nanos() as f64 / spans as f64,
        delivered: (peer.delivered() - before) as f64 / spans as f64,
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map(|rounds| rounds.parse::<usize>()) {
        None => 15,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("the number of rounds is a whole number above 0");
            return ExitCode::from(2);
        }
    };
    let mut peers = peers::all();
    for peer in &mut peers {
        if let Err(error) = peer.verify() {
            eprintln!("{}: {error}", peer.name());
            return ExitCode::FAILURE;
        }
    }
    println!("{rounds} rounds; ns per span on the thread that makes them: median (lowest to highest), delivered");
    for workload in WORKLOADS {
        let mut samples = vec![Vec::new(); peers.len()];
        for round in 0..=rounds {
            for (at, peer) in peers.iter_mut().enumerate() {
                let sample = measure(&mut **peer, workload);
                // The first round warms threads, pools and caches.
                if round > 0 {
                    samples[at].push(sample);
                }
            }
        }
        println!("\n{}", workload.name);
        let mut baseline = f64::NAN;
        let rows: Vec<_> = peers
            .iter()
            .zip(&samples)
            .map(|(peer, samples)| {
                let mut nanos: Vec<f64> = samples.iter().map(|sample| sample.nanos_per_span).collect();
                let mut delivered: Vec<f64> = samples.iter().map(|sample| sample.delivered).collect();
                let median_nanos = median(&mut nanos);
                if peer.name() == "fastrace" {
                    baseline = median_nanos;
                }
                (peer.name(), median_nanos, nanos, median(&mut delivered))
            })
            .collect();
        for (name, nanos, all, delivered) in rows {
            let (lowest, highest) = (all.first().copied().unwrap_or(nanos), all.last().copied().unwrap_or(nanos));
            println!(
                "  {name:<24} {nanos:8.1} ({lowest:.1} to {highest:.1})  {:5.1} %   {:.2} of fastrace",
                delivered * 100.0,
                nanos / baseline,
            );
        }
    }
    ExitCode::SUCCESS
}
