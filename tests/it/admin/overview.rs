//! The first things that somebody looks at, and tries.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::signed_in;
use crate::support::app::send;
use crate::support::{Receiver, Reply, TestApp};

const OVERVIEW: &str = "/admin/api/overview";
const HEALTH: &str = "/admin/api/webhook-health";
const ECHO: &str = "/admin/api/echo";

async fn set_status(app: &TestApp, id: &str, status: &str) {
    let path = format!("/v1/webhooks/{id}");
    app.with_json(Method::PATCH, &path, json!({ "status": status })).await.expect(200);
}

#[tokio::test]
async fn an_app_without_anything_needs_no_attention() {
    let app = TestApp::start().await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let mut overview = viewer.get(OVERVIEW).await.expect(200);
    assert_eq!(overview["nodes"].as_array_mut().map(|nodes| std::mem::take(nodes).len()), Some(1));
    assert_eq!(
        overview,
        json!({
            "queue": { "pending": 0, "due": 0, "oldest_due_at": null, "in_flight": 0 },
            "webhooks": { "active": 0, "paused": 0, "disabled": 0 },
            "states": {
                "disabled": 0, "paused": 0, "on_hold": 0, "failing": 0, "degraded": 0, "idle": 0, "healthy": 0,
            },
            "attention": [],
            "nodes": [],
            "configurations_differ": false,
        })
    );
    assert_eq!(viewer.get(HEALTH).await.expect(200), json!({ "data": [] }));
}

#[tokio::test]
async fn what_waits_is_counted_where_it_waits() {
    let app = TestApp::start().await;
    let (receiver, failing) = (Receiver::start().await, Receiver::start().await);
    let held = app.webhook(&receiver.url("/"), json!({ "events": ["held"] })).await;
    let paused = app.webhook(&receiver.url("/p"), json!({ "events": ["paused"], "name": "Waits" })).await;
    app.webhook(&failing.url("/"), json!({ "events": ["fails"], "retry_schedule": ["5m"] })).await;
    failing.reply(Reply::status(500));
    set_status(&app, &paused.id, "paused").await;
    let hold = receiver.hold();
    app.post_event("held", json!(1)).await;
    app.post_event("paused", json!(2)).await;
    app.post_event("fails", json!(3)).await;
    receiver.next().await;
    app.row_when(|row| row["status"] == "failed").await;

    let overview = app.get(OVERVIEW).await.expect(200);
    let queue =
        json!({ "pending": 3, "due": 1, "oldest_due_at": "2026-03-01T12:00:00.000Z", "in_flight": 1 });
    assert_eq!(overview["queue"], queue);
    assert_eq!(overview["webhooks"], json!({ "active": 2, "paused": 1, "disabled": 0 }));
    let attention = overview["attention"].as_array().unwrap();
    assert_eq!(attention.len(), 2, "{attention:?}");
    assert_eq!(attention[1]["health"]["state"], "failing");
    assert_eq!((&attention[0]["id"], &attention[0]["name"]), (&json!(paused.id), &json!("Waits")));
    assert_eq!(attention[0]["reason"], "Paused by a user since 1 Mar 12:00 UTC: 1 delivery is pending.");
    assert_eq!(attention[0]["labels"]["activity"], "active");

    let other = app.app("other").await.to_string();
    let elsewhere = app.request(Method::GET, OVERVIEW).header("x-app-id", &other);
    let elsewhere = send(elsewhere).await.expect(200);
    assert_eq!((&elsewhere["queue"]["pending"], &elsewhere["queue"]["in_flight"]), (&json!(0), &json!(0)));

    hold.release();
    app.row_when(|row| row["status"] == "delivered" && row["endpoint_id"] == held.id.as_str()).await;
    let queue = app.get(OVERVIEW).await.expect(200)["queue"].clone();
    assert_eq!((&queue["pending"], &queue["due"], &queue["in_flight"]), (&json!(2), &json!(0), &json!(0)));
    assert!(queue["oldest_due_at"].is_null());
}

#[tokio::test]
async fn badges_and_sparklines_of_all_webhooks_come_in_one_answer() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    let quiet = app.webhook(&receiver.url("/quiet"), json!({ "events": ["none"] })).await;
    app.post_event("a", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    app.clock.advance_ms(3_600_000);
    receiver.reply(Reply::status(500));
    for _ in 0..3 {
        app.post_event("a", json!(2)).await;
    }
    app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "exhausted").count() == 3).await;

    let data = app.get(HEALTH).await.expect(200)["data"].as_array().unwrap().clone();
    let ids: Vec<_> = data.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [quiet.id.as_str(), hook.id.as_str()], "newest first");
    let of = |one: &Value| (one["labels"].clone(), one["success_rate"].clone(), one["last_24h"].clone());
    let labels = |success: &str, response: &str, activity: &str| json!({ "success_rate": success, "response_time": response, "activity": activity });
    assert_eq!(
        of(&data[0]),
        (labels("unknown", "unknown", "idle"), Value::Null, json!({ "events": 0, "failures": 0 }))
    );
    assert_eq!(
        of(&data[1]),
        (labels("critical", "fast", "failing"), json!(25.0), json!({ "events": 4, "failures": 3 }))
    );
    for one in &data {
        let series = one["series"].as_array().unwrap();
        assert_eq!(series.len(), 24);
        assert_eq!(series[23]["start"], "2026-03-01T13:00:00.000Z");
    }
    let series = &data[1]["series"];
    assert_eq!(series[22], json!({ "start": "2026-03-01T12:00:00.000Z", "delivered": 1, "exhausted": 0 }));
    assert_eq!((&series[23]["delivered"], &series[23]["exhausted"]), (&json!(0), &json!(3)));
    assert_eq!((&series[0]["delivered"], &series[0]["exhausted"]), (&json!(0), &json!(0)));
    let attention = app.get(OVERVIEW).await.expect(200)["attention"].clone();
    assert_eq!(attention[0]["reason"], "No success since 1 Mar 13:00 UTC: 3 attempts failed with HTTP 500.");
}

#[tokio::test]
async fn named_webhooks_alone_are_told_of_and_bad_ids_are_refused() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let one = app.webhook(&receiver.url("/"), json!({})).await;
    app.webhook(&receiver.url("/other"), json!({})).await;
    let unknown = "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48";
    let data = app.get(&format!("{HEALTH}?ids={},{unknown}", one.id)).await.expect(200)["data"].clone();
    assert_eq!(data.as_array().unwrap().len(), 1);
    assert_eq!(data[0]["id"], one.id.as_str());
    let many = vec![unknown; 201].join(",");
    for wrong in ["", "none", &format!("{unknown},"), &many] {
        let answer = app.get(&format!("{HEALTH}?ids={wrong}")).await;
        assert_eq!(answer.problems(422).len(), 1, "{wrong}: {}", answer.text);
    }
}

#[tokio::test]
async fn outcomes_of_events_are_those_of_their_newest_attempts() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply_with(|request| if request.path == "/ok" { Reply::ok() } else { Reply::status(500) });
    app.webhook(&receiver.url("/ok"), json!({ "events": ["a"] })).await;
    app.webhook(&receiver.url("/once"), json!({ "events": ["a"], "retry_schedule": [] })).await;
    app.webhook(&receiver.url("/again"), json!({ "events": ["a"], "retry_schedule": ["8m"] })).await;
    let event = app.post_event("a", json!(1)).await;
    let nobody = app.post_event("b", json!(1)).await;
    app.rows_when(|rows| rows.len() == 4 && rows.iter().filter(|r| r["status"] == "pending").count() == 1)
        .await;
    let path = format!("/admin/api/event-outcomes?ids={nobody},{event}");
    let outcome = |id: &str, delivered: u64, retrying: u64, exhausted: u64| {
        json!({ "id": id, "delivered": delivered, "pending": 0, "retrying": retrying,
                "exhausted": exhausted, "cancelled": 0 })
    };
    let expected = json!([outcome(&nobody, 0, 0, 0), outcome(&event, 1, 1, 1)]);
    assert_eq!(app.get(&path).await.expect(200)["data"], expected);
    assert_eq!(app.get("/admin/api/event-outcomes").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn the_echo_receiver_shows_a_verified_delivery() {
    let app = TestApp::with(|c| c.network.allow = vec![]).await;
    let admin = signed_in(&app, Role::Admin).await;
    let made = admin.send(Method::POST, ECHO, json!({})).await.expect(201);
    let id = made["id"].as_str().unwrap();
    assert!(made["signing_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(admin.send(Method::POST, ECHO, json!({})).await.expect(200), json!({ "id": id }));
    let hook = app.webhook_attributes(id).await;
    assert_eq!(
        (&hook["name"], &hook["url"]),
        (&json!("Echo receiver"), &json!("http://echo.postrider.invalid/"))
    );
    assert_eq!(hook["events"], json!(["*"]));

    app.post_event("license.assigned", json!({ "n": 1 })).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let detail = app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.attributes();
    let body: Value = serde_json::from_str(detail["response"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({ "verified": true, "event_type": "license.assigned", "bytes": 7 }));
    assert_eq!(detail["request"]["url"], "http://echo.postrider.invalid/");
    assert!(detail["request"]["headers"].to_string().contains("webhook-signature"));

    let rotate = format!("/v1/webhooks/{id}/rotate-secret");
    app.post(&rotate, json!({ "overlap": "0s" })).await.expect(200);
    let encrypted = json!({ "encrypted": true });
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{id}"), encrypted).await.expect(200);
    let test = app.post(&format!("/v1/webhooks/{id}/test"), json!({})).await.attributes();
    assert_eq!((&test["delivered"], &test["http_status"]), (&json!(true), &json!(200)), "{test}");

    app.delete(&format!("/v1/webhooks/{id}")).await.expect(204);
    let second = admin.send(Method::POST, ECHO, json!({})).await.expect(201);
    assert_ne!(second["id"], made["id"], "a deleted one is created again");
}

#[tokio::test]
async fn there_is_one_echo_receiver_for_each_app() {
    let app = TestApp::start().await;
    let ask = || app.post(ECHO, json!({}));
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let mut statuses = [a.status, b.status, c.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201]);
    assert!(a.json()["id"] == b.json()["id"] && b.json()["id"] == c.json()["id"]);
    let other = app.app("other").await.to_string();
    let theirs = send(app.request(Method::POST, ECHO).header("x-app-id", other)).await.expect(201);
    assert_ne!(theirs["id"], a.json()["id"]);
}
