//! Each feature has its module, its tests, and its row in the documentation.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A file of this repository, by its path below this crate.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The features that the manifest has.
fn features() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let section = manifest.split("\n[").find(|section| section.starts_with("features]")).expect("there are features");
    let lines = section.lines().skip(1).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim().to_owned()).collect()
}

#[test]
fn each_feature_has_a_module_tests_and_a_row() {
    let (crate_root, table, manifest) = (read("src/lib.rs"), read("../docs/integrations.md"), read("Cargo.toml"));
    let features = features();
    assert!(features.contains("error"), "the manifest is read: {features:?}");
    for feature in &features {
        let gate = format!("#[cfg(feature = \"{feature}\")]\npub mod {};", feature.replace('-', "_"));
        assert!(crate_root.contains(&gate), "src/lib.rs has no `{gate}`");
        assert!(
            read(&format!("tests/{feature}.rs")).contains(&format!("#![cfg(feature = \"{feature}\")]")),
            "{feature}"
        );
        assert!(table.contains(&format!("| `{feature}` |")), "docs/integrations.md has no row for {feature}");
        let tested = manifest.split("[dev-dependencies]").nth(1).expect("there are dev-dependencies");
        assert!(tested.contains(&format!("\"{feature}\"")), "the dev-dependency on this crate does not name {feature}");
    }
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    for (row, _) in rows {
        assert!(features.contains(row), "docs/integrations.md has a row for {row}, which is no feature");
    }
}

/// A module's documentation, without the sign of its lines.
fn documentation(feature: &str) -> String {
    let name = feature.replace('-', "_");
    let folder = format!("src/{name}/mod.rs");
    let is_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).exists();
    let text = read(&if is_folder { folder } else { format!("src/{name}.rs") });
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

#[test]
fn each_module_is_documented_in_the_same_order() {
    for feature in features() {
        let text = documentation(&feature);
        let mut from = 0;
        for part in ["\n```", "\n# Invariant\n", "\n# Hook\n", "\n# Attributes\n"] {
            let at = text[from..].find(part);
            from += at.unwrap_or_else(|| panic!("{feature}: no `{}` behind what stands before it", part.trim()));
        }
        let attributes = &text[from..];
        // It makes no spans, or says what they are like; `axum` and `reqwest-middleware` say what is different.
        let is_said = attributes.contains("makes no spans")
            || attributes.contains("| status |")
            || attributes.contains("Those of");
        assert!(is_said, "{feature}: {attributes}");
        assert!(
            !text.contains("```ignore") && !text.contains("```text"),
            "{feature}: an example that does not compile"
        );
    }
}

/// The version of a library that the workspace asks for: `0.4.27` of `log = { version = "0.4.27", … }`.
fn version(workspace: &str, library: &str) -> Option<String> {
    let line = workspace.lines().find(|line| line.starts_with(&format!("{library} = ")))?;
    let version = line.split_once("version = \"")?.1.split('"').next()?;
    Some(version.trim_start_matches(['~', '=', '^']).to_owned())
}

#[test]
fn the_versions_in_the_table_are_those_that_are_asked_for() {
    let (table, workspace) = (read("../docs/integrations.md"), read("../Cargo.toml"));
    let mut compared = 0;
    for feature in features() {
        let row = table.lines().find_map(|line| line.strip_prefix(&format!("| `{feature}` | "))).expect("it has a row");
        let supported = row.split(" | ").next().expect("the library is the next cell");
        let library = if feature == "sentry" { "sentry-core" } else { &feature };
        let Some(asked) = version(&workspace, library) else { continue };
        // `axum 0.8` for 0.8.4, `log 0.4.27 and later` for what is given in full.
        let mut stated =
            supported.split([' ', ',']).filter(|word| word.starts_with(|sign: char| sign.is_ascii_digit()));
        let stated = stated.next().unwrap_or_else(|| panic!("{feature}: no version in `{supported}`"));
        assert!(format!("{asked}.").starts_with(&format!("{stated}.")), "{feature}: `{supported}` is not {asked}");
        compared += 1;
    }
    assert!(compared > 10, "they are found: {compared}");
}
