//! Everything that a store can hold, and all that it says of it: for moving everything from one backend to another.

use std::path::Path;

use postrider::domain::access::key::SecretHash;
use postrider::domain::alert::Told;
use postrider::domain::attempts::bulk_job::Work;
use postrider::domain::filter::View;
use postrider::domain::inbound::source::InboundOutcome;
use postrider::domain::retention::PagePolicy;
use postrider::store::location::{Location, Purpose};

use super::bulk_and_list::{Dice, add_rows};
use super::*;

/// A world in a SQLite file.
pub(crate) async fn in_file(path: &Path) -> World {
    World::of_store(Location::File(path.to_owned()).open(Purpose::Server, now()).unwrap()).await
}

/// Fills a store with all that there is: rows over some days, and one of everything else.
pub(crate) async fn fill(world: &World) {
    add_rows(world, &mut Dice(5), 5 * 3_600_000).await;
    let other = world.add_app("other").await;
    let store = &world.store;
    store.key_insert(accounts::a_key(world.app, "k1"), activity(ActivityKind::KeyCreated)).await.unwrap();
    store.key_insert(accounts::a_key(other, "k2"), activity(ActivityKind::KeyCreated)).await.unwrap();
    let user = accounts::a_user("ada@example.com");
    let entry = activity(ActivityKind::UserCreated);
    assert!(store.user_insert(user.clone(), "hash".to_owned(), entry).await.unwrap());
    let session = sessions::a_session(&user, "token", now());
    let entry = activity(ActivityKind::UserSignedIn);
    assert!(store.session_insert(session, "hash".to_owned(), entry).await.unwrap());
    let target = alerts::a_target("one");
    let entry = activity(ActivityKind::AlertTargetCreated);
    assert!(store.alert_target_insert(target.clone(), 9, entry).await.unwrap());
    let told = Told {
        target: target.id,
        kind: AlertKind::DiskLow,
        subject: "/data".to_owned(),
        mark: Some("m".to_owned()),
        at: now(),
    };
    store.alert_track(told).await.unwrap();
    let policy = PagePolicy { logs: Some(Span::parse("7d").unwrap()), events: None };
    store.retention_set_page(policy, activity(ActivityKind::RetentionChanged)).await.unwrap();
    store.clock_note(now().plus_ms(5), false, None).await.unwrap();
    add_source(world).await;
    add_events(world).await;
}

async fn add_source(world: &World) {
    let source = sources::source(world, "one", "token");
    let written = world.store.source_insert(source.clone(), 9, activity(ActivityKind::SourceCreated));
    assert_eq!(written.await.unwrap(), SourceWrite::Written);
    for _ in 0..2 {
        let (entry, event) =
            (sources::entry(InboundOutcome::Accepted), sources::event("{\"a\": 1}", Some(1)));
        world.store.inbound_take(source.id, entry, event, now()).await.unwrap();
    }
    let refused = sources::entry(InboundOutcome::Rejected);
    world.store.inbound_note(source.id, refused, now().plus_ms(1)).await.unwrap();
}

/// Events with keys, resources and long headers; pending attempts of a paused endpoint, retried and postponed ones,
/// tests, and a job.
async fn add_events(world: &World) {
    let store = &world.store;
    let keyed = NewEvent { idempotency_key: Some("once".to_owned()), ..an_event("k.e", "{\"k\": true}") };
    world.take(vec![keyed], now()).await;
    let batch = vec![an_event("b.one", "1"), an_event("b.two", "2")];
    store.event_batch_insert(world.app, "batch".to_owned(), batch, now()).await.unwrap();
    let about = NewEvent { resource_id: Some("r-9".to_owned()), ..an_event("about", "\"ü\"") };
    let pending = world.take(vec![about], now().plus_ms(9)).await;
    let first = pending[0].queued[0].attempt_id;
    let mut outcome = answered(500, now().plus_ms(10));
    if let Some(request) = &mut outcome.request {
        request.headers = [("x-long", "v".repeat(700).as_str()), ("a", "b")].into_iter().collect();
        request.body = Some(b"shaped".to_vec());
    }
    let Finished::Done { queued, .. } = world.finish(first, outcome).await else { panic!("stale") };
    let local = unanswered(ErrorKind::Local, now().plus_ms(20));
    world.finish(queued[0].attempt_id, local).await;
    let paused = world.add_endpoint(&["about"]).await;
    world.set_status(paused.id, EndpointStatus::Paused).await;
    world.take(vec![an_event("about", "{}")], now().plus_ms(30)).await;
    let test = TestDelivery {
        endpoint_id: paused.id,
        event_id: EventId::new(now()),
        event_type: event_type("webhook.test"),
        payload: b"{}".to_vec().into(),
        created_at: now(),
        outcome: answered(200, now()),
    };
    store.test_record(world.app, test).await.unwrap();
    let work = Work::Retry(AttemptFilter::default());
    let matched = store.job_count(world.app, work.clone()).await.unwrap().unwrap();
    assert!(matched > 0);
    store.job_insert(world.app, work, matched, now(), jobs::note()).await.unwrap();
}

const FIELDS: [SortField; 7] = [
    SortField::Id,
    SortField::CreatedAt,
    SortField::AttemptedAt,
    SortField::LastActivity,
    SortField::Status,
    SortField::ResponseStatus,
    SortField::ResponseTime,
];

/// All that a store says of what it holds, as lines.
pub(crate) async fn said(store: &dyn Backend) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |what: &str, value: &dyn std::fmt::Debug| lines.push(format!("{what}: {value:?}"));
    note("apps", &store.app_list().await.unwrap());
    note("keys", &store.key_list(None).await.unwrap());
    note("users", &store.user_list().await.unwrap());
    note("hash", &store.user_find("ada@example.com").await.unwrap());
    note("session", &store.session_get(SecretHash::of("token")).await.unwrap());
    note("targets", &store.alert_target_list().await.unwrap());
    note("told", &store.alert_told().await.unwrap());
    note("policy", &store.retention_page().await.unwrap());
    note("clock", &store.clock_seen().await.unwrap());
    let filter = ActivityFilter { kind: None, since: None, until: None };
    let entries = store.activity_list(filter, first_page(1_000)).await.unwrap().rows;
    let is_own = |entry: &&ActivityEntry| entry.activity.kind != ActivityKind::StorageMoved;
    note("activity", &entries.iter().filter(is_own).collect::<Vec<_>>());
    for app in store.app_list().await.unwrap() {
        lines.extend(said_of_app(store, app.id).await);
    }
    lines
}

async fn said_of_app(store: &dyn Backend, app: AppId) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |what: &str, value: &dyn std::fmt::Debug| lines.push(format!("{what}: {value:?}"));
    let endpoints =
        store.endpoint_list(app, EndpointFilter::default(), first_page(1_000)).await.unwrap().rows;
    note("endpoints", &endpoints);
    for endpoint in &endpoints {
        note("health", &store.stats_health(app, endpoint.id, 9, now().plus_ms(99)).await.unwrap());
        note("totals", &store.stats_totals(app, Some(endpoint.id)).await.unwrap());
    }
    let day = 86_400_000;
    let (since, until) = (now().as_millis() / day * day - day, now().as_millis() / day * day + 7 * day);
    let (since, until) = (Timestamp::from_millis(since), Timestamp::from_millis(until));
    for step in [3_600_000, 60_000] {
        note("points", &store.stats_points(app, None, since, until, step).await.unwrap());
    }
    note("types", &store.event_type_list(app, first_page(1_000)).await.unwrap());
    let events = store.event_list(app, EventFilter::default(), first_page(1_000)).await.unwrap().rows;
    note("events", &events);
    for event in &events {
        note("event", &store.event_get(app, event.id).await.unwrap());
        note("source", &store.source_of_event(app, event.id).await.unwrap());
        let of_event = AttemptFilter { event: Some(event.id), ..AttemptFilter::default() };
        note(
            "of event",
            &store.attempt_list(app, of_event, Sort::default(), first_page(200)).await.unwrap().rows,
        );
    }
    let about = EventFilter { resource: Some("r-1".to_owned()), ..EventFilter::default() };
    note("about", &store.event_list(app, about, first_page(1_000)).await.unwrap().rows);
    for source in store.source_list(app, first_page(100)).await.unwrap().rows {
        note("source", &source);
        let filter = InboundFilter { outcome: None, since: None, until: None };
        for row in store.inbound_list(app, source.id, filter, first_page(100)).await.unwrap().rows {
            note("inbound", &store.inbound_get(app, source.id, row.id).await.unwrap());
        }
    }
    for job in store.job_list(app, first_page(100)).await.unwrap().rows {
        note("job", &job);
    }
    lines.extend(said_of_log(store, app).await);
    lines
}

/// The log in all orders, page by page, with the details of each attempt, and its export.
async fn said_of_log(store: &dyn Backend, app: AppId) -> Vec<String> {
    let mut lines = Vec::new();
    let middle = now().plus_ms(30 * 3_600_000);
    for (view, field) in View::ALL.iter().flat_map(|view| FIELDS.map(|field| (*view, field))) {
        for (descending, since) in [(true, None), (false, None), (true, Some(middle))] {
            let (sort, mut start) = (Sort { field, descending }, Start::Page(1));
            loop {
                let filter = AttemptFilter { view, since, ..AttemptFilter::default() };
                let page = PageRequest { start, per_page: 50 };
                let page = store.attempt_list(app, filter, sort, page).await.unwrap();
                lines.push(format!("{view:?} {sort:?} {:?}: {:?}", page.total, page.rows));
                match page.next {
                    Some(next) => start = Start::After(next),
                    None => break,
                }
            }
        }
    }
    let (mut from, filter) = (ExportPosition::default(), AttemptFilter::default());
    loop {
        let part = store.export_page(app, filter.clone(), Sort::default(), from, 70).await.unwrap();
        for row in &part.rows {
            lines.push(format!("exported: {row:?}"));
            lines.push(format!("detail: {:?}", store.attempt_get(app, row.id).await.unwrap()));
        }
        match part.next {
            Some(next) => from = next,
            None => return lines,
        }
    }
}

/// Says where two stores differ.
#[track_caller]
pub(crate) fn assert_same(before: &[String], after: &[String]) {
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        assert_eq!(before, after, "line {at} of {}", before.len());
    }
    assert_eq!(before.len(), after.len());
}
