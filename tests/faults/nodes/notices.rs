//! Notifications between nodes do not arrive for some seconds: the connections that listen are closed, or hear nothing
//! without a word. Events are posted at one node, for webhooks of both.

use std::time::Duration;

use tokio::time::Instant;

use super::cable::{Cable, Way};
use super::traffic::{Balancing, Traffic};
use super::{Cluster, Hooks, NAMES, Nodes, arrived, longest_wait, plain, repeated};
use crate::sink::Sink;
use crate::{form, say};

/// How long notifications are away.
const AWAY: Duration = Duration::from_secs(4);
/// How often a node looks at the queue that knows that it hears nothing, and one that does not know.
const POLL_DEAF: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_secs(5);
/// What a delivery takes besides.
const ROUND: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn in_the_first_seconds_without_notifications_nothing_is_lost_and_polls_find_it() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let cable = Cable::new(&cluster.socket_directory());
    cluster.program.set("POSTRIDER_STORAGE__LISTEN_URL", &cable.url(&cluster.url));
    let mut running = Vec::new();
    for name in &NAMES[..2] {
        running.push(Some(cluster.start(name).await));
    }
    cluster.settled(2).await;
    let nodes = Nodes::of(running);
    let hooks = Hooks::create(&nodes, &sink, 3, plain()).await;
    for round in 0..form(1, 5) {
        for (way, poll) in [(Way::Cut, POLL_DEAF), (Way::Silent, POLL)] {
            cluster.listening().await;
            let poster = Nodes::of(vec![Some(nodes.take(0))]);
            let prefix = format!("n{round}{way:?}");
            let mut traffic = Traffic::start(&poster, Balancing::ToAll, &prefix, Duration::from_millis(50));
            traffic.more(20).await;
            let early = traffic.read_posted(|posted| hooks.all_keys(posted));
            arrived(&sink, &early).await;
            let hears = longest_wait(&sink, &early);
            cable.set(way);
            let cut = Instant::now();
            // How long it lasts is the fault: nothing is waited for.
            tokio::time::sleep_until(cut + AWAY).await;
            cable.set(Way::Whole);
            traffic.more(20).await;
            let posted = traffic.end().await;
            let keys = hooks.all_keys(&posted);
            arrived(&sink, &keys).await;
            let wait = longest_wait(&sink, &keys);
            say(
                "nodes, notifications away",
                format!(
                    "{way:?} for {AWAY:?}: {} events accepted for {} webhooks each, 0 lost, none twice; the longest wait \
                     {wait:.1?}, before that {hears:.1?}",
                    posted.accepted.len(),
                    hooks.of_each,
                ),
            );
            assert_eq!((&posted.refused, &posted.broken), (&vec![], &vec![]));
            let most = poll + ROUND + form(Duration::from_secs(2), Duration::ZERO);
            assert!(wait < most, "{way:?}: {wait:?}");
            nodes.put(0, poster.take(0));
        }
    }
    cluster.drained().await;
    assert_eq!(repeated(&sink).len(), 0, "nothing comes twice: {:?}", repeated(&sink));
    nodes.stop().await;
}
