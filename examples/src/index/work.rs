//! The workers, which read the files and count their words.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Receiver;
use span_runtime::SpanHandle;
use span_runtime::prelude::*;

use super::console::{Totals, count};
use super::tree::{MOST_BYTES, name, read_all, relative};
use super::words::{Index, Words};

/// A file to be indexed.
#[derive(Debug)]
pub(super) struct Job {
    path: PathBuf,
    relative: String,
    /// The span of the directory that the file is in. The directory's own span may have ended when a worker comes to the
    /// file: it can be a parent all the same.
    directory: SpanHandle,
}

impl Job {
    pub(super) fn new(path: PathBuf, root: &Path, directory: SpanHandle) -> Self {
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
        let outcome = index_file(&job, index, totals);
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

/// Indexes one file. This thread has no current span, so the parent is given; and since the function returns a
/// `Result`, its span says by itself whether it worked, and with `err` also what went wrong.
#[span(
    name = name(&job.path),
    parent = &job.directory,
    attributes("sentry.op" = "file", "file.path" = &job.relative),
    err,
)]
fn index_file(job: &Job, index: &Mutex<Index>, totals: &Totals) -> io::Result<Outcome> {
    // From here on the file's span is the current one, and the stages become its children.
    let Some(bytes) = read(&job.path)? else {
        current_span().set_attribute("file.too_large", true);
        return Ok(Outcome::TooLarge);
    };
    count(&totals.bytes, bytes.len() as u64);
    current_span().set_attribute("file.size", bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes) else {
        current_span().set_attribute("file.binary", true);
        return Ok(Outcome::Binary);
    };
    let words = span!("tokenise", "text.bytes" = text.len(), { Words::of(text) });
    current_span().set_attributes([("words", words.total()), ("words.distinct", words.distinct())]);
    // Waiting for the other workers is part of it, and shows in the waterfall.
    span!("merge", "words.distinct" = words.distinct(), { lock(index).merge(words) });
    Ok(Outcome::Indexed)
}

/// Reads a file; `None` if it is too large.
#[span(name = "read", err)]
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    current_span().set_attribute("file.size", size);
    if size > MOST_BYTES {
        return Ok(None);
    }
    read_all(file).map(Some)
}

/// Locks the index. Should a worker panic, the numbers of the others are still good.
pub(super) fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
