//! Where requests may go.

use std::net::IpAddr;

use super::*;

fn exhausted(rows: &[Value]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| row["status"] == "exhausted")
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_blocked_and_nothing_is_sent() {
    let receiver = Receiver::start().await;
    let lookup = |host: &str| -> std::io::Result<Vec<IpAddr>> {
        Ok(match host {
            "inside.example" => vec!["127.0.0.1".parse().unwrap()],
            // One bad address is enough.
            _ => vec!["93.184.216.34".parse().unwrap(), "127.0.0.1".parse().unwrap()],
        })
    };
    let app = TestApp::with_lookup(|config| config.network.allow.clear(), lookup).await;
    for host in ["inside.example", "mixed.example"] {
        app.webhook(&receiver.url_as(host, "/"), json!({ "retry_schedule": [] })).await;
    }
    app.post_event("a.b", json!(1)).await;
    let rows = app.rows_when(|rows| rows.len() == 2 && exhausted(rows)).await;
    for row in rows {
        assert_eq!((&row["error_kind"], &row["response_status"]), (&json!("blocked_address"), &Value::Null));
        let message = row["error_message"].as_str().unwrap();
        assert!(message.contains("network.allow") && message.contains("127.0.0.1"), "{message}");
        let detail = app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.attributes();
        assert_eq!(detail["response"], Value::Null);
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_system_event_does_not_name_the_private_address() {
    let watcher = Receiver::start().await;
    let lookup = |host: &str| -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![if host == "inside.example" { [10, 1, 2, 3].into() } else { [127, 0, 0, 1].into() }])
    };
    let app = TestApp::with_lookup(|config| crate::support::app::disable_after(config, 4), lookup).await;
    app.webhook(&watcher.url_as("watcher.example", "/"), json!({ "events": ["webhook_endpoint.*"] })).await;
    app.webhook("http://inside.example/", json!({ "events": ["a.*"], "retry_schedule": [] })).await;
    for n in 0..2 {
        app.post_event("a.b", json!(n)).await;
        app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "exhausted").count() == n + 1).await;
    }
    let told = watcher.next().await.json();
    assert_eq!(
        (&told["type"], &told["data"]["error_kind"]),
        (&json!("webhook_endpoint.failing"), &json!("blocked_address"))
    );
    let message = told["data"]["message"].as_str().unwrap();
    assert!(message.ends_with(", the last one with a blocked address."), "{message}");
    assert!(!told.to_string().contains("10.1.2.3"), "{told}");
}

#[tokio::test]
async fn a_name_is_checked_again_before_every_attempt() {
    let receiver = Receiver::start().await;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let lookup = move |_: &str| -> std::io::Result<Vec<IpAddr>> {
        // Resolved to an allowed address for the first attempt, and to a blocked one from then on.
        let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2;
        Ok(vec![if first { "127.0.0.1" } else { "10.0.0.1" }.parse().unwrap()])
    };
    let app = TestApp::with_lookup(|_| {}, lookup).await;
    app.webhook(&receiver.url_as("moving.example", "/"), json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    app.post_event("a.b", json!(2)).await;
    let row = app.row_when(|row| row["status"] == "exhausted").await;
    assert_eq!(row["error_kind"], "blocked_address", "although a connection is still open");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn an_address_that_is_no_longer_allowed_is_blocked() {
    let receiver = Receiver::start().await;
    let app = TestApp::start().await;
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    let mut stopped = app.stop_within(std::time::Duration::from_secs(1)).await;
    stopped.config.network.allow.clear();
    let app = stopped.start().await;
    app.post_event("a.b", json!(1)).await;
    let rows = app.rows_when(exhausted).await;
    assert_eq!(rows[0]["error_kind"], "blocked_address");
    assert_eq!(receiver.connections(), 0);
    let made = app.post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await;
    assert_eq!(made.problems(422), [("validation_failed".to_owned(), Some("/url".to_owned()))]);
}

#[tokio::test]
async fn only_the_scope_admin_sees_the_address_that_a_name_resolves_to() {
    let lookup = |_: &str| -> std::io::Result<Vec<IpAddr>> { Ok(vec![[10, 1, 2, 3].into()]) };
    let app = TestApp::with_lookup(|_| {}, lookup).await;
    let hook = app.webhook("http://inside.example/", json!({ "retry_schedule": [] })).await;
    app.post_event("a.b", json!(1)).await;
    let row = app.rows_when(exhausted).await.remove(0);
    let tenant = app.key("webhooks:read,webhooks:write", None).await;
    let paths = [
        "/v1/webhooks/deliveries".to_owned(),
        format!("/v1/webhooks/{}/deliveries", hook.id),
        format!("/v1/webhooks/deliveries/{}", row["id"]),
        format!("/v1/webhooks/{}/health", hook.id),
        "/v1/webhooks/deliveries/export?format=csv".to_owned(),
        "/v1/webhooks/deliveries/export?format=jsonl".to_owned(),
        format!("/api/v0/webhooks/wh_{}?include_events=true", hook.id.replace('-', "")),
    ];
    for path in &paths {
        let theirs = send(app.request_as(&tenant, Method::GET, path)).await;
        assert!(
            theirs.status == 200 && theirs.text.contains("resolves to a private address"),
            "{path}: {theirs:?}"
        );
        assert!(!theirs.text.contains("10.1.2.3"), "{path}: {theirs:?}");
        assert!(app.get(path).await.text.contains("10.1.2.3"), "{path}");
    }
    let test = format!("/v1/webhooks/{}/test", hook.id);
    let theirs = send(json_body(app.request_as(&tenant, Method::POST, &test), "{}".to_owned())).await;
    assert!(theirs.text.contains("resolves to a private address"), "{theirs:?}");
    assert!(app.post(&test, json!({})).await.text.contains("10.1.2.3"));
}
