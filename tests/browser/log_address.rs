//! Search, filters, order and the open row are in the address: a link reproduces the view.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::{Stage, sign_in};
use crate::support::Reply;

/// The rows that are shown, as words.
async fn rows(page: &Page, count: usize) -> Value {
    let there = "(() => { const all_ = all('tbody tr[data-key]'); return !document.querySelector('[aria-busy=true]') && all_.length === args && all_.map((r) => r.dataset.key); })()";
    page.until_with(&format!("{count} rows"), there, json!(count)).await
}

#[tokio::test]
async fn a_link_reproduces_search_filters_order_and_the_open_row() {
    let stage = Stage::set().await;
    let shop = stage.webhook("Shop", "/shop").await;
    stage.webhook("Ledger", "/ledger").await;
    stage.receiver.reply_with(|request| match request.header("x-webhook-event") {
        Some("order.paid") if request.path == "/shop" => Reply::status(500),
        Some("order.shipped") if request.path == "/shop" => Reply::status(404),
        Some("order.returned") => Reply::status(503),
        _ => Reply::ok(),
    });
    for event_type in ["order.paid", "order.shipped", "order.paid", "order.returned", "user.left"] {
        let id = stage.app.post_event(event_type, json!({})).await;
        let ended = |row: &&Value| row["event_id"] == id.as_str() && row["status"] != "pending";
        stage.app.rows_when(|rows| rows.iter().filter(ended).count() == 2).await;
    }
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries").await;
    rows(&page, 10).await;
    page.pick("Webhook", "Shop").await;
    rows(&page, 5).await;
    page.choose("Status", "Failed").await;
    rows(&page, 4).await;
    page.choose("Event", "All order events").await;
    page.choose("Time range", "Last 24 hours").await;
    page.fill("Search webhook, URL, event or ID", "paid").await;
    rows(&page, 2).await;
    page.fill("Search webhook, URL, event or ID", "order").await;
    rows(&page, 4).await;
    page.press("Response Code").await;
    page.until("the order", "all('th[aria-sort=descending]').length === 1").await;
    let shown = rows(&page, 4).await;
    page.click("tbody tr[data-key]:nth-child(2)").await;
    page.sees_in("aside.panel h2", &format!("Delivery {}", shown[1].as_str().unwrap())).await;

    let query = page.query().await;
    let has = |name: &str, value: &str| query.iter().any(|(n, v)| n == name && v == value);
    assert!(has("endpoint_id", &shop) && has("event_type", "order.*") && has("last", "24h"), "{query:?}");
    assert!(has("q", "order") && has("sort", "-response_status") && has("status", "exhausted"), "{query:?}");
    assert!(has("open", shown[1].as_str().unwrap()), "{query:?}");
    let link = page.address().await;

    // A colleague, elsewhere.
    let colleague = stage.user(Role::Admin).await;
    let other = stage.page().await;
    other.goto(&link).await;
    sign_in(&other, &colleague).await;
    assert_eq!(rows(&other, 4).await, shown);
    other.sees_in("aside.panel h2", &format!("Delivery {}", shown[1].as_str().unwrap())).await;
    let chosen = "all('.toolbar select').filter((s) => s.value).map((s) => s.selectedOptions[0].text).concat(all('.toolbar [role=combobox]').map((e) => e.value))";
    let chosen = other.until("what is chosen", chosen).await;
    for word in ["Shop", "Failed", "All order events", "Last 24 hours"] {
        assert!(chosen.as_array().unwrap().contains(&json!(word)), "{word} in {chosen}");
    }
    other.close().await;

    // Back goes through the views, and clearing shows everything.
    page.js("history.back()", vec![]).await;
    page.until("the panel to go", "!document.querySelector('aside.panel')").await;
    assert_eq!(rows(&page, 4).await, shown);
    page.press("Clear").await;
    rows(&page, 10).await;
    page.close().await;
}
