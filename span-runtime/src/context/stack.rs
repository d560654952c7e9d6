//! The stack of what is current on a thread, laid out so that a span is written in place.
//!
//! A frame holds a span by its fields, whether or not it is in use. Starting a child assigns those that
//! differ and ending it reads them: nothing is moved, nothing is dropped, and the list of a frame's attributes keeps
//! its memory for the next span at that depth. A span that comes and goes, because a future carries it, is in a box instead, of which
//! only the pointer is moved.
//!
//! Invariant: a frame that is not in use, and one that holds something else than a span, has a *blank* span: without
//! segment, attributes, rare details or handles.

use std::mem;
use std::sync::Arc;

use crate::api::SpanHandle;
use crate::attributes::Value;
use crate::client::Core;
use crate::ids::SpanId;
use crate::open::OpenSpan;
use crate::record::{Attribute, Details, Given, Site};
use crate::segment::{Segment, Trace};

/// Frames beyond this many are given back when the stack has become shallow again.
const KEEP: usize = 128;

/// The longest attribute list whose memory a frame keeps.
const KEEP_ATTRIBUTES: usize = 64;

/// Something that can be current.
#[derive(Debug)]
pub(crate) enum Entry {
    Span(Box<OpenSpan>),
    /// A span that is carried elsewhere, or the segment of unsampled work.
    Context(u64, SpanHandle),
    /// Segments that start here share this trace, and belong to this runtime if there is one.
    Trace(u64, Arc<Trace>, Option<Arc<Core>>),
    /// Segments that start here belong to this runtime.
    Runtime(u64, Arc<Core>),
    /// Spans that start here record nothing: on a thread of ours, or the pipeline would feed itself; and where a runtime was
    /// entered that sends nowhere.
    Silence(u64),
    /// An ended span below others; kept for the segment that they find through it.
    Ended(Option<Arc<Segment>>),
}

impl Entry {
    fn id(&self) -> u64 {
        match self {
            Entry::Span(open) => open.span_id.as_u64(),
            Entry::Context(id, _) | Entry::Trace(id, ..) | Entry::Runtime(id, _) | Entry::Silence(id) => *id,
            Entry::Ended(_) => 0,
        }
    }

    /// The segment that it keeps.
    #[inline(never)]
    fn segment(&self) -> Option<&Arc<Segment>> {
        match self {
            Entry::Span(span) => span.segment.as_ref(),
            Entry::Ended(segment) => segment.as_ref(),
            Entry::Context(_, handle) => handle.place().map(|(segment, _)| segment),
            Entry::Trace(..) | Entry::Runtime(..) | Entry::Silence(_) => None,
        }
    }
}

/// An entry as it stands on the stack.
#[derive(Debug)]
pub(super) enum Top<'a> {
    Span(&'a OpenSpan),
    Other(&'a Entry),
}

#[derive(Debug)]
struct Frame {
    /// The id of what is here; 0 if there is nothing by that name. Ids of spans are never 0.
    id: u64,
    /// What is here, unless it is a span in place.
    other: Option<Entry>,
    span: OpenSpan,
    /// For a span in place.
    given: Given,
}

impl Frame {
    fn blank() -> Self {
        Frame { id: 0, other: None, span: OpenSpan::blank(), given: Given::default() }
    }

    #[inline]
    fn top(&self) -> Top<'_> {
        match &self.other {
            None => Top::Span(&self.span),
            Some(Entry::Span(span)) => Top::Span(span),
            Some(other) => Top::Other(other),
        }
    }

    #[inline]
    fn span_mut(&mut self) -> Option<&mut OpenSpan> {
        match &mut self.other {
            None => {
                self.given.join(self.span.site, &mut self.span.details);
                Some(&mut self.span)
            }
            Some(Entry::Span(span)) => Some(span),
            Some(_) => None,
        }
    }

    /// The segment that this entry keeps. Most spans in place keep none: they find it further down.
    #[inline(always)]
    fn segment(&self) -> Option<&Arc<Segment>> {
        match &self.other {
            Some(Entry::Span(span)) => span.segment.as_ref(),
            Some(other) => other.segment(),
            None => self.span.segment.as_ref(),
        }
    }

    /// Takes what is here. A span in place goes into a box, one of these if there is one: they are blank.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    fn take(&mut self, boxes: &mut Vec<Box<OpenSpan>>) -> Entry {
        self.id = 0;
        match self.other.take() {
            Some(other) => other,
            None => {
                self.given.join(self.span.site, &mut self.span.details);
                let mut boxed = boxes.pop().unwrap_or_else(|| Box::new(OpenSpan::blank()));
                mem::swap(&mut *boxed, &mut self.span);
                Entry::Span(boxed)
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Stack {
    /// Those below `depth` are in use; those above wait to be used again.
    frames: Vec<Frame>,
    depth: usize,
    /// How many of those in use are tombstones.
    ended: usize,
    /// There are tombstones, or more frames than are worth keeping.
    unusual: bool,
}

impl Stack {
    pub(super) const fn new() -> Self {
        Stack { frames: Vec::new(), depth: 0, ended: 0, unusual: false }
    }

    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    #[inline]
    pub(super) fn top(&self) -> Option<Top<'_>> {
        self.get(self.depth.checked_sub(1)?)
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Top<'_>> {
        self.used().get(index).map(Frame::top)
    }

    /// From the top downwards.
    pub(super) fn iter(&self) -> impl Iterator<Item = Top<'_>> {
        self.used().iter().rev().map(Frame::top)
    }

    #[inline]
    fn used(&self) -> &[Frame] {
        self.frames.get(..self.depth).unwrap_or_default()
    }

    /// The segment that the entry at `base` keeps.
    #[inline(always)]
    pub(super) fn segment_at(&self, base: u32) -> Option<&Arc<Segment>> {
        self.used().get(base as usize)?.segment()
    }

    /// Where the entry with this id stands; `index` is where it stood when it was pushed.
    #[inline]
    pub(super) fn find(&self, id: u64, index: u32) -> Option<usize> {
        match self.used().get(index as usize) {
            Some(frame) if frame.id == id => Some(index as usize),
            _ => self.used().iter().rposition(|frame| frame.id == id),
        }
    }

    /// The span at `index`.
    #[inline]
    pub(super) fn span_mut(&mut self, index: usize) -> Option<&mut OpenSpan> {
        match self.frames.get_mut(index) {
            Some(frame) if index < self.depth => frame.span_mut(),
            _ => None,
        }
    }

    /// The span on top, if it has this id and is in place, and what is below it.
    #[inline(always)]
    pub(super) fn top_span_mut(&mut self, id: u64) -> Option<(&mut OpenSpan, &mut Given, Below<'_>)> {
        let (below, rest) = self.frames.split_at_mut_checked(self.depth.checked_sub(1)?)?;
        match rest.first_mut() {
            Some(frame) if frame.id == id && frame.other.is_none() => {
                Some((&mut frame.span, &mut frame.given, Below(below)))
            }
            _ => None,
        }
    }

    /// Whether the entry on top has this id.
    pub(super) fn is_on_top(&self, id: u64) -> bool {
        self.used().last().is_some_and(|frame| frame.id == id)
    }

    /// The frame that will be used next.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "`grow` has just made it, where it was not there")]
    fn next(&mut self) -> &mut Frame {
        if self.depth >= self.frames.len() {
            self.grow();
        }
        &mut self.frames[self.depth]
    }

    #[cold]
    fn grow(&mut self) {
        self.frames.resize_with(self.depth + 1, Frame::blank);
        self.unusual |= self.frames.len() > KEEP;
    }

    #[cold]
    fn tidy(&mut self) {
        self.trim();
        self.shrink();
        self.unusual = self.ended > 0 || self.frames.len() > KEEP;
    }

    /// Puts a child of the span on top onto it. `base` is the entry that keeps the segment.
    #[inline(always)]
    pub(super) fn push_child(
        &mut self,
        site: Site,
        (span_id, parent_id): (SpanId, SpanId),
        thread: u32,
        base: u32,
    ) -> u32 {
        let frame = self.next();
        frame.id = span_id.as_u64();
        frame.given.by_site = matches!(site, Site::Call(_));
        frame.span.begin(site, (span_id, Some(parent_id)), thread, base);
        let index = self.depth as u32;
        self.depth += 1;
        index
    }

    /// Puts the span of a segment on top, in place.
    pub(super) fn push_segment(&mut self, site: Site, span_id: SpanId, thread: u32, segment: Arc<Segment>) -> u32 {
        // A stack of 2^32 entries would not fit into memory.
        let index = self.depth as u32;
        let frame = self.next();
        frame.id = span_id.as_u64();
        frame.given.by_site = matches!(site, Site::Call(_));
        frame.span.segment = None;
        frame.span.begin(site, (span_id, None), thread, index);
        frame.span.segment = Some(segment);
        self.depth += 1;
        index
    }

    /// Gives the span on top, which has just begun in place, what was made for it.
    #[inline(always)]
    pub(super) fn fill_top(&mut self, details: &mut Details) {
        if let Some(frame) = self.depth.checked_sub(1).and_then(|top| self.frames.get_mut(top)) {
            frame.given.by_site = false;
            let own = &mut frame.span.details;
            // The frame's list is empty; where the other one brings no memory, what the frame has is kept.
            if details.attributes.capacity() > 0 {
                mem::swap(&mut own.attributes, &mut details.attributes);
            }
            mem::swap(&mut own.rare, &mut details.rare);
        }
    }

    /// Gives the span on top, which has just begun in place, the values that its call site wants.
    #[inline(always)]
    pub(super) fn give_top<const N: usize>(&mut self, values: [Option<Value>; N]) {
        let frame = self.depth.checked_sub(1).and_then(|top| self.frames.get_mut(top));
        let Some(Frame { given, .. }) = frame else { return };
        if let Some(own) = given.values.as_flattened_mut().first_chunk_mut::<N>() {
            given.owns = values.iter().flatten().any(|value| !value.is_inline());
            // A frame that was not in use has no values, so that there is nothing to be dropped.
            let none = mem::replace(own, values);
            debug_assert!(none.iter().all(Option::is_none), "{none:?}");
            mem::forget(none);
        }
    }

    /// Puts an entry on top and says at which index.
    pub(super) fn push(&mut self, entry: Entry) -> u32 {
        let ended = matches!(entry, Entry::Ended(_));
        let frame = self.next();
        frame.id = entry.id();
        frame.other = Some(entry);
        self.ended += usize::from(ended);
        self.unusual |= ended;
        // A stack of 2^32 entries would not fit into memory.
        let index = self.depth as u32;
        self.depth += 1;
        index
    }

    /// Takes the topmost entry off.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.pop_into(&mut Vec::new())
    }

    /// As [`pop`](Self::pop); a span in place goes into one of these boxes, which are blank.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    pub(super) fn pop_into(&mut self, boxes: &mut Vec<Box<OpenSpan>>) -> Option<Entry> {
        let top = self.depth.checked_sub(1)?;
        self.depth = top;
        let entry = self.frames.get_mut(top).map(|frame| frame.take(boxes));
        self.ended -= usize::from(matches!(entry, Some(Entry::Ended(_))));
        self.shrink();
        entry
    }

    /// Takes a span in place off the top that was closed, and so is blank; and tombstones below it. Says whether there may have been
    /// some.
    #[inline(always)]
    pub(super) fn pop_closed(&mut self) -> bool {
        if let Some(top) = self.depth.checked_sub(1) {
            self.depth = top;
            if let Some(frame) = self.frames.get_mut(top) {
                frame.id = 0;
                debug_assert!(frame.span.is_blank(), "{:?}", frame.span);
            }
            if self.unusual {
                self.tidy();
                return true;
            }
        }
        false
    }

    #[cold]
    fn shrink(&mut self) {
        if self.frames.len() > KEEP && self.depth < self.frames.len() / 4 {
            self.frames.truncate((self.depth * 2).max(KEEP));
        }
    }

    /// Puts `entry` in the place of another, which is returned.
    pub(super) fn replace(&mut self, index: usize, entry: Entry) -> Option<Entry> {
        let frame = self.frames.get_mut(index)?;
        let old = frame.take(&mut Vec::new());
        self.ended += usize::from(matches!(entry, Entry::Ended(_)));
        self.ended -= usize::from(matches!(old, Entry::Ended(_)));
        self.unusual |= self.ended > 0;
        frame.id = entry.id();
        frame.other = Some(entry);
        Some(old)
    }

    /// Takes tombstones off the top.
    pub(super) fn trim(&mut self) {
        while let Some(Top::Other(Entry::Ended(_))) = self.top() {
            self.pop();
        }
    }

    /// The empty list of the next frame, with what memory it has.
    #[inline]
    pub(super) fn spare_list(&mut self) -> Vec<Attribute> {
        mem::take(&mut self.next().span.details.attributes)
    }

    /// Gives the next frame an empty list, if it has none with memory.
    pub(super) fn keep_list(&mut self, mut list: Vec<Attribute>) {
        list.clear();
        let kept = &mut self.next().span.details.attributes;
        if kept.capacity() == 0 && list.capacity() <= KEEP_ATTRIBUTES {
            *kept = list;
        }
    }
}

/// What is below the top of the stack.
pub(super) struct Below<'a>(&'a [Frame]);

impl<'a> Below<'a> {
    /// As [`Stack::segment_at`].
    #[inline(always)]
    pub(super) fn segment_at(&self, base: u32) -> Option<&'a Arc<Segment>> {
        self.0.get(base as usize)?.segment()
    }
}
