//! What is in this repository's builds and not its own: under which licences, from where, what of it stands there twice, and what the
//! documents say of it. `cargo` is asked, with the lock file as it is.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const README: &str = include_str!("../../README.md");
const SECURITY: &str = include_str!("../../SECURITY.md");

/// Licences that ask for no more than to be named, or, the last, to be passed on with the data.
const LICENCES: [&str; 10] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "ISC",
    "BSD-3-Clause",
    "BSL-1.0",
    "Zlib",
    "PostgreSQL",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
];

/// Crates that are there in several versions, each with the reason. None of them is below span-runtime.
const TWICE: [(&str, &str); 18] = [
    (
        "base64",
        "pem, which reads the certificates of the tests, and tonic have the older one; all others have the newer",
    ),
    ("block-buffer", "digest's"),
    ("cpufeatures", "sha2's of both versions"),
    ("crypto-common", "digest's"),
    ("digest", "sha2's"),
    ("foldhash", "actix-web has the older one; hashbrown has the newer"),
    ("getrandom", "three users: the rand of opentelemetry_sdk, that of fastrace and sentry, and ring"),
    ("hashbrown", "sqlx and its hashlink have the older one; indexmap, which sqlx has too, the newer"),
    ("http", "actix-http and actix-router have the older one; all others have the newer"),
    ("r-efi", "getrandom's, on UEFI"),
    ("rand", "opentelemetry_sdk has the older one; fastrace and sentry have the newer"),
    ("rand_core", "rand's"),
    ("sha2", "sqlx-core has the older one; sqlx-postgres has the newer"),
    ("socket2", "actix-server has the older one; all others have the newer"),
    ("syn", "tracing-attributes and others have not gone to the one that the macros use"),
    ("synstructure", "syn's"),
    ("untrusted", "ring has the older one; rustls-webpki has the newer"),
    ("windows-sys", "ring and the socket2 of actix-server have the older one, on Windows"),
];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is in a folder of the repository");
    let output = Command::new(cargo).args(arguments).arg("--locked").current_dir(root).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

struct Package {
    name: String,
    version: String,
    licence: String,
    source: String,
    /// Where its sources are.
    folder: PathBuf,
}

impl Package {
    /// Lines of Rust that are not empty.
    fn lines(&self) -> usize {
        lines(&self.folder.join("src"))
    }
}

fn lines(path: &Path) -> usize {
    if let Ok(entries) = std::fs::read_dir(path) {
        return entries.map(|entry| lines(&entry.expect("a folder that can be read").path())).sum();
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return 0;
    }
    let text = std::fs::read_to_string(path).expect("Rust is text");
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Whatever any feature brings into a build for any platform.
fn foreign() -> Vec<Package> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--all-features"])).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("there are packages").iter().filter_map(|package| {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let folder = Path::new(&text("manifest_path")).parent().expect("a manifest is in a folder").to_owned();
        (!package["source"].is_null()).then(|| Package {
            name: text("name"),
            version: text("version"),
            licence: text("license"),
            source: text("source"),
            folder,
        })
    });
    let packages: Vec<_> = packages.collect();
    assert!(packages.len() > 100, "they are found");
    packages
}

/// `(MIT OR Apache-2.0) AND Unicode-3.0` is a sum of products and reads as one.
fn is_taken(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let taken = one_of(&mut words);
    taken && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn one_of(words: &mut Words<'_>) -> bool {
    let mut taken = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        taken |= all_of(words);
    }
    taken
}

fn all_of(words: &mut Words<'_>) -> bool {
    let mut taken = licence(words);
    while words.next_if_eq(&"AND").is_some() {
        taken &= licence(words);
    }
    taken
}

fn licence(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let taken = one_of(words);
        return words.next_if_eq(&")").is_some() && taken;
    }
    let taken = words.next().is_some_and(|word| LICENCES.contains(&word));
    // An exception gives more than the licence does.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    taken
}

#[test]
fn expressions_are_read() {
    for taken in
        ["MIT", "GPL-3.0 OR MIT", "MIT/X", "(X OR ISC) AND MIT", "X WITH Y OR MIT", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_taken(taken), "{taken}");
    }
    for refused in [
        "",
        "X",
        "MIT AND X",
        "OR MIT AND X",
        "(MIT",
        "MIT)",
        "(MIT OR ISC) AND X",
        "X OR MIT AND Y",
        "MIT ISC",
        "X WITH MIT",
    ] {
        assert!(!is_taken(refused), "{refused}");
    }
}

#[test]
fn every_crate_has_a_licence_that_we_take_and_comes_from_the_registry() {
    // One registry for all.
    let registries: BTreeSet<String> = foreign().into_iter().map(|package| package.source).collect();
    assert_eq!(registries.len(), 1, "{registries:?}");
    for Package { name, version, licence, source, .. } in foreign() {
        assert!(is_taken(&licence), "{name} {version} is under `{licence}`; of these one would do: {LICENCES:?}");
        assert!(source.starts_with("registry+"), "{name} {version} comes from {source}");
    }
}

#[test]
fn a_crate_is_there_in_two_versions_only_where_it_is_said_why() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in foreign() {
        versions.entry(package.name).or_default().insert(package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let twice: BTreeSet<&str> = versions.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    assert_eq!(twice, known, "the versions are {versions:?}");
}

/// What is below the library, by `cargo tree`, as names and versions.
fn tree(arguments: &[&str]) -> BTreeSet<(String, String)> {
    let tree = cargo(&[&["tree", "--package=span-runtime", "--prefix=none", "--no-dedupe"], arguments].concat());
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        (!name.starts_with("span-")).then(|| (name.to_owned(), version.to_owned()))
    };
    tree.lines().filter_map(line).collect()
}

#[test]
fn no_crate_is_below_the_library_in_two_versions() {
    let crates = tree(&["--edges=normal,build", "--all-features", "--target=all"]);
    let names: BTreeSet<&str> = crates.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() > 30, "they are found: {names:?}");
    assert_eq!(names.len(), crates.len(), "{crates:?}");
}

/// The rows of a table, each as its cells, from its heading on.
fn table(text: &'static str, heading: &str) -> Vec<Vec<&'static str>> {
    let (_, table) = text.split_once(heading).unwrap_or_else(|| panic!("there is no `{heading}`"));
    let rows = table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

// The list is that of Linux: other platforms have other crates below those that ask for the time or for memory.
#[cfg(target_os = "linux")]
#[test]
fn the_readme_lists_what_comes_along_with_the_library_and_how_large_it_is() {
    let packages = foreign();
    let size = |(name, version): &(String, String)| {
        let package = packages.iter().find(|package| (&package.name, &package.version) == (name, version));
        package.unwrap_or_else(|| panic!("{name} {version} is in the metadata")).lines()
    };
    let crates = tree(&["--edges=normal"]);
    let expected: Vec<_> = crates.iter().map(|one| [format!("`{} {}`", one.0, one.1), thousands(size(one))]).collect();
    let rows = table(README, "### What comes along");
    let listed: Vec<_> = rows.iter().map(|row| [row[0].to_owned(), row[1].to_owned()]).collect();
    assert_eq!(
        listed,
        expected,
        "{}",
        expected.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect::<String>()
    );
    assert!(rows.iter().all(|row| row.len() == 3 && !row[2].is_empty()), "each says what it is for");

    let to_build = tree(&["--edges=normal,build"]).difference(&crates).cloned().collect::<Vec<_>>();
    let without_tls = tree(&["--edges=normal", "--no-default-features"]);
    let lines = |crates: &mut dyn Iterator<Item = &(String, String)>| thousands(crates.map(size).sum());
    for said in [
        format!("{} crates with {} lines", crates.len(), lines(&mut crates.iter())),
        format!("{} more that only its build needs", to_build.len()),
        format!("without `tls`, {} crates with {} lines", without_tls.len(), lines(&mut without_tls.iter())),
    ] {
        assert!(README.contains(&said), "the README does not say: {said}");
    }
    for (name, _) in &to_build {
        assert!(README.contains(&format!("`{name}`")), "the README does not name {name}, which the build needs");
    }
}

/// `1.2.3` in numbers.
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[test]
fn no_crate_is_older_than_the_advisories_that_are_known_allow() {
    let rows = table(SECURITY, "### Advisories that were looked at");
    let packages = foreign();
    assert!(rows.len() >= 10, "they are found: {rows:?}");
    for row in rows {
        let [name, advisory, mended, _] = row[..] else { panic!("four cells: {row:?}") };
        assert!(advisory.starts_with("RUSTSEC-20"), "{row:?}");
        let name = name.trim_matches('`');
        let mut found = packages.iter().filter(|package| package.name == name).peekable();
        assert!(found.peek().is_some(), "{name} is not in any build any more");
        for package in found {
            assert!(numbers(&package.version) >= numbers(mended), "{name} {}: {advisory}", package.version);
        }
    }
}
