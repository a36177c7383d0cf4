//! `/v1/webhooks/…/deliveries`: rows and their detail. Lists, filters and orders: [`super::log_lists`].

use reqwest::Method;
use serde_json::{Value, json};

use super::redacted;
use crate::support::app::send;
use crate::support::{Receiver, Reply, TestApp};

/// The numbers of rows, which depend on nothing that matters here.
fn shown(list: Value) -> Value {
    redacted(list)
}

#[tokio::test]
async fn a_row_is_listed_here_there_and_in_detail() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(
        Reply::status(503)
            .header("x-a", "1")
            .header("x-a", "2")
            .body(format!("caf\u{e9} {}", "x".repeat(600))),
    );
    let hook = app
        .webhook(&receiver.url("/hook?token=t"), json!({ "retry_schedule": ["2m"], "name": "Billing" }))
        .await;
    let body = json!({ "event_type": "validation.done", "payload": { "ok": true }, "resource_id": "V-1" });
    app.post("/v1/events", body).await.expect(202);
    let rows = app.rows_when(|rows| rows.len() == 2).await;
    let here = app.get(&format!("/v1/webhooks/{}/deliveries", hook.id)).await.expect(200);
    assert_eq!(here["data"][1]["attributes"]["response_body"].as_str().unwrap().chars().count(), 500);
    insta::assert_json_snapshot!("of_one", shown(here));
    let there = app.get("/v1/webhooks/deliveries").await.expect(200);
    insta::assert_json_snapshot!("of_all", shown(there));
    let path = format!("/v1/webhooks/deliveries/{}", rows[1]["id"]);
    let mut detail = app.get(&path).await.expect(200);
    let request = detail["data"]["attributes"]["request"]["headers"].as_object_mut().unwrap();
    for name in ["user-agent", "host"] {
        request.remove(name);
    }
    let response = detail["data"]["attributes"]["response"]["headers"].as_object_mut().unwrap();
    response.remove("date");
    let timings = detail["data"]["attributes"]["timings"].as_object_mut().unwrap();
    for name in ["dns_ms", "connect_ms", "first_byte_ms"] {
        let took = timings.insert(name.to_owned(), json!("[ms]")).unwrap();
        assert!(took.as_u64().unwrap() < 30_000, "{name}: {took}");
    }
    insta::assert_json_snapshot!("detail", shown(detail));
    let pending = app.get(&format!("/v1/webhooks/deliveries/{}", rows[0]["id"])).await.attributes();
    assert_eq!((pending.get("response"), &pending["status"]), (Some(&Value::Null), &json!("pending")));
    assert_eq!(pending["due_at"], "2026-03-01T12:02:00.000Z");
}

#[tokio::test]
async fn a_delivery_is_retried_by_hand() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(1)).await;
    let first = app.row_when(|row| row["status"] == "exhausted").await;
    let retry = |id: &Value| app.request(Method::POST, &format!("/v1/webhooks/deliveries/{id}/retry"));
    receiver.reply(Reply::ok());
    let hold = receiver.hold();
    let second = send(retry(&first["id"])).await.expect(202);
    insta::assert_json_snapshot!("retried", shown(second.clone()));
    // The first request and this one: from here on it is in flight, before that it could be sent now.
    receiver.next_n(2).await;
    let answer = send(retry(&first["id"])).await;
    assert_eq!(answer.problems(409), [("conflict".to_owned(), None)]);
    hold.release();
    let rows = app.rows_when(|rows| rows[0]["status"] == "delivered").await;
    assert_eq!((&rows[0]["id"], &rows[1]["status"]), (&second["data"]["id"], &json!("failed")));
    let third = send(retry(&first["id"])).await.expect(202);
    assert_eq!(
        (&third["data"]["attributes"]["attempt"], &third["data"]["attributes"]["trigger"]),
        (&json!(1), &json!("manual"))
    );
    assert_eq!(third["data"]["attributes"]["delivery_id"], third["data"]["id"]);
    send(retry(&json!(999_999))).await.problems(404);
}
