//! What a server says with its answer's status and headers. (behaviour 52)

use std::time::{Duration, Instant, SystemTime};

use span_runtime::LossReason;
use span_runtime::testing::Answer;
use span_tests::SOON;

use super::{BOTH, assert_adds_up, receiver, trace, wait_for};

// behaviour 52
#[test]
fn an_answer_that_is_final_is_not_asked_for_twice() {
    for kind in BOTH {
        for (status, reason) in [
            (200, None),
            (202, None),
            (400, Some(LossReason::SendError)),
            (401, Some(LossReason::SendError)),
            (403, Some(LossReason::SendError)),
            (404, Some(LossReason::SendError)),
            (413, Some(LossReason::SendError)),
        ] {
            let receiver = receiver();
            receiver.answer_with(Answer::status(status));
            let runtime = kind.runtime(receiver.dsn());
            trace(&runtime);
            assert_eq!(runtime.flush(SOON), reason.is_none(), "{kind:?} {status}");
            let stats = runtime.stats();
            let lost = reason.map_or(0, |reason| stats.lost.get(reason));
            assert_eq!(
                (stats.sent, lost, stats.buffered),
                if reason.is_some() { (0, 2, 0) } else { (2, 0, 0) },
                "{status}"
            );
            assert_eq!(receiver.request_count(), 1, "{kind:?} {status}");
            assert_adds_up(&runtime, &receiver);
        }
    }
}

// behaviours 49, 52: what is refused with 429 the server counts itself
#[test]
fn a_429_pauses_what_it_says_for_as_long_as_it_says() {
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60 * 60));
    for kind in BOTH {
        for (answer, paused) in [
            (Answer::status(429), true),
            (Answer::status(429).header("Retry-After", "60"), true),
            (Answer::status(429).header("Retry-After", soon.clone()), true),
            (Answer::status(429).header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"), false),
            (Answer::status(429).header("X-Sentry-Rate-Limits", "60:span:organization"), true),
            (Answer::status(429).header("X-Sentry-Rate-Limits", "60:error, 60 : transaction;span : key"), true),
            // Once as one header, and once as two, which mean the same.
            (Answer::status(429).header("X-Sentry-Rate-Limits", "60:error").header("Retry-After", "60"), false),
            (
                Answer::status(429)
                    .header("X-Sentry-Rate-Limits", "60:error:key")
                    .header("x-sentry-rate-limits", "60:span:key"),
                true,
            ),
        ] {
            let receiver = receiver();
            receiver.answer_next(answer.clone());
            let runtime = kind.runtime(receiver.dsn());
            trace(&runtime);
            assert!(runtime.flush(SOON), "the server took it upon itself: {answer:?}");
            trace(&runtime);
            assert_eq!(runtime.flush(SOON), !paused, "{kind:?} {answer:?}");
            let stats = runtime.stats();
            assert_eq!(stats.rate_limited, 2, "{kind:?} {answer:?}");
            let dropped = stats.lost.get(LossReason::RatelimitBackoff);
            assert_eq!((dropped, stats.lost.total()), if paused { (2, 2) } else { (0, 0) }, "{kind:?} {answer:?}");
            assert_eq!(receiver.request_count(), if paused { 1 } else { 2 }, "{kind:?} {answer:?}");
            assert_adds_up(&runtime, &receiver);
        }
    }
}

// behaviour 52
#[test]
fn after_the_pause_spans_arrive_again() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_next(Answer::status(429).header("Retry-After", "1"));
        let runtime = kind.runtime(receiver.dsn());
        trace(&runtime);
        assert!(runtime.flush(SOON));
        let paused = Instant::now();
        wait_for("the pause ends", || {
            trace(&runtime);
            runtime.flush(SOON)
        });
        assert!(paused.elapsed() < Duration::from_secs(5), "{:?}", paused.elapsed());
        let stats = runtime.stats();
        assert!(stats.lost.get(LossReason::RatelimitBackoff) > 0, "{stats:?}");
        assert_adds_up(&runtime, &receiver);
    }
}

// behaviour 52: the queue between flusher and transport is not sent into a pause either
#[test]
fn envelopes_that_waited_behind_a_429_are_not_sent() {
    for kind in BOTH {
        let receiver = receiver();
        receiver.answer_next(Answer::status(429).header("Retry-After", "60").after(Duration::from_millis(500)));
        let runtime = kind.runtime(receiver.dsn());
        // Each is an envelope, and all of them are in the queue by the time of the answer.
        for _ in 0..10 {
            trace(&runtime);
        }
        assert!(!runtime.flush(SOON), "nine of them were dropped");
        let stats = runtime.stats();
        assert_eq!((stats.rate_limited, stats.lost.get(LossReason::RatelimitBackoff)), (2, 18), "{kind:?} {stats:?}");
        assert_eq!(receiver.request_count(), 1, "{kind:?}");
        assert_adds_up(&runtime, &receiver);
    }
}
