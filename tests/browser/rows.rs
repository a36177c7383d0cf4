//! Rows of the delivery log and the panel say the same.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::json;

use crate::stage::Stage;
use crate::support::Reply;

#[tokio::test]
async fn the_attempt_of_a_row_is_that_of_its_details_and_a_test_has_no_retries() {
    let stage = Stage::set().await;
    stage.receiver.reply(Reply::status(500));
    let fields = json!({ "name": "Shop", "retry_schedule": ["2m", "8m", "20m"] });
    let hook = stage.app.webhook(&stage.receiver.url("/shop"), fields).await.id;
    stage.app.post_event("order.paid", json!({})).await;
    stage.app.row_when(|row| row["status"] == "failed").await;
    stage.app.post(&format!("/v1/webhooks/{hook}/test"), json!({})).await.expect(200);
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries?view=attempts").await;
    page.until("test, retry and first attempt", "all('tbody tr[data-key]').length === 3").await;
    let numbers = "return [...document.querySelectorAll('tbody tr[data-key]')].map((row) =>
      row.querySelectorAll('td')[[...document.querySelectorAll('thead th')].findIndex((th) => th.innerText === 'Attempt')].innerText.trim())";
    assert_eq!(page.js(numbers, vec![]).await, json!(["1", "2", "1"]));
    page.click("tbody tr[data-key]:nth-child(3)").await;
    page.sees_in("aside.panel .summary-bar", "Attempt 1 of 2").await;
    page.close().await;
}

#[tokio::test]
async fn nothing_of_a_paused_webhook_is_announced_as_next() {
    let stage = Stage::set().await;
    stage.receiver.reply(Reply::status(500));
    let fields = json!({ "name": "Shop", "retry_schedule": ["8m"] });
    let hook = stage.app.webhook(&stage.receiver.url("/shop"), fields).await.id;
    stage.app.post_event("order.paid", json!({})).await;
    stage.app.row_when(|row| row["status"] == "failed").await;
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries?view=attempts").await;
    page.sees_in("tbody tr:nth-child(2)", "next").await;
    let pause = json!({ "status": "paused" });
    stage.app.with_json(Method::PATCH, &format!("/v1/webhooks/{hook}"), pause).await.expect(200);
    page.reload().await;
    page.sees_in("tbody tr:nth-child(1)", "paused").await;
    let row = page.sees_in("tbody tr:nth-child(2)", "paused").await;
    assert!(!row.contains("next"), "{row}");
    // The details agree.
    page.click("tbody tr[data-key]:nth-child(2)").await;
    page.sees_in("aside.panel .note", "paused").await;
    page.close().await;
}
