//! The log by delivery: one row for each, its newest attempt.

use super::*;
use postrider::domain::attempts::attempt::{LastOutcome, Trigger};
use postrider::domain::filter::View;

fn filter() -> AttemptFilter {
    AttemptFilter { view: View::Deliveries, ..AttemptFilter::default() }
}

fn by_delivery() -> Sort {
    Sort::newest(View::Deliveries)
}

async fn rows(world: &World, filter: AttemptFilter, sort: Sort) -> Vec<AttemptId> {
    let page = world.list(filter, sort, first_page(200)).await;
    assert_eq!(page.total.rows, page.rows.len() as u64);
    page.rows.into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_delivery_is_one_row_that_tells_how_its_last_attempt_ended() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let (a, b, c) = (world.post_one("a").await, world.post_one("b").await, world.post_one("c").await);
    let a2 = world.fail(a).await;
    world.finish(a2, unanswered(ErrorKind::Timeout, now().plus_ms(7))).await;
    world.finish(b, answered(200, now())).await;
    let page = world.list(filter(), by_delivery(), first_page(9)).await;
    let [newest, delivered, waiting] = &page.rows[..] else { panic!("{page:?}") };
    assert_eq!((newest.id, newest.last.clone()), (c, None), "it was never sent");
    assert_eq!((delivered.id, delivered.last.clone()), (b, None));
    assert_eq!((waiting.delivery_id, waiting.attempt, waiting.status), (a, 3, AttemptStatus::Pending));
    let before = world.attempt(a2).await;
    let last = LastOutcome {
        response_status: None,
        error_kind: Some(ErrorKind::Timeout),
        error_message: before.error_message,
        attempted_at: before.attempted_at,
    };
    assert_eq!(waiting.last, Some(last));
    assert!(waiting.last.as_ref().unwrap().error_message.is_some());

    let wanted = [(Some(ErrorKind::Timeout), vec![waiting.id]), (Some(ErrorKind::HttpStatus), vec![])];
    for (error_kind, found) in wanted {
        assert_eq!(rows(&world, AttemptFilter { error_kind, ..filter() }, by_delivery()).await, found);
    }
    let of = |status| AttemptFilter { response_status: Some(status), ..filter() };
    assert_eq!(rows(&world, of(StatusFilter::Class(2)), by_delivery()).await, [b]);
    assert_eq!(rows(&world, of(StatusFilter::Exactly(500)), by_delivery()).await, []);
    let of_attempts = AttemptFilter { error_kind: Some(ErrorKind::Timeout), ..AttemptFilter::default() };
    assert_eq!(world.ids(of_attempts).await, [a2], "attempts are found by their own outcome");
}

#[tokio::test]
async fn a_delivery_that_goes_on_by_hand_waits_with_its_last_outcome() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let first = world.post_one("a").await;
    world.exhaust(first).await;
    let Retried::Queued(next, _) = world.retry(first).await else { panic!() };
    let of = AttemptFilter { response_status: Some(StatusFilter::Exactly(500)), ..filter() };
    let page = world.list(of, by_delivery(), first_page(9)).await;
    let [row] = &page.rows[..] else { panic!("{page:?}") };
    assert_eq!((row.id, row.trigger), (next.id, Trigger::Manual));
    let last = row.last.as_ref().unwrap();
    assert_eq!((last.response_status, last.error_kind), (Some(500), Some(ErrorKind::HttpStatus)));
}

#[tokio::test]
async fn a_local_failure_is_the_last_outcome_of_the_row_itself() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let first = world.post_one("a").await;
    let second = world.fail(first).await;
    let mut outcome = unanswered(ErrorKind::Local, now());
    outcome.failure.as_mut().unwrap().message = "no descriptors".to_owned();
    world.finish(second, outcome).await;
    let of = |error_kind| AttemptFilter { error_kind: Some(error_kind), ..filter() };
    assert_eq!(rows(&world, of(ErrorKind::Local), by_delivery()).await, [second]);
    assert_eq!(rows(&world, of(ErrorKind::HttpStatus), by_delivery()).await, []);
    let last = world.attempt(second).await.last.unwrap();
    assert_eq!((last.response_status, last.error_kind), (None, Some(ErrorKind::Local)));
    assert_eq!(last.error_message.as_deref(), Some("no descriptors"));
    assert_eq!(last.attempted_at, world.attempt(first).await.attempted_at);
}

#[tokio::test]
async fn cursors_neither_repeat_nor_omit_deliveries_that_are_retried_meanwhile() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let mut deliveries = Vec::new();
    let mut newest = Vec::new();
    for _ in 0..20 {
        deliveries.insert(0, world.post_one("a").await);
    }
    newest.extend(deliveries.iter().copied());
    let mut seen = Vec::new();
    let mut start = Start::Page(1);
    loop {
        let page = world.list(filter(), by_delivery(), PageRequest { start, per_page: 3 }).await;
        seen.extend(page.rows.iter().map(|row| row.delivery_id));
        world.post("a").await;
        // Deliveries on both sides of the cursor get a newer attempt, or their end.
        for at in [seen.len() - 1, seen.len() % 20, (seen.len() + 5) % 20] {
            newest[at] = match world.finish(newest[at], answered(500, now())).await {
                Finished::Done { queued, .. } if !queued.is_empty() => queued[0].attempt_id,
                _ => newest[at],
            };
        }
        match page.next {
            Some(key) => start = Start::After(key),
            None => break,
        }
    }
    assert_eq!(seen, deliveries);
}

#[tokio::test]
async fn the_newest_activity_comes_first() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let at = |ms: i64| now().plus_ms(ms);
    let mut ids = Vec::new();
    for ms in [0, 10, 20, 30] {
        ids.push(world.take(vec![an_event("a", "1")], at(ms)).await[0].queued[0].attempt_id);
    }
    let [old, sent, waiting, fresh_one] = ids[..] else { panic!() };
    world.finish(sent, answered(200, at(40))).await;
    let Finished::Done { queued, .. } = world.finish(old, answered(500, at(50))).await else { panic!() };
    let sort = Sort { field: SortField::LastActivity, descending: true };
    assert_eq!(rows(&world, filter(), sort).await, [queued[0].attempt_id, sent, fresh_one, waiting]);
}
