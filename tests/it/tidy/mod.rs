//! The shape of the source, for what the compiler does not check: which room may use which, no import circles,
//! sizes, and words. `src/lib.rs` says the same for people; where they differ, one of them is wrong.

use std::fs;
use std::path::{Path, PathBuf};

mod circles;
mod layers;
mod paths;
mod size;
mod words;

/// The checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` with one of these endings, sorted; vendored and generated ones left out.
fn files(dir: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root().join(dir), endings, &mut found);
    found.sort();
    found
}

fn collect(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "vendor" | "target" | "corpus" | "node_modules") {
                collect(&path, endings, found);
            }
        } else if endings.iter().any(|e| name.ends_with(e)) {
            found.push(path);
        }
    }
}

/// A path as messages show it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
