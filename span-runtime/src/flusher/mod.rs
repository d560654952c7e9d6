//! The thread behind everything: it drains what the other threads finished, sorts it into batches by trace,
//! decides which are due, and makes envelopes of them. (behaviours 43 to 48)
//!
//! # Invariants
//!
//! 1. A batch holds spans of one trace and becomes one envelope.
//! 2. A batch becomes due when it is full (1,000 spans or 5 MiB, estimated), when its segment's span ended (after [`HOLD`]), or
//!    [`LONGEST_WAIT`] after its first span. A due batch is serialised once the transport's queue has room, in the order
//!    in which batches became due; until then its spans stay as records.
//! 3. Every span that comes out of the hand-over is in exactly one batch until it is in an envelope or counted lost.
//! 4. No code of the user's runs on this thread with a lock held.

mod batches;
mod by_trace;
mod pile;

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Receiver;

use crate::client::{Core, Load, LossReason, Report};
use crate::clock::{Clock, UnixNanos};
use crate::hand_over::{Consumer, Sink};
use crate::hook::Stage;
use crate::integrations;
use crate::propagation::ContextText;
use crate::protocol::{
    Added, Around, Common, Envelope, EnvelopeWriter, Known, SegmentText, SpanText, constant_attributes,
    thread_attributes, write_report,
};
use crate::record::Slot;
use crate::scrub::Privacy;
use crate::segment::Segment;
use crate::transport::{Outgoing, Sender};
pub(crate) use batches::Batch;
use batches::Batches;
use pile::Packet;

/// A batch leaves this long after the end of its segment's span, so that late children and siblings ride along.
pub(crate) const HOLD: Duration = Duration::from_millis(200);

/// A batch leaves this long after its first span, whatever else happens.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(4_500);

/// How long the flusher sleeps while spans are coming.
const NAP: Duration = Duration::from_millis(10);

/// After this long without a span it goes into deep sleep, from which the next span wakes it.
const IDLE: Duration = Duration::from_millis(300);

/// After so long without a span memory that is kept for the next ones is given back. A chunk whose memory the system has to find again costs
/// a page fault.
const TRIM_AFTER: Duration = Duration::from_secs(10);

/// How often the losses are compared with what was reported, which sums up over all threads.
const REPORT_WITH: Duration = Duration::from_secs(1);

/// How often the health of the pipeline is looked at.
const MONITOR_EVERY: Duration = Duration::from_secs(1);

/// The transport's queue takes no further envelope above this many bytes, or an eighth of the bound: JSON is several
/// times larger than records.
const MOST_QUEUED: usize = 8 << 20;

/// What the flusher can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send everything that has finished; answer when it is through, or at the deadline.
    Flush(Instant, crossbeam_channel::Sender<bool>),
    /// The same, and end.
    Close(Instant, crossbeam_channel::Sender<bool>),
    /// Send a transaction.
    #[cfg(feature = "legacy")]
    Parcel(Box<crate::legacy::Parcel>),
}

/// Somebody who waits for a flush.
#[derive(Debug)]
struct Waiter {
    deadline: Instant,
    answer: crossbeam_channel::Sender<bool>,
    /// Everything up to this number is to be through.
    upto: u64,
    /// How many envelopes had failed before.
    failed_before: u64,
    lost_before: u64,
}

/// What is known of a thread, as text.
type Threads = HashMap<u32, Option<Arc<Common>>>;

pub(crate) struct Flusher {
    core: Arc<Core>,
    consumer: Consumer<Slot, Option<Arc<Segment>>>,
    commands: Receiver<Command>,
    transport: Sender,
    batches: Batches,
    #[cfg(feature = "legacy")]
    parcels: crate::legacy::Parcels,
    most_queued: usize,
    clock: Clock,
    every: Common,
    segments: Common,
    /// How many integrations `segments` names.
    integrations: usize,
    known: Known,
    context: ContextText,
    /// The memory of the texts of an envelope's trace and of its spans' segment.
    trace: Vec<u8>,
    segment: SegmentText,
    hook: Option<Stage>,
    /// Until when the server wants to be spared, as far as is known.
    paused_until: Option<Instant>,
    /// When the health of the pipeline was looked at.
    monitored: Instant,
    threads: Threads,
    waiters: Vec<Waiter>,
    reported: Report,
    report_looked: Instant,
    report_sent: Instant,
    last_span: Instant,
}

impl Flusher {
    pub(crate) fn new(
        core: Arc<Core>,
        consumer: Consumer<Slot, Option<Arc<Segment>>>,
        commands: Receiver<Command>,
        transport: Sender,
        hook: Option<Stage>,
    ) -> Self {
        let integrations = integrations::registered();
        let (every, segments) = constant_attributes(&core.settings, &integrations);
        let now = Instant::now();
        let most_queued = MOST_QUEUED.min(core.budget.limit() / 8);
        let batches = Batches::new(Arc::clone(&core.budget));
        let context = ContextText::new(&core.settings);
        Flusher {
            core,
            consumer,
            commands,
            transport,
            batches,
            #[cfg(feature = "legacy")]
            parcels: crate::legacy::Parcels::default(),
            most_queued,
            clock: Clock::new(),
            every,
            segments,
            integrations: integrations.len(),
            known: Known::default(),
            context,
            trace: Vec::new(),
            segment: SegmentText::default(),
            hook,
            paused_until: None,
            monitored: now,
            threads: Threads::new(),
            waiters: Vec::new(),
            reported: Report::default(),
            report_looked: now,
            report_sent: now,
            last_span: now,
        }
    }

    /// Runs until it is told to close. The measurement of instructions finds the thread by this function's name.
    #[inline(never)]
    pub(crate) fn run(mut self) {
        crate::context::silence();
        let _ending = Ending(Arc::clone(&self.core));
        let closing = loop {
            let now = Instant::now();
            self.clock.refresh(now);
            let drained = self.drain(now);
            if drained > 0 {
                self.last_span = now;
            }
            if let Some(closing) = self.obey(now) {
                break closing;
            }
            self.batches.make_due(now);
            self.send_due(now);
            self.monitor(now);
            self.report_alone(now);
            self.answer_waiters(now);
            self.sleep(now);
        };
        self.close(closing);
    }

    /// Takes what has been handed over into batches.
    fn drain(&mut self, now: Instant) -> usize {
        let Flusher { batches, clock, core, known, .. } = self;
        let privacy = core.settings.privacy();
        let mut intake = Intake { batches, clock, core, known, privacy, now };
        let drained = self.consumer.drain(&mut intake);
        intake.breathe();
        drained
    }

    /// Carries out commands. A deadline and an answer are returned when the flusher is to end.
    fn obey(&mut self, now: Instant) -> Option<(Instant, crossbeam_channel::Sender<bool>)> {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Flush(deadline, answer) => {
                    self.gather(now);
                    self.wait_for(deadline, answer);
                }
                Command::Close(deadline, answer) => {
                    self.gather(now);
                    return Some((deadline, answer));
                }
                #[cfg(feature = "legacy")]
                Command::Parcel(parcel) => self.parcels.push(*parcel, self.batches.next_number()),
            }
        }
        None
    }

    /// Makes everything due that was handed over before the command that is being carried out: it is in the chunks now.
    /// (hand_over, invariant 3)
    fn gather(&mut self, now: Instant) {
        self.drain(now);
        self.batches.make_all_due();
    }

    /// Takes what has come since the command to end. Whoever waits is answered with the one who gave it: the exit hook, which may come
    /// while the guard is being dropped on another thread, would end the process under it otherwise.
    fn take_late_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Flush(deadline, answer) | Command::Close(deadline, answer) => self.wait_for(deadline, answer),
                #[cfg(feature = "legacy")]
                Command::Parcel(parcel) => self.parcels.push(*parcel, self.batches.next_number()),
            }
        }
    }

    fn wait_for(&mut self, deadline: Instant, answer: crossbeam_channel::Sender<bool>) {
        self.transport.hurry();
        let waiter = Waiter {
            deadline,
            answer,
            upto: self.batches.last_number(),
            failed_before: self.transport.failed(),
            lost_before: self.lost_on_the_way(),
        };
        self.waiters.push(waiter);
    }

    /// Whether everything up to this number is through the transport.
    fn is_through(&self, upto: u64) -> bool {
        self.first_waiting().is_none_or(|first| first > upto)
            && (self.transport.completed() >= upto || self.transport.queued_bytes() == 0)
    }

    fn answer_waiters(&mut self, now: Instant) {
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain(|waiter| {
            let through = self.is_through(waiter.upto);
            if through || now >= waiter.deadline {
                // Nobody listens any more if the caller gave up.
                let _ = waiter.answer.send(through && self.arrived_since(waiter));
                return false;
            }
            true
        });
        self.waiters = waiters;
    }

    fn arrived_since(&self, waiter: &Waiter) -> bool {
        self.transport.failed() == waiter.failed_before && self.lost_on_the_way() == waiter.lost_before
    }

    /// Spans that were lost between the hand-over and the transport.
    fn lost_on_the_way(&self) -> u64 {
        let lost = self.core.losses.snapshot();
        [LossReason::BufferOverflow, LossReason::RatelimitBackoff, LossReason::CallbackError]
            .into_iter()
            .map(|reason| lost.get(reason))
            .sum()
    }

    /// The number of what has waited longest for room in the transport's queue.
    fn first_waiting(&self) -> Option<u64> {
        // What is with the hook was due before what is not.
        let batch = self.hook.as_ref().and_then(Stage::first).or_else(|| self.batches.first_due());
        #[cfg(feature = "legacy")]
        let batch = batch.into_iter().chain(self.parcels.first()).min();
        batch
    }

    /// Makes envelopes of due batches while the transport's queue has room.
    fn send_due(&mut self, now: Instant) {
        #[cfg(feature = "legacy")]
        if self.transport.limits().transactions_until(now).is_some() {
            self.parcels.lose_all(LossReason::RatelimitBackoff);
        }
        #[cfg(feature = "legacy")]
        while self.parcels.first().is_some() && self.has_room() {
            let report = self.take_report(REPORT_WITH);
            self.parcels.send_first(&self.core.settings, report, &self.transport);
        }
        while self.has_room() {
            // The next that can be made an envelope of: one that the hook has seen, where there is one.
            let hooked = self.hook.as_mut().map(Stage::take);
            let Some(mut batch) = hooked.unwrap_or_else(|| self.batches.next_due()) else { break };
            if self.hook.is_some() {
                batch.pack(&mut self.known, self.core.settings.privacy(), &mut self.batches.spare);
            }
            if let Some(batch) = self.unless_paused(batch, now) {
                self.send(batch);
            }
        }
        while self.hook.as_ref().is_some_and(Stage::has_room) {
            let (Some(mut batch), Some(hook)) = (self.next_due(now), &mut self.hook) else { break };
            batch.unpack(&self.known);
            if let Some(mut batch) = hook.put(batch, self.clock.clone()) {
                batch.pack(&mut self.known, self.core.settings.privacy(), &mut self.batches.spare);
                self.send(batch);
            }
        }
    }

    fn has_room(&self) -> bool {
        let queued = self.transport.queued_bytes();
        // One is always in the making, however little room there is.
        queued == 0 || queued < self.most_queued && !self.core.budget.is_spent()
    }

    /// The batch that has been due for longest, of those that are not dropped.
    fn next_due(&mut self, now: Instant) -> Option<Box<Batch>> {
        loop {
            let batch = self.batches.next_due()?;
            if let Some(batch) = self.unless_paused(batch, now) {
                return Some(batch);
            }
        }
    }

    /// The batch, unless the server wants to be spared: then it is dropped, before any more work is put into it. (behaviour 52)
    fn unless_paused(&mut self, batch: Box<Batch>, now: Instant) -> Option<Box<Batch>> {
        if !self.is_paused(now) {
            return Some(batch);
        }
        self.batches.discharge(batch.charged());
        self.core.losses.add(LossReason::RatelimitBackoff, batch.spans());
        self.batches.retire(batch);
        None
    }

    /// Whether the server wants to be spared. A pause only ever gets longer, so that one which is known is not asked for again.
    fn is_paused(&mut self, now: Instant) -> bool {
        if self.paused_until.is_none_or(|until| until <= now) {
            self.paused_until = self.transport.limits().spans_until(now);
        }
        self.paused_until.is_some()
    }

    /// Looks at the health of the pipeline, and has fewer traces sampled while it is bad. (behaviour 27)
    fn monitor(&mut self, now: Instant) {
        if self.core.settings.enable_backpressure_handling
            && now.saturating_duration_since(self.monitored) >= MONITOR_EVERY
        {
            self.monitored = now;
            let limited = self.is_paused(now);
            self.core.adapt(!limited && !self.core.budget.is_over());
        }
    }

    fn send(&mut self, batch: Box<Batch>) {
        let charged = batch.charged();
        self.name_integrations();
        let number = batch.number();
        let core = Arc::clone(&self.core);
        let privacy = core.settings.privacy();
        // Without one there are no spans either. (pile, invariant 1)
        let Some(mut segment) = batch.segment() else { return };
        let mut trace = mem::take(&mut self.trace);
        trace.clear();
        segment.write_context(&mut trace, &self.context);
        self.segment.turn_to(segment, privacy);
        let mut writer = EnvelopeWriter::new(self.transport.spare_buffer(), trace.len(), batch.json());
        let mut thread = (u32::MAX, None);
        for Packet { segment: next, record, attributes, rare } in batch.packets() {
            if !Arc::ptr_eq(segment, next) {
                segment = next;
                self.segment.turn_to(segment, privacy);
            }
            if thread.0 != record.thread {
                thread = (record.thread, thread_text(&mut self.threads, &self.core, record.thread));
            }
            let (start, end) = record.times(rare, segment, &self.clock);
            let span = SpanText { record: &record, attributes, rare, start, end };
            let around = Around {
                segment: &self.segment,
                every: &self.every,
                segments: &self.segments,
                thread: thread.1.as_deref(),
                privacy,
            };
            let known = &mut self.known;
            match writer.add(|buffer| span.write(buffer, around, known)) {
                Added::Yes => {}
                Added::TooLarge => self.core.losses.add(LossReason::BufferOverflow, 1),
                // The estimate was far off, which takes texts of control characters.
                Added::Full(text) => {
                    let next = EnvelopeWriter::new(Vec::new(), trace.len(), text.len());
                    let full = mem::replace(&mut writer, next);
                    writer.add(|buffer| buffer.extend_from_slice(&text));
                    // The batch is through with its last envelope only.
                    self.submit(full, &trace, number - 1);
                }
            }
        }
        // Not before: threads would fill the room that the envelope is about to take.
        self.batches.discharge(charged);
        self.submit(writer, &trace, number);
        self.trace = trace;
        self.batches.retire(batch);
    }

    /// Has segments name the integrations that registered since the last time.
    fn name_integrations(&mut self) {
        if integrations::count() != self.integrations {
            let registered = integrations::registered();
            self.integrations = registered.len();
            self.segments = constant_attributes(&self.core.settings, &registered).1;
        }
    }

    /// Hands an envelope to the transport.
    fn submit(&mut self, writer: EnvelopeWriter, trace: &[u8], number: u64) {
        let spans = writer.spans() as u64;
        if spans == 0 {
            return;
        }
        let now = UnixNanos::of(SystemTime::now());
        let report = self.take_report(REPORT_WITH);
        let item = report.as_ref().map(|report| write_report(report, now));
        let envelope = writer.finish(trace, now, item.as_deref());
        self.transport.submit(Outgoing { envelope, load: Load::of_spans(spans), report, number });
    }

    /// Losses that were not reported yet, if it is time to look.
    fn take_report(&mut self, after: Duration) -> Option<Report> {
        let now = Instant::now();
        if !self.core.settings.send_client_reports || now.saturating_duration_since(self.report_looked) < after {
            return None;
        }
        self.report_looked = now;
        let total = self.core.lost();
        let report = total.since(&self.reported).plus(&self.transport.take_unreported());
        self.reported = total;
        if report.is_empty() {
            return None;
        }
        self.report_sent = now;
        Some(report)
    }

    /// Sends losses in an envelope of their own when none of spans has taken them along.
    fn report_alone(&mut self, now: Instant) {
        if now.saturating_duration_since(self.report_sent) >= self.core.settings.report_every {
            self.send_report(now);
        }
    }

    fn send_report(&mut self, now: Instant) {
        // While the server takes nothing at all, the counts wait.
        if self.transport.limits().everything_until(now).is_some() {
            return;
        }
        self.report_sent = now;
        if let Some(report) = self.take_report(Duration::ZERO) {
            let mut bytes = b"{}\n".to_vec();
            bytes.extend_from_slice(&write_report(&report, UnixNanos::of(SystemTime::now())));
            let envelope = Envelope::new(bytes);
            // Batches that are still to come have lower numbers than the last; this one says nothing about them.
            let number = 0;
            self.transport.submit(Outgoing { envelope, load: Load::default(), report: Some(report), number });
        }
    }

    fn sleep(&mut self, now: Instant) {
        let blocked = self.first_waiting().is_some();
        let busy = now.saturating_duration_since(self.last_span) < IDLE;
        if busy || blocked || !self.waiters.is_empty() {
            self.core.doorbell.nap(NAP);
            return;
        }
        if now.saturating_duration_since(self.last_span) >= TRIM_AFTER {
            self.consumer.trim();
            self.batches.trim();
        }
        let next = self
            .batches
            .next_deadline()
            .map(|at| at.saturating_duration_since(now))
            .unwrap_or(self.core.settings.report_every);
        // A rate that was lowered comes back also while nothing is sent.
        let next = if self.core.halvings() > 0 { next.min(MONITOR_EVERY) } else { next };
        let (consumer, commands) = (&self.consumer, &self.commands);
        self.core.doorbell.deep_sleep(next, || consumer.has_any() || !commands.is_empty());
    }

    /// Sends what is left until the deadline, and counts the rest lost. What ends while that is under way goes along, and what ends
    /// after it does not: threads that never stop would keep the flusher from its end otherwise.
    fn close(mut self, (deadline, answer): (Instant, crossbeam_channel::Sender<bool>)) {
        let mut arrived = Waiter {
            deadline,
            answer,
            upto: 0,
            failed_before: self.transport.failed(),
            lost_before: self.lost_on_the_way(),
        };
        let ended_before = self.batches.last_number();
        let mut takes = true;
        // Once: where reports do not arrive, this one does not either.
        let mut report_sent = false;
        loop {
            let now = Instant::now();
            if takes {
                self.drain(now);
                self.take_late_commands();
                self.batches.make_all_due();
                arrived.upto = self.batches.last_number();
            }
            self.send_due(now);
            takes &= !self.is_through(ended_before);
            if !report_sent && self.is_through(arrived.upto) {
                report_sent = true;
                self.send_report(now);
            }
            if self.is_through(arrived.upto) && self.transport.queued_bytes() == 0 || now >= deadline {
                break;
            }
            self.core.doorbell.nap(NAP.min(deadline.saturating_duration_since(now)));
        }
        let in_time = self.is_through(arrived.upto) && self.transport.queued_bytes() == 0;
        // What ends from here on is lost, whether or not its thread knows it yet: the sums tell. (`Stats::read`)
        self.drain(Instant::now());
        self.take_late_commands();
        self.core.doorbell.gone();
        let late = if in_time { LossReason::InternalSdkError } else { LossReason::NetworkError };
        while let Some(spans) = self.batches.drop_oldest_trace() {
            self.core.losses.add(late, spans);
        }
        if let Some(hook) = &mut self.hook {
            // It has not come back from them.
            let (spans, bytes) = hook.give_up();
            self.core.losses.add(LossReason::CallbackError, spans);
            self.batches.discharge(bytes);
        }
        #[cfg(feature = "legacy")]
        self.parcels.lose_all(LossReason::NetworkError);
        let sent = in_time && self.arrived_since(&arrived);
        self.transport.close(deadline);
        self.core.finish();
        for waiter in self.waiters.drain(..) {
            let _ = waiter.answer.send(sent);
        }
        let _ = arrived.answer.send(sent);
    }
}

/// Says that the flusher has ended, also where a fault of this crate ended it.
struct Ending(Arc<Core>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Puts what comes out of the hand-over into batches, and keeps to the bound.
struct Intake<'a> {
    batches: &'a mut Batches,
    clock: &'a Clock,
    core: &'a Core,
    known: &'a mut Known,
    privacy: Privacy<'a>,
    now: Instant,
}

impl Sink<Slot, Option<Arc<Segment>>> for Intake<'_> {
    #[inline(always)]
    fn take(&mut self, segment: &mut Option<Arc<Segment>>, slot: Slot) {
        // Each kind by itself, so that a span, which most slots are, is copied once: from its chunk to where it waits.
        match slot {
            Slot::Span(record) => {
                let Some(segment) = segment else { return };
                // Another chunk may have been in between, so this is said anew for each span; mostly it changes nothing.
                self.batches.turn_to(segment);
                self.batches.add_span(record, self.now, self.known, self.privacy);
            }
            Slot::Segment(next) => {
                if next.wall_origin.load(Ordering::Relaxed) == 0 {
                    next.wall_origin.store(self.clock.wall_origin(), Ordering::Relaxed);
                }
                *segment = Some(next);
            }
            slot => {
                if segment.is_some() {
                    self.batches.add_rest(slot, self.known, self.privacy);
                }
            }
        }
    }

    /// Drops whole traces, the oldest first, while the bound is close. (behaviour 45)
    fn breathe(&mut self) {
        self.batches.settle();
        while self.batches.are_too_much() {
            let Some(spans) = self.batches.drop_oldest_trace() else { break };
            self.core.losses.add(LossReason::BufferOverflow, spans);
        }
    }
}

/// The text for a thread's attributes, made when its first span is written.
fn thread_text(threads: &mut Threads, core: &Core, number: u32) -> Option<Arc<Common>> {
    /// Threads that ended are forgotten here by starting over, which costs a look-up each.
    const MOST: usize = 4096;
    if threads.len() >= MOST && !threads.contains_key(&number) {
        threads.clear();
    }
    let made = || core.thread(number).map(|thread| Arc::new(thread_attributes(&thread.id, thread.name.as_deref())));
    threads.entry(number).or_insert_with(made).clone()
}
