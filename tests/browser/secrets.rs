//! What is shown only once is not lost by a key or a click.

use postrider::domain::Role;
use serde_json::json;

use crate::page::Page;
use crate::stage::Stage;

const ESCAPE: &str = "\u{e00c}";

/// Escape asks, the answer may be no, and yes closes; copying makes the question unnecessary.
async fn is_guarded(page: &Page, open: impl AsyncFn(), what: &str, copy: &str) {
    open().await;
    page.sees_in("dialog .secret-once", "Copy it now.").await;
    for leave in ["Escape", "cross", "outside"] {
        match leave {
            "Escape" => page.keys(ESCAPE).await,
            "cross" => page.press("Close").await,
            _ => {
                let down = "document.querySelector('dialog[open]').dispatchEvent(new MouseEvent('mousedown', { bubbles: true }))";
                page.js(down, vec![]).await;
            }
        }
        page.sees_in("dialog h2", &format!("Close without copying the {what}?")).await;
        // A second Escape answers the question, and does not take both.
        page.keys(ESCAPE).await;
        page.sees_in("dialog .secret-once", "Copy it now.").await;
    }
    page.press("Close").await;
    page.press("Close without copying").await;
    page.until("no dialog", "!document.querySelector('dialog')").await;

    open().await;
    page.press(copy).await;
    page.keys(ESCAPE).await;
    page.until("no dialog", "!document.querySelector('dialog')").await;
}

#[tokio::test]
async fn a_key_a_password_and_a_rotated_secret_are_not_closed_without_a_question() {
    let stage = Stage::set().await;
    let hook = stage.webhook("Shop", "/shop").await;
    let page = stage.signed_in(Role::Owner, "keys").await;
    let key = async || {
        page.press("New key").await;
        page.fill("Name", "Backend").await;
        page.press("Create key").await;
    };
    is_guarded(&page, key, "key", "Copy token, for authorization: bearer").await;
    // The name of the key alone is of no use.
    key().await;
    page.press("Copy x-client-key").await;
    page.keys(ESCAPE).await;
    page.press("Go back").await;
    page.press("Done").await;
    page.until("no dialog", "!document.querySelector('dialog')").await;

    page.goto("users").await;
    let n = std::cell::Cell::new(0);
    let user = async || {
        n.set(n.get() + 1);
        page.press("New user").await;
        page.fill("Email", &format!("user{}@example.com", n.get())).await;
        page.press("Create user").await;
    };
    is_guarded(&page, user, "password", "Copy password").await;

    page.goto(&format!("webhooks/{hook}")).await;
    let rotate = async || {
        page.press("More actions").await;
        page.press("Rotate signing secret").await;
        page.press("Create a new secret").await;
    };
    is_guarded(&page, rotate, "signing secret", "Copy signing secret").await;
    page.close().await;
}

#[tokio::test]
async fn the_page_with_a_new_signing_secret_is_not_left_without_a_question() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "webhooks").await;
    let create = async || {
        page.press("New webhook").await;
        page.fill("URL", &stage.receiver.url("/new")).await;
        page.fill("Name (optional)", "New").await;
        page.press("All events").await;
        page.press("Create webhook").await;
        page.sees_in("h1", "New is ready").await;
    };
    create().await;
    page.press("Events").await;
    page.sees_in("dialog h2", "Close without copying the signing secret?").await;
    page.press("Go back").await;
    page.sees_in("h1", "New is ready").await;
    page.js("history.back()", vec![]).await;
    page.sees_in("dialog h2", "Close without copying the signing secret?").await;
    page.press("Go back").await;
    page.sees_in("h1", "New is ready").await;
    assert_eq!(page.address().await, "webhooks/new");
    page.press("Events").await;
    page.press("Close without copying").await;
    page.sees_in("h1", "Events").await;

    // Copied, or left by the page’s own buttons: no question.
    page.press("Webhooks").await;
    create().await;
    page.press("Copy signing secret").await;
    page.press("Events").await;
    page.sees_in("h1", "Events").await;
    page.press("Webhooks").await;
    create().await;
    page.press("Go to the webhook").await;
    page.sees_in("main", "Statistics").await;
    assert_eq!(stage.app.get("/v1/webhooks").await.expect(200)["meta"]["total"], json!(3));
    page.close().await;
}
