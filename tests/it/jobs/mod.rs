//! Bulk jobs (sections 1, 5 and 8 of the contract), through the whole server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, Webhook, json_body, never_disable, send, start_time};
use crate::support::{HANGS_AFTER, Receiver, Reply, TestApp};

/// A server that never disables failing endpoints.
async fn patient() -> TestApp {
    TestApp::with(never_disable).await
}

/// Posts events whose deliveries are exhausted; the receiver responds with 200 from then on.
async fn exhausted(app: &TestApp, receiver: &Receiver, fields: Value, types: &[&str]) -> Webhook {
    receiver.reply(Reply::status(500));
    let mut with = json!({ "retry_schedule": [] });
    for (name, value) in fields.as_object().into_iter().flatten() {
        with[name] = value.clone();
    }
    let hook = app.webhook(&receiver.url("/hook"), with).await;
    for name in types {
        app.post_event(name, json!(name)).await;
    }
    let of_hook = |row: &&Value| row["endpoint_id"] == hook.id.as_str();
    app.rows_when(|rows| {
        let mine: Vec<_> = rows.iter().filter(of_hook).collect();
        mine.len() == types.len() && mine.iter().all(|row| row["status"] == "exhausted")
    })
    .await;
    receiver.reply(Reply::ok());
    hook
}

async fn retry(app: &TestApp, filter: Value) -> Answer {
    app.post("/v1/webhooks/deliveries/retry", json!({ "filter": filter })).await
}

/// The id of a job that was accepted, and its attributes.
fn job(answer: Answer) -> (String, Value) {
    let body = answer.expect(202);
    assert_eq!(body["data"]["type"], "bulk_job");
    let id = body["data"]["id"].as_str().expect("a job has an id").to_owned();
    (id, body["data"]["attributes"].clone())
}

/// Waits until a job is as `wanted`; reads it after every result.
async fn job_when(app: &TestApp, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut results = app.server().results();
    let path = format!("/v1/jobs/{id}");
    let wait = async {
        loop {
            results.mark_unchanged();
            let job = app.get(&path).await.attributes();
            if wanted(&job) {
                return job;
            }
            results.changed().await.expect("the server runs");
        }
    };
    match tokio::time::timeout(HANGS_AFTER, wait).await {
        Ok(job) => job,
        Err(_) => panic!("the job did not become as wanted; it is {:#}", app.get(&path).await.attributes()),
    }
}

fn is_done(job: &Value) -> bool {
    job["status"] == "done"
}

fn numbers(job: &Value) -> [u64; 4] {
    ["matched", "queued", "delivered", "exhausted"].map(|name| job[name].as_u64().expect("a number"))
}

fn statuses(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["status"].as_str().expect("a status")).collect()
}

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

/// One webhook with so many exhausted deliveries; the receiver has no unread request.
async fn exhausted_many(app: &TestApp, receiver: &Receiver, n: usize) -> Webhook {
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/hook"), json!({ "retry_schedule": [] })).await;
    let events: Vec<Value> = (0..n).map(|i| json!({ "event_type": "old.one", "payload": i })).collect();
    for batch in events.chunks(1_000) {
        app.post("/v1/events/batch", json!({ "events": batch })).await.expect(202);
    }
    receiver.next_n(n).await;
    let count = json!({ "filter": {}, "dry_run": true });
    let mut results = app.server().results();
    loop {
        results.mark_unchanged();
        let counted = app.post("/v1/webhooks/deliveries/retry", count.clone()).await.attributes();
        if counted["matched"] == n as u64 {
            break;
        }
        results.changed().await.expect("the server runs");
    }
    receiver.reply(Reply::ok());
    hook
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
async fn jobs_belong_to_their_app_and_require_their_scopes() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted(&app, &receiver, json!({}), &["a.b"]).await;
    let event = app.post_event("a.c", json!(1)).await;
    app.app("other").await;
    let other = app.key("webhooks:read,webhooks:write", Some("other")).await;
    let as_key = async |token: &str, method: Method, path: &str, body: Value| {
        send(json_body(app.request_as(token, method, path), body.to_string())).await
    };
    let all = "/v1/webhooks/deliveries/retry";
    let filter = json!({ "filter": {} });
    let (_, made) = job(as_key(&other, Method::POST, all, filter.clone()).await);
    assert_eq!(numbers(&made), [0, 0, 0, 0]);
    let since = json!({ "since": "2026-01-01T00:00:00Z" });
    let recover = format!("/v1/webhooks/{}/recover", hook.id);
    as_key(&other, Method::POST, &recover, since.clone()).await.problems(404);
    let replay = format!("/v1/events/{event}/replay");
    as_key(&other, Method::POST, &replay, json!({})).await.problems(404);
    let (id, _) = job(retry(&app, json!({})).await);
    let path = format!("/v1/jobs/{id}");
    for method in [Method::GET, Method::DELETE] {
        as_key(&other, method, &path, json!({})).await.problems(404);
    }
    let listed = as_key(&other, Method::GET, "/v1/jobs", json!({})).await.expect(200);
    assert_eq!(listed["meta"]["total"], 1);

    let reader = app.key("webhooks:read,events:read,events:write", None).await;
    for (path, body) in [(all, filter), (&*recover, since), (&*replay, json!({}))] {
        as_key(&reader, Method::POST, path, body).await.problems(403);
    }
    as_key(&reader, Method::DELETE, &path, json!({})).await.problems(403);
    as_key(&reader, Method::GET, &path, json!({})).await.expect(200);
    let listed = as_key(&reader, Method::GET, "/v1/jobs?per_page=1", json!({})).await.expect(200);
    assert_eq!(listed["data"][0]["id"], id.as_str());
    assert_eq!(listed["links"]["next"], Value::Null);
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

#[tokio::test]
async fn bulk_jobs_are_in_the_activity_log_with_their_counts() {
    let app = patient().await;
    let receiver = Receiver::start().await;
    let hook = exhausted(&app, &receiver, json!({}), &["a.b"]).await;
    let event = app.post_event("a.c", json!(1)).await;
    app.rows_when(|rows| rows.len() == 2 && rows[0]["status"] == "delivered").await;
    job(retry(&app, json!({})).await);
    let since = json!({ "since": "2026-01-01T00:00:00Z" });
    job(app.post(&format!("/v1/webhooks/{}/recover", hook.id), since).await);
    job(app.post(&format!("/v1/events/{event}/replay"), json!({})).await);
    let entries = app.server().store().activity_recent(3).await.unwrap();
    let said: Vec<_> = entries.iter().map(|e| (e.kind.as_str(), e.details["matched"].clone())).collect();
    assert_eq!(
        said,
        [("event.replayed", json!(1)), ("endpoint.recovered", json!(0)), ("delivery.bulk_retried", json!(1))]
    );
    assert!(entries.iter().all(|e| e.actor.starts_with("key:") && e.app_id.is_some()));
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
