//! What belongs to another app: every operation of the document that takes an id is called with one of
//! another app's, so that a new operation is tried without anybody thinking of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Receiver, TestApp};

#[tokio::test]
async fn nothing_of_another_app_is_there_by_its_id() {
    let receiver = Receiver::start().await;
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["*"] })).await;
    let event = app.post_event("license.assigned", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let job = app.post(&format!("/v1/events/{event}/replay"), json!({})).await.expect(202);
    app.rows_when(|rows| rows.len() == 2 && rows.iter().all(|row| row["status"] == "delivered")).await;
    let before = app.get("/v1/webhooks").await.text;
    let source = app.post("/v1/sources", json!({ "name": "theirs" })).await.expect(201)["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    app.app("other").await;
    let theirs = app.key("admin", Some("other")).await;
    let document = app.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let id = match path {
            p if p.contains("/deliveries/{id}") => row["id"].to_string(),
            p if p.contains("/webhooks/{id}") => hook.id.clone(),
            p if p.contains("/events/{id}") => event.clone(),
            p if p.contains("/jobs/{id}") => job["data"]["id"].as_str().unwrap().to_owned(),
            // Recipes belong to nobody.
            p if p.contains("/gallery/") => continue,
            p if p.contains("/sources/{id}") => source.clone(),
            p if p.contains('{') => panic!("{p}: say whose id this takes"),
            _ => continue,
        };
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            let mut target = path.replace("{id}", &id).replace("{n}", "1");
            if target.ends_with("/export") {
                target.push_str("?format=csv");
            }
            let mut request = app.request_as(&theirs, method.clone(), &target);
            if !example.is_null() {
                request = request.header("content-type", "application/json").body(example.to_string());
            }
            let answer = crate::support::app::send(request).await;
            assert_eq!(answer.problems(404)[0].0, "not_found", "{method} {target}");
            tried += 1;
        }
    }
    assert!(tried >= 18, "{tried}");
    let id = format!("wh_{}", hook.id.replace('-', ""));
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let request = app.request_as(&theirs, method, &format!("/api/v0/webhooks/{id}"));
        let request = request.header("content-type", "application/json").body("{}");
        assert_eq!(crate::support::app::send(request).await.status, 404);
    }
    let lists = ["/v1/webhooks", "/v1/webhooks/deliveries", "/v1/events", "/v1/jobs", "/v1/event-types"];
    for list in lists {
        let answer = crate::support::app::send(app.request_as(&theirs, Method::GET, list)).await;
        assert_eq!(answer.expect(200)["data"], Value::Array(vec![]), "{list}");
    }
    assert_eq!(app.get("/v1/webhooks").await.text, before, "and nothing was changed by trying");
}
