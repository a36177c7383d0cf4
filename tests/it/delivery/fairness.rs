//! A failing endpoint does not delay others, and rate limits are kept.

use super::*;
use crate::support::app::never_disable;

#[tokio::test]
async fn an_endpoint_that_hangs_delays_no_other() {
    let app = TestApp::with(|config| {
        config.delivery.concurrency = 8;
        config.delivery.endpoint_concurrency = 4;
    })
    .await;
    let (hanging, working) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&hanging.url("/"), json!({})).await;
    app.webhook(&working.url("/"), json!({})).await;
    let hold = hanging.hold();
    for n in 0..40 {
        app.post_event("a.b", json!(n)).await;
    }
    working.next_n(40).await;
    assert_eq!(hanging.count(), 1, "an endpoint of unknown responsiveness gets one slot");
    hold.release();
    let rows = app.rows_when(|rows| rows.iter().all(|row| row["status"] == "delivered")).await;
    assert_eq!(rows.len(), 80);
}

#[tokio::test]
async fn many_manual_retries_of_one_failing_endpoint_leave_slots_for_others() {
    let app = TestApp::with(|config| {
        config.delivery.concurrency = 8;
        config.delivery.endpoint_concurrency = 4;
        never_disable(config);
    })
    .await;
    let (dead, working) = (Receiver::start().await, Receiver::start().await);
    dead.reply(Reply::status(500));
    app.webhook(&dead.url("/"), json!({ "retry_schedule": [], "events": ["dead.*"] })).await;
    app.webhook(&working.url("/"), json!({ "events": ["alive.*"] })).await;
    for n in 0..20 {
        app.post_event("dead.b", json!(n)).await;
    }
    let rows =
        app.rows_when(|rows| rows.len() == 20 && rows.iter().all(|r| r["status"] == "exhausted")).await;
    dead.next_n(20).await;
    let hold = dead.hold();
    for row in &rows {
        retry(&app, row).await.expect(202);
    }
    dead.next_n(4).await;
    app.post_event("alive.b", json!(1)).await;
    working.next().await;
    assert_eq!(dead.count(), 24, "no more than the slots of the endpoint");
    hold.release();
    dead.next_n(16).await;
    assert_chains(&app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await);
}

#[tokio::test]
async fn the_rate_limit_of_an_endpoint_is_kept() {
    let app = TestApp::start().await;
    let (slow, other) = (Receiver::start().await, Receiver::start().await);
    let fields = json!({ "rate_limit": 4, "events": ["slow.*"] });
    let hook = app.webhook(&slow.url("/"), fields).await;
    app.webhook(&other.url("/"), json!({ "events": ["other.*"] })).await;
    for n in 0..6 {
        app.post_event("slow.b", json!(n)).await;
    }
    slow.next().await;
    for n in 1..=3 {
        let delivered = |rows: &[Value]| rows.iter().filter(|row| row["status"] == "delivered").count();
        app.rows_when(|rows| delivered(rows) == 2 * n - 1).await;
        app.clock.advance_ms(249);
        // A delivery to another endpoint shows that everything that may be sent has been sent.
        app.post_event("other.b", json!(n)).await;
        other.next().await;
        app.rows_when(|rows| delivered(rows) == 2 * n).await;
        assert_eq!(slow.count(), n);
        app.clock.advance_ms(1);
        slow.next().await;
    }
    patch(&app, &hook, json!({ "rate_limit": null })).await;
    slow.next_n(2).await;
}

#[tokio::test]
async fn a_rate_limit_of_a_minute_is_kept_without_a_burst_and_reads_back_as_given() {
    let app = TestApp::start().await;
    let (slow, other) = (Receiver::start().await, Receiver::start().await);
    let fields = json!({ "rate_limit": "20/m", "events": ["slow.*"], "request": {} });
    let hook = app.webhook(&slow.url("/"), fields).await;
    assert_eq!(app.webhook_attributes(&hook.id).await["rate_limit"], "20/m");
    app.webhook(&other.url("/"), json!({ "events": ["other.*"] })).await;
    app.clock.advance_ms(60_000);
    for n in 0..3 {
        app.post_event("slow.b", json!(n)).await;
    }
    slow.next().await;
    let delivered = |rows: &[Value]| rows.iter().filter(|row| row["status"] == "delivered").count();
    app.rows_when(|rows| delivered(rows) == 1).await;
    app.clock.advance_ms(2_999);
    // A delivery to another endpoint shows that everything that may be sent has been sent.
    app.post_event("other.b", json!(1)).await;
    other.next().await;
    app.rows_when(|rows| delivered(rows) == 2).await;
    assert_eq!(slow.count(), 1);
    app.clock.advance_ms(1);
    slow.next().await;
    let app = app.restart().await;
    assert_eq!(app.webhook_attributes(&hook.id).await["rate_limit"], "20/m");
    let number = patch(&app, &hook, json!({ "rate_limit": 5 })).await;
    assert_eq!(number["rate_limit"], 5);
    let text = patch(&app, &hook, json!({ "rate_limit": "1000/h" })).await;
    assert_eq!(text["rate_limit"], "1000/h");
    // With PostgreSQL another node may have sent until now, so the first request has to wait for its turn, too.
    app.clock.advance_ms(3_600);
    slow.next().await;
}
