//! Statistics, health, the activity log and retention, through the whole server.

use postrider::domain::Span;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Hostile, Receiver, Reply, TestApp, certificates};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |row| row["status"] == status
}

/// One delivered, one exhausted after two attempts, and a test.
async fn history(app: &TestApp, receiver: &Receiver) -> String {
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["2m"] })).await;
    app.post_event("license.assigned", json!(1)).await;
    app.row_when(is("delivered")).await;
    receiver.reply(Reply::status(500));
    app.post_event("license.revoked", json!(2)).await;
    app.row_when(is("pending")).await;
    app.row_when(is("failed")).await;
    app.clock.advance_ms(120_000);
    app.row_when(is("exhausted")).await;
    app.post(&format!("/v1/webhooks/{}/test", hook.id), json!({})).await.expect(200);
    hook.id
}

#[tokio::test]
async fn statistics_count_deliveries_and_attempts_and_no_tests() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let id = history(&app, &receiver).await;
    let one = format!("/v1/webhooks/{id}/stats");
    for path in [one.as_str(), "/v1/webhooks/stats"] {
        let stats = app.get(path).await.attributes();
        let mut totals = stats["totals"].clone();
        let times = totals.as_object_mut().and_then(|totals| totals.remove("response_time_ms")).unwrap();
        assert_eq!(times, stats["series"][24]["response_time_ms"], "the only hour with responses");
        let expected =
            json!({ "deliveries": 2, "delivered": 1, "exhausted": 1, "pending": 0, "failed_attempts": 2 });
        assert_eq!((&totals, &stats["step"]), (&expected, &json!("1h")));
        let series = stats["series"].as_array().unwrap();
        // From 12:00 of the day before to now, 12:02, in whole hours.
        assert_eq!(series.len(), 25);
        assert_eq!(series[0]["start"], "2026-02-28T12:00:00.000Z");
        assert_eq!(
            series[0]["response_time_ms"],
            json!({ "average": null, "p50": null, "p95": null, "p99": null })
        );
        assert_eq!((&series[24]["delivered"], &series[24]["failed_attempts"]), (&json!(1), &json!(2)));
        assert_eq!((&series[23]["deliveries"], &series[24]["deliveries"]), (&json!(0), &json!(2)));
        assert_eq!(
            (&series[24]["statuses"], &series[23]["statuses"]),
            (&json!([{ "status": "2xx", "count": 1 }, { "status": "5xx", "count": 2 }]), &json!([]))
        );
        assert!(series[24]["response_time_ms"]["p95"].is_u64());
    }
    let minutes = app.get(&format!("{one}?since=2026-03-01T12:00:00Z&step=1m")).await.attributes();
    let series = minutes["series"].as_array().unwrap();
    let failed: Vec<_> = series.iter().map(|point| point["failed_attempts"].as_u64().unwrap()).collect();
    // The clock stands at 12:02:00.000, which is not before `until`.
    assert_eq!(failed, [1, 0]);
    assert_eq!(series[0]["statuses"], serde_json::Value::Null);
    let later =
        app.get(&format!("{one}?since=2026-03-01T12:00:00Z&until=2026-03-01T12:03:00Z&step=1m")).await;
    assert_eq!(later.attributes()["totals"]["exhausted"], 1);
}

#[tokio::test]
async fn bad_statistics_are_refused_by_parameter() {
    let app = TestApp::start().await;
    let problem = |name: &str| ("validation_failed".to_owned(), Some(name.to_owned()));
    for (query, name) in [
        ("step=30s", "step"),
        ("step=soon", "step"),
        ("step=25h", "step"),
        ("step=1m&since=2026-02-27T00:00:00Z", "step"),
        ("since=2027-01-01T00:00:00Z", "since"),
        ("until=yesterday", "until"),
        ("stepp=1h", "stepp"),
    ] {
        let answer = app.get(&format!("/v1/webhooks/stats?{query}")).await;
        assert_eq!(answer.problems(422), [problem(name)], "{query}");
    }
    let nobody = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    for path in [format!("{nobody}/stats"), format!("{nobody}/health"), "x/health".to_owned()] {
        app.get(&format!("/v1/webhooks/{path}")).await.problems(404);
    }
}

#[tokio::test]
async fn health_tells_figures_labels_errors_and_what_to_do() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let fresh = app.webhook(&receiver.url("/fresh"), json!({ "events": ["never"] })).await;
    let health = app.get(&format!("/v1/webhooks/{}/health", fresh.id)).await.attributes();
    let labels = json!({ "success_rate": "unknown", "response_time": "unknown", "activity": "idle" });
    assert_eq!((&health["labels"], &health["success_rate"]), (&labels, &Value::Null));
    assert_eq!(health["last_24h"], json!({ "events": 0, "failures": 0, "failure_rate": null }));

    let id = history(&app, &receiver).await;
    let path = format!("/v1/webhooks/{id}/health");
    let health = app.get(&path).await.attributes();
    let totals = json!({ "deliveries": 2, "delivered": 1, "exhausted": 1, "pending": 0, "cancelled": 0 });
    assert_eq!((&health["totals"], &health["success_rate"]), (&totals, &json!(50.0)));
    assert_eq!(health["last_24h"], json!({ "events": 2, "failures": 1, "failure_rate": 50.0 }));
    let labels = json!({ "success_rate": "critical", "response_time": "fast", "activity": "active" });
    assert_eq!(health["labels"], labels);
    let times = &health["response_time_ms"];
    let ms = |name: &str| times[name].as_f64().unwrap();
    assert!(ms("min") <= ms("median") && ms("median") <= ms("p95") && ms("p99") <= ms("max"));
    let errors = health["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (&errors[0]["error_kind"], &errors[0]["response_status"], &errors[0]["count"]),
        (&json!("http_status"), &json!(500), &json!(2))
    );
    assert_eq!(errors[0]["last_at"], "2026-03-01T12:02:00.000Z");
    let advice = health["recommendations"][0].as_str().unwrap();
    assert!(advice.starts_with("2 attempts failed with an HTTP 5xx error"), "{advice}");
    assert_eq!(health["trend"], json!({ "success_rate": null, "average_response_time": null }));

    // 24 hours after the events, to the minute: they were made at 12:00, and it is 12:02 already.
    app.clock.advance_ms(DAY - 120_000);
    assert_eq!(app.get(&path).await.attributes()["last_24h"]["events"], 2);
    app.clock.advance_ms(1);
    let health = app.get(&path).await.attributes();
    assert_eq!(
        (&health["last_24h"]["events"], &health["labels"]["activity"]),
        (&json!(0), &json!("failing"))
    );
    // The first attempt was sent in the very millisecond of the success, so it may have been before it.
    assert_eq!(health["errors"][0]["since"], "2026-03-01T12:02:00.000Z");
    receiver.reply(Reply::ok());
    app.post_event("license.assigned", json!(3)).await;
    app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    let health = app.get(&path).await.attributes();
    assert_eq!(health["totals"]["delivered"], 2);
    assert_eq!(health["errors"][0]["since"], Value::Null);
    let advice = health["recommendations"][0].as_str().unwrap();
    assert!(advice.contains("(500), the last at 2026-03-01T12:02:00.000Z"), "{advice}");
}

#[tokio::test]
async fn recommendations_name_the_cause_as_the_log_does() {
    let app = TestApp::start().await;
    let (refusing, silent) = (Receiver::start().await, Hostile::silent().await);
    refusing.reply(Reply::status(401));
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let untrusted = Receiver::start_tls(certificates::self_signed_server(&["127.0.0.1"])).await;
    for (url, wanted) in [
        (
            refusing.url("/"),
            "HTTP 401 (a 4xx error); the receiver has answered so, without a success, since 2026-",
        ),
        ("http://nobody.invalid/".to_owned(), "the name nobody.invalid does not resolve"),
        (silent.url("/"), "no response within 200ms; answer with 2xx first"),
        (format!("http://{nobody}/"), "connection refused by 127.0.0.1:"),
        (untrusted.url("/"), "the certificate of 127.0.0.1:"),
    ] {
        let fields = json!({ "retry_schedule": [], "timeout": "200ms", "events": ["only.this"] });
        let hook = app.webhook(&url, fields).await;
        app.post_event("only.this", json!(1)).await;
        app.row_when(|row| row["endpoint_id"] == hook.id.as_str() && row["status"] == "exhausted").await;
        let health = app.get(&format!("/v1/webhooks/{}/health", hook.id)).await.attributes();
        let advice = health["recommendations"][0].as_str().unwrap();
        assert!(advice.starts_with("1 attempt failed with ") && advice.contains(wanted), "{advice}");
        assert_eq!(health["errors"][0]["since"], "2026-03-01T12:00:00.000Z");
        app.delete(&format!("/v1/webhooks/{}", hook.id)).await;
    }
}

#[tokio::test]
async fn event_types_are_listed_with_category_and_count() {
    let app = TestApp::start().await;
    for name in ["license.assigned", "license.assigned", "ping"] {
        app.post_event(name, json!(1)).await;
    }
    let list = app.get("/v1/event-types?per_page=1").await.expect(200);
    let attributes = json!({ "event_type": "license.assigned", "category": "license", "count": 2,
        "last_seen_at": "2026-03-01T12:00:00.000Z" });
    assert_eq!(
        list["data"][0],
        json!({ "type": "event_type", "id": "license.assigned", "attributes": attributes })
    );
    assert_eq!(list["meta"]["total"], 2);
    let next = app.get(list["links"]["next"].as_str().unwrap()).await.expect(200);
    assert_eq!((&next["data"][0]["id"], &next["links"]["next"]), (&json!("ping"), &Value::Null));
}

#[tokio::test]
async fn the_activity_log_is_for_admins_and_filtered() {
    let app = TestApp::start().await;
    let hook = app.webhook("https://example.com/", json!({})).await;
    let all = app.get("/v1/activity").await.expect(200);
    let kinds: Vec<_> = all["data"].as_array().unwrap().iter().map(|e| &e["attributes"]["kind"]).collect();
    assert_eq!(kinds, ["endpoint.created", "key.created", "server.started"]);
    let entry = &all["data"][0];
    assert_eq!(entry["type"], "activity");
    assert_eq!(entry["attributes"]["details"]["endpoint_id"], json!(hook.id));
    assert_eq!(entry["attributes"]["address"], "127.0.0.1");
    assert!(entry["attributes"]["actor"].as_str().unwrap().starts_with("key:"));
    let some = app.get("/v1/activity?kind=key.created").await.expect(200);
    assert_eq!(some["meta"]["total"], 1);
    let none = app.get("/v1/activity?since=2026-03-01T12:00:00.001Z").await.expect(200);
    assert_eq!(none["meta"]["total"], 0);
    let first = app.get("/v1/activity?per_page=2").await.expect(200);
    let next = app.get(first["links"]["next"].as_str().unwrap()).await.expect(200);
    assert_eq!(next["data"][0]["attributes"]["kind"], "server.started");
    let bad = app.get("/v1/activity?kind=nothing&since=x").await.problems(422);
    assert_eq!(bad.len(), 2);

    let other = app.app("other").await;
    let request =
        app.request(Method::GET, "/v1/activity?kind=server.started").header("x-app-id", other.to_string());
    assert_eq!(send(request).await.expect(200)["meta"]["total"], 1);
    let reader = app.key("webhooks:read,webhooks:write,events:read", None).await;
    for (method, path) in [(Method::GET, "/v1/activity"), (Method::POST, "/v1/retention/sweep")] {
        send(app.request_as(&reader, method, path)).await.problems(403);
    }
}

/// A server that keeps attempts for two days and events for three.
async fn short_memory() -> TestApp {
    TestApp::with(|config| {
        config.retention.logs = Span::parse("2d").unwrap();
        config.retention.events = Span::parse("3d").unwrap();
    })
    .await
}

/// Moves the clock in steps that the sweeper trusts, and has it see each of them.
async fn days_pass(app: &TestApp, ms: i64) {
    let mut left = ms;
    while left > 0 {
        let step = left.min(DAY);
        app.clock.advance_ms(step);
        left -= step;
        if left > 0 {
            sweep(app).await;
        }
    }
}

async fn sweep(app: &TestApp) {
    let swept = app.post("/v1/retention/sweep", json!({})).await.expect(200);
    assert_eq!(swept["data"]["type"], "retention_sweep");
    for name in ["attempts", "events"] {
        assert!(swept["data"]["attributes"][name].is_u64(), "{swept}");
    }
}

#[tokio::test]
async fn a_sweep_removes_what_is_older_and_keeps_what_is_pending_and_the_totals() {
    let app = short_memory().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["sent"] })).await;
    let paused = app.webhook(&receiver.url("/paused"), json!({ "events": ["waits"] })).await;
    let path = format!("/v1/webhooks/{}", paused.id);
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    let sent = app.post_event("sent", json!(1)).await;
    let waits = app.post_event("waits", json!(2)).await;
    app.row_when(is("delivered")).await;

    days_pass(&app, 2 * DAY).await;
    sweep(&app).await;
    assert_eq!(app.rows().await.len(), 2, "two days old is not older than two days");
    app.clock.advance_ms(1);
    sweep(&app).await;
    assert_eq!(app.rows().await[0]["event_id"], json!(waits));
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 2);
    app.clock.advance_ms(DAY);
    sweep(&app).await;
    let events = app.get("/v1/events").await.expect(200);
    assert_eq!((&events["data"][0]["id"], &events["meta"]["total"]), (&json!(waits), &json!(1)));
    app.get(&format!("/v1/events/{sent}")).await.problems(404);
    let health = app.get(&format!("/v1/webhooks/{}/health", hook.id)).await.attributes();
    assert_eq!(health["totals"]["delivered"], 1);

    // A scheduled sweep may have run first; each sweep that deletes something records it.
    let told = app.get("/v1/activity?kind=retention.swept").await.expect(200);
    let told: Vec<_> = told["data"].as_array().unwrap().iter().map(|e| &e["attributes"]).collect();
    let sum = |name: &str| told.iter().map(|e| e["details"][name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("attempts"), sum("events")), (1, 1));
    assert!(told.iter().any(|e| e["address"] == "127.0.0.1" && e["actor"] != "system"));

    app.with_json(Method::PATCH, &path, json!({ "status": "active" })).await.expect(200);
    app.rows_when(|rows| rows[0]["status"] == "delivered").await;
}

#[tokio::test]
async fn a_clock_that_jumps_removes_nothing_until_a_person_accepts_it() {
    let app = short_memory().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a", json!(1)).await;
    app.row_when(is("delivered")).await;
    sweep(&app).await;
    let right = postrider::host::clock::Clock::now(&*app.clock);
    app.clock.set(right.plus_ms(90 * DAY));
    for _ in 0..2 {
        let refused = app.post("/v1/retention/sweep", json!({})).await;
        assert_eq!(refused.problems(409).len(), 1);
        assert!(refused.text.contains("--accept-clock"), "{}", refused.text);
    }
    assert_eq!(app.rows().await.len(), 1);
    let told = app.get("/v1/activity?kind=retention.held").await.expect(200);
    assert_eq!(told["meta"]["total"], 1, "it is told once");

    let app = app.restart().await;
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    let app = app.restart_accepting_the_clock().await;
    let told = app.get("/v1/activity?kind=retention.clock_accepted").await.expect(200);
    assert_eq!(told["meta"]["total"], 1);
    sweep(&app).await;
    assert!(app.rows().await.is_empty());
}

#[tokio::test]
async fn a_clock_that_is_set_right_again_ends_the_hold() {
    let app = short_memory().await;
    sweep(&app).await;
    let right = postrider::host::clock::Clock::now(&*app.clock);
    app.clock.set(right.plus_ms(DAY + 1));
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    app.clock.set(right.plus_ms(DAY));
    sweep(&app).await;
}

#[tokio::test]
async fn a_clock_that_jumped_is_trusted_after_an_hour_at_a_steady_pace() {
    let app = short_memory().await;
    app.post_event("a", json!(1)).await;
    sweep(&app).await;
    let right = postrider::host::clock::Clock::now(&*app.clock);
    app.clock.set(right.plus_ms(90 * DAY));
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    app.clock.advance_ms(HOUR / 2);
    // Set once more: the hour begins again.
    let right = postrider::host::clock::Clock::now(&*app.clock);
    app.clock.set(right.plus_ms(60_000));
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    app.clock.advance_ms(HOUR / 2);
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    app.clock.advance_ms(HOUR / 2);
    sweep(&app).await;
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 0);
    let accepted = app.get("/v1/activity?kind=retention.clock_accepted").await.expect(200);
    assert_eq!(accepted["data"][0]["attributes"]["actor"], "system");
}

#[tokio::test]
async fn a_clock_that_the_system_keeps_synchronized_is_trusted_at_once() {
    let app = short_memory().await;
    sweep(&app).await;
    let right = postrider::host::clock::Clock::now(&*app.clock);
    app.clock.set(right.plus_ms(90 * DAY));
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    app.clock.set_synchronized(true);
    sweep(&app).await;
}

#[tokio::test]
async fn the_sweeper_runs_each_hour_by_itself() {
    let app = TestApp::with(|config| {
        config.retention.events = Span::parse("30m").unwrap();
        // It is asked until the sweep is done, and no time passes meanwhile.
        config.limits.requests_per_minute = 0;
    })
    .await;
    app.post_event("a", json!(1)).await;
    app.clock.advance_ms(HOUR);
    crate::support::in_time("the sweep", async {
        while app.get("/v1/activity?kind=retention.swept").await.expect(200)["meta"]["total"] != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 0);
    let told = app.get("/v1/activity?kind=retention.swept").await.expect(200);
    assert_eq!(told["data"][0]["attributes"]["actor"], "system");
}
