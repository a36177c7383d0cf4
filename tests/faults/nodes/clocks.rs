//! Clocks that are wrong by an hour: those of nodes, and that of the database. A layer below each program (`clock.c`)
//! sets its time of day while it runs.

use std::time::Duration;

use postrider::domain::Timestamp;
use postrider::host::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::traffic::{Balancing, Posted, Traffic};
use super::{Cluster, Hooks, LEASE, NAMES, Nodes, arrived};
use crate::program::Program;
use crate::shim::WrongClock;
use crate::sink::Sink;
use crate::support::own_postgres::OwnPostgres;
use crate::support::postgres::is_installed;
use crate::support::{Receiver, in_time};
use crate::{form, is_full, say};

const HOUR: i64 = 3_600;
/// When a delivery is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How far times in requests may be off, in seconds: what a machine needs to send and to receive.
const OFF: (i64, i64) = (-5, 1);

/// Fails the first time for one of ten.
async fn sink() -> Sink {
    Sink::with(|key, count| if count == 1 && is_retried(key) { 500 } else { 200 }).await
}

fn is_retried(key: &str) -> bool {
    key.split('/').next().is_some_and(|name| name.ends_with('0'))
}

fn retried_soon() -> Value {
    json!({ "retry_schedule": ["2s", "1m"] })
}

fn seconds(off: (i64, i64), around: i64) -> bool {
    off.0 >= around + OFF.0 && off.1 <= around + OFF.1
}

/// Waits until every delivery has come as often as it should; gives when those that failed once came first, and how
/// long after that again.
async fn retries(sink: &Sink, keys: &[(String, Instant)]) -> Vec<(Instant, Duration)> {
    arrived(sink, keys).await;
    let mut arrivals = sink.arrivals();
    let mut found = Vec::new();
    for (key, _) in keys.iter().filter(|(key, _)| is_retried(key)) {
        in_time(&format!("the retry of {key}"), async {
            while sink.of(key).is_none_or(|arrivals| arrivals.count < 2) {
                arrivals.changed().await.expect("the sink lives");
            }
        })
        .await;
        let arrivals = sink.of(key).unwrap();
        found.push((arrivals.first, arrivals.last - arrivals.first));
    }
    found
}

/// Each came once, or twice where the first time failed.
fn nothing_came_twice(sink: &Sink) {
    let wanted = |key: &String| 1 + u32::from(is_retried(key));
    let odd: Vec<_> = sink.read_all(|seen| {
        seen.iter()
            .filter(|(key, one)| one.count > wanted(key))
            .map(|(key, one)| (key.clone(), one.count))
            .collect()
    });
    assert_eq!(odd, [], "nothing comes twice");
}

fn nothing_was_refused(posted: &Posted) {
    assert_eq!((&posted.refused, &posted.broken), (&vec![], &vec![]));
}

/// Nobody has lost what it holds.
async fn leases_hold(nodes: &Nodes) {
    assert_eq!(nodes.sum("postrider_cluster_shards_lost_total").await, 0.0, "leases hold");
    assert_eq!(nodes.sum("postrider_cluster_stale_results_total").await, 0.0, "results are in time");
}

/// What `doctor` says of the database's clock.
async fn verdict(program: &Program) -> String {
    let (_, said) = program.end_of(&["doctor", "--json"]).await;
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", program.log()));
    let checks = said["checks"].as_array().unwrap();
    let one = checks.iter().find(|one| one["check"] == "database clock").expect("it is checked");
    one["verdict"].as_str().unwrap().to_owned()
}

fn wait_slack() -> Duration {
    form(Duration::from_secs(5), Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_clocks_of_nodes_an_hour_apart_leases_retries_and_times_hold() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let (sink, began) = (sink().await, SystemClock.now());
    let clocks = NAMES.map(|name| WrongClock::new(cluster.program.dir(), name));
    clocks[0].set(HOUR);
    clocks[1].set(-HOUR);
    let mut running = Vec::new();
    for (name, clock) in NAMES.iter().zip(&clocks) {
        running.push(Some(cluster.start_with(name, &clock.env).await));
    }
    cluster.settled(3).await;
    let nodes = Nodes::of(running);
    let hooks = Hooks::create(&nodes, &sink, 3, retried_soon()).await;
    let mut traffic = Traffic::start(&nodes, Balancing::ToReady, "a", Duration::from_millis(form(60, 30)));
    for round in 0..form(1, 5) {
        traffic.more(100).await;
        // They are set while it runs, and the shards of one go to the others, whose clocks are hours away.
        let to = if round % 2 == 0 { -HOUR } else { HOUR };
        clocks[0].set(to);
        clocks[1].set(-to);
        traffic.more(100).await;
        leases_hold(&nodes).await;
        nodes.take(0).stop().await;
        nodes.put(0, cluster.start_with(NAMES[0], &clocks[0].env).await);
        cluster.settled(3).await;
        traffic.more(50).await;
        leases_hold(&nodes).await;
    }
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    let retries = retries(&sink, &keys).await;
    cluster.drained().await;
    let stamps = sink.take_stamps().expect("requests have a time");
    let created = "SELECT min(created_at), max(created_at), max(finished_at) FROM log";
    let row = &cluster.rows(created).await[0];
    let ended = SystemClock.now();
    let (first, last, finished): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let (soonest, latest) = bounds(&retries);
    say(
        "clocks, nodes",
        format!(
            "an hour ahead, an hour behind, and set to the other while they run: {} events accepted for {} webhooks each, \
             0 lost, none twice, no lease lost; {} retries after 2 s came after {soonest:.2?} to {latest:.2?}; times in \
             requests {} to {} s off",
            posted.accepted.len(),
            hooks.of_each,
            retries.len(),
            stamps.0,
            stamps.1,
        ),
    );
    nothing_was_refused(&posted);
    nothing_came_twice(&sink);
    assert!(seconds(stamps, 0), "webhook-timestamp is {stamps:?} s off");
    let is_meanwhile =
        |at: i64| (began.plus_ms(-1_000)..=ended.plus_ms(1_000)).contains(&Timestamp::from_millis(at));
    assert!([first, last, finished].into_iter().all(is_meanwhile), "{first}, {last}, {finished}");
    if soonest < RETRY.mul_f64(0.95) || latest >= RETRY + wait_slack() {
        panic!("{soonest:?} to {latest:?}: {:#?}", late(&cluster).await);
    }
    assert_eq!(verdict(&cluster.program).await, "ok");
    clocks[2].env.iter().for_each(|(name, value)| cluster.program.set(name, value));
    clocks[2].set(-HOUR);
    assert_eq!(verdict(&cluster.program).await, "problem", "by a machine whose clock is wrong");
    nodes.stop().await;
}

/// The retries that were sent late, for who looks for the reason.
async fn late(cluster: &Cluster) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', e.resource_id, 'shard', p.shard, 'begun', l.begun_at, 'due', l.due_at - l.begun_at, \
               'sent', l.attempted_at - l.begun_at) FROM log l JOIN events e ON e.id = l.event \
               JOIN endpoints p ON p.id = l.endpoint WHERE l.attempt = 2 AND l.attempted_at > l.due_at + 500";
    cluster.rows(sql).await.iter().map(|row| row.get(0)).collect()
}

/// The shortest and the longest.
fn bounds(retries: &[(Instant, Duration)]) -> (Duration, Duration) {
    let waits = || retries.iter().map(|(_, wait)| *wait);
    (waits().min().unwrap_or_default(), waits().max().unwrap_or_default())
}

/// Posts for twice the lease.
async fn lasts(traffic: &mut Traffic) {
    let begun = Instant::now();
    while begun.elapsed() < 2 * LEASE {
        traffic.more(10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_clock_of_the_database_is_set_by_an_hour_leases_and_retries_hold_and_people_are_told() {
    if !is_installed() {
        return;
    }
    let mut clock = None;
    let database = tokio::task::block_in_place(|| {
        OwnPostgres::start_with(|directory| clock.insert(WrongClock::new(directory, "database")).env.clone())
    });
    let clock = clock.expect("it was made for the directory");
    let mut cluster = Cluster::on(&database).await;
    let (sink, messages) = (sink().await, Receiver::start().await);
    let nodes = cluster.three().await;
    let hooks = Hooks::create(&nodes, &sink, 3, retried_soon()).await;
    let node = nodes.take(0);
    let target =
        json!({ "name": "People", "form": "json", "url": messages.url("/"), "kinds": ["clock_wrong"] });
    let (status, made) = node.post("/admin/api/alerts", target).await;
    assert_eq!(status, 201, "{made}");
    nodes.put(0, node);
    let mut traffic = Traffic::start(&nodes, Balancing::ToReady, "t", Duration::from_millis(form(60, 30)));
    traffic.more(50).await;
    assert_eq!(verdict(&cluster.program).await, "ok");

    clock.set(HOUR);
    let forward = Instant::now();
    lasts(&mut traffic).await;
    leases_hold(&nodes).await;
    assert_eq!(verdict(&cluster.program).await, "problem");
    sink.take_stamps();
    traffic.more(30).await;
    let stamps = sink.take_stamps().expect("requests have a time");
    assert!(seconds(stamps, HOUR), "the time is that of the database: {stamps:?}");
    if is_full() {
        // It is looked once a minute.
        let told = tokio::time::timeout(Duration::from_secs(150), async {
            while messages.count() == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        told.await.expect("people are told");
        let told = messages.next().await.json();
        assert_eq!(told["title"], "The clock of the database is 60 minutes ahead");
    }

    clock.set(0);
    let back = Instant::now();
    lasts(&mut traffic).await;
    leases_hold(&nodes).await;
    assert_eq!(verdict(&cluster.program).await, "ok");
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    let retries = retries(&sink, &keys).await;
    cluster.drained().await;
    let (_, latest) = bounds(&retries);
    let steady: Vec<_> = retries
        .into_iter()
        // Scheduled and due while the clock went on.
        .filter(|(first, _)| *first > forward + LEASE && *first + RETRY + LEASE < back)
        .collect();
    let (soonest, steady_latest) = bounds(&steady);
    say(
        "clocks, database",
        format!(
            "set forward by an hour and back: {} events accepted for {} webhooks each, 0 lost, none twice, no lease lost; \
             {} retries after 2 s came after {soonest:.2?} to {steady_latest:.2?} between, and after {latest:.2?} at most",
            posted.accepted.len(),
            hooks.of_each,
            steady.len(),
        ),
    );
    nothing_was_refused(&posted);
    nothing_came_twice(&sink);
    if is_full() {
        assert!(!steady.is_empty() && soonest >= RETRY.mul_f64(0.95) && steady_latest < RETRY + wait_slack());
    }
    // Set back, times go on at half their speed.
    assert!(latest < 2 * RETRY + wait_slack(), "{latest:?}");
    nodes.stop().await;
}
