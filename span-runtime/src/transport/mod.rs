//! The way out: the trait that sends an envelope, and the thread that calls it. (behaviours 48, 51, 53)
//!
//! The flusher hands envelopes to the transport's thread through a queue that is bounded in bytes, and never waits for it.
//! While the queue is full, spans stay with the flusher as records, which are far smaller than their JSON.
//!
//! Invariant: each envelope's spans are counted once, as sent or as lost, by whoever takes it out of the
//! `in_flight` cell or out of the queue.

mod http;
mod limits;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};
use std::{io, thread};

use crossbeam_channel::{Receiver, bounded, unbounded};

use crate::client::{Core, Load, LossReason, Report};
use crate::context;
use crate::protocol::Envelope;

pub(crate) use http::http;
use limits::RateLimits;

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

/// How many sent envelopes' memory is kept for the next ones, and how large one may be.
const SPARE_BUFFERS: usize = 2;
const MOST_SPARE_BYTES: usize = 2 << 20;

/// An envelope on its way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) envelope: Envelope,
    pub(crate) load: Load,
    /// Losses that the envelope reports; to be reported again if it does not arrive.
    pub(crate) report: Option<Report>,
    /// The number of the batch in it; numbers go up.
    pub(crate) number: u64,
}

/// The flusher's end of the transport.
#[derive(Debug)]
pub(crate) struct Sender {
    queue: Option<crossbeam_channel::Sender<Outgoing>>,
    /// For taking back what is left when there is no more time.
    leftover: Receiver<Outgoing>,
    /// The memory of envelopes that were sent.
    used: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    core: Arc<Core>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes in the queue and in flight.
    bytes: AtomicUsize,
    /// What is being sent, until somebody counts it.
    in_flight: Mutex<Option<InFlight>>,
    /// The highest number that was answered, or given up on.
    completed: AtomicU64,
    /// Envelopes that did not arrive.
    failed: AtomicU64,
    /// Reports that did not arrive.
    unreported: Mutex<Report>,
    /// Until when the server wants to be spared.
    limits: Mutex<RateLimits>,
    /// What is left in the queue is not to be sent any more.
    given_up: AtomicBool,
}

#[derive(Debug)]
struct InFlight {
    load: Load,
    report: Option<Report>,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// Starts the transport's thread.
    pub(crate) fn start(transport: Box<dyn Transport>, core: Arc<Core>) -> io::Result<Self> {
        // Unbounded in number; `bytes` bounds it in size, which is what matters.
        let (queue, outgoing) = unbounded();
        let shared = Arc::new(Shared::default());
        let (give_used, used) = bounded(SPARE_BUFFERS);
        let worker = Worker {
            transport,
            outgoing: outgoing.clone(),
            used: give_used,
            shared: Arc::clone(&shared),
            core: Arc::clone(&core),
        };
        let thread = thread::Builder::new().name("span-transport".into()).spawn(move || worker.run())?;
        Ok(Sender { queue: Some(queue), leftover: outgoing, used, shared, core, thread: Some(thread) })
    }

    /// Memory for the next envelope.
    pub(crate) fn spare_buffer(&self) -> Vec<u8> {
        // A huge envelope's is freed.
        self.used.try_recv().ok().filter(|buffer| buffer.capacity() <= MOST_SPARE_BYTES).unwrap_or_default()
    }

    /// Bytes that wait to be sent or are being sent.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Acquire)
    }

    /// Queues an envelope. Its bytes count against the budget until it is answered.
    pub(crate) fn submit(&self, envelope: Outgoing) {
        let size = envelope.envelope.bytes().len();
        self.core.budget.take(size);
        self.shared.bytes.fetch_add(size, Ordering::AcqRel);
        let lost = match &self.queue {
            Some(queue) => queue.send(envelope).err().map(|error| error.0),
            None => Some(envelope),
        };
        if let Some(envelope) = lost {
            // The thread is gone, which only a fault of this crate could bring about.
            self.give_up_on(&envelope);
        }
    }

    /// The highest number of an envelope that is through, whatever came of it.
    pub(crate) fn completed(&self) -> u64 {
        self.shared.completed.load(Ordering::Acquire)
    }

    /// How many envelopes did not arrive.
    pub(crate) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Acquire)
    }

    /// Until when the server wants to be spared.
    pub(crate) fn limits(&self) -> RateLimits {
        lock(&self.shared.limits).clone()
    }

    /// Losses that were put into envelopes that did not arrive, to be reported again.
    pub(crate) fn take_unreported(&self) -> Report {
        std::mem::take(&mut *lock(&self.shared.unreported))
    }

    /// Ends the thread if it is idle, or leaves it to its request if it is not. What was not answered is
    /// counted lost.
    pub(crate) fn close(mut self) {
        self.shared.given_up.store(true, Ordering::Release);
        self.queue = None;
        while let Ok(envelope) = self.leftover.try_recv() {
            self.give_up_on(&envelope);
        }
        let in_flight = lock(&self.shared.in_flight).take();
        if let Some(in_flight) = in_flight {
            count_lost(&self.core, &self.shared, LossReason::NetworkError, in_flight);
        } else if let Some(thread) = self.thread.take() {
            // Nothing is in flight and the queue is closed and empty: it ends at once.
            let _ = thread.join();
        }
    }

    fn give_up_on(&self, envelope: &Outgoing) {
        let in_flight =
            InFlight { load: envelope.load, report: envelope.report, bytes: envelope.envelope.bytes().len() };
        count_lost(&self.core, &self.shared, LossReason::NetworkError, in_flight);
        self.shared.completed.fetch_max(envelope.number, Ordering::AcqRel);
    }
}

fn count_lost(core: &Core, shared: &Shared, reason: LossReason, envelope: InFlight) {
    core.count_lost(reason, envelope.load);
    shared.failed.fetch_add(1, Ordering::AcqRel);
    report_again(shared, envelope.report);
    give_back(core, shared, envelope.bytes);
}

/// Keeps a report that did not arrive for the next envelope.
fn report_again(shared: &Shared, report: Option<Report>) {
    if let Some(report) = report {
        let mut unreported = lock(&shared.unreported);
        *unreported = unreported.plus(&report);
    }
}

fn give_back(core: &Core, shared: &Shared, bytes: usize) {
    core.budget.give_back(bytes);
    shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
}

/// How the server took an envelope.
enum Taken {
    Yes,
    /// It refused it because there were too many, and counts what was in it. (behaviour 52)
    RateLimited,
}

struct Worker {
    transport: Box<dyn Transport>,
    outgoing: Receiver<Outgoing>,
    used: crossbeam_channel::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    core: Arc<Core>,
}

impl Worker {
    fn run(mut self) {
        // A transport of the user's may be instrumented; its spans would make envelopes for it to send.
        context::silence();
        while let Ok(envelope) = self.outgoing.recv() {
            *lock(&self.shared.in_flight) =
                Some(InFlight { load: envelope.load, report: envelope.report, bytes: envelope.envelope.bytes().len() });
            let outcome = if self.shared.given_up.load(Ordering::Acquire) {
                Err(LossReason::NetworkError)
            } else {
                self.send(envelope.envelope.bytes())
            };
            // Empty if `close` gave up on it meanwhile and counted it.
            let in_flight = lock(&self.shared.in_flight).take();
            if let Some(in_flight) = in_flight {
                match outcome {
                    Ok(Taken::Yes) => {
                        self.core.count_sent(in_flight.load);
                        give_back(&self.core, &self.shared, in_flight.bytes);
                    }
                    Ok(Taken::RateLimited) => {
                        self.core.count_rate_limited(in_flight.load);
                        report_again(&self.shared, in_flight.report);
                        give_back(&self.core, &self.shared, in_flight.bytes);
                    }
                    Err(reason) => count_lost(&self.core, &self.shared, reason, in_flight),
                }
            }
            self.shared.completed.fetch_max(envelope.number, Ordering::AcqRel);
            // If nobody wants the memory it is freed.
            let _ = self.used.try_send(envelope.envelope.into_buffer());
            self.core.doorbell.ring();
        }
    }

    fn send(&mut self, envelope: &[u8]) -> Result<Taken, LossReason> {
        let transport = &mut self.transport;
        let outcome = catch_unwind(AssertUnwindSafe(|| transport.send(envelope)));
        if let Ok(Ok(response)) = &outcome {
            lock(&self.shared.limits).update(response, Instant::now(), SystemTime::now());
        }
        match outcome {
            Ok(Ok(response)) => match response.status {
                200..=299 => Ok(Taken::Yes),
                429 => {
                    log::debug!("sentry: the server asks for a pause");
                    Ok(Taken::RateLimited)
                }
                413 => {
                    log::error!("sentry: the server refused an envelope of {} bytes as too large", envelope.len());
                    Err(LossReason::SendError)
                }
                status @ 400..=499 => {
                    log::warn!("sentry: the server refused an envelope with status {status}");
                    Err(LossReason::SendError)
                }
                status => {
                    log::debug!("sentry: the server answered with status {status}");
                    Err(LossReason::NetworkError)
                }
            },
            Ok(Err(error)) => {
                log::debug!("sentry: an envelope could not be sent: {error}");
                Err(LossReason::NetworkError)
            }
            Err(payload) => {
                // Its destructor is the user's too, and might panic again.
                std::mem::forget(payload);
                log::error!("sentry: the transport panicked; the spans of its envelope are lost");
                Err(LossReason::InternalSdkError)
            }
        }
    }
}
