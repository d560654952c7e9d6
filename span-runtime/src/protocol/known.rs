//! Texts of what is static in a program: the keys of attributes, and the names of spans.
//!
//! A program has some hundred of these and writes each of them millions of times. What is to be found out about one (how it is escaped,
//! whether it stands on every span already, whether its values are secrets) is found out once.
//!
//! Invariant: what is found by its address is `'static`, so that nothing else can ever have that address.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::span::{named, reserved};
use crate::attributes::{Key, Value};
use crate::names;
use crate::protocol::json;
use crate::record::{Attribute, Site};
use crate::scrub::{Privacy, Verdict};

/// With more than so many of a kind, it starts over: they come from memory that was leaked on purpose.
const MOST: usize = 4096;

/// A key, and what is known of it.
#[derive(Debug)]
pub(crate) struct KeyText {
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

    /// Appends the attribute with a comma behind it, unless it is not to be sent.
    fn write(&self, buffer: &mut Vec<u8>, value: &Value, privacy: Privacy<'_>) {
        if self.is_empty || self.reserved == Some(true) {
            return;
        }
        if let Some(value) = privacy.clean_by(self.verdict, value) {
            buffer.extend_from_slice(&self.text);
            json::typed(buffer, &value);
            buffer.push(b',');
        }
    }
}

/// What a call site, or a static name, writes into each of its spans.
#[derive(Debug)]
pub(crate) struct SiteText {
    /// The name as it may be sent, quoted.
    pub(crate) name: Box<[u8]>,
    /// The attribute `sentry.op` with a comma behind it, or nothing.
    pub(crate) op: Box<[u8]>,
    /// The attributes that are literals there, each with a comma behind it.
    pub(crate) literals: Box<[u8]>,
    /// Those of their keys that take the place of an attribute which stands on spans by itself.
    pub(crate) overridden: Box<[&'static str]>,
}

impl SiteText {
    fn new(site: Site, privacy: Privacy<'_>) -> Self {
        let (mut name, mut op) = (Vec::new(), Vec::new());
        json::string(&mut name, &privacy.clean_name(named(site.name()), false));
        if let Some(text) = site.op() {
            json::attribute(&mut op, names::OP, &Value::from_static(text));
            op.push(b',');
        }
        let (mut literals, mut overridden) = (Vec::new(), Vec::new());
        for (key, value) in site.call().into_iter().flat_map(|site| site.literals()) {
            let text = KeyText::new(key, privacy);
            text.write(&mut literals, &Value::from_static(value), privacy);
            if text.reserved == Some(false) {
                overridden.push(key);
            }
        }
        SiteText { name: name.into(), op: op.into(), literals: literals.into(), overridden: overridden.into() }
    }
}

/// An attribute that travelled with a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    key: &'a str,
    /// The key is `'static`.
    is_static: bool,
    value: &'a Value,
}

impl<'a> Given<'a> {
    pub(super) fn of(attribute: &'a Attribute) -> Self {
        Given { key: &attribute.key, is_static: matches!(attribute.key, Key::Borrowed(_)), value: &attribute.value }
    }

    pub(super) fn of_site(key: &'static str, value: &'a Value) -> Self {
        Given { key, is_static: true, value }
    }
}

/// What is known of the program's static texts. It belongs to one runtime: what is a secret is a matter of its options.
#[derive(Debug, Default)]
pub(crate) struct Known {
    keys: ByAddress<KeyText>,
    sites: ByAddress<SiteText>,
    /// Where the keys of the span at hand are, in their order.
    of_span: Vec<Place>,
    /// Those of its keys that are not static.
    passing: Vec<KeyText>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Static(usize),
    Passing(usize),
}

impl Known {
    /// Finds the keys of a span's attributes, and returns those that take the place of one that stands on spans by itself: almost always
    /// none, for which nothing is allocated.
    pub(super) fn look_up<'a>(
        &mut self,
        attributes: impl Iterator<Item = Given<'a>>,
        privacy: Privacy<'_>,
    ) -> Vec<&'a str> {
        let mut overridden = Vec::new();
        self.of_span.clear();
        self.passing.clear();
        self.keys.sweep();
        for Given { key, is_static, .. } in attributes {
            let make = || KeyText::new(key, privacy);
            let place = if is_static {
                Place::Static(self.keys.place((key.as_ptr().addr(), key.len()), make))
            } else {
                self.passing.push(make());
                Place::Passing(self.passing.len() - 1)
            };
            if self.at(place).is_some_and(|text| text.reserved == Some(false)) {
                overridden.push(key);
            }
            self.of_span.push(place);
        }
        overridden
    }

    fn at(&self, place: Place) -> Option<&KeyText> {
        match place {
            Place::Static(at) => self.keys.all.get(at),
            Place::Passing(at) => self.passing.get(at),
        }
    }

    /// Appends those attributes, each with a comma behind it.
    pub(super) fn write<'a>(
        &self,
        buffer: &mut Vec<u8>,
        attributes: impl Iterator<Item = Given<'a>>,
        privacy: Privacy<'_>,
    ) {
        for (attribute, &place) in attributes.zip(&self.of_span) {
            if let Some(key) = self.at(place) {
                key.write(buffer, attribute.value, privacy);
            }
        }
    }

    /// What a site writes; `None` is never returned.
    pub(super) fn site(&mut self, site: Site, privacy: Privacy<'_>) -> Option<&SiteText> {
        /// No name is as long, so that a call site is not taken for one.
        const NOT_A_NAME: usize = usize::MAX;
        let address = match site {
            Site::Call(site) => (std::ptr::from_ref(site).addr(), NOT_A_NAME),
            Site::Name(name) => (name.as_ptr().addr(), name.len()),
        };
        self.sites.sweep();
        let at = self.sites.place(address, || SiteText::new(site, privacy));
        self.sites.all.get(at)
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
    fn place(&mut self, address: (usize, usize), make: impl FnOnce() -> T) -> usize {
        let all = &mut self.all;
        *self.places.entry(address).or_insert_with(|| {
            all.push(make());
            all.len() - 1
        })
    }

    /// Forgets all if they are too many.
    fn sweep(&mut self) {
        if self.all.len() >= MOST {
            self.places.clear();
            self.all.clear();
        }
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::scrub::Scrubber;

    fn written(known: &mut Known, attributes: &[Attribute], privacy: Privacy<'_>) -> (String, usize) {
        let mut buffer = Vec::new();
        let overridden = known.look_up(attributes.iter().map(Given::of), privacy).len();
        known.write(&mut buffer, attributes.iter().map(Given::of), privacy);
        (String::from_utf8(buffer).expect("JSON is UTF-8"), overridden)
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
        let of = |owned: bool| -> Vec<Attribute> {
            let key = |key: &'static str| if owned { Cow::Owned(key.to_owned()) } else { Cow::Borrowed(key) };
            keys.map(|name| Attribute { key: key(name), value: Value::of("a=b") }).into()
        };
        let mut known = Known::default();
        let first = written(&mut known, &of(false), privacy);
        assert_eq!(
            first.0,
            concat!(
                r#""plain":{"type":"string","value":"a=b"},"a \"quoted\" one":{"type":"string","value":"a=b"},"#,
                r#""db.password":{"type":"string","value":"[Filtered]"},"sentry.release":{"type":"string","value":"a=b"},"#,
                r#""url.query":{"type":"string","value":"a=[Filtered]"},"#,
            )
        );
        assert_eq!(first.1, 1, "the release is replaced");
        assert_eq!(written(&mut known, &of(false), privacy), first, "the second time");
        assert_eq!(written(&mut known, &of(true), privacy), first, "keys that are not static");
    }

    // behaviour 45
    #[test]
    fn keys_that_are_leaked_again_and_again_do_not_fill_memory() {
        let privacy = Privacy { scrubber: None, personal: true };
        let mut known = Known::default();
        for at in 0..2 * MOST {
            let key: &'static str = Box::leak(format!("key {at}").into());
            let attribute = Attribute { key: Cow::Borrowed(key), value: Value::of(true) };
            let expected = format!("\"key {at}\":{{\"type\":\"boolean\",\"value\":true}},");
            assert_eq!(written(&mut known, &[attribute], privacy).0, expected);
            assert!(known.keys.all.len() <= MOST && known.keys.places.len() <= MOST);
        }
    }

    #[test]
    fn a_call_site_is_not_taken_for_a_name_at_its_address() {
        let privacy = Privacy { scrubber: None, personal: true };
        static SITE: crate::record::Callsite = crate::record::Callsite::new("site").op("db");
        let mut known = Known::default();
        let text = known.site(Site::Call(&SITE), privacy).expect("it is made");
        assert_eq!(
            (&*text.name, &*text.op),
            (&b"\"site\""[..], &br#""sentry.op":{"type":"string","value":"db"},"#[..])
        );
        let text = known.site(Site::Name("name"), privacy).expect("it is made");
        assert_eq!((&*text.name, &*text.op), (&b"\"name\""[..], &b""[..]));
        let text = known.site(Site::Name(""), privacy).expect("it is made");
        assert_eq!(&*text.name, b"\"(unnamed)\"");
    }
}
