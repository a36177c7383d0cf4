//! Alerts: each kind, each form, the silence after it, and who may set them up.

use postrider::domain::{Role, Span};
use reqwest::Method;
use serde_json::{Value, json};

use super::signed_in;
use crate::support::app::disable_after;
use crate::support::{Receiver, Reply, TestApp, in_time, postgres};

const ALERTS: &str = "/admin/api/alerts";
const MINUTE: i64 = 60_000;

/// Makes a target at the receiver's path `/alerts` and gives its id.
pub(super) async fn target(app: &TestApp, receiver: &Receiver, fields: Value) -> String {
    let mut body = json!({ "name": "Phone", "form": "json", "url": receiver.url("/alerts") });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = app.post(ALERTS, body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// Lets so many minutes pass, and waits until alerts have been looked for after them.
pub(super) async fn look_after(app: &TestApp, minutes: i64) {
    let mut looks = app.server().alert_checks();
    looks.mark_unchanged();
    app.clock.advance_ms(minutes * MINUTE);
    in_time("a look", looks.changed()).await.unwrap();
}

pub(super) async fn fail(app: &TestApp, times: usize) {
    for n in 0..times {
        app.post_event("a.b", json!(n)).await;
        app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    }
}

async fn last_try(app: &TestApp, id: &str) -> Value {
    let list = app.get(ALERTS).await.expect(200);
    let all = list["data"].as_array().unwrap();
    all.iter().find(|t| t["id"] == id).unwrap()["last_try"].clone()
}

pub(super) async fn logged(app: &TestApp, kind: &str) -> Value {
    app.get(&format!("/v1/activity?kind={kind}")).await.json()["meta"]["total"].clone()
}

#[tokio::test]
async fn each_form_is_what_its_messenger_asks_for() {
    let app = TestApp::with(|c| {
        c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks");
    })
    .await;
    let receiver = Receiver::start().await;
    let link = "https://example.com/hooks/admin/alerts";
    let title = "Test: Deliveries are 25 minutes late";
    let text = "This is a test; nothing is wrong. The alert would read: The oldest delivery has been due since \
                2026-03-01 11:35 UTC (the limit is 15m); 412 deliveries are pending. Either a receiver takes less \
                than it is sent, or the server cannot keep up.";
    let cases = [
        ("json", "/any?key=k", Some("t1"), "/any?key=k"),
        ("ntfy", "/my-topic", Some("tk_1"), "/my-topic"),
        ("gotify", "/gotify/", Some("Atoken"), "/gotify/message"),
        ("discord", "/api/webhooks/1/abc", None, "/api/webhooks/1/abc"),
        ("slack", "/services/T/B/x", None, "/services/T/B/x"),
    ];
    for (form, path, token, posted_to) in cases {
        let mut fields = json!({ "form": form, "url": receiver.url(path) });
        if let Some(token) = token {
            fields["token"] = json!(token);
        }
        let id = target(&app, &receiver, fields).await;
        let path = format!("{ALERTS}/{id}/test");
        let tried = app.post(&path, json!({ "kind": "queue_late" })).await.expect(200);
        let at = "2026-03-01T12:00:00.000Z";
        assert_eq!(tried, json!({ "at": at, "kind": "queue_late", "sent": true, "error": null }), "{form}");
        assert_eq!(last_try(&app, &id).await, tried);
        let got = receiver.next().await;
        assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", posted_to));
        assert!(got.header("user-agent").unwrap().starts_with("Postrider/"));
        assert!(got.headers.iter().all(|(name, _)| !name.starts_with("webhook-")), "{:?}", got.headers);
        let header = |name| got.header(name);
        match form {
            "json" => {
                let body = json!({
                    "kind": "queue_late", "subject": "", "title": title, "text": text, "link": link, "at": at,
                    "test": true,
                });
                assert_eq!((header("authorization"), got.json()), (Some("Bearer t1"), body));
            }
            "ntfy" => {
                assert_eq!(got.body, text);
                assert_eq!((header("title"), header("priority")), (Some(title), Some("4")));
                assert_eq!((header("tags"), header("click")), (Some("test_tube"), Some(link)));
                assert_eq!(header("authorization"), Some("Bearer tk_1"));
            }
            "gotify" => {
                let extras = json!({ "client::notification": { "click": { "url": link } } });
                let body = json!({ "title": title, "message": text, "priority": 8, "extras": extras });
                assert_eq!((header("x-gotify-key"), got.json()), (Some("Atoken"), body));
            }
            "discord" => {
                let content = format!("**{title}**\n{text}\n{link}");
                assert_eq!(got.json(), json!({ "content": content, "allowed_mentions": { "parse": [] } }));
            }
            _ => {
                let said = format!("*{title}*\n{text}\n<{link}|Open the dashboard>");
                assert_eq!(got.json(), json!({ "text": said }));
            }
        }
    }
}

#[tokio::test]
async fn a_webhook_that_fails_and_one_that_is_disabled_are_told_once_each() {
    let app = TestApp::with(|c| disable_after(c, 4)).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    receiver.reply(Reply::status(500));
    let fields = json!({ "name": "Shop", "retry_schedule": [], "events": ["a.*"] });
    let hook = app.webhook(&receiver.url("/hook?token=t0ken"), fields).await;
    let id = target(&app, &messages, json!({ "kinds": ["webhook_disabled", "webhook_failing"] })).await;
    fail(&app, 1).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 0, "one failure of four is not half");
    fail(&app, 1).await;
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!((&told["kind"], &told["subject"]), (&json!("webhook_failing"), &json!(hook.id)));
    assert_eq!((&told["title"], &told["link"]), (&json!("Webhook \"Shop\" is failing"), &Value::Null));
    let host = receiver.url("/").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(
        told["text"],
        format!(
            "\"Shop\" ({host}) has failed 2 times in a row. Nothing was delivered since 2026-03-01 12:00 UTC. The \
             last failure: HTTP 500 Internal Server Error."
        )
    );
    fail(&app, 1).await;
    look_after(&app, 90).await;
    assert_eq!(messages.count(), 1, "it is told once for as long as it fails in a row");

    fail(&app, 1).await;
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!(told["title"], "Webhook \"Shop\" was disabled");
    let text = told["text"].as_str().unwrap();
    assert!(
        text.contains("Disabled after 4 failed attempts in a row. Nothing was delivered since"),
        "{text}"
    );
    assert!(!told.to_string().contains("t0ken"));
    assert_eq!(last_try(&app, &id).await["kind"], "webhook_disabled");

    // Switched on and off again within the hour: the second one waits for its end.
    let on = json!({ "status": "active" });
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{}", hook.id), on).await.expect(200);
    fail(&app, 4).await;
    look_after(&app, 30).await;
    assert_eq!(messages.count(), 2);
    let app = app.restart().await;
    look_after(&app, 28).await;
    assert_eq!(messages.count(), 2, "the silence outlives a restart");
    look_after(&app, 2).await;
    assert_eq!(messages.next().await.json()["kind"], "webhook_disabled");
    look_after(&app, 600).await;
    assert_eq!(messages.count(), 3, "that it stays disabled is no news");
    assert_eq!(logged(&app, "alert.sent").await, 3);
}

#[tokio::test]
async fn a_webhook_that_fails_again_within_the_hour_is_told_after_it() {
    let app = TestApp::with(|c| disable_after(c, 4)).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    target(&app, &messages, json!({ "kinds": ["webhook_disabled", "webhook_failing"] })).await;
    receiver.reply(Reply::status(500));
    fail(&app, 2).await;
    look_after(&app, 1).await;
    assert_eq!(messages.next().await.json()["kind"], "webhook_failing");
    receiver.reply_once(Reply::ok());
    fail(&app, 1).await;
    look_after(&app, 5).await;
    fail(&app, 2).await;
    look_after(&app, 54).await;
    assert_eq!(messages.count(), 1, "the hour is not over");
    look_after(&app, 1).await;
    assert_eq!(messages.next().await.json()["kind"], "webhook_failing");
    look_after(&app, 180).await;
    assert_eq!(messages.count(), 2);
}

#[tokio::test]
async fn a_queue_that_is_late_is_told_each_hour_until_it_is_not() {
    let app = TestApp::with(|c| c.delivery.timeout = Span::parse("5m").unwrap()).await;
    let (receiver, messages) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&receiver.url("/"), json!({})).await;
    target(&app, &messages, json!({ "queue_age": "10m" })).await;
    let hold = receiver.hold();
    app.post_event("a", json!(1)).await;
    receiver.next().await;
    look_after(&app, 9).await;
    assert_eq!(messages.count(), 0);
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!(
        (&told["kind"], &told["title"]),
        (&json!("queue_late"), &json!("Deliveries are 10 minutes late"))
    );
    let text = told["text"].as_str().unwrap();
    assert!(
        text.contains("due since 2026-03-01 12:00 UTC (the limit is 10m); 1 delivery is pending"),
        "{text}"
    );
    look_after(&app, 59).await;
    assert_eq!(messages.count(), 1);
    look_after(&app, 1).await;
    assert_eq!(messages.next().await.json()["title"], "Deliveries are 70 minutes late");
    hold.release();
    app.row_when(|row| row["status"] == "delivered").await;
    look_after(&app, 120).await;
    assert_eq!(messages.count(), 2);
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_told() {
    // With PostgreSQL nothing is on the disk of the server.
    if postgres::is_wanted() {
        return;
    }
    let app = TestApp::start().await;
    let messages = Receiver::start().await;
    target(&app, &messages, json!({ "kinds": ["disk_low"], "disk_free_mib": 1 })).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 0, "a MiB is free");
    // Nobody has a pebibyte.
    target(&app, &messages, json!({ "kinds": ["disk_low"], "disk_free_mib": 1 << 30 })).await;
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!(told["kind"], "disk_low");
    let data = app.dir.path().join("data").display().to_string();
    assert_eq!(told["subject"], data);
    assert!(
        told["text"].as_str().unwrap().contains(&format!("on the disk of {data}, less than the limit of"))
    );
    let wrong =
        app.post(ALERTS, json!({ "form": "json", "url": messages.url("/"), "disk_free_mib": 0 })).await;
    assert_eq!(wrong.problems(422)[0].1.as_deref(), Some("/disk_free_mib"));
}

#[tokio::test]
async fn a_backup_that_fails_is_told() {
    // A server on PostgreSQL makes no backups.
    if postgres::is_wanted() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("full");
    let app = TestApp::with(|config| {
        config.backup.every = Span::parse("2h").unwrap();
        config.backup.dir = Some(dir.clone());
    })
    .await;
    in_time("a backup", async {
        while logged(&app, "backup.made").await != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let messages = Receiver::start().await;
    target(&app, &messages, json!({})).await;
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::write(&dir, "a file in the way").unwrap();
    app.clock.advance_ms(120 * MINUTE);
    in_time("a failure", async {
        while logged(&app, "backup.failed").await != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    look_after(&app, 1).await;
    let told = messages.next().await.json();
    assert_eq!(told["title"], "The backup failed");
    let text = told["text"].as_str().unwrap();
    assert!(text.starts_with("The backup of 2026-03-01 14:00 UTC failed: "), "{text}");
    assert!(text.contains(&dir.display().to_string()), "{text}");
}

#[tokio::test]
async fn a_target_that_is_down_is_told_when_it_is_back() {
    // With PostgreSQL there is no disk to be told of.
    if postgres::is_wanted() {
        return;
    }
    let app = TestApp::start().await;
    let messages = Receiver::start().await;
    messages.reply(Reply::status(502));
    let fields = json!({ "kinds": ["disk_low"], "disk_free_mib": 1 << 30 });
    let id = target(&app, &messages, fields).await;
    for n in 1..=3 {
        look_after(&app, 1).await;
        assert_eq!(messages.count(), n, "it is tried again each minute");
    }
    let tried = last_try(&app, &id).await;
    assert_eq!((&tried["sent"], &tried["error"]), (&json!(false), &json!("HTTP 502 Bad Gateway")));
    assert_eq!((logged(&app, "alert.failed").await, logged(&app, "alert.sent").await), (json!(1), json!(0)));
    messages.reply(Reply::ok());
    look_after(&app, 1).await;
    look_after(&app, 1).await;
    assert_eq!(messages.count(), 4);
    assert_eq!(logged(&app, "alert.sent").await, 1);
    // A disabled target gets nothing.
    let off = json!({ "enabled": false });
    app.with_json(Method::PATCH, &format!("{ALERTS}/{id}"), off).await.expect(200);
    look_after(&app, 120).await;
    assert_eq!(messages.count(), 4);
}

#[tokio::test]
async fn urls_and_tokens_are_kept_sealed_and_go_to_nobody_else() {
    let app = TestApp::start().await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let fields = json!({ "form": "gotify", "url": first.url("/s3cret-path"), "token": "s3cret-token" });
    let id = target(&app, &first, fields).await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let list = viewer.get(ALERTS).await;
    assert!(!list.text.contains("s3cret"), "{}", list.text);
    assert!(!app.get("/v1/activity").await.text.contains("s3cret"));
    assert_eq!(list.json()["data"][0]["has_token"], true);
    if !postgres::is_wanted() {
        for file in ["postrider.db", "postrider.db-wal"] {
            let bytes = std::fs::read(app.dir.path().join("data").join(file)).unwrap();
            assert!(!bytes.windows(6).any(|w| w == b"s3cret"), "{file}");
        }
    }
    let path = format!("{ALERTS}/{id}");
    let elsewhere = json!({ "url": second.url("/") });
    let refused = app.with_json(Method::PATCH, &path, elsewhere.clone()).await;
    assert_eq!(refused.problems(422)[0].1.as_deref(), Some("/token"), "the old token does not go along");
    let whole = json!({ "url": second.url("/"), "token": "other" });
    app.with_json(Method::PATCH, &path, whole).await.expect(200);
    app.post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!(second.next().await.header("x-gotify-key"), Some("other"));
    app.with_json(Method::PATCH, &path, json!({ "form": "json" })).await.problems(422);
    let masked = app.with_json(Method::PATCH, &path, json!({ "token": "********" })).await;
    assert_eq!(masked.problems(422)[0].1.as_deref(), Some("/token"), "a mask is no token");
    app.delete(&path).await.expect(204);
    app.get(ALERTS).await.expect(200)["data"].as_array().unwrap().is_empty().then_some(()).unwrap();
    app.delete(&path).await.problems(404);
}

#[tokio::test]
async fn what_cannot_be_a_target_is_refused_with_every_problem_at_once() {
    let app = TestApp::with(|c| c.network.allow.clear()).await;
    let pointers = |answer: &crate::support::app::Answer| -> Vec<String> {
        answer.problems(422).into_iter().filter_map(|(_, source)| source).collect()
    };
    let wrong = app.post(ALERTS, json!({ "kinds": ["all"], "queue_age": "soon", "form": "pager" })).await;
    assert_eq!(pointers(&wrong), ["/form", "/kinds/0", "/queue_age"]);
    let wrong = app.post(ALERTS, json!({ "queue_age": "1s", "kinds": [], "name": "" })).await;
    assert_eq!(pointers(&wrong), ["/form", "/url", "/kinds", "/queue_age", "/name"]);
    for url in
        ["http://127.0.0.1/x", "ftp://example.com/", "http://169.254.169.254/", "https://u:p@example.com/"]
    {
        assert_eq!(
            pointers(&app.post(ALERTS, json!({ "form": "json", "url": url })).await),
            ["/url"],
            "{url}"
        );
    }
    let useless = json!({ "form": "slack", "url": "https://example.com/", "token": "t" });
    assert_eq!(pointers(&app.post(ALERTS, useless).await), ["/token"]);
    // What a name leads to is judged when it is asked for.
    let local = json!({ "form": "ntfy", "url": "http://localhost:9/topic" });
    let made = app.post(ALERTS, local.clone()).await.expect(201);
    let tried =
        app.post(&format!("{ALERTS}/{}/test", made["id"].as_str().unwrap()), json!({})).await.expect(200);
    assert!(tried["error"].as_str().unwrap().contains("network.allow"), "{tried}");
    for _ in 1..20 {
        app.post(ALERTS, local.clone()).await.expect(201);
    }
    app.post(ALERTS, local).await.problems(409);
}
