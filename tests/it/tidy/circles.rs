//! No circle of files that use each other, in `src` and in `assets`.
//!
//! A file may use what the `mod.rs` of a room around it defines; such arrows do not count. Everything else does.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::Crate;
use super::{files, read, root, shown};

/// The circles of a graph: groups of nodes that reach each other.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = arrows.get(from).into_iter().flatten().collect();
        while let Some(node) = next.pop() {
            if seen.insert(node.clone()) {
                next.extend(arrows.get(node).into_iter().flatten());
            }
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> = arrows.keys().map(|node| (node, reached(node))).collect();
    let mut found = BTreeSet::new();
    for (node, from_here) in &all {
        if from_here.contains(*node) {
            let circle: Vec<String> = from_here
                .iter()
                .filter(|other| all.get(other).is_some_and(|back| back.contains(*node)))
                .cloned()
                .collect();
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// The module that a file of `src` is.
fn module(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { String::new() } else { path.replace('/', "::") }
}

fn of_rust() -> BTreeMap<String, BTreeSet<String>> {
    let sources: Vec<(String, String)> = files("src", &[".rs"])
        .iter()
        .filter(|file| !file.ends_with("tests.rs") && **file != root().join("src/main.rs"))
        .map(|file| (module(&shown(file)), read(file)))
        .collect();
    assert!(sources.len() > 200, "the sources were found");
    let read = Crate::read(&sources);
    let around = |room: &str, file: &str| room.is_empty() || file.starts_with(&format!("{room}::"));
    read.arrows()
        .into_iter()
        .map(|(from, to)| (from.to_owned(), to.into_iter().filter(|to| !around(to, from)).collect()))
        .collect()
}

fn of_assets() -> BTreeMap<String, BTreeSet<String>> {
    let sources = files("assets", &[".js"]);
    assert!(sources.len() > 40, "the dashboard's files were found");
    sources
        .iter()
        .map(|file| {
            // `import "./x.js"`, `from "./x.js"` and `export … from`; a page that is loaded later, by
            // `import("./x.js")`, is no import of the file.
            let imports = read(file)
                .lines()
                .filter_map(|line| line.split_once(" from \"").or_else(|| line.split_once("import \"")))
                .filter_map(|(_, rest)| rest.split_once('"').map(|(path, _)| path.to_owned()))
                .filter(|path| path.starts_with('.'))
                .map(|path| {
                    let target = file.parent().unwrap().join(path);
                    shown(&target.canonicalize().unwrap_or(target))
                })
                .collect();
            (shown(file), imports)
        })
        .collect()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    for arrows in [of_rust(), of_assets()] {
        let found = circles(&arrows);
        let named: Vec<String> = found
            .iter()
            .map(|circle| {
                let inner = |node: &String| {
                    let to: Vec<&str> =
                        arrows[node].iter().filter(|t| circle.contains(t)).map(String::as_str).collect();
                    format!("  {node} uses {}", to.join(", "))
                };
                circle.iter().map(inner).collect::<Vec<_>>().join("\n")
            })
            .collect();
        assert!(found.is_empty(), "{} circles:\n{}", found.len(), named.join("\n\n"));
    }
}

#[test]
fn a_circle_is_found() {
    let arrows = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["a"]), ("d", vec!["a"])]
        .map(|(from, to)| (from.to_owned(), to.into_iter().map(str::to_owned).collect()));
    assert_eq!(circles(&arrows.into_iter().collect()), [["a", "b", "c"]]);
}
