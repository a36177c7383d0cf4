//! "Find out why your server is crashing when receiving a webhook": from the log to the cause.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;
use crate::support::Reply;

const TRACE: &str =
    "TypeError: Cannot read properties of undefined (reading 'seat')\n    at assign (/srv/app.js:41:13)";

#[tokio::test]
async fn a_500_is_found_by_filter_and_its_response_body_and_payload_say_why() {
    let stage = Stage::set().await;
    stage.webhook("Licences", "/licences").await;
    stage.receiver.reply_with(|request| match request.header("x-webhook-event") {
        Some("license.assigned") => Reply::status(500).header("x-trace", "t-77").body(TRACE),
        Some("license.revoked") => Reply::status(404).body("no such route"),
        _ => Reply::ok().body("fine"),
    });
    stage.ended_event("license.created", json!({ "license": "L-1" })).await;
    stage.ended_event("license.revoked", json!({ "license": "L-0" })).await;
    stage.ended_event("license.assigned", json!({ "license": "L-1001", "seat": null })).await;
    stage.ended_event("license.renewed", json!({ "license": "L-2" })).await;

    let page = stage.signed_in(Role::Admin, "").await;
    page.press("Webhook deliveries").await;
    page.until("all deliveries", "all('tbody tr[data-key]').length === 4").await;
    let titles = page.until("the columns", "all('thead th').map((e) => e.innerText.trim())").await;
    for column in ["Webhook", "Event", "Status", "Response Code", "Attempted At", "Actions"] {
        assert!(titles.as_array().unwrap().contains(&json!(column)), "{column} is a column: {titles}");
    }

    page.choose("Status", "Failed").await;
    page.until("the failed ones", "all('tbody tr[data-key]').length === 2").await;
    page.choose("Response", "500").await;
    page.until("the one with 500", "all('tbody tr[data-key]').length === 1").await;
    let row = page.sees_in("tbody tr", "500").await;
    assert!(row.contains("license.assigned") && row.contains("Licences"), "{row}");

    let id = page.until("its id", "all('tbody tr[data-key]')[0].dataset.key").await;
    page.press(&format!("View delivery {}", id.as_str().unwrap())).await;
    page.sees_in("aside.panel [aria-label='Response body']", TRACE.lines().next().unwrap()).await;
    let payload = page.sees_in("aside.panel [aria-label='Payload']", "L-1001").await;
    assert!(payload.contains(r#""seat": null"#), "{payload}");
    // What went wrong comes first; headers come with a click.
    page.sees_in("aside.panel .note .said", "TypeError").await;
    page.click("aside.panel section[aria-label='Request'] summary").await;
    let request = page.sees_in("aside.panel section[aria-label='Request']", "x-webhook-signature").await;
    assert!(request.contains("POST") && request.contains(&stage.receiver.url("/licences")), "{request}");
    assert!(request.contains("webhook-signature") && request.contains("v1,"), "{request}");
    page.click("aside.panel section[aria-label='Response'] summary").await;
    page.sees_in("aside.panel section[aria-label='Response']", "t-77").await;

    // The link of what is looked at leads a colleague to the same place.
    page.reload().await;
    page.sees_in("aside.panel [aria-label='Response body']", "/srv/app.js:41:13").await;
    page.until("the same filter", "all('tbody tr[data-key]').length === 1").await;
    page.press("Open").await;
    page.sees_in("h1", &format!("Delivery {}", id.as_str().unwrap())).await;
    page.sees_in("main [aria-label='Response body']", "TypeError").await;
    page.close().await;
}
