//! The nodes on the page *About*: none are listed for a single one, and with several it says what is wrong.
//!
//! The page is told of nodes that there are not: how the server comes to know of nodes is tested elsewhere.

use postrider::domain::Role;
use postrider::host::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::every_page::look;
use crate::page::Page;
use crate::stage::Stage;

/// Replaces what the server says of itself.
const TELL: &str = "const real = window.fetch;
    window.fetch = async (request, ...rest) => {
      const response = await real(request, ...rest);
      if (!String(request.url ?? request).includes('admin/api/about')) return response;
      const about = await response.json();
      about.storage = { ...about.storage, kind: 'postgresql', version: '16.4' };
      about.cluster = CLUSTER;
      return new Response(JSON.stringify(about), { status: 200, headers: { 'Content-Type': 'application/json' } });
    };";

/// A node that is well, apart from `changes`.
fn node(name: &str, changes: Value) -> Value {
    let (now, since) = (SystemClock.now(), SystemClock.now().plus_ms(-3 * 86_400_000));
    let mut node = json!({
        "name": name, "version": "0.1.0", "since": since.to_string(), "shards": 85, "in_flight": 12,
        "last_seen_at": now.plus_ms(-1_200).to_string(), "leader": false, "listening": true, "state": "live",
    });
    for (field, value) in changes.as_object().into_iter().flatten() {
        node[field] = value.clone();
    }
    node
}

/// The page *About* of a server with these nodes.
async fn about(page: &Page, nodes: &[Value], differ: bool) {
    let cluster = json!({ "nodes": nodes, "configurations_differ": differ });
    let source = TELL.replace("CLUSTER", &cluster.to_string());
    let added = page.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    page.goto("about").await;
    page.settled().await;
    page.cdp("Page.removeScriptToEvaluateOnNewDocument", json!({ "identifier": added["identifier"] })).await;
}

/// A picture in each scheme and width, in the directory that `POSTRIDER_TEST_PICTURES` names.
async fn photograph(page: &Page, name: &str) {
    let Some(directory) = std::env::var_os("POSTRIDER_TEST_PICTURES") else { return };
    for scheme in ["light", "dark"] {
        page.scheme(scheme).await;
        let file = std::path::Path::new(&directory).join(format!("{name}-{scheme}.png"));
        std::fs::write(file, page.screenshot().await).expect("the directory can be written");
    }
}

async fn text(page: &Page) -> String {
    let text = page.js("return document.querySelector('main').innerText", vec![]).await;
    text.as_str().expect("it is text").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_single_node_is_a_line_and_no_table() {
    let stage = Stage::with(|config| config.cluster.node = Some("only-one".to_owned())).await;
    let page = stage.signed_in(Role::Viewer, "about").await;
    page.sees("only-one").await;
    assert!(!text(&page).await.contains("Last seen"));
    photograph(&page, "one").await;
    about(&page, &[node("db-1", json!({ "shards": 256, "leader": true, "listening": false }))], false).await;
    let shown = text(&page).await;
    assert!(shown.contains("PostgreSQL 16.4") && shown.contains("No notifications"), "{shown}");
    assert!(!shown.contains("Last seen") && !shown.contains("Data directory"), "{shown}");
    photograph(&page, "one-postgresql").await;
    page.close().await;
}

#[tokio::test]
async fn several_nodes_are_listed_and_what_is_wrong_is_said() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Viewer, "about").await;
    let (mut found, leads) = (Vec::new(), || node("mail-1", json!({ "leader": true, "shards": 86 })));
    let long = "a-node-with-a-name-as-long-as-names-of-pods-are-postrider-6d5f9c7b8d-x2x7q";
    let gone_at = SystemClock.now().plus_ms(-14_000).to_string();
    let gone = json!({ "state": "gone", "last_seen_at": gone_at, "listening": false, "in_flight": 3 });
    let taken = json!({ "state": "gone", "last_seen_at": gone_at, "listening": false, "shards": 0 });
    for (name, nodes, differ, words) in [
        (
            "three",
            vec![leads(), node("mail-2", json!({})), node("mail-3", json!({}))],
            false,
            vec!["Leader", "3 live"],
        ),
        (
            "late",
            vec![leads(), node("mail-2", json!({ "state": "late" })), node("mail-3", json!({}))],
            false,
            vec!["mail-2 Late", "3 live"],
        ),
        (
            "stopping",
            vec![
                leads(),
                node("mail-2", json!({ "state": "stopping", "shards": 0 })),
                node("mail-3", json!({})),
            ],
            false,
            vec!["mail-2 Stopping", "3 live"],
        ),
        (
            "lost",
            vec![leads(), node("mail-2", json!({})), node("mail-3", gone)],
            false,
            vec!["mail-3 is gone (last seen", "about to take over its 85 shards", "2 of 3 live"],
        ),
        (
            "taken-over",
            vec![leads(), node("mail-2", json!({ "shards": 170 })), node("mail-3", taken)],
            false,
            vec!["The other nodes send to all webhooks."],
        ),
        (
            "trouble",
            vec![
                leads(),
                node("mail-2", json!({ "listening": false })),
                node(long, json!({ "version": "0.2.0" })),
            ],
            true,
            vec![
                "The nodes have different configurations.",
                "Notifications do not reach mail-2.",
                "storage.listen_url",
                "different versions (0.1.0 and 0.2.0)",
            ],
        ),
    ] {
        for width in [1280, 390] {
            page.width(width).await;
            about(&page, &nodes, differ).await;
            let shown = text(&page).await;
            for word in &words {
                assert!(shown.contains(word), "{name}: {word} is not in {shown}");
            }
            look(&page, &format!("{name} at {width}"), &mut found).await;
            photograph(&page, &format!("{name}-{width}")).await;
        }
    }
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    page.close().await;
}
