//! The pages under `docs/`: what they tell people to type works, and what they name is there.

use super::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("docs").join(name)).unwrap()
}

/// The blocks of a page that are of this kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
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

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("{program} is not installed; what needs it was not tried");
    }
    found.status.success()
}

/// Runs the commands of a page as one script, against a server of its own.
async fn run_commands(name: &str, receiver: &Receiver) -> String {
    let program = Program::new();
    let running = program.serve().await;
    let commands = blocks(&page(name), "sh").join("\n");
    assert!(commands.contains("http://127.0.0.1:8080"), "{name} was read");
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
    if !is_there("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("quick-start.md", &receiver).await;
    assert!(said.contains("\"delivered\":true"), "{said}");
    let got = receiver.next_n(2).await;
    assert_eq!(got[1].header("x-webhook-event"), Some("license.assigned"));
}

#[tokio::test]
async fn the_commands_of_operating_do_what_they_say() {
    if !is_there("curl") {
        return;
    }
    let receiver = Receiver::start().await;
    let said = run_commands("operating.md", &receiver).await;
    for part in ["healthy: ", "configuration is fine", "backed up ", "restored ", "sound: "] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn the_recipe_for_nginx_passes_the_client_s_address_on() {
    if !is_there("nginx") || !is_there("curl") {
        return;
    }
    let mut program = Program::new();
    program.env.push(("POSTRIDER_HTTP__TRUSTED_PROXIES", "127.0.0.1".to_owned()));
    program.env.push(("POSTRIDER_METRICS__ALLOW", "10.9.8.7".to_owned()));
    let running = program.serve().await;
    let dir = program.path().display().to_string();
    let recipe = blocks(&page("proxies.md"), "nginx").remove(0);
    let recipe = recipe.replace("http://127.0.0.1:8080", &running.base).replace(
        "listen 80;",
        &format!("listen unix:{dir}/nginx.sock; set_real_ip_from unix:; real_ip_header X-Test-Client;"),
    );
    let whole = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.log; events {{}}
         http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
         uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; {recipe} }}"
    );
    fs::write(program.path().join("nginx.conf"), whole).unwrap();
    let mut nginx = Command::new("nginx")
        .args(["-e", &format!("{dir}/nginx.log"), "-p", &dir, "-c", &format!("{dir}/nginx.conf")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    in_time("nginx", async {
        while !program.path().join("nginx.sock").exists() {
            assert_eq!(
                nginx.try_wait().unwrap(),
                None,
                "{:?}",
                fs::read_to_string(program.path().join("nginx.log"))
            );
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut answers = Vec::new();
    // The second claims to be somebody else; nginx adds who it really is.
    for (client, claim) in [("10.9.8.7", ""), ("8.8.8.8", "X-Forwarded-For: 10.9.8.7")] {
        let output = Command::new("curl")
            .args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--unix-socket",
                &format!("{dir}/nginx.sock"),
            ])
            .args([
                "-H",
                &format!("X-Test-Client: {client}"),
                "-H",
                claim,
                "http://hooks.example.com/metrics",
            ])
            .output()
            .unwrap();
        answers.push(String::from_utf8(output.stdout).unwrap());
    }
    nginx.kill().unwrap();
    nginx.wait().unwrap();
    assert_eq!(answers, ["200", "401"]);
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
    for name in ["quick-start.md", "operating.md", "proxies.md", "../README.md"] {
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
