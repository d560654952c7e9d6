//! More spans than the way out can take: what it can take still arrives, all the time. (behaviours 44, 45)
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::{LossReason, Options, Runtime, start_span};
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

/// Has producers do this work for four seconds, and looks twice a second whether something has arrived.
fn overload(what: &str, work: impl Fn() + Sync) {
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
    // Or else the sample rate would put an end to it.
    let options = options.max_buffer_bytes(BOUND).enable_backpressure_handling(false).pooled_transport(true);
    let runtime = Runtime::new(options).expect("the options are valid");
    let stop = AtomicBool::new(false);
    let windows = thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| saturate(&runtime, &stop, &work));
        }
        let windows: Vec<u64> = (0..8)
            .map(|_| {
                let before = arrived.load(Ordering::Relaxed);
                thread::sleep(Duration::from_millis(500));
                let buffered = runtime.stats().buffered_bytes;
                assert!(buffered <= BOUND, "{what}: {buffered} bytes");
                arrived.load(Ordering::Relaxed) - before
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        windows
    });
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
    let lost = stats.lost.get(LossReason::BufferOverflow) + stats.lost.get(LossReason::QueueOverflow);
    assert!(lost > stats.sent, "{what}: it was an overload: {stats:?}");
    assert_eq!((stats.open, stats.buffered, stats.lost.total()), (0, 0, lost), "{what}: {stats:?}");
    assert_eq!(stats.started, stats.sent + lost, "{what}: {stats:?}");
    assert_eq!(arrived.load(Ordering::Relaxed), stats.sent, "{what}: what was sent is what arrived");
}

// behaviours 44, 45: they would be dropped before their hold is over
#[test]
fn traces_that_end_arrive_all_the_time() {
    overload("short traces", || {
        let _root = start_span("root").start();
        for at in 0..20 {
            start_span("child").attribute("at", at).start().end();
        }
    });
}

// behaviours 44, 45: nothing but their age makes these due, and they do not get as old as that
#[test]
fn traces_that_go_on_arrive_all_the_time() {
    overload("long traces", || {
        let roots: Vec<_> = (0..500).map(|_| start_span("root").root().inactive().start()).collect();
        for _ in 0..20 {
            for root in &roots {
                start_span("child").parent(root).start().end();
            }
        }
    });
}
