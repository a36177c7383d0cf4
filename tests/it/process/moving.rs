//! `export`, `import` and `import-svix`: out of one server and into another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// Runs a command that must end well, and gives what it printed.
async fn ok(program: &Program, arguments: &str) -> String {
    let (code, stdout, stderr) = program.run(arguments).await;
    assert_eq!(code, Some(0), "{arguments}: {stderr}");
    stdout
}

fn write(program: &Program, name: &str, document: &Value) {
    fs::write(program.path().join(name), document.to_string()).unwrap();
}

fn exported(program: &Program, name: &str) -> Value {
    let mut document: Value = serde_json::from_slice(&fs::read(program.path().join(name)).unwrap()).unwrap();
    document["exported_at"] = Value::Null;
    document
}

/// The first line of stdout says what was done; the second one counts webhooks.
fn webhooks(stdout: &str) -> &str {
    stdout.lines().find_map(|line| line.trim().strip_prefix("webhooks")).unwrap().trim()
}

#[tokio::test]
async fn another_server_goes_on_with_the_same_keys_and_signatures() {
    let (old, new, receiver) = (Program::new(), Program::new(), Receiver::start().await);
    let running = old.serve().await;
    let hook = json!({
        "url": receiver.url("/hook"), "events": ["license.*"], "retry_schedule": ["1m"], "rate_limit": 7,
        "headers": { "X-Team": "a", "Authorization": { "value": "Bearer t0ken", "secret": true } },
    });
    let made = running.post("/v1/webhooks", hook).await;
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    let file = new.path().join("moved.json").display().to_string();
    let said = ok(&old, &format!("export --with-secrets {file}")).await;
    assert!(said.starts_with("exported 1 app, 1 webhook, 1 key to "), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, stderr) = old.run(&format!("export {file}")).await;
    assert_eq!(code, Some(1), "nothing is written over: {stderr}");

    // A key that may do everything is not taken silently.
    for command in ["import moved.json", "import --dry-run moved.json"] {
        let (code, stdout, stderr) = new.run(command).await;
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("apps/0/keys/0") && stderr.contains("--allow-admin-keys"), "{stderr}");
    }
    let said = ok(&new, "import --allow-admin-keys --dry-run moved.json").await;
    assert!(
        said.starts_with("would import:") && webhooks(&said) == "1 new, 0 changed, 0 unchanged",
        "{said}"
    );
    let said = ok(&new, "import --allow-admin-keys moved.json").await;
    assert!(said.starts_with("imported:") && webhooks(&said) == "1 new, 0 changed, 0 unchanged", "{said}");
    let said = ok(&new, "import --allow-admin-keys moved.json").await;
    assert_eq!(webhooks(&said), "0 new, 0 changed, 1 unchanged");
    ok(&new, "export --with-secrets again.json").await;
    let (first, again) = (exported(&new, "moved.json"), exported(&new, "again.json"));
    // The app `default` is the one of this server; everything else is as it was.
    assert_eq!(first["apps"][0]["webhooks"], again["apps"][0]["webhooks"]);
    assert_eq!(first["apps"][0]["keys"], again["apps"][0]["keys"]);

    let mut moved = new.serve().await;
    moved.token.clone_from(&running.token);
    moved.post("/v1/events", json!({ "event_type": "license.assigned", "payload": { "n": 1 } })).await;
    let got = receiver.next().await;
    assert_eq!((got.header("authorization"), got.header("x-team")), (Some("Bearer t0ken"), Some("a")));
    let mut headers = http_headers(&got);
    let verifier = standardwebhooks::Webhook::new(&secret).unwrap();
    verifier.verify(&got.body, &headers).expect("the signature is the old secret's");
    headers.insert("webhook-id", "evt_other".parse().unwrap());
    assert!(verifier.verify(&got.body, &headers).is_err());
}

fn http_headers(got: &crate::support::receiver::Received) -> reqwest::header::HeaderMap {
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in &got.headers {
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

#[tokio::test]
async fn a_preset_and_its_rate_move_with_their_webhook() {
    let (old, new) = (Program::new(), Program::new());
    let running = old.serve().await;
    let preset = json!({ "name": "discord", "inputs": { "webhook_url": "https://discord.com/api/webhooks/1/tok-en" } });
    let made = running.post("/v1/webhooks", json!({ "preset": preset, "events": ["*"] })).await;
    let path = format!("/v1/webhooks/{}", made["data"]["id"].as_str().unwrap());
    let file = new.path().join("moved.json").display().to_string();
    ok(&old, &format!("export --with-secrets {file}")).await;
    for expected in ["1 new, 0 changed, 0 unchanged", "0 new, 0 changed, 1 unchanged"] {
        assert_eq!(webhooks(&ok(&new, "import --allow-admin-keys moved.json").await), expected);
    }
    let mut moved = new.serve().await;
    moved.token.clone_from(&running.token);
    let shown = moved.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
    let shown: Value = serde_json::from_str::<Value>(&shown).unwrap()["data"]["attributes"].clone();
    assert_eq!(shown["preset"], json!({ "name": "discord", "version": 1, "changed": false }));
    for name in ["url", "request", "secrets", "rate_limit", "preset"] {
        assert_eq!(shown[name], made["data"]["attributes"][name], "{name}");
    }
    ok(&old, "export plain.json").await;
    let text = fs::read_to_string(old.path().join("plain.json")).unwrap();
    assert!(text.contains("\"30/m\"") && !text.contains("tok-en"), "{text}");
}

#[tokio::test]
async fn the_url_of_a_source_goes_on_working_on_another_server() {
    let (old, new) = (Program::new(), Program::new());
    let running = old.serve().await;
    let verify = json!([{"kind":"token","in":"header","name":"X-Token","secret":"s3"}]);
    let made = running.post("/v1/sources", json!({ "name": "my-app", "verify": verify })).await;
    let url = made["data"]["attributes"]["url"].as_str().unwrap().to_owned();
    let file = new.path().join("moved.json").display().to_string();
    let said = ok(&old, &format!("export --with-secrets {file}")).await;
    assert!(said.starts_with("exported 1 app, 0 webhooks, 1 key, 1 source to "), "{said}");
    let said = ok(&new, "import --allow-admin-keys moved.json").await;
    assert!(said.contains("sources   1 new, 0 changed, 0 unchanged"), "{said}");
    let said = ok(&new, "import --allow-admin-keys moved.json").await;
    assert!(said.contains("sources   0 new, 0 changed, 1 unchanged"), "{said}");
    let moved = new.serve().await;
    let send = |token: &'static str| {
        let url = url.replace(&running.base, &moved.base);
        let request = moved.client.post(url).header("x-token", token).body("{}");
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!((send("s3").await, send("s4").await), (200, 401));

    // Without secrets it is left out where it is not known, and stays as it is where it is.
    ok(&old, "export plain.json").await;
    let text = fs::read_to_string(old.path().join("plain.json")).unwrap();
    assert!(!text.contains("\"s3\"") && !text.contains(url.rsplit('/').next().unwrap()), "{text}");
    let said = ok(&old, "import --allow-admin-keys plain.json").await;
    assert!(said.contains("sources   0 new, 0 changed, 1 unchanged"), "{said}");
    let third = Program::new();
    fs::write(third.path().join("plain.json"), text).unwrap();
    let (code, said, notes) = third.run("import --allow-admin-keys plain.json").await;
    assert!(code == Some(0) && !said.contains("sources") && notes.contains("left out"), "{said}{notes}");
}

#[tokio::test]
async fn without_secrets_what_is_there_keeps_its_own_and_what_is_new_gets_one() {
    let (old, new) = (Program::new(), Program::new());
    let id = "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48";
    let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
    let whole = json!({ "postrider_export": 1, "apps": [{ "name": "shop", "webhooks": [{
        "id": id, "url": "https://example.com/hook", "events": ["*"], "signing_secret": secret,
        "headers": { "Authorization": { "secret": "s3cret" } },
    }] }] });
    write(&old, "whole.json", &whole);
    ok(&old, "import whole.json").await;
    ok(&old, "export plain.json").await;
    let text = fs::read_to_string(old.path().join("plain.json")).unwrap();
    assert!(!text.contains("s3cret") && !text.contains("whsec_"), "{text}");
    assert_eq!(webhooks(&ok(&old, "import plain.json").await), "0 new, 0 changed, 1 unchanged");
    // A change in the file is a change there, and the secrets stay.
    fs::write(old.path().join("plain.json"), text.replace("/hook", "/other")).unwrap();
    assert_eq!(webhooks(&ok(&old, "import plain.json").await), "0 new, 1 changed, 0 unchanged");
    ok(&old, "export --with-secrets after.json").await;
    let after = &exported(&old, "after.json")["apps"][1]["webhooks"][0];
    assert_eq!(
        (&after["url"], &after["signing_secret"]),
        (&json!("https://example.com/other"), &json!(secret))
    );
    assert_eq!(after["headers"]["Authorization"], json!({ "secret": "s3cret" }));

    fs::write(new.path().join("plain.json"), text).unwrap();
    let (code, stdout, stderr) = new.run("import plain.json").await;
    assert_eq!((code, webhooks(&stdout)), (Some(0), "1 new, 0 changed, 0 unchanged"));
    assert!(stderr.contains("apps/1/webhooks/0/headers/Authorization: has no value"), "{stderr}");
    assert!(
        stderr.contains("apps/1/webhooks/0: no signing secret is given, so a new one is made"),
        "{stderr}"
    );
}

#[tokio::test]
async fn problems_name_their_places_and_then_nothing_is_taken() {
    let program = Program::new();
    let good = json!({ "url": "https://example.com/", "events": ["*"] });
    let key = json!({ "id": "a_b", "name": "k", "scopes": ["everything"], "secret_sha256": "12" });
    let document = json!({ "postrider_export": 1, "apps": [
        { "name": "one", "webhooks": [
            good,
            { "url": "http://169.254.169.254/", "events": ["a b"], "timeout": "1h", "signing_secret": "abc" },
            { "events": ["*"] },
            { "url": "https://example.com/", "events": ["*"], "colour": "red" },
            { "id": "7", "url": "https://example.com/", "events": ["*"] },
        ], "keys": [key] },
        { "name": "one" },
        { "name": " padded " },
    ] });
    write(&program, "wrong.json", &document);
    let (code, stdout, stderr) = program.run("import wrong.json").await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    for place in [
        "apps/0/webhooks/1/url: ",
        "apps/0/webhooks/1/events/0: ",
        "apps/0/webhooks/1/timeout: ",
        "apps/0/webhooks/1/signing_secret: ",
        "apps/0/webhooks/2: missing field `url`",
        "apps/0/webhooks/3: unknown field `colour`",
        "apps/0/webhooks/4/id: ",
        "apps/0/keys/0/id: ",
        "apps/0/keys/0/scopes/0: \"everything\"",
        "apps/0/keys/0/secret_sha256: ",
        "apps/1/name: \"one\" is there twice",
        "apps/2/name: ",
    ] {
        assert!(stderr.contains(place), "{place} is not in {stderr}");
    }
    assert!(stderr.contains("nothing was imported. Fix 12 problems"), "{stderr}");
    // Text of the file cannot steer the terminal.
    let steering = json!({ "postrider_export": 1, "apps": [{ "name": "a\u{1b}[2Jb\u{202e}" }, { "name": "b", "webhooks": [
        { "url": "https://example.com/", "events": ["*"], "signing_secret": "whsec_AQ==" },
        { "url": "https://example.com/", "events": ["*"], "signing_secret": format!("whsec_{}", STANDARD.encode([1; 23])) },
        { "url": "https://example.com/\u{1b}]0;title\u{7}", "events": ["\u{9b}2J"] },
    ] }] });
    write(&program, "steering.json", &steering);
    let (code, _, stderr) = program.run("import steering.json").await;
    assert_eq!(code, Some(1));
    assert!(!stderr.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{stderr:?}");
    for short in [
        "webhooks/0/signing_secret: is too short: 1 bytes",
        "webhooks/1/signing_secret: is too short: 23 bytes",
    ] {
        assert!(stderr.contains(short) && stderr.contains("at least 24"), "{stderr}");
    }
    assert!(!ok(&program, "app list").await.contains("one"));
    write(&program, "newer.json", &json!({ "postrider_export": 2, "apps": [] }));
    let (code, _, stderr) = program.run("import newer.json").await;
    assert!(code == Some(1) && stderr.contains("use a newer postrider"), "{stderr}");
    fs::write(program.path().join("none.json"), "[]").unwrap();
    let (_, _, stderr) = program.run("import none.json").await;
    assert!(stderr.contains("this is no export"), "{stderr}");
}

/// What a Svix server answers, as its API's documentation has it.
fn svix(path: &str) -> Option<Value> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let apps = [
        json!({ "id": "app_1", "name": "Acme", "uid": "acme", "rateLimit": null, "metadata": {},
            "createdAt": "2024-05-01T10:00:00Z", "updatedAt": "2024-05-01T10:00:00Z" }),
        json!({ "id": "app_2", "name": "Acme", "uid": null, "rateLimit": null, "metadata": {},
            "createdAt": "2024-06-01T10:00:00Z", "updatedAt": "2024-06-01T10:00:00Z" }),
    ];
    let endpoint = |id: &str, more: Value| {
        let mut all = json!({
            "id": id, "uid": null, "url": format!("https://example.com/{id}"), "description": "", "version": 1,
            "disabled": false, "filterTypes": null, "channels": null, "rateLimit": null, "metadata": {},
            "createdAt": "2024-05-02T10:00:00Z", "updatedAt": "2024-05-02T10:00:00Z",
        });
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    };
    let page = |data: Value, iterator: Value, done: bool| json!({ "data": data, "iterator": iterator, "prevIterator": null, "done": done });
    let second = query.contains("iterator=ep_1%2B");
    Some(match path {
        "/api/v1/app/" => page(json!(apps), json!("app_2"), true),
        "/api/v1/app/app_1/endpoint/" if !second => {
            let busy = json!({
                "uid": "billing", "description": "Invoices", "filterTypes": ["invoice.paid", "invoice.voided"],
                "rateLimit": 5, "channels": ["eu"],
            });
            page(json!([endpoint("ep_1", busy)]), json!("ep_1+"), false)
        }
        "/api/v1/app/app_1/endpoint/" => {
            // Newer versions name the list otherwise.
            let newer = json!({ "disabled": true, "eventTypes": ["user.created"] });
            page(json!([endpoint("ep_2", newer)]), json!("ep_2"), true)
        }
        "/api/v1/app/app_2/endpoint/" => page(json!([]), Value::Null, true),
        "/api/v1/app/app_1/endpoint/ep_1/secret/" => {
            json!({ "key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" })
        }
        "/api/v1/app/app_1/endpoint/ep_2/secret/" => {
            json!({ "key": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" })
        }
        "/api/v1/app/app_1/endpoint/ep_1/headers/" => {
            json!({ "headers": { "X-Tenant": "acme" }, "sensitive": ["Authorization"] })
        }
        "/api/v1/app/app_1/endpoint/ep_2/headers/" => json!({ "headers": {}, "sensitive": [] }),
        _ => return None,
    })
}

#[tokio::test]
async fn what_a_svix_server_has_is_taken_in_with_its_secrets() {
    let (program, server) = (Program::new(), Receiver::start().await);
    server.reply_with(|request| match (request.header("authorization"), svix(&request.path)) {
        (Some("Bearer sk_1"), Some(answer)) => Reply::ok().body(answer.to_string()),
        (Some("Bearer sk_1"), None) => Reply::status(404),
        _ => Reply::status(401).body(r#"{"code":"authentication_failed","detail":"Invalid token"}"#),
    });
    let url = server.url("");
    let (code, _, stderr) = program.run(&format!("import-svix --url {url}")).await;
    assert!(code == Some(2) && stderr.contains("--token-file"), "{stderr}");
    let (code, _, stderr) = program.run(&format!("import-svix --url {url} --token wrong")).await;
    assert!(code == Some(1) && stderr.contains("401") && stderr.contains("token"), "{stderr}");
    fs::write(program.path().join("svix.token"), "sk_1\n").unwrap();
    server.reply_once(Reply::status(429).header("retry-after", "0"));
    let command = format!("import-svix --url {url}/ --token-file svix.token");
    let (code, stdout, stderr) = program.run(&format!("{command} --dry-run")).await;
    assert_eq!((code, webhooks(&stdout)), (Some(0), "2 new, 0 changed, 0 unchanged"), "{stderr}");
    assert!(stderr.contains("endpoint ep_1: channels are not supported; left out: eu"), "{stderr}");
    assert!(stderr.contains("value of the header Authorization; set it yourself"), "{stderr}");
    assert!(stderr.contains(r#"imported as "Acme (app_2)""#), "{stderr}");
    assert_eq!(webhooks(&ok(&program, &command).await), "2 new, 0 changed, 0 unchanged");
    assert_eq!(webhooks(&ok(&program, &command).await), "0 new, 0 changed, 2 unchanged");

    ok(&program, "export --with-secrets all.json").await;
    let all = exported(&program, "all.json");
    let names: Vec<_> =
        all["apps"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Acme", "Acme (app_2)", "default"]);
    let hooks = all["apps"][0]["webhooks"].as_array().unwrap();
    let hook = |url: &str| hooks.iter().find(|hook| hook["url"] == url).unwrap();
    let (first, second) = (hook("https://example.com/ep_1"), hook("https://example.com/ep_2"));
    assert_eq!(first["signing_secret"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    assert_eq!((&first["name"], &first["description"]), (&json!("billing"), &json!("Invoices")));
    assert_eq!(first["events"], json!(["invoice.paid", "invoice.voided"]));
    assert_eq!((&first["rate_limit"], &first["headers"]), (&json!(5), &json!({ "X-Tenant": "acme" })));
    assert_eq!(
        (&first["status"], &first["created_at"]),
        (&json!("active"), &json!("2024-05-02T10:00:00.000Z"))
    );
    assert_eq!((&second["status"], &second["events"]), (&json!("disabled"), &json!(["user.created"])));
    assert_eq!((&second["name"], &second["description"]), (&json!("example.com"), &Value::Null));
}
