//! The layer.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::thread;

use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Event, Level, Metadata, Subscriber};
use span_runtime::{
    Context as Current, ContextGuard, Link, Parent, Span, SpanHandle, Status, current_span, names,
    register_integration, start_span,
};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::fields::{Choice, Fields, SENTRY_TRACE};
use super::filter::SpanFilter;
use super::{NAME, ORIGIN};

/// A layer that makes a span of each span of tracing from the level `INFO` on.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// let subscriber = tracing_subscriber::registry().with(span_integrations::tracing::layer());
/// # let _ = subscriber;
/// ```
pub fn layer<S>() -> Filtered<SpanLayer, SpanFilter, S>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    SpanLayer::new().with_filter(SpanFilter::default())
}

/// The layer without a filter: every span that reaches it becomes one of ours. Give it one by
/// [`with_filter`](tracing_subscriber::Layer::with_filter), such as [`SpanFilter`]: what is filtered so costs almost nothing.
///
/// ```
/// use span_integrations::tracing::{SpanFilter, SpanLayer};
/// use tracing_subscriber::prelude::*;
///
/// let layer = SpanLayer::new().metadata(true).fields(|_, field| field != "body").with_filter(SpanFilter::default());
/// # let _ = tracing_subscriber::registry().with(layer);
/// ```
#[derive(Clone)]
pub struct SpanLayer {
    error_events: bool,
    metadata: bool,
    choice: Option<Arc<SharedChoice>>,
}

impl Default for SpanLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanLayer {
    /// One with the defaults.
    pub fn new() -> Self {
        register_integration(NAME);
        SpanLayer { error_events: true, metadata: false, choice: None }
    }

    /// Whether an event of level `ERROR` makes the span that it is in an error; true by default. The filter has to let such events
    /// through.
    #[must_use]
    pub fn error_events(mut self, are_errors: bool) -> Self {
        self.error_events = are_errors;
        self
    }

    /// Whether a span's level and its place in the code are recorded; false by default.
    #[must_use]
    pub fn metadata(mut self, is_recorded: bool) -> Self {
        self.metadata = is_recorded;
        self
    }

    /// Which fields become attributes, by the span and the field's name; by default all. Those that have a meaning of their own keep it, but
    /// the texts of errors and statuses are asked for as well.
    #[must_use]
    pub fn fields(mut self, choice: impl Fn(&Metadata<'_>, &str) -> bool + Send + Sync + 'static) -> Self {
        self.choice = Some(Arc::new(choice));
        self
    }

    /// Starts the span.
    fn start(&self, attributes: &Attributes<'_>, parent: Parent) -> Ours {
        let metadata = attributes.metadata();
        let mut fields = None;
        let mut in_trace = None;
        if may_continue_a_trace(attributes) {
            let read = self.read(attributes);
            in_trace = read.enter_trace();
            fields = Some(read);
        }
        if !parent.may_record() {
            // Counted, perhaps. Nobody looks at its fields.
            let span = start_span(metadata.name()).parent(parent).inactive().start();
            return Ours { span, status_is_final: false };
        }
        let mut fields = fields.unwrap_or_else(|| self.read(attributes));
        let (status, status_is_final) = (fields.status(), fields.status.is_some());
        let mut builder = match fields.name.take() {
            Some(name) => start_span(name),
            None => start_span(metadata.name()),
        };
        builder = builder.parent(parent).attribute(names::ORIGIN, ORIGIN);
        if self.metadata {
            builder = builder
                .attribute(names::TRACING_LEVEL, metadata.level().as_str())
                .attribute(names::CODE_NAMESPACE, metadata.module_path())
                .attribute(names::CODE_FILE_PATH, metadata.file())
                .attribute(names::CODE_LINE_NUMBER, metadata.line());
        }
        let mut span = fields.begin(builder).inactive().start();
        drop(in_trace);
        if let Some(status) = status {
            span.set_status(status);
        }
        Ours { span, status_is_final }
    }

    fn choice(&self) -> Option<&Choice<'_>> {
        self.choice.as_deref().map(|choice| choice as _)
    }

    fn read(&self, attributes: &Attributes<'_>) -> Fields {
        Fields::read(attributes.metadata(), self.choice(), |reader| attributes.record(reader))
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(entry) = context.span(id) else { return };
        if entry.extensions().get::<Ours>().is_some() {
            // There are two of us in one registry, and the other one was asked first.
            return;
        }
        let ours = self.start(attributes, parent_of(attributes, &entry));
        // Where nothing is recorded, there is nothing to keep.
        if ours.span.trace_id().is_some() {
            entry.extensions_mut().insert(ours);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(entry) = context.span(id) else { return };
        let Some((handle, was_final)) = ours(&entry) else { return };
        if !handle.is_sampled() {
            return;
        }
        let fields = Fields::read(entry.metadata(), self.choice(), |reader| values.record(reader));
        if fields.status.is_some() && !was_final {
            if let Some(ours) = entry.extensions_mut().get_mut::<Ours>() {
                ours.status_is_final = true;
            }
        }
        let status = if was_final { fields.status } else { fields.status() };
        if let Some(status) = status {
            handle.set_status(status);
        }
        fields.set_on(&handle);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let handle = |id| context.span(id).and_then(|entry| ours(&entry));
        let (Some((span, _)), Some((before, _))) = (handle(id), handle(follows)) else { return };
        if let (Some(trace_id), Some(span_id)) = (before.trace_id(), before.span_id()) {
            span.add_link(Link::new(trace_id, span_id).sampled(before.is_sampled()));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !self.error_events || *event.metadata().level() != Level::ERROR {
            return;
        }
        let Some(entry) = context.event_span(event) else { return };
        let Some((handle, status_is_final)) = ours(&entry) else { return };
        // Where one of our own spans is nearer, the event is about that, and its status is for its code to say.
        if !handle.is_sampled() || event.is_contextual() && current_span().span_id() != handle.span_id() {
            return;
        }
        if !status_is_final {
            handle.set_status(Status::Error);
        }
        let only_error = |metadata: &Metadata<'_>, field: &str| {
            field == "error" && self.choice.as_ref().is_none_or(|choice| choice(metadata, field))
        };
        Fields::read(event.metadata(), Some(&only_error), |reader| event.record(reader)).set_error_on(&handle);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some((handle, _)) = context.span(id).and_then(|entry| ours(&entry)) else { return };
        let guard = Current::of(&handle).enter();
        let entered = Entered { id: id.clone(), _guard: guard, in_unwinding: thread::panicking() };
        // Past the thread's end nothing is current any more.
        let _past_end = ENTERED.try_with(|all| all.borrow_mut().push(entered));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let left = ENTERED.try_with(|all| {
            let mut all = all.borrow_mut();
            let at = all.iter().rposition(|entered| entered.id == *id)?;
            Some(all.remove(at))
        });
        let Ok(Some(left)) = left else { return };
        // A panic goes through: whoever catches it may close the span much later, and without unwinding.
        if thread::panicking() && !left.in_unwinding {
            if let Some((handle, false)) = context.span(id).and_then(|entry| ours(&entry)) {
                handle.set_status(Status::Error);
            }
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let ours = context.span(&id).and_then(|entry| entry.extensions_mut().remove::<Ours>());
        drop(ours);
    }
}

impl fmt::Debug for SpanLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanLayer")
            .field("error_events", &self.error_events)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

type SharedChoice = dyn Fn(&Metadata<'_>, &str) -> bool + Send + Sync;

/// What the registry keeps for us with a span of tracing.
struct Ours {
    span: Span,
    /// `otel.status_code` was set.
    status_is_final: bool,
}

/// Our span, and whether its status is final. The lock on it is released.
fn ours<S: for<'l> LookupSpan<'l>>(entry: &SpanRef<'_, S>) -> Option<(SpanHandle, bool)> {
    entry.extensions().get::<Ours>().map(|ours| (ours.span.handle(), ours.status_is_final))
}

/// What a new span hangs on. What tracing calls contextual hangs on what is current, which the spans of tracing are that are entered.
fn parent_of<S: for<'l> LookupSpan<'l>>(attributes: &Attributes<'_>, entry: &SpanRef<'_, S>) -> Parent {
    if attributes.is_contextual() {
        return Parent::CURRENT;
    }
    // The nearest ancestor that was not filtered out.
    let parent = entry.parent().and_then(|parent| ours(&parent));
    parent.map_or(Parent::ROOT, |(handle, _)| Parent::of(&handle))
}

/// Whether a span names a trace to continue, and has no parent here, which would count for more.
fn may_continue_a_trace(attributes: &Attributes<'_>) -> bool {
    attributes.fields().field(SENTRY_TRACE).is_some()
        && (attributes.is_root() || attributes.is_contextual() && current_span().trace_id().is_none())
}

/// A span of tracing that is entered on this thread.
struct Entered {
    id: Id,
    _guard: ContextGuard,
    /// It was entered while its thread was unwinding, so that unwinding says nothing about it.
    in_unwinding: bool,
}

thread_local! {
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
}
