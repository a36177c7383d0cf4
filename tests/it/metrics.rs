//! `/metrics`: what it shows after what has happened, and who may read it.

use std::sync::Arc;

use postrider::cluster::Ownership;
use postrider::domain::{EndpointId, Shard};
use postrider::host::clock::FakeClock;
use postrider::metrics::{ClusterSources, MeterSources, Metrics};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

use crate::store;
use crate::support::app::send;
use crate::support::postgres::is_wanted;
use crate::support::{Receiver, Reply, TestApp};

/// The value of a sample, by its name and labels as they are written.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
}

async fn scrape(app: &TestApp) -> String {
    let answer = send(app.client.get(format!("{}/metrics", app.base))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

fn ended(outcome: &str, kind: &str) -> String {
    format!("postrider_attempts_total{{outcome=\"{outcome}\",error_kind=\"{kind}\"}}")
}

#[tokio::test]
async fn what_has_happened_is_counted_once() {
    let (app, receiver) = (TestApp::start().await, Receiver::start().await);
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["1m"] })).await;
    receiver.reply_once(Reply::status(500));
    let event = json!({ "event_type": "a.b", "payload": 1, "idempotency_key": "once" });
    app.post("/v1/events", event.clone()).await.expect(202);
    app.post("/v1/events", event).await.expect(202);
    app.rows_when(|rows| rows.len() == 2).await;
    app.post(&format!("/v1/webhooks/{}/test", hook.id), json!({})).await.expect(200);

    let text = scrape(&app).await;
    assert_eq!(sample(&text, "postrider_events_accepted_total"), 1.0, "a repetition is none");
    assert_eq!(sample(&text, &ended("failed", "http_status")), 1.0);
    assert_eq!(sample(&text, &ended("delivered", "")), 0.0, "a test counts nowhere");
    assert_eq!(sample(&text, "postrider_queue_depth"), 1.0, "the retry");
    assert_eq!(sample(&text, "postrider_queue_lag_seconds"), 0.0, "it is not due yet");

    app.clock.advance_ms(60_000);
    app.rows_when(|rows| rows.iter().any(|row| row["trigger"] == "retry" && row["status"] == "delivered"))
        .await;
    let text = scrape(&app).await;
    assert_eq!(sample(&text, &ended("delivered", "")), 1.0);
    assert_eq!(sample(&text, "postrider_attempt_duration_seconds_count"), 2.0);
    assert_eq!(sample(&text, "postrider_queue_depth"), 0.0);
    assert_eq!(sample(&text, "postrider_in_flight"), 0.0);
    assert!(sample(&text, "postrider_writer_group_size_count") >= 4.0);
    assert!(sample(&text, "postrider_writer_commit_seconds_sum") > 0.0);
    assert!(sample(&text, "postrider_store_size_bytes") > 4_096.0);
    assert!(sample(&text, "process_resident_memory_bytes") > 1_000_000.0);
    assert!(sample(&text, "process_open_fds") > 3.0);
}

#[tokio::test]
async fn filters_templates_and_holds_are_counted() {
    let (app, receiver) = (TestApp::start().await, Receiver::start().await);
    for n in [1, 2, 3] {
        app.webhook(&receiver.url("/"), json!({ "events": ["f"], "filter": format!("payload.n > {n}") }))
            .await;
    }
    let shaped = json!({ "events": ["t"], "request": {} });
    let shaped = app.webhook(&receiver.url("/{{ payload.gone }}/"), shaped).await;
    app.webhook(&receiver.url("/"), json!({ "events": ["h"], "retry_schedule": ["1m"] })).await;
    app.post_event("f", json!({ "n": 2 })).await;
    app.post_event("t", json!({})).await;
    app.post(&format!("/v1/webhooks/{}/test", shaped.id), json!({})).await.expect(200);
    app.rows_when(|rows| rows.iter().filter(|row| row["status"] != "pending").count() == 3).await;
    receiver.reply(Reply::status(429).header("Retry-After", "30"));
    for _ in 0..2 {
        app.post_event("h", json!({})).await;
    }
    app.rows_when(|rows| rows.iter().any(|row| row["response_status"] == 429)).await;
    app.clock.advance_ms(30_000);
    app.rows_when(|rows| rows.iter().filter(|row| row["response_status"] == 429).count() == 2).await;
    let text = scrape(&app).await;
    assert_eq!(sample(&text, "postrider_events_filtered_total"), 2.0);
    assert_eq!(sample(&text, "postrider_render_failures_total"), 1.0, "a test counts nowhere");
    assert_eq!(sample(&text, "postrider_endpoint_holds_total"), 1.0, "it is still the same hold");
}

#[tokio::test]
async fn what_waits_is_as_old_as_it_has_been_due_and_the_depth_outlives_a_restart() {
    let (app, receiver) = (TestApp::start().await, Receiver::start().await);
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let path = format!("/v1/webhooks/{}", hook.id);
    app.with_json(Method::PATCH, &path, json!({ "status": "paused" })).await.expect(200);
    app.post_event("a.b", json!(1)).await;
    app.clock.advance_ms(90_000);
    let text = scrape(&app).await;
    assert_eq!(sample(&text, "postrider_queue_oldest_pending_seconds"), 90.0);
    assert_eq!(sample(&text, "postrider_queue_lag_seconds"), 0.0, "a person has paused it");
    let app = app.restart().await;
    let text = scrape(&app).await;
    assert_eq!(sample(&text, "postrider_queue_depth"), 1.0);
    assert_eq!(sample(&text, "postrider_events_accepted_total"), 0.0, "counters begin with the process");

    let hold = receiver.hold();
    app.with_json(Method::PATCH, &path, json!({ "status": "active" })).await.expect(200);
    receiver.next().await;
    let text = scrape(&app).await;
    assert_eq!(sample(&text, "postrider_in_flight"), 1.0);
    assert_eq!(sample(&text, "postrider_queue_lag_seconds"), 90.0);
    hold.release();
}

/// The metrics of a node that holds the shard of one endpoint, and leads or does not.
pub(crate) async fn of_a_node(leads: bool) -> (String, Arc<Ownership>) {
    let world = store::fresh().await;
    world.add_endpoint(&["*"]).await;
    world.post("a").await;
    let ownership = Ownership::of_nothing();
    let held = EndpointId::new(store::now());
    ownership.grant(Shard::of(held), postrider::domain::Epoch::FIRST);
    ownership.refused(held, postrider::domain::Epoch::FIRST.next());
    ownership.meters().renewals.inc_by(5);
    let sources = MeterSources {
        storage: world.store.meters(),
        delivery: Arc::default(),
        backups: Arc::default(),
        log_lines_dropped: Default::default(),
        inbound: Default::default(),
        cluster: Some(ClusterSources { ownership: ownership.clone(), leads: watch::channel(leads).1 }),
    };
    let metrics = Metrics::new(world.store.clone(), Arc::new(FakeClock::new(store::now())), sources);
    (metrics.text().await.unwrap(), ownership)
}

/// What is the same for all nodes.
const OF_ALL: [&str; 7] = [
    "postrider_queue_depth",
    "postrider_queue_lag_seconds",
    "postrider_queue_oldest_pending_seconds",
    "postrider_endpoints",
    "postrider_store_size_bytes",
    "postrider_store_wal_size_bytes",
    "postrider_cluster_nodes",
];

#[tokio::test]
async fn what_is_the_same_for_all_nodes_is_told_by_the_one_that_leads() {
    let (leader, _) = of_a_node(true).await;
    for name in OF_ALL {
        assert!(leader.contains(&format!("# TYPE {name} gauge\n")), "{name}");
    }
    assert_eq!(sample(&leader, "postrider_queue_depth"), 1.0);
    assert_eq!(sample(&leader, "postrider_cluster_leader"), 1.0);
    let (other, _) = of_a_node(false).await;
    for name in OF_ALL {
        assert!(!other.contains(name), "{name}");
    }
    assert_eq!(sample(&other, "postrider_cluster_leader"), 0.0);
    assert_eq!(sample(&other, "postrider_events_accepted_total"), 1.0, "its own counters");
}

#[tokio::test]
async fn a_node_counts_its_shards_renewals_and_stale_results() {
    let (text, ownership) = of_a_node(false).await;
    assert_eq!(sample(&text, "postrider_cluster_shards_held"), 1.0);
    assert_eq!(sample(&text, "postrider_cluster_renewals_total"), 5.0);
    assert_eq!(sample(&text, "postrider_cluster_stale_results_total"), 1.0);
    assert_eq!(ownership.meters().stale_results.get(), 1);
    assert!(sample(&text, "postrider_cluster_commit_seconds_count") >= 2.0);
}

#[tokio::test]
async fn a_node_says_something_of_others_only_where_there_can_be_others() {
    let app = TestApp::start().await;
    assert_eq!(scrape(&app).await.contains("postrider_cluster_"), is_wanted());
}

#[tokio::test]
async fn every_line_is_of_the_format_that_was_asked_for() {
    let app = TestApp::start().await;
    let url = format!("{}/metrics", app.base);
    let plain = send(app.client.get(&url)).await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.text.contains("# TYPE postrider_attempts_total counter\n"));
    let mut typed = std::collections::HashSet::new();
    for line in plain.text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["#", "TYPE", name, kind] = words[..] {
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(typed.insert(name.to_owned()), "{line} is there twice");
            continue;
        }
        if words[0] == "#" {
            assert_eq!(words[1], "HELP", "{line}");
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(typed.contains(name) || family.is_some_and(|f| typed.contains(f)), "{line} has no type");
        words.last().unwrap().parse::<f64>().unwrap();
    }
    let open =
        send(app.client.get(&url).header("accept", "application/openmetrics-text;version=1.0.0")).await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text.ends_with("# EOF\n") && open.text.contains("# TYPE postrider_attempts counter\n"));
}

#[tokio::test]
async fn a_proxy_that_nobody_has_named_opens_nothing_by_its_address() {
    let untrusting = TestApp::start().await;
    let trusting = TestApp::with(|c| c.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()]).await;
    let status = async |app: &TestApp, header: Option<(&str, &str)>| {
        let mut request = app.client.get(format!("{}/metrics", app.base));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        send(request).await.status
    };
    assert_eq!(status(&untrusting, None).await, 200);
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto"] {
        assert_eq!(status(&untrusting, Some((name, "127.0.0.1"))).await, 401, "{name}");
    }
    assert_eq!(status(&trusting, Some(("x-forwarded-for", "203.0.113.9"))).await, 401);
    assert_eq!(status(&trusting, Some(("x-forwarded-for", "127.0.0.1"))).await, 200);
}

#[tokio::test]
async fn a_token_or_an_address_opens_it_and_nothing_limits_it() {
    let app = TestApp::with(|config| {
        config.metrics.token = Some(postrider::config::Secret::new("t0ken".to_owned()));
        config.metrics.allow = vec![];
        config.limits.requests_per_minute = 1;
    })
    .await;
    let get = async |token: Option<&str>| {
        let request = app.client.get(format!("{}/metrics", app.base));
        send(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await
    };
    for _ in 0..5 {
        assert_eq!(get(None).await.problems(401), [("unauthorized".to_owned(), None)]);
        assert_eq!(get(Some("wrong")).await.status, 401);
        assert_eq!(get(Some(&app.token)).await.status, 401, "an API key opens something else");
        assert_eq!(get(Some("t0ken")).await.status, 200);
    }
}
