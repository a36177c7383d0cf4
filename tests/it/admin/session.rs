//! Signing in and out, and what a session opens.

use postrider::domain::Role;
use postrider::domain::access::session::{IDLE_MS, LONGEST_MS};
use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, cookie, last_activity, post, sign_in, signed_in, try_sign_in, user};
use crate::support::TestApp;
use crate::support::app::{json_body, send};

const HOOK: &str = r#"{"url":"https://example.com/hook","events":["*"]}"#;

#[tokio::test]
async fn a_person_signs_in_with_the_right_password_only() {
    let app = TestApp::start().await;
    user(&app, "ada@example.com", Role::Owner).await;
    let mut wrong = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong horse"),
        ("eve@example.com", PASSWORD),
        ("ada@example.com", ""),
        ("my secret phrase", PASSWORD),
    ] {
        let answer = try_sign_in(&app, email, password).await;
        assert_eq!(answer.problems(401), [("unauthorized".to_owned(), None)]);
        assert!(answer.header("set-cookie").is_none());
        let mut body = answer.json();
        body["meta"]["request_id"] = Value::Null;
        wrong.push(body);
    }
    assert!(wrong.iter().all(|body| *body == wrong[0]), "all are the same answer");
    let entry = last_activity(&app).await;
    assert_eq!((&entry["kind"], &entry["address"]), (&json!("user.sign_in_failed"), &json!("127.0.0.1")));
    assert!(!entry.to_string().contains("my secret"), "what was typed may be a password: {entry}");

    let answer = try_sign_in(&app, " ADA@example.com", PASSWORD).await;
    let set = answer.header("set-cookie").unwrap().to_owned();
    assert!(set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"), "{set}");
    let token = cookie(&answer);
    let session = answer.expect(200);
    let fields: Vec<_> = session.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["apps", "csrf_token", "email", "role"]);
    assert!(!session.to_string().contains(&token), "the cookie's token is in no body");
    let entry = last_activity(&app).await;
    assert_eq!((&entry["kind"], &entry["actor"]), (&json!("user.signed_in"), &json!("user:ada@example.com")));
}

#[tokio::test]
async fn the_cookie_follows_the_public_url() {
    let app =
        TestApp::with(|c| c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks"))
            .await;
    user(&app, "ada@example.com", Role::Owner).await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    // A client that comes by the root, where everything is served, too, stays there.
    for (path, cookie_path) in
        [("/hooks/admin/api/session", "; Path=/hooks;"), ("/admin/api/session", "; Path=/;")]
    {
        let answer = post(&app, path, body.clone()).await;
        let set = answer.header("set-cookie").unwrap();
        assert!(set.contains(cookie_path) && set.ends_with("; Secure"), "{set}");
    }
}

#[tokio::test]
async fn a_session_is_asked_for_and_ended() {
    let app = TestApp::start().await;
    app.get("/admin/api/session").await.problems(401);
    let ada = signed_in(&app, Role::Owner).await;
    let session = ada.get("/admin/api/session").await.expect(200);
    assert_eq!(session["csrf_token"], ada.csrf);
    let without = ada.request(Method::GET, "/admin/api/session").header("x-csrf-token", "none");
    send(without).await.expect(200);

    let out = ada.delete("/admin/api/session").await;
    assert!(out.header("set-cookie").unwrap().starts_with("postrider_session=; Path=/; Max-Age=0; HttpOnly"));
    assert_eq!(out.status, 204);
    for path in ["/admin/api/session", "/v1/webhooks"] {
        ada.get(path).await.problems(401);
    }
    assert_eq!(last_activity(&app).await["kind"], "user.signed_out");
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_after_a_week_in_any_case() {
    let app = TestApp::start().await;
    let idle = signed_in(&app, Role::Viewer).await;
    let busy = sign_in(&app, "viewer@example.com").await;
    for _ in 0..LONGEST_MS / (IDLE_MS - 60_000) {
        app.clock.advance_ms(IDLE_MS - 60_000);
        busy.get("/v1/webhooks").await.expect(200);
    }
    idle.get("/v1/webhooks").await.problems(401);
    app.clock.advance_ms(IDLE_MS - 60_000);
    busy.get("/v1/webhooks").await.problems(401);
}

#[tokio::test]
async fn a_session_opens_v1_and_changes_something_only_with_its_token() {
    let app = TestApp::start().await;
    let ada = signed_in(&app, Role::Owner).await;
    let eve = sign_in(&app, "owner@example.com").await;
    let url = format!("{}/v1/webhooks", app.base);
    let cookie = format!("postrider_session={}", ada.cookie);
    let plain = || json_body(app.client.post(&url).header("cookie", &cookie), HOOK);
    for request in [
        plain(),
        plain().header("x-csrf-token", ""),
        plain().header("x-csrf-token", "nonsense"),
        plain().header("x-csrf-token", &eve.csrf),
        plain().header("x-csrf-token", &ada.cookie),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.problems(403), [("forbidden".to_owned(), None)]);
        assert!(answer.text.contains("X-CSRF-Token"), "{}", answer.text);
    }
    assert_eq!(ada.get("/v1/webhooks").await.json()["meta"]["total"], 0, "nothing was made");
    let made = send(plain().header("x-csrf-token", &ada.csrf)).await.expect(201);
    let path = format!("/v1/webhooks/{}", made["data"]["id"].as_str().unwrap());
    let without = app.client.delete(format!("{}{path}", app.base)).header("cookie", &cookie);
    send(without).await.problems(403);
    ada.send(Method::PATCH, &path, json!({ "name": "mine" })).await.expect(200);
    ada.delete(&path).await.expect(204);
    assert_eq!(last_activity(&app).await["actor"], "user:owner@example.com");
}

#[tokio::test]
async fn with_a_key_and_a_cookie_the_key_counts() {
    let app = TestApp::start().await;
    let ada = signed_in(&app, Role::Owner).await;
    let key = app.key("webhooks:read", None).await;
    let with_key = |method, path| ada.request(method, path).bearer_auth(&key);
    send(with_key(Method::GET, "/v1/webhooks")).await.expect(200);
    let post = send(json_body(with_key(Method::POST, "/v1/webhooks"), HOOK)).await;
    assert!(post.problems(403)[0].0 == "forbidden" && post.text.contains("webhooks:write"));
    send(ada.request(Method::GET, "/v1/webhooks").bearer_auth("prk_a_b")).await.problems(401);
    send(with_key(Method::GET, "/admin/api/session")).await.problems(401);
    let cookie = format!("postrider_session={}", ada.cookie);
    let admin = json_body(app.request(Method::POST, "/v1/webhooks").header("cookie", cookie), HOOK);
    send(admin).await.expect(201);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_cookie_the_answer_is_that_of_a_wrong_key() {
    let app = TestApp::start().await;
    let ada = signed_in(&app, Role::Owner).await;
    for cookie in ["", "a", &"0".repeat(64), &ada.cookie.to_uppercase(), &ada.cookie[1..], &ada.csrf] {
        let request = app.client.get(format!("{}/v1/webhooks", app.base));
        let answer = send(request.header("cookie", format!("postrider_session={cookie}"))).await;
        assert_eq!(answer.problems(401), [("unauthorized".to_owned(), None)], "{cookie}");
        assert_eq!(answer.json()["errors"][0]["detail"], "Invalid or missing authentication credentials.");
    }
}

#[tokio::test]
async fn roles_open_what_the_contract_says() {
    let app = TestApp::start().await;
    let other = app.app("other").await.to_string();
    let viewer = signed_in(&app, Role::Viewer).await;
    let admin = signed_in(&app, Role::Admin).await;
    let owner = signed_in(&app, Role::Owner).await;
    for (browser, read, write, all, apps) in [
        (&viewer, 200, 403, 403, vec!["default"]),
        (&admin, 200, 201, 403, vec!["default"]),
        (&owner, 200, 201, 200, vec!["default", "other"]),
    ] {
        assert_eq!(browser.get("/v1/webhooks").await.status, read);
        assert_eq!(browser.get("/v1/events").await.status, read);
        let made = send(json_body(browser.request(Method::POST, "/v1/webhooks"), HOOK)).await;
        assert_eq!(made.status, write);
        assert_eq!(browser.get("/v1/activity").await.status, all);
        let elsewhere = browser.request(Method::GET, "/v1/webhooks").header("x-app-id", &other);
        assert_eq!(send(elsewhere).await.status, all);
        let session = browser.get("/admin/api/session").await.expect(200);
        let names: Vec<_> =
            session["apps"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
        assert_eq!(names, apps);
    }
}

#[tokio::test]
async fn each_session_has_a_limit_of_its_own() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 3).await;
    let one = signed_in(&app, Role::Owner).await;
    let other = sign_in(&app, "owner@example.com").await;
    for left in ["2", "1", "0"] {
        assert_eq!(one.get("/v1/webhooks").await.header("x-ratelimit-remaining"), Some(left));
    }
    one.get("/v1/webhooks").await.problems(429);
    other.get("/v1/webhooks").await.expect(200);
    app.get("/v1/webhooks").await.expect(200);
}

#[tokio::test]
async fn nobody_is_signed_in_by_another_site() {
    let app = TestApp::start().await;
    user(&app, "ada@example.com", Role::Owner).await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD }).to_string();
    let url = format!("{}/admin/api/session", app.base);
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        let request = json_body(app.client.post(&url).header("sec-fetch-site", site), body.clone());
        assert_eq!(send(request).await.status, status, "{site}");
    }
    let form = app.client.post(&url).header("content-type", "text/plain").body(body);
    assert_eq!(send(form).await.status, 415);
}

#[tokio::test]
async fn the_log_can_be_followed_with_a_cookie() {
    let app = TestApp::start().await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let stream = viewer.request(Method::GET, "/v1/webhooks/deliveries/stream").send().await.unwrap();
    assert_eq!(
        (stream.status().as_u16(), stream.headers()["content-type"].to_str().unwrap()),
        (200, "text/event-stream")
    );
}

#[tokio::test]
async fn bodies_that_anybody_may_send_are_small() {
    let app = TestApp::start().await;
    let ada = signed_in(&app, Role::Owner).await;
    let long = "x".repeat(4_096);
    for (path, body) in [
        ("/admin/api/session", json!({ "email": "ada@example.com", "password": long })),
        ("/admin/api/setup/check", json!({ "token": long })),
        ("/admin/api/setup", json!({ "token": long, "email": "a@example.com", "password": PASSWORD })),
    ] {
        assert_eq!(post(&app, path, body).await.problems(413)[0].0, "payload_too_large", "{path}");
    }
    let body = json!({ "current_password": PASSWORD, "new_password": long });
    assert_eq!(ada.send(Method::PUT, "/admin/api/password", body).await.status, 413);
    // The longest password there may be fits, however it is escaped.
    let longest = json!({ "email": "a@example.com", "password": "\u{1}".repeat(600) });
    assert_eq!(post(&app, "/admin/api/session", longest).await.status, 401);
}
