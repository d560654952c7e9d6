//! The run: pass after pass over the tree.

use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::super::SPANS_A_SECOND;
use super::super::args::Args;
use super::super::console::{Totals, count};
use super::super::words::Index;
use super::{walk, work};
use crate::legacy::{Span, SpanStatus, Transaction, TransactionContext, start_transaction};

/// Indexes the tree again and again until the time is over, and returns the last index.
pub(in super::super) fn index(args: &Args, totals: &Totals) -> io::Result<Index> {
    let transaction = start_transaction(TransactionContext::new("index", "function"));
    transaction.set_data("index.workers", args.workers);
    let index = passes(&transaction, args, totals);
    if index.is_err() {
        transaction.set_status(SpanStatus::InternalError);
    }
    transaction.finish();
    index
}

fn passes(transaction: &Transaction, args: &Args, totals: &Totals) -> io::Result<Index> {
    let begun = Instant::now();
    for number in 1_u64.. {
        let pass_begun = Instant::now();
        let started_before = span_runtime::stats().started;
        let span = transaction.start_child("function", "pass");
        span.set_data("pass.number", number);
        let index = pass(&span, args, totals);
        if index.is_err() {
            span.set_status(SpanStatus::InternalError);
        }
        span.finish();
        let index = index?;

        let made = span_runtime::stats().started - started_before;
        let pace = Duration::from_secs(made) / SPANS_A_SECOND;
        let pause = pace.saturating_sub(pass_begun.elapsed());
        thread::sleep(pause.min(args.duration.saturating_sub(begun.elapsed())));
        if begun.elapsed() >= args.duration {
            transaction.set_data("index.passes", number);
            return Ok(index);
        }
    }
    Ok(Index::default())
}

/// Indexes the tree once: this thread walks it, the workers take the files from a queue.
fn pass(span: &Span, args: &Args, totals: &Totals) -> io::Result<Index> {
    let index = Mutex::default();
    thread::scope(|scope| {
        // Bounded, so that a walker that is faster than the workers waits instead of filling the memory.
        let (jobs, queue) = crossbeam_channel::bounded(32);
        for number in 1..=args.workers {
            let (queue, index) = (queue.clone(), &index);
            thread::Builder::new()
                .name(format!("indexer-{number}"))
                .spawn_scoped(scope, move || work::work(&queue, index, totals))?;
        }
        // The workers' ends of the queue are the only ones: if all of them are gone, the walker notices.
        drop(queue);
        walk::walk(&args.dir, &jobs, &index, span);
        io::Result::Ok(())
    })?;
    let index: Index = index.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    span.set_data("files", index.files);
    span.set_data("words", index.words());
    count(&totals.passes, 1);
    Ok(index)
}
