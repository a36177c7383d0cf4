//! A million deliveries are pending when the server is killed: the next start takes no longer than usual,
//! memory stays small until all are sent, and fresh events do not wait behind them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::program::{Program, Running};
use crate::sink::Sink;
use crate::support::app::json_body;
use crate::{form, say};

/// Unless `POSTRIDER_FAULTS_ENDPOINTS` says otherwise.
const ENDPOINTS: usize = 200;
/// Events in a request.
const BATCH: usize = 1_000;
const MEMORY_KIB: u64 = 150 << 10;

/// Whether a batch was accepted. A busy disk may take its time, which is not what is measured here.
async fn is_taken(running: &Running, events: &[Value]) -> bool {
    let request = running.request(Method::POST, "/v1/events/batch").timeout(Duration::from_secs(600));
    json_body(request, json!({ "events": events }).to_string()).send().await.unwrap().status() == 202
}

/// A number that the environment may set.
fn given(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

/// Posts `count` events for all endpoints in turn.
async fn fill(running: &Arc<Running>, count: usize, endpoints: usize) {
    let clients = (0..4).map(|client| {
        let running = running.clone();
        tokio::spawn(async move {
            for batch in (client..count / BATCH).step_by(4) {
                let event = |i: usize| {
                    let n = batch * BATCH + i;
                    json!({ "event_type": format!("backlog.kind{}", n % endpoints), "payload": { "n": format!("old-{n}") } })
                };
                let events: Vec<Value> = (0..BATCH).map(event).collect();
                // Too much may wait for the disk at once.
                while !is_taken(&running, &events).await {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        })
    });
    futures_util::future::join_all(clients).await.into_iter().for_each(|done| done.unwrap());
}

async fn set_all(running: &Running, ids: &[String], status: &str) {
    for id in ids {
        let patch = running.request(Method::PATCH, &format!("/v1/webhooks/{id}"));
        let answer = json_body(patch, json!({ "status": status }).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_slows_neither_the_start_nor_fresh_events() {
    // A busy machine may be given less.
    let count = given("POSTRIDER_FAULTS_BACKLOG").unwrap_or(form(20_000, 1_000_000));
    let endpoints = given("POSTRIDER_FAULTS_ENDPOINTS").unwrap_or(ENDPOINTS);
    let program = Program::new();
    let (old, fresh) = (Sink::start().await, Sink::start().await);
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    let mut ids = Vec::new();
    for n in 0..endpoints {
        // Requests that are held for too long before the kill are not to wait for minutes after it.
        let fields = json!({ "retry_schedule": ["1s", "1s", "1s"] });
        ids.push(running.webhook(&old.url("/"), &format!("backlog.kind{n}"), fields).await);
    }
    // Nothing is sent, and nothing fails, for as long as it takes to post.
    set_all(&running, &ids, "paused").await;
    running.webhook(&fresh.url("/"), "fresh.event", json!({})).await;
    old.hold(true);
    let running = Arc::new(running);
    let filling = Instant::now();
    fill(&running, count, endpoints).await;
    let filled = filling.elapsed();
    let waiting = running.metric("postrider_queue_depth").await;
    assert!(waiting >= count as f64, "{waiting} wait");
    set_all(&running, &ids, "active").await;
    Arc::into_inner(running).expect("the clients have ended").kill();
    old.hold(false);

    let (running, ready) = program.serve(&token).await;
    let draining = Instant::now();
    // How long each fresh event took, and how many deliveries of the backlog arrived in that time.
    let (mut waits, mut overtaken) = (Vec::new(), Vec::new());
    let limit = form(Duration::from_secs(120), Duration::from_secs(3_000));
    while old.read_all(|seen| seen.len()) < count {
        assert!(draining.elapsed() < limit, "{} of {count} came", old.read_all(|seen| seen.len()));
        let name = format!("fresh-{}", waits.len());
        let body = json!({ "event_type": "fresh.event", "payload": { "n": name } });
        let (posted, before) = (Instant::now(), old.total());
        assert_eq!(running.post("/v1/events", body).await.0, 202);
        assert!(
            fresh.all_of([name.clone()].iter(), Duration::from_secs(30)).await.is_empty(),
            "{name} waits"
        );
        overtaken.push(old.total() - before);
        waits.push(fresh.of(&name).unwrap().first - posted);
        tokio::time::sleep(Duration::from_millis(form(20, 200))).await;
    }
    let drained = draining.elapsed();
    assert!(waits.len() > 1, "nothing fresh was sent while the backlog was there");
    running.drained().await;
    let (peak, again) = (running.peak_kib(), old.total() - count as u64);
    running.stop().await;
    waits.sort_unstable();
    overtaken.sort_unstable();
    let (p99, most) = (waits[waits.len() * 99 / 100], overtaken[overtaken.len() - 1]);
    say(
        "backlog",
        format!(
            "{count} deliveries to {endpoints} endpoints, made in {filled:.0?}; after kill -9 ready in {ready:.0?}, all sent in \
             {drained:.0?}, {:.0} a second ({again} requests more: interrupted by the kill, or timed out before it), peak memory {:.1} MiB; \
             {} fresh events meanwhile: p50 {:.1?}, p99 {p99:.1?}, max {:.1?} from post to arrival, \
             at most {most} of the backlog before one",
            count as f64 / drained.as_secs_f64(),
            peak as f64 / 1024.0,
            waits.len(),
            waits[waits.len() / 2],
            waits[waits.len() - 1],
        ),
    );
    assert!(ready < form(Duration::from_secs(15), Duration::from_secs(3)), "ready only after {ready:?}");
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    // The short form runs beside other work, so it counts what overtook a fresh event; in turns these are the
    // commits in front of it, in order of age all that is left.
    assert!(most < form(count / 4, usize::MAX) as u64, "{most} of {count} were sent before a fresh event");
    assert!(p99 < form(Duration::MAX, Duration::from_secs(1)), "fresh events wait for {p99:?}");
}
