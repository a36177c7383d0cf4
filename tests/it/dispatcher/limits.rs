//! How many requests are in flight, and for whom there is room.

use super::*;

#[tokio::test]
async fn the_limits_are_used_and_never_exceeded() {
    let bench = Bench::new(5, 2).await;
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c"] {
        endpoints.push(bench.answering(name).await);
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
        // Not always the oldest one ends first.
        let at = (n * 7) % flights.len();
        flights.swap_remove(at).ends(End::Answer(if n % 3 == 0 { 500 } else { 200 }));
    }
    assert_eq!(bench.counts(None).1, 5);
    assert!(endpoints.iter().all(|id| bench.counts(Some(*id)).1 == 2));
    bench.dispatcher.stop(Duration::from_secs(20)).await;
    for id in endpoints {
        let statuses = bench.statuses(id).await;
        let delivered = statuses.iter().filter(|s| **s == AttemptStatus::Delivered).count();
        let failed = statuses.iter().filter(|s| **s == AttemptStatus::Failed).count();
        assert_eq!(delivered + failed, 21, "{statuses:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_times_out_gets_one_slot_until_it_answers() {
    let bench = Bench::new(20, 4).await;
    let (slow, other) = (bench.answering("slow").await, bench.answering("other").await);
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
async fn however_many_are_dead_those_that_answer_have_room() {
    let bench = Bench::new(8, 4).await;
    let alive = bench.answering("alive").await;
    for n in 0..30 {
        bench.endpoint(&format!("dead.n{n}")).await;
    }
    let dead_types: Vec<_> = (0..30).map(|n| format!("dead.n{n}")).collect();
    for name in &dead_types {
        bench.post(name, 3).await;
    }
    for _ in 0..3 {
        // Those that are not known yet, and later those that are slow, take all they may have.
        let mut dead = vec![bench.flight().await, bench.flight().await, bench.flight().await];
        bench.post("alive", 1).await;
        loop {
            let flight = bench.flight().await;
            if flight.endpoint == alive {
                flight.ends(End::Answer(200));
                break;
            }
            dead.push(flight);
        }
        assert!(dead.len() <= 6, "two slots are for those that answer");
        for flight in dead {
            flight.ends(End::Timeout);
        }
    }
    // All of them get their turn all the same.
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 30 {
        let flight = bench.flight().await;
        seen.insert(flight.endpoint);
        flight.ends(End::Timeout);
    }
}

#[tokio::test]
async fn one_that_answers_has_room_after_a_rest_too() {
    let bench = Bench::new(8, 4).await;
    let alive = bench.answering("alive").await;
    let other = bench.endpoint("other").await;
    // What only a look at the table finds shows that there was one, after which idle lanes are forgotten.
    bench.post_untold("other", 1).await;
    bench.clock.advance_ms(5_000);
    let found = bench.flight_to(other).await;
    for n in 0..30 {
        bench.endpoint(&format!("dead.n{n}")).await;
    }
    for n in 0..30 {
        bench.post(&format!("dead.n{n}"), 1).await;
    }
    // With the one above all slots for those that are not known.
    let mut dead = vec![found];
    while dead.len() < 6 {
        dead.push(bench.flight().await);
    }
    bench.post("alive", 1).await;
    bench.flight_to(alive).await.ends(End::Answer(200));
    dead.into_iter().for_each(|flight| flight.ends(End::Timeout));
}

#[tokio::test]
async fn after_a_restart_those_that_failed_leave_room_for_those_that_did_not() {
    let bench = Bench::new(8, 4).await;
    for n in 0..30 {
        bench.endpoint_with(&format!("dead.n{n}"), 1).await;
    }
    for n in 0..30 {
        bench.post(&format!("dead.n{n}"), 1).await;
    }
    let mut dead = Vec::new();
    while dead.len() < 4 {
        dead.push(bench.flight().await);
    }
    let fresh = bench.endpoint("fresh").await;
    bench.post("fresh", 1).await;
    bench.flight_to(fresh).await.ends(End::Answer(200));
    dead.into_iter().for_each(|flight| flight.ends(End::Timeout));
}

#[tokio::test]
async fn endpoints_are_served_in_turn() {
    let bench = Bench::new(1, 1).await;
    let (many, few) = (bench.answering("many").await, bench.answering("few").await);
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
    let endpoint = bench.answering("a").await;
    bench.post("a", 1_500).await;
    for n in 0..1_500 {
        let flight = bench.flight_to(endpoint).await;
        assert_eq!(flight.payload, n.to_string());
        flight.ends(End::Answer(200));
    }
}

#[tokio::test]
async fn one_that_had_nothing_waiting_does_not_stand_behind_every_backlog() {
    let bench = Bench::new(1, 1).await;
    let mut busy = Vec::new();
    for name in ["a", "b", "c"] {
        busy.push(bench.answering(name).await);
    }
    let quiet = bench.answering("quiet").await;
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
    // Once in a round: whoever has something all the time is served in turn.
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
