//! The values that a span's attributes can have, and what converts into them. (behaviour 14)

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Write as _};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The key of an attribute: a static string costs nothing, an owned one is moved in.
pub type Key = Cow<'static, str>;

/// The longest text, in bytes, that a [`Text`] keeps inside itself.
const INLINE: usize = 22;

/// What an attribute holds: a boolean, an integer, a floating-point number, a text, or a list of one of these.
///
/// It is made by way of [`AttributeValue`], and read with `attributes()` of a span or handle.
///
/// ```
/// use span_runtime::Value;
///
/// assert_eq!(Value::of(3_u8), Value::of(3_i64));
/// assert_eq!(Value::of("a").as_str(), Some("a"));
/// // What JSON's 64-bit integers cannot hold becomes text instead of another number.
/// assert_eq!(Value::of(u64::MAX).as_str(), Some("18446744073709551615"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Value(pub(crate) Repr);

#[derive(Clone, PartialEq)]
pub(crate) enum Repr {
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(Text),
    List(Box<List>),
}

/// A text that is static, short enough to stand inside, or owned.
#[derive(Clone)]
pub(crate) enum Text {
    Static(&'static str),
    Inline { length: u8, bytes: [u8; INLINE] },
    Owned(Box<str>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum List {
    Bools(Vec<bool>),
    Integers(Vec<i64>),
    Doubles(Vec<f64>),
    Texts(Vec<Text>),
}

impl Text {
    /// Inlined into where the value is stored: one that is returned through memory is read back by wider pieces than it was written by.
    #[inline(always)]
    fn copied(text: &str) -> Self {
        match inline(text.as_bytes()) {
            // At most INLINE, which fits.
            Some(bytes) => Text::Inline { length: text.len() as u8, bytes },
            None => Text::allocated(text),
        }
    }

    #[cold]
    fn allocated(text: &str) -> Self {
        Text::Owned(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Text::Static(text) => text,
            // The bytes were copied from a str, whole; the fallbacks are never taken.
            Text::Inline { length, bytes } => {
                bytes.get(..usize::from(*length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
            }
            Text::Owned(text) => text,
        }
    }

    /// Bytes on the heap.
    pub(crate) fn owned_bytes(&self) -> usize {
        match self {
            Text::Owned(text) => text.len(),
            _ => 0,
        }
    }
}

/// A short text's bytes in an array of their own.
///
/// It is read by pieces that do not overlap. Mostly the text was written a moment ago, by pieces that may; a piece that takes from two of these waits
/// until both have left the processor, which takes longer than all else about an attribute.
#[inline]
fn inline(text: &[u8]) -> Option<[u8; INLINE]> {
    const WORD: usize = 8;
    if text.len() > INLINE {
        return None;
    }
    let (mut words, mut rest) = ([0; 3], text);
    for own in &mut words {
        match rest.split_first_chunk::<WORD>() {
            Some((word, behind)) => (*own, rest) = (u64::from_le_bytes(*word), behind),
            None => {
                *own = short_word(rest);
                break;
            }
        }
    }
    let [first, second, third] = words.map(u64::to_le_bytes);
    let mut bytes = [0; INLINE];
    bytes[..WORD].copy_from_slice(&first);
    bytes[WORD..2 * WORD].copy_from_slice(&second);
    bytes[2 * WORD..].copy_from_slice(&third[..INLINE - 2 * WORD]);
    Some(bytes)
}

/// Up to seven bytes in a word.
#[inline]
fn short_word(mut rest: &[u8]) -> u64 {
    let (mut word, mut bits) = (0, 0);
    if let Some((four, behind)) = rest.split_first_chunk::<4>() {
        (word, bits, rest) = (u64::from(u32::from_le_bytes(*four)), 32, behind);
    }
    if let Some((two, behind)) = rest.split_first_chunk::<2>() {
        word |= u64::from(u16::from_le_bytes(*two)) << bits;
        (bits, rest) = (bits + 16, behind);
    }
    if let Some(one) = rest.first() {
        word |= u64::from(*one) << bits;
    }
    word
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.as_str(), f)
    }
}

impl Value {
    /// What `value` becomes as an attribute; an empty text for an `Option` that is `None`.
    pub fn of(value: impl AttributeValue) -> Self {
        value.into_value().unwrap_or(Value::from_static(""))
    }

    /// A text that lives as long as the program: stored as a pointer, never copied.
    pub const fn from_static(text: &'static str) -> Self {
        Value(Repr::Text(Text::Static(text)))
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.0 {
            Repr::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The floating-point number, if this is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Repr::Double(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it has nothing on the heap.
    #[inline(always)]
    pub(crate) fn is_inline(&self) -> bool {
        !matches!(self.0, Repr::Text(Text::Owned(_)) | Repr::List(_))
    }

    /// Bytes on the heap, for the byte bound and the estimate of an envelope's size.
    pub(crate) fn owned_bytes(&self) -> usize {
        match &self.0 {
            Repr::Text(text) => text.owned_bytes(),
            Repr::List(list) => match &**list {
                List::Bools(list) => list.len(),
                List::Integers(list) => size_of_val(&list[..]),
                List::Doubles(list) => size_of_val(&list[..]),
                List::Texts(list) => size_of_val(&list[..]) + list.iter().map(Text::owned_bytes).sum::<usize>(),
            },
            _ => 0,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Bool(value) => Debug::fmt(value, f),
            Repr::Integer(value) => Debug::fmt(value, f),
            Repr::Double(value) => Debug::fmt(value, f),
            Repr::Text(value) => Debug::fmt(value, f),
            Repr::List(list) => match &**list {
                List::Bools(list) => Debug::fmt(list, f),
                List::Integers(list) => Debug::fmt(list, f),
                List::Doubles(list) => Debug::fmt(list, f),
                List::Texts(list) => Debug::fmt(list, f),
            },
        }
    }
}

/// What can be the value of an attribute.
///
/// Implemented for `bool`, all integers and floats, `&str`, `String`, `Cow<str>`, `Box<str>`, `char`, slices, arrays and `Vec`s of
/// these, `Option` of any (a `None` leaves the attribute out) and references to any. For everything else there
/// are [`display`] and [`debug`], which write it as text.
///
/// * Integers beyond 64 signed bits become text, because JSON readers would round them; 128-bit integers always do.
/// * A value that panics while [`display`] or [`debug`] writes it becomes what it had written until then.
/// * NaN and the infinities become the texts `nan`, `inf` and `-inf`; JSON has no numbers for them, and a list that
///   holds one becomes a list of texts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an attribute",
    label = "not a bool, number, text, or a list of one of these",
    note = "write `span_runtime::display(&value)` or `span_runtime::debug(&value)` to record it as text"
)]
pub trait AttributeValue {
    /// The value as an attribute, or `None` to leave the attribute out.
    fn to_value(&self) -> Option<Value>;

    /// As [`to_value`](Self::to_value), without a copy of what is owned.
    fn into_value(self) -> Option<Value>
    where
        Self: Sized,
    {
        self.to_value()
    }
}

impl AttributeValue for Value {
    fn to_value(&self) -> Option<Value> {
        Some(self.clone())
    }

    fn into_value(self) -> Option<Value> {
        Some(self)
    }
}

impl<T: AttributeValue + ?Sized> AttributeValue for &T {
    fn to_value(&self) -> Option<Value> {
        (**self).to_value()
    }
}

impl<T: AttributeValue> AttributeValue for Option<T> {
    fn to_value(&self) -> Option<Value> {
        self.as_ref()?.to_value()
    }

    fn into_value(self) -> Option<Value> {
        self?.into_value()
    }
}

impl AttributeValue for bool {
    fn to_value(&self) -> Option<Value> {
        Some(Value(Repr::Bool(*self)))
    }
}

impl AttributeValue for str {
    #[inline]
    fn to_value(&self) -> Option<Value> {
        Some(Value(Repr::Text(Text::copied(self))))
    }
}

impl AttributeValue for char {
    fn to_value(&self) -> Option<Value> {
        self.encode_utf8(&mut [0; 4]).to_value()
    }
}

impl AttributeValue for String {
    #[inline]
    fn to_value(&self) -> Option<Value> {
        self.as_str().to_value()
    }

    fn into_value(self) -> Option<Value> {
        Some(Value(Repr::Text(owned(self))))
    }
}

impl AttributeValue for Box<str> {
    fn to_value(&self) -> Option<Value> {
        (**self).to_value()
    }

    fn into_value(self) -> Option<Value> {
        Some(Value(Repr::Text(Text::Owned(self))))
    }
}

impl AttributeValue for Cow<'_, str> {
    fn to_value(&self) -> Option<Value> {
        (**self).to_value()
    }

    fn into_value(self) -> Option<Value> {
        match self {
            Cow::Borrowed(text) => text.to_value(),
            Cow::Owned(text) => text.into_value(),
        }
    }
}

/// A short text is copied inside, so that its allocation is freed here and not on the flusher's thread.
fn owned(text: String) -> Text {
    if text.len() <= INLINE { Text::copied(&text) } else { Text::Owned(text.into_boxed_str()) }
}

fn text(value: impl Display) -> Text {
    let mut text = String::new();
    // Writing to a String fails only when the value's own Display does; what it wrote until then stands.
    let _ = write!(text, "{value}");
    owned(text)
}

/// As [`text`], of a value that writes itself by code of the user's. What it wrote before it panicked stands: an attribute is no reason for
/// the work that it describes to fail.
fn text_of_user(value: impl Display) -> Text {
    let mut text = String::new();
    let written = catch_unwind(AssertUnwindSafe(|| write!(text, "{value}")));
    if let Err(payload) = written {
        // Its destructor is the user's too, and might panic again.
        mem::forget(payload);
    }
    owned(text)
}

fn float(value: f64) -> Result<f64, Text> {
    if value.is_nan() {
        Err(Text::Static("nan"))
    } else if value.is_infinite() {
        Err(Text::Static(if value > 0.0 { "inf" } else { "-inf" }))
    } else {
        Ok(value)
    }
}

/// A list of numbers, or of texts if a single one does not fit into the type.
fn list<N: Copy, O: Copy>(
    items: &[N],
    number: impl Fn(N) -> Result<O, Text>,
    print: impl Fn(O) -> Text,
    list: impl Fn(Vec<O>) -> List,
) -> Value {
    let numbers: Result<Vec<O>, Text> = items.iter().map(|&item| number(item)).collect();
    Value(Repr::List(Box::new(match numbers {
        Ok(numbers) => list(numbers),
        Err(_) => List::Texts(items.iter().map(|&item| number(item).map_or_else(|text| text, &print)).collect()),
    })))
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl AttributeValue for $type {
            #[inline]
            fn to_value(&self) -> Option<Value> {
                Some(Value(match i64::try_from(*self) {
                    Ok(value) => Repr::Integer(value),
                    Err(_) => Repr::Text(text(*self)),
                }))
            }
        }

        impl AttributeValue for [$type] {
            fn to_value(&self) -> Option<Value> {
                Some(list(self, |item| i64::try_from(item).map_err(|_| text(item)), |item| text(item), List::Integers))
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

/// Always text, so that the type of an attribute does not depend on its value.
macro_rules! wide_integers {
    ($($type:ty)*) => {$(
        impl AttributeValue for $type {
            fn to_value(&self) -> Option<Value> {
                Some(Value(Repr::Text(text(*self))))
            }
        }

        impl AttributeValue for [$type] {
            fn to_value(&self) -> Option<Value> {
                Some(Value(Repr::List(Box::new(List::Texts(self.iter().map(text).collect())))))
            }
        }
    )*};
}

wide_integers!(i128 u128);

macro_rules! floats {
    ($($type:ty)*) => {$(
        impl AttributeValue for $type {
            #[inline]
            fn to_value(&self) -> Option<Value> {
                Some(Value(match float(f64::from(*self)) {
                    Ok(value) => Repr::Double(value),
                    Err(text) => Repr::Text(text),
                }))
            }
        }

        impl AttributeValue for [$type] {
            fn to_value(&self) -> Option<Value> {
                Some(list(self, |item| float(f64::from(item)), |item| text(item), List::Doubles))
            }
        }
    )*};
}

floats!(f32 f64);

impl AttributeValue for [bool] {
    fn to_value(&self) -> Option<Value> {
        Some(Value(Repr::List(Box::new(List::Bools(self.to_vec())))))
    }
}

macro_rules! texts {
    ($($type:ty)*) => {$(
        impl AttributeValue for [$type] {
            fn to_value(&self) -> Option<Value> {
                Some(Value(Repr::List(Box::new(List::Texts(self.iter().map(|item| Text::copied(item)).collect())))))
            }
        }
    )*};
}

texts!(&str String Box<str> Cow<'_, str>);

impl<T> AttributeValue for Vec<T>
where
    [T]: AttributeValue,
{
    fn to_value(&self) -> Option<Value> {
        self[..].to_value()
    }
}

impl<T, const N: usize> AttributeValue for [T; N]
where
    [T]: AttributeValue,
{
    fn to_value(&self) -> Option<Value> {
        self[..].to_value()
    }
}

/// Records a value by its `Display`.
///
/// ```
/// use span_runtime::{Value, display};
/// assert_eq!(Value::of(display(std::net::Ipv4Addr::LOCALHOST)).as_str(), Some("127.0.0.1"));
/// ```
pub fn display<T: Display>(value: T) -> Shown<T> {
    Shown(value)
}

/// Records a value by its `Debug`.
///
/// ```
/// use span_runtime::{Value, debug};
/// assert_eq!(Value::of(debug(Some(1))).as_str(), Some("Some(1)"));
/// ```
pub fn debug<T: fmt::Debug>(value: T) -> Debugged<T> {
    Debugged(value)
}

/// A value recorded by its `Display`; made by [`display`].
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(T);

/// A value recorded by its `Debug`; made by [`debug`].
#[derive(Debug, Clone, Copy)]
pub struct Debugged<T>(T);

impl<T: Display> AttributeValue for Shown<T> {
    fn to_value(&self) -> Option<Value> {
        Some(Value(Repr::Text(text_of_user(&self.0))))
    }
}

impl<T: fmt::Debug> AttributeValue for Debugged<T> {
    fn to_value(&self) -> Option<Value> {
        Some(Value(Repr::Text(text_of_user(format_args!("{:?}", self.0)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debug_of(value: impl AttributeValue) -> String {
        value.into_value().map_or("left out".to_owned(), |value| format!("{value:?}"))
    }

    // behaviour 14
    #[test]
    fn every_type_becomes_what_json_can_hold() {
        assert_eq!(debug_of(true), "true");
        assert_eq!(debug_of(-1_i8), "-1");
        assert_eq!(debug_of(i64::MAX), "9223372036854775807");
        assert_eq!(debug_of(i64::MAX as u64 + 1), "\"9223372036854775808\"");
        assert_eq!(debug_of(7_u128), "\"7\"");
        assert_eq!(debug_of([7_i128]), "[\"7\"]");
        assert_eq!(debug_of(u128::MAX), format!("\"{}\"", u128::MAX));
        assert_eq!(debug_of(i128::MIN), format!("\"{}\"", i128::MIN));
        assert_eq!(debug_of(1.5_f32), "1.5");
        assert_eq!(debug_of(f64::NAN), "\"nan\"");
        assert_eq!(debug_of([f64::NEG_INFINITY, 1.0, f64::INFINITY]), "[\"-inf\", \"1\", \"inf\"]");
        assert_eq!(debug_of([1_u64, u64::MAX]), "[\"1\", \"18446744073709551615\"]");
        assert_eq!(debug_of(vec![1_u8, 2]), "[1, 2]");
        assert_eq!(debug_of(["a", "b"]), "[\"a\", \"b\"]");
        assert_eq!(debug_of(vec![true]), "[true]");
        assert_eq!(debug_of(Vec::<String>::new()), "[]");
        assert_eq!(debug_of(Some(3)), "3");
        assert_eq!(debug_of(None::<i32>), "left out");
        assert_eq!(debug_of('ß'), "\"ß\"");
        assert_eq!(debug_of(AttributeValue::to_value(&&String::from("x"))), "\"x\"");
        assert_eq!(debug_of(Cow::Borrowed("x")), "\"x\"");
    }

    #[test]
    fn texts_survive_whatever_their_length() {
        for length in 0..60 {
            let given: String = "äb".chars().cycle().take(length).collect();
            assert_eq!(given.to_value().as_ref().and_then(Value::as_str), Some(&*given));
            assert_eq!(given.clone().into_value().as_ref().and_then(Value::as_str), Some(&*given));
        }
    }

    #[test]
    fn a_value_is_three_words() {
        assert_eq!(size_of::<Value>(), 24);
    }
}
