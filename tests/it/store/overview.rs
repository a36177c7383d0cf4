//! All endpoints of an app, due deliveries, sizes, and what the Retention page says.

use super::*;
use postrider::domain::retention::PagePolicy;

const HOUR: i64 = 3_600_000;

impl World {
    async fn due(&self, at: Timestamp) -> (u64, Option<Timestamp>) {
        let figures = self.store.due_figures(self.app, at, 100).await.unwrap();
        (figures.due, figures.oldest_due_at)
    }
}

#[tokio::test]
async fn endpoints_are_named_newest_first_and_deleted_ones_are_left_out() {
    let world = fresh().await;
    let (first, second) = (world.add_endpoint(&["*"]).await, world.add_endpoint(&["*"]).await);
    let gone = world.add_endpoint(&["*"]).await;
    world.delete(gone.id).await;
    world.set_status(second.id, EndpointStatus::Paused).await;
    let briefs = world.store.endpoint_briefs(world.app).await.unwrap();
    let found: Vec<_> = briefs.iter().map(|brief| (brief.id, brief.status)).collect();
    assert_eq!(found, [(second.id, EndpointStatus::Paused), (first.id, EndpointStatus::Active)]);
    let other = world.add_app("other").await;
    assert_eq!(world.store.endpoint_briefs(other).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_due_is_counted_up_to_a_cap_without_what_a_paused_endpoint_holds() {
    let world = fresh().await;
    let active = world.add_endpoint(&["a"]).await;
    let paused = world.add_endpoint(&["b"]).await;
    world.set_status(paused.id, EndpointStatus::Paused).await;
    assert_eq!(world.due(now()).await, (0, None));
    let first = world.post_one("a").await;
    world.post("a").await;
    world.post("b").await;
    assert_eq!(world.due(now()).await, (2, Some(now())));
    assert_eq!(world.due(now().plus_ms(-1)).await, (0, None));
    let capped = world.store.due_figures(world.app, now(), 1).await.unwrap();
    assert_eq!(capped.due, 1);
    let retry = world.fail(first).await;
    assert_eq!(world.due(now()).await.0, 1, "the retry is due later");
    let later = world.attempt(retry).await.due_at.unwrap();
    assert_eq!(world.due(later).await, (2, Some(now())));
    let single = world.exhaust(retry).await;
    let Retried::Queued(_, queued) = world.retry(single).await else { panic!("it can be retried") };
    assert_eq!(queued.line, Line::Single);
    assert_eq!(world.due(now()).await.0, 2, "a single shot is due as well");
    let other = world.add_app("other").await;
    assert_eq!(world.store.due_figures(other, later, 100).await.unwrap(), DueFigures::default());
    world.set_status(active.id, EndpointStatus::Disabled).await;
    assert_eq!(world.due(later).await.0, 1, "only what a person asked for");
}

#[tokio::test]
async fn hours_are_told_where_something_ended() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["a"]).await;
    world.add_endpoint(&["b"]).await;
    let (one, other) = (world.post_one("a").await, world.post_one("a").await);
    world.finish(one, answered(200, now())).await;
    world.exhaust(other).await;
    let hours = async |since| world.store.endpoint_hours(world.app, vec![endpoint.id], since).await.unwrap();
    let start = now().hour();
    let expected = HourCount { endpoint_id: endpoint.id, start, delivered: 1, exhausted: 1 };
    assert_eq!(hours(start).await, [expected]);
    assert_eq!(hours(start.plus_ms(-24 * HOUR)).await, [expected]);
    assert_eq!(hours(start.plus_ms(HOUR)).await, []);
}

#[tokio::test]
async fn sizes_are_estimated_from_the_first_and_the_last() {
    let world = fresh().await;
    let empty = world.store.storage_facts().await.unwrap();
    assert_eq!((empty.attempts, empty.events, empty.oldest_attempt_at), (0, 0, None));
    assert!(empty.database_bytes > 0 && !empty.version.is_empty());
    world.add_endpoint(&["*"]).await;
    for _ in 0..3 {
        world.post("a").await;
    }
    let facts = world.store.storage_facts().await.unwrap();
    assert_eq!((facts.attempts, facts.events, facts.oldest_attempt_at), (3, 3, Some(now())));
}

#[tokio::test]
async fn what_the_page_says_reads_back_as_it_was_given() {
    let world = fresh().await;
    assert_eq!(world.store.retention_page().await.unwrap(), PagePolicy::default());
    for page in [
        PagePolicy { logs: Span::parse("48h"), events: None },
        PagePolicy { logs: None, events: Span::parse("0") },
        PagePolicy { logs: Span::parse("7d"), events: Span::parse("90m") },
    ] {
        let entry = activity(ActivityKind::RetentionChanged);
        world.store.retention_set_page(page.clone(), entry).await.unwrap();
        assert_eq!(world.store.retention_page().await.unwrap(), page);
    }
    let world = reopen(world).await;
    assert_eq!(world.store.retention_page().await.unwrap().logs, Span::parse("7d"));
}
