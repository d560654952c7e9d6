//! What is current on this thread. (behaviours 9 to 13)
//!
//! Each thread has a stack of entries. The topmost is the *current* one: a span that starts without naming a
//! parent becomes its child. A guard owns an entry and ends it; a future that carries a span puts its entry on the stack for
//! the time of a poll and takes it off again.
//!
//! # Invariants
//!
//! 1. The topmost entry is never an ended span. A span that ends below others leaves a tombstone, because those
//!    above may still find their segment through it; tombstones go as soon as they are on top.
//! 2. An entry that has no segment of its own names, by `base`, an entry further down that has one.
//! 3. No code of the user's runs while the stack is borrowed: not a destructor, not an attribute's expression,
//!    not a hook. Should one get here all the same (an instrumented allocator), the borrow is refused and its
//!    span records nothing.

pub(crate) mod fast;
mod stack;

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::api::{Parent, ParentKind, SpanHandle, unsampled_word};
use crate::attributes::Value;
use crate::client::{Core, Lane, LossReason, global};
use crate::clock::Reading;
use crate::ids::{Generator, SpanId};
use crate::open::{Change, OpenSpan};
use crate::propagation::TraceHeaders;
use crate::record::{Attribute, Callsite, Details, Site};
use crate::sampling::{self, Decision, Rate, SamplingContext, StartAttributes};
use crate::segment::{Segment, Trace, TraceRef};
use fast::{Fast, Unsampled};
pub(crate) use stack::Entry;
use stack::{Stack, Top};

/// How many boxes of spans that have ended a thread keeps for the next.
const KEEP_BOXES: usize = 32;

thread_local! {
    static LOCAL: RefCell<Local> = const { RefCell::new(Local::new()) };
}

/// Runs `f` on this thread's state. `None` if the thread is past its end, or is inside of `f` already.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&mut Local) -> R) -> Option<R> {
    LOCAL.try_with(|local| local.try_borrow_mut().ok().map(|mut local| f(&mut local))).ok().flatten()
}

/// Everything that this crate keeps for a thread.
#[derive(Debug)]
pub(crate) struct Local {
    stack: Stack,
    lanes: Lanes,
    ids: Option<Generator>,
    global: global::Cache,
    /// Boxes of spans that have ended; blank.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    boxes: Vec<Box<OpenSpan>>,
    /// How often [`Silenced`] is in force. Unlike the entry on the stack, nothing that is entered above hides it.
    silenced: u32,
}

/// What became of a request to start a span.
pub(crate) enum Begun {
    Recording(Box<OpenSpan>),
    /// It is not recorded and counted when it ends: of a segment that is not sampled, or ignored. The handle stands for what is below it.
    Unsent(SpanHandle),
    /// A segment about which the sampler has to be asked, which is user code: with nothing borrowed, and by
    /// [`Undecided::ask`].
    Undecided(Box<Undecided>),
    /// No runtime, tracing off, or on a thread of ours.
    Disabled,
}

/// A segment that has not begun yet.
pub(crate) struct Undecided {
    core: Arc<Core>,
    trace: TraceRef,
    site: Site,
    details: Details,
}

impl Undecided {
    /// Asks the sampler, and decides.
    pub(crate) fn ask(&self) -> Decision {
        let rate = match &self.core.settings.traces_sampler {
            Some(sampler) => {
                let name = self.details.name().map_or(self.site.name(), |name| name);
                let start = StartAttributes::of(self.site, &self.details);
                sampling::ask(sampler, &SamplingContext::new(name, start, self.trace.get()))
            }
            // It was made because there is one.
            None => Rate::Invalid,
        };
        sampling::decide(self.trace.get(), rate, self.core.halvings())
    }
}

/// A segment that has started on the stack.
pub(crate) enum PushedSegment {
    Recording { id: u64, index: u32 },
    Unsent { token: u64, index: u32 },
}

/// Where a new span belongs.
enum Place<'a> {
    /// Below this span, whose segment is kept by the entry with this index, if one keeps it.
    Child(&'a Arc<Segment>, SpanId, Option<u32>),
    Root(Option<Arc<Core>>, Option<Arc<Trace>>),
    Nowhere,
}

impl Local {
    const fn new() -> Self {
        Local {
            stack: Stack::new(),
            lanes: Lanes { current: None, others: Vec::new() },
            ids: None,
            global: global::Cache::new(),
            boxes: Vec::new(),
            silenced: 0,
        }
    }

    /// Tells what of the next starts can be told without a look at the stack. To be called when something else than a recording
    /// span may have come to stand on top.
    #[inline]
    fn mark(&mut self) {
        let Local { stack, lanes, .. } = self;
        fast::set(match stack.top() {
            None => Fast::Empty,
            Some(Top::Other(Entry::Context(_, handle))) => match handle.as_unsampled() {
                Some(segment) => {
                    let (started, ended) = lanes.of(&segment.core).counters().unsampled(segment.loss);
                    Fast::Unsampled(Unsampled {
                        started,
                        ended,
                        word: unsampled_word(segment.core.number, segment.loss),
                    })
                }
                None => Fast::Other,
            },
            Some(Top::Span(_)) => Fast::Recording,
            Some(Top::Other(_)) => Fast::Other,
        });
    }

    /// Whether a span that started now with this parent could record anything. Before its attributes are built.
    #[inline]
    pub(crate) fn may_record(&mut self, parent: &Parent) -> bool {
        match self.place(parent) {
            Place::Child(segment, ..) => segment.sampled,
            Place::Root(Some(core), trace) => core.may_sample(trace.as_deref()),
            Place::Root(None, trace) => self.global.get().is_some_and(|core| core.may_sample(trace.as_deref())),
            Place::Nowhere => false,
        }
    }

    #[inline]
    fn place<'a>(&'a self, parent: &'a Parent) -> Place<'a> {
        if self.silenced > 0 {
            return Place::Nowhere;
        }
        match &parent.0 {
            ParentKind::Current => match self.stack.top() {
                Some(Top::Span(open)) => {
                    let (segment, base) = match &open.segment {
                        Some(segment) => (segment, self.stack.depth() as u32 - 1),
                        None => match self.stack.segment_at(open.base) {
                            Some(segment) => (segment, open.base),
                            None => return Place::Nowhere,
                        },
                    };
                    Place::Child(segment, open.span_id, Some(base))
                }
                Some(Top::Other(Entry::Context(_, handle))) => self.below(handle),
                Some(Top::Other(Entry::Silence(_))) => Place::Nowhere,
                Some(Top::Other(Entry::Trace(_, trace, core))) => Place::Root(core.clone(), Some(Arc::clone(trace))),
                Some(Top::Other(Entry::Runtime(_, core))) => Place::Root(Some(Arc::clone(core)), None),
                Some(Top::Other(Entry::Span(_) | Entry::Ended(_))) | None => Place::Root(None, None),
            },
            ParentKind::OnlyCurrent => match self.place(&Parent::CURRENT) {
                Place::Root(..) => Place::Nowhere,
                place => place,
            },
            ParentKind::Root => self.new_root(),
            ParentKind::Of(handle) => self.below(handle),
        }
    }

    /// A span that records nothing is no parent: what is below it starts anew.
    fn below<'a>(&'a self, handle: &'a SpanHandle) -> Place<'a> {
        match handle.place() {
            Some((segment, span_id)) => Place::Child(segment, span_id, None),
            None => self.new_root(),
        }
    }

    /// A root below whatever is current: in its runtime and trace, unless nothing is to be recorded here.
    #[cold]
    fn new_root(&self) -> Place<'_> {
        if self.silenced > 0 {
            return Place::Nowhere;
        }
        let silent = self.stack.iter().find_map(|entry| match entry {
            Top::Other(Entry::Silence(_)) => Some(true),
            Top::Span(_) | Top::Other(Entry::Context(..) | Entry::Runtime(..)) => Some(false),
            Top::Other(_) => None,
        });
        if silent == Some(true) { Place::Nowhere } else { Place::Root(self.nearest_runtime(), self.nearest_trace()) }
    }

    /// The runtime of what starts here without a parent.
    pub(crate) fn runtime(&mut self) -> Option<Arc<Core>> {
        match self.new_root() {
            Place::Root(Some(core), _) => Some(core),
            Place::Root(None, _) => self.global.get().cloned(),
            Place::Child(..) | Place::Nowhere => None,
        }
    }

    /// The lifecycle of that runtime.
    #[cfg(feature = "legacy")]
    pub(crate) fn lifecycle(&mut self) -> Option<crate::TraceLifecycle> {
        self.runtime().map(|core| core.lifecycle())
    }

    #[cold]
    pub(crate) fn nearest_runtime(&self) -> Option<Arc<Core>> {
        self.stack.iter().find_map(|entry| match entry {
            Top::Span(open) => {
                let segment = open.segment.as_ref().or_else(|| self.stack.segment_at(open.base));
                segment.map(|segment| Arc::clone(&segment.core))
            }
            Top::Other(Entry::Context(_, handle)) => handle.place().map(|(segment, _)| Arc::clone(&segment.core)),
            Top::Other(Entry::Runtime(_, core)) => Some(Arc::clone(core)),
            Top::Other(Entry::Trace(_, _, core)) => core.clone(),
            Top::Other(Entry::Span(_) | Entry::Silence(_) | Entry::Ended(_)) => None,
        })
    }

    #[cold]
    fn nearest_trace(&self) -> Option<Arc<Trace>> {
        self.stack.iter().find_map(|entry| match entry {
            Top::Other(Entry::Trace(_, trace, _)) => Some(Arc::clone(trace)),
            _ => None,
        })
    }

    /// Starts a child of the recording span on top, which is what almost every span is, and puts it on top. `None` if
    /// there is no such span.
    #[inline(always)]
    pub(crate) fn push_child(&mut self, site: Site) -> Option<(u64, u32)> {
        let Local { stack, lanes, ids: Some(ids), .. } = self else { return None };
        let Some(Top::Span(top)) = stack.top() else { return None };
        let parent_id = top.span_id;
        let (segment, base) = match &top.segment {
            Some(segment) => (segment, stack.depth() as u32 - 1),
            None => (stack.segment_at(top.base)?, top.base),
        };
        let lane = lanes.of(&segment.core);
        if lane.judges() {
            return None;
        }
        lane.count_started();
        let thread = lane.thread();
        let span_id = ids.span_id();
        let index = stack.push_child(site, (span_id, parent_id), thread, base);
        Some((span_id.as_u64(), index))
    }

    /// As [`push_child`](Self::push_child), with the values that its call site wants, at most
    /// [`MOST_VALUES`](crate::record::MOST_VALUES).
    #[inline(always)]
    pub(crate) fn push_child_with_values<const N: usize>(
        &mut self,
        site: Site,
        values: [Option<Value>; N],
    ) -> Result<(u64, u32), [Option<Value>; N]> {
        match self.push_child(site) {
            Some(pushed) => {
                self.stack.give_top(values);
                Ok(pushed)
            }
            None => Err(values),
        }
    }

    /// Starts a segment where nothing is current, in the runtime that is installed, if a rate alone decides about it. `None` if it takes
    /// more than that: then nothing has started.
    pub(crate) fn push_segment(&mut self, site: &'static Callsite) -> Option<PushedSegment> {
        let Local { stack, lanes, ids: Some(ids), global, silenced: 0, .. } = self else { return None };
        if stack.depth() > 0 {
            return None;
        }
        let core = global.get_known()?;
        let rate = core.only_rate()?;
        let lane = lanes.of(core);
        let segment = lane.begin_segment(ids, rate, site);
        lane.count_started();
        let thread = lane.thread();
        let span_id = segment.span_id;
        Some(if segment.sampled {
            let index = stack.push_segment(Site::Call(site), span_id, thread, segment);
            fast::set(Fast::Recording);
            PushedSegment::Recording { id: span_id.as_u64(), index }
        } else {
            let token = span_id.as_u64();
            PushedSegment::Unsent { token, index: self.push(Entry::Context(token, SpanHandle::unsampled(segment))) }
        })
    }

    /// As [`push_child`](Self::push_child), with details; they are taken if it returns something.
    pub(crate) fn push_child_with(&mut self, site: Site, details: &mut Details) -> Option<(u64, u32)> {
        let (id, index) = self.push_child(site)?;
        self.stack.fill_top(details);
        Some((id, index))
    }

    /// Counts a child of the unsampled segment on top, and returns the runtime's number and why it is not sampled. `None` if there is
    /// none.
    #[inline]
    pub(crate) fn unsampled_child(&mut self) -> Option<(u32, LossReason)> {
        let Local { stack, lanes, .. } = self;
        let Some(Top::Other(Entry::Context(_, handle))) = stack.top() else { return None };
        let segment = handle.as_unsampled()?;
        lanes.of(&segment.core).count_started();
        let number_and_loss = (segment.core.number, segment.loss);
        self.mark();
        Some(number_and_loss)
    }

    /// Starts a span. With `own` it gets a segment pointer of its own, to be carried away from this stack.
    #[inline]
    pub(crate) fn begin(&mut self, parent: &Parent, site: Site, mut details: Details, own: bool) -> Begun {
        let (segment, parent_id, base) = match self.place(parent) {
            Place::Child(segment, parent_id, base) => (segment, parent_id, base),
            Place::Root(core, trace) => {
                let Some(core) = core.or_else(|| self.global.get().cloned()) else { return Begun::Disabled };
                return self.begin_segment(core, trace, site, details);
            }
            Place::Nowhere => return Begun::Disabled,
        };
        let unsent = if !segment.sampled {
            Some(SpanHandle::unsampled(Arc::clone(segment)))
        } else if segment.core.ignores(site, &details) {
            Some(SpanHandle::ignored(Arc::clone(segment), parent_id))
        } else {
            None
        };
        if let Some(handle) = unsent {
            if let Some((segment, _)) = handle.place() {
                self.lanes.of(&segment.core).count_started();
            }
            self.stack.keep_list(mem::take(&mut details.attributes));
            return Begun::Unsent(handle);
        }
        let (own, base) = match base {
            Some(base) if !own => (None, base),
            _ => (Some(Arc::clone(segment)), 0),
        };
        // The lane is looked up by the segment's runtime, which is borrowed from the stack: the fields apart.
        let Local { stack, lanes, ids, .. } = self;
        let Some(segment) = own.as_ref().or_else(|| stack.segment_at(base)) else { return Begun::Disabled };
        let lane = lanes.of(&segment.core);
        lane.count_started();
        let thread = lane.thread();
        let span_id = ids.get_or_insert_with(Generator::seeded).span_id();
        let mut open = self.boxes.pop().unwrap_or_else(|| Box::new(OpenSpan::blank()));
        open.begin(site, (span_id, Some(parent_id)), thread, base);
        open.segment = own;
        open.set_details(details);
        Begun::Recording(open)
    }

    #[cold]
    fn begin_segment(&mut self, core: Arc<Core>, trace: Option<Arc<Trace>>, site: Site, details: Details) -> Begun {
        if !core.traces() {
            return Begun::Disabled;
        }
        if self.global.take_renewed() {
            self.ids = None;
        }
        let trace = match trace.or_else(|| core.continued.clone()) {
            Some(trace) => TraceRef::Shared(trace),
            None => TraceRef::Own(Trace::new(self.ids.get_or_insert_with(Generator::seeded))),
        };
        let rate = core.settings.traces_sample_rate;
        let decision = if core.ignores(site, &details) {
            // No rate decided this, so that of a trace that came in stays as it is.
            Decision { sampled: false, rate, here: false, loss: LossReason::Ignored }
        } else if core.settings.traces_sampler.is_some() {
            return Begun::Undecided(Box::new(Undecided { core, trace, site, details }));
        } else {
            sampling::decide(trace.get(), Rate::Fixed(rate.unwrap_or_default()), core.halvings())
        };
        self.begin_decided(Undecided { core, trace, site, details }, decision)
    }

    /// Begins a segment for which the decision has been made.
    pub(crate) fn begin_decided(&mut self, segment: Undecided, decision: Decision) -> Begun {
        let Undecided { core, trace, site, mut details } = segment;
        let span_id = self.ids.get_or_insert_with(Generator::seeded).span_id();
        let parent_id = trace.get().parent_id();
        let name = details.name().cloned().unwrap_or(site.name().into());
        let source = details.source().or(site.source());
        let lane = self.lanes.of(&core);
        lane.count_started();
        let thread = lane.thread();
        let segment = Arc::new(Segment::new(core, trace, span_id, decision, name, source));
        if decision.sampled {
            let mut open = self.boxes.pop().unwrap_or_else(|| Box::new(OpenSpan::blank()));
            open.begin(site, (span_id, parent_id), thread, 0);
            open.segment = Some(segment);
            open.set_details(details);
            Begun::Recording(open)
        } else {
            self.stack.keep_list(mem::take(&mut details.attributes));
            Begun::Unsent(SpanHandle::unsampled(segment))
        }
    }

    /// What goes out with a request that is made here: from inside of a span, or else of a trace.
    fn headers(&mut self) -> Headers {
        for entry in self.stack.iter() {
            match entry {
                Top::Span(open) => {
                    let segment = open.segment.as_ref().or_else(|| self.stack.segment_at(open.base));
                    return segment.map_or(Headers::None, |segment| Headers::Span(Arc::clone(segment), open.span_id));
                }
                Top::Other(Entry::Context(_, handle)) => {
                    if let Some((segment, span_id)) = handle.place() {
                        return Headers::Span(Arc::clone(segment), span_id);
                    }
                }
                Top::Other(Entry::Trace(_, trace, core)) => {
                    let core = core.clone().or_else(|| self.global.get().cloned());
                    return Headers::Trace(Arc::clone(trace), core);
                }
                Top::Other(Entry::Silence(_)) => return Headers::None,
                Top::Other(Entry::Span(_) | Entry::Runtime(..) | Entry::Ended(_)) => {}
            }
        }
        let core = self.nearest_runtime().or_else(|| self.global.get().cloned());
        match core.as_ref().and_then(|core| core.continued.clone()) {
            Some(trace) => Headers::Trace(trace, core),
            None => Headers::None,
        }
    }

    /// Puts an entry on top and says at which index.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> u32 {
        let index = self.stack.push(entry);
        self.mark();
        index
    }

    /// Has ids drawn from a new seed. Where a process was forked, the old one is its parent's as well.
    pub(crate) fn reseed(&mut self) {
        self.ids = None;
    }

    /// A key for an entry that is no span.
    pub(crate) fn token(&mut self) -> u64 {
        self.ids.get_or_insert_with(Generator::seeded).span_id().as_u64()
    }

    /// The open span with this id, if it is on this thread's stack, with its segment.
    pub(crate) fn open(&mut self, id: u64, index: u32) -> Option<(&mut OpenSpan, Arc<Segment>)> {
        let at = self.stack.find(id, index)?;
        let segment = match self.stack.get(at)? {
            Top::Span(open) => Arc::clone(open.segment.as_ref().or_else(|| self.stack.segment_at(open.base))?),
            Top::Other(_) => return None,
        };
        Some((self.stack.span_mut(at)?, segment))
    }

    /// As [`open`](Self::open), without the segment.
    #[inline]
    fn open_span(&mut self, id: u64, index: u32) -> Option<&mut OpenSpan> {
        let at = self.stack.find(id, index)?;
        self.stack.span_mut(at)
    }

    /// What is current.
    pub(crate) fn current(&self) -> Current {
        match self.stack.top() {
            // The cast: a stack of 2^32 entries would not fit into memory.
            Some(Top::Span(open)) => Current::Span { id: open.span_id.as_u64(), index: self.stack.depth() as u32 - 1 },
            Some(Top::Other(Entry::Context(_, handle))) => Current::Elsewhere(handle.clone()),
            Some(Top::Other(Entry::Trace(_, trace, core))) => Current::Trace(Arc::clone(trace), core.clone()),
            Some(Top::Other(Entry::Runtime(_, core))) => Current::Runtime(Arc::clone(core)),
            Some(Top::Other(Entry::Span(_) | Entry::Silence(_) | Entry::Ended(_))) | None => Current::Nothing,
        }
    }

    /// Ends the span with this id, if it is on this stack. The second end finds nothing.
    #[inline(always)]
    pub(crate) fn end(&mut self, id: u64, index: u32, end: Reading) {
        let Local { stack, lanes, .. } = self;
        if let Some((open, given, below)) = stack.top_span_mut(id) {
            if open.is_simple() {
                if let Some(segment) = below.segment_at(open.base) {
                    if lanes.of(&segment.core).hand_over_in_place(segment, open, given, end) {
                        if stack.pop_closed() {
                            self.mark();
                        }
                        return;
                    }
                } else if open.segment.is_some() {
                    // The base of a segment's own span is no entry below it.
                    return self.end_segment(id, end);
                }
            }
        }
        self.end_at(id, index, end, None);
    }

    /// Ends the segment's span with this id, which is on top, in place and simple.
    fn end_segment(&mut self, id: u64, end: Reading) {
        let Local { stack, lanes, .. } = self;
        let Some((open, given, _)) = stack.top_span_mut(id) else { return };
        let Some(segment) = open.segment.take() else { return };
        let lane = lanes.of(&segment.core);
        if !lane.hand_over_in_place(&segment, open, given, end) {
            given.join(open.site, &mut open.details);
            lane.hand_over(&segment, open, end, None);
        }
        stack.pop_closed();
        self.mark();
    }

    /// As [`end`](Self::end), for any span, and with a time that the caller gave.
    #[inline(never)]
    pub(crate) fn end_at(&mut self, id: u64, index: u32, end: Reading, at: Option<SystemTime>) {
        let Local { stack, lanes, .. } = self;
        if let Some((open, given, below)) = stack.top_span_mut(id) {
            given.join(open.site, &mut open.details);
            let own = open.segment.take();
            if let Some(segment) = own.as_ref().or_else(|| below.segment_at(open.base)) {
                lanes.of(&segment.core).hand_over(segment, open, end, at);
            }
            if stack.pop_closed() || own.is_some() {
                self.mark();
            }
            return;
        }
        if self.stack.is_on_top(id) {
            if let Some(Entry::Span(open)) = self.stack.pop() {
                self.hand_over(open, end, at);
            }
            self.stack.trim();
        } else {
            self.end_below(id, index, end, at);
        }
        self.mark();
    }

    /// Ends the span with this id if it stands on top, and says whether it did.
    #[inline]
    pub(crate) fn end_on_top(&mut self, id: u64, index: u32, end: Reading) -> bool {
        let on_top = self.stack.is_on_top(id);
        if on_top {
            self.end(id, index, end);
        }
        on_top
    }

    /// Hands over a span that is on no stack any more, and keeps its box.
    fn hand_over(&mut self, mut open: Box<OpenSpan>, end: Reading, at: Option<SystemTime>) {
        let Local { stack, lanes, boxes, .. } = self;
        let own = open.segment.take();
        if let Some(segment) = own.as_ref().or_else(|| stack.segment_at(open.base)) {
            let lane = lanes.of(&segment.core);
            if at.is_some() || !open.is_simple() || !lane.hand_over_near(segment, &mut open, end) {
                lane.hand_over(segment, &mut open, end, at);
            }
        }
        if boxes.len() < KEEP_BOXES && open.is_blank() {
            boxes.push(open);
        }
    }

    /// Ends a span that others stand above. It leaves its segment for those.
    #[cold]
    fn end_below(&mut self, id: u64, index: u32, end: Reading, at: Option<SystemTime>) {
        let Some(found) = self.stack.find(id, index) else { return };
        let Some(Entry::Span(mut open)) = self.stack.replace(found, Entry::Ended(None)) else { return };
        let own = open.segment.take();
        if let Some(segment) = own.as_ref().or_else(|| self.stack.segment_at(open.base)) {
            self.lanes.of(&segment.core).hand_over(segment, &mut open, end, at);
        }
        self.stack.replace(found, Entry::Ended(own));
    }

    /// Removes the entry with this id, which is no span.
    pub(crate) fn remove(&mut self, id: u64, index: u32) -> Option<Entry> {
        let found = self.stack.find(id, index)?;
        let removed = if found + 1 == self.stack.depth() {
            self.stack.pop()
        } else {
            // Those above may find their segment through it.
            let kept = self.stack.segment_at(found as u32).cloned();
            self.stack.replace(found, Entry::Ended(kept))
        };
        self.stack.trim();
        self.mark();
        removed
    }

    /// Ends the span that is not sent whose handle is in the entry with this token. Its segment is kept for the next; what is not is returned.
    fn end_unsent(&mut self, token: u64, index: u32) -> Option<Entry> {
        let removed = self.remove(token, index)?;
        let Entry::Context(_, handle) = removed else { return Some(removed) };
        match handle.into_unsent() {
            Ok((segment, reason)) => {
                let lane = self.lanes.of(&segment.core);
                lane.count_unsent(reason);
                lane.keep_segment(segment);
                None
            }
            Err(handle) => Some(Entry::Context(token, handle)),
        }
    }

    /// Takes the entry with this id off the stack, with all that is above it: a future is being suspended.
    /// What is above are guards that it holds across an `.await`, and goes into `above`.
    #[inline]
    pub(crate) fn detach(&mut self, id: u64, index: u32, above: &mut Vec<Entry>) -> Option<Entry> {
        let found = self.stack.find(id, index)?;
        if found + 1 < self.stack.depth() {
            self.detach_above(found, above);
        }
        let own = self.pop_to_carry();
        self.stack.trim();
        self.mark();
        own
    }

    /// Takes the topmost entry off, with a segment of its own if it is a span.
    fn pop_to_carry(&mut self) -> Option<Entry> {
        let segment = match self.stack.top() {
            Some(Top::Span(open)) if open.segment.is_none() => self.stack.segment_at(open.base).cloned(),
            _ => None,
        };
        let mut entry = self.stack.pop_into(&mut self.boxes)?;
        if let (Entry::Span(open), Some(segment)) = (&mut entry, segment) {
            open.segment = Some(segment);
        }
        Some(entry)
    }

    #[cold]
    fn attach_above(&mut self, above: &mut Vec<Entry>) {
        for entry in above.drain(..) {
            self.stack.push(entry);
        }
    }

    /// Takes off what is above `found`, each with a segment of its own.
    #[cold]
    fn detach_above(&mut self, found: usize, above: &mut Vec<Entry>) {
        let first = above.len();
        while self.stack.depth() > found + 1 {
            let Some(entry) = self.pop_to_carry() else { break };
            above.push(entry);
        }
        if let Some(taken) = above.get_mut(first..) {
            taken.reverse();
        }
    }

    /// Whether nothing is to record here, whatever is carried in.
    #[inline]
    pub(crate) fn is_silenced(&self) -> bool {
        self.silenced > 0
    }

    /// Puts what `detach` took back on top.
    #[inline]
    pub(crate) fn attach(&mut self, own: Entry, above: &mut Vec<Entry>) -> u32 {
        let index = self.stack.push(own);
        if !above.is_empty() {
            self.attach_above(above);
        }
        self.mark();
        index
    }

    /// An empty list, with the memory of the frame that will be used next.
    #[inline]
    pub(crate) fn spare_list(&mut self) -> Vec<Attribute> {
        self.stack.spare_list()
    }
}

/// What is current on a thread.
#[derive(Debug)]
pub(crate) enum Current {
    /// A span of this stack.
    Span {
        id: u64,
        index: u32,
    },
    /// A span that is carried elsewhere, or the segment of unsampled work.
    Elsewhere(SpanHandle),
    Trace(Arc<Trace>, Option<Arc<Core>>),
    Runtime(Arc<Core>),
    Nothing,
}

impl Drop for Local {
    /// The thread ends: what is open on its stack ends with it, and the lanes close when they are dropped.
    fn drop(&mut self) {
        let end = Reading::now();
        while self.stack.depth() > 0 {
            match self.current() {
                Current::Span { id, index } => self.end(id, index, end),
                _ => {
                    self.stack.pop();
                }
            }
        }
        // At the end, because each end above says what is current then; the counters that it may name go with the lanes.
        fast::set(Fast::Other);
    }
}

/// Changes a span that is on this thread's stack; does nothing if it is not, or has ended.
pub(crate) fn change(id: u64, index: u32, change: Change) {
    // The name of a segment's span is shared; for that the segment is wanted as well.
    if matches!(change, Change::Name(_)) {
        with(|local| {
            if let Some((open, segment)) = local.open(id, index) {
                let renamed = (segment.span_id == open.span_id).then_some(&*segment);
                open.with(|details| change.make(details, renamed));
            }
        });
    } else {
        with(|local| local.open_span(id, index).map(|open| open.with(|details| change.make(details, None))));
    }
}

/// Reads from a span that is on this thread's stack.
pub(crate) fn read<R>(id: u64, index: u32, f: impl FnOnce(Site, &Details) -> R) -> Option<R> {
    with(|local| {
        let open = local.open_span(id, index)?;
        open.read(|details| f(open.site, details))
    })
    .flatten()
}

/// A handle of a span that is on this thread's stack.
pub(crate) fn handle(id: u64, index: u32) -> SpanHandle {
    with(|local| local.open(id, index).map(|(open, segment)| SpanHandle::recording(open.share(&segment))))
        .flatten()
        .unwrap_or(SpanHandle::nothing())
}

/// The handle in the entry with this token.
pub(crate) fn context_at(token: u64, index: u32) -> SpanHandle {
    let found = with(|local| match local.stack.get(local.stack.find(token, index)?)? {
        Top::Other(Entry::Context(_, handle)) => Some(handle.clone()),
        _ => None,
    });
    found.flatten().unwrap_or(SpanHandle::nothing())
}

thread_local! {
    // Without a destructor, so that it can be read for as long as there is code that runs.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// Something is being said on this thread.
    static SAYING: Cell<bool> = const { Cell::new(false) };
}

/// From here on nothing that starts on this thread records anything. For the threads of a runtime.
pub(crate) fn silence() {
    OURS.set(true);
    mem::forget(Silenced::here());
}

/// Whether this is a thread of a runtime: one that may wait for nothing which a runtime has to do.
pub(crate) fn is_ours() -> bool {
    OURS.try_with(Cell::get).unwrap_or(false)
}

/// Whether this thread's state is there: not if the thread is past its end.
pub(crate) fn is_there() -> bool {
    LOCAL.try_with(|_| ()).is_ok()
}

/// What is current.
pub(crate) fn current() -> Current {
    with(|local| local.current()).unwrap_or(Current::Nothing)
}

/// A handle of the current span.
pub(crate) fn current_handle() -> SpanHandle {
    match current() {
        Current::Span { id, index } => handle(id, index),
        Current::Elsewhere(handle) => handle,
        Current::Trace(..) | Current::Runtime(_) | Current::Nothing => SpanHandle::nothing(),
    }
}

/// Ends a span that is not sent and whose handle is on this thread's stack.
pub(crate) fn end_unsent(token: u64, index: u32) {
    // What is left of it is dropped with nothing borrowed.
    drop(with(|local| local.end_unsent(token, index)));
}

/// Ends a span that is on no stack.
pub(crate) fn finish_owned(open: Box<OpenSpan>, end: Reading, at: Option<SystemTime>) {
    let mut open = Some(open);
    with(|local| open.take().map(|open| local.hand_over(open, end, at)));
    // The thread is past its end, or inside of this module.
    if let Some(mut open) = open {
        if let Some(segment) = open.segment.take() {
            segment.core.with_orphan(|lane| lane.hand_over(&segment, &mut open, end, at));
        }
    }
}

/// Counts the end of a span that was not sampled, which the guard knows by the runtime's number: what is current has changed since it
/// started, or the thread is past its end.
#[cold]
pub(crate) fn end_unsampled(runtime: u32, reason: LossReason) {
    let count = |local: &mut Local| local.lanes.by_number(runtime).map(|lane| lane.count_unsent(reason));
    if with(count).flatten().is_none() {
        if let Some(core) = global::by_number(runtime) {
            core.with_orphan(|lane| lane.count_unsent(reason));
        }
    }
}

/// Counts the end of a span that is not sent, by its handle.
pub(crate) fn count_unsent(handle: &SpanHandle) {
    let Some((core, reason)) = handle.unsent() else { return };
    if with(|local| local.lanes.of(core).count_unsent(reason)).is_none() {
        core.with_orphan(|lane| lane.count_unsent(reason));
    }
}

/// What the headers of a request are made of.
enum Headers {
    Span(Arc<Segment>, SpanId),
    Trace(Arc<Trace>, Option<Arc<Core>>),
    None,
}

/// The headers of a request that is made here, if it is to know of the trace; `None` as the URL stands for one that is.
pub(crate) fn headers(url: Option<&str>) -> TraceHeaders {
    let headers = with(|local| local.headers()).unwrap_or(Headers::None);
    let told = |core: &Core| url.is_none_or(|url| core.settings.is_target(url));
    match headers {
        Headers::Span(segment, span_id) if told(&segment.core) => TraceHeaders::of_span(&segment, span_id),
        Headers::Trace(trace, core) if core.as_deref().is_none_or(told) => {
            TraceHeaders::of_trace(core.as_deref(), &trace)
        }
        _ => TraceHeaders::default(),
    }
}

/// Begins a trace for a scope.
pub(crate) fn begin_trace() -> Trace {
    let begin = |local: &mut Local| {
        // Where there is no runtime of this process, the thread's ids may be those of the one that it was forked from.
        if !local.runtime()?.is_ours() {
            return None;
        }
        if local.global.take_renewed() {
            local.ids = None;
        }
        Some(Trace::scope(local.ids.get_or_insert_with(Generator::seeded)))
    };
    with(begin).flatten().unwrap_or_else(|| Trace::scope(&mut Generator::seeded()))
}

/// The runtime of what starts here without a parent.
pub(crate) fn runtime() -> Option<Arc<Core>> {
    with(|local| local.runtime()).flatten()
}

/// Nothing that starts on this thread records anything while this lives.
struct Silenced(Option<(u64, u32)>);

impl Silenced {
    fn here() -> Self {
        Silenced(with(|local| {
            local.silenced += 1;
            let token = local.token();
            (token, local.push(Entry::Silence(token)))
        }))
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        if let Some((token, index)) = self.0 {
            let _removed = with(|local| {
                local.silenced -= 1;
                local.remove(token, index)
            });
        }
    }
}

/// Calls a function of the user's: spans that it starts record nothing, or it would be called for them as well. `None` if it panicked.
pub(crate) fn call_user<R>(f: impl FnOnce() -> R) -> Option<R> {
    let _silenced = Silenced::here();
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // Its destructor is the user's too, and might panic again.
            mem::forget(payload);
            None
        }
    }
}

/// Says something with spans off, and come what may: a logger is the user's code, which may be instrumented, or panic. What a runtime
/// would say of what the logger does with it is not said, or it would be called for that as well.
pub(crate) fn say(say: impl FnOnce()) {
    if !SAYING.try_with(|saying| saying.replace(true)).unwrap_or(true) {
        call_user(say);
        let _ = SAYING.try_with(|saying| saying.set(false));
    }
}

/// Says something once in the life of the process. A flag and no `Once`, in which others would wait for the logger.
pub(crate) fn say_once(said: &AtomicBool, say: impl FnOnce()) {
    // Relaxed: the flag is all there is to see.
    if !said.swap(true, Ordering::Relaxed) {
        self::say(say);
    }
}

/// This thread's lanes: one a runtime, of which almost every process has one.
#[derive(Debug)]
struct Lanes {
    current: Option<Lane>,
    others: Vec<Lane>,
}

impl Lanes {
    #[inline]
    fn of(&mut self, core: &Arc<Core>) -> &mut Lane {
        if !self.current.as_ref().is_some_and(|lane| lane.is_of(core)) {
            self.switch(core);
        }
        // `switch` has just set it where it was not set.
        self.current.get_or_insert_with(|| Lane::new(core))
    }

    #[cold]
    fn switch(&mut self, core: &Arc<Core>) {
        // The lane whose counters it has may go now.
        fast::set(Fast::Other);
        self.others.retain(|lane| !lane.is_abandoned());
        let lane = match self.others.iter().position(|lane| lane.is_of(core)) {
            Some(at) => self.others.swap_remove(at),
            None => Lane::new(core),
        };
        if let Some(last) = self.current.replace(lane).filter(|last| !last.is_abandoned()) {
            self.others.push(last);
        }
    }

    #[inline]
    fn by_number(&mut self, number: u32) -> Option<&mut Lane> {
        self.current.iter_mut().chain(&mut self.others).find(|lane| lane.number() == number)
    }
}
