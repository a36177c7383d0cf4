//! Who may call what (section 3).

use std::collections::BTreeMap;

use postrider::domain::{Scope, Scopes, Span};
use postrider::host::clock::Clock as _;
use postrider::service::By;
use postrider::service::people::keys;
use reqwest::Method;
use serde_json::{Value, json};

use super::URL;
use crate::support::TestApp;
use crate::support::app::{json_body, send};

fn halves(token: &str) -> (String, String) {
    let (key, secret) = token.rsplit_once('_').expect("a token has a secret");
    (key.to_owned(), secret.to_owned())
}

#[tokio::test]
async fn a_key_is_taken_as_a_token_and_as_a_pair() {
    let app = TestApp::start().await;
    let (key, secret) = halves(&app.token);
    let url = format!("{}/v1/webhooks", app.base);
    for request in [
        app.client.get(&url).header("authorization", format!("Bearer {}", app.token)),
        app.client.get(&url).header("authorization", format!("bearer   {}", app.token)),
        app.client.get(&url).header("x-client-key", &key).header("x-client-secret", &secret),
        app.client
            .get(&url)
            .bearer_auth(&app.token)
            .header("x-client-key", &key)
            .header("x-client-secret", &secret),
    ] {
        send(request).await.expect(200);
    }
}

#[tokio::test]
async fn two_different_keys_at_once_are_a_bad_request() {
    let app = TestApp::start().await;
    let (key, secret) = halves(&app.key("admin", None).await);
    let request = app.request(Method::GET, "/v1/webhooks");
    let both = request.header("x-client-key", key).header("x-client-secret", secret);
    assert_eq!(send(both).await.problems(400), [("bad_request".to_owned(), None)]);
}

#[tokio::test]
async fn a_good_key_beside_one_that_is_none_is_refused_like_any_malformed_credential() {
    let app = TestApp::start().await;
    let (key, secret) = halves(&app.token);
    let get = || app.request(Method::GET, "/v1/webhooks");
    for request in [
        get().header("x-client-key", &key),
        get().header("x-client-secret", &secret),
        get().header("x-client-key", "0").header("x-client-secret", "0"),
        app.client
            .get(format!("{}/v1/webhooks", app.base))
            .bearer_auth("nonsense")
            .header("x-client-key", &key)
            .header("x-client-secret", &secret),
    ] {
        assert_eq!(send(request).await.problems(401), [("unauthorized".to_owned(), None)]);
    }
}

#[tokio::test]
async fn a_header_that_says_who_asks_is_there_once_and_can_be_read() {
    let app = TestApp::start().await;
    let (key, secret) = halves(&app.token);
    let other = app.app("other").await.to_string();
    for url in ["/v1/webhooks", "/api/v0/webhooks", "/admin/api/keys"] {
        let get = || app.client.get(format!("{}{url}", app.base));
        let bearer = format!("Bearer {}", app.token);
        let signed = || get().bearer_auth(&app.token);
        for request in [
            get().header("authorization", "Bearer \u{e9}"),
            get().header("authorization", &bearer).header("authorization", &bearer),
            get().header("authorization", "x").header("authorization", &bearer),
            get()
                .header("x-client-key", &key)
                .header("x-client-key", &key)
                .header("x-client-secret", &secret),
            get()
                .header("x-client-key", &key)
                .header("x-client-secret", &secret)
                .header("x-client-secret", "x"),
            get().header("x-client-key", "\u{e9}").header("x-client-secret", &secret),
            signed().header("x-app-id", "\u{e9}"),
            signed().header("x-app-id", &other).header("x-app-id", &other),
        ] {
            let answer = send(request).await;
            assert_eq!(answer.status, 400, "{url}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_credential_the_answer_is_the_same() {
    let app = TestApp::start().await;
    let store = app.server().store();
    let short = keys::NewKey {
        name: "short".into(),
        scopes: Scopes::parse_list("admin").unwrap(),
        app: "default".into(),
        lifetime: Span::parse("1m"),
    };
    let expired =
        keys::create(&*store, short, &By::command_line(), app.clock.now()).await.unwrap().token("prk");
    let url = format!("{}/v1/webhooks", app.base);
    send(app.client.get(&url).bearer_auth(&expired)).await.expect(200);
    app.clock.advance_ms(60_000);
    let revoked = app.key("admin", None).await;
    send(app.client.get(&url).bearer_auth(&revoked)).await.expect(200);
    keys::revoke(&*store, &halves(&revoked).0, "prk", &By::command_line(), app.clock.now()).await.unwrap();

    let (key, secret) = halves(&app.token);
    let get = || app.client.get(&url);
    let mut answers = Vec::new();
    for request in [
        get(),
        get().bearer_auth(""),
        get().bearer_auth("nonsense"),
        get().bearer_auth(format!("{key}_{}", "0".repeat(64))),
        get().bearer_auth(format!("prk_{}_{secret}", "0".repeat(16))),
        get().bearer_auth(format!("xyz_{}", app.token)),
        get().bearer_auth(&expired),
        get().bearer_auth(&revoked),
        get().header("authorization", format!("Basic {}", app.token)),
        get().header("authorization", app.token.as_str()),
        get().header("x-client-key", &key),
        get().header("x-client-secret", &secret),
        get().header("x-client-key", &key).header("x-client-secret", "0".repeat(64)),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.problems(401), [("unauthorized".to_owned(), None)]);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let mut body = answer.json();
        body["meta"]["request_id"] = Value::Null;
        answers.push(body);
    }
    assert_eq!(answers[0]["errors"][0]["detail"], "Invalid or missing authentication credentials.");
    assert!(answers.iter().all(|a| *a == answers[0]));
}

/// Every operation of the document, with its scope and a path that can be called.
pub(super) async fn operations(app: &TestApp) -> Vec<(Method, String, Scope)> {
    let document = app.get("/openapi.json").await.expect(200);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            let scope = operation["x-scope"].as_str().unwrap_or_else(|| panic!("{name} has no x-scope"));
            let scope = Scope::parse(scope).unwrap_or_else(|| panic!("{name}: {scope} is no scope"));
            found.push((method.to_uppercase().parse().unwrap(), path.clone(), scope));
        }
    }
    found
}

/// What each operation asks for, decided here once more by hand: the contract, section 5.
fn decided() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("GET /v1/webhooks", "webhooks:read"),
        ("POST /v1/webhooks", "webhooks:write"),
        ("GET /v1/webhooks/{id}", "webhooks:read"),
        ("PUT /v1/webhooks/{id}", "webhooks:write"),
        ("PATCH /v1/webhooks/{id}", "webhooks:write"),
        ("DELETE /v1/webhooks/{id}", "webhooks:write"),
        ("POST /v1/webhooks/preview", "webhooks:write"),
        ("POST /v1/webhooks/{id}/test", "webhooks:read"),
        ("POST /v1/webhooks/{id}/rotate-secret", "webhooks:write"),
        ("POST /v1/webhooks/{id}/send-now", "webhooks:write"),
        ("GET /v1/webhooks/{id}/health", "webhooks:read"),
        ("GET /v1/webhooks/{id}/stats", "webhooks:read"),
        ("GET /v1/webhooks/{id}/verification", "webhooks:read"),
        ("POST /v1/webhooks/{id}/verify", "webhooks:read"),
        ("GET /v1/webhooks/stats", "webhooks:read"),
        ("GET /v1/webhooks/{id}/deliveries", "webhooks:read"),
        ("GET /v1/webhooks/deliveries", "webhooks:read"),
        ("GET /v1/webhooks/deliveries/{id}", "webhooks:read"),
        ("GET /v1/webhooks/{id}/deliveries/export", "webhooks:read"),
        ("GET /v1/webhooks/deliveries/export", "webhooks:read"),
        ("POST /v1/webhooks/deliveries/{id}/retry", "webhooks:write"),
        ("POST /v1/webhooks/deliveries/retry", "webhooks:write"),
        ("POST /v1/webhooks/{id}/recover", "webhooks:write"),
        ("GET /v1/jobs", "webhooks:read"),
        ("GET /v1/jobs/{id}", "webhooks:read"),
        ("DELETE /v1/jobs/{id}", "webhooks:write"),
        ("GET /v1/webhooks/deliveries/stream", "webhooks:read"),
        ("POST /v1/events", "events:write"),
        ("POST /v1/events/batch", "events:write"),
        ("GET /v1/events", "events:read"),
        ("GET /v1/events/{id}", "events:read"),
        ("POST /v1/events/{id}/replay", "webhooks:write"),
        ("GET /v1/event-types", "webhooks:read"),
        ("GET /v1/sources", "webhooks:read"),
        ("POST /v1/sources", "webhooks:write"),
        ("POST /v1/sources/preview", "webhooks:write"),
        ("GET /v1/sources/{id}", "webhooks:read"),
        ("PUT /v1/sources/{id}", "webhooks:write"),
        ("PATCH /v1/sources/{id}", "webhooks:write"),
        ("DELETE /v1/sources/{id}", "webhooks:write"),
        ("POST /v1/sources/{id}/rotate-url", "webhooks:write"),
        ("GET /v1/sources/{id}/requests", "webhooks:read"),
        ("GET /v1/sources/{id}/requests/{n}", "webhooks:read"),
        ("POST /v1/sources/{id}/requests/{n}/replay", "webhooks:write"),
        ("GET /v1/gallery/sources", "webhooks:read"),
        ("GET /v1/gallery/sources/{name}", "webhooks:read"),
        ("GET /v1/gallery/destinations", "webhooks:read"),
        ("GET /v1/gallery/destinations/{name}", "webhooks:read"),
        ("POST /v1/retention/sweep", "admin"),
        ("GET /v1/activity", "admin"),
    ])
}

#[tokio::test]
async fn each_operation_opens_to_its_scope_and_to_no_other() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let mut keys = Vec::new();
    for scope in Scope::ALL.iter().copied() {
        keys.push((scope, app.key(scope.as_str(), None).await));
    }
    let decided = decided();
    for (method, path, wanted) in operations(&app).await {
        let name = format!("{method} {path}");
        assert_eq!(decided.get(name.as_str()), Some(&wanted.as_str()), "{name}");
        // An id that fits no resource: a permitted call is a 404 and has no effect.
        let called = path.replace("{id}", "none");
        for (scope, key) in &keys {
            let may = *scope == wanted || *scope == Scope::Admin;
            let request = app.request_as(key, method.clone(), &called);
            // The stream never ends by itself; its head says it all.
            let response = json_body(request, "").send().await.expect("the server answers");
            let status = response.status().as_u16();
            assert_eq!(status != 403, may, "{name} with {scope}: {status}");
            assert!(status != 401 && status < 500, "{name} with {scope}: {status}");
            if !may {
                let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
                let detail = body["errors"][0]["detail"].as_str().unwrap();
                assert_eq!(body["errors"][0]["code"], "forbidden");
                assert!(detail.contains(wanted.as_str()), "{name}: {detail}");
            }
        }
        let without = send(app.client.request(method, format!("{}{called}", app.base))).await;
        assert_eq!(without.problems(401), [("unauthorized".to_owned(), None)], "{name}");
    }
}

#[tokio::test]
async fn devdrafts_scope_names_open_what_they_mean() {
    let app = TestApp::start().await;
    for (name, read, write) in [
        ("webhook:read", 200, 403),
        ("webhook:create", 403, 422),
        ("webhook:update", 403, 422),
        ("webhook:delete", 403, 422),
    ] {
        let key = app.key(name, None).await;
        assert_eq!(send(app.request_as(&key, Method::GET, "/v1/webhooks")).await.status, read, "{name}");
        let post = json_body(app.request_as(&key, Method::POST, "/v1/webhooks"), "{}");
        assert_eq!(send(post).await.status, write, "{name}");
    }
}

#[tokio::test]
async fn only_admin_names_another_app() {
    let app = TestApp::start().await;
    let other = app.app("other").await.to_string();
    let theirs = app.key("admin", Some("other")).await;
    let made = json_body(
        app.request_as(&theirs, Method::POST, "/v1/webhooks"),
        json!({ "url": URL, "events": ["*"] }).to_string(),
    );
    let made = send(made).await.expect(201);
    let path = format!("/v1/webhooks/{}", made["data"]["id"].as_str().unwrap());

    app.get(&path).await.problems(404);
    send(app.request(Method::GET, &path).header("x-app-id", &other)).await.expect(200);
    for unknown in ["f47ac10b-58cc-4372-a567-0e02b2c3d479", "other", ""] {
        let request = app.request(Method::GET, "/v1/webhooks").header("x-app-id", unknown);
        assert_eq!(send(request).await.problems(404)[0].0, "not_found", "{unknown:?}");
    }
    let plain = app.key("webhooks:read,webhooks:write,webhooks:secrets,events:write,events:read", None).await;
    let own = app.get("/v1/webhooks").await;
    assert_eq!(own.json()["meta"]["total"], 0);
    let request = app.request_as(&plain, Method::GET, "/v1/webhooks").header("x-app-id", &other);
    let refused = send(request).await;
    assert_eq!(refused.problems(403)[0].0, "forbidden");
    assert!(refused.text.contains("admin"));
}

#[tokio::test]
async fn apps_see_nothing_of_each_other() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let receiver = crate::support::Receiver::start().await;
    app.app("other").await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let event = app.post_event("a.b", json!(1)).await;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let theirs = app.key("admin", Some("other")).await;

    for (method, path, _) in operations(&app).await {
        let id = if path.contains("/events/{id}") {
            event.clone()
        } else if path.contains("/deliveries/{id}") {
            row["id"].to_string()
        } else if path.contains("/webhooks/{id}") {
            hook.id.clone()
        } else {
            continue;
        };
        let called = path.replace("{id}", &id);
        let body =
            if path.ends_with("recover") { json!({ "since": "2026-01-01T00:00:00Z" }) } else { json!({}) };
        let body = if path.ends_with("verify") { json!({ "headers": {}, "body": "" }) } else { body };
        let body = if method == Method::PUT { json!({ "url": URL, "events": ["*"] }) } else { body };
        let answer =
            send(json_body(app.request_as(&theirs, method.clone(), &called), body.to_string())).await;
        assert_eq!(answer.problems(404), [("not_found".to_owned(), None)], "{method} {path}");
    }
    for list in ["/v1/webhooks", "/v1/webhooks/deliveries", "/v1/events"] {
        let answer = send(app.request_as(&theirs, Method::GET, list)).await.expect(200);
        assert_eq!((&answer["data"], &answer["meta"]["total"]), (&json!([]), &json!(0)), "{list}");
    }
    let list = format!("/v1/webhooks/deliveries?endpoint_id={}", hook.id);
    let answer = send(app.request_as(&theirs, Method::GET, &list)).await.expect(200);
    assert_eq!(answer["data"], json!([]));
    let mine = app.webhook_attributes(&hook.id).await;
    assert_eq!((&mine["status"], &mine["url"]), (&json!("active"), &json!(receiver.url("/"))));
}
