//! Counts instructions of this program under callgrind.

use std::process::Command;
use std::{env, io};

/// Runs this program with an argument, and returns how many instructions its threads took inside of the functions whose names match.
///
/// # Errors
///
/// When valgrind cannot be run, or the program fails in it, or none of its functions match.
pub fn instructions(inside: &str, argument: &str) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={inside}"))
        .arg(env::current_exe()?)
        .arg(argument)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(instructions) if instructions > 0 && output.status.success() => Ok(instructions),
        _ => Err(io::Error::other(format!("callgrind counted nothing:\n{text}"))),
    }
}
