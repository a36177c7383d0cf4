//! A job while it runs: beside fresh events and other jobs, stopped, restarted, on a paused webhook.

use reqwest::Method;
use serde_json::json;

use super::{exhausted, exhausted_many, is_done, job, job_when, numbers, patient, retry};
use crate::support::app::never_disable;
use crate::support::{Receiver, TestApp};

#[tokio::test]
async fn a_fresh_event_overtakes_a_large_job() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    exhausted_many(&app, &receiver, 1_500).await;
    let before = receiver.count();
    let hold = receiver.hold();
    let (id, _) = job(retry(&app, json!({})).await);
    // The job has taken all slots that it may have, and some 1,490 rows are due.
    for _ in 0..5 {
        receiver.next().await;
    }
    app.post_event("fresh.one", json!(1)).await;
    let next = receiver.next().await;
    assert_eq!(
        next.header("x-webhook-event"),
        Some("fresh.one"),
        "before any request of the job got a response"
    );
    assert_eq!(receiver.count() - before, 6, "the job leaves half of the slots free");
    hold.release();
    assert_eq!(numbers(&job_when(&app, &id, is_done).await), [1_500, 1_500, 1_500, 0]);
}

#[tokio::test]
async fn jobs_over_many_webhooks_get_half_of_all_slots_in_turn() {
    let app = TestApp::with(|config| {
        never_disable(config);
        config.delivery.concurrency = 4;
    })
    .await;
    let receiver = Receiver::start().await;
    for name in ["a", "b", "c", "d"] {
        let events = json!({ "events": [format!("{name}.*")] });
        exhausted(&app, &receiver, events, &[&*format!("{name}.1"), &*format!("{name}.2")]).await;
    }
    let other = Receiver::start().await;
    app.webhook(&other.url("/"), json!({ "events": ["fresh"] })).await;
    receiver.next_n(8).await;
    let hold = receiver.hold();
    let (id, _) = job(retry(&app, json!({})).await);
    receiver.next_n(2).await;
    // Another endpoint finds a free slot, although the job has work for all of them.
    app.post_event("fresh", json!(1)).await;
    other.next().await;
    assert_eq!(receiver.count(), 10);
    hold.release();
    // The clock stands still: only finished requests start the others.
    assert_eq!(numbers(&job_when(&app, &id, is_done).await), [8, 8, 8, 0]);
}

#[tokio::test]
async fn a_stopped_job_sends_nothing_more() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    exhausted_many(&app, &receiver, 1_200).await;
    let hold = receiver.hold();
    let before = receiver.count();
    let (id, _) = job(retry(&app, json!({})).await);
    for _ in 0..5 {
        receiver.next().await;
    }
    let path = format!("/v1/jobs/{id}");
    app.delete(&path).await.expect(204);
    assert_eq!(app.get(&path).await.attributes()["status"], "cancelled");
    hold.release();
    let end = job_when(&app, &id, |job| job["delivered"] == 5).await;
    assert_eq!(end["status"], "cancelled");
    // Deliveries that were not in flight are cancelled, or were never queued and are still exhausted.
    let count = async |status: &str| {
        app.get(&format!("/v1/webhooks/deliveries?status={status}")).await.expect(200)["meta"]["total"]
            .as_u64()
            .unwrap()
    };
    let (cancelled, exhausted) = (count("cancelled").await, count("exhausted").await);
    assert_eq!((count("pending").await, count("delivered").await), (0, 5));
    assert_eq!(end["queued"], cancelled + 5);
    assert_eq!(cancelled + exhausted, 1_195);
    assert_eq!(receiver.count() - before, 5);
    app.delete(&path).await.expect(204);
    app.delete("/v1/jobs/x").await.problems(404);
}

#[tokio::test]
async fn a_job_continues_after_a_restart_and_sends_each_delivery_once() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted_many(&app, &receiver, 2_500).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    let before = receiver.count();
    let (id, made) = job(retry(&app, json!({})).await);
    assert_eq!((&made["matched"], &made["status"]), (&json!(2_500), &json!("running")));
    let app = app.restart().await;
    app.with_json(Method::PATCH, &path, json!({ "status": "active" })).await.expect(200);
    assert_eq!(numbers(&job_when(&app, &id, is_done).await), [2_500, 2_500, 2_500, 0]);
    assert_eq!(receiver.count() - before, 2_500);
}

#[tokio::test]
async fn a_paused_webhook_gets_bulk_work_when_it_is_resumed() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted(&app, &receiver, json!({}), &["a.b"]).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    let (id, made) = job(retry(&app, json!({})).await);
    assert_eq!((numbers(&made), &made["status"]), ([1, 1, 0, 0], &json!("running")));
    app.with_json(Method::PATCH, &path, json!({ "status": "active" })).await.expect(200);
    assert_eq!(numbers(&job_when(&app, &id, is_done).await), [1, 1, 1, 0]);
}
