//! One node after the other is stopped and started again, while a balancer asks `/readyz` ten times a second.

use std::time::Duration;

use super::traffic::{Balancing, Traffic};
use super::{Cluster, Hooks, NAMES, arrived, longest_wait, plain, repeated};
use crate::sink::Sink;
use crate::{form, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_refuses_no_request_and_sends_nothing_twice() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    let hooks = Hooks::create(&nodes, &sink, 3, plain()).await;
    let traffic = Traffic::start(&nodes, Balancing::ToReady, "r", Duration::from_millis(form(20, 10)));
    let mut restarts = 0;
    for _ in 0..form(1, 5) {
        for (at, name) in NAMES.iter().enumerate().take(form(2, 3)) {
            nodes.take(at).stop().await;
            nodes.put(at, cluster.start(name).await);
            cluster.settled(3).await;
            restarts += 1;
        }
    }
    let posted = traffic.end().await;
    assert_eq!(
        (&posted.refused, &posted.broken),
        (&vec![], &vec![]),
        "of {} requests",
        posted.accepted.len()
    );
    let keys = hooks.all_keys(&posted);
    arrived(&sink, &keys).await;
    cluster.drained().await;
    assert_eq!(repeated(&sink).len(), 0, "each comes once: {:?}", repeated(&sink));
    say(
        "nodes, restarted",
        format!(
            "{restarts} restarts, {} events accepted for {} webhooks each: none refused, none lost, none twice; the \
             longest wait {:.1?}",
            posted.accepted.len(),
            hooks.of_each,
            longest_wait(&sink, &keys),
        ),
    );
    nodes.stop().await;
}
