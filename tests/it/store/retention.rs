//! Retention: what goes, what stays, and that a walk in steps of any size comes to the same.

use postrider::store::StepLimit;
use postrider::store::location::{Location, Purpose};

use super::*;
use crate::support::postgres::{Database, is_wanted};

const DAY: i64 = 86_400_000;

async fn sweep_log(world: &World, before: Timestamp, limit: u32) -> u64 {
    let (mut after, mut removed) = (0, 0);
    loop {
        let step = world.store.retention_attempts(after, before, StepLimit::rows(limit)).await.unwrap();
        removed += step.removed;
        match step.next {
            Some(next) => after = next,
            None => return removed,
        }
    }
}

async fn sweep_events(world: &World, before: Timestamp, limit: u32) -> u64 {
    let (mut after, mut removed) = (0, 0);
    loop {
        let limit = StepLimit::rows(limit);
        let step = world.store.retention_events(Some(world.app), after, before, limit).await.unwrap();
        removed += step.removed;
        match step.next {
            Some(next) => after = next,
            None => return removed,
        }
    }
}

async fn events(world: &World) -> Vec<EventId> {
    let page = world.store.event_list(world.app, EventFilter::default(), first_page(200)).await.unwrap();
    assert_eq!(page.total.rows, page.rows.len() as u64);
    page.rows.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn a_delivery_goes_as_a_whole_and_its_newest_attempt_decides() {
    for limit in [1, 2, 250] {
        let world = fresh().await;
        let id = world.add_endpoint(&["*"]).await.id;
        let old = world.post_one("a").await;
        world.exhaust(old).await;
        let waits = world.post_one("b").await;
        let retried = world.post_one("c").await;
        let last = world.exhaust(retried).await;
        let kind = activity(ActivityKind::DeliveryRetried);
        let later = now().plus_ms(DAY);
        let Retried::Queued(next, _) =
            world.store.attempt_retry(world.app, last, vec![], later, kind).await.unwrap()
        else {
            panic!()
        };
        world.finish(next.id, answered(200, later)).await;
        let before = world.store.stats_health(world.app, id, 9, now()).await.unwrap();

        assert_eq!(sweep_log(&world, now(), limit).await, 0, "older than means older");
        assert_eq!(sweep_log(&world, now().plus_ms(1_000), limit).await, 3);
        let left: Vec<AttemptId> = world.log().await.iter().map(|row| row.delivery_id).collect();
        // The fifth failure in a row switched the endpoint off, so this one has two attempts and a retry.
        assert_eq!(left, [waits, retried, retried, retried]);
        assert_eq!(sweep_log(&world, later.plus_ms(1), limit).await, 3);
        assert_eq!(world.log().await.len(), 1, "what is pending stays");
        let after = world.store.stats_health(world.app, id, 9, now()).await.unwrap();
        let totals = |h: &Option<HealthFigures>| h.as_ref().unwrap().figures.totals;
        assert_eq!(totals(&before), totals(&after), "statistics stay");
    }
}

#[tokio::test]
async fn an_event_goes_by_its_own_policy_and_its_row_when_nothing_refers_to_it() {
    for limit in [1, 250] {
        let world = fresh().await;
        world.add_endpoint(&["a.*"]).await;
        let sent = world.take(vec![an_event("a.a", "1")], now()).await.remove(0);
        let waits = world.take(vec![an_event("a.b", "2")], now()).await.remove(0);
        let nowhere = world.take(vec![an_event("b", "3")], now()).await.remove(0);
        let young = world.take(vec![an_event("b", "4")], now().plus_ms(5)).await.remove(0);
        let attempt = sent.queued[0].attempt_id;
        world.finish(attempt, answered(200, now())).await;

        assert_eq!(sweep_events(&world, now(), limit).await, 0);
        assert_eq!(sweep_events(&world, now().plus_ms(5), limit).await, 2);
        assert_eq!(events(&world).await, [young.event.id, waits.event.id]);
        assert_eq!(world.store.event_get(world.app, nowhere.event.id).await.unwrap(), None);
        assert_eq!(world.store.event_get(world.app, sent.event.id).await.unwrap(), None);
        let row = world.detail(attempt).await;
        assert_eq!((row.request.is_some(), row.request_body), (true, None));
        assert!(matches!(world.retry(attempt).await, Retried::EventGone));

        sweep_log(&world, now().plus_ms(5), limit).await;
        assert_eq!(world.store.event_get(world.app, sent.event.id).await.unwrap(), None);
        assert_eq!(sweep_events(&world, now().plus_ms(5), limit).await, 0, "it is taken once");
        assert!(world.store.event_get(world.app, waits.event.id).await.unwrap().unwrap().payload.is_some());
    }
}

#[tokio::test]
async fn a_key_stands_for_its_event_for_as_long_as_it_is_remembered() {
    let world = fresh().await;
    let keyed = || NewEvent { idempotency_key: Some("k".to_owned()), ..an_event("a", "1") };
    let first = world.take(vec![keyed()], now()).await.remove(0);
    assert_eq!(sweep_events(&world, now().plus_ms(1), 250).await, 1);
    let again = world.take(vec![keyed()], now().plus_ms(2)).await.remove(0);
    assert_eq!(again.event.id, first.event.id);
    assert_eq!(events(&world).await, []);
    assert_eq!(world.store.retention_keys(now().plus_ms(-1), StepLimit::rows(250)).await.unwrap().removed, 0);
    assert_eq!(world.store.retention_keys(now(), StepLimit::rows(250)).await.unwrap().removed, 1);
    assert_eq!(world.store.event_get(world.app, first.event.id).await.unwrap(), None);
}

#[tokio::test]
async fn minutes_go_and_hours_stay() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    for minutes in 0..5 {
        let at = now().plus_ms(minutes * 60_000);
        let taken = world.take(vec![an_event("a", "1")], at).await;
        world.finish(taken[0].queued[0].attempt_id, answered(200, at)).await;
    }
    let (mut after, mut removed) = (0, 0);
    while let SweepStep { removed: gone, next: Some(next), .. } =
        world.store.retention_minutes(after, now().plus_ms(3 * 60_000), 2).await.unwrap()
    {
        (after, removed) = (next, removed + gone);
    }
    assert_eq!(removed, 3);
    let since = now().hour();
    let hour = 3_600_000;
    for (step, left) in [(60_000, 2), (hour, 5)] {
        let points = world.store.stats_points(world.app, None, since, since.plus_ms(2 * hour), step).await;
        let points = points.unwrap();
        assert_eq!(points.iter().map(|p| p.delivered).sum::<u64>(), left);
        let times = points.iter().flat_map(|p| &p.histogram).map(|(_, n)| n).sum::<u64>();
        assert_eq!(times, left);
    }
}

#[tokio::test]
async fn old_activity_goes() {
    let world = fresh().await;
    for i in 0..5 {
        let entry = Activity { created_at: now().plus_ms(i), ..activity(ActivityKind::KeyCreated) };
        world.store.activity_append(entry).await.unwrap();
    }
    let step = world.store.retention_activity(now().plus_ms(4), 3).await.unwrap();
    assert_eq!((step.removed, step.next), (3, Some(0)));
    let step = world.store.retention_activity(now().plus_ms(4), 3).await.unwrap();
    assert_eq!((step.removed, step.next), (1, None));
    assert_eq!(world.store.activity_recent(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn freed_space_goes_back_to_the_file_system() {
    let world = fresh().await;
    let payload = format!("\"{}\"", "x".repeat(200_000));
    for _ in 0..40 {
        world.take(vec![an_event("a", &payload)], now()).await;
    }
    let world = reopen(world).await;
    let size = |world: &World| world.factory.file().map(|path| std::fs::metadata(path).unwrap().len());
    let Some(full) = size(&world) else { return };
    assert_eq!(world.store.retention_shrink(64).await.unwrap(), 0, "nothing is free yet");
    assert_eq!(sweep_events(&world, now().plus_ms(1), 250).await, 40);
    let mut pages = 0;
    loop {
        match world.store.retention_shrink(64).await.unwrap() {
            0 => break,
            gone => pages += gone,
        }
    }
    assert!(pages > 64);
    let world = reopen(world).await;
    assert!(size(&world).is_some_and(|size| size < full / 4), "{:?} of {full}", size(&world));
}

#[tokio::test]
async fn the_latest_time_is_kept() {
    let world = fresh().await;
    assert_eq!(world.store.clock_seen().await.unwrap(), None);
    world.store.clock_note(now(), false, None).await.unwrap();
    world.store.clock_note(now().plus_ms(-5), false, None).await.unwrap();
    let world = reopen(world).await;
    assert_eq!(world.store.clock_seen().await.unwrap(), Some(now()));
    let entry = activity(ActivityKind::RetentionClockAccepted);
    world.store.clock_note(now().plus_ms(-5), true, Some(entry.clone())).await.unwrap();
    assert_eq!(world.store.clock_seen().await.unwrap(), Some(now().plus_ms(-5)));
    assert_eq!(world.store.activity_recent(1).await.unwrap(), [entry]);
}

#[tokio::test]
async fn rows_that_a_wrong_clock_dated_into_the_future_hold_nothing_up() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    for at in [now().plus_ms(DAY), now().plus_ms(DAY), now()] {
        let taken = world.take(vec![an_event("a", "1")], at).await.remove(0);
        world.finish(taken.queued[0].attempt_id, answered(200, at)).await;
    }
    assert_eq!(sweep_log(&world, now().plus_ms(1), 2).await, 1);
    assert_eq!(sweep_events(&world, now().plus_ms(1), 2).await, 1);
    assert_eq!(world.log().await.len(), 2);
}

/// Copies of the oldest attempt of the log, which is delivered, and of the oldest event.
const COPIES: &str = "INSERT INTO log (id, app, endpoint, event, type, class, created_at, begun_at, due_at, result_seq, \
     attempt, schedule_used, attempted_at, status, trigger) SELECT f.id + g, app, endpoint, event, type, class, \
     created_at, begun_at, due_at, 0, attempt, schedule_used, attempted_at, status, trigger \
     FROM (SELECT * FROM log ORDER BY id LIMIT 1) f, generate_series(100000, 112000) g; \
     INSERT INTO events (id, uid, app, type, created_at, deliveries, origin, payload) SELECT f.id + g, \
     gen_random_uuid(), app, type, created_at, 0, origin, payload \
     FROM (SELECT * FROM events ORDER BY id LIMIT 1) f, generate_series(100000, 112000) g; ANALYZE log; ANALYZE events";

#[tokio::test]
async fn a_day_whose_rows_have_all_expired_goes_as_a_whole_but_for_what_is_needed() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = Location::Server(database.server()).open(Purpose::Server, now()).unwrap();
    let world = World::of_store(store).await;
    world.add_endpoint(&["many", "goes_on", "ended_later", "next_day", "retried"]).await;
    let paused = world.add_endpoint(&["waits"]).await;
    let many = world.post_one("many").await;
    world.finish(many, answered(200, now())).await;
    database.run(COPIES);
    world.fail(world.post_one("goes_on").await).await;
    let last = world.exhaust(world.post_one("ended_later").await).await;
    let kind = || activity(ActivityKind::DeliveryRetried);
    let third = now().plus_ms(3 * DAY);
    let again = world.store.attempt_retry(world.app, last, vec![], third, kind()).await.unwrap();
    let Retried::Queued(again, _) = again else { panic!("it can be retried") };
    world.finish(again.id, answered(200, third)).await;
    // Its second attempt is in the partition of the next day, which stays.
    let first = world.post_one("next_day").await;
    let Finished::Done { queued, .. } = world.finish(first, answered(500, now().plus_ms(DAY / 2))).await
    else {
        panic!("stale")
    };
    world.finish(queued[0].attempt_id, answered(200, now().plus_ms(DAY / 2))).await;
    let waits = world.post_one("waits").await;
    world.set_status(paused.id, EndpointStatus::Paused).await;
    world.take(vec![an_event("many", "{}")], third).await;

    let before = now().plus_ms(DAY * 3 / 4);
    let (mut after, mut steps, mut removed) = (0, Vec::new(), 0);
    loop {
        let step = world.store.retention_attempts(after, before, StepLimit::rows(250)).await.unwrap();
        steps.push(step);
        removed += step.removed;
        match step.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(steps.iter().any(|step| step.is_estimated && step.removed > 10_000), "{steps:?}");
    assert!((11_900..12_100).contains(&removed), "{removed}");
    let kept: Vec<_> =
        world.log().await.into_iter().map(|row| (row.event_type.to_string(), row.status)).collect();
    let of = |name: &str| {
        kept.iter().filter(|(kind, _)| kind == name).map(|(_, status)| *status).collect::<Vec<_>>()
    };
    use AttemptStatus::{Delivered, Failed, Pending};
    assert_eq!(of("goes_on"), [Failed, Pending]);
    assert_eq!(of("ended_later"), [Failed, Failed, Failed, Delivered]);
    assert_eq!(of("waits"), [Pending]);
    assert_eq!((of("many"), of("next_day")), (vec![Pending], vec![]));

    sweep_all_events(&world, before).await;
    let found = events(&world).await;
    let names: Vec<_> = kinds_of(&world, &found).await;
    assert_eq!(
        names,
        ["many", "webhook_endpoint.recovered", "waits", "goes_on"],
        "what is still to be sent, and what has not expired"
    );
    assert_eq!(world.attempt(waits).await.status, Pending);
    assert!(world.ids(AttemptFilter { event: Some(found[3]), ..AttemptFilter::default() }).await.len() == 2);
    let tables = "DO $$ BEGIN ASSERT NOT EXISTS (SELECT 1 FROM pg_class WHERE relkind = 'r' \
         AND relname ~ '^(log|events)_' AND relname !~ '_old$' \
         AND oid NOT IN (SELECT inhrelid FROM pg_inherits)), 'a partition was left'; END $$";
    database.run(tables);
    world.store.close().await;
}

async fn sweep_all_events(world: &World, before: Timestamp) {
    let mut after = 0;
    while let Some(next) =
        world.store.retention_events(None, after, before, StepLimit::rows(250)).await.unwrap().next
    {
        after = next;
    }
}

async fn kinds_of(world: &World, ids: &[EventId]) -> Vec<String> {
    let mut names = Vec::new();
    for id in ids {
        let found = world.store.event_get(world.app, *id).await.unwrap().unwrap();
        names.push(found.event.event_type.to_string());
    }
    names
}

/// Whether the partition that rows made at a time would go into is of an hour.
fn assert_hour(database: &Database, at: Timestamp, is_hour: bool) {
    let id = (at.as_millis() / 1_000) << 21;
    let from = "(substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \\(''(\\d+)'))::bigint";
    let to = "(substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''(\\d+)'))::bigint";
    database.run(&format!(
        "DO $$ BEGIN ASSERT (SELECT (({to} >> 21) - ({from} >> 21)) <= 3600 FROM pg_inherits i \
         JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'log'::regclass AND c.relname <> 'log_old' \
         AND {from} <= {id} AND {to} > {id}) = {is_hour}, 'the partition has another length'; END $$"
    ));
}

#[tokio::test]
async fn what_is_kept_for_less_than_two_days_is_in_partitions_of_an_hour() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = Location::Server(database.server()).open(Purpose::Server, now()).unwrap();
    let world = World::of_store(store).await;
    let id = world.add_endpoint(&["*"]).await.id;
    let tomorrow = now().plus_ms(DAY);
    assert_hour(&database, tomorrow, false);
    let kept = |ms: i64| Cutoffs {
        attempts: Some(now().plus_ms(-ms)),
        events: None,
        keys: now().plus_ms(-86_400_000),
    };
    world.store.retention_expired(kept(3 * DAY)).await.unwrap();
    assert_hour(&database, tomorrow, false);
    world.store.retention_expired(kept(DAY)).await.unwrap();
    assert_hour(&database, tomorrow, true);
    // Where there is none yet, who needs it makes one.
    let late = now().plus_ms(20 * DAY);
    world.take(vec![an_event("a", "{}")], late).await;
    world.finish(world.log().await[0].id, answered(200, late)).await;
    assert_hour(&database, late, true);
    assert_eq!(world.log().await.len(), 1);
    assert_eq!(world.endpoint(id).await.id, id);
    world.store.close().await;
}

/// How many rows a second go one by one and as a whole: `POSTRIDER_TEST_STORAGE=postgres cargo test --release --test it
/// -- --ignored --nocapture rows_a_second`.
#[tokio::test]
#[ignore = "a measurement"]
async fn rows_a_second_of_both_ways() {
    for (way, last) in [("one by one", 1), ("as a whole", 0)] {
        let database = Database::new();
        let store = Location::Server(database.server()).open(Purpose::Server, now()).unwrap();
        let world = World::of_store(store).await;
        world.add_endpoint(&["*"]).await;
        let first = world.post_one("many").await;
        world.finish(first, answered(200, now())).await;
        database.run(&COPIES.replace("112000", "1099999"));
        // The day of the rows ends at midnight; a second before it, none of its partition may go as a whole.
        let midnight = (now().as_millis() / DAY + 1) * DAY;
        let before = Timestamp::from_millis(midnight - last * 1_000);
        let begun = tokio::time::Instant::now();
        let (mut after, mut removed) = (0, 0);
        loop {
            let limit = StepLimit {
                rows: 100_000,
                time: std::time::Duration::from_millis(120),
                time_contended: std::time::Duration::from_millis(120),
            };
            let step = world.store.retention_attempts(after, before, limit).await.unwrap();
            removed += step.removed;
            match step.next {
                Some(next) => after = next,
                None => break,
            }
        }
        let secs = begun.elapsed().as_secs_f64();
        println!("{way}: {removed} rows in {secs:.2} s, {:.0} rows a second", removed as f64 / secs);
        world.store.close().await;
    }
}
