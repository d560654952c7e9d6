//! The run: pass after pass over the tree.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::prelude::*;

use super::args::Args;
use super::console::{Totals, count};
use super::words::Index;
use super::{SPANS_A_SECOND, walk, work};

/// Indexes the tree again and again until the time is over, and returns the last index.
#[span(name = "index", attributes("index.workers" = args.workers))]
pub(super) fn index(args: &Args, totals: &Totals) -> io::Result<Index> {
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
            // The attribute lands on the span `index`: the one of the pass has ended.
            current_span().set_attribute("index.passes", number);
            return Ok(index);
        }
    }
    Ok(Index::default())
}

/// Indexes the tree once: this thread walks it, the workers take the files from a queue.
#[span(name = "pass", attributes("pass.number" = number))]
fn pass(number: u64, args: &Args, totals: &Totals) -> io::Result<Index> {
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
        walk::walk(&args.dir, &jobs, &index);
        io::Result::Ok(())
    })?;
    let index: Index = index.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    current_span().set_attributes([("files", index.files), ("words", index.words())]);
    count(&totals.passes, 1);
    Ok(index)
}
