//! An app with more webhooks than one page of the API holds.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;

/// One more than the largest page.
const MANY: usize = 201;

#[tokio::test]
async fn names_come_with_the_attempts_and_the_picker_finds_every_webhook() {
    let stage = Stage::set().await;
    // The oldest: the last one of every list.
    let oldest = stage.webhook("Ledger", "/ledger").await;
    let deleted = stage.webhook("Old shop", "/old").await;
    stage.ended_event("order.paid", json!({ "order": 0 })).await;
    let posted = stage.app.post_event("order.paid", json!({ "order": 1 })).await;
    stage.app.rows_when(|rows| rows.iter().filter(|r| r["status"] == "delivered").count() == 4).await;
    stage.app.delete(&format!("/v1/webhooks/{deleted}")).await.expect(204);
    for n in 0..MANY {
        let other = json!({ "name": format!("Other {n}"), "events": ["none"] });
        stage.app.webhook(&stage.receiver.url("/other"), other).await;
    }

    let page = stage.signed_in(Role::Admin, &format!("events/{posted}")).await;
    page.sees_in(".went", "Ledger").await;
    page.sees_in(".went", "Old shop").await;
    assert_eq!(page.js("return document.body.innerText.includes('A deleted webhook')", vec![]).await, false);
    page.press("Replay").await;
    page.pick("To", "Ledger").await;
    page.press("Replay").await;
    page.sees_in("dialog", "Done: 1 of 1 delivery succeeded.").await;
    page.press("Close").await;

    page.goto("webhook-deliveries").await;
    page.until("all attempts", "all('tbody tr[data-key]').length === 5").await;
    page.click("[role=combobox]").await;
    page.sees_in(".picker-pop", &format!("{} more", MANY + 1 - 20)).await;
    page.pick("Webhook", "Ledger").await;
    page.until("those of the webhook", "all('tbody tr[data-key]').length === 3").await;
    assert_eq!(page.address().await, format!("webhook-deliveries?endpoint_id={oldest}"));
    // With rows, without any, and of a webhook that is gone.
    for (address, name) in [
        (format!("webhook-deliveries?endpoint_id={oldest}"), "Ledger"),
        (format!("webhook-deliveries?endpoint_id={oldest}&status=cancelled"), "Ledger"),
        (format!("webhook-deliveries?endpoint_id={deleted}"), "Old shop"),
        (format!("webhook-deliveries?endpoint_id={deleted}&status=cancelled"), "A deleted webhook"),
    ] {
        page.goto(&address).await;
        page.until_with(name, "all('[role=combobox]')[0].value === args", json!(name)).await;
    }
    // By keyboard: type, take the first match; then back to all of them.
    page.goto("webhook-deliveries").await;
    page.click("[role=combobox]").await;
    page.keys("ledg").await;
    page.until(
        "one match",
        "all('[role=option]').length === 2 && all('[role=option].active')[0].innerText.startsWith('Ledger')",
    )
    .await;
    page.keys("\u{e007}").await;
    page.until("those of the webhook", "all('tbody tr[data-key]').length === 3").await;
    page.pick("Webhook", "Any webhook").await;
    page.until("all attempts", "all('tbody tr[data-key]').length === 5").await;
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("404")).await;
}
