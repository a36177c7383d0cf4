//! `/v1/webhooks`: the rules and limits of what a webhook is given.

use reqwest::Method;
use serde_json::{Value, json};

use super::{URL, assert_invalid, with};
use crate::support::TestApp;

#[tokio::test]
async fn what_may_be_null_is_as_if_absent() {
    let app = TestApp::start().await;
    let nulls = json!({ "name": null, "description": null, "headers": null, "retry_schedule": null, "timeout": null, "rate_limit": null });
    let attributes = app.post("/v1/webhooks", with(nulls)).await.expect(201)["data"]["attributes"].clone();
    assert_eq!((&attributes["name"], &attributes["headers"]), (&json!("example.com"), &json!({})));
    for name in ["description", "retry_schedule", "timeout", "rate_limit"] {
        assert_eq!(attributes.get(name), Some(&Value::Null), "{name} is there, and null");
    }
    assert_invalid(
        &app.post("/v1/webhooks", with(json!({ "encrypted": null, "status": null }))).await,
        vec!["/encrypted", "/status"],
    );
}

#[tokio::test]
async fn lengths_of_time_read_back_as_they_were_given() {
    let app = TestApp::start().await;
    for (schedule, timeout) in
        [(json!(["120s", "2m", "0s", "1d"]), "30s"), (json!([]), "30000ms"), (json!(["001m"]), "1ms")]
    {
        let made = app
            .post("/v1/webhooks", with(json!({ "retry_schedule": schedule, "timeout": timeout })))
            .await
            .expect(201);
        let attributes = &made["data"]["attributes"];
        assert_eq!((&attributes["retry_schedule"], &attributes["timeout"]), (&schedule, &json!(timeout)));
    }
    for bad in ["", "10", "s", "-1s", "1.5s", "1 s", "1w", "31s", "0s", "30001ms", "1m"] {
        assert_invalid(&app.post("/v1/webhooks", with(json!({ "timeout": bad }))).await, vec!["/timeout"]);
    }
    let bad = json!(["1m", "x", "2m", "-3s"]);
    assert_invalid(
        &app.post("/v1/webhooks", with(json!({ "retry_schedule": bad }))).await,
        vec!["/retry_schedule/1", "/retry_schedule/3"],
    );
    for bad in [json!("2m"), json!([1]), json!({})] {
        assert_invalid(
            &app.post("/v1/webhooks", with(json!({ "retry_schedule": bad }))).await,
            vec!["/retry_schedule"],
        );
    }
}

#[tokio::test]
async fn names_descriptions_and_patterns_have_limits() {
    let app = TestApp::start().await;
    for (fields, pointer) in [
        (json!({ "name": "x".repeat(101) }), "/name"),
        (json!({ "name": "a\u{0}b" }), "/name"),
        (json!({ "name": 1 }), "/name"),
        (json!({ "description": "x".repeat(501) }), "/description"),
        (json!({ "events": [] }), "/events"),
        (json!({ "events": vec!["a.b"; 101] }), "/events"),
        (json!({ "events": "a.b" }), "/events"),
        (json!({ "events": ["a.b", "a.*.b"] }), "/events/1"),
        (json!({ "events": [".*"] }), "/events/0"),
        (json!({ "events": ["**"] }), "/events/0"),
        (json!({ "events": [""] }), "/events/0"),
        (json!({ "rate_limit": 0 }), "/rate_limit"),
        (json!({ "rate_limit": -1 }), "/rate_limit"),
        (json!({ "rate_limit": 1.5 }), "/rate_limit"),
        (json!({ "rate_limit": "5" }), "/rate_limit"),
        (json!({ "rate_limit": 10_001 }), "/rate_limit"),
        (json!({ "rate_limit": "10001/s" }), "/rate_limit"),
        (json!({ "rate_limit": "0/m" }), "/rate_limit"),
        (json!({ "rate_limit": "30/d" }), "/rate_limit"),
        (json!({ "rate_limit": ["30/m"] }), "/rate_limit"),
        (json!({ "status": "on" }), "/status"),
        (json!({ "encrypted": 1 }), "/encrypted"),
    ] {
        let answer = app.post("/v1/webhooks", with(fields.clone())).await;
        assert_invalid(&answer, vec![pointer]);
    }
    let patterns: Vec<String> = (0..100).map(|i| format!("t{i}.*")).collect();
    let longest = json!({ "name": "\u{e9}".repeat(100), "description": "\u{e9}".repeat(500), "events": patterns, "rate_limit": 10_000 });
    let made = app.post("/v1/webhooks", with(longest.clone())).await.expect(201);
    for (name, value) in longest.as_object().unwrap() {
        assert_eq!(&made["data"]["attributes"][name], value);
    }
}

#[tokio::test]
async fn urls_have_rules() {
    let app = TestApp::start().await;
    let long = |n: usize| format!("https://example.com/{}", "x".repeat(n - 20));
    for url in [
        "http://example.com",
        "https://example.com:8443/a?b=%20#".trim_end_matches('#'),
        "https://b\u{fc}cher.example/",
        &long(2_048),
    ] {
        let made = app.post("/v1/webhooks", with(json!({ "url": url }))).await.expect(201);
        assert_eq!(made["data"]["attributes"]["url"], url, "as it was given");
    }
    for bad in [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https://user@example.com/",
        "https://u:p@example.com/",
        "https://example.com/#x",
        "https://example.com/a\nb",
        "https://example.com/\u{0}",
        "https://example.com/a b",
        "//example.com/",
        &long(2_049),
    ] {
        assert_invalid(&app.post("/v1/webhooks", with(json!({ "url": bad }))).await, vec!["/url"]);
    }
}

#[tokio::test]
async fn a_literal_address_that_is_blocked_is_refused_with_the_setting_to_change() {
    let app = TestApp::with(|c| c.network.allow.clear()).await;
    let id = app.webhook(URL, json!({})).await.id;
    for blocked in [
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://127.1/",
        "http://0/",
        "http://168.63.129.16/",
        "http://[fd00::1]/",
    ] {
        for answer in [
            app.post("/v1/webhooks", with(json!({ "url": blocked }))).await,
            app.with_json(Method::PATCH, &format!("/v1/webhooks/{id}"), json!({ "url": blocked })).await,
        ] {
            assert_invalid(&answer, vec!["/url"]);
            assert!(answer.text.contains("network.allow"), "{blocked}: {}", answer.text);
        }
    }
    app.post("/v1/webhooks", with(json!({ "url": "http://93.184.216.34/" }))).await.expect(201);
}

#[tokio::test]
async fn lists_are_refused_by_their_length_before_they_are_read() {
    let app = TestApp::start().await;
    let many = |n: usize| Value::Array(vec![json!(""); n]);
    for (field, n) in
        [("events", 101), ("retry_schedule", 51), ("events", 100_000), ("retry_schedule", 100_000)]
    {
        let answer = app.post("/v1/webhooks", with(json!({ field: many(n) }))).await;
        assert_invalid(&answer, vec![&format!("/{field}")]);
    }
    let headers: serde_json::Map<_, _> = (0..5_000).map(|i| (format!("bad {i}"), json!(1))).collect();
    assert_invalid(&app.post("/v1/webhooks", with(json!({ "headers": headers }))).await, vec!["/headers"]);
}
