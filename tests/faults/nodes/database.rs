//! The database of three nodes is killed, shut down, and away for twice their lease, under load.

use std::time::Duration;

use tokio::time::Instant;

use super::traffic::{Accepted, Balancing, Traffic};
use super::{Cluster, GOES_ON_WITHIN, Hooks, LEASE, NAMES, arrived, longest_wait, plain, repeated};
use crate::sink::Sink;
use crate::support::own_postgres::OwnPostgres;
use crate::support::postgres::is_installed;
use crate::{Dice, form, say};

/// How it goes, and for how long.
fn fault(n: usize, dice: &mut Dice) -> (fn(&mut OwnPostgres), Duration) {
    let short = Duration::from_millis(dice.below(1_000));
    match n % 4 {
        0 => (OwnPostgres::kill, 2 * LEASE),
        1 => (OwnPostgres::stop, short),
        2 => (OwnPostgres::kill, short),
        _ => (OwnPostgres::stop, 2 * LEASE),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_under_load_loses_nothing_and_repeats_nothing() {
    if !is_installed() {
        return;
    }
    let mut dice = Dice::of("nodes, database");
    let mut database = tokio::task::block_in_place(OwnPostgres::start);
    let mut cluster = Cluster::on(&database).await;
    let sink = Sink::start().await;
    let nodes = cluster.three().await;
    let hooks = Hooks::create(&nodes, &sink, 3, plain()).await;
    let mut traffic = Traffic::start(&nodes, Balancing::ToAll, "d", Duration::from_millis(form(60, 30)));
    let mut back = Vec::new();
    for n in 0..form(2, 12) {
        traffic.more(20 + dice.below(100)).await;
        let (end, away) = fault(n, &mut dice);
        tokio::task::block_in_place(|| end(&mut database));
        let gone = Instant::now();
        for at in 0..NAMES.len() {
            nodes.ready(at, 503).await;
            assert_eq!(nodes.get(at, "/healthz").await, 200);
        }
        // The length is the fault: nothing is waited for.
        tokio::time::sleep_until(gone + away).await;
        tokio::task::block_in_place(|| database.begin());
        back.push(Instant::now());
        traffic.more(60).await;
        for at in 0..NAMES.len() {
            nodes.ready(at, 200).await;
        }
        cluster.settled(3).await;
    }
    let posted = traffic.end().await;
    let keys = hooks.all_keys(&posted);
    arrived(&sink, &keys).await;
    cluster.drained().await;
    // From the return of the database to an accepted event, and to one that arrived, at the slowest webhook.
    let (mut accepts, mut sends) = (Duration::ZERO, Duration::ZERO);
    for begun in back {
        let fresh = |accepted: &&Accepted| accepted.at > begun;
        let first = posted.accepted.values().filter(fresh).map(|accepted| accepted.at - begun).min();
        accepts = accepts.max(first.expect("it goes on"));
        for path in hooks.paths() {
            let fresh = keys.iter().filter(|(key, at)| *at > begun && key.ends_with(&path));
            let first = fresh.filter_map(|(key, _)| Some(sink.of(key)?.first - begun)).min();
            sends = sends.max(first.unwrap_or(Duration::MAX));
        }
    }
    say(
        "nodes, database away",
        format!(
            "{} outages, {} events accepted for {} webhooks each, {} refused with 503: 0 lost, none twice; a 202 after \
             {accepts:.1?}, at every webhook after {sends:.1?}; the longest wait {:.1?}",
            form(2, 12),
            posted.accepted.len(),
            hooks.of_each,
            posted.refused.len(),
            longest_wait(&sink, &keys),
        ),
    );
    let odd: Vec<_> = posted.refused.iter().filter(|how| *how != "503, Retry-After").collect();
    assert!(odd.is_empty() && posted.broken.is_empty(), "{odd:?}, {:?}", posted.broken);
    assert!(!posted.refused.is_empty(), "clients post meanwhile");
    assert_eq!(repeated(&sink).len(), 0, "nothing comes twice: {:?}", repeated(&sink));
    let most = GOES_ON_WITHIN + form(Duration::from_secs(8), Duration::ZERO);
    assert!(accepts < most && sends < most, "{accepts:?}, {sends:?}");
    nodes.stop().await;
}
