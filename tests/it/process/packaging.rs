//! The files that people install with: what they set is configuration that there is, and what the scripts take out
//! of the pages is there. What systemd itself makes of the units is tried by `packaging/systemd.sh`.

use serde_yaml::Value as Yaml;

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

/// The documents of a YAML file, with anchors put in.
fn documents(file: &str) -> Vec<Yaml> {
    let text = page(&format!("../{file}"));
    let read = serde_yaml::Deserializer::from_str(&text).map(|document| {
        let mut value =
            <Yaml as serde::Deserialize>::deserialize(document).unwrap_or_else(|e| panic!("{file}: {e}"));
        value.apply_merge().unwrap_or_else(|e| panic!("{file}: {e}"));
        value
    });
    read.collect()
}

fn text(value: &Yaml) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value:?} is text")).to_owned()
}

/// A configuration of these variables is one that a server starts with.
async fn is_good_configuration(of: &str, variables: Vec<(String, String)>) {
    let mut program = Program::new();
    assert!(variables.len() >= 4, "{of}: {variables:?}");
    for (name, value) in variables {
        program.env.push((name.leak(), value));
    }
    let (code, stdout, stderr) = program.run("config check --strict").await;
    assert_eq!(code, Some(0), "{of}: {stdout}{stderr}");
}

#[tokio::test]
async fn the_nodes_of_the_compose_file_differ_in_their_names_alone() {
    let file = documents("packaging/compose-cluster.yaml").remove(0);
    let mut of_nodes = Vec::new();
    for name in ["node-a", "node-b"] {
        let node = &file["services"][name];
        let mut variables = Vec::new();
        for (key, value) in node["environment"].as_mapping().expect("a node has an environment") {
            let value = text(value).replace("${POSTGRES_PASSWORD:?see above}", "secret");
            variables.push((text(key), value.replace("${ENCRYPTION_KEY:?see above}", &"x".repeat(32))));
        }
        assert!(variables.contains(&("POSTRIDER_CLUSTER__NODE".to_owned(), name.to_owned())));
        is_good_configuration(name, variables.clone()).await;
        variables.retain(|(key, _)| key != "POSTRIDER_CLUSTER__NODE");
        of_nodes.push(variables);
        assert_eq!((&node["read_only"], &node["cap_drop"][0]), (&Yaml::Bool(true), &Yaml::from("ALL")));
        assert_eq!(node["depends_on"]["database"]["condition"], "service_healthy");
    }
    assert_eq!(of_nodes[0], of_nodes[1]);
    let caddyfile = text(&file["configs"]["caddyfile"]["content"]);
    assert!(caddyfile.contains("reverse_proxy node-a:8080 node-b:8080") && caddyfile.contains("/readyz"));
}

#[tokio::test]
async fn the_manifests_for_kubernetes_fit_together_and_configure_a_node() {
    let documents = documents("packaging/kubernetes.yaml");
    let kinds: Vec<String> = documents.iter().map(|document| text(&document["kind"])).collect();
    assert_eq!(kinds, ["Secret", "Deployment", "Service", "PodDisruptionBudget"]);
    let [secret, deployment, service, budget] = &documents[..] else { panic!("there are four") };
    let pod = &deployment["spec"]["template"];
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &budget["spec"]["selector"]["matchLabels"],
    ] {
        assert_eq!(selector, &pod["metadata"]["labels"]);
    }
    let container = &pod["spec"]["containers"][0];
    let mut variables = Vec::new();
    for entry in container["env"].as_sequence().expect("the container has variables") {
        let (name, from) = (text(&entry["name"]), &entry["valueFrom"]);
        let value = match (from.get("secretKeyRef"), from.get("fieldRef")) {
            (Some(key), _) => {
                assert_eq!(key["name"], secret["metadata"]["name"]);
                text(&secret["stringData"][text(&key["key"]).as_str()]).replace(['<', '>'], "")
            }
            (None, Some(_)) => "postrider-6d5f9c7b8d-x2x7q".to_owned(),
            (None, None) => text(&entry["value"]),
        };
        variables.push((name, value));
    }
    is_good_configuration("kubernetes.yaml", variables).await;
    let probe =
        |name: &str| (text(&container[name]["httpGet"]["path"]), text(&container[name]["httpGet"]["port"]));
    let port = text(&container["ports"][0]["name"]);
    assert_eq!(probe("livenessProbe"), ("/healthz".to_owned(), port.clone()), "the database may be away");
    assert_eq!(probe("startupProbe"), ("/healthz".to_owned(), port.clone()));
    assert_eq!(probe("readinessProbe"), ("/readyz".to_owned(), port.clone()));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port.as_str());
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > 25, "5 s of requests and 20 s for what is in flight");
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
