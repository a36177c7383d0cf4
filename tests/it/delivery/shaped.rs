//! Shaped requests (section 4 of `contract/integrations.md`), with a real receiver.

use std::path::Path;

use super::*;
use crate::support::postgres;

/// Whether a file of a directory holds this text.
fn is_on_disk(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_on_disk(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

async fn detail(app: &TestApp, row: &Value) -> Value {
    app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.attributes()
}

/// A webhook that gets only events of this type, so that tests can have several.
async fn shaped(app: &TestApp, url: &str, fields: Value) -> Webhook {
    let mut all = json!({ "events": ["a.b"] });
    for (name, value) in fields.as_object().unwrap() {
        all[name] = value.clone();
    }
    app.webhook(url, all).await
}

#[tokio::test]
async fn a_chat_message_is_made_of_an_event_and_its_address_stays_secret() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let secret = "123456/a-Very~secret";
    receiver
        .reply(Reply::status(200).header("x-echo", secret).body(format!("posted to /{secret}?wait=true")));
    let request = json!({
        "query": { "wait": "true" },
        "sign": false,
        "body": {
            "content": "",
            "allowed_mentions": { "parse": [] },
            "embeds": [{
                "title": "{{ summary.title|truncate(250) }}",
                "url": "{{ summary.link }}",
                "description": "{{ payload.text }}",
                "color": "{{ summary.level|color }}",
                "timestamp": "{{ event.created_at }}",
                "footer": { "text": "{{ event.source or event.type }}" },
            }],
        },
    });
    let url = receiver.url("/api/webhooks/{{ secrets.path }}");
    let hook = shaped(&app, &url, json!({ "request": request, "secrets": { "path": secret } })).await;
    let shown = app.webhook_attributes(&hook.id).await;
    assert_eq!((&shown["url"], &shown["secrets"]), (&json!(url), &json!({ "path": "********" })));
    assert_eq!(shown["request"], request);

    app.post_event("a.b", json!({ "text": "\"quoted\"\nline" })).await;
    let got = receiver.next().await;
    assert_eq!(
        (got.method.as_str(), got.path.as_str()),
        ("POST", "/api/webhooks/123456/a-Very~secret?wait=true")
    );
    assert_eq!(
        got.json(),
        json!({
            "content": "",
            "allowed_mentions": { "parse": [] },
            "embeds": [{
                "title": "a.b",
                "description": "\"quoted\"\nline",
                "color": 3_447_003,
                "timestamp": "2026-03-01T12:00:00.000Z",
                "footer": { "text": "a.b" },
            }],
        })
    );
    assert_eq!(got.header("content-type"), Some("application/json"));
    for name in ["webhook-id", "webhook-signature", "webhook-timestamp", "x-webhook-event"] {
        assert_eq!(got.header(name), None, "{name}");
    }

    let row = app.row_when(|row| row["status"] == "delivered").await;
    let detail = detail(&app, &row).await;
    assert_eq!(detail["endpoint_url"], url);
    assert_eq!(detail["request"]["url"], receiver.url("/api/webhooks/********?wait=true"));
    assert_eq!(detail["request"]["body"].as_str(), std::str::from_utf8(&got.body).ok());
    assert_eq!(detail["response"]["body"], "posted to /********?wait=true");
    assert_eq!(detail["response"]["headers"]["x-echo"], "********");
    let exported = app.get("/v1/webhooks/deliveries/export?format=jsonl").await;
    assert!(!exported.text.contains(secret));
    let stopped = app.stop_within(std::time::Duration::from_secs(10)).await;
    if postgres::is_wanted() {
        return;
    }
    assert!(is_on_disk(stopped.dir.path(), "quoted"), "the search finds what is there");
    assert!(!is_on_disk(stopped.dir.path(), secret) && !is_on_disk(stopped.dir.path(), "a-Very~secret"));
}

#[tokio::test]
async fn masking_makes_no_response_much_longer() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let reply = Reply::status(200).header("x-short", "banana").header("x-long", &"ab".repeat(2_000));
    receiver.reply(reply.body("ab".repeat(3_000)));
    let request = json!({ "headers": { "x-key": "{{ secrets.key }}" }, "body": {} });
    shaped(&app, &receiver.url("/"), json!({ "request": request, "secrets": { "key": "a" } })).await;
    app.post_event("a.b", json!({})).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let response = detail(&app, &row).await["response"].clone();
    assert_eq!(response["headers"]["x-short"], "b********n********n********");
    assert_eq!(response["headers"]["x-long"], "********");
    let body = response["body"].as_str().unwrap();
    assert!(body.len() <= 6_000 + 4_096 && !body.contains('a'), "{}", body.len());
    assert_eq!(response["body_truncated"], true);
}

#[tokio::test]
async fn method_query_headers_and_kind_of_body_are_free_and_the_body_is_signed() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let fields = json!({
        "headers": { "X-Own": "own", "X-Title": "hidden" },
        "secrets": { "token": "t0k/en" },
        "request": {
            "method": "PUT",
            "content": "form",
            "query": { "id": "{{ delivery.id }}", "gone": "{{ payload.gone }}", "q": "{{ payload.q }}" },
            "headers": { "X-Title": "{{ payload.title }}", "Authorization": "Bearer {{ secrets.token }}" },
            "body": { "name": "{{ endpoint.name }}", "gone": "{{ payload.gone }}" },
        },
        "name": "Größe & Co",
    });
    let hook = shaped(&app, &receiver.url("/{{ payload.q }}/x"), fields).await;
    app.post_event("a.b", json!({ "q": "a/b c", "title": "A\r\nX-Evil: 1" })).await;
    let got = receiver.next().await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let path = format!("/a%2Fb%20c/x?id={}&q=a%2Fb%20c", row["delivery_id"]);
    assert_eq!((got.method.as_str(), &got.path), ("PUT", &path));
    assert_eq!(got.header("x-title"), Some("A  X-Evil: 1"));
    assert_eq!((got.header("x-own"), got.header("x-evil")), (Some("own"), None));
    assert_eq!(got.header("authorization"), Some("Bearer t0k/en"));
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(&got.body[..], b"name=Gr%C3%B6%C3%9Fe+%26+Co");
    let timestamp = got.header("webhook-timestamp").unwrap().parse().unwrap();
    let library = standardwebhooks::Webhook::new(&hook.secret).unwrap();
    let signature = library.sign(got.header("webhook-id").unwrap(), timestamp, &got.body).unwrap();
    assert_eq!(got.header("webhook-signature"), Some(signature.as_str()));
    let detail = detail(&app, &row).await;
    assert_eq!(detail["request"]["method"], "PUT");
    assert_eq!(detail["request"]["headers"]["authorization"], "Bearer ********");
    assert_eq!(detail["request"]["body"], "name=Gr%C3%B6%C3%9Fe+%26+Co");
}

#[tokio::test]
async fn a_get_has_no_body_and_a_payload_stays_as_it_came() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let get = json!({ "events": ["get"], "request": { "method": "GET", "content": "none" } });
    app.webhook(&receiver.url("/{{ event.type }}"), get).await;
    let payload = json!({ "events": ["payload"], "request": { "content": "payload", "method": "PATCH" } });
    app.webhook(&receiver.url("/"), payload).await;
    app.post_event("get", json!(1)).await;
    let got = receiver.next().await;
    assert_eq!((got.method.as_str(), got.path.as_str(), got.body.len()), ("GET", "/get", 0));
    assert_eq!((got.header("content-type"), got.header("content-length")), (None, None));
    post_raw(&app, "payload", "{ \"n\": 1.0 }").await;
    let got = receiver.next().await;
    assert_eq!((got.method.as_str(), &got.body[..]), ("PATCH", &b"{ \"n\": 1.0 }"[..]));
    let row = app.row_when(|row| row["event_type"] == "payload" && row["status"] == "delivered").await;
    assert_eq!(detail(&app, &row).await["request"]["body"], "{ \"n\": 1.0 }");
}

#[tokio::test]
async fn a_template_that_cannot_be_rendered_ends_the_delivery_until_it_is_corrected() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let fields = json!({ "request": {}, "retry_schedule": ["1m", "1m"] });
    let hook = shaped(&app, &receiver.url("/{{ payload.gone }}/x"), fields).await;
    app.post_event("a.b", json!({ "here": "y" })).await;
    let row = app.row_when(|row| row["status"] == "exhausted").await;
    assert_eq!((&row["error_kind"], &row["attempt"]), (&json!("template"), &json!(1)));
    assert!(row["error_message"].as_str().unwrap().contains("url: "), "{row}");
    let detail = detail(&app, &row).await;
    assert_eq!((&detail["request"], &detail["response"]), (&Value::Null, &Value::Null));
    assert_eq!(app.webhook_attributes(&hook.id).await["consecutive_failures"], 1);
    assert_eq!(receiver.count(), 0);

    patch(&app, &hook, json!({ "url": receiver.url("/{{ payload.here }}/x") })).await;
    let wanted = json!({ "filter": { "error_kind": "template" } });
    app.post("/v1/webhooks/deliveries/retry", wanted).await.expect(202);
    assert_eq!(receiver.next().await.path, "/y/x");
    app.row_when(|row| row["status"] == "delivered" && row["attempt"] == 2).await;
}

#[tokio::test]
async fn a_response_is_judged_by_what_the_webhook_expects() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let fields = json!({
        "request": { "expect": "response.json.ok == payload.ok and response.headers['x-kind'] == 'api'" },
        "retry_schedule": ["1m"],
    });
    shaped(&app, &receiver.url("/"), fields).await;
    receiver.reply(Reply::ok().header("X-Kind", "api").body(r#"{"ok":false}"#));
    app.post_event("a.b", json!({ "ok": true })).await;
    let row = app.row_when(|row| row["status"] == "failed").await;
    assert_eq!((&row["error_kind"], &row["response_status"]), (&json!("response"), &json!(200)));
    assert_eq!(row["error_message"], "HTTP 200, but not the response that expect describes");
    receiver.reply(Reply::ok().header("X-Kind", "api").body(r#"{"ok":true}"#));
    app.clock.advance_ms(60_000);
    app.row_when(|row| row["status"] == "delivered" && row["attempt"] == 2).await;
}

#[tokio::test]
async fn nothing_is_tried_again_after_a_final_status() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let fields = json!({ "request": { "final": [400, 401] }, "retry_schedule": ["1m", "1m"] });
    shaped(&app, &receiver.url("/"), fields).await;
    receiver.reply(Reply::status(401));
    app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "exhausted").await;
    assert_eq!((&row["attempt"], &row["error_kind"]), (&json!(1), &json!("http_status")));
    receiver.reply(Reply::status(403));
    app.post_event("a.b", json!(2)).await;
    app.row_when(|row| row["status"] == "pending" && row["attempt"] == 2).await;
}

#[tokio::test]
async fn a_wait_in_json_holds_the_webhook() {
    for (unit, body, until) in [
        ("s", r#"{"parameters":{"retry_after":34}}"#, "2026-03-01T12:00:34.000Z"),
        ("ms", r#"{"parameters":{"retry_after":2500}}"#, "2026-03-01T12:00:02.500Z"),
        ("s", "not JSON", "2026-03-01T12:01:30.000Z"),
    ] {
        let app = TestApp::start().await;
        let receiver = Receiver::start().await;
        let request = json!({ "retry_after": { "pointer": "/parameters/retry_after", "unit": unit } });
        let hook = shaped(&app, &receiver.url("/"), json!({ "request": request })).await;
        receiver.reply(Reply::status(429).header("Retry-After", "90").body(body));
        app.post_event("a.b", json!(1)).await;
        app.row_when(|row| row["status"] == "pending" && row["attempt"] == 2).await;
        let hold = app.webhook_attributes(&hook.id).await["hold"].clone();
        assert_eq!(
            (&hold["reason"], &hold["next_probe_at"]),
            (&json!("rate_limited"), &json!(until)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_with_its_place() {
    let app = TestApp::start().await;
    let url = "https://a.example/{{ secrets.token }}";
    let secrets = json!({ "token": "t" });
    for (fields, pointer) in [
        (json!({ "url": url }), "/url"),
        (json!({ "url": url, "request": {} }), "/url"),
        (json!({ "url": "https://a.example/", "request": {}, "encrypted": true }), "/request"),
        (json!({ "url": url, "secrets": secrets, "request": { "method": "GET" } }), "/request/content"),
        (
            json!({ "url": url, "secrets": secrets, "request": { "content": "form", "body": "x" } }),
            "/request/body",
        ),
        (
            json!({ "url": url, "secrets": secrets, "request": { "body": { "a": ["{{ paylod.x }}"] } } }),
            "/request/body/a/0",
        ),
        (json!({ "url": url, "secrets": { "token": "a#b" }, "request": {} }), "/secrets/token"),
        (json!({ "url": url, "secrets": { "token": "********" }, "request": {} }), "/secrets/token"),
        (json!({ "url": "https://{{ payload.host }}/", "request": {} }), "/url"),
    ] {
        let mut body = json!({ "events": ["*"] });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let problems = app.post("/v1/webhooks", body).await.problems(422);
        let pointers: Vec<_> = problems.iter().filter_map(|(_, pointer)| pointer.as_deref()).collect();
        assert_eq!(pointers, [pointer], "{fields}: {problems:?}");
    }
    let hook = app.webhook(url, json!({ "request": {}, "secrets": secrets })).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let moved = json!({ "url": "https://b.example/{{ secrets.token }}" });
    app.with_json(Method::PATCH, &path, moved.clone()).await.problems(422);
    let mut again = moved;
    again["secrets"] = json!({ "token": "t2" });
    app.with_json(Method::PATCH, &path, again).await.expect(200);
    let kept = patch(&app, &hook, json!({ "secrets": { "token": "********" }, "name": "Kept" })).await;
    assert_eq!(kept["secrets"], json!({ "token": "********" }));
    let plain =
        patch(&app, &hook, json!({ "url": "https://b.example/", "request": null, "secrets": null })).await;
    assert_eq!((&plain["request"], &plain["secrets"]), (&Value::Null, &Value::Null));
}
