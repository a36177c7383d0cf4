//! What the fuzzers have been given and have found (tests/fuzz) is tried on every run.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/targets.rs"]
mod targets;

/// Feeds every file of a target's corpus to it; a panic names the file.
fn feed(name: &str, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut fed = 0;
    for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("an entry").path();
        eprintln!("{}", path.display());
        target(&fs::read(&path).expect("it can be read"));
        fed += 1;
    }
    assert!(fed >= 5, "{name} has {fed} seeds");
}

#[test]
fn urls() {
    feed("url", targets::url);
}

#[test]
fn patterns() {
    feed("pattern", targets::pattern);
}

#[test]
fn cursors() {
    feed("cursor", targets::cursor);
}

#[test]
fn wishes_for_later() {
    feed("retry_after", targets::retry_after);
}

#[test]
fn configurations() {
    feed("config", targets::config);
}
