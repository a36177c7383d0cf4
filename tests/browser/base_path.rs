//! The dashboard below a base path, as behind a proxy that serves other things, too.

use postrider::config::PublicUrl;
use postrider::domain::Role;
use serde_json::json;

use crate::page::Page;
use crate::stage::{Stage, sign_in};
use crate::support::Reply;

#[tokio::test]
async fn everything_works_below_a_base_path_and_asks_for_nothing_outside_of_it() {
    let stage = Stage::with(|config| config.public_url = PublicUrl::parse("http://127.0.0.1/hooks")).await;
    stage.receiver.reply(Reply::status(500).body("no"));
    stage.webhook("Shop", "/shop").await;
    stage.ended_event("order.paid", json!({ "order": 1 })).await;
    let email = stage.user(Role::Owner).await;
    let base = format!("{}/hooks", stage.app.base);
    let page = Page::open(&base).await;
    page.goto("webhook-deliveries?status=exhausted").await;
    sign_in(&page, &email).await;
    assert_eq!(page.address().await, "webhook-deliveries?status=exhausted");
    page.sees_in(".live", "Live").await;
    page.press("Export").await;
    let export = page.until("the link", "named('CSV').href").await;
    let below = format!("{base}/v1/webhooks/deliveries/export?");
    assert!(export.as_str().unwrap().starts_with(&below), "{export}");
    page.keys("\u{e00c}").await;
    stage.receiver.reply(Reply::ok());
    page.click("tbody tr button[aria-label^='Retry delivery']").await;
    page.sees_in(".toast", "order.paid to Shop is being sent").await;

    let outside = "return performance.getEntriesByType('resource').map((e) => e.name).filter((n) => !n.startsWith(arguments[0]))";
    for page_of in ["", "webhooks", "events", "keys", "users", "about"] {
        page.goto(page_of).await;
        page.settled().await;
        assert_eq!(page.js(outside, vec![json!(base)]).await, json!([]), "at {page_of:?}");
        let links = "return [...document.links].map((a) => a.href).filter((h) => h.startsWith(location.origin) && !h.startsWith(arguments[0]))";
        assert_eq!(page.js(links, vec![json!(base)]).await, json!([]), "at {page_of:?}");
    }
    page.open_url(&format!("{base}/docs")).await;
    page.until("the documentation", "all('.swagger-ui .opblock').length > 10").await;
    page.goto("").await;
    page.press("owner@example.com").await;
    page.press("Sign out").await;
    page.sees_in("h1", "Sign in").await;
    page.close().await;
}
