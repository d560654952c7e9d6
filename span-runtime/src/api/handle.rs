//! Handles: a span from anywhere, and what can be a parent. (behaviours 10, 13)

use std::fmt;
use std::sync::Arc;

use super::{CurrentSpan, Span, SpanGuard, getters, outgoing, setters};
use crate::client::{Core, LossReason};
use crate::context;
use crate::ids::{SpanId, TraceId};
use crate::lifecycle::legacy_words;
use crate::open::{Change, Shared};
use crate::private;
use crate::propagation::TraceHeaders;
use crate::record::{Details, Site};
use crate::segment::Segment;

/// A span from anywhere: it can be cloned, sent to other threads and kept for as long as one likes.
///
/// It does not keep the span open. After the span's end its setters do nothing, and it can still be the parent of a
/// new span.
///
/// ```
/// # use span_runtime::{start_span, Runtime, Options, testing::CaptureTransport};
/// # let runtime = Runtime::new(Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0)).unwrap();
/// # let _entered = runtime.enter();
/// let span = start_span("import").inactive().start();
/// let handle = span.handle();
/// std::thread::spawn(move || {
///     handle.set_attribute("rows", 12);
///     start_span("chunk").parent(&handle).start().end();
/// })
/// .join()
/// .unwrap();
/// assert_eq!(span.attribute("rows").and_then(|value| value.as_i64()), Some(12));
/// ```
#[derive(Clone)]
pub struct SpanHandle(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    Recording(Arc<Shared>),
    Unsampled(Arc<Segment>),
    /// Of a span that is ignored; the id is that of its nearest ancestor that is not.
    Ignored(Arc<Segment>, SpanId),
    /// Of a span that records nothing because there is no runtime or tracing is off.
    Nothing,
}

impl SpanHandle {
    /// A handle of nothing.
    pub(crate) const fn nothing() -> Self {
        SpanHandle(Kind::Nothing)
    }

    pub(crate) fn recording(shared: Arc<Shared>) -> Self {
        SpanHandle(Kind::Recording(shared))
    }

    pub(crate) fn unsampled(segment: Arc<Segment>) -> Self {
        SpanHandle(Kind::Unsampled(segment))
    }

    pub(crate) fn ignored(segment: Arc<Segment>, ancestor: SpanId) -> Self {
        SpanHandle(Kind::Ignored(segment, ancestor))
    }

    /// The segment and span that a child of this belongs to.
    pub(crate) fn place(&self) -> Option<(&Arc<Segment>, SpanId)> {
        match &self.0 {
            Kind::Recording(shared) => Some((&shared.segment, shared.span_id)),
            Kind::Unsampled(segment) => Some((segment, segment.span_id)),
            Kind::Ignored(segment, ancestor) => Some((segment, *ancestor)),
            Kind::Nothing => None,
        }
    }

    #[inline]
    pub(crate) fn as_unsampled(&self) -> Option<&Arc<Segment>> {
        match &self.0 {
            Kind::Unsampled(segment) => Some(segment),
            _ => None,
        }
    }

    /// Where a span that is not sent is counted, and why.
    pub(crate) fn unsent(&self) -> Option<(&Arc<Core>, LossReason)> {
        match &self.0 {
            Kind::Unsampled(segment) => Some((&segment.core, segment.loss)),
            Kind::Ignored(segment, _) => Some((&segment.core, LossReason::Ignored)),
            Kind::Recording(_) | Kind::Nothing => None,
        }
    }

    /// Its segment, and why what it is of is not sent.
    pub(crate) fn into_unsent(self) -> Result<(Arc<Segment>, LossReason), Self> {
        match self.0 {
            Kind::Unsampled(segment) => {
                let reason = segment.loss;
                Ok((segment, reason))
            }
            Kind::Ignored(segment, _) => Ok((segment, LossReason::Ignored)),
            other => Err(SpanHandle(other)),
        }
    }

    pub(super) fn change(&self, change: Change) {
        if let Kind::Recording(shared) = &self.0 {
            let renamed = (shared.span_id == shared.segment.span_id).then_some(&*shared.segment);
            shared.with(|details| change.make(details, renamed));
        }
    }

    pub(super) fn read<R>(&self, f: impl FnOnce(Site, &Details) -> R) -> Option<R> {
        match &self.0 {
            Kind::Recording(shared) => shared.with(|details| f(shared.site, details)),
            _ => None,
        }
    }

    setters!([&self] self);
    getters!();
    legacy_words!(span);

    /// The id of the trace.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.place().map(|(segment, _)| segment.trace().id)
    }

    /// The id of the span; below an unsampled segment that of the segment's span, and of a span that is ignored that of its nearest
    /// ancestor that is not.
    pub fn span_id(&self) -> Option<SpanId> {
        self.place().map(|(_, span_id)| span_id)
    }

    /// Whether the span is sent: its segment was sampled, and it is not ignored.
    pub fn is_sampled(&self) -> bool {
        matches!(self.0, Kind::Recording(_))
    }

    outgoing!();

    /// The headers from inside of this span, for those who may know of it.
    pub(super) fn headers(&self, url: Option<&str>) -> TraceHeaders {
        match self.place() {
            Some((segment, span_id)) if url.is_none_or(|url| segment.core.settings.is_target(url)) => {
                TraceHeaders::of_span(segment, span_id)
            }
            Some(_) => TraceHeaders::default(),
            // Where nothing is recorded, a trace that came in is passed on.
            None => context::headers(url),
        }
    }
}

impl fmt::Debug for SpanHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some((segment, span_id)) => f
                .debug_struct("SpanHandle")
                .field("trace_id", &segment.trace().id)
                .field("span_id", &span_id)
                .field("sampled", &segment.sampled)
                .finish(),
            None => f.write_str("SpanHandle(records nothing)"),
        }
    }
}

/// What a new span hangs on: the current span unless something else is said.
#[derive(Debug, Clone, Default)]
pub struct Parent(pub(crate) ParentKind);

#[derive(Debug, Clone, Default)]
pub(crate) enum ParentKind {
    #[default]
    Current,
    /// The current one, and nothing if there is none.
    OnlyCurrent,
    Root,
    Of(SpanHandle),
}

impl Parent {
    /// The current span, if there is one.
    pub const CURRENT: Parent = Parent(ParentKind::Current);

    /// The current span; if there is none, the new span records nothing: for work that is of interest as a part of something
    /// only, such as a query of a database.
    pub const ONLY_CURRENT: Parent = Parent(ParentKind::OnlyCurrent);

    /// None: the new span is the root of a segment, even inside another span.
    pub const ROOT: Parent = Parent(ParentKind::Root);

    /// Whether a span that starts here and now with this parent may be recorded: there is a runtime, and the segment is sampled or not
    /// decided on yet. If not, nobody sees its attributes, and what they cost can be saved.
    ///
    /// ```
    /// use span_runtime::{Parent, start_span};
    ///
    /// # fn costly() -> String { String::new() }
    /// let mut span = start_span("report");
    /// if Parent::CURRENT.may_record() {
    ///     span = span.attribute("report.plan", costly());
    /// }
    /// let _report = span.start();
    /// ```
    pub fn may_record(&self) -> bool {
        private::may_record(self)
    }

    /// This span, wherever it lives and whether or not it has ended.
    #[inline]
    pub fn of<P: AsParent + ?Sized>(parent: &P) -> Self {
        parent.as_parent()
    }
}

/// What can be the parent of a span: a span, a guard, a handle, the current span, or an `Option` of one, of which
/// `None` makes the new span a root.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parent of a span",
    label = "not a span, guard or handle of span_runtime",
    note = "pass a `Span`, `SpanGuard`, `SpanHandle` or `CurrentSpan` by reference, or `None` for a new root",
    note = "a transaction or span of the legacy API is sent with its transaction and cannot have children that stream: start it by \
            `start_span(name)` as well"
)]
pub trait AsParent {
    /// The parent that this stands for.
    fn as_parent(&self) -> Parent;
}

impl AsParent for SpanHandle {
    fn as_parent(&self) -> Parent {
        Parent(ParentKind::Of(self.clone()))
    }
}

impl AsParent for Span {
    fn as_parent(&self) -> Parent {
        self.handle().as_parent()
    }
}

impl AsParent for SpanGuard {
    fn as_parent(&self) -> Parent {
        self.handle().as_parent()
    }
}

impl AsParent for CurrentSpan {
    fn as_parent(&self) -> Parent {
        self.handle().as_parent()
    }
}

impl AsParent for Parent {
    #[inline]
    fn as_parent(&self) -> Parent {
        // One by one, so that of a constant nothing is left to be done at run time.
        match &self.0 {
            ParentKind::Current => Parent::CURRENT,
            ParentKind::OnlyCurrent => Parent::ONLY_CURRENT,
            ParentKind::Root => Parent::ROOT,
            ParentKind::Of(handle) => Parent(ParentKind::Of(handle.clone())),
        }
    }
}

impl<P: AsParent + ?Sized> AsParent for &P {
    #[inline]
    fn as_parent(&self) -> Parent {
        (**self).as_parent()
    }
}

impl<P: AsParent> AsParent for Option<P> {
    fn as_parent(&self) -> Parent {
        self.as_ref().map_or(Parent::ROOT, P::as_parent)
    }
}
