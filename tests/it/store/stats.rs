//! Statistics. That they equal the log at all times is tested in `invariants`.

use super::*;
use postrider::domain::attempts::status_class::StatusClass;
use postrider::domain::values::histogram::bucket_of;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

async fn points(world: &World, endpoint: Option<EndpointId>, from: i64, to: i64, step: i64) -> Vec<Point> {
    let start = now().hour();
    let (since, until) = (start.plus_ms(from), start.plus_ms(to));
    world.store.stats_points(world.app, endpoint, since, until, step).await.unwrap()
}

async fn figures(world: &World, endpoint: EndpointId, at: Timestamp) -> EndpointFigures {
    world.store.stats_endpoints(world.app, vec![endpoint], at).await.unwrap().remove(0)
}

#[tokio::test]
async fn steps_count_what_was_sent_in_them_by_endpoint() {
    let world = fresh().await;
    let one = world.add_endpoint(&["a"]).await.id;
    let two = world.add_endpoint(&["b"]).await.id;
    let start = now().hour();
    for (name, code, ms, at) in
        [("a", 200, 10, 0), ("a", 200, 10, 1), ("a", 500, 700, 2), ("b", 200, 5, 0), ("a", 200, 3, HOUR)]
    {
        let accepted = world.take(vec![an_event(name, "{}")], start.plus_ms(at)).await;
        let outcome = Outcome { response_time_ms: Some(ms), ..answered(code, start.plus_ms(at)) };
        world.finish(accepted[0].queued[0].attempt_id, outcome).await;
    }
    let first = Point {
        start_ms: start.as_millis(),
        deliveries: 3,
        delivered: 2,
        failed_attempts: 1,
        response_count: 3,
        response_ms_sum: 720,
        histogram: vec![(bucket_of(10), 2), (bucket_of(700), 1)],
        ..Point::default()
    };
    for step in [HOUR, 30 * MINUTE, MINUTE] {
        let found = points(&world, Some(one), -HOUR, 2 * HOUR, step).await;
        let failed_statuses = if step == HOUR { vec![(StatusClass::ServerError, 1)] } else { vec![] };
        let first = Point { failed_statuses, ..first.clone() };
        assert_eq!((found.len(), &found[0]), (2, &first), "step {step}");
    }
    assert_eq!(points(&world, Some(two), -HOUR, 2 * HOUR, HOUR).await.len(), 1);
    let all = points(&world, None, -HOUR, 2 * HOUR, HOUR).await;
    assert_eq!((all.len(), all[0].deliveries, all[0].response_count), (2, 4, 4));
    let day = start.as_millis() - start.as_millis().rem_euclid(DAY);
    let (since, until) = (Timestamp::from_millis(day), Timestamp::from_millis(day + 2 * DAY));
    let days = world.store.stats_points(world.app, None, since, until, DAY).await.unwrap();
    assert_eq!(days.iter().map(|p| p.deliveries).sum::<u64>(), 5);

    let other = world.add_app("other").await;
    for endpoint in [None, Some(one)] {
        let none = world.store.stats_points(other, endpoint, since, until, DAY).await.unwrap();
        assert_eq!(none, []);
        assert_eq!(world.store.stats_totals(other, endpoint).await.unwrap(), Totals::default());
    }
}

#[tokio::test]
async fn since_is_inclusive_and_until_exclusive() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    for at in 0..3 {
        let attempt = world.post_one("a").await;
        world.finish(attempt, answered(200, now().hour().plus_ms(at * HOUR))).await;
    }
    let count = async |since: i64, until: i64, step: i64| {
        let found = points(&world, Some(id), since, until, step).await;
        found.iter().map(|point| point.delivered).sum::<u64>()
    };
    for step in [HOUR, MINUTE] {
        assert_eq!(count(0, 3 * HOUR, step).await, 3);
        assert_eq!(count(step, 3 * HOUR, step).await, 2);
        assert_eq!(count(0, 2 * HOUR, step).await, 2);
        assert_eq!(count(0, 2 * HOUR + step, step).await, 3);
    }
}

#[tokio::test]
async fn a_retried_delivery_is_no_longer_exhausted_but_its_attempt_did_fail() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    world.exhaust(first).await;
    let sums = async || {
        let all = points(&world, None, 0, HOUR, HOUR).await;
        let t = world.store.stats_totals(world.app, Some(id)).await.unwrap();
        let point = (all[0].delivered, all[0].exhausted, all[0].failed_attempts, all[0].failed_deliveries);
        (point, (t.deliveries, t.delivered, t.exhausted, t.pending, t.response_count))
    };
    assert_eq!(sums().await, ((0, 1, 3, 1), (1, 0, 1, 0, 1)));
    let Retried::Queued(next, _) = world.retry(first).await else { panic!() };
    assert_eq!(sums().await, ((0, 0, 3, 0), (1, 0, 0, 1, 0)));
    world.finish(next.id, answered(200, now())).await;
    assert_eq!(sums().await, ((1, 0, 3, 0), (1, 1, 0, 0, 1)));
}

#[tokio::test]
async fn a_day_ends_after_24_hours_to_the_minute() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let accepted = world.take(vec![an_event("a", "1")], now()).await;
    world.finish(accepted[0].queued[0].attempt_id, answered(200, now())).await;
    // The test's time is 20 s into a minute, and a window holds no minute that it holds in part.
    for (after, last, before) in [
        (0, 1, 0),
        (DAY - 20_001, 1, 0),
        (DAY - 20_000, 1, 0),
        (DAY - 19_999, 0, 1),
        (2 * DAY - 20_000, 0, 1),
        (2 * DAY - 19_999, 0, 0),
    ] {
        let at = now().plus_ms(after);
        let found = figures(&world, id, at).await;
        let health = world.store.stats_health(world.app, id, 1, at).await.unwrap().unwrap();
        let days = (health.last_24h.deliveries, health.day_before.deliveries);
        assert_eq!((found.last_24h_deliveries, found.last_24h_failed), (last, 0));
        assert_eq!(days, (last, before), "after {after} ms");
        assert_eq!((health.last_24h.delivered, health.day_before.delivered), (last, before));
        assert_eq!(found.totals.deliveries, 1);
    }
}

#[tokio::test]
async fn errors_are_counted_by_kind_and_status_and_interrupted_ones_are_none() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    for (outcome, at) in [
        (answered(500, now()), 0),
        (unanswered(ErrorKind::Timeout, now()), 1),
        (answered(500, now().plus_ms(9)), 2),
        (answered(404, now()), 3),
        (interrupted(now()), 4),
    ] {
        world.set_status(id, EndpointStatus::Active).await;
        let accepted = world.take(vec![an_event("a", "1")], now().plus_ms(at)).await;
        world.finish(accepted[0].queued[0].attempt_id, outcome).await;
    }
    let health = world.store.stats_health(world.app, id, 10, now()).await.unwrap().unwrap();
    let found: Vec<_> = health.errors.iter().map(|e| (e.kind, e.response_status, e.count)).collect();
    assert_eq!(found[0], (ErrorKind::HttpStatus, Some(500), 2));
    assert_eq!(health.errors[0].last_at, now().plus_ms(34));
    assert_eq!(health.errors[0].last_message, "HTTP 500");
    assert!(found.contains(&(ErrorKind::HttpStatus, Some(404), 1)));
    assert!(found.contains(&(ErrorKind::Timeout, None, 1)));
    assert_eq!(found.len(), 3);
    assert_eq!(world.store.stats_health(world.app, id, 1, now()).await.unwrap().unwrap().errors.len(), 1);
    let other = world.add_app("other").await;
    assert_eq!(world.store.stats_health(other, id, 1, now()).await.unwrap(), None);
}

#[tokio::test]
async fn an_error_is_known_since_its_first_attempt_after_the_last_success() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let mut at = 0;
    let mut ends = async |code: u16| {
        at += 1_000;
        world.set_status(id, EndpointStatus::Active).await;
        let time = now().plus_ms(at);
        let accepted = world.take(vec![an_event("a", "1")], time).await;
        world.finish(accepted[0].queued[0].attempt_id, answered(code, time)).await;
        let health = world.store.stats_health(world.app, id, 10, time).await.unwrap().unwrap();
        let since = health.errors.iter().find(|e| e.response_status == Some(401)).and_then(|e| e.since);
        since.map(|since| since.as_millis() - now().as_millis())
    };
    assert_eq!(ends(401).await, Some(1_000));
    assert_eq!(ends(500).await, Some(1_000));
    assert_eq!(ends(401).await, Some(1_000));
    assert_eq!(ends(200).await, None);
    assert_eq!(ends(500).await, None);
    assert_eq!(ends(401).await, Some(6_000));
    assert_eq!(ends(401).await, Some(6_000));
}

#[tokio::test]
async fn storage_answers() {
    fresh().await.store.ping().await.unwrap();
}
