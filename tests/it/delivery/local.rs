//! Trouble of this machine delays deliveries, and counts against no receiver.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::support::app::disable_after;

#[tokio::test]
async fn a_local_failure_leaves_the_attempt_pending_and_counts_nowhere() {
    let receiver = Receiver::start().await;
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let lookup = move |_: &str| -> std::io::Result<Vec<IpAddr>> {
        if down.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("Temporary failure in name resolution"));
        }
        Ok(vec![[127, 0, 0, 1].into()])
    };
    let app = TestApp::with_lookup(|config| disable_after(config, 1), lookup).await;
    let webhook = app.webhook(&receiver.url_as("hooks.example", "/"), json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["error_kind"] == "local").await;
    assert_eq!((&row["status"], &row["attempt"]), (&json!("pending"), &json!(1)));
    assert_eq!(row["due_at"], "2026-03-01T12:00:01.000Z");
    assert!(row["error_message"].as_str().unwrap().contains("does not resolve at the moment"), "{row}");
    app.clock.advance_ms(1_000);
    let row = app.row_when(|row| row["due_at"] == "2026-03-01T12:00:02.000Z").await;
    assert_eq!(row["status"], "pending", "no retry is used up, and the webhook is not disabled");
    assert_eq!(app.webhook_attributes(&webhook.id).await["consecutive_failures"], 0);
    is_down.store(false, Ordering::SeqCst);
    app.clock.advance_ms(1_000);
    let row = app.row_when(|row| row["status"] == "delivered").await;
    assert_eq!(
        (&row["attempt"], &row["error_kind"], &row["trigger"]),
        (&json!(1), &Value::Null, &json!("event"))
    );
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_test_that_fails_locally_says_so() {
    let lookup = |_: &str| -> std::io::Result<Vec<IpAddr>> {
        Err(std::io::Error::other("Temporary failure in name resolution"))
    };
    let app = TestApp::with_lookup(|_| {}, lookup).await;
    let webhook = app.webhook("http://hooks.example/", json!({})).await;
    let path = format!("/v1/webhooks/{}/test", webhook.id);
    let result = app.post(&path, json!({})).await.attributes();
    assert_eq!(result["delivered"], false);
    assert!(result["error"].as_str().unwrap().contains("at the moment"), "{result}");
}
