//! A node that does not run for twice its lease, and then goes on as if nothing had happened.

use std::time::Duration;

use tokio::time::Instant;

use super::traffic::{Balancing, Traffic};
use super::{Cluster, Hooks, LEASE, Nodes, arrived, counts, hanging, plain};
use crate::sink::Sink;
use crate::{Dice, form, say};

/// One round; gives how many were accepted, and how many requests came again.
async fn round(
    cluster: &Cluster,
    nodes: &Nodes,
    (sink, hooks): (&Sink, &Hooks),
    (n, at): (usize, usize),
) -> (usize, u32) {
    // Requests hang, and more are behind them in every node's memory.
    sink.hold(true);
    let prefix = format!("s{n}.");
    let mut traffic = Traffic::start(nodes, Balancing::ToAll, &prefix, Duration::ZERO);
    traffic.more(400).await;
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    hanging(sink, hooks, &prefix).await;
    nodes.signal(at, "STOP");
    let stopped = Instant::now();
    let in_flight = counts(sink, &keys);
    sink.hold(false);
    cluster.settled(2).await;
    arrived(sink, &keys).await;
    tokio::time::sleep_until(stopped + 2 * LEASE).await;
    let before = counts(sink, &keys);
    nodes.signal(at, "CONT");
    cluster.settled(3).await;
    cluster.drained().await;
    assert_eq!(counts(sink, &keys), before, "it began nothing of what it had lost");
    let twice = before.iter().filter(|(key, count)| **count > 1 + in_flight[*key]).count();
    assert_eq!(twice, 0, "only what was in flight came again");
    (posted.accepted.len(), before.values().map(|count| count - 1).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_for_longer_than_its_lease_begins_nothing_of_what_it_lost() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let mut dice = Dice::of("nodes, stopped");
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    let hooks = Hooks::create(&nodes, &sink, 6, plain()).await;
    let rounds = form(1, 10);
    let (mut accepted, mut again) = (0, 0);
    for n in 0..rounds {
        let one = round(&cluster, &nodes, (&sink, &hooks), (n, dice.below(3) as usize)).await;
        (accepted, again) = (accepted + one.0, again + one.1);
    }
    say(
        "nodes, stopped",
        format!(
            "{rounds} times for twice the lease: {accepted} accepted, 0 lost, {again} requests came again"
        ),
    );
    nodes.stop().await;
}
