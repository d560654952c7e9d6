//! Each fault by itself, for a while: nobody waits for it, memory stays within the bound, the numbers are exact, and within seconds of its end
//! spans arrive again. (behaviours 45, 48, 50, 52)

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::Runtime;

use super::plan::{Ending, Plan};
use super::verdict::Evidence;
use super::weather::{FAULTS, Fault, Log, Weather};
use super::work::{Actor, Ledger};
use super::{Subject, end};

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1_500);

/// A pause between two tries is 5 s at most, and a try takes 4 s at most.
const RECOVERS: Duration = Duration::from_secs(10);

/// Cases that run at once; most of each is waiting.
const AT_ONCE: usize = 16;

/// What is wrong with the server.
#[derive(Debug, Clone, Copy)]
enum Case {
    Nothing,
    /// Nobody listens.
    Gone,
    Fault(Fault),
}

// behaviours 45, 48, 50, 52
#[test]
fn each_fault_by_itself_harms_nobody_and_is_over_when_it_is_over() {
    let cases: Vec<Case> = [Case::Nothing, Case::Gone].into_iter().chain(FAULTS.into_iter().map(Case::Fault)).collect();
    let cases: Vec<(Case, bool)> = cases.into_iter().flat_map(|case| [(case, false), (case, true)]).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&(case, pooled)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    suffer(case, pooled);
                }
            });
        }
    });
}

fn suffer(case: Case, pooled: bool) {
    let what = format!("{case:?}, pooled: {pooled}");
    let plan = Arc::new(Plan::plain(pooled));
    let log = Arc::new(match case {
        Case::Fault(fault) => Log::with_fault(&plan, fault),
        Case::Nothing | Case::Gone => Log::with_fault(&plan, Fault::None),
    });
    let weather = Weather::bad(Arc::clone(&log));
    if matches!(case, Case::Gone) {
        weather.go_away();
    }
    let runtime = Runtime::new(plan.options(weather.addr())).expect("the options are valid");
    let ledger = Arc::new(Ledger::default());
    let mut actor = Actor::new(&plan, &ledger, plan.rng("the only one"));
    {
        let _entered = runtime.enter();
        let (spans, waits) = produce(&runtime, &mut actor, &plan, &what);
        assert!(waits < spans / 20, "{what}: {spans} spans have waited {waits} times");
        recover(&mut actor, &weather, &log, &what);
    }
    drop(actor);
    let (stats, closing) = end(Ending::Flush, Subject::Own(runtime), &weather);
    drop(weather);
    let max_buffer_bytes = plan.max_buffer_bytes;
    let evidence =
        Evidence { max_buffer_bytes, stats: &stats, closing, ledger: &ledger, deliveries: &log.deliveries() };
    evidence.judge();
}

/// Ends traces for as long as the fault lasts: how many spans that were, and how often their thread has waited for something.
fn produce(runtime: &Runtime, actor: &mut Actor, plan: &Plan, what: &str) -> (usize, usize) {
    let begin = Instant::now();
    let (mut spans, mut waits) = (0, 0);
    while begin.elapsed() < LASTS {
        let before = voluntary_switches();
        for _ in 0..5 {
            actor.trace(99);
        }
        spans += 500;
        waits += voluntary_switches() - before;
        let buffered = runtime.stats().buffered_bytes;
        assert!(buffered <= plan.max_buffer_bytes, "{what}: {buffered} bytes are buffered");
        thread::sleep(Duration::from_millis(100));
    }
    (spans, waits)
}

/// How often this thread has given up its processor by itself, as it does to wait for another or for a system call; where that can be read.
fn voluntary_switches() -> usize {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Ends the fault, and traces until one of them arrives.
fn recover(actor: &mut Actor, weather: &Weather, log: &Log, what: &str) {
    weather.clear_up();
    let over = Instant::now();
    let taken = log.taken();
    while log.taken() == taken {
        assert!(over.elapsed() < RECOVERS, "{what}: nothing has arrived {:?} after it was over", over.elapsed());
        actor.trace(1);
        thread::sleep(Duration::from_millis(20));
    }
}
