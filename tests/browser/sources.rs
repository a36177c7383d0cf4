//! The page of a source: its inbound log, a request in detail, replay, settings, the URL.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::Stage;

const TOKEN: &str = "a long random token";

/// A source with a token, and its URL.
async fn source(stage: &Stage) -> (String, String) {
    let attributes = json!({
        "name": "my-app",
        "event_type": "my-app.{{ payload.kind }}",
        "accept": "payload.kind != 'ping'",
        "verify": [{ "kind": "token", "in": "header", "name": "x-token", "secret": TOKEN }],
    });
    let made = stage.app.post("/v1/sources", attributes).await.expect(201);
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    (text(&made["data"]["id"]), text(&made["data"]["attributes"]["url"]))
}

async fn send(stage: &Stage, url: &str, token: &str, body: &'static str) -> u16 {
    let request =
        stage.app.client.post(url).header("x-token", token).header("content-type", "application/json");
    request.body(body).send().await.expect("the server answers").status().as_u16()
}

#[tokio::test]
async fn the_inbound_log_says_why_and_a_request_can_be_tried_again() {
    let stage = Stage::set().await;
    let (id, url) = source(&stage).await;
    assert_eq!(send(&stage, &url, TOKEN, r#"{"kind":"order"}"#).await, 200);
    assert_eq!(send(&stage, &url, TOKEN, r#"{"kind":"ping"}"#).await, 200);
    assert_eq!(send(&stage, &url, "wrong", r#"{"kind":"refund"}"#).await, 401);
    let page = stage.signed_in(Role::Admin, &format!("integrations/sources/{id}")).await;
    page.sees_in("[aria-label=State]", "Some rejected").await;
    page.sees_in(".range-facts", "Accepted 1 Duplicate 0 Ignored 1 Rejected 1").await;
    page.until("three requests", "all('tbody tr').length === 3").await;
    page.sees_in("tbody tr:nth-child(1)", "x-token has another value").await;
    page.sees_in("tbody tr:nth-child(3)", "my-app.order").await;

    page.choose("Outcome", "Rejected").await;
    page.until("one request", "all('tbody tr').length === 1").await;
    page.click("tbody tr button.view").await;
    page.sees_in(".panel", "x-token has another value").await;
    page.sees_in(".panel .headers", "********").await;
    page.sees_in(".panel .body-text", "refund").await;
    page.press("What would become of it now?").await;
    page.sees_in(".panel .verdict", "my-app.refund").await;
    page.press("Try again with the present settings").await;
    page.sees_in("h1", "my-app.refund").await;
    page.sees_in(".facts", "my-app").await;
    page.press("Its request").await;
    page.sees("my-app").await;
    page.close().await;
}

#[tokio::test]
async fn a_new_request_appears_in_the_open_log() {
    let stage = Stage::set().await;
    let (id, url) = source(&stage).await;
    let page = stage.signed_in(Role::Viewer, &format!("integrations/sources/{id}?part=requests")).await;
    page.sees("No requests yet").await;
    assert_eq!(send(&stage, &url, TOKEN, r#"{"kind":"order"}"#).await, 200);
    page.sees_in("tbody tr", "my-app.order").await;
    page.close().await;
}

#[tokio::test]
async fn a_source_is_edited_and_keeps_its_secrets() {
    let stage = Stage::set().await;
    let (id, url) = source(&stage).await;
    let page = stage.signed_in(Role::Admin, &format!("integrations/sources/{id}/edit")).await;
    page.fill("Event type (optional)", "my-app.{{ payload.kind }}.v2").await;
    page.press("Save changes").await;
    page.sees("my-app updated.").await;
    assert_eq!(send(&stage, &url, TOKEN, r#"{"kind":"order"}"#).await, 200);
    page.sees_in("tbody tr", "my-app.order.v2").await;
    let html = page.js("return document.documentElement.outerHTML", vec![]).await;
    assert!(!html.as_str().unwrap().contains(TOKEN), "no secret is shown");
    page.press("Settings").await;
    page.sees("Token: header x-token secret, never shown").await;
    page.close().await;
}

#[tokio::test]
async fn changes_of_a_source_are_previewed_with_its_stored_secret() {
    let stage = Stage::set().await;
    let (id, url) = source(&stage).await;
    assert_eq!(send(&stage, &url, TOKEN, r#"{"kind":"order"}"#).await, 200);
    let page = stage.signed_in(Role::Admin, &format!("integrations/sources/{id}/edit")).await;
    page.sees_in(".preview-card", "my-app.order").await;
    page.fill("Event type (optional)", "my-app.{{ payload.kind }}.v2").await;
    page.sees_in(".preview-card", "my-app.order.v2").await;
    page.choose("Preview with", "A request of my own").await;
    page.fill("Headers", "X-Token: another").await;
    page.fill("Body", r#"{"kind":"refund"}"#).await;
    page.sees_in(".preview-card", "my-app.refund.v2").await;
    page.sees_in(".preview-card", "Not verified").await;
    page.fill("Headers", &format!("X-Token: {TOKEN}")).await;
    page.until("the stored secret verifies", "!all('.preview-card')[0].innerText.includes('Not verified')")
        .await;
    page.sees_in(".preview-card", "Verified").await;
    let html = page.js("return document.documentElement.outerHTML", vec![]).await;
    assert!(!html.as_str().unwrap().contains(TOKEN), "no secret is shown");
    page.close().await;
}

#[tokio::test]
async fn a_mistake_in_a_template_is_shown_beside_its_field() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "integrations/sources/new").await;
    page.fill("Dedupe key (optional)", "{{ payload.id | no_such_filter }}").await;
    page.press("Add verifier").await;
    page.fill("Name", "my-app").await;
    page.press("Create source").await;
    let beside =
        "labelled('Dedupe key (optional)').closest('.field').querySelector('.field-error')?.innerText";
    let error = page.until("the error", beside).await;
    assert!(error.as_str().unwrap().contains("no_such_filter"), "{error}");
    let beside = "labelled('Secret').closest('.field').querySelector('.field-error')?.innerText";
    page.until("the error of the secret", beside).await;
    page.close_despite(|c| c.contains("status of 422")).await;
}

#[tokio::test]
async fn the_url_is_rotated_and_the_source_disabled_and_deleted() {
    let stage = Stage::set().await;
    let (id, url) = source(&stage).await;
    let page = stage.signed_in(Role::Owner, &format!("integrations/sources/{id}")).await;
    page.press("More actions").await;
    page.press("Rotate the URL").await;
    page.choose("Overlap", "None: the old URL stops working now").await;
    page.press("Create a new URL").await;
    page.sees("The old URL no longer works.").await;
    let new = page.until("the new URL", "all('.copy-line code')[0].innerText").await;
    assert_ne!(new, url.as_str());
    page.press("Done").await;
    assert_eq!(send(&stage, &url, TOKEN, "{}").await, 404);
    assert_eq!(send(&stage, new.as_str().unwrap(), TOKEN, "{}").await, 200);

    page.press("More actions").await;
    page.press("Disable").await;
    page.press("Disable").await;
    page.sees_in("[aria-label=State]", "Disabled").await;
    assert_eq!(send(&stage, new.as_str().unwrap(), TOKEN, "{}").await, 404);
    page.press("Enable").await;
    page.sees("my-app enabled.").await;
    page.press("More actions").await;
    page.press("Delete").await;
    page.press("Delete").await;
    page.sees("No sources yet").await;
    let gone = stage.app.with_json(Method::PATCH, &format!("/v1/sources/{id}"), json!({})).await;
    gone.expect(404);
    page.close().await;
}
