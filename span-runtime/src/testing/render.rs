//! Traces as indented text, for assertions.

use std::fmt;

use super::Span;
use super::forest::{Forest, one_line};

/// Spans as indented text: see [`Tree`].
pub fn tree(spans: &[Span]) -> String {
    Tree::new(spans).to_string()
}

/// Spans as indented text, one line a span, each line ended by a newline:
///
/// ```text
/// GET /orders
///   check user
///   SELECT orders [error]
/// ---
/// cron (parent not received)
/// ```
///
/// A level is two spaces. Siblings stand by start, then by name. A status other than `ok` follows
/// in brackets, then chosen attributes as JSON. A span whose parent is not among the spans is a
/// root, and marked if it has one. Traces stand by their first span's start, with `---` between.
#[derive(Debug, Clone)]
pub struct Tree<'s> {
    spans: &'s [Span],
    attributes: Vec<String>,
}

impl<'s> Tree<'s> {
    /// A tree that shows no attributes.
    pub fn new(spans: &'s [Span]) -> Self {
        Self { spans, attributes: Vec::new() }
    }

    /// Shows these attributes, in this order, on the spans that have them.
    #[must_use]
    pub fn attributes(mut self, keys: &[&str]) -> Self {
        self.attributes = keys.iter().map(|key| (*key).to_owned()).collect();
        self
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, span: &Span, depth: usize, note: Option<&str>) -> fmt::Result {
        write!(f, "{:indent$}{}", "", one_line(&span.name), indent = depth * 2)?;
        if span.status != "ok" {
            write!(f, " [{}]", one_line(&span.status))?;
        }
        for key in &self.attributes {
            if let Some(value) = span.attribute(key) {
                write!(f, " {key}={value}")?;
            }
        }
        if let Some(note) = note {
            write!(f, " {note}")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forest = Forest::new(self.spans);
        for (number, trace) in forest.traces.iter().enumerate() {
            if number > 0 {
                writeln!(f, "---")?;
            }
            // A stack of our own: a trace may be deeper than the thread's.
            let mut open: Vec<(usize, usize)> = trace.roots.iter().rev().map(|&root| (root, 0)).collect();
            while let Some((index, depth)) = open.pop() {
                self.line(f, &self.spans[index], depth, forest.orphan_note(index))?;
                open.extend(forest.children[index].iter().rev().map(|&child| (child, depth + 1)));
            }
        }
        Ok(())
    }
}
