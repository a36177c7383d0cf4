//! Taking in events, and reading them.

use super::*;
use postrider::domain::event::IDEMPOTENCY_MS;

fn keyed(key: &str, payload: &str) -> NewEvent {
    NewEvent { idempotency_key: Some(key.to_owned()), ..an_event("a.b", payload) }
}

#[tokio::test]
async fn an_event_goes_to_every_endpoint_that_wants_it() {
    let world = fresh().await;
    let all = world.add_endpoint(&["*"]).await.id;
    let below = world.add_endpoint(&["x.y", "a.*"]).await.id;
    world.add_endpoint(&["a", "b.*", "webhook_endpoint.*"]).await;
    let accepted = world.take(vec![an_event("a.b", "{}")], now()).await.remove(0);
    assert_eq!(accepted.event.deliveries, 2);
    let queued: Vec<_> =
        accepted.queued.iter().map(|q| (q.endpoint_id, q.due_at, q.line == Line::Single)).collect();
    assert_eq!(queued, [(all, now(), false), (below, now(), false)]);
    let row = world.attempt(accepted.queued[1].attempt_id).await;
    assert_eq!((row.endpoint_id, row.event_id, row.attempt), (below, accepted.event.id, 1));
    assert_eq!((row.status, row.trigger), (AttemptStatus::Pending, Trigger::Event));
    assert_eq!((row.delivery_id, row.due_at, row.created_at), (row.id, Some(now()), now()));
}

#[tokio::test]
async fn paused_endpoints_are_queued_for_and_disabled_ones_are_not() {
    let world = fresh().await;
    let paused = world.add_endpoint(&["*"]).await.id;
    let disabled = world.add_endpoint(&["*"]).await.id;
    world.set_status(paused, EndpointStatus::Paused).await;
    world.set_status(disabled, EndpointStatus::Disabled).await;
    let accepted = world.take(vec![an_event("a", "1")], now()).await.remove(0);
    assert_eq!((accepted.event.deliveries, accepted.queued.len()), (1, 0));
    let log = world.log().await;
    assert_eq!(log.iter().map(|row| row.endpoint_id).collect::<Vec<_>>(), [paused]);
}

#[tokio::test]
async fn a_change_of_patterns_counts_for_the_next_event() {
    let world = fresh().await;
    let id = world.add_endpoint(&["a"]).await.id;
    assert_eq!(world.post("b").await.len(), 0);
    let patch = EndpointPatch { events: Some(vec![EventPattern::All]), ..EndpointPatch::default() };
    let kind = activity(ActivityKind::EndpointChanged);
    world.store.endpoint_update(world.app, id, patch, now(), kind).await.unwrap();
    assert_eq!(world.post("b").await.len(), 1);
    world.add_endpoint(&["b"]).await;
    assert_eq!(world.post("b").await.len(), 2);
}

#[tokio::test]
async fn events_of_one_app_do_not_reach_another() {
    let world = fresh().await;
    let other = world.add_app("other").await;
    world.add(an_endpoint(other, settings(&["*"]))).await;
    let accepted = world.take(vec![an_event("a", "1")], now()).await.remove(0);
    assert_eq!(accepted.event.deliveries, 0);
    assert!(world.store.event_get(other, accepted.event.id).await.unwrap().is_none());
    let page = world.store.event_list(other, EventFilter::default(), first_page(9)).await.unwrap();
    assert!(page.rows.is_empty());
    let unknown = world.store.event_insert(AppId::new(now()), vec![an_event("a", "1")], now()).await;
    assert!(matches!(unknown, Err(StoreError::Failed { .. })));
}

#[tokio::test]
async fn a_payload_is_kept_byte_for_byte() {
    let world = fresh().await;
    let payload = "{ \"b\":1.50,\n\"a\": \"ü\\u0000\" }";
    let event = NewEvent { resource_id: Some("r 1".to_owned()), ..an_event("a", payload) };
    let accepted = world.take(vec![event], now()).await.remove(0);
    let detail = world.store.event_get(world.app, accepted.event.id).await.unwrap().unwrap();
    assert_eq!(detail.payload.as_deref(), Some(payload.as_bytes()));
    assert_eq!(detail.event, accepted.event);
    assert_eq!(detail.event.resource_id.as_deref(), Some("r 1"));
}

#[tokio::test]
async fn an_event_shows_its_attempts_oldest_first() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    world.add_endpoint(&["*"]).await;
    let accepted = world.take(vec![an_event("a", "1")], now()).await.remove(0);
    let first = accepted.queued[0].attempt_id;
    let retry = world.fail(first).await;
    let detail = world.store.event_get(world.app, accepted.event.id).await.unwrap().unwrap();
    let ids: Vec<_> = detail.attempts.iter().map(|a| (a.id, a.status)).collect();
    let pending = AttemptStatus::Pending;
    let second = accepted.queued[1].attempt_id;
    assert_eq!(ids, [(first, AttemptStatus::Failed), (second, pending), (retry, pending)]);
    assert_eq!(detail.attempts[0].due_at, None);
    assert!(detail.attempts[2].due_at.is_some());
}

#[tokio::test]
async fn a_repeated_key_gives_the_first_answer_again() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let first = world.take(vec![keyed("k", "1")], now()).await.remove(0);
    let again = world.take(vec![keyed("k", "1")], now().plus_ms(IDEMPOTENCY_MS - 1)).await.remove(0);
    assert_eq!(again.event, first.event);
    assert!(again.queued.is_empty());
    assert_eq!(world.log().await.len(), 1);
}

#[tokio::test]
async fn a_key_that_stands_for_another_event_refuses_the_whole_batch() {
    let world = fresh().await;
    world.take(vec![keyed("k", "1")], now()).await;
    let resource = |r: &str| NewEvent { resource_id: Some(r.to_owned()), ..keyed("k", "1") };
    let other_type = NewEvent { event_type: event_type("a.c"), ..keyed("k", "1") };
    for other in [keyed("k", "2"), resource(""), resource("1"), other_type] {
        let batch = vec![an_event("a.b", "1"), other];
        let taken = world.store.event_insert(world.app, batch, now()).await.unwrap();
        assert_eq!(taken, Taken::KeyConflict { index: 1 });
    }
    let page = world.store.event_list(world.app, EventFilter::default(), first_page(9)).await.unwrap();
    assert_eq!(page.total.rows, 1);
}

#[tokio::test]
async fn keys_count_within_a_batch_too() {
    let world = fresh().await;
    let all = world.take(vec![keyed("k", "1"), an_event("z", "0"), keyed("k", "1")], now()).await;
    assert_eq!(all[0].event, all[2].event);
    let batch = vec![keyed("new", "1"), keyed("new", "2")];
    let taken = world.store.event_insert(world.app, batch, now()).await.unwrap();
    assert_eq!(taken, Taken::KeyConflict { index: 1 });
    let fresh_key = world.take(vec![keyed("new", "2")], now()).await;
    assert_eq!(fresh_key.len(), 1);
}

#[tokio::test]
async fn a_key_is_forgotten_after_24_hours_and_belongs_to_its_app() {
    let world = fresh().await;
    let first = world.take(vec![keyed("k", "1")], now()).await.remove(0);
    let later = now().plus_ms(IDEMPOTENCY_MS);
    let second = world.take(vec![keyed("k", "2")], later).await.remove(0);
    assert_ne!(first.event.id, second.event.id);
    let again = world.take(vec![keyed("k", "2")], later).await.remove(0);
    assert_eq!(again.event, second.event);
    let other = world.add_app("other").await;
    let taken = world.store.event_insert(other, vec![keyed("k", "3")], later).await.unwrap();
    assert!(matches!(taken, Taken::All(_)));
}

#[tokio::test]
async fn events_are_listed_newest_first_and_filtered() {
    let world = fresh().await;
    let names = ["a.b", "a.b.c", "a", "ab.c", "a.b"];
    let mut ids = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let at = now().plus_ms(i as i64);
        ids.push(world.take(vec![an_event(name, "1")], at).await.remove(0).event.id);
    }
    assert!(ids.is_sorted());
    let list = async |filter: EventFilter, page| {
        let page = world.store.event_list(world.app, filter, page).await.unwrap();
        let rows: Vec<_> =
            page.rows.iter().map(|event| ids.iter().position(|id| *id == event.id).unwrap()).collect();
        (rows, page.total.rows, page.next)
    };
    assert_eq!(list(EventFilter::default(), first_page(9)).await, (vec![4, 3, 2, 1, 0], 5, None));
    let (rows, total, next) = list(EventFilter::default(), first_page(2)).await;
    assert_eq!((rows, total), (vec![4, 3], 5));
    world.post("later").await;
    let next = PageRequest { start: Start::After(next.unwrap()), per_page: 2 };
    assert_eq!(list(EventFilter::default(), next).await.0, [2, 1]);

    let of = |t| EventFilter { event_type: Some(t), ..EventFilter::default() };
    assert_eq!(list(of(TypeFilter::Below(event_type("a"))), first_page(9)).await.0, [4, 1, 0]);
    assert_eq!(list(of(TypeFilter::Exactly(event_type("a.b"))), first_page(9)).await.0, [4, 0]);
    assert_eq!(list(of(TypeFilter::Exactly(event_type("none"))), first_page(9)).await.1, 0);
    let (since, until) = (Some(now().plus_ms(1)), Some(now().plus_ms(3)));
    let filter = EventFilter { since, until, ..EventFilter::default() };
    assert_eq!(list(filter, first_page(9)).await, (vec![2, 1], 2, None));
}

#[tokio::test]
async fn events_are_found_by_their_resource_and_by_a_search_text() {
    let world = fresh().await;
    let mut ids = Vec::new();
    for (name, resource) in
        [("order.paid", "o-1"), ("order.sent", "o-1"), ("user.new", "u-1"), ("user.new", "order")]
    {
        let event = NewEvent { resource_id: Some(resource.to_owned()), ..an_event(name, "1") };
        ids.push(world.take(vec![event], now()).await.remove(0).event.id);
    }
    world.add_app("other").await;
    let list = async |filter: EventFilter| {
        let page = world.store.event_list(world.app, filter, first_page(9)).await.unwrap();
        assert_eq!(page.total.rows, page.rows.len() as u64);
        page.rows.iter().map(|event| ids.iter().position(|id| *id == event.id).unwrap()).collect::<Vec<_>>()
    };
    let resource = |text: &str| EventFilter { resource: Some(text.to_owned()), ..EventFilter::default() };
    assert_eq!(list(resource("o-1")).await, [1, 0]);
    assert!(list(resource("O-1")).await.is_empty());
    let sent = Some(TypeFilter::Exactly(event_type("order.sent")));
    assert_eq!(list(EventFilter { event_type: sent, ..resource("o-1") }).await, [1]);
    let q = |text: &str| EventFilter { q: Some(text.to_owned()), ..EventFilter::default() };
    assert_eq!(list(q("ORDER")).await, [1, 0], "the resource id is order");
    assert_eq!(list(q("order")).await, [3, 1, 0]);
    assert_eq!(list(q("u-1")).await, [2]);
    assert_eq!(list(q(&ids[2].to_string())).await, [2]);
    assert_eq!(list(EventFilter { q: Some("sent".to_owned()), ..resource("o-1") }).await, [1]);
    assert!(list(q("nothing")).await.is_empty());
}

#[tokio::test]
async fn totals_are_counted_up_to_ten_thousand() {
    let world = fresh().await;
    for _ in 0..10 {
        world.take(vec![an_event("a", "1"); 1_000], now()).await;
    }
    let total = async || {
        let page = world.store.event_list(world.app, EventFilter::default(), first_page(1)).await;
        page.unwrap().total
    };
    assert_eq!(total().await, Total { rows: 10_000, capped: false });
    world.post("a").await;
    assert_eq!(total().await, Total { rows: 10_000, capped: true });
}
