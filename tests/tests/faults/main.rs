//! Random faults: programs of all kinds, options of all kinds and servers that fail in all ways, drawn from a seed; and at the end the one
//! thing that must hold whatever was drawn. (behaviours 43 to 50, 52)
//!
//! What must hold is in `verdict`. A seed draws what is done, and threads do it at their own pace, so that to repeat a seed is to repeat
//! the plan and not each step. Without variables a handful of seeds is run. `FAULTS_SEED` begins with this seed, and without
//! `FAULTS_SECONDS` it is the only one; with it, the seeds after that are run for as long.
//!
//! ```sh
//! FAULTS_SEED=17 cargo test -p span-tests --test faults
//! FAULTS_SEED=1000 FAULTS_SECONDS=900 cargo test -p span-tests --test faults -- --nocapture
//! ```
#![forbid(unsafe_code)]

mod one_by_one;
mod plan;
mod verdict;
mod weather;
mod work;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use plan::{Ending, Plan};
use span_runtime::{Guard, Runtime, RuntimeGuard, Stats, init};
use verdict::Evidence;
use weather::{Log, Weather};
use work::Ledger;

/// The seeds of a run without variables.
const SEEDS: std::ops::Range<u64> = 1..25;

/// Rounds that run at once: most of a round is waiting.
const LANES: usize = 4;

/// However loaded the machine is, nothing that has a bound in time takes this much longer.
const MARGIN: Duration = Duration::from_secs(15);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}; a number would work")))
}

// behaviours 43, 44, 45, 46, 47, 48, 49, 50, 52
#[test]
fn whatever_happens_every_span_is_accounted_for() {
    let (seed, seconds) = (number("FAULTS_SEED"), number("FAULTS_SECONDS"));
    let first = seed.unwrap_or(SEEDS.start);
    let end = match (seed, seconds) {
        (_, Some(_)) => u64::MAX,
        (Some(seed), None) => seed + 1,
        (None, None) => SEEDS.end,
    };
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    let begin = Instant::now();
    let lane = || {
        while !failed.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            match catch_unwind(|| round(seed)) {
                Ok(counts) => lock(&tally).add(&counts),
                Err(_) => {
                    failed.store(true, Ordering::Relaxed);
                    eprintln!("to replay: FAULTS_SEED={seed} cargo test -p span-tests --test faults");
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(lane);
        }
    });
    println!("seeds from {first}, {:.0?}: {:?}", begin.elapsed(), lock(&tally));
    assert!(!failed.load(Ordering::Relaxed), "a round failed; what it was is said above, with its seed");
    let tally = lock(&tally);
    let reasons = tally.lost.values().filter(|lost| **lost > 0).count();
    assert!(seed.is_some() || tally.sent > 0 && reasons > 5, "much happened, or the rounds are of no use: {tally:?}");
}

/// What came of all rounds.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    started: u64,
    sent: u64,
    /// By reason.
    lost: BTreeMap<&'static str, u64>,
    envelopes: u64,
    /// Rounds whose numbers were not final.
    unfinished: u64,
    /// Spans whose answer may have been lost, so that they may have come twice.
    uncertain: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.rounds += other.rounds;
        self.started += other.started;
        self.sent += other.sent;
        for (reason, lost) in &other.lost {
            *self.lost.entry(reason).or_default() += lost;
        }
        self.envelopes += other.envelopes;
        self.unfinished += other.unfinished;
        self.uncertain += other.uncertain;
    }
}

/// The runtime of a round: its own, or that of the process.
enum Subject {
    Own(Runtime),
    Installed(Guard),
}

/// There is one runtime of the process at a time.
static INSTALLED: Mutex<()> = Mutex::new(());

impl Subject {
    fn enter(&self) -> Option<RuntimeGuard> {
        match self {
            Subject::Own(runtime) => Some(runtime.enter()),
            Subject::Installed(_) => None,
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        match self {
            Subject::Own(runtime) => runtime.flush(timeout),
            Subject::Installed(guard) => guard.flush(timeout),
        }
    }

    fn stats(&self) -> Stats {
        match self {
            Subject::Own(runtime) => runtime.stats(),
            Subject::Installed(guard) => guard.stats(),
        }
    }
}

/// Draws a plan and carries it out.
fn round(seed: u64) -> Tally {
    let plan = Arc::new(Plan::draw(seed));
    let carried_out = catch_unwind(AssertUnwindSafe(|| carry_out(&plan)));
    carried_out.unwrap_or_else(|payload: Box<dyn Any + Send>| {
        eprintln!("seed {seed} failed: {plan:#?}");
        std::panic::resume_unwind(payload)
    })
}

fn carry_out(plan: &Arc<Plan>) -> Tally {
    let installed = matches!(plan.ending, Ending::Close(_)).then(|| lock(&INSTALLED));
    let log = Arc::new(Log::new(plan));
    let weather = Weather::start(plan, Arc::clone(&log));
    let options = plan.options(weather.addr());
    let subject = match installed {
        Some(_) => Subject::Installed(init(options).expect("the options are valid, and nothing is installed")),
        None => Subject::Own(Runtime::new(options).expect("the options are valid")),
    };
    let ledger = Arc::new(Ledger::default());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flusher = scope.spawn(|| disturb(plan, &subject, &stop));
        // Also when they fail; or else this would never end.
        let produced = catch_unwind(AssertUnwindSafe(|| work::produce(plan, &subject, &ledger)));
        stop.store(true, Ordering::Relaxed);
        flusher.join().expect("flushes keep to their bounds");
        produced.unwrap_or_else(|payload| std::panic::resume_unwind(payload));
    });
    let (stats, closing) = end(plan.ending, subject, &weather);
    drop(weather);
    let max_buffer_bytes = plan.max_buffer_bytes;
    let evidence =
        Evidence { max_buffer_bytes, stats: &stats, closing, ledger: &ledger, deliveries: &log.deliveries() };
    evidence.judge()
}

/// Flushes now and then, and looks at the numbers, while spans start and end.
fn disturb(plan: &Plan, subject: &Subject, stop: &AtomicBool) {
    let mut rng = plan.rng("flushes");
    let mut started = 0;
    while !stop.load(Ordering::Relaxed) {
        let stats = subject.stats();
        assert!(stats.buffered_bytes <= plan.max_buffer_bytes, "the bound holds: {stats:?}");
        assert!(stats.started >= started, "it does not go back: {stats:?}");
        started = stats.started;
        if rng.f64() < plan.flushes {
            let timeout = Duration::from_millis(rng.u64(0..300));
            let begin = Instant::now();
            subject.flush(timeout);
            assert!(begin.elapsed() < timeout + MARGIN, "a flush of {timeout:?} took {:?}", begin.elapsed());
        }
        thread::sleep(Duration::from_millis(rng.u64(1..20)));
    }
}

/// How a runtime closed in front of a server in bad health.
#[derive(Debug, Clone, Copy)]
struct Closing {
    begin: Instant,
    /// Whether it came to an end in time, so that the numbers are final.
    is_final: bool,
}

/// For so long after its time a close waits for the flusher.
const AT_THE_END: Duration = Duration::from_secs(1);

/// Ends the runtime, or has it send all that is left to a server in good health. The numbers at the end.
fn end(ending: Ending, subject: Subject, weather: &Weather) -> (Stats, Option<Closing>) {
    match (subject, ending) {
        (Subject::Installed(guard), Ending::Close(timeout)) => {
            let begin = Instant::now();
            let (_, stats) = guard.close(timeout);
            assert!(begin.elapsed() < timeout + MARGIN, "a close of {timeout:?} took {:?}", begin.elapsed());
            // Then the flusher did not answer, on a machine that does not let it run, and is still about to count.
            let is_final = begin.elapsed() < timeout + AT_THE_END;
            (stats, Some(Closing { begin, is_final }))
        }
        (subject, _) => {
            weather.clear_up();
            let deadline = Instant::now() + 4 * MARGIN;
            while subject.stats().buffered > 0 {
                assert!(Instant::now() < deadline, "what is left arrives or is lost: {:?}", subject.stats());
                subject.flush(Duration::from_secs(1));
            }
            let stats = subject.stats();
            if let Subject::Own(runtime) = subject {
                // There is nothing left but, perhaps, a report that the server has asked not to be sent.
                let begin = Instant::now();
                runtime.close(MARGIN);
                assert!(begin.elapsed() < 2 * MARGIN, "a close took {:?}", begin.elapsed());
            }
            (stats, None)
        }
    }
}
