//! The overview's figures.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;
use crate::support::receiver::Reply;

#[tokio::test]
async fn the_backlog_is_counted_back_from_what_is_pending_now() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Viewer, "").await;
    let counted = "const done = arguments[0];
        const step = (deliveries, delivered, exhausted) => ({ deliveries, delivered, exhausted });
        import(document.querySelector('script[src$=\"main.js\"]').src.replace('main.js', 'pages/overview/charts.js'))
          .then((m) => done(m.backlog([step(5, 2, 0), step(4, 0, 1), step(0, 3, 0)], 3)))";
    assert_eq!(page.js_later(counted, vec![]).await, json!([3, 6, 3]));
    page.close().await;
}

#[tokio::test]
async fn attempts_are_charted_by_the_status_of_their_response() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    stage.ended_event("order.paid", json!({ "order": 0 })).await;
    stage.receiver.reply(Reply::status(404));
    stage.app.post_event("order.paid", json!({ "order": 1 })).await;
    stage.app.row_when(|row| row["response_status"] == 404).await;
    let page = stage.signed_in(Role::Viewer, "").await;
    let shown = "(() => {
        const chart = all('figure.chart').find((e) => e.getAttribute('aria-label') === 'Attempts per hour by response status');
        const heads = [...chart?.querySelectorAll('thead th') ?? []].map((e) => e.textContent.trim());
        const last = [...chart?.querySelectorAll('tbody tr:last-child td') ?? []].map((e) => e.textContent.trim());
        return JSON.stringify([heads, last]) === JSON.stringify(args);
    })()";
    let wanted = json!([["From", "2xx", "4xx", "5xx"], ["1", "1", "0"]]);
    page.until_with("the attempts of the hour by status", shown, wanted).await;
    page.close().await;
}

#[tokio::test]
async fn the_response_time_is_that_of_the_whole_range() {
    let stage = Stage::set().await;
    stage.webhook("Shop", "/shop").await;
    // Two hours ago a response took as long as a sign-in takes; the newest hour alone knows only fast ones.
    let hold = stage.receiver.hold();
    stage.app.post_event("order.paid", json!({ "order": 0 })).await;
    stage.receiver.next().await;
    let page = stage.signed_in(Role::Viewer, "account").await;
    hold.release();
    stage.app.row_when(|row| row["status"] == "delivered").await;
    stage.app.clock.advance_ms(2 * 3_600_000);
    stage.ended_event("order.paid", json!({ "order": 1 })).await;

    let stats = stage.app.get("/v1/webhooks/stats").await.attributes();
    let whole = stats["totals"]["response_time_ms"]["p95"].as_u64().expect("there are some");
    let hours = stats["series"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|hour| hour["response_time_ms"]["p95"].as_u64());
    let hours: Vec<u64> = hours.collect();
    assert!(hours.len() == 2 && hours[0] == whole && hours[1] < whole, "{stats:#}");
    let words =
        if whole < 1_000 { format!("{whole} ms") } else { format!("{:.1} s", whole as f64 / 1_000.0) };
    page.goto("").await;
    let shown = "all('.figure').find((e) => e.innerText.includes('p95'))?.querySelector('dd').innerText.trim() === args";
    page.until_with("the p95 of the whole range", shown, json!(words)).await;
    page.close().await;
}
