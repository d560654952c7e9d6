//! The walk through the directories, which queues the files.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crossbeam_channel::Sender;
use span_runtime::prelude::*;
use span_runtime::{Span, SpanHandle, names};

use super::words::Index;
use super::work::{Job, lock};

/// Directories with these names hold what was built or what belongs to Git.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// A directory that the walk is in.
struct Directory {
    /// Open until all that is below has been walked. It is current nowhere: several directories are open at once,
    /// and each is the parent of what it contains.
    _span: Span,
    /// For those who hang spans on it, here and on the workers' threads.
    handle: SpanHandle,
    left: std::vec::IntoIter<Entry>,
}

/// What stands in a directory.
struct Entry {
    path: PathBuf,
    kind: Kind,
}

#[derive(PartialEq)]
enum Kind {
    Directory,
    File,
    /// A link, or something that is not to be opened: reading a pipe could wait for ever.
    Other,
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
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    span.set_attribute("directory.entries", entries.len());
    Directory { handle: span.handle(), _span: span, left: entries.into_iter() }
}

/// Reads a directory. What was read before an error stays in `entries`.
fn list(path: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = kind(entry.file_type()?, &entry.path());
        if kind != Kind::Directory || !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            entries.push(Entry { path: entry.path(), kind });
        }
    }
    Ok(())
}

fn kind(file_type: FileType, path: &Path) -> Kind {
    if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_file() {
        Kind::File
    } else if file_type.is_symlink() && fs::metadata(path).is_err() {
        // A link that leads nowhere is treated as a file, so that the attempt to read it shows as a failure. All
        // others are left alone: what they lead to may be in the tree already, and may even contain them.
        Kind::File
    } else {
        Kind::Other
    }
}

/// The last part of a path. `.` and `/` have none.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new(".")).to_string_lossy().into_owned()
}

/// A path as seen from the root, so that it is the same on every machine.
pub(super) fn relative(path: &Path, root: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(inner) if inner != Path::new("") => inner.to_string_lossy().into_owned(),
        _ => name(path),
    }
}
