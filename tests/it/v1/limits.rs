//! Rate limits (section 4).

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::{Answer, json_body, send};

fn quota(answer: &Answer) -> [Option<u64>; 3] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
        .map(|name| answer.header(name).map(|v| v.parse().expect("whole numbers")))
}

fn some(limit: u64, remaining: u64, reset: u64) -> [Option<u64>; 3] {
    [Some(limit), Some(remaining), Some(reset)]
}

#[tokio::test]
async fn a_key_has_so_many_requests_a_minute_and_is_told_when_to_come_again() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 4).await;
    assert_eq!(quota(&app.get("/v1/webhooks").await), some(4, 3, 15));
    assert_eq!(quota(&app.get("/v1/webhooks/none").await), some(4, 2, 30), "errors count, and say so");
    assert_eq!(quota(&app.post("/v1/webhooks", json!({})).await), some(4, 1, 45));
    let unknown_app = app.request(Method::GET, "/v1/webhooks").header("x-app-id", "none");
    assert_eq!(quota(&send(unknown_app).await), some(4, 0, 60));

    app.clock.advance_ms(3_000);
    let answer = app.get("/v1/webhooks").await;
    assert_eq!(answer.problems(429), [("rate_limit_exceeded".to_owned(), None)]);
    assert_eq!(answer.json()["errors"][0]["detail"], "Rate limit exceeded. Try again in 12 seconds.");
    assert_eq!(answer.header("retry-after"), Some("12"));
    assert_eq!(quota(&answer), some(4, 0, 57));

    let other = app.key("webhooks:read", None).await;
    let theirs = send(app.request_as(&other, Method::GET, "/v1/webhooks")).await;
    assert_eq!((theirs.status, quota(&theirs)), (200, some(4, 3, 15)), "each key has its own");
    let forbidden = send(app.request_as(&other, Method::GET, "/v1/events")).await;
    assert_eq!((forbidden.status, quota(&forbidden)), (403, some(4, 2, 30)));

    app.clock.advance_ms(12_000);
    assert_eq!(app.get("/v1/webhooks").await.status, 200);
    assert_eq!(app.get("/v1/webhooks").await.status, 429);
}

#[tokio::test]
async fn health_pages_and_documents_are_never_limited() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 1).await;
    app.get("/v1/webhooks").await.expect(200);
    app.get("/v1/webhooks").await.problems(429);
    for path in ["/healthz", "/readyz", "/docs", "/docs/page.js", "/openapi.json"] {
        for _ in 0..3 {
            let answer = app.get(path).await;
            assert_eq!((answer.status, quota(&answer)), (200, [None; 3]), "{path}");
        }
    }
}

#[tokio::test]
async fn posting_events_has_a_limit_of_its_own() {
    let app = TestApp::with(|c| (c.limits.requests_per_minute, c.limits.events_per_second) = (2, 10)).await;
    let post = async |n: usize| {
        let events = vec![json!({ "event_type": "a.b", "payload": 1 }); n];
        app.post("/v1/events/batch", json!({ "events": events })).await
    };
    let one = json!({ "event_type": "a.b", "payload": 1 });
    for left in [9, 8, 7] {
        let answer = app.post("/v1/events", one.clone()).await;
        assert_eq!((answer.status, quota(&answer)), (202, some(10, left, 1)));
    }
    assert_eq!(quota(&post(5).await), some(10, 2, 1), "a batch of n counts n");
    assert_eq!(post(3).await.problems(429)[0].0, "rate_limit_exceeded");
    assert_eq!(post(2).await.status, 202);
    let answer = app.post("/v1/events", one.clone()).await;
    assert_eq!(answer.json()["errors"][0]["detail"], "Rate limit exceeded. Try again in 1 seconds.");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(app.get("/v1/events").await.json()["meta"]["total"], 10, "what was refused is not there");

    app.clock.advance_ms(1_000);
    let large = post(25).await;
    assert_eq!((large.status, quota(&large)), (202, some(10, 0, 3)), "larger than the bucket, which is full");
    app.clock.advance_ms(1_500);
    assert_eq!(post(1).await.problems(429)[0].0, "rate_limit_exceeded", "it has to be made good");
    assert_eq!(quota(&app.get("/v1/webhooks").await), some(2, 0, 58), "two reads in all: other requests");
}

#[tokio::test]
async fn what_cannot_be_taken_costs_no_events() {
    let app = TestApp::with(|c| c.limits.events_per_second = 5).await;
    let bad = app.post("/v1/events", json!({ "event_type": "a.b" })).await;
    assert_eq!((bad.status, quota(&bad)), (422, some(5, 5, 0)));
}

#[tokio::test]
async fn zero_is_no_limit_and_says_nothing() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    for _ in 0..3 {
        let answer = app.get("/v1/webhooks").await;
        assert_eq!((answer.status, quota(&answer)), (200, [None; 3]));
    }
    let posted = app.post("/v1/events", json!({ "event_type": "a.b", "payload": 1 })).await;
    assert_eq!((posted.status, quota(&posted)), (202, [None; 3]));
}

#[tokio::test]
async fn strangers_are_limited_by_address_and_never_lock_out_a_valid_key() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 3).await;
    let url = format!("{}/v1/webhooks", app.base);
    let stranger = |token: &str| send(app.client.get(&url).bearer_auth(token));
    for token in ["a", "prk_a_b", ""] {
        let answer = stranger(token).await;
        assert_eq!((answer.status, quota(&answer)), (401, [None; 3]));
    }
    let answer = stranger("d").await;
    assert_eq!(answer.problems(429), [("rate_limit_exceeded".to_owned(), None)]);
    assert_eq!((answer.header("retry-after"), quota(&answer)), (Some("20"), some(3, 0, 60)));
    let post = app.client.post(format!("{}/v1/events", app.base));
    assert_eq!(send(json_body(post, "{}")).await.status, 429, "posting events too");

    let valid = app.get("/v1/webhooks").await;
    assert_eq!((valid.status, quota(&valid)), (200, some(3, 2, 20)));
    app.clock.advance_ms(20_000);
    assert_eq!(stranger("a").await.status, 401);
}
