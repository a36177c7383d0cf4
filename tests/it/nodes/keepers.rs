//! Keepers on a real PostgreSQL, driven step by step: their clocks stand still unless a test moves them.

use postrider::cluster::Leadership as _;
use postrider::domain::ActivityKind;
use postrider::domain::access::app::DEFAULT_APP;
use postrider::store::location::{Location, Purpose};
use postrider::store::{Backend, Finished, Seen, SentAs, Taken};
use tokio_postgres::{Client, NoTls};

use super::*;
use crate::store::{activity, an_endpoint, an_event, answered, now, rules, settings};
use crate::support::in_time;
use crate::support::postgres::{Database, is_installed};

/// Nodes and the database that they share.
struct Cluster {
    database: Database,
    nodes: Vec<(Node, Arc<dyn Backend>)>,
}

impl Cluster {
    /// `None` where PostgreSQL is not installed.
    fn new() -> Option<Cluster> {
        is_installed().then(|| Cluster { database: Database::new(), nodes: Vec::new() })
    }

    fn open(&self) -> Arc<dyn Backend> {
        Location::Server(self.database.server()).open(Purpose::Server, now()).unwrap()
    }

    fn join(&mut self, name: &str) -> usize {
        let backend = self.open();
        let node = Node::new(backend.leases().expect("a database is shared"), name);
        self.nodes.push((node, backend));
        self.nodes.len() - 1
    }

    fn node(&self, at: usize) -> &Node {
        &self.nodes[at].0
    }

    fn store(&self, at: usize) -> &dyn Backend {
        &*self.nodes[at].1
    }

    async fn step(&mut self, at: usize) {
        self.nodes[at].0.keeper.step().await;
    }

    /// All of them, until nothing moves.
    async fn settle(&mut self) {
        for _ in 0..3 {
            for at in 0..self.nodes.len() {
                self.step(at).await;
            }
        }
    }

    /// Moves the clocks of some nodes in steps of half a second, and lets them do their rounds.
    async fn pass(&mut self, ms: i64, of: &[usize]) {
        for _ in 0..ms / 500 {
            for at in of {
                self.node(*at).clock.advance_ms(500);
                self.step(*at).await;
            }
        }
    }

    async fn session(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database.server().url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// An endpoint in a shard that a node holds, and a pending attempt for it.
    async fn pending_at(&self, at: usize) -> (EndpointId, AttemptId) {
        let store = self.store(at);
        let app = store.app_find(DEFAULT_APP).await.unwrap().unwrap().id;
        let endpoint = loop {
            let endpoint = an_endpoint(app, settings(&["a"]));
            if self.node(at).ownership.granted(Shard::of(endpoint.id)).is_some() {
                break endpoint;
            }
        };
        let id = endpoint.id;
        store.endpoint_insert(endpoint, u32::MAX, activity(ActivityKind::EndpointCreated)).await.unwrap();
        let taken = store.event_insert(app, vec![an_event("a", "{}")], now()).await.unwrap();
        let Taken::All(accepted) = taken else { panic!("there are no keys") };
        let queued = &accepted[0].queued;
        let queued = queued.iter().find(|queued| queued.endpoint_id == id).expect("it goes to the endpoint");
        (id, queued.attempt_id)
    }

    async fn finish(&self, at: usize, attempt: AttemptId, epoch: Epoch) -> Finished {
        let (outcome, sent) = (Arc::new(answered(200, now())), SentAs::in_epoch(epoch));
        self.store(at).attempt_finish(attempt, outcome, rules(), sent).await.unwrap()
    }
}

fn is_done(finished: &Finished) -> bool {
    matches!(finished, Finished::Done { .. })
}

#[tokio::test]
async fn nodes_divide_the_shards_and_one_that_joins_gets_its_share() {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    cluster.step(a).await;
    assert_eq!(cluster.node(a).held().len(), 256);
    assert!(cluster.node(a).lead.is_leader());
    let b = cluster.join("b");
    let c = cluster.join("c");
    cluster.settle().await;
    let mut all: Vec<Shard> = [a, b, c].into_iter().flat_map(|at| cluster.node(at).held()).collect();
    all.sort();
    assert_eq!(all, Shard::all().collect::<Vec<_>>(), "each shard is held, by one node");
    let counts = [a, b, c].map(|at| cluster.node(at).held().len());
    assert!(counts.iter().all(|count| (85..=86).contains(count)), "{counts:?}");
    assert!(cluster.node(a).lead.is_leader() && !cluster.node(b).lead.is_leader(), "one leads");
}

#[tokio::test]
async fn a_node_that_is_gone_loses_its_shards_after_its_lease_and_not_before() {
    let Some(mut cluster) = Cluster::new() else { return };
    let (a, b) = (cluster.join("a"), cluster.join("b"));
    cluster.settle().await;
    // It says nothing more.
    cluster.pass(LEASE_MS - 500, &[b]).await;
    assert_eq!(cluster.node(b).held().len(), 128, "its lease is not over");
    cluster.pass(2_000, &[b]).await;
    assert_eq!(cluster.node(b).held().len(), 256);
    assert!(cluster.node(b).lead.is_leader(), "the lead is taken over, too");
    // What it held it holds no more, once it hears of it; meanwhile its own clock has ended its lease.
    cluster.node(a).clock.advance_ms(LEASE_MS);
    assert_eq!(cluster.node(a).held(), []);
    cluster.settle().await;
    assert_eq!([a, b].map(|at| cluster.node(at).held().len()), [128, 128], "and it gets its share again");
}

#[tokio::test]
async fn results_of_a_lease_that_has_run_out_are_written_where_nobody_took_the_shard_and_stale_where_it_moved()
 {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    cluster.settle().await;
    let (endpoint, attempt) = cluster.pending_at(a).await;
    let (_, other) = cluster.pending_at(a).await;
    let epoch = cluster.node(a).epoch(endpoint).expect("it holds everything");
    cluster.node(a).clock.advance_ms(10 * LEASE_MS);
    assert_eq!(cluster.node(a).epoch(endpoint), None, "nothing more is begun");
    assert!(is_done(&cluster.finish(a, attempt, epoch).await), "the result is written");
    cluster.step(a).await;
    assert_eq!(cluster.node(a).epoch(endpoint), Some(epoch), "renewed under the same epoch");

    let b = cluster.join("b");
    // The first one is gone for the other before it can have handed anything over.
    cluster.pass(LEASE_MS + 1_000, &[b]).await;
    assert_eq!(cluster.node(b).held().len(), 256);
    assert_eq!(cluster.finish(a, other, epoch).await, Finished::StaleEpoch);
    let taken = epoch.next();
    assert_eq!(cluster.node(b).epoch(endpoint), Some(taken));
    // An epoch that a failover has rolled back is no proof: the holder counts as well.
    assert_eq!(cluster.finish(a, other, taken).await, Finished::StaleEpoch);
    assert!(is_done(&cluster.finish(b, other, taken).await));
}

#[tokio::test]
async fn what_is_in_flight_at_a_handover_ends_where_it_was_begun() {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    cluster.settle().await;
    let mut flights = Vec::new();
    for _ in 0..6 {
        let (endpoint, attempt) = cluster.pending_at(a).await;
        flights.push((endpoint, attempt, cluster.node(a).epoch(endpoint).unwrap()));
    }
    let in_flight: Vec<_> = flights.iter().map(|(endpoint, attempt, _)| (*attempt, *endpoint)).collect();
    *cluster.node(a).in_flight.lock().unwrap() = in_flight.clone();
    let b = cluster.join("b");
    cluster.step(b).await;
    cluster.nodes[a].0.keeper.leave();
    cluster.settle().await;
    assert!(cluster.node(a).keeper.has_left() && cluster.node(a).held().is_empty());
    assert_eq!(cluster.node(b).held().len(), 256);
    let elsewhere = cluster.node(b).ownership.elsewhere();
    assert_eq!(elsewhere, in_flight.iter().copied().collect(), "they count at the new holder");
    // Its results count although the epochs are old ones, once each.
    let (_, first, epoch) = flights[0];
    assert!(is_done(&cluster.finish(a, first, epoch).await));
    assert_eq!(cluster.finish(a, first, epoch).await, Finished::StaleEpoch);
    cluster.step(b).await;
    assert_eq!(cluster.node(b).ownership.elsewhere().len(), 5);
    // One that was listed, but not sent after all.
    cluster.node(a).in_flight.lock().unwrap().truncate(5);
    cluster.settle().await;
    assert_eq!(cluster.node(b).ownership.elsewhere().len(), 4);
    let (_, last, epoch) = flights[5];
    assert_eq!(cluster.finish(a, last, epoch).await, Finished::StaleEpoch);
    // When the node is gone, what it had in flight is sent again.
    cluster.pass(LEASE_MS + 1_000, &[b]).await;
    assert!(cluster.node(b).ownership.elsewhere().is_empty());
    let (endpoint, second, epoch) = flights[1];
    assert_eq!(cluster.finish(a, second, epoch).await, Finished::StaleEpoch);
    let epoch = cluster.node(b).epoch(endpoint).unwrap();
    assert!(is_done(&cluster.finish(b, second, epoch).await));
}

#[tokio::test]
async fn what_was_listed_for_a_handover_and_has_ended_is_free_before_all_shards_have_moved() {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    cluster.settle().await;
    for _ in 0..3 {
        let (endpoint, attempt) = cluster.pending_at(a).await;
        cluster.node(a).in_flight.lock().unwrap().push((attempt, endpoint));
    }
    cluster.node(a).is_brief.store(true, Ordering::Relaxed);
    let b = cluster.join("b");
    cluster.step(b).await;
    cluster.nodes[a].0.keeper.leave();
    cluster.step(a).await;
    assert!(cluster.node(a).held().is_empty(), "all in one round");
    assert!(cluster.node(a).in_flight.lock().unwrap().is_empty());
    let client = cluster.session().await;
    assert_eq!(client.query("SELECT 1 FROM handed_over", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_node_that_gets_a_shard_while_it_is_forgotten_stays_known() {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    let (giver, watcher) = (cluster.session().await, cluster.session().await);
    let gone = Seen { id: NodeId::from_random(7), renewal: 0 };
    let insert = "INSERT INTO nodes (id, name, run_id, machine, boot, version, lease_ms, since, renewed_at) \
                  VALUES (7, 'gone', gen_random_uuid(), '', '', '1', 3000, 0, 0)";
    giver.batch_execute(insert).await.unwrap();
    // As who hands a shard over to it.
    let give =
        "BEGIN; SELECT 1 FROM nodes WHERE id = 7 FOR SHARE; UPDATE shards SET holder = 7 WHERE shard = 3";
    giver.batch_execute(give).await.unwrap();
    let nodes = cluster.store(a).leases().unwrap();
    let forgetting = tokio::spawn(async move { nodes.node_forget(gone).await });
    let waits =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    in_time("a lock that is waited for", async {
        while watcher.query(waits, &[]).await.unwrap().is_empty() {}
    })
    .await;
    giver.batch_execute("COMMIT").await.unwrap();
    forgetting.await.unwrap().unwrap();
    let known = watcher.query("SELECT 1 FROM nodes WHERE id = 7", &[]).await.unwrap();
    assert_eq!(known.len(), 1, "else nobody would know whose the shard is");
}

#[tokio::test]
async fn a_node_that_leaves_in_order_is_not_waited_for() {
    let Some(mut cluster) = Cluster::new() else { return };
    let (a, b) = (cluster.join("a"), cluster.join("b"));
    cluster.settle().await;
    cluster.nodes[a].0.keeper.end().await;
    assert!(cluster.node(a).held().is_empty());
    cluster.step(b).await;
    assert_eq!(cluster.node(b).held().len(), 256);
    assert!(cluster.node(b).lead.is_leader());
    let client = cluster.session().await;
    assert_eq!(client.query("SELECT 1 FROM nodes", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_node_after_its_process_has_ended_takes_its_shards_at_once() {
    let Some(mut cluster) = Cluster::new() else { return };
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let started = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().to_owned();
    let identity = |process: String| Identity { machine: "m".to_owned(), boot: "b".to_owned(), process };
    for process in [format!("{} {started}", child.id()), "the next one".to_owned()] {
        let backend = cluster.open();
        let node = Node::with(backend.leases().unwrap(), "a", identity(process));
        cluster.nodes.push((node, backend));
    }
    cluster.step(0).await;
    cluster.step(1).await;
    assert!(cluster.node(1).held().is_empty(), "its process runs");
    child.kill().unwrap();
    child.wait().unwrap();
    cluster.step(1).await;
    assert_eq!(cluster.node(1).held().len(), 256, "at once");
}

#[tokio::test]
async fn a_name_has_a_suffix_only_while_two_nodes_renew_under_it() {
    let Some(mut cluster) = Cluster::new() else { return };
    let (a, b) = (cluster.join("same"), cluster.join("same"));
    cluster.settle().await;
    let client = cluster.session().await;
    let names = async || -> Vec<String> {
        let rows = client.query("SELECT name FROM nodes ORDER BY since, id", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    cluster.pass(2 * LEASE_MS / 3, &[a, b]).await;
    assert_eq!(names().await, ["same", "same-2"]);
    cluster.pass(2 * LEASE_MS, &[b]).await;
    assert_eq!(names().await, ["same"], "the other one is gone");
}

#[tokio::test]
async fn a_node_that_the_database_has_forgotten_registers_again_under_its_epochs() {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    cluster.settle().await;
    let (endpoint, attempt) = cluster.pending_at(a).await;
    let epoch = cluster.node(a).epoch(endpoint).unwrap();
    // As after a failover to a replica that has missed it.
    cluster.session().await.execute("DELETE FROM nodes", &[]).await.unwrap();
    cluster.pass(LEASE_MS, &[a]).await;
    assert_eq!(cluster.node(a).held().len(), 256);
    assert_eq!(cluster.node(a).epoch(endpoint), Some(epoch));
    assert!(is_done(&cluster.finish(a, attempt, epoch).await));
}

#[tokio::test]
async fn a_takeover_waits_for_a_result_that_is_being_written() {
    let Some(mut cluster) = Cluster::new() else { return };
    let (a, b) = (cluster.join("a"), cluster.join("b"));
    cluster.settle().await;
    let shard = cluster.node(a).held()[0];
    let client = cluster.session().await;
    client.batch_execute("BEGIN").await.unwrap();
    let lock = format!("SELECT 1 FROM shards WHERE shard = {} FOR SHARE", shard.0);
    client.query(&lock, &[]).await.unwrap();
    cluster.pass(LEASE_MS + 1_000, &[b]).await;
    assert!(!cluster.node(b).held().contains(&shard), "somebody writes");
    client.batch_execute("COMMIT").await.unwrap();
    cluster.pass(1_000, &[b]).await;
    assert_eq!(cluster.node(b).held().len(), 256);
}

#[tokio::test]
async fn nothing_is_held_while_the_database_is_away_and_all_of_it_after() {
    let Some(mut cluster) = Cluster::new() else { return };
    let a = cluster.join("a");
    cluster.settle().await;
    cluster.database.allow_connections(false);
    cluster.pass(LEASE_MS, &[a]).await;
    assert_eq!(cluster.node(a).held(), []);
    assert!(!cluster.node(a).lead.is_leader() && !*cluster.node(a).lead.watch().borrow());
    cluster.database.allow_connections(true);
    in_time("a renewal", async {
        while cluster.node(a).held().is_empty() {
            cluster.step(a).await;
        }
    })
    .await;
    assert_eq!(cluster.node(a).held().len(), 256);
}
