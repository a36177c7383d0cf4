//! Searching by what is in no index: errors, payloads, response bodies.

use super::*;
use postrider::domain::filter::{ErrorText, View};

fn filter() -> AttemptFilter {
    AttemptFilter::default()
}

fn error(part: &str) -> AttemptFilter {
    AttemptFilter { error: Some(ErrorText { part: part.to_owned(), with_addresses: false }), ..filter() }
}

fn contains(text: &str) -> AttemptFilter {
    AttemptFilter { contains: Some(text.to_owned()), ..filter() }
}

/// Everything that a filter finds, in pages of two.
async fn found(world: &World, filter: AttemptFilter) -> Vec<AttemptId> {
    let mut found = Vec::new();
    let mut start = Start::Page(1);
    loop {
        let page = PageRequest { start, per_page: 2 };
        let page = world.store.attempt_search(world.app, filter.clone(), page).await.unwrap();
        found.extend(page.rows.iter().map(|row| row.id));
        match page.next {
            Some(key) => start = Start::After(key),
            None => break,
        }
    }
    let mut exported = Vec::new();
    let mut from = Some(ExportPosition::default());
    while let Some(place) = from {
        let sort = Sort::newest(filter.view);
        let page = world.store.export_page(world.app, filter.clone(), sort, place, 3).await.unwrap();
        exported.extend(page.rows.iter().map(|row| row.id));
        from = page.next;
    }
    assert_eq!(exported, found, "an export has the rows of the list");
    found
}

fn failed(message: &str) -> Outcome {
    let mut outcome = unanswered(ErrorKind::Connect, now());
    outcome.failure.as_mut().unwrap().message = message.to_owned();
    outcome
}

#[tokio::test]
async fn errors_are_found_by_a_part_and_deliveries_by_their_last_one() {
    let world = fresh().await;
    let one = world.add_endpoint(&["a.*"]).await.id;
    world.add_endpoint(&["b"]).await;
    let mut firsts = Vec::new();
    for message in ["Connection refused", "the name does not resolve", "REFUSED again", "refused"] {
        let id = world.post_one("a.x").await;
        world.finish(id, failed(message)).await;
        firsts.push(id);
    }
    let other = world.post_one("b").await;
    world.finish(other, failed("refused")).await;
    let fine = world.post_one("a.x").await;
    world.finish(fine, answered(200, now())).await;
    let [a, _, c, d] = firsts[..] else { panic!() };
    assert_eq!(found(&world, error("refused")).await, [other, d, c, a]);
    assert_eq!(found(&world, error("%")).await, []);
    assert_eq!(found(&world, AttemptFilter { endpoint: Some(one), ..error("refused") }).await, [d, c, a]);
    let pending = AttemptFilter { view: View::Deliveries, ..error("REFUSED") };
    let rows = found(&world, pending.clone()).await;
    let deliveries: Vec<_> = futures_util::future::join_all(rows.iter().map(|id| world.attempt(*id))).await;
    assert!(deliveries.iter().all(|row| row.status == AttemptStatus::Pending && row.attempt == 2));
    assert_eq!(deliveries.iter().map(|row| row.delivery_id).collect::<Vec<_>>(), [other, d, c, a]);
    let typed = TypeFilter::Below(event_type("a"));
    assert_eq!(found(&world, AttemptFilter { event_type: Some(typed), ..pending }).await.len(), 3);
}

#[tokio::test]
async fn addresses_that_a_caller_may_not_see_are_not_found_either() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let id = world.post_one("a").await;
    let message = "db.test resolves to 10.0.0.7, which is private; allow 10.0.0.7/32 in network.allow";
    world.finish(id, failed(message)).await;
    assert_eq!(found(&world, error("10.0.0.7")).await, []);
    assert_eq!(found(&world, error("DB.test resolves to private")).await, [id]);
    let with_addresses = AttemptFilter {
        error: Some(ErrorText { part: "10.0.0.7".to_owned(), with_addresses: true }),
        ..filter()
    };
    assert_eq!(found(&world, with_addresses).await, [id]);
}

#[tokio::test]
async fn payloads_and_response_bodies_are_found_by_a_literal_part() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let mut ids = Vec::new();
    for payload in ["{\"order\":\"A-7\"}", "{\"order\":\"a-7\"}", "[\"%\"]"] {
        ids.push(world.take(vec![an_event("x", payload)], now()).await[0].queued[0].attempt_id);
    }
    let [upper, lower, percent] = ids[..] else { panic!() };
    let mut outcome = answered(500, now());
    outcome.response.as_mut().unwrap().body = b"no A-7 here".to_vec();
    world.finish(percent, outcome).await;
    assert_eq!(found(&world, contains("A-7")).await, [percent, upper]);
    assert_eq!(found(&world, contains("a-7")).await, [lower]);
    assert_eq!(found(&world, contains("%")).await.len(), 2, "the failed attempt and its retry");
    assert_eq!(found(&world, contains("nowhere")).await, []);
    let both = AttemptFilter { contains: Some("A-7".to_owned()), ..error("500") };
    assert_eq!(
        found(&world, both).await.len(),
        usize::from(world.attempt(percent).await.error_message.is_some_and(|m| m.contains("500")))
    );

    let filter = EventFilter { contains: Some("-7".to_owned()), ..EventFilter::default() };
    let page = PageRequest { start: Start::Page(1), per_page: 1 };
    let page = world.store.event_search(world.app, filter.clone(), page).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].id), (1, world.attempt(lower).await.event_id));
    let page = PageRequest { start: Start::After(page.next.unwrap()), per_page: 1 };
    let page = world.store.event_search(world.app, filter, page).await.unwrap();
    assert_eq!((page.rows[0].id, page.next), (world.attempt(upper).await.event_id, None));
}
