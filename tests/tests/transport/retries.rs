//! Tries after the first. (behaviour 52)

use std::time::{Duration, Instant};

use span_runtime::testing::{Answer, Receiver};
use span_runtime::{LossReason, Runtime, start_span};
use span_tests::SOON;

use super::{BOTH, Kind, assert_adds_up, receiver, trace, wait_for};

// behaviour 52
#[test]
fn a_fault_that_passes_loses_nothing_and_doubles_nothing() {
    for kind in BOTH {
        for fault in [
            Answer::status(500),
            Answer::status(502),
            Answer::status(503).header("Retry-After", "3600"),
            Answer::close(),
            Answer::garbage(),
            Answer::hang(),
            Answer::status(301).header("Location", "/elsewhere"),
            Answer::redirect("http://127.0.0.1:1/api/42/envelope/"),
        ] {
            let receiver = receiver();
            receiver.answer_next(fault.clone());
            receiver.answer_next(fault.clone());
            let runtime = kind.runtime(receiver.dsn());
            trace(&runtime);
            assert!(runtime.flush(SOON), "{kind:?} {fault:?}");
            assert_eq!(runtime.stats().lost.total(), 0, "{kind:?} {fault:?}");
            assert_eq!(receiver.request_count(), 3, "{kind:?} {fault:?}");
            assert_adds_up(&runtime, &receiver);
        }
    }
}

// behaviour 53
#[test]
fn a_redirect_in_a_circle_is_not_followed() {
    for kind in BOTH {
        let (receiver, elsewhere) = (receiver(), receiver());
        let here = format!("http://{}/api/42/envelope/", receiver.addr());
        let there = format!("http://{}/api/42/envelope/", elsewhere.addr());
        receiver.answer_with(Answer::redirect(here));
        let options = kind.options(receiver.dsn()).retry_timeout(Duration::ZERO).send_client_reports(false);
        let runtime = Runtime::new(options).expect("the options are valid");
        trace(&runtime);
        assert!(!runtime.flush(SOON));
        assert_eq!(receiver.request_count(), 1, "{kind:?}");
        receiver.answer_with(Answer::redirect(there));
        trace(&runtime);
        assert!(!runtime.flush(SOON));
        assert_eq!((receiver.request_count(), elsewhere.request_count()), (2, 0), "{kind:?}");
        assert_eq!(runtime.stats().lost.get(LossReason::NetworkError), 4);
        assert_adds_up(&runtime, &receiver);
    }
}

/// Traces end all the time of an outage, and `come_back` ends it; then all of them arrive, within seconds.
fn outlives(kind: Kind, runtime: &Runtime, come_back: impl FnOnce() -> Receiver) {
    let begin = Instant::now();
    let mut traces = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        trace(runtime);
        traces += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let receiver = come_back();
    let back = Instant::now();
    assert!(receiver.wait_until(SOON, |receiver| receiver.span_count() > 0), "{kind:?}");
    assert!(back.elapsed() < Duration::from_secs(7), "{kind:?}: it took {:?} to find that it is back", back.elapsed());
    assert!(runtime.flush(SOON), "{kind:?}");
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.lost.total()), (traces * 2, 0), "{kind:?} {stats:?}");
    assert_adds_up(runtime, &receiver);
}

// behaviours 48, 52
#[test]
fn what_was_buffered_while_nobody_listened_arrives_when_somebody_does() {
    for kind in BOTH {
        let gone = receiver();
        let (addr, dsn) = (gone.addr(), gone.dsn());
        drop(gone);
        let runtime = kind.runtime(dsn);
        outlives(kind, &runtime, || Receiver::start_on(addr).expect("the port is free again"));
    }
}

// behaviours 48, 52
#[test]
fn what_was_buffered_while_the_server_hung_or_failed_arrives_afterwards() {
    for kind in BOTH {
        for fault in [Answer::hang(), Answer::status(503), Answer::close(), Answer::garbage()] {
            let receiver = receiver();
            receiver.answer_with(fault);
            let runtime = kind.runtime(receiver.dsn());
            outlives(kind, &runtime, || {
                receiver.answer_with(Answer::status(200));
                receiver
            });
        }
    }
}

// behaviour 52
#[test]
fn after_its_time_an_envelope_is_given_up_while_the_runtime_goes_on() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_with(Answer::status(500));
        let options = kind.options(receiver.dsn()).retry_timeout(Duration::from_secs(2)).send_client_reports(false);
        let runtime = Runtime::new(options).expect("the options are valid");
        trace(&runtime);
        wait_for("it is tried", || receiver.request_count() > 0);
        let tried = Instant::now();
        assert_eq!(runtime.stats().buffered, 2, "{kind:?}: it waits");
        assert!(runtime.stats().buffered_bytes > 0, "{kind:?}: and is charged for");
        wait_for("it is given up", || runtime.stats().lost.get(LossReason::NetworkError) == 2);
        assert!(tried.elapsed() < Duration::from_secs(4), "{:?}", tried.elapsed());
        let requests = receiver.request_count();
        assert!((2..40).contains(&requests), "{kind:?}: {requests} requests in two seconds");
        receiver.answer_with(Answer::status(200));
        trace(&runtime);
        assert!(runtime.flush(SOON), "{kind:?}: the next one arrives");
        assert_adds_up(&runtime, &receiver);
    }
}

// behaviours 45, 52: the bound holds for what waits to be tried again
#[test]
fn the_byte_bound_holds_while_nothing_gets_through() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_with(Answer::status(503));
        let bound = 2 << 20;
        let options = kind.options(receiver.dsn()).max_buffer_bytes(bound).enable_backpressure_handling(false);
        let runtime = Runtime::new(options).expect("the options are valid");
        let mut highest = 0;
        let deadline = Instant::now() + SOON;
        while runtime.stats().lost.total() < 20_000 {
            assert!(Instant::now() < deadline, "{kind:?} {}", runtime.stats());
            let _entered = runtime.enter();
            let _root = start_span("root").start();
            for _ in 0..100 {
                start_span("child").attribute("text", "x".repeat(100)).start().end();
            }
            highest = highest.max(runtime.stats().buffered_bytes);
        }
        assert!(highest <= bound, "{kind:?}: {highest}");
        receiver.answer_with(Answer::status(200));
        wait_for("what is left arrives", || runtime.flush(Duration::from_secs(1)));
        let stats = runtime.stats();
        assert!(stats.sent > 0 && stats.buffered_bytes < bound, "{kind:?} {stats:?}");
        assert_adds_up(&runtime, &receiver);
    }
}

// behaviours 47, 52
#[test]
fn closing_does_not_wait_for_a_pause_to_end() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_with(Answer::status(503));
        let runtime = kind.runtime(receiver.dsn());
        trace(&runtime);
        // By now the pauses may be longer than what closing may take.
        wait_for("it has failed often", || receiver.request_count() >= 6);
        let begin = Instant::now();
        let stats = {
            assert!(!runtime.flush(Duration::from_millis(200)), "nothing gets through");
            assert!(begin.elapsed() < Duration::from_secs(1), "{kind:?}: {:?}", begin.elapsed());
            runtime.stats()
        };
        assert_eq!((stats.buffered, stats.lost.total()), (2, 0), "{kind:?}: it is still on its way {stats:?}");
        let requests = receiver.request_count();
        let begin = Instant::now();
        assert!(!runtime.close(Duration::from_secs(10)));
        assert!(begin.elapsed() < Duration::from_secs(3), "{kind:?}: {:?}", begin.elapsed());
        // One last try, and one for the report of the loss.
        assert!(receiver.request_count() <= requests + 3, "{kind:?}: {} after {requests}", receiver.request_count());
    }
}

// behaviours 47, 52: whoever waits for a flush does not wait for the end of a pause
#[test]
fn a_flush_tries_at_once() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_with(Answer::status(503));
        let runtime = kind.runtime(receiver.dsn());
        trace(&runtime);
        let begin = Instant::now();
        // Pauses of up to five seconds, of which a flush cuts each short.
        wait_for("it has failed often", || {
            runtime.flush(Duration::from_millis(150));
            receiver.request_count() >= 12
        });
        assert!(begin.elapsed() < Duration::from_secs(10), "{kind:?}: {:?}", begin.elapsed());
        receiver.answer_with(Answer::status(200));
        let begin = Instant::now();
        assert!(runtime.flush(SOON));
        assert!(begin.elapsed() < Duration::from_secs(2), "{kind:?}: {:?}", begin.elapsed());
        assert_adds_up(&runtime, &receiver);
    }
}

// behaviours 47, 52
#[test]
fn what_waits_gets_its_last_chance_at_the_close() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_with(Answer::status(503));
        let runtime = kind.runtime(receiver.dsn());
        trace(&runtime);
        wait_for("it has failed often", || receiver.request_count() >= 6);
        receiver.answer_with(Answer::status(200));
        assert!(runtime.close(SOON), "{kind:?}");
        assert_eq!(receiver.span_count(), 2, "{kind:?}");
    }
}
