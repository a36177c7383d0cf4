//! Alerts about webhooks that fail and work again, about deliveries without retries left, about this server, and to
//! the contact of a webhook.

use std::sync::Arc;

use postrider::host::clock::{Clock as _, FakeClock};
use postrider::host::following_clock::FollowingClock;
use reqwest::Method;
use serde_json::{Value, json};

use super::alerts::{fail, logged, look_after, target};
use crate::support::app::{disable_after, start_time};
use crate::support::{Receiver, Reply, TestApp};

const HOUR: i64 = 60;

#[tokio::test]
async fn a_webhook_that_works_again_is_told_once_to_who_heard_that_it_fails() {
    let app = TestApp::with(|c| c.delivery.disable_after_failures = 4).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    let hook = app.webhook(&receiver.url("/"), json!({ "name": "Shop", "retry_schedule": [] })).await;
    // One that hears of the recovery only.
    target(&app, &messages, json!({ "kinds": ["webhook_recovered"] })).await;
    receiver.reply(Reply::status(500));
    fail(&app, 2).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 0);
    receiver.reply(Reply::ok());
    fail(&app, 1).await;
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!((&told["kind"], &told["subject"]), (&json!("webhook_recovered"), &json!(hook.id)));
    assert_eq!(told["title"], "Webhook \"Shop\" works again");
    assert!(
        told["text"].as_str().unwrap().contains("its last success was at 2026-03-01 12:01 UTC."),
        "{told}"
    );
    let app = app.restart().await;
    look_after(&app, 1).await;
    look_after(&app, 3 * HOUR).await;
    assert_eq!(messages.count(), 1, "it is told once, also across a restart");
}

#[tokio::test]
async fn exhausted_deliveries_are_a_digest_at_most_hourly() {
    let app = TestApp::with(|c| c.delivery.disable_after_failures = 0).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    receiver.reply(Reply::status(500));
    for (name, events) in [("Shop", "a.*"), ("CRM", "*")] {
        let fields = json!({ "name": name, "retry_schedule": [], "events": [events] });
        app.webhook(&receiver.url("/"), fields).await;
    }
    target(&app, &messages, json!({ "kinds": ["deliveries_exhausted"] })).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 0, "there is nothing to tell");
    fail(&app, 2).await;
    app.post_event("b.c", json!(1)).await;
    app.rows_when(|rows| rows.len() == 5 && rows.iter().all(|row| row["status"] == "exhausted")).await;
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!(told["title"], "5 deliveries have no retries left");
    let text = told["text"].as_str().unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(at("3 of \"CRM\"") < at("2 of \"Shop\""), "{text}");
    look_after(&app, 10).await;
    fail(&app, 1).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 1, "the hour is not over");
    look_after(&app, 50).await;
    assert_eq!(messages.next().await.json()["title"], "2 deliveries have no retries left", "only new ones");
    look_after(&app, 3 * HOUR).await;
    assert_eq!(messages.count(), 2);
}

#[tokio::test]
async fn a_webhook_that_nothing_reaches_is_told_after_its_time() {
    let app = TestApp::with(|c| c.delivery.disable_after_failures = 0).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    receiver.reply(Reply::status(500));
    app.webhook(&receiver.url("/"), json!({ "name": "Shop", "retry_schedule": [] })).await;
    target(&app, &messages, json!({ "kinds": ["webhook_silent"], "silent_after": "6h" })).await;
    fail(&app, 1).await;
    look_after(&app, 5 * HOUR).await;
    assert_eq!(messages.count(), 0);
    look_after(&app, HOUR).await;
    let told = messages.next().await.json();
    assert_eq!(told["title"], "Nothing has reached webhook \"Shop\"");
    assert!(
        told["text"]
            .as_str()
            .unwrap()
            .contains("since 2026-03-01 12:00 UTC (the limit is 6h): 1 attempt failed.")
    );
    look_after(&app, 5 * HOUR).await;
    assert_eq!(messages.count(), 1);
    let wrong = app
        .post("/admin/api/alerts", json!({ "form": "json", "url": messages.url("/"), "silent_after": "1s" }));
    assert_eq!(wrong.await.problems(422)[0].1.as_deref(), Some("/silent_after"));
}

#[tokio::test]
async fn a_clock_of_the_database_that_is_wrong_is_told_once_until_it_is_right() {
    let own = Arc::new(FakeClock::new(start_time()));
    let clock = Arc::new(FollowingClock::new(own.clone()));
    let set = |ahead_ms: i64| clock.measured(own.now().plus_ms(ahead_ms), 0);
    set(59_000);
    let (app, messages) = (TestApp::by_clock(own.clone(), clock.clone()).await, Receiver::start().await);
    target(&app, &messages, json!({ "kinds": ["clock_wrong"] })).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 0, "clocks are never quite the same");
    set(3_600_000);
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!(told["title"], "The clock of the database is 60 minutes ahead");
    look_after(&app, 3 * HOUR).await;
    assert_eq!(messages.count(), 1, "it is told once");
    set(0);
    look_after(&app, 1).await;
    set(-7_200_000);
    look_after(&app, 1).await;
    assert_eq!(messages.next().await.json()["title"], "The clock of the database is 2 hours behind");
}

#[tokio::test]
async fn the_contact_of_a_webhook_hears_of_that_webhook_only() {
    let app = TestApp::with(|c| disable_after(c, 2)).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    receiver.reply(Reply::status(500));
    let fields =
        |name: &str, contact: Value| json!({ "name": name, "retry_schedule": [], "contact": contact });
    let one = app.webhook(&receiver.url("/"), fields("One", json!(messages.url("/owner")))).await;
    app.webhook(&receiver.url("/"), fields("Two", Value::Null)).await;
    fail(&app, 2).await;
    look_after(&app, 1).await;
    let got = messages.next_n(2).await;
    let mut kinds: Vec<Value> = got.iter().map(|got| got.json()["kind"].clone()).collect();
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, [json!("deliveries_exhausted"), json!("webhook_disabled")]);
    assert!(got.iter().all(|got| got.path == "/owner" && !got.json().to_string().contains("Two")), "{got:?}");
    assert_eq!(logged(&app, "alert.sent").await, 2);
    look_after(&app, 3 * HOUR).await;
    assert_eq!(messages.count(), 2);

    let path = format!("/v1/webhooks/{}", one.id);
    for wrong in ["ftp://example.com/", "nobody", "http://169.254.169.254/", "a@b@c"] {
        let answer = app.with_json(Method::PATCH, &path, json!({ "contact": wrong })).await;
        assert_eq!(answer.problems(422)[0].1.as_deref(), Some("/contact"), "{wrong}");
    }
    let long = format!("{}@example.com", "a".repeat(400));
    app.with_json(Method::PATCH, &path, json!({ "contact": long })).await.problems(422);
    app.with_json(Method::PATCH, &path, json!({ "contact": "owner@example.com" })).await.expect(200);
    assert_eq!(app.webhook_attributes(&one.id).await["contact"], "owner@example.com");
    app.with_json(Method::PATCH, &path, json!({ "contact": null })).await.expect(200);
    assert_eq!(app.webhook_attributes(&one.id).await["contact"], Value::Null);
}

#[tokio::test]
async fn a_mail_server_is_checked_and_its_password_goes_to_nobody_else() {
    let app = TestApp::with(|c| c.network.allow.clear()).await;
    let whole = json!({
        "form": "email", "host": "mail.example.com", "user": "u", "password": "s3cret", "from": "p@example.com",
        "to": ["ops@example.com"],
    });
    let made = app.post("/admin/api/alerts", whole.clone()).await.expect(201);
    assert_eq!(
        (&made["host"], &made["port"], &made["tls"]),
        (&json!("mail.example.com"), &json!(587), &json!("starttls"))
    );
    assert_eq!((&made["has_password"], &made["has_token"]), (&json!(true), &json!(false)));
    assert!(!made.to_string().contains("s3cret"));
    let path = format!("/admin/api/alerts/{}", made["id"].as_str().unwrap());
    let pointer = async |method: Method, path: &str, body: Value| -> Vec<String> {
        let answer = app.with_json(method, path, body).await;
        answer.problems(422).into_iter().filter_map(|(_, source)| source).collect()
    };
    let change = async |body: Value| pointer(Method::PATCH, &path, body).await;
    assert_eq!(change(json!({ "host": "other.example.com" })).await, ["/password"]);
    assert_eq!(change(json!({ "tls": "none", "password": "s3cret" })).await, ["/tls"]);
    assert_eq!(change(json!({ "to": [] })).await, ["/to"]);
    assert_eq!(change(json!({ "url": "https://example.com/" })).await[0], "/url");
    assert_eq!(change(json!({ "token": "t" })).await, ["/token"]);
    app.with_json(Method::PATCH, &path, json!({ "to": ["a@example.com", "b@example.com"] }))
        .await
        .expect(200);
    let create = async |name: &str, value: Value| {
        let mut body = whole.clone();
        body[name] = value;
        pointer(Method::POST, "/admin/api/alerts", body).await
    };
    assert_eq!(create("host", json!("127.0.0.1")).await, ["/host"]);
    assert_eq!(create("host", json!("mail example")).await, ["/host"]);
    assert_eq!(create("port", json!(0)).await, ["/port"]);
    assert_eq!(create("from", json!("nobody")).await, ["/from"]);
    assert_eq!(create("to", json!(["a@example.com\r\nBcc: x@example.com"])).await, ["/to"]);
    assert_eq!(create("password", Value::Null).await, ["/password"]);
    assert_eq!(create("user", Value::Null).await, ["/user"]);
    let bare = json!({ "form": "email" });
    assert_eq!(pointer(Method::POST, "/admin/api/alerts", bare).await, ["/host", "/from", "/to"]);
    let wrong = json!({ "form": "json", "url": "https://example.com/", "from": "p@example.com" });
    assert_eq!(pointer(Method::POST, "/admin/api/alerts", wrong).await, ["/from"]);
    // A name is judged when it is connected to.
    let local =
        json!({ "form": "email", "host": "localhost", "from": "p@example.com", "to": ["o@example.com"] });
    let made = app.post("/admin/api/alerts", local).await.expect(201);
    let test = format!("/admin/api/alerts/{}/test", made["id"].as_str().unwrap());
    let tried = app.post(&test, json!({})).await.expect(200);
    assert!(tried["error"].as_str().unwrap().contains("network.allow"), "{tried}");
}
