//! When a failed delivery is retried, and what its rows show.

use super::*;

/// `due_at` of the newest row.
fn due(rows: &[Value]) -> &str {
    rows[0]["due_at"].as_str().unwrap_or_else(|| panic!("the newest row is pending: {rows:#?}"))
}

/// The rows of a delivery whose first attempt failed with this response.
async fn failed_once(app: &TestApp, receiver: &Receiver, answer: Reply) -> Vec<Value> {
    receiver.reply_once(answer);
    app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| statuses(rows) == ["pending", "failed"]).await
}

#[tokio::test]
async fn the_default_schedule_is_three_retries_after_2_8_and_20_minutes() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500).body("broken"));
    app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    for (n, (minutes, due_at)) in
        [(2, "2026-03-01T12:02:00.000Z"), (8, "2026-03-01T12:10:00.000Z"), (20, "2026-03-01T12:30:00.000Z")]
            .into_iter()
            .enumerate()
    {
        let rows = app.rows_when(|rows| rows.len() == n + 2).await;
        assert_chains(&rows);
        assert_eq!((rows[0]["status"].as_str(), due(&rows)), (Some("pending"), due_at));
        assert_eq!((&rows[0]["attempted_at"], &rows[0]["next_retry_at"]), (&Value::Null, &Value::Null));
        assert_eq!(rows[0]["trigger"], "retry");
        assert_eq!((&rows[1]["next_retry_at"], &rows[1]["due_at"]), (&json!(due_at), &Value::Null));
        assert_eq!(rows[0]["created_at"], rows[1]["attempted_at"], "created when it was scheduled");
        assert!(rows[2..].iter().all(|row| row["next_retry_at"].is_null()), "{rows:#?}");
        app.clock.advance_ms(minutes * 60_000 - 1);
        assert_eq!(app.rows().await, rows);
        app.clock.advance_ms(1);
    }
    let rows = app.rows_when(|rows| rows[0]["status"] == "exhausted").await;
    assert_chains(&rows);
    assert_eq!(statuses(&rows), ["exhausted", "failed", "failed", "failed"]);
    assert!(rows.iter().all(|row| row["next_retry_at"].is_null()));
    let attempts: Vec<_> =
        receiver.received().iter().map(|r| r.header("x-webhook-attempt").unwrap().to_owned()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4"]);
    let last = &rows[0];
    assert_eq!((&last["response_status"], &last["response_body"]), (&json!(500), &json!("broken")));
    assert_eq!((&last["error_kind"], &last["attempt"]), (&json!("http_status"), &json!(4)));
}

#[tokio::test]
async fn a_retry_that_succeeds_finishes_the_delivery() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    failed_once(&app, &receiver, Reply::status(503)).await;
    app.clock.advance_ms(120_000);
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(statuses(&rows), ["delivered", "failed"]);
    assert_chains(&rows);
    assert!(rows.iter().all(|row| row["next_retry_at"].is_null() && row["due_at"].is_null()));
    app.clock.advance_ms(86_400_000);
    assert_eq!(app.rows().await.len(), 2);
}

#[tokio::test]
async fn jitter_delays_a_retry_by_up_to_its_fraction() {
    let app = TestApp::with(|config| config.delivery.jitter = 0.1).await;
    let receiver = Receiver::start().await;
    app.chance.set(0.5);
    let rows = failed_once(&app, &receiver, Reply::status(500)).await;
    assert_eq!(due(&rows), "2026-03-01T12:02:06.000Z", "5 % of 2 minutes later");
}

#[tokio::test]
async fn the_schedule_of_an_endpoint_takes_precedence_over_the_configured_one() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["90s"] })).await;
    app.post_event("a.b", json!(1)).await;
    let rows = app.rows_when(|rows| rows.len() == 2).await;
    assert_eq!(due(&rows), "2026-03-01T12:01:30.000Z");
    app.clock.advance_ms(90_000);
    app.rows_when(|rows| statuses(rows) == ["exhausted", "failed"]).await;

    patch(&app, &hook, json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(2)).await;
    let rows = app.rows_when(|rows| rows.len() == 3 && rows[0]["status"] != "pending").await;
    assert_eq!((rows[0]["status"].as_str(), rows[0]["attempt"].as_i64()), (Some("exhausted"), Some(1)));

    patch(&app, &hook, json!({ "retry_schedule": null })).await;
    app.post_event("a.b", json!(3)).await;
    let rows = app.rows_when(|rows| rows.len() == 5).await;
    assert_eq!(due(&rows), "2026-03-01T12:03:30.000Z", "the configured one again");
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let app = TestApp::start().await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    for status in [301, 302, 303, 307, 308] {
        receiver.reply_once(Reply::status(status).header("location", &elsewhere.url("/")));
    }
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    for n in 0..5 {
        app.post_event("a.b", json!(n)).await;
    }
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] == "exhausted")).await;
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row["error_kind"] == "http_status"));
    assert_eq!((receiver.count(), elsewhere.connections()), (5, 0));
}

#[tokio::test]
async fn a_clock_that_is_set_back_delays_only_retries_due_later() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({ "rate_limit": 1 })).await;
    app.post_event("a.b", json!(1)).await;
    receiver.next().await;
    app.post_event("a.b", json!(2)).await;
    app.clock.set(postrider::domain::Timestamp::parse("2026-03-01T08:00:00Z").unwrap());
    // The regular poll goes by monotonic time.
    app.clock.advance_ms(5_000);
    app.post_event("a.b", json!(3)).await;
    receiver.next().await;
}
