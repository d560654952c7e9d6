//! A span between its start and its end.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::SystemTime;

use crate::attributes::{Key, Value};
use crate::client::fork;
use crate::clock::Reading;
use crate::ids::SpanId;
use crate::link::Link;
use crate::record::{Attribute, Details, Site, SpanRecord};
use crate::segment::Segment;

/// A span that records. It stands on a thread's stack while it is current there, and in a [`Span`](crate::Span) or a
/// future otherwise; only one of them at a time, so its own details need no lock.
///
/// Invariant: once `shared` is set, the details in it are the ones that count.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    pub(crate) site: Site,
    pub(crate) span_id: SpanId,
    pub(crate) parent_id: Option<SpanId>,
    start: Reading,
    thread: u32,
    /// The index of the stack entry that keeps the segment, if `segment` does not.
    pub(crate) base: u32,
    pub(crate) segment: Option<Arc<Segment>>,
    /// It started while its thread was unwinding, so that unwinding says nothing about it.
    in_unwinding: bool,
    pub(crate) details: Details,
    shared: OnceLock<Arc<Shared>>,
}

/// What handles on other threads and in other tasks share with an open span.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) segment: Arc<Segment>,
    pub(crate) span_id: SpanId,
    pub(crate) site: Site,
    /// `None` once the span has ended.
    details: Mutex<Option<Details>>,
}

impl Shared {
    /// Runs `f` on the details, unless the span has ended.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Details) -> R) -> Option<R> {
        fork::lock(&self.details)?.as_mut().map(f)
    }

    fn close(&self) -> Details {
        fork::lock(&self.details).and_then(|mut details| details.take()).unwrap_or_default()
    }
}

impl OpenSpan {
    /// A span that is none: what a frame of the stack holds when it is not in use.
    pub(crate) fn blank() -> Self {
        OpenSpan {
            site: Site::Name(""),
            span_id: SpanId::MAX,
            parent_id: None,
            start: Reading::ZERO,
            thread: 0,
            base: 0,
            segment: None,
            in_unwinding: false,
            details: Details::default(),
            shared: OnceLock::new(),
        }
    }

    /// Whether nothing of an earlier span is left in here, but for the memory of its attributes.
    pub(crate) fn is_blank(&self) -> bool {
        self.segment.is_none()
            && self.details.attributes.is_empty()
            && self.details.rare.is_none()
            && self.shared.get().is_none()
    }

    /// Makes a blank span one that begins now. Each field is assigned by itself: nothing is moved.
    #[inline(always)]
    pub(crate) fn begin(&mut self, site: Site, (span_id, parent_id): (SpanId, Option<SpanId>), thread: u32, base: u32) {
        debug_assert!(self.is_blank(), "{self:?}");
        self.site = site;
        self.span_id = span_id;
        self.parent_id = parent_id;
        self.thread = thread;
        self.base = base;
        self.in_unwinding = thread::panicking();
        self.details.error = false;
        self.start = Reading::now();
    }

    /// Gives a span that has just begun the details that were made for it.
    pub(crate) fn set_details(&mut self, details: Details) {
        // The list that is here has memory, perhaps; one that brings none leaves it alone.
        if details.attributes.capacity() > 0 {
            self.details.attributes = details.attributes;
        }
        self.details.rare = details.rare;
    }

    /// Runs `f` on the details, wherever they are.
    #[inline]
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut Details) -> R) -> Option<R> {
        match self.shared.get() {
            Some(shared) => shared.with(f),
            None => Some(f(&mut self.details)),
        }
    }

    /// As [`with`](Self::with), for reading.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&Details) -> R) -> Option<R> {
        match self.shared.get() {
            Some(shared) => shared.with(|details| f(details)),
            None => Some(f(&self.details)),
        }
    }

    /// Moves the details to where handles can reach them.
    pub(crate) fn share(&self, segment: &Arc<Segment>) -> Arc<Shared> {
        Arc::clone(self.shared.get_or_init(|| {
            Arc::new(Shared {
                segment: Arc::clone(segment),
                span_id: self.span_id,
                site: self.site,
                details: Mutex::new(Some(self.details.clone())),
            })
        }))
    }

    /// Whether nothing has to travel with it but attributes.
    #[inline(always)]
    pub(crate) fn is_simple(&self) -> bool {
        self.details.rare.is_none() && self.shared.get().is_none()
    }

    /// Takes the details back from handles, and puts an end that the caller gave among them.
    pub(crate) fn settle(&mut self, at: Option<SystemTime>) {
        if let Some(shared) = self.shared.take() {
            self.details = shared.close();
        }
        if let Some(at) = at {
            self.details.rare().end = Some(at);
        }
    }

    /// What travels of the span, with its site. Details that are shared are [settled](Self::settle) before.
    #[inline(always)]
    pub(crate) fn record(&self, site: Site, segment: &Segment, end: Reading, by_site: bool) -> SpanRecord {
        SpanRecord {
            site,
            span_id: self.span_id,
            parent_id: self.parent_id,
            start: self.start,
            end,
            thread: self.thread,
            is_segment: self.span_id == segment.span_id,
            error: self.details.error | (thread::panicking() & !self.in_unwinding),
            by_site,
        }
    }
}

/// Whether a span went well: the two values that Sentry's span protocol knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// It went well. Every span starts with this.
    #[default]
    Ok,
    /// It failed.
    Error,
}

impl Status {
    /// The status as it is sent.
    ///
    /// ```
    /// assert_eq!(span_runtime::Status::Error.as_str(), "error");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Error => "error",
        }
    }
}

/// A change to an open span, the same from a guard, a span or a handle.
pub(crate) enum Change {
    Name(Cow<'static, str>),
    Status(Status),
    Set(Key, Value),
    SetAll(Vec<Attribute>),
    Remove(Key),
    Link(Link),
}

impl Change {
    /// Makes the change; the name of a segment's span is the segment's name too.
    pub(crate) fn make(self, details: &mut Details, renamed: Option<&Segment>) {
        match self {
            Change::Name(name) => {
                if let Some(segment) = renamed {
                    segment.rename(name.clone());
                }
                details.rare().name = Some(name);
            }
            Change::Status(status) => details.error = status == Status::Error,
            Change::Set(key, value) => details.set(key, value),
            Change::SetAll(attributes) => {
                for Attribute { key, value } in attributes {
                    details.set(key, value);
                }
            }
            Change::Remove(key) => details.remove(&key),
            Change::Link(link) => details.rare().links.push(link),
        }
    }
}
