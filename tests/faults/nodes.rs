//! Three servers on one PostgreSQL: one is killed, one is stopped for a while, one after the other is restarted. Only
//! where PostgreSQL is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::load::{Load, TYPES, event, type_of};
use crate::program::{Program, Running};
use crate::sink::Sink;
use crate::support::app::json_body;
use crate::support::postgres::{Database, is_installed};
use crate::support::{HANGS_AFTER, in_time};
use crate::{form, say};

const LEASE: Duration = Duration::from_secs(3);
/// What finds out that a node is gone may take besides.
const BESIDES: Duration = Duration::from_secs(2);
const NAMES: [&str; 3] = ["a", "b", "c"];

/// A database, and the program set up for it.
struct Cluster {
    program: Program,
    database: Database,
    token: String,
}

impl Cluster {
    async fn new() -> Option<Cluster> {
        if !is_installed() {
            return None;
        }
        let database = Database::new();
        let mut program = Program::new();
        program.set("POSTRIDER_STORAGE__URL", &database.server().url);
        program.set("POSTRIDER_STORAGE__CONNECTIONS", "6");
        program.set("POSTRIDER_ENCRYPTION_KEY", "a key of tests, with 32 characters or more");
        program.set("POSTRIDER_CLUSTER__LEASE", "3s");
        let token = program.key().await;
        Some(Cluster { program, database, token })
    }

    async fn start(&mut self, name: &str) -> Running {
        self.program.set("POSTRIDER_CLUSTER__NODE", name);
        self.program.serve(&self.token).await.0
    }

    async fn three(&mut self) -> Vec<Running> {
        let mut nodes = Vec::new();
        for name in NAMES {
            nodes.push(self.start(name).await);
        }
        self.settled(3).await;
        nodes
    }

    /// How many shards each node holds.
    async fn shares(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT n.name, count(s.shard) FROM nodes n LEFT JOIN shards s ON s.holder = n.id GROUP BY n.name";
        self.database.rows(sql).await.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until so many nodes hold their shares.
    async fn settled(&self, nodes: usize) {
        in_time("even shares", async {
            loop {
                let shares = self.shares().await;
                let (least, most) = (shares.values().min(), shares.values().max());
                let sum: i64 = shares.values().sum();
                if shares.len() == nodes
                    && sum == 256
                    && most.zip(least).is_some_and(|(most, least)| most - least <= 1)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

impl Cluster {
    /// Waits until nothing is pending.
    async fn drained(&self) {
        in_time("an empty queue", async {
            while !self.database.rows("SELECT 1 FROM queue LIMIT 1").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

/// Many webhooks, so that every node has some.
async fn webhooks(running: &Running, sink: &Sink, of_each: usize) {
    for kind in 0..TYPES {
        for _ in 0..of_each {
            running
                .webhook(&sink.url("/"), &type_of(kind), json!({ "retry_schedule": ["1s", "1s", "1s"] }))
                .await;
        }
    }
}

/// How often each of these came.
fn counts(sink: &Sink, names: &BTreeSet<String>) -> BTreeMap<String, u32> {
    sink.look(|seen| {
        names.iter().map(|name| (name.clone(), seen.get(name).map_or(0, |seen| seen.count))).collect()
    })
}

/// Waits until all came so often, or more.
async fn arrived(sink: &Sink, names: &BTreeSet<String>, times: u32) {
    let mut arrivals = sink.arrivals();
    let all = async {
        while counts(sink, names).values().any(|count| *count < times) {
            arrivals.changed().await.expect("the sink lives");
        }
    };
    if tokio::time::timeout(HANGS_AFTER, all).await.is_err() {
        let missing: Vec<_> = counts(sink, names).into_iter().filter(|(_, count)| *count < times).collect();
        panic!("{} never arrived: {:?}", missing.len(), &missing[..missing.len().min(10)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_under_load_loses_nothing_and_is_replaced_within_its_lease() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let mut nodes = cluster.three().await;
    webhooks(&nodes[0], &sink, 6).await;
    let mut ledger = BTreeSet::new();
    let mut longest = Duration::ZERO;
    for kill in 0..form(1, 50) {
        let mut loads: Vec<Load> =
            nodes.iter().enumerate().map(|(at, node)| Load::start(node, &format!("{kill}-{at}"))).collect();
        loads[0].accepted(150).await;
        let at = kill % 3;
        nodes.remove(at).kill();
        let killed = Instant::now();
        loads[(at + 1) % 3].accepted(300).await;
        for load in loads {
            ledger.extend(load.end().await.accepted);
        }
        arrived(&sink, &ledger, 6).await;
        longest = longest.max(killed.elapsed());
        cluster.settled(2).await;
        nodes.insert(at, cluster.start(NAMES[at]).await);
        cluster.settled(3).await;
    }
    say(
        "nodes, killed",
        format!("{} accepted, all arrived; the last {longest:?} after a kill", ledger.len()),
    );
    // The load goes on for a moment after the kill.
    let most = LEASE + BESIDES + form(Duration::from_secs(10), Duration::from_secs(1));
    assert!(longest < most, "the last arrived {longest:?} after the kill");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_for_longer_than_its_lease_begins_nothing_of_what_it_lost() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    webhooks(&nodes[1], &sink, 6).await;
    // Requests hang, and more are behind them in every node's memory.
    sink.hold(true);
    let mut load = Load::start(&nodes[1], "held");
    load.accepted(400).await;
    let names = load.end().await.accepted;
    let mut arrivals = sink.arrivals();
    in_time("requests in flight at all nodes", async {
        while sink.total() < 24 {
            arrivals.changed().await.expect("the sink lives");
        }
    })
    .await;
    nodes[0].signal("STOP");
    let stopped = Instant::now();
    let in_flight = counts(&sink, &names);
    sink.hold(false);
    cluster.settled(2).await;
    arrived(&sink, &names, 6).await;
    tokio::time::sleep_until(stopped + 2 * LEASE).await;
    let before = counts(&sink, &names);
    nodes[0].signal("CONT");
    cluster.settled(3).await;
    assert_eq!(counts(&sink, &names), before, "it began nothing of what it had lost");
    let twice = before.iter().filter(|(name, count)| **count > 6 + in_flight[*name]).count();
    assert_eq!(twice, 0, "only what was in flight came again");
    let again = before.values().map(|count| count - 6).sum::<u32>();
    say("nodes, stopped", format!("{} accepted, {again} requests came again", names.len()));
    for node in nodes {
        node.signal("TERM");
        assert_eq!(node.ended().await, Some(0));
    }
}

/// A way to the database that can be cut.
struct Cable {
    directory: TempDir,
    is_cut: watch::Sender<bool>,
    carrying: JoinHandle<()>,
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Cable {
    fn new(database: &Database) -> Cable {
        const SOCKET: &str = ".s.PGSQL.5432";
        let (directory, to) = (TempDir::new().unwrap(), database.socket_directory().join(SOCKET));
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let is_cut = watch::Sender::new(false);
        let cut = is_cut.clone();
        let carrying = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, mut cut) = (to.clone(), cut.subscribe());
                tokio::spawn(async move {
                    let Ok(mut far) = UnixStream::connect(to).await else { return };
                    tokio::select! {
                        _ = cut.wait_for(|is_cut| *is_cut) => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Cable { directory, is_cut, carrying }
    }

    fn url(&self, database: &Database) -> String {
        let url = database.server().url;
        let (base, _) = url.split_once("?host=").unwrap();
        format!("{base}?host={}", self.directory.path().display())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_begins_nothing_after_its_lease_and_its_late_results_are_stale() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let cable = Cable::new(&cluster.database);
    let direct = cluster.database.server().url;
    cluster.program.set("POSTRIDER_STORAGE__URL", &cable.url(&cluster.database));
    let mut nodes = vec![cluster.start("a").await];
    cluster.program.set("POSTRIDER_STORAGE__URL", &direct);
    nodes.push(cluster.start("b").await);
    nodes.push(cluster.start("c").await);
    cluster.settled(3).await;
    webhooks(&nodes[1], &sink, 6).await;
    sink.hold(true);
    let mut load = Load::start(&nodes[1], "cut");
    load.accepted(200).await;
    let names = load.end().await.accepted;
    let mut arrivals = sink.arrivals();
    in_time("requests in flight at all nodes", async {
        while sink.total() < 24 {
            arrivals.changed().await.expect("the sink lives");
        }
    })
    .await;
    let in_flight = counts(&sink, &names);
    cable.is_cut.send_replace(true);
    let cut = Instant::now();
    cluster.settled(2).await;
    let taken = cut.elapsed();
    assert!(taken < LEASE + BESIDES + form(Duration::from_secs(5), Duration::ZERO));
    assert_eq!(nodes[0].get("/readyz").await.0, 503);
    assert_eq!(nodes[0].get("/healthz").await.0, 200);
    sink.hold(false);
    arrived(&sink, &names, 6).await;
    tokio::time::sleep_until(cut + 3 * LEASE).await;
    let before = counts(&sink, &names);
    cable.is_cut.send_replace(false);
    cluster.settled(3).await;
    cluster.drained().await;
    assert_eq!(counts(&sink, &names), before, "it began nothing of what it had lost");
    let twice = before.iter().filter(|(name, count)| **count > 6 + in_flight[*name]).count();
    assert_eq!(twice, 0, "only what was in flight came again");
    assert!(cluster.program.log().contains("a result was discarded"), "{}", cluster.program.log());
    say("nodes, cut off", format!("{} accepted, taken over {taken:?} after the cut", names.len()));
}

/// Sends requests only to servers that are ready, as of the last tenth of a second.
struct Balancer {
    ready: Arc<Mutex<Vec<reqwest::RequestBuilder>>>,
    looking: JoinHandle<()>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Balancer {
    fn start(nodes: Arc<Mutex<Vec<Option<Running>>>>) -> Balancer {
        let ready: Arc<Mutex<Vec<reqwest::RequestBuilder>>> = Arc::default();
        let looking = tokio::spawn({
            let ready = ready.clone();
            async move {
                loop {
                    let requests: Vec<_> = {
                        let nodes = nodes.lock().unwrap();
                        let of = |node: &Running| {
                            (node.request(Method::GET, "/readyz"), node.request(Method::POST, "/v1/events"))
                        };
                        nodes.iter().flatten().map(of).collect()
                    };
                    let mut good = Vec::new();
                    for (look, post) in requests {
                        let answer = look.timeout(Duration::from_millis(500)).send().await;
                        if answer.is_ok_and(|answer| answer.status().as_u16() == 200) {
                            good.push(post);
                        }
                    }
                    *ready.lock().unwrap() = good;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Balancer { ready, looking }
    }

    fn next(&self, n: usize) -> Option<reqwest::RequestBuilder> {
        let ready = self.ready.lock().unwrap();
        ready.get(n % ready.len().max(1)).and_then(reqwest::RequestBuilder::try_clone)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_refuses_no_request_and_sends_nothing_twice() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    webhooks(&nodes[0], &sink, 3).await;
    let nodes = Arc::new(Mutex::new(nodes.into_iter().map(Some).collect::<Vec<_>>()));
    let balancer = Arc::new(Balancer::start(nodes.clone()));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for client in 0..4 {
        let (balancer, is_over) = (balancer.clone(), is_over.clone());
        clients.push(tokio::spawn(async move {
            let (mut accepted, mut refused) = (BTreeSet::new(), Vec::new());
            for n in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let Some(request) = balancer.next(client + n) else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let name = format!("r{client}-{n}");
                let body = event(&name, (client + n) % TYPES, 0).to_string();
                match json_body(request, body).send().await {
                    Ok(answer) if answer.status().as_u16() == 202 => {
                        accepted.insert(name);
                    }
                    Ok(answer) => refused.push(answer.status().to_string()),
                    Err(error) => refused.push(error.to_string()),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (accepted, refused)
        }));
    }
    for (at, name) in NAMES.iter().enumerate().take(form(2, 3)) {
        let node = nodes.lock().unwrap()[at].take().expect("it runs");
        node.stop().await;
        let next = cluster.start(name).await;
        nodes.lock().unwrap()[at] = Some(next);
        cluster.settled(3).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut names, mut refused) = (BTreeSet::new(), Vec::new());
    for client in clients {
        let (accepted, not) = client.await.unwrap();
        names.extend(accepted);
        refused.extend(not);
    }
    assert_eq!(refused, Vec::<String>::new(), "of {} requests", names.len());
    arrived(&sink, &names, 3).await;
    let twice: Vec<_> = counts(&sink, &names).into_iter().filter(|(_, count)| *count != 3).collect();
    assert_eq!(twice, [], "each comes once to each webhook");
    say("nodes, restarted", format!("{} accepted, none refused, none twice", names.len()));
    let left: Vec<_> = nodes.lock().unwrap().iter_mut().filter_map(Option::take).collect();
    for node in &left {
        node.signal("TERM");
    }
    for node in left {
        assert_eq!(node.ended().await, Some(0));
    }
}
