//! The secrets of sources and shaped webhooks, looked for in everything the program leaves and says after a full run:
//! plain, percent-encoded and in Base64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::leaks::files;
use super::*;

const PATH: &str = "1234567/leak~Path-5e1f0a";
const USER: &str = "leak-user-91ac";
const PASSWORD: &str = "leak:pass/w0rd+é \"7d20\"";
const TOKEN: &str = "leak-token/4417&x=1";
const PRESET_PASSWORD: &str = "leak-basic-0b63d1";
const HMAC: &str = "It's a Secret to Everybody";
const META: &str = "leak-meta-c8821f";

/// The forms in which a secret may be found.
fn forms(name: &str, secret: &str) -> Vec<(String, String)> {
    let percent = |escape: fn(u8) -> String| -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        secret.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { escape(b) }).collect()
    };
    let (upper, lower) = (percent(|b| format!("%{b:02X}")), percent(|b| format!("%{b:02x}")));
    let json = json!(secret).to_string();
    vec![
        (name.to_owned(), secret.to_owned()),
        (format!("{name} in JSON"), json[1..json.len() - 1].to_owned()),
        (format!("{name}, percent-encoded"), upper),
        (format!("{name}, percent-encoded in lower case"), lower),
        (format!("{name} in Base64"), STANDARD.encode(secret).trim_end_matches('=').to_owned()),
        (format!("{name} in Base64 for URLs"), URL_SAFE.encode(secret).trim_end_matches('=').to_owned()),
    ]
}

/// Which of the forms are in a text or file. What is no text in it does not change the text beside it.
fn found_in<'f>(content: &[u8], forms: &'f [(String, String)]) -> Vec<&'f str> {
    let content = String::from_utf8_lossy(content);
    forms.iter().filter(|(_, form)| content.contains(form)).map(|(name, _)| name.as_str()).collect()
}

/// What a shaped webhook with every place for a secret is.
fn shaped(url: &str, event_type: &str) -> Value {
    json!({
        "url": url,
        "name": event_type,
        "events": [event_type],
        "retry_schedule": [],
        "secrets": { "path": PATH, "user": USER, "password": PASSWORD, "token": TOKEN },
        "request": {
            "query": { "key": "{{ secrets.token }}", "n": "{{ payload.n }}" },
            "headers": {
                "Authorization": "Basic {{ (secrets.user ~ ':' ~ secrets.password)|b64 }}",
                "X-Token": "Token {{ secrets.token|urlencode }}",
            },
            "body": { "auth": "{{ secrets.password }}", "text": "{{ payload.text }}" },
        },
    })
}

/// The receiver sends back whatever it was sent, in every form.
fn echo(request: &crate::support::receiver::Received, status: u16) -> Reply {
    let mut reply = Reply::status(status);
    let mut all = format!("{} {}\n", request.method, request.path);
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "content-length") {
        all += &format!("{name}: {value}\n");
        if name == "authorization" || name == "x-token" {
            let bare = value.split_once(' ').unwrap().1;
            reply = reply.header(&format!("x-echo-{name}"), bare);
        }
    }
    all += &String::from_utf8_lossy(&request.body);
    for secret in [PATH, USER, PASSWORD, TOKEN] {
        all += &forms("", secret).into_iter().map(|(_, form)| form + "\n").collect::<String>();
    }
    reply.body(all)
}

/// A response as text, whatever it is.
async fn text(running: &Running, path: &str) -> Vec<u8> {
    let answer = in_time("an answer", running.request(Method::GET, path).send()).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// Reads a stream of the log until it has told of so many rows.
async fn streamed(mut stream: reqwest::Response, rows: usize) -> Vec<u8> {
    let mut seen = Vec::new();
    while String::from_utf8_lossy(&seen).matches("event: attempt").count() < rows {
        seen.extend(in_time("a piece", stream.chunk()).await.unwrap().expect("it goes on"));
    }
    seen
}

/// Waits until the log has so many rows, none of them pending.
async fn settled(running: &Running, rows: u64) {
    in_time("the results", async {
        loop {
            let list = text(running, "/v1/webhooks/deliveries?per_page=200").await;
            let list: Value = serde_json::from_slice(&list).unwrap();
            let all = list["data"].as_array().unwrap();
            let pending = all.iter().any(|row| row["attributes"]["status"] == "pending");
            if all.len() as u64 >= rows && !pending {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Sources with verifiers, and requests to them that hold and that do not.
async fn sources(running: &Running) -> (Vec<String>, Vec<String>) {
    let (mut ids, mut tokens) = (Vec::new(), Vec::new());
    let verify =
        json!([{ "kind": "token", "in": "query", "name": "key", "secret": [TOKEN, "leak-old-11aa"] }]);
    for body in [
        json!({ "preset": { "name": "sonarr", "inputs": { "username": "reader", "password": PRESET_PASSWORD } } }),
        json!({ "preset": { "name": "github", "inputs": { "secret": HMAC } } }),
        json!({ "name": "query", "verify": verify }),
        json!({ "name": "meta", "challenge": { "kind": "meta", "verify_token": META } }),
    ] {
        let made = running.post("/v1/sources", body).await;
        ids.push(made["data"]["id"].as_str().unwrap().to_owned());
        tokens
            .push(made["data"]["attributes"]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
    }
    let url = |n: usize| format!("{}/in/{}", running.base, tokens[n]);
    let post =
        |n: usize, rest: &str| running.client.post(format!("{}{rest}", url(n))).header("referer", url(n));
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let github = |body: &'static str| {
        let request = post(1, "").header("x-hub-signature-256", signature).header("x-github-event", "push");
        request.header("x-original-uri", url(1)).body(body)
    };
    let key: String = url::form_urlencoded::byte_serialize(TOKEN.as_bytes()).collect();
    let challenge = |token: &str| {
        running.client.get(format!("{}?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=42", url(3)))
    };
    for (request, status) in [
        (post(0, "").basic_auth("reader", Some(PRESET_PASSWORD)).body("{\"eventType\":\"Test\"}"), 200),
        (post(0, "").basic_auth("reader", Some("leak-wrong-basic")).body("{}"), 401),
        (github("Hello, World!"), 200),
        (github("Hello, World?"), 401),
        (post(2, &format!("/rest?key={key}")).body("{}"), 200),
        (post(2, "?key=leak-wrong-query").body("{"), 401),
        (post(2, &format!("?key={key}")).header("content-type", "application/json").body("{"), 422),
        (challenge(META), 200),
        (challenge("leak-wrong-meta"), 401),
    ] {
        let answer = in_time("an answer", request.send()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{:?}", answer.url().path());
    }
    (ids, tokens)
}

/// Shaped webhooks, and deliveries that end in every way.
async fn deliveries(running: &Running, receiver: &Receiver) -> Vec<String> {
    receiver.reply_with(|request| match request.path.contains("n=500") {
        true => echo(request, 500),
        false if request.path.contains("n=429") => echo(request, 429),
        false => echo(request, 200),
    });
    let mut hooks = Vec::new();
    let refused = Receiver::down();
    for (url, event_type) in [
        (receiver.url("/hooks/{{ secrets.path }}"), "a.ok"),
        (receiver.url("/hooks/{{ secrets.path }}/{{ payload.segment }}"), "a.template"),
        (refused.url("/hooks/{{ secrets.path }}"), "a.down"),
        (receiver.url("/hooks/{{ secrets.path }}"), "a.expect"),
    ] {
        let mut body = shaped(&url, event_type);
        if event_type == "a.expect" {
            body["request"]["expect"] = json!("response.json.ok");
        }
        hooks.push(running.post("/v1/webhooks", body).await["data"]["id"].as_str().unwrap().to_owned());
    }
    let mut events = Vec::new();
    for (event_type, payload) in [
        ("a.ok", json!({ "n": 1, "text": "x" })),
        ("a.ok", json!({ "n": 500 })),
        ("a.template", json!({ "n": 1, "segment": ".." })),
        ("a.down", json!({ "n": 1 })),
        ("a.expect", json!({ "n": 1 })),
    ] {
        let posted =
            running.post("/v1/events", json!({ "event_type": event_type, "payload": payload })).await;
        events.push(posted["data"]["id"].as_str().unwrap().to_owned());
    }
    settled(running, 5).await;
    for hook in [&hooks[0], &hooks[2]] {
        running.post(&format!("/v1/webhooks/{hook}/test"), json!({})).await;
    }
    running.post(&format!("/v1/events/{}/replay", events[0]), json!({ "webhook_id": hooks[0] })).await;
    running.post("/v1/webhooks/deliveries/retry", json!({ "filter": {} })).await;
    // Five, two tests, a replay and four retries.
    settled(running, 12).await;
    // The endpoint is on hold after this one.
    running.post("/v1/events", json!({ "event_type": "a.ok", "payload": { "n": 429 } })).await;
    in_time("the hold", async {
        loop {
            let shown: Value =
                serde_json::from_slice(&text(running, &format!("/v1/webhooks/{}", hooks[0])).await).unwrap();
            if !shown["data"]["attributes"]["hold"].is_null() {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What keeps its secrets, and what is refused without them.
    let patch = |body: Value| {
        json_body(running.request(Method::PATCH, &format!("/v1/webhooks/{}", hooks[3])), body.to_string())
            .send()
    };
    let masks =
        json!({ "path": "********", "user": "********", "password": "********", "token": "********" });
    assert_eq!(patch(json!({ "secrets": masks })).await.unwrap().status(), 200);
    let moved = patch(json!({ "url": "https://elsewhere.example/{{ secrets.path }}", "secrets": masks }))
        .await
        .unwrap();
    assert_eq!(moved.status(), 422);
    hooks
}

#[tokio::test]
async fn no_secret_of_a_source_or_shaped_webhook_is_anywhere_after_a_full_run() {
    let (mut program, receiver) = (Program::new(), Receiver::start().await);
    program.env.push(("POSTRIDER_LOG__LEVEL", "trace".to_owned()));
    let running = program.serve().await;
    let stream = running.request(Method::GET, "/v1/webhooks/deliveries/stream").send();
    let stream = in_time("the stream", stream).await.unwrap();
    let (sources, tokens) = sources(&running).await;
    let hooks = deliveries(&running, &receiver).await;
    // The search finds what is there: the receiver got every secret.
    let authorization = format!("{USER}:{PASSWORD}");
    let mut secrets: Vec<(String, String)> = [
        ("the path", PATH),
        ("the user", USER),
        ("the password", PASSWORD),
        ("the token", TOKEN),
        ("user and password", &authorization),
        ("the password of a verifier", PRESET_PASSWORD),
        ("the secret of a signature", HMAC),
        ("the token of a challenge", META),
        ("an older secret", "leak-old-11aa"),
        ("a wrong password", "leak-wrong-"),
    ]
    .iter()
    .flat_map(|(name, secret)| forms(name, secret))
    .collect();
    secrets.extend(tokens.into_iter().map(|token| ("the token of a source".to_owned(), token)));
    let sent = receiver.next().await;
    assert!(sent.path.contains(PATH) && sent.header("authorization").unwrap().len() > 30, "{sent:?}");
    let mut paths: Vec<String> = [
        "/v1/webhooks",
        "/v1/webhooks/deliveries?per_page=200",
        "/v1/webhooks/deliveries?q=HTTP",
        "/v1/webhooks/deliveries/export?format=csv",
        "/v1/webhooks/deliveries/export?format=jsonl",
        "/v1/events?per_page=200",
        "/v1/activity?per_page=200",
        "/v1/webhooks/stats",
        "/api/v0/webhooks",
        "/metrics",
        "/admin/api/overview",
    ]
    .map(str::to_owned)
    .to_vec();
    for hook in &hooks {
        paths.extend(
            ["", "/health", "/stats", "/deliveries"].map(|rest| format!("/v1/webhooks/{hook}{rest}")),
        );
    }
    let list: Value =
        serde_json::from_slice(&text(&running, "/v1/webhooks/deliveries?per_page=200").await).unwrap();
    let rows = list["data"].as_array().unwrap();
    paths.extend(rows.iter().map(|row| format!("/v1/webhooks/deliveries/{}", row["id"])));
    for source in &sources {
        let requests = format!("/v1/sources/{source}/requests");
        let list: Value = serde_json::from_slice(&text(&running, &requests).await).unwrap();
        paths.extend(list["data"].as_array().unwrap().iter().map(|row| format!("{requests}/{}", row["id"])));
        paths.push(requests);
    }
    let finished = rows.iter().filter(|row| row["attributes"]["status"] != "pending").count();
    let mut said = vec![("the stream".to_owned(), streamed(stream, finished).await)];
    for path in &paths {
        said.push((path.clone(), text(&running, path).await));
    }
    // An administrator sees the whole URLs of sources; a reader does not.
    let (_, reader, _) = program.run("key create --name reader --scope webhooks:read --quiet").await;
    let list = running.client.get(format!("{}/v1/sources", running.base)).bearer_auth(reader.trim()).send();
    let list = in_time("the sources", list).await.unwrap();
    assert_eq!(list.status(), 200);
    said.push(("/v1/sources".to_owned(), list.bytes().await.unwrap().to_vec()));
    // Documents of the command line, a backup, and every file while it runs and after its end.
    for command in ["export apps.json", "backup copy.backup", "doctor"] {
        let (_, stdout, stderr) = program.run(command).await;
        said.push((command.to_owned(), (stdout + &stderr).into_bytes()));
    }
    assert!(program.path().join("apps.json").exists() && program.path().join("copy.backup").exists());
    let mut everything = files(&program.path().join("data"));
    running.signal("TERM");
    let ended = running.ended().await;
    everything.extend(files(program.path()));
    said.push(("stdout".to_owned(), ended.stdout.into_bytes()));
    said.extend(everything.into_iter().map(|(path, content)| (path.display().to_string(), content)));
    let found: Vec<(&String, Vec<&str>)> = said
        .iter()
        .map(|(name, content)| (name, found_in(content, &secrets)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert_eq!(found, [], "of {} texts and files", said.len());
    assert!(program.log().contains("DEBUG"), "the log is as talkative as can be");
}
