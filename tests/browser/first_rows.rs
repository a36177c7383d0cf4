//! What makes the first rows quick, as facts that hold on every machine: nothing is found out late that could
//! have been known at once. How long it takes stands in `docs/benchmarks.md`.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;

/// Scripts that were loaded although neither the page nor a click had named them.
const UNNAMED: &str = "const named = [...document.querySelectorAll('link[rel=modulepreload],script[src]')].map((e) => e.href || e.src);
    return performance.getEntriesByType('resource').map((e) => e.name).filter((name) => name.endsWith('.js') && !named.includes(name));";

/// How often each address of the API was asked for, without what runs on its own after the rows are there.
const ASKED: &str = "const asked = {};
    for (const { name } of performance.getEntriesByType('resource')) if (/api|v1/.test(new URL(name).pathname.slice(0, 11))) asked[name.slice(location.origin.length)] = (asked[name.slice(location.origin.length)] ?? 0) + 1;
    return asked;";

async fn with_rows() -> (Stage, Page) {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    for n in 0..3 {
        stage.ended_event("order.paid", json!({ "order": n })).await;
    }
    let page = stage.signed_in(Role::Owner, "").await;
    (stage, page)
}

#[tokio::test]
async fn every_script_of_the_first_pages_is_named_by_the_page_itself() {
    let (_stage, page) = with_rows().await;
    for path in ["webhook-deliveries", "webhook-deliveries?status=delivered", "webhooks", ""] {
        page.goto(path).await;
        page.settled().await;
        let late = page.js(UNNAMED, vec![]).await;
        let late: Vec<&str> = late.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        // The drawing library comes when there is something to draw.
        let late: Vec<&str> = late.into_iter().filter(|name| !name.ends_with("/uplot.js")).collect();
        assert!(late.is_empty(), "{path:?} waits for one script to learn of another: {late:#?}");
    }
    page.close().await;
}

#[tokio::test]
async fn the_rows_are_asked_for_while_the_dashboard_is_still_loading() {
    let (_stage, page) = with_rows().await;
    page.cdp("Network.enable", json!({})).await;
    page.cdp("Network.setBlockedURLs", json!({ "urls": ["*/main.js", "*/api.js"] })).await;
    page.load("webhook-deliveries?status=delivered").await;
    let asked = "(() => { const names = performance.getEntriesByType('resource').map((e) => e.name); \
                 return args.every((part) => names.some((name) => name.includes(part))); })()";
    let wanted = json!(["/admin/api/session", "/v1/webhooks/deliveries?status=delivered&per_page=25"]);
    page.until_with("questions without the dashboard", asked, wanted).await;
    page.close_despite(|complaint| complaint.contains("ERR_BLOCKED")).await;
}

#[tokio::test]
async fn nothing_is_asked_twice_for_the_first_rows() {
    let (_stage, page) = with_rows().await;
    page.goto("webhook-deliveries").await;
    page.until("three rows", "all('tbody tr[data-key]').length === 3").await;
    page.settled().await;
    let asked = page.js(ASKED, vec![]).await;
    for path in ["/admin/api/session", "/v1/webhooks/deliveries?per_page=25"] {
        assert_eq!(asked[path], 1, "{path}: {asked:#}");
    }
    page.close().await;
}
