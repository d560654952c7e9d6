//! The finished span as it travels from the thread that ended it to the flusher.
//!
//! What is handed over is a sequence of [`Slot`]s of 56 bytes each. A span is one slot, each of its attributes one
//! more, right behind it. Of the attributes of a macro even less travels: their keys, and values that are literals, are known to the call
//! site, and of the values two share a slot. What all spans of a segment share is not in them: a slot that names the segment goes
//! ahead of the first span of it in each chunk, so that a span costs no reference count.
//!
//! Invariant: in the order of a chunk, every span follows a [`Slot::Segment`] with nothing but slots of that segment
//! between; and the slots that belong to a span follow it directly.
#![expect(clippy::arithmetic_side_effects, reason = "lengths of what is in memory")]

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;
use std::time::SystemTime;

use crate::attributes::{Key, Value};
use crate::clock::Reading;
use crate::ids::SpanId;
use crate::link::Link;
use crate::segment::Segment;

/// The most attributes that travel side by side. A span with more puts all of them on the heap.
pub(crate) const MOST_SIDE_BY_SIDE: usize = 24;

#[derive(Debug)]
pub(crate) enum Slot {
    /// What follows belongs to this segment.
    Segment(Arc<Segment>),
    /// A finished span.
    Span(SpanRecord),
    /// Values of the attributes that the call site of the span before names, in its order; there are as many as it wants.
    Values([Option<Value>; 2]),
    /// An attribute of the span before.
    Attribute(Attribute),
    /// All attributes of the span before.
    Attributes(Box<[Attribute]>),
    /// What few spans have, of the span before.
    Rare(Box<Rare>),
}

impl Slot {
    /// Bytes that belong to the span and are on the heap.
    pub(crate) fn heap(&self) -> usize {
        match self {
            Slot::Segment(_) | Slot::Span(_) => 0,
            Slot::Values(values) => values.iter().flatten().map(Value::owned_bytes).sum(),
            Slot::Attribute(one) => one.heap(),
            Slot::Attributes(all) => Attribute::heap_of_list(all),
            Slot::Rare(rare) => rare.heap(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) key: Key,
    pub(crate) value: Value,
}

impl Attribute {
    /// Whether it owns nothing beside itself: key and value are static, numbers, or short.
    #[inline(always)]
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.key, Cow::Borrowed(_)) && self.value.is_inline()
    }

    /// Bytes on the heap.
    #[inline(never)]
    pub(crate) fn heap(&self) -> usize {
        let key = match &self.key {
            Cow::Borrowed(_) => 0,
            Cow::Owned(key) => key.capacity(),
        };
        key + self.value.owned_bytes()
    }

    /// Bytes of a list that is itself on the heap.
    pub(crate) fn heap_of_list(all: &[Attribute]) -> usize {
        size_of_val(all) + all.iter().map(Attribute::heap).sum::<usize>()
    }
}

/// The part that every span has.
///
/// The order of the fields is not that of [`OpenSpan`](crate::open::OpenSpan)'s on purpose: where two neighbours of one were
/// neighbours in the other, the compiler would copy them with one wide load, which waits for the two
/// narrow stores that wrote them a moment ago.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SpanRecord {
    pub(crate) site: Site,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) end: Reading,
    pub(crate) start: Reading,
    pub(crate) span_id: SpanId,
    pub(crate) is_segment: bool,
    pub(crate) error: bool,
    /// It has the attributes that its call site names; else those that it has travel with their keys.
    pub(crate) by_site: bool,
    /// The number under which the runtime knows the thread that started the span. Last, so that what tells slots apart stands right
    /// behind the 48 bytes of two values: these are copied by three wide moves, and nothing in between is.
    pub(crate) thread: u32,
}

impl SpanRecord {
    /// The call site, if the span has the attributes that it names.
    #[inline]
    pub(crate) fn given_by(&self) -> Option<&'static Callsite> {
        self.site.call().filter(|_| self.by_site)
    }
}

/// What few spans have: a name that was made or changed at run time, links, times that the caller gave.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rare {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) links: Vec<Link>,
    pub(crate) start: Option<SystemTime>,
    pub(crate) end: Option<SystemTime>,
    /// Where the name comes from, should the span become a segment.
    pub(crate) source: Option<&'static str>,
}

impl Rare {
    /// Bytes on the heap, with its own.
    pub(crate) fn heap(&self) -> usize {
        let link = |link: &Link| size_of_val(link) + link.attributes.iter().map(Attribute::heap).sum::<usize>();
        size_of::<Rare>() + self.name.as_ref().map_or(0, |name| name.len()) + self.links.iter().map(link).sum::<usize>()
    }
}

/// Where a span comes from: a macro's call site, or a static name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Site {
    Call(&'static Callsite),
    Name(&'static str),
}

impl Site {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Site::Call(site) => site.name,
            Site::Name(name) => name,
        }
    }

    /// The call site, if it is one.
    pub(crate) fn call(self) -> Option<&'static Callsite> {
        match self {
            Site::Call(site) => Some(site),
            Site::Name(_) => None,
        }
    }

    pub(crate) fn op(self) -> Option<&'static str> {
        match self {
            Site::Call(site) => site.op,
            Site::Name(_) => None,
        }
    }

    /// Where in the source it is, if a macro knows it.
    #[cfg(feature = "legacy")]
    pub(crate) fn location(self) -> Option<&'static Location<'static>> {
        match self {
            Site::Call(site) => Some(site.location),
            Site::Name(_) => None,
        }
    }

    pub(crate) fn source(self) -> Option<&'static str> {
        match self {
            Site::Call(site) => site.source,
            Site::Name(_) => None,
        }
    }
}

/// What a macro knows of its span when the program is built. One static each, made by the macros.
#[derive(Debug)]
pub struct Callsite {
    name: &'static str,
    op: Option<&'static str>,
    source: Option<&'static str>,
    attributes: &'static [(&'static str, Option<&'static str>)],
    /// How many of them have a value that is made at run time.
    values: usize,
    #[cfg_attr(not(feature = "legacy"), expect(dead_code, reason = "only a mix of lifecycles is told by its place"))]
    location: &'static Location<'static>,
}

impl Callsite {
    /// A call site whose spans have this name.
    #[track_caller]
    pub const fn new(name: &'static str) -> Self {
        Callsite { name, op: None, source: None, attributes: &[], values: 0, location: Location::caller() }
    }

    /// Spans from here have these attributes: each key with its value if that is a literal; the others are handed over at each start, in
    /// this order.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "below the length; and run by the compiler only, which would find it")]
    pub const fn attributes(mut self, attributes: &'static [(&'static str, Option<&'static str>)]) -> Self {
        self.attributes = attributes;
        let mut at = 0;
        while at < attributes.len() {
            if attributes[at].1.is_none() {
                self.values += 1;
            }
            at += 1;
        }
        self
    }

    /// The name.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Where the name of a segment comes from, if it says so.
    pub(crate) const fn name_source(&self) -> Option<&'static str> {
        self.source
    }

    /// How many values are handed over.
    #[inline(always)]
    pub(crate) const fn values(&self) -> usize {
        self.values
    }

    /// Whether it names attributes.
    #[inline]
    pub(crate) const fn has_attributes(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// Those attributes whose value is a literal.
    pub(crate) fn literals(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        self.attributes.iter().filter_map(|&(key, value)| Some((key, value?)))
    }

    /// The keys of the others.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.attributes.iter().filter(|(_, value)| value.is_none()).map(|&(key, _)| key)
    }

    /// All attributes of a span from here, of which these are the values.
    pub(crate) fn all(&self, values: impl IntoIterator<Item = Option<Value>>) -> impl Iterator<Item = Attribute> {
        let mut values = values.into_iter();
        self.attributes.iter().filter_map(move |&(key, literal)| {
            let value = match literal {
                Some(text) => Some(Value::from_static(text)),
                None => values.next().flatten(),
            };
            Some(Attribute { key: Key::Borrowed(key), value: value? })
        })
    }

    /// Spans from here have this `sentry.op`.
    #[must_use]
    pub const fn op(mut self, op: &'static str) -> Self {
        self.op = Some(op);
        self
    }

    /// Where the name of a segment from here comes from.
    #[must_use]
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }
}

/// The most values that stand beside a span on the stack.
pub(crate) const MOST_VALUES: usize = 8;

/// What the call site of a span on the stack says of its attributes, with their values, as long as nobody has asked for them or changed
/// them: then they become part of the span's [`Details`].
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) by_site: bool,
    /// Whether a value has something on the heap. Only where there are values.
    pub(crate) owns: bool,
    /// Two by two, as they travel.
    pub(crate) values: [[Option<Value>; 2]; MOST_VALUES / 2],
}

impl Given {
    /// Bytes that the values have on the heap. Most have none.
    #[inline(always)]
    pub(crate) fn heap(&self) -> usize {
        if self.owns { self.owned() } else { 0 }
    }

    #[cold]
    fn owned(&self) -> usize {
        self.values.as_flattened().iter().flatten().map(Value::owned_bytes).sum()
    }

    /// Moves what is here to the others.
    #[inline]
    pub(crate) fn join(&mut self, site: Site, details: &mut Details) {
        if self.by_site {
            self.join_others(site, details);
        }
    }

    #[cold]
    fn join_others(&mut self, site: Site, details: &mut Details) {
        self.by_site = false;
        if let Site::Call(site) = site {
            details.attributes.extend(site.all(self.values.as_flattened_mut().iter_mut().map(Option::take)));
        }
    }
}

/// So many attributes have room at once in a list that has no memory yet. Those of a request would otherwise move twice.
const USUAL_ATTRIBUTES: usize = 8;

/// What can change about a span while it is open.
#[derive(Debug, Default, Clone)]
pub(crate) struct Details {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) error: bool,
    pub(crate) rare: Option<Box<Rare>>,
}

impl Details {
    pub(crate) const NONE: Details = Details { attributes: Vec::new(), error: false, rare: None };

    /// Whether there is nothing to it.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.attributes.is_empty() && !self.error && self.rare.is_none()
    }

    pub(crate) fn set(&mut self, key: Key, value: Value) {
        match self.attributes.iter_mut().find(|attribute| attribute.key == key) {
            Some(attribute) => attribute.value = value,
            None => {
                if self.attributes.capacity() == 0 {
                    self.attributes.reserve(USUAL_ATTRIBUTES);
                }
                self.attributes.push(Attribute { key, value });
            }
        }
    }

    /// Sets an attribute whose key is not there yet.
    #[inline]
    pub(crate) fn add(&mut self, key: &'static str, value: Value) {
        debug_assert!(self.get(key).is_none(), "{key} is there already");
        self.attributes.push(Attribute { key: Key::Borrowed(key), value });
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.attributes.retain(|attribute| attribute.key != key);
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn source(&self) -> Option<&'static str> {
        self.rare.as_ref()?.source
    }

    pub(crate) fn name(&self) -> Option<&Cow<'static, str>> {
        self.rare.as_ref()?.name.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_fits_into_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 56);
    }
}
