//! While the server is away or the session is over: the page says so, stays what it is, and keeps what was typed.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::json;

use crate::page::Page;
use crate::stage::{PASSWORD, Stage};

/// The connection between page and server, cut or restored.
async fn connected(page: &Page, yes: bool) {
    page.cdp("Network.enable", json!({})).await;
    let conditions =
        json!({ "offline": !yes, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    page.cdp("Network.emulateNetworkConditions", conditions).await;
}

fn is_outage(complaint: &str) -> bool {
    complaint.contains("ERR_INTERNET_DISCONNECTED")
}

const AWAY: &str = "Can’t reach the server.";

#[tokio::test]
async fn while_the_server_is_away_a_banner_says_so_and_a_draft_is_kept() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "webhooks/new").await;
    page.fill("URL", &stage.receiver.url("/draft")).await;
    page.fill("Name (optional)", "Draft").await;
    page.press("All events").await;
    connected(&page, false).await;
    page.press("Create webhook").await;
    page.sees_in(".away", AWAY).await;
    page.sees_in(".note[role=alert]", AWAY).await;
    connected(&page, true).await;
    page.until("no banner", "all('.away').length === 0").await;
    assert_eq!(page.js("return document.querySelector('input[name=name]').value", vec![]).await, "Draft");
    page.press("Create webhook").await;
    page.sees_in("h1", "Draft is ready").await;
    page.close_despite(is_outage).await;
}

#[tokio::test]
async fn a_page_that_cannot_be_loaded_is_loaded_once_the_server_is_back() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    stage.ended_event("order.paid", json!({})).await;
    let page = stage.signed_in(Role::Admin, "webhook-deliveries").await;
    page.sees_in("tbody tr", "order.paid").await;
    page.settled().await;
    connected(&page, false).await;
    // Its module has not been loaded, and the browser’s own error page would be the end.
    page.press("Webhooks").await;
    page.sees_in("h1", "Webhooks").await;
    page.sees_in(".away", AWAY).await;
    page.sees_in(".state.bad", AWAY).await;
    connected(&page, true).await;
    page.sees_in("tbody tr", "Shop").await;
    page.until("no banner", "all('.away').length === 0").await;
    page.close_despite(is_outage).await;
}

#[tokio::test]
async fn a_list_is_loaded_again_when_the_server_is_back() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Owner, "keys").await;
    page.settled().await;
    connected(&page, false).await;
    page.press("New key").await;
    page.fill("Name", "Backend").await;
    page.press("Create key").await;
    page.sees_in("dialog .note[role=alert]", AWAY).await;
    let key = json!({ "name": "From elsewhere", "scopes": ["webhooks:read"] });
    stage.app.post("/admin/api/keys", key).await.expect(201);
    connected(&page, true).await;
    page.press("Cancel").await;
    page.sees_in("tbody tr", "From elsewhere").await;
    page.close_despite(is_outage).await;
}

/// Ends all sessions of the user without changing anything else.
async fn end_sessions(stage: &Stage, email: &str) {
    let users = stage.app.get("/admin/api/users").await.expect(200);
    let user = users["data"].as_array().unwrap().iter().find(|user| user["email"] == email).unwrap();
    let path = format!("/admin/api/users/{}", user["id"].as_str().unwrap());
    stage.app.with_json(Method::PATCH, &path, json!({ "password": PASSWORD })).await.expect(200);
}

#[tokio::test]
async fn a_form_survives_the_end_of_the_session_and_is_sent_after_signing_in_again() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "webhooks/new").await;
    page.fill("URL", &stage.receiver.url("/draft")).await;
    page.fill("Name (optional)", "Draft").await;
    page.press("All events").await;
    end_sessions(&stage, "admin@example.com").await;
    page.press("Create webhook").await;
    page.sees_in("h1", "Sign in").await;
    page.sees("Your session has expired. Sign in to continue.").await;
    // Neither key nor click gets past it.
    page.keys("\u{e00c}\u{e00c}").await;
    page.sees_in("h1", "Sign in").await;
    page.fill("Password", "wrong horse").await;
    page.press("Sign in").await;
    page.sees_in(".note[role=alert]", "Wrong email or password.").await;
    page.fill("Password", PASSWORD).await;
    page.press("Sign in").await;
    page.sees_in("h1", "Draft is ready").await;
    let webhooks = stage.app.get("/v1/webhooks").await.expect(200);
    assert_eq!(webhooks["meta"]["total"], 1, "it was sent once");
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("401")).await;
}

#[tokio::test]
async fn another_person_who_signs_in_gets_nothing_of_the_draft() {
    let stage = Stage::set().await;
    let other = stage.user(Role::Owner).await;
    let page = stage.signed_in(Role::Admin, "webhooks/new").await;
    page.fill("Name (optional)", "Draft").await;
    end_sessions(&stage, "admin@example.com").await;
    page.fill("URL", &stage.receiver.url("/draft")).await;
    page.press("All events").await;
    page.press("Create webhook").await;
    page.sees_in("h1", "Sign in").await;
    page.fill("Email", &other).await;
    page.fill("Password", PASSWORD).await;
    page.press("Sign in").await;
    page.sees_in("nav#side", "owner").await;
    page.until("an empty form", "document.querySelector('input[name=name]')?.value === ''").await;
    assert_eq!(stage.app.get("/v1/webhooks").await.expect(200)["meta"]["total"], 0);
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("401")).await;
}
