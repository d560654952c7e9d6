//! Each answer, as a client sees it over TCP.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;

use super::client::{Client, LONG, exchange, head, receiver, spans};
use crate::testing::Answer;

/// Bounds waits that are to run out.
const SHORT: Duration = Duration::from_millis(50);

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[test]
fn answers_in_turn() {
    let receiver = receiver();
    receiver.answer_with(Answer::status(503));
    receiver.answer_next(Answer::status(429).header("Retry-After", "60").body("slow down"));
    receiver.answer_next(Answer::status(204));
    let first = exchange(&receiver).expect("the receiver answers");
    assert_eq!((first.status, first.body.as_slice()), (429, &b"slow down"[..]));
    assert!(first.head.contains("\r\nRetry-After: 60\r\n"), "{}", first.head);
    let second = exchange(&receiver).expect("the receiver answers");
    assert_eq!(second.status, 204);
    assert!(!second.head.contains("Content-Length"), "{}", second.head);
    assert_eq!(exchange(&receiver).expect("the receiver answers").status, 503);
    assert_eq!(exchange(&receiver).expect("the receiver answers").status, 503);
    assert_eq!((receiver.request_count(), receiver.envelopes().len()), (4, 1));
}

#[test]
fn redirects() {
    let receiver = receiver();
    receiver.answer_with(Answer::redirect("http://elsewhere.example/"));
    let answered = exchange(&receiver).expect("the receiver answers");
    assert_eq!(answered.status, 307);
    assert!(answered.head.contains("\r\nLocation: http://elsewhere.example/\r\n"), "{}", answered.head);
    assert!(receiver.envelopes().is_empty());
}

#[test]
fn hangs_until_told_something_else() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    let mut client = Client::new(&receiver);
    client.post("", &spans());
    assert!(receiver.wait_until(LONG, |receiver| receiver.request_count() == 1));
    client.give_up_after(SHORT);
    assert!(timed_out(&client.read().expect_err("nothing is answered")));
    assert!(receiver.envelopes().is_empty());
    client.give_up_after(LONG);
    receiver.answer_with(Answer::status(200));
    assert_eq!(client.read().expect("the receiver answers now").status, 200);
    assert_eq!(receiver.envelopes().len(), 1);
}

#[test]
fn a_client_that_left_is_not_answered() {
    let receiver = receiver();
    receiver.answer_next(Answer::hang());
    let mut client = Client::new(&receiver);
    client.post("", &spans());
    assert!(receiver.wait_until(LONG, |receiver| receiver.request_count() == 1));
    drop(client);
    // Ends the hanging of the one that left, and answers the one that is here.
    receiver.answer_with(Answer::status(200));
    exchange(&receiver).expect("the receiver answers");
    assert!(!receiver.wait_until(SHORT, |receiver| receiver.envelopes().len() > 1));
}

#[test]
fn hangs_after_headers() {
    let receiver = receiver();
    receiver.answer_next(Answer::hang_after_headers());
    let mut client = Client::new(&receiver);
    client.post("", &spans());
    assert_eq!(client.read_head().expect("the head comes").status, 200);
    assert_eq!(receiver.envelopes().len(), 1);
    client.give_up_after(SHORT);
    assert!(timed_out(&client.reader.read(&mut [0]).expect_err("the body does not come")));
}

#[test]
fn dropping_ends_what_hangs_at_once() {
    let slow = Duration::from_secs(3600);
    let answers =
        [Answer::hang(), Answer::hang_after_headers(), Answer::status(200).after(slow), Answer::status(200).drip(slow)];
    for answer in answers {
        let receiver = receiver();
        let ends = receiver.subscribe();
        receiver.answer_with(answer.clone());
        let mut waiting = Client::new(&receiver);
        waiting.post("", &spans());
        assert!(receiver.wait_until(LONG, |receiver| receiver.request_count() == 1));
        // One that sent nothing, and one that stopped within its body.
        let mut idle = Client::new(&receiver);
        let mut stuck = Client::new(&receiver);
        stuck.write(head("Content-Length: 1000\r\n").as_bytes());
        let began = Instant::now();
        drop(receiver);
        assert!(began.elapsed() < LONG, "{answer:?} held the drop up for {:?}", began.elapsed());
        // What feeds the channel is shared by all threads of the receiver: none is left.
        let end = std::iter::repeat_with(|| ends.try_recv()).find_map(Result::err);
        assert_eq!(end, Some(TryRecvError::Disconnected), "{answer:?}");
        let _ = waiting.read_head();
        assert!(waiting.is_closed() && idle.is_closed() && stuck.is_closed(), "{answer:?}");
    }
}

#[test]
fn closes_without_an_answer() {
    let receiver = receiver();
    receiver.answer_next(Answer::close());
    let error = exchange(&receiver).expect_err("nothing is answered");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!((receiver.request_count(), receiver.envelopes().len()), (1, 0));
}

#[test]
fn cuts_its_response() {
    let receiver = receiver();
    receiver.answer_next(Answer::cut_mid_response());
    let mut client = Client::new(&receiver);
    client.post("", &spans());
    assert_eq!(client.read().expect_err("the body ends too soon").kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(receiver.envelopes().len(), 1);
}

#[test]
fn sends_garbage() {
    let receiver = receiver();
    receiver.answer_next(Answer::garbage());
    let mut client = Client::new(&receiver);
    client.post("", &spans());
    let mut all = Vec::new();
    client.reader.read_to_end(&mut all).expect("the receiver closes in order");
    assert!(!all.is_empty() && !all.starts_with(b"HTTP"));
    assert!(receiver.envelopes().is_empty());
}

#[test]
fn delays_and_drips() {
    let receiver = receiver();
    let delay = Duration::from_millis(30);
    receiver.answer_next(Answer::status(200).after(delay));
    receiver.answer_next(Answer::status(200).body("abc").drip(delay));
    for times in [1, 3] {
        let began = Instant::now();
        let answered = exchange(&receiver).expect("the receiver answers");
        assert!(began.elapsed() >= delay * times, "{:?}", began.elapsed());
        assert_eq!(answered.status, 200);
    }
    assert_eq!(receiver.envelopes().len(), 2);
}

#[test]
#[should_panic(expected = "a header must not hold line breaks")]
fn header_values_stay_on_their_line() {
    let _ = Answer::status(200).header("a", "b\r\nc: d");
}
