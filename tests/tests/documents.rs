//! The tests that the documents name are there, and the commands run them.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

const RELIABILITY: &str = include_str!("../../docs/reliability.md");
const SECURITY: &str = include_str!("../../SECURITY.md");

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is in a folder of the repository")
}

/// A file, by its path in the repository or in the folder of these tests.
fn file(name: &str) -> Option<PathBuf> {
    [repository().join(name), repository().join("tests/tests").join(name)].into_iter().find(|path| path.is_file())
}

/// The pairs of a file and a test in it, where a text names them as `` `file.rs`: `test`, `another` ``.
fn named(text: &str) -> Vec<(&str, &str)> {
    let pieces: Vec<&str> = text.split('`').collect();
    // Every second piece stands between signs.
    let code = |at: usize| pieces.get(at).copied().filter(|_| at % 2 == 1);
    let between = |at: usize| pieces.get(at).map(|piece| piece.trim());
    let mut found = Vec::new();
    for at in (1..pieces.len()).step_by(2).filter(|at| pieces[*at].ends_with(".rs")) {
        let (mut next, mut sign) = (at + 2, ":");
        while let Some(test) = code(next).filter(|test| between(next - 1) == Some(sign) && !test.ends_with(".rs")) {
            found.push((pieces[at], test));
            (next, sign) = (next + 2, ",");
        }
    }
    found
}

/// Whether a source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}()")) else { return false };
    let attributes = before.lines().rev().skip(usize::from(!before.ends_with('\n')));
    attributes.take_while(|line| line.trim_start().starts_with("#[")).any(|line| line.contains("test"))
}

#[test]
fn each_test_that_a_document_names_is_there() {
    assert_eq!(named("`a.rs`: `b`,\n  `c`; `d` and `e.rs`, `f`"), [("a.rs", "b"), ("a.rs", "c")]);
    for (document, text, least) in [("reliability.md", RELIABILITY, 40), ("SECURITY.md", SECURITY, 30)] {
        let named = named(text);
        assert!(named.len() >= least, "{document} names tests: {named:?}");
        for (name, test) in named {
            let path = file(name).unwrap_or_else(|| panic!("{document} names {name}, which is not there"));
            let source = std::fs::read_to_string(path).expect("it can be read");
            assert!(has_test(&source, test), "{document} names {test} in {name}, which is no test there");
        }
    }
}

#[test]
fn each_promise_names_the_command_that_runs_its_tests() {
    let (_, promises) = RELIABILITY.split_once("## Promises").expect("there are promises");
    let rows = promises.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> =
        rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert!(rows.len() >= 30, "they are found");
    for row in rows {
        let [promise, tests, command] = row[..] else { panic!("three cells: {row:?}") };
        let named = named(tests);
        assert!(promise.len() > 10 && !named.is_empty(), "{row:?}");
        for (file, _) in named {
            let expected = match (file.strip_prefix("tests/tests/"), file.strip_prefix("span-runtime/src/")) {
                (Some(test), _) => match test.trim_end_matches(".rs").split_once('/') {
                    Some((binary, module)) => format!("cargo test -p span-tests --test {binary} {module}::"),
                    None => format!("cargo test -p span-tests --test {}", test.trim_end_matches(".rs")),
                },
                (_, Some(module)) => {
                    let module = module.trim_end_matches(".rs").replace('/', "::");
                    format!("cargo test -p span-runtime --features testing --lib {module}")
                }
                _ => panic!("{file} is no place for tests"),
            };
            assert_eq!(command.trim_matches('`'), expected, "{promise}");
        }
    }
}
