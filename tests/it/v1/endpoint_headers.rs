//! `/v1/webhooks`: headers of a webhook, and their secret values.

use reqwest::Method;
use serde_json::{Value, json};

use super::{assert_invalid, with};
use crate::support::app::{json_body, send};
use crate::support::{Receiver, TestApp};

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
