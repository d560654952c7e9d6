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
//! This module is the program from above; `passes.rs`, `walk.rs` and `work.rs` are what it does, and how it makes spans
//! of it.
//!
//! With the feature `static` the same run is one transaction of the legacy API, in `static_lifecycle`. A transaction has
//! 1,000 children at most. On a larger tree the rest is counted lost, as `buffer_overflow`; spans that stream have no
//! such limit.

mod args;
mod console;
mod demonstration;
mod tree;
mod words;

#[cfg(not(feature = "static"))]
mod passes;
#[cfg(feature = "static")]
mod static_lifecycle;
#[cfg(not(feature = "static"))]
mod walk;
#[cfg(not(feature = "static"))]
mod work;

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use span_runtime::testing::{Envelope, Span};
use span_runtime::{Options, Stats};

use args::{Args, Request};
pub use console::Console;
use console::{Totals, watch};
#[cfg(not(feature = "static"))]
use passes::index;
#[cfg(feature = "static")]
use static_lifecycle::index;
use words::Index;

#[cfg(feature = "static")]
use crate::legacy::init;
#[cfg(not(feature = "static"))]
use span_runtime::init;

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
    let spans = match init(options) {
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

/// The spans in an envelope; those of a transaction in the static lifecycle.
pub fn spans_of(envelope: &Envelope) -> Vec<Span> {
    #[cfg(feature = "static")]
    return envelope.transaction_spans();
    #[cfg(not(feature = "static"))]
    return envelope.spans().to_vec();
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
