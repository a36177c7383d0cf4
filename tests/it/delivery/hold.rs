//! Endpoints on hold (section 1 of `contract/outages.md`), and sending now (section 4), with real receivers.

use postrider::domain::Span;

use super::*;

const SECOND: i64 = 1_000;

/// A webhook whose fifth attempt, at 12:00:20, puts it on hold; gives the row that waits for the next probe.
async fn held(app: &TestApp, receiver: &Receiver) -> (Webhook, Value) {
    receiver.reply(Reply::status(503));
    let schedule = json!(["5s", "5s", "5s", "5s", "5s", "5s"]);
    let hook = app.webhook(&receiver.url("/"), json!({ "name": "Shop", "retry_schedule": schedule })).await;
    app.post_event("a.b", json!("first")).await;
    for attempt in 2..=5 {
        app.row_when(|row| row["status"] == "pending" && row["attempt"] == attempt).await;
        app.clock.advance_ms(5 * SECOND);
    }
    let waits = app.row_when(|row| row["status"] == "pending" && row["attempt"] == 6).await;
    (hook, waits)
}

async fn hold(app: &TestApp, hook: &Webhook) -> Value {
    app.webhook_attributes(&hook.id).await["hold"].clone()
}

async fn send_now(app: &TestApp, hook: &Webhook) -> crate::support::app::Answer {
    send(app.request(Method::POST, &format!("/v1/webhooks/{}/send-now", hook.id))).await
}

/// Bodies of what the receiver got, in order.
fn payloads(receiver: &Receiver) -> Vec<Value> {
    receiver.received().iter().map(crate::support::receiver::Received::json).collect()
}

#[tokio::test]
async fn five_failures_hold_an_endpoint_until_a_probe_succeeds_and_no_retry_is_used_up() {
    let app = TestApp::start().await;
    let (receiver, watcher) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&watcher.url("/"), json!({ "events": ["webhook_endpoint.*"] })).await;
    let (hook, waits) = held(&app, &receiver).await;
    assert_eq!(waits["due_at"], "2026-03-01T12:00:50.000Z", "with the next probe");
    let held = hold(&app, &hook).await;
    assert_eq!((&held["reason"], &held["waiting"]), (&json!("circuit"), &json!(1)));
    assert_eq!(held["since"], "2026-03-01T12:00:20.000Z");
    assert_eq!(held["next_probe_at"], "2026-03-01T12:00:50.000Z");
    let message = "On hold since 1 Mar 12:00 UTC: 5 attempts failed, the last with HTTP 503; the next probe is on 1 Mar \
                   12:00 UTC.";
    assert_eq!(held["message"], message);
    assert_eq!(app.webhook_attributes(&hook.id).await["health"]["message"], message);
    let told = watcher.next().await;
    assert_eq!(told.header("x-webhook-event"), Some("webhook_endpoint.failing"));
    let told = told.json();
    assert_eq!((&told["data"]["webhook_id"], &told["data"]["state"]), (&json!(hook.id), &json!("on_hold")));
    assert_eq!(told["data"]["message"], message);
    assert_eq!(
        (&told["data"]["error_kind"], &told["data"]["response_status"]),
        (&json!("http_status"), &json!(503))
    );

    // New events join; one that is due earlier is the probe, and the next probe is another delivery.
    for n in 0..3 {
        app.post_event("a.b", json!(n)).await;
    }
    assert_eq!(hold(&app, &hook).await["waiting"], 4);
    assert_eq!(receiver.count(), 5);
    app.clock.advance_ms(30 * SECOND);
    let probe = app
        .row_when(|row| {
            row["status"] == "failed" && row["attempt"] == 1 && row["event_id"] != waits["event_id"]
        })
        .await;
    assert_eq!((&probe["trigger"], receiver.count()), (&json!("event"), 6));
    let next = hold(&app, &hook).await;
    assert_eq!(next["next_probe_at"], "2026-03-01T12:01:50.000Z");
    app.clock.advance_ms(59 * SECOND);
    assert_eq!(receiver.count(), 6);

    receiver.reply(Reply::ok());
    app.clock.advance_ms(SECOND);
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    let rows = app.rows_of(&format!("/v1/webhooks/{}/deliveries", hook.id)).await;
    assert_chains(&rows);
    assert_eq!(rows.iter().filter(|row| row["status"] == "delivered").count(), 4);
    let first: Vec<_> = rows.iter().filter(|row| row["delivery_id"] == waits["delivery_id"]).collect();
    assert_eq!((&first[0]["attempt"], &first[0]["trigger"]), (&json!(6), &json!("retry")));
    let order: Vec<Value> = payloads(&receiver).split_off(5);
    assert_eq!(order[..2], [json!(0), json!(1)], "oldest first, one at a time");
    // Then two at once, which may overtake each other.
    assert!(order[2..4].contains(&json!(2)), "{order:?}");
    assert!(order[2..].contains(&json!("first")) && order[2..].contains(&json!(0)), "{order:?}");
    assert_eq!(hold(&app, &hook).await, Value::Null);
    let told = watcher.next().await;
    assert_eq!(told.header("x-webhook-event"), Some("webhook_endpoint.recovered"));
    assert_eq!(told.json()["data"]["message"], "Works again after 1 min.");
}

#[tokio::test]
async fn a_hold_survives_a_restart() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (hook, _) = held(&app, &receiver).await;
    let before = hold(&app, &hook).await;
    let app = app.restart().await;
    app.post_event("a.b", json!(2)).await;
    assert_eq!(hold(&app, &hook).await["next_probe_at"], before["next_probe_at"]);
    assert_eq!(receiver.count(), 5);
    receiver.reply(Reply::ok());
    app.clock.advance_ms(30 * SECOND);
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    assert_eq!((hold(&app, &hook).await, receiver.count()), (Value::Null, 7));
}

#[tokio::test]
async fn a_hiccup_of_less_than_ten_seconds_is_no_outage() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["1m"] })).await;
    for n in 0..25 {
        app.post_event("a.b", json!(n)).await;
    }
    let rows = app.rows_when(|rows| rows.len() == 50).await;
    assert_eq!(rows.iter().filter(|row| row["due_at"] == "2026-03-01T12:01:00.000Z").count(), 25);
    let now = app.webhook_attributes(&hook.id).await;
    assert_eq!(
        (&now["status"], &now["hold"], &now["consecutive_failures"]),
        (&json!("active"), &Value::Null, &json!(25))
    );
    receiver.reply(Reply::ok());
    app.clock.advance_ms(60 * SECOND);
    app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == 25).await;
}

#[tokio::test]
async fn a_pause_that_the_receiver_asks_for_is_kept_and_counts_as_no_failure() {
    for (status, wish, until) in [
        (429, Some("300"), Some("2026-03-01T12:05:00.000Z")),
        (503, Some("300"), Some("2026-03-01T12:05:00.000Z")),
        (429, Some("Sun, 01 Mar 2026 13:00:00 GMT"), Some("2026-03-01T13:00:00.000Z")),
        (503, Some("999999"), Some("2026-03-02T12:00:00.000Z")),
        (503, Some("Wed, 01 Apr 2026 00:00:00 GMT"), Some("2026-03-02T12:00:00.000Z")),
        (429, Some("5"), Some("2026-03-01T12:00:05.000Z")),
        (429, Some("0"), Some("2026-03-01T12:00:30.000Z")),
        (429, Some("Sun, 01 Mar 2020 13:00:00 GMT"), Some("2026-03-01T12:00:30.000Z")),
        (429, Some("soon"), Some("2026-03-01T12:00:30.000Z")),
        (429, None, Some("2026-03-01T12:00:30.000Z")),
        (503, Some("0"), None),
        (503, None, None),
        (500, Some("300"), None),
        (302, Some("300"), None),
    ] {
        let app = TestApp::start().await;
        let receiver = Receiver::start().await;
        let reply = Reply::status(status);
        receiver.reply(match wish {
            Some(wish) => reply.header("retry-after", wish),
            None => reply,
        });
        // Without a retry the delivery would be exhausted.
        let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
        app.post_event("a.b", json!(1)).await;
        let rows = app.rows_when(|rows| rows.last().is_some_and(|row| row["status"] != "pending")).await;
        let now = app.webhook_attributes(&hook.id).await;
        let Some(until) = until else {
            assert_eq!(
                (statuses(&rows), &now["hold"]),
                (vec!["exhausted"], &Value::Null),
                "{status} {wish:?}"
            );
            assert_eq!(now["consecutive_failures"], 1);
            continue;
        };
        assert_eq!(statuses(&rows), ["pending", "failed"], "{status} {wish:?}");
        assert_eq!((&rows[0]["due_at"], &rows[1]["next_retry_at"]), (&json!(until), &json!(until)));
        assert_eq!(
            (&now["hold"]["reason"], &now["hold"]["next_probe_at"]),
            (&json!("rate_limited"), &json!(until))
        );
        assert_eq!(now["consecutive_failures"], 0);
        receiver.reply(Reply::ok());
        app.clock.advance_ms(86_400 * SECOND);
        app.rows_when(|rows| statuses(rows) == ["delivered", "failed"]).await;
    }
}

#[tokio::test]
async fn a_probe_that_gets_another_status_leaves_the_hold() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (hook, _) = held(&app, &receiver).await;
    receiver.reply(Reply::status(404));
    app.clock.advance_ms(30 * SECOND);
    let next = app.row_when(|row| row["status"] == "pending" && row["attempt"] == 7).await;
    assert_eq!(next["due_at"], "2026-03-01T12:00:55.000Z", "by the schedule, and not at once");
    assert_eq!(hold(&app, &hook).await, Value::Null);
}

#[tokio::test]
async fn a_manual_retry_is_sent_during_a_hold_as_a_probe() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (hook, waits) = held(&app, &receiver).await;
    // The same row, ahead of its time.
    let again = retry(&app, &waits).await.expect(202);
    assert_eq!(
        (&again["data"]["id"], &again["data"]["attributes"]["trigger"]),
        (&waits["id"], &json!("retry"))
    );
    app.row_when(|row| row["status"] == "pending" && row["attempt"] == 7).await;
    assert_eq!(hold(&app, &hook).await["next_probe_at"], "2026-03-01T12:01:20.000Z", "it was a probe");
    receiver.reply(Reply::ok());
    retry(&app, &waits).await.expect(202);
    app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!(hold(&app, &hook).await, Value::Null);
}

#[tokio::test]
async fn send_now_sends_a_probe_at_once_and_its_failure_begins_the_pace_again() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (hook, _) = held(&app, &receiver).await;
    app.post_event("a.b", json!(2)).await;
    app.clock.advance_ms(30 * SECOND);
    app.rows_when(|rows| rows.len() == 8).await;
    assert_eq!(hold(&app, &hook).await["next_probe_at"], "2026-03-01T12:01:50.000Z");
    let answer = send_now(&app, &hook).await.expect(202);
    assert_eq!(answer["data"], json!({ "type": "send_now", "attributes": { "queued": 2 } }));
    app.rows_when(|rows| rows.len() == 9).await;
    assert_eq!(hold(&app, &hook).await["next_probe_at"], "2026-03-01T12:01:20.000Z");
    receiver.reply(Reply::ok());
    send_now(&app, &hook).await.expect(202);
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    assert_eq!(hold(&app, &hook).await, Value::Null);
    assert_eq!(send_now(&app, &hook).await.expect(202)["data"]["attributes"]["queued"], 0);

    patch(&app, &hook, json!({ "status": "paused" })).await;
    assert_eq!(send_now(&app, &hook).await.problems(409)[0].0, "conflict");
}

#[tokio::test]
async fn send_now_does_not_wait_for_the_schedule() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["6h"] })).await;
    for n in 0..3 {
        app.post_event("a.b", json!(n)).await;
    }
    app.rows_when(|rows| rows.len() == 6).await;
    receiver.reply(Reply::ok());
    assert_eq!(send_now(&app, &hook).await.expect(202)["data"]["attributes"]["queued"], 3);
    let rows =
        app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == 3).await;
    assert_chains(&rows);
}

#[tokio::test]
async fn what_is_held_for_too_long_is_exhausted_with_its_last_error() {
    let app = TestApp::with(|config| config.delivery.hold_at_most = Span::from_secs(3_600)).await;
    let receiver = Receiver::start().await;
    let (hook, waits) = held(&app, &receiver).await;
    // Long enough that the next probe is hours away: what was never sent has to be found by the poll.
    receiver.reply(Reply::status(429).header("retry-after", "86400"));
    app.clock.advance_ms(30 * SECOND);
    app.rows_when(|rows| rows.len() == 7).await;
    app.post_event("a.b", json!("never sent")).await;
    app.clock.advance_ms(3_600 * SECOND);
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    assert_eq!((&rows[0]["status"], &rows[0]["error_kind"]), (&json!("exhausted"), &json!("http_status")));
    let message = rows[0]["error_message"].as_str().unwrap();
    assert!(message.starts_with("Held since 1 Mar 12:00 UTC, which is as long as it may."), "{message}");
    let first = rows.iter().find(|row| row["delivery_id"] == waits["delivery_id"]).unwrap();
    assert_eq!((&first["status"], &first["attempted_at"]), (&json!("exhausted"), &Value::Null));
    assert_eq!(app.webhook_attributes(&hook.id).await["status"], "active");
}

#[tokio::test]
async fn a_pause_has_no_limit_even_if_it_began_on_hold() {
    let app = TestApp::with(|config| config.delivery.hold_at_most = Span::from_secs(3_600)).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let (hook, _) = held(&app, &receiver).await;
    other.reply(Reply::status(429).header("retry-after", "86400"));
    let limited = app.webhook(&other.url("/"), json!({ "events": ["x.*"] })).await;
    // One delivery was sent before the pause, and this one never was.
    app.post_event("x.y", json!("never sent")).await;
    app.row_when(|row| row["endpoint_id"] == limited.id && row["attempt"] == 2).await;
    patch(&app, &hook, json!({ "status": "paused" })).await;

    app.clock.advance_ms(2 * 3_600 * SECOND);
    // A change lets the table be polled.
    patch(&app, &limited, json!({ "name": "Limited" })).await;
    app.row_when(|row| row["endpoint_id"] == limited.id && row["status"] == "exhausted").await;
    let rows = app.rows_of(&format!("/v1/webhooks/{}/deliveries?status=pending", hook.id)).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    receiver.reply(Reply::ok());
    patch(&app, &hook, json!({ "status": "active" })).await;
    app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == 2).await;
}

#[tokio::test]
async fn another_url_or_a_person_ends_a_hold() {
    let app = TestApp::start().await;
    let (receiver, better) = (Receiver::start().await, Receiver::start().await);
    let (hook, _) = held(&app, &receiver).await;
    patch(&app, &hook, json!({ "url": better.url("/") })).await;
    app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!((hold(&app, &hook).await, better.count()), (Value::Null, 1));
}

#[tokio::test]
async fn enabling_says_how_many_events_were_missed() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["a.*"] })).await;
    patch(&app, &hook, json!({ "status": "disabled" })).await;
    for (n, event_type) in ["a.b", "a.c", "b.c"].iter().enumerate() {
        app.post_event(event_type, json!(n)).await;
    }
    let changed = patch(&app, &hook, json!({ "status": "active" })).await;
    assert_eq!(changed["missed"], json!({ "since": "2026-03-01T12:00:00.000Z", "count": 2 }));
    assert_eq!(app.webhook_attributes(&hook.id).await.get("missed"), None, "in that answer only");
}
