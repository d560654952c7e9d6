//! Records the version of the compiler, for the attribute `process.runtime.version`.
#![forbid(unsafe_code)]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // `rustc 1.85.0 (4d91de4e4 2025-02-17)`: the second word. Without it the attribute is left out.
    let version = Command::new(rustc).arg("--version").output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.split_whitespace().nth(1).map(str::to_owned)
    });
    println!("cargo::rustc-env=SPAN_RUNTIME_RUSTC_VERSION={}", version.unwrap_or_default());
}
