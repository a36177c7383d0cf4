//! People, as an owner manages them.

use postrider::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, last_activity, sign_in, signed_in, try_sign_in, user};
use crate::support::TestApp;

const USERS: &str = "/admin/api/users";

/// The id of a user.
async fn id(app: &TestApp, email: &str) -> String {
    let list = app.get(USERS).await.expect(200);
    let found = list["data"].as_array().unwrap().iter().find(|u| u["email"] == email).cloned();
    found.unwrap_or_else(|| panic!("{email} is in {list}"))["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_owner_makes_people_with_a_password_or_has_one_made() {
    let app = TestApp::start().await;
    let owner = signed_in(&app, Role::Owner).await;
    let with = json!({ "email": " Eve@Example.com", "role": "viewer", "password": PASSWORD });
    let eve = owner.send(Method::POST, USERS, with).await.expect(201);
    assert_eq!((&eve["email"], &eve["role"]), (&json!("eve@example.com"), &json!("viewer")));
    assert!(eve.get("password").is_none() && eve["last_sign_in_at"].is_null());
    let without = json!({ "email": "bob@example.com", "role": "admin" });
    let bob = owner.send(Method::POST, USERS, without).await.expect(201);
    let made = bob["password"].as_str().unwrap();
    try_sign_in(&app, "bob@example.com", made).await.expect(200);
    let list = owner.get(USERS).await;
    assert!(!list.text.contains(made) && !list.text.contains("argon2"));
    let list = list.expect(200);
    let all = list["data"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|u| u["email"].as_str().unwrap()).collect();
    assert_eq!(names, ["bob@example.com", "eve@example.com", "owner@example.com"]);
    assert!(all[0]["last_sign_in_at"].is_string() && all[1]["last_sign_in_at"].is_null());
    assert_eq!(all[1]["id"], eve["id"]);

    let again =
        owner.send(Method::POST, USERS, json!({ "email": "EVE@example.com", "role": "viewer" })).await;
    assert_eq!(again.problems(409), [("conflict".to_owned(), None)]);
}

#[tokio::test]
async fn what_cannot_be_a_user_is_told_field_by_field() {
    let app = TestApp::start().await;
    for (body, wrong) in [
        (json!({}), vec!["/email", "/role"]),
        (json!({ "email": 1, "role": "root", "password": 2 }), vec!["/email", "/role", "/password"]),
        (json!({ "email": "eve", "role": "viewer", "password": "short" }), vec!["/email", "/password"]),
        (json!({ "email": "a@b.c", "role": "viewer", "pasword": "x" }), vec!["/pasword"]),
    ] {
        let answer = app.post(USERS, body).await;
        let found: Vec<_> = answer.problems(422).into_iter().filter_map(|(_, source)| source).collect();
        assert_eq!(found, wrong, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_new_role_or_password_ends_the_sessions_of_that_person_only() {
    let app = TestApp::start().await;
    let owner = signed_in(&app, Role::Owner).await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let path = format!("{USERS}/{}", id(&app, "viewer@example.com").await);

    for nothing in [json!({}), json!({ "role": "viewer" })] {
        owner.send(Method::PATCH, &path, nothing).await.expect(200);
        viewer.get("/v1/webhooks").await.expect(200);
    }
    let changed = owner.send(Method::PATCH, &path, json!({ "role": "admin" })).await.expect(200);
    assert_eq!(changed["role"], "admin");
    viewer.get("/v1/webhooks").await.problems(401);
    let entry = last_activity(&app).await;
    assert_eq!((&entry["kind"], &entry["details"]["before"]), (&json!("user.changed"), &json!("viewer")));

    let admin = sign_in(&app, "viewer@example.com").await;
    owner.send(Method::PATCH, &path, json!({ "password": "another one" })).await.expect(200);
    admin.get("/v1/webhooks").await.problems(401);
    assert_eq!(try_sign_in(&app, "viewer@example.com", PASSWORD).await.status, 401);
    try_sign_in(&app, "viewer@example.com", "another one").await.expect(200);
    assert_eq!(owner.send(Method::PATCH, &path, json!({ "password": "short" })).await.status, 422);
    owner.get("/v1/webhooks").await.expect(200);
}

#[tokio::test]
async fn a_password_that_is_reset_at_the_command_line_ends_sessions_too() {
    let app = TestApp::start().await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let (store, now) = (app.server().store(), postrider::host::clock::Clock::now(&*app.clock));
    let by = postrider::service::By::command_line();
    let reset = postrider::service::people::users::reset_password(
        &*store,
        "viewer@example.com",
        "another one",
        &by,
        now,
    );
    reset.await.unwrap();
    viewer.get("/v1/webhooks").await.problems(401);
}

#[tokio::test]
async fn there_is_always_an_owner() {
    let app = TestApp::start().await;
    let owner = signed_in(&app, Role::Owner).await;
    let own = format!("{USERS}/{}", id(&app, "owner@example.com").await);
    assert_eq!(
        owner.send(Method::PATCH, &own, json!({ "role": "admin" })).await.problems(409)[0].0,
        "conflict"
    );
    assert_eq!(owner.delete(&own).await.problems(409)[0].0, "conflict", "nobody deletes themselves");
    assert_eq!(app.delete(&own).await.problems(409)[0].0, "conflict", "a key does not delete the last one");
    owner.get("/admin/api/session").await.expect(200);

    user(&app, "second@example.com", Role::Owner).await;
    let second = sign_in(&app, "second@example.com").await;
    assert_eq!(owner.delete(&own).await.status, 409, "not even with another owner");
    second.delete(&own).await.expect(204);
    owner.get("/admin/api/session").await.problems(401);
    assert_eq!(try_sign_in(&app, "owner@example.com", PASSWORD).await.status, 401);
    assert_eq!(last_activity(&app).await["kind"], "user.sign_in_failed");
    second.delete(&own).await.problems(404);
    second.send(Method::PATCH, &format!("{USERS}/none"), json!({})).await.problems(404);
}

#[tokio::test]
async fn of_two_owners_who_lower_each_other_one_stays() {
    let app = TestApp::start().await;
    for email in ["a@example.com", "b@example.com"] {
        user(&app, email, Role::Owner).await;
    }
    let (a, b) = (sign_in(&app, "a@example.com").await, sign_in(&app, "b@example.com").await);
    let path_of = async |email| format!("{USERS}/{}", id(&app, email).await);
    let (to_a, to_b) = (path_of("a@example.com").await, path_of("b@example.com").await);
    let lower = || json!({ "role": "viewer" });
    let (one, other) =
        tokio::join!(a.send(Method::PATCH, &to_b, lower()), b.send(Method::PATCH, &to_a, lower()));
    let list = app.get(USERS).await.expect(200);
    let owners = list["data"].as_array().unwrap().iter().filter(|u| u["role"] == "owner").count();
    assert_eq!(owners, 1, "{} {}", one.text, other.text);
}

#[tokio::test]
async fn a_person_changes_their_password_and_stays_signed_in() {
    let app = TestApp::start().await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let elsewhere = sign_in(&app, "viewer@example.com").await;
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        viewer.send(Method::PUT, "/admin/api/password", body).await
    };
    let wrong = change("wrong horse", "short").await;
    let found: Vec<Option<String>> = wrong.problems(422).into_iter().map(|(_, source)| source).collect();
    assert_eq!(found, [Some("/current_password".to_owned()), Some("/new_password".to_owned())]);
    elsewhere.get("/v1/webhooks").await.expect(200);

    change(PASSWORD, "another one").await.expect(204);
    viewer.get("/v1/webhooks").await.expect(200);
    elsewhere.get("/v1/webhooks").await.problems(401);
    assert_eq!(try_sign_in(&app, "viewer@example.com", PASSWORD).await.status, 401);
    try_sign_in(&app, "viewer@example.com", "another one").await.expect(200);
    let log = app.get("/v1/activity?kind=user.password_changed").await;
    assert!(!log.text.contains("another one") && log.json()["meta"]["total"] == 1);
    for _ in 0..10 {
        change("wrong horse", "yet another").await;
    }
    assert_eq!(change("another one", "yet another").await.problems(429)[0].0, "rate_limit_exceeded");
}

#[tokio::test]
async fn people_see_and_end_their_own_sessions_and_an_owner_everybodys() {
    let app = TestApp::start().await;
    let owner = signed_in(&app, Role::Owner).await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let second = sign_in(&app, "viewer@example.com").await;
    let list = async |who: &super::Browser<'_>| -> Vec<Value> {
        who.get("/admin/api/sessions").await.expect(200)["data"].as_array().unwrap().clone()
    };
    let own = list(&viewer).await;
    assert_eq!(own.len(), 2);
    assert_eq!((&own[0]["current"], &own[1]["current"]), (&json!(false), &json!(true)), "newest first");
    assert_eq!((&own[0]["email"], &own[0]["address"]), (&json!("viewer@example.com"), &json!("127.0.0.1")));
    assert_eq!(own[0]["expires_at"], "2026-03-02T00:00:00.000Z");
    let all = list(&owner).await;
    assert_eq!(all.len(), 3);
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains(&owner.cookie) && !text.contains(&viewer.csrf));

    let path_of = |session: &Value| format!("/admin/api/sessions/{}", session["id"].as_str().unwrap());
    viewer.delete(&path_of(&all[2])).await.problems(404);
    owner.get("/v1/webhooks").await.expect(200);
    viewer.delete(&path_of(&own[0])).await.expect(204);
    second.get("/v1/webhooks").await.problems(401);
    assert_eq!(last_activity(&app).await["kind"], "session.revoked");
    owner.delete(&path_of(&own[1])).await.expect(204);
    viewer.get("/v1/webhooks").await.problems(401);
    assert_eq!(list(&owner).await.len(), 1);
    app.clock.advance_ms(postrider::domain::access::session::IDLE_MS);
    let owner = sign_in(&app, "owner@example.com").await;
    assert_eq!(list(&owner).await.len(), 1, "what has run out is not listed");
}
