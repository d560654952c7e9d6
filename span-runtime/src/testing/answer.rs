//! What the receiver answers: statuses, headers, delays, and the ways in which servers fail.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How the receiver treats a request once it has read it.
///
/// An envelope counts as accepted when its answer's head carries a 2xx status, whatever happens
/// to the body after that.
///
/// ```
/// use std::time::Duration;
/// use span_runtime::testing::Answer;
///
/// let limited = Answer::status(429).header("Retry-After", "60");
/// let slow = Answer::status(200).after(Duration::from_millis(300));
/// ```
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) course: Course,
    pub(super) status: u16,
    pub(super) delay: Duration,
    pub(super) drip: Option<Duration>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// How far an answer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Whole,
    Hang,
    HangAfterHeaders,
    CutMidResponse,
    Close,
    Garbage,
}

/// What stands in for a body where one is needed to be cut or waited for.
const SOME_BODY: &[u8] = b"{\"id\":\"00000000000000000000000000000000\"}";

impl Answer {
    /// An answer with this status; a 2xx has Relay's body `{}`, others have none.
    pub fn status(status: u16) -> Self {
        let body = if is_success(status) { b"{}".to_vec() } else { Vec::new() };
        Self { course: Course::Whole, status, delay: Duration::ZERO, drip: None, headers: Vec::new(), body }
    }

    /// Reads the request and never answers, until the receiver is dropped or is given another
    /// answer by [`answer_with`](super::Receiver::answer_with), which the request then gets if its
    /// client is still there. The envelope is not accepted before.
    pub fn hang() -> Self {
        Self { course: Course::Hang, ..Self::status(200) }
    }

    /// Sends the head of a 200 and holds its body back, as [`hang`](Self::hang) does with the
    /// whole. The envelope is accepted.
    pub fn hang_after_headers() -> Self {
        Self { course: Course::HangAfterHeaders, ..Self::status(200) }.body(SOME_BODY)
    }

    /// Closes the connection without an answer. The envelope is not accepted.
    pub fn close() -> Self {
        Self { course: Course::Close, ..Self::status(200) }
    }

    /// Sends a 200 and half of the body that it announces, and closes. The envelope is accepted.
    pub fn cut_mid_response() -> Self {
        Self { course: Course::CutMidResponse, ..Self::status(200) }.body(SOME_BODY)
    }

    /// Sends bytes that are not HTTP, and closes. The envelope is not accepted.
    pub fn garbage() -> Self {
        Self { course: Course::Garbage, ..Self::status(200) }
    }

    /// A 307, which asks a client to repeat the request, key and body included, at `to`.
    ///
    /// # Panics
    ///
    /// As [`header`](Self::header).
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::status(307).header("Location", to)
    }

    /// Adds a header. `Content-Length` and `Connection` are the receiver's own.
    ///
    /// # Panics
    ///
    /// If name or value hold a line break: send [`garbage`](Self::garbage) to break the framing.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        let broken = |text: &str| text.contains(['\r', '\n']);
        assert!(!broken(&name) && !broken(&value), "a header must not hold line breaks, found {name:?}: {value:?}");
        self.headers.push((name, value));
        self
    }

    /// Sets the body. A 1xx, 204 or 304 is sent without one, as HTTP demands.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits before the answer's head. A client that leaves meanwhile gets none, and its envelope
    /// is not accepted.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends the body byte by byte, with a pause before each.
    #[must_use]
    pub fn drip(mut self, pause: Duration) -> Self {
        self.drip = Some(pause);
        self
    }

    /// Whether sending this answer's head accepts the envelope.
    pub(super) fn accepts(&self) -> bool {
        let has_head = matches!(self.course, Course::Whole | Course::HangAfterHeaders | Course::CutMidResponse);
        has_head && is_success(self.status)
    }

    /// The status line and headers, with the blank line after them.
    pub(super) fn head(&self, keep_alive: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.may_have_body() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        if self.course == Course::CutMidResponse || !keep_alive {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The bytes that follow the head.
    pub(super) fn content(&self) -> &[u8] {
        match self.course {
            _ if !self.may_have_body() => &[],
            Course::CutMidResponse => &self.body[..self.body.len() / 2],
            _ => &self.body,
        }
    }

    fn may_have_body(&self) -> bool {
        self.status >= 200 && !matches!(self.status, 204 | 304)
    }
}

impl Default for Answer {
    /// What Relay answers when all is well.
    fn default() -> Self {
        Self::status(200)
    }
}

/// Sends bytes that no HTTP client can take for a response.
pub(super) fn send_garbage(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"\x16\x03\x01\x00\xffthis is not HTTP\r\n\r\n")
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        // The reason may be empty; clients go by the number.
        _ => "",
    }
}
