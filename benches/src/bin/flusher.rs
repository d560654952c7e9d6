//! What the thread behind costs: to drain, to sort into batches and to write spans with eight attributes.
//!
//! `cargo run --release -p benches --bin flusher -- [ROUNDS] [WORKLOAD]`
//!
//! Each round makes about 10,000 spans in one go and flushes, so that the flusher finds what it would find at a rate of a million spans a
//! second. Printed is the CPU time of the flusher's thread by that thread's own clock, which the operating system gives to others as well; beside it
//! that of the transport's thread, with a transport that counts and sends nothing; and, for the threads that make spans, whether they notice that an
//! endpoint hangs. Other work on the machine makes a thread slower, never faster: of all
//! rounds the least and the median are printed. That everything was delivered is checked in each.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use benches::peers::{Peer, Streaming};
use benches::workload::Shape;
use cpu_time::ThreadTime;

/// Children a request, and requests a round.
const REQUESTS: &[(&str, Shape, usize)] = &[
    ("requests of 1", Shape::Eight(1), 5_000),
    ("requests of 10", Shape::Eight(10), 1_000),
    ("requests of 100", Shape::Eight(100), 100),
    ("requests of 1,000", Shape::Eight(1_000), 10),
    ("requests of 1,000, no attributes", Shape::Children(1_000), 10),
];

/// What a round costs, in ns per span.
struct Sample {
    flusher: f64,
    transport: f64,
}

/// One round; an error if a span is missing.
fn measure(peer: &Streaming, clocks: &Clocks, shape: Shape, requests: usize) -> Result<Sample, String> {
    let before = peer.delivered();
    let (flusher, transport) = clocks.read()?;
    for _ in 0..requests {
        peer.request(shape);
    }
    peer.flush();
    let (flusher_after, transport_after) = clocks.read()?;
    let (made, delivered) = ((shape.recorded() * requests) as u64, peer.delivered() - before);
    if made != delivered {
        return Err(format!("{shape:?}: of {made} spans {delivered} were delivered"));
    }
    let each = |nanos: u64| nanos as f64 / made as f64;
    Ok(Sample { flusher: each(flusher_after - flusher), transport: each(transport_after - transport) })
}

/// The least, and the median.
fn of(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2))
}

fn run(rounds: usize, wanted: &str) -> Result<(), String> {
    let mut peer = Streaming::default();
    peer.install();
    peer.verify()?;
    peer.prepare(Shape::Eight(1));
    let clocks = Clocks::find()?;
    let chosen = || REQUESTS.iter().filter(|(name, ..)| name.contains(wanted));
    println!("{rounds} rounds; ns of CPU time a span, the least and the median");
    println!("                                      flusher, that is spans/s        transport   bytes a span");
    for (name, shape, requests) in chosen() {
        // Warms threads, pools and caches.
        measure(&peer, &clocks, *shape, *requests)?;
        let (envelopes, bytes) = peer.envelopes();
        let samples: Vec<Sample> =
            (0..rounds).map(|_| measure(&peer, &clocks, *shape, *requests)).collect::<Result<_, _>>()?;
        let (envelopes, bytes) = (peer.envelopes().0 - envelopes, peer.envelopes().1 - bytes);
        let spans = (shape.recorded() * requests * rounds) as f64;
        let (least, median) = of(samples.iter().map(|sample| sample.flusher).collect());
        let (least_sent, median_sent) = of(samples.iter().map(|sample| sample.transport).collect());
        println!(
            "  {name:<34} {least:7.1} {median:7.1}   {:>9.0}   {least_sent:7.1} {median_sent:7.1}   {:6.0} in envelopes of {:.0}",
            1e9 / median,
            bytes as f64 / spans,
            spans / envelopes as f64,
        );
    }
    println!("\nns of CPU time a span of the thread that makes it, the least and the median");
    println!("                                      the endpoint answers       it hangs");
    for (name, shape, requests) in chosen() {
        let (mut answers, mut hangs) = (Vec::new(), Vec::new());
        for _ in 0..=rounds {
            answers.push(produce(&peer, *shape, *requests, false)?);
            hangs.push(produce(&peer, *shape, *requests, true)?);
        }
        // The first of each warms.
        let ((least, median), (least_hanging, median_hanging)) = (of(answers.split_off(1)), of(hangs.split_off(1)));
        println!("  {name:<34} {least:9.1} {median:7.1}     {least_hanging:9.1} {median_hanging:7.1}");
    }
    Ok(())
}

/// What making the spans of a round costs, per span, while the endpoint answers or hangs. They all arrive, if it hung then later.
fn produce(peer: &Streaming, shape: Shape, requests: usize, hangs: bool) -> Result<f64, String> {
    let before = peer.delivered();
    peer.hang(hangs);
    let begin = ThreadTime::now();
    for _ in 0..requests {
        peer.request(shape);
    }
    let nanos = begin.elapsed().as_nanos();
    peer.hang(false);
    peer.flush();
    let (made, delivered) = ((shape.recorded() * requests) as u64, peer.delivered() - before);
    if made != delivered {
        return Err(format!("{shape:?}: of {made} spans {delivered} were delivered"));
    }
    Ok(nanos as f64 / made as f64)
}

/// The CPU clocks of the two threads.
#[cfg(target_os = "linux")]
struct Clocks {
    flusher: nix::time::ClockId,
    transport: nix::time::ClockId,
}

#[cfg(target_os = "linux")]
impl Clocks {
    fn find() -> Result<Self, String> {
        Ok(Clocks { flusher: clock_of("span-flusher")?, transport: clock_of("span-transport")? })
    }

    fn read(&self) -> Result<(u64, u64), String> {
        Ok((nanos(self.flusher)?, nanos(self.transport)?))
    }
}

#[cfg(target_os = "linux")]
fn nanos(clock: nix::time::ClockId) -> Result<u64, String> {
    let time = clock.now().map_err(|error| format!("the clock of a thread: {error}"))?;
    u64::try_from(time.tv_sec() * 1_000_000_000 + time.tv_nsec()).map_err(|error| error.to_string())
}

/// The CPU clock of the thread with this name. Its id is made of the thread's as the C library does it. (`clock_getcpuclockid(3)`)
#[cfg(target_os = "linux")]
fn clock_of(name: &str) -> Result<nix::time::ClockId, String> {
    const OF_A_THREAD: i32 = 4;
    const TIME_RUN: i32 = 2;
    let threads = std::fs::read_dir("/proc/self/task").map_err(|error| error.to_string())?;
    let named =
        |path: &std::path::Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let mut found = threads.flatten().map(|entry| entry.path()).filter(|path| named(path));
    let id = found.next().and_then(|path| path.file_name()?.to_str()?.parse::<i32>().ok());
    let id = id.ok_or_else(|| format!("no thread is called {name}"))?;
    Ok(nix::time::ClockId::from_raw(!id << 3 | OF_A_THREAD | TIME_RUN))
}

#[cfg(not(target_os = "linux"))]
struct Clocks;

#[cfg(not(target_os = "linux"))]
impl Clocks {
    fn find() -> Result<Self, String> {
        Err("only Linux tells one thread the CPU time of another".into())
    }

    fn read(&self) -> Result<(u64, u64), String> {
        Self::find().map(|_| (0, 0))
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let rounds = match arguments.next().map(|rounds| rounds.parse::<usize>()) {
        None => 30,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("the number of rounds is a whole number above 0");
            return ExitCode::from(2);
        }
    };
    match run(rounds, &arguments.next().unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
