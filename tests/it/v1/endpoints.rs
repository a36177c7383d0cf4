//! `/v1/webhooks`.

use reqwest::Method;
use serde_json::{Value, json};

use super::{URL, assert_invalid, redacted};
use crate::support::app::{json_body, send};
use crate::support::{Receiver, Reply, TestApp};

fn with(fields: Value) -> Value {
    let mut body = json!({ "url": URL, "events": ["license.*"] });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn whole() -> Value {
    json!({
        "url": "https://example.com/hook?x=1",
        "name": "Billing",
        "description": "Two lines\nof text",
        "events": ["license.*", "user.created", "*"],
        "headers": { "X-Plain": "a b", "X-Secret": { "value": "s3cret", "secret": true }, "X-Open": { "value": "v" } },
        "encrypted": true,
        "retry_schedule": ["90s", "0", "1h", "1500ms", "1d"],
        "timeout": "2500ms",
        "rate_limit": 7,
    })
}

#[tokio::test]
async fn a_webhook_is_made_read_and_listed() {
    let app = TestApp::start().await;
    let made = app.post("/v1/webhooks", whole()).await.expect(201);
    insta::assert_json_snapshot!("made", redacted(made.clone()));
    let secret = made["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let mut expected = made;
    expected["data"]["attributes"].as_object_mut().unwrap().remove("signing_secret");
    let path = format!("/v1/webhooks/{}", expected["data"]["id"].as_str().unwrap());
    let read = app.get(&path).await;
    assert!(!read.text.contains("whsec_") && !read.text.contains("s3cret"), "{}", read.text);
    assert_eq!(read.expect(200), expected);
    let list = app.get("/v1/webhooks").await;
    assert!(!list.text.contains("whsec_") && !list.text.contains("s3cret"));
    assert_eq!(list.expect(200)["data"], json!([expected["data"]]));
}

#[tokio::test]
async fn a_webhook_needs_url_and_events_only() {
    let app = TestApp::start().await;
    insta::assert_json_snapshot!(
        "made_of_little",
        redacted(app.post("/v1/webhooks", with(json!({}))).await.expect(201))
    );
    assert_invalid(&app.post("/v1/webhooks", json!({})).await, vec!["/url", "/events"]);
    assert_invalid(
        &app.post("/v1/webhooks", json!({ "url": null, "events": null })).await,
        vec!["/url", "/events"],
    );
    assert_eq!(app.get("/v1/webhooks").await.json()["meta"]["total"], 1);
}

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
async fn patch_changes_what_is_given_and_put_everything() {
    let app = TestApp::start().await;
    let id = app.webhook(URL, whole()).await.id;
    let path = format!("/v1/webhooks/{id}");
    let before = app.webhook_attributes(&id).await;

    app.clock.advance_ms(1_000);
    let mut expected = before.clone();
    expected["description"] = Value::Null;
    expected["timeout"] = json!("1s");
    expected["updated_at"] = json!("2026-03-01T12:00:01.000Z");
    let patched = app
        .with_json(Method::PATCH, &path, json!({ "description": null, "timeout": "1s" }))
        .await
        .expect(200);
    assert_eq!(patched["data"]["attributes"], expected);
    assert_eq!(app.webhook_attributes(&id).await, expected);
    app.with_json(Method::PATCH, &path, json!({})).await.expect(200);
    let cleared = app
        .with_json(
            Method::PATCH,
            &path,
            json!({ "retry_schedule": null, "rate_limit": null, "headers": {}, "name": null }),
        )
        .await
        .expect(200);
    let cleared = &cleared["data"]["attributes"];
    assert_eq!(
        (&cleared["retry_schedule"], &cleared["rate_limit"], &cleared["headers"]),
        (&Value::Null, &Value::Null, &json!({}))
    );
    assert_eq!(cleared["name"], "example.com");

    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    let replaced = app.with_json(Method::PUT, &path, with(json!({}))).await.expect(200);
    insta::assert_json_snapshot!("replaced", redacted(replaced));
    assert_invalid(&app.with_json(Method::PUT, &path, json!({ "name": "x" })).await, vec!["/url", "/events"]);
}

#[tokio::test]
async fn what_was_read_can_be_written_back() {
    let app = TestApp::start().await;
    let id = app.webhook(URL, whole()).await.id;
    let before = app.webhook_attributes(&id).await;
    for method in [Method::PUT, Method::PATCH] {
        app.with_json(method.clone(), &format!("/v1/webhooks/{id}"), before.clone()).await.expect(200);
        assert_eq!(app.webhook_attributes(&id).await, before, "{method}");
    }
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
async fn secret_header_values_are_masked_and_the_mask_keeps_them() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app
        .webhook(
            &receiver.url("/"),
            json!({ "headers": { "X-Key": { "value": "s3cret", "secret": true }, "X-Plain": "p" } }),
        )
        .await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let masked = json!({ "value": "********", "secret": true });
    let read = app.webhook_attributes(&hook.id).await;
    assert_eq!(read["headers"], json!({ "X-Key": masked, "X-Plain": "p" }));

    let headers = json!({ "headers": { "x-key": masked, "X-New": "n" } });
    app.with_json(Method::PATCH, &path, headers).await.expect(200);
    app.post_event("a.b", json!(1)).await;
    let got = receiver.next().await;
    assert_eq!(
        (got.header("x-key"), got.header("x-new"), got.header("x-plain")),
        (Some("s3cret"), Some("n"), None)
    );

    let put = json!({ "url": receiver.url("/"), "events": ["*"], "headers": { "X-Key": masked } });
    app.with_json(Method::PUT, &path, put).await.expect(200);
    app.post_event("a.b", json!(1)).await;
    assert_eq!(receiver.next().await.header("x-key"), Some("s3cret"));

    let nothing_kept = json!({ "headers": { "X-Other/Key": "x", "X-Other": masked, "X-Key": masked } });
    assert_invalid(&app.with_json(Method::PATCH, &path, nothing_kept).await, vec!["/headers/X-Other~1Key"]);
    let nothing_kept = json!({ "headers": { "X-Other": masked, "X-Another": masked, "X-Key": masked } });
    assert_invalid(
        &app.with_json(Method::PATCH, &path, nothing_kept).await,
        vec!["/headers/X-Other", "/headers/X-Another"],
    );
    assert_invalid(
        &app.post("/v1/webhooks", with(json!({ "headers": { "X-Key": masked } }))).await,
        vec!["/headers/X-Key"],
    );

    let detail = app.row_when(|row| row["status"] == "delivered").await;
    let detail = app.get(&format!("/v1/webhooks/deliveries/{}", detail["id"])).await;
    assert!(!detail.text.contains("s3cret"));
    assert_eq!(detail.attributes()["request"]["headers"]["x-key"], "********");
}

#[tokio::test]
async fn a_secret_value_moves_to_another_origin_only_with_the_scope_for_secrets() {
    let app = TestApp::start().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let headers = json!({ "X-Key": { "value": "s3cret", "secret": true } });
    let hook = app.webhook(&old.url("/"), json!({ "headers": headers })).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let writer = app.key("webhooks:read,webhooks:write", None).await;
    let masked = json!({ "X-Key": { "value": "********", "secret": true } });
    let send_as = async |token: &str, method: Method, path: &str, body: Value| {
        send(json_body(app.request_as(token, method, path), body.to_string())).await
    };

    // Nothing moves, or nothing secret does.
    for body in [
        json!({ "url": old.url("/other?path"), "headers": masked }),
        json!({ "name": "n" }),
        json!({ "url": new.url("/"), "headers": {} }),
        json!({ "url": old.url("/"), "headers": headers }),
    ] {
        send_as(&writer, Method::PATCH, &path, body).await.expect(200);
    }

    let moves = |url: &str| json!({ "url": url });
    let v0 = format!("/api/v0/webhooks/wh_{}", hook.id.replace('-', ""));
    for url in [new.url("/"), old.url("/").replace("http:", "https:"), "http://other.example/".to_owned()] {
        let put = json!({ "url": url, "events": ["*"], "headers": masked });
        for (method, body) in [
            (Method::PATCH, moves(&url)),
            (Method::PATCH, json!({ "url": url, "headers": masked })),
            (Method::PUT, put),
        ] {
            assert_invalid(&send_as(&writer, method, &path, body).await, vec!["/headers"]);
        }
        assert_eq!(send_as(&writer, Method::PATCH, &v0, moves(&url)).await.status, 422, "{url}");
    }
    assert_eq!(app.webhook_attributes(&hook.id).await["url"], old.url("/"));
    app.post_event("a.b", json!(1)).await;
    assert_eq!(old.next().await.header("x-key"), Some("s3cret"));

    let given = json!({ "url": new.url("/"), "headers": { "X-Key": { "value": "n3w", "secret": true } } });
    send_as(&writer, Method::PATCH, &path, given).await.expect(200);
    let scopes = "webhooks:read,webhooks:write,webhooks:secrets";
    let trusted = app.key(scopes, None).await;
    send_as(&trusted, Method::PATCH, &path, moves(&old.url("/"))).await.expect(200);
    app.post_event("a.b", json!(2)).await;
    assert_eq!(old.next().await.header("x-key"), Some("n3w"));
}

#[tokio::test]
async fn a_mask_is_no_value() {
    let app = TestApp::start().await;
    let (mask, secret) = (json!("********"), json!({ "value": "********", "secret": true }));
    let plain = json!({ "value": "********", "secret": false });
    let hook = app
        .webhook(
            "https://example.com/",
            json!({ "headers": { "X-Key": { "value": "s3cret", "secret": true } } }),
        )
        .await;
    let path = format!("/v1/webhooks/{}", hook.id);
    for value in [mask, plain, json!({ "value": "********" })] {
        let body = json!({ "headers": { "X-Key": value } });
        assert_invalid(&app.with_json(Method::PATCH, &path, body.clone()).await, vec!["/headers/X-Key"]);
        assert_invalid(&app.post("/v1/webhooks", with(body.clone())).await, vec!["/headers/X-Key"]);
        assert_invalid(&app.with_json(Method::PUT, &path, with(body)).await, vec!["/headers/X-Key"]);
    }
    app.with_json(Method::PATCH, &path, json!({ "headers": { "X-Key": secret, "X-Stars": "*********" } }))
        .await
        .expect(200);
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

#[tokio::test]
async fn headers_may_not_collide_with_ours() {
    let app = TestApp::with(|c| c.signing.headers = vec!["X-Signature-MexCep".into()]).await;
    let headers = |name: &str, value: Value| with(json!({ "headers": { name: value } }));
    for name in [
        "Host",
        "content-type",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Keep-Alive",
        "Proxy-Authorization",
        "webhook-id",
        "Webhook-Signature",
        "webhook-timestamp",
        "x-signature-mexcep",
        "X-Webhook-Event",
        "X-Webhook-Attempt",
        "User-Agent",
        // A CGI receiver reads these as ours.
        "X_Webhook_Event",
        "webhook_signature",
        "X-Signature_MexCep",
        "Content_Length",
        "a b",
        "",
        "\u{e9}",
        "a:b",
        "x\r\ny",
    ] {
        assert_invalid(
            &app.post("/v1/webhooks", headers(name, json!("x"))).await,
            vec![&format!("/headers/{name}")],
        );
    }
    for value in [
        json!("a\r\nb: c"),
        json!("a\u{0}"),
        json!("\u{e9}"),
        json!("x".repeat(8_193)),
        json!(1),
        json!(null),
        json!({ "secret": true }),
        json!({ "value": "x", "secret": true, "more": 1 }),
    ] {
        assert_invalid(&app.post("/v1/webhooks", headers("X-A", value)).await, vec!["/headers/X-A"]);
    }
    let many = |n: usize| {
        with(
            json!({ "headers": (0..n).map(|i| (format!("X-{i}"), json!("v"))).collect::<serde_json::Map<_, _>>() }),
        )
    };
    app.post("/v1/webhooks", many(20)).await.expect(201);
    assert_invalid(&app.post("/v1/webhooks", many(21)).await, vec!["/headers"]);
    app.post("/v1/webhooks", headers("X-Webhook-Signature", json!("free here"))).await.expect(201);
    app.post("/v1/webhooks", headers("Authorization", json!("x".repeat(8_192)))).await.expect(201);
    let twice = with(json!({ "headers": { "X-A": "1", "x-a": "2" } }));
    assert_eq!(app.post("/v1/webhooks", twice).await.problems(422).len(), 1);
}

#[tokio::test]
async fn a_status_is_set_by_hand() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(410));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    app.post_event("a.b", json!(1)).await;
    app.row_when(|row| row["status"] == "exhausted").await;
    let gone = app.webhook_attributes(&hook.id).await;
    assert_eq!((&gone["status"], &gone["consecutive_failures"]), (&json!("disabled"), &json!(1)));
    assert!(gone["status_reason"].is_string());
    for status in ["active", "paused", "disabled"] {
        let attributes = app.with_json(Method::PATCH, &path, json!({ "status": status })).await.attributes();
        assert_eq!((&attributes["status"], &attributes["status_reason"]), (&json!(status), &Value::Null));
        assert_eq!(attributes["consecutive_failures"], 0);
    }
    let made = app.webhook(&receiver.url("/"), json!({ "status": "paused" })).await;
    assert_eq!(app.webhook_attributes(&made.id).await["status"], "paused");
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_its_log_stays() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let path = format!("/v1/webhooks/{}", hook.id);
    let deleted = app.delete(&path).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    app.delete(&path).await.problems(404);
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::GET, format!("{path}/deliveries")),
        (Method::POST, format!("{path}/test")),
        (Method::POST, format!("{path}/rotate-secret")),
    ] {
        app.with_json(method, &path, json!({})).await.problems(404);
    }
    let put = app.with_json(Method::PUT, &path, with(json!({}))).await;
    put.problems(404);
    let rows = app.rows().await;
    assert_eq!(
        (rows.len(), &rows[0]["id"], &rows[0]["endpoint_url"]),
        (1, &row["id"], &json!(receiver.url("/")))
    );
    app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.expect(200);
    assert_eq!(app.rows_of(&format!("/v1/webhooks/deliveries?endpoint_id={}", hook.id)).await.len(), 1);
}

#[tokio::test]
async fn webhooks_are_filtered_by_status_and_text() {
    let app = TestApp::start().await;
    for (name, url, status) in [
        ("Alpha 100%", "https://one.example/", "active"),
        ("b\u{e9}ta_x", "https://two.example/ALPHA", "paused"),
        ("gamma", "https://three.example/", "disabled"),
    ] {
        app.webhook(url, json!({ "name": name, "status": status })).await;
    }
    let names = async |query: &str| -> Vec<String> {
        let list = app.get(&format!("/v1/webhooks?{query}")).await.expect(200);
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w["attributes"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("").await, ["gamma", "b\u{e9}ta_x", "Alpha 100%"]);
    assert_eq!(names("status=paused").await, ["b\u{e9}ta_x"]);
    assert_eq!(names("q=alpha").await, ["b\u{e9}ta_x", "Alpha 100%"]);
    assert_eq!(names("q=ALPHA&status=active").await, ["Alpha 100%"]);
    assert_eq!(names("q=B%C3%89TA").await, ["b\u{e9}ta_x"]);
    assert_eq!(names("q=%25").await, ["Alpha 100%"], "literal");
    assert_eq!(names("q=_").await, ["b\u{e9}ta_x"], "literal");
    assert_eq!(names("q=").await.len(), 3);
    assert_eq!(names("q=example").await.len(), 3);
    for (query, parameter) in [
        ("status=on", "status"),
        ("status=", "status"),
        ("status=active&status=paused", "status"),
        ("sort=url", "sort"),
        (&format!("q={}", "x".repeat(201)), "q"),
    ] {
        assert_invalid(&app.get(&format!("/v1/webhooks?{query}")).await, vec![parameter]);
    }
}

#[tokio::test]
async fn a_test_says_what_the_receiver_did() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["never"], "status": "disabled" })).await;
    let path = format!("/v1/webhooks/{}/test", hook.id);
    let bare = send(app.request(Method::POST, &path)).await.expect(200);
    let mut snapshot = redacted(bare);
    snapshot["data"]["id"] = json!("[id]");
    insta::assert_json_snapshot!("tested", snapshot);
    let got = receiver.next().await;
    assert_eq!(got.header("x-webhook-event"), Some("webhook.test"));

    receiver.reply(Reply::status(500));
    let failed = app.post(&path, json!({ "event_type": "license.assigned" })).await.attributes();
    assert_eq!((&failed["delivered"], &failed["http_status"]), (&json!(false), &json!(500)));
    assert!(failed["error"].is_string());
    assert_eq!(receiver.next().await.header("x-webhook-event"), Some("license.assigned"));
    assert_eq!(app.webhook_attributes(&hook.id).await["consecutive_failures"], 0);
    let rows = app.rows().await;
    assert!(rows.len() == 2 && rows.iter().all(|row| row["trigger"] == "test"));

    let nowhere = app.webhook("http://127.0.0.1:1/", json!({})).await;
    let failed = app.post(&format!("/v1/webhooks/{}/test", nowhere.id), json!({})).await.attributes();
    assert_eq!((&failed["delivered"], &failed["http_status"]), (&json!(false), &Value::Null));
    assert_invalid(&app.post(&path, json!({ "event_type": "a..b" })).await, vec!["/event_type"]);
    assert_invalid(&app.post(&path, json!({ "event_type": 1 })).await, vec!["/event_type"]);
    assert_eq!(
        send(json_body(app.request(Method::POST, &path), "[]")).await.problems(400)[0].0,
        "bad_request"
    );
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap() {
    let app = TestApp::start().await;
    let hook = app.webhook(URL, json!({})).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    let rotated = send(app.request(Method::POST, &path)).await.expect(200);
    let secret = rotated["data"]["attributes"]["signing_secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret != hook.secret);
    assert!(app.webhook_attributes(&hook.id).await.get("signing_secret").is_none());
    for overlap in ["0s", "0", "7d", "168h", "1ms"] {
        app.post(&path, json!({ "overlap": overlap })).await.expect(200);
    }
    app.post(&path, json!({ "overlap": null })).await.expect(200);
    for bad in [json!("8d"), json!("604800001ms"), json!("-1s"), json!(""), json!("1"), json!(5)] {
        assert_invalid(&app.post(&path, json!({ "overlap": bad })).await, vec!["/overlap"]);
    }
}

#[tokio::test]
async fn times_are_utc_to_the_millisecond() {
    let app = TestApp::start().await;
    app.clock.advance_ms(7);
    let hook = app.webhook(URL, json!({})).await;
    assert_eq!(app.webhook_attributes(&hook.id).await["created_at"], "2026-03-01T12:00:00.007Z");
}

#[tokio::test]
async fn an_app_has_at_most_so_many_webhooks() {
    let app = TestApp::with(|config| config.limits.endpoints_per_app = 2).await;
    let first = app.post("/v1/webhooks", with(json!({}))).await.expect(201);
    app.post("/api/v0/webhooks", json!({ "url": URL, "events": ["*"] })).await;
    app.post("/v1/webhooks", with(json!({}))).await.problems(409);
    assert_eq!(app.get("/v1/webhooks").await.json()["meta"]["total"], 2);
    assert_eq!(app.post("/api/v0/webhooks", json!({ "url": URL, "events": ["*"] })).await.status, 409);
    let path = format!("/v1/webhooks/{}", first["data"]["id"].as_str().unwrap());
    app.delete(&path).await.expect(204);
    app.post("/v1/webhooks", with(json!({}))).await.expect(201);
}

#[tokio::test]
async fn header_values_have_a_limit_in_sum_whatever_is_kept_of_them() {
    let app = TestApp::start().await;
    let long = "v".repeat(8 * 1_024);
    let three = json!({ "headers": { "X-A": long, "X-B": long, "X-C": "1" } });
    assert_invalid(&app.post("/v1/webhooks", with(three)).await, vec!["/headers"]);
    let secret = json!({ "value": long, "secret": true });
    let made = app.post("/v1/webhooks", with(json!({ "headers": { "X-A": secret, "X-B": secret } }))).await;
    let path = format!("/v1/webhooks/{}", made.expect(201)["data"]["id"].as_str().unwrap());
    let masked = json!({ "value": "********", "secret": true });
    let more = json!({ "headers": { "X-A": masked, "X-B": masked, "X-C": "1" } });
    assert_invalid(&app.with_json(Method::PATCH, &path, more).await, vec!["/headers"]);
    let kept = json!({ "headers": { "X-A": masked, "X-C": "1" } });
    app.with_json(Method::PATCH, &path, kept).await.expect(200);
}
