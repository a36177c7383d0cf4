//! SIGTERM while receivers hang: the server ends in time, and interrupted attempts do not count as failures.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::audit::audit;
use crate::program::Program;
use crate::sink::Sink;
use crate::support::HANGS_AFTER;
use crate::{form, say};

const ENDPOINTS: usize = 10;
const IN_FLIGHT: usize = 50;

fn body(n: usize, name: &str) -> Value {
    json!({ "event_type": format!("stop.kind{}", n % ENDPOINTS), "resource_id": name, "payload": { "n": name } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_fifty_requests_in_flight_ends_in_time_and_loses_and_counts_nothing() {
    let mut program = Program::new();
    // Longer than the server waits for them at its end.
    program.set("POSTRIDER_DELIVERY__TIMEOUT", "30s");
    let sink = Sink::start().await;
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    let mut hooks = Vec::new();
    for n in 0..ENDPOINTS {
        hooks.push(running.webhook(&sink.url("/"), &format!("stop.kind{n}"), json!({})).await);
        // One that has answered once may have several requests at a time.
        assert_eq!(running.post("/v1/events", body(n, &format!("first-{n}"))).await.0, 202);
    }
    running.drained().await;
    sink.hold(true);
    let names: Vec<_> = (0..IN_FLIGHT).map(|n| format!("flying-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        assert_eq!(running.post("/v1/events", body(n, name)).await.0, 202);
    }
    assert!(sink.all_of(names.iter(), HANGS_AFTER).await.is_empty(), "all are in flight");
    let stopping = Instant::now();
    running.signal("TERM");
    assert_eq!(running.ended().await, Some(0), "{}", program.log());
    let took = stopping.elapsed();
    let found = audit(&program.data());
    assert!(found.lost(names.iter()).is_empty());
    let conn = Connection::open(program.data().join("postrider.db")).unwrap();
    let interrupted = "SELECT count(*) FROM attempts WHERE status = 'failed' AND error_kind = 'interrupted'";
    let interrupted: u32 = conn.query_row(interrupted, [], |row| row.get(0)).unwrap();
    drop(conn);
    assert_eq!(interrupted as usize, IN_FLIGHT);

    sink.hold(false);
    let (running, _) = program.serve(&token).await;
    let started = Instant::now();
    running.drained().await;
    let again = started.elapsed();
    for name in &names {
        assert_eq!(sink.of(name).unwrap().count, 2, "{name} was in flight and is sent again, once");
    }
    for hook in &hooks {
        let (_, found) = running.get(&format!("/v1/webhooks/{hook}")).await;
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["data"]["attributes"]["consecutive_failures"], 0, "{found}");
    }
    running.stop().await;
    let found = audit(&program.data());
    assert!(names.iter().all(|name| found.deliveries[name].is_delivered));
    say(
        "stop",
        format!(
            "{IN_FLIGHT} in flight: exit 0 after {took:.1?}, all interrupted, none counted, sent again within {again:.0?}"
        ),
    );
    assert!(took < form(Duration::from_secs(29), Duration::from_secs(25)), "{took:?}");
}
