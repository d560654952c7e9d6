//! Spans as they wait for their envelope, packed.
//!
//! On its way from the thread that ended it a span takes a cache line, and each of its attributes another. That is what makes the way short;
//! but a span waits for up to seconds, and while the endpoint hangs for minutes. So here it takes 56 bytes, and each attribute 24
//! with its text, unless that is owned. Attributes whose values are literals take nothing: their call site has them.
//!
//! # Invariants
//!
//! 1. `segment` is that of the first span; in `turns` each other stands by the number of the span from which on it is the one.
//! 2. A block's items are those of its spans, in their order, as many of each as the span says.
//! 3. `rare` is in the order of the spans.

use std::mem;
use std::sync::Arc;

use crate::attributes::{Key, Value};
use crate::clock::Reading;
use crate::ids::SpanId;
use crate::protocol::{Known, Packed};
use crate::record::{Attribute, Callsite, Rare, Site, Slot, SpanRecord};
use crate::scrub::Privacy;
use crate::segment::Segment;

/// Spans in a block. What is lost to a block that is not full is less than that of them; and growing a pile moves no more.
const SPANS: usize = 32;

/// Attributes in a block, unless a single span has more.
const ITEMS: usize = 8 * SPANS;

/// Of so many piles the size is remembered.
const LAST: usize = 4;

/// What share of the byte bound may be empty blocks, which are kept for the next piles: half a MiB of 64. Memory that was just given back
/// costs a page fault to get again.
const SPARE_SHARE: usize = 128;

/// What a span's JSON is likely to take without its attributes.
const SPAN_JSON: usize = 1000;

/// A finished span: the record, with the number of its attributes in what is padding there.
#[derive(Debug)]
struct Waiting {
    site: Site,
    parent_id: Option<SpanId>,
    end: Reading,
    start: Reading,
    span_id: SpanId,
    thread: u32,
    /// How many attributes there are of it, and below that the flags.
    attributes_and_flags: u32,
}

const _: () = assert!(size_of::<Waiting>() <= 56, "a span is packed");

/// The flags, and how much one attribute counts above them.
const ERROR: u32 = 1;
const IS_SEGMENT: u32 = 2;
const BY_SITE: u32 = 4;
const ATTRIBUTE: u32 = 8;

impl Waiting {
    fn new(record: SpanRecord) -> Self {
        let SpanRecord { site, parent_id, end, start, span_id, thread, is_segment, error, by_site } = record;
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        let attributes_and_flags = flag(error, ERROR) | flag(is_segment, IS_SEGMENT) | flag(by_site, BY_SITE);
        Waiting { site, parent_id, end, start, span_id, thread, attributes_and_flags }
    }

    fn record(&self) -> SpanRecord {
        let is = |flag| self.attributes_and_flags & flag != 0;
        SpanRecord {
            site: self.site,
            parent_id: self.parent_id,
            end: self.end,
            start: self.start,
            span_id: self.span_id,
            thread: self.thread,
            is_segment: is(IS_SEGMENT),
            error: is(ERROR),
            by_site: is(BY_SITE),
        }
    }

    fn attributes(&self) -> usize {
        (self.attributes_and_flags / ATTRIBUTE) as usize
    }

    fn count_attribute(&mut self) {
        // A batch is full long before 2^29 of them.
        self.attributes_and_flags += ATTRIBUTE;
    }
}

#[derive(Debug, Default)]
struct Block {
    spans: Vec<Waiting>,
    items: Vec<Packed>,
}

impl Block {
    fn with_room(spans: usize, items: usize) -> Self {
        Block { spans: Vec::with_capacity(spans), items: Vec::with_capacity(items) }
    }

    fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Waiting>() + self.items.capacity() * size_of::<Packed>()
    }

    /// Of these, the bytes that nothing is in.
    fn spare_bytes(&self) -> usize {
        let spans = self.spans.capacity() - self.spans.len();
        let items = self.items.capacity() - self.items.len();
        spans * size_of::<Waiting>() + items * size_of::<Packed>()
    }

    /// Whether another span is to go into the next block. It is likely to have no more attributes than there is still room for.
    #[inline]
    fn is_full(&self) -> bool {
        self.spans.len() >= SPANS || self.items.len() > ITEMS - ITEMS / SPANS
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.items.clear();
    }

    /// It took an immense span: its memory is not worth keeping.
    fn is_immense(&self) -> bool {
        self.items.capacity() > 2 * ITEMS
    }
}

/// Empty blocks, and how large the next is likely to be.
#[derive(Debug)]
pub(super) struct Spare {
    blocks: Vec<Block>,
    /// How many it keeps.
    most: usize,
    /// Spans and attributes in the first block of the last piles that were complete.
    firsts: [(usize, usize); LAST],
}

impl Spare {
    /// None yet, and never more than a small share of this bound.
    pub(super) fn within(limit: usize) -> Self {
        const BLOCK: usize = SPANS * size_of::<Waiting>() + ITEMS * size_of::<Packed>();
        Spare { blocks: Vec::new(), most: limit / SPARE_SHARE / BLOCK, firsts: [(0, 0); LAST] }
    }

    /// One for spans that have as many attributes as those of the block before.
    #[cold]
    fn next(&mut self, before: &Block) -> Block {
        self.blocks.pop().unwrap_or_else(|| Block::with_room(SPANS, before.items.len()))
    }

    /// Keeps a block that was written.
    fn keep(&mut self, mut block: Block) {
        if !block.is_immense() && self.blocks.len() < self.most {
            block.clear();
            self.blocks.push(block);
        }
    }

    /// Gives it all back. For when nothing has come for a while.
    pub(super) fn trim(&mut self) {
        self.blocks = Vec::new();
    }
}

/// Spans of one trace that wait.
#[derive(Debug, Default)]
pub(super) struct Pile {
    /// The blocks before the last.
    full: Vec<Block>,
    last: Block,
    segment: Option<Arc<Segment>>,
    turns: Vec<(usize, Arc<Segment>)>,
    /// What few spans have, by the number of the span.
    rare: Vec<(usize, Box<Rare>)>,
    spans: usize,
    /// Bytes of JSON that this is likely to become.
    json: usize,
    /// Bytes beyond those of the last block.
    bytes: usize,
    /// Where the call site of the last span is known, if it names that span's attributes, and how many of their values have come.
    site: Option<(usize, usize)>,
}

impl Pile {
    /// An empty one with as much room as the smallest of the last took: most requests are like another, and where they are not, those that
    /// are small and stay open should not have the room of large ones.
    pub(super) fn sized(spare: &Spare) -> Self {
        let least = |of: fn(&(usize, usize)) -> usize| spare.firsts.iter().map(of).min().unwrap_or_default();
        Pile { last: Block::with_room(least(|first| first.0), least(|first| first.1)), ..Pile::default() }
    }

    /// Remembers how large it is, now that nothing more comes.
    pub(super) fn complete(&self, spare: &mut Spare) {
        spare.firsts.rotate_right(1);
        spare.firsts[0] = match self.full.first() {
            Some(full) => (SPANS, full.items.len()),
            None => (self.last.spans.len(), self.last.items.len()),
        };
    }

    /// Empties it, and keeps the memory of its blocks: one that was full for itself, or else its only one, and the others for whoever needs
    /// them.
    pub(super) fn clear(&mut self, spare: &mut Spare) {
        if let Some(full) = self.full.pop() {
            self.last = full;
        }
        for block in self.full.drain(..) {
            spare.keep(block);
        }
        self.last.clear();
        if self.last.is_immense() {
            self.last = Block::default();
        }
        self.segment = None;
        // Most have none.
        (self.turns, self.rare) = (Vec::new(), Vec::new());
        (self.spans, self.json, self.bytes, self.site) = (0, 0, 0, None);
    }

    /// Bytes of JSON that this is likely to become.
    pub(super) fn json(&self) -> usize {
        self.json
    }

    /// Bytes that it takes, with what its spans own.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.last.bytes()
    }

    /// The segment of what was pushed last.
    #[inline]
    pub(super) fn segment(&self) -> Option<&Arc<Segment>> {
        self.turns.last().map(|(_, segment)| segment).or(self.segment.as_ref())
    }

    /// What is pushed next is of this segment.
    pub(super) fn turn_to(&mut self, segment: &Arc<Segment>) {
        match self.segment() {
            Some(last) if Arc::ptr_eq(last, segment) => {}
            Some(_) => {
                self.bytes += size_of::<(usize, Arc<Segment>)>() + size_of::<Segment>();
                self.turns.push((self.spans, Arc::clone(segment)));
            }
            None => {
                self.bytes += size_of::<Segment>();
                self.segment = Some(Arc::clone(segment));
            }
        }
    }

    /// Packs a slot.
    pub(super) fn push(&mut self, slot: Slot, known: &mut Known, privacy: Privacy<'_>, spare: &mut Spare) {
        match slot {
            Slot::Segment(segment) => self.turn_to(&segment),
            Slot::Span(record) => self.push_span(record, known, privacy, spare),
            rest => self.push_rest(rest, known, privacy),
        }
    }

    /// Packs a span.
    #[inline(always)]
    pub(super) fn push_span(&mut self, record: SpanRecord, known: &mut Known, privacy: Privacy<'_>, spare: &mut Spare) {
        if self.last.is_full() {
            self.turn_over(spare);
        }
        self.site = record.given_by().and_then(|site| known.site(site, privacy)).map(|site| (site, 0));
        self.json += SPAN_JSON + self.site.map_or(0, |(site, _)| known.literals(Some(site)).0.len());
        self.spans += 1;
        self.last.spans.push(Waiting::new(record));
    }

    /// The last block is full: another follows it.
    #[cold]
    fn turn_over(&mut self, spare: &mut Spare) {
        let next = spare.next(&self.last);
        let full = mem::replace(&mut self.last, next);
        self.bytes += full.bytes() + size_of::<Block>();
        self.full.push(full);
    }

    /// Packs what belongs to the last span.
    #[inline]
    pub(super) fn push_rest(&mut self, slot: Slot, known: &mut Known, privacy: Privacy<'_>) {
        match slot {
            Slot::Values(values) => {
                for value in values {
                    self.push_value(value, known);
                }
            }
            Slot::Attribute(attribute) => self.push_packed(known.pack(attribute, privacy), known),
            Slot::Attributes(all) => {
                for attribute in all {
                    self.push_packed(known.pack(attribute, privacy), known);
                }
            }
            Slot::Rare(rare) => self.push_rare(rare),
            // Those stand for themselves.
            Slot::Segment(_) | Slot::Span(_) => {}
        }
    }

    /// Packs the next of the values that the call site of the last span wants.
    #[inline]
    fn push_value(&mut self, value: Option<Value>, known: &Known) {
        let Some((site, values)) = &mut self.site else { return };
        let at = *values;
        *values += 1;
        if let Some(packed) = value.and_then(|value| known.pack_value(*site, at, value)) {
            self.push_packed(packed, known);
        }
    }

    #[inline]
    fn push_packed(&mut self, packed: Packed, known: &Known) {
        let Block { spans, items } = &mut self.last;
        let Some(span) = spans.last_mut() else { return };
        span.count_attribute();
        self.json += known.json_estimate(&packed);
        self.bytes += packed.owned_bytes();
        items.push(packed);
    }

    fn push_rare(&mut self, rare: Box<Rare>) {
        let Some(span) = self.spans.checked_sub(1) else { return };
        let name = rare.name.as_ref().map_or(0, |name| name.len());
        let attributes = |attributes: &[Attribute]| attributes.iter().map(Attribute::bytes).sum::<usize>();
        let links = rare.links.iter().map(|link| size_of_val(link) + attributes(&link.attributes)).sum::<usize>();
        self.json += name + rare.links.len() * 150;
        self.bytes += size_of::<(usize, Box<Rare>)>() + size_of::<Rare>() + name + links;
        self.rare.push((span, rare));
    }

    /// Gives back the room that nothing is in, if it is more than a quarter of all, for when nothing more is likely to come.
    pub(super) fn settle(&mut self) {
        // The blocks before the last are as full as they get.
        if self.last.spare_bytes() > self.bytes() / 4 {
            self.last.spans.shrink_to_fit();
            self.last.items.shrink_to_fit();
        }
    }

    /// The spans, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rare = self.rare.iter().peekable();
        let mut turns = self.turns.iter().peekable();
        let mut segment = self.segment.as_ref();
        let spans = self.full.iter().chain([&self.last]).flat_map(|block| {
            let mut items = block.items.as_slice();
            block.spans.iter().map(move |span| {
                let (own, behind) = items.split_at(span.attributes().min(items.len()));
                items = behind;
                (span.record(), own)
            })
        });
        spans.enumerate().filter_map(move |(number, (record, attributes))| {
            while let Some((_, next)) = turns.next_if(|(from, _)| *from <= number) {
                segment = Some(next);
            }
            let rare = rare.next_if(|(of, _)| *of == number).map(|(_, rare)| &**rare);
            Some(Packet { segment: segment?, record, attributes, rare })
        })
    }

    /// The same as slots, each attribute with its key.
    pub(super) fn into_slots(self, known: &Known) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(self.spans + self.turns.len() + 1);
        slots.extend(self.segment.map(Slot::Segment));
        let mut turns = self.turns.into_iter().peekable();
        let mut rare = self.rare.into_iter().peekable();
        let mut number = 0;
        for Block { spans, items } in self.full.into_iter().chain([self.last]) {
            let mut items = items.into_iter();
            for span in spans {
                while let Some((_, segment)) = turns.next_if(|(from, _)| *from <= number) {
                    slots.push(Slot::Segment(segment));
                }
                let record = span.record();
                let literals = record.given_by().into_iter().flat_map(Callsite::literals);
                let literals = literals.map(|(key, value)| (Key::Borrowed(key), Value::from_static(value)));
                slots.push(Slot::Span(SpanRecord { by_site: false, ..record }));
                slots.extend(literals.map(|(key, value)| Slot::Attribute(Attribute { key, value })));
                let own = items.by_ref().take(span.attributes());
                slots.extend(own.filter_map(|packed| known.unpack(packed)).map(Slot::Attribute));
                slots.extend(rare.next_if(|(of, _)| *of == number).map(|(_, rare)| Slot::Rare(rare)));
                number += 1;
            }
        }
        slots
    }
}

/// A span of a pile.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) segment: &'a Arc<Segment>,
    pub(super) record: SpanRecord,
    pub(super) attributes: &'a [Packed],
    pub(super) rare: Option<&'a Rare>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Generator;
    use crate::sampling::{self, Rate};
    use crate::segment::{Trace, TraceRef};
    use crate::testing::CaptureTransport;
    use crate::{Options, Runtime};

    /// Each span has another number of attributes, some have a name of their own, and there are three segments.
    fn slots(segments: &[Arc<Segment>]) -> Vec<Slot> {
        let mut ids = Generator::seeded();
        let mut slots = Vec::new();
        for number in 0..5 * SPANS {
            if number % (2 * SPANS - 1) == 0 {
                slots.push(Slot::Segment(Arc::clone(&segments[number / (2 * SPANS - 1)])));
            }
            slots.push(Slot::Span(SpanRecord {
                site: Site::Name("span"),
                parent_id: (number % 2 == 0).then(|| ids.span_id()),
                end: Reading::now(),
                start: Reading::now(),
                span_id: ids.span_id(),
                thread: number as u32,
                is_segment: number % 3 == 0,
                error: number % 5 == 0,
                by_site: false,
            }));
            let attribute = |at: usize| Attribute { key: "key".into(), value: Value::of(number * 1000 + at) };
            match number {
                // More than a block has room for.
                40 => slots.push(Slot::Attributes((0..3 * ITEMS).map(attribute).collect())),
                _ => slots.extend((0..number % 23).map(attribute).map(Slot::Attribute)),
            }
            if number % 7 == 0 {
                slots.push(Slot::Rare(Box::new(Rare { name: Some(number.to_string().into()), ..Rare::default() })));
            }
        }
        slots
    }

    /// What is said of a span, with its segment ahead and all its attributes one by one.
    fn told(slots: &[Slot]) -> Vec<String> {
        let each = slots.iter().flat_map(|slot| match slot {
            Slot::Segment(segment) => vec![segment.span_id.to_string()],
            Slot::Attributes(all) => all.iter().map(|one| format!("{one:?}")).collect(),
            Slot::Attribute(one) => vec![format!("{one:?}")],
            other => vec![format!("{other:?}")],
        });
        each.collect()
    }

    // behaviours 40, 44
    #[test]
    fn what_is_packed_comes_out_in_its_order_and_with_all_that_belongs_to_it() {
        let options = Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0);
        let runtime = Runtime::new(options).expect("the options are valid");
        let core = runtime.core().expect("it runs");
        let mut ids = Generator::seeded();
        let segments: Vec<Arc<Segment>> = (0..3)
            .map(|_| {
                let trace = Trace::new(&mut ids);
                let decision = sampling::decide(&trace, Rate::Sampler(1.0), 0);
                let (trace, span_id) = (TraceRef::Own(trace), ids.span_id());
                Arc::new(Segment::new(Arc::clone(&core), trace, span_id, decision, "segment".into(), None))
            })
            .collect();
        let (mut known, mut spare) = (Known::default(), Spare::within(64 << 20));
        let privacy = core.settings.privacy();
        // The second time with the memory of the first.
        for _ in 0..2 {
            let slots = slots(&segments);
            let number = slots.iter().filter(|slot| matches!(slot, Slot::Span(_))).count();
            let records = slots.iter().filter_map(|slot| match slot {
                Slot::Span(record) => Some(format!("{record:?}")),
                _ => None,
            });
            let records: Vec<String> = records.collect();
            let mut pile = Pile::default();
            for slot in slots {
                pile.push(slot, &mut known, privacy, &mut spare);
            }
            pile.complete(&mut spare);
            pile.settle();
            assert_eq!(pile.iter().count(), number);
            for ((at, packet), record) in pile.iter().enumerate().zip(&records) {
                assert_eq!(&format!("{:?}", packet.record), record);
                assert!(Arc::ptr_eq(packet.segment, &segments[at / (2 * SPANS - 1)]), "span {at}");
                assert_eq!(packet.attributes.len(), if at == 40 { 3 * ITEMS } else { at % 23 }, "span {at}");
                let name = packet.rare.and_then(|rare| rare.name.clone());
                assert_eq!(name.as_deref(), (at % 7 == 0).then(|| at.to_string()).as_deref(), "span {at}");
            }
            pile.clear(&mut spare);
            assert!(spare.blocks.iter().all(|block| block.spans.is_empty() && block.items.is_empty()));
        }
        let slots = slots(&segments);
        let expected = told(&slots);
        let mut pile = Pile::default();
        for slot in slots {
            pile.push(slot, &mut known, privacy, &mut spare);
        }
        assert_eq!(told(&pile.into_slots(&known)), expected);
    }
}
