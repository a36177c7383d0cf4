//! The health of webhooks, wherever it is shown.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Receiver, Reply, TestApp};

async fn health(app: &TestApp, id: &str) -> Value {
    app.webhook_attributes(id).await["health"].clone()
}

async fn names(app: &TestApp, query: &str) -> Vec<String> {
    let list = app.get(&format!("/v1/webhooks?{query}")).await.expect(200);
    let rows = list["data"].as_array().unwrap();
    rows.iter().map(|row| row["attributes"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Posts events one after the other, and waits for the result of each.
async fn post(app: &TestApp, event: &str, status: &str, count: usize) {
    for _ in 0..count {
        let id = app.post_event(event, json!(1)).await;
        app.row_when(|row| row["event_id"] == id.as_str() && row["status"] == status).await;
    }
}

#[tokio::test]
async fn one_state_is_shown_everywhere() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["5m"] })).await;
    let idle = json!({
        "state": "idle", "since": "2026-03-01T12:00:00.000Z",
        "message": "No event since it was created on 1 Mar 12:00 UTC.",
    });
    assert_eq!(health(&app, &hook.id).await, idle);
    let attributes = app.webhook_attributes(&hook.id).await;
    assert_eq!((&attributes["success_rate"], &attributes["last_failure_at"]), (&Value::Null, &Value::Null));
    assert_eq!(attributes["waiting"], 0);

    receiver.reply(Reply::status(500));
    app.clock.advance_ms(60_000);
    post(&app, "a.b", "failed", 1).await;
    let first = health(&app, &hook.id).await;
    assert_eq!(first["state"], "failing", "nothing has ever succeeded");
    assert_eq!(first["message"], "No success since 1 Mar 12:01 UTC: 1 attempt failed with HTTP 500.");
    post(&app, "a.b", "failed", 2).await;
    let message = "No success since 1 Mar 12:01 UTC: 3 attempts failed with HTTP 500.";
    let failing = json!({ "state": "failing", "since": "2026-03-01T12:01:00.000Z", "message": message });
    assert_eq!(health(&app, &hook.id).await, failing);
    let list = app.get("/v1/webhooks").await.expect(200);
    assert_eq!(list["data"][0]["attributes"]["health"], failing);
    let attributes = app.webhook_attributes(&hook.id).await;
    assert_eq!(attributes["last_failure_at"], "2026-03-01T12:01:00.000Z");
    assert_eq!((&attributes["success_rate"], &attributes["waiting"]), (&Value::Null, &json!(3)));

    let v0 = app.get(&format!("/api/v0/webhooks/wh_{}", hook.id.replace('-', ""))).await.expect(200);
    assert_eq!((&v0["health"]["state"], &v0["health"]["activity"]), (&json!("failing"), &json!("failing")));
    assert_eq!(v0["health"]["message"], message);
    let detail = app.get(&format!("/v1/webhooks/{}/health", hook.id)).await.attributes();
    assert_eq!(detail["labels"]["activity"], "failing");
    let overview = app.get("/admin/api/overview").await.expect(200);
    assert_eq!((&overview["states"]["failing"], &overview["states"]["healthy"]), (&json!(1), &json!(0)));
    let attention = &overview["attention"][0];
    assert_eq!((&attention["health"], &attention["waiting"]), (&failing, &json!(3)));
    assert_eq!(attention["reason"], message);
    let metrics = app.client.get(format!("{}/metrics", app.base)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\npostrider_endpoints{state=\"failing\"} 1"), "{metrics}");
    assert!(metrics.contains("\npostrider_endpoints{state=\"on_hold\"} 0"), "{metrics}");

    receiver.reply(Reply::status(200));
    app.clock.advance_ms(300_000);
    app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == 3).await;
    let well = health(&app, &hook.id).await;
    assert_eq!((&well["state"], &well["since"]), (&json!("healthy"), &json!("2026-03-01T12:06:00.000Z")));
    assert_eq!(app.webhook_attributes(&hook.id).await["success_rate"], json!(100.0));

    let path = format!("/v1/webhooks/{}", hook.id);
    app.clock.advance_ms(60_000);
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    let paused = json!({
        "state": "paused", "since": "2026-03-01T12:07:00.000Z",
        "message": "Paused by a user since 1 Mar 12:07 UTC.",
    });
    assert_eq!(health(&app, &hook.id).await, paused);
    app.clock.advance_ms(60_000);
    app.with_json(Method::PATCH, &path, json!({ "name": "New" })).await.expect(200);
    assert_eq!(health(&app, &hook.id).await, paused, "an edit does not begin it again");
}

#[tokio::test]
async fn webhooks_are_filtered_by_health_and_sorted() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = async |name: &str, events: &str| {
        let fields = json!({ "name": name, "events": [events], "retry_schedule": [] });
        app.webhook(&receiver.url("/"), fields).await.id
    };
    hook("Well", "w.x").await;
    hook("bad", "b.x").await;
    hook("Idle", "i.x").await;
    let paused = hook("Paused", "p.x").await;
    let path = format!("/v1/webhooks/{paused}");
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    post(&app, "w.x", "delivered", 1).await;
    app.post_event("p.x", json!(1)).await;
    receiver.reply(Reply::status(500));
    post(&app, "b.x", "exhausted", 1).await;

    assert_eq!(names(&app, "sort=health").await, ["Paused", "bad", "Idle", "Well"]);
    assert_eq!(names(&app, "sort=name").await, ["bad", "Idle", "Paused", "Well"]);
    assert_eq!(names(&app, "sort=-waiting").await[0], "Paused");
    assert_eq!(names(&app, "sort=success_rate").await[..2], ["bad", "Well"]);
    assert_eq!(names(&app, "sort=-last_failure_at").await[0], "bad");
    assert_eq!(names(&app, "health=failing&health=idle").await, ["Idle", "bad"], "newest first");
    assert_eq!(names(&app, "health=healthy&q=bad").await, [""; 0]);
    assert_eq!(names(&app, "").await, ["Paused", "Idle", "bad", "Well"]);

    let mut path = "/v1/webhooks?sort=name&per_page=3".to_owned();
    let mut seen = 0;
    loop {
        let page = app.get(&path).await.expect(200);
        assert_eq!(page["meta"]["total"], 4);
        seen += page["data"].as_array().unwrap().len();
        match page["links"]["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 4);

    for (query, parameter) in [
        ("health=well", "health"),
        ("health=", "health"),
        ("sort=-health", "sort"),
        ("sort=status", "sort"),
        ("sort=", "sort"),
    ] {
        let problems = app.get(&format!("/v1/webhooks?{query}")).await.problems(422);
        assert_eq!(problems[0].1.as_deref(), Some(parameter), "{query}");
    }
    let cursor = app.get("/v1/webhooks?sort=name&per_page=1").await.json()["links"]["next"].clone();
    let other = cursor.as_str().unwrap().replace("sort=name", "sort=-name");
    assert_eq!(app.get(&other).await.problems(422)[0].1.as_deref(), Some("cursor"));
}
