//! What users hold and call: spans, guards, handles, the current span, futures and streams that carry a span.

mod builder;
mod carry;
mod context;
mod current;
mod future;
mod guard;
mod handle;
mod scope;
mod span;
#[cfg(feature = "stream")]
mod stream;

pub use builder::{InactiveSpanBuilder, SpanBuilder, Unstarted, start_span};
pub(crate) use builder::{begin_active, begin_at_once, begin_owned, begin_plain, begin_values};
pub use context::{Context, ContextGuard};
pub use current::{CurrentSpan, current_span};
pub use future::{InContext, InSpan, Instrument};
pub(crate) use future::{instrument, instrument_inactive, instrument_unstarted};
pub use guard::SpanGuard;
pub(crate) use guard::unsampled_word;
pub(crate) use handle::ParentKind;
pub use handle::{AsParent, Parent, SpanHandle};
pub use scope::{
    InTrace, TraceGuard, TraceScope, continue_trace, continue_trace_with, new_trace, trace_headers, trace_headers_for,
};
pub use span::Span;
#[cfg(feature = "stream")]
pub use stream::{InSpanStream, InstrumentStream};

/// The setters, the same on everything that stands for a span.
macro_rules! setters {
    ([$($receiver:tt)+] $this:ident) => {
        /// Sets an attribute, or replaces it. A value of `None` changes nothing. After the span's end this does nothing.
        pub fn set_attribute($($receiver)+, key: impl Into<$crate::Key>, value: impl $crate::AttributeValue) {
            if let Some(value) = value.into_value() {
                $this.change($crate::open::Change::Set(key.into(), value));
            }
        }

        /// Sets several attributes.
        pub fn set_attributes<K: Into<$crate::Key>, V: $crate::AttributeValue>(
            $($receiver)+,
            attributes: impl IntoIterator<Item = (K, V)>,
        ) {
            let attributes = attributes.into_iter().filter_map(|(key, value)| {
                Some($crate::record::Attribute { key: key.into(), value: value.into_value()? })
            });
            $this.change($crate::open::Change::SetAll(attributes.collect()));
        }

        /// Removes an attribute.
        pub fn remove_attribute($($receiver)+, key: impl Into<$crate::Key>) {
            $this.change($crate::open::Change::Remove(key.into()));
        }

        /// Renames the span.
        pub fn set_name($($receiver)+, name: impl Into<std::borrow::Cow<'static, str>>) {
            $this.change($crate::open::Change::Name(name.into()));
        }

        /// Sets the status, which is `ok` until something sets another.
        pub fn set_status($($receiver)+, status: $crate::Status) {
            $this.change($crate::open::Change::Status(status));
        }

        /// Links the span to another one.
        pub fn add_link($($receiver)+, link: $crate::Link) {
            $this.change($crate::open::Change::Link(link));
        }
    };
}
pub(crate) use setters;

/// The getters, the same on everything that stands for a span.
macro_rules! getters {
    () => {
        /// The name as it is now. `None` after the span's end, and for a span that records nothing.
        pub fn name(&self) -> Option<String> {
            self.read(|site, details| details.name().map_or_else(|| site.name().to_owned(), |name| name.to_string()))
        }

        /// The status as it is now. `None` after the span's end, and for a span that records nothing.
        pub fn status(&self) -> Option<$crate::Status> {
            self.read(|_, details| if details.error { $crate::Status::Error } else { $crate::Status::Ok })
        }

        /// The attribute with this key.
        pub fn attribute(&self, key: &str) -> Option<$crate::Value> {
            self.read(|_, details| details.get(key).cloned()).flatten()
        }

        /// All attributes that were set. Empty after the span's end, and for a span that records nothing.
        pub fn attributes(&self) -> Vec<($crate::Key, $crate::Value)> {
            let copy = |attribute: &$crate::record::Attribute| (attribute.key.clone(), attribute.value.clone());
            self.read(|_, details| details.attributes.iter().map(copy).collect()).unwrap_or_default()
        }
    };
}
pub(crate) use getters;

/// What goes out from inside of a span, the same on everything that stands for one.
macro_rules! outgoing {
    () => {
        /// The headers by which another service continues the trace from inside of this span. If the span records nothing, those of
        /// [`trace_headers`](crate::trace_headers).
        pub fn trace_headers(&self) -> $crate::propagation::TraceHeaders {
            self.headers(None)
        }

        /// As [`trace_headers`](Self::trace_headers), and empty unless the URL is one of
        /// [`trace_propagation_targets`](crate::Options::trace_propagation_targets).
        pub fn trace_headers_for(&self, url: &str) -> $crate::propagation::TraceHeaders {
            self.headers(Some(url))
        }
    };
}
pub(crate) use outgoing;
