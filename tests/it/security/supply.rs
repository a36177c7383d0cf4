//! What the program is made of: every direct dependency is there for a reason that somebody wrote down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn every_direct_dependency_has_its_reason_and_no_reason_is_left_over() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let named = |section: &str| -> BTreeSet<String> {
        manifest[section].as_table().into_iter().flat_map(|table| table.keys().cloned()).collect()
    };
    let page = read("docs/dependencies.md");
    let reasons: BTreeSet<String> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.splitn(2, "` |");
            let name = cells.next()?;
            let reason = cells.next()?.trim_matches([' ', '|']);
            assert!(reason.len() >= 20, "{name}: {reason:?} is no reason");
            Some(name.to_owned())
        })
        .collect();
    let all: BTreeSet<String> = named("dependencies").union(&named("dev-dependencies")).cloned().collect();
    let missing: Vec<_> = all.difference(&reasons).collect();
    let left_over: Vec<_> = reasons.difference(&all).collect();
    assert!(
        missing.is_empty() && left_over.is_empty(),
        "without a reason: {missing:?}; left over: {left_over:?}"
    );
}

#[test]
fn unsafe_code_is_forbidden_and_everything_comes_from_the_registry() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for section in ["dependencies", "dev-dependencies"] {
        for (name, value) in manifest[section].as_table().expect("a table") {
            let elsewhere = value.get("git").or(value.get("path"));
            assert!(elsewhere.is_none(), "{name} comes from {elsewhere:?}");
            let version = value.as_str().or(value.get("version").and_then(toml::Value::as_str));
            assert!(version.is_some_and(|v| !v.contains('*')), "{name} has no version");
        }
    }
    let lock: toml::Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    for package in lock["package"].as_array().expect("a list") {
        let (name, source) = (&package["name"], package.get("source").and_then(toml::Value::as_str));
        let is_ours = name.as_str() == Some("postrider");
        let expected = (!is_ours).then_some("registry+https://github.com/rust-lang/crates.io-index");
        assert_eq!(source, expected, "{name}");
        assert_eq!(package.get("checksum").is_some(), !is_ours, "{name} has a checksum");
    }
}

#[test]
fn whatever_is_sealed_is_sealed_anew_by_a_rotation_of_the_key_file() {
    let vault = read("src/host/vault.rs");
    let sealing: Vec<&str> = vault
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn seal_")?.split(['(', '<']).next())
        .collect();
    // What is added here has to be in `Vault::reseal` or one beside it and in `SecretsStore::secrets_reseal`,
    // too: otherwise it is lost with the first `key-file rotate`.
    assert_eq!(sealing, ["key_check", "source", "signing_secret", "header", "template", "alert"]);
}
