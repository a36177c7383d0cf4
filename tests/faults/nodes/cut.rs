//! A node that is cut off from the database for three times its lease, while its receivers hang: with connections that
//! are closed, and with packets that go nowhere.

use std::time::Duration;

use tokio::time::Instant;

use super::cable::{Cable, Way};
use super::traffic::{Balancing, Traffic};
use super::{BESIDES, Cluster, Hooks, LEASE, NAMES, Nodes, arrived, counts, hanging, plain};
use crate::sink::Sink;
use crate::{form, say};

/// Starts nodes with these names, the first of them with its path to the database on a cable.
async fn first_behind_cable(cluster: &mut Cluster, names: &[&str]) -> (Cable, Nodes) {
    let cable = Cable::new(&cluster.socket_directory());
    let through = ("POSTRIDER_STORAGE__URL".to_owned(), cable.url(&cluster.url));
    let mut running = vec![Some(cluster.start_with(names[0], &[through]).await)];
    for name in &names[1..] {
        running.push(Some(cluster.start(name).await));
    }
    cluster.settled(names.len()).await;
    (cable, Nodes::of(running))
}

/// One round; gives how many were accepted, and how long after the cut others had the shards.
async fn round(
    cluster: &Cluster,
    nodes: &Nodes,
    (sink, hooks, cable): (&Sink, &Hooks, &Cable),
    (n, way): (usize, Way),
) -> (usize, Duration) {
    sink.hold(true);
    let prefix = format!("c{n}.");
    let mut traffic = Traffic::start(nodes, Balancing::ToAll, &prefix, Duration::ZERO);
    traffic.more(200).await;
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    hanging(sink, hooks, &prefix).await;
    let in_flight = counts(sink, &keys);
    cable.set(way);
    let cut = Instant::now();
    cluster.settled(2).await;
    let taken = cut.elapsed();
    assert!(taken < LEASE + BESIDES + form(Duration::from_secs(5), Duration::ZERO), "{way:?}: {taken:?}");
    nodes.ready(0, 503).await;
    assert_eq!(nodes.get(0, "/healthz").await, 200);
    sink.hold(false);
    arrived(sink, &keys).await;
    tokio::time::sleep_until(cut + 3 * LEASE).await;
    let before = counts(sink, &keys);
    cable.set(Way::Whole);
    cluster.settled(3).await;
    nodes.ready(0, 200).await;
    cluster.drained().await;
    assert_eq!(counts(sink, &keys), before, "{way:?}: it began nothing of what it had lost");
    let twice = before.iter().filter(|(key, count)| **count > 1 + in_flight[*key]).count();
    assert_eq!(twice, 0, "{way:?}: only what was in flight came again");
    (posted.accepted.len(), taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_begins_nothing_after_its_lease_and_its_late_results_are_stale() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let (cable, nodes) = first_behind_cable(&mut cluster, &NAMES).await;
    let hooks = Hooks::create(&nodes, &sink, 6, plain()).await;
    let rounds = form(2, 10);
    let (mut accepted, mut slowest) = (0, Duration::ZERO);
    for n in 0..rounds {
        let way = if n % 2 == 0 { Way::Silent } else { Way::Cut };
        let (some, taken) = round(&cluster, &nodes, (&sink, &hooks, &cable), (n, way)).await;
        (accepted, slowest) = (accepted + some, slowest.max(taken));
    }
    let log = cluster.program.log();
    assert!(log.contains("a result was discarded"), "{log}");
    say(
        "nodes, cut off",
        format!(
            "{rounds} times for three times the lease, half of them without a word: {accepted} accepted, 0 lost; the \
             others took over within {slowest:.1?}"
        ),
    );
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_to_stop_ends_even_if_its_database_is_silent() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let (cable, nodes) = first_behind_cable(&mut cluster, &NAMES[..2]).await;
    let hooks = Hooks::create(&nodes, &sink, 6, plain()).await;
    // Answers to requests in flight are what it cannot write.
    sink.hold(true);
    let mut traffic = Traffic::start(&nodes, Balancing::ToAll, "s.", Duration::ZERO);
    traffic.more(100).await;
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    hanging(&sink, &hooks, "s.").await;
    cable.set(Way::Silent);
    sink.hold(false);
    let node = nodes.take(0);
    let told = Instant::now();
    node.signal("TERM");
    assert_eq!(node.ended().await, Some(0));
    say("nodes, told to stop behind a silent cut", format!("ended after {:.1?}", told.elapsed()));
    arrived(&sink, &keys).await;
    cluster.drained().await;
    nodes.stop().await;
}
