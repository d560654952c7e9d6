//! The example `index`, called as its `main` calls it, against a receiver of the test's own.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use examples::index::{self, Console};
use span_runtime::testing::{Receiver, Span, Tree};

/// The program installs a runtime for the whole process, so one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A directory that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("span-index-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        Folder(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the program did.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn last_line(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }
}

fn run(arguments: &[&str], dir: Option<&Path>, sentry_dsn: Option<&str>) -> Ran {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = arguments.iter().map(OsString::from).chain(dir.map(OsString::from));
    let code = index::run(arguments, sentry_dsn.map(OsString::from), &Console::new(&mut out, &mut err, false));
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { code, out: text(out), err: text(err) }
}

/// Runs one pass with one worker, so that the order of the spans is known, and gives what arrived.
fn index_once(dir: &Path) -> (Ran, Vec<Span>) {
    let receiver = Receiver::start().expect("the loopback address can be bound");
    let ran = run(&["--seconds", "0", "--workers", "1", "--dsn", &receiver.dsn()], Some(dir), None);
    assert_eq!(receiver.violations(), [""; 0]);
    let envelopes = receiver.envelopes();
    let kind = if cfg!(feature = "static") { "transaction" } else { "span" };
    assert!(envelopes.iter().all(|envelope| envelope.item_types() == [kind]), "nothing of the other lifecycle");
    if cfg!(feature = "static") {
        assert_eq!(envelopes.len(), 1, "the run is one transaction");
    }
    let spans: Vec<Span> = envelopes.iter().flat_map(index::spans_of).collect();
    let count = spans.len();
    assert_eq!(
        (ran.code, ran.last_line()),
        (0, &*format!("started={count} sent={count} lost=0 open=0")),
        "{}",
        ran.err
    );
    (ran, spans)
}

/// Each span as the path from the root to it, with chosen attributes, sorted: the walker and the workers run at the
/// same time, so which span starts first is left to chance.
fn paths(spans: &[Span], folder: &Folder, attributes: &[&str]) -> String {
    let folder = folder.0.file_name().expect("it has a name").to_string_lossy();
    let name = |span: &Span| span.name.replace(&*folder, "folder").trim_end_matches('/').to_owned();
    let mut lines: Vec<String> = spans
        .iter()
        .map(|span| {
            let mut path = vec![name(span)];
            let mut next = span;
            while let Some(parent) = &next.parent_span_id {
                next = spans.iter().find(|span| span.span_id == *parent).expect("every parent has arrived");
                path.push(name(next));
            }
            path.reverse();
            let status = if span.status == "ok" { String::new() } else { format!(" [{}]", span.status) };
            let value = |key: &&str| span.attribute(key).map(|value| format!(" {key}={value}"));
            format!("{}{status}{}\n", path.join("/"), attributes.iter().filter_map(value).collect::<String>())
        })
        .collect();
    lines.sort();
    lines.concat()
}

#[test]
fn every_directory_file_and_stage_has_a_span_below_its_own() {
    let folder = Folder::new();
    folder.file("a.txt", "Span span tree");
    folder.file("b.bin", [0xff, 0xfe, 0x00]);
    folder.file("c/d/e.txt", "");
    folder.file("c/f.txt", "tree");
    folder.file("target/built.txt", "left out");
    folder.file(".git/HEAD", "left out");
    let (ran, spans) = index_once(&folder.0);
    let expected = "\
index index.workers=1 index.passes=1
index/pass pass.number=1 files=3 words=4
index/pass/walk
index/pass/walk/folder directory.entries=3
index/pass/walk/folder/a.txt file.size=14 words=3 words.distinct=2
index/pass/walk/folder/a.txt/merge words.distinct=2
index/pass/walk/folder/a.txt/read file.size=14
index/pass/walk/folder/a.txt/tokenise text.bytes=14
index/pass/walk/folder/b.bin file.size=3 file.binary=true
index/pass/walk/folder/b.bin/read file.size=3
index/pass/walk/folder/c directory.entries=2
index/pass/walk/folder/c/d directory.entries=1
index/pass/walk/folder/c/d/e.txt file.size=0 words=0 words.distinct=0
index/pass/walk/folder/c/d/e.txt/merge words.distinct=0
index/pass/walk/folder/c/d/e.txt/read file.size=0
index/pass/walk/folder/c/d/e.txt/tokenise text.bytes=0
index/pass/walk/folder/c/f.txt file.size=4 words=1 words.distinct=1
index/pass/walk/folder/c/f.txt/merge words.distinct=1
index/pass/walk/folder/c/f.txt/read file.size=4
index/pass/walk/folder/c/f.txt/tokenise text.bytes=4
";
    let keys = [
        "index.workers",
        "index.passes",
        "pass.number",
        "files",
        "directory.entries",
        "file.size",
        "file.binary",
        "text.bytes",
        "words",
        "words.distinct",
    ];
    assert_eq!(paths(&spans, &folder, &keys), expected);

    let file = spans.iter().find(|span| span.name == "e.txt").expect("it has a span");
    assert_eq!(file.text("file.path"), Some(&*format!("c{0}d{0}e.txt", std::path::MAIN_SEPARATOR)));
    if cfg!(not(feature = "static")) {
        // Child spans of a transaction do not say on which thread they were.
        assert_eq!(file.text("thread.name"), Some("indexer-1"));
    }
    assert!(ran.out.contains("3 files with 2 different words; 1 binary, 0 skipped, 0 unreadable"), "{}", ran.out);
    assert!(ran.out.contains("\n       2         1  span\n       2         2  tree\n"), "{}", ran.out);
}

// A pipe would be waited for, a link to a directory above would go in circles: neither is opened.
#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_an_error_and_what_should_not_be_is_left_alone() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    folder.file("a.txt", "tree");
    symlink("nowhere", folder.0.join("broken")).expect("it can be made");
    symlink("circle", folder.0.join("circle")).expect("it can be made");
    symlink(".", folder.0.join("again")).expect("it can be made");
    symlink("a.txt", folder.0.join("same")).expect("it can be made");
    let not_utf8 = folder.0.join(std::ffi::OsStr::from_bytes(b"z\xff"));
    fs::write(not_utf8, "tree").expect("it can be written");
    let pipe = std::process::Command::new("mkfifo").arg(folder.0.join("pipe")).status();
    let skipped = 2 + u32::from(pipe.is_ok_and(|status| status.success()));

    let (ran, spans) = index_once(&folder.0);
    let expected = r#"index
index/pass
index/pass/walk
index/pass/walk/folder
index/pass/walk/folder/a.txt
index/pass/walk/folder/a.txt/merge
index/pass/walk/folder/a.txt/read
index/pass/walk/folder/a.txt/tokenise
index/pass/walk/folder/broken [error] error.message="NOWHERE"
index/pass/walk/folder/broken/read [error] error.message="NOWHERE"
index/pass/walk/folder/circle [error] error.message="CIRCLE"
index/pass/walk/folder/circle/read [error] error.message="CIRCLE"
index/pass/walk/folder/z�
index/pass/walk/folder/z�/merge
index/pass/walk/folder/z�/read
index/pass/walk/folder/z�/tokenise
"#;
    // Systems have their own words and numbers for it.
    let error = |name: &str| fs::read(folder.0.join(name)).expect_err("it leads nowhere").to_string();
    let found = paths(&spans, &folder, &["error.message"]);
    let found = found.replace(&error("broken"), "NOWHERE").replace(&error("circle"), "CIRCLE");
    assert_eq!(found, expected);
    let summary = format!("2 files with 1 different words; 0 binary, {skipped} skipped, 2 unreadable");
    assert!(ran.out.contains(&summary), "{}", ran.out);
}

#[test]
fn a_file_and_an_empty_directory_are_trees_too() {
    let folder = Folder::new();
    let (_, spans) = index_once(&folder.0);
    assert_eq!(paths(&spans, &folder, &[]), "index\nindex/pass\nindex/pass/walk\nindex/pass/walk/folder\n");

    folder.file("a.txt", "tree");
    let (_, spans) = index_once(&folder.0.join("a.txt"));
    let names: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.text("file.path"))).collect();
    assert!(names.contains(&("a.txt", Some("a.txt"))), "{names:?}");
    assert_eq!(spans.len(), 7);
}

#[test]
fn a_tree_may_be_deep() {
    let folder = Folder::new();
    folder.file(&format!("{}leaf.txt", "d/".repeat(500)), "tree");
    let (_, spans) = index_once(&folder.0);
    assert_eq!(spans.len(), 3 + 501 + 4);
    let parents = Tree::new(&spans).to_string();
    assert!(parents.contains(&format!("{}leaf.txt\n", "  ".repeat(504))), "{parents}");
}

#[test]
fn without_a_dsn_it_shows_what_arrives() {
    let folder = Folder::new();
    folder.file("a.txt", "tree");
    let ran = run(&["--seconds", "0", "--workers=3"], Some(&folder.0), Some(""));
    assert_eq!((ran.code, ran.last_line()), (0, "started=8 sent=8 lost=0 open=0"), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("The run, 8 spans in 1 envelopes:"), "{}", ran.out);
    let (_, waterfall) = ran.out.split_once("Its first pass:\n\n").expect("there is a waterfall");
    assert!(waterfall.starts_with("trace "), "{waterfall}");
    for name in ["pass", "walk", "a.txt", "read", "tokenise", "merge"] {
        assert!(waterfall.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {waterfall}");
    }
}

// A transaction takes 1,000 children, and a stream what there is.
#[test]
fn a_tree_larger_than_a_transaction_loses_spans_only_there() {
    let folder = Folder::new();
    (0..300).for_each(|number| folder.file(&format!("{number}.txt"), "tree"));
    let ran = run(&["--seconds", "0", "--workers=2"], Some(&folder.0), None);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    if cfg!(feature = "static") {
        assert!(ran.out.contains("transaction index with 1000 child spans\n"), "{}", ran.out);
        assert!(ran.out.contains("No pass is among them, so none can be drawn.\n"), "{}", ran.out);
        let end = "\nlost: 203 by buffer_overflow\nstarted=1204 sent=1001 lost=203 open=0\n";
        assert!(ran.out.ends_with(end), "{}", ran.out);
    } else {
        assert!(!ran.out.contains("transaction"), "{}", ran.out);
        assert_eq!(ran.last_line(), "started=1204 sent=1204 lost=0 open=0");
    }
}

#[test]
fn wrong_arguments_are_told_and_nothing_starts() {
    let folder = Folder::new();
    let check = |arguments: &[&str], sentry_dsn, expected: &str| {
        let ran = run(arguments, None, sentry_dsn);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.starts_with(expected), "{:?} for {arguments:?}", ran.err);
    };
    let dir = folder.0.to_str().expect("the temporary directory is UTF-8");
    check(&["--fast"], None, "error: unknown option --fast");
    check(&["--workers", "0", dir], None, "error: --workers takes a whole number from 1 to 256, not `0`\n");
    check(&[dir, dir], None, "error: the directory is given twice\n");
    check(&[&format!("{dir}/nowhere")], None, &format!("error: cannot read {dir}/nowhere: "));
    #[cfg(unix)]
    check(&["/dev/null"], None, "error: /dev/null is neither a directory nor a file\n");
    check(&[dir, "--dsn", "http://localhost"], None, "error: malformed dsn: ");
    check(&[dir], Some("localhost"), "error: malformed dsn: ");
}

#[test]
fn help_is_no_error() {
    let ran = run(&["--help"], None, None);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("--seconds S"), "{}", ran.out);
    assert!(ran.out.contains("takes 1,000 child spans"), "{}", ran.out);
}
