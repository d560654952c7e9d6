//! The workers, which read the files and count their words.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Receiver;
use span_runtime::{display, names};

use super::super::console::{Totals, count};
use super::super::tree::{MOST_BYTES, name, read_all, relative};
use super::super::words::{Index, Words};
use crate::legacy::{Span, SpanStatus};

/// A file to be indexed.
#[derive(Debug)]
pub(super) struct Job {
    path: PathBuf,
    relative: String,
    /// The span of the directory that the file is in. It may have finished when a worker comes to the file.
    directory: Span,
}

impl Job {
    pub(super) fn new(path: PathBuf, root: &Path, directory: Span) -> Self {
        Job { relative: relative(&path, root), path, directory }
    }
}

/// What became of a file that could be read.
enum Outcome {
    Indexed,
    Binary,
    TooLarge,
}

/// What each worker does until the queue ends.
pub(super) fn work(queue: &Receiver<Job>, index: &Mutex<Index>, totals: &Totals) {
    for job in queue {
        let span = job.directory.start_child("file", name(&job.path));
        span.set_data("file.path", &job.relative);
        let outcome = failing(&span, index_file(&job, &span, index, totals));
        span.finish();
        count(&totals.files, 1);
        let mut index = lock(index);
        match outcome {
            Ok(Outcome::Indexed) => index.files += 1,
            Ok(Outcome::Binary) => index.binary += 1,
            Ok(Outcome::TooLarge) => index.skipped += 1,
            Err(_) => index.unreadable += 1,
        }
    }
}

/// Marks a span whose work failed: in this API nothing does that by itself.
fn failing<T>(span: &Span, outcome: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &outcome {
        span.set_status(SpanStatus::InternalError);
        span.set_data(names::ERROR_MESSAGE, display(error));
    }
    outcome
}

/// Indexes one file, whose span this is.
fn index_file(job: &Job, span: &Span, index: &Mutex<Index>, totals: &Totals) -> io::Result<Outcome> {
    let reading = span.start_child("function", "read");
    let read = failing(&reading, read(&job.path, &reading));
    reading.finish();
    let Some(bytes) = read? else {
        span.set_data("file.too_large", true);
        return Ok(Outcome::TooLarge);
    };
    count(&totals.bytes, bytes.len() as u64);
    span.set_data("file.size", bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes) else {
        span.set_data("file.binary", true);
        return Ok(Outcome::Binary);
    };
    let tokenising = span.start_child("function", "tokenise");
    tokenising.set_data("text.bytes", text.len());
    let words = Words::of(text);
    tokenising.finish();
    span.set_data("words", words.total());
    span.set_data("words.distinct", words.distinct());
    // Waiting for the other workers is part of it.
    let merging = span.start_child("function", "merge");
    merging.set_data("words.distinct", words.distinct());
    lock(index).merge(words);
    merging.finish();
    Ok(Outcome::Indexed)
}

/// Reads a file; `None` if it is too large.
fn read(path: &Path, span: &Span) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    span.set_data("file.size", size);
    if size > MOST_BYTES {
        return Ok(None);
    }
    read_all(file).map(Some)
}

/// Locks the index. Should a worker panic, the numbers of the others are still good.
pub(super) fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
