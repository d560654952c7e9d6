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
