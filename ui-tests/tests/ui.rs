//! Programs that must not compile, with the messages that they get, and their passing twins.
//!
//! One mistake a file in `tests/fail`, named after it; the expected message stands beside it and is written for the person who
//! made the mistake. The messages are those of the compiler in `rust-toolchain.toml` at the root; another one words its own part
//! of them differently. After a change: `TRYBUILD=overwrite cargo test -p ui-tests`, and read the difference.
#![forbid(unsafe_code)]

#[test]
fn mistakes_are_told_clearly_and_their_twins_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    cases.compile_fail("tests/fail/*.rs");
}
