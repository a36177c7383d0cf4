//! A receiver that is down for a night, and one that limits: nobody has to do anything, nothing is lost, and the
//! others feel nothing. The night is one of the test's clock; requests and waits are real.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::domain::Timestamp;
use postrider::host::clock::Clock as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::app::Webhook;
use crate::support::{Receiver, Reply, TestApp, in_time};
use crate::{form, say};

const MINUTE_MS: i64 = 60_000;
/// Webhooks that work all night.
const HEALTHY: usize = 19;

/// What one night was like.
struct Night {
    /// From the post of an event until a healthy receiver had it.
    delays: Vec<Duration>,
    probes: usize,
}

fn p99(delays: &mut [Duration]) -> Duration {
    delays.sort_unstable();
    delays[(delays.len() - 1) * 99 / 100]
}

async fn hold(app: &TestApp, hook: &Webhook) -> Value {
    app.webhook_attributes(&hook.id).await["hold"].clone()
}

/// Waits until an endpoint on hold waits for a later time, and gives that time; `None`: it is not on hold.
async fn next_probe(app: &TestApp, hook: &Webhook) -> Option<Timestamp> {
    let mut results = app.server().results();
    in_time("the result of a probe", async {
        loop {
            results.mark_unchanged();
            let hold = hold(app, hook).await;
            if hold.is_null() {
                return None;
            }
            let at = Timestamp::parse(hold["next_probe_at"].as_str().unwrap()).unwrap();
            if at > app.clock.now() {
                return Some(at);
            }
            results.changed().await.expect("the server runs");
        }
    })
    .await
}

/// How many deliveries of a webhook have this status.
pub(crate) async fn count_of(app: &TestApp, hook: &Webhook, status: &str) -> u64 {
    let path = format!("/v1/webhooks/{}/deliveries?per_page=1&status={status}", hook.id);
    app.get(&path).await.json()["meta"]["total"].as_u64().unwrap()
}

/// Lets everything that is pending for a webhook be sent: while it is on hold, the clock goes on to its next probe.
pub(crate) async fn send_all(app: &TestApp, hook: &Webhook) {
    let mut results = app.server().results();
    in_time("the deliveries", async {
        loop {
            results.mark_unchanged();
            if count_of(app, hook, "pending").await == 0 {
                return;
            }
            match next_probe(app, hook).await {
                Some(at) => app.clock.advance_ms(at.as_millis() - app.clock.now().as_millis()),
                None => results.changed().await.expect("the server runs"),
            }
        }
    })
    .await;
}

/// A night with an event a minute for each webhook; one of them is down, or none.
async fn night(minutes: usize, is_down: bool) -> Night {
    let app = TestApp::start().await;
    let mut healthy = Vec::new();
    for _ in 0..HEALTHY {
        let receiver = Receiver::start().await;
        app.webhook(&receiver.url("/"), json!({})).await;
        healthy.push(receiver);
    }
    let down = Receiver::down();
    let hook =
        app.webhook(&down.url("/"), json!({ "status": if is_down { "active" } else { "disabled" } })).await;
    let mut delays = Vec::with_capacity(minutes * HEALTHY);
    for minute in 0..minutes {
        let posted = Instant::now();
        app.post_event("night.minute", json!(minute)).await;
        for receiver in &healthy {
            receiver.next().await;
            delays.push(posted.elapsed());
        }
        app.clock.advance_ms(MINUTE_MS);
        if is_down && minute > 10 {
            assert!(next_probe(&app, &hook).await.is_some(), "it is on hold all the time");
        }
    }
    if !is_down {
        return Night { delays, probes: 0 };
    }
    let path = format!("/v1/webhooks/{}/deliveries?per_page=200", hook.id);
    let before = app.webhook_attributes(&hook.id).await;
    assert_eq!(before["status"], "active");
    assert_eq!(before["hold"]["waiting"], minutes, "nothing is lost and nothing is exhausted");
    let failed = app.get(&format!("{path}&status=failed")).await.json();
    let probes = usize::try_from(failed["meta"]["total"].as_u64().unwrap()).unwrap();

    let receiver = down.up();
    let back_at = app.clock.now();
    let probe_at = Timestamp::parse(before["hold"]["next_probe_at"].as_str().unwrap()).unwrap();
    app.clock.advance_ms(probe_at.as_millis() - back_at.as_millis());
    // The clock stands still from here: all that waits is sent at the moment of the successful probe.
    let arrived = receiver.next_n(minutes).await;
    let mut seen: Vec<_> = arrived.iter().map(|request| request.json().as_u64().unwrap()).collect();
    let attempts = |request: &crate::support::receiver::Received| {
        request.header("x-webhook-attempt").map_or(1, |n| n.parse::<u32>().unwrap_or(1))
    };
    // What was a probe before is due with a later probe; the others come oldest first, ten at once.
    let fresh: Vec<_> =
        arrived.iter().filter(|r| attempts(r) == 1).map(|r| r.json().as_i64().unwrap()).collect();
    let disorder = fresh.windows(2).filter(|pair| pair[1] < pair[0] - 20).count();
    assert_eq!(disorder, 0, "in order of age: {fresh:?}");
    seen.sort_unstable();
    assert_eq!(seen, (0..minutes as u64).collect::<Vec<_>>(), "each once");
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    let exhausted = app.get(&format!("{path}&status=exhausted&status=cancelled")).await.json();
    assert_eq!(exhausted["meta"]["total"], 0);
    assert_eq!(hold(&app, &hook).await, Value::Null);
    Night { delays, probes }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_of_outage_loses_nothing_and_costs_nobody_a_click() {
    let minutes = form(90, 8 * 60);
    let mut without = night(minutes, false).await;
    let mut with = night(minutes, true).await;
    let (alone, beside) = (p99(&mut without.delays), p99(&mut with.delays));
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    say(
        "outage",
        format!(
            "{HEALTHY} webhooks beside one that was down for {minutes} min: {minutes} of {minutes} events delivered \
             when it was back, {} probes, 0 exhausted; p99 of the others {beside:.1?}, without the outage \
             {alone:.1?} ({ratio:.2} x)",
            with.probes
        ),
    );
    assert!(ratio <= form(2.5, 1.1), "the others wait: {ratio:.2} x");
}

/// A receiver's limit: so many requests in a window, counted by the test's clock.
struct Limit {
    began_at: Timestamp,
    left: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_limits_gets_everything_at_its_own_pace() {
    const AT_ONCE: u32 = 5;
    const WINDOW_MS: i64 = 2_000;
    let events = form(150_u32, 1_000);
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (clock, began_at) = (app.clock.clone(), app.clock.now());
    let limit = Arc::new(Mutex::new(Limit { began_at, left: AT_ONCE }));
    receiver.reply_with(move |_| {
        let (mut limit, now) = (limit.lock().unwrap(), clock.now());
        let passed_ms = now.as_millis() - limit.began_at.as_millis();
        if passed_ms >= WINDOW_MS {
            *limit = Limit { began_at: now, left: AT_ONCE };
        }
        match limit.left.checked_sub(1) {
            Some(left) => {
                limit.left = left;
                Reply::ok()
            }
            None => {
                let wait_s = (WINDOW_MS - passed_ms + 999) / 1_000;
                Reply::status(429).header("retry-after", &wait_s.max(1).to_string())
            }
        }
    });
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await;
    for n in 0..events {
        app.post_event("limited", json!(n)).await;
    }
    let total = async |status: &str| count_of(&app, &hook, status).await;
    send_all(&app, &hook).await;
    let took_s = (app.clock.now().as_millis() - began_at.as_millis()) as f64 / 1_000.0;
    let pace = f64::from(events) / took_s.max(1.0);
    let own = f64::from(AT_ONCE) / (WINDOW_MS as f64 / 1_000.0);
    let (delivered, limited) = (total("delivered").await, total("failed").await);
    say(
        "limits",
        format!(
            "{delivered} of {events} events delivered at {pace:.2}/s of the receiver's {own:.2}/s, {limited} answers of 429"
        ),
    );
    assert_eq!((delivered, total("exhausted").await), (u64::from(events), 0));
    let now = app.webhook_attributes(&hook.id).await;
    assert_eq!(
        (&now["status"], &now["consecutive_failures"]),
        (&json!("active"), &json!(0)),
        "429 counts nowhere"
    );
    assert!(pace >= 0.9 * own, "{pace:.2}/s of {own:.2}/s");
}
