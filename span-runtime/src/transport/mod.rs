//! The way out: the trait that sends an envelope, and the thread that calls it. (behaviours 48, 51 to 54)
//!
//! * `sender` is the flusher's end, `worker` the thread; between them a queue that is bounded in bytes. While it is full, spans stay
//!   with the flusher as records, which are far smaller than their JSON. The flusher never waits for it.
//! * `http` and `pooled` are the two transports over HTTP. The first is the default; the second is asked for.
//! * `spotlight` shows what is sent to a local viewer, beside all this.
//!
//! # Invariants
//!
//! 1. Each envelope's spans are counted once, as sent or as lost, by whoever takes it out of the `in_flight` cell or out of the queue.
//! 2. An envelope is charged to the byte budget from when it is queued to when it is counted, also while it waits to be tried again.

mod backoff;
mod body;
#[cfg(feature = "tls")]
mod handshake;
mod http;
mod limits;
#[cfg(feature = "pooled")]
mod pooled;
mod sender;
mod spotlight;
mod worker;

use std::fmt;

use crate::client::{InitError, Settings};
use crate::context;
use crate::protocol::CLIENT;

pub(crate) use sender::{Outgoing, Sender};

/// Sends envelopes to somewhere.
///
/// It is called on a thread of its own, one envelope at a time, and may block: that delays the envelopes behind
/// it and nothing else. A panic is caught, and counts the envelope's spans as lost.
///
/// ```
/// use span_runtime::transport::{Response, Transport, TransportError};
///
/// struct Discard;
///
/// impl Transport for Discard {
///     fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
///         if envelope.is_empty() {
///             return Err(TransportError::new("nothing to send"));
///         }
///         Ok(Response::new(200))
///     }
/// }
/// ```
pub trait Transport: Send + 'static {
    /// Sends one serialised envelope and waits for the answer.
    ///
    /// # Errors
    ///
    /// When there was no answer. An answer of any status is a [`Response`].
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError>;
}

/// What the other side answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status, or what comes nearest to it: 200 to 299 means that the envelope was taken.
    pub status: u16,
    /// The header `X-Sentry-Rate-Limits`.
    pub rate_limits: Option<String>,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

impl Response {
    /// An answer with this status and no headers.
    pub fn new(status: u16) -> Self {
        Response { status, rate_limits: None, retry_after: None }
    }
}

/// There was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError(String);

impl TransportError {
    /// An error with this text. It may be logged: no key or password belongs in it.
    pub fn new(message: impl Into<String>) -> Self {
        TransportError(message.into())
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TransportError {}

/// The transport over HTTP that the options ask for.
pub(crate) fn over_http(settings: &Settings) -> Result<Box<dyn Transport>, InitError> {
    #[cfg(feature = "pooled")]
    if settings.way.pooled {
        return Ok(Box::new(pooled::Pooled::new(settings)?));
    }
    Ok(Box::new(http::Http::to_sentry(settings)))
}

/// One that sends to a viewer at this URL and nowhere else.
pub(crate) fn to_viewer(url: &str) -> Box<dyn Transport> {
    Box::new(http::Http::to_viewer(url))
}

/// Says something through `log`. A logger is the user's code: it may be instrumented, or panic.
fn say(level: log::Level, what: fmt::Arguments<'_>) {
    context::call_user(|| log::log!(level, "sentry: {what}"));
}

/// The type of what is sent.
const CONTENT_TYPE: &str = "application/x-sentry-envelope";

/// The value of `X-Sentry-Auth`.
fn auth(settings: &Settings) -> String {
    let key = settings.dsn.public_key();
    format!("Sentry sentry_version=7, sentry_client={CLIENT}, sentry_key={key}")
}

/// The most bytes of headers that an answer may have.
const MOST_HEADER_BYTES: usize = 64 << 10;

impl Response {
    /// An answer with this status and what can be found of the headers that matter, by their names in lower case.
    fn with_headers<'a>(status: u16, headers: impl Fn(&'static str) -> Vec<&'a str>) -> Self {
        // A header that stands there twice means the same as one with both values.
        let joined = |name| Some(headers(name).join(",")).filter(|value| !value.is_empty());
        let (rate_limits, retry_after) = (joined("x-sentry-rate-limits"), headers("retry-after").first().copied());
        Response { status, rate_limits, retry_after: retry_after.map(str::to_owned) }
    }
}
