//! `delivery_stats`, `recent_events` and `health`.

use reqwest::Method;
use serde_json::{Value, json};

use super::{create, with_events};
use crate::support::app::never_disable;
use crate::support::{Receiver, Reply, TestApp};

const HOUR_MS: i64 = 3_600_000;

async fn stats(app: &TestApp, id: &Value) -> Value {
    with_events(app, id).await["delivery_stats"].clone()
}

#[tokio::test]
async fn a_webhook_without_deliveries_has_nothing_to_judge() {
    let app = TestApp::start().await;
    let made = create(&app, json!({ "url": "https://example.com/" })).await;
    let object = with_events(&app, &made["id"]).await;
    let expected = json!({
        "total_events": 0, "successful_deliveries": 0, "failed_deliveries": 0, "last_delivery": null,
        "success_rate": null, "average_response_time": null, "last_24h_events": 0, "last_24h_failures": 0,
    });
    assert_eq!(object["delivery_stats"], expected);
    let expected = json!({
        "success_rate": "unknown", "response_time": "unknown", "activity": "idle", "state": "idle",
        "since": "2026-03-01T12:00:00.000Z", "message": "No event since it was created on 1 Mar 12:00 UTC.",
    });
    assert_eq!(object["health"], expected);
    assert_eq!(object["recent_events"], json!([]));
}

#[tokio::test]
async fn deliveries_are_counted_and_not_attempts_nor_tests() {
    let app = TestApp::with(never_disable).await;
    let receiver = Receiver::start().await;
    let made = create(&app, json!({ "url": receiver.url("/") })).await;
    let uuid = uuid::Uuid::parse_str(&made["id"].as_str().unwrap()[3..]).unwrap().to_string();
    let schedule = json!({ "retry_schedule": ["1m"] });
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{uuid}"), schedule).await.expect(200);
    app.post(&format!("/v1/webhooks/{uuid}/test"), json!({})).await.expect(200);

    for _ in 0..2 {
        app.post_event("a.ok", json!(1)).await;
    }
    app.rows_when(|rows| rows.iter().filter(|r| r["status"] == "delivered").count() == 3).await;
    receiver.reply(Reply::status(500));
    app.post_event("a.bad", json!(1)).await;
    app.row_when(|row| row["attempt"] == 2).await;

    // It waits for its retry.
    let object = with_events(&app, &made["id"]).await;
    assert_eq!(object["delivery_stats"]["total_events"], 3);
    assert_eq!(object["delivery_stats"]["success_rate"], json!(100.0));
    let newest = &object["recent_events"][0];
    let seen = (&newest["delivery_status"], &newest["response_code"], &newest["retry_count"]);
    assert_eq!(seen, (&json!("pending"), &json!(500), &json!(0)));
    assert_eq!(newest["event_type"], "a.bad");

    app.clock.advance_ms(60_000);
    app.row_when(|row| row["status"] == "exhausted").await;
    let object = with_events(&app, &made["id"]).await;
    let stats = &object["delivery_stats"];
    let counts = ["total_events", "successful_deliveries", "failed_deliveries", "last_24h_failures"];
    assert_eq!(counts.map(|name| stats[name].as_u64().unwrap()), [3, 2, 1, 1]);
    assert_eq!(stats["success_rate"], json!(66.7));
    let newest = &object["recent_events"][0];
    assert_eq!((&newest["delivery_status"], &newest["retry_count"]), (&json!("failed"), &json!(1)));
    assert_eq!(object["recent_events"].as_array().unwrap().len(), 3);
    assert_eq!(object["health"]["success_rate"], "critical");
    let id = made["id"].as_str().unwrap();
    let limited = app.get(&format!("/api/v0/webhooks/{id}?include_events=true&events_limit=2")).await;
    assert_eq!(limited.expect(200)["recent_events"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_last_24_hours_end_after_24_hours() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let made = create(&app, json!({ "url": receiver.url("/") })).await;
    app.post_event("a.ok", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    app.clock.advance_ms(24 * HOUR_MS - 60_000);
    assert_eq!(stats(&app, &made["id"]).await["last_24h_events"], 1);
    // The window is exact to the minute.
    app.clock.advance_ms(120_000);
    let object = with_events(&app, &made["id"]).await;
    let stats = &object["delivery_stats"];
    assert_eq!((&stats["last_24h_events"], &stats["total_events"]), (&json!(0), &json!(1)));
    assert_eq!(object["health"]["activity"], "idle");
}
