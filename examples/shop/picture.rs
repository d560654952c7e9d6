//! What arrived, as people look at it.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use span_runtime::names;
use span_runtime::testing::{Receiver, Span, Waterfall};

use crate::Failed;
use crate::driver::{self, Timed};

/// What the receiver decoded from the requests.
pub(crate) struct Picture {
    requests: usize,
    violations: Vec<String>,
    /// The spans of each trace.
    traces: BTreeMap<String, Vec<Span>>,
}

/// The process that a span is of: each has a release of its own, `shop@0.1.0`.
fn service(span: &Span) -> &str {
    let release = span.text(names::RELEASE).unwrap_or_default();
    release.split('@').next().unwrap_or_default()
}

/// Seconds from the beginning of a trace to the arrival of its first spans.
fn first_arrival(spans: &[Span]) -> Option<f64> {
    let began = spans.iter().map(|span| span.start_timestamp).min_by(f64::total_cmp)?;
    let arrived = spans.iter().map(|span| span.arrived).min()?;
    Some(arrived.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64() - began)
}

/// Whether the spans hang together: one root, that of the customer, and below it all others.
fn is_joined(spans: &[Span]) -> bool {
    let ids: HashSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let is_known = |span: &Span| span.parent_span_id.as_ref().is_some_and(|parent| ids.contains(parent.as_str()));
    let mut tops = spans.iter().filter(|span| !is_known(span));
    let root = tops.next().filter(|root| root.parent_span_id.is_none() && service(root) == driver::NAME);
    root.is_some() && tops.next().is_none()
}

impl Picture {
    pub(crate) fn new(receiver: &Receiver) -> Self {
        let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for span in receiver.spans() {
            traces.entry(span.trace_id.clone()).or_default().push(span);
        }
        Picture { requests: receiver.request_count(), violations: receiver.violations(), traces }
    }

    fn trace(&self, trace: &Timed) -> &[Span] {
        self.traces.get(&trace.trace_id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Says when the spans of a long request came.
    pub(crate) fn print_report(&self, report: &Timed) {
        let after = |time: SystemTime| time.duration_since(report.began).unwrap_or_default().as_secs_f64();
        println!("\nMeanwhile a report was read, for {:.2} s. Of its trace arrived", after(report.ended));
        let spans = self.trace(report);
        let mut firsts: BTreeMap<&str, SystemTime> = BTreeMap::new();
        for span in spans {
            firsts.entry(service(span)).and_modify(|first| *first = span.arrived.min(*first)).or_insert(span.arrived);
        }
        let mut firsts: Vec<_> = firsts.into_iter().collect();
        firsts.sort_by_key(|(_, first)| *first);
        for (service, first) in firsts {
            println!("{:>8.2} s  the first spans of {service}", after(first));
        }
        if let Some(last) = spans.iter().map(|span| span.arrived).max() {
            println!("{:>8.2} s  the last of {} spans", after(last), spans.len());
        }
    }

    /// Draws a trace.
    pub(crate) fn print_trace(&self, trace: &Timed) {
        println!("\nThe visit before all others:\n");
        let mut spans = self.trace(trace).to_vec();
        for span in &mut spans {
            // Spans of a cache are named by the key alone.
            if let Some(op) = span.text(names::OP).filter(|op| op.starts_with("cache.")) {
                let is_miss = span.attribute(names::CACHE_HIT).is_some_and(|hit| *hit == false);
                span.name = format!("{op} {}{}", span.name, if is_miss { ": miss" } else { "" });
            }
        }
        print!("{}", Waterfall::new(&spans).width(110).column(service));
    }

    /// Says how much there was, and whether it is all that the processes made; their names and stats are given.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub(crate) fn print_numbers(&self, stats: &[(&str, String)]) -> Result<(), Failed> {
        let (spans, traces, requests) =
            (self.traces.values().map(Vec::len).sum::<usize>(), self.traces.len(), self.requests);
        println!("\n{spans} spans of {traces} traces in {requests} envelopes");
        let mut firsts: Vec<f64> = self.traces.values().filter_map(|spans| first_arrival(spans)).collect();
        firsts.sort_by(f64::total_cmp);
        if let (Some(median), Some(most)) = (firsts.get(firsts.len() / 2), firsts.last()) {
            println!("The first spans of a trace came {median:.2} s after it began (median; {most:.2} s at most).\n");
        }

        let mut faults = self.violations.clone();
        for (name, stats) in stats {
            println!("{name:<9}  {stats}");
            let arrived = self.traces.values().flatten().filter(|span| service(span) == *name).count();
            if *stats != format!("started={arrived} sent={arrived} lost=0 open=0") {
                faults.push(format!("{arrived} spans of {name} arrived"));
            }
        }
        let in_pieces = self.traces.iter().filter(|(_, spans)| !is_joined(spans));
        faults.extend(in_pieces.map(|(id, _)| format!("trace {id} is in pieces")));
        if !faults.is_empty() {
            return Err(faults.join("\n").into());
        }
        println!("all {spans} spans arrived, and all {traces} traces are whole");
        Ok(())
    }
}
