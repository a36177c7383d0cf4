//! The delivery log: lists, details, sending again, tests.

use std::cmp::Ordering;

use super::*;
use postrider::domain::event::TEST_TYPE;

fn filter() -> AttemptFilter {
    AttemptFilter::default()
}

fn statuses(status: &[AttemptStatus]) -> AttemptFilter {
    AttemptFilter { status: status.to_vec(), ..filter() }
}

#[tokio::test]
async fn an_app_sees_only_its_own_rows() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let id = world.post_one("a").await;
    let other = world.add_app("other").await;
    let store = &world.store;
    let page = store.attempt_list(other, filter(), Sort::default(), first_page(9)).await.unwrap();
    assert_eq!((page.rows.len(), page.total.rows), (0, 0));
    assert_eq!(store.attempt_get(other, id).await.unwrap(), None);
    let kind = activity(ActivityKind::DeliveryRetried);
    assert_eq!(store.attempt_endpoint(other, id).await.unwrap(), None);
    assert_eq!(store.attempt_retry(other, id, vec![], now(), kind).await.unwrap(), Retried::NotFound);
}

#[tokio::test]
async fn every_filter_lets_through_what_it_names() {
    let world = fresh().await;
    let mut one = an_endpoint(world.app, settings(&["lic.*"]));
    one.settings.name = "Füchse_1".to_owned();
    let one = world.add(one).await.id;
    let mut two = an_endpoint(world.app, settings(&["order.paid"]));
    two.settings.url = "https://two.test/path%20x".to_owned();
    let two = world.add(two).await.id;
    let a = world.post_one("lic.new").await;
    let b = world.post_one("lic.old.x").await;
    let c = world.post_one("order.paid").await;
    world.finish(a, answered(204, now())).await;
    let b2 = world.fail(b).await;
    world.finish(b2, unanswered(ErrorKind::Dns, now().plus_ms(5))).await;
    let b3 = world.ids(statuses(&[AttemptStatus::Pending])).await[0];

    assert_eq!(world.ids(filter()).await, [b3, b2, c, b, a]);
    assert_eq!(world.ids(AttemptFilter { endpoint: Some(two), ..filter() }).await, [c]);
    assert_eq!(world.ids(AttemptFilter { endpoint: Some(one), ..filter() }).await, [b3, b2, b, a]);
    let unknown = Some(EndpointId::new(now()));
    assert_eq!(world.ids(AttemptFilter { endpoint: unknown, ..filter() }).await, []);
    use AttemptStatus::{Delivered, Exhausted, Failed, Pending};
    assert_eq!(world.ids(statuses(&[Failed, Delivered])).await, [b2, b, a]);
    assert_eq!(world.ids(statuses(&[Pending])).await, [b3, c]);
    assert_eq!(world.ids(statuses(&[Exhausted])).await, []);
    let of_type = |t| AttemptFilter { event_type: Some(t), ..filter() };
    assert_eq!(world.ids(of_type(TypeFilter::Exactly(event_type("lic.new")))).await, [a]);
    assert_eq!(world.ids(of_type(TypeFilter::Exactly(event_type("lic")))).await, []);
    assert_eq!(world.ids(of_type(TypeFilter::Below(event_type("lic")))).await, [b3, b2, b, a]);
    assert_eq!(world.ids(of_type(TypeFilter::Below(event_type("li")))).await, []);
    let of_status = |s| AttemptFilter { response_status: Some(s), ..filter() };
    assert_eq!(world.ids(of_status(StatusFilter::Exactly(500))).await, [b]);
    assert_eq!(world.ids(of_status(StatusFilter::Class(2))).await, [a]);
    assert_eq!(world.ids(AttemptFilter { error_kind: Some(ErrorKind::Dns), ..filter() }).await, [b2]);
    assert_eq!(world.ids(AttemptFilter { trigger: Some(Trigger::Retry), ..filter() }).await, [b3, b2]);
    let (since, until) = (Some(now().plus_ms(1)), Some(now().plus_ms(30)));
    assert_eq!(world.ids(AttemptFilter { since, ..filter() }).await, [b3, b2]);
    assert_eq!(world.ids(AttemptFilter { until: since, ..filter() }).await, [c, b, a]);
    assert_eq!(world.ids(AttemptFilter { since, until, ..filter() }).await, [b2]);
    let q = |q: &str| AttemptFilter { q: Some(q.to_owned()), ..filter() };
    assert_eq!(world.ids(q("FÜCHSE_")).await, [b3, b2, b, a]);
    assert_eq!(world.ids(q("%")).await, [c]);
    assert_eq!(world.ids(q("PAID")).await, [c]);
    assert_eq!(world.ids(q("o")).await, [b3, b2, c, b, a]);
    assert_eq!(world.ids(q("l_c")).await, []);
    let both = AttemptFilter { endpoint: Some(one), status: vec![Failed], ..q("lic") };
    assert_eq!(world.ids(both).await, [b2, b]);
}

#[tokio::test]
async fn rows_of_deleted_endpoints_stay_with_name_and_url() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await;
    let id = world.post_one("a").await;
    world.delete(endpoint.id).await;
    let row = world.attempt(id).await;
    assert_eq!((row.endpoint_name, row.endpoint_url), ("Example".to_owned(), endpoint.settings.url));
    assert_eq!(world.ids(AttemptFilter { q: Some("exAMPle".to_owned()), ..filter() }).await, [id]);
    assert_eq!(world.ids(AttemptFilter { endpoint: Some(endpoint.id), ..filter() }).await, [id]);
}

/// A log in which every sorted column has ties, and those that can be empty are so at times.
async fn varied() -> World {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    for (i, code) in [500, 200, 0, 404, 200, 1, 500, 200].into_iter().enumerate() {
        let at = now().plus_ms(i as i64 / 2);
        let id = world.take(vec![an_event("a", "1")], at).await[0].queued[0].attempt_id;
        let outcome = match code {
            0 => continue,
            1 => interrupted(at),
            code => Outcome { response_time_ms: Some(u32::from(code) / 3), ..answered(code, at) },
        };
        world.finish(id, outcome).await;
    }
    world
}

fn value(row: &Attempt, field: SortField) -> Option<String> {
    let number = |n: i64| format!("{n:020}");
    match field {
        SortField::Id => Some(number(row.id.0)),
        SortField::Delivery => Some(number(row.delivery_id.0)),
        SortField::LastActivity => Some(number(row.attempted_at.unwrap_or(row.created_at).as_millis())),
        SortField::CreatedAt => Some(number(row.created_at.as_millis())),
        SortField::AttemptedAt => row.attempted_at.map(|t| number(t.as_millis())),
        SortField::Status => Some(row.status.to_string()),
        SortField::ResponseStatus => row.response_status.map(|s| number(s.into())),
        SortField::ResponseTime => row.response_time_ms.map(|ms| number(ms.into())),
    }
}

/// The order of two rows.
pub(super) fn order(a: &Attempt, b: &Attempt, sort: Sort) -> Ordering {
    let by_value = match (value(a, sort.field), value(b, sort.field)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => return Ordering::Greater,
        (Some(_), None) => return Ordering::Less,
        (a, b) => a.cmp(&b),
    };
    let order = by_value.then(a.id.cmp(&b.id));
    if sort.descending { order.reverse() } else { order }
}

#[tokio::test]
async fn every_order_is_total_with_nulls_last_and_pages_join_up() {
    let world = varied().await;
    use SortField::{AttemptedAt, CreatedAt, Id, LastActivity, ResponseStatus, ResponseTime, Status};
    for field in [Id, CreatedAt, AttemptedAt, LastActivity, Status, ResponseStatus, ResponseTime] {
        for descending in [true, false] {
            let sort = Sort { field, descending };
            let mut expected = world.log().await;
            expected.sort_by(|a, b| order(a, b, sort));
            let expected: Vec<_> = expected.into_iter().map(|row| row.id).collect();
            let mut by_cursor = Vec::new();
            let mut by_page = Vec::new();
            let mut start = Start::Page(1);
            for number in 1.. {
                let page = world.list(filter(), sort, PageRequest { start, per_page: 3 }).await;
                by_cursor.extend(page.rows.iter().map(|row| row.id));
                let start_of_page = PageRequest { start: Start::Page(number), per_page: 3 };
                by_page.extend(world.list(filter(), sort, start_of_page).await.rows.iter().map(|r| r.id));
                assert_eq!(page.total, Total { rows: expected.len() as u64, capped: false });
                match page.next {
                    Some(key) => start = Start::After(key),
                    None => break,
                }
            }
            assert_eq!(by_cursor, expected, "{sort:?}");
            assert_eq!(by_page, expected, "{sort:?}");
        }
    }
}

#[tokio::test]
async fn cursors_neither_repeat_nor_omit_while_rows_are_added_and_finish() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let mut existing = Vec::new();
    for _ in 0..20 {
        existing.insert(0, world.post_one("a").await);
    }
    let mut seen = Vec::new();
    let mut start = Start::Page(1);
    loop {
        let page = world.list(filter(), Sort::default(), PageRequest { start, per_page: 3 }).await;
        seen.extend(page.rows.iter().map(|row| row.id));
        world.post("a").await;
        world.finish(existing[seen.len() % 20], answered(200, now())).await;
        match page.next {
            Some(key) => start = Start::After(key),
            None => break,
        }
    }
    assert_eq!(seen, existing);
}

#[tokio::test]
async fn lists_show_500_characters_and_the_detail_everything() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let body = "€".repeat(5_000);
    for truncated in [false, true] {
        let id = world.post_one("a").await;
        let mut outcome = answered(200, now());
        let response = outcome.response.as_mut().unwrap();
        response.body = body.as_bytes()[..14_999].to_vec();
        response.body_truncated = truncated;
        world.finish(id, outcome.clone()).await;
        let detail = world.detail(id).await;
        assert_eq!(detail.response, outcome.response);
        assert_eq!(detail.attempt.response_body, Some("€".repeat(500)));
    }
    let id = world.post_one("a").await;
    let mut outcome = answered(200, now());
    outcome.response.as_mut().unwrap().body = b"a\xff\xfeb".to_vec();
    world.finish(id, outcome).await;
    assert_eq!(world.attempt(id).await.response_body.as_deref(), Some("a\u{fffd}\u{fffd}b"));
    let id = world.post_one("a").await;
    let mut outcome = answered(200, now());
    outcome.response.as_mut().unwrap().body = vec![];
    world.finish(id, outcome).await;
    assert_eq!(world.attempt(id).await.response_body.as_deref(), Some(""));
}

#[tokio::test]
async fn an_exhausted_delivery_goes_on_by_any_of_its_rows() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let last = world.exhaust(first).await;
    let before = world.store.activity_recent(99).await.unwrap().len();
    let Retried::Queued(next, queued) = world.retry(first).await else { panic!() };
    assert_eq!((next.attempt, next.trigger, next.delivery_id), (4, Trigger::Manual, first));
    assert_eq!((next.status, next.due_at), (AttemptStatus::Pending, Some(now())));
    assert_eq!(
        queued,
        Queued { attempt_id: next.id, endpoint_id: endpoint, due_at: now(), line: Line::Single }
    );
    let old = world.attempt(last).await;
    assert_eq!((old.status, old.next_retry_at), (AttemptStatus::Failed, Some(now())));
    assert_eq!(world.store.activity_recent(99).await.unwrap().len(), before + 1);
    for id in [first, last, next.id] {
        assert_eq!(world.store.attempt_endpoint(world.app, id).await.unwrap(), Some(endpoint));
        let in_flight = vec![next.id];
        let kind = activity(ActivityKind::DeliveryRetried);
        let again = world.store.attempt_retry(world.app, id, in_flight, now(), kind).await.unwrap();
        assert_eq!(again, Retried::InFlight);
    }
    let done = world.finish(next.id, answered(500, now())).await;
    let status = AttemptStatus::Exhausted;
    assert_eq!(done, Finished::Done { status, queued: vec![], disabled: false, hold_changed: false });
    assert_eq!(world.attempt(last).await.next_retry_at, None);
}

#[tokio::test]
async fn a_delivered_or_cancelled_delivery_is_sent_again_as_a_new_one() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let delivered = world.post_one("a").await;
    world.finish(delivered, answered(200, now())).await;
    let cancelled = world.post_one("a").await;
    world.set_status(endpoint, EndpointStatus::Disabled).await;
    world.store.queue_cancel(9).await.unwrap();
    for old in [delivered, cancelled] {
        let status = world.attempt(old).await.status;
        let Retried::Queued(new, _) = world.retry(old).await else { panic!() };
        assert_eq!((new.attempt, new.trigger, new.delivery_id), (1, Trigger::Manual, new.id));
        assert_eq!(new.event_id, world.attempt(old).await.event_id);
        assert_eq!(world.attempt(old).await.status, status);
        assert_eq!(world.detail(new.id).await.attempts.len(), 1);
    }
}

#[tokio::test]
async fn nothing_is_sent_again_to_a_deleted_endpoint_or_without_a_row() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let id = world.post_one("a").await;
    world.finish(id, answered(200, now())).await;
    world.delete(endpoint).await;
    assert_eq!(world.retry(id).await, Retried::EndpointDeleted);
    assert_eq!(world.retry(AttemptId(999)).await, Retried::NotFound);
    assert_eq!(world.store.attempt_endpoint(world.app, AttemptId(999)).await.unwrap(), None);
}

#[tokio::test]
async fn a_test_is_logged_and_counts_nowhere() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let test = |outcome| TestDelivery {
        endpoint_id: endpoint,
        event_id: EventId::at(now()),
        event_type: event_type(TEST_TYPE),
        payload: b"{}".to_vec().into(),
        created_at: now(),
        outcome,
    };
    let good = test(answered(200, now()));
    let ok = world.store.test_record(world.app, good.clone()).await.unwrap();
    let bad = world.store.test_record(world.app, test(answered(410, now()))).await.unwrap();
    let detail = world.detail(ok).await;
    let row = &detail.attempt;
    assert_eq!((row.status, row.trigger, row.attempt), (AttemptStatus::Delivered, Trigger::Test, 1));
    assert_eq!((row.event_id, row.event_type.as_str()), (good.event_id, TEST_TYPE));
    assert_eq!((&detail.request, &detail.response), (&good.outcome.request, &good.outcome.response));
    assert_eq!(world.attempt(bad).await.status, AttemptStatus::Exhausted);
    let untouched = world.endpoint(endpoint).await;
    assert_eq!((untouched.status, untouched.consecutive_failures), (EndpointStatus::Active, 0));
    let page = world.store.event_list(world.app, EventFilter::default(), first_page(9)).await.unwrap();
    assert!(page.rows.is_empty());
    assert!(world.store.event_get(world.app, good.event_id).await.unwrap().is_some());

    let Retried::Queued(again, _) = world.retry(bad).await else { panic!() };
    assert_eq!(again.trigger, Trigger::Test, "a test stays one");
    world.finish(again.id, answered(500, now())).await;
    assert_eq!(world.endpoint(endpoint).await.consecutive_failures, 0);
    assert_eq!(world.store.stats_totals(world.app, None).await.unwrap(), Totals::default());
    let since = now().hour();
    let points = world.store.stats_points(world.app, None, since, since.plus_ms(3_600_000), 3_600_000);
    assert_eq!(points.await.unwrap(), []);
}
