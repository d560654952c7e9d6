//! Starting a span by hand.

use std::borrow::Cow;
use std::mem;
#[cfg(feature = "legacy")]
use std::panic::Location;
use std::time::SystemTime;

use super::guard::{self, SpanGuard};
use super::span::{self, Span};
use super::{AsParent, Parent, ParentKind};
use crate::attributes::{AttributeValue, Key, Value};
use crate::client::global;
use crate::context::{self, Begun, Entry, Local, Undecided, fast};
#[cfg(feature = "legacy")]
use crate::lifecycle;
use crate::lifecycle::legacy_words;
use crate::link::Link;
use crate::record::{Callsite, Details, MOST_VALUES, Site};
use crate::segment::SOURCES;

/// Begins a span with this name; nothing has started until `start` is called on what is returned.
///
/// ```
/// use span_runtime::start_span;
///
/// {
///     let _outer = start_span("checkout").start();
///     let _inner = start_span(format!("price basket {}", 7)).attribute("items", 3).start();
/// } // the inner span ends, then the outer one
/// ```
pub fn start_span(name: impl Into<Cow<'static, str>>) -> SpanBuilder {
    let mut builder = SpanBuilder { site: Site::Name(""), details: Details::default(), parent: Parent::CURRENT };
    match name.into() {
        Cow::Borrowed(name) => builder.site = Site::Name(name),
        name @ Cow::Owned(_) => builder.details.rare().name = Some(name),
    }
    builder
}

/// A span that has not started; made by [`start_span`]. What has not started cannot be ended: there is no such method.
#[derive(Debug)]
#[must_use = "nothing has started; call `start`"]
pub struct SpanBuilder {
    site: Site,
    details: Details,
    parent: Parent,
}

macro_rules! builder {
    () => {
        /// Sets an attribute; one that is there at the start is seen by sampling.
        pub fn attribute(mut self, key: impl Into<Key>, value: impl AttributeValue) -> Self {
            if let Some(value) = value.into_value() {
                self.details.set(key.into(), value);
            }
            self
        }

        /// Makes the span a child of this one rather than of the current one. The parent may live on another thread,
        /// and may have ended. `None` is as [`root`](Self::root).
        pub fn parent(mut self, parent: impl AsParent) -> Self {
            self.parent = parent.as_parent();
            self
        }

        /// Makes the span the root of a segment, even inside another span.
        pub fn root(mut self) -> Self {
            self.parent = Parent::ROOT;
            self
        }

        /// Links the span to another one.
        pub fn link(mut self, link: Link) -> Self {
            self.details.rare().links.push(link);
            self
        }

        /// Starts the span at a time of the caller's, for work that began before its span could. What is current and
        /// what is sampled is still decided at the call of `start`.
        pub fn start_time(mut self, time: SystemTime) -> Self {
            self.details.rare().start = Some(time);
            self
        }

        /// Where the name comes from, should the span be a segment: `custom`, `url`, `route`, `view`, `component` or
        /// `task`. Anything else counts as `custom`.
        pub fn source(mut self, source: &str) -> Self {
            self.details.rare().source = SOURCES.into_iter().find(|known| *known == source);
            self
        }
    };
}

impl SpanBuilder {
    builder!();
    legacy_words!(builder);

    /// Makes a span that does not become current: a child of the current span, to be ended from anywhere.
    pub fn inactive(self) -> InactiveSpanBuilder {
        InactiveSpanBuilder { site: self.site, details: self.details, parent: self.parent }
    }

    /// Starts the span and makes it current on this thread until the guard is dropped.
    #[cfg_attr(feature = "legacy", track_caller)]
    pub fn start(mut self) -> SpanGuard {
        let span = begin_active(&self.parent, self.site, &mut self.details);
        #[cfg(feature = "legacy")]
        if span.is_nothing() {
            lifecycle::refuse_streaming(Location::caller());
        }
        span
    }
}

/// A span that has not started and will not become current; made by [`SpanBuilder::inactive`].
#[derive(Debug)]
#[must_use = "nothing has started; call `start`"]
pub struct InactiveSpanBuilder {
    site: Site,
    details: Details,
    parent: Parent,
}

impl InactiveSpanBuilder {
    builder!();
    legacy_words!(builder);

    /// Starts the span.
    #[cfg_attr(feature = "legacy", track_caller)]
    pub fn start(mut self) -> Span {
        let span = begin_owned(&self.parent, self.site, &mut self.details);
        #[cfg(feature = "legacy")]
        if span.is_nothing() {
            lifecycle::refuse_streaming(Location::caller());
        }
        span
    }
}

/// What can be told of a start at once: that it records nothing, or is only to be counted.
#[inline(always)]
pub(crate) fn begin_at_once(parent: &Parent) -> Option<SpanGuard> {
    // First, as it is there for as long as there is somebody who counts.
    if matches!(parent.0, ParentKind::Current | ParentKind::OnlyCurrent) {
        if let Some(word) = fast::start_unsampled() {
            return Some(SpanGuard::packed((0, word)));
        }
    }
    let is_nothing = !global::any() || matches!(parent.0, ParentKind::OnlyCurrent) && fast::is_empty();
    is_nothing.then(SpanGuard::nothing)
}

/// Starts a span on top of this thread's stack. What `details` holds is taken.
#[inline(never)]
pub(crate) fn begin_active(parent: &Parent, site: Site, details: &mut Details) -> SpanGuard {
    if let Some(guard) = begin_at_once(parent) {
        return guard;
    }
    let mut undecided = None;
    let kind = context::with(|local| {
        if matches!(parent.0, ParentKind::Current | ParentKind::OnlyCurrent) {
            if let Some((id, index)) = local.push_child_with(site, details) {
                return guard::Kind::Recording { id, index }.pack();
            }
            if let Some((runtime, loss)) = local.unsampled_child() {
                return guard::Kind::UnsampledChild { runtime, loss }.pack();
            }
        }
        begin_elsewhere(local, parent, site, mem::take(details), &mut undecided).pack()
    });
    finish_begin(site, kind, undecided)
}

/// As `begin_active`, with the values that the call site wants.
#[inline(never)]
pub(crate) fn begin_values<const N: usize>(
    parent: &Parent,
    site: &'static Callsite,
    values: [Option<Value>; N],
) -> SpanGuard {
    if N > MOST_VALUES || !matches!(parent.0, ParentKind::Current | ParentKind::OnlyCurrent) {
        return begin_given(parent, site, values);
    }
    match context::with(|local| local.push_child_with_values(Site::Call(site), values)) {
        Some(Ok((id, index))) => SpanGuard::new(guard::Kind::Recording { id, index }),
        Some(Err(values)) => begin_given(parent, site, values),
        None => SpanGuard::nothing(),
    }
}

/// The same for a span that is not simply a child of the recording span on top.
#[cold]
fn begin_given(parent: &Parent, site: &'static Callsite, values: impl IntoIterator<Item = Option<Value>>) -> SpanGuard {
    let attributes = site.all(values).collect();
    begin_active(parent, Site::Call(site), &mut Details { attributes, ..Details::default() })
}

/// As `begin_active`, for a child of the current span without anything: out of line, and the same for all call sites.
#[inline(never)]
pub(crate) fn begin_plain(site: &'static Callsite) -> SpanGuard {
    let mut undecided = None;
    let kind = context::with(|local| {
        if let Some((id, index)) = local.push_child(Site::Call(site)) {
            guard::Kind::Recording { id, index }.pack()
        } else if let Some((runtime, loss)) = local.unsampled_child() {
            guard::Kind::UnsampledChild { runtime, loss }.pack()
        } else {
            if let Some(pushed) = local.push_segment(site) {
                return guard::Kind::from(pushed).pack();
            }
            let details = Details { attributes: site.all([]).collect(), ..Details::default() };
            begin_elsewhere(local, &Parent::CURRENT, Site::Call(site), details, &mut undecided).pack()
        }
    });
    finish_begin(Site::Call(site), kind, undecided)
}

/// Asks the sampler if it has to be asked, and makes the guard.
#[inline(always)]
fn finish_begin(site: Site, kind: Option<(u64, u64)>, undecided: Option<Box<Undecided>>) -> SpanGuard {
    let kind = undecided.map_or(kind, |undecided| Some(begin_undecided(*undecided).pack()));
    let guard = SpanGuard::packed(kind.unwrap_or(guard::Kind::Nothing.pack()));
    refuse(site, guard.is_nothing());
    guard
}

/// What starts by a macro and records nothing may be of the wrong lifecycle.
#[inline(always)]
#[cfg_attr(not(feature = "legacy"), expect(unused_variables, reason = "there is one lifecycle only"))]
fn refuse(site: Site, is_nothing: bool) {
    #[cfg(feature = "legacy")]
    if let (true, Some(location)) = (is_nothing, site.location()) {
        lifecycle::refuse_streaming(location);
    }
}

/// Starts a span that is not simply a child of the recording span on top. Where the sampler has to be asked first, nothing is started, and
/// `undecided` says so.
#[inline(never)]
fn begin_elsewhere(
    local: &mut Local,
    parent: &Parent,
    site: Site,
    details: Details,
    undecided: &mut Option<Box<Undecided>>,
) -> guard::Kind {
    let begun = local.begin(parent, site, details, false);
    make_current(local, begun, undecided)
}

fn make_current(local: &mut Local, begun: Begun, undecided: &mut Option<Box<Undecided>>) -> guard::Kind {
    match begun {
        Begun::Recording(open) => {
            let id = open.span_id.as_u64();
            guard::Kind::Recording { id, index: local.push(Entry::Span(open)) }
        }
        // What starts inside of the guard belongs below it as well.
        Begun::Unsent(handle) => {
            let token = local.token();
            guard::Kind::Unsent { token, index: local.push(Entry::Context(token, handle)) }
        }
        Begun::Undecided(segment) => {
            *undecided = Some(segment);
            guard::Kind::Nothing
        }
        Begun::Disabled => guard::Kind::Nothing,
    }
}

/// Asks the sampler, with nothing borrowed, and starts the segment.
#[cold]
fn begin_undecided(segment: Undecided) -> guard::Kind {
    let decision = segment.ask();
    let kind = context::with(|local| {
        let begun = local.begin_decided(segment, decision);
        make_current(local, begun, &mut None)
    });
    kind.unwrap_or(guard::Kind::Nothing)
}

/// Starts a span that is on no stack. What `details` holds is taken.
#[inline(never)]
pub(crate) fn begin_owned(parent: &Parent, site: Site, details: &mut Details) -> Span {
    if !global::any() {
        return Span::nothing();
    }
    let begun = match context::with(|local| local.begin(parent, site, mem::take(details), true)) {
        Some(Begun::Undecided(segment)) => {
            let decision = segment.ask();
            context::with(|local| local.begin_decided(*segment, decision))
        }
        begun => begun,
    };
    let span = Span(match begun {
        Some(Begun::Recording(open)) => span::Kind::Recording(open),
        Some(Begun::Unsent(handle)) => span::Kind::Unsent(handle),
        Some(Begun::Undecided(_) | Begun::Disabled) | None => span::Kind::Nothing,
    });
    refuse(site, span.is_nothing());
    span
}

/// A span of a macro that starts when its future is first polled.
#[derive(Debug)]
pub struct Unstarted {
    site: &'static Callsite,
    parent: Parent,
    details: Details,
}

impl Unstarted {
    #[inline]
    pub(crate) const fn new(site: &'static Callsite, parent: Parent, details: Details) -> Self {
        Unstarted { site, parent, details }
    }

    /// Starts it on this thread's stack.
    #[inline]
    pub(super) fn start(&mut self) -> SpanGuard {
        if matches!(self.parent.0, ParentKind::Current) && self.details.is_none() {
            return begin_plain(self.site);
        }
        begin_active(&self.parent, Site::Call(self.site), &mut self.details)
    }
}
