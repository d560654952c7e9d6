//! Spans arranged by trace and parent, for printing.

use std::collections::HashMap;

use super::Span;

/// The spans of several traces, as trees of indices into the slice they came from.
#[derive(Debug)]
pub(super) struct Forest<'s> {
    pub(super) spans: &'s [Span],
    /// The children of each span, by start and then by name.
    pub(super) children: Vec<Vec<usize>>,
    /// By the start of their first span, then by its name.
    pub(super) traces: Vec<Trace>,
    parents: Vec<Parent>,
}

/// The roots of one trace, by start and then by name.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) roots: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    None,
    NotReceived,
    /// The span is its own ancestor, which only a broken sender brings about.
    Cycle,
    Known(usize),
}

impl<'s> Forest<'s> {
    /// Arranges spans in time `n log n`.
    pub(super) fn new(spans: &'s [Span]) -> Self {
        // Everything below follows this order, so lists of siblings come out sorted.
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&spans[a], &spans[b]);
            a.start_timestamp.total_cmp(&b.start_timestamp).then_with(|| a.name.cmp(&b.name))
        });
        let mut by_id = HashMap::with_capacity(spans.len());
        for &index in &order {
            let span = &spans[index];
            by_id.entry((span.trace_id.as_str(), span.span_id.as_str())).or_insert(index);
        }
        let mut forest = Self {
            spans,
            children: vec![Vec::new(); spans.len()],
            traces: Vec::new(),
            parents: vec![Parent::None; spans.len()],
        };
        for &index in &order {
            let span = &spans[index];
            let Some(parent) = &span.parent_span_id else { continue };
            let parent = by_id.get(&(span.trace_id.as_str(), parent.as_str()));
            forest.parents[index] = parent.map_or(Parent::NotReceived, |&parent| Parent::Known(parent));
            if let Some(&parent) = parent {
                forest.children[parent].push(index);
            }
        }
        forest.cut_cycles(&order);
        forest.collect_traces(&order);
        forest
    }

    /// Makes roots of spans that no root leads to, so that each span is printed exactly once.
    fn cut_cycles(&mut self, order: &[usize]) {
        let mut reached = vec![false; self.spans.len()];
        for &index in order {
            if !matches!(self.parents[index], Parent::Known(_)) {
                self.reach(index, &mut reached);
            }
        }
        for &index in order {
            if reached[index] {
                continue;
            }
            if let Parent::Known(parent) = self.parents[index] {
                self.children[parent].retain(|&child| child != index);
            }
            self.parents[index] = Parent::Cycle;
            self.reach(index, &mut reached);
        }
    }

    fn reach(&self, root: usize, reached: &mut [bool]) {
        let mut open = vec![root];
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                open.extend(&self.children[index]);
            }
        }
    }

    fn collect_traces(&mut self, order: &[usize]) {
        let mut numbers = HashMap::new();
        for &index in order {
            let trace_id = self.spans[index].trace_id.as_str();
            let number = *numbers.entry(trace_id).or_insert(self.traces.len());
            if number == self.traces.len() {
                self.traces.push(Trace { roots: Vec::new() });
            }
            if !matches!(self.parents[index], Parent::Known(_)) {
                self.traces[number].roots.push(index);
            }
        }
    }

    /// Why a span with a `parent_span_id` is printed as a root.
    pub(super) fn orphan_note(&self, index: usize) -> Option<&'static str> {
        match self.parents[index] {
            Parent::None | Parent::Known(_) => None,
            Parent::NotReceived => Some("(parent not received)"),
            Parent::Cycle => Some("(its own ancestor)"),
        }
    }
}

/// A text that stays on its line.
pub(super) fn one_line(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}
