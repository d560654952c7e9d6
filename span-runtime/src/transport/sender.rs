//! The flusher's end of the transport.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::Transport;
use super::limits::RateLimits;
use super::spotlight::Spotlight;
use super::worker::Worker;
use crate::client::{Core, Load, LossReason, Report};
use crate::protocol::Envelope;

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

/// An envelope in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) outgoing: Outgoing,
    pub(super) since: Instant,
}

/// The flusher's end of the transport.
#[derive(Debug)]
pub(crate) struct Sender {
    queue: Option<crossbeam_channel::Sender<Queued>>,
    /// For taking back what is left when there is no more time.
    leftover: Receiver<Queued>,
    /// The memory of envelopes that were sent.
    used: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    core: Arc<Core>,
    thread: Option<thread::JoinHandle<()>>,
    spotlight: Option<Spotlight>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Bytes in the queue and in flight.
    bytes: AtomicUsize,
    /// What is being sent, or waits to be tried again, until somebody counts it.
    in_flight: Mutex<Option<InFlight>>,
    /// The highest number that was answered, or given up on.
    completed: AtomicU64,
    /// Envelopes that did not arrive.
    failed: AtomicU64,
    /// Reports that did not arrive.
    unreported: Mutex<Report>,
    /// Until when the server wants to be spared.
    pub(super) limits: Mutex<RateLimits>,
    /// What is left in the queue is not to be sent any more.
    given_up: AtomicBool,
    /// Somebody waits for what is in the queue: it is to be tried without further delay.
    hurry: AtomicBool,
}

#[derive(Debug)]
pub(super) struct InFlight {
    load: Load,
    report: Option<Report>,
    bytes: usize,
}

impl InFlight {
    fn of(envelope: &Outgoing) -> Self {
        InFlight { load: envelope.load, report: envelope.report, bytes: envelope.envelope.bytes().len() }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// Starts the transport's thread.
    pub(crate) fn start(transport: Box<dyn Transport>, core: Arc<Core>) -> io::Result<Self> {
        let spotlight = core.settings.spotlight.as_deref().map(Spotlight::start).transpose()?;
        // Unbounded in number; `bytes` bounds it in size, which is what matters.
        let (queue, outgoing) = unbounded();
        let shared = Arc::new(Shared::default());
        let (give_used, used) = bounded(SPARE_BUFFERS);
        let worker = Worker::new(transport, outgoing.clone(), give_used, Arc::clone(&shared), Arc::clone(&core));
        let thread = thread::Builder::new().name("span-transport".into()).spawn(move || worker.run())?;
        Ok(Sender { queue: Some(queue), leftover: outgoing, used, shared, core, thread: Some(thread), spotlight })
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
        if let Some(spotlight) = &self.spotlight {
            spotlight.show(envelope.envelope.bytes());
        }
        let size = envelope.envelope.bytes().len();
        self.core.budget.take(size);
        self.shared.bytes.fetch_add(size, Ordering::AcqRel);
        let queued = Queued { outgoing: envelope, since: Instant::now() };
        let lost = match &self.queue {
            Some(queue) => queue.send(queued).err().map(|error| error.0),
            None => Some(queued),
        };
        if let Some(queued) = lost {
            // The thread is gone, which only a fault of this crate could bring about.
            self.give_up_on(&queued.outgoing);
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

    /// Has an envelope that waits to be tried again tried now, for somebody who waits for it.
    pub(crate) fn hurry(&self) {
        self.shared.hurry.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the thread if it is idle, or leaves it to its request if it is not. What was not answered is
    /// counted lost. A viewer has until the deadline for what it was not shown yet.
    pub(crate) fn close(mut self, deadline: Instant) {
        self.shared.given_up.store(true, Ordering::Release);
        self.queue = None;
        while let Ok(queued) = self.leftover.try_recv() {
            self.give_up_on(&queued.outgoing);
        }
        let in_flight = self.shared.take_in_flight();
        self.wake();
        if let Some(in_flight) = in_flight {
            self.shared.count_lost(&self.core, LossReason::NetworkError, in_flight);
        } else if let Some(thread) = self.thread.take() {
            // Nothing is in flight and the queue is closed and empty: it ends at once.
            let _ = thread.join();
        }
        if let Some(spotlight) = self.spotlight.take() {
            spotlight.finish(deadline);
        }
    }

    /// Wakes the thread where it waits between two tries.
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    fn give_up_on(&self, envelope: &Outgoing) {
        self.shared.count_lost(&self.core, LossReason::NetworkError, InFlight::of(envelope));
        self.shared.complete(envelope.number);
    }
}

impl Shared {
    /// Notes what the thread is about to send.
    pub(super) fn put_in_flight(&self, envelope: &Outgoing) {
        *lock(&self.in_flight) = Some(InFlight::of(envelope));
    }

    /// Takes it for counting; whoever gets it counts it.
    pub(super) fn take_in_flight(&self) -> Option<InFlight> {
        lock(&self.in_flight).take()
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Whether somebody has begun to wait since the last time.
    pub(super) fn take_hurry(&self) -> bool {
        self.hurry.swap(false, Ordering::AcqRel)
    }

    pub(super) fn count_sent(&self, core: &Core, envelope: InFlight) {
        core.count_sent(envelope.load);
        self.give_back(core, envelope.bytes);
    }

    /// It was refused because there were too many, and the server counts what was in it. (behaviour 52)
    pub(super) fn count_rate_limited(&self, core: &Core, envelope: InFlight) {
        core.count_rate_limited(envelope.load);
        self.report_again(envelope.report);
        self.give_back(core, envelope.bytes);
    }

    pub(super) fn count_lost(&self, core: &Core, reason: LossReason, envelope: InFlight) {
        core.count_lost(reason, envelope.load);
        self.failed.fetch_add(1, Ordering::AcqRel);
        self.report_again(envelope.report);
        self.give_back(core, envelope.bytes);
    }

    pub(super) fn complete(&self, number: u64) {
        self.completed.fetch_max(number, Ordering::AcqRel);
    }

    /// Keeps a report that did not arrive for the next envelope.
    fn report_again(&self, report: Option<Report>) {
        if let Some(report) = report {
            let mut unreported = lock(&self.unreported);
            *unreported = unreported.plus(&report);
        }
    }

    fn give_back(&self, core: &Core, bytes: usize) {
        core.budget.give_back(bytes);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}
