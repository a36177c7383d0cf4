//! The rules of delivery (section 8 of the contract), through the whole server.

use serde_json::json;

use crate::support::{Receiver, Reply, TestApp};

#[tokio::test]
async fn an_event_arrives_signed_and_byte_for_byte() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/hook?x=1"), json!({ "events": ["license.*"] })).await;
    let payload = "{ \"z\": 1.0,\n  \"a\": 12345678901234567890123 , \"é\":\"\\u00e9\" }";
    let body = format!("{{\"event_type\":\"license.assigned\",\"payload\":{payload}}}");
    let posted = crate::support::app::send(crate::support::app::json_body(
        app.request(reqwest::Method::POST, "/v1/events"),
        body,
    ))
    .await
    .expect(202);

    let got = receiver.next().await;
    assert_eq!(got.body, payload.as_bytes());
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/hook?x=1"));
    assert_eq!(got.header("webhook-id"), posted["data"]["id"].as_str());
    let _ = hook;
}

#[tokio::test]
async fn a_failure_is_retried_on_schedule() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["2m", "8m"] })).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2 && rows[0]["status"] == "pending").await;
    app.clock.advance_ms(120_000);
    app.rows_when(|rows| rows.len() == 3 && rows[0]["status"] == "pending").await;
    receiver.reply(Reply::ok());
    app.clock.advance_ms(480_000);
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    let statuses: Vec<_> = rows.iter().map(|r| r["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["delivered", "failed", "failed"]);
}
