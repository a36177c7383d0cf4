//! The default policy, where every address can really be reached: a network of its own, whose loopback
//! interface has a private, a shared, a link-local, a metadata and a public address. Only the public one may
//! get a request. Where such networks are not permitted, a line says so.

use std::process::Command;

use postrider::delivery::sending::guard::SystemLookup;
use serde_json::json;

use crate::support::{Receiver, TestApp, in_time, programs};

/// Addresses of the interface; the port is the receiver's.
const BLOCKED: [&str; 7] = [
    "127.0.0.1",
    "localhost",
    "10.99.0.1",
    "100.64.0.9",
    "169.254.169.254",
    "192.168.7.7",
    "[::ffff:10.99.0.1]",
];
const OPEN: &str = "11.22.33.44";

#[tokio::test]
async fn by_default_only_the_public_address_of_many_that_answer_is_reached() {
    let permitted = Command::new("unshare").args(["-rn", "ip", "link", "set", "lo", "up"]).output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: networks of one's own (unshare -rn) are not permitted here");
        return;
    }
    let mut setup = "ip link set lo up".to_owned();
    for address in ["10.99.0.1", "100.64.0.9", "169.254.169.254", "192.168.7.7", OPEN] {
        setup.push_str(&format!(" && ip addr add {address}/32 dev lo"));
    }
    let inside = "security::namespace::inside_a_network_of_its_own";
    let mut command = Command::new("unshare");
    command.args([
        "-rn",
        "sh",
        "-c",
        &format!("{setup} && exec \"$0\" --exact {inside} --ignored --nocapture"),
    ]);
    command.arg(std::env::current_exe().expect("this runs"));
    // No other user is known in there, as whom PostgreSQL could run.
    command.env_remove("POSTRIDER_TEST_STORAGE");
    let output = programs::ended(command).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[tokio::test]
#[ignore = "runs inside a network of its own, as a child of the test above"]
async fn inside_a_network_of_its_own() {
    let receiver = Receiver::everywhere().await;
    let port = receiver.addr().port();
    let app = TestApp::with_lookup(|c| c.network.allow.clear(), SystemLookup).await;
    let hosts = BLOCKED.iter().chain([&OPEN]);
    // A connection of the test's own first: each of the addresses answers.
    for host in hosts.clone() {
        tokio::net::TcpStream::connect(format!("{host}:{port}"))
            .await
            .unwrap_or_else(|e| panic!("{host}: {e}"));
    }
    let before = in_time("the connections of the test", async {
        while receiver.connections() < BLOCKED.len() + 1 {
            tokio::task::yield_now().await;
        }
        receiver.connections()
    })
    .await;
    for host in ["localhost", OPEN] {
        app.webhook(&format!("http://{host}:{port}/"), json!({ "events": ["*"], "retry_schedule": [] }))
            .await;
    }
    // What is refused when it is written is let in by the back door: allowed then, and blocked now.
    for host in BLOCKED.iter().filter(|host| **host != "localhost") {
        let url = format!("http://{host}:{port}/");
        let body = json!({ "url": url, "events": ["*"] });
        assert_eq!(
            app.post("/v1/webhooks", body).await.problems(422)[0].1.as_deref(),
            Some("/url"),
            "{host}"
        );
    }
    app.post_event("license.assigned", json!(1)).await;
    let rows = app.rows_when(|rows| rows.len() == 2 && rows.iter().all(|r| r["status"] != "pending")).await;
    for row in &rows {
        let is_open = row["endpoint_url"].as_str().is_some_and(|url| url.contains(OPEN));
        let expected = if is_open { json!("delivered") } else { json!("exhausted") };
        assert_eq!(row["status"], expected, "{row}");
        assert_eq!(row["error_kind"] == "blocked_address", !is_open, "{row}");
    }
    assert_eq!(receiver.connections(), before + 1, "of both, one was connected to");
}
