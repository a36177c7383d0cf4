//! Several servers on one PostgreSQL, with a lease of 3 s, and what may happen to them. Only where PostgreSQL is
//! installed.
//!
//! * [`killed`]: `kill -9` of a node. [`stopped`]: SIGSTOP. [`cut`]: a node without its database. [`restarted`]: all of
//!   them, one after the other.
//! * [`database`]: the database is killed, shut down, and away for long. [`clocks`]: clocks that are wrong, that of the
//!   database included. [`notices`]: notifications do not arrive. [`versions`]: a newer version replaces the nodes.
//! * [`traffic`]: clients that post through a balancer. [`cable`]: a path to the database that can be cut.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_postgres::{NoTls, Row};

use crate::load::{TYPES, type_of};
use crate::program::{Program, Running};
use crate::sink::{Arrivals, Sink};
use crate::support::own_postgres::OwnPostgres;
use crate::support::postgres::{Database, is_installed};
use crate::support::{HANGS_AFTER, in_time};

mod cable;
mod clocks;
mod cut;
mod database;
mod killed;
mod notices;
mod restarted;
mod stopped;
mod traffic;
mod versions;

const LEASE: Duration = Duration::from_secs(3);
/// What finds out that a node is gone may take besides.
const BESIDES: Duration = Duration::from_secs(2);
/// How soon all goes on when the database is back.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);
const NAMES: [&str; 3] = ["a", "b", "c"];

/// The nodes, in the order of [`NAMES`]; none where one is down.
#[derive(Clone)]
struct Nodes(Arc<Mutex<Vec<Option<Running>>>>);

impl Nodes {
    fn of(nodes: Vec<Option<Running>>) -> Nodes {
        Nodes(Arc::new(Mutex::new(nodes)))
    }

    fn take(&self, at: usize) -> Running {
        self.0.lock().unwrap()[at].take().expect("it runs")
    }

    fn put(&self, at: usize, node: Running) {
        self.0.lock().unwrap()[at] = Some(node);
    }

    /// Sends a signal to one that goes on afterwards.
    fn signal(&self, at: usize, name: &str) {
        self.0.lock().unwrap()[at].as_ref().expect("it runs").signal(name);
    }

    fn request(&self, at: usize, path: &str) -> reqwest::RequestBuilder {
        self.0.lock().unwrap()[at].as_ref().expect("it runs").request(reqwest::Method::GET, path)
    }

    /// Status of a GET.
    async fn get(&self, at: usize, path: &str) -> u16 {
        in_time(path, self.request(at, path).send()).await.unwrap().status().as_u16()
    }

    /// The sum of a figure of `/metrics` over all that run.
    async fn sum(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for at in 0..NAMES.len() {
            let text =
                in_time("metrics", self.request(at, "/metrics").send()).await.unwrap().text().await.unwrap();
            let line = text.lines().find(|line| line.starts_with(name));
            let line = line.unwrap_or_else(|| panic!("there is no {name} in {text}"));
            sum += line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        }
        sum
    }

    /// Waits until the answer of `/readyz` is this one.
    async fn ready(&self, at: usize, status: u16) {
        in_time("the answer of /readyz", async {
            while self.get(at, "/readyz").await != status {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// SIGTERM for all at once; each must end with 0.
    async fn stop(&self) {
        let nodes: Vec<_> = self.0.lock().unwrap().iter_mut().filter_map(Option::take).collect();
        for node in &nodes {
            node.signal("TERM");
        }
        for node in nodes {
            assert_eq!(node.ended().await, Some(0));
        }
    }
}

/// A database, and the program set up for it.
struct Cluster {
    program: Program,
    url: String,
    token: String,
    _database: Option<Database>,
}

impl Cluster {
    /// On the server that all tests share. `None`: PostgreSQL is not installed.
    async fn new() -> Option<Cluster> {
        if !is_installed() {
            return None;
        }
        let database = Database::new();
        let cluster = Cluster::at(&database.server().url).await;
        Some(Cluster { _database: Some(database), ..cluster })
    }

    /// On a server of the test's own.
    async fn on(database: &OwnPostgres) -> Cluster {
        Cluster::at(&database.url()).await
    }

    async fn at(url: &str) -> Cluster {
        let mut program = Program::new();
        program.set("POSTRIDER_STORAGE__URL", url);
        program.set("POSTRIDER_STORAGE__CONNECTIONS", "6");
        program.set("POSTRIDER_ENCRYPTION_KEY", "a key of tests, with 32 characters or more");
        program.set("POSTRIDER_CLUSTER__LEASE", "3s");
        let token = program.key().await;
        Cluster { program, url: url.to_owned(), token, _database: None }
    }

    async fn start(&mut self, name: &str) -> Running {
        self.program.set("POSTRIDER_CLUSTER__NODE", name);
        self.program.serve(&self.token).await.0
    }

    /// Starts a node with something else in its environment.
    async fn start_with(&mut self, name: &str, env: &[(String, String)]) -> Running {
        let before: Vec<_> = env.iter().map(|(name, _)| (name.clone(), self.program.get(name))).collect();
        env.iter().for_each(|(name, value)| self.program.set(name, value));
        let running = self.start(name).await;
        for (name, value) in before {
            match value {
                Some(value) => self.program.set(&name, &value),
                None => self.program.unset(&name),
            }
        }
        running
    }

    async fn three(&mut self) -> Nodes {
        let mut nodes = Vec::new();
        for name in NAMES {
            nodes.push(Some(self.start(name).await));
        }
        self.settled(3).await;
        Nodes::of(nodes)
    }

    /// The rows of a query.
    async fn rows(&self, sql: &str) -> Vec<Row> {
        let (client, connection) =
            tokio_postgres::connect(&self.url, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// How many shards each node holds.
    async fn shares(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT n.name, count(s.shard) FROM nodes n LEFT JOIN shards s ON s.holder = n.id GROUP BY n.name";
        self.rows(sql).await.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Waits until so many nodes hold their shares.
    async fn settled(&self, nodes: usize) {
        let settled = async {
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
        };
        if tokio::time::timeout(HANGS_AFTER, settled).await.is_err() {
            let sql = "SELECT n.name || ' ' || n.id || ' ' || n.process || ' ' || n.renewal || ' holds ' || count(s.shard) \
                       FROM nodes n LEFT JOIN shards s ON s.holder = n.id GROUP BY n.id";
            let found: Vec<String> = self.rows(sql).await.iter().map(|row| row.get(0)).collect();
            panic!("no even shares of {nodes} nodes: {found:#?}\n{}", self.program.log());
        }
    }

    /// Waits until nothing is pending.
    async fn drained(&self) {
        in_time("an empty queue", async {
            while !self.rows("SELECT 1 FROM queue LIMIT 1").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Waits until notifications reach all nodes, as they say.
    async fn listening(&self) {
        in_time("notifications at all nodes", async {
            while !self.rows("SELECT 1 FROM nodes WHERE NOT is_listening").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// The directory of the database's socket.
    fn socket_directory(&self) -> PathBuf {
        self.url.split_once("?host=").expect("it is reached by a socket").1.into()
    }
}

/// Webhooks, each with a path of its own at the sink: so many for each type of events.
struct Hooks {
    of_each: usize,
}

impl Hooks {
    async fn create(nodes: &Nodes, sink: &Sink, of_each: usize, fields: Value) -> Hooks {
        let node = nodes.take(0);
        for (kind, n) in (0..TYPES).flat_map(|kind| (0..of_each).map(move |n| (kind, n))) {
            node.webhook(&sink.url(&path(kind, n)), &type_of(kind), fields.clone()).await;
        }
        nodes.put(0, node);
        Hooks { of_each }
    }

    /// Their paths.
    fn paths(&self) -> impl Iterator<Item = String> {
        let of_each = self.of_each;
        (0..TYPES).flat_map(move |kind| (0..of_each).map(move |n| path(kind, n)))
    }

    /// What must arrive of an event, as the sink names it.
    fn keys(&self, name: &str, kind: usize) -> impl Iterator<Item = String> {
        (0..self.of_each).map(move |n| format!("{name}{}", path(kind, n)))
    }

    /// What must arrive of these events, and when each was accepted.
    fn all_keys(&self, posted: &traffic::Posted) -> Vec<(String, Instant)> {
        let of_event = |(name, accepted): (&String, &traffic::Accepted)| {
            self.keys(name, accepted.kind).map(|key| (key, accepted.at)).collect::<Vec<_>>()
        };
        posted.accepted.iter().flat_map(of_event).collect()
    }
}

fn path(kind: usize, n: usize) -> String {
    format!("/{kind}.{n}")
}

/// Retried soon, should it fail.
fn plain() -> Value {
    json!({ "retry_schedule": ["1s", "1s", "1s"] })
}

/// Waits until all have come; nothing may come for so long that it counts as lost.
async fn arrived(sink: &Sink, keys: &[(String, Instant)]) {
    let mut arrivals = sink.arrivals();
    for (key, _) in keys {
        in_time(&format!("the arrival of {key}"), async {
            while sink.of(key).is_none() {
                arrivals.changed().await.expect("the sink lives");
            }
        })
        .await;
    }
}

/// How often each of these has come.
fn counts(sink: &Sink, keys: &[(String, Instant)]) -> BTreeMap<String, u32> {
    let count = |key: &String| sink.of(key).map_or(0, |arrivals| arrivals.count);
    keys.iter().map(|(key, _)| (key.clone(), count(key))).collect()
}

/// Waits until requests of events with such names hang at all webhooks.
async fn hanging(sink: &Sink, hooks: &Hooks, prefix: &str) {
    let mut arrivals = sink.arrivals();
    let hang = |path: &String| {
        sink.read_all(|seen| seen.keys().any(|key| key.starts_with(prefix) && key.ends_with(path.as_str())))
    };
    in_time("requests in flight at all nodes", async {
        while !hooks.paths().all(|path| hang(&path)) {
            arrivals.changed().await.expect("the sink lives");
        }
    })
    .await;
}

/// What came more than once.
fn repeated(sink: &Sink) -> Vec<(String, Arrivals)> {
    sink.read_all(|seen| {
        let repeated = seen.iter().filter(|(_, arrivals)| arrivals.count > 1);
        repeated.map(|(key, arrivals)| (key.clone(), *arrivals)).collect()
    })
}

/// How long the last of these waited between the 202 and its arrival.
fn longest_wait(sink: &Sink, keys: &[(String, Instant)]) -> Duration {
    let wait = |(key, accepted): &(String, Instant)| {
        sink.of(key).map_or(Duration::ZERO, |arrivals| arrivals.first.saturating_duration_since(*accepted))
    };
    keys.iter().map(wait).max().unwrap_or_default()
}

/// The longest time in which nothing came at one webhook, between its first and its last arrival.
fn longest_gap(sink: &Sink, hooks: &Hooks) -> Duration {
    let mut of_each: BTreeMap<String, Vec<Instant>> = hooks.paths().map(|path| (path, Vec::new())).collect();
    sink.read_all(|seen| {
        for (key, arrivals) in seen {
            let path = key.find('/').map(|at| &key[at..]);
            if let Some(times) = path.and_then(|path| of_each.get_mut(path)) {
                times.push(arrivals.first);
            }
        }
    });
    let mut longest = Duration::ZERO;
    for times in of_each.values_mut() {
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        longest = longest.max(gaps.max().unwrap_or_default());
    }
    longest
}
