//! The pages under `docs/`: what they tell people to type works, and what they name is there.

use super::*;
use crate::support::programs::is_here;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(super) fn page(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("docs").join(name)).unwrap()
}

/// The blocks of a page that are of this kind.
pub(super) fn blocks(page: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info == kind, String::new())),
            (Some(_), Some(_)) => {
                let (wanted, text) = open.take().unwrap();
                blocks.extend(Some(text).filter(|_| wanted));
            }
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// Runs the commands of a page as one script, against a server of its own.
async fn run_commands(name: &str, receiver: &Receiver) -> String {
    run_script(name, &blocks(&page(name), "sh").join("\n"), receiver).await
}

/// Runs commands as one script, against a server of its own.
async fn run_script(name: &str, commands: &str, receiver: &Receiver) -> String {
    let program = Program::new();
    let running = program.serve().await;
    assert!(commands.contains("http://127.0.0.1:8080") || commands.contains("postrider "), "{name} was read");
    let commands = commands
        .replace("http://127.0.0.1:8080", &running.base)
        .replace("https://example.com/hook", &receiver.url("/hook"));
    let binary = Path::new(env!("CARGO_BIN_EXE_postrider")).parent().unwrap().display().to_string();
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &commands])
        .current_dir(program.path())
        .env("PATH", format!("{binary}:{}", std::env::var("PATH").unwrap()))
        .env("POSTRIDER_LISTEN", running.base.strip_prefix("http://").unwrap())
        .env("no_proxy", "*")
        .stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || shell.output().unwrap());
    let ran = in_time("the end of the commands", ran).await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

#[tokio::test]
async fn the_quick_start_leads_to_a_delivered_webhook() {
    if !is_here("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("quick-start.md", &receiver).await;
    assert!(said.contains("\"delivered\":true"), "{said}");
    let got = receiver.next_n(2).await;
    assert_eq!(got[1].header("x-webhook-event"), Some("license.assigned"));
}

#[tokio::test]
async fn the_commands_of_the_readme_do_what_they_say() {
    if !is_here("curl") {
        return;
    }
    // What builds and tests the program, and what starts a server that does not end, is left out.
    let own = ["cargo ", "bash tests/", "./target/release/postrider  "];
    let commands = blocks(&page("../README.md"), "sh").join("\n");
    let (others, kept): (Vec<&str>, Vec<&str>) =
        commands.lines().partition(|line| own.iter().any(|start| line.starts_with(start)));
    assert_eq!(others.len(), 4, "{others:?}");
    let receiver = Receiver::start().await;
    let commands = kept.join("\n").replace("./target/release/postrider", "postrider");
    let said = run_script("README.md", &commands, &receiver).await;
    for part in ["\"signing_secret\":\"whsec_", "configuration is fine", "backed up ", "restored ", "sound: "]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(receiver.next().await.header("x-webhook-event"), Some("license.assigned"));
}

#[tokio::test]
async fn the_commands_of_operating_do_what_they_say() {
    if !is_here("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("operating.md", &receiver).await;
    for part in [
        "healthy: ",
        "configuration is fine",
        "backed up ",
        "restored ",
        "sound: ",
        "postrider::delivery=debug",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn the_commands_of_alerts_make_targets_and_reach_one() {
    if !is_here("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("alerts.md", &receiver).await;
    assert!(said.contains(r#""sent":true"#), "{said}");
    let told = receiver.next().await.json();
    assert_eq!((&told["kind"], &told["test"]), (&json!("queue_late"), &json!(true)));
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shown: Value = serde_json::from_str(&blocks(&page("alerts.md"), "json")[0]).unwrap();
    assert_eq!(fields(&shown), fields(&told), "the page shows what comes");
    for form in ["ntfy", "gotify", "discord", "slack"] {
        assert!(said.contains(&format!(r#""form":"{form}""#)), "{form}: {said}");
    }
}

#[tokio::test]
async fn the_commands_of_moving_lead_to_another_server() {
    let receiver = Receiver::start().await;
    let said = run_commands("moving.md", &receiver).await;
    for part in
        ["exported 1 apps, ", "would import:", "imported:", "keys      0 new, 0 changed, 1 as they are"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // What the page shows can be taken in as it stands.
    let program = Program::new();
    fs::write(program.path().join("shown.json"), &blocks(&page("moving.md"), "json")[0]).unwrap();
    let (code, stdout, stderr) = program.run("import shown.json").await;
    assert!(code == Some(0) && stdout.contains("webhooks  1 new"), "{stdout}{stderr}");
}

#[tokio::test]
async fn the_commands_of_the_concepts_do_what_they_say() {
    if !is_here("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("concepts.md", &receiver).await;
    assert!(said.contains(r#""event_type":"license.assigned""#), "{said}");
    receiver.next_n(2).await;
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

#[test]
fn what_the_pages_link_to_is_there() {
    for name in [
        "quick-start.md",
        "concepts.md",
        "receiving.md",
        "alerts.md",
        "benchmarks.md",
        "configuration.md",
        "dashboard.md",
        "dependencies.md",
        "moving.md",
        "operating.md",
        "proxies.md",
        "reliability.md",
        "../CHANGELOG.md",
        "../README.md",
        "../SECURITY.md",
    ] {
        let text = page(name);
        let from = Path::new(ROOT).join("docs").join(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(from.parent().unwrap().join(file).exists(), "{name}: {link}");
            }
        }
    }
}
