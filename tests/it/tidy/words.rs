//! The project's own words: turns that make a second reading necessary are not used, in no source, page or test.

use super::{files, read, root, shown};

/// What is not written, each with what to write instead. Whole words, whatever the case.
const NOT_WRITTEN: &[(&str, &str)] = &[
    ("anew", "again, from scratch"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("mending", "fixing"),
    ("for ever", "forever"),
    ("whoever", "name who it is"),
    ("made-up", "sample, invented"),
    ("comes to its end", "ends, finishes"),
    ("of no effect", "ignored"),
    ("what waits", "pending deliveries"),
    ("those that wait", "pending deliveries"),
    ("those who", "name them"),
    ("the dead", "unresponsive endpoints"),
    ("hold good", "are valid"),
    ("for good", "exhausted, no retries left"),
    ("goes before", "takes precedence over"),
    ("a wish", "a request"),
    ("under way", "in flight"),
    ("shown this once", "shown only once"),
    ("gave up", "exhausted, disabled"),
];

/// What may hold them: this list, and the history.
fn may(name: &str) -> bool {
    name == "tests/it/tidy/words.rs"
}

fn texts() -> Vec<(String, String)> {
    let endings = [".rs", ".js", ".css", ".html", ".md", ".sh", ".toml", ".sql", ".snap", ".yaml", ".mjs"];
    let dirs = ["src", "tests", "benches", "examples", "assets", "docs", "packaging"];
    let mut all: Vec<_> = dirs.iter().flat_map(|dir| files(dir, &endings)).collect();
    let top = ["README.md", "CHANGELOG.md", "SECURITY.md", "config.example.toml", "Cargo.toml", "Dockerfile"];
    all.extend(top.map(|file| root().join(file)));
    all.into_iter().map(|file| (shown(&file), read(&file))).filter(|(name, _)| !may(name)).collect()
}

/// Whether the text has the words, not as a part of longer ones.
fn has(line: &str, words: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn archaic_turns_are_not_used() {
    let mut found = Vec::new();
    for (name, text) in texts() {
        for (i, line) in text.lines().enumerate() {
            for (words, better) in NOT_WRITTEN {
                if has(line, words) {
                    found.push(format!("{name}:{}: {words:?}; write: {better}", i + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} turns to rewrite:\n{}", found.len(), found.join("\n"));
}

#[test]
fn words_are_found_whole_and_in_any_case() {
    assert!(has("Nothing is written Anew.", "anew"));
    assert!(!has("a manewer", "anew"));
    assert!(!has("recommended", "mended"));
}
