//! Manual retries: what happens for each status of a delivery (section 1 of the contract).

use super::*;
use crate::support::app::disable_after;

/// A server with one exhausted delivery, and a receiver that responds with 500.
async fn exhausted() -> (TestApp, Receiver, Webhook, Value) {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "exhausted").await;
    (app, receiver, hook, row)
}

#[tokio::test]
async fn an_exhausted_delivery_gets_one_more_attempt() {
    let (app, receiver, hook, row) = exhausted().await;
    // The schedule does not matter.
    patch(&app, &hook, json!({ "retry_schedule": ["1s"] })).await;
    let made = retry(&app, &row).await.expect(202);
    let attributes = &made["data"]["attributes"];
    assert_eq!((&attributes["attempt"], &attributes["trigger"]), (&json!(2), &json!("manual")));
    assert_eq!((&attributes["status"], &attributes["delivery_id"]), (&json!("pending"), &row["id"]));
    assert_eq!(attributes["due_at"], "2026-03-01T12:00:00.000Z");
    let rows = app.rows_when(|rows| statuses(rows) == ["exhausted", "failed"]).await;
    assert_chains(&rows);
    assert_eq!((&rows[0]["id"], &rows[1]["next_retry_at"]), (&made["data"]["id"], &Value::Null));
    app.clock.advance_ms(86_400_000);
    assert_eq!((app.rows().await.len(), receiver.count()), (2, 2), "nothing more is scheduled");

    // Any row may be named, any number of times.
    receiver.reply(Reply::ok());
    retry(&app, &row).await.expect(202);
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(statuses(&rows), ["delivered", "failed", "failed"]);
    assert_chains(&rows);
    assert_eq!(receiver.received()[2].header("x-webhook-attempt"), Some("3"));
}

#[tokio::test]
async fn a_pending_delivery_is_sent_ahead_of_its_time_whatever_the_endpoint_s_status() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply_once(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    let rows = app.rows_when(|rows| rows.len() == 2).await;
    patch(&app, &hook, json!({ "status": "paused" })).await;
    // Any row of the delivery may be named; the answer is the row that is pending.
    let now = retry(&app, &rows[1]).await.expect(202);
    let attributes = &now["data"]["attributes"];
    assert_eq!((&now["data"]["id"], &attributes["trigger"]), (&rows[0]["id"], &json!("retry")));
    assert_eq!(attributes["due_at"], "2026-03-01T12:00:00.000Z");
    let rows = app.rows_when(|rows| statuses(rows) == ["delivered", "failed"]).await;
    assert_chains(&rows);
}

#[tokio::test]
async fn a_delivery_in_flight_is_a_conflict() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    let hold = receiver.hold();
    app.post_event("a.b", json!(1)).await;
    receiver.next().await;
    let rows = app.rows().await;
    assert_eq!(retry(&app, &rows[0]).await.problems(409)[0].0, "conflict");
    hold.release();
    app.rows_when(|rows| statuses(rows) == ["delivered"]).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn retrying_a_delivered_delivery_makes_a_new_one() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["1s"] })).await;
    let event = app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    receiver.reply(Reply::status(500));
    let made = retry(&app, &row).await.expect(202);
    let attributes = &made["data"]["attributes"];
    assert_eq!((&attributes["attempt"], &attributes["trigger"]), (&json!(1), &json!("manual")));
    assert_eq!(attributes["delivery_id"], made["data"]["id"]);
    assert_eq!(attributes["event_id"], event.as_str());
    let rows = app.rows_when(|rows| statuses(rows) == ["exhausted", "delivered"]).await;
    assert_chains(&rows);
    let ids: Vec<_> =
        receiver.received().iter().map(|r| r.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(ids, [event.clone(), event]);
    // The new delivery is independent of the old one.
    receiver.reply(Reply::ok());
    retry(&app, &rows[0]).await.expect(202);
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(statuses(&rows), ["delivered", "failed", "delivered"]);
    assert_chains(&rows);
}

#[tokio::test]
async fn retrying_a_cancelled_delivery_makes_a_new_one_although_the_endpoint_is_disabled() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply_once(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2).await;
    patch(&app, &hook, json!({ "status": "disabled" })).await;
    let row = app.row_when(|row| row["status"] == "cancelled").await;
    let made = retry(&app, &row).await.expect(202);
    assert_eq!(made["data"]["attributes"]["attempt"], 1);
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(statuses(&rows), ["delivered", "cancelled", "failed"]);
    assert_chains(&rows);
    assert_eq!(app.webhook_attributes(&hook.id).await["status"], "disabled");
}

#[tokio::test]
async fn a_manual_retry_is_sent_at_once_to_paused_and_disabled_endpoints_and_keeps_their_status() {
    for status in ["paused", "disabled"] {
        for answer in [200, 410, 500] {
            let (app, receiver, hook, row) = exhausted().await;
            patch(&app, &hook, json!({ "status": status })).await;
            receiver.reply(Reply::status(answer));
            retry(&app, &row).await.expect(202);
            let rows = app.rows_when(|rows| rows[0]["response_status"] == answer).await;
            assert_eq!(rows[0]["status"], if answer == 200 { "delivered" } else { "exhausted" });
            assert_chains(&rows);
            assert_eq!(app.webhook_attributes(&hook.id).await["status"], status);
        }
    }
}

#[tokio::test]
async fn a_failed_manual_retry_does_not_disable_an_active_endpoint() {
    let app = TestApp::with(|config| disable_after(config, 2)).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(1)).await;
    for n in 1..4 {
        let rows = app.rows_when(|rows| rows.len() == n && rows[0]["status"] == "exhausted").await;
        retry(&app, &rows[0]).await.expect(202);
    }
    app.rows_when(|rows| rows.len() == 4 && rows[0]["status"] == "exhausted").await;
    assert_eq!(app.webhook_attributes(&hook.id).await["status"], "active");
}

#[tokio::test]
async fn a_deleted_endpoint_is_a_conflict_and_an_unknown_row_is_not_found() {
    let (app, _receiver, hook, row) = exhausted().await;
    app.delete(&format!("/v1/webhooks/{}", hook.id)).await.expect(204);
    assert_eq!(retry(&app, &row).await.problems(409)[0].0, "conflict");
    assert_eq!(retry(&app, &json!({ "id": 999_999 })).await.problems(404)[0].0, "not_found");
}

#[tokio::test]
async fn a_single_shot_survives_a_restart_before_it_was_sent() {
    let (app, receiver, _hook, row) = exhausted().await;
    let hold = receiver.hold();
    retry(&app, &row).await.expect(202);
    receiver.next_n(2).await;
    let stopped = app.stop_within(std::time::Duration::ZERO).await;
    receiver.reply(Reply::ok());
    hold.release();
    let app = stopped.start().await;
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(statuses(&rows), ["delivered", "failed", "failed"]);
    let told: Vec<_> = rows.iter().map(|row| (&row["trigger"], &row["error_kind"])).collect();
    assert_eq!(told[0].0, "manual");
    assert_eq!(told[1], (&json!("manual"), &json!("interrupted")));
    assert_chains(&rows);
}
