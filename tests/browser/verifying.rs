//! "Why does my receiver reject the signature?": its request is pasted, and the page says the reason.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn a_pasted_request_is_verified_and_the_reason_is_shown() {
    let stage = Stage::set().await;
    let id = stage.webhook("Shop", "/shop").await;
    stage.ended_event("order.paid", json!({ "order": 7 })).await;
    let sent = stage.receiver.received().remove(0);
    let header = |name: &str| sent.header(name).expect("it was sent").to_owned();
    let lines = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| format!("> {name}: {}", header(name)))
        .join("\n");
    // A viewer may: nothing is changed by it.
    let page = stage.signed_in(Role::Viewer, &format!("webhooks/{id}")).await;
    page.press("Verify signatures").await;
    page.press("Check a request").await;
    page.fill("Headers", &lines).await;
    page.fill("Body", &String::from_utf8_lossy(&sent.body)).await;
    page.press("Check the signature").await;
    page.sees_in(".verify .note.ok", "The signature is valid").await;
    page.fill("Body", r#"{"order": 7}"#).await;
    page.press("Check the signature").await;
    page.sees_in(".verify .note.bad", "The body was").await;
    page.fill("Headers", "content-type: application/json").await;
    page.press("Check the signature").await;
    page.sees_in(".verify .note.bad", "A header is missing").await;
    page.fill("Received at (optional)", "yesterday").await;
    page.press("Check the signature").await;
    page.sees_in(".verify .field-error", "RFC 3339").await;
    page.close_despite(|complaint| complaint.contains("422")).await;
}
