//! `/v1/events`.

use reqwest::Method;
use serde_json::{Value, json};

use super::{assert_invalid, details, redacted};
use crate::support::app::{Answer, json_body, send};
use crate::support::{Receiver, TestApp};

async fn post_text(app: &TestApp, body: impl Into<reqwest::Body>) -> Answer {
    send(json_body(app.request(Method::POST, "/v1/events"), body)).await
}

fn id(answer: &Value) -> String {
    answer["data"]["id"].as_str().expect("an event has an id").to_owned()
}

fn event(event_type: &str) -> Value {
    json!({ "event_type": event_type, "payload": { "n": 1 } })
}

async fn total(app: &TestApp) -> u64 {
    app.get("/v1/events").await.json()["meta"]["total"].as_u64().unwrap()
}

#[tokio::test]
async fn an_event_is_posted_listed_and_read() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({ "events": ["license.*"] })).await;
    let body = r#"{"event_type":"license.assigned","payload":{"b":1,"a":[]},"resource_id":"L-1"}"#;
    let posted = post_text(&app, body).await.expect(202);
    insta::assert_json_snapshot!("posted", redacted(posted.clone()));
    app.row_when(|row| row["status"] == "delivered").await;
    insta::assert_json_snapshot!("listed", redacted(app.get("/v1/events").await.expect(200)));
    let got = app.get(&format!("/v1/events/{}", id(&posted))).await;
    assert!(got.text.contains("\"payload\":{\"b\":1,\"a\":[]}"), "{}", got.text);
    let mut body = got.expect(200);
    body["data"]["attributes"]["attempts"][0]["id"] = json!("[id]");
    insta::assert_json_snapshot!("read", redacted(body));
}

#[tokio::test]
async fn a_payload_is_read_back_byte_for_byte() {
    let app = TestApp::start().await;
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    for payload in [
        "{ \"b\" : 1.0 ,\t\"a\":12345678901234567890123456789, \"c\": 1e400, \"d\":-0 }".to_owned(),
        "{\"a\":1,\"a\":2,\"a\":{\"a\":1,\"a\":2}}".to_owned(),
        "\"\\u00e9\\ud83d\\ude00 \u{e9}\u{1f600} \\/ \\u0000\"".to_owned(),
        "\"\\ud800\"".to_owned(),
        "null".to_owned(),
        "\"\"".to_owned(),
        "0.1000000000000000055511151231257827021181583404541015625".to_owned(),
        deep(100),
        deep(129),
        deep(20_000),
        "{\"a\":".repeat(500) + "1" + &"}".repeat(500),
    ] {
        let posted =
            post_text(&app, format!("{{\"event_type\":\"a.b\",\"payload\": {payload} }}")).await.expect(202);
        let got = app.get(&format!("/v1/events/{}", id(&posted))).await;
        assert_eq!(got.status, 200);
        assert!(got.text.contains(&format!("\"payload\":{payload}}}")), "{:.200}", got.text);
    }
}

#[tokio::test]
async fn invalid_utf8_is_a_bad_request() {
    let app = TestApp::start().await;
    for body in [
        &b"{\"event_type\":\"a.b\",\"payload\":\"\xff\"}"[..],
        b"{\"event_type\":\"a.b\",\"payload\":{\"\xc0\xaf\":1}}",
        b"{\"event_type\":\"a.b\",\"payload\":\"\xed\xa0\x80\"}",
    ] {
        assert_eq!(post_text(&app, body).await.problems(400)[0].0, "bad_request");
        let batch = [&b"{\"events\":["[..], body, b"]}"].concat();
        let answer = send(json_body(app.request(Method::POST, "/v1/events/batch"), batch)).await;
        assert_eq!(answer.problems(400)[0].0, "bad_request");
    }
    assert_eq!(total(&app).await, 0);
}

#[tokio::test]
async fn types_have_a_form_and_a_reserved_beginning() {
    let app = TestApp::start().await;
    for name in
        ["a", "license.assigned", "A-b_c.0", "webhook_endpoint", "webhook_endpoints.x", &"x".repeat(128)]
    {
        app.post("/v1/events", event(name)).await.expect(202);
    }
    for bad in [
        "",
        ".",
        "a..b",
        "a.",
        ".a",
        "a b",
        "a.*",
        "*",
        "\u{e9}",
        &"x".repeat(129),
        "webhook_endpoint.x",
        "webhook_endpoint.disabled",
    ] {
        assert_invalid(&app.post("/v1/events", event(bad)).await, vec!["/event_type"]);
    }
}

#[tokio::test]
async fn all_problems_of_an_event_are_told_together() {
    let app = TestApp::start().await;
    let answer = app
        .post(
            "/v1/events",
            json!({ "event_type": "a..b", "resource_id": "", "idempotency_key": "x".repeat(256) }),
        )
        .await;
    assert_invalid(&answer, vec!["/event_type", "/payload", "/resource_id", "/idempotency_key"]);
    let answer =
        app.post("/v1/events", json!({ "event_type": 5, "payload": 1, "resource_id": 7, "x": 1 })).await;
    assert_invalid(&answer, vec!["/event_type", "/resource_id", "/x"]);
    assert_invalid(&app.post("/v1/events", json!({})).await, vec!["/event_type", "/payload"]);
    let nulls = json!({ "event_type": "a", "payload": null, "resource_id": null, "idempotency_key": null });
    app.post("/v1/events", nulls).await.expect(202);
    let longest = json!({ "event_type": "a", "payload": 1, "resource_id": "\u{e9}".repeat(255), "idempotency_key": "\u{e9}".repeat(255) });
    app.post("/v1/events", longest).await.expect(202);
}

#[tokio::test]
async fn a_repeated_idempotency_key_gives_the_first_answer_again() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    let body = "{\"event_type\":\"a.b\",\"payload\":{\"n\": 1},\"idempotency_key\":\"k\"}";
    let first = post_text(&app, body).await.expect(202);
    app.clock.advance_ms(1_000);
    assert_eq!(post_text(&app, body).await.expect(202), first);
    let by_header = json_body(
        app.request(Method::POST, "/v1/events").header("idempotency-key", "k"),
        "{\"event_type\":\"a.b\",\"payload\":{\"n\": 1}}",
    );
    assert_eq!(send(by_header).await.expect(202), first);
    let both = json_body(app.request(Method::POST, "/v1/events").header("idempotency-key", "k"), body);
    assert_eq!(send(both).await.expect(202), first);
    let twice = app.request(Method::POST, "/v1/events").header("idempotency-key", "k");
    let twice = json_body(twice.header("idempotency-key", "k"), body);
    assert_eq!(send(twice).await.problems(400), [("bad_request".to_owned(), None)]);
    let batch = app.request(Method::POST, "/v1/events/batch").header("idempotency-key", "k");
    let batch = json_body(batch.header("idempotency-key", "l"), "{\"events\":[]}");
    assert_eq!(send(batch).await.problems(400), [("bad_request".to_owned(), None)]);
    for other in [
        "{\"event_type\":\"a.c\",\"payload\":{\"n\": 1},\"idempotency_key\":\"k\"}",
        "{\"event_type\":\"a.b\",\"payload\":{\"n\":1},\"idempotency_key\":\"k\"}",
        "{\"event_type\":\"a.b\",\"payload\":{\"n\": 1},\"resource_id\":\"r\",\"idempotency_key\":\"k\"}",
    ] {
        assert_eq!(post_text(&app, other).await.problems(409), [("conflict".to_owned(), None)], "{other}");
    }
    assert_eq!(total(&app).await, 1);
    app.row_when(|row| row["status"] == "delivered").await;
    assert_eq!(receiver.count(), 1);

    app.clock.advance_ms(24 * 3_600_000 - 1_001);
    assert_eq!(post_text(&app, body).await.expect(202), first, "a millisecond before it ends");
    app.clock.advance_ms(1);
    let again = post_text(&app, body).await.expect(202);
    assert_ne!(id(&again), id(&first), "24 hours after the first");
}

#[tokio::test]
async fn idempotency_keys_belong_to_their_app() {
    let app = TestApp::start().await;
    app.app("other").await;
    let theirs = app.key("events:write", Some("other")).await;
    let body = json!({ "event_type": "a.b", "payload": 1, "idempotency_key": "k" });
    let mine = app.post("/v1/events", body.clone()).await.expect(202);
    let other = send(json_body(app.request_as(&theirs, Method::POST, "/v1/events"), body.to_string()))
        .await
        .expect(202);
    assert_ne!(id(&mine), id(&other));
}

#[tokio::test]
async fn header_and_field_must_agree() {
    let app = TestApp::start().await;
    let with = |header: &str| {
        let body = json!({ "event_type": "a.b", "payload": 1, "idempotency_key": "k" });
        json_body(app.request(Method::POST, "/v1/events").header("idempotency-key", header), body.to_string())
    };
    for other in ["j", "K", ""] {
        assert_invalid(&send(with(other)).await, vec!["/idempotency_key"]);
    }
    let only = |header: &str| {
        json_body(
            app.request(Method::POST, "/v1/events").header("idempotency-key", header),
            event("a.b").to_string(),
        )
    };
    for bad in ["", "\u{e9}", &"x".repeat(256)] {
        assert_invalid(&send(only(bad)).await, vec!["/idempotency_key"]);
    }
    assert_eq!(total(&app).await, 0);
}

#[tokio::test]
async fn a_payload_over_the_limit_is_too_large_to_the_byte() {
    let app = TestApp::with(|c| c.limits.event_size = 1_024).await;
    let of = |bytes: usize| json!({ "event_type": "a.b", "payload": "x".repeat(bytes - 2) });
    app.post("/v1/events", of(1_024)).await.expect(202);
    let answer = app.post("/v1/events", of(1_025)).await;
    assert_eq!(answer.problems(413), [("payload_too_large".to_owned(), None)]);
    assert!(answer.text.contains("limits.event_size"), "{}", answer.text);
    let batch = app.post("/v1/events/batch", json!({ "events": [of(1_024), of(1_025)] })).await;
    assert_eq!(batch.problems(413)[0].0, "payload_too_large");
    assert!(details(&batch)[0].contains("/events/1/payload"));
    assert_eq!(total(&app).await, 1);
}

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let app = TestApp::start().await;
    let events: Vec<Value> = (0..1_000).map(|i| event(&format!("t.n{i}"))).collect();
    let answer = app.post("/v1/events/batch", json!({ "events": events })).await.expect(202);
    let results = answer["data"].as_array().unwrap();
    assert_eq!(results.len(), 1_000);
    for (i, result) in results.iter().enumerate() {
        assert_eq!(result["attributes"]["event_type"], format!("t.n{i}"));
    }
    assert_eq!(total(&app).await, 1_000);
    insta::assert_json_snapshot!(
        "batch",
        redacted(app.post("/v1/events/batch", json!({ "events": [event("a.b")] })).await.expect(202))
    );
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_refused_whole() {
    let app = TestApp::start().await;
    let good = || event("a.b");
    let answer = app
        .post("/v1/events/batch", json!({ "events": [good(), good(), good(), event("a..b"), json!({}), 5] }))
        .await;
    assert_invalid(
        &answer,
        vec!["/events/3/event_type", "/events/4/event_type", "/events/4/payload", "/events/5"],
    );
    let answer = app
        .post("/v1/events/batch", json!({ "events": [good(), good(), good(), event("webhook_endpoint.x")] }))
        .await;
    assert_invalid(&answer, vec!["/events/3/event_type"]);
    for (bad, pointer) in [
        (json!({}), "/events"),
        (json!({ "events": [] }), "/events"),
        (json!({ "events": null }), "/events"),
        (json!({ "events": {} }), "/events"),
        (json!({ "events": vec![good(); 1_001] }), "/events"),
        (json!({ "event": [good()] }), "/event"),
    ] {
        let answer = app.post("/v1/events/batch", bad).await;
        let problems = answer.problems(422);
        assert!(problems.iter().any(|(_, source)| source.as_deref() == Some(pointer)), "{}", answer.text);
    }
    assert_eq!(total(&app).await, 0);
}

#[tokio::test]
async fn each_event_of_a_batch_may_have_its_key() {
    let app = TestApp::start().await;
    let keyed = |n: i32, key: &str| json!({ "event_type": "a.b", "payload": n, "idempotency_key": key });
    let first =
        app.post("/v1/events/batch", json!({ "events": [keyed(1, "a"), keyed(2, "b")] })).await.expect(202);
    let again = app
        .post("/v1/events/batch", json!({ "events": [keyed(2, "b"), keyed(3, "c"), keyed(3, "c")] }))
        .await
        .expect(202);
    assert_eq!(again["data"][0], first["data"][1]);
    assert_eq!(again["data"][1], again["data"][2], "also within one batch");
    assert_eq!(total(&app).await, 3);
    let answer = app.post("/v1/events/batch", json!({ "events": [keyed(9, "z"), keyed(9, "a")] })).await;
    answer.problems(409);
    assert!(details(&answer)[0].contains("/events/1/idempotency_key"), "{}", answer.text);
    assert_eq!(total(&app).await, 3, "nothing of it is there");
}

#[tokio::test]
async fn a_batch_may_have_16_mib_and_no_more() {
    let app = TestApp::with(|c| c.limits.event_size = 20 * 1024 * 1024).await;
    let of = |bytes: usize| {
        let around = json!({ "events": [{ "event_type": "a.b", "payload": "" }] }).to_string();
        let body = around
            .replace("\"payload\":\"\"", &format!("\"payload\":\"{}\"", "x".repeat(bytes - around.len())));
        json_body(app.request(Method::POST, "/v1/events/batch"), body)
    };
    send(of(16 * 1024 * 1024)).await.expect(202);
    assert_eq!(send(of(16 * 1024 * 1024 + 1)).await.problems(413)[0].0, "payload_too_large");
}

#[tokio::test]
async fn events_are_filtered_by_type_and_time() {
    let app = TestApp::start().await;
    for event_type in ["license.assigned", "license.revoked.late", "license", "licenses.x", "user.new"] {
        app.post_event(event_type, json!(1)).await;
        app.clock.advance_ms(60_000);
    }
    let types = async |query: &str| -> Vec<String> {
        let list = app.get(&format!("/v1/events?{query}")).await.expect(200);
        let rows = list["data"].as_array().unwrap().iter();
        rows.map(|row| row["attributes"]["event_type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        types("").await,
        ["user.new", "licenses.x", "license", "license.revoked.late", "license.assigned"]
    );
    assert_eq!(types("event_type=license.*").await, ["license.revoked.late", "license.assigned"]);
    assert_eq!(types("event_type=license").await, ["license"]);
    assert_eq!(types("event_type=none").await, [""; 0]);
    assert_eq!(
        types("since=2026-03-01T12:01:00Z&until=2026-03-01T12:03:00Z").await,
        ["license", "license.revoked.late"]
    );
    assert_eq!(types("since=2026-03-01T14:04:00%2B02:00").await, ["user.new"]);
    for (query, parameter) in [
        ("event_type=*", "event_type"),
        ("event_type=a..b", "event_type"),
        ("event_type=", "event_type"),
        ("since=yesterday", "since"),
        ("since=2026-03-01T12:00:00+02:00", "since"),
        ("until=1714540478", "until"),
        ("until=", "until"),
        ("query=x", "query"),
        ("status=pending", "status"),
    ] {
        assert_invalid(&app.get(&format!("/v1/events?{query}")).await, vec![parameter]);
    }
    let several = app.get("/v1/events?since=x&until=y&per_page=0&page=0&eventtype=a").await;
    assert_invalid(&several, vec!["since", "until", "per_page", "page", "eventtype"]);
    assert!(several.text.contains("did you mean event_type?"));
}

async fn post_batch(app: &TestApp, key: &str, events: &Value) -> Answer {
    let request = app.request(Method::POST, "/v1/events/batch").header("idempotency-key", key);
    send(json_body(request, json!({ "events": events }).to_string())).await
}

#[tokio::test]
async fn an_idempotency_key_header_stands_for_the_whole_batch() {
    let app = TestApp::start().await;
    let keyed = json!({ "event_type": "c", "payload": 3, "idempotency_key": "own" });
    let batch = json!([event("a"), event("b"), event("a"), keyed]);
    let first = post_batch(&app, "k", &batch).await.expect(202);
    assert_eq!(first["data"].as_array().unwrap().len(), 4);
    assert_eq!(post_batch(&app, "k", &batch).await.expect(202), first);
    assert_eq!(total(&app).await, 4);

    // Fewer, more, in another order, with another payload: another batch.
    for other in [
        json!([event("a"), event("b"), event("a")]),
        json!([event("a"), event("b"), event("a"), keyed, event("d")]),
        json!([event("b"), event("a"), event("a"), keyed]),
        json!([event("a"), event("b"), event("a"), { "event_type": "c", "payload": 4 }]),
    ] {
        post_batch(&app, "k", &other).await.problems(409);
    }
    // The key of a batch is none of an event, nor the other way round.
    let one = app.request(Method::POST, "/v1/events").header("idempotency-key", "k");
    send(json_body(one, event("a").to_string())).await.problems(409);
    post_batch(&app, "own", &batch).await.problems(409);
    assert_eq!(total(&app).await, 4);

    // An event that was posted before keeps its first response inside a new batch.
    let again = post_batch(&app, "k2", &json!([event("z"), keyed])).await.expect(202);
    assert_eq!(again["data"][1], first["data"][3]);
    assert_eq!(post_batch(&app, "k2", &json!([event("z"), keyed])).await.expect(202), again);
    assert_eq!(total(&app).await, 5);
    let long = "x".repeat(256);
    assert_invalid(&post_batch(&app, &long, &batch).await, vec!["/idempotency_key"]);
    app.clock.advance_ms(86_400_000);
    assert_ne!(post_batch(&app, "k", &batch).await.expect(202), first);
}
