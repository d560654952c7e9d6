//! The run: pass after pass over the tree.

use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{io, thread};

use span_runtime::transaction;

use super::super::SPANS_A_SECOND;
use super::super::args::Args;
use super::super::console::{Totals, count};
use super::super::words::Index;
use super::{walk, work};
use crate::legacy::{SpanStatus, TransactionOrSpan, current_span};

/// Indexes the tree again and again until the time is over, and returns the last index.
#[transaction(name = "index", data("index.workers" = args.workers))]
pub(in super::super) fn index(args: &Args, totals: &Totals) -> io::Result<Index> {
    let begun = Instant::now();
    for number in 1_u64.. {
        let pass_begun = Instant::now();
        let started_before = span_runtime::stats().started;
        let index = pass(number, args, totals)?;

        let made = span_runtime::stats().started - started_before;
        let pace = Duration::from_secs(made) / SPANS_A_SECOND;
        let pause = pace.saturating_sub(pass_begun.elapsed());
        thread::sleep(pause.min(args.duration.saturating_sub(begun.elapsed())));
        if begun.elapsed() >= args.duration {
            if let Some(transaction) = current_span() {
                transaction.set_data("index.passes", number);
            }
            return Ok(index);
        }
    }
    Ok(Index::default())
}

/// Indexes the tree once: this thread walks it, the workers take the files from a queue.
fn pass(number: u64, args: &Args, totals: &Totals) -> io::Result<Index> {
    // The transaction is current: the attribute above made it so.
    let pass = current_span().map(|transaction| transaction.start_child("function", "pass"));
    let Some(pass) = pass else { return Ok(Index::default()) };
    pass.set_data("pass.number", number);
    let index = Mutex::default();
    let walked = thread::scope(|scope| {
        // Bounded, so that a walker that is faster than the workers waits instead of filling the memory.
        let (jobs, queue) = crossbeam_channel::bounded(32);
        for number in 1..=args.workers {
            let (queue, index) = (queue.clone(), &index);
            thread::Builder::new()
                .name(format!("indexer-{number}"))
                .spawn_scoped(scope, move || work::work(&queue, index, totals))?;
        }
        drop(queue);
        walk::walk(&args.dir, &jobs, &index, &TransactionOrSpan::from(pass.clone()));
        io::Result::Ok(())
    });
    if walked.is_err() {
        pass.set_status(SpanStatus::InternalError);
    }
    let index: Index = index.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    pass.set_data("files", index.files);
    pass.set_data("words", index.words());
    pass.finish();
    count(&totals.passes, 1);
    walked.map(|()| index)
}
