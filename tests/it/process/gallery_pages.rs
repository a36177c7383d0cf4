//! The pages of `docs/integrations/` are written from the gallery: one for each group of `groups.json`. What cannot
//! be read from a recipe, the group and where its facts are from, is in that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use postrider::domain::gallery::{self, Limit, Preset, Side};
use serde::Deserialize;

use super::docs::{blocks, page};
use super::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MARK: &str = "<!-- generated from src/domain/gallery/recipes: UPDATE_EXAMPLE=1 cargo test --test it -- pages_of_the_gallery -->";

/// A group of recipes, which is a page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    page: String,
    title: String,
    intro: String,
    sources: Vec<String>,
    destinations: Vec<String>,
    /// By recipe: a fact, and where it was read; null if it was not checked.
    facts: BTreeMap<String, Vec<(String, Option<String>)>>,
}

fn groups() -> Vec<Group> {
    serde_json::from_str(&page("integrations/groups.json")).unwrap()
}

fn preset(side: Side, name: &str) -> &'static Preset {
    gallery::find(side, name).unwrap()
}

/// A text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<").replace('\n', "<br>")
}

fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// What is given for the recipe's command: what is required, and the first of several groups.
fn inputs(preset: &Preset) -> Value {
    let first = preset.one_of.first();
    let is_given = |name: &String| first.is_some_and(|group| group.contains(name));
    let given = preset.inputs.iter().filter(|input| input.required || is_given(&input.name));
    given.map(|input| (input.name.clone(), json!(input.example))).collect::<serde_json::Map<_, _>>().into()
}

/// Code in a shell's single quotes.
fn quoted(body: &Value) -> String {
    format!("'{}'", body.to_string().replace('\'', r"'\''"))
}

/// A recipe as a command names it.
fn given(preset: &Preset) -> Value {
    match inputs(preset) {
        Value::Object(inputs) if inputs.is_empty() => json!({ "name": preset.name }),
        inputs => json!({ "name": preset.name, "inputs": inputs }),
    }
}

fn heading(out: &mut String, preset: &Preset) {
    writeln!(out, "\n### {} (`{}`)\n", preset.title, preset.name).unwrap();
    for (n, step) in preset.steps.iter().enumerate() {
        writeln!(out, "{}. {}", n + 1, step.replace('<', "\\<")).unwrap();
    }
    if !preset.inputs.is_empty() {
        writeln!(out, "\n| input | | example | |\n|---|---|---|---|").unwrap();
    }
    for input in &preset.inputs {
        let one_of = preset.one_of.iter().any(|group| group.contains(&input.name));
        let need = if input.required {
            "required"
        } else if one_of {
            "one of"
        } else {
            "optional"
        };
        let secret = if input.secret { ", secret" } else { "" };
        let (name, example) = (code(&input.name), code(&input.example.replace('|', "\\|")));
        writeln!(out, "| {name} | {need}{secret} | {example} | {} |", cell(&input.help)).unwrap();
    }
    if !preset.one_of.is_empty() {
        let groups: Vec<String> = preset
            .one_of
            .iter()
            .map(|group| group.iter().map(|name| code(name)).collect::<Vec<_>>().join(" and "))
            .collect();
        writeln!(out, "\nGive {}.", groups.join(", or ")).unwrap();
    }
}

fn limits(out: &mut String, preset: &Preset) {
    if !preset.limits.is_empty() {
        writeln!(out).unwrap();
    }
    for Limit { text, .. } in &preset.limits {
        writeln!(out, "- {text}").unwrap();
    }
}

/// The settings as they are written into the source or webhook.
fn settings(out: &mut String, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap();
    writeln!(out, "\n```json\n{text}\n```").unwrap();
}

fn source(out: &mut String, preset: &Preset) {
    heading(out, preset);
    limits(out, preset);
    let body = json!({ "preset": given(preset) });
    writeln!(out, "\n```sh\napi /v1/sources -d {}\n```", quoted(&body)).unwrap();
    writeln!(out, "\n| sample | event type | title | message | level |\n|---|---|---|---|---|").unwrap();
    for name in &preset.samples {
        let name = format!("{}/{name}", preset.name);
        let sample = gallery::sample(&name).unwrap();
        let (expected, text) =
            (&sample.expected, |at: &str| cell(sample.expected.summary[at].as_str().unwrap_or_default()));
        writeln!(
            out,
            "| {} (`{name}`) | `{}` | {} | {} | `{}` |",
            sample.title,
            expected.event_type,
            text("title"),
            text("message"),
            text("level")
        )
        .unwrap();
    }
    settings(out, &Value::Object(preset.attributes.clone()));
}

fn destination(out: &mut String, preset: &Preset) {
    heading(out, preset);
    limits(out, preset);
    let body = json!({ "preset": given(preset), "events": ["*"] });
    writeln!(out, "\n```sh\napi /v1/webhooks -d {}\n```", quoted(&body)).unwrap();
    settings(out, &Value::Object(preset.attributes.clone()));
}

fn facts(out: &mut String, group: &Group) {
    let all: Vec<_> =
        group.facts.iter().flat_map(|(name, facts)| facts.iter().map(move |f| (name, f))).collect();
    if all.is_empty() {
        return;
    }
    writeln!(out, "\n## Where the facts are from\n\n| recipe | fact | source |\n|---|---|---|").unwrap();
    for (name, (fact, source)) in all {
        let source = source.as_deref().unwrap_or("not checked");
        writeln!(out, "| `{name}` | {} | {} |", cell(fact), cell(source)).unwrap();
    }
}

fn written(group: &Group) -> String {
    let mut out = format!("# {}\n\n{MARK}\n\n{}\n\n", group.title, group.intro);
    writeln!(
        out,
        "Each recipe writes the settings that are shown with it; `{{{{ inputs.… }}}}` stands for what you give. Change \
         them as you\nlike afterwards. The commands use `api` of [Integrations](../integrations.md); the language of \
         the templates has\n[its own page](../integrations-language.md)."
    )
    .unwrap();
    if !group.sources.is_empty() {
        writeln!(out, "\n## Senders").unwrap();
    }
    group.sources.iter().for_each(|name| source(&mut out, preset(Side::Source, name)));
    if !group.destinations.is_empty() {
        writeln!(out, "\n## Receivers").unwrap();
    }
    group.destinations.iter().for_each(|name| destination(&mut out, preset(Side::Destination, name)));
    facts(&mut out, group);
    out
}

/// Set `UPDATE_EXAMPLE=1` to write the pages again after a change of the gallery.
#[test]
fn the_pages_of_the_gallery_are_what_its_files_say() {
    for group in groups() {
        let path = Path::new(ROOT).join(format!("docs/integrations/{}.md", group.page));
        let wanted = written(&group);
        if std::env::var_os("UPDATE_EXAMPLE").is_some() {
            fs::write(&path, &wanted).unwrap();
            continue;
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == wanted, "docs/integrations/{}.md is older than the gallery: {MARK}", group.page);
    }
}

#[test]
fn every_recipe_has_its_place_on_a_page() {
    let groups = groups();
    for (side, names) in [
        (Side::Source, groups.iter().flat_map(|group| &group.sources).collect::<Vec<_>>()),
        (Side::Destination, groups.iter().flat_map(|group| &group.destinations).collect()),
    ] {
        let placed: BTreeSet<&String> = names.iter().copied().collect();
        assert_eq!(placed.len(), names.len(), "one page for each recipe: {names:?}");
        assert_eq!(placed, gallery::all(side).iter().map(|preset| &preset.name).collect());
    }
    for group in &groups {
        let recipes: BTreeSet<&String> = group.sources.iter().chain(&group.destinations).collect();
        assert_eq!(group.facts.keys().collect::<BTreeSet<_>>(), recipes, "{}", group.page);
    }
    let written: BTreeSet<String> = groups.iter().map(|group| format!("{}.md", group.page)).collect();
    let folder = fs::read_dir(Path::new(ROOT).join("docs/integrations")).unwrap();
    let there = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.filter(|name| name.ends_with(".md")).collect::<BTreeSet<_>>(), written);
}

#[tokio::test]
async fn the_commands_of_the_gallery_create_what_they_say() {
    let program = Program::new();
    let running = program.serve().await;
    let mut created = 0;
    for group in groups() {
        for block in blocks(&page(&format!("integrations/{}.md", group.page)), "sh") {
            let (path, body) = block.strip_prefix("api ").unwrap().split_once(" -d '").unwrap();
            let body = body.trim_end().strip_suffix('\'').unwrap().replace(r"'\''", "'");
            let asked = running.request(Method::POST, path).body(body.clone());
            let answer = asked.header("content-type", "application/json").send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert_eq!(status, 201, "{body}: {text}");
            let made: Value = serde_json::from_str(&text).unwrap();
            let asked: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(made["data"]["attributes"]["preset"]["name"], asked["preset"]["name"]);
            created += 1;
        }
    }
    assert_eq!(created, gallery::all(Side::Source).len() + gallery::all(Side::Destination).len());
}
