//! What a thousand annotated functions cost the compiler, and how much code each becomes.
//!
//! `cargo run --release -p benches --bin compile_cost [-- ROUNDS [FUNCTIONS [FORM]]]`
//!
//! It writes a crate for each way to annotate functions, and one without annotations, into `target/compile_cost`, builds what they depend on, and then
//! builds each of them again and again, round by round. Printed are the least CPU seconds (of cargo and rustc together, in user mode, because
//! the machine may be busy with something else), and the bytes of machine code that a function has more than the one without an annotation. The
//! code is that in the crate's own library: of the functions, and of what is generic and made for them.
//!
//! It needs Linux, whose `/proc` has the times of processes that ended, and `size` of the binutils.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

/// The ways to annotate a function: their names, the attribute, and what it depends on.
const WAYS: [(&str, &str, &str); 5] = [
    ("plain", "", ""),
    (
        "span",
        "#[span_runtime::span]",
        "span-runtime = { path = \"REPOSITORY/span-runtime\", default-features = false }",
    ),
    (
        "off",
        "#[span_runtime::span]",
        "span-runtime = { path = \"REPOSITORY/span-runtime\", default-features = false, features = [\"off\"] }",
    ),
    // It would record the arguments otherwise, which the others do not.
    (
        "tracing",
        "#[tracing::instrument(skip_all)]",
        "tracing = { version = \"=0.1.44\", default-features = false, features = [\"std\", \"attributes\"] }",
    ),
    (
        "fastrace",
        "#[fastrace::trace]",
        "fastrace = { version = \"=0.7.19\", default-features = false, features = [\"enable\"] }",
    ),
];

/// What a function is like: the name, and its text, in which `N` is its number.
const FORMS: [(&str, &str); 3] = [
    ("sync", "pub fn fN(x: u64) -> u64 { work(x ^ N) }\n"),
    ("async", "pub async fn fN(x: u64) -> u64 { ready(x ^ N).await }\n"),
    (
        "fallible",
        "pub fn fN(x: u64) -> Result<u64, std::num::TryFromIntError> { Ok(u64::from(u32::try_from(work(x ^ N))?)) }\n",
    ),
];

/// A future becomes code where it is polled.
const POLLED: &str = "pub fn pN(x: u64) -> bool { poll(fN(x)) }\n";

const SHARED: &str = "\
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Waker};

#[inline(never)]
pub fn work(x: u64) -> u64 { std::hint::black_box(x) }

fn poll<F: Future>(future: F) -> bool { pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready() }

";

const PROFILES: [&str; 2] = ["dev", "release"];

struct Bench {
    /// Where the crates are.
    folder: PathBuf,
    functions: usize,
}

impl Bench {
    fn write(functions: usize) -> io::Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or(io::ErrorKind::NotFound)?;
        let folder = repository.join("target/compile_cost");
        fs::create_dir_all(&folder)?;
        let mut members = Vec::new();
        for (way, attribute, dependency) in WAYS {
            for (form, function) in FORMS {
                let name = format!("{form}-{way}");
                fs::create_dir_all(folder.join(&name).join("src"))?;
                let dependency = dependency.replace("REPOSITORY", &repository.display().to_string());
                let manifest = format!(
                    "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n"
                );
                fs::write(folder.join(&name).join("Cargo.toml"), manifest)?;
                let mut text = String::from("#![allow(unused)]\n");
                text.push_str(SHARED);
                for number in 0..functions {
                    let polled = if form == "async" { POLLED } else { "" };
                    let function = [function, polled].concat().replace('N', &number.to_string());
                    // Writing to a String does not fail.
                    let _ = writeln!(text, "{attribute}\n{function}");
                }
                fs::write(folder.join(&name).join("src/lib.rs"), text)?;
                members.push(name);
            }
        }
        let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
        fs::write(folder.join("Cargo.toml"), manifest)?;
        // The same versions as everywhere else.
        fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        Ok(Bench { folder, functions })
    }

    fn build(&self, name: &str, profile: &str) -> io::Result<()> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--lib", "--package", name, "--profile", profile])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            // What is measured is a build from nothing.
            .env("CARGO_INCREMENTAL", "0")
            .output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))),
        }
    }

    /// CPU seconds of a build of this crate alone.
    fn seconds(&self, name: &str, profile: &str) -> io::Result<f64> {
        let source = self.folder.join(name).join("src/lib.rs");
        fs::File::options().append(true).open(source)?.set_modified(std::time::SystemTime::now())?;
        let before = children_seconds()?;
        self.build(name, profile)?;
        Ok(children_seconds()? - before)
    }

    /// Bytes of machine code in this crate's library.
    fn code(&self, name: &str, profile: &str) -> io::Result<u64> {
        let folder = if profile == "dev" { "debug" } else { profile };
        let library = format!("lib{}.rlib", name.replace('-', "_"));
        let output =
            Command::new("size").arg("-A").arg(self.folder.join("target").join(folder).join(library)).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let section = |line: &str| {
            let mut words = line.split_whitespace();
            words.next()?.starts_with(".text").then(|| words.next()?.parse::<u64>().ok())?
        };
        match text.lines().filter_map(section).sum() {
            0 => Err(io::Error::other(format!("no code in {name}: {text}"))),
            bytes => Ok(bytes),
        }
    }
}

/// User-mode CPU time of all processes that this one waited for, and of those that they waited for.
fn children_seconds() -> io::Result<f64> {
    /// A second has so many ticks, on every Linux.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which is in parentheses, the first field is the third of all; `cutime` is the sixteenth.
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(16 - 3)?.parse::<f64>().ok());
    ticks.map(|ticks| ticks / TICKS).ok_or_else(|| io::Error::other(format!("/proc/self/stat is {stat}")))
}

fn measure(rounds: usize, functions: usize, only: Option<&str>) -> io::Result<()> {
    let bench = Bench::write(functions)?;
    let name = |form: &str, way: &str| format!("{form}-{way}");
    for (form, _) in FORMS.into_iter().filter(|(form, _)| only.is_none_or(|only| only == *form)) {
        let mut least = [[f64::INFINITY; PROFILES.len()]; WAYS.len()];
        for round in 0..=rounds {
            for (way, least) in WAYS.iter().zip(&mut least) {
                for (profile, least) in PROFILES.iter().zip(least) {
                    let seconds = bench.seconds(&name(form, way.0), profile)?;
                    // In the first one the dependencies are built.
                    if round > 0 {
                        *least = least.min(seconds);
                    }
                }
            }
        }
        println!(
            "{} {form} functions      CPU s: debug  release     bytes of code a function: debug  release",
            bench.functions
        );
        let mut plain = [0; PROFILES.len()];
        for (way, least) in WAYS.iter().zip(least) {
            let mut bytes = [0.0; PROFILES.len()];
            for ((profile, plain), bytes) in PROFILES.iter().zip(&mut plain).zip(&mut bytes) {
                let code = bench.code(&name(form, way.0), profile)?;
                if way.0 == "plain" {
                    *plain = code;
                }
                *bytes = (code as f64 - *plain as f64) / bench.functions as f64;
            }
            println!("  {:<26} {:12.2} {:8.2} {:34.0} {:8.0}", way.0, least[0], least[1], bytes[0], bytes[1]);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let number = |at, otherwise| env::args().nth(at).and_then(|number| number.parse().ok()).unwrap_or(otherwise);
    match measure(number(1, 3), number(2, 1000), env::args().nth(3).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
