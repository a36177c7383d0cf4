//! Why the first rows are fast, as facts that hold on every machine: nothing is requested late that could have been
//! requested at once. Times are in `docs/benchmarks.md`.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;

/// Scripts that were loaded without being named by the page.
const UNNAMED: &str = "const named = [...document.querySelectorAll('link[rel=modulepreload],script[src]')].map((e) => e.href || e.src);
    return performance.getEntriesByType('resource').map((e) => e.name).filter((name) => name.endsWith('.js') && !named.includes(name));";

/// The number of requests by address of the API.
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
async fn the_rows_are_requested_while_the_dashboard_is_still_loading() {
    let (_stage, page) = with_rows().await;
    page.cdp("Network.enable", json!({})).await;
    page.cdp("Network.setBlockedURLs", json!({ "urls": ["*/main.js", "*/api.js"] })).await;
    page.load("webhook-deliveries?status=delivered").await;
    let asked = "(() => { const names = performance.getEntriesByType('resource').map((e) => e.name); \
                 return args.every((part) => names.some((name) => name.includes(part))); })()";
    let wanted = json!([
        "/admin/api/session",
        "/v1/webhooks/deliveries?status=delivered&view=deliveries&sort=-last_activity_at&per_page=25"
    ]);
    page.until_with("questions without the dashboard", asked, wanted).await;
    page.close_despite(|complaint| complaint.contains("ERR_BLOCKED")).await;
}

#[tokio::test]
async fn nothing_is_requested_twice_for_the_first_rows() {
    let (_stage, page) = with_rows().await;
    page.goto("webhook-deliveries").await;
    page.until("three rows", "all('tbody tr[data-key]').length === 3").await;
    page.settled().await;
    let asked = page.js(ASKED, vec![]).await;
    for path in
        ["/admin/api/session", "/v1/webhooks/deliveries?view=deliveries&sort=-last_activity_at&per_page=25"]
    {
        assert_eq!(asked[path], 1, "{path}: {asked:#}");
    }
    page.close().await;
}

/// Notes when the first row is in the document, and when it has been drawn, in ms since the navigation began.
const NOTE: &str = "window.__first = {};
    const drawn = new MessageChannel();
    new MutationObserver(() => {
      if (__first.row || !document.querySelector('tbody tr[data-key], body > pre')) return;
      __first.row = performance.now();
      requestAnimationFrame(() => { drawn.port2.onmessage = () => { __first.drawn = performance.now(); }; drawn.port1.postMessage(0); });
    }).observe(document, { childList: true, subtree: true });";

/// How long the first rows of a running server take; `docs/benchmarks.md` says how it is called.
#[tokio::test]
#[ignore = "measures a server that is named by POSTRIDER_AT, and asserts nothing"]
async fn how_long_they_take() {
    let given = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is given"));
    let page = Page::open(given("POSTRIDER_AT").trim_end_matches('/')).await;
    page.goto("sign-in").await;
    page.fill("Email", &given("POSTRIDER_EMAIL")).await;
    page.fill("Password", &given("POSTRIDER_PASSWORD")).await;
    page.press("Sign in").await;
    page.sees_in("h1", "Overview").await;
    page.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": NOTE })).await;
    println!(
        "| page | cache | first row, ms | drawn, ms | fastest and slowest, ms |\n|---|---|---:|---:|---:|"
    );
    for (name, path) in [
        ("a line of text (`/healthz`)", "../healthz"),
        ("the log", "webhook-deliveries"),
        ("its failures", "webhook-deliveries?status=exhausted"),
        ("the slowest first", "webhook-deliveries?sort=-response_time_ms"),
    ] {
        for cache in ["empty", "filled"] {
            let mut times: Vec<(f64, f64)> = Vec::new();
            for _ in 0..15 {
                page.open_url("about:blank").await;
                if cache == "empty" {
                    page.cdp("Network.clearBrowserCache", json!({})).await;
                }
                page.load(path).await;
                let first = page.until("the first row", "window.__first?.drawn && __first").await;
                let ms = |what: &str| first[what].as_f64().expect("a number");
                times.push((ms("drawn"), ms("row")));
            }
            // The first visit of all compiles what later ones find compiled.
            let mut times = times.split_off(1);
            times.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (drawn, row) = times[times.len() / 2];
            let (fastest, slowest) = (times[0].0, times[times.len() - 1].0);
            println!("| {name} | {cache} | {row:.0} | {drawn:.0} | {fastest:.0} – {slowest:.0} |");
        }
    }
    // A bare response has no icon, which the browser logs.
    page.close_despite(|complaint| complaint.contains("favicon")).await;
}
