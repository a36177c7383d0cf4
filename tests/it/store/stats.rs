//! Roll-ups by the hour. That they equal the log at all times is tested in `invariants`.

use super::*;
use postrider::domain::histogram::bucket_of;

const HOUR: i64 = 3_600_000;

async fn hours(world: &World, endpoint: Option<EndpointId>, from: i64, to: i64) -> Vec<HourStats> {
    let (since, until) = (now().plus_ms(from), now().plus_ms(to));
    world.store.stats_hours(world.app, endpoint, since, until).await.unwrap()
}

#[tokio::test]
async fn hours_count_what_ended_in_them_by_endpoint() {
    let world = fresh().await;
    let one = world.add_endpoint(&["a"]).await.id;
    let two = world.add_endpoint(&["b"]).await.id;
    let start = now().hour();
    for (name, code, ms, at) in
        [("a", 200, 10, 0), ("a", 200, 10, 1), ("a", 500, 700, 2), ("b", 200, 5, 0), ("a", 200, 3, HOUR)]
    {
        let id = world.post_one(name).await;
        let outcome = Outcome { response_time_ms: Some(ms), ..answered(code, start.plus_ms(at)) };
        world.finish(id, outcome).await;
    }
    let first = HourStats {
        endpoint_id: one,
        hour: start,
        delivered: 2,
        exhausted: 0,
        failed_attempts: 1,
        response_ms_sum: 720,
        histogram: vec![(bucket_of(10), 2), (bucket_of(700), 1)],
    };
    let all = hours(&world, None, -HOUR, 2 * HOUR).await;
    assert_eq!(all.len(), 3);
    assert!(all.contains(&first));
    assert_eq!(hours(&world, Some(two), -HOUR, 2 * HOUR).await.len(), 1);
    let other = world.add_app("other").await;
    let (since, until) = (start, start.plus_ms(9 * HOUR));
    assert_eq!(world.store.stats_hours(other, None, since, until).await.unwrap(), []);
    assert_eq!(world.store.stats_hours(other, Some(one), since, until).await.unwrap(), []);
}

#[tokio::test]
async fn since_is_inclusive_and_until_exclusive() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let start = now().hour();
    for at in 0..3 {
        let attempt = world.post_one("a").await;
        world.finish(attempt, answered(200, start.plus_ms(at * HOUR))).await;
    }
    let count = async |since: i64, until: i64| {
        let (since, until) = (start.plus_ms(since), start.plus_ms(until));
        world.store.stats_hours(world.app, Some(id), since, until).await.unwrap().len()
    };
    assert_eq!(count(0, 3 * HOUR).await, 3);
    assert_eq!(count(1, 3 * HOUR).await, 2);
    assert_eq!(count(0, 2 * HOUR).await, 2);
    assert_eq!(count(0, 2 * HOUR + 1).await, 3);
}

#[tokio::test]
async fn a_retried_delivery_is_no_longer_exhausted_but_its_attempt_did_fail() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let first = world.post_one("a").await;
    world.exhaust(first).await;
    let sums = async || {
        let all = hours(&world, None, -HOUR, HOUR).await;
        (all[0].delivered, all[0].exhausted, all[0].failed_attempts)
    };
    assert_eq!(sums().await, (0, 1, 3));
    let Retried::Queued(next, _) = world.retry(first).await else { panic!() };
    assert_eq!(sums().await, (0, 0, 3));
    world.finish(next.id, answered(200, now())).await;
    assert_eq!(sums().await, (1, 0, 3));
}

#[tokio::test]
async fn storage_answers() {
    fresh().await.store.ping().await.unwrap();
}
