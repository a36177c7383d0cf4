//! Two dispatchers over one store: each sends only to endpoints of the shards that it holds.

use std::collections::HashSet;

use postrider::domain::Shard;
use postrider::store::{QueueStore as _, ShardStore as _};

use super::*;

const LIMITS: SlotLimits = SlotLimits { concurrency: 16, endpoint_concurrency: 4 };

impl Bench {
    /// Moves the shard of an endpoint. If not `in_order`, its holder does not know yet and goes on sending.
    async fn move_shard(&self, endpoint: EndpointId, from: &Node, to: &Node, in_order: bool) {
        let shard = Shard::of(endpoint);
        if in_order {
            from.ownership.withdraw(shard);
        }
        to.ownership.grant(shard, self.store.shard_take(shard).await.unwrap());
    }
}

#[tokio::test]
async fn a_result_of_an_old_epoch_counts_nowhere() {
    for in_order in [true, false] {
        let bench = Bench::new(16, 4).await;
        let other = bench.another_node(LIMITS).await;
        let endpoint = bench.endpoint("a").await;
        bench.post("a", 1).await;
        let old = bench.flight_to(endpoint).await;
        bench.move_shard(endpoint, &bench.node, &other, in_order).await;
        let new = bench.flight_to(endpoint).await;
        assert_eq!((new.id, new.epoch), (old.id, old.epoch.next()), "the new holder sends the same attempt");
        let (id, mut results) = (old.id, bench.node.signals.results());
        old.ends(End::Answer(500));
        in_time("the stale result", results.changed()).await.unwrap();
        assert_eq!(bench.statuses(endpoint).await, [AttemptStatus::Pending], "in order: {in_order}");
        assert_eq!(bench.node.ownership.epoch_of(endpoint), None, "now the old holder knows");
        let found = bench.store.endpoint_get(bench.app, endpoint).await.unwrap().unwrap();
        assert_eq!(found.consecutive_failures, 0);
        let counted = bench.node.dispatcher.meters().attempts().iter().map(|(.., count)| count).sum::<u64>();
        assert_eq!(counted, 0, "and its counters do not show it");

        let mut results = other.signals.results();
        new.ends(End::Answer(200));
        in_time("the result", results.changed()).await.unwrap();
        let rows = bench.rows(endpoint).await;
        assert_eq!((rows.len(), rows[0].id, rows[0].status), (1, id, AttemptStatus::Delivered));
    }
}

#[tokio::test]
async fn a_shard_that_comes_back_is_served_again() {
    let bench = Bench::new(16, 4).await;
    let other = bench.another_node(LIMITS).await;
    let endpoint = bench.responsive("a").await;
    bench.post("a", 1).await;
    let first = bench.flight_to(endpoint).await;
    bench.move_shard(endpoint, &bench.node, &other, true).await;
    let second = bench.flight_to(endpoint).await;
    bench.move_shard(endpoint, &other, &bench.node, true).await;
    // It is in flight here since the first epoch, so it is not sent again before that request has ended.
    let mut results = bench.node.signals.results();
    first.ends(End::Answer(200));
    in_time("the stale result", results.changed()).await.unwrap();
    let third = bench.flight_to(endpoint).await;
    assert_eq!((third.id, third.epoch), (second.id, second.epoch.next()));
    second.ends(End::Answer(500));
    third.ends(End::Answer(200));
    bench.finished(2, AttemptStatus::Delivered, endpoint).await;
    assert_eq!(bench.statuses(endpoint).await.len(), 2);
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_sent_twice_in_one_epoch_while_shards_move_under_load() {
    let bench = Bench::new(16, 4).await;
    let other = bench.another_node(LIMITS).await;
    let nodes = [&bench.node, &other];
    let names: Vec<_> = (0..12).map(|n| format!("t{n}")).collect();
    let mut endpoints = Vec::new();
    for name in &names {
        endpoints.push(bench.endpoint(name).await);
    }
    let mut holders: HashMap<Shard, usize> = HashMap::new();
    let (mut flights, mut sent, mut attempts) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut note = |flight: &Flight| {
        assert!(sent.insert((flight.id, flight.epoch)), "{:?} twice in epoch {}", flight.id, flight.epoch);
        attempts.insert(flight.id);
        (sent.len(), attempts.len())
    };
    let (mut posted, mut sums) = (0, (0, 0));
    for round in 0..400 {
        let name = &names[round * 5 % names.len()];
        let queued = bench.post_without_hint(name, 1 + round % 3).await;
        posted += queued.len();
        nodes.iter().for_each(|node| node.signals.queued(&queued));
        while let Ok(flight) = bench.flights.lock().await.try_recv() {
            sums = note(&flight);
            flights.push(flight);
        }
        if round % 3 == 0 && !flights.is_empty() {
            // Of an endpoint with a request in flight, so that moves and results meet.
            let flight: &Flight = &flights[round * 7 % flights.len()];
            let holder = holders.entry(Shard::of(flight.endpoint)).or_default();
            let (from, to) = (nodes[*holder], nodes[1 - *holder]);
            bench.move_shard(flight.endpoint, from, to, round % 2 == 0).await;
            *holder = 1 - *holder;
        }
        if round % 2 == 0 && !flights.is_empty() {
            let status = if round % 5 == 0 { 500 } else { 200 };
            flights.swap_remove(round * 3 % flights.len()).ends(End::Answer(status));
        }
    }
    in_time("the end", async {
        while !flights.is_empty() || bench.store.queue_depth(10_000).await.unwrap() > 0 {
            flights.drain(..).for_each(|flight| flight.ends(End::Answer(200)));
            let mut arriving = bench.flights.lock().await;
            match tokio::time::timeout(Duration::from_millis(20), arriving.recv()).await {
                Ok(flight) => flights.extend(flight),
                // Retries come due, and the tables are polled, by the clock that the test advances.
                Err(_) => bench.clock.advance_ms(5_000),
            }
            while let Ok(flight) = arriving.try_recv() {
                flights.push(flight);
            }
            flights.iter().for_each(|flight| sums = note(flight));
        }
    })
    .await;
    let mut delivered = 0;
    for endpoint in endpoints {
        let statuses = bench.statuses(endpoint).await;
        assert!(statuses.len() < 200, "they are on one page");
        delivered += statuses.iter().filter(|status| **status == AttemptStatus::Delivered).count();
        let open = statuses.iter().filter(|status| **status != AttemptStatus::Failed).count();
        assert_eq!(open, statuses.iter().filter(|status| **status == AttemptStatus::Delivered).count());
    }
    assert_eq!(delivered, posted, "every delivery was delivered, and once");
    let (sent, attempts) = sums;
    assert!(sent > attempts + 5, "{sent} requests for {attempts} attempts: too few moves met a request");
}

#[tokio::test]
async fn what_another_node_has_in_flight_counts_at_its_endpoint_and_is_not_sent_before_it_has_ended() {
    let bench = Bench::new(16, 2).await;
    let endpoint = bench.responsive("a").await;
    let most = |bench: &Bench| bench.node.sky.counts.lock().unwrap()[&Some(endpoint)].1;
    let queued = bench.post_without_hint("a", 3).await;
    let elsewhere = queued[0].attempt_id;
    bench.node.ownership.set_elsewhere([(elsewhere, endpoint)].into());
    bench.node.signals.queued(&queued);
    // One of two slots is taken, so the others come one after the other.
    for queued in &queued[1..] {
        let flight = bench.flight_to(endpoint).await;
        assert_eq!(flight.id, queued.attempt_id);
        assert_eq!(most(&bench), 1);
        flight.ends(End::Answer(200));
    }
    bench.finished(3, AttemptStatus::Delivered, endpoint).await;
    bench.node.ownership.set_elsewhere(HashMap::new());
    let flight = bench.flight_to(endpoint).await;
    assert_eq!(flight.id, elsewhere, "its node is gone: it is sent after all");
    flight.ends(End::Answer(200));
    bench.finished(4, AttemptStatus::Delivered, endpoint).await;
}

#[tokio::test]
async fn a_shard_that_is_taken_from_somebody_begins_with_an_empty_bucket() {
    let bench = Bench::new(16, 4).await;
    let other = bench.another_node(LIMITS).await;
    let settings = endpoints::settings("http://receiver.example/", &["a"]);
    let mut endpoint = endpoints::endpoint(bench.app, settings, start_time());
    endpoint.settings.rate_limit = postrider::domain::values::rate::Rate::parse("360/h");
    let id = endpoint.id;
    let activity =
        By::system().activity(ActivityKind::EndpointCreated, None, String::new(), json!({}), start_time());
    bench.store.endpoint_insert(endpoint, u32::MAX, activity).await.unwrap();
    // It has been held by somebody else before.
    bench.store.shard_take(Shard::of(id)).await.unwrap();
    bench.move_shard(id, &bench.node, &other, true).await;
    let queued = bench.post_without_hint("a", 1).await;
    other.signals.queued(&queued);
    let early =
        tokio::time::timeout(Duration::from_millis(200), async { bench.flights.lock().await.recv().await });
    assert!(early.await.is_err(), "the node before may have sent a moment ago");
    bench.clock.advance_ms(10_000);
    bench.flight_to(id).await.ends(End::Answer(200));
}
