//! The walk through the directories, which queues the files.

use std::path::Path;
use std::sync::Mutex;

use crossbeam_channel::Sender;
use span_runtime::prelude::*;
use span_runtime::{Span, SpanHandle, names};

use super::tree::{Entry, Kind, list, name, relative};
use super::words::Index;
use super::work::{Job, lock};

/// A directory that the walk is in.
struct Directory {
    /// Open until all that is below has been walked. It is current nowhere: several directories are open at once,
    /// and each is the parent of what it contains.
    _span: Span,
    /// For those who hang spans on it, here and on the workers' threads.
    handle: SpanHandle,
    left: std::vec::IntoIter<Entry>,
}

/// Walks the tree below `root`, depth first, and queues its files. `root` may be a file.
///
/// The directories that are open are on a stack of our own, since a tree may be deeper than the thread's stack.
#[span(name = "walk")]
pub(super) fn walk(root: &Path, jobs: &Sender<Job>, index: &Mutex<Index>) {
    let walk = current_span().handle();
    if !root.is_dir() {
        // If nobody takes jobs any more, there is nothing to be done about it.
        let _ = jobs.send(Job::new(root.to_owned(), root, walk));
        return;
    }
    let mut open = vec![enter(root, root, &walk, index)];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.left.next() else {
            // The end of what was pushed last: its span ends here.
            open.pop();
            continue;
        };
        match entry.kind {
            Kind::Directory => {
                let parent = directory.handle.clone();
                open.push(enter(&entry.path, root, &parent, index));
            }
            Kind::File => {
                let job = Job::new(entry.path, root, directory.handle.clone());
                if jobs.send(job).is_err() {
                    return;
                }
            }
            Kind::Other => lock(index).skipped += 1,
        }
    }
}

/// Starts the span of a directory and reads what is in it.
fn enter(path: &Path, root: &Path, parent: &SpanHandle, index: &Mutex<Index>) -> Directory {
    let mut span = start_span(format!("{}/", name(path)))
        .attribute(names::OP, "directory")
        .attribute("file.path", relative(path, root))
        .parent(parent)
        .inactive()
        .start();
    let mut entries = Vec::new();
    if let Err(error) = list(path, &mut entries) {
        span.set_status(Status::Error);
        span.set_attribute(names::ERROR_MESSAGE, display(error));
        lock(index).unreadable += 1;
    }
    span.set_attribute("directory.entries", entries.len());
    Directory { handle: span.handle(), _span: span, left: entries.into_iter() }
}
