//! What the macros' expansions call. Not part of the API: it changes with the macros, which are of the same version.

use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::future::Future;

pub use crate::api::Unstarted;
use crate::api::{self, ParentKind, begin_active, begin_at_once, begin_owned, begin_plain, begin_values};
use crate::attributes::{debug, display};
use crate::client::global;
use crate::context::{self, fast};
use crate::names;
use crate::open::{Change, Status};
use crate::record::{Details, Site};
use crate::{AttributeValue, InSpan, Key, Parent, Span, SpanGuard, Value};

#[cfg(feature = "legacy")]
pub use crate::legacy::{calls::open as calls, expansion as legacy};
pub use crate::lifecycle::lock;
pub use crate::record::Callsite;

/// What the start closure of a call site writes to. It is called only when the span may record.
#[derive(Debug)]
pub struct Start<'a>(&'a mut Details);

impl Start<'_> {
    /// A name that is made at run time.
    pub fn name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.0.rare().name = Some(name.into());
    }

    /// An attribute, read by reference, so that nothing of the caller's is moved.
    pub fn attribute<V: AttributeValue + ?Sized>(&mut self, key: &'static str, value: &V) {
        if let Some(value) = value.to_value() {
            self.0.add(key, value);
        }
    }

    /// An attribute whose value is a literal.
    #[inline]
    pub fn attribute_static(&mut self, key: &'static str, value: &'static str) {
        self.0.add(key, Value::from_static(value));
    }
}

/// A span with neither options nor attributes.
#[inline]
pub fn enter(site: &'static Callsite) -> SpanGuard {
    match begin_at_once(&Parent::CURRENT) {
        Some(guard) => guard,
        None => begin_plain(site),
    }
}

/// A span that is current on this thread while the guard lives.
#[inline]
pub fn enter_with(site: &'static Callsite, parent: Parent, start: impl FnOnce(&mut Start<'_>)) -> SpanGuard {
    if let Some(guard) = begin_at_once(&parent) {
        return guard;
    }
    let mut details = Details::default();
    if prepare(&parent, &mut details) {
        start(&mut Start(&mut details));
    }
    begin_active(&parent, Site::Call(site), &mut details)
}

/// A span that is current on this thread while the guard lives, with the attributes that its call site names. `values` is called only if
/// the span may record; there is one for each key without a literal.
#[inline]
pub fn enter_values<const N: usize>(
    site: &'static Callsite,
    parent: Parent,
    values: impl FnOnce() -> [Option<Value>; N],
) -> SpanGuard {
    if let Some(guard) = begin_at_once(&parent) {
        return guard;
    }
    if may_record(&parent) {
        begin_values(&parent, site, values())
    } else {
        begin_active(&parent, Site::Call(site), &mut Details::default())
    }
}

/// An attribute's value, read by reference, so that nothing of the caller's is moved.
#[inline]
pub fn value<V: AttributeValue + ?Sized>(value: &V) -> Option<Value> {
    value.to_value()
}

/// Whether a span that starts with this parent may be recorded.
#[inline(always)]
pub(crate) fn may_record(parent: &Parent) -> bool {
    matches!(parent.0, ParentKind::Current | ParentKind::OnlyCurrent) && fast::is_recording()
        || context::with(|local| local.may_record(parent)) == Some(true)
}

/// A span that is not current.
pub fn start_inactive(site: &'static Callsite, parent: Parent, start: impl FnOnce(&mut Start<'_>)) -> Span {
    start_detached(site, parent, start)
}

/// A span for a future to carry.
#[inline]
pub fn start_detached(site: &'static Callsite, parent: Parent, start: impl FnOnce(&mut Start<'_>)) -> Span {
    if !global::any() {
        return Span::nothing();
    }
    let mut details = Details::default();
    if prepare(&parent, &mut details) {
        start(&mut Start(&mut details));
    }
    begin_owned(&parent, Site::Call(site), &mut details)
}

/// A span for a future to carry that is polled at once, and starts with that.
#[inline]
pub fn prepare_future(site: &'static Callsite, parent: Parent, start: impl FnOnce(&mut Start<'_>)) -> Unstarted {
    let mut details = Details::default();
    if global::any() && prepare(&parent, &mut details) {
        start(&mut Start(&mut details));
    }
    Unstarted::new(site, parent, details)
}

/// As [`prepare_future`], with nothing to evaluate.
#[inline]
pub fn prepare_future_plain(site: &'static Callsite, parent: Parent) -> Unstarted {
    Unstarted::new(site, parent, Details::NONE)
}

/// Whether the span may record, so that its start closure is to be run, with nothing borrowed. It gets the memory of an
/// earlier span's attributes.
#[inline(never)]
fn prepare(parent: &Parent, details: &mut Details) -> bool {
    let may_record = context::with(|local| {
        let may_record = local.may_record(parent);
        if may_record {
            details.attributes = local.spare_list();
        }
        may_record
    });
    may_record == Some(true)
}

/// Carries a span in a future, and looks at the output before the span ends.
#[inline]
pub fn instrument<F: Future>(span: Span, future: F, outcome: fn(&mut Outcome<'_>, &F::Output)) -> InSpan<F> {
    api::instrument(span, future, outcome)
}

/// Carries a span in a future from its first poll on, and looks at the output before the span ends.
#[inline]
pub fn instrument_unstarted<F: Future>(
    span: Unstarted,
    future: F,
    outcome: fn(&mut Outcome<'_>, &F::Output),
) -> InSpan<F> {
    api::instrument_unstarted(span, future, outcome)
}

/// Carries a span in a stream.
#[cfg(feature = "stream")]
pub fn instrument_stream<S: futures_core::Stream>(span: Span, stream: S) -> crate::InSpanStream<S> {
    crate::InstrumentStream::in_span(stream, span)
}

/// Calls a closure at once; as an argument of this, its captures are moved in and may be returned.
#[inline(always)]
pub fn call<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// What an expansion says of how a body ended.
#[derive(Debug)]
pub struct Outcome<'a>(Target<'a>);

#[derive(Debug)]
enum Target<'a> {
    Guard(&'a SpanGuard),
    Span(&'a mut Span),
    /// One that records, by its id, on this thread's stack at this index.
    Entry(u64, u32),
}

impl<'a> Outcome<'a> {
    pub(crate) fn of_span(span: &'a mut Span) -> Self {
        Outcome(Target::Span(span))
    }

    pub(crate) fn of_entry(id: u64, index: u32) -> Self {
        Outcome(Target::Entry(id, index))
    }

    fn change(&mut self, change: Change) {
        match &mut self.0 {
            Target::Guard(guard) => guard.change(change),
            Target::Span(span) => span.change(change),
            Target::Entry(id, index) => context::change(*id, *index, change),
        }
    }

    fn records(&self) -> bool {
        match &self.0 {
            Target::Guard(guard) => guard.is_sampled(),
            Target::Span(span) => span.is_sampled(),
            Target::Entry(..) => true,
        }
    }

    /// The body returned an error.
    #[cold]
    pub fn failed(&mut self) {
        self.change(Change::Status(Status::Error));
    }

    /// The text of the error.
    pub fn error_text(&mut self, error: &dyn Display) {
        self.set(names::ERROR_MESSAGE, &display(error));
    }

    /// The value that was returned.
    pub fn returned(&mut self, value: &dyn Debug) {
        self.set(names::RETURN_VALUE, &debug(value));
    }

    fn set(&mut self, key: &'static str, value: &dyn AttributeValue) {
        if self.records() {
            if let Some(value) = value.to_value() {
                self.change(Change::Set(Key::Borrowed(key), value));
            }
        }
    }
}

impl SpanGuard {
    /// How the body of this span ended.
    #[doc(hidden)]
    pub fn outcome(&self) -> Outcome<'_> {
        Outcome(Target::Guard(self))
    }
}

impl Span {
    /// How the body of this span ended.
    #[doc(hidden)]
    pub fn outcome(&mut self) -> Outcome<'_> {
        Outcome(Target::Span(self))
    }
}

/// Tells whether a value is an `Err`, for any type: the method of this type wins where it applies, and
/// [`NotAResult`]'s is there for all else.
#[derive(Debug)]
pub struct Probe<'a, T: ?Sized>(pub &'a T);

impl<T, E> Probe<'_, Result<T, E>> {
    /// Whether it is an `Err`.
    #[inline(always)]
    pub fn is_err(&self) -> bool {
        self.0.is_err()
    }
}

/// The fallback of [`Probe`].
pub trait NotAResult {
    /// Never.
    #[inline(always)]
    fn is_err(&self) -> bool {
        false
    }
}

impl<T: ?Sized> NotAResult for Probe<'_, T> {}

/// Whether a value is an `Err`, for values whose type may become known only later: a block's, a future's.
///
/// [`Probe`] is exact, but finding its method settles the type at once, and for the worse where it is still
/// open: `span!("all", { parts.collect() })` would be taken for a `Result`. A generic function leaves it
/// open. Should the name of `Result` ever be printed differently, such a span has status `ok`, and a test fails.
#[inline]
pub fn failed<T>(value: &T) -> bool {
    std::any::type_name::<T>().starts_with("core::result::Result<") && {
        let mut variant = Variant(0);
        std::hash::Hash::hash(&std::mem::discriminant(value), &mut variant);
        variant.0 == 1
    }
}

/// Takes the number of an enum's variant out of its `Discriminant`, which shows it to a `Hasher` only.
struct Variant(isize);

impl std::hash::Hasher for Variant {
    fn write_isize(&mut self, variant: isize) {
        self.0 = variant;
    }

    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

/// Times a future by a span that does not become current, and looks at the output before the span ends.
#[inline]
pub fn instrument_inactive<F: Future>(span: Span, future: F, outcome: fn(&mut Outcome<'_>, &F::Output)) -> InSpan<F> {
    api::instrument_inactive(span, future, outcome)
}
