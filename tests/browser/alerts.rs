//! Alert targets: admins create, test and edit them; viewers see them.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;
use crate::support::Reply;

#[tokio::test]
async fn an_alert_target_is_created_tested_edited_and_deleted() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "alerts").await;
    page.sees("No alert targets yet").await;
    page.press("New target").await;
    page.choose("Type", "Gotify").await;
    page.fill("URL", &stage.receiver.url("/gotify")).await;
    page.press("Create target").await;
    page.sees_in(".field-error", "the token of an application in Gotify").await;
    page.fill("Token", "s3cret").await;
    page.fill("Name (optional)", "Phone").await;
    page.press("Create target").await;
    page.sees_in("tbody tr", "Never").await;
    page.sees_in("tbody tr", "Everything").await;

    stage.receiver.reply_once(Reply::status(500));
    page.press("Send a test to Phone").await;
    page.choose("Alert", "Disk nearly full").await;
    page.press("Send test").await;
    page.sees("Test failed: HTTP 500 Internal Server Error").await;
    page.press("Send test").await;
    page.sees("Test delivered to").await;
    let got = stage.receiver.next_n(2).await;
    assert_eq!((got[1].path.as_str(), got[1].header("x-gotify-key")), ("/gotify/message", Some("s3cret")));
    assert!(got[1].json()["title"].as_str().unwrap().starts_with("Test: Only 812 MiB"), "{:?}", got[1]);
    page.press("Close").await;
    page.sees_in("tbody tr", "Sent").await;

    page.press("Actions for Phone").await;
    page.press("Edit").await;
    page.sees_in("dialog", "Leave empty to keep it").await;
    page.click("dialog input[type=checkbox]").await;
    page.fill("Deliveries are late after", "1h").await;
    page.press("Save").await;
    page.sees_in("tbody tr", "Webhook failing, Webhook works again").await;
    page.press("Actions for Phone").await;
    page.press("Disable").await;
    page.sees_in("tbody tr", "Disabled").await;
    let list = stage.app.get("/admin/api/alerts").await.expect(200);
    assert_eq!((&list["data"][0]["queue_age"], &list["data"][0]["has_token"]), (&json!("1h"), &json!(true)));
    page.press("Actions for Phone").await;
    page.press("Delete").await;
    page.press("Delete").await;
    page.sees("No alert targets yet").await;
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("422")).await;
}

#[tokio::test]
async fn an_email_target_has_fields_of_its_own() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "alerts").await;
    page.press("New target").await;
    page.choose("Type", "Email").await;
    page.press("Create target").await;
    page.sees_in(".field-error", "mail server").await;
    page.fill("Mail server", "mail.example.com").await;
    page.choose("Encryption", "TLS from the start").await;
    page.fill("User (optional)", "postrider").await;
    page.fill("Password", "s3cret").await;
    page.fill("From", "postrider@example.com").await;
    page.fill("To", "ops@example.com, b@example.com").await;
    page.press("Create target").await;
    page.sees_in("tbody tr", "Email · mail.example.com").await;
    let list = stage.app.get("/admin/api/alerts").await.expect(200);
    let made = &list["data"][0];
    assert_eq!(
        (&made["port"], &made["tls"], &made["user"]),
        (&json!(465), &json!("implicit"), &json!("postrider"))
    );
    assert_eq!(
        (&made["to"], &made["has_password"]),
        (&json!(["ops@example.com", "b@example.com"]), &json!(true))
    );
    assert!(!list.to_string().contains("s3cret"));
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("422")).await;
}

#[tokio::test]
async fn a_viewer_sees_alert_targets_but_not_their_urls_and_edits_nothing() {
    let stage = Stage::set().await;
    let target = json!({ "name": "Phone", "form": "ntfy", "url": stage.receiver.url("/my-topic") });
    stage.app.post("/admin/api/alerts", target).await.expect(201);
    let page = stage.signed_in(Role::Viewer, "alerts").await;
    page.sees_in("tbody tr", "Phone").await;
    assert!(!page.offers("New target").await && !page.offers("Send a test to Phone").await);
    assert_eq!(page.js("return document.body.innerText.includes('my-topic')", vec![]).await, false);
    page.close().await;
}
