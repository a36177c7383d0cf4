use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

fn folder(side: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain/gallery/recipes").join(side)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        is_json.then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
    };
    std::fs::read_dir(folder).unwrap().filter_map(name).collect()
}

fn inputs(pairs: &[(&str, &str)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

fn expanded(side: Side, name: &str, pairs: &[(&str, &str)]) -> Value {
    Value::Object(find(side, name).unwrap().expand(&inputs(pairs)).unwrap())
}

fn problems(side: Side, name: &str, given: Value) -> Vec<(String, String)> {
    let Invalid(errors) = find(side, name).unwrap().expand(given.as_object().unwrap()).unwrap_err();
    errors.into_iter().map(|error| (error.pointer, error.message)).collect()
}

use crate::domain::Invalid;

#[test]
fn every_file_of_the_folder_is_in_the_program() {
    for (side, presets) in [("sources", all(Side::Source)), ("destinations", all(Side::Destination))] {
        let known: BTreeSet<String> = presets.iter().map(|preset| preset.name.clone()).collect();
        assert_eq!(known, names_in(&folder(side)), "{side}");
    }
    for preset in all(Side::Source) {
        let samples: BTreeSet<String> = preset.samples.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(samples, names_in(&folder("sources").join(&preset.name)), "{}", preset.name);
        assert!(
            !samples.is_empty()
                && preset.samples.iter().all(|s| sample(&format!("{}/{s}", preset.name)).is_some())
        );
    }
    // Sonarr and its relatives are five recipes of one kind.
    assert_eq!((all(Side::Source).len(), all(Side::Destination).len()), (23 + 4, 18));
}

/// The names in `{{ inputs.… }}` of a recipe, without `.base` and `.rest`.
fn used(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for piece in text.split("{{ inputs.").skip(1) {
                let name = piece.split_once(" }}").unwrap().0;
                found.insert(name.trim_end_matches(".base").trim_end_matches(".rest").to_owned());
            }
            assert!(!text.contains("{{inputs"), "{text}");
        }
        Value::Array(elements) => elements.iter().for_each(|element| used(element, found)),
        Value::Object(fields) => fields.values().for_each(|field| used(field, found)),
        _ => {}
    }
}

#[test]
fn every_recipe_is_whole() {
    for preset in [all(Side::Source), all(Side::Destination)].concat() {
        let name = &preset.name;
        assert!(!preset.title.is_empty() && !preset.steps.is_empty() && preset.version == 1, "{name}");
        let mut found = BTreeSet::new();
        used(&Value::Object(preset.attributes.clone()), &mut found);
        let known: BTreeSet<String> = preset.inputs.iter().map(|input| input.name.clone()).collect();
        assert_eq!(found, known, "{name}: every input is used, and no other");
        let groups: BTreeSet<&String> = preset.one_of.iter().flatten().collect();
        for input in &preset.inputs {
            assert!(!input.label.is_empty() && !input.example.is_empty() && !input.help.is_empty(), "{name}");
            assert!(!(input.required && groups.contains(&input.name)), "{name}: {}", input.name);
        }
        assert!(groups.into_iter().all(|group| known.contains(group)), "{name}");
        for limit in &preset.limits {
            let parts = [limit.pointer.is_some(), limit.max.is_some(), limit.unit.is_some()];
            assert!(parts == [true; 3] || parts == [false; 3], "{name}: {}", limit.text);
        }
        let examples: Map<String, Value> =
            preset.inputs.iter().map(|input| (input.name.clone(), json!(input.example))).collect();
        let expanded = Value::Object(preset.expand(&examples).unwrap()).to_string();
        assert!(!expanded.contains("inputs.") && !expanded.contains("$unless"), "{name}: {expanded}");
    }
}

#[test]
fn a_pasted_url_becomes_a_base_and_a_secret() {
    let slack = expanded(
        Side::Destination,
        "slack",
        &[("webhook_url", "https://hooks.slack-gov.com/services/T0/B0/x")],
    );
    assert_eq!(slack["url"], "https://hooks.slack-gov.com/services/{{ secrets.path }}");
    assert_eq!(slack["secrets"], json!({"path":"T0/B0/x"}));
    let url = "https://chat.googleapis.com:443/v1/spaces/A/messages?key=k&token=t";
    let chat = expanded(Side::Destination, "google_chat", &[("webhook_url", url)]);
    assert_eq!(chat["url"], "https://chat.googleapis.com/{{ secrets.path }}");
    assert_eq!(chat["secrets"]["path"], "v1/spaces/A/messages?key=k&token=t");
    for url in [
        "https://discord.com/api/webhooks/",
        "https://discord.com/channels/1",
        "discord.com/api/webhooks/1/a",
        "ftp://discord.com/api/webhooks/1/a",
        "https://u:p@discord.com/api/webhooks/1/a",
    ] {
        let found = problems(Side::Destination, "discord", json!({"webhook_url": url}));
        assert_eq!(found[0].0, "/preset/inputs/webhook_url", "{url}");
    }
}

#[test]
fn texts_are_percent_encoded_in_urls_only() {
    let inputs = [("homeserver", "https://m.example/x/"), ("room_id", "!a b:m/é"), ("token", "t")];
    let matrix = expanded(Side::Destination, "matrix", &inputs);
    let url = "https://m.example/x/_matrix/client/v3/rooms/%21a%20b%3Am%2F%C3%A9/send/m.room.message/{{ delivery.id }}";
    assert_eq!(matrix["url"], url);
    let ntfy = expanded(Side::Destination, "ntfy", &[("server", "https://ntfy.sh"), ("topic", "a b")]);
    assert_eq!(
        (&ntfy["url"], &ntfy["request"]["body"]["topic"]),
        (&json!("https://ntfy.sh/"), &json!("a b"))
    );
}

#[test]
fn what_is_left_out_leaves_out_its_entry() {
    let without =
        expanded(Side::Destination, "ntfy", &[("server", "https://ntfy.sh"), ("topic", "a"), ("token", " ")]);
    assert_eq!((without.get("secrets"), without["request"].get("headers")), (None, Some(&json!({}))));
    let with = expanded(
        Side::Destination,
        "ntfy",
        &[("server", "https://ntfy.sh"), ("topic", "a"), ("token", "tk")],
    );
    assert_eq!(with["request"]["headers"]["Authorization"], "Bearer {{ secrets.token }}");
    let chat = [("token", "1:a"), ("chat_id", "-100")];
    let telegram = expanded(Side::Destination, "telegram", &chat);
    assert_eq!(telegram["request"]["body"].get("message_thread_id"), None);
    let number = json!({"token":"1:a","chat_id":-100,"thread_id":null});
    let preset = find(Side::Destination, "telegram").unwrap();
    assert_eq!(Value::Object(preset.expand(number.as_object().unwrap()).unwrap()), telegram);
}

#[test]
fn a_source_gets_the_verifiers_of_its_inputs() {
    let kinds = |name: &str, pairs: &[(&str, &str)]| -> Vec<String> {
        let verify = expanded(Side::Source, name, pairs)["verify"].clone();
        verify.as_array().unwrap().iter().map(|v| v["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("gitlab", &[("token", "t")]), ["token"]);
    assert_eq!(kinds("gitlab", &[("token", "t"), ("secret", "whsec_eA==")]), ["token", "standard"]);
    assert_eq!(kinds("sonarr", &[("username", "u"), ("password", "p")]), ["basic"]);
    let grafana = expanded(Side::Source, "grafana", &[("secret", "s")]);
    assert_eq!((&grafana["verify"][0]["content"], grafana["verify"].get(1)), (&json!("{body}"), None));
    let timed = expanded(Side::Source, "grafana", &[("secret", "s"), ("timestamp_header", "X-T")]);
    assert_eq!(
        (&timed["verify"][0]["content"], timed["verify"].get(1)),
        (&json!("{timestamp}:{body}"), None)
    );
    assert_eq!(timed["verify"][0]["timestamp"], "X-T");
}

#[test]
fn what_is_wrong_with_inputs_is_said_with_its_place() {
    for (side, name, given, pointer) in [
        (Side::Source, "github", json!({}), "secret"),
        (Side::Source, "github", json!({"secret":""}), "secret"),
        (Side::Source, "github", json!({"secret":["a"]}), "secret"),
        (Side::Source, "github", json!({"secret":"a{{ b"}), "secret"),
        (Side::Source, "github", json!({"secret":"a{%b"}), "secret"),
        (Side::Source, "github", json!({"secret":"a{#b"}), "secret"),
        (Side::Source, "github", json!({"secret":"a\nb"}), "secret"),
        (Side::Source, "github", json!({"secret":"x".repeat(expand::INPUT_MAX + 1)}), "secret"),
        (Side::Source, "github", json!({"secret":"a","secrets":"b"}), "secrets"),
        (Side::Source, "plex", json!({"secret":"a"}), "secret"),
        (Side::Source, "gitlab", json!({}), "token"),
        (Side::Source, "grafana", json!({"timestamp_header":"X"}), "secret"),
        (Side::Source, "sonarr", json!({"username":"u"}), "password"),
        (Side::Source, "sonarr", json!({"token":"t","password":"p"}), "username"),
        (Side::Destination, "ntfy", json!({"server":"ntfy.sh","topic":"a"}), "server"),
        (Side::Destination, "ntfy", json!({"server":"https://ntfy.sh?x","topic":"a"}), "server"),
        (Side::Destination, "json", json!({"url":"/x"}), "url"),
    ] {
        let found = problems(side, name, given.clone());
        assert_eq!(found.len(), 1, "{name} {given} {found:?}");
        assert_eq!(found[0].0, format!("/preset/inputs/{pointer}"), "{name} {given} {found:?}");
    }
    assert!(find(Side::Source, "githup").unwrap_err().contains("did you mean github?"));
    assert!(find(Side::Destination, "github").is_err());
}
