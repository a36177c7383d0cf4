//! The recipes under `docs/` that need somebody else's program: reverse proxies, Prometheus, continuous
//! copies. Each runs as it stands on its page but for addresses and paths; where the program is not on the
//! machine, that is said.

use super::docs::{blocks, page};
use super::*;
use crate::support::programs::is_here;

/// An address of loopback that nobody else has, so that a port there needs not to be found.
fn own_address(port: u16) -> (String, u16) {
    let own = std::process::id().to_be_bytes();
    (format!("127.{}.{}.{}", 64 | (own[1] & 0x3f), own[2], own[3].clamp(2, 254)), port)
}

/// What `/metrics` answers to a client with this address and this header: the status.
fn through_a_proxy(host: &str, port: u16, client: &str, header: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "--interface", client])
        .args(["--resolve", &format!("hooks.example.com:{port}:{host}"), "-H", header])
        .arg(format!("http://hooks.example.com:{port}/metrics"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_recipe_for_nginx_passes_the_client_s_address_on() {
    if !is_here("nginx") || !is_here("curl") {
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
    let nginx = Command::new("nginx")
        .args(["-e", &format!("{dir}/nginx.log"), "-p", &dir, "-c", &format!("{dir}/nginx.conf")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut nginx = Ending(nginx);
    in_time("nginx", async {
        while !program.path().join("nginx.sock").exists() {
            assert_eq!(
                nginx.0.try_wait().unwrap(),
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
    assert_eq!(answers, ["200", "401"]);
}

#[tokio::test]
async fn the_recipe_for_caddy_passes_the_client_s_address_on() {
    if !is_here("caddy") || !is_here("curl") {
        return;
    }
    let mut program = Program::new();
    program.env.push(("POSTRIDER_HTTP__TRUSTED_PROXIES", "127.0.0.1".to_owned()));
    program.env.push(("POSTRIDER_METRICS__ALLOW", "127.9.8.7".to_owned()));
    let running = program.serve().await;
    let recipe = blocks(&page("proxies.md"), "caddyfile").remove(0);
    let (host, port) = own_address(8_080);
    let recipe = recipe
        .replace("hooks.example.com {", &format!("http://hooks.example.com:{port} {{\n    bind {host}"))
        .replace("127.0.0.1:8080", running.base.strip_prefix("http://").unwrap());
    let whole = format!("{{\n    admin off\n    auto_https off\n}}\n{recipe}");
    fs::write(program.path().join("Caddyfile"), whole).unwrap();
    let log = File::create(program.path().join("caddy.log")).unwrap();
    let caddy = Command::new("caddy")
        .args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"])
        .current_dir(program.path())
        .env("HOME", program.path())
        .env("XDG_DATA_HOME", program.path())
        .env("XDG_CONFIG_HOME", program.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut caddy = Ending(caddy);
    in_time("caddy", async {
        while tokio::net::TcpStream::connect((host.as_str(), port)).await.is_err() {
            let said = fs::read_to_string(program.path().join("caddy.log"));
            assert_eq!(caddy.0.try_wait().unwrap(), None, "{said:?}");
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The second claims to be somebody else; Caddy says who it really is.
    let answers = [("127.9.8.7", "X-Nothing: 1"), ("127.9.8.6", "X-Forwarded-For: 127.9.8.7")]
        .map(|(client, claim)| through_a_proxy(&host, port, client, claim));
    assert_eq!(answers, ["200", "401"], "{:?}", fs::read_to_string(program.path().join("caddy.log")));
}

#[tokio::test]
async fn the_recipe_for_traefik_passes_the_client_s_address_on() {
    if !is_here("traefik") || !is_here("curl") {
        return;
    }
    let mut program = Program::new();
    program.env.push(("POSTRIDER_HTTP__TRUSTED_PROXIES", "127.0.0.1".to_owned()));
    program.env.push(("POSTRIDER_METRICS__ALLOW", "127.9.8.7".to_owned()));
    let running = program.serve().await;
    let recipe = blocks(&page("proxies.md"), "yaml").remove(0);
    let recipe = recipe
        .replace("      tls:\n        certResolver: default\n", "")
        .replace("http://127.0.0.1:8080", &running.base);
    fs::write(program.path().join("postrider.yaml"), recipe).unwrap();
    let (host, port) = own_address(8_081);
    let traefik = Command::new("traefik")
        .args([
            &format!("--entrypoints.web.address={host}:{port}"),
            "--providers.file.filename=postrider.yaml",
        ])
        .args(["--global.checknewversion=false", "--global.sendanonymoususage=false"])
        .current_dir(program.path())
        .stdout(File::create(program.path().join("traefik.log")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut traefik = Ending(traefik);
    let ask = |client: &str, claim: &str| through_a_proxy(&host, port, client, claim);
    in_time("traefik", async {
        // It listens before it has read the file, and answers 404 until then.
        while ask("127.9.8.7", "X-Nothing: 1") != "200" {
            let said = fs::read_to_string(program.path().join("traefik.log"));
            assert_eq!(traefik.0.try_wait().unwrap(), None, "{said:?}");
            tokio::task::yield_now().await;
        }
    })
    .await;
    // This one claims to be somebody else; Traefik says who it really is.
    assert_eq!(ask("127.9.8.6", "X-Forwarded-For: 127.9.8.7"), "401");
}

#[tokio::test]
async fn the_recipe_for_litestream_brings_back_what_was_copied() {
    if !is_here("litestream") {
        return;
    }
    let (program, receiver) = (Program::new(), Receiver::start().await);
    let dir = program.path().display().to_string();
    let recipe = blocks(&page("operating.md"), "yaml").pop().unwrap();
    let own_lines = |line: &&str| !line.contains("bucket:") && !line.contains("endpoint:");
    let recipe: Vec<&str> = recipe.lines().filter(own_lines).collect();
    let recipe = recipe
        .join("\n")
        .replace("type: s3", "type: file")
        .replace("path: postrider", &format!("path: {dir}/copies"));
    fs::write(
        program.path().join("litestream.yml"),
        recipe.replace("/var/lib/postrider", &format!("{dir}/data")),
    )
    .unwrap();
    let litestream = |arguments: &str| {
        let mut command = Command::new("litestream");
        let log = File::options().append(true).create(true).open(format!("{dir}/litestream.log")).unwrap();
        command.args(arguments.split(' ')).current_dir(&dir).stdout(log.try_clone().unwrap()).stderr(log);
        command
    };

    let mut running = program.serve().await;
    let copying = Ending(litestream("replicate -config litestream.yml").spawn().unwrap());
    running.post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await;
    for n in 0..50 {
        running.post("/v1/events", json!({ "event_type": "a.b", "payload": { "n": n } })).await;
    }
    receiver.next_n(50).await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let events = |file: &str| -> i64 {
        let restored = rusqlite::Connection::open(file).unwrap();
        restored.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap_or(0)
    };
    let back = in_time("a copy of everything", async {
        loop {
            // What was brought back too early is thrown away.
            let back = Program::new();
            let data = back.path().join("data");
            fs::create_dir(&data).unwrap();
            fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
            fs::copy(format!("{dir}/data/secret.key"), data.join("secret.key")).unwrap();
            let to = data.join("postrider.db").display().to_string();
            let restore = format!("restore -config litestream.yml -o {to} {dir}/data/postrider.db");
            if litestream(&restore).status().unwrap().success() && events(&to) == 50 {
                break back;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(copying);
    let (code, said, _) = back.run("check").await;
    assert!(code == Some(0) && said.contains("sound: "), "{said}");
    let running = back.serve().await;
    running.post("/v1/events", json!({ "event_type": "a.b", "payload": { "n": 50 } })).await;
    // What was copied before its answer was comes once more; then the secret is the old one as well.
    while receiver.next().await.json()["n"] != 50 {}
}

#[tokio::test]
async fn prometheus_takes_the_rules_the_scrape_configuration_and_the_metrics() {
    if !is_here("promtool") || !is_here("curl") {
        return;
    }
    let program = Program::new();
    let running = program.serve().await;
    let recipe = blocks(&page("operating.md"), "yaml").remove(0);
    assert!(recipe.contains("credentials_file: /etc/prometheus/postrider.token"), "{recipe}");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring/alerts.yaml");
    let whole = recipe.replace("/etc/prometheus/postrider.token", "token");
    fs::write(program.path().join("token"), "x").unwrap();
    fs::write(program.path().join("prometheus.yml"), format!("rule_files: [{rules}]\n{whole}")).unwrap();
    let script = format!(
        "promtool check config prometheus.yml && curl -sf {}/metrics | promtool check metrics",
        running.base
    );
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).current_dir(program.path()).env("no_proxy", "*");
    let ran = programs::ended(shell).await;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("rules found"), "{said}");
}
