//! Programs that must not compile, with the messages that they get, and their passing twins.
//!
//! One mistake a file, named after it: in `tests/mix` where it mixes the two lifecycles, in `tests/fail` where it is another. The expected message stands beside it and is written for the person who
//! made the mistake. Part of each message is the compiler's own and changes from release to release, so the messages are pinned to
//! [`PINNED`]; with another compiler the failing cases are skipped, loudly, and in CI that is a failure.
//!
//! After a change: `TRYBUILD=overwrite cargo test -p ui-tests`, and read the difference.
#![forbid(unsafe_code)]

use std::env;
use std::process::Command;

/// The release of the compiler whose messages stand beside the cases.
const PINNED: &str = "1.95";

/// The release of the compiler that builds the cases, as `1.95`.
fn release() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc tells its version");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

#[test]
fn mistakes_are_told_clearly_and_their_twins_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    if cfg!(feature = "legacy") {
        cases.pass("tests/mix/pass/*.rs");
    }
    let release = release();
    if release == PINNED {
        cases.compile_fail("tests/fail/*.rs");
        if cfg!(feature = "legacy") {
            cases.compile_fail("tests/mix/*.rs");
        }
    } else {
        assert!(env::var_os("CI").is_none(), "the messages are those of rustc {PINNED}, and this is {release}");
        eprintln!(
            "SKIPPED: the cases that must not compile, whose messages are those of rustc {PINNED}; this is {release}"
        );
    }
}
