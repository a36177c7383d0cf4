//! How fast passwords can be guessed. The rules are tested where they are; here is what is seen of them.

use postrider::domain::Role;
use serde_json::json;

use super::{PASSWORD, try_sign_in, user};
use crate::support::TestApp;
use crate::support::app::{Answer, json_body, send};

/// Asks to sign in from another address of this machine.
async fn from(app: &TestApp, last: u8, email: &str, password: &str) -> Answer {
    let client =
        reqwest::Client::builder().no_proxy().local_address(std::net::IpAddr::from([127, 0, 0, last]));
    let body = json!({ "email": email, "password": password }).to_string();
    let request = client.build().unwrap().post(format!("{}/admin/api/session", app.base));
    send(json_body(request, body)).await
}

#[tokio::test]
async fn who_guesses_is_slowed_and_never_locked_out() {
    let app = TestApp::start().await;
    user(&app, "ada@example.com", Role::Owner).await;
    for i in 0..10 {
        let answer = try_sign_in(&app, &format!("user{i}@example.com"), "wrong horse").await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    let slowed = try_sign_in(&app, "ada@example.com", PASSWORD).await;
    assert_eq!(slowed.problems(429), [("rate_limit_exceeded".to_owned(), None)]);
    assert_eq!(slowed.header("retry-after"), Some("6"));
    app.get("/v1/webhooks").await.expect(200);
    app.clock.advance_ms(6_000);
    try_sign_in(&app, "ada@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn who_is_refused_is_in_the_activity_log_once_in_a_while() {
    let app = TestApp::start().await;
    let entries = async || {
        let log = app.get("/v1/activity?kind=user.sign_in_throttled").await.expect(200);
        log["data"].as_array().unwrap().iter().map(|e| e["attributes"].clone()).collect::<Vec<_>>()
    };
    let refused = async || {
        let answer = try_sign_in(&app, "ada@example.com", "wrong horse").await;
        assert_eq!(answer.status, 429, "{}", answer.text);
    };
    for _ in 0..10 {
        try_sign_in(&app, "ada@example.com", "wrong horse").await;
    }
    assert!(entries().await.is_empty());
    for _ in 0..5 {
        refused().await;
    }
    let noted = entries().await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!((&noted[0]["address"], &noted[0]["actor"]), (&json!("127.0.0.1"), &json!("system")));
    assert_eq!(noted[0]["details"]["email"], "ada@example.com");
    app.clock.advance_ms(600_000);
    while try_sign_in(&app, "ada@example.com", "wrong horse").await.status == 401 {}
    refused().await;
    assert_eq!(entries().await.len(), 2);
}

#[tokio::test]
async fn an_account_is_guarded_against_many_addresses_and_still_opens_to_its_owner() {
    let app = TestApp::start().await;
    user(&app, "ada@example.com", Role::Owner).await;
    for i in 0..20 {
        assert_eq!(from(&app, 10 + i / 5, "ada@example.com", "wrong horse").await.status, 401);
    }
    assert_eq!(from(&app, 50, "ada@example.com", "wrong horse").await.status, 401);
    let slowed = from(&app, 50, "ada@example.com", PASSWORD).await;
    assert_eq!((slowed.status, slowed.header("retry-after")), (429, Some("30")));
    from(&app, 51, "ada@example.com", PASSWORD).await.expect(200);
    app.clock.advance_ms(30_000);
    from(&app, 50, "ada@example.com", PASSWORD).await.expect(200);
}
