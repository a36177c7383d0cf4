//! `/v1/webhooks/{id}/verification` and `…/verify`.

use serde_json::{Value, json};

use super::assert_invalid;
use crate::support::app::Webhook;
use crate::support::receiver::Received;
use crate::support::{Receiver, TestApp};

/// A request as a receiver would paste it.
fn pasted(got: &Received) -> Value {
    let headers: serde_json::Map<String, Value> =
        got.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({ "headers": headers, "body": String::from_utf8_lossy(&got.body) })
}

async fn verify(app: &TestApp, hook: &Webhook, body: Value) -> Value {
    let answer = app.post(&format!("/v1/webhooks/{}/verify", hook.id), body).await;
    assert!(!answer.text.contains(&hook.secret[6..]), "no secret is told");
    let answer = answer.expect(200);
    assert_eq!(answer["data"]["type"], "webhook_verification_result");
    answer["data"]["attributes"].clone()
}

/// The reasons of all checks.
fn reasons(result: &Value) -> Vec<&str> {
    let checks = result["checks"].as_array().unwrap().iter();
    let reasons: Vec<&str> = checks.map(|check| check["reason"].as_str().unwrap_or("valid")).collect();
    assert_eq!(result["valid"], json!(reasons.iter().all(|reason| *reason == "valid")), "{result:#}");
    reasons
}

#[tokio::test]
async fn what_a_receiver_saw_is_judged() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!({ "b": 1.0, "a": "é" })).await;
    let genuine = pasted(&receiver.next().await);
    app.row_when(|row| row["status"] == "delivered").await;

    assert_eq!(reasons(&verify(&app, &hook, genuine.clone()).await), ["valid", "valid"]);
    let mut rewritten = genuine.clone();
    rewritten["body"] = json!("{\"a\": \"\\u00e9\", \"b\": 1}");
    let result = verify(&app, &hook, rewritten).await;
    assert_eq!(reasons(&result), ["body_reserialised"; 2]);
    assert_eq!(
        (&result["scheme"], &result["reason"]),
        (&json!("standard_webhooks"), &json!("body_reserialised"))
    );
    let mut other = genuine.clone();
    other["body"] = json!("{}");
    assert_eq!(reasons(&verify(&app, &hook, other).await), ["body_changed"; 2]);
    let nothing = json!({ "headers": { "accept": "*/*" }, "body": "" });
    assert_eq!(reasons(&verify(&app, &hook, nothing).await), ["header_missing"]);
    let mut unstamped = genuine.clone();
    unstamped["headers"].as_object_mut().unwrap().remove("webhook-timestamp");
    assert_eq!(reasons(&verify(&app, &hook, unstamped).await), ["header_missing", "valid"]);
    let mut forged = genuine.clone();
    forged["headers"]["webhook-signature"] = json!(format!("v1,{}=", "A".repeat(43)));
    forged["headers"]["x-webhook-signature"] = json!([format!("sha256={}", "0".repeat(64))]);
    assert_eq!(reasons(&verify(&app, &hook, forged).await), ["wrong_secret"; 2]);

    let received_at = postrider::host::clock::Clock::now(&*app.clock).to_string();
    app.clock.advance_ms(301_000);
    assert_eq!(
        reasons(&verify(&app, &hook, genuine.clone()).await),
        ["timestamp_outside_tolerance", "valid"]
    );
    let mut dated = genuine;
    dated["received_at"] = json!(received_at);
    assert_eq!(reasons(&verify(&app, &hook, dated).await), ["valid", "valid"]);
}

#[tokio::test]
async fn rotated_out_secrets_and_other_webhooks_are_recognised() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/first"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    let genuine = pasted(&receiver.next().await);
    app.row_when(|row| row["status"] == "delivered").await;
    let other = app.webhook(&receiver.url("/second"), json!({})).await;
    let result = verify(&app, &other, genuine.clone()).await;
    assert_eq!(reasons(&result), ["other_webhook"; 2]);
    assert!(result["detail"].as_str().unwrap().contains(&hook.id));

    let rotate = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    app.post(&rotate, json!({ "overlap": "1m" })).await.expect(200);
    assert_eq!(reasons(&verify(&app, &hook, genuine.clone()).await), ["valid", "old_secret"]);
    app.clock.advance_ms(60_000);
    assert_eq!(reasons(&verify(&app, &hook, genuine.clone()).await), ["old_secret"; 2]);
    // Now the old secret is gone; the log still knows the request.
    app.post(&rotate, json!({ "overlap": "0s" })).await.expect(200);
    assert_eq!(reasons(&verify(&app, &hook, genuine).await), ["old_secret"; 2]);
}

#[tokio::test]
async fn an_encrypted_body_is_verified_before_it_is_decrypted() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "encrypted": true })).await;
    app.post_event("a.b", json!({ "n": 1 })).await;
    let genuine = pasted(&receiver.next().await);
    app.row_when(|row| row["status"] == "delivered").await;
    assert_eq!(reasons(&verify(&app, &hook, genuine.clone()).await), ["valid", "valid"]);
    let mut decrypted = genuine;
    decrypted["body"] = json!("{\"n\":1}");
    assert_eq!(reasons(&verify(&app, &hook, decrypted).await), ["body_decrypted"; 2]);

    let attributes = app.get(&format!("/v1/webhooks/{}/verification", hook.id)).await.attributes();
    assert_eq!(attributes["encryption"]["enc"], "A256GCM");
    let snippets = attributes["snippets"].as_array().unwrap();
    assert!(snippets.iter().any(|s| s["title"] == "Decrypt the body" && s["language"] == "node"));
}

#[tokio::test]
async fn a_test_can_be_verified_like_an_event() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post(&format!("/v1/webhooks/{}/test", hook.id), json!({})).await.expect(200);
    let mut rewritten = pasted(&receiver.next().await);
    assert_eq!(reasons(&verify(&app, &hook, rewritten.clone()).await), ["valid", "valid"]);
    rewritten["body"] = json!(format!(" {}", rewritten["body"].as_str().unwrap()));
    assert_eq!(reasons(&verify(&app, &hook, rewritten).await), ["body_reserialised"; 2]);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_at_once() {
    let app = TestApp::start().await;
    let hook = app.webhook("https://example.com/", json!({})).await;
    let path = format!("/v1/webhooks/{}/verify", hook.id);
    assert_invalid(&app.post(&path, json!({})).await, vec!["/body", "/headers"]);
    let bad =
        json!({ "headers": { "a": 1, "B": "x", "b": "y" }, "body": {}, "received_at": "noon", "bodi": 1 });
    let sources = vec!["/headers/a", "/headers/b", "/body", "/received_at", "/bodi"];
    assert_invalid(&app.post(&path, bad).await, sources);
}

#[tokio::test]
async fn verification_names_the_configured_headers() {
    let app = TestApp::with(|c| c.signing.headers = vec!["X-Signature-MexCep".to_owned()]).await;
    let hook = app.webhook("https://example.com/", json!({})).await;
    let answer = app.get(&format!("/v1/webhooks/{}/verification", hook.id)).await;
    assert!(!answer.text.contains("whsec_MfK") && !answer.text.contains(&hook.secret[6..]));
    let data = answer.expect(200)["data"].clone();
    assert_eq!((&data["type"], &data["id"]), (&json!("webhook_verification"), &json!(hook.id)));
    let headers = json!(["webhook-id", "webhook-timestamp", "webhook-signature", "X-Signature-MexCep"]);
    assert_eq!(data["attributes"]["headers"], headers);
    let languages: Vec<&str> = data["attributes"]["snippets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["language"].as_str().unwrap())
        .collect();
    for language in ["bash", "python", "node", "php", "go", "rust", "csharp"] {
        assert_eq!(
            languages.iter().filter(|l| **l == language).count(),
            if language == "bash" { 3 } else { 2 }
        );
    }
}

#[tokio::test]
async fn the_request_to_verify_has_limits() {
    let app = TestApp::start().await;
    let hook = app.webhook("http://127.0.0.1:9/", json!({})).await;
    let path = format!("/v1/webhooks/{}/verify", hook.id);
    let headers = |n: usize| -> serde_json::Map<String, Value> {
        (0..n).map(|i| (format!("x-{i}"), json!("y"))).collect()
    };
    app.post(&path, json!({ "headers": headers(100), "body": "" })).await.expect(200);
    let refused = app.post(&path, json!({ "headers": headers(101), "body": "" })).await;
    assert_eq!(refused.problems(422), [("validation_failed".to_owned(), Some("/headers".to_owned()))]);
    let large = json!({ "headers": {}, "body": "x".repeat(400_000) });
    assert_eq!(app.post(&path, large).await.status, 413);
}

#[tokio::test]
async fn a_sixth_secret_with_an_overlap_needs_end_oldest() {
    let app = TestApp::start().await;
    let hook = app.webhook("http://127.0.0.1:9/", json!({})).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    for _ in 0..4 {
        app.post(&path, json!({ "overlap": "1h" })).await.expect(200);
    }
    let refused = app.post(&path, json!({ "overlap": "1h" })).await;
    assert!(refused.text.contains("end_oldest"), "{refused:?}");
    refused.problems(409);
    app.post(&path, json!({ "overlap": "1h", "end_oldest": true })).await.expect(200);
    app.post(&path, json!({ "overlap": "0s" })).await.expect(200);
    app.post(&path, json!({ "overlap": "1h" })).await.expect(200);
}
