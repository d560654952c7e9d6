//! What the fields of a span or an event say.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Debug;

use ::tracing::Metadata;
use ::tracing::field::{Field, Visit};
use span_runtime::{
    Key, SpanBuilder, SpanHandle, Status, TraceGuard, Value, continue_trace_with, debug, display, names,
};

use crate::common::error::{failure, text_of};

/// Whether a field of a span becomes an attribute.
pub(super) type Choice<'c> = dyn Fn(&Metadata<'_>, &str) -> bool + 'c;

/// The field that names a trace to continue.
pub(super) const SENTRY_TRACE: &str = "sentry.trace";

/// What was found.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) name: Option<String>,
    op: Option<String>,
    kind: Option<String>,
    /// As `otel.status_code` has it, which nothing but another one overrides.
    pub(super) status: Option<Status>,
    /// There is a field `error`.
    is_error: bool,
    sentry_trace: Option<String>,
    baggage: Option<String>,
    attributes: Vec<(Key, Value)>,
}

impl Fields {
    /// Reads them. What is a field of the user's becomes an attribute if `choice` has nothing against it.
    pub(super) fn read(
        metadata: &Metadata<'_>,
        choice: Option<&Choice<'_>>,
        record: impl FnOnce(&mut dyn Visit),
    ) -> Self {
        let mut reader = Reader { found: Fields::default(), metadata, choice };
        record(&mut reader);
        reader.found
    }

    /// The status that they tell of, if they do.
    pub(super) fn status(&self) -> Option<Status> {
        self.status.or(self.is_error.then_some(Status::Error))
    }

    /// Enters the trace that they name, if they do.
    pub(super) fn enter_trace(&self) -> Option<TraceGuard> {
        let sentry_trace = self.sentry_trace.as_deref()?;
        let header = |name| match name {
            "sentry-trace" => Some(sentry_trace),
            "baggage" => self.baggage.as_deref(),
            _ => None,
        };
        Some(continue_trace_with(header).enter())
    }

    /// Puts them on a span that is to start.
    pub(super) fn begin(self, mut builder: SpanBuilder) -> SpanBuilder {
        let op = self.op.clone().map(Cow::Owned).or_else(|| self.likely_op());
        if self.attributes.iter().any(|(key, _)| key == names::HTTP_ROUTE) {
            builder = builder.source("route");
        }
        builder = builder.attribute(names::OP, op);
        for (key, value) in self.into_attributes() {
            builder = builder.attribute(key, value);
        }
        builder
    }

    /// Puts them on a span that has started, less its status.
    pub(super) fn set_on(mut self, span: &SpanHandle) {
        if let Some(name) = self.name.take() {
            span.set_name(name);
        }
        span.set_attribute(names::OP, self.op.take());
        span.set_attributes(self.into_attributes());
    }

    /// Puts the error that an event tells of on the span that it is in.
    pub(super) fn set_error_on(self, span: &SpanHandle) {
        span.set_attributes(self.attributes);
    }

    fn into_attributes(mut self) -> Vec<(Key, Value)> {
        if let Some(kind) = self.kind {
            self.attributes.push((names::KIND.into(), Value::of(kind)));
        }
        self.attributes
    }

    /// What kind of work it is, by OpenTelemetry's kind and fields.
    fn likely_op(&self) -> Option<Cow<'static, str>> {
        let get = |key: &str| self.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        let has = |family: &str| self.attributes.iter().any(|(key, _)| key.starts_with(family));
        let is_grpc = || get(names::RPC_SYSTEM).and_then(Value::as_str) == Some("grpc");
        let op = match self.kind.as_deref() {
            Some("server") if is_grpc() => "grpc.server",
            Some("server") if has("http.") => "http.server",
            Some("client") if is_grpc() => "grpc.client",
            Some("client") if has("http.") => "http.client",
            Some("producer") => "queue.publish",
            Some("consumer") => "queue.process",
            _ if has("db.system") => "db",
            _ if has(names::RPC_SYSTEM) => "rpc",
            _ => {
                let operation = get(names::GEN_AI_OPERATION_NAME)?.as_str()?;
                return Some(Cow::Owned(format!("gen_ai.{operation}")));
            }
        };
        Some(Cow::Borrowed(op))
    }
}

struct Reader<'a> {
    found: Fields,
    metadata: &'a Metadata<'a>,
    choice: Option<&'a Choice<'a>>,
}

impl Reader<'_> {
    /// Takes a text that may have a meaning of its own.
    fn text(&mut self, field: &'static str, text: Cow<'_, str>) {
        let found = &mut self.found;
        match field {
            "otel.name" | "sentry.name" => found.name = Some(text.into_owned()),
            "sentry.op" => found.op = Some(text.into_owned()),
            "otel.kind" => found.kind = Some(text.to_ascii_lowercase()),
            "otel.status_code" if text.eq_ignore_ascii_case("error") => found.status = Some(Status::Error),
            "otel.status_code" => found.status = Some(Status::Ok),
            SENTRY_TRACE => found.sentry_trace = Some(text.into_owned()),
            "sentry.baggage" => found.baggage = Some(text.into_owned()),
            "otel.status_description" | "otel.status_message" => {
                self.value(field, names::STATUS_MESSAGE, Value::of(text));
            }
            "error" => {
                found.is_error = true;
                self.value(field, names::ERROR_MESSAGE, Value::of(text));
            }
            _ => self.value(field, field, Value::of(text)),
        }
    }

    /// Whether a field is worth to be formatted.
    fn wants(&self, field: &str) -> bool {
        field == "error" || field.starts_with("otel.") || field.starts_with("sentry.") || self.chooses(field)
    }

    fn chooses(&self, field: &str) -> bool {
        self.choice.is_none_or(|choice| choice(self.metadata, field))
    }

    fn value(&mut self, field: &str, key: &'static str, value: Value) {
        if self.chooses(field) {
            self.found.attributes.push((key.into(), value));
        }
    }
}

impl Visit for Reader<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), field.name(), Value::of(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), field.name(), Value::of(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), field.name(), Value::of(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.value(field.name(), field.name(), Value::of(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.value(field.name(), field.name(), Value::of(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        // `error = true` tells that there is one, and nothing else.
        if field.name() == "error" {
            self.found.is_error = value;
        } else {
            self.value(field.name(), field.name(), Value::of(value));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), Cow::Borrowed(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        if field.name() == "error" {
            self.found.is_error = true;
            for (key, value) in failure(value) {
                self.value("error", key, value);
            }
        } else if self.wants(field.name()) {
            self.text(field.name(), Cow::Owned(text_of(&Value::of(display(value)))));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.wants(field.name()) {
            // Code of the user's, which may panic: `debug` knows of that.
            self.text(field.name(), Cow::Owned(text_of(&Value::of(debug(value)))));
        }
    }
}
