//! Errors and their causes, as a span has them.

use std::error::Error;

use span_runtime::{CurrentSpan, Span, SpanGuard, SpanHandle, Status, Value, display, names};

/// As many causes are recorded; nobody reads more, and a chain may be a ring.
const MOST_CAUSES: usize = 16;

/// Makes a span an error, and records the error's text, those of its causes, and its type, if that is known.
pub(crate) fn record(span: &dyn Fail, error: &(dyn Error + 'static), kind: Option<&'static str>) {
    if !span.records() {
        span.fail(Vec::new());
        return;
    }
    let mut attributes = failure(error);
    attributes.extend(kind.map(|kind| (names::ERROR_TYPE, Value::from_static(kind))));
    span.fail(attributes);
}

/// The attributes that tell of an error: its text and those of its causes.
pub(crate) fn failure(error: &(dyn Error + 'static)) -> Vec<(&'static str, Value)> {
    // They write themselves by code of the user's, which may panic: `display` knows of that.
    let causes: Vec<String> = causes(error).map(|cause| text_of(&Value::of(display(cause)))).collect();
    let mut attributes = vec![(names::ERROR_MESSAGE, Value::of(display(error)))];
    if !causes.is_empty() {
        attributes.push((names::ERROR_CAUSES, Value::of(causes)));
    }
    attributes
}

/// The text that a value is.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The causes of an error, the nearest first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source()).take(MOST_CAUSES)
}

/// What can be made an error, with attributes that say why.
pub(crate) trait Fail {
    /// Whether attributes would be recorded.
    fn records(&self) -> bool;
    /// Makes it one.
    fn fail(&self, attributes: Vec<(&'static str, Value)>);
}

macro_rules! fail {
    ($($span:ty),+) => {$(
        impl Fail for $span {
            fn records(&self) -> bool {
                self.is_sampled()
            }

            fn fail(&self, attributes: Vec<(&'static str, Value)>) {
                self.set_status(Status::Error);
                self.set_attributes(attributes);
            }
        }
    )+};
}
fail!(CurrentSpan, SpanGuard, SpanHandle);

impl Fail for Span {
    fn records(&self) -> bool {
        self.is_sampled()
    }

    fn fail(&self, attributes: Vec<(&'static str, Value)>) {
        self.handle().fail(attributes);
    }
}
