//! More spans than the way out can take: what it can take still arrives, all the time. (behaviours 27, 44, 45)
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::{LossReason, Options, Runtime, Stats, start_span};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, Posted, accept_all};

const BOUND: usize = 8 << 20;

/// More threads than cores, none of which ever waits.
const PRODUCERS: usize = 4;

/// How many spans the item's header says there are, which costs less than to read them: the server is not to be what is slow.
fn item_count(posted: &Posted) -> u64 {
    let head = String::from_utf8_lossy(&posted.body[..posted.body.len().min(4096)]);
    let items = head.split("\"item_count\":").skip(1);
    items.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()).sum()
}

/// Ends spans without a pause until it is told to stop.
fn saturate(runtime: &Runtime, stop: &AtomicBool, work: impl Fn()) {
    let _entered = runtime.enter();
    while !stop.load(Ordering::Relaxed) {
        work();
    }
}

/// One overload at a time is enough.
static ALONE: Mutex<()> = Mutex::new(());

/// Has producers do this work for four seconds, and looks twice a second whether something has arrived. The numbers at the end.
fn overload(what: &str, backpressure: bool, work: impl Fn() + Sync) -> Stats {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let arrived = Arc::new(AtomicU64::new(0));
    let endpoint = Endpoint::start({
        let arrived = Arc::clone(&arrived);
        move |mut stream, _| {
            accept_all(&mut stream, |posted| {
                arrived.fetch_add(item_count(&posted), Ordering::Relaxed);
            })
        }
    });
    let options = Options::new().dsn(endpoint.dsn("http")).traces_sample_rate(1.0).send_client_reports(false);
    let options = options.max_buffer_bytes(BOUND).enable_backpressure_handling(backpressure).pooled_transport(true);
    let runtime = Runtime::new(options).expect("the options are valid");
    let stop = AtomicBool::new(false);
    let (windows, highest) = thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| saturate(&runtime, &stop, &work));
        }
        let (mut windows, mut highest) = (Vec::new(), 0);
        for _ in 0..8 {
            let (begin, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
            while begin.elapsed() < Duration::from_millis(500) {
                highest = highest.max(runtime.stats().buffered_bytes);
                thread::sleep(Duration::from_millis(5));
            }
            windows.push(arrived.load(Ordering::Relaxed) - before);
        }
        stop.store(true, Ordering::Relaxed);
        (windows, highest)
    });
    assert!(highest <= BOUND, "{what}: the bound holds: {highest} bytes");
    let begin = Instant::now();
    while runtime.stats().buffered > 0 {
        assert!(begin.elapsed() < SOON * 4, "{what}: what is left is sent: {}", runtime.stats());
        runtime.flush(SOON);
    }
    let stats = runtime.stats();
    assert!(
        windows.iter().all(|spans| *spans > 0),
        "{what}: in each half second something arrives: {windows:?} {stats}"
    );
    let reasons = [LossReason::BufferOverflow, LossReason::QueueOverflow, LossReason::Backpressure];
    let lost = reasons.iter().map(|reason| stats.lost.get(*reason)).sum();
    assert!(lost > stats.sent, "{what}: it was an overload: {stats:?}");
    assert_eq!((stats.open, stats.buffered, stats.lost.total()), (0, 0, lost), "{what}: {stats:?}");
    assert_eq!(stats.started, stats.sent + lost, "{what}: {stats:?}");
    assert_eq!(arrived.load(Ordering::Relaxed), stats.sent, "{what}: what was sent is what arrived");
    stats
}

fn short_trace() {
    let _root = start_span("root").start();
    for at in 0..20 {
        start_span("child").attribute("at", at).start().end();
    }
}

// behaviours 44, 45: they would be dropped before their hold is over
#[test]
fn traces_that_end_arrive_all_the_time() {
    let stats = overload("short traces", false, short_trace);
    assert_eq!(stats.lost.get(LossReason::Backpressure), 0, "{stats:?}");
}

// behaviours 27, 44, 45
#[test]
fn traces_that_end_arrive_while_the_rate_is_lowered() {
    let stats = overload("a lower rate", true, short_trace);
    assert!(stats.lost.get(LossReason::Backpressure) > 0, "{stats:?}");
}

// behaviours 44, 45: nothing but their age makes these due, and they do not get as old as that
#[test]
fn traces_that_go_on_arrive_all_the_time() {
    overload("long traces", false, || {
        let roots: Vec<_> = (0..500).map(|_| start_span("root").root().inactive().start()).collect();
        for _ in 0..20 {
            for root in &roots {
                start_span("child").parent(root).start().end();
            }
        }
    });
}
