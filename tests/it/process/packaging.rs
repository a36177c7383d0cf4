//! The files that people install with: what they set is configuration that there is, and what the scripts take out
//! of the pages is there. What systemd itself makes of the units is tried by `packaging/systemd.sh`.

use super::docs::{blocks, page};
use super::*;

/// The variables `POSTRIDER_…` of a file with their values, also those that are commented out.
fn variables(file: &str) -> Vec<(String, String)> {
    let text = page(&format!("../{file}"));
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let mut found = Vec::new();
    for at in text.match_indices("POSTRIDER_").map(|(at, _)| at) {
        let (name, rest) = text[at..].split_at(text[at..].find(|c| !is_name(c)).unwrap());
        let Some(value) = rest.strip_prefix('=').or_else(|| rest.strip_prefix(": ")) else { continue };
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split_whitespace().next(),
        };
        // In prose an ellipsis stands for a value.
        found.extend(value.filter(|v| !v.starts_with('…')).map(|v| (name.to_owned(), v.to_owned())));
    }
    found
}

#[tokio::test]
async fn what_container_and_service_set_is_configuration_that_there_is() {
    for (file, least) in [("Dockerfile", 3), ("compose.yaml", 3), ("packaging/postrider.service", 3)] {
        let variables = variables(file);
        assert!(variables.len() >= least, "{file}: {variables:?}");
        let mut program = Program::new();
        fs::write(program.path().join("file"), "x".repeat(32)).unwrap();
        for (name, value) in &variables {
            // Files that are somewhere else.
            let value = if name.ends_with("_FILE") { "file" } else { value };
            let value = if name == "POSTRIDER_CONFIG" {
                concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml")
            } else {
                value
            };
            program.env.push((name.clone().leak(), value.to_owned()));
        }
        let (code, stdout, stderr) = program.run("config check").await;
        assert_eq!(code, Some(0), "{file}: {stdout}{stderr}");
    }
}

#[test]
fn what_the_script_for_systemd_takes_out_of_the_pages_is_there() {
    let script = page("../packaging/systemd.sh");
    let mut taken = 0;
    for line in script.lines().filter_map(|line| line.split("block docs/").nth(1)) {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let number: usize = words.next().unwrap().parse().unwrap();
        assert!(blocks(&page(name), kind).len() >= number, "{name}: {kind} {number}");
        taken += 1;
    }
    assert!(taken >= 5, "{taken}");
    let unit = page("../packaging/postrider.service");
    assert!(unit.contains("#   systemd-run ") && unit.contains("postrider --data /var/lib/postrider "));
}
