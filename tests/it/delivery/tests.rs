//! Test deliveries (`POST /v1/webhooks/{id}/test`).

use super::*;

async fn test(app: &TestApp, hook: &Webhook, body: Value) -> Value {
    let path = format!("/v1/webhooks/{}/test", hook.id);
    app.post(&path, body).await.expect(200)["data"]["attributes"].clone()
}

#[tokio::test]
async fn a_test_is_sent_at_once_in_every_status_and_changes_nothing() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["license.*"] })).await;
    for status in ["active", "paused", "disabled"] {
        let before = patch(&app, &hook, json!({ "status": status })).await;
        for answer in [200, 410, 500] {
            receiver.reply(Reply::status(answer));
            let result = test(&app, &hook, json!({})).await;
            assert_eq!(result["delivered"], answer == 200);
            assert_eq!(result["http_status"], answer);
            assert!(result["response_time_ms"].is_number());
            assert_eq!(result["error"].is_null(), answer == 200, "{result}");
            let got = receiver.next().await;
            assert_eq!(got.header("x-webhook-event"), Some("webhook.test"));
        }
        assert_eq!(app.webhook_attributes(&hook.id).await, before);
    }
    let rows = app.rows().await;
    assert_eq!(rows.len(), 9);
    assert!(rows.iter().all(|row| row["trigger"] == "test" && row["attempt"] == 1));
    assert_chains(&rows);
    assert_eq!(app.get("/v1/events").await.expect(200)["data"], json!([]), "they are not events of the app");
}

#[tokio::test]
async fn a_test_takes_an_event_type_and_tells_when_nobody_is_there() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    test(&app, &hook, json!({ "event_type": "license.assigned" })).await;
    assert_eq!(receiver.next().await.header("x-webhook-event"), Some("license.assigned"));
    drop(receiver);
    let hostile = Hostile::closes_at_once().await;
    patch(&app, &hook, json!({ "url": hostile.url("/") })).await;
    let result = test(&app, &hook, json!({})).await;
    assert_eq!((&result["delivered"], &result["http_status"]), (&json!(false), &Value::Null));
    assert!(result["error"].is_string(), "{result}");
}

#[tokio::test]
async fn a_test_that_is_sent_again_still_counts_nowhere() {
    let app = TestApp::with(|config| config.delivery.disable_after_failures = 1).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    test(&app, &hook, json!({})).await;
    let row = app.row_when(|row| row["trigger"] == "test").await;
    retry(&app, &row).await.expect(202);
    app.rows_when(|rows| statuses(rows) == ["exhausted", "failed"]).await;
    let now = app.webhook_attributes(&hook.id).await;
    assert_eq!((&now["status"], &now["consecutive_failures"]), (&json!("active"), &json!(0)));
}
