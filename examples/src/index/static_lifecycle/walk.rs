//! The walk through the directories, which queues the files.

use std::path::Path;
use std::sync::Mutex;

use crossbeam_channel::Sender;
use span_runtime::{display, names};

use super::super::tree::{Entry, Kind, list, name, relative};
use super::super::words::Index;
use super::work::{Job, lock};
use crate::legacy::{Span, SpanStatus};

/// A directory that the walk is in.
struct Directory {
    /// It finishes when the directory is left. Clones of it, with the workers, stand for the same span.
    span: Span,
    left: std::vec::IntoIter<Entry>,
}

/// Walks the tree below `root`, depth first, and queues its files. `root` may be a file.
pub(super) fn walk(root: &Path, jobs: &Sender<Job>, index: &Mutex<Index>, pass: &Span) {
    let walk = pass.start_child("function", "walk");
    if !root.is_dir() {
        // If nobody takes jobs any more, there is nothing to be done about it.
        let _ = jobs.send(Job::new(root.to_owned(), root, walk.clone()));
        walk.finish();
        return;
    }
    let mut open = vec![enter(root, root, &walk, index)];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.left.next() else {
            if let Some(Directory { span, .. }) = open.pop() {
                span.finish();
            }
            continue;
        };
        match entry.kind {
            Kind::Directory => {
                let parent = directory.span.clone();
                open.push(enter(&entry.path, root, &parent, index));
            }
            Kind::File => {
                let job = Job::new(entry.path, root, directory.span.clone());
                if jobs.send(job).is_err() {
                    break;
                }
            }
            Kind::Other => lock(index).skipped += 1,
        }
    }
    // Where the walk broke off, directories are still open: they finish before it does.
    drop(open);
    walk.finish();
}

/// Starts the span of a directory and reads what is in it.
fn enter(path: &Path, root: &Path, parent: &Span, index: &Mutex<Index>) -> Directory {
    let span = parent.start_child("directory", format!("{}/", name(path)));
    span.set_data("file.path", relative(path, root));
    let mut entries = Vec::new();
    if let Err(error) = list(path, &mut entries) {
        span.set_status(SpanStatus::InternalError);
        span.set_data(names::ERROR_MESSAGE, display(error));
        lock(index).unreadable += 1;
    }
    span.set_data("directory.entries", entries.len());
    Directory { span, left: entries.into_iter() }
}
