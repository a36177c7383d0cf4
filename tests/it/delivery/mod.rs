//! The rules of delivery (sections 1, 7, 8 and 9 of the contract), through the whole server.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Webhook, json_body, send};
use crate::support::{Hostile, Receiver, Reply, TestApp, in_time};

mod fairness;
mod filters;
mod hold;
mod jose;
mod local;
mod manual;
mod network;
mod presets;
mod schedule;
mod shaped;
mod signing;
mod stop;
mod switching_off;
mod tests;

/// The statuses of these rows, newest first.
fn statuses(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["status"].as_str().expect("a row has a status")).collect()
}

/// Checks that exactly one row of each delivery is not `failed`, and that attempt numbers are consecutive.
#[track_caller]
fn assert_chains(rows: &[Value]) {
    let mut deliveries: HashMap<i64, Vec<&Value>> = HashMap::new();
    for row in rows {
        deliveries.entry(row["delivery_id"].as_i64().unwrap()).or_default().push(row);
    }
    for (id, mut chain) in deliveries {
        chain.reverse();
        let open = chain.iter().filter(|row| row["status"] != "failed").count();
        assert_eq!(open, 1, "delivery {id}: {chain:#?}");
        assert_ne!(
            chain[chain.len() - 1]["status"],
            "failed",
            "the newest row has the status of the delivery"
        );
        assert_eq!(chain[0]["id"], id);
        for (i, row) in chain.iter().enumerate() {
            assert_eq!(row["attempt"], i + 1, "{chain:#?}");
        }
    }
}

/// Updates a webhook.
async fn patch(app: &TestApp, hook: &Webhook, fields: Value) -> Value {
    let changed = app.with_json(Method::PATCH, &format!("/v1/webhooks/{}", hook.id), fields).await;
    changed.expect(200)["data"]["attributes"].clone()
}

/// Requests a retry of this row.
async fn retry(app: &TestApp, row: &Value) -> crate::support::app::Answer {
    send(app.request(Method::POST, &format!("/v1/webhooks/deliveries/{}/retry", row["id"]))).await
}

/// Posts an event whose payload is exactly this text.
async fn post_raw(app: &TestApp, event_type: &str, payload: &str) -> String {
    let body = format!("{{\"event_type\":\"{event_type}\",\"payload\":{payload}}}");
    let posted = send(json_body(app.request(Method::POST, "/v1/events"), body)).await.expect(202);
    posted["data"]["id"].as_str().unwrap().to_owned()
}
