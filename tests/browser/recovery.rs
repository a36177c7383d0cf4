//! "Re-submit all failed events after your server was offline": one by one, and all at once.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;
use crate::support::{Receiver, Reply};

#[tokio::test]
async fn after_downtime_a_retry_from_the_row_is_delivered_and_shown() {
    let stage = Stage::set().await;
    let down = Receiver::down();
    let once = json!({ "name": "Orders", "retry_schedule": [], "events": ["order.*"] });
    stage.app.webhook(&down.url("/orders"), once).await;
    stage.webhook("Everything", "/all").await;
    for n in 1..=3 {
        let id = stage.app.post_event("order.paid", json!({ "order": n })).await;
        let ended = |row: &&serde_json::Value| row["event_id"] == id.as_str() && row["status"] != "pending";
        stage.app.rows_when(|rows| rows.iter().filter(ended).count() == 2).await;
    }

    let page = stage.signed_in(Role::Admin, "webhook-deliveries").await;
    page.until("all deliveries", "all('tbody tr[data-key]').length === 6").await;
    page.fill("Search webhook, URL, event or ID", "Orders").await;
    page.until("those of the webhook", "all('tbody tr[data-key]').length === 3").await;
    assert_eq!(page.address().await, "webhook-deliveries?q=Orders");
    page.sees_in("tbody tr", "Connection refused").await;

    let orders = down.up();
    // The oldest is the most urgent.
    let id = page.until("the oldest", "all('tbody tr[data-key]').at(-1).dataset.key").await;
    let id = id.as_str().unwrap();
    page.press(&format!("Retry delivery {id}")).await;
    let arrived = orders.next().await;
    assert_eq!((arrived.json(), arrived.header("x-webhook-attempt")), (json!({ "order": 1 }), Some("2")));
    page.sees("order.paid to Orders is being sent: attempt 2.").await;
    // It is the same delivery: its row stays where it is, and says how the attempt ended.
    let last = "all('tbody tr[data-key]').at(-1).innerText.includes('Delivered') && all('tbody tr[data-key]').length === 3";
    page.until("the row, delivered", last).await;
    page.sees_in("tbody tr:last-child", "200").await;

    page.click("tbody tr[data-key]:last-child").await;
    page.sees_in("aside.panel [aria-label='Attempts']", "Connection refused").await;
    page.sees_in("aside.panel .summary-bar", "Attempt 2 of 2").await;
    assert_eq!(orders.count(), 1, "the other two were not asked for");
    page.close().await;
}

#[tokio::test]
async fn all_that_match_are_retried_after_a_count_and_a_confirmation() {
    let stage = Stage::set().await;
    stage.receiver.reply(Reply::status(503));
    let wanted = stage.webhook("Orders", "/orders").await;
    stage.webhook("Ledger", "/ledger").await;
    for n in 0..6 {
        stage.app.post_event("order.paid", json!({ "order": n })).await;
    }
    stage.app.rows_when(|rows| rows.iter().filter(|r| r["status"] == "exhausted").count() == 12).await;
    stage.receiver.reply(Reply::ok());
    let sent = stage.receiver.count();

    let page = stage.signed_in(Role::Admin, &format!("webhook-deliveries?endpoint_id={wanted}")).await;
    page.until("those of the webhook", "all('tbody tr[data-key]').length === 6").await;
    page.click("tbody tr input[type=checkbox]").await;
    page.sees_in(".selection-bar", "1 selected").await;
    page.press("Retry all 6 matching…").await;
    page.sees_in("dialog h2", "Retry 6 deliveries?").await;
    page.sees_in("dialog", "to Orders").await;
    assert_eq!(stage.receiver.count(), sent, "nothing is sent before the confirmation");
    page.press("Cancel").await;
    page.until("no dialog", "!document.querySelector('dialog')").await;
    assert_eq!(stage.app.get("/v1/jobs").await.expect(200)["meta"]["total"], 0, "Cancel starts no job");

    let hold = stage.receiver.hold();
    page.press("Retry all 6 matching…").await;
    page.press("Retry 6").await;
    page.until("the progress, at none", "all('[role=progressbar]')[0].getAttribute('aria-valuemax') === '6' && all('[role=progressbar]')[0].getAttribute('aria-valuenow') === '0'").await;
    assert!(page.offers("Cancel unsent deliveries").await && page.offers("Continue in background").await);
    hold.release();
    let all: Vec<_> = (0..6).map(|n| json!({ "order": n })).collect();
    let done =
        stage.app.rows_when(|rows| rows.iter().filter(|r| r["status"] == "delivered").count() == 6).await;
    assert!(done.iter().filter(|r| r["status"] == "delivered").all(|r| r["endpoint_id"] == wanted.as_str()));
    page.sees_in("dialog", "Done: 6 of 6 deliveries succeeded.").await;
    page.press("Close").await;

    let again = stage.receiver.received().split_off(sent);
    assert!(again.iter().all(|r| r.path == "/orders"), "what did not match is left alone");
    for order in all {
        assert_eq!(again.iter().filter(|r| r.json() == order).count(), 1, "{order} once");
    }
    page.close().await;
}
