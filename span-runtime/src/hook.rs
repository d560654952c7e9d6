//! The hook that sees each finished span before it is sent, and the thread that it runs on. (behaviour 36)
//!
//! A hook is user code, and may be slow. On the thread that ends a span it would hold up the program, and on the flusher the draining; so it
//! has a thread of its own, between the flusher's batches and their envelopes. What waits for it stays within the byte bound.
//!
//! # Invariants
//!
//! 1. A batch comes back with the spans that went in, in their order: the hook can change a span and not take it away.
//! 2. Batches come back in the order in which they went in.
//! 3. What a hook did before it panicked is undone.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "bytes that are in memory, of which no more are taken off than were added; and 64 bits of nanoseconds after 1970, which every platform has"
)]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::attributes::{AttributeValue, Key, Value};
use crate::client::Core;
use crate::clock::{Clock, UnixNanos};
use crate::context;
use crate::flusher::Batch;
use crate::ids::{SpanId, TraceId};
use crate::names;
use crate::open::Status;
use crate::record::{Details, MOST_SIDE_BY_SIDE, Rare, Site, Slot, SpanRecord};
use crate::segment::Segment;

/// What [`before_send_span`](crate::Options::before_send_span) takes.
pub(crate) type BeforeSendSpan = Arc<dyn Fn(&mut FinishedSpan<'_>) + Send + Sync>;

/// A span on its way out, as [`before_send_span`](crate::Options::before_send_span) sees it.
///
/// Its name and its attributes can be changed: those that it was given, also by a macro, not those that stand on every span, such as
/// `sentry.sdk.name`. Nothing else can, and it cannot be left out.
pub struct FinishedSpan<'a> {
    record: &'a SpanRecord,
    segment: &'a Segment,
    name: Cow<'static, str>,
    renamed: bool,
    details: Details,
    start: UnixNanos,
    end: UnixNanos,
}

impl FinishedSpan<'_> {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames it. The new name of a segment is seen as `sentry.segment.name` on spans that are sent later.
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.name = name.into();
        self.renamed = true;
    }

    /// The attribute with this key.
    pub fn attribute(&self, key: &str) -> Option<Value> {
        self.details.get(key).cloned()
    }

    /// The attributes that it was given.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.details.attributes.iter().map(|attribute| (&*attribute.key, &attribute.value))
    }

    /// Sets an attribute, or replaces it. A value of `None` changes nothing.
    pub fn set_attribute(&mut self, key: impl Into<Key>, value: impl AttributeValue) {
        if let Some(value) = value.into_value() {
            self.details.set(key.into(), value);
        }
    }

    /// Removes an attribute.
    pub fn remove_attribute(&mut self, key: &str) {
        self.details.remove(key);
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.segment.trace().id
    }

    /// The id of the span.
    pub fn span_id(&self) -> SpanId {
        self.record.span_id
    }

    /// The id of the parent; `None` for a root.
    pub fn parent_span_id(&self) -> Option<SpanId> {
        self.record.parent_id
    }

    /// Whether it is the topmost span of this process in its trace.
    pub fn is_segment(&self) -> bool {
        self.record.is_segment
    }

    /// How it went.
    pub fn status(&self) -> Status {
        if self.record.error { Status::Error } else { Status::Ok }
    }

    /// When it started.
    pub fn start_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.start.0)
    }

    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.0.saturating_sub(self.start.0))
    }
}

impl fmt::Debug for FinishedSpan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedSpan")
            .field("name", &self.name)
            .field("span_id", &self.record.span_id)
            .field("attributes", &self.details.attributes)
            .finish_non_exhaustive()
    }
}

/// Bytes of records that may be with the hook; what waits beyond that can still be dropped by whole traces.
const MOST_BYTES: usize = 4 << 20;

/// The flusher's end of the hook.
#[derive(Debug)]
pub(crate) struct Stage {
    work: Sender<(Box<Batch>, Clock)>,
    done: Receiver<Box<Batch>>,
    /// Of the batches that are there, in order: number, spans and bytes.
    inside: VecDeque<(u64, u64, usize)>,
    bytes: usize,
}

impl Stage {
    /// Starts the hook's thread.
    pub(crate) fn start(hook: BeforeSendSpan, core: Arc<Core>) -> io::Result<Self> {
        let (work, incoming) = unbounded::<(Box<Batch>, Clock)>();
        let (outgoing, done) = unbounded();
        thread::Builder::new().name("span-hook".into()).spawn(move || {
            context::silence();
            for (mut batch, clock) in incoming {
                batch.change_slots(|slots| apply(&hook, slots, &clock));
                if outgoing.send(batch).is_err() {
                    return;
                }
                core.doorbell.ring();
            }
        })?;
        Ok(Stage { work, done, inside: VecDeque::new(), bytes: 0 })
    }

    pub(crate) fn has_room(&self) -> bool {
        self.bytes < MOST_BYTES
    }

    /// Hands a batch to the hook. It is returned if the thread is gone, which only a fault of this crate could bring about.
    pub(crate) fn put(&mut self, batch: Box<Batch>, clock: Clock) -> Option<Box<Batch>> {
        let entry = (batch.number(), batch.spans(), batch.charged());
        match self.work.send((batch, clock)) {
            Ok(()) => {
                self.bytes += entry.2;
                self.inside.push_back(entry);
                None
            }
            Err(error) => Some(error.0.0),
        }
    }

    /// Takes the next batch that the hook is through with.
    pub(crate) fn take(&mut self) -> Option<Box<Batch>> {
        let batch = self.done.try_recv().ok()?;
        if let Some((_, _, bytes)) = self.inside.pop_front() {
            self.bytes -= bytes;
        }
        Some(batch)
    }

    /// The number of the batch that has been there for longest.
    pub(crate) fn first(&self) -> Option<u64> {
        self.inside.front().map(|&(number, ..)| number)
    }

    /// Gives up on what is there: how many spans, and how many bytes of the budget.
    pub(crate) fn give_up(&mut self) -> (u64, usize) {
        let spans = self.inside.drain(..).map(|(_, spans, _)| spans).sum();
        (spans, std::mem::take(&mut self.bytes))
    }
}

/// Shows each span of a batch to the hook.
fn apply(hook: &BeforeSendSpan, slots: Vec<Slot>, clock: &Clock) -> Vec<Slot> {
    let mut changed = Vec::with_capacity(slots.len());
    let mut segment: Option<Arc<Segment>> = None;
    let mut slots = slots.into_iter().peekable();
    while let Some(slot) = slots.next() {
        match (slot, &segment) {
            (Slot::Segment(next), _) => {
                segment = Some(Arc::clone(&next));
                changed.push(Slot::Segment(next));
            }
            (Slot::Span(mut record), Some(segment)) => {
                let mut details = Details::default();
                while let Some(next) = slots.next_if(|slot| !matches!(slot, Slot::Span(_) | Slot::Segment(_))) {
                    match next {
                        Slot::Attribute(one) => details.attributes.push(one),
                        Slot::Attributes(all) => details.attributes.extend(all),
                        Slot::Rare(rare) => details.rare = Some(rare),
                        // Of waiting spans every attribute has its key. (`Pile::into_slots`)
                        Slot::Span(_) | Slot::Segment(_) | Slot::Values(..) => {}
                    }
                }
                let details = show(hook, segment, &mut record, details, clock);
                changed.push(Slot::Span(record));
                push_details(&mut changed, details);
            }
            // A batch begins with its segment, and what belongs to a span follows it. (record, invariant)
            (other, _) => changed.push(other),
        }
    }
    changed
}

/// Shows one span to the hook, and returns its details as they are afterwards.
fn show(
    hook: &BeforeSendSpan,
    segment: &Arc<Segment>,
    record: &mut SpanRecord,
    details: Details,
    clock: &Clock,
) -> Details {
    let (start, end) = record.times(details.rare.as_deref(), segment, clock);
    let name = details.name().cloned().unwrap_or(record.site.name().into());
    let mut shown = details.clone();
    // What a call site gives its spans is one of their attributes from here on, so that it can be removed as well.
    if let Some(op) = record.site.op().filter(|_| details.get(names::OP).is_none()) {
        shown.set(Key::Borrowed(names::OP), Value::from_static(op));
    }
    let mut span = FinishedSpan { record, segment, name, renamed: false, details: shown, start, end };
    let Some(()) = context::call_user(|| hook(&mut span)) else {
        context::say_once(&PANICKED, || {
            log::error!("sentry: before_send_span panicked; the span is sent as it was. This is said once");
        });
        return details;
    };
    let FinishedSpan { name, renamed, mut details, .. } = span;
    record.site = Site::Name(record.site.name());
    if renamed {
        if record.is_segment {
            segment.rename(name.clone());
        }
        details.rare().name = Some(name);
    }
    details
}

static PANICKED: AtomicBool = AtomicBool::new(false);

fn push_details(slots: &mut Vec<Slot>, details: Details) {
    let Details { attributes, rare, .. } = details;
    if attributes.len() <= MOST_SIDE_BY_SIDE {
        slots.extend(attributes.into_iter().map(Slot::Attribute));
    } else {
        slots.push(Slot::Attributes(attributes.into()));
    }
    slots.extend(rare.map(Slot::Rare));
}

impl SpanRecord {
    /// When the span started and ended: by the caller's word where there is one, else by the clock.
    pub(crate) fn times(&self, rare: Option<&Rare>, segment: &Segment, clock: &Clock) -> (UnixNanos, UnixNanos) {
        let wall_origin = segment.wall_origin.load(Ordering::Relaxed);
        let given = |time: Option<SystemTime>| time.map(UnixNanos::of);
        let start = given(rare.and_then(|rare| rare.start)).unwrap_or_else(|| clock.time(self.start, wall_origin));
        let end = given(rare.and_then(|rare| rare.end)).unwrap_or_else(|| clock.time(self.end, wall_origin));
        (start, end.max(start))
    }
}
