//! The time of day jumps: forward an hour, a day, to 2099, and back to 1970. Fresh events are sent, a
//! delivery that waits for a retry is sent once and not its whole schedule at once, and nothing is swept
//! because of a wrong clock.

use postrider::domain::Timestamp;
use postrider::host::clock::Clock as _;
use serde_json::json;

use crate::say;
use crate::support::app::{never_disable, start_time};
use crate::support::{Receiver, Reply, TestApp};

const WAITING: usize = 30;
const MINUTE_MS: i64 = 60_000;

/// A server with deliveries that wait for a retry, and one that is done.
async fn waiting() -> (TestApp, Receiver) {
    let app = TestApp::with(never_disable).await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["2m", "8m", "20m"] })).await;
    app.post_event("a.done", json!(0)).await;
    app.rows_when(|rows| rows.iter().any(|row| row["status"] == "delivered")).await;
    receiver.reply(Reply::status(500));
    for n in 0..WAITING {
        app.post_event("a.waits", json!(n)).await;
    }
    let failed = |rows: &[serde_json::Value]| rows.iter().filter(|row| row["status"] == "failed").count();
    app.rows_when(|rows| failed(rows) == WAITING).await;
    (app, receiver)
}

/// An event that is posted now arrives now, and nothing of the log is gone.
async fn goes_on(app: &TestApp, receiver: &Receiver, what: &str) {
    receiver.reply(Reply::ok());
    let before = app.rows().await.len();
    let id = app.post_event("a.fresh", json!(what)).await;
    app.row_when(|row| row["event_id"] == id.as_str() && row["status"] == "delivered").await;
    // The sweeper runs when its hour has come, and when it is asked.
    app.post("/v1/retention/sweep", json!({})).await;
    assert!(app.rows().await.len() > before, "{what}: the log was swept");
}

#[tokio::test]
async fn after_a_jump_forward_each_retry_is_sent_once_and_the_log_is_kept() {
    let jumps = [
        ("an hour", start_time().plus_ms(60 * MINUTE_MS)),
        ("a day", start_time().plus_ms(24 * 60 * MINUTE_MS)),
        ("2099", Timestamp::parse("2099-01-01T00:00:00Z").unwrap()),
    ];
    for (what, to) in jumps {
        let (app, receiver) = waiting().await;
        app.clock.set(to);
        app.clock.advance_ms(5_000);
        // All are due at once, each goes out once and fails again; the next is not before its time.
        app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "failed").count() == 2 * WAITING)
            .await;
        let rows = app.rows().await;
        let pending: Vec<_> = rows.iter().filter(|row| row["status"] == "pending").collect();
        assert_eq!(pending.len(), WAITING, "{what}");
        assert!(pending.iter().all(|row| row["attempt"] == 3), "{what}: more than one retry at once");
        let sent = receiver.count();
        assert_eq!(sent, 1 + 2 * WAITING, "{what}");
        app.clock.advance_ms(7 * MINUTE_MS);
        app.get("/readyz").await.expect(200);
        assert_eq!(receiver.count(), sent, "{what}: the third attempt came before its time");
        goes_on(&app, &receiver, what).await;
        app.clock.advance_ms(2 * MINUTE_MS);
        app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == WAITING + 2)
            .await;
    }
    say(
        "clock forward",
        format!("an hour, a day, to 2099: {WAITING} retries each, all once and none frozen, nothing swept"),
    );
}

#[tokio::test]
async fn after_a_jump_back_fresh_events_are_sent_and_retries_continue_when_the_clock_is_right() {
    for (what, to) in [
        ("an hour back", start_time().plus_ms(-60 * MINUTE_MS)),
        ("1970", Timestamp::parse("1970-01-01T00:00:30Z").unwrap()),
    ] {
        let (app, receiver) = waiting().await;
        let sent = receiver.count();
        app.clock.set(to);
        app.clock.advance_ms(5_000);
        goes_on(&app, &receiver, what).await;
        // A retry of what failed in the wrong time waits as long as it should, by that time.
        receiver.reply(Reply::status(500));
        let id = app.post_event("a.later", json!(what)).await;
        app.row_when(|row| row["event_id"] == id.as_str() && row["status"] == "failed").await;
        receiver.reply(Reply::ok());
        app.clock.advance_ms(2 * MINUTE_MS + 5_000);
        app.row_when(|row| row["event_id"] == id.as_str() && row["status"] == "delivered").await;
        assert_eq!(receiver.count(), sent + 3, "{what}: nothing that was scheduled before came early");
        app.clock.set(start_time().plus_ms(3 * MINUTE_MS));
        app.clock.advance_ms(5_000);
        app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == WAITING + 3)
            .await;
        assert_eq!(app.clock.now(), start_time().plus_ms(3 * MINUTE_MS + 5_000));
        assert_eq!(receiver.count(), sent + 3 + WAITING, "{what}: each once");
    }
    say(
        "clock back",
        "an hour, to 1970: fresh events are sent, retries go on once the clock is right, each once",
    );
}
