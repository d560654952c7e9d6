//! Rules for spans that are not to be recorded. (behaviour 35)

use std::fmt;

use super::{Matcher, Pattern, Where};
use crate::attributes::{AttributeValue, Key, Value};
use crate::sampling::StartAttributes;

/// Which spans [`ignore_spans`](crate::Options::ignore_spans) leaves out: those with a name, or attributes, or both.
///
/// It is judged when a span starts, on the name and the attributes that it starts with; what is set later is not seen.
///
/// ```
/// use span_runtime::{IgnoreRule, Options, Pattern};
///
/// let options = Options::new().ignore_spans([
///     IgnoreRule::name("GET /health"),
///     IgnoreRule::attribute("http.route", Pattern::glob("/internal/*")),
///     IgnoreRule::name(Pattern::regex("SELECT .*")).and_attribute("db.namespace", "scratch"),
/// ]);
/// ```
#[derive(Debug, Clone)]
pub struct IgnoreRule {
    name: Option<Pattern>,
    attributes: Vec<(Key, Wanted)>,
}

#[derive(Debug, Clone)]
enum Wanted {
    Value(Option<Value>),
    Pattern(Pattern),
}

/// What an attribute is compared with: a value, which must be the same and of the same type, or a [`Pattern`] for all of a text.
pub trait WantedValue {
    #[doc(hidden)]
    fn wanted(self) -> WantedAttribute;
}

#[doc(hidden)]
#[derive(Debug)]
pub struct WantedAttribute(Wanted);

impl<V: AttributeValue> WantedValue for V {
    fn wanted(self) -> WantedAttribute {
        WantedAttribute(Wanted::Value(self.into_value()))
    }
}

impl WantedValue for Pattern {
    fn wanted(self) -> WantedAttribute {
        WantedAttribute(Wanted::Pattern(self))
    }
}

impl IgnoreRule {
    /// Spans with this name.
    pub fn name(name: impl Into<Pattern>) -> Self {
        IgnoreRule { name: Some(name.into()), attributes: Vec::new() }
    }

    /// Spans with this attribute: with a value of the same type that is equal, or with a text that matches a [`Pattern`]. `None` is for
    /// those without it.
    pub fn attribute(key: impl Into<Key>, value: impl WantedValue) -> Self {
        IgnoreRule { name: None, attributes: Vec::new() }.and_attribute(key, value)
    }

    /// Of those, the ones with this attribute as well.
    #[must_use]
    pub fn and_attribute(mut self, key: impl Into<Key>, value: impl WantedValue) -> Self {
        self.attributes.push((key.into(), value.wanted().0));
        self
    }
}

impl From<&str> for IgnoreRule {
    fn from(name: &str) -> Self {
        IgnoreRule::name(name)
    }
}

impl From<String> for IgnoreRule {
    fn from(name: String) -> Self {
        IgnoreRule::name(name)
    }
}

impl From<Pattern> for IgnoreRule {
    fn from(name: Pattern) -> Self {
        IgnoreRule::name(name)
    }
}

/// Rules that are ready for use.
#[derive(Clone, Default)]
pub(crate) struct IgnoreRules(Vec<Rule>);

#[derive(Clone)]
struct Rule {
    name: Option<Matcher>,
    attributes: Vec<(Key, Compiled)>,
}

#[derive(Clone)]
enum Compiled {
    Value(Option<Value>),
    Matcher(Matcher),
}

impl IgnoreRules {
    /// Makes rules ready, or returns the pattern that is wrong and what is wrong with it.
    pub(crate) fn compile(rules: &[IgnoreRule]) -> Result<Self, (String, String)> {
        let compile =
            |pattern: &Pattern| pattern.compile(Where::Whole).map_err(|error| (pattern.as_str().to_owned(), error));
        let attribute = |(key, wanted): &(Key, Wanted)| {
            let compiled = match wanted {
                Wanted::Value(value) => Compiled::Value(value.clone()),
                Wanted::Pattern(pattern) => Compiled::Matcher(compile(pattern)?),
            };
            Ok::<_, (String, String)>((key.clone(), compiled))
        };
        let rule = |rule: &IgnoreRule| {
            Ok(Rule {
                name: rule.name.as_ref().map(compile).transpose()?,
                attributes: rule.attributes.iter().map(attribute).collect::<Result<_, _>>()?,
            })
        };
        rules.iter().map(rule).collect::<Result<_, _>>().map(IgnoreRules)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a span that starts with this name and these attributes is to be left out.
    pub(crate) fn ignore(&self, name: &str, attributes: &StartAttributes<'_>) -> bool {
        self.0.iter().any(|rule| {
            rule.name.as_ref().is_none_or(|wanted| wanted.matches(name))
                && rule.attributes.iter().all(|(key, wanted)| match wanted {
                    Compiled::Value(wanted) => attributes.get(key) == wanted.as_ref(),
                    Compiled::Matcher(wanted) => {
                        attributes.get(key).and_then(Value::as_str).is_some_and(|text| wanted.matches(text))
                    }
                })
        })
    }
}

impl fmt::Debug for IgnoreRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules", self.0.len())
    }
}
