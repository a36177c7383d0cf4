//! The pages under `docs/` name what exists: operations, commands, metrics, kinds, files, links and their anchors.

use std::collections::BTreeSet;

use postrider::domain::{ActivityKind, AlertKind, AttemptStatus, EndpointStatus, ErrorKind, Trigger};

use super::docs::{blocks, page};
use super::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every page, by its name below `docs/`.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "integrations/"] {
        let entries = fs::read_dir(Path::new(ROOT).join("docs").join(folder)).unwrap();
        let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.extend(files.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}{name}")));
    }
    names.extend(["../README.md", "../CHANGELOG.md", "../SECURITY.md"].map(str::to_owned));
    names.sort();
    names
}

#[tokio::test]
async fn the_api_by_example_names_every_operation() {
    let (code, document, _) = Program::new().run("openapi v1").await;
    assert_eq!(code, Some(0));
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut there: Vec<String> = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if let Some(summary) = operation["summary"].as_str() {
                there.push(format!("| `{} {path}` | {summary} |", method.to_uppercase()));
            }
        }
    }
    let shown = page("api.md");
    let mut named: Vec<String> = shown
        .lines()
        .filter(|line| line.contains("` | ") && line.contains(" /v1/"))
        .map(str::to_owned)
        .collect();
    there.sort();
    named.sort();
    assert_eq!(named, there);
}

#[test]
fn the_code_for_receivers_is_that_of_the_files_that_are_tested() {
    let receiving = page("receiving.md");
    for (kind, file) in [
        ("python", "python/verify.py"),
        ("js", "node/verify.mjs"),
        ("go", "go/verify.go"),
        ("rust", "rust/verify.rs"),
        ("bash", "bash/verify.sh"),
        ("bash", "bash/send.sh"),
    ] {
        let code = fs::read_to_string(Path::new(ROOT).join("assets/snippets").join(file)).unwrap();
        assert!(blocks(&receiving, kind).contains(&code), "{file} stands in receiving.md as it is");
    }
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_metrics_that_there_are() {
    let program = Program::new();
    let running = program.serve().await;
    let metrics = running.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let dashboard: Value = serde_json::from_str(&page("monitoring/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut text: String = targets.map(|target| target["expr"].as_str().unwrap().to_owned() + "\n").collect();
    text += &page("monitoring/alerts.yaml");
    text += &page("monitoring/alerts-cluster.yaml");
    let metrics = metrics + &crate::metrics::of_a_node(true).await.0;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: HashSet<&str> = text
        .split(|c| !is_name(c))
        .filter(|word| (word.starts_with("postrider_") || word.starts_with("process_")) && word.len() > 10)
        .collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let sample = metrics
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        assert!(sample, "{name} is not in /metrics");
    }
}

/// The lines of a page that are no code.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    };
    text.lines().filter(is_prose).collect()
}

/// The anchor that a heading gets: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn the_pages_link_to_files_and_headings_that_exist() {
    let mut checked = 0;
    for name in names() {
        let text = page(&name);
        let from = Path::new(ROOT).join("docs").join(&name);
        let prose = prose(&text).join("\n");
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { from.clone() } else { from.parent().unwrap().join(file) };
            assert!(target.exists(), "{name}: {link}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).iter().any(|anchor| anchor == heading), "{name}: {link}");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} links were found");
}

#[test]
fn the_pages_name_source_files_that_exist() {
    let mut checked = 0;
    for name in names() {
        let text = page(&name);
        let quoted = text.split('`').skip(1).step_by(2);
        let tops = ["src/", "assets/", "tests/", "packaging/", "benches/"];
        for path in quoted.filter(|path| tops.iter().any(|top| path.starts_with(top))) {
            // A pattern, or a file that a guide tells people to create.
            if path.contains(['*', ' ']) || path.contains("NAME") || path.contains("NNNN") {
                continue;
            }
            assert!(Path::new(ROOT).join(path).exists(), "{name}: {path}");
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked} paths were found");
}

#[test]
fn the_index_names_every_page() {
    let index = page("README.md");
    for name in names().iter().filter(|name| !name.contains("README.md")) {
        assert!(index.contains(&format!("]({name})")), "{name} is not in docs/README.md");
    }
}

/// The words in backquotes in the first column of the table below a heading.
fn first_column(text: &str, heading: &str) -> BTreeSet<String> {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = rest.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let words = cells.skip(1).flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned));
    words.collect()
}

fn words<'a>(all: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    all.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_page_on_kinds_has_every_word_of_the_program() {
    let kinds = page("kinds.md");
    let named = |heading| first_column(&kinds, heading);
    assert_eq!(named("Attempt status"), words(AttemptStatus::ALL.iter().map(|kind| kind.as_str())));
    assert_eq!(named("Triggers"), words(Trigger::ALL.iter().map(|kind| kind.as_str())));
    assert_eq!(named("Error kinds"), words(ErrorKind::ALL.iter().map(|kind| kind.as_str())));
    assert_eq!(named("Webhook status"), words(EndpointStatus::ALL.iter().map(|kind| kind.as_str())));
    assert_eq!(named("Alert kinds"), words(AlertKind::ALL.iter().map(|kind| kind.as_str())));
    assert_eq!(named("Activity kinds"), words(ActivityKind::ALL.iter().map(|kind| kind.as_str())));
}

#[tokio::test]
async fn the_page_on_metrics_has_every_metric() {
    let program = Program::new();
    let running = program.serve().await;
    let metrics = running.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    // With several nodes there are more.
    let metrics = metrics + &crate::metrics::of_a_node(true).await.0;
    let shown: BTreeSet<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let text = page("metrics.md");
    let named: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some(format!("{} {}", cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    assert_eq!(named.iter().map(String::as_str).collect::<BTreeSet<_>>(), shown);
}

/// The help of a command and of those below it, as sections of a page.
async fn helps(program: &Program) -> String {
    let mut page = String::new();
    let mut open = vec![String::new()];
    while let Some(command) = open.pop() {
        let (code, help, _) = program.run(&format!("{command} --help")).await;
        assert_eq!(code, Some(0), "{command}");
        let name = format!("postrider {command}");
        let trimmed: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        page += &format!("\n## `{}`\n\n```text\n{}\n```\n", name.trim_end(), trimmed.join("\n"));
        let below = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
        let below = below.lines().take_while(|line| line.starts_with("  "));
        let names = below.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != "help").collect();
        open.extend(names.iter().rev().map(|name| format!("{command} {name}").trim_start().to_owned()));
    }
    page
}

/// Set `UPDATE_EXAMPLE=1` to write the page again after a change to the command line.
#[tokio::test]
async fn the_page_on_the_command_line_is_what_help_prints() {
    const MARK: &str =
        "<!-- generated from --help: UPDATE_EXAMPLE=1 cargo test --test it -- command_line_is_what -->\n";
    let text = page("cli.md");
    let (intro, _) = text.split_once(MARK).expect("the mark");
    let wanted = format!("{intro}{MARK}{}", helps(&Program::new()).await);
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(Path::new(ROOT).join("docs/cli.md"), &wanted).unwrap();
        return;
    }
    assert!(wanted.matches("\n## `postrider").count() > 25, "the commands were found");
    assert_eq!(text, wanted);
}
