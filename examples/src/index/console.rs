//! What the program writes: lines on one stream, its progress on the other.

use std::fmt::{self, Display};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

/// Two streams that may end at the same terminal.
///
/// Errors of writing are ignored: a reader that went away, as `head` does, is no reason to stop the work.
pub struct Console<'a> {
    streams: Mutex<Streams<'a>>,
    rewrite: bool,
}

struct Streams<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    /// Whether there is a line of progress to be erased before anything else is written.
    progress: bool,
}

impl<'a> Console<'a> {
    /// A console that writes results to `out`, progress and complaints to `err`. With `rewrite`, progress is one line
    /// that is written over again and again, which only a terminal can do.
    pub fn new(out: &'a mut (dyn Write + Send), err: &'a mut (dyn Write + Send), rewrite: bool) -> Self {
        Console { streams: Mutex::new(Streams { out, err, progress: false }), rewrite }
    }

    pub(super) fn line(&self, line: impl Display) {
        self.text(format_args!("{line}\n"));
    }

    pub(super) fn text(&self, text: impl Display) {
        let mut streams = self.streams();
        streams.erase_progress();
        // One write, so that lines stay whole where several programs share the stream.
        let _ = streams.out.write_all(text.to_string().as_bytes());
        let _ = streams.out.flush();
    }

    pub(super) fn complain(&self, line: impl Display) {
        let mut streams = self.streams();
        streams.erase_progress();
        let _ = streams.err.write_all(format!("{line}\n").as_bytes());
    }

    fn progress(&self, line: impl Display) {
        if !self.rewrite {
            return self.complain(line);
        }
        let mut streams = self.streams();
        streams.progress = true;
        let _ = streams.err.write_all(format!("\r{line}\x1b[K").as_bytes());
        let _ = streams.err.flush();
    }

    fn streams(&self) -> MutexGuard<'_, Streams<'a>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams<'_> {
    fn erase_progress(&mut self) {
        if std::mem::take(&mut self.progress) {
            let _ = self.err.write_all(b"\r\x1b[K");
            let _ = self.err.flush();
        }
    }
}

impl fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("rewrite", &self.rewrite).finish_non_exhaustive()
    }
}

/// What has been done so far, in all passes.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) passes: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// Adds to one of the [`Totals`].
pub(super) fn count(total: &AtomicU64, more: u64) {
    total.fetch_add(more, Ordering::Relaxed);
}

impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let (passes, files, bytes) = (read(&self.passes), read(&self.files), read(&self.bytes));
        write!(f, "{passes} passes, {files} files, {}; {}", Bytes(bytes), span_runtime::stats())
    }
}

/// A number of bytes as people read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub(super) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            bytes @ 0..1_000 => format!("{bytes} B"),
            bytes @ 1_000..1_000_000 => format!("{} kB", bytes / 1_000),
            bytes => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
        };
        // With `pad`, a width in the format works.
        f.pad(&text)
    }
}

/// Does the work and shows the totals meanwhile.
pub(super) fn watch<T>(console: &Console<'_>, totals: &Totals, work: impl FnOnce() -> T) -> T {
    let period = Duration::from_millis(if console.rewrite { 100 } else { 1_000 });
    thread::scope(|scope| {
        // Nothing is sent. The channel ends when `running` goes, even by a panic, and so does the thread.
        let (running, stopped) = crossbeam_channel::bounded::<()>(0);
        scope.spawn(move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                console.progress(totals);
            }
        });
        let done = work();
        drop(running);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_erased_before_a_line() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        {
            let console = Console::new(&mut out, &mut err, true);
            console.progress("1 file");
            console.progress("2 files");
            console.line("done");
            console.complain("oh");
        }
        assert_eq!(out, b"done\n");
        assert_eq!(String::from_utf8_lossy(&err), "\r1 file\x1b[K\r2 files\x1b[K\r\x1b[Koh\n");
    }

    #[test]
    fn bytes_are_rounded_down() {
        let texts = [0, 999, 1_000, 999_999, 1_000_000, 12_345_678].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(texts, ["0 B", "999 B", "1 kB", "999 kB", "1.0 MB", "12.3 MB"]);
        assert_eq!(format!("{:>7}", Bytes(5)), "    5 B");
    }
}
