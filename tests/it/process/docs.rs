//! The commands on the pages under `docs/` and in the README do what the pages say. What the pages name and link to is
//! checked in `pages`, the code for senders in `sending`.

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

/// Whether the programs that the pages use are on this machine.
fn has_tools() -> bool {
    is_here("curl") && is_here("jq")
}

/// Runs the commands of a page as one script, against a server of its own.
async fn run_commands(name: &str, receiver: &Receiver) -> String {
    run_script(name, &blocks(&page(name), "sh").join("\n"), receiver).await
}

/// Runs the commands of a page, and this one again and again until it succeeds: the server ends with the script, and
/// deliveries may be in flight then.
async fn run_commands_until(name: &str, succeeds: &str, receiver: &Receiver) -> String {
    let commands = blocks(&page(name), "sh").join("\n");
    run_script(name, &format!("{commands}\nuntil {succeeds}; do sleep 0.05; done"), receiver).await
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
        .env("no_proxy", "*");
    let ran = programs::ended(shell).await;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

#[tokio::test]
async fn the_quick_start_leads_to_a_delivered_webhook() {
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("quick-start.md", &receiver).await;
    assert!(said.contains("\"delivered\":true"), "{said}");
    let got = receiver.next_n(2).await;
    assert_eq!(got[1].header("x-webhook-event"), Some("license.assigned"));
}

#[tokio::test]
async fn the_commands_of_the_readme_end_in_a_successful_delivery() {
    if !has_tools() {
        return;
    }
    // What builds and tests the program, and what starts a server that does not end, is left out.
    let own = ["cargo ", "bash tests/", "./target/release/postrider  "];
    let commands = blocks(&page("../README.md"), "sh").join("\n");
    let (others, kept): (Vec<&str>, Vec<&str>) =
        commands.lines().partition(|line| own.iter().any(|start| line.starts_with(start)));
    assert_eq!(others.len(), 4, "{others:?}");
    let receiver = Receiver::start().await;
    // A person needs longer for the last command than a delivery takes; a script asks until it is there.
    let delivered =
        "until api /v1/webhooks/deliveries | grep -q '\"status\":\"delivered\"'; do sleep 0.05; done";
    let commands = kept.join("\n").replace("./target/release/postrider", "postrider");
    let last = "api /v1/webhooks/deliveries";
    assert!(commands.trim_end().ends_with(last), "it ends with a look at the delivery");
    let commands = format!("{}\n{delivered}\n{last}", commands.trim_end().strip_suffix(last).unwrap());
    let said = run_script("README.md", &commands, &receiver).await;
    for part in ["\"signing_secret\":\"whsec_", "\"deliveries\":1", "\"status\":\"delivered\"", "verified"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(receiver.count(), 0, "the echo receiver answers in the process");
}

#[test]
fn the_readme_is_short_and_has_both_commands_for_a_fresh_machine() {
    let readme = page("../README.md");
    assert!(readme.lines().count() <= 120, "{} lines", readme.lines().count());
    let commands = blocks(&readme, "sh").join("\n");
    for command in ["cargo run --profile quick -- demo", "bash tests/all.sh"] {
        assert!(commands.lines().any(|line| line == command), "{command}");
    }
}

#[tokio::test]
async fn the_commands_of_operating_do_what_they_say() {
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("operating.md", &receiver).await;
    for part in [
        "healthy: ",
        "configuration is fine",
        "backed up ",
        "restored ",
        "OK: no corruption",
        "postrider::delivery=debug",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn the_commands_of_integrations_take_a_request_to_a_phone_and_to_a_receiver() {
    if !has_tools() {
        return;
    }
    let (receiver, phone) = (Receiver::start().await, Receiver::start().await);
    let commands = blocks(&page("integrations.md"), "sh").join("\n");
    assert!(commands.contains("https://ntfy.sh"));
    let delivered = r#"[ "$(api '/v1/webhooks/deliveries?status=pending' | jq '.data | length')" = 0 ]"#;
    let commands = commands.replace("https://ntfy.sh", phone.url("").trim_end_matches('/'));
    let commands = format!("{commands}\nuntil {delivered}; do sleep 0.05; done");
    let said = run_script("integrations.md", &commands, &receiver).await;
    for part in [r#""event_type":"uptime_kuma.test""#, r#""error":"not verified""#, r#""title":"ada: play""#]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let shown = phone.next().await.json();
    assert_eq!((&shown["title"], &shown["priority"]), (&json!("NAS"), &json!(4)));
    assert_eq!(shown["message"], "[NAS] connect ECONNREFUSED");
    assert_eq!(phone.next().await.json()["message"], "[NAS] 200 - OK");
    assert_eq!(phone.count(), 2, "the filter leaves out the test");
    let got = receiver.next().await;
    assert_eq!(got.header("x-webhook-event"), Some("uptime_kuma.up"));
    assert_eq!(got.header("x-postrider-hops"), Some("1"));
}

#[tokio::test]
async fn the_commands_of_alerts_make_targets_and_reach_one() {
    if !has_tools() {
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
    for part in ["exported 1 app, ", "would import:", "imported:", "keys      0 new, 0 changed, 1 unchanged"]
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
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("concepts.md", &receiver).await;
    assert!(said.contains(r#""event_type":"license.assigned""#), "{said}");
    receiver.next_n(2).await;
}

#[tokio::test]
async fn the_commands_of_the_api_by_example_do_what_they_say() {
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("api.md", &receiver).await;
    assert!(said.contains(r#""type":"webhook_health""#) && said.contains(r#""kind":"recover""#), "{said}");
    // The answer with every problem is as the page shows it.
    let shown: Value = serde_json::from_str(blocks(&page("api.md"), "json").last().unwrap()).unwrap();
    let errors = shown["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 3);
    for error in errors {
        let detail = error["detail"].as_str().unwrap().trim_end_matches('…').to_owned();
        let detail = json!(detail).to_string();
        assert!(said.contains(detail.trim_matches('"')), "{detail} is not in {said}");
        assert!(said.contains(&error["source"].to_string()), "{error}");
    }
}

#[tokio::test]
async fn the_commands_of_recovery_send_what_was_missed() {
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let all = r#"[ "$(api '/v1/webhooks/deliveries?status=delivered' | jq '.data | length')" = 3 ]"#;
    let said = run_commands_until("recovery.md", all, &receiver).await;
    assert!(said.contains(r#""kind":"recover""#) && said.contains(r#""status":"dry_run""#), "{said}");
    let mut types = Vec::new();
    for got in receiver.next_n(3).await {
        types.push(got.header("x-webhook-event").unwrap().to_owned());
    }
    types.sort();
    // The first event, what was posted while the webhook was disabled, and the replay.
    assert_eq!(types, ["license.assigned", "license.assigned", "license.expired"]);
}

#[tokio::test]
async fn the_commands_for_customers_keep_the_apps_apart() {
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let delivered = r#"app "$ACME" '/v1/webhooks/deliveries?status=delivered' | grep -q invoice.paid"#;
    let said = run_commands_until("customers.md", delivered, &receiver).await;
    assert!(said.contains("Acme billing") && said.contains("\"deliveries\":1"), "{said}");
    // Globex sees nothing of it: its list is empty.
    assert!(said.contains(r#"{"data":[],"#), "{said}");
    assert_eq!(receiver.next().await.header("x-webhook-event"), Some("invoice.paid"));
}

#[tokio::test]
async fn the_commands_for_local_development_reach_the_echo_receiver() {
    if !has_tools() {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("local-development.md", &receiver).await;
    assert!(said.contains(r#""delivered":true"#) && said.contains("My receiver"), "{said}");
}
