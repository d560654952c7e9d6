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

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use crate::api::{Parent, ParentKind, SpanHandle};
use crate::client::{Core, Lane, global};
use crate::clock::Reading;
use crate::ids::{Generator, SpanId};
use crate::open::{Change, OpenSpan};
use crate::record::{Attribute, Details, Site};
use crate::sampling;
use crate::segment::{Segment, Trace, TraceRef};

/// How many emptied attribute lists a thread keeps for its next spans.
const SPARE_LISTS: usize = 16;

/// The longest attribute list that is kept.
const SPARE_CAPACITY: usize = 64;

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
    stack: Vec<Entry>,
    lanes: Lanes,
    ids: Option<Generator>,
    spare: Vec<Vec<Attribute>>,
    global: global::Cache,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Span(OpenSpan),
    /// A span that is carried elsewhere, or the segment of unsampled work.
    Context(u64, SpanHandle),
    /// Segments that start here share this trace.
    Trace(u64, Arc<Trace>),
    /// Segments that start here belong to this runtime.
    Runtime(u64, Arc<Core>),
    /// This thread is one of ours: spans that start here record nothing, or the pipeline would feed itself.
    Silence,
    /// An ended span below others; kept for the segment that they find through it.
    Ended(Option<Arc<Segment>>),
}

impl Entry {
    fn id(&self) -> u64 {
        match self {
            Entry::Span(open) => open.span_id.as_u64(),
            Entry::Context(id, _) | Entry::Trace(id, _) | Entry::Runtime(id, _) => *id,
            Entry::Silence | Entry::Ended(_) => 0,
        }
    }
}

/// What became of a request to start a span.
pub(crate) enum Begun {
    Recording(OpenSpan),
    /// A segment that is not sampled; it is counted when it ends.
    UnsampledSegment(Arc<Segment>),
    /// Below one; the number is that of its runtime.
    UnsampledChild(u32),
    /// No runtime, tracing off, or on a thread of ours.
    Disabled,
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
            stack: Vec::new(),
            lanes: Lanes { current: None, others: Vec::new() },
            ids: None,
            spare: Vec::new(),
            global: global::Cache::new(),
        }
    }

    /// Whether a span that started now with this parent could record anything. Before its attributes are built.
    #[inline]
    pub(crate) fn may_record(&mut self, parent: &Parent) -> bool {
        match self.place(parent) {
            Place::Child(segment, ..) => segment.sampled,
            Place::Root(Some(core), _) => core.records(),
            Place::Root(None, _) => self.global.get().is_some_and(|core| core.records()),
            Place::Nowhere => false,
        }
    }

    #[inline]
    fn place<'a>(&'a self, parent: &'a Parent) -> Place<'a> {
        match &parent.0 {
            ParentKind::Current => match self.stack.last() {
                Some(Entry::Span(open)) => {
                    let (segment, base) = match &open.segment {
                        Some(segment) => (segment, self.stack.len() - 1),
                        None => match self.segment_at(open.base) {
                            Some(segment) => (segment, open.base as usize),
                            None => return Place::Nowhere,
                        },
                    };
                    // A stack of 2^32 entries would not fit into memory.
                    Place::Child(segment, open.span_id, Some(base as u32))
                }
                Some(Entry::Context(_, handle)) => self.below(handle),
                Some(Entry::Silence) => Place::Nowhere,
                Some(Entry::Trace(_, trace)) => Place::Root(self.nearest_runtime(), Some(Arc::clone(trace))),
                Some(Entry::Runtime(_, core)) => Place::Root(Some(Arc::clone(core)), None),
                Some(Entry::Ended(_)) | None => Place::Root(None, None),
            },
            ParentKind::Root => Place::Root(self.nearest_runtime(), self.nearest_trace()),
            ParentKind::Of(handle) => self.below(handle),
        }
    }

    /// A span that records nothing is no parent: what is below it starts anew.
    fn below<'a>(&'a self, handle: &'a SpanHandle) -> Place<'a> {
        match handle.place() {
            Some((segment, span_id)) => Place::Child(segment, span_id, None),
            None => Place::Root(self.nearest_runtime(), self.nearest_trace()),
        }
    }

    /// The segment that the entry at `base` keeps. (invariant 2)
    #[inline]
    fn segment_at(&self, base: u32) -> Option<&Arc<Segment>> {
        segment_at(&self.stack, base)
    }

    #[cold]
    fn nearest_runtime(&self) -> Option<Arc<Core>> {
        self.stack.iter().rev().find_map(|entry| match entry {
            Entry::Span(open) => {
                open.segment.as_ref().or_else(|| self.segment_at(open.base)).map(|segment| Arc::clone(&segment.core))
            }
            Entry::Context(_, handle) => handle.place().map(|(segment, _)| Arc::clone(&segment.core)),
            Entry::Runtime(_, core) => Some(Arc::clone(core)),
            Entry::Trace(..) | Entry::Silence | Entry::Ended(_) => None,
        })
    }

    #[cold]
    fn nearest_trace(&self) -> Option<Arc<Trace>> {
        self.stack.iter().rev().find_map(|entry| match entry {
            Entry::Trace(_, trace) => Some(Arc::clone(trace)),
            _ => None,
        })
    }

    /// Starts a child of the recording span on top, which is what almost every span is, and puts it on top. `None`, with
    /// `details` not called, if there is no such span.
    #[inline]
    pub(crate) fn push_child(&mut self, site: Site, details: impl FnOnce() -> Details) -> Option<(u64, u32)> {
        let Local { stack, lanes, ids: Some(ids), .. } = self else { return None };
        let Some(Entry::Span(top)) = stack.last() else { return None };
        let parent_id = top.span_id;
        let (segment, base) = match &top.segment {
            Some(segment) => (segment, stack.len() as u32 - 1),
            None => (segment_at(stack, top.base)?, top.base),
        };
        let lane = lanes.of(&segment.core);
        lane.count_started();
        let thread = lane.thread();
        let span_id = ids.span_id();
        let index = stack.len() as u32;
        stack.push(Entry::Span(OpenSpan::new(site, span_id, Some(parent_id), thread, None, base, details())));
        Some((span_id.as_u64(), index))
    }

    /// Counts a child of the unsampled segment on top, and returns the runtime's number. `None` if there is none.
    #[inline]
    pub(crate) fn unsampled_child(&mut self) -> Option<u32> {
        let Local { stack, lanes, .. } = self;
        let Some(Entry::Context(_, handle)) = stack.last() else { return None };
        let core = &handle.as_unsampled()?.core;
        lanes.of(core).count_started();
        Some(core.number)
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
        if !segment.sampled {
            let core = Arc::clone(&segment.core);
            self.lanes.of(&core).count_started();
            self.keep(mem::take(&mut details.attributes));
            return Begun::UnsampledChild(core.number);
        }
        let (own, base) = match base {
            Some(base) if !own => (None, base),
            _ => (Some(Arc::clone(segment)), 0),
        };
        // The lane is looked up by the segment's runtime, which `place` borrowed from the stack: the fields apart.
        let Local { stack, lanes, ids, .. } = self;
        let segment = match &own {
            Some(segment) => segment,
            None => match segment_at(stack, base) {
                Some(segment) => segment,
                None => return Begun::Disabled,
            },
        };
        let lane = lanes.of(&segment.core);
        lane.count_started();
        let thread = lane.thread();
        let span_id = ids.get_or_insert_with(Generator::seeded).span_id();
        Begun::Recording(OpenSpan::new(site, span_id, Some(parent_id), thread, own, base, details))
    }

    #[cold]
    fn begin_segment(&mut self, core: Arc<Core>, trace: Option<Arc<Trace>>, site: Site, mut details: Details) -> Begun {
        let Some(rate) = core.sample_rate() else { return Begun::Disabled };
        let ids = self.ids.get_or_insert_with(Generator::seeded);
        let trace = match trace {
            Some(trace) => TraceRef::Shared(trace),
            None => TraceRef::Own(Trace::new(ids.trace_id(), ids.sample_rand())),
        };
        let span_id = ids.span_id();
        let (decision, parent_id) = match &trace {
            TraceRef::Own(trace) => (sampling::decide(trace.sample_rand, rate), None),
            TraceRef::Shared(trace) => (sampling::decide(trace.sample_rand, rate), trace.parent_id),
        };
        let name = details.name().cloned().unwrap_or(site.name().into());
        let source = details.source().or(site.source());
        let lane = self.lanes.of(&core);
        lane.count_started();
        let thread = lane.thread();
        let segment = Arc::new(Segment::new(core, trace, span_id, decision, name, source));
        if decision.sampled {
            Begun::Recording(OpenSpan::new(site, span_id, parent_id, thread, Some(segment), 0, details))
        } else {
            self.keep(mem::take(&mut details.attributes));
            Begun::UnsampledSegment(segment)
        }
    }

    /// The segment that a span with this parent belongs to.
    pub(crate) fn segment_of(&self, parent: &Parent) -> Option<Arc<Segment>> {
        match self.place(parent) {
            Place::Child(segment, ..) => Some(Arc::clone(segment)),
            _ => None,
        }
    }

    /// Puts an entry on top and says at which index.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> u32 {
        let index = self.stack.len() as u32;
        self.stack.push(entry);
        index
    }

    /// A key for an entry that is no span.
    pub(crate) fn token(&mut self) -> u64 {
        self.ids.get_or_insert_with(Generator::seeded).span_id().as_u64()
    }

    /// Where the entry with this id stands; `index` is where it stood when it was pushed.
    #[inline]
    fn find(&self, id: u64, index: u32) -> Option<usize> {
        match self.stack.get(index as usize) {
            Some(entry) if entry.id() == id => Some(index as usize),
            _ => self.stack.iter().rposition(|entry| entry.id() == id),
        }
    }

    /// The open span with this id, if it is on this thread's stack, with its segment.
    pub(crate) fn open(&mut self, id: u64, index: u32) -> Option<(&mut OpenSpan, Arc<Segment>)> {
        let at = self.find(id, index)?;
        let segment = match &self.stack[at] {
            Entry::Span(open) => match &open.segment {
                Some(segment) => Arc::clone(segment),
                None => Arc::clone(self.segment_at(open.base)?),
            },
            _ => return None,
        };
        match &mut self.stack[at] {
            Entry::Span(open) => Some((open, segment)),
            _ => None,
        }
    }

    /// As [`open`](Self::open), without the segment.
    #[inline]
    pub(crate) fn open_span(&mut self, id: u64, index: u32) -> Option<&mut OpenSpan> {
        let at = self.find(id, index)?;
        match &mut self.stack[at] {
            Entry::Span(open) => Some(open),
            _ => None,
        }
    }

    /// The current entry.
    pub(crate) fn current(&self) -> Option<(u32, &Entry)> {
        self.stack.last().map(|entry| (self.stack.len() as u32 - 1, entry))
    }

    /// Ends the span with this id, if it is on this stack. The second end finds nothing.
    #[inline]
    pub(crate) fn end(&mut self, id: u64, index: u32, end: Reading, at: Option<SystemTime>) {
        let Local { stack, lanes, spare, .. } = self;
        if let Some((Entry::Span(open), below)) = stack.split_last_mut() {
            if open.span_id.as_u64() == id {
                let own = open.segment.take();
                if let Some(segment) = own.as_ref().or_else(|| segment_at(below, open.base)) {
                    finish(lanes, spare, open, segment, end, at);
                }
                if open.owns_nothing() {
                    // Nothing is leaked; the checks that a drop would make have just been made.
                    mem::forget(stack.pop());
                } else {
                    stack.pop();
                }
                self.trim();
                return;
            }
        }
        self.end_below(id, index, end, at);
    }

    /// Ends a span that others stand above. It leaves its segment for those.
    #[cold]
    fn end_below(&mut self, id: u64, index: u32, end: Reading, at: Option<SystemTime>) {
        let Some(found) = self.find(id, index) else { return };
        let Local { stack, lanes, spare, .. } = self;
        let Entry::Span(mut open) = mem::replace(&mut stack[found], Entry::Ended(None)) else { return };
        let own = open.segment.take();
        if let Some(segment) = own.as_ref().or_else(|| segment_at(stack, open.base)) {
            finish(lanes, spare, &mut open, segment, end, at);
        }
        stack[found] = Entry::Ended(own);
    }

    /// Removes the entry with this id, which is no span.
    pub(crate) fn remove(&mut self, id: u64, index: u32) -> Option<Entry> {
        let found = self.find(id, index)?;
        let removed = if found + 1 == self.stack.len() {
            self.stack.pop()
        } else {
            // Those above may find their segment through it.
            let kept = match &self.stack[found] {
                Entry::Context(_, handle) => handle.place().map(|(segment, _)| Arc::clone(segment)),
                _ => None,
            };
            Some(mem::replace(&mut self.stack[found], Entry::Ended(kept)))
        };
        self.trim();
        removed
    }

    /// Takes off everything from `index` upwards, each with a segment of its own: what a future leaves when it is
    /// suspended. The first is the future's own entry.
    fn suspend(&mut self, index: u32) -> Vec<Entry> {
        for at in index as usize + 1..self.stack.len() {
            let base = match &self.stack[at] {
                Entry::Span(open) if open.segment.is_none() => open.base,
                _ => continue,
            };
            let segment = self.segment_at(base).cloned();
            if let Entry::Span(open) = &mut self.stack[at] {
                open.segment = segment;
            }
        }
        let taken = self.stack.split_off((index as usize).min(self.stack.len()));
        self.trim();
        taken
    }

    /// Takes the entry with this id off the stack, with all that is above it: a future is being suspended.
    /// What is above are guards that it holds across an `.await`, and goes into `above`.
    #[inline]
    pub(crate) fn detach(&mut self, id: u64, index: u32, above: &mut Vec<Entry>) -> Option<Entry> {
        let found = self.find(id, index)?;
        if found + 1 < self.stack.len() {
            let mut taken = self.suspend(found as u32).into_iter();
            let own = taken.next();
            above.extend(taken);
            return own;
        }
        let own = self.stack.pop();
        self.trim();
        own
    }

    /// Puts what `detach` took back on top.
    #[inline]
    pub(crate) fn attach(&mut self, own: Entry, above: &mut Vec<Entry>) -> u32 {
        let index = self.push(own);
        self.stack.append(above);
        index
    }

    /// Keeps invariant 1.
    #[inline]
    fn trim(&mut self) {
        while let Some(Entry::Ended(_)) = self.stack.last() {
            self.stack.pop();
        }
    }

    /// Ends a span that is on no stack.
    pub(crate) fn finish_owned(&mut self, open: &mut OpenSpan, end: Reading, at: Option<SystemTime>) {
        if let Some(segment) = open.segment.take() {
            finish(&mut self.lanes, &mut self.spare, open, &segment, end, at);
        }
    }

    /// Counts the end of a span that was not sampled, for a runtime that this thread has a lane of.
    #[inline]
    pub(crate) fn count_unsampled_by_number(&mut self, number: u32) {
        if let Some(lane) = self.lanes.by_number(number) {
            lane.count_unsampled();
        }
    }

    /// An empty list, with room if one is spare.
    #[inline]
    pub(crate) fn spare_list(&mut self) -> Vec<Attribute> {
        self.spare.pop().unwrap_or_default()
    }

    fn keep(&mut self, list: Vec<Attribute>) {
        keep(&mut self.spare, list);
    }
}

#[inline]
fn segment_at(stack: &[Entry], base: u32) -> Option<&Arc<Segment>> {
    match stack.get(base as usize)? {
        Entry::Span(open) => open.segment.as_ref(),
        Entry::Ended(segment) => segment.as_ref(),
        Entry::Context(_, handle) => handle.place().map(|(segment, _)| segment),
        Entry::Trace(..) | Entry::Runtime(..) | Entry::Silence => None,
    }
}

#[inline]
fn finish(
    lanes: &mut Lanes,
    spare: &mut Vec<Vec<Attribute>>,
    open: &mut OpenSpan,
    segment: &Arc<Segment>,
    end: Reading,
    at: Option<SystemTime>,
) {
    let record = open.close(segment, end, at);
    lanes.of(&segment.core).hand_over(segment, record, &mut open.details);
    if open.details.attributes.capacity() > 0 {
        keep(spare, mem::take(&mut open.details.attributes));
    }
}

#[inline]
fn keep(spare: &mut Vec<Vec<Attribute>>, mut list: Vec<Attribute>) {
    if list.capacity() > 0 && list.capacity() <= SPARE_CAPACITY && spare.len() < SPARE_LISTS {
        list.clear();
        spare.push(list);
    }
}

impl Drop for Local {
    /// The thread ends: what is open on its stack ends with it, and the lanes close when they are dropped.
    fn drop(&mut self) {
        let end = Reading::now();
        while let Some(entry) = self.stack.last() {
            match entry {
                Entry::Span(open) => {
                    let (id, index) = (open.span_id.as_u64(), self.stack.len() as u32 - 1);
                    self.end(id, index, end, None);
                }
                _ => {
                    self.stack.pop();
                }
            }
        }
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
        with(|local| {
            let Some(at) = local.find(id, index) else { return };
            let Local { stack, spare, .. } = local;
            if let Entry::Span(open) = &mut stack[at] {
                open.with(|details| {
                    if details.attributes.capacity() == 0 {
                        details.attributes = spare.pop().unwrap_or_default();
                    }
                    change.make(details, None);
                });
            }
        });
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
    let found = with(|local| match local.stack.get(local.find(token, index)?)? {
        Entry::Context(_, handle) => Some(handle.clone()),
        _ => None,
    });
    found.flatten().unwrap_or(SpanHandle::nothing())
}

/// From here on nothing that starts on this thread records anything. For the threads of a runtime.
pub(crate) fn silence() {
    with(|local| local.push(Entry::Silence));
}

/// What a future takes along that is to go on where this thread is.
pub(crate) fn carried() -> Option<Taken> {
    with(|local| match local.current()? {
        (_, Entry::Trace(_, trace)) => Some(Taken::Trace(Arc::clone(trace))),
        (_, Entry::Runtime(_, core)) => Some(Taken::Runtime(Arc::clone(core))),
        (index, Entry::Span(open)) => {
            let id = open.span_id.as_u64();
            local.open(id, index).map(|(open, segment)| Taken::Span(SpanHandle::recording(open.share(&segment))))
        }
        (_, Entry::Context(_, handle)) => Some(Taken::Span(handle.clone())),
        (_, Entry::Silence | Entry::Ended(_)) => None,
    })
    .flatten()
}

/// See [`carried`].
#[derive(Debug)]
pub(crate) enum Taken {
    Span(SpanHandle),
    Trace(Arc<Trace>),
    Runtime(Arc<Core>),
}

/// A handle of what is current.
pub(crate) fn current_handle() -> SpanHandle {
    let found = with(|local| match local.current()? {
        (index, Entry::Span(open)) => {
            let id = open.span_id.as_u64();
            local.open(id, index).map(|(open, segment)| SpanHandle::recording(open.share(&segment)))
        }
        (_, Entry::Context(_, handle)) => Some(handle.clone()),
        _ => None,
    });
    found.flatten().unwrap_or(SpanHandle::nothing())
}

/// Ends an unsampled segment that is on this thread's stack.
pub(crate) fn end_unsampled(token: u64, index: u32) {
    let removed = with(|local| local.remove(token, index)).flatten();
    if let Some(Entry::Context(_, handle)) = removed {
        if let Some(segment) = handle.into_unsampled() {
            count_unsampled(&segment.core);
        }
    }
}

/// Ends a span that is on no stack.
pub(crate) fn finish_owned(mut open: OpenSpan, end: Reading, at: Option<SystemTime>) {
    if with(|local| local.finish_owned(&mut open, end, at)).is_some() {
        return;
    }
    // The thread is past its end, or inside of this module.
    if let Some(segment) = open.segment.take() {
        let record = open.close(&segment, end, at);
        segment.core.with_orphan(|lane| lane.hand_over(&segment, record, &mut open.details));
    }
}

/// Counts the end of a span that was not sampled.
pub(crate) fn count_unsampled(core: &Arc<Core>) {
    if with(|local| local.lanes.of(core).count_unsampled()).is_none() {
        core.with_orphan(|lane| lane.count_unsampled());
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
        self.others.retain(|lane| !lane.is_abandoned());
        let lane = match self.others.iter().position(|lane| lane.is_of(core)) {
            Some(at) => self.others.swap_remove(at),
            None => Lane::new(core),
        };
        if let Some(last) = self.current.replace(lane) {
            self.others.push(last);
        }
    }

    #[inline]
    fn by_number(&mut self, number: u32) -> Option<&mut Lane> {
        self.current.iter_mut().chain(&mut self.others).find(|lane| lane.number() == number)
    }
}
