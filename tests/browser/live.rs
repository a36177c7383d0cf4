//! The delivery log while it grows: new rows are announced and do not move what is being read.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;

/// The rows as they are drawn: key, distance from the top, words.
const ROWS: &str = "return [...document.querySelectorAll('tbody tr[data-key]')]
    .map((r) => [r.dataset.key, r.getBoundingClientRect().top])";

#[tokio::test]
async fn new_rows_are_announced_and_nothing_moves_until_they_are_requested() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    for n in 0..3 {
        stage.ended_event("order.paid", json!({ "order": n })).await;
    }
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries").await;
    page.sees_in(".live", "Live").await;
    page.settled().await;
    let before = page.js(ROWS, vec![]).await;
    assert_eq!(before.as_array().unwrap().len(), 3);

    stage.ended_event("order.shipped", json!({ "order": 0 })).await;
    stage.ended_event("order.shipped", json!({ "order": 1 })).await;
    page.sees_in("button.news", "2 new").await;
    let spoken = "[...document.querySelectorAll('.sr-only[aria-live]')].some((e) => /^\\d new$/.test(e.innerText.trim()))";
    page.until("words for screen readers", spoken).await;
    assert_eq!(page.js(ROWS, vec![]).await, before, "the rows stand where they stood");

    page.press("2 new").await;
    page.until("all five", "all('tbody tr[data-key]').length === 5").await;
    page.sees_in("tbody tr[data-key]:first-child", "order.shipped").await;
    assert!(!page.offers("2 new").await);
    page.close().await;
}

#[tokio::test]
async fn a_pending_row_is_updated_in_place() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    stage.ended_event("order.paid", json!({ "order": 0 })).await;
    let page = stage.signed_in(Role::Viewer, "").await;
    let hold = stage.receiver.hold();
    stage.app.post_event("order.shipped", json!({ "order": 0 })).await;
    stage.receiver.next().await;
    page.goto("webhook-deliveries").await;
    page.sees_in("tbody tr[data-key]:first-child", "Pending").await;
    page.sees_in(".live", "Live").await;
    page.settled().await;
    let before = page.js(ROWS, vec![]).await;
    hold.release();
    let row = page.sees_in("tbody tr[data-key]:first-child", "Delivered").await;
    assert!(row.contains("order.shipped") && row.contains("200"), "{row}");
    assert_eq!(page.js(ROWS, vec![]).await, before);
    page.close().await;
}
