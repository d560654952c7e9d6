//! The arguments.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, thread};

pub(super) const HELP: &str = "\
Indexes the words of a directory tree on several threads, and sends a span for everything it does to Sentry
while it runs.

Usage: index [DIR] [--workers N] [--seconds S] [--dsn DSN]

  DIR          what to index; by default the repository that the program stands in. Directories called `target`
               or `.git` are left out, links are not followed, and files that are not UTF-8 or larger than
               64 MiB are left out
  --workers N  how many threads read files, 1 to 256; by default one for each core, and at least 2
  --seconds S  for how long; by default 6. Indexing a small tree takes milliseconds, and there would be nothing to
               see of the streaming: so the tree is indexed again and again until the time is over, each time
               as a span `pass` of its own, with pauses in between that keep it below 3,000 spans a second.
               The pass that runs when the time is over is finished. With 0 there is one pass
  --dsn DSN    where to send; by default what the environment variable SENTRY_DSN holds
  --help       prints this

Without a DSN it starts a receiver on the loopback address inside of itself, sends to that over HTTP, and prints each
envelope as it arrives, then a pass as a waterfall.

Built with the feature `static` it makes one transaction of the whole run, which is sent at its end. A transaction
takes 1,000 child spans; those that finish later are counted lost, as in `lost: 17000 by buffer_overflow` above the last
line. Spans that stream have no such limit.

The last line says what became of the spans: started=A sent=B lost=C open=D

Exit codes: 0; 1 if the receiver saw a broken rule or the system gave no thread or socket; 2 for a wrong argument, a
DIR that does not exist or a malformed DSN.
";

/// What is to be done.
#[derive(Debug)]
pub(super) enum Request {
    Help,
    Run(Args),
}

#[derive(Debug)]
pub(super) struct Args {
    pub(super) dir: PathBuf,
    pub(super) workers: usize,
    pub(super) duration: Duration,
    pub(super) dsn: Option<String>,
}

impl Args {
    pub(super) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        sentry_dsn: Option<OsString>,
    ) -> Result<Request, String> {
        let (mut dir, mut workers, mut seconds, mut dsn) = (None, None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            let (option, attached) = match text.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
                _ => (&*text, None),
            };
            let mut value = |expected: &str| {
                let next = || arguments.next().map(|value| value.to_string_lossy().into_owned());
                attached.clone().or_else(next).ok_or_else(|| format!("{option} needs {expected} after it"))
            };
            match option {
                "--help" | "-h" => return Ok(Request::Help),
                "--workers" => once(&mut workers, option, number(option, &value("a number")?, 1, 256)?)?,
                "--seconds" => once(&mut seconds, option, number(option, &value("a number")?, 0, 1_000_000)?)?,
                "--dsn" => once(&mut dsn, option, value("a DSN")?)?,
                _ if option.starts_with('-') && option.len() > 1 => {
                    return Err(format!("unknown option {option}; --help lists those that there are"));
                }
                _ if argument.is_empty() => return Err("the directory is an empty text".to_owned()),
                _ => once(&mut dir, "the directory", PathBuf::from(&argument))?,
            }
        }
        // As everywhere with Sentry, an empty variable counts as not set; an argument was meant.
        let sentry_dsn = sentry_dsn.map(|dsn| dsn.to_string_lossy().trim().to_owned()).filter(|dsn| !dsn.is_empty());
        if dsn.as_ref().is_some_and(|dsn| dsn.trim().is_empty()) {
            return Err("--dsn needs a DSN after it".to_owned());
        }
        Ok(Request::Run(Args {
            dir: dir.unwrap_or_else(repository),
            workers: workers.map_or_else(default_workers, |workers| workers as usize),
            duration: Duration::from_secs(seconds.unwrap_or(6)),
            dsn: dsn.or(sentry_dsn),
        }))
    }
}

fn once<T>(slot: &mut Option<T>, what: &str, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{what} is given twice")),
    }
}

fn number(option: &str, given: &str, least: u64, most: u64) -> Result<u64, String> {
    match given.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{option} takes a whole number from {least} to {most}, not `{given}`")),
    }
}

fn default_workers() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 256))
}

/// The workspace, which is above the folder of this crate. Cargo says where that is; without Cargo, the current
/// directory has to do.
fn repository() -> PathBuf {
    let crates = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let workspace =
        crates.as_deref().and_then(|folder| folder.parent()).filter(|folder| folder.join("Cargo.toml").exists());
    workspace.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], sentry_dsn: Option<&str>) -> Result<Args, String> {
        match Args::parse(arguments.iter().map(OsString::from), sentry_dsn.map(OsString::from))? {
            Request::Run(args) => Ok(args),
            Request::Help => Err("help".to_owned()),
        }
    }

    #[test]
    fn arguments_come_in_any_order_and_both_spellings() {
        let args = parse(&["--workers=3", "somewhere", "--seconds", "0"], Some(" ")).expect("they are valid");
        assert_eq!((args.workers, args.duration, args.dir), (3, Duration::ZERO, PathBuf::from("somewhere")));
        assert_eq!(args.dsn, None);
        let args = parse(&["--dsn", "here"], Some("there")).expect("they are valid");
        assert_eq!(args.dsn.as_deref(), Some("here"));
        assert!(args.workers >= 2);
        assert_eq!(parse(&[], Some("there")).expect("they are valid").dsn.as_deref(), Some("there"));
    }

    #[test]
    fn mistakes_are_told() {
        let error = |arguments: &[&str]| parse(arguments, None).expect_err("a mistake");
        assert_eq!(error(&["--wrokers", "3"]), "unknown option --wrokers; --help lists those that there are");
        assert_eq!(error(&["--workers", "none"]), "--workers takes a whole number from 1 to 256, not `none`");
        assert_eq!(error(&["--workers", "0"]), "--workers takes a whole number from 1 to 256, not `0`");
        assert_eq!(error(&["--seconds"]), "--seconds needs a number after it");
        assert_eq!(error(&["a", "b"]), "the directory is given twice");
        assert_eq!(error(&["--dsn="]), "--dsn needs a DSN after it");
        assert_eq!(error(&["--seconds", "1", "--help"]), "help");
    }
}
