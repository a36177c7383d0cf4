//! The set-up link, signing in, signing out.

use postrider::domain::Role;
use serde_json::json;

use crate::page::Page;
use crate::stage::{PASSWORD, Stage, sign_in};

/// The browser itself notes every refusal in its console; here they are meant.
fn is_refusal(complaint: &str) -> bool {
    complaint.contains("Failed to load resource") && ["401", "422"].iter().any(|s| complaint.contains(s))
}

/// What the API says to the page's own session.
async fn status_of_the_api(page: &Page) -> u64 {
    let ask = "const done = arguments[0];
        fetch(new URL('../v1/webhooks', document.baseURI)).then((a) => done(a.status))";
    page.js_later(ask, vec![]).await.as_u64().expect("a status is a number")
}

#[tokio::test]
async fn the_set_up_link_creates_the_owner_once() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    page.goto("").await;
    page.sees("No users yet.").await;

    let link = stage.app.server().setup_link(&stage.app.config).await.expect("nobody is there yet");
    page.open_url(&link).await;
    page.sees_in("h1", "Create the owner account").await;
    page.fill("Email", "ada@example.com").await;
    page.fill("Password", "short").await;
    page.press("Create account").await;
    page.sees_in(".field-error", "Use at least 10 characters.").await;
    page.fill("Password", PASSWORD).await;
    page.press("Create account").await;
    page.sees_in("nav#side", "owner").await;
    assert_eq!(page.address().await, "");
    page.press("Users").await;
    page.sees_in("h1", "Users").await;

    // Later, the link says so before anything is filled in, and leads to the sign-in.
    page.press("ada@example.com").await;
    page.press("Sign out").await;
    page.sees_in("h1", "Sign in").await;
    page.open_url(&link).await;
    page.sees_in("h1", "Already set up").await;
    page.sees("postrider user reset-password --email").await;
    assert_eq!(page.js("return document.querySelectorAll('input').length", vec![]).await, 0);
    page.press("Sign in").await;
    page.sees_in("h1", "Sign in").await;
    page.close().await;
}

#[tokio::test]
async fn a_void_set_up_link_says_so_before_the_form_and_names_the_command() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    let old = stage.app.server().setup_link(&stage.app.config).await.expect("nobody is there yet");
    let new = stage.app.server().setup_link(&stage.app.config).await.expect("nobody is there yet");
    page.open_url(&old).await;
    page.sees("This link is invalid, expired, or already used.").await;
    page.sees("postrider user create --email you@example.com --role owner").await;
    assert_eq!(page.js("return document.querySelectorAll('input').length", vec![]).await, 0);
    // One that ends while its form is being filled in.
    page.open_url(&new).await;
    page.fill("Email", "ada@example.com").await;
    page.fill("Password", PASSWORD).await;
    stage.app.clock.advance_ms(postrider::domain::access::session::SETUP_MS);
    page.press("Create account").await;
    page.sees_in("h1", "This link does not work").await;
    page.close_despite(is_refusal).await;
}

#[tokio::test]
async fn a_forgotten_password_has_a_command() {
    let stage = Stage::set().await;
    stage.user(Role::Owner).await;
    let page = stage.page().await;
    page.goto("sign-in").await;
    page.press("Forgot your password?").await;
    page.sees("postrider user reset-password --email").await;
    page.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_opens_the_requested_page() {
    let stage = Stage::set().await;
    let email = stage.user(Role::Admin).await;
    let page = stage.page().await;
    page.goto("webhook-deliveries?status=exhausted&q=shop").await;
    page.sees_in("h1", "Sign in").await;
    assert!(page.address().await.starts_with("sign-in?next="));
    for (address, password) in [(email.as_str(), "wrong horse"), ("nobody@example.com", PASSWORD)] {
        page.fill("Email", address).await;
        page.fill("Password", password).await;
        page.press("Sign in").await;
        page.sees_in(".note[role=alert]", "Wrong email or password.").await;
    }
    assert_eq!(status_of_the_api(&page).await, 401);
    sign_in(&page, &email).await;
    page.sees_in("h1", "Webhook deliveries").await;
    assert_eq!(page.address().await, "webhook-deliveries?status=exhausted&q=shop");
    page.close_despite(is_refusal).await;
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries").await;
    assert_eq!(status_of_the_api(&page).await, 200);
    let cookie = page.cdp("Network.getCookies", json!({ "urls": [stage.app.base] })).await;
    let cookie = cookie["cookies"][0].clone();
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Strict")), "{cookie}");

    page.press("viewer@example.com").await;
    page.press("Sign out").await;
    page.sees_in("h1", "Sign in").await;
    assert_eq!(status_of_the_api(&page).await, 401);
    // Not even with the cookie that was good before.
    let old = format!("postrider_session={}", cookie["value"].as_str().expect("it is text"));
    let again = stage.app.client.get(format!("{}/v1/webhooks", stage.app.base)).header("cookie", old);
    assert_eq!(crate::support::app::send(again).await.status, 401);
    page.goto("webhook-deliveries").await;
    page.sees_in("h1", "Sign in").await;
    page.close_despite(is_refusal).await;
}
