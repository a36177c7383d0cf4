//! That the plans of the log's lists find just what a plain reading of the contract finds, on small logs
//! with everything in disorder, and that they read the log through its indexes.

use std::cmp::Ordering;

use rusqlite::{Connection, params};

use crate::domain::attempts::attempt::{Attempt, AttemptStatus, ErrorKind, Trigger};
use crate::domain::values::fold::fold;
use crate::domain::{AppId, AttemptId, EndpointId, EventId, EventType, Timestamp};
use crate::store::shared::class::Class;
use crate::store::shared::named::Key;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, TypeRow};
use crate::store::sqlite::engine::zones::{self, FillingZones};
use crate::store::sqlite::engine::{migrations, pool};
use crate::store::sqlite::log::event_list::{EventSet, EventStream};
use crate::store::sqlite::log::named;
use crate::store::sqlite::log::plan::{Bounds, Scope, Stream, next_class_sql};
use crate::store::sqlite::log::walk::{Column, column_sql, walk_sql};
use crate::store::sqlite::log::{event_list, list as log};
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::filter::Wanted;
use crate::store::{
    AttemptFilter, EventFilter, LogKey, PageRequest, Sort, SortField, SortValue, Start, StatusFilter, Total,
    TypeFilter, View,
};

const T0: i64 = 1_700_000_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(T0 + ms)
}

fn new_db(dir: &tempfile::TempDir) -> Connection {
    let mut conn = pool::writer(&dir.path().join("p.db"), std::time::Duration::from_secs(1)).unwrap();
    migrations::run(&mut conn).unwrap();
    conn
}

/// Numbers that look random and are the same every time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

struct World {
    conn: Connection,
    app: AppId,
    endpoints: Vec<EndpointId>,
    rows: Vec<Attempt>,
    _dir: tempfile::TempDir,
}

const ERRORS: [Option<ErrorKind>; 5] = [
    None,
    Some(ErrorKind::Dns),
    Some(ErrorKind::Interrupted),
    Some(ErrorKind::Timeout),
    Some(ErrorKind::Local),
];
const TYPES: [&str; 5] = ["lic.new", "lic.old.x", "order.paid", "a", "lic"];

fn add_names(conn: &Connection, apps: &[AppId]) -> Vec<EndpointId> {
    let mut endpoints = Vec::new();
    for (app, uid) in (1..).zip(apps) {
        let sql = "INSERT INTO apps (id, uid, name, created_at) VALUES (?1, ?2, ?1, 0)";
        conn.execute(sql, params![app, uid]).unwrap();
        for (i, name) in ["Füchse_1", "Order box", "three"].into_iter().enumerate() {
            let id = EndpointId::new(at(i as i64));
            endpoints.push(id);
            conn.execute(
                "INSERT INTO endpoints (uid, app, status, consecutive_failures, url, name, events, headers, \
                 encrypted, secret, retired_secrets, created_at, updated_at) \
                 VALUES (?1, ?2, 'active', 0, 'https://x.test/' || ?4, ?3, '*', '[]', 0, x'', '[]', 0, 0)",
                params![id, app, name, i as i64],
            )
            .unwrap();
        }
        for name in TYPES {
            let sql = "INSERT INTO event_types (app, name, count) VALUES (?1, ?2, 0)";
            conn.execute(sql, params![app, name]).unwrap();
        }
    }
    endpoints.truncate(3);
    endpoints
}

#[derive(Clone, Copy)]
struct Newest {
    id: i64,
    delivery: i64,
    endpoint: i64,
    kind: i64,
    event: i64,
}

/// Some row of an app which the next one follows: it becomes `failed`.
fn newest(conn: &Connection, is_wanted: bool, app: i64) -> Option<Newest> {
    let sql = "SELECT id, coalesce(first_id, id), endpoint, type, event FROM attempts \
               WHERE app = ?1 AND status <> 'failed' ORDER BY id * 7919 % 101 LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        let (id, delivery, endpoint) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Newest { id, delivery, endpoint, kind: row.get(3)?, event: row.get(4)? })
    };
    let found = is_wanted.then(|| conn.query_row(sql, [app], read).ok()).flatten()?;
    conn.execute("UPDATE attempts SET status = 'failed' WHERE id = ?1", [found.id]).unwrap();
    Some(found)
}

const RESOURCES: [Option<&str>; 7] =
    [None, None, Some("r-1"), Some("hot"), Some("hot"), Some("hot"), Some("lic")];

fn add_event(conn: &Connection, dice: &mut Dice, app: i64, kind: i64, at: Timestamp) -> i64 {
    conn.execute(
        "INSERT INTO events (uid, app, type, origin, deliveries, created_at, payload, resource_id) \
         VALUES (?1, ?2, ?3, 'client', 1, ?4, x'31', ?5)",
        params![EventId::new(at), app, kind, at, dice.pick(&RESOURCES)],
    )
    .unwrap();
    conn.last_insert_rowid()
}

/// A log of two apps, in which time goes back and forth and nothing goes together.
fn disorder(seed: u64, rows: usize) -> World {
    let dir = tempfile::tempdir().unwrap();
    let conn = new_db(&dir);
    let apps = [AppId::from_uuid(uuid::Uuid::from_u128(1)), AppId::from_uuid(uuid::Uuid::from_u128(2))];
    let endpoints = add_names(&conn, &apps);
    let mut dice = Dice(seed);
    let mut clock = 0_i64;
    for _ in 0..rows {
        clock += dice.pick(&[0, 0, 1, 3, 3, 10, 40, -1, -2, -60]);
        let app = i64::from(dice.roll(6) == 0);
        let endpoint = app * 3 + dice.pick(&[1, 1, 1, 1, 2, 3]);
        let kind = app * 5 + dice.pick(&[1, 1, 1, 2, 3, 3, 4, 5]);
        let before = newest(&conn, dice.roll(3) == 0, app + 1);
        let (endpoint, kind) = before.map_or((endpoint, kind), |row| (row.endpoint, row.kind));
        let event =
            before.map_or_else(|| add_event(&conn, &mut dice, app + 1, kind, at(clock)), |row| row.event);
        let trigger = match before {
            Some(_) => dice.pick(&[Trigger::Retry, Trigger::Retry, Trigger::Manual, Trigger::Recover]),
            None => dice.pick(Trigger::ALL),
        };
        let status = dice.pick(AttemptStatus::ALL);
        // Of a pending attempt nothing is known but that this machine could not send it.
        let is_pending = status == AttemptStatus::Pending;
        let last_outcome = before.and_then(|row| attempts::last_outcome(&conn, AttemptId(row.id)).unwrap());
        let attempted =
            dice.pick(&[None, Some(-7), Some(0), Some(9), Some(60_000), Some(3_600_000), Some(1 << 30)]);
        conn.execute(
            "INSERT INTO attempts (first_id, app, endpoint, event, type, status, trigger, attempt, created_at, \
             due_at, attempted_at, response_status, response_time_ms, error_kind, last_outcome) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                before.map(|row| row.delivery),
                app + 1,
                endpoint,
                event,
                kind,
                status,
                trigger,
                at(clock),
                attempted.filter(|_| !is_pending).map(|ms| at(clock + ms)),
                dice.pick(&[None, Some(200), Some(200), Some(204), Some(404), Some(500), Some(503)])
                    .filter(|_| !is_pending),
                dice.pick(&[None, Some(0), Some(5), Some(5), Some(80), Some(10_000)]).filter(|_| !is_pending),
                dice.pick(&ERRORS).filter(|kind| !is_pending || *kind == ErrorKind::Local),
                last_outcome,
            ],
        )
        .unwrap();
    }
    // As retention does: at the beginning, and here and there.
    conn.execute("DELETE FROM attempts WHERE id < 11 OR id % 7 = 0 OR id BETWEEN 40 AND 47", []).unwrap();
    conn.execute("DELETE FROM log_zones", []).unwrap();
    conn.execute(
        "INSERT INTO log_zones SELECT id >> 2, min(created_at), max(created_at) FROM attempts \
         WHERE id < (SELECT max(id) FROM attempts) >> 2 << 2 GROUP BY 1",
        [],
    )
    .unwrap();
    conn.execute("DELETE FROM event_zones", []).unwrap();
    conn.execute(
        "INSERT INTO event_zones SELECT id >> 2, min(created_at), max(created_at) FROM events \
         WHERE id < (SELECT max(id) FROM events) >> 2 << 2 GROUP BY 1",
        [],
    )
    .unwrap();
    let ids: Vec<_> = conn
        .prepare("SELECT id FROM attempts WHERE app = 1")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    let rows = ids.into_iter().map(|id| attempts::list_row(&conn, id).unwrap()).collect();
    World { conn, app: apps[0], endpoints, rows, _dir: dir }
}

// ---------------------------------------------------------------------------------------------
// The plain reading

fn is_meant(filter: &AttemptFilter, row: &Attempt) -> bool {
    let of_type = |name: &TypeFilter| match name {
        TypeFilter::Exactly(name) => row.event_type == *name,
        TypeFilter::Below(stem) => row.event_type.as_str().starts_with(&format!("{stem}.")),
    };
    let of_deliveries = filter.view == View::Deliveries;
    let (response_status, error_kind) = match &row.last {
        Some(last) if of_deliveries => (last.response_status, last.error_kind),
        _ => (row.response_status, row.error_kind),
    };
    let of_status = |wanted: StatusFilter| match wanted {
        StatusFilter::Exactly(status) => response_status == Some(status),
        StatusFilter::Class(class) => response_status.is_some_and(|status| status / 100 == class),
    };
    let has = |q: &str| {
        let texts = [&row.endpoint_name, &row.endpoint_url, row.event_type.as_str()];
        texts.iter().any(|text| fold(text).contains(&fold(q)))
            || row.event_id.to_string() == q
            || row.resource_id.as_deref() == Some(q)
    };
    (!of_deliveries || row.status != AttemptStatus::Failed)
        && filter.endpoint.is_none_or(|id| row.endpoint_id == id)
        && (filter.status.is_empty() || filter.status.contains(&row.status))
        && filter.event_type.as_ref().is_none_or(of_type)
        && filter.response_status.is_none_or(of_status)
        && filter.error_kind.is_none_or(|kind| error_kind == Some(kind))
        && filter.trigger.is_none_or(|trigger| row.trigger == trigger)
        && filter.event.is_none_or(|event| row.event_id == event)
        && filter.resource.as_ref().is_none_or(|resource| row.resource_id.as_ref() == Some(resource))
        && filter.delivery.is_none_or(|delivery| row.delivery_id == delivery)
        && filter.since.is_none_or(|since| row.created_at >= since)
        && filter.until.is_none_or(|until| row.created_at < until)
        && filter.q.as_deref().is_none_or(has)
}

fn value(field: SortField, row: &Attempt) -> SortValue {
    let number = |n: Option<i64>| n.map_or(SortValue::Null, SortValue::Number);
    match field {
        SortField::Id => SortValue::Null,
        SortField::Delivery => number(Some(row.delivery_id.0)),
        SortField::LastActivity => number(Some(row.attempted_at.unwrap_or(row.created_at).as_millis())),
        SortField::CreatedAt => number(Some(row.created_at.as_millis())),
        SortField::AttemptedAt => number(row.attempted_at.map(Timestamp::as_millis)),
        SortField::Status => SortValue::Text(row.status.to_string()),
        SortField::ResponseStatus => number(row.response_status.map(i64::from)),
        SortField::ResponseTime => number(row.response_time_ms.map(i64::from)),
    }
}

fn compare(sort: Sort, a: &LogKey, b: &LogKey) -> Ordering {
    let by_value = match (&a.value, &b.value) {
        (SortValue::Null, SortValue::Null) => Ordering::Equal,
        (SortValue::Null, _) => return Ordering::Greater,
        (_, SortValue::Null) => return Ordering::Less,
        (SortValue::Number(a), SortValue::Number(b)) => a.cmp(b),
        (SortValue::Text(a), SortValue::Text(b)) => a.cmp(b),
        _ => panic!("a column has one type"),
    };
    let ascending = by_value.then(a.id.cmp(&b.id));
    if sort.descending { ascending.reverse() } else { ascending }
}

fn expected(world: &World, filter: &AttemptFilter, sort: Sort) -> Vec<LogKey> {
    let meant = world.rows.iter().filter(|row| is_meant(filter, row));
    let mut keys: Vec<_> = meant.map(|row| LogKey { id: row.id, value: value(sort.field, row) }).collect();
    keys.sort_by(|a, b| compare(sort, a, b));
    keys
}

// ---------------------------------------------------------------------------------------------
// Comparing

fn filters(world: &World) -> Vec<AttemptFilter> {
    let none = AttemptFilter::default;
    let name = |text| EventType::parse(text).unwrap();
    let [one, two, _] = world.endpoints[..] else { panic!("there are three") };
    let middle = world.rows[world.rows.len() / 2].created_at;
    let mut all = vec![none()];
    all.extend(AttemptStatus::ALL.iter().map(|status| AttemptFilter { status: vec![*status], ..none() }));
    let two_statuses = vec![AttemptStatus::Delivered, AttemptStatus::Pending];
    all.push(AttemptFilter { status: two_statuses.clone(), ..none() });
    for names in
        [TypeFilter::Exactly(name("lic")), TypeFilter::Below(name("lic")), TypeFilter::Exactly(name("no"))]
    {
        all.push(AttemptFilter { event_type: Some(names), ..none() });
    }
    for status in [StatusFilter::Exactly(200), StatusFilter::Class(5), StatusFilter::Class(3)] {
        all.push(AttemptFilter { response_status: Some(status), ..none() });
    }
    for kind in [ErrorKind::Dns, ErrorKind::Interrupted, ErrorKind::Tls, ErrorKind::Local] {
        all.push(AttemptFilter { error_kind: Some(kind), ..none() });
    }
    all.push(AttemptFilter { trigger: Some(Trigger::Retry), ..none() });
    for (since, until) in
        [(Some(0), None), (None, Some(0)), (Some(-30), Some(60)), (Some(5), Some(5)), (Some(-1), Some(1))]
    {
        let range = |ms: Option<i64>| ms.map(|ms| middle.plus_ms(ms));
        all.push(AttemptFilter { since: range(since), until: range(until), ..none() });
    }
    for q in ["FÜCHSE_", "order", "x.test", "lic", "o", "nothing", "x.test/1", "e"] {
        all.push(AttemptFilter { q: Some(q.to_owned()), ..none() });
    }
    all.extend(by_ids(world));
    // Several at once.
    let since = Some(middle.plus_ms(-20));
    let lic = Some(TypeFilter::Below(name("lic")));
    all.push(AttemptFilter { since, q: Some("order".to_owned()), event_type: lic.clone(), ..none() });
    all.push(AttemptFilter { since, status: two_statuses, event_type: lic, ..none() });
    all.push(AttemptFilter { q: Some("order".to_owned()), error_kind: Some(ErrorKind::Dns), ..none() });
    let of = |id| move |filter: &AttemptFilter| AttemptFilter { endpoint: Some(id), ..filter.clone() };
    let (ones, twos): (Vec<_>, Vec<_>) =
        (all.iter().map(of(one)).collect(), all.iter().map(of(two)).collect());
    let deliveries = |filter: &AttemptFilter| AttemptFilter { view: View::Deliveries, ..filter.clone() };
    let of_deliveries: Vec<_> = all.iter().chain(&ones).map(deliveries).collect();
    all.into_iter().chain(ones).chain(twos).chain(of_deliveries).collect()
}

/// Filters that name an event, a resource or a delivery, alone and with others.
fn by_ids(world: &World) -> Vec<AttemptFilter> {
    let none = AttemptFilter::default;
    let q = |q: &str| AttemptFilter { q: Some(q.to_owned()), ..none() };
    let resource = |text: &str| AttemptFilter { resource: Some(text.to_owned()), ..none() };
    let later = world.rows.iter().rev().find(|row| row.delivery_id != row.id);
    let row = later.unwrap_or(&world.rows[0]);
    let (event, delivery) = (Some(row.event_id), Some(row.delivery_id));
    let since = Some(world.rows[world.rows.len() / 2].created_at);
    let lic = Some(TypeFilter::Below(EventType::parse("lic").unwrap()));
    vec![
        AttemptFilter { event, ..none() },
        AttemptFilter { event: Some(EventId::new(at(0))), ..none() },
        AttemptFilter { delivery, ..none() },
        AttemptFilter { delivery: Some(row.id), ..none() },
        AttemptFilter { delivery: Some(AttemptId(1 << 40)), ..none() },
        resource("r-1"),
        resource("hot"),
        resource("ho"),
        AttemptFilter { status: vec![AttemptStatus::Failed], ..resource("hot") },
        AttemptFilter { event_type: lic.clone(), since, ..resource("hot") },
        AttemptFilter { event, delivery, ..resource("hot") },
        AttemptFilter { resource: Some("hot".to_owned()), ..q("order") },
        AttemptFilter { resource: Some("lic".to_owned()), ..q("lic") },
        AttemptFilter { event, ..q("r-1") },
        q(&row.event_id.to_string()),
        q("r-1"),
        AttemptFilter { event_type: lic, since, ..q("hot") },
    ]
}

fn sorts(view: View) -> impl Iterator<Item = Sort> {
    use SortField::{AttemptedAt, CreatedAt, LastActivity, ResponseStatus, ResponseTime, Status};
    let newest = Sort::newest(view).field;
    let fields = [newest, CreatedAt, AttemptedAt, LastActivity, Status, ResponseStatus, ResponseTime];
    fields.into_iter().flat_map(|field| [true, false].map(|descending| Sort { field, descending }))
}

fn check(world: &World, filter: &AttemptFilter, sort: Sort, bounds: Bounds, per_page: u32) {
    let keys = expected(world, filter, sort);
    let total = Total { rows: keys.len() as u64, capped: false };
    let what = || format!("{filter:?}\n{sort:?} {bounds:?}");
    let read = |start| {
        let page = PageRequest { start, per_page };
        log::list(&world.conn, world.app, filter, sort, &page, bounds).unwrap()
    };
    let mut pages = keys.chunks(per_page as usize);
    let mut start = Start::Page(1);
    for number in 1.. {
        let wanted = pages.next().unwrap_or_default();
        for page in [read(start), read(Start::Page(number))] {
            let found: Vec<_> =
                page.rows.iter().map(|row| LogKey { id: row.id, value: value(sort.field, row) }).collect();
            assert_eq!(found, wanted, "page {number} of {}", what());
            assert_eq!(page.total, total, "{}", what());
            let is_last = number as usize * per_page as usize >= keys.len();
            assert_eq!(page.next.as_ref(), wanted.last().filter(|_| !is_last), "{}", what());
        }
        match wanted.last() {
            Some(key) if (number as usize * per_page as usize) < keys.len() => {
                start = Start::After(key.clone())
            }
            _ => break,
        }
    }
}

#[test]
fn every_filter_in_every_order_finds_what_it_should_on_logs_in_disorder() {
    let low = |gather, skip, gather_stream| Bounds {
        zone_bits: 2,
        gather,
        skip,
        gather_stream,
        gather_streams: 2 * gather_stream,
    };
    // All plans: only walking, a little gathering, much of it in streams, everything gathered.
    let bounds = [low(0, 1, 0), low(6, 1, 2), low(0, 2, 1_000), low(10_000, 1, 0)];
    let mut turn = 0;
    for (seed, rows, per_page) in [(1, 80, 17), (20, 110, 29), (300, 50, 7), (4_000, 14, 3)] {
        let world = disorder(seed, rows);
        for filter in filters(&world) {
            for sort in sorts(filter.view) {
                // Only a range of time is read in more ways than one.
                let ways = if filter.since.or(filter.until).is_some() { 4 } else { 1 };
                for _ in 0..ways {
                    turn += 1;
                    check(&world, &filter, sort, bounds[turn % 4], per_page);
                }
            }
        }
    }
}

#[test]
fn the_list_of_events_finds_what_it_should_on_logs_in_disorder() {
    for seed in [11, 12] {
        let world = disorder(seed, 150);
        let mut statement = world
            .conn
            .prepare(
                "SELECT v.id, v.uid, y.name, v.created_at, v.resource_id FROM events v JOIN event_types y ON y.id = v.type \
                 WHERE v.app = 1 AND v.origin <> 'test' AND v.payload IS NOT NULL ORDER BY v.id DESC",
            )
            .unwrap();
        let all = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .unwrap()
            .collect::<rusqlite::Result<Vec<(i64, EventId, EventType, Timestamp, Option<String>)>>>()
            .unwrap();
        for AttemptFilter { event_type, resource, since, until, q, .. } in filters(&world) {
            let filter = EventFilter { event_type, resource, since, until, q, contains: None };
            let is_meant =
                |(_, id, kind, at, about): &(i64, EventId, EventType, Timestamp, Option<String>)| {
                    filter.event_type.as_ref().is_none_or(|name| match name {
                        TypeFilter::Exactly(name) => kind == name,
                        TypeFilter::Below(stem) => kind.as_str().starts_with(&format!("{stem}.")),
                    }) && filter.since.is_none_or(|since| *at >= since)
                        && filter.until.is_none_or(|until| *at < until)
                        && filter.resource.as_ref().is_none_or(|resource| about.as_ref() == Some(resource))
                        && filter.q.as_ref().is_none_or(|q| {
                            let is_part = fold(kind.as_str()).contains(&fold(q));
                            is_part || id.to_string() == *q || about.as_ref() == Some(q)
                        })
                };
            let wanted: Vec<_> = all.iter().filter(|event| is_meant(event)).collect();
            for per_page in [7, 200] {
                let mut start = Start::Page(1);
                for number in 1..=(wanted.len() as u32).div_ceil(per_page).max(1) {
                    let from = (number - 1) * per_page;
                    let wanted_here = wanted.iter().skip(from as usize).take(per_page as usize);
                    let wanted_here: Vec<_> = wanted_here.map(|(_, id, ..)| *id).collect();
                    for start in [start.clone(), Start::Page(number)] {
                        let page = PageRequest { start, per_page };
                        let page = event_list::list(&world.conn, world.app, &filter, &page, 2).unwrap();
                        let found: Vec<_> = page.rows.iter().map(|event| event.id).collect();
                        assert_eq!(found, wanted_here, "{filter:?}, page {number}");
                        assert_eq!(page.total, Total { rows: wanted.len() as u64, capped: false });
                        let last = wanted.get((from + per_page - 1) as usize).map(|(row, ..)| *row);
                        let is_last = from + per_page >= wanted.len() as u32;
                        assert_eq!(page.next, last.filter(|_| !is_last));
                    }
                    let last = wanted.get((from + per_page - 1) as usize).map(|(row, ..)| *row);
                    start = Start::After(last.unwrap_or_default());
                }
            }
        }
    }
}

#[test]
fn a_filter_as_a_condition_means_the_same() {
    let world = disorder(7, 150);
    for filter in filters(&world) {
        let mut found: Vec<i64> = match Wanted::of(&world.conn, AppRow(1), &filter).unwrap() {
            None => vec![],
            Some(wanted) => {
                let (condition, values) = wanted.condition();
                let sql = format!("SELECT id FROM attempts NOT INDEXED WHERE {condition}");
                let mut statement = world.conn.prepare_cached(&sql).unwrap();
                let ids = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0)).unwrap();
                ids.collect::<rusqlite::Result<_>>().unwrap()
            }
        };
        found.sort_unstable();
        let sort = Sort { field: SortField::Id, descending: false };
        let wanted: Vec<_> = expected(&world, &filter, sort).into_iter().map(|key| key.id.0).collect();
        assert_eq!(found, wanted, "{filter:?}");
    }
}

#[test]
fn a_cursor_with_a_word_that_is_no_status_points_between_the_statuses() {
    let world = disorder(3, 60);
    for descending in [true, false] {
        let sort = Sort { field: SortField::Status, descending };
        let place = LogKey { id: AttemptId(20), value: SortValue::Text("e".to_owned()) };
        let filter = AttemptFilter::default();
        let page = PageRequest { start: Start::After(place.clone()), per_page: 200 };
        let page = log::list(&world.conn, world.app, &filter, sort, &page, Bounds::USUAL).unwrap();
        let found: Vec<_> = page.rows.iter().map(|row| row.id).collect();
        let all = expected(&world, &filter, sort);
        let behind = all.iter().filter(|key| compare(sort, key, &place) == Ordering::Greater);
        assert_eq!(found, behind.map(|key| key.id).collect::<Vec<_>>());
    }
}

// ---------------------------------------------------------------------------------------------
// What the database does

#[test]
fn the_class_is_read_as_the_database_makes_it() {
    let world = disorder(5, 400);
    let mut statement = world.conn.prepare("SELECT class, type FROM attempts WHERE id = ?1").unwrap();
    for row in &world.rows {
        let (class, kind): (i64, TypeRow) =
            statement.query_row([row.id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let class = Class(class);
        assert_eq!(class.kind(), kind);
        let (from, to) = Class::of_type(kind);
        assert!(from <= class && class < to);
        assert_eq!(class.status(), Some(row.status));
        assert_eq!(class.trigger(), Some(row.trigger));
        assert_eq!(class.error_kind(), row.error_kind);
        assert_eq!(class.response_status(), row.response_status.map(i64::from));
        let last = row.last.clone().unwrap_or_default();
        if row.status == AttemptStatus::Pending {
            assert_eq!(class.last_error_kind(), last.error_kind);
            assert_eq!(class.last_response_status(), last.response_status.map(i64::from));
        } else {
            assert_eq!(class.last_error_kind(), row.error_kind);
        }
        assert_eq!(class.is_timed(), row.response_time_ms.is_some());
        assert_eq!(class.is_attempted(), row.attempted_at.is_some());
        if let Some(attempted_at) = row.attempted_at {
            let made = row.created_at.as_millis();
            let (least, most) = class.attempted_within(made, made);
            assert!((least..=most).contains(&attempted_at.as_millis()), "{row:?}");
        }
    }
}

#[test]
fn every_name_has_a_class_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let conn = new_db(&dir);
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let class = |status: AttemptStatus, trigger: Trigger, error: Option<ErrorKind>, code: u16| {
        conn.execute(
            "INSERT INTO attempts (app, endpoint, event, type, status, trigger, attempt, created_at, due_at, \
             error_kind, response_status) VALUES (1, 1, 1, 70000, ?1, ?2, 1, 0, 0, ?3, ?4)",
            params![status, trigger, error, code],
        )
        .unwrap();
        let sql = "SELECT class FROM attempts WHERE id = last_insert_rowid()";
        Class(conn.query_row(sql, [], |row| row.get(0)).unwrap())
    };
    let (status, trigger) = (AttemptStatus::Failed, Trigger::Event);
    for status in AttemptStatus::ALL {
        assert_eq!(class(*status, trigger, None, 100).status(), Some(*status));
    }
    for trigger in Trigger::ALL {
        assert_eq!(class(status, *trigger, None, 100).trigger(), Some(*trigger));
    }
    for kind in ErrorKind::ALL {
        assert_eq!(class(status, trigger, Some(*kind), 100).error_kind(), Some(*kind));
    }
    for code in [100, 204, 599, 999] {
        assert_eq!(class(status, trigger, None, code).response_status(), Some(i64::from(code)));
    }
    assert_eq!(class(status, trigger, None, 100).kind(), TypeRow(70_000));
}

#[test]
fn a_zone_is_written_when_the_next_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let conn = new_db(&dir);
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let zones = || {
        let mut statement =
            conn.prepare("SELECT zone, earliest, latest FROM log_zones ORDER BY zone").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>().unwrap()
    };
    let mut filling = FillingZones::default();
    let mut add = |from: i64, to: i64, is_forgotten: bool| {
        for id in from..=to {
            let created_at = id * 10 - (id % 100);
            conn.execute(
                "INSERT INTO attempts (app, endpoint, event, type, status, trigger, attempt, created_at, due_at) \
                 VALUES (1, 1, 1, 1, 'pending', 'event', 1, ?1, 0)",
                [created_at],
            )
            .unwrap();
            filling.entered(&conn, zones::ATTEMPTS, id, Timestamp::from_millis(created_at)).unwrap();
        }
        if is_forgotten {
            filling.clear();
        }
    };
    add(1, 4_095, false);
    assert_eq!(zones(), []);
    add(4_096, 8_192, false);
    assert_eq!(zones(), [(0, 9, 40_855), (1, 40_864, 81_819)]);
    // Whether the writer has seen the zone from its first row on makes no difference.
    add(8_193, 12_000, true);
    add(12_001, 12_288, false);
    assert_eq!(zones()[2..], [(2, 81_828, 122_783)]);
}

/// The steps of a plan, one a line.
fn explained(conn: &Connection, sql: &str) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let values = vec![1; statement.parameter_count()];
    let lines = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3));
    lines.unwrap().map(|line| line.unwrap()).collect::<Vec<_>>().join("\n")
}

/// Whether a query reads columns of a table, and not only those of an index. SQLite does not call an
/// index with a computed column "covering", but puts looking up the row off until it is needed.
fn reads_rows(conn: &Connection, sql: &str) -> bool {
    let mut statement = conn.prepare(&format!("EXPLAIN {sql}")).unwrap();
    let values = vec![1; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(values), |row| {
        Ok((row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, Option<String>>(5)?))
    });
    let steps: Vec<_> = steps.unwrap().map(|step| step.unwrap()).collect();
    let is_index = |cursor: i64| {
        let opens = |(name, at, key): &(String, i64, Option<String>)| {
            name == "OpenRead" && *at == cursor && key.as_ref().is_some_and(|key| key.starts_with("k("))
        };
        steps.iter().any(opens)
    };
    steps.iter().any(|(name, cursor, _)| name == "Column" && !is_index(*cursor))
}

#[test]
fn every_way_to_read_the_log_is_led_by_an_index_to_its_last_column() {
    let dir = tempfile::tempdir().unwrap();
    let conn = new_db(&dir);
    let expect = |sql: &str, wanted: &str, from_rows: bool| {
        let plan = explained(&conn, sql);
        assert!(plan.contains(wanted), "{sql}\n{plan}\nshould be {wanted}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN attempts"), "{sql}\n{plan}");
        assert_eq!(reads_rows(&conn, sql), from_rows, "{sql}");
    };
    for (set, index) in [
        (EventSet::All, "events_app (app=? AND rowid>?"),
        (EventSet::Kind(TypeRow(1)), "events_type (app=? AND type=? AND rowid>?"),
        (EventSet::Resource("r".to_owned()), "events_resource (app=? AND resource_id=? AND rowid>?"),
        (EventSet::One(EventRow(1)), "INTEGER PRIMARY KEY"),
    ] {
        let covers = matches!(set, EventSet::Kind(_));
        let stream = EventStream::of(set);
        for mixed in [true, false] {
            expect(&stream.ids_sql(mixed), index, mixed || !covers);
        }
    }
    for (key, indexes) in [
        (Key::Delivery(1), ["INTEGER PRIMARY KEY", "attempts_first (first_id=?)"]),
        (Key::Event(EventRow(1)), ["attempts_event (event=?)", "attempts_event (event=?)"]),
        (
            Key::Resource("r".to_owned()),
            ["events_resource (app=? AND resource_id=?)", "attempts_event (event=?)"],
        ),
    ] {
        indexes.iter().for_each(|index| expect(&named::sql(&key), index, true));
    }
    for (scope, lead) in [(Scope::App(AppRow(1)), "app"), (Scope::Endpoint(EndpointRow(1)), "endpoint")] {
        let index = format!("INDEX attempts_{lead}_class ({lead}=? AND class>? AND class<?)");
        expect(&next_class_sql(scope), &index, false);
        for (class, index) in [
            (None, format!("INDEX attempts_{lead} ({lead}=? AND rowid>? AND rowid<?)")),
            (
                Some(Class(1)),
                format!("INDEX attempts_{lead}_class ({lead}=? AND class=? AND rowid>? AND rowid<?)"),
            ),
        ] {
            let stream = Stream { scope, class };
            for descending in [true, false] {
                for column in [Column::None, Column::CreatedAt, Column::AttemptedAt, Column::ResponseTime] {
                    expect(&walk_sql(stream, descending, column), &index, column != Column::None);
                }
            }
            expect(&stream.count_sql(false), &index, false);
            expect(&stream.count_sql(true), &index, true);
        }
        for (column, name, index) in [
            (Column::AttemptedAt, "attempted_at", "attempted"),
            (Column::ResponseTime, "response_time_ms", "time"),
            (Column::Delivery, "delivery", "delivery"),
        ] {
            for descending in [true, false] {
                let index = format!("INDEX attempts_{lead}_{index} ({lead}=? AND class=?");
                let sql = column_sql(scope, column, descending, false);
                expect(&sql, &format!("{index} AND {name}>? AND {name}<?)"), false);
                let sql = column_sql(scope, column, descending, true);
                expect(&sql, &format!("{index} AND {name}=? AND rowid>? AND rowid<?)"), false);
            }
        }
    }
}
