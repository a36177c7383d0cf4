//! `SECURITY.md` promises nothing without a test, and docs/reliability.md names no test that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What SECURITY.md promises, and the section of docs/reliability.md that has the tests for it.
const PROMISES: &[(&str, &str)] = &[
    ("Where requests go", "Where requests go"),
    ("Who may do what", "Credentials"),
    ("People", "Browser"),
    ("In the browser", "Browser"),
    ("At rest", "At rest and in logs"),
    ("In logs", "At rest and in logs"),
    ("Input", "Input"),
    ("Code", "Supply chain"),
];

#[test]
fn each_promise_has_its_tests_and_the_page_says_how_to_report_and_what_is_not_promised() {
    let (page, reliability) = (read("SECURITY.md"), read("docs/reliability.md"));
    for heading in ["How to report", "What is promised", "What is not promised", "Threat model"] {
        assert!(page.contains(&format!("\n## {heading}\n")), "SECURITY.md has no section {heading:?}");
    }
    let promised: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once(".**"))
        .map(|(promise, _)| promise)
        .collect();
    let known: BTreeSet<_> = PROMISES.iter().map(|(promise, _)| *promise).collect();
    assert_eq!(promised, known, "what is promised needs a section with its tests");
    for (promise, section) in PROMISES {
        let rest = reliability.split_once(&format!("\n### {section}\n"));
        let rows = rest.map_or(0, |(_, rest)| {
            rest.split("\n### ")
                .next()
                .unwrap_or_default()
                .lines()
                .filter(|line| line.starts_with("| "))
                .count()
        });
        assert!(rows >= 2, "{promise:?} has no tests in the section {section:?}");
    }
}

/// Where a module of this path may be.
fn files(path: &str) -> Vec<PathBuf> {
    let place = path.replace("::", "/");
    ["tests/it", "tests/faults", "tests/browser", "src"]
        .iter()
        .flat_map(|top| [format!("{top}/{place}.rs"), format!("{top}/{place}/mod.rs")])
        .map(|file| root().join(file))
        .filter(|file| file.is_file())
        .collect()
}

/// Whether there is a function in this file whose name begins so.
fn has_function(file: &Path, name: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {name}")))
}

#[test]
fn every_test_that_the_page_on_reliability_names_is_there() {
    let page = read("docs/reliability.md");
    let in_code = page.split('`').skip(1).step_by(2);
    let mut named = 0;
    for name in in_code.filter(|code| code.contains("::") && !code.contains([' ', '=', '/'])) {
        named += 1;
        let name = name.trim_end_matches('…');
        let is_module = !files(name).is_empty();
        let is_function = name
            .rsplit_once("::")
            .is_some_and(|(module, function)| files(module).iter().any(|file| has_function(file, function)));
        assert!(is_module || is_function || name == "a::b", "there is no test {name}");
    }
    assert!(named > 30, "{named} were found");
}
