//! Indexes the words of a directory tree, and shows its spans while they stream.
//!
//! `cargo run --release --example index -- --help` says what it can do. The program is in `src/index`, where tests
//! can call it; `src/index/mod.rs` is the place to start reading.
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use examples::index::{self, Console};

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let rewrite = err.is_terminal();
    let arguments = std::env::args_os().skip(1);
    ExitCode::from(index::run(arguments, std::env::var_os("SENTRY_DSN"), &Console::new(&mut out, &mut err, rewrite)))
}
