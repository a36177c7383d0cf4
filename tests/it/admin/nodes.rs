//! The nodes that share the storage: in the overview, on the page *About*, and for whom.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::signed_in;
use crate::support::TestApp;
use crate::support::app::send;
use crate::support::postgres::is_wanted;

const OVERVIEW: &str = "/admin/api/overview";
const ABOUT: &str = "/admin/api/about";

fn node() -> Value {
    json!({
        "name": "here",
        "version": env!("CARGO_PKG_VERSION"),
        "since": "2026-03-01T12:00:00.000Z",
        "shards": 256,
        "in_flight": 0,
        "last_seen_at": "2026-03-01T12:00:00.000Z",
        "leader": true,
        "listening": true,
    })
}

#[tokio::test]
async fn a_node_that_is_alone_holds_all_shards_and_leads() {
    // With PostgreSQL the node is in a table, and takes its shards one after the other.
    if is_wanted() {
        return;
    }
    let app = TestApp::with(|config| config.cluster.node = Some("here".to_owned())).await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let overview = viewer.get(OVERVIEW).await.expect(200);
    assert_eq!(overview["nodes"], json!([node()]));
    assert_eq!(overview["configurations_differ"], false);
    let mut shown = node();
    shown["state"] = json!("live");
    let about = viewer.get(ABOUT).await.expect(200);
    assert_eq!(about["cluster"], json!({ "nodes": [shown], "configurations_differ": false }));
}

#[tokio::test]
async fn a_node_has_the_name_of_its_host_unless_it_is_given_one() {
    if is_wanted() {
        return;
    }
    let app = TestApp::start().await;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(app.get(OVERVIEW).await.expect(200)["nodes"][0]["name"], host.trim());
}

#[tokio::test]
async fn a_customers_key_sees_no_nodes() {
    let app = TestApp::start().await;
    assert_eq!(app.get(OVERVIEW).await.expect(200)["nodes"].as_array().map(Vec::len), Some(1));
    let key = app.key("webhooks:read,webhooks:write,events:read", None).await;
    let overview = send(app.request_as(&key, Method::GET, OVERVIEW)).await.expect(200);
    assert_eq!((&overview["nodes"], &overview["configurations_differ"]), (&json!([]), &json!(false)));
}
