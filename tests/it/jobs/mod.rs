//! Bulk jobs (sections 1, 5 and 8 of the contract), through the whole server.

mod access;
mod recovery;
mod retry;
mod running;

use serde_json::{Value, json};

use crate::support::app::{Answer, Webhook, never_disable};
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
