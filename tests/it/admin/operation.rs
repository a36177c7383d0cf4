//! Retention and what the server is, as the dashboard shows them.

use postrider::config::{Config, Sources};
use postrider::domain::Role;
use reqwest::Method;
use serde_json::json;

use super::{last_activity, signed_in};
use crate::support::{Receiver, TestApp, postgres};

const RETENTION: &str = "/admin/api/retention";
const DAY: i64 = 86_400_000;

/// A server whose configuration says something.
async fn configured(name: &str, value: &str) -> TestApp {
    let environment = vec![(name.into(), value.into())];
    let loaded = Config::load(&Sources { environment, ..Sources::default() }).unwrap();
    TestApp::with(|config| {
        let (listen, data_dir, network) =
            (config.listen.clone(), config.data_dir.clone(), config.network.clone());
        *config = loaded;
        (config.listen, config.data_dir, config.network) = (listen, data_dir, network);
    })
    .await
}

#[tokio::test]
async fn retention_is_shown_with_sizes_and_sweeps() {
    let app = TestApp::start().await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    for _ in 0..3 {
        app.post_event("a", json!(1)).await;
    }
    app.post("/v1/retention/sweep", json!({})).await.expect(200);
    let shown = viewer.get(RETENTION).await.expect(200);
    assert_eq!(shown["logs"], json!({ "value": "30d", "source": "default" }));
    assert_eq!(shown["events"], json!({ "value": "30d", "source": "default" }));
    assert_eq!((&shown["sizes"]["attempts"], &shown["sizes"]["events"]), (&json!(3), &json!(3)));
    assert_eq!(shown["sizes"]["oldest_attempt_at"], "2026-03-01T12:00:00.000Z");
    assert!(shown["sizes"]["database_bytes"].as_u64().unwrap() > 4096);
    assert_eq!(shown["last_sweep"], json!({ "at": "2026-03-01T12:00:00.000Z", "attempts": 0, "events": 0 }));
    assert_eq!(shown["next_sweep_at"], "2026-03-01T12:00:30.000Z");
    assert!(shown["held_back"].is_null());

    app.clock.set(postrider::host::clock::Clock::now(&*app.clock).plus_ms(90 * DAY));
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    let app = app.restart().await;
    app.post("/v1/retention/sweep", json!({})).await.problems(409);
    let held = app.get(RETENTION).await.expect(200)["held_back"].clone();
    assert!(held.as_str().unwrap().contains("more than a day after"), "{held}");
}

#[tokio::test]
async fn what_an_owner_sets_counts_at_once_and_after_a_restart() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    app.post_event("a", json!(1)).await;
    app.row_when(|row| row["status"] == "delivered").await;
    let owner = signed_in(&app, Role::Owner).await;
    let set = async |body| owner.send(Method::PUT, RETENTION, body).await;
    let changed = set(json!({ "logs": "12h" })).await.expect(200);
    assert_eq!(changed["logs"], json!({ "value": "12h", "source": "page" }));
    assert_eq!(changed["events"], json!({ "value": "30d", "source": "default" }));
    let entry = last_activity(&app).await;
    assert_eq!((&entry["kind"], &entry["details"]["logs"]), (&json!("retention.changed"), &json!("12h")));

    let app = app.restart().await;
    assert_eq!(app.get(RETENTION).await.expect(200)["logs"]["value"], "12h");
    app.clock.advance_ms(DAY / 2 + 1);
    app.post("/v1/retention/sweep", json!({})).await.expect(200);
    assert_eq!(app.rows().await.len(), 0);
    let back =
        app.with_json(Method::PUT, RETENTION, json!({ "logs": null, "events": "0" })).await.expect(200);
    assert_eq!(back["logs"], json!({ "value": "30d", "source": "default" }));
    assert_eq!(back["events"], json!({ "value": "0", "source": "page" }));
}

#[tokio::test]
async fn what_the_configuration_says_goes_before_the_page() {
    let app = configured("POSTRIDER_RETENTION__LOGS", "7d").await;
    let refused = app.with_json(Method::PUT, RETENTION, json!({ "logs": "30d", "events": "5d" })).await;
    assert_eq!(refused.problems(409), [("conflict".to_owned(), None)]);
    assert!(refused.text.contains("retention.logs is 7d in the configuration"), "{}", refused.text);
    let shown = app.get(RETENTION).await.expect(200);
    assert_eq!(shown["logs"], json!({ "value": "7d", "source": "configuration" }));
    assert_eq!(shown["events"]["source"], "default", "nothing of it was taken");
    app.with_json(Method::PUT, RETENTION, json!({ "events": "5d" })).await.expect(200);
    assert_eq!(app.get(RETENTION).await.expect(200)["events"], json!({ "value": "5d", "source": "page" }));
}

#[tokio::test]
async fn what_is_no_length_of_time_is_refused() {
    let app = TestApp::start().await;
    for (body, wrong) in [
        (json!({ "logs": "soon", "events": 30 }), vec!["/logs", "/events"]),
        (json!({ "logs": "-1d", "log": "1d" }), vec!["/log", "/logs"]),
    ] {
        let answer = app.with_json(Method::PUT, RETENTION, body).await;
        let found: Vec<_> = answer.problems(422).into_iter().filter_map(|(_, source)| source).collect();
        assert_eq!(found, wrong, "{}", answer.text);
    }
}

#[tokio::test]
async fn about_tells_what_the_server_is_and_no_secret() {
    let app = TestApp::with(|c| {
        c.metrics.token = Some(postrider::config::Secret::new("metrics-s3cret".to_owned()));
        c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks");
    })
    .await;
    let viewer = signed_in(&app, Role::Viewer).await;
    let answer = viewer.get("/admin/api/about").await;
    assert!(!answer.text.contains("s3cret"));
    let about = answer.expect(200);
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["started_at"], "2026-03-01T12:00:00.000Z");
    assert_eq!(about["public_url"], "https://example.com/hooks");
    let kind = if postgres::is_wanted() { "postgresql" } else { "sqlite" };
    assert_eq!(about["storage"]["kind"], kind);
    assert_eq!(about["network"]["allow"], json!(["127.0.0.0/8"]));
    assert_eq!(about["delivery"]["retry_schedule"], json!(["2m", "8m", "20m"]));
    assert_eq!(
        (&about["delivery"]["timeout"], &about["delivery"]["response_body_limit"]),
        (&json!("10s"), &json!(16384))
    );
    assert_eq!(about["signing_headers"], json!(["X-Webhook-Signature"]));
    assert_eq!(about["retention"], json!({ "logs": "30d", "events": "30d" }));
    assert_eq!(about["links"]["docs"], "/hooks/docs");
    let key = app.key("webhooks:read,webhooks:write,events:read", None).await;
    let plain = crate::support::app::send(app.request_as(&key, Method::GET, "/admin/api/about")).await;
    assert_eq!(plain.problems(403)[0].0, "forbidden");
    app.get("/admin/api/about").await.expect(200);
}
