//! How much comes over the wire before the first page can be read.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;

/// The promise: 120 KiB, compressed.
const AT_MOST: u64 = 120 * 1024;

/// Bytes of the page and of everything that it loaded, as sent, each with its size.
const SENT: &str =
    "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .map((e) => [e.name, e.encodedBodySize, e.decodedBodySize])";

#[tokio::test]
async fn the_first_load_is_small_and_comes_from_nowhere_else() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    for n in 0..60 {
        stage.app.post_event("order.paid", json!({ "order": n })).await;
    }
    stage.app.rows_when(|rows| rows.iter().all(|r| r["status"] == "delivered")).await;
    let page = stage.signed_in(Role::Owner, "").await;
    for path in ["", "webhook-deliveries", "sign-in"] {
        page.cdp("Network.clearBrowserCache", json!({})).await;
        page.goto(path).await;
        page.settled().await;
        let sent = page.js(SENT, vec![]).await;
        let sent = sent.as_array().expect("these are entries");
        let bytes: u64 = sent.iter().map(|e| e[1].as_u64().unwrap_or(0)).sum();
        let largest = sent.iter().max_by_key(|e| e[2].as_u64()).expect("something was loaded");
        println!("/admin/{path}: {bytes} bytes in {} answers; the largest: {largest}", sent.len());
        assert!(bytes > 20_000, "the cache was empty: {bytes}");
        assert!(bytes < AT_MOST, "{path:?} takes {bytes} bytes: {sent:#?}");
        assert!(largest[1].as_u64() < largest[2].as_u64(), "it was compressed: {largest}");
        for entry in sent {
            assert!(entry[0].as_str().unwrap().starts_with(&stage.app.base), "{entry} is from elsewhere");
        }
    }
    page.close().await;
}
