//! The header `baggage`. (Baggage, W3C; dynamic sampling context, Sentry's SDK documents)
//!
//! # Invariants
//!
//! 1. A header is read as a whole or not at all. Only its length is cut, at a member, before anything is read.
//! 2. What came is what is written: members keep their order, and a value its very characters.
#![expect(clippy::arithmetic_side_effects, reason = "positions in texts, and lengths of texts, that are in memory")]

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A header is cut at the last member that ends within this many bytes. (Baggage, W3C, section 3.3.2)
pub(crate) const MOST_BYTES: usize = 8192;

/// And after this many members.
pub(crate) const MOST_MEMBERS: usize = 64;

/// What the members of the sampling context begin with.
const PREFIX: &str = "sentry-";

/// What is written as `%xx`: all but the characters that no standard reserves.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A `baggage` header: Sentry's members, which are a trace's sampling context, and those of others.
///
/// ```
/// use span_runtime::propagation::Baggage;
///
/// let baggage = Baggage::parse("tenant=7;secret, sentry-release=shop%401.4, sentry-a-b=1").unwrap();
/// assert_eq!(baggage.get("release"), Some("shop@1.4"));
/// assert_eq!(baggage.get("a-b"), Some("1"));
/// assert_eq!(baggage.others().collect::<Vec<_>>(), ["tenant=7;secret"]);
/// assert_eq!(baggage.to_string(), "sentry-release=shop%401.4,sentry-a-b=1,tenant=7;secret");
/// ```
#[derive(Clone, Default)]
pub struct Baggage {
    /// Sentry's members as they stand in a header, and behind each the key and the value, decoded, if they are encoded there.
    text: String,
    sentry: Vec<Member>,
    others: Vec<String>,
}

/// One of Sentry's members, by where its parts are in the text of all.
#[derive(Debug, Clone)]
struct Member {
    /// As it stands in a header, with the prefix.
    whole: Range<usize>,
    /// Without the prefix.
    key: Range<usize>,
    value: Range<usize>,
}

/// So many members have room at once: a context that an SDK made has no more.
const USUAL_MEMBERS: usize = 10;

impl Baggage {
    /// Reads a header. `None` if it is malformed: a member without a `=` or a key, a control character, or one of Sentry's members
    /// that stands there twice with different values or is not percent-encoded UTF-8. Empty members are let be.
    ///
    /// What is beyond 8192 bytes or 64 members is cut off before, at a member.
    pub fn parse(text: &str) -> Option<Self> {
        // A comma is one byte, so that the cut is between two characters.
        let text = text.get(..within_bounds(text.as_bytes()))?;
        let has = Has::of(text);
        let mut baggage = Baggage::default();
        let members = text.split(',').map(trimmed).filter(|member| !member.is_empty());
        for member in members.take(MOST_MEMBERS) {
            if has.controls && member.chars().any(|character| character.is_control() && character != '\t') {
                return None;
            }
            let sign = member.bytes().position(|byte| byte == b'=')?;
            let key = trimmed_end(member.get(..sign)?);
            if key.is_empty() {
                return None;
            }
            match key.strip_prefix(PREFIX) {
                Some(key) => {
                    if baggage.sentry.is_empty() {
                        baggage.make_room(text.len());
                    }
                    baggage.take(member, key, sign, &has)?;
                }
                None => baggage.others.push(member.into()),
            }
        }
        if baggage.text.len() < baggage.text.capacity() / 2 {
            // Most of the header was not Sentry's, and a trace has this for as long as it lives.
            baggage.text.shrink_to_fit();
        }
        Some(baggage)
    }

    /// Makes room for the first of Sentry's members in a header of so many bytes, and for those behind it.
    fn make_room(&mut self, bytes: usize) {
        // What is decoded is shorter than what it is decoded from, and little of a header is encoded.
        self.text = String::with_capacity(bytes + bytes / 4);
        self.sentry = Vec::with_capacity(USUAL_MEMBERS);
    }

    /// Takes over one of Sentry's members, with its key behind the prefix, and where its `=` is.
    fn take(&mut self, member: &str, key: &str, sign: usize, has: &Has) -> Option<()> {
        let whole = self.append(member);
        let behind = member.get(sign + 1..)?;
        let key_start = whole.start + PREFIX.len();
        let value_start = whole.end - trimmed_start(behind).len();
        // Properties belong to the member and are no part of the value.
        let value = if has.semicolons { behind.split(';').next()? } else { behind };
        let value = trimmed(value);
        let (key, value) = if has.percents && member.contains('%') {
            (self.decoded(key_start, key)?, self.decoded(value_start, value)?)
        } else {
            (key_start..key_start + key.len(), value_start..value_start + value.len())
        };
        if key.is_empty() {
            return None;
        }
        match self.get(self.part(&key)) {
            None => self.sentry.push(Member { whole, key, value }),
            Some(there) if there == self.part(&value) => self.text.truncate(whole.start),
            Some(_) => return None,
        }
        Some(())
    }

    /// Where a part is that stands in the text from there on, decoded. `None` if it cannot be.
    fn decoded(&mut self, start: usize, part: &str) -> Option<Range<usize>> {
        match decode(part)? {
            Cow::Borrowed(part) => Some(start..start + part.len()),
            Cow::Owned(part) => Some(self.append(&part)),
        }
    }

    fn append(&mut self, part: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(part);
        start..self.text.len()
    }

    /// Appends a part, encoded, and says where it stands as it was, if nothing had to be encoded.
    fn append_encoded(&mut self, part: &str) -> Option<Range<usize>> {
        let start = self.text.len();
        self.text.extend(utf8_percent_encode(part, ENCODED));
        (self.text.len() - start == part.len()).then_some(start..self.text.len())
    }

    fn part(&self, part: &Range<usize>) -> &str {
        self.text.get(part.clone()).unwrap_or_default()
    }

    /// The value of one of Sentry's members, by its key without the prefix.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.sentry.iter().find(|member| self.part(&member.key) == key).map(|member| self.part(&member.value))
    }

    /// Sentry's members, without the prefix and decoded: a trace's dynamic sampling context.
    pub fn sampling_context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sentry.iter().map(|member| (self.part(&member.key), self.part(&member.value)))
    }

    /// The members of others, as they came.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(String::as_str)
    }

    /// All members as they stand in a header, Sentry's first.
    fn members(&self) -> impl Iterator<Item = &str> {
        self.sentry.iter().map(|member| self.part(&member.whole)).chain(self.others())
    }

    /// Whether there is nothing of Sentry's in it.
    pub(crate) fn is_foreign(&self) -> bool {
        self.sentry.is_empty()
    }

    /// Sets one of Sentry's members, in the place of the one with the same key.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(PREFIX);
        let encoded_key = self.append_encoded(key);
        self.text.push('=');
        let encoded_value = self.append_encoded(value);
        let whole = start..self.text.len();
        let place = self.sentry.iter().position(|there| self.part(&there.key) == key);
        let key_part = encoded_key.unwrap_or_else(|| self.append(key));
        let value_part = encoded_value.unwrap_or_else(|| self.append(value));
        let member = Member { whole, key: key_part, value: value_part };
        match place.and_then(|place| self.sentry.get_mut(place)) {
            Some(there) => *there = member,
            None => self.sentry.push(member),
        }
    }

    /// Leaves what others added to the header out.
    pub(crate) fn without_others(mut self) -> Self {
        self.others = Vec::new();
        self
    }

    /// Takes over the members of others from another header.
    pub(crate) fn take_others(&mut self, from: Baggage) {
        self.others = from.others;
    }
}

/// How many of a header's bytes are to be read: those up to the last member that ends within the bound.
pub(crate) fn within_bounds(text: &[u8]) -> usize {
    if text.len() <= MOST_BYTES {
        return text.len();
    }
    // A member that ends right at the bound has its comma behind it.
    text.get(..=MOST_BYTES).and_then(|text| text.iter().rposition(|&byte| byte == b',')).unwrap_or(0)
}

/// What of a header has to be looked for in its members, because it is somewhere. Most have little of it.
struct Has {
    /// Control characters, or such as could be some.
    controls: bool,
    semicolons: bool,
    percents: bool,
}

impl Has {
    fn of(text: &str) -> Self {
        Has {
            controls: any(text, |byte| !matches!(byte, b' '..=b'~')),
            semicolons: any(text, |byte| byte == b';'),
            percents: any(text, |byte| byte == b'%'),
        }
    }
}

/// Whether a text has such a byte. Without a branch, so that the compiler takes many at a time.
fn any(text: &str, is_one: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |any, byte| any | is_one(byte))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed_start(text: &str) -> &str {
    let start = text.bytes().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

fn trimmed_end(text: &str) -> &str {
    let end = text.bytes().rposition(|byte| !is_blank(byte)).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

fn trimmed(text: &str) -> &str {
    trimmed_end(trimmed_start(text))
}

impl PartialEq for Baggage {
    /// Whether both say the same in the same words.
    fn eq(&self, other: &Self) -> bool {
        self.sentry.len() == other.sentry.len() && self.members().eq(other.members())
    }
}

impl Eq for Baggage {}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members()).finish()
    }
}

impl fmt::Display for Baggage {
    /// As a header, Sentry's members first, within the bounds: what does not fit is left out from the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut length = 0;
        for (at, member) in self.members().take(MOST_MEMBERS).enumerate() {
            let comma = usize::from(at > 0);
            length += comma + member.len();
            if length > MOST_BYTES {
                break;
            }
            f.write_str(if comma > 0 { "," } else { "" })?;
            f.write_str(member)?;
        }
        Ok(())
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Baggage {
    /// A sampling context of these keys and values. An empty key, which no header can have, is left out.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let mut baggage = Baggage::default();
        for (key, value) in members {
            if !key.as_ref().is_empty() {
                baggage.set(key.as_ref(), value.as_ref());
            }
        }
        baggage
    }
}

/// Undoes percent-encoding. `None` if it is none, or none of UTF-8. What is not encoded is borrowed.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let mut rest = text.as_bytes();
    if !rest.contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = rest.get(at + 3..)?;
    }
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Baggage {
        Baggage::parse(text).unwrap_or_else(|| panic!("it is well formed: {text:.100}"))
    }

    // behaviours 28, 30
    #[test]
    fn what_came_is_what_is_written() {
        let text = "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-a-b=%C3%A9%20/,sentry-x=a=b;p=1";
        assert_eq!(read(text).to_string(), text);
        let baggage = read(text);
        assert_eq!((baggage.get("a-b"), baggage.get("x"), baggage.get("y")), (Some("é /"), Some("a=b"), None));
        let mixed = read(" other = a b ; p ,, sentry-x=1\t,third=%zz,");
        assert_eq!(mixed.to_string(), "sentry-x=1,other = a b ; p,third=%zz");
        assert_eq!(mixed.without_others().to_string(), "sentry-x=1");
        assert_eq!(read("sentry-x=1,sentry-x=%31").to_string(), "sentry-x=1", "twice the same is once");
        assert_eq!(read("").to_string(), "");
    }

    // behaviour 29
    #[test]
    fn what_is_malformed_is_nothing() {
        let malformed = [
            "a",
            "=1",
            " =1",
            "sentry-x=1,a",
            "sentry-x=%",
            "sentry-x=%1",
            "sentry-x=%1g",
            "sentry-x=%+1",
            "sentry-x=%ff",
            "sentry-%zz=1",
            "sentry-=1",
            "sentry-x=1,sentry-x=2",
            "a=1\r\nx-evil: 1",
            "sentry-x=\u{7f}",
            "a=\0",
        ];
        for text in malformed {
            assert_eq!(Baggage::parse(text), None, "{text:?}");
        }
    }

    // behaviour 29
    #[test]
    fn a_long_header_is_cut_at_a_member() {
        let long = format!("sentry-a=1,x={},sentry-b=2", "é".repeat(4200));
        assert_eq!(read(&long).to_string(), "sentry-a=1");
        let one = format!("x={}", "y".repeat(1 << 20));
        assert_eq!(read(&one), Baggage::default());
        // Right at the bound, and one beyond it.
        let exactly = format!("sentry-a=1,x={}", "y".repeat(MOST_BYTES - 13));
        assert_eq!((exactly.len(), read(&exactly).others().count()), (MOST_BYTES, 1));
        assert_eq!(read(&format!("{exactly},z=1")).others().count(), 1);
        assert_eq!(read(&format!("{exactly}y,z=1")).others().count(), 0);
        let many: Vec<String> = (0..100).map(|at| format!("sentry-k{at}={at}")).collect();
        assert_eq!(read(&many.join(",")).sampling_context().count(), MOST_MEMBERS);
        assert_eq!(read(&", ".repeat(5000)), Baggage::default());
    }

    // behaviour 29
    #[test]
    fn what_is_written_keeps_to_the_bounds() {
        let mut baggage: Baggage = [("release", "é".repeat(1000)), ("x", "1".into())].into_iter().collect();
        baggage
            .take_others(read(&(0..100).map(|at| format!("k{at}={}", "v".repeat(40))).collect::<Vec<_>>().join(",")));
        let text = baggage.to_string();
        assert!(text.len() <= MOST_BYTES && text.contains("sentry-x=1"));
        assert!(!read(&text).is_foreign());
    }

    // behaviour 29
    #[test]
    fn control_characters_are_malformed_wherever_a_member_is_read() {
        for control in ['\0', '\n', '\r', '\x0b', '\x1f', '\x7f', '\u{80}', '\u{85}', '\u{9f}'] {
            for text in
                ["a={}", "{}=1", "a=1{}", "a=1,{}", "a=1,{},", "sentry-x={}", "sentry-{}=1", "sentry-x=1;p={}", "é={}"]
            {
                let text = text.replace("{}", &control.to_string());
                assert_eq!(Baggage::parse(&text), None, "{text:?}");
            }
        }
        // A tabulator is a blank, and what looks like a control character to those who look at bytes is none.
        for text in ["a=1\t2", "sentry-x=1\t2", "sentry-x=\u{a0}", "a=\u{2085}\u{7f9f}", "sentry-x=é"] {
            assert_eq!(read(text).to_string(), text);
        }
        assert_eq!(read("sentry-x=%00%0a").get("x"), Some("\0\n"), "encoded it does no harm");
    }

    // behaviour 29
    #[test]
    fn what_is_beyond_the_bounds_is_not_looked_at() {
        let most = (0..MOST_MEMBERS).map(|at| format!("sentry-k{at}={at}, ,")).collect::<String>();
        for beyond in ["malformed", "a=\n", "sentry-x=%", "sentry-k1=2", "=", "é\u{85}"] {
            assert_eq!(read(&format!("{most}{beyond}")), read(&most), "{beyond:?}");
            assert_eq!(Baggage::parse(&format!("{beyond},{most}")), None, "{beyond:?}");
            let long = format!("a={},{beyond}", "y".repeat(MOST_BYTES - 2));
            assert_eq!(read(&long).others().count(), 1, "{beyond:?}");
        }
    }

    // behaviour 30
    #[test]
    fn properties_and_blanks_are_no_part_of_a_value() {
        let cases = [
            ("sentry-x=1;p=2;q", "x", "1"),
            ("sentry-x\t = \t1 \t;p=%zz", "x", "1"),
            ("sentry-x=;p=1", "x", ""),
            ("sentry-x=", "x", ""),
            ("sentry-x=  ;", "x", ""),
            ("sentry-x=%3b%20;p", "x", "; "),
            ("sentry-x=a=b=;=", "x", "a=b="),
            ("sentry-x=a b", "x", "a b"),
            ("sentry- x=1", " x", "1"),
            ("sentry-x;p=1", "x;p", "1"),
            ("sentry-sentry-x=1", "sentry-x", "1"),
            ("sentry-x=\"1, 2\"", "x", "\"1"),
        ];
        for (text, key, value) in cases {
            let (text, rest) = text.split_once(',').unwrap_or((text, ""));
            assert_eq!(read(&format!(" {text}\t,")).sampling_context().collect::<Vec<_>>(), [(key, value)], "{text:?}");
            assert_eq!(read(text).to_string(), text);
            assert_eq!(Baggage::parse(&format!("{text},{rest}")).is_none(), !rest.is_empty(), "{text:?}");
        }
    }

    // behaviours 29, 30
    #[test]
    fn only_what_is_encoded_is_decoded_and_only_once() {
        let cases = [
            ("sentry-x=%2525", "%25"),
            ("sentry-%78=%c3%A9", "é"),
            ("sentry-x=é%20é", "é é"),
            ("sentry-x=%F0%9F%A6%80", "\u{1f980}"),
            ("sentry-x=%2C%3D%3B", ",=;"),
            ("sentry-x=+", "+"),
        ];
        for (text, value) in cases {
            assert_eq!((read(text).get("x"), read(text).to_string().as_str()), (Some(value), text));
        }
        // Cut off, too long, a surrogate, and half of it encoded.
        for broken in ["%c3", "%c3%", "%c3%2", "%80", "%c0%80", "%ed%a0%80", "%f8%88%80%80%80", "%c3é", "é%a9", "% 41"]
        {
            assert_eq!(Baggage::parse(&format!("sentry-x={broken}")), None, "{broken}");
            assert_eq!(Baggage::parse(&format!("sentry-{broken}=1")), None, "{broken}");
            let properties = format!("sentry-x=1;p={broken}");
            assert_eq!(read(&properties).to_string(), properties);
            let others = format!("x={broken}");
            assert_eq!(read(&others).others().collect::<Vec<_>>(), [others.as_str()]);
        }
    }

    // behaviours 29, 30
    #[test]
    fn keys_are_the_same_if_they_are_so_decoded() {
        let twice = [
            ("sentry-a=1,b=2,sentry-%61=1", "sentry-a=1,b=2"),
            ("sentry-%61=%31;p,sentry-a=1;q", "sentry-%61=%31;p"),
            ("a=1,a=2,a=1", "a=1,a=2,a=1"),
            ("sentry-a=1,Sentry-a=2,sentry-A=3", "sentry-a=1,sentry-A=3,Sentry-a=2"),
            ("%73entry-a=1,sentry=2,sentry-a=3", "sentry-a=3,%73entry-a=1,sentry=2"),
        ];
        for (text, written) in twice {
            assert_eq!(read(text).to_string(), written);
        }
        for text in ["sentry-a=1,sentry-%61=2", "sentry-a=,sentry-a=%00", "sentry-a=1,sentry-b=1,sentry-a=11"] {
            assert_eq!(Baggage::parse(text), None, "{text}");
        }
    }

    // behaviour 30
    #[test]
    fn what_is_set_stands_in_the_place_of_what_was_there() {
        let mut baggage = read("o=1,sentry-a=%31;p,sentry-b=2,sentry-c=3,sentry-%64=4");
        for value in ["10", "", "é, ;"] {
            baggage.set("b", value);
            assert_eq!(baggage.get("b"), Some(value));
        }
        baggage.set("d", "5");
        baggage.set("e%", "6");
        let text = "sentry-a=%31;p,sentry-b=%C3%A9%2C%20%3B,sentry-c=3,sentry-d=5,sentry-e%25=6";
        assert_eq!(baggage.to_string(), format!("{text},o=1"));
        baggage.take_others(read("sentry-a=7,p=1,q=2;r"));
        assert_eq!(baggage.to_string(), format!("{text},p=1,q=2;r"));
        assert_eq!(baggage.others().collect::<Vec<_>>(), ["p=1", "q=2;r"]);
        let context = [("a", "1"), ("b", "é, ;"), ("c", "3"), ("d", "5"), ("e%", "6")];
        assert_eq!(baggage.sampling_context().collect::<Vec<_>>(), context);
        assert_eq!(baggage.clone().without_others(), read(text));
    }

    // behaviour 30
    #[test]
    fn two_are_equal_if_they_say_the_same_in_the_same_words() {
        let text = "sentry-a=1;p,sentry-b=%c3%a9,c=d";
        assert_eq!(read(text), read("c=d , sentry-a=1;p,,sentry-b=%c3%a9,sentry-a=1"));
        for other in ["sentry-a=1,sentry-b=%c3%a9,c=d", "sentry-b=%c3%a9,sentry-a=1;p,c=d", "sentry-a=1;p,c=d"] {
            assert_ne!(read(text), read(other));
        }
        assert_ne!(read(text), read(&format!("{text},e=f")));
        assert_ne!(read("sentry-b=%c3%a9"), read("sentry-b=é"), "the same value in other words");
        let made: Baggage = [("a", "2"), ("b", "é"), ("", "x"), ("a", "1")].into_iter().collect();
        assert_eq!(made, read("sentry-a=1,sentry-b=%C3%A9"));
    }
}
