//! The dashboard and the analysis that Devdraft's documents make of a webhook can be made of ours: a
//! script in the language of these documents finds nothing undefined.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::create;
use crate::support::app::never_disable;
use crate::support::programs::{is_here, run};
use crate::support::{Receiver, Reply, TestApp};

/// What the script makes of the webhook, which fails the test when anything is undefined.
async fn monitored(app: &TestApp, id: &Value) -> Value {
    let path = format!("/api/v0/webhooks/{}?include_events=true&events_limit=100", id.as_str().unwrap());
    let webhook = app.get(&path).await.expect(200);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("webhook.json"), webhook.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/v0/monitoring.mjs");
    let output = run(dir.path(), "node", &[script.to_str().unwrap(), "webhook.json"], &[]).await;
    assert!(output.status.success(), "{}\n{webhook:#}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn dashboards_and_analyses_find_no_value_undefined() {
    if !is_here("node") {
        return;
    }
    let app = TestApp::with(never_disable).await;
    let receiver = Receiver::start().await;
    let made = create(&app, json!({ "url": receiver.url("/"), "name": "Payments" })).await;
    // Nothing has happened yet.
    let fresh = monitored(&app, &made["id"]).await;
    assert_eq!(fresh["dashboard"]["performance"]["eventsToday"], 0);
    assert_eq!(fresh["analysis"]["trends"]["responseTimes"], Value::Null);

    // Delivered, failed with a status, failed without one, waiting for a retry, and waiting for the first.
    let schedule = async |steps: Value| {
        let uuid = uuid::Uuid::parse_str(&made["id"].as_str().unwrap()[3..]).unwrap();
        let path = format!("/v1/webhooks/{uuid}");
        app.with_json(Method::PATCH, &path, json!({ "retry_schedule": steps })).await.expect(200);
        path
    };
    app.post_event("payment.completed", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    let path = schedule(json!([])).await;
    receiver.reply(Reply::status(500));
    app.post_event("payment.failed", json!(1)).await;
    app.row_when(|row| row["response_status"] == 500).await;
    schedule(json!(["1h"])).await;
    app.post_event("payment.late", json!(1)).await;
    app.row_when(|row| row["status"] == "pending" && row["attempt"] == 2).await;
    schedule(json!([])).await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = json!({ "url": format!("http://{nobody}/") });
    app.with_json(Method::PATCH, &path, gone).await.expect(200);
    app.post_event("payment.lost", json!(1)).await;
    app.row_when(|row| row["error_kind"] == "connect").await;
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    app.post_event("payment.waiting", json!(1)).await;

    let seen = monitored(&app, &made["id"]).await;
    assert_eq!(seen["dashboard"]["webhook"]["status"], "Inactive");
    let statuses: Vec<&str> = seen["dashboard"]["activity"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["pending", "failed", "pending", "failed", "delivered"]);
    let analysis = &seen["analysis"];
    assert_eq!(analysis["overall"]["events"], 5);
    assert_eq!(analysis["trends"]["failureRateToday"], json!(40));
    assert!(analysis["trends"]["responseTimes"]["median"].is_number());
    assert_eq!(analysis["recommendations"], json!(["verify the URL", "check the server"]));
    assert_eq!(analysis["health"][0], "critical");
}
