//! Traces as a waterfall, for people at a terminal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use super::Span;
use super::forest::{Forest, one_line};

/// Spans as a waterfall of this width with all other settings as [`Waterfall::new`] has them.
pub fn waterfall(spans: &[Span], width: usize) -> String {
    Waterfall::new(spans).width(width).to_string()
}

/// Spans as bars on their trace's time axis.
///
/// ```text
/// trace 4bf92f3577b34da6a3ce929d0e0e4736, 5 spans
/// GET /orders      ████████████████████████   120 ms
///   check user       ████                    20.0 ms
///     cache          ▐                       1.00 ms
///   SELECT orders        ████████████        60.0 ms [error]
///   … 1 more
/// ```
///
/// Long traces are collapsed to [`max_rows`](Self::max_rows): the longest spans stay, and a line
/// under their parent counts the others with all their descendants.
#[derive(Debug, Clone)]
pub struct Waterfall<'s> {
    spans: &'s [Span],
    width: usize,
    max_rows: usize,
    column: Option<Column>,
}

/// What a span has in the column before the names.
type Column = fn(&Span) -> &str;

/// Narrower than this, names and bars say nothing.
const MIN_WIDTH: usize = 40;

impl<'s> Waterfall<'s> {
    /// A waterfall 100 columns wide and at most 50 rows high.
    pub fn new(spans: &'s [Span]) -> Self {
        Self { spans, width: 100, max_rows: 50, column: None }
    }

    /// Sets the width in columns, at least 40. Every character is taken for one column.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width.max(MIN_WIDTH);
        self
    }

    /// Sets the number of lines that are not exceeded; `usize::MAX` shows every span.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows.max(1);
        self
    }

    /// Puts a column before the names, with what this says of each span, such as the service that it is of.
    ///
    /// ```
    /// use span_runtime::testing::Waterfall;
    ///
    /// let spans = [];
    /// let waterfall = Waterfall::new(&spans).column(|span| span.text("sentry.release").unwrap_or_default());
    /// assert_eq!(waterfall.to_string(), "");
    /// ```
    #[must_use]
    pub fn column(mut self, column: fn(&Span) -> &str) -> Self {
        self.column = Some(column);
        self
    }
}

impl fmt::Display for Waterfall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = Plan::new(Forest::new(self.spans), self.max_rows);
        let rows = plan.rows();
        let layout = Layout::new(&rows, self.width, self.column);
        rows.iter().try_for_each(|row| layout.print(f, row))
    }
}

/// Which spans are shown. Traces are nodes above their roots, and one node is above all traces, so
/// that one rule collapses every level: spans keep their indices, the others follow.
struct Plan<'s> {
    forest: Forest<'s>,
    children: Vec<Vec<usize>>,
    times: Vec<Extent>,
    /// Spans at or below each node.
    sizes: Vec<usize>,
    shown: Vec<bool>,
}

/// From the first start to the last end at or below a node, in seconds since 1970.
#[derive(Clone, Copy)]
struct Extent {
    start: f64,
    end: f64,
}

impl Extent {
    fn of(span: &Span) -> Self {
        Self { start: span.start_timestamp, end: span.end_timestamp }
    }

    fn join(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    fn micros(self) -> u64 {
        // A float cast saturates: at 0 for a negative or empty extent.
        ((self.end - self.start) * 1e6).round() as u64
    }
}

impl<'s> Plan<'s> {
    fn new(mut forest: Forest<'s>, max_rows: usize) -> Self {
        let spans = forest.spans.len();
        let mut children = std::mem::take(&mut forest.children);
        children.extend(forest.traces.iter_mut().map(|trace| std::mem::take(&mut trace.roots)));
        let all = children.len();
        children.push((spans..all).collect());

        let empty = Extent { start: f64::INFINITY, end: f64::NEG_INFINITY };
        let mut times: Vec<_> = forest.spans.iter().map(Extent::of).collect();
        times.resize(children.len(), empty);
        let mut sizes = vec![1; spans];
        sizes.resize(children.len(), 0);
        let mut order = vec![all];
        let mut at = 0;
        while at < order.len() {
            order.extend(&children[order[at]]);
            at += 1;
        }
        // Children come after their parents in `order`, so this adds them up from the leaves. A
        // trace's extent covers all its spans; a span's stays its own.
        for &node in order.iter().rev() {
            for &child in &children[node] {
                sizes[node] += sizes[child];
            }
        }
        for node in spans..all {
            let mut open = children[node].clone();
            while let Some(index) = open.pop() {
                times[node] = times[node].join(times[index]);
                open.extend(&children[index]);
            }
        }
        let shown = vec![false; children.len()];
        let mut plan = Self { forest, children, times, sizes, shown };
        plan.choose(all, max_rows);
        plan
    }

    /// Shows the longest spans first, each only after its parent, as long as the rows suffice.
    ///
    /// A node costs its row and, if it has children, one that counts those not shown; the last of
    /// a family to be shown saves its parent's.
    fn choose(&mut self, all: usize, max_rows: usize) {
        let mut hidden: Vec<usize> = self.children.iter().map(Vec::len).collect();
        let mut rows = usize::from(hidden[all] > 0);
        // Longest first; among equals the earlier sibling, whose place in `rank` is smaller.
        let mut candidates = BinaryHeap::new();
        self.shown[all] = true;
        let mut rank = 0_usize;
        let mut offer = |parent: usize, candidates: &mut BinaryHeap<_>| {
            for &child in &self.children[parent] {
                rank += 1;
                candidates.push((self.times[child].micros(), Reverse(rank), child, parent));
            }
        };
        offer(all, &mut candidates);
        while let Some((_, _, node, parent)) = candidates.pop() {
            let cost = 1 + usize::from(hidden[node] > 0);
            let saved = usize::from(hidden[parent] == 1);
            if rows + cost - saved > max_rows {
                // Going on with shorter ones that fit would show them in place of longer ones.
                break;
            }
            rows = rows + cost - saved;
            hidden[parent] -= 1;
            self.shown[node] = true;
            offer(node, &mut candidates);
        }
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let spans = self.forest.spans.len();
        let all = self.children.len() - 1;
        let mut rows = Vec::new();
        let mut open = vec![Todo::Children(all, 0)];
        let mut axis = Extent { start: 0.0, end: 0.0 };
        while let Some(todo) = open.pop() {
            match todo {
                Todo::Children(parent, depth) => {
                    let children = &self.children[parent];
                    let hidden = children.iter().filter(|&&child| !self.shown[child]);
                    if parent == all {
                        let count = hidden.count();
                        if count > 0 {
                            open.push(Todo::Row(Row::Note(format!("… {count} more trace{}", plural(count)))));
                        }
                    } else {
                        let count: usize = hidden.map(|&child| self.sizes[child]).sum();
                        if count > 0 {
                            open.push(Todo::Row(Row::More { depth, count }));
                        }
                    }
                    let shown = children.iter().rev().filter(|&&child| self.shown[child]);
                    open.extend(shown.map(|&child| Todo::Node(child, depth)));
                }
                Todo::Node(node, depth) if node < spans => {
                    let span = &self.forest.spans[node];
                    rows.push(Row::Span { span, depth, axis });
                    open.push(Todo::Children(node, depth + 1));
                }
                Todo::Node(trace, depth) => {
                    axis = self.times[trace];
                    let id = self.children[trace].first().map_or("", |&root| &self.forest.spans[root].trace_id);
                    let (count, s) = (self.sizes[trace], plural(self.sizes[trace]));
                    rows.push(Row::Note(format!("trace {}, {count} span{s}", one_line(id))));
                    open.push(Todo::Children(trace, depth));
                }
                Todo::Row(row) => rows.push(row),
            }
        }
        rows
    }
}

enum Todo<'p> {
    Children(usize, usize),
    Node(usize, usize),
    Row(Row<'p>),
}

enum Row<'p> {
    Note(String),
    More { depth: usize, count: usize },
    Span { span: &'p Span, depth: usize, axis: Extent },
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The widths of the columns.
struct Layout {
    /// What stands before everything, and its width with the blanks behind it.
    column: Option<Column>,
    before: usize,
    /// The most blanks before a label: half of the widest column, or deep spans would have no name.
    indent: usize,
    label: usize,
    bar: usize,
    duration: usize,
}

impl Layout {
    fn new(rows: &[Row<'_>], width: usize, column: Option<Column>) -> Self {
        let (mut label, mut duration, mut status) = (0, 0, 0);
        let before = width_of(column, rows, width / 5);
        let width = width - before;
        let widest_label = width * 2 / 5;
        let most = widest_label / 2;
        for row in rows {
            if let Row::Span { span, depth, .. } = row {
                // Counting no further than needed keeps a long name cheap.
                let name = one_line(&span.name).chars().take(widest_label).count();
                label = label.max(indent(*depth, most) + name).min(widest_label);
                duration = duration.max(human(span.duration()).chars().count());
                status = status.max(status_note(span).chars().count());
            }
        }
        // Two blanks on each side of the bar.
        let bar = width.saturating_sub(label + duration + status + 4).max(10);
        Self { column, before, indent: most, label, bar, duration }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, row: &Row<'_>) -> fmt::Result {
        match row {
            Row::Note(note) => writeln!(f, "{note}"),
            Row::More { depth, count } => {
                writeln!(f, "{:indent$}… {count} more", "", indent = self.before + indent(*depth, self.indent))
            }
            Row::Span { span, depth, axis } => {
                let indent = indent(*depth, self.indent);
                let label = fit(&one_line(&span.name), self.label - indent);
                let label = format!("{:indent$}{label}", "");
                let (bar, time) = (bar(Extent::of(span), *axis, self.bar), human(span.duration()));
                let (label_width, duration_width) = (self.label, self.duration);
                let note = status_note(span);
                if let Some(column) = self.column {
                    let (before, text) = (self.before, fit(&one_line(column(span)), self.before.saturating_sub(2)));
                    write!(f, "{text:<before$}")?;
                }
                writeln!(f, "{label:<label_width$}  {bar}  {time:>duration_width$}{note}")
            }
        }
    }
}

/// How wide the column before the names is, with two blanks behind it.
fn width_of(column: Option<Column>, rows: &[Row<'_>], most: usize) -> usize {
    let Some(column) = column else { return 0 };
    let texts = rows.iter().filter_map(|row| match row {
        Row::Span { span, .. } => Some(one_line(column(span)).chars().take(most).count()),
        Row::Note(_) | Row::More { .. } => None,
    });
    texts.max().map_or(0, |widest| widest + 2)
}

/// The blanks before a label: two a level.
fn indent(depth: usize, most: usize) -> usize {
    (depth * 2).min(most)
}

fn status_note(span: &Span) -> String {
    if span.status == "ok" { String::new() } else { format!(" [{}]", one_line(&span.status)) }
}

/// A text of at most `width` characters.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A bar of this many columns, drawn in half columns, at least one half long.
fn bar(span: Extent, axis: Extent, columns: usize) -> String {
    let halves = columns * 2;
    let length = axis.end - axis.start;
    // The cast saturates, so times outside the axis (or no axis at all) end up at its ends.
    let place = |time: f64| (((time - axis.start) / length * halves as f64).round() as usize).min(halves);
    let start = place(span.start).min(halves - 1);
    let end = place(span.end).max(start + 1);
    let filled = |half: usize| (start..end).contains(&half);
    let column = |at: usize| match (filled(at * 2), filled(at * 2 + 1)) {
        (true, true) => '█',
        (true, false) => '▌',
        (false, true) => '▐',
        (false, false) => ' ',
    };
    (0..columns).map(column).collect()
}

/// A duration in the unit that keeps it short, with three digits below a minute.
fn human(duration: Duration) -> String {
    let micros = duration.as_micros();
    let seconds = (micros + 500_000) / 1_000_000;
    match micros {
        0..1000 => format!("{micros} µs"),
        // The bounds are those at which three digits would round up to the next unit.
        1000..999_500 => format!("{} ms", three_digits(micros as f64 / 1e3)),
        999_500..59_950_000 => format!("{} s", three_digits(micros as f64 / 1e6)),
        _ if seconds < 3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn three_digits(number: f64) -> String {
    let decimals = match number {
        _ if number < 9.995 => 2,
        _ if number < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}
