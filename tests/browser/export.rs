//! The export has exactly the rows of the view.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::Stage;
use crate::support::Reply;

/// What the link of a menu item leads to, as the browser gets it: name of the file and bytes.
async fn file(page: &Page, item: &str) -> (String, String) {
    let href = page.until_with(item, "named(args)?.href ?? null", json!(item)).await;
    let fetch = "const [href, done] = arguments;
        fetch(href).then(async (a) => done([a.headers.get('content-disposition'), await a.text()]))";
    let file = page.js_later(fetch, vec![href]).await;
    let text = |v: &Value| v.as_str().expect("this is text").to_owned();
    (text(&file[0]), text(&file[1]))
}

#[tokio::test]
async fn the_export_is_exactly_what_the_filter_shows() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    stage.receiver.reply_with(|request| match request.header("x-webhook-event") {
        Some("order.paid") => Reply::status(500).body("=1+1"),
        _ => Reply::ok(),
    });
    for event_type in ["order.paid", "order.shipped", "order.paid", "order.paid"] {
        stage.ended_event(event_type, json!({})).await;
    }
    let page = stage.signed_in(Role::Admin, "webhook-deliveries?status=exhausted&sort=attempted_at").await;
    page.until("the failed ones", "all('tbody tr[data-key]').length === 3").await;
    let shown = page.until("their ids", "all('tbody tr[data-key]').map((r) => r.dataset.key)").await;
    page.press("Export").await;
    page.sees("3 rows, as filtered and sorted").await;

    let (name, csv) = file(&page, "CSV").await;
    assert!(name.starts_with("attachment; filename=\"webhook-deliveries-all-"), "{name}");
    let same = "format=csv&view=deliveries&status=exhausted&sort=attempted_at";
    let of_the_api = stage.app.get(&format!("/v1/webhooks/deliveries/export?{same}")).await;
    assert_eq!(csv, of_the_api.text);
    let ids: Vec<_> = csv.lines().skip(1).map(|line| json!(line.split(',').next())).collect();
    assert_eq!(json!(ids), shown);
    assert!(csv.contains("'=1+1"), "a formula is not run: {csv}");

    let (name, lines) = file(&page, "JSON lines").await;
    assert!(name.ends_with(".jsonl\""), "{name}");
    assert_eq!(lines.lines().count(), 3);

    // The whole way once: the file is on the disk, with these bytes.
    let downloads = tempfile::tempdir().expect("a directory can be made");
    let allow = json!({ "behavior": "allow", "downloadPath": downloads.path(), "eventsEnabled": false });
    page.cdp("Browser.setDownloadBehavior", allow).await;
    page.press("Excel workbook").await;
    page.sees("Saved webhook-deliveries-all-").await;
    page.close().await;
}
