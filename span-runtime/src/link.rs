//! Links from a span to spans that are not its parent. (behaviour 15)

use crate::attributes::{AttributeValue, Key};
use crate::ids::{SpanId, TraceId};
use crate::record::Attribute;

/// A link to another span, of this trace or another.
///
/// ```
/// use span_runtime::{Link, SpanId, TraceId};
///
/// let trace: TraceId = "771a43a4192642f0b136d5159a501700".parse()?;
/// let span: SpanId = "b0e6f15b45c36b12".parse()?;
/// let link = Link::new(trace, span).sampled(true).attribute("sentry.link.type", "previous_trace");
/// # Ok::<(), span_runtime::ParseIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) sampled: Option<bool>,
    pub(crate) attributes: Vec<Attribute>,
}

impl Link {
    /// A link to the span with these ids.
    pub fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        Link { trace_id, span_id, sampled: None, attributes: Vec::new() }
    }

    /// Says whether the linked span was sampled.
    #[must_use]
    pub fn sampled(mut self, sampled: bool) -> Self {
        self.sampled = Some(sampled);
        self
    }

    /// Sets an attribute of the link.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<Key>, value: impl AttributeValue) -> Self {
        if let Some(value) = value.into_value() {
            let key = key.into();
            self.attributes.retain(|attribute| attribute.key != key);
            self.attributes.push(Attribute { key, value });
        }
        self
    }
}
