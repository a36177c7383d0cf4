//! Lists by the keyboard: `j` and `k` move, Enter opens.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn every_list_is_walked_with_j_and_k_and_opened_with_enter() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    stage.webhook("Ledger", "/ledger").await;
    stage.ended_event("order.paid", json!({})).await;
    let page = stage.signed_in(Role::Owner, "webhooks").await;
    page.until("two webhooks", "all('tbody tr[data-key]').length === 2").await;
    let marked = |name: &str| {
        format!(
            "all('tbody tr.active')[0]?.innerText.includes('{name}') && document.activeElement.closest('tr.active') !== null"
        )
    };
    // Both are healthy, so the oldest stands first; the cursor stays at the ends.
    for (keys, name) in [("j", "Shop"), ("j", "Ledger"), ("j", "Ledger"), ("k", "Shop"), ("k", "Shop")] {
        page.keys(keys).await;
        page.until(name, &marked(name)).await;
    }
    page.keys("\u{e007}").await;
    page.sees_in("h1", "Shop").await;
    page.press("Events").await;
    page.until("the event", "all('tbody tr[data-key]').length === 1").await;
    page.keys("j").await;
    page.until("a cursor", &marked("order.paid")).await;
    page.keys("\u{e007}").await;
    page.sees_in("h1", "order.paid").await;
    page.press("Logs").await;
    page.until("some entries", "all('tbody tr[data-key]').length > 2").await;
    page.keys("jj").await;
    page.until("the second", "all('tbody tr[data-key]')[1].classList.contains('active')").await;
    page.close().await;
}
