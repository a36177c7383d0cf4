//! The health of endpoints, and lists that are sorted by it.

use super::*;
use postrider::domain::filter::{EndpointKey, EndpointSort};
use postrider::domain::health::{HealthState, HealthSummary};

const HOUR: i64 = 3_600_000;

impl World {
    async fn standing(&self, id: EndpointId, at: Timestamp) -> HealthSummary {
        self.store.endpoint_health(self.app, vec![id], at).await.unwrap().remove(0)
    }

    async fn state(&self, id: EndpointId) -> HealthState {
        self.standing(id, now()).await.health.state
    }

    /// An event whose attempt ends so at once.
    async fn ends(&self, event: &str, outcome: Outcome) -> AttemptId {
        let attempt = self.post_one(event).await;
        self.finish(attempt, outcome).await;
        attempt
    }

    async fn ranked(&self, sort: &str, filter: EndpointFilter, per_page: u32) -> Vec<Vec<String>> {
        let sort = EndpointSort::parse(sort).unwrap_or_default();
        let (mut pages, mut start): (Vec<Vec<String>>, Start<EndpointKey>) = (Vec::new(), Start::Page(1));
        loop {
            let page = PageRequest { start, per_page };
            let found =
                self.store.endpoint_ranked(self.app, filter.clone(), sort, page, now()).await.unwrap();
            pages.push(found.rows.into_iter().map(|endpoint| endpoint.settings.name).collect());
            match found.next {
                Some(key) => start = Start::After(key),
                None => return pages,
            }
        }
    }

    async fn named(&self, name: &str, event: &str) -> EndpointId {
        let mut endpoint = an_endpoint(self.app, settings(&[event]));
        endpoint.settings.name = name.to_owned();
        self.add(endpoint).await.id
    }
}

#[tokio::test]
async fn an_endpoint_is_failing_until_something_succeeds_and_stays_known_after_a_restart() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    assert_eq!(world.state(id).await, HealthState::Idle);
    world.ends("a", answered(200, now())).await;
    assert_eq!(world.state(id).await, HealthState::Healthy);
    // Three attempts of one delivery.
    let (one, two) = (world.post_one("a").await, world.post_one("a").await);
    let again = world.fail(one).await;
    world.fail(again).await;
    assert_ne!(world.state(id).await, HealthState::Failing);
    world.fail(two).await;
    let world = reopen(world).await;
    let found = world.standing(id, now()).await;
    assert_eq!((found.health.state, found.waiting), (HealthState::Failing, 2));
    assert_eq!((found.health.since, found.last_failure_at), (now().plus_ms(25), Some(now().plus_ms(25))));
    assert_eq!(found.health.message, "No success since 14 Nov 22:13 UTC: 3 attempts failed with HTTP 500.");
    world.ends("a", answered(200, now())).await;
    assert_eq!(world.state(id).await, HealthState::Healthy);
    assert_eq!(world.standing(id, now().plus_ms(25 * HOUR)).await.health.state, HealthState::Idle);
    let other = world.add_app("other").await;
    assert_eq!(world.store.endpoint_health(other, vec![id], now()).await.unwrap(), []);
}

#[tokio::test]
async fn pending_deliveries_whose_attempt_failed_count_and_cancelled_ones_do_not() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    for _ in 0..3 {
        let attempt = world.post_one("a").await;
        world.fail(attempt).await;
        world.ends("a", answered(200, now())).await;
    }
    assert_eq!(world.state(id).await, HealthState::Failing, "3 of 6 stand on a failed attempt");
    world.set_status(id, EndpointStatus::Disabled).await;
    assert_eq!(world.state(id).await, HealthState::Disabled);
    assert_eq!(world.store.queue_cancel(10).await.unwrap(), 3);
    world.set_status(id, EndpointStatus::Active).await;
    assert_eq!(world.state(id).await, HealthState::Healthy);
}

#[tokio::test]
async fn tests_interrupted_attempts_and_local_failures_leave_health_alone() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    world.ends("a", answered(200, now())).await;
    let before = world.standing(id, now()).await;
    let outcome = || answered(500, now());
    for _ in 0..3 {
        let test = TestDelivery {
            endpoint_id: id,
            event_id: EventId::at(now()),
            event_type: event_type("webhook.test"),
            payload: bytes::Bytes::from_static(b"{}"),
            created_at: now(),
            outcome: outcome(),
        };
        world.store.test_record(world.app, test).await.unwrap();
        world.ends("a", interrupted(now())).await;
        world.ends("a", unanswered(ErrorKind::Local, now())).await;
    }
    let after = world.standing(id, now()).await;
    assert_eq!((after.health, after.last_failure_at), (before.health, None));
}

#[tokio::test]
async fn exhausted_deliveries_are_degraded_while_they_are_in_the_last_day() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    for n in 0..12 {
        let attempt = world.post_one("a").await;
        if n % 6 == 0 {
            world.exhaust(attempt).await
        } else {
            world.finish(attempt, answered(200, now())).await;
            attempt
        };
    }
    let found = world.standing(id, now()).await;
    assert_eq!(found.health.state, HealthState::Degraded);
    assert_eq!(found.success_rate.map(f64::round), Some(83.0));
    // To the minute.
    assert_eq!(found.health.since.to_string(), "2023-11-14T22:13:00.000Z");
    let later = world.standing(id, now().plus_ms(25 * HOUR)).await;
    assert_eq!((later.health.state, later.success_rate), (HealthState::Idle, None));
}

#[tokio::test]
async fn slow_responses_are_degraded() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    for ms in [3_001, 3_000] {
        world.ends("a", Outcome { response_time_ms: Some(ms), ..answered(200, now()) }).await;
    }
    let found = world.standing(id, now()).await;
    assert_eq!(found.health.state, HealthState::Degraded);
    assert!(found.health.message.starts_with("Responses took 3.0 s on average"), "{}", found.health.message);
}

#[tokio::test]
async fn endpoints_are_listed_by_health_and_by_figures_page_by_page() {
    let world = fresh().await;
    let (well, bad) = (world.named("b well", "w").await, world.named("A bad", "b").await);
    world.named("c idle", "i").await;
    let paused = world.named("d paused", "p").await;
    world.set_status(paused, EndpointStatus::Paused).await;
    world.post("p").await;
    world.ends("w", answered(200, now())).await;
    let attempt = world.post_one("b").await;
    world.exhaust(attempt).await;
    assert_eq!(
        (world.state(well).await, world.state(bad).await),
        (HealthState::Healthy, HealthState::Failing)
    );

    let all = EndpointFilter::default;
    let by = async |sort: &str| world.ranked(sort, all(), 2).await.concat().join(", ");
    assert_eq!(world.ranked("health", all(), 3).await.len(), 2);
    assert_eq!(by("health").await, "d paused, A bad, c idle, b well");
    assert_eq!(by("name").await, "A bad, b well, c idle, d paused");
    assert_eq!(by("-name").await, "d paused, c idle, b well, A bad");
    // Nulls come last in both, and ties go by id.
    assert_eq!(by("last_failure_at").await, "A bad, b well, c idle, d paused");
    assert_eq!(by("-last_failure_at").await, "A bad, d paused, c idle, b well");
    assert_eq!(by("success_rate").await, "A bad, b well, c idle, d paused");
    assert_eq!(by("-success_rate").await, "b well, A bad, d paused, c idle");
    assert_eq!(by("-waiting").await, "d paused, c idle, A bad, b well");
    assert_eq!(by("waiting").await, "b well, A bad, c idle, d paused");
    assert_eq!(by("").await, "d paused, c idle, A bad, b well", "newest first");

    let health = vec![HealthState::Failing, HealthState::Idle];
    let some = EndpointFilter { health, ..all() };
    assert_eq!(world.ranked("name", some.clone(), 9).await.concat(), ["A bad", "c idle"]);
    let narrower = EndpointFilter { q: Some("BAD".to_owned()), ..some };
    assert_eq!(world.ranked("name", narrower, 9).await.concat(), ["A bad"]);
    let page = world
        .store
        .endpoint_ranked(world.app, all(), EndpointSort::default(), first_page(1), now())
        .await
        .unwrap();
    assert_eq!((page.total.rows, page.total.capped), (4, false));

    world.add_app("other").await;
    let counts = world.store.health_counts(now()).await.unwrap();
    let of = |state| counts.iter().find(|(of, _)| *of == state).map(|(_, n)| *n);
    assert_eq!(of(HealthState::Failing), Some(1));
    assert_eq!(of(HealthState::Disabled), Some(0));
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 4);
    world.delete(bad).await;
    let standings = world.store.app_health(world.app, now()).await.unwrap();
    let names: Vec<_> = standings.iter().map(|(brief, _)| brief.name.as_str()).collect();
    assert_eq!(names, ["d paused", "c idle", "b well"]);
}
