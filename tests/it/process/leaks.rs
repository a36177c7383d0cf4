//! Secrets that are known, looked for in everything the program leaves: its logs at the most talkative
//! level, what it answers and exports, and every file of its data directory and of a backup.

use std::path::PathBuf;

use super::*;

const PASSWORD: &str = "leak-password-7f3a9c";
const HIDDEN: &str = "leak-header-51d0ee";
const ENCRYPTED_URL_QUERY: &str = "leak-query-93b2aa";

/// Every file below a directory, with its content.
pub(super) fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// Which of the secrets are in `bytes`.
pub(super) fn found_in(bytes: &[u8], secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let has = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    secrets.iter().filter(|(_, secret)| has(secret)).map(|(name, _)| (*name).to_owned()).collect()
}

#[tokio::test]
async fn no_secret_is_in_any_log_answer_export_metric_file_or_backup() {
    let (mut program, receiver) = (Program::new(), Receiver::start().await);
    program.env.push(("POSTRIDER_LOG__LEVEL", "trace".to_owned()));
    fs::write(program.path().join("password"), PASSWORD).unwrap();
    let made = program.run("user create --email ada@example.com --role owner --password-file password").await;
    assert_eq!(made.0, Some(0), "{}", made.2);
    fs::remove_file(program.path().join("password")).unwrap();
    let running = program.serve().await;

    // A webhook with everything that is secret, deliveries that go well and ill, and a rotation.
    let hook = json!({
        "url": receiver.url(&format!("/hook?token={ENCRYPTED_URL_QUERY}")),
        "events": ["*"],
        "headers": { "X-Hidden": { "value": HIDDEN, "secret": true } },
        "retry_schedule": ["1ms"],
    });
    let made = running.post("/v1/webhooks", hook).await;
    let id = made["data"]["id"].as_str().unwrap().to_owned();
    let first = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    receiver.reply_once(Reply::status(500));
    running.post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await;
    receiver.next_n(2).await;
    let rotated = running.post(&format!("/v1/webhooks/{id}/rotate-secret"), json!({ "overlap": "1h" })).await;
    let second = rotated["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    running.post(&format!("/v1/webhooks/{id}/test"), json!({})).await;
    receiver.next().await;

    // A person who signs in, wrongly first; a key that is made by them.
    let sign_in = |password: &str| {
        let body = json!({ "email": "ada@example.com", "password": password }).to_string();
        json_body(running.client.post(format!("{}/admin/api/session", running.base)), body).send()
    };
    assert_eq!(sign_in("leak-wrong-password").await.unwrap().status(), 401);
    let answer = sign_in(PASSWORD).await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let csrf = serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["csrf_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({ "name": "made", "scopes": ["webhooks:read"] }).to_string();
    let request = running.client.post(format!("{}/admin/api/keys", running.base));
    let request = json_body(request.header("cookie", &cookie).header("x-csrf-token", &csrf), body);
    let key: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    // An alert target, whose URL is a secret like its token, and a try of it.
    let target = json!({ "form": "json", "url": receiver.url("/leak-alert-path-77e2"), "token": "leak-alert-token-0c5d" });
    let target = running.post("/admin/api/alerts", target).await;
    let tried = format!("/admin/api/alerts/{}/test", target["id"].as_str().unwrap());
    assert_eq!(running.post(&tried, json!({})).await["sent"], true);
    let got = receiver.next().await;
    assert_eq!(got.header("authorization"), Some("Bearer leak-alert-token-0c5d"));
    // Requests that are refused, with credentials in odd places.
    for path in ["/v1/webhooks?token=leak-odd-4411", "/nothing?secret=leak-odd-4411"] {
        running
            .client
            .get(format!("{}{path}", running.base))
            .bearer_auth("leak-odd-4411")
            .send()
            .await
            .unwrap();
    }

    // A source, with requests that hold and that do not, through a proxy that repeats the URL.
    let verify = json!([{"kind":"token","in":"query","name":"key","secret":"leak-source-secret-51d0"}]);
    let source = running.post("/v1/sources", json!({ "name": "leaky", "verify": verify })).await;
    let source_url = source["data"]["attributes"]["url"].as_str().unwrap().to_owned();
    let source_token = source_url.rsplit('/').next().unwrap().to_owned();
    for (key, status) in [("leak-source-secret-51d0", 200), ("leak-source-wrong-51d0", 401)] {
        let url = format!("{source_url}/rest?key={key}");
        let request =
            running.client.post(&url).header("x-original-uri", &url).header("cookie", "leak-odd-4411");
        assert_eq!(request.body("{}").send().await.unwrap().status(), status);
    }

    let raw_key = |secret: &str| {
        use base64::Engine as _;
        let coded = secret.strip_prefix("whsec_").unwrap();
        base64::engine::general_purpose::STANDARD.decode(coded).unwrap()
    };
    let half = |token: &str| token.rsplit('_').next().unwrap().as_bytes().to_vec();
    let session = cookie.split_once('=').unwrap().1.as_bytes().to_vec();
    let secrets = [
        ("the password", PASSWORD.as_bytes().to_vec()),
        ("a wrong password", b"leak-wrong-password".to_vec()),
        ("the secret header", HIDDEN.as_bytes().to_vec()),
        ("the first signing secret", first.strip_prefix("whsec_").unwrap().as_bytes().to_vec()),
        ("the first signing secret, decoded", raw_key(&first)),
        ("the second signing secret", second.strip_prefix("whsec_").unwrap().as_bytes().to_vec()),
        ("the second signing secret, decoded", raw_key(&second)),
        ("the key", half(&running.token)),
        ("the key that was made", half(key["token"].as_str().unwrap())),
        ("the session", session),
        ("the CSRF token", csrf.as_bytes().to_vec()),
        ("the secret of a verifier", b"leak-source-secret-51d0".to_vec()),
        ("the token of a source", source_token.into_bytes()),
        ("a credential in an odd place", b"leak-odd-4411".to_vec()),
        ("the URL of an alert target", b"leak-alert-path-77e2".to_vec()),
        ("the token of an alert target", b"leak-alert-token-0c5d".to_vec()),
    ];

    // Its responses to authorized readers.
    let requests = format!("/v1/sources/{}/requests", source["data"]["id"].as_str().unwrap());
    for path in [
        "/v1/webhooks",
        "/v1/webhooks/deliveries",
        "/v1/webhooks/deliveries/1",
        "/v1/webhooks/deliveries/export?format=csv",
        "/v1/webhooks/deliveries/export?format=jsonl",
        "/v1/webhooks/deliveries/export?format=xlsx",
        &requests,
        &format!("{requests}/1"),
        &format!("{requests}/2"),
        "/v1/activity?per_page=200",
        "/v1/events",
        "/metrics",
        "/admin/api/about",
        "/admin/api/alerts",
        "/admin/api/overview",
        "/admin/api/keys",
        "/admin/api/users",
        "/admin/api/retention",
    ] {
        let answer = running.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(found_in(&answer.bytes().await.unwrap(), &secrets), Vec::<String>::new(), "{path}");
    }

    // The files, while it runs (the WAL is there) and after its end; and a backup, its name too.
    let key_text = fs::read_to_string(program.path().join("data/secret.key")).unwrap().trim().to_owned();
    let mut everything = files(&program.path().join("data"));
    assert!(everything.iter().any(|(path, _)| path.ends_with("postrider.db-wal")), "it is written to");
    let (code, _, stderr) = program.run("backup copy.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    running.signal("TERM");
    let ended = running.ended().await;
    everything.extend(files(program.path()));
    everything.push(("stdout".into(), ended.stdout.into_bytes()));
    for (path, content) in &everything {
        assert_eq!(found_in(content, &secrets), Vec::<String>::new(), "{}", path.display());
        assert!(found_in(path.display().to_string().as_bytes(), &secrets).is_empty());
        let may_hold_it = path.ends_with("secret.key") || path.ends_with("copy.backup");
        let holds_it = !found_in(content, &[("the key file", key_text.as_bytes().to_vec())]).is_empty();
        assert!(may_hold_it || !holds_it, "{} has the key file's content", path.display());
    }
    let log = program.log();
    assert!(log.contains("DEBUG"), "the log is as talkative as can be");
    // The URL is not secret in the database, where people read it, but its query is in no log.
    assert_eq!(log.lines().find(|line| line.contains(ENCRYPTED_URL_QUERY)), None);
}

#[tokio::test]
async fn every_file_of_the_data_directory_is_for_its_owner_only_whatever_the_umask() {
    let program = Program::new();
    let running = program.serve().await;
    running.post("/v1/webhooks", json!({ "url": "https://example.com/", "events": ["*"] })).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = program.path().join("data");
    assert_eq!(mode(&data), 0o700);
    for (path, _) in files(&data) {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    let (code, _, stderr) = program.run("backup copy.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(mode(&program.path().join("copy.backup")), 0o600);
}

#[tokio::test]
async fn a_server_whose_key_file_is_gone_does_not_start_and_makes_no_other() {
    let program = Program::new();
    let running = program.serve().await;
    running.post("/v1/webhooks", json!({ "url": "https://example.com/", "events": ["*"] })).await;
    running.signal("TERM");
    running.ended().await;
    let key = program.path().join("data/secret.key");
    let kept = program.path().join("kept");
    fs::rename(&key, &kept).unwrap();
    let (code, _, stderr) = program.run("serve --listen 127.0.0.1:0").await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("secret.key") && stderr.contains("backup"), "{stderr}");
    assert!(!key.exists(), "no other key is made in its place");
    fs::rename(&kept, &key).unwrap();
    assert_eq!(program.serve().await.get("/v1/webhooks").await, 200);
}

/// What a receiver got verifies with the secret, and has the hidden header.
async fn assert_delivered_as_before(running: &Running, receiver: &Receiver, secret: &str) {
    running.post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await;
    let got = receiver.next().await;
    assert_eq!(got.header("x-hidden"), Some(HIDDEN));
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, got.header(name).unwrap().parse().unwrap());
    }
    let webhook = standardwebhooks::Webhook::new(secret).unwrap();
    webhook.verify(&got.body, &headers).expect("the signature is that of the same secret");
}

#[tokio::test]
async fn the_key_file_is_rotated_in_steps_that_can_be_interrupted_and_nothing_changes_for_receivers() {
    let (program, receiver) = (Program::new(), Receiver::start().await);
    let running = program.serve().await;
    let hook = json!({
        "url": receiver.url("/"),
        "events": ["*"],
        "headers": { "X-Hidden": { "value": HIDDEN, "secret": true } },
    });
    let made = running.post("/v1/webhooks", hook).await;
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    let target =
        json!({ "name": "phone", "form": "gotify", "url": receiver.url("/alerts"), "token": HIDDEN });
    let told = running.post("/admin/api/alerts", target).await;
    let alerts = format!("/admin/api/alerts/{}", told["id"].as_str().unwrap());
    let path = program.path().join("data/secret.key");
    let read = || fs::read_to_string(&path).unwrap();
    let first = read();
    let (code, _, stderr) = program.run("key-file rotate").await;
    assert_eq!((code, read() == first), (Some(2), true), "not while a server runs: {stderr}");
    running.signal("TERM");
    running.ended().await;

    let (code, stdout, stderr) = program.run("key-file rotate").await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("1 webhook and 1 alert target "), "{stdout}");
    let second = read();
    assert_ne!(first, second);
    assert_eq!(
        (second.lines().count(), fs::metadata(&path).unwrap().permissions().mode() & 0o777),
        (1, 0o600)
    );
    let running = program.serve().await;
    assert_delivered_as_before(&running, &receiver, &secret).await;
    running.post(&format!("{alerts}/test"), json!({ "kind": "queue_late" })).await;
    let alert = receiver.next().await;
    assert_eq!(alert.header("x-gotify-key"), Some(HIDDEN), "the token opens with the new key");
    let activity = running.request(Method::GET, "/v1/activity?kind=key_file.rotated").send().await.unwrap();
    assert!(activity.text().await.unwrap().contains("\"actor\":\"cli\""));
    running.signal("TERM");
    running.ended().await;

    // Interrupted after the first step: the new key stands before the old one and nothing is sealed with it.
    let third = "ab".repeat(32);
    fs::write(&path, format!("{third}\n{second}")).unwrap();
    let running = program.serve().await;
    assert_delivered_as_before(&running, &receiver, &secret).await;
    running.signal("TERM");
    running.ended().await;
    // A backup of that state can be restored.
    let (code, _, stderr) = program.run("backup between.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, _, stderr) = program.run("--data restored restore between.backup").await;
    assert_eq!(code, Some(0), "{stderr}");
    // Done again, it ends with the key that it had begun with.
    assert_eq!(program.run("key-file rotate").await.0, Some(0));
    assert_eq!(read().trim(), third);
    assert_delivered_as_before(&program.serve().await, &receiver, &secret).await;
}

#[tokio::test]
async fn a_configured_key_is_not_rotated_here() {
    let mut program = Program::new();
    program.env.push(("POSTRIDER_ENCRYPTION_KEY", "k".repeat(32)));
    program.key().await;
    let (code, _, stderr) = program.run("key-file rotate").await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("encryption_key is configured"), "{stderr}");
}
