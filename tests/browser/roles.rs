//! The page offers what a role may do, and the server refuses the rest whatever the page offers.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;

/// An unsafe request of the signed-in person, as the page itself would make it; gives the status.
async fn ask(page: &Page, method: &str, path: &str, body: Value) -> u64 {
    let script = "const [method, path, body, done] = arguments;
        const root = new URL('../', document.baseURI);
        fetch(new URL('admin/api/session', root)).then((a) => a.json()).then(({ csrf_token }) => fetch(new URL(path, root), {
          method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf_token },
        })).then((a) => done(a.status));";
    let status = page.js_later(script, vec![json!(method), json!(path), body]).await;
    status.as_u64().expect("a status is a number")
}

/// The pages that the side leads to.
async fn pages(page: &Page) -> Vec<String> {
    let names = page.until("the side", "all('#side .side-list a').map((a) => a.innerText.trim())").await;
    serde_json::from_value(names).expect("these are words")
}

/// A failed delivery's row, in the log of a fresh server.
async fn failed_row(stage: &Stage) -> i64 {
    stage.receiver.reply(crate::support::Reply::status(500));
    stage.webhook("Shop", "/shop").await;
    let row = stage.ended_event("order.paid", json!({ "n": 1 })).await;
    row["id"].as_i64().or_else(|| row["id"].as_str()?.parse().ok()).expect("a row has a number")
}

const READING: [&str; 8] = [
    "Overview",
    "Webhook deliveries",
    "Events",
    "Webhooks",
    "Integrations",
    "Retention policies",
    "Alerts",
    "About",
];

#[tokio::test]
async fn a_viewer_reads_and_is_offered_no_changes() {
    let stage = Stage::set().await;
    let row = failed_row(&stage).await;
    let page = stage.signed_in(Role::Viewer, "webhook-deliveries").await;
    page.sees_in("tbody tr", "order.paid").await;
    assert!(!page.offers(&format!("Retry delivery {row}")).await);
    assert!(!page.offers("Export").await);
    assert_eq!(page.js("return document.querySelectorAll('tbody input').length", vec![]).await, 0);
    page.press(&format!("View delivery {row}")).await;
    page.sees_in("aside.panel", "500").await;
    assert!(!page.offers("Retry").await && page.offers("Copy as curl").await);
    // The key that retries does nothing either.
    page.keys("r").await;

    assert_eq!(pages(&page).await, READING);
    page.goto("webhooks").await;
    page.sees_in("main", "Shop").await;
    let new = "return document.querySelectorAll('main a[href$=\"webhooks/new\"]').length";
    assert_eq!(page.js(new, vec![]).await, 0);
    for closed in ["webhooks/new", "keys", "users", "apps", "logs"] {
        page.goto(closed).await;
        page.sees("You need another role").await;
    }

    let new = json!({ "url": stage.receiver.url("/own"), "events": ["*"] });
    assert_eq!(ask(&page, "POST", "v1/webhooks", new).await, 403);
    assert_eq!(ask(&page, "POST", &format!("v1/webhooks/deliveries/{row}/retry"), json!({})).await, 403);
    assert_eq!(ask(&page, "POST", "v1/webhooks/deliveries/retry", json!({ "filter": {} })).await, 403);
    let key = json!({ "name": "own", "scopes": ["webhooks:read"] });
    assert_eq!(ask(&page, "POST", "admin/api/keys", key).await, 403);
    assert_eq!(stage.receiver.count(), 1, "nothing was sent again");
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("403")).await;
}

#[tokio::test]
async fn an_admin_retries_and_creates_but_manages_no_users() {
    let stage = Stage::set().await;
    let row = failed_row(&stage).await;
    let page = stage.signed_in(Role::Admin, "webhook-deliveries").await;
    page.sees_in("tbody tr", "order.paid").await;
    assert!(page.offers(&format!("Retry delivery {row}")).await && page.offers("Export").await);
    let mut offered = READING.to_vec();
    offered.insert(5, "API keys");
    assert_eq!(pages(&page).await, offered);
    page.goto("webhooks/new").await;
    page.until("the form", "all('form input').length > 0").await;
    page.goto("keys").await;
    page.settled().await;
    for closed in ["users", "apps", "logs"] {
        page.goto(closed).await;
        page.sees("You need another role").await;
    }
    // The level of the server's log is shown, and only owners change it.
    page.goto("about").await;
    page.sees_in("main", "Level:").await;
    let field = page.until("the page", "({ there: Boolean(labelled('Log level')) })").await;
    assert!(field["there"] == false && !page.offers("Change").await);
    assert_eq!(ask(&page, "PUT", "admin/api/log-level", json!({ "level": "off" })).await, 403);
    let user = json!({ "email": "eve@example.com", "role": "owner" });
    assert_eq!(ask(&page, "POST", "admin/api/users", user).await, 403);
    assert_eq!(ask(&page, "POST", "v1/retention/sweep", json!({})).await, 403);
    let key = json!({ "name": "too much", "scopes": ["admin"] });
    assert!([403, 422].contains(&ask(&page, "POST", "admin/api/keys", key).await));
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("40")).await;
}

#[tokio::test]
async fn an_owner_is_offered_everything() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Owner, "").await;
    let mut offered = READING.to_vec();
    offered.splice(5..5, ["API keys", "Users", "Apps"]);
    offered.insert(10, "Logs");
    assert_eq!(pages(&page).await, offered);
    for path in ["users", "apps", "logs", "keys"] {
        page.goto(path).await;
        page.settled().await;
        assert!(page.js("return !document.body.innerText.includes('another role')", vec![]).await == true);
    }
    page.goto("about").await;
    page.until("the form of the log level", "Boolean(labelled('Log level'))").await;
    let user = json!({ "email": "grace@example.com", "role": "viewer" });
    assert_eq!(ask(&page, "POST", "admin/api/users", user).await, 201);
    page.close().await;
}
