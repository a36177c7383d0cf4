//! The inbound log: details, replay, previews; and what a repetition after a crash becomes.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{log, newest, post, source, stranger};
use crate::support::TestApp;
use crate::support::app::{json_body, send};

#[tokio::test]
async fn a_rejected_request_can_be_replayed_with_the_settings_of_now() {
    let app = TestApp::start().await;
    let verify = json!([{"kind":"token","in":"header","name":"X-Token","secret":"s3"}]);
    let (id, path) = source(&app, json!({ "name": "a", "verify": verify })).await;
    post(&app, &path, "{\"kind\":\"x\",\"id\":7}").await.expect(401);
    let change = json!({ "event_type": "a.{{ payload.kind }}", "resource_id": "{{ payload.id }}" });
    app.with_json(Method::PATCH, &format!("/v1/sources/{id}"), change).await.expect(200);
    let row = log(&app, &id).await.remove(0);
    let replay = format!("/v1/sources/{id}/requests/{}/replay", row["id"]);
    let event = app.post(&replay, json!({})).await.expect(202)["data"].clone();
    assert_eq!((&event["type"], &event["attributes"]["event_type"]), (&json!("event"), &json!("a.x")));
    assert_eq!(event["attributes"]["resource_id"], "7");
    let stored = app.get(&format!("/v1/events/{}", event["id"].as_str().unwrap())).await.attributes();
    assert_eq!(stored["payload"], json!({ "kind": "x", "id": 7 }));

    app.with_json(Method::PATCH, &format!("/v1/sources/{id}"), json!({ "accept": "false" }))
        .await
        .expect(200);
    assert_eq!(app.post(&replay, json!({})).await.problems(409)[0].0, "conflict");
    assert_eq!(app.post(&format!("/v1/sources/{id}/requests/999/replay"), json!({})).await.status, 404);
    let key = app.key("webhooks:read", None).await;
    let refused = send(json_body(app.request_as(&key, Method::POST, &replay), "{}".to_owned())).await;
    assert_eq!(refused.problems(403)[0].0, "forbidden");
    let detail = format!("/v1/sources/{id}/requests/{}", row["id"]);
    assert_eq!(send(app.request_as(&key, Method::GET, &detail)).await.status, 403, "events:read is missing");
}

#[tokio::test]
async fn what_is_cut_has_files_or_is_not_json_cannot_be_replayed() {
    let app = TestApp::start().await;
    let verify = json!([{"kind":"stripe","secret":"s3"}]);
    let (id, path) = source(&app, json!({ "name": "a", "verify": verify })).await;
    let send_body = async |content_type: &str, body: String| {
        let request = stranger(&app, Method::POST, &path).header("content-type", content_type).body(body);
        assert_eq!(send(request).await.status, 401);
        let row = log(&app, &id).await.remove(0);
        app.post(&format!("/v1/sources/{id}/requests/{}/replay", row["id"]), json!({})).await
    };
    let long = json!({ "long": "x".repeat(5_000) }).to_string();
    assert_eq!(send_body("application/json", long).await.problems(409)[0].0, "conflict");
    let file = "--B\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nx\r\n--B--\r\n".to_owned();
    assert_eq!(send_body("multipart/form-data; boundary=B", file).await.problems(409)[0].0, "conflict");
    let broken = send_body("application/json", "{broken".to_owned()).await;
    assert!(broken.text.contains("not JSON"), "{}", broken.text);
    assert_eq!(broken.problems(422)[0].0, "validation_failed");
    assert_eq!(newest(&app, &id).await.0, "rejected", "it stays in the log");
    let form = "application/x-www-form-urlencoded";
    assert_eq!(send_body(form, "a=1&a=2".to_owned()).await.status, 202);
}

#[tokio::test]
async fn a_repetition_after_a_restart_is_still_a_duplicate() {
    let app = TestApp::start().await;
    let (id, path) = source(&app, json!({ "name": "a", "dedupe": "{{ payload.id }}" })).await;
    let first = post(&app, &path, "{\"id\":1}").await.expect(200);
    let app = app.restart().await;
    assert_eq!(post(&app, &path, "{\"id\":1,\"again\":true}").await.expect(200), first);
    assert_eq!(newest(&app, &id).await.0, "duplicate");
    app.clock.advance_ms(86_400_000);
    assert_ne!(post(&app, &path, "{\"id\":1}").await.expect(200), first);
}

#[tokio::test]
async fn a_preview_shows_each_step_and_stores_nothing() {
    let app = TestApp::start().await;
    let hook = app.webhook("http://127.0.0.1:1/", json!({ "events": ["github.*"] })).await;
    let other = app.webhook("http://127.0.0.1:2/", json!({ "events": ["other"] })).await;
    let filter = json!({ "events": ["github.*"], "filter": "payload.action == 'created'" });
    let filtered = app.webhook("http://127.0.0.1:3/", filter).await;
    let preset = json!({ "name": "github", "inputs": { "secret": "s3" } });
    let preview = async |body: Value| app.post("/v1/sources/preview", body).await;
    let body = json!({ "source": { "preset": preset }, "request": { "sample": "github/release" } });
    let shown = preview(body).await.expect(200)["data"].clone();
    let attributes = &shown["attributes"];
    assert_eq!(shown["type"], "source_preview");
    let missing = json!([{"kind":"hmac","ok":false,"reason":"hmac: X-Hub-Signature-256 is missing"}]);
    assert_eq!((&attributes["verify"], &attributes["verified"]), (&missing, &json!(false)));
    assert_eq!(attributes["event_type"], "github.release.published");
    assert_eq!(attributes["summary"]["title"], "Codertocat/Hello-World: release published");
    assert_eq!(attributes["warnings"].as_array().unwrap().len(), 1);
    let webhooks = attributes["webhooks"].as_array().unwrap();
    let is_wanted = |id: &str| webhooks.iter().find(|w| w["id"] == id).unwrap()["wanted"] == true;
    assert!(is_wanted(&hook.id) && !is_wanted(&other.id) && !is_wanted(&filtered.id));

    let given =
        json!({ "method": "POST", "headers": { "X-Kind": "k" }, "query": { "q": "1" }, "body": "{\"a\":1}" });
    let own = json!({ "name": "a", "event_type": "a.{{ headers['x-kind'] }}.{{ query.q }}", "dedupe": "{{ payload.a }}" });
    let shown = preview(json!({ "source": own, "request": given })).await.attributes();
    assert_eq!((&shown["event_type"], &shown["dedupe"]), (&json!("a.k.1"), &json!("1")));
    assert_eq!(shown["payload"], json!({ "a": 1 }));

    let (id, path) = source(&app, json!({ "name": "b" })).await;
    post(&app, &path, "{\"x\":1}").await.expect(200);
    let row = log(&app, &id).await.remove(0);
    let stored = json!({ "source_id": id, "request": { "request_id": row["id"] } });
    assert_eq!(preview(stored).await.attributes()["payload"], json!({ "x": 1 }));
    assert_eq!(log(&app, &id).await.len(), 1);
    let many = |n: usize| (0..n).map(|i| (format!("x{i}"), json!("1"))).collect::<Map<_, _>>();
    for (body, pointer) in [
        (json!({ "request": { "sample": "github/release" } }), "/source"),
        (json!({ "source": { "name": "a" } }), "/request"),
        (json!({ "source": { "name": "a", "event_type": "{{" }, "request": {} }), "/source/event_type"),
        (json!({ "source": { "name": "a" }, "request": { "sample": "no/such" } }), "/request/sample"),
        (json!({ "source": { "name": "a" }, "request": { "body_base64": "?" } }), "/request/body_base64"),
        (json!({ "source": { "name": "a" }, "request": { "request_id": 1 } }), "/request/request_id"),
        (json!({ "source": { "name": "a" }, "request": { "headers": many(101) } }), "/request/headers"),
        (json!({ "source": { "name": "a" }, "request": { "query": many(1_001) } }), "/request/query"),
    ] {
        assert_eq!(preview(body.clone()).await.problems(422)[0].1.as_deref(), Some(pointer), "{body}");
    }
    let broken = json!({ "source": { "name": "a" }, "request": { "headers": { "content-type": "application/json" }, "body": "{" } });
    let shown = preview(broken).await.attributes();
    assert!(
        shown["error"].as_str().unwrap().starts_with("body: is not JSON") && shown["event_type"].is_null()
    );
}

#[tokio::test]
async fn a_preview_of_changes_keeps_the_secrets_of_the_source_and_shows_none() {
    let app = TestApp::start().await;
    let verify = json!([{ "kind": "token", "in": "header", "name": "x-token", "secret": "s3cr3t-7f21" }]);
    let (id, path) = source(&app, json!({ "name": "a", "verify": verify })).await;
    let sent =
        app.client.post(format!("{}{path}", app.base)).header("x-token", "s3cr3t-7f21").body("{\"x\":1}");
    assert_eq!(send(sent).await.status, 200);
    let before = app.get(&format!("/v1/sources/{id}")).await.attributes();
    let masked = before["verify"].clone();
    let request = json!({ "headers": { "X-Token": "s3cr3t-7f21" }, "body": "{\"k\":\"v\"}" });
    let preview = async |source: Value, request: &Value| {
        app.post("/v1/sources/preview", json!({ "source_id": id, "source": source, "request": request }))
            .await
    };
    let changes = json!({ "verify": masked, "event_type": "a.{{ payload.k }}" });
    let shown = preview(changes, &request).await;
    assert!(!shown.text.contains("s3cr3t-7f21"), "{}", shown.text);
    let shown = shown.attributes();
    assert_eq!((&shown["verified"], &shown["event_type"]), (&json!(true), &json!("a.v")));
    // What is not given stays, and other values than the kept one do not hold.
    let wrong = json!({ "headers": { "X-Token": "another" }, "body": "{}" });
    let shown = preview(json!({ "name": "b" }), &wrong).await.attributes();
    assert_eq!((&shown["verified"], &shown["event_type"]), (&json!(false), &json!("b.event")));
    let row = log(&app, &id).await.remove(0);
    let logged = json!({ "request_id": row["id"] });
    let shown = preview(json!({ "dedupe": "{{ payload.x }}" }), &logged).await.attributes();
    assert_eq!(shown["dedupe"], "1");
    for (changes, pointer) in [
        (json!({ "verify": [{ "kind": "slack", "secret": "********" }] }), "/source/verify/0/secret"),
        (json!({ "preset": { "name": "github" } }), "/source/preset"),
        (json!({ "event_type": "{{" }), "/source/event_type"),
    ] {
        assert_eq!(preview(changes, &request).await.problems(422)[0].1.as_deref(), Some(pointer));
    }
    let foreign = json!({ "source_id": uuid::Uuid::nil(), "source": {}, "request": request });
    assert_eq!(app.post("/v1/sources/preview", foreign).await.status, 404);
    assert_eq!(app.get(&format!("/v1/sources/{id}")).await.attributes()["verify"], before["verify"]);
    assert_eq!(log(&app, &id).await.len(), 1, "nothing is stored");
}

#[tokio::test]
async fn requests_are_listed_by_outcome_and_time() {
    let app = TestApp::start().await;
    let (id, path) = source(&app, json!({ "name": "a", "accept": "payload.a" })).await;
    post(&app, &path, "{\"a\":true}").await.expect(200);
    app.clock.advance_ms(60_000);
    post(&app, &path, "{}").await.expect(200);
    let count = async |query: &str| {
        let list = app.get(&format!("/v1/sources/{id}/requests?{query}")).await.expect(200);
        list["data"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 2);
    assert_eq!((count("outcome=ignored").await, count("outcome=rejected").await), (1, 0));
    assert_eq!(count("since=2026-03-01T12:01:00Z").await, 1);
    assert_eq!(count("until=2026-03-01T12:01:00Z").await, 1);
    assert_eq!(count("per_page=1").await, 1);
    let wrong = app.get(&format!("/v1/sources/{id}/requests?outcome=lost")).await;
    assert_eq!(wrong.problems(422)[0].1.as_deref(), Some("outcome"));
    let other = app.app("other").await.to_string();
    let foreign = app.request(Method::GET, &format!("/v1/sources/{id}/requests")).header("x-app-id", other);
    assert_eq!(send(foreign).await.status, 404);
}
