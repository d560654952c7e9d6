//! What a crate declares costs nothing at run time: the code that comes out of `#[span]` is the same with and without. (behaviour 3)
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The assembly of `code/annotated.rs`, optimised.
fn assembly(declared: bool) -> String {
    let name = if declared { "declared.s" } else { "undeclared.s" };
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["rustc", "-q", "-p", env!("CARGO_PKG_NAME"), "--example", "annotated", "--"]);
    cargo.args(["-Copt-level=3", "-Ccodegen-units=1"]);
    cargo.arg(format!("--emit=asm={}", out.display()));
    if declared {
        cargo.args(["--cfg", "declared"]);
    }
    let built = cargo.output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::read_to_string(&out).expect("it wrote the assembly")
}

#[test]
fn a_declared_lifecycle_changes_no_instruction() {
    let (without, with) = (assembly(false), assembly(true));
    for function in ["checkout", "price", "later"] {
        assert!(with.contains(function), "the code of `{function}` is in it");
    }
    let differing = without.lines().zip(with.lines()).filter(|(without, with)| without != with).take(5);
    assert_eq!(differing.collect::<Vec<_>>(), [("", ""); 0]);
    assert_eq!(without.lines().count(), with.lines().count());
}
