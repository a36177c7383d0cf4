//! Every failure below `/api/v0` has its own form.

use reqwest::Method;
use serde_json::{Value, json};

use super::create;
use crate::support::TestApp;
use crate::support::app::{Answer, json_body, send};

/// Checks the form and gives (message, details).
fn fault(answer: &Answer, status: u16) -> (String, String) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let json = answer.json();
    let names: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(names, ["details", "error", "message", "statusCode"]);
    assert_eq!(json["statusCode"], status);
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    assert!(!text("error").is_empty());
    (text("message"), text("details"))
}

#[tokio::test]
async fn a_webhook_that_is_not_there_is_named() {
    let app = TestApp::start().await;
    let id = "wh_550e8400e29b41d4a716446655440000";
    let expected = json!({
        "statusCode": 404,
        "message": "Webhook not found",
        "error": "Not Found",
        "details": format!("No webhook found with ID: {id}"),
    });
    assert_eq!(app.get(&format!("/api/v0/webhooks/{id}")).await.expect(404), expected);
    for path in ["/api/v0/webhooks/1", "/api/v0/webhooks/wh_x"] {
        assert_eq!(fault(&app.get(path).await, 404).0, "Webhook not found");
    }
}

#[tokio::test]
async fn another_apps_webhook_is_not_there() {
    let app = TestApp::start().await;
    let made = create(&app, json!({ "url": "https://example.com/" })).await;
    app.app("other").await;
    let other = app.key("webhooks:read,webhooks:write", Some("other")).await;
    let path = format!("/api/v0/webhooks/{}", made["id"].as_str().unwrap());
    for method in [Method::GET, Method::DELETE] {
        fault(&send(app.request_as(&other, method, &path)).await, 404);
    }
}

#[tokio::test]
async fn every_kind_of_failure_has_the_form() {
    let app = TestApp::start().await;
    let path = "/api/v0/webhooks";
    fault(&send(app.client.get(format!("{}{path}", app.base))).await, 401);
    let reader = app.key("webhook:read", None).await;
    let post = || app.request_as(&reader, Method::POST, path);
    let (_, details) = fault(&send(json_body(post(), "{}")).await, 403);
    assert!(details.contains("webhooks:write"), "{details}");
    fault(&app.get("/api/v0/nothing").await, 404);
    fault(&app.with_json(Method::PUT, path, json!({})).await, 405);
    let post = |body: &'static str| json_body(app.request(Method::POST, path), body);
    fault(&send(post("{")).await, 400);
    fault(&send(app.request(Method::POST, path).header("content-type", "text/plain").body("x")).await, 415);
    fault(&send(json_body(app.request(Method::POST, path), vec![b' '; 2 << 20])).await, 413);
    let (_, details) = fault(&send(post(r#"{"name":1,"isActive":"yes"}"#)).await, 422);
    assert!(["url", "name", "isActive"].iter().all(|field| details.contains(field)), "{details}");
    let (_, details) = fault(&app.get("/api/v0/webhooks?take=0").await, 422);
    assert!(details.contains("take"), "{details}");
}

#[tokio::test]
async fn too_many_requests_have_the_form_too() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 2).await;
    for _ in 0..2 {
        app.get("/api/v0/webhooks").await.expect(200);
    }
    let answer = app.get("/api/v0/webhooks").await;
    let (_, details) = fault(&answer, 429);
    assert!(details.starts_with("Rate limit exceeded. Try again in "), "{details}");
    assert!(answer.header("retry-after").is_some());
    let _: Value = answer.json();
}
