//! A transaction, read as the spans that it would be if it streamed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Attribute, Envelope, Span};
use crate::names;

impl Envelope {
    /// The transaction in this envelope as spans, its own first and then its children in the order in which they were sent: names
    /// from description or op, tags and data as attributes, any status but `ok` as `error`. So the tools for spans, such as
    /// [`tree`](super::tree()), work for transactions too. Empty if there is none.
    pub fn transaction_spans(&self) -> Vec<Span> {
        let events = self.items.iter().filter(|item| item.item_type() == "transaction").filter_map(|item| item.json());
        events.flat_map(|event| self.spans_of(&event)).collect()
    }

    fn spans_of(&self, event: &Value) -> Vec<Span> {
        let trace = &event["contexts"]["trace"];
        let children = event["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let root = self.span_of(trace, event, &event["transaction"], true);
        let children = children.iter().map(|child| self.span_of(child, child, &child["description"], false));
        std::iter::once(root).chain(children).collect()
    }

    /// `facts` has ids, op, status and data; `times` has times and tags.
    fn span_of(&self, facts: &Value, times: &Value, name: &Value, is_segment: bool) -> Span {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let op = text(&facts["op"]);
        let name = name.as_str().map_or_else(|| op.clone(), str::to_owned);
        let mut attributes = BTreeMap::from([(names::OP.to_owned(), attribute(&Value::from(op)))]);
        for members in [&times["tags"], &facts["data"]].into_iter().filter_map(Value::as_object) {
            attributes.extend(read(members));
        }
        Span {
            trace_id: text(&facts["trace_id"]),
            span_id: text(&facts["span_id"]),
            parent_span_id: facts["parent_span_id"].as_str().map(str::to_owned),
            name,
            status: if facts["status"] == "ok" { "ok" } else { "error" }.to_owned(),
            is_segment,
            start_timestamp: times["start_timestamp"].as_f64().unwrap_or_default(),
            end_timestamp: times["timestamp"].as_f64().unwrap_or_default(),
            attributes,
            links: Vec::new(),
            arrived: self.arrived,
        }
    }
}

fn read(members: &Map<String, Value>) -> impl Iterator<Item = (String, Attribute)> {
    members.iter().map(|(key, value)| (key.clone(), attribute(value)))
}

fn attribute(value: &Value) -> Attribute {
    let type_ = match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        _ => "string",
    };
    Attribute { type_: type_.to_owned(), value: value.clone() }
}
