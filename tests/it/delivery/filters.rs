//! Filters of endpoints over events (section 3 of `contract/integrations.md`).

use super::*;

async fn event(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/events/{id}")).await.attributes()
}

#[tokio::test]
async fn only_events_for_which_the_filter_is_true_make_a_delivery() {
    let app = TestApp::start().await;
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&all.url("/"), json!({})).await;
    let filter = "payload.status == 'firing' and payload.n > 1";
    let hook = app.webhook(&some.url("/"), json!({ "events": ["alert.*"], "filter": filter })).await;
    assert_eq!(app.webhook_attributes(&hook.id).await["filter"], filter);
    let mut ids = Vec::new();
    for payload in [
        json!({ "status": "firing", "n": 2 }),
        json!({ "status": "firing", "n": 1 }),
        json!({ "status": "resolved", "n": 2 }),
        json!({ "n": 2 }),
    ] {
        ids.push(app.post_event("alert.raised", payload).await);
    }
    let other = app.post_event("other", json!({})).await;
    app.rows_when(|rows| rows.len() == 6 && rows.iter().all(|row| row["status"] == "delivered")).await;
    assert_eq!((all.count(), some.count()), (5, 1));
    assert_eq!(some.received()[0].json()["n"], 2);
    let mut counts = Vec::new();
    for id in ids.iter().chain([&other]) {
        let event = event(&app, id).await;
        counts.push((event["deliveries"].as_u64().unwrap(), event["filtered"].as_u64().unwrap()));
    }
    assert_eq!(counts, [(2, 0), (1, 1), (1, 1), (1, 1), (1, 0)]);

    // A changed filter holds from the next event on.
    patch(&app, &hook, json!({ "filter": "payload.n == 7" })).await;
    app.post_event("alert.raised", json!({ "n": 7 })).await;
    patch(&app, &hook, json!({ "filter": null })).await;
    app.post_event("alert.raised", json!({ "n": 8 })).await;
    app.rows_when(|rows| rows.len() == 10 && rows.iter().all(|row| row["status"] == "delivered")).await;
    // Requests of different events may overtake each other.
    let mut seen: Vec<_> = some.received().iter().map(|r| r.json()["n"].as_i64()).collect();
    seen.sort_unstable();
    assert_eq!(seen, [Some(2), Some(7), Some(8)]);
}

#[tokio::test]
async fn a_filter_that_is_no_expression_is_refused_with_its_place() {
    let app = TestApp::start().await;
    for filter in ["payload.a = 1", "paylod.a == 1", &"a".repeat(2_049), "payload.a|nofilter"] {
        let body = json!({ "url": "http://receiver.example/", "events": ["*"], "filter": filter });
        let problems = app.post("/v1/webhooks", body).await.problems(422);
        assert_eq!(problems[0].1.as_deref(), Some("/filter"), "{filter}");
    }
}

#[tokio::test]
async fn a_filter_that_does_not_finish_counts_as_true_and_says_so() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook =
        app.webhook(&receiver.url("/"), json!({ "filter": "payload.list|unique|length > 100000" })).await;
    let list: Vec<u32> = (0..5_000).collect();
    for _ in 0..2 {
        app.post_event("a.b", json!({ "list": list })).await;
    }
    app.rows_when(|rows| rows.len() == 2 && rows.iter().all(|row| row["status"] == "delivered")).await;
    let error = app.webhook_attributes(&hook.id).await["filter_error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("1 Mar 12:00 UTC The filter did not finish: "), "{error}");
    let entries = app.get("/v1/activity?kind=endpoint.filter_failed").await.expect(200);
    assert_eq!(entries["data"].as_array().unwrap().len(), 1, "at most one an hour");
    patch(&app, &hook, json!({ "filter": "payload.list|unique|length > 99999" })).await;
    assert_eq!(app.webhook_attributes(&hook.id).await["filter_error"], Value::Null);
    app.post_event("a.b", json!({ "list": list })).await;
    assert!(
        app.webhook_attributes(&hook.id).await["filter_error"].is_string(),
        "another filter says so at once"
    );
    let entries = app.get("/v1/activity?kind=endpoint.filter_failed").await.expect(200);
    assert_eq!(entries["data"].as_array().unwrap().len(), 1);
    patch(&app, &hook, json!({ "filter": "true" })).await;
    assert_eq!(app.webhook_attributes(&hook.id).await["filter_error"], Value::Null);
}

#[tokio::test]
async fn recover_asks_the_filter_of_now_and_a_replay_to_one_webhook_does_not() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook =
        app.webhook(&receiver.url("/"), json!({ "filter": "payload.n == 2", "status": "disabled" })).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(app.post_event("a.b", json!({ "n": n })).await);
    }
    let changed = patch(&app, &hook, json!({ "status": "active" })).await;
    assert_eq!(changed["missed"]["count"], 1);
    app.clock.advance_ms(1_000);
    let since = json!({ "since": "2026-03-01T00:00:00Z" });
    app.post(&format!("/v1/webhooks/{}/recover", hook.id), since).await.expect(202);
    app.rows_when(|rows| rows.len() == 1 && rows[0]["status"] == "delivered").await;
    app.post(&format!("/v1/events/{}/replay", ids[3]), json!({})).await.expect(202);
    app.post(&format!("/v1/events/{}/replay", ids[0]), json!({ "webhook_id": hook.id })).await.expect(202);
    app.rows_when(|rows| rows.len() == 2 && rows.iter().all(|row| row["status"] == "delivered")).await;
    let seen: Vec<_> = receiver.received().iter().map(|r| r.json()["n"].clone()).collect();
    assert_eq!(seen, [json!(2), json!(0)]);
}
