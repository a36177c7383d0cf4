//! What an orderly stop does with requests in flight.

use std::time::Duration;

use super::*;
use crate::support::app::disable_after;

/// Never reached unless something hangs.
const LONG: Duration = Duration::from_secs(25);

#[tokio::test]
async fn a_request_in_flight_finishes_and_is_not_sent_again() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    let hold = receiver.hold();
    app.post_event("a.b", json!(1)).await;
    receiver.next().await;
    let stopping = tokio::spawn(app.stop_within(LONG));
    hold.release();
    let app = in_time("the stop", stopping).await.unwrap().start().await;
    assert_eq!(statuses(&app.rows().await), ["delivered"]);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_client_that_waits_for_a_test_gets_its_response() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let hold = receiver.hold();
    let request = app.request(Method::POST, &format!("/v1/webhooks/{}/test", hook.id));
    let test = tokio::spawn(send(json_body(request, "{}")));
    receiver.next().await;
    let stopping = tokio::spawn(app.stop_within(LONG));
    hold.release();
    assert_eq!(
        in_time("the answer", test).await.unwrap().expect(200)["data"]["attributes"]["delivered"],
        true
    );
    let app = in_time("the stop", stopping).await.unwrap().start().await;
    assert_eq!(statuses(&app.rows().await), ["delivered"], "and it is in the log");
}

#[tokio::test]
async fn an_interrupted_attempt_does_not_count_and_is_retried_at_once() {
    let app = TestApp::with(|config| disable_after(config, 1)).await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["1h"] })).await;
    let hold = receiver.hold();
    app.post_event("a.b", json!(1)).await;
    receiver.next().await;
    let stopped = app.stop_within(Duration::ZERO).await;
    receiver.reply(Reply::status(500));
    hold.release();

    let app = stopped.start().await;
    let rows = app.rows_when(|rows| rows[0]["status"] == "exhausted").await;
    assert_eq!(statuses(&rows), ["exhausted", "failed"]);
    assert_chains(&rows);
    let first = &rows[1];
    assert_eq!((&first["error_kind"], &first["response_status"]), (&json!("interrupted"), &Value::Null));
    assert_eq!(first["attempted_at"], "2026-03-01T12:00:00.000Z");
    assert_eq!(rows[0]["created_at"], "2026-03-01T12:00:00.000Z", "no time has passed");
    // One failure and not two: only the second attempt counts.
    assert_eq!(app.webhook_attributes(&hook.id).await["consecutive_failures"], 1);
}

#[tokio::test]
async fn an_interrupted_attempt_is_logged_as_it_was_sent() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/hook"), json!({})).await;
    let hold = receiver.hold();
    app.post_event("a.b", json!({ "n": 1 })).await;
    let got = receiver.next().await;
    let stopped = app.stop_within(Duration::ZERO).await;
    hold.release();

    let app = stopped.start().await;
    let row = app.row_when(|row| row["error_kind"] == "interrupted").await;
    let path = format!("/v1/webhooks/deliveries/{}", row["id"]);
    let detail = app.get(&path).await.attributes();
    let request = &detail["request"];
    assert_eq!(request["url"], receiver.url("/hook"), "{detail}");
    assert_eq!(request["headers"]["webhook-signature"], got.header("webhook-signature").unwrap());
    assert_eq!(request["body"], json!({ "n": 1 }).to_string());
    assert_eq!(detail["response"], Value::Null);
    assert_eq!(detail["attempted_at"], "2026-03-01T12:00:00.000Z");
}

#[tokio::test]
async fn an_interrupted_attempt_uses_up_no_step_of_the_schedule() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["1h"] })).await;
    let hold = receiver.hold();
    app.post_event("a.b", json!(1)).await;
    receiver.next().await;
    let stopped = app.stop_within(Duration::ZERO).await;
    receiver.reply(Reply::status(500));
    hold.release();
    let app = stopped.start().await;
    let rows = app.rows_when(|rows| rows.len() == 3).await;
    assert_eq!(statuses(&rows), ["pending", "failed", "failed"]);
    assert_eq!(rows[0]["due_at"], "2026-03-01T13:00:00.000Z");
    assert_eq!(app.webhook_attributes(&hook.id).await["consecutive_failures"], 1);
}

#[tokio::test]
async fn deliveries_that_came_due_while_the_server_was_down_are_sent_at_the_start() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply_once(Reply::status(500));
    app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2).await;
    let stopped = app.stop_within(LONG).await;
    stopped.clock.advance_ms(3_600_000);
    let app = stopped.start().await;
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(statuses(&rows), ["delivered", "failed"]);
}
