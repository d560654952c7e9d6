//! A word index of a directory tree, on several threads, with a span for everything that it does.
//!
//! ```text
//! index                      the whole run
//!   pass                     the tree, once
//!     walk                   the thread that finds the files
//!       src/                 a directory, below the one that it is in
//!         main.rs            a file, on a thread of its own choice
//!           read, tokenise, merge
//! ```
//!
//! This module is the program from above; `walk.rs` and `work.rs` are what it does, and how it makes spans of it.

mod args;
mod console;
mod demonstration;
mod walk;
mod words;
mod work;

use std::ffi::OsString;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use span_runtime::Stats;
use span_runtime::prelude::*;

use args::{Args, Request};
pub use console::Console;
use console::{Totals, count, watch};
use words::Index;

/// The release that the spans carry.
const RELEASE: &str = concat!("word-index@", env!("CARGO_PKG_VERSION"));

/// How long the end may take, where a server is slow to take what is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Passes are spaced so that they make no more spans than this in a second. Without it, a small tree would be
/// indexed hundreds of times a second, which shows nothing more.
const SPANS_A_SECOND: u32 = 3_000;

/// Runs the program; what is returned is its exit code: 0, or 1 if something went wrong, or 2 if an argument or the
/// DSN is not what it should be.
///
/// `dsn` is what `SENTRY_DSN` holds. It is passed in, so that tests do not depend on the environment.
pub fn run(arguments: impl IntoIterator<Item = OsString>, dsn: Option<OsString>, console: &Console<'_>) -> u8 {
    let args = match Args::parse(arguments, dsn) {
        Ok(Request::Help) => {
            console.text(args::HELP);
            return 0;
        }
        Ok(Request::Run(args)) => args,
        Err(error) => return fail(console, 2, error),
    };
    let dir = args.dir.display();
    match fs::metadata(&args.dir) {
        Ok(found) if found.is_dir() || found.is_file() => {}
        Ok(_) => return fail(console, 2, format_args!("{dir} is neither a directory nor a file")),
        Err(error) => return fail(console, 2, format_args!("cannot read {dir}: {error}")),
    }
    match &args.dsn {
        Some(dsn) => send_to(dsn, &args, console),
        None => demonstration::run(&args, console),
    }
}

fn fail(console: &Console<'_>, code: u8, error: impl std::fmt::Display) -> u8 {
    console.complain(format_args!("error: {error}"));
    code
}

/// The run as any program would do it: `init`, work, and the end of the guard.
fn send_to(dsn: &str, args: &Args, console: &Console<'_>) -> u8 {
    let options = Options::from_env().dsn(dsn).traces_sample_rate(1.0).release(RELEASE);
    let spans = match span_runtime::init(options) {
        Ok(spans) => spans,
        Err(error) => return fail(console, 2, error),
    };
    let totals = Totals::default();
    let index = watch(console, &totals, || index(args, &totals));
    // Most programs just let the guard drop; this one wants to know the numbers at the very end.
    let (_, stats) = spans.close(PATIENCE);
    match index {
        Ok(index) => {
            print_words(console, &index);
            print_stats(console, &stats);
            0
        }
        Err(error) => fail(console, 1, error),
    }
}

/// Indexes the tree again and again until the time is over, and returns the last index.
#[span(name = "index", attributes("index.workers" = args.workers))]
fn index(args: &Args, totals: &Totals) -> io::Result<Index> {
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

/// Prints what the index is for.
fn print_words(console: &Console<'_>, index: &Index) {
    let Index { files, binary, unreadable, skipped, .. } = index;
    console.line(format_args!(
        "\n{files} files with {} different words; {binary} binary, {skipped} skipped, {unreadable} unreadable",
        index.distinct()
    ));
    console.line(format_args!("{:>8}  {:>8}  word", "times", "in files"));
    for (word, count) in index.most_frequent(10) {
        console.line(format_args!("{:>8}  {:>8}  {word}", count.occurrences, count.files));
    }
}

/// Prints what became of the spans. The last line is for programs too.
fn print_stats(console: &Console<'_>, stats: &Stats) {
    console.line("");
    for (reason, count) in stats.lost.iter() {
        console.line(format_args!("lost: {count} by {}", reason.as_str()));
    }
    console.line(stats);
}
