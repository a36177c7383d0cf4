//! How many requests are in flight, and which endpoints get the slots.

use super::*;

#[tokio::test]
async fn all_slots_are_used_and_never_exceeded() {
    let bench = Bench::new(5, 2).await;
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c"] {
        endpoints.push(bench.responsive(name).await);
    }
    for name in ["a", "b", "c"] {
        bench.post(name, 20).await;
    }
    let mut flights = Vec::new();
    while flights.len() < 5 {
        flights.push(bench.flight().await);
    }
    for n in 0..60 {
        if flights.is_empty() {
            flights.push(bench.flight().await);
        }
        while let Ok(flight) = bench.flights.lock().await.try_recv() {
            flights.push(flight);
        }
        // They finish in a mixed order.
        let at = (n * 7) % flights.len();
        flights.swap_remove(at).ends(End::Answer(if n % 3 == 0 { 500 } else { 200 }));
    }
    assert_eq!(bench.counts(None).1, 5);
    assert!(endpoints.iter().all(|id| bench.counts(Some(*id)).1 == 2));
    bench.node.dispatcher.stop(Duration::from_secs(20)).await;
    for id in endpoints {
        let statuses = bench.statuses(id).await;
        let delivered = statuses.iter().filter(|s| **s == AttemptStatus::Delivered).count();
        let failed = statuses.iter().filter(|s| **s == AttemptStatus::Failed).count();
        assert_eq!(delivered + failed, 21, "{statuses:?}");
    }
}

#[tokio::test]
async fn an_unresponsive_endpoint_gets_one_slot_until_it_responds() {
    let bench = Bench::new(20, 4).await;
    let (slow, other) = (bench.responsive("slow").await, bench.responsive("other").await);
    bench.post("slow", 12).await;
    for flight in bench.flights_to(slow, 4).await {
        flight.ends(End::Timeout);
    }
    bench.finished(4, AttemptStatus::Failed, slow).await;
    for _ in 0..2 {
        let one = bench.flight_to(slow).await;
        bench.post("other", 1).await;
        bench.flight_to(other).await.ends(End::Answer(200));
        assert_eq!(bench.counts(Some(slow)).0, 1);
        one.ends(End::Timeout);
    }
    bench.flight_to(slow).await.ends(End::Answer(503));
    bench.flights_to(slow, 4).await;
    assert_eq!(bench.counts(Some(slow)).0, 4);
}

#[tokio::test]
async fn responsive_endpoints_find_free_slots_however_many_are_unresponsive() {
    let bench = Bench::new(8, 4).await;
    let responsive = bench.responsive("responsive").await;
    for n in 0..30 {
        bench.endpoint(&format!("down.n{n}")).await;
    }
    let down_types: Vec<_> = (0..30).map(|n| format!("down.n{n}")).collect();
    for name in &down_types {
        bench.post(name, 3).await;
    }
    for _ in 0..3 {
        // Unknown endpoints, and later unresponsive ones, take all slots that they may have.
        let mut unresponsive = vec![bench.flight().await, bench.flight().await, bench.flight().await];
        bench.post("responsive", 1).await;
        loop {
            let flight = bench.flight().await;
            if flight.endpoint == responsive {
                flight.ends(End::Answer(200));
                break;
            }
            unresponsive.push(flight);
        }
        assert!(unresponsive.len() <= 6, "two slots are reserved for responsive endpoints");
        for flight in unresponsive {
            flight.ends(End::Timeout);
        }
    }
    // Every unresponsive endpoint still gets its turn.
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 30 {
        let flight = bench.flight().await;
        seen.insert(flight.endpoint);
        flight.ends(End::Timeout);
    }
}

#[tokio::test]
async fn an_endpoint_stays_responsive_after_its_idle_lane_was_dropped() {
    let bench = Bench::new(8, 4).await;
    let responsive = bench.responsive("responsive").await;
    let other = bench.endpoint("other").await;
    // An event without a hint arrives only after a poll, and a poll drops idle lanes.
    bench.post_without_hint("other", 1).await;
    bench.clock.advance_ms(5_000);
    let found = bench.flight_to(other).await;
    for n in 0..30 {
        bench.endpoint(&format!("down.n{n}")).await;
    }
    for n in 0..30 {
        bench.post(&format!("down.n{n}"), 1).await;
    }
    // With the one above, these are all slots for unknown endpoints.
    let mut unresponsive = vec![found];
    while unresponsive.len() < 6 {
        unresponsive.push(bench.flight().await);
    }
    bench.post("responsive", 1).await;
    bench.flight_to(responsive).await.ends(End::Answer(200));
    unresponsive.into_iter().for_each(|flight| flight.ends(End::Timeout));
}

#[tokio::test]
async fn after_a_restart_endpoints_that_failed_leave_slots_for_others() {
    let bench = Bench::new(8, 4).await;
    for n in 0..30 {
        bench.endpoint_with(&format!("down.n{n}"), 1).await;
    }
    for n in 0..30 {
        bench.post(&format!("down.n{n}"), 1).await;
    }
    let mut unresponsive = Vec::new();
    while unresponsive.len() < 4 {
        unresponsive.push(bench.flight().await);
    }
    let fresh = bench.endpoint("fresh").await;
    bench.post("fresh", 1).await;
    bench.flight_to(fresh).await.ends(End::Answer(200));
    unresponsive.into_iter().for_each(|flight| flight.ends(End::Timeout));
}

#[tokio::test]
async fn endpoints_are_served_in_turn() {
    let bench = Bench::new(1, 1).await;
    let (many, few) = (bench.responsive("many").await, bench.responsive("few").await);
    bench.post("many", 100).await;
    let first = bench.flight_to(many).await;
    bench.post("few", 3).await;
    first.ends(End::Answer(200));
    let mut order = Vec::new();
    for _ in 0..8 {
        let flight = bench.flight().await;
        order.push(flight.endpoint == few);
        flight.ends(End::Answer(200));
    }
    assert_eq!(order.iter().filter(|is_few| **is_few).count(), 3, "{order:?}");
}

#[tokio::test]
async fn a_backlog_larger_than_the_window_is_sent_whole_and_in_order() {
    let bench = Bench::new(1, 1).await;
    let endpoint = bench.responsive("a").await;
    bench.post("a", 1_500).await;
    for n in 0..1_500 {
        let flight = bench.flight_to(endpoint).await;
        assert_eq!(flight.payload, n.to_string());
        flight.ends(End::Answer(200));
    }
}

#[tokio::test]
async fn a_newly_active_endpoint_does_not_wait_behind_every_backlog() {
    let bench = Bench::new(1, 1).await;
    let mut busy = Vec::new();
    for name in ["a", "b", "c"] {
        busy.push(bench.responsive(name).await);
    }
    let quiet = bench.responsive("quiet").await;
    for name in ["a", "b", "c"] {
        bench.post(name, 6).await;
    }
    for endpoint in &busy {
        bench.flight_to(*endpoint).await.ends(End::Answer(200));
    }
    let first = bench.flight_to(busy[0]).await;
    bench.post("quiet", 1).await;
    first.ends(End::Answer(200));
    let second = bench.flight_to(quiet).await;
    // One priority turn in a round: an endpoint that is never empty is served in turn.
    bench.post("quiet", 2).await;
    second.ends(End::Answer(200));
    for endpoint in [busy[1], busy[2], busy[0], quiet, busy[1], busy[2], busy[0], quiet] {
        bench.flight_to(endpoint).await.ends(End::Answer(200));
    }
    bench.flight_to(busy[1]).await.ends(End::Answer(200));
    bench.post("quiet", 1).await;
    bench.flight_to(busy[2]).await.ends(End::Answer(200));
    bench.flight_to(quiet).await.ends(End::Answer(200));
}
