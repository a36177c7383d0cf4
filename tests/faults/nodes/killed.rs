//! `kill -9` of one of three nodes at random moments, under load. It is started again, now before its lease is over and
//! now after others have taken its shards.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::traffic::{Balancing, Traffic};
use super::{
    BESIDES, Cluster, Hooks, LEASE, NAMES, Nodes, arrived, longest_gap, longest_wait, plain, repeated,
};
use crate::sink::Sink;
use crate::{Dice, form, say};

/// What the kernel has taken from a process may still arrive when that is gone.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// What the killed node was about to send, was sending, or had sent without a result that is written.
const ITS_PENDING: &str = "SELECT e.resource_id, p.url FROM queue q JOIN events e ON e.id = q.event \
     JOIN endpoints p ON p.id = q.endpoint JOIN shards s ON s.shard = q.shard LEFT JOIN handed_over h ON h.attempt = q.id \
     JOIN nodes n ON n.id = s.holder OR n.id = h.node WHERE n.base_name = ";

struct Kill {
    at: Instant,
    /// What may be sent again, as the sink names it.
    pending: BTreeSet<String>,
}

async fn kill(cluster: &Cluster, nodes: &Nodes, at: usize) -> Kill {
    let node = nodes.take(at);
    node.kill();
    let killed_at = Instant::now();
    let rows = cluster.rows(&format!("{ITS_PENDING}'{}'", NAMES[at])).await;
    let key = |row: &tokio_postgres::Row| {
        let (name, url): (String, String) = (row.get(0), row.get(1));
        name + &url[url.rfind('/').expect("it has a path")..]
    };
    Kill { at: killed_at, pending: rows.iter().map(key).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_killed_under_load_lose_nothing_and_are_replaced_within_their_lease() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let mut dice = Dice::of("nodes, killed");
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    let hooks = Hooks::create(&nodes, &sink, 3, plain()).await;
    let mut traffic = Traffic::start(&nodes, Balancing::ToReady, "k", Duration::from_millis(form(60, 30)));
    let mut kills = Vec::new();
    for round in 0..form(3, 50) {
        traffic.more(20 + dice.below(100)).await;
        let at = dice.below(3) as usize;
        kills.push(kill(&cluster, &nodes, at).await);
        match round % 2 {
            0 => cluster.settled(2).await,
            // The moment is the fault: nothing is waited for.
            _ => tokio::time::sleep(LEASE.mul_f64(dice.below(100) as f64 / 100.0)).await,
        }
        nodes.put(at, cluster.start(NAMES[at]).await);
        cluster.settled(3).await;
    }
    traffic.more(20).await;
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    arrived(&sink, &keys).await;
    cluster.drained().await;
    let (wait, gap) = (longest_wait(&sink, &keys), longest_gap(&sink, &hooks));
    let mut again = 0;
    for (key, arrivals) in repeated(&sink) {
        let may = |kill: &&Kill| kill.pending.contains(&key) && arrivals.first < kill.at + ON_THE_WAY;
        let may = kills.iter().filter(may).count() as u32;
        assert!(arrivals.count <= 1 + may, "{key} came {} times, and {may} kills explain it", arrivals.count);
        again += arrivals.count - 1;
    }
    say(
        "nodes, killed",
        format!(
            "{} kills, {} events accepted for {} webhooks each: 0 lost; {again} requests came again, each pending at a \
             kill; {} requests broken by kills; the longest wait {wait:.1?}, the longest gap at a webhook {gap:.1?}",
            kills.len(),
            posted.accepted.len(),
            hooks.of_each,
            posted.broken.len(),
        ),
    );
    assert_eq!(posted.refused, Vec::<String>::new(), "the others refuse nothing");
    let most = LEASE + BESIDES + form(Duration::from_secs(8), Duration::ZERO);
    assert!(wait < most && gap < most, "a webhook waited for {wait:?}, with a gap of {gap:?}");
    nodes.stop().await;
}
