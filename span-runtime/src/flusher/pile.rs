//! Spans as they wait for their envelope, packed.
//!
//! On its way from the thread that ended it a span takes a cache line, and each of its attributes another. That is what makes the way short;
//! but a span waits for up to seconds, and while the endpoint hangs for minutes. So here it takes 56 bytes, and each attribute 24
//! with its text, unless that is owned.
//!
//! # Invariants
//!
//! 1. `segments` begins with that of the first span; each stands before those of its spans that come next.
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

/// What share of the byte bound may be empty blocks, which are kept for the next piles: of 64 MiB one. Memory that was just given back costs
/// a page fault to get again.
const SPARE_SHARE: usize = 64;

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
    /// How many attributes it has, and below that a bit for `is_segment` and one for `error`.
    attributes_and_flags: u32,
}

const _: () = assert!(size_of::<Waiting>() <= 56, "a span is packed");

impl Waiting {
    fn new(record: SpanRecord) -> Self {
        // What its call site gives it becomes attributes as any others, in `push`.
        let SpanRecord { site, parent_id, end, start, span_id, thread, is_segment, error, by_site: _ } = record;
        let attributes_and_flags = u32::from(is_segment) << 1 | u32::from(error);
        Waiting { site, parent_id, end, start, span_id, thread, attributes_and_flags }
    }

    fn record(&self) -> SpanRecord {
        SpanRecord {
            site: self.site,
            parent_id: self.parent_id,
            end: self.end,
            start: self.start,
            span_id: self.span_id,
            thread: self.thread,
            is_segment: self.attributes_and_flags & 2 != 0,
            error: self.attributes_and_flags & 1 != 0,
            by_site: false,
        }
    }

    fn attributes(&self) -> usize {
        (self.attributes_and_flags >> 2) as usize
    }

    fn count_attribute(&mut self) {
        // A batch is full long before 2^30 of them.
        self.attributes_and_flags += 4;
    }
}

#[derive(Debug, Default)]
struct Block {
    spans: Vec<Waiting>,
    items: Vec<Packed>,
}

impl Block {
    fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Waiting>() + self.items.capacity() * size_of::<Packed>()
    }
}

/// Empty blocks.
#[derive(Debug)]
pub(super) struct Spare {
    blocks: Vec<Block>,
    /// How many it keeps.
    most: usize,
}

impl Spare {
    /// None yet, and never more than a small share of this bound.
    pub(super) fn within(limit: usize) -> Self {
        const BLOCK: usize = SPANS * size_of::<Waiting>() + ITEMS * size_of::<Packed>();
        Spare { blocks: Vec::new(), most: limit / SPARE_SHARE / BLOCK }
    }

    /// One for spans that have as many attributes as those of the block before.
    fn take(&mut self, before: &Block) -> Block {
        let items = before.items.len();
        self.blocks
            .pop()
            .unwrap_or_else(|| Block { spans: Vec::with_capacity(SPANS), items: Vec::with_capacity(items) })
    }

    /// Keeps the memory of a pile that was written.
    pub(super) fn keep(&mut self, pile: Pile) {
        for mut block in pile.blocks {
            // The last of a pile has no more room than it needed. One that took an immense span is not kept.
            let is_whole = block.spans.capacity() >= SPANS && block.items.capacity() <= 2 * ITEMS;
            if is_whole && self.blocks.len() < self.most {
                block.spans.clear();
                block.items.clear();
                self.blocks.push(block);
            }
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
    blocks: Vec<Block>,
    /// From which span on they are the one.
    segments: Vec<(usize, Arc<Segment>)>,
    /// What few spans have, by the number of the span.
    rare: Vec<(usize, Box<Rare>)>,
    spans: usize,
    /// Bytes of JSON that this is likely to become.
    json: usize,
    /// Bytes beyond those of the last block.
    bytes: usize,
    /// The call site of the last span, if it names that span's attributes, and how many of their values have come.
    site: Option<(&'static Callsite, usize)>,
}

impl Pile {
    /// Bytes of JSON that this is likely to become.
    pub(super) fn json(&self) -> usize {
        self.json
    }

    /// Bytes that it takes, with what its spans own.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.blocks.last().map_or(0, Block::bytes)
    }

    /// What is pushed next is of this segment.
    pub(super) fn turn_to(&mut self, segment: &Arc<Segment>) {
        if self.segments.last().is_none_or(|(_, last)| !Arc::ptr_eq(last, segment)) {
            self.bytes += size_of::<(usize, Arc<Segment>)>() + size_of::<Segment>();
            self.segments.push((self.spans, Arc::clone(segment)));
        }
    }

    /// Packs a slot.
    #[inline]
    pub(super) fn push(&mut self, slot: Slot, known: &mut Known, privacy: Privacy<'_>, spare: &mut Spare) {
        match slot {
            Slot::Segment(segment) => self.turn_to(&segment),
            Slot::Span(record) => {
                self.site = record.site.call().filter(|_| record.by_site).map(|site| (site, 0));
                self.push_span(record, spare);
                if let Some((site, _)) = self.site {
                    for (key, value) in site.literals() {
                        let attribute = Attribute { key: Key::Borrowed(key), value: Value::from_static(value) };
                        self.push_attribute(attribute, known, privacy);
                    }
                }
            }
            Slot::Values(values) => {
                for value in values {
                    if let (Some(key), Some(value)) = (self.next_key(), value) {
                        self.push_attribute(Attribute { key: Key::Borrowed(key), value }, known, privacy);
                    }
                }
            }
            Slot::Attribute(attribute) => self.push_attribute(attribute, known, privacy),
            Slot::Attributes(all) => {
                for attribute in all {
                    self.push_attribute(attribute, known, privacy);
                }
            }
            Slot::Rare(rare) => self.push_rare(rare),
        }
    }

    /// The key of the next value that the call site of the last span wants.
    fn next_key(&mut self) -> Option<&'static str> {
        let (site, values) = self.site.as_mut()?;
        *values += 1;
        site.keys().nth(*values - 1)
    }

    #[inline]
    fn push_span(&mut self, record: SpanRecord, spare: &mut Spare) {
        // The next span is likely to have no more attributes than there is still room for.
        let is_full = |block: &Block| block.spans.len() >= SPANS || block.items.len() > ITEMS - ITEMS / SPANS;
        match self.blocks.last() {
            Some(block) if !is_full(block) => {}
            Some(block) => {
                self.bytes += block.bytes() + size_of::<Block>();
                let next = spare.take(block);
                self.blocks.push(next);
            }
            // It grows with what comes, as most piles are small.
            None => self.blocks.push(Block::default()),
        }
        if let Some(block) = self.blocks.last_mut() {
            block.spans.push(Waiting::new(record));
            self.spans += 1;
            self.json += SPAN_JSON;
        }
    }

    #[inline]
    fn push_attribute(&mut self, attribute: Attribute, known: &mut Known, privacy: Privacy<'_>) {
        let Some(Block { spans, items }) = self.blocks.last_mut() else { return };
        let Some(span) = spans.last_mut() else { return };
        let packed = known.pack(attribute, privacy);
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

    /// Gives back the room that nothing is in, for when nothing more is likely to come.
    pub(super) fn settle(&mut self) {
        // The blocks before the last are as full as they get.
        if let Some(Block { spans, items }) = self.blocks.last_mut() {
            spans.shrink_to_fit();
            items.shrink_to_fit();
        }
    }

    /// The spans, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rare = self.rare.iter().peekable();
        let mut segments = self.segments.iter().peekable();
        let mut segment = None;
        let spans = self.blocks.iter().flat_map(|block| {
            let mut items = block.items.as_slice();
            block.spans.iter().map(move |span| {
                let (own, behind) = items.split_at(span.attributes().min(items.len()));
                items = behind;
                (span.record(), own)
            })
        });
        spans.enumerate().filter_map(move |(number, (record, attributes))| {
            while let Some((_, next)) = segments.next_if(|(from, _)| *from <= number) {
                segment = Some(next);
            }
            let rare = rare.next_if(|(of, _)| *of == number).map(|(_, rare)| &**rare);
            Some(Packet { segment: segment?, record, attributes, rare })
        })
    }

    /// The same as slots.
    pub(super) fn into_slots(mut self, known: &Known) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(self.spans + self.segments.len());
        let mut segments = mem::take(&mut self.segments).into_iter().peekable();
        let mut rare = mem::take(&mut self.rare).into_iter().peekable();
        let mut number = 0;
        for Block { spans, items } in self.blocks {
            let mut items = items.into_iter();
            for span in spans {
                while let Some((_, segment)) = segments.next_if(|(from, _)| *from <= number) {
                    slots.push(Slot::Segment(segment));
                }
                slots.push(Slot::Span(span.record()));
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
    use crate::attributes::Value;
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
            pile.settle();
            assert_eq!(pile.iter().count(), number);
            for ((at, packet), record) in pile.iter().enumerate().zip(&records) {
                assert_eq!(&format!("{:?}", packet.record), record);
                assert!(Arc::ptr_eq(packet.segment, &segments[at / (2 * SPANS - 1)]), "span {at}");
                assert_eq!(packet.attributes.len(), if at == 40 { 3 * ITEMS } else { at % 23 }, "span {at}");
                let name = packet.rare.and_then(|rare| rare.name.clone());
                assert_eq!(name.as_deref(), (at % 7 == 0).then(|| at.to_string()).as_deref(), "span {at}");
            }
            spare.keep(pile);
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
