//! Keys and apps, as users of the dashboard manage them.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::json;

use super::{last_activity, signed_in};
use crate::support::TestApp;
use crate::support::app::{json_body, send};

const KEYS: &str = "/admin/api/keys";
const APPS: &str = "/admin/api/apps";

#[tokio::test]
async fn a_key_is_made_listed_and_revoked() {
    let app = TestApp::start().await;
    let admin = signed_in(&app, Role::Admin).await;
    let body = json!({ "name": "ci", "scopes": ["webhook:read", "events:write"], "expires": "90d" });
    let made = admin.send(Method::POST, KEYS, body).await.expect(201);
    assert_eq!(made["scopes"], json!(["webhooks:read", "events:write"]));
    assert_eq!(made["expires_at"], "2026-05-30T12:00:00.000Z");
    let token = made["token"].as_str().unwrap();
    let secret = made["client_secret"].as_str().unwrap();
    assert_eq!(token, format!("{}_{secret}", made["client_key"].as_str().unwrap()));
    send(app.request_as(token, Method::GET, "/v1/webhooks")).await.expect(200);

    let list = admin.get(KEYS).await;
    assert!(!list.text.contains(secret));
    let list = list.expect(200);
    let newest = &list["data"][0];
    assert_eq!((&newest["id"], &newest["name"]), (&made["id"], &json!("ci")));
    assert!(newest["revoked_at"].is_null() && newest.get("token").is_none());

    let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
    admin.delete(&path).await.expect(204);
    send(app.request_as(token, Method::GET, "/v1/webhooks")).await.problems(401);
    admin.delete(&path).await.problems(404);
    let entry = last_activity(&app).await;
    assert_eq!((&entry["kind"], &entry["actor"]), (&json!("key.revoked"), &json!("user:admin@example.com")));
    assert!(admin.get(KEYS).await.expect(200)["data"][0]["revoked_at"].is_string());
}

#[tokio::test]
async fn nobody_hands_out_or_takes_more_than_they_have() {
    let app = TestApp::start().await;
    let admin = signed_in(&app, Role::Admin).await;
    let owner = signed_in(&app, Role::Owner).await;
    let body = || json!({ "name": "all", "scopes": ["webhooks:read", "admin"] });
    let refused = admin.send(Method::POST, KEYS, body()).await;
    assert_eq!(refused.problems(403), [("forbidden".to_owned(), None)]);
    assert!(refused.text.contains("the scope admin"), "{}", refused.text);
    let made = owner.send(Method::POST, KEYS, body()).await.expect(201);
    let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.delete(&path).await.problems(403)[0].0, "forbidden");
    let token = made["token"].as_str().unwrap();
    send(app.request_as(token, Method::GET, "/v1/activity")).await.expect(200);
    owner.delete(&path).await.expect(204);

    let plain = app.key("webhooks:write,webhooks:read", None).await;
    assert_eq!(send(app.request_as(&plain, Method::GET, KEYS)).await.problems(403)[0].0, "forbidden");
    app.get(KEYS).await.expect(200);
}

#[tokio::test]
async fn keys_of_another_app_are_not_there() {
    let app = TestApp::start().await;
    let other = app.app("other").await.to_string();
    let (admin, owner) = (signed_in(&app, Role::Admin).await, signed_in(&app, Role::Owner).await);
    let there = |method, path: &str| owner.request(method, path).header("x-app-id", &other);
    let body = json!({ "name": "theirs", "scopes": ["webhooks:read"] }).to_string();
    let made = send(json_body(there(Method::POST, KEYS), body)).await.expect(201);
    let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
    let listed = send(there(Method::GET, KEYS)).await.expect(200);
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["name"]), (1, &json!("theirs")));
    assert!(!admin.get(KEYS).await.text.contains("theirs"));
    admin.delete(&path).await.problems(404);
    owner.delete(&path).await.problems(404);
    let elsewhere = admin.request(Method::GET, KEYS).header("x-app-id", &other);
    assert_eq!(send(elsewhere).await.problems(403)[0].0, "forbidden");
    send(there(Method::DELETE, &path)).await.expect(204);
}

#[tokio::test]
async fn what_cannot_be_a_key_is_told_field_by_field() {
    let app = TestApp::start().await;
    for (body, wrong) in [
        (json!({}), vec!["/name", "/scopes"]),
        (json!({ "name": "a", "scopes": ["webhooks:read", "root"] }), vec!["/scopes/1"]),
        (json!({ "name": "a", "scopes": [] }), vec!["/scopes"]),
        (json!({ "name": "a", "scopes": "admin", "expires": "soon" }), vec!["/scopes", "/expires"]),
        (json!({ "name": "a", "scopes": ["admin"], "expires": "0" }), vec!["/expires"]),
        (json!({ "name": " a", "scopes": ["admin"] }), vec!["/name"]),
    ] {
        let answer = app.post(KEYS, body).await;
        let found: Vec<_> = answer.problems(422).into_iter().filter_map(|(_, source)| source).collect();
        assert_eq!(found, wrong, "{}", answer.text);
    }
    let for_ever = json!({ "name": "a", "scopes": ["admin"], "expires": null });
    assert!(app.post(KEYS, for_ever).await.expect(201)["expires_at"].is_null());
}

#[tokio::test]
async fn an_owner_makes_and_renames_apps() {
    let app = TestApp::start().await;
    let owner = signed_in(&app, Role::Owner).await;
    let made = owner.send(Method::POST, APPS, json!({ "name": "shop" })).await.expect(201);
    let path = format!("{APPS}/{}", made["id"].as_str().unwrap());
    let renamed = owner.send(Method::PATCH, &path, json!({ "name": "store" })).await.expect(200);
    assert_eq!((&renamed["id"], &renamed["name"]), (&made["id"], &json!("store")));
    assert_eq!(last_activity(&app).await["kind"], "app.renamed");
    let list = owner.get(APPS).await.expect(200);
    let names: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "store"]);

    let taken = owner.send(Method::PATCH, &path, json!({ "name": "default" })).await;
    assert_eq!(taken.problems(409), [("conflict".to_owned(), None)]);
    owner.send(Method::POST, APPS, json!({ "name": "store" })).await.problems(409);
    for body in [json!({}), json!({ "name": "" }), json!({ "name": made["id"] })] {
        assert_eq!(owner.send(Method::PATCH, &path, body).await.problems(422)[0].1.as_deref(), Some("/name"));
    }
    let first = format!("{APPS}/{}", list["data"][0]["id"].as_str().unwrap());
    assert_eq!(owner.send(Method::PATCH, &first, json!({ "name": "main" })).await.status, 409);
    owner.send(Method::PATCH, &format!("{APPS}/none"), json!({ "name": "a" })).await.problems(404);
}
