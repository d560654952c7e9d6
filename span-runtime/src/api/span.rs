//! A span that is current nowhere by itself.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{SpanHandle, getters, outgoing, setters};
use crate::clock::Reading;
use crate::context;
use crate::ids::{SpanId, TraceId};
use crate::lifecycle::legacy_words;
use crate::open::{Change, OpenSpan};
use crate::propagation::TraceHeaders;
use crate::record::{Details, Site};
use crate::segment::Segment;

/// A started span that is not current: for work that outlives a scope or crosses threads.
///
/// It ends by [`end`](Span::end), by [`end_at`](Span::end_at), or when it is dropped. It can be sent to other threads;
/// others refer to it by its [`handle`](Span::handle). A future carries one with
/// [`in_span`](crate::Instrument::in_span).
///
/// ```
/// use span_runtime::start_span;
///
/// let mut span = start_span("nightly import").inactive().start();
/// span.set_attribute("rows", 1200);
/// span.end();
/// ```
#[must_use = "the span ends when this is dropped"]
pub struct Span(pub(super) Kind);

pub(super) enum Kind {
    /// With a segment of its own.
    Recording(Box<OpenSpan>),
    /// One that is not sent; the handle stands for what is below it.
    Unsent(SpanHandle),
    Nothing,
}

impl Span {
    pub(crate) const fn nothing() -> Self {
        Span(Kind::Nothing)
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.0, Kind::Nothing)
    }

    pub(crate) fn change(&mut self, change: Change) {
        if let Kind::Recording(open) = &mut self.0 {
            let segment = open.segment.clone();
            let renamed = segment.as_deref().filter(|segment| segment.span_id == open.span_id);
            open.with(|details| change.make(details, renamed));
        }
    }

    fn read<R>(&self, f: impl FnOnce(Site, &Details) -> R) -> Option<R> {
        match &self.0 {
            Kind::Recording(open) => open.read(|details| f(open.site, details)),
            _ => None,
        }
    }

    setters!([&mut self] self);
    getters!();
    legacy_words!(span);

    /// A handle that others can use.
    pub fn handle(&self) -> SpanHandle {
        match &self.0 {
            Kind::Recording(open) => match &open.segment {
                Some(segment) => SpanHandle::recording(open.share(segment)),
                None => SpanHandle::nothing(),
            },
            Kind::Unsent(handle) => handle.clone(),
            Kind::Nothing => SpanHandle::nothing(),
        }
    }

    fn segment(&self) -> Option<&Arc<Segment>> {
        match &self.0 {
            Kind::Recording(open) => open.segment.as_ref(),
            Kind::Unsent(handle) => handle.place().map(|(segment, _)| segment),
            Kind::Nothing => None,
        }
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.segment().map(|segment| segment.trace().id)
    }

    /// The id of the span; below an unsampled segment that of the segment's span.
    pub fn span_id(&self) -> Option<SpanId> {
        match &self.0 {
            Kind::Recording(open) => Some(open.span_id),
            Kind::Unsent(handle) => handle.span_id(),
            Kind::Nothing => None,
        }
    }

    outgoing!();

    fn headers(&self, url: Option<&str>) -> TraceHeaders {
        self.handle().headers(url)
    }

    /// Whether the span is sent: its segment was sampled, and it is not ignored.
    pub fn is_sampled(&self) -> bool {
        matches!(self.0, Kind::Recording(_))
    }

    /// Ends the span now.
    pub fn end(self) {
        drop(self);
    }

    /// Ends the span with a time of the caller's. A time before the start counts as the start.
    pub fn end_at(mut self, time: SystemTime) {
        self.close(Some(time));
    }

    pub(super) fn close(&mut self, at: Option<SystemTime>) {
        match std::mem::replace(&mut self.0, Kind::Nothing) {
            Kind::Recording(open) => {
                let end = Reading::now();
                context::finish_owned(open, end, at);
            }
            Kind::Unsent(handle) => context::count_unsent(&handle),
            Kind::Nothing => {}
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.close(None);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.segment() {
            Some(segment) => f
                .debug_struct("Span")
                .field("trace_id", &segment.trace().id)
                .field("span_id", &self.span_id())
                .field("sampled", &segment.sampled)
                .finish(),
            None => f.write_str("Span(records nothing)"),
        }
    }
}
