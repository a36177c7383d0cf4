//! Recovery and replay: deliveries of events that were not sent, or sent before.

use reqwest::Method;
use serde_json::json;

use super::{exhausted, is_done, job, job_when, numbers, patient, retry};
use crate::support::app::send;
use crate::support::{Receiver, Reply, TestApp};

#[tokio::test]
async fn recovery_sends_events_that_came_while_the_webhook_was_disabled() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted(&app, &receiver, json!({ "events": ["a.*"] }), &["a.exhausted"]).await;
    app.post_event("a.delivered", json!(1)).await;
    app.row_when(|row| row["event_type"] == "a.delivered" && row["status"] == "delivered").await;
    let set = async |status: &str| {
        let path = format!("/v1/webhooks/{}", hook.id);
        app.with_json(Method::PATCH, &path, json!({ "status": status })).await.expect(200);
    };
    set("paused").await;
    app.post_event("a.cancelled", json!(1)).await;
    set("disabled").await;
    app.clock.advance_ms(1_000);
    app.post_event("a.missed", json!(1)).await;
    app.post_event("b.other", json!(1)).await;
    let path = format!("/v1/webhooks/{}/recover", hook.id);
    let since = json!({ "since": "2026-03-01T12:00:00Z" });
    let refused = app.post(&path, since.clone()).await.problems(409);
    assert_eq!(refused[0].0, "conflict");
    set("active").await;

    let window = json!({ "since": "2026-03-01T12:00:00Z", "until": "2026-03-01T12:00:01Z", "dry_run": true });
    assert_eq!(app.post(&path, window).await.attributes()["matched"], 2);
    let before = receiver.count();
    let (id, made) = job(app.post(&path, since).await);
    assert_eq!((made["kind"].as_str(), &made["matched"]), (Some("recover"), &json!(3)));
    assert_eq!(numbers(&job_when(&app, &id, is_done).await), [3, 3, 3, 0]);
    let mut got: Vec<_> = receiver.received()[before..]
        .iter()
        .map(|r| r.header("x-webhook-event").unwrap().to_owned() + r.header("x-webhook-attempt").unwrap())
        .collect();
    got.sort();
    assert_eq!(got, ["a.cancelled1", "a.exhausted2", "a.missed1"]);
    let rows = app.rows().await;
    assert_eq!(rows.iter().filter(|row| row["trigger"] == "recover").count(), 3);
}

#[tokio::test]
async fn a_replay_is_a_new_delivery_each_time() {
    let app = TestApp::start().await;
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&one.url("/"), json!({ "events": ["a.b"] })).await;
    let other = app.webhook(&two.url("/"), json!({ "events": ["c.d"] })).await;
    let event = app.post_event("a.b", json!({ "n": 1 })).await;
    one.next().await;
    let path = format!("/v1/events/{event}/replay");
    for _ in 0..2 {
        let (id, made) = job(send(app.request(Method::POST, &path)).await);
        assert_eq!((made["kind"].as_str(), &made["matched"]), (Some("replay"), &json!(1)));
        let got = one.next().await;
        assert_eq!((got.header("webhook-id"), got.header("x-webhook-attempt")), (Some(&*event), Some("1")));
        job_when(&app, &id, is_done).await;
    }
    job(app.post(&path, json!({ "webhook_id": other.id })).await);
    assert_eq!(two.next().await.json(), json!({ "n": 1 }));
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] == "delivered")).await;
    assert_eq!(rows.len(), 4);
    assert!(rows[..3].iter().all(|row| row["trigger"] == "replay" && row["delivery_id"] == row["id"]));

    let patch = json!({ "status": "disabled" });
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{}", other.id), patch).await.expect(200);
    app.post(&path, json!({ "webhook_id": other.id })).await.problems(409);
    app.post("/v1/events/evt_0/replay", json!({})).await.problems(404);
}

#[tokio::test]
async fn a_test_is_neither_retried_nor_replayed() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["*", "webhook.test"] })).await;
    app.post(&format!("/v1/webhooks/{}/test", hook.id), json!({})).await.expect(200);
    let row = app.row_when(|row| row["trigger"] == "test").await;
    let (_, made) = job(retry(&app, json!({})).await);
    assert_eq!(numbers(&made), [0, 0, 0, 0]);
    let since = json!({ "since": "2026-01-01T00:00:00Z" });
    let (_, made) = job(app.post(&format!("/v1/webhooks/{}/recover", hook.id), since).await);
    assert_eq!(numbers(&made), [0, 0, 0, 0]);
    let event = row["event_id"].as_str().unwrap();
    app.post(&format!("/v1/events/{event}/replay"), json!({})).await.problems(409);
}
