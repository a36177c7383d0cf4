//! Bulk retry: what it selects, sends, and refuses.

use reqwest::Method;
use serde_json::{Value, json};

use super::{exhausted, is_done, job, job_when, numbers, patient, retry, statuses};
use crate::support::app::start_time;
use crate::support::{Receiver, Reply, TestApp};

#[tokio::test]
async fn a_bulk_retry_sends_exhausted_deliveries_again_and_ends_as_done() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    exhausted(&app, &receiver, json!({}), &["a.b", "a.c", "d.e"]).await;
    let (id, made) = job(retry(&app, json!({})).await);
    assert_eq!(
        (made["kind"].as_str(), made["created_at"].as_str()),
        (Some("retry"), Some(&*start_time().to_string()))
    );
    assert_eq!(made["matched"], 3);
    let done = job_when(&app, &id, is_done).await;
    assert_eq!(numbers(&done), [3, 3, 3, 0]);
    let rows = app.rows().await;
    assert_eq!(statuses(&rows), ["delivered", "delivered", "delivered", "failed", "failed", "failed"]);
    assert!(rows[..3].iter().all(|row| row["trigger"] == "manual" && row["attempt"] == 2));
    assert_eq!(receiver.count(), 6);
}

#[tokio::test]
async fn a_bulk_retry_that_fails_again_follows_the_whole_schedule() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted(&app, &receiver, json!({}), &["a.b"]).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    app.with_json(Method::PATCH, &path, json!({ "retry_schedule": ["1m"] })).await.expect(200);
    receiver.reply(Reply::status(500));
    let (id, _) = job(retry(&app, json!({})).await);
    app.rows_when(|rows| rows.len() == 3 && rows[0]["trigger"] == "retry").await;
    assert_eq!(numbers(&app.get(&format!("/v1/jobs/{id}")).await.attributes()), [1, 1, 0, 0]);
    app.clock.advance_ms(60_000);
    assert_eq!(numbers(&job_when(&app, &id, is_done).await), [1, 1, 0, 1]);
}

#[tokio::test]
async fn the_filters_of_the_log_apply_and_a_dry_run_only_counts() {
    let app = patient().await;
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let first = exhausted(&app, &one, json!({ "events": ["a.*"] }), &["a.b", "a.c"]).await;
    exhausted(&app, &two, json!({ "events": ["d.*"], "name": "Billing" }), &["d.e"]).await;
    let before = app.rows().await;
    for (filter, matched) in [
        (json!({}), 3),
        (json!({ "status": "exhausted" }), 3),
        (json!({ "status": ["failed", "exhausted"], "sort": "-created_at" }), 3),
        (json!({ "status": "failed" }), 0),
        (json!({ "event_type": "a.*" }), 2),
        (json!({ "event_type": "a.b" }), 1),
        (json!({ "endpoint_id": first.id }), 2),
        (json!({ "response_status": "5xx", "trigger": "event" }), 3),
        (json!({ "response_status": 500 }), 3),
        (json!({ "response_status": "404" }), 0),
        (json!({ "error_kind": "http_status" }), 3),
        (json!({ "error_kind": "timeout" }), 0),
        (json!({ "since": "2026-03-01T13:00:00+01:00" }), 3),
        (json!({ "until": "2026-03-01T12:00:00Z" }), 0),
        (json!({ "q": "bill", "since": null }), 1),
    ] {
        let body = json!({ "filter": filter, "dry_run": true });
        let answer = app.post("/v1/webhooks/deliveries/retry", body).await.expect(202);
        assert_eq!(answer["data"]["id"], Value::Null);
        let attributes = &answer["data"]["attributes"];
        assert_eq!(attributes["status"], "dry_run");
        assert_eq!(numbers(attributes), [matched, 0, 0, 0], "{filter}");
    }
    assert_eq!(app.rows().await, before);
    assert_eq!(app.get("/v1/jobs").await.expect(200)["meta"]["total"], 0);
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let app = TestApp::start().await;
    let hook = app.webhook("http://127.0.0.1:9/", json!({})).await;
    let event = app.post_event("x.y", json!(1)).await;
    let pointers = async |path: &str, body: Value| -> Vec<String> {
        let problems = app.post(path, body).await.problems(422);
        let mut pointers: Vec<_> = problems.into_iter().map(|(_, source)| source.unwrap()).collect();
        pointers.sort();
        pointers
    };
    let all = "/v1/webhooks/deliveries/retry";
    assert_eq!(pointers(all, json!({})).await, ["/filter"]);
    assert_eq!(pointers(all, json!({ "filter": [], "dry": 1 })).await, ["/dry", "/filter"]);
    let filter = json!({
        "x": 1, "status": "lost", "event_type": "*", "endpoint_id": "1", "response_status": "6", "error_kind": 1,
        "trigger": "x", "since": "today", "until": 5, "q": "x".repeat(201), "sort": "id", "event_id": "7",
        "resource_id": "", "delivery_id": "seven",
    });
    let expected = [
        "/dry_run",
        "/filter/delivery_id",
        "/filter/endpoint_id",
        "/filter/error_kind",
        "/filter/event_id",
        "/filter/event_type",
        "/filter/q",
        "/filter/resource_id",
        "/filter/response_status",
        "/filter/since",
        "/filter/sort",
        "/filter/status",
        "/filter/trigger",
        "/filter/until",
        "/filter/x",
    ];
    assert_eq!(pointers(all, json!({ "filter": filter, "dry_run": "yes" })).await, expected);

    let recover = format!("/v1/webhooks/{}/recover", hook.id);
    assert_eq!(pointers(&recover, json!({ "until": "x" })).await, ["/since", "/until"]);
    let time = "2026-03-01T12:00:00Z";
    assert_eq!(pointers(&recover, json!({ "since": null })).await, ["/since"]);
    assert_eq!(pointers(&recover, json!({ "since": time, "until": time })).await, ["/until"]);

    let replay = format!("/v1/events/{event}/replay");
    assert_eq!(pointers(&replay, json!({ "webhook": hook.id })).await, ["/webhook"]);
    assert_eq!(pointers(&replay, json!({ "webhook_id": "x" })).await, ["/webhook_id"]);
    let unknown = json!({ "webhook_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479" });
    assert_eq!(pointers(&replay, unknown).await, ["/webhook_id"]);
}

#[tokio::test]
async fn repeating_a_request_does_not_duplicate_pending_deliveries() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted(&app, &receiver, json!({}), &["a.b", "a.c"]).await;
    let hold = receiver.hold();
    let (first, _) = job(retry(&app, json!({})).await);
    let recover = json!({ "since": "2026-01-01T00:00:00Z" });
    let (again, made) = job(retry(&app, json!({})).await);
    assert_eq!((numbers(&made), made["status"].as_str()), ([0, 0, 0, 0], Some("done")));
    assert_ne!(first, again);
    let (_, made) = job(app.post(&format!("/v1/webhooks/{}/recover", hook.id), recover.clone()).await);
    assert_eq!(numbers(&made), [0, 0, 0, 0]);
    hold.release();
    assert_eq!(numbers(&job_when(&app, &first, is_done).await), [2, 2, 2, 0]);
    let (_, made) = job(app.post(&format!("/v1/webhooks/{}/recover", hook.id), recover).await);
    assert_eq!(numbers(&made), [0, 0, 0, 0], "all is delivered");
    assert_eq!(receiver.count(), 4);
}

#[tokio::test]
async fn pending_deliveries_are_sent_now_also_at_paused_and_held_endpoints() {
    let app = TestApp::start().await;
    let (waits, paused, held) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let mut hooks = Vec::new();
    for (receiver, reply) in [
        (&waits, Reply::status(500)),
        (&paused, Reply::status(500)),
        (&held, Reply::status(429).header("retry-after", "9999")),
    ] {
        receiver.reply(reply);
        hooks.push(app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["6h"] })).await);
    }
    for n in 0..4 {
        app.post_event("a.b", json!(n)).await;
    }
    app.rows_when(|rows| {
        let pending = rows.iter().filter(|row| row["status"] == "pending").count();
        // The held one gets as many requests as were in flight when its hold began.
        pending == 12 && waits.count() + paused.count() == 8
    })
    .await;
    let path = format!("/v1/webhooks/{}", hooks[1].id);
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    for receiver in [&waits, &paused, &held] {
        receiver.reply(Reply::ok());
    }
    let dry = app
        .post(
            "/v1/webhooks/deliveries/retry",
            json!({ "filter": { "status": ["pending"] }, "dry_run": true }),
        )
        .await
        .attributes();
    assert_eq!((&dry["matched"], &dry["queued"]), (&json!(12), &json!(0)));
    let (id, made) = job(retry(&app, json!({ "status": ["pending"] })).await);
    assert_eq!(made["matched"], 12);
    let done = job_when(&app, &id, is_done).await;
    assert_eq!((&done["queued"], &done["delivered"]), (&json!(12), &json!(12)));
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    assert!(
        rows.iter().all(|row| ["event", "retry"].contains(&row["trigger"].as_str().unwrap())),
        "{rows:#?}"
    );
}
