//! Who may see and start jobs, and what is noted of them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{exhausted, job, numbers, patient, retry};
use crate::support::Receiver;
use crate::support::app::{json_body, send};

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
