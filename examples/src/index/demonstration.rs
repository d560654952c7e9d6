//! The run without a DSN: a receiver inside of this program stands in for Sentry and shows what arrives.
//!
//! Nothing is cut short for it: the spans go through the flusher and over HTTP as they always do, and what is
//! printed is what the receiver decoded from the requests.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::thread;
use std::time::SystemTime;

use crossbeam_channel::select;
use span_runtime::Options;
use span_runtime::testing::{Envelope, Receiver, Span, Waterfall};

use super::args::Args;
use super::console::{Bytes, Console, Totals, watch};
use super::{PATIENCE, RELEASE, fail, index, init, print_stats, print_words, spans_of};

/// So many files and stages are kept for the waterfall. The rest is counted and forgotten, so that a long run takes
/// no more memory than a short one.
const KEPT: usize = 20_000;

/// Lines of the two waterfalls.
const OVERVIEW_ROWS: usize = 12;
const PASS_ROWS: usize = 40;

/// Runs the program against the receiver.
pub(super) fn run(args: &Args, console: &Console<'_>) -> u8 {
    let receiver = match Receiver::start() {
        Ok(receiver) => receiver,
        Err(error) => return fail(console, 1, format_args!("no receiver could be started: {error}")),
    };
    let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0).release(RELEASE);
    let spans = match init(options) {
        Ok(spans) => spans,
        Err(error) => return fail(console, 2, error),
    };
    console.line(format_args!("No DSN, so the spans go to a receiver in this program, at {}.\n", receiver.addr()));

    let arrivals = receiver.subscribe();
    let root_ended = OnceLock::new();
    let (index, stats, seen) = thread::scope(|scope| {
        // Nothing is sent: the channel ends with `running`, even by a panic.
        let (running, stopped) = crossbeam_channel::bounded::<()>(0);
        let (receiver, root_ended) = (&receiver, &root_ended);
        let shower = scope.spawn(move || {
            let mut seen = Seen::new();
            loop {
                select! {
                    recv(arrivals) -> envelope => match envelope {
                        Ok(envelope) => seen.take(&envelope, receiver, root_ended, console),
                        Err(_) => break,
                    },
                    recv(stopped) -> _ => break,
                }
            }
            // Both may have been ready.
            arrivals.try_iter().for_each(|envelope| seen.take(&envelope, receiver, root_ended, console));
            seen
        });
        let totals = Totals::default();
        let index = watch(console, &totals, || {
            let index = index(args, &totals);
            // A moment after the span's end, so that no envelope is called early that was not.
            root_ended.get_or_init(SystemTime::now);
            index
        });
        // When this returns, all that was sent has been answered, and what the receiver accepts it does before it answers.
        let (_, stats) = spans.close(PATIENCE);
        drop(running);
        let seen = shower.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (index, stats, seen)
    });

    let index = match index {
        Ok(index) => index,
        Err(error) => return fail(console, 1, error),
    };
    print_words(console, &index);
    seen.print_waterfalls(console);
    let refused = seen.print_refused(&receiver, console);
    print_stats(console, &stats);
    u8::from(refused)
}

/// What has arrived.
struct Seen {
    since: SystemTime,
    envelopes: usize,
    spans: usize,
    violations: Vec<String>,
    /// Spans for the waterfall.
    kept: Vec<Span>,
}

impl Seen {
    fn new() -> Self {
        Seen { since: SystemTime::now(), envelopes: 0, spans: 0, violations: Vec::new(), kept: Vec::new() }
    }

    /// Prints a line about an envelope, and makes the receiver forget it.
    fn take(
        &mut self,
        envelope: &Envelope,
        receiver: &Receiver,
        root_ended: &OnceLock<SystemTime>,
        console: &Console<'_>,
    ) {
        let spans = spans_of(envelope);
        self.envelopes += 1;
        self.spans += spans.len();
        let after = envelope.arrived.duration_since(self.since).unwrap_or_default().as_secs_f64();
        let (bytes, kinds) = (Bytes(envelope.raw.len() as u64), kinds(&spans));
        let root = if root_ended.get().is_none_or(|end| envelope.arrived < *end) { "open " } else { "ended" };
        console.line(format_args!("{after:>7.3} s  {:>5} spans  {bytes:>7}  root {root}  {kinds}", spans.len()));
        #[cfg(feature = "static")]
        super::static_lifecycle::print_transaction(&spans, console);

        for span in &spans {
            if self.kept.len() < KEPT || matches!(kind(span), "index" | "pass" | "walk" | "directory") {
                self.kept.push(span.clone());
            }
        }
        self.violations.extend(receiver.violations());
        receiver.forget();
    }

    /// Prints the root with its passes, and then the first pass alone: on the time axis of the whole run a pass would
    /// be a dot.
    fn print_waterfalls(&self, console: &Console<'_>) {
        let is = |span: &&Span, wanted| kind(span) == wanted;
        let overview: Vec<Span> =
            self.kept.iter().filter(|span| is(span, "index") || is(span, "pass")).cloned().collect();
        console.line(format_args!("\nThe run, {} spans in {} envelopes:\n", self.spans, self.envelopes));
        console.text(Waterfall::new(&overview).max_rows(OVERVIEW_ROWS));

        let passes = overview.iter().filter(|span| is(span, "pass"));
        let Some(first) = passes.min_by(|one, other| one.start_timestamp.total_cmp(&other.start_timestamp)) else {
            console.line("\nNo pass is among them, so none can be drawn.");
            return;
        };
        console.line("\nIts first pass:\n");
        console.text(Waterfall::new(&self.below(first)).max_rows(PASS_ROWS));
        if self.kept.len() >= KEPT {
            console.line(format_args!("(drawn from the first {KEPT} spans that arrived, and all directories)"));
        }
    }

    /// A span with all its descendants.
    fn below(&self, top: &Span) -> Vec<Span> {
        let mut children: HashMap<&str, Vec<&Span>> = HashMap::new();
        for span in &self.kept {
            if let Some(parent) = &span.parent_span_id {
                children.entry(parent).or_default().push(span);
            }
        }
        let (mut found, mut next, mut ids) = (Vec::new(), vec![top], HashSet::new());
        while let Some(span) = next.pop() {
            // An id that comes twice would be a fault, but no reason to go in circles.
            if ids.insert(&span.span_id) {
                found.push(span.clone());
                next.extend(children.get(span.span_id.as_str()).into_iter().flatten());
            }
        }
        found
    }

    /// Whether the receiver saw anything that Sentry would not have taken.
    fn print_refused(&self, receiver: &Receiver, console: &Console<'_>) -> bool {
        let rest = receiver.violations();
        let broken: Vec<&String> = self.violations.iter().chain(&rest).collect();
        for violation in &broken {
            console.line(format_args!("broken rule: {violation}"));
        }
        // Counted as well, since a rule that was broken between two looks of `take` would have been forgotten.
        let refused = receiver.request_count().saturating_sub(self.envelopes);
        if refused > 0 {
            console.line(format_args!("{refused} requests were refused"));
        }
        refused > 0 || !broken.is_empty()
    }
}

/// What a span is about: files and directories have names of their own, and their operation in common.
fn kind(span: &Span) -> &str {
    match span.text(span_runtime::names::OP) {
        Some(operation @ ("file" | "directory")) => operation,
        _ => &span.name,
    }
}

/// The kinds of spans with their numbers, the most frequent first.
fn kinds(spans: &[Span]) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for span in spans {
        *counts.entry(kind(span)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
    let texts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    texts.join(", ")
}
