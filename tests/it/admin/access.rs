//! Who may call what: every operation of the document, by every kind of caller. An operation that is new
//! fails here until somebody decides about it.

use std::collections::BTreeMap;

use postrider::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::signed_in;
use crate::support::TestApp;
use crate::support::app::{json_body, send};

/// The callers, in the order of the letters in the table.
const CALLERS: [&str; 8] =
    ["nobody", "viewer", "admin", "owner", "key read", "key write", "key all but admin", "key admin"];

/// What was decided, by hand: `+` may, `-` may not. A caller who may not gets 401 when it presents nothing
/// that counts here, and 403 otherwise.
fn decided() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        // People who come and go. A key is nobody there.
        ("GET /admin/api/state", "++++++++"),
        ("POST /admin/api/setup", "++++++++"),
        ("POST /admin/api/setup/check", "++++++++"),
        ("POST /admin/api/session", "++++++++"),
        ("GET /admin/api/session", "-+++----"),
        ("DELETE /admin/api/session", "-+++----"),
        ("PUT /admin/api/password", "-+++----"),
        ("GET /admin/api/sessions", "-+++----"),
        ("DELETE /admin/api/sessions/{id}", "-+++----"),
        // By scope, as on /v1.
        ("GET /admin/api/overview", "-++++-++"),
        ("GET /admin/api/webhook-health", "-++++-++"),
        ("GET /admin/api/event-outcomes", "-+++--++"),
        ("GET /admin/api/event-context", "-+++--++"),
        ("POST /admin/api/echo", "--++-+++"),
        // Owners.
        ("GET /admin/api/users", "---+---+"),
        ("POST /admin/api/users", "---+---+"),
        ("PATCH /admin/api/users/{id}", "---+---+"),
        ("DELETE /admin/api/users/{id}", "---+---+"),
        ("GET /admin/api/apps", "---+---+"),
        ("POST /admin/api/apps", "---+---+"),
        ("PATCH /admin/api/apps/{id}", "---+---+"),
        ("PUT /admin/api/retention", "---+---+"),
        ("PUT /admin/api/log-level", "---+---+"),
        // Admins.
        ("GET /admin/api/keys", "--++---+"),
        ("POST /admin/api/keys", "--++---+"),
        ("DELETE /admin/api/keys/{id}", "--++---+"),
        ("POST /admin/api/alerts", "--++---+"),
        ("PATCH /admin/api/alerts/{id}", "--++---+"),
        ("DELETE /admin/api/alerts/{id}", "--++---+"),
        ("POST /admin/api/alerts/{id}/test", "--++---+"),
        // Everybody who has signed in.
        ("GET /admin/api/log-level", "-+++---+"),
        ("GET /admin/api/alerts", "-+++---+"),
        ("GET /admin/api/retention", "-+++---+"),
        ("GET /admin/api/about", "-+++---+"),
    ])
}

#[tokio::test]
async fn each_operation_opens_to_those_it_was_decided_for() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let document = app.get("/admin/openapi.json").await.expect(200);
    let people = [
        signed_in(&app, Role::Viewer).await,
        signed_in(&app, Role::Admin).await,
        signed_in(&app, Role::Owner).await,
    ];
    let all = "webhooks:read,webhooks:write,webhooks:secrets,events:write,events:read";
    let mut keys = Vec::new();
    for scopes in ["webhooks:read", "webhooks:write", all, "admin"] {
        keys.push(app.key(scopes, None).await);
    }
    let decided = decided();
    let mut found = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found += 1;
            let name = format!("{} {path}", method.to_uppercase());
            let decision = decided.get(name.as_str()).unwrap_or_else(|| panic!("{name}: who may call it?"));
            let method: Method = method.to_uppercase().parse().unwrap();
            // An id that fits nothing, and a body that cannot be taken: a caller who may call it gets 404 or
            // 422, and nothing happens. Signing out happens; so everybody has a session for that alone.
            let called = path.replace("{id}", "none");
            for (caller, (who, may)) in CALLERS.iter().zip(decision.chars()).enumerate() {
                let url = format!("{}{called}", app.base);
                let request = match caller {
                    0 => app.client.request(method.clone(), url),
                    1..=3 if name == "DELETE /admin/api/session" => {
                        let email =
                            format!("{}@example.com", [Role::Viewer, Role::Admin, Role::Owner][caller - 1]);
                        super::sign_in(&app, &email).await.request(method.clone(), &called)
                    }
                    1..=3 => people[caller - 1].request(method.clone(), &called),
                    _ => app.request_as(&keys[caller - 4], method.clone(), &called),
                };
                let body = if method == Method::GET { "" } else { r#"{"nonsense":1}"# };
                let answer = send(json_body(request, body)).await;
                let refused = matches!(answer.status, 401 | 403);
                assert_eq!(refused, may == '-', "{name} by {who}: {} {}", answer.status, answer.text);
                assert!(answer.status < 500, "{name} by {who}: {}", answer.text);
                if refused {
                    let present = caller > 0 && operation["x-access"] != "session";
                    assert_eq!(answer.status, if present { 403 } else { 401 }, "{name} by {who}");
                }
            }
        }
    }
    assert_eq!(found, decided.len(), "every decision is about an operation that exists");
}

#[tokio::test]
async fn of_people_only_admins_export() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let webhook = app.webhook("https://example.com/hook", json!({})).await.id;
    let paths = [
        "/v1/webhooks/deliveries/export?format=csv".to_owned(),
        format!("/v1/webhooks/{webhook}/deliveries/export?format=jsonl"),
    ];
    for (role, status) in [(Role::Viewer, 403), (Role::Admin, 200), (Role::Owner, 200)] {
        let person = signed_in(&app, role).await;
        for path in &paths {
            let answer = person.get(path).await;
            assert_eq!(answer.status, status, "{role} {path}: {}", answer.text);
            assert!(status == 200 || answer.text.contains("role admin"), "{}", answer.text);
        }
        person.get("/v1/webhooks/deliveries").await.expect(200);
    }
    let key = app.key("webhooks:read", None).await;
    for path in &paths {
        let answer = send(app.request_as(&key, Method::GET, path)).await;
        assert_eq!(answer.status, 200, "a key goes by its scopes: {}", answer.text);
    }
}

#[tokio::test]
async fn nothing_changes_without_the_token_of_the_session() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let owner = signed_in(&app, Role::Owner).await;
    for document in ["/admin/openapi.json", "/openapi.json"] {
        let document = app.get(document).await.expect(200);
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if method == "get" || operation["x-access"] == "nobody" {
                    continue;
                }
                let url = format!("{}{}", app.base, path.replace("{id}", "none"));
                let request = app.client.request(method.to_uppercase().parse().unwrap(), url);
                let request = request.header("cookie", format!("postrider_session={}", owner.cookie));
                let answer = send(json_body(request, "{}")).await;
                assert_eq!(answer.problems(403), [("forbidden".to_owned(), None)], "{method} {path}");
                assert!(answer.text.contains("X-CSRF-Token"), "{method} {path}: {}", answer.text);
            }
        }
    }
    owner.get("/admin/api/session").await.expect(200);
}

#[tokio::test]
async fn a_path_tells_its_methods() {
    let app = TestApp::start().await;
    for (path, method, allowed) in [
        ("/admin/api/users", Method::PUT, "GET, HEAD, POST"),
        ("/admin/api/users/none", Method::POST, "PATCH, DELETE"),
        ("/admin/api/session", Method::PATCH, "GET, HEAD, POST, DELETE"),
        ("/admin/webhooks", Method::POST, "GET, HEAD"),
    ] {
        let answer = send(app.request(method, path)).await;
        assert_eq!(answer.problems(405), [("method_not_allowed".to_owned(), None)]);
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
    let head = send(app.client.head(format!("{}/admin/", app.base))).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let answer: Value = app.get("/admin/api/state").await.expect(200);
    assert_eq!(answer["signed_in"], json!(false), "a key is no session");
}
