//! What the levels of gzip make of envelopes, and what they cost.
//!
//! `cargo run --release -p benches --bin compression`
//!
//! The envelopes are real ones, of requests whose children have eight attributes. Printed are, for each level, the size as a share of what it was, and the
//! CPU time of the thread that compresses, in ns per span: of many runs the least, as other work on the machine makes it slower and never faster.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use benches::peers::{Peer, Streaming};
use benches::workload::Shape;
use cpu_time::ThreadTime;
use flate2::Compression;
use flate2::write::GzEncoder;

/// As the transport does it.
fn compressed(envelope: &[u8], level: u32) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(envelope.len() / 8), Compression::new(level));
    encoder.write_all(envelope)?;
    encoder.finish()
}

fn run() -> Result<(), String> {
    let mut peer = Streaming::default();
    peer.install();
    peer.verify()?;
    peer.prepare(Shape::Eight(1));
    for children in [1, 9, 99, 999] {
        let envelope = peer.envelope(Shape::Eight(children));
        let spans = children + 1;
        println!("an envelope of {spans} spans, {} bytes", envelope.len());
        for level in 1..=9 {
            let (mut least, mut size) = (f64::INFINITY, 0);
            for _ in 0..(30_000 / spans).clamp(30, 3000) {
                let begin = ThreadTime::now();
                let compressed = compressed(&envelope, level).map_err(|error| error.to_string())?;
                least = least.min(begin.elapsed().as_nanos() as f64 / spans as f64);
                size = compressed.len();
            }
            let share = size as f64 / envelope.len() as f64 * 100.0;
            println!(
                "  level {level}   {share:5.1} %   {:6.0} bytes a span   {least:7.0} ns a span",
                size as f64 / spans as f64
            );
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
