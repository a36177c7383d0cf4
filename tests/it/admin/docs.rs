//! `/admin/openapi.json`.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::{signed_in, try_sign_in};
use crate::support::{Receiver, TestApp};
use crate::v1::docs::misfits;

async fn document(app: &TestApp) -> Value {
    app.get("/admin/openapi.json").await.expect(200)
}

/// Every operation with its name.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        all.extend(item.as_object().unwrap().iter().map(|(method, o)| (format!("{method} {path}"), o)));
    }
    assert!(all.len() >= 24, "the operations were found");
    all
}

#[tokio::test]
async fn every_operation_is_described_with_examples_that_fit() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut wrong = Vec::new();
    for (name, operation) in operations(&document) {
        for field in ["summary", "description", "operationId", "x-access"] {
            if operation[field].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{name}: no {field}"));
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["description"].as_str().is_none_or(str::is_empty) || parameter["example"].is_null() {
                wrong.push(format!("{name} {}: no description or example", parameter["name"]));
            }
        }
        let answers = operation["responses"].as_object().unwrap();
        let mut bodies = vec![(format!("{name} request"), &operation["requestBody"])];
        let good = answers.iter().filter(|(status, _)| status.starts_with('2'));
        bodies.extend(good.map(|(status, r)| (format!("{name} {status}"), r)));
        for (at, body) in bodies {
            let Some(content) = body["content"].get("application/json") else { continue };
            if content["example"].is_null() {
                wrong.push(format!("{at}: no example"));
            } else {
                wrong.extend(misfits(&document, &content["schema"], &content["example"], &at));
            }
        }
        for status in ["400", "429", "500", "503"] {
            if !answers.contains_key(status) {
                wrong.push(format!("{name}: {status} is not documented"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(document["tags"].as_array().unwrap().iter().all(|t| t["description"].is_string()));
}

#[tokio::test]
async fn answers_fit_their_schemas() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let fits = |method: &str, path: &str, status: u16, answer: &Value| {
        let responses = &document["paths"][path][method]["responses"];
        let schema = &responses[status.to_string()]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} {status} is documented");
        assert_eq!(misfits(&document, schema, answer, path), [""; 0]);
    };
    let owner = signed_in(&app, Role::Owner).await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    let pause = json!({ "status": "paused" });
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{}", hook.id), pause).await.expect(200);
    app.post_event("a", json!(2)).await;
    let new = json!({ "form": "json", "url": receiver.url("/alerts") });
    let target = owner.send(Method::POST, "/admin/api/alerts", new).await.expect(201);
    fits("post", "/admin/api/alerts", 201, &target);
    let path = format!("/admin/api/alerts/{}/test", target["id"].as_str().unwrap());
    fits(
        "post",
        "/admin/api/alerts/{id}/test",
        200,
        &owner.send(Method::POST, &path, json!({})).await.expect(200),
    );
    for path in [
        "alerts",
        "log-level",
        "state",
        "session",
        "sessions",
        "overview",
        "webhook-health",
        "users",
        "apps",
        "keys",
        "retention",
        "about",
    ] {
        let path = format!("/admin/api/{path}");
        let answer = owner.get(&path).await.expect(200);
        assert_ne!(answer["data"], json!([]), "{path} has something to show");
        assert_ne!(answer["attention"], json!([]), "{path} has something to show");
        fits("get", &path, 200, &answer);
    }
    for (path, body) in [
        ("users", json!({ "email": "eve@example.com", "role": "viewer" })),
        ("apps", json!({ "name": "other" })),
        ("keys", json!({ "name": "ci", "scopes": ["admin"] })),
        ("echo", json!({})),
    ] {
        let path = format!("/admin/api/{path}");
        fits("post", &path, 201, &owner.send(Method::POST, &path, body).await.expect(201));
    }
    fits(
        "post",
        "/admin/api/echo",
        200,
        &owner.send(Method::POST, "/admin/api/echo", json!({})).await.expect(200),
    );
    let signed_in = try_sign_in(&app, "owner@example.com", super::PASSWORD).await.expect(200);
    fits("post", "/admin/api/session", 200, &signed_in);
    let refused = app.get("/admin/api/session").await.json();
    let schema = json!({ "$ref": "#/components/schemas/Errors" });
    assert_eq!(misfits(&document, &schema, &refused, "errors"), [""; 0]);
}

#[tokio::test]
async fn bodies_say_what_they_need() {
    let document = document(&TestApp::start().await).await;
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["LogLevelBody"]["required"], json!(["level"]), "it may be null, but must be there");
    let kinds = postrider::domain::AlertKind::WORDS;
    assert_eq!(schemas["AlertTestBody"]["properties"]["kind"]["enum"], json!(kinds));
    for body in ["AlertTargetBody", "AlertTargetChangeBody"] {
        let fields = &schemas[body]["properties"];
        assert_eq!(fields["form"]["enum"], json!(["json", "ntfy", "gotify", "discord", "slack", "email"]));
        assert_eq!(fields["kinds"]["items"]["enum"], json!(kinds));
        assert_eq!(
            (&fields["kinds"]["minItems"], &fields["disk_free_mib"]["minimum"]),
            (&json!(1), &json!(1))
        );
        for field in ["name", "token", "queue_age"] {
            assert!(fields[field]["pattern"].is_string(), "{body}: {field} takes not any text");
        }
    }
}

#[tokio::test]
async fn the_page_of_the_documentation_shows_it_too() {
    let app =
        TestApp::with(|c| c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks"))
            .await;
    let script = app.get("/hooks/docs/page.js").await.text;
    assert!(script.contains(r#"admin: "admin/openapi.json""#), "{script}");
    assert!(app.get("/hooks/docs").await.text.contains("docs?surface=admin"));
    assert_eq!(document(&app).await["servers"][0]["url"], "/hooks");
    app.get("/hooks/admin/openapi.json").await.expect(200);
}
