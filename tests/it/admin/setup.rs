//! The one-time link that makes the owner.

use postrider::domain::Role;
use postrider::domain::access::session::SETUP_MS;
use serde_json::json;

use super::{cookie, last_activity, post, try_sign_in, user};
use crate::support::TestApp;

const PATH: &str = "/admin/api/setup";

/// The token of a new link.
async fn token(app: &TestApp) -> Option<String> {
    let link = app.server().setup_link(&app.config).await?;
    let (base, token) = link.split_once("/admin/setup/").expect("the link leads to the dashboard");
    assert_eq!(base, app.base);
    Some(token.to_owned())
}

fn owner(token: &str) -> serde_json::Value {
    json!({ "token": token, "email": "Ada@Example.com", "password": "correct horse" })
}

#[tokio::test]
async fn the_link_makes_the_owner_once() {
    let app = TestApp::start().await;
    assert_eq!(
        app.get("/admin/api/state").await.expect(200),
        json!({ "setup_required": true, "signed_in": false })
    );
    let token = token(&app).await.unwrap();
    let made = post(&app, PATH, owner(&token)).await;
    let session = cookie(&made);
    let made = made.expect(201);
    assert_eq!((&made["email"], &made["role"]), (&json!("ada@example.com"), &json!("owner")));
    assert_eq!(made["apps"][0]["name"], "default");
    let state = app.client.get(format!("{}/admin/api/state", app.base));
    let state =
        crate::support::app::send(state.header("cookie", format!("postrider_session={session}"))).await;
    assert_eq!(state.expect(200), json!({ "setup_required": false, "signed_in": true }));
    assert_eq!(last_activity(&app).await["kind"], "user.signed_in");

    let again = post(&app, PATH, owner(&token)).await;
    assert_eq!(again.problems(422), [("validation_failed".to_owned(), Some("/token".to_owned()))]);
    assert!(again.text.contains("Restart the server") && again.text.contains("postrider user create"));
    assert_eq!(self::token(&app).await, None, "there is no further link");
    try_sign_in(&app, "ada@example.com", "correct horse").await.expect(200);
}

#[tokio::test]
async fn a_link_ends_after_half_an_hour_and_with_the_next_one() {
    let app = TestApp::start().await;
    let first = token(&app).await.unwrap();
    let second = token(&app).await.unwrap();
    assert_eq!(post(&app, PATH, owner(&first)).await.status, 422, "a new link voids the one before");
    app.clock.advance_ms(SETUP_MS);
    assert_eq!(post(&app, PATH, owner(&second)).await.problems(422)[0].1.as_deref(), Some("/token"));
    let third = token(&app).await.unwrap();
    app.clock.advance_ms(SETUP_MS - 1);
    post(&app, PATH, owner(&third)).await.expect(201);
}

#[tokio::test]
async fn a_link_is_checked_without_being_used() {
    let app = TestApp::start().await;
    let first = token(&app).await.unwrap();
    let second = token(&app).await.unwrap();
    let check = async |token: &str| {
        post(&app, "/admin/api/setup/check", json!({ "token": token })).await.expect(200)["open"].clone()
    };
    assert_eq!(check(&second).await, true);
    assert_eq!(check(&second).await, true, "a check leaves the link as it is");
    for wrong in [first.as_str(), "nonsense", ""] {
        assert_eq!(check(wrong).await, false, "{wrong:?}");
    }
    post(&app, PATH, owner(&second)).await.expect(201);
    assert_eq!(check(&second).await, false, "it was used");
}

#[tokio::test]
async fn a_link_is_void_when_somebody_was_made_at_the_command_line() {
    let app = TestApp::start().await;
    let token = token(&app).await.unwrap();
    user(&app, "eve@example.com", Role::Viewer).await;
    assert_eq!(post(&app, PATH, owner(&token)).await.problems(422)[0].1.as_deref(), Some("/token"));
}

#[tokio::test]
async fn all_that_is_wrong_is_told_and_a_good_link_survives_it() {
    let app = TestApp::start().await;
    let token = token(&app).await.unwrap();
    for (body, wrong) in [
        (
            json!({ "token": "nonsense", "email": "ada", "password": "short" }),
            vec!["/token", "/email", "/password"],
        ),
        (json!({ "token": token, "email": "ada@example.com", "password": "short" }), vec!["/password"]),
        (
            json!({ "token": "0".repeat(64), "email": "ada@example.com", "password": "correct horse" }),
            vec!["/token"],
        ),
        (json!({ "token": token, "mail": 1 }), vec!["/mail", "/email", "/password"]),
    ] {
        let answer = post(&app, PATH, body).await;
        let found: Vec<_> = answer.problems(422).into_iter().filter_map(|(_, source)| source).collect();
        assert_eq!(found, wrong, "{}", answer.text);
    }
    post(&app, PATH, owner(&token)).await.expect(201);
}

#[tokio::test]
async fn of_two_who_have_the_link_one_becomes_the_owner() {
    let app = TestApp::start().await;
    let token = token(&app).await.unwrap();
    let other = json!({ "token": token, "email": "eve@example.com", "password": "correct horse" });
    let (one, other) = tokio::join!(post(&app, PATH, owner(&token)), post(&app, PATH, other));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
}
