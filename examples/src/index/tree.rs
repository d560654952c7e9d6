//! The tree of files, without any spans.

use std::ffi::OsStr;
use std::fs::{self, File, FileType};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Directories with these names hold what was built or what belongs to Git.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Larger files are left out: each worker holds one in memory.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// What stands in a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Directory,
    File,
    /// A link, or something that is not to be opened: reading a pipe could wait for ever.
    Other,
}

/// Reads a directory, in the order of its names. What was read before an error stays in `entries`.
pub(super) fn list(path: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    let listed = list_unsorted(path, entries);
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    listed
}

fn list_unsorted(path: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
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

/// Reads an open file of this size, which may grow meanwhile.
pub(super) fn read_all(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
