//! `/v1/webhooks`: create, read, change, list, test, delete.

use reqwest::Method;
use serde_json::{Value, json};

use super::{URL, assert_invalid, redacted, with};
use crate::support::app::{json_body, send};
use crate::support::{Receiver, Reply, TestApp};

fn whole() -> Value {
    json!({
        "url": "https://example.com/hook?x=1",
        "name": "Billing",
        "description": "Two lines\nof text",
        "events": ["license.*", "user.created", "*"],
        "headers": { "X-Plain": "a b", "X-Secret": { "value": "s3cret", "secret": true }, "X-Open": { "value": "v" } },
        "encrypted": true,
        "retry_schedule": ["90s", "0", "1h", "1500ms", "1d"],
        "timeout": "2500ms",
        "rate_limit": 7,
    })
}

#[tokio::test]
async fn a_webhook_is_made_read_and_listed() {
    let app = TestApp::start().await;
    let made = app.post("/v1/webhooks", whole()).await.expect(201);
    insta::assert_json_snapshot!("made", redacted(made.clone()));
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let mut expected = made;
    expected["data"]["attributes"].as_object_mut().unwrap().remove("signing_secret");
    let path = format!("/v1/webhooks/{}", expected["data"]["id"].as_str().unwrap());
    let read = app.get(&path).await;
    assert!(!read.text.contains("whsec_") && !read.text.contains("s3cret"), "{}", read.text);
    assert_eq!(read.expect(200), expected);
    let list = app.get("/v1/webhooks").await;
    assert!(!list.text.contains("whsec_") && !list.text.contains("s3cret"));
    assert_eq!(list.expect(200)["data"], json!([expected["data"]]));
}

#[tokio::test]
async fn a_webhook_needs_url_and_events_only() {
    let app = TestApp::start().await;
    insta::assert_json_snapshot!(
        "made_of_little",
        redacted(app.post("/v1/webhooks", with(json!({}))).await.expect(201))
    );
    assert_invalid(&app.post("/v1/webhooks", json!({})).await, vec!["/url", "/events"]);
    assert_invalid(
        &app.post("/v1/webhooks", json!({ "url": null, "events": null })).await,
        vec!["/url", "/events"],
    );
    assert_eq!(app.get("/v1/webhooks").await.json()["meta"]["total"], 1);
}

#[tokio::test]
async fn patch_changes_what_is_given_and_put_everything() {
    let app = TestApp::start().await;
    let id = app.webhook(URL, whole()).await.id;
    let path = format!("/v1/webhooks/{id}");
    let before = app.webhook_attributes(&id).await;

    app.clock.advance_ms(1_000);
    let mut expected = before.clone();
    expected["description"] = Value::Null;
    expected["timeout"] = json!("1s");
    expected["updated_at"] = json!("2026-03-01T12:00:01.000Z");
    let patched = app
        .with_json(Method::PATCH, &path, json!({ "description": null, "timeout": "1s" }))
        .await
        .expect(200);
    assert_eq!(patched["data"]["attributes"], expected);
    assert_eq!(app.webhook_attributes(&id).await, expected);
    app.with_json(Method::PATCH, &path, json!({})).await.expect(200);
    let cleared = app
        .with_json(
            Method::PATCH,
            &path,
            json!({ "retry_schedule": null, "rate_limit": null, "headers": {}, "name": null }),
        )
        .await
        .expect(200);
    let cleared = &cleared["data"]["attributes"];
    assert_eq!(
        (&cleared["retry_schedule"], &cleared["rate_limit"], &cleared["headers"]),
        (&Value::Null, &Value::Null, &json!({}))
    );
    assert_eq!(cleared["name"], "example.com");

    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    let replaced = app.with_json(Method::PUT, &path, with(json!({}))).await.expect(200);
    insta::assert_json_snapshot!("replaced", redacted(replaced));
    assert_invalid(&app.with_json(Method::PUT, &path, json!({ "name": "x" })).await, vec!["/url", "/events"]);
}

#[tokio::test]
async fn what_was_read_can_be_written_back() {
    let app = TestApp::start().await;
    let id = app.webhook(URL, whole()).await.id;
    let before = app.webhook_attributes(&id).await;
    for method in [Method::PUT, Method::PATCH] {
        app.with_json(method.clone(), &format!("/v1/webhooks/{id}"), before.clone()).await.expect(200);
        assert_eq!(app.webhook_attributes(&id).await, before, "{method}");
    }
}

#[tokio::test]
async fn a_status_is_set_by_hand() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(410));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    app.post_event("a.b", json!(1)).await;
    app.row_when(|row| row["status"] == "exhausted").await;
    let gone = app.webhook_attributes(&hook.id).await;
    assert_eq!((&gone["status"], &gone["consecutive_failures"]), (&json!("disabled"), &json!(1)));
    assert!(gone["status_reason"].is_string());
    for status in ["active", "paused", "disabled"] {
        let attributes = app.with_json(Method::PATCH, &path, json!({ "status": status })).await.attributes();
        assert_eq!((&attributes["status"], &attributes["status_reason"]), (&json!(status), &Value::Null));
        assert_eq!(attributes["consecutive_failures"], 0);
    }
    let made = app.webhook(&receiver.url("/"), json!({ "status": "paused" })).await;
    assert_eq!(app.webhook_attributes(&made.id).await["status"], "paused");
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_its_log_stays() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let deleted = app.delete(&path).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    app.delete(&path).await.problems(404);
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::GET, format!("{path}/deliveries")),
        (Method::POST, format!("{path}/test")),
        (Method::POST, format!("{path}/rotate-secret")),
    ] {
        app.with_json(method, &path, json!({})).await.problems(404);
    }
    let put = app.with_json(Method::PUT, &path, with(json!({}))).await;
    put.problems(404);
    let rows = app.rows().await;
    assert_eq!(
        (rows.len(), &rows[0]["id"], &rows[0]["endpoint_url"]),
        (1, &row["id"], &json!(receiver.url("/")))
    );
    app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.expect(200);
    assert_eq!(app.rows_of(&format!("/v1/webhooks/deliveries?endpoint_id={}", hook.id)).await.len(), 1);
}

#[tokio::test]
async fn webhooks_are_filtered_by_status_and_text() {
    let app = TestApp::start().await;
    for (name, url, status) in [
        ("Alpha 100%", "https://one.example/", "active"),
        ("b\u{e9}ta_x", "https://two.example/ALPHA", "paused"),
        ("gamma", "https://three.example/", "disabled"),
    ] {
        app.webhook(url, json!({ "name": name, "status": status })).await;
    }
    let names = async |query: &str| -> Vec<String> {
        let list = app.get(&format!("/v1/webhooks?{query}")).await.expect(200);
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w["attributes"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("").await, ["gamma", "b\u{e9}ta_x", "Alpha 100%"]);
    assert_eq!(names("status=paused").await, ["b\u{e9}ta_x"]);
    assert_eq!(names("q=alpha").await, ["b\u{e9}ta_x", "Alpha 100%"]);
    assert_eq!(names("q=ALPHA&status=active").await, ["Alpha 100%"]);
    assert_eq!(names("q=B%C3%89TA").await, ["b\u{e9}ta_x"]);
    assert_eq!(names("q=%25").await, ["Alpha 100%"], "literal");
    assert_eq!(names("q=_").await, ["b\u{e9}ta_x"], "literal");
    assert_eq!(names("q=").await.len(), 3);
    assert_eq!(names("q=example").await.len(), 3);
    for (query, parameter) in [
        ("status=on", "status"),
        ("status=", "status"),
        ("status=active&status=paused", "status"),
        ("sort=url", "sort"),
        (&format!("q={}", "x".repeat(201)), "q"),
    ] {
        assert_invalid(&app.get(&format!("/v1/webhooks?{query}")).await, vec![parameter]);
    }
}

#[tokio::test]
async fn a_test_says_what_the_receiver_did() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["never"], "status": "disabled" })).await;
    let path = format!("/v1/webhooks/{}/test", hook.id);
    let bare = send(app.request(Method::POST, &path)).await.expect(200);
    let mut snapshot = redacted(bare);
    snapshot["data"]["id"] = json!("[id]");
    insta::assert_json_snapshot!("tested", snapshot);
    let got = receiver.next().await;
    assert_eq!(got.header("x-webhook-event"), Some("webhook.test"));

    receiver.reply(Reply::status(500));
    let failed = app.post(&path, json!({ "event_type": "license.assigned" })).await.attributes();
    assert_eq!((&failed["delivered"], &failed["http_status"]), (&json!(false), &json!(500)));
    assert!(failed["error"].is_string());
    assert_eq!(receiver.next().await.header("x-webhook-event"), Some("license.assigned"));
    assert_eq!(app.webhook_attributes(&hook.id).await["consecutive_failures"], 0);
    let rows = app.rows().await;
    assert!(rows.len() == 2 && rows.iter().all(|row| row["trigger"] == "test"));

    let nowhere = app.webhook("http://127.0.0.1:1/", json!({})).await;
    let failed = app.post(&format!("/v1/webhooks/{}/test", nowhere.id), json!({})).await.attributes();
    assert_eq!((&failed["delivered"], &failed["http_status"]), (&json!(false), &Value::Null));
    assert_invalid(&app.post(&path, json!({ "event_type": "a..b" })).await, vec!["/event_type"]);
    assert_invalid(&app.post(&path, json!({ "event_type": 1 })).await, vec!["/event_type"]);
    assert_eq!(
        send(json_body(app.request(Method::POST, &path), "[]")).await.problems(400)[0].0,
        "bad_request"
    );
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap() {
    let app = TestApp::start().await;
    let hook = app.webhook(URL, json!({})).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    let rotated = send(app.request(Method::POST, &path)).await.expect(200);
    let secret = rotated["data"]["attributes"]["signing_secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret != hook.secret);
    assert!(app.webhook_attributes(&hook.id).await.get("signing_secret").is_none());
    for overlap in ["0s", "0", "7d", "168h", "1ms"] {
        app.post(&path, json!({ "overlap": overlap })).await.expect(200);
    }
    app.post(&path, json!({ "overlap": null })).await.expect(200);
    for bad in [json!("8d"), json!("604800001ms"), json!("-1s"), json!(""), json!("1"), json!(5)] {
        assert_invalid(&app.post(&path, json!({ "overlap": bad })).await, vec!["/overlap"]);
    }
}

#[tokio::test]
async fn times_are_utc_to_the_millisecond() {
    let app = TestApp::start().await;
    app.clock.advance_ms(7);
    let hook = app.webhook(URL, json!({})).await;
    assert_eq!(app.webhook_attributes(&hook.id).await["created_at"], "2026-03-01T12:00:00.007Z");
}

#[tokio::test]
async fn an_app_has_at_most_so_many_webhooks() {
    let app = TestApp::with(|config| config.limits.endpoints_per_app = 2).await;
    let first = app.post("/v1/webhooks", with(json!({}))).await.expect(201);
    app.post("/api/v0/webhooks", json!({ "url": URL, "events": ["*"] })).await;
    app.post("/v1/webhooks", with(json!({}))).await.problems(409);
    assert_eq!(app.get("/v1/webhooks").await.json()["meta"]["total"], 2);
    assert_eq!(app.post("/api/v0/webhooks", json!({ "url": URL, "events": ["*"] })).await.status, 409);
    let path = format!("/v1/webhooks/{}", first["data"]["id"].as_str().unwrap());
    app.delete(&path).await.expect(204);
    app.post("/v1/webhooks", with(json!({}))).await.expect(201);
}
