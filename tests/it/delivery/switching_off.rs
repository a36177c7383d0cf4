//! Endpoints that are disabled because they fail, and those that a person pauses, disables or deletes.

use super::*;
use crate::support::app::{disable_after, never_disable};

async fn fail_times(app: &TestApp, n: usize) {
    for i in 0..n {
        app.post_event("a.b", json!(i)).await;
    }
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
}

async fn status(app: &TestApp, hook: &Webhook) -> (String, i64, Value) {
    let now = app.webhook_attributes(&hook.id).await;
    let status = now["status"].as_str().unwrap().to_owned();
    (status, now["consecutive_failures"].as_i64().unwrap(), now["status_reason"].clone())
}

#[tokio::test]
async fn the_failure_that_reaches_the_limit_disables_the_endpoint_and_emits_an_event() {
    let app = TestApp::with(|config| disable_after(config, 3)).await;
    let (receiver, watcher, other) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    receiver.reply(Reply::status(500));
    let fields = json!({ "events": ["a.*", "webhook_endpoint.*"] });
    let hook = app.webhook(&receiver.url("/path?token=t0ken"), fields).await;
    app.webhook(&watcher.url("/"), json!({ "events": ["webhook_endpoint.*"] })).await;
    app.webhook(&other.url("/"), json!({ "events": ["*"] })).await;
    app.post_event("a.b", json!(1)).await;
    // The first attempt, and two retries.
    for (attempt, ms) in [(2, 120_000), (3, 480_000)] {
        app.row_when(|row| row["status"] == "pending" && row["attempt"] == attempt).await;
        app.clock.advance_ms(ms);
    }
    let failing = watcher.next().await;
    assert_eq!(failing.header("x-webhook-event"), Some("webhook_endpoint.failing"), "half of the failures");
    let data = failing.json()["data"].clone();
    assert_eq!((&data["state"], &data["consecutive_failures"]), (&json!("failing"), &json!(2)));
    let told = watcher.next().await;
    assert_eq!(told.header("x-webhook-event"), Some("webhook_endpoint.disabled"));
    let told = told.json();
    assert_eq!(
        (&told["data"]["endpoint_id"], &told["data"]["webhook_id"]),
        (&json!(hook.id), &json!(hook.id))
    );
    assert_eq!(told["data"]["consecutive_failures"], 3);
    assert!(!told.to_string().contains("t0ken"));

    let rows = app.rows_of(&format!("/v1/webhooks/{}/deliveries", hook.id)).await;
    assert_eq!(statuses(&rows), ["exhausted", "failed", "failed"]);
    assert_chains(&rows);
    let reason = json!("Disabled after 3 failed attempts in a row.");
    assert_eq!(status(&app, &hook).await, ("disabled".to_owned(), 3, reason));
    let entries = app.server().store().activity_recent(100).await.unwrap();
    let entry = entries.iter().find(|e| e.kind == postrider::domain::ActivityKind::EndpointDisabled);
    assert!(entry.unwrap().details.to_string().contains(&hook.id));

    // `*` does not match system events, and a disabled endpoint gets no new events.
    let before = receiver.count();
    app.post_event("a.b", json!(2)).await;
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    let seen = other.received();
    let seen: Vec<_> = seen.iter().map(|r| r.header("x-webhook-event").unwrap()).collect();
    assert_eq!((seen, receiver.count()), (vec!["a.b", "a.b"], before));
}

#[tokio::test]
async fn a_410_disables_at_once_and_cancels_what_is_pending() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply_once(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2).await;
    receiver.reply_once(Reply::status(410));
    app.post_event("a.b", json!(2)).await;
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    assert_eq!(statuses(&rows), ["exhausted", "cancelled", "failed"]);
    assert_chains(&rows);
    assert!(rows.iter().all(|row| row["next_retry_at"].is_null() && row["due_at"].is_null()), "{rows:#?}");
    let reason = json!("Disabled because the receiver answered 410 Gone.");
    assert_eq!(status(&app, &hook).await, ("disabled".to_owned(), 2, reason));
    app.clock.advance_ms(86_400_000);
    app.post_event("a.b", json!(3)).await;
    assert_eq!((receiver.count(), app.rows().await.len()), (2, 3));
}

#[tokio::test]
async fn a_2xx_clears_the_counter_and_a_test_does_not_touch_it() {
    let app = TestApp::with(|config| disable_after(config, 3)).await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    let path = format!("/v1/webhooks/{}/test", hook.id);
    let test = || app.post(&path, json!({}));
    receiver.reply(Reply::status(500));
    fail_times(&app, 2).await;
    for _ in 0..3 {
        test().await.expect(200);
    }
    assert_eq!(status(&app, &hook).await, ("active".to_owned(), 2, Value::Null));
    receiver.reply(Reply::ok());
    test().await.expect(200);
    assert_eq!(status(&app, &hook).await.1, 2, "a test that succeeds clears nothing");
    fail_times(&app, 1).await;
    assert_eq!(status(&app, &hook).await.1, 0);
    receiver.reply(Reply::status(500));
    fail_times(&app, 2).await;
    assert_eq!(status(&app, &hook).await.0, "active");
}

#[tokio::test]
async fn a_limit_of_zero_never_disables() {
    let app = TestApp::with(never_disable).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    fail_times(&app, 25).await;
    assert_eq!(status(&app, &hook).await, ("active".to_owned(), 25, Value::Null));
}

#[tokio::test]
async fn deliveries_of_a_paused_endpoint_stay_pending_until_it_is_resumed() {
    let app = TestApp::start().await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    receiver.reply_once(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| statuses(rows) == ["pending", "failed"]).await;
    patch(&app, &hook, json!({ "status": "paused" })).await;
    app.post_event("a.b", json!(2)).await;
    // The retry comes due; a delivery to another endpoint shows that the dispatcher has had its turn.
    app.clock.advance_ms(120_000);
    app.webhook(&other.url("/"), json!({})).await;
    app.post_event("a.b", json!(3)).await;
    other.next().await;
    let rows = app.rows_when(|rows| rows.iter().any(|row| row["status"] == "delivered")).await;
    assert_eq!(rows.iter().filter(|row| row["status"] == "pending").count(), 3);
    assert_eq!(receiver.count(), 1);
    let app = app.restart().await;
    app.post_event("a.b", json!(4)).await;
    other.next().await;
    assert_eq!(receiver.count(), 1);
    let waiting = app.rows().await.iter().filter(|row| row["endpoint_id"] == hook.id).count();
    assert_eq!(waiting, 5, "four events, one of them with a retry");
}

#[tokio::test]
async fn resuming_sends_pending_deliveries_in_order_and_at_once() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "status": "paused" })).await;
    for n in 0..5 {
        app.post_event("a.b", json!(n)).await;
    }
    assert_eq!(receiver.count(), 0);
    patch(&app, &hook, json!({ "status": "active" })).await;
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] == "delivered")).await;
    assert_eq!(rows.len(), 5);
    assert_eq!(receiver.next().await.json(), 0, "the oldest first");
}

#[tokio::test]
async fn pausing_and_resuming_repeatedly_loses_nothing() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    for n in 0..20 {
        patch(&app, &hook, json!({ "status": "paused" })).await;
        app.post_event("a.b", json!(n)).await;
        patch(&app, &hook, json!({ "status": "active" })).await;
        // The clock stands still, so no poll can make up for a lost hint.
        app.rows_when(|rows| rows.len() == n + 1 && rows[0]["status"] == "delivered").await;
    }
}

#[tokio::test]
async fn disabling_cancels_pending_deliveries_and_enabling_clears_the_counter() {
    let app = TestApp::with(|config| disable_after(config, 2)).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2).await;
    let now = patch(&app, &hook, json!({ "status": "disabled" })).await;
    assert_eq!((&now["status"], &now["status_reason"]), (&json!("disabled"), &Value::Null));
    let rows = app.rows_when(|rows| rows[0]["status"] == "cancelled").await;
    assert_eq!(statuses(&rows), ["cancelled", "failed"]);
    assert_chains(&rows);
    let posted = app.post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await.expect(202);
    assert_eq!(posted["data"]["attributes"]["deliveries"], 0);

    patch(&app, &hook, json!({ "status": "active" })).await;
    assert_eq!(status(&app, &hook).await, ("active".to_owned(), 0, Value::Null));
    app.post_event("a.b", json!(3)).await;
    app.rows_when(|rows| statuses(rows)[..2] == ["pending", "failed"]).await;
    assert_eq!(status(&app, &hook).await.1, 1);
    app.clock.advance_ms(120_000);
    app.rows_when(|rows| rows[0]["status"] == "exhausted").await;
    assert_eq!(status(&app, &hook).await.0, "disabled");
    patch(&app, &hook, json!({ "status": "active" })).await;
    assert_eq!(status(&app, &hook).await, ("active".to_owned(), 0, Value::Null));
}

#[tokio::test]
async fn deleting_cancels_pending_deliveries_and_keeps_the_log() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "name": "gone" })).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2).await;
    assert_eq!(app.delete(&format!("/v1/webhooks/{}", hook.id)).await.status, 204);
    let rows = app.rows_when(|rows| rows[0]["status"] == "cancelled").await;
    assert_chains(&rows);
    assert_eq!((&rows[0]["endpoint_name"], &rows[1]["next_retry_at"]), (&json!("gone"), &Value::Null));
    app.clock.advance_ms(120_000);
    assert_eq!(app.get(&format!("/v1/webhooks/{}/deliveries", hook.id)).await.status, 404);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn the_result_of_a_request_in_flight_is_logged_after_its_endpoint_is_deleted() {
    for (answer, expected) in [(Reply::ok(), "delivered"), (Reply::status(500), "exhausted")] {
        for disable in [false, true] {
            let app = TestApp::start().await;
            let receiver = Receiver::start().await;
            receiver.reply(answer.clone());
            let hook = app.webhook(&receiver.url("/"), json!({})).await;
            let hold = receiver.hold();
            app.post_event("a.b", json!(1)).await;
            receiver.next().await;
            if disable {
                patch(&app, &hook, json!({ "status": "disabled" })).await;
            } else {
                app.delete(&format!("/v1/webhooks/{}", hook.id)).await.expect(204);
            }
            hold.release();
            let rows = app.rows_when(|rows| rows[0]["response_status"].is_number()).await;
            assert_eq!(statuses(&rows), [expected]);
        }
    }
}
