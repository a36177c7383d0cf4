//! `POST /v1/webhooks/preview`, and tests with an event of one's own.

use reqwest::Method;

use super::*;
use crate::support::Receiver;
use crate::support::app::{json_body, send};

const PREVIEW: &str = "/v1/webhooks/preview";

async fn preview(app: &TestApp, webhook: Value, event: Value) -> Value {
    let answer = app.post(PREVIEW, json!({ "webhook": webhook, "event": event })).await;
    answer.expect(200)["data"]["attributes"].clone()
}

fn given(payload: Value) -> Value {
    json!({ "event_type": "a.b", "payload": payload })
}

fn discord() -> Value {
    let url = "https://discord.com/api/webhooks/1/tok-EN";
    json!({ "name": "discord", "inputs": { "webhook_url": url } })
}

fn warnings(preview: &Value) -> Vec<&str> {
    preview["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// As `who` would get it.
async fn status_as(app: &TestApp, scopes: &str, path: &str, body: &Value) -> u16 {
    let key = app.key(scopes, None).await;
    send(json_body(app.request_as(&key, Method::POST, path), body.to_string())).await.status
}

#[tokio::test]
async fn a_preview_shows_what_a_sample_becomes_and_leaves_no_trace() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let preset =
        json!({ "name": "discord", "inputs": { "webhook_url": receiver.url("/api/webhooks/1/tok-EN") } });
    let webhook = json!({
        "preset": preset, "events": ["github.*"],
        "filter": "payload.action == 'published' and not payload.release.prerelease",
        "headers": { "X-Secret": { "value": "s3cret", "secret": true }, "X-Plain": "p" },
    });
    let answer =
        app.post(PREVIEW, json!({ "webhook": webhook, "event": { "sample": "github/release" } })).await;
    assert!(!answer.text.contains("tok-EN") && !answer.text.contains("s3cret"), "{}", answer.text);
    let data = answer.expect(200)["data"].clone();
    assert_eq!(data["type"], "webhook_preview");
    let found = &data["attributes"];
    assert_eq!(found["wanted"], json!({ "pattern": true, "filter": true }));
    let first = json!({
        "expression": "payload.action == 'published'", "left": "\"published\"", "right": "\"published\"",
        "result": true,
    });
    assert_eq!(found["filter_trace"][0], first, "{}", found["filter_trace"]);
    assert_eq!(found["summary"]["title"], "Codertocat/Hello-World: release published");
    assert_eq!((&found["summary"]["level"], &found["error"]), (&json!("info"), &Value::Null));
    let request = &found["request"];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["url"], receiver.url("/api/webhooks/********?wait=true"));
    let headers = json!({ "content-type": "application/json", "x-plain": "p", "x-secret": "********" });
    assert_eq!(request["headers"], headers);
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["embeds"][0]["title"], "Codertocat/Hello-World: release published");
    assert_eq!(body["embeds"][0]["footer"]["text"], "github");
    assert_eq!(found["warnings"], json!([]));
    assert!(found["cost"]["steps"].as_u64().unwrap() > 0 && found["cost"]["bytes"].as_u64().unwrap() > 0);

    assert_eq!(receiver.count(), 0);
    assert!(app.rows().await.is_empty());
    assert_eq!(app.get("/v1/webhooks").await.expect(200)["data"], json!([]));
    assert_eq!(app.get("/v1/events").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_preview_says_why_a_webhook_does_not_want_an_event() {
    let app = TestApp::start().await;
    let webhook =
        json!({ "url": URL, "events": ["b.*"], "filter": "payload.n > 3 or summary.level == 'error'" });
    let found = preview(&app, webhook, given(json!({ "n": 2 }))).await;
    assert_eq!(found["wanted"], json!({ "pattern": false, "filter": false }));
    let trace: Vec<(&str, bool)> = found["filter_trace"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["expression"].as_str().unwrap(), entry["result"].as_bool().unwrap()))
        .collect();
    assert_eq!(trace, [("payload.n > 3", false), ("summary.level == 'error'", false)]);
    // A plain webhook is sent the payload as it is.
    assert_eq!(found["request"]["body"], "{\"n\":2}");
    assert_eq!((&found["request"]["url"], &found["cost"]["steps"]), (&json!(URL), &json!(0)));
    let list: Vec<u32> = (0..5_000).collect();
    let filter = "payload.list|unique|length > 100000";
    let found = preview(&app, json!({ "url": URL, "filter": filter }), given(json!({ "list": list }))).await;
    assert_eq!(found["wanted"], json!({ "pattern": true, "filter": true }));
    assert!(warnings(&found)[0].starts_with("The filter did not finish"), "{found}");
    let sealed = preview(&app, json!({ "url": URL, "encrypted": true }), given(json!({ "s": 1 }))).await;
    assert_eq!(
        (&sealed["request"]["body"], warnings(&sealed)),
        (&Value::Null, vec!["The payload is sent encrypted."])
    );
}

#[tokio::test]
async fn what_may_surprise_is_a_warning_and_what_fails_is_an_error() {
    let app = TestApp::start().await;
    let webhook = json!({
        "preset": discord(),
        "request": { "body": { "embeds": [{ "title": "{{ payload.title }}", "x": "{{ payload.typo }}",
            "y": "{{ payload.title|truncate(20) }}" }] } },
    });
    let found = preview(&app, webhook, given(json!({ "title": "t".repeat(300) }))).await;
    let warnings = warnings(&found);
    assert_eq!(warnings[0], "payload.typo is missing in this event.");
    assert!(warnings[1].starts_with("A text is cut: payload.title|truncate(20): 19 of 300"), "{warnings:?}");
    assert!(warnings[2].starts_with("/embeds/0/title has 300 characters, which is over"), "{warnings:?}");
    assert_eq!(warnings.len(), 3, "{warnings:?}");

    let failing = json!({ "url": "https://example.com/{{ payload.gone }}/x", "request": {} });
    let found = preview(&app, failing, given(json!({}))).await;
    assert_eq!(found["request"], Value::Null);
    assert!(found["error"].as_str().unwrap().starts_with("url: a segment of the path is empty"), "{found}");
    let huge = json!({ "url": URL, "request": { "body": "{{ payload_text }}{{ payload_text }}" } });
    let found = preview(&app, huge, given(json!("x".repeat(150_000)))).await;
    assert!(found["error"].as_str().unwrap().starts_with("body: "), "{found}");
}

#[tokio::test]
async fn what_could_not_be_saved_is_refused_with_its_place() {
    let app = TestApp::start().await;
    let good = given(json!(1));
    for (webhook, event, pointer) in [
        (
            json!({ "url": URL, "request": { "body": { "a": "{{ paylod }}" } } }),
            &good,
            "/webhook/request/body/a",
        ),
        (json!({ "url": URL, "filter": "payload.a =" }), &good, "/webhook/filter"),
        (json!({ "request": {} }), &good, "/webhook/url"),
        (json!({ "url": URL, "retries": 1 }), &good, "/webhook/retries"),
        (json!({ "url": "http://10.0.0.1/" }), &good, "/webhook/url"),
        (json!({ "preset": { "name": "discord" } }), &good, "/webhook/preset/inputs/webhook_url"),
        (json!([]), &good, "/webhook"),
        (json!({ "url": URL }), &json!({ "payload": 1 }), "/event/event_type"),
        (json!({ "url": URL }), &json!({ "event_type": "a" }), "/event/payload"),
        (json!({ "url": URL }), &json!({ "event_type": "a b", "payload": 1 }), "/event/event_type"),
        (json!({ "url": URL }), &json!({ "sample": "github/nothing" }), "/event/sample"),
        (json!({ "url": URL }), &json!({ "sample": "github/release", "payload": 1 }), "/event/payload"),
        (
            json!({ "url": URL }),
            &json!({ "event_type": "a", "payload": 1, "resource_id": "" }),
            "/event/resource_id",
        ),
        (json!({ "url": URL }), &json!({ "event_type": "a", "payload": 1, "x": 1 }), "/event/x"),
    ] {
        let answer = app.post(PREVIEW, json!({ "webhook": webhook, "event": event })).await;
        assert_invalid(&answer, vec![pointer]);
    }
    assert_invalid(&app.post(PREVIEW, json!({})).await, vec!["/webhook", "/event"]);
    let body = json!({ "webhook_id": "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48", "event": good });
    app.post(PREVIEW, body).await.problems(404);
    for event in [
        json!({ "event_id": "evt_0198c2f46b2f7d1199aa3c4e5f607182" }),
        json!({ "event_type": "a", "payload": 1, "source_id": "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48" }),
    ] {
        app.post(PREVIEW, json!({ "webhook": { "url": URL }, "event": event })).await.problems(404);
    }
    let large = json!({ "webhook": { "url": URL }, "event": given(json!("x".repeat(300_000))) });
    app.post(PREVIEW, large).await.problems(413);
}

#[tokio::test]
async fn a_stored_webhook_and_a_stored_event_are_previewed_by_their_ids() {
    let app = TestApp::start().await;
    let source =
        json!({ "name": "shop", "summary": { "title": "Order {{ payload.n }}", "level": "warning" } });
    let made = app.post("/v1/sources", source).await.expect(201);
    let source = &made["data"];
    let posted = app.client.post(source["attributes"]["url"].as_str().unwrap()).body("{\"n\": 7.0}").send();
    let event: Value = serde_json::from_str(&posted.await.unwrap().text().await.unwrap()).unwrap();
    let fields = json!({
        "request": { "body": { "t": "{{ summary.title }}", "n": "{{ payload.n }}", "s": "{{ event.source }}",
            "id": "{{ event.id }}", "token": "{{ secrets.token }}" } },
        "secrets": { "token": "tok-EN" },
    });
    let hook = app.webhook(URL, fields).await;
    let by_id = json!({ "webhook_id": hook.id, "event": { "event_id": event["id"] } });
    let found = app.post(PREVIEW, by_id.clone()).await.attributes();
    assert_eq!(
        (&found["summary"]["title"], &found["summary"]["level"]),
        (&json!("Order 7.0"), &json!("warning"))
    );
    let body: Value = serde_json::from_str(found["request"]["body"].as_str().unwrap()).unwrap();
    let expected = json!({ "t": "Order 7.0", "n": 7.0, "s": "shop", "id": event["id"], "token": "********" });
    assert_eq!(body, expected);
    assert!(found["request"]["body"].as_str().unwrap().contains("\"n\":7.0"), "numbers keep their form");
    // Changes of a stored webhook keep its secrets.
    let changed = json!({
        "webhook_id": hook.id, "webhook": { "filter": "payload.n > 7", "secrets": { "token": "********" } },
        "event": { "event_type": "order.paid", "payload": { "n": 8 }, "source_id": source["id"], "resource_id": "r" },
    });
    let found = app.post(PREVIEW, changed).await.attributes();
    assert_eq!((&found["wanted"]["filter"], &found["summary"]["title"]), (&json!(true), &json!("Order 8")));
    assert_eq!(app.webhook_attributes(&hook.id).await["filter"], Value::Null);

    let given_event = json!({ "webhook_id": hook.id, "event": given(json!(1)) });
    let given_hook = json!({ "webhook": { "url": URL }, "event": given(json!(1)) });
    let both = json!({ "webhook": { "url": URL }, "event": { "event_id": event["id"] } });
    for (scopes, statuses) in [
        ("webhooks:read", [403, 403, 403, 403]),
        ("webhooks:read,events:read", [200, 200, 403, 403]),
        ("webhooks:write", [403, 200, 200, 403]),
        ("webhooks:write,events:read", [200, 200, 200, 200]),
        ("events:read", [403, 403, 403, 403]),
    ] {
        for (body, status) in [&by_id, &given_event, &given_hook, &both].into_iter().zip(statuses) {
            assert_eq!(status_as(&app, scopes, PREVIEW, body).await, status, "{scopes} {body}");
        }
    }
    app.app("other").await;
    let other = app.key("admin", Some("other")).await;
    let theirs = json_body(app.request_as(&other, Method::POST, PREVIEW), by_id.to_string());
    send(theirs).await.problems(404);
}

#[tokio::test]
async fn a_test_takes_a_payload_a_stored_event_or_a_sample() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let request = json!({ "body": { "t": "{{ summary.title }}", "p": "{{ payload }}", "r": "{{ event.resource_id }}" } });
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["none"], "request": request })).await;
    let path = format!("/v1/webhooks/{}/test", hook.id);
    let posted = json!({ "event_type": "a.b", "payload": { "n": 1 }, "resource_id": "r-1" });
    let event = app.post("/v1/events", posted).await.expect(202)["data"]["id"].clone();
    for (body, event_type, expected) in [
        (
            json!({ "payload": { "n": 1.0 } }),
            "webhook.test",
            "{\"p\":{\"n\":1.0},\"r\":null,\"t\":\"webhook.test\"}",
        ),
        (json!({ "payload": null, "event_type": "x.y" }), "x.y", "{\"p\":null,\"r\":null,\"t\":\"x.y\"}"),
        (json!({ "event_id": event }), "a.b", "{\"p\":{\"n\":1},\"r\":\"r-1\",\"t\":\"a.b\"}"),
    ] {
        let sent = app.post(&path, body.clone()).await.expect(200);
        assert_eq!(sent["data"]["attributes"]["delivered"], true, "{body}");
        let got = receiver.next().await;
        assert_eq!(got.header("x-webhook-event"), Some(event_type));
        assert_ne!(got.header("webhook-id"), event.as_str(), "it is an event of its own");
        assert_eq!(String::from_utf8_lossy(&got.body), expected);
    }
    app.post(&path, json!({ "sample": "uptime_kuma/down" })).await.expect(200);
    let body = receiver.next().await.json();
    assert_eq!((&body["t"], &body["p"]["heartbeat"]["status"]), (&json!("NAS"), &json!(0)));
    let rows = app.rows().await;
    assert!(rows.len() == 4 && rows.iter().all(|row| row["trigger"] == "test" && row["attempt"] == 1));
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 1, "tests are no events of the app");

    for (body, pointer) in [
        (json!({ "sample": "x/y" }), "/sample"),
        (json!({ "sample": "github/release", "event_id": event }), "/sample"),
        (json!({ "sample": "github/release", "payload": 1 }), "/payload"),
        (json!({ "event_id": event, "event_type": "a" }), "/event_type"),
        (json!({ "event_type": "a b" }), "/event_type"),
    ] {
        assert_invalid(&app.post(&path, body).await, vec![pointer]);
    }
    app.post(&path, json!({ "event_id": "evt_0198c2f46b2f7d1199aa3c4e5f607182" })).await.problems(404);
    app.post(&path, json!({ "payload": "x".repeat(300_000) })).await.problems(413);
    receiver.count();
    for (scopes, statuses) in [
        ("webhooks:read", [200, 403, 403, 403]),
        ("webhooks:write", [403, 200, 200, 403]),
        ("webhooks:read,events:read", [200, 403, 403, 403]),
        ("webhooks:write,events:read", [403, 200, 200, 200]),
    ] {
        let bodies = [
            json!({}),
            json!({ "payload": 1 }),
            json!({ "sample": "plex/play" }),
            json!({ "event_id": event }),
        ];
        for (body, status) in bodies.iter().zip(statuses) {
            assert_eq!(status_as(&app, scopes, &path, body).await, status, "{scopes} {body}");
        }
    }
}

/// Events that ask much of a recipe: long, with every character that some receiver gives a meaning.
fn hostile() -> Vec<Value> {
    let marks = "\"\\\n\t@everyone <!here> **x** `` [a](b) <b>&amp; {{ payload }} {% if %} 😀 \u{202e}";
    let long = marks.repeat(45_000 / marks.len());
    let shallow: Value = json!({ "title": long, "message": long, "link": "javascript:alert(1)" });
    vec![
        given(shallow),
        given(json!(long)),
        given(json!([])),
        given(Value::Null),
        given(json!({ "": { "": "" } })),
    ]
}

/// Where a body is over a limit that needs more than one place to count.
fn sums(name: &str, body: &Value) -> Option<String> {
    if name != "discord" {
        return None;
    }
    let texts = ["title", "description"].map(|key| body["embeds"][0][key].as_str().unwrap_or_default());
    let footer = body["embeds"][0]["footer"]["text"].as_str().unwrap_or_default();
    let sum: usize = texts.into_iter().chain([footer]).map(|text| text.encode_utf16().count()).sum();
    (sum > 6_000).then(|| format!("the texts of the embed have {sum} characters"))
}

#[tokio::test]
async fn every_recipe_renders_every_sample_within_the_limits_of_its_receiver() {
    let app = TestApp::with(|config| config.limits.requests_per_minute = 0).await;
    let list = |path: &'static str| async { app.get(path).await.expect(200)["data"].clone() };
    let (destinations, sources) = (list("/v1/gallery/destinations").await, list("/v1/gallery/sources").await);
    let samples = sources.as_array().unwrap().iter().flat_map(|source| {
        let names = source["attributes"]["samples"].as_array().unwrap().iter();
        names.map(|name| json!({ "sample": format!("{}/{}", source["id"].as_str().unwrap(), name.as_str().unwrap()) }))
    });
    let events: Vec<Value> = samples.chain(hostile()).collect();
    assert!(destinations.as_array().unwrap().len() == 18 && events.len() > 30);
    for destination in destinations.as_array().unwrap() {
        let name = destination["id"].as_str().unwrap();
        let attributes = &destination["attributes"];
        let inputs: Value = attributes["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|input| (input["name"].as_str().unwrap().to_owned(), input["example"].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let webhook = json!({ "preset": { "name": name, "inputs": inputs } });
        for event in &events {
            let found = preview(&app, webhook.clone(), event.clone()).await;
            let place = || format!("{name} {}", event.to_string().chars().take(80).collect::<String>());
            assert_eq!(found["error"], Value::Null, "{}", place());
            let over: Vec<&str> =
                warnings(&found).into_iter().filter(|text| text.contains("over the limit")).collect();
            assert_eq!(over, [""; 0], "{}", place());
            let request = &found["request"];
            let body = request["body"].as_str().unwrap();
            if request["headers"]["content-type"] == "application/json" {
                let json: Value =
                    serde_json::from_str(body).unwrap_or_else(|e| panic!("{}: {e}: {body}", place()));
                assert_eq!(sums(name, &json), None, "{}", place());
            }
            assert!(!body.contains("inputs.") || name == "json" || name == "emqx", "{}: {body}", place());
        }
    }
}
