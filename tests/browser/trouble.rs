//! A receiver is in trouble: the dashboard says so first, sends what is pending on request, and offers what was missed.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::json;

use crate::stage::Stage;
use crate::support::Reply;

/// How many rows the log shows.
const ROWS: &str = "!document.querySelector('[aria-busy=true]') && all('tbody tr[data-key]').length === args";

#[tokio::test]
async fn a_hold_is_shown_and_ended_by_send_now() {
    let stage = Stage::set().await;
    let hook = stage.app.webhook(&stage.receiver.url("/shop"), json!({ "name": "Shop" })).await.id;
    stage.receiver.reply(Reply::status(429).header("retry-after", "3600"));
    for n in 0..3 {
        stage.app.post_event("order.paid", json!({ "order": n })).await;
    }
    stage.app.row_when(|row| row["response_status"] == 429).await;
    let page = stage.signed_in(Role::Admin, "").await;
    let row = page.sees_in(".attention-list li", "On hold").await;
    assert!(row.contains("Shop") && row.contains("3 pending deliveries") && row.contains("since"), "{row}");
    // It stands before the figures.
    let first =
        "all('.card.alarm')[0].getBoundingClientRect().top < all('.figures')[0].getBoundingClientRect().top";
    page.until("trouble first", first).await;
    page.press("View: Shop").await;
    page.sees_in(".headline.bad", "On hold").await;
    page.sees_in(".headline", "3 pending deliveries").await;

    stage.receiver.reply(Reply::ok());
    page.press("Send now").await;
    stage.app.rows_when(|rows| rows.iter().filter(|r| r["status"] == "delivered").count() == 3).await;
    page.until("the end of the hold", "!all('.headline')[0].innerText.includes('On hold')").await;
    page.goto("").await;
    page.sees("No webhook needs attention.").await;
    page.goto("webhooks").await;
    page.sees_in("tbody tr", "Healthy").await;
    assert!(stage.app.webhook_attributes(&hook).await["hold"].is_null());
    page.close().await;
}

#[tokio::test]
async fn send_now_is_offered_where_a_webhook_needs_attention_and_to_admins_alone() {
    let stage = Stage::set().await;
    stage.app.webhook(&stage.receiver.url("/shop"), json!({ "name": "Shop" })).await;
    stage.receiver.reply(Reply::status(429).header("retry-after", "3600"));
    stage.app.post_event("order.paid", json!({})).await;
    stage.app.row_when(|row| row["response_status"] == 429).await;
    let page = stage.signed_in(Role::Viewer, "").await;
    page.sees_in(".attention-list li", "1 pending delivery").await;
    assert!(page.offers("View: Shop").await && !page.offers("Send now: Shop").await);
    page.close().await;

    stage.receiver.reply(Reply::ok());
    let page = stage.signed_in(Role::Admin, "").await;
    page.press("Send now: Shop").await;
    page.sees_in(".toast", "A probe is sent to Shop now.").await;
    stage.app.row_when(|row| row["status"] == "delivered").await;
    page.sees("No webhook needs attention.").await;
    page.close().await;
}

#[tokio::test]
async fn what_was_missed_while_a_webhook_was_disabled_is_sent_when_asked() {
    let stage = Stage::set().await;
    let hook = stage.webhook("Shop", "/shop").await;
    let off = json!({ "status": "disabled" });
    stage.app.with_json(Method::PATCH, &format!("/v1/webhooks/{hook}"), off.clone()).await.expect(200);
    for n in 0..3 {
        stage.app.post_event("order.paid", json!({ "order": n })).await;
    }
    let page = stage.signed_in(Role::Admin, &format!("webhooks/{hook}")).await;
    page.sees_in(".headline.bad", "New events are not delivered.").await;
    page.press("Enable").await;
    page.sees_in("dialog h2", "3 events were missed").await;
    page.sees_in("dialog", "since").await;
    page.press("Not now").await;
    page.until("no dialog", "!document.querySelector('dialog')").await;
    page.until("no trouble", "all('.headline.bad').length === 0").await;
    assert_eq!(stage.receiver.count(), 0, "nothing is sent without being asked for");

    stage.app.clock.advance_ms(60_000);
    stage.app.with_json(Method::PATCH, &format!("/v1/webhooks/{hook}"), off).await.expect(200);
    stage.app.post_event("order.paid", json!({ "order": 3 })).await;
    // From the list, too.
    page.goto("webhooks").await;
    page.press("Actions for Shop").await;
    page.press("Enable").await;
    page.sees_in("dialog h2", "1 event was missed").await;
    page.press("Send it").await;
    page.sees_in("dialog", "Done: 1 of 1 delivery succeeded.").await;
    assert_eq!(stage.receiver.received()[0].json(), json!({ "order": 3 }));
    page.close().await;
}

#[tokio::test]
async fn the_log_shows_deliveries_or_all_attempts_and_a_pending_one_is_sent_now() {
    let stage = Stage::set().await;
    stage.receiver.reply(Reply::status(503).body("out of seats"));
    let slow = json!({ "name": "Shop", "retry_schedule": ["1h"] });
    stage.app.webhook(&stage.receiver.url("/shop"), slow).await;
    let event = stage.app.post_event("order.paid", json!({ "order": 7 })).await;
    stage.app.row_when(|row| row["status"] == "failed").await;
    let page = stage.signed_in(Role::Admin, "webhook-deliveries").await;
    page.until_with("one delivery", ROWS, json!(1)).await;
    // The state, the last error and the next attempt are in the row.
    let row = page.sees_in("tbody tr", "Failed, retrying").await;
    assert!(row.contains("503") && row.contains("next"), "{row}");
    page.press("All attempts").await;
    page.until_with("both attempts", ROWS, json!(2)).await;
    assert_eq!(page.address().await, "webhook-deliveries?view=attempts");
    page.press("Deliveries").await;
    page.until_with("the delivery", ROWS, json!(1)).await;

    page.click("tbody tr[data-key]").await;
    page.sees_in("aside.panel .note", "HTTP 503.").await;
    page.sees_in("aside.panel .said", "out of seats").await;
    page.sees_in("aside.panel .summary-bar", "Pending").await;
    stage.receiver.reply(Reply::ok());
    page.press("Send now").await;
    page.sees_in("aside.panel .summary-bar", "Delivered").await;
    page.press("Close").await;
    page.sees_in("tbody tr", "Delivered").await;

    page.fill("Search webhook, URL, event or ID", &event).await;
    page.until("the address", "new URLSearchParams(location.search).has('q')").await;
    page.until_with("the delivery of the event", ROWS, json!(1)).await;
    page.fill("Search webhook, URL, event or ID", "evt_00000000000000000000000000000000").await;
    page.sees("No matches").await;
    page.close().await;
}

#[tokio::test]
async fn two_attempts_are_compared() {
    let stage = Stage::set().await;
    stage.receiver.reply(Reply::status(500).header("x-trace", "one").body("{\"error\":\"no seat\"}"));
    stage.webhook("Shop", "/shop").await;
    let failed = stage.ended_event("order.paid", json!({ "order": 7 })).await;
    let id = failed["id"].as_i64().expect("a number");
    stage.receiver.reply(Reply::ok().header("x-trace", "two").body("{\"ok\":true}"));
    stage.app.post(&format!("/v1/webhooks/deliveries/{id}/retry"), json!({})).await.expect(202);
    stage.app.row_when(|row| row["status"] == "delivered").await;
    let page = stage.signed_in(Role::Viewer, &format!("webhook-deliveries/{id}")).await;
    page.press("Compare…").await;
    let facts = page.sees_in("dialog section[aria-label='Attempts']", "Response").await;
    assert!(facts.contains("500") && facts.contains("200"), "{facts}");
    let headers = page.sees_in("dialog section[aria-label='Response headers']", "x-trace").await;
    assert!(headers.contains("one") && headers.contains("two"), "{headers}");
    page.sees_in("dialog section[aria-label='Request headers']", "x-webhook-attempt").await;
    page.sees_in("dialog section[aria-label='Payload']", "Equal.").await;
    let body = page.sees_in("dialog section[aria-label='Response body']", "no seat").await;
    assert!(body.contains("+ ") && body.contains("\"ok\": true"), "{body}");
    page.close().await;
}

#[tokio::test]
async fn a_view_is_saved_opened_and_deleted() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    stage.ended_event("order.paid", json!({})).await;
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries?status=exhausted").await;
    page.sees("No matches").await;
    page.press("Views").await;
    page.press("Save this view…").await;
    page.fill("Name", "Morning check").await;
    page.press("Save").await;
    page.sees_in(".toolbar", "Morning check").await;
    page.press("Clear").await;
    page.until_with("everything", ROWS, json!(1)).await;
    page.reload().await;
    page.press("Views").await;
    page.press("Morning check").await;
    page.sees("No matches").await;
    assert_eq!(page.address().await, "webhook-deliveries?status=exhausted");
    page.press("Morning check").await;
    page.press("Delete “Morning check”").await;
    page.sees_in(".toolbar", "Views").await;
    page.close().await;
}
