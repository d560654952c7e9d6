//! Texts of what is static in a program: the keys of attributes, and the names of spans.
//!
//! A program has some hundred of these and writes each of them millions of times. What is to be found out about one (how it is escaped,
//! whether it stands on every span already, whether its values are secrets) is found out once.
//!
//! Invariant: what is found by its address is `'static`, so that nothing else can ever have that address.
#![expect(clippy::arithmetic_side_effects, reason = "lengths of what is in memory")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::span::{named, reserved};
use crate::attributes::{Key, Repr, Text, Value};
use crate::protocol::json;
use crate::record::{Attribute, Callsite};
use crate::scrub::{Privacy, Verdict};

/// No more than so many of a kind are known: beyond that they come from memory that was leaked on purpose.
const MOST: usize = 4096;

/// The longest text, in bytes, that is packed together with its key.
const SHORT: usize = 18;

/// An attribute as it waits: in the place of a static key its number.
#[derive(Debug)]
pub(crate) enum Packed {
    Bool(u32, bool),
    Integer(u32, i64),
    Double(u32, f64),
    Static(u32, &'static str),
    Short(u32, u8, [u8; SHORT]),
    Owned(u32, Box<str>),
    /// With a key that is not static, or a list.
    Other(Box<Attribute>),
}

const _: () = assert!(size_of::<Packed>() <= 24, "an attribute is packed");

impl Packed {
    #[inline]
    fn new(number: u32, value: Value) -> Result<Self, Value> {
        Ok(match value.0 {
            Repr::Bool(value) => Packed::Bool(number, value),
            Repr::Integer(value) => Packed::Integer(number, value),
            Repr::Double(value) => Packed::Double(number, value),
            Repr::Text(Text::Static(text)) => Packed::Static(number, text),
            Repr::Text(Text::Owned(text)) => Packed::Owned(number, text),
            Repr::Text(text @ Text::Inline { .. }) => {
                let text = text.as_str();
                let mut bytes = [0; SHORT];
                match bytes.get_mut(..text.len()) {
                    Some(room) => {
                        room.copy_from_slice(text.as_bytes());
                        // At most SHORT, which fits.
                        Packed::Short(number, text.len() as u8, bytes)
                    }
                    None => Packed::Owned(number, text.into()),
                }
            }
            Repr::List(_) => return Err(value),
        })
    }

    /// Bytes that it owns.
    #[inline]
    pub(crate) fn owned_bytes(&self) -> usize {
        match self {
            Packed::Owned(_, text) => text.len(),
            Packed::Other(attribute) => attribute.bytes(),
            _ => 0,
        }
    }
}

/// An attribute whose key has this number, if it has one.
#[inline]
fn pack(key: Key, number: Option<u32>, value: Value) -> Packed {
    let Some(number) = number else { return Packed::Other(Attribute { key, value }.into()) };
    Packed::new(number, value).unwrap_or_else(|value| Packed::Other(Attribute { key, value }.into()))
}

/// The text of the bytes of a short one, which were copied from a text, whole.
fn short(length: u8, bytes: &[u8; SHORT]) -> &str {
    bytes.get(..usize::from(length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A key, and what is known of it.
#[derive(Debug)]
struct KeyText {
    /// `"key":{"type":"`
    text: Box<[u8]>,
    /// Whether the key is one of those that stand on spans by themselves; true if it cannot be replaced.
    reserved: Option<bool>,
    verdict: Verdict,
    is_empty: bool,
}

impl KeyText {
    fn new(key: &str, privacy: Privacy<'_>) -> Self {
        let mut text = Vec::new();
        json::string(&mut text, key);
        text.extend_from_slice(br#":{"type":""#);
        KeyText { text: text.into(), reserved: reserved(key), verdict: privacy.judge(key), is_empty: key.is_empty() }
    }

    /// Appends the attribute as it may be sent, with a comma behind it.
    #[inline]
    fn write(&self, buffer: &mut Vec<u8>, packed: &Packed) {
        if self.is_empty || self.reserved == Some(true) || self.verdict == Verdict::LeftOut {
            return;
        }
        buffer.extend_from_slice(&self.text);
        match packed {
            // Whether there is one is no secret.
            Packed::Bool(_, true) => buffer.extend_from_slice(br#"boolean","value":true},"#),
            Packed::Bool(_, false) => buffer.extend_from_slice(br#"boolean","value":false},"#),
            Packed::Integer(..) | Packed::Double(..) if self.verdict == Verdict::Hidden => self.write_text(buffer, ""),
            Packed::Integer(_, number) => {
                buffer.extend_from_slice(br#"integer","value":"#);
                json::integer(buffer, *number);
                buffer.extend_from_slice(b"},");
            }
            Packed::Double(_, number) => {
                buffer.extend_from_slice(br#"double","value":"#);
                json::float(buffer, *number);
                buffer.extend_from_slice(b"},");
            }
            Packed::Static(_, text) => self.write_text(buffer, text),
            Packed::Short(_, length, bytes) => self.write_text(buffer, short(*length, bytes)),
            Packed::Owned(_, text) => self.write_text(buffer, text),
            // It has no key of this kind.
            Packed::Other(_) => {}
        }
    }

    #[inline]
    fn write_text(&self, buffer: &mut Vec<u8>, text: &str) {
        buffer.extend_from_slice(br#"string","value":"#);
        json::string(buffer, &self.verdict.clean(text));
        buffer.extend_from_slice(b"},");
    }
}

/// A call site that names the attributes of its spans.
#[derive(Debug)]
struct SiteText {
    /// The attributes whose values are literals, as they may be sent, each with a comma behind it.
    literals: Box<[u8]>,
    /// The keys of those that take the place of one that stands on spans by itself.
    replacing: Box<[&'static str]>,
    /// The keys of the others with their numbers, in the order in which the values come.
    keys: Box<[(&'static str, Option<u32>)]>,
}

/// What is known of the program's static texts. It belongs to one runtime: what is a secret is a matter of its options.
#[derive(Debug, Default)]
pub(crate) struct Known {
    keys: ByAddress<(&'static str, KeyText)>,
    names: ByAddress<Box<[u8]>>,
    sites: ByAddress<SiteText>,
}

impl Known {
    /// Packs an attribute.
    #[inline]
    pub(crate) fn pack(&mut self, attribute: Attribute, privacy: Privacy<'_>) -> Packed {
        let Attribute { key, value } = attribute;
        let number = match key {
            Key::Borrowed(key) => self.number(key, privacy),
            Key::Owned(_) => None,
        };
        pack(key, number, value)
    }

    /// The number of a key; `None` where there are too many.
    #[inline]
    fn number(&mut self, key: &'static str, privacy: Privacy<'_>) -> Option<u32> {
        let address = (key.as_ptr().addr(), key.len());
        // At most MOST, which fits.
        self.keys.place(address, || (key, KeyText::new(key, privacy))).map(|at| at as u32)
    }

    #[inline]
    fn key(&self, number: u32) -> Option<&(&'static str, KeyText)> {
        self.keys.all.get(number as usize)
    }

    /// The key of a packed attribute; or the attribute, if it is there as it was.
    #[inline]
    fn key_of<'a>(&'a self, packed: &'a Packed) -> Result<&'a (&'static str, KeyText), Option<&'a Attribute>> {
        match packed {
            Packed::Bool(number, _)
            | Packed::Integer(number, _)
            | Packed::Double(number, _)
            | Packed::Static(number, _)
            | Packed::Short(number, ..)
            | Packed::Owned(number, _) => self.key(*number).ok_or(None),
            Packed::Other(attribute) => Err(Some(attribute)),
        }
    }

    /// The attribute again; `None` is never returned.
    pub(crate) fn unpack(&self, packed: Packed) -> Option<Attribute> {
        let (number, value) = match packed {
            Packed::Other(attribute) => return Some(*attribute),
            Packed::Bool(number, value) => (number, Value(Repr::Bool(value))),
            Packed::Integer(number, value) => (number, Value(Repr::Integer(value))),
            Packed::Double(number, value) => (number, Value(Repr::Double(value))),
            Packed::Static(number, text) => (number, Value::from_static(text)),
            Packed::Short(number, length, bytes) => (number, Value::of(short(length, &bytes))),
            Packed::Owned(number, text) => (number, Value::of(text)),
        };
        self.key(number).map(|(key, _)| Attribute { key: Key::Borrowed(key), value })
    }

    /// How many bytes of JSON it is likely to become.
    #[inline]
    pub(crate) fn json_estimate(&self, packed: &Packed) -> usize {
        const AROUND: usize = 32;
        let value = match packed {
            Packed::Bool(..) | Packed::Integer(..) | Packed::Double(..) => 16,
            Packed::Static(_, text) => text.len(),
            Packed::Short(_, length, _) => usize::from(*length),
            Packed::Owned(_, text) => text.len(),
            Packed::Other(attribute) => attribute.key.len() + attribute.value.json_estimate(),
        };
        AROUND + value + self.key_of(packed).map_or(0, |(_, key)| key.text.len())
    }

    /// The keys of those attributes that take the place of one that stands on spans by itself: almost always none, for which nothing
    /// is allocated.
    pub(super) fn overridden<'a>(&'a self, attributes: &'a [Packed]) -> Vec<&'a str> {
        let replaced = |packed: &'a Packed| match self.key_of(packed) {
            Ok((key, text)) => (text.reserved == Some(false)).then_some(*key),
            Err(attribute) => Some(&*attribute?.key).filter(|key| reserved(key) == Some(false)),
        };
        attributes.iter().filter_map(replaced).collect()
    }

    /// Appends attributes as they may be sent, each with a comma behind it.
    pub(super) fn write(&self, buffer: &mut Vec<u8>, attributes: &[Packed], privacy: Privacy<'_>) {
        for packed in attributes {
            match self.key_of(packed) {
                Ok((_, text)) => text.write(buffer, packed),
                Err(Some(attribute)) => write_other(buffer, attribute, privacy),
                Err(None) => {}
            }
        }
    }

    /// Where a call site is known; `None` if it names no attributes. There are no more call sites than the program has code for.
    #[inline]
    pub(crate) fn site(&mut self, site: &'static Callsite, privacy: Privacy<'_>) -> Option<usize> {
        if !site.has_attributes() {
            return None;
        }
        let address = (std::ptr::from_ref(site).addr(), 0);
        Some(self.sites.find(address).unwrap_or_else(|| self.add_site(address, site, privacy)))
    }

    #[cold]
    fn add_site(&mut self, address: (usize, usize), site: &'static Callsite, privacy: Privacy<'_>) -> usize {
        let (mut literals, mut replacing) = (Vec::new(), Vec::new());
        for (key, value) in site.literals() {
            let text = KeyText::new(key, privacy);
            text.write(&mut literals, &Packed::Static(0, value));
            if text.reserved == Some(false) {
                replacing.push(key);
            }
        }
        let keys = site.keys().map(|key| (key, self.number(key, privacy))).collect();
        self.sites.add(address, SiteText { literals: literals.into(), replacing: replacing.into(), keys })
    }

    /// Packs a value that has the place `at` among those of this call site.
    #[inline]
    pub(crate) fn pack_value(&self, site: usize, at: usize, value: Value) -> Option<Packed> {
        let (key, number) = *self.sites.all.get(site)?.keys.get(at)?;
        Some(pack(Key::Borrowed(key), number, value))
    }

    /// The attributes of a call site whose values are literals, as they may be sent, each with a comma behind it; and the keys of those that
    /// take the place of others.
    #[inline]
    pub(crate) fn literals(&self, site: Option<usize>) -> (&[u8], &[&'static str]) {
        let known = site.and_then(|site| self.sites.all.get(site));
        known.map_or((&[], &[]), |SiteText { literals, replacing, .. }| (&**literals, &**replacing))
    }

    /// A static name as it may be sent, quoted; `None` where there are too many.
    pub(super) fn name(&mut self, name: &'static str, privacy: Privacy<'_>) -> Option<&[u8]> {
        let make = || {
            let mut text = Vec::new();
            json::string(&mut text, &privacy.clean_name(named(name), false));
            text.into()
        };
        let at = self.names.place((name.as_ptr().addr(), name.len()), make)?;
        self.names.all.get(at).map(|text| &**text)
    }
}

/// Appends an attribute that nothing is known of.
fn write_other(buffer: &mut Vec<u8>, attribute: &Attribute, privacy: Privacy<'_>) {
    let Attribute { key, value } = attribute;
    if !key.is_empty() && reserved(key) != Some(true) {
        if let Some(value) = privacy.clean(key, value) {
            json::attribute(buffer, key, &value);
            buffer.push(b',');
        }
    }
}

/// Things by the address and the length of what they belong to.
#[derive(Debug)]
struct ByAddress<T> {
    places: HashMap<(usize, usize), usize, BuildHasherDefault<AddressHasher>>,
    all: Vec<T>,
}

impl<T> Default for ByAddress<T> {
    fn default() -> Self {
        ByAddress { places: HashMap::default(), all: Vec::new() }
    }
}

impl<T> ByAddress<T> {
    /// Where it is in `all`; `None` if it is not there, and there are too many to add it.
    fn place(&mut self, address: (usize, usize), make: impl FnOnce() -> T) -> Option<usize> {
        match self.find(address) {
            None if self.all.len() < MOST => Some(self.add(address, make())),
            found => found,
        }
    }

    #[inline]
    fn find(&self, address: (usize, usize)) -> Option<usize> {
        self.places.get(&address).copied()
    }

    #[cold]
    fn add(&mut self, address: (usize, usize), thing: T) -> usize {
        let place = self.all.len();
        self.all.push(thing);
        self.places.insert(address, place);
        place
    }
}

/// Addresses are spread well by one multiplication, and nobody outside of the program chooses them.
#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = (self.0.rotate_left(5) ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The high bits are the good ones, and the map takes the low ones.
        self.0.rotate_left(26)
    }
}

impl Value {
    /// How many bytes of JSON it is likely to become.
    fn json_estimate(&self) -> usize {
        16 + self.as_str().map_or(self.owned_bytes() * 2, str::len)
    }
}

impl Attribute {
    /// Bytes that it takes by itself, with what it owns.
    pub(crate) fn bytes(&self) -> usize {
        let key = match &self.key {
            Key::Borrowed(_) => 0,
            Key::Owned(key) => key.capacity(),
        };
        size_of::<Attribute>() + key + self.value.owned_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::scrub::Scrubber;

    fn packed(known: &mut Known, attributes: &[Attribute], privacy: Privacy<'_>) -> Vec<Packed> {
        attributes.iter().cloned().map(|attribute| known.pack(attribute, privacy)).collect()
    }

    fn written(known: &mut Known, attributes: &[Attribute], privacy: Privacy<'_>) -> (String, usize) {
        let packed = packed(known, attributes, privacy);
        let mut buffer = Vec::new();
        known.write(&mut buffer, &packed, privacy);
        (String::from_utf8(buffer).expect("JSON is UTF-8"), known.overridden(&packed).len())
    }

    fn key(key: &'static str, is_static: bool) -> Key {
        if is_static { Cow::Borrowed(key) } else { Cow::Owned(key.to_owned()) }
    }

    // behaviours 37, 39
    #[test]
    fn a_key_is_the_same_to_it_whether_it_is_static_or_not_and_the_second_time() {
        let scrubber = Scrubber::new();
        let privacy = Privacy { scrubber: Some(&scrubber), personal: false };
        let keys = [
            "plain",
            "a \"quoted\" one",
            "",
            "user.email",
            "db.password",
            "sentry.sdk.name",
            "sentry.release",
            "url.query",
        ];
        let of = |is_static| keys.map(|name| Attribute { key: key(name, is_static), value: Value::of("a=b") });
        let mut known = Known::default();
        let first = written(&mut known, &of(true), privacy);
        assert_eq!(
            first.0,
            concat!(
                r#""plain":{"type":"string","value":"a=b"},"a \"quoted\" one":{"type":"string","value":"a=b"},"#,
                r#""db.password":{"type":"string","value":"[Filtered]"},"sentry.release":{"type":"string","value":"a=b"},"#,
                r#""url.query":{"type":"string","value":"a=[Filtered]"},"#,
            )
        );
        assert_eq!(first.1, 1, "the release is replaced");
        assert_eq!(written(&mut known, &of(true), privacy), first, "the second time");
        assert_eq!(written(&mut known, &of(false), privacy), first, "keys that are not static");
    }

    // behaviours 14, 37
    #[test]
    fn what_is_packed_is_what_it_was() {
        let scrubber = Scrubber::new();
        let values = [
            Value::of(true),
            Value::of(false),
            Value::of(-7),
            Value::of(i64::MIN),
            Value::of(0.25),
            Value::from_static("static, \"quoted\", https://a:b@c"),
            Value::of(""),
            Value::of("é".repeat(SHORT / 2)),
            Value::of("é".repeat(SHORT / 2 + 1)),
            Value::of("x".repeat(22)),
            Value::of("owned, \n https://a:b@c".repeat(4)),
            Value::of([1, 2]),
            Value::of(["a", "https://a:b@c"]),
        ];
        for scrubber in [None, Some(&scrubber)] {
            let privacy = Privacy { scrubber, personal: true };
            for (name, is_static) in [("key", true), ("key", false), ("password", true), ("url.full", true)] {
                let attributes = values.clone().map(|value| Attribute { key: key(name, is_static), value });
                let mut expected = Vec::new();
                for attribute in &attributes {
                    write_other(&mut expected, attribute, privacy);
                }
                let mut known = Known::default();
                let expected = String::from_utf8(expected).expect("JSON is UTF-8");
                assert_eq!(written(&mut known, &attributes, privacy).0, expected, "{name} {is_static}");
                let packed = packed(&mut known, &attributes, privacy);
                let unpacked: Vec<Attribute> = packed.into_iter().filter_map(|packed| known.unpack(packed)).collect();
                assert_eq!(unpacked, attributes);
            }
        }
    }

    // behaviour 45
    #[test]
    fn keys_that_are_leaked_again_and_again_do_not_fill_memory() {
        let privacy = Privacy { scrubber: None, personal: true };
        let mut known = Known::default();
        for at in 0..MOST + 100 {
            let leaked: &'static str = Box::leak(format!("key {at}").into());
            let attribute = Attribute { key: Cow::Borrowed(leaked), value: Value::of(true) };
            let expected = format!("\"key {at}\":{{\"type\":\"boolean\",\"value\":true}},");
            assert_eq!(written(&mut known, &[attribute], privacy).0, expected);
            assert!(known.keys.all.len() <= MOST && known.keys.places.len() <= MOST);
        }
    }

    // behaviour 38
    #[test]
    fn names() {
        let scrubber = Scrubber::new();
        let privacy = Privacy { scrubber: Some(&scrubber), personal: true };
        let mut known = Known::default();
        for _ in 0..2 {
            for (name, expected) in
                [("a \"b\"", "\"a \\\"b\\\"\""), ("", "\"(unnamed)\""), ("GET a://b?c", "\"GET a://b?[Filtered]\"")]
            {
                assert_eq!(known.name(name, privacy), Some(expected.as_bytes()));
            }
        }
    }
}
