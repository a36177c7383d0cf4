//! What a server leaves behind: its files, and what it has said.

use super::*;

/// The permission bits of a file.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_data_is_for_its_owner_only() {
    let program = Program::new();
    let running = program.serve().await;
    running.post("/v1/webhooks", json!({ "url": "http://127.0.0.1:1/", "events": ["*"] })).await;
    let data = program.path().join("data");
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn the_setup_link_is_printed_while_nobody_can_sign_in_and_never_logged() {
    let program = Program::new();
    let mut running = program.serve().await;
    let mut line = String::new();
    while !line.contains("/admin/setup/") {
        line.clear();
        assert_ne!(running.stdout.read_line(&mut line).unwrap(), 0, "the greeting has a link");
    }
    let (base, token) = line.trim().split_once("/admin/setup/").unwrap();
    assert_eq!(base, running.base);
    let page = running.client.get(line.trim()).send().await.unwrap();
    assert!(page.status() == 200 && page.text().await.unwrap().contains("<!doctype html>"));
    let body = json!({ "token": token, "email": "ada@example.com", "password": "password-s3cret" });
    let setup = running.client.post(format!("{base}/admin/api/setup"));
    let made = json_body(setup, body.to_string()).send().await.unwrap();
    let cookie = made.headers()["set-cookie"].to_str().unwrap().to_owned();
    let session = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(made.status(), 201, "the printed link works");
    let csrf: Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
    let csrf = csrf["csrf_token"].as_str().unwrap();
    running.signal("TERM");
    assert_eq!(running.ended().await.code, Some(0));
    let log = program.log();
    assert!(log.contains("answered"), "requests are in the log: {log}");
    for secret in [token, "s3cret", &session, csrf] {
        assert_eq!(log.lines().find(|line| line.contains(secret)), None, "{secret} was logged");
    }

    let running = program.serve().await;
    running.signal("TERM");
    let ended = running.ended().await;
    assert!(ended.stdout.contains("/admin/") && !ended.stdout.contains("/admin/setup/"), "{}", ended.stdout);
}

#[tokio::test]
async fn stdout_has_the_greeting_and_the_log_has_no_secrets() {
    let (program, receiver) = (Program::new(), Receiver::start().await);
    let running = program.serve().await;
    receiver.reply_once(Reply::status(500).body("answer-s3cret"));
    let hook = json!({
        "url": receiver.url("/hook?token=query-s3cret"),
        "events": ["*"],
        "headers": {
            "X-Plain": "header-s3cret",
            "X-Hidden": { "value": "hidden-s3cret", "secret": true },
        },
        "retry_schedule": ["1ms", "1ms"],
    });
    let made = running.post("/v1/webhooks?secret=query-s3cret", hook).await;
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    let event = json!({ "event_type": "a.b", "payload": "payload-s3cret", "idempotency_key": "key-s3cret" });
    running.post("/v1/events", event).await;
    receiver.next_n(2).await;
    // One that cannot be reached, one whose name does not resolve, and requests that are refused.
    for url in ["http://127.0.0.1:1/?query-s3cret", "http://nobody.invalid/?query-s3cret"] {
        let hook = json!({ "url": url, "events": ["*"], "retry_schedule": [] });
        let made = running.post("/v1/webhooks", hook).await;
        running.post(&format!("/v1/webhooks/{}/test", made["data"]["id"].as_str().unwrap()), json!({})).await;
    }
    for body in ["{\"payload\":\"payload-s3cret\"", "{\"payload-s3cret\":1}"] {
        let request = running.request(Method::POST, "/v1/events?q=query-s3cret");
        assert!(json_body(request, body).send().await.unwrap().status().is_client_error());
    }
    let stranger =
        running.client.get(format!("{}/v1/webhooks", running.base)).bearer_auth("prk_x_bearer-s3cret");
    assert_eq!(stranger.send().await.unwrap().status(), 401);

    let (token, greeting) = (running.token.clone(), running.greeting.clone());
    running.signal("TERM");
    let ended = running.ended().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.starts_with(&greeting) && ended.stdout.contains("curl "), "{}", ended.stdout);
    assert!(!ended.stdout.contains("stopp") && !ended.stdout.contains("DEBUG"), "{}", ended.stdout);
    let log = program.log();
    assert!(log.contains("stopped") && log.contains("not delivered") && log.contains("delivered"), "{log}");
    for said in [&log, &ended.stdout] {
        let token_secret = token.rsplit('_').next().unwrap();
        let signing_key = secret.strip_prefix("whsec_").unwrap();
        for text in ["s3cret", signing_key, token_secret] {
            let line = said.lines().find(|line| line.contains(text));
            assert_eq!(line, None, "{text} was said");
        }
    }
}
