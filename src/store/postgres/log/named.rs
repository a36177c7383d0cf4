//! Reads the rows that an id names; see [`crate::store::shared::named`].

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;

use crate::store::AttemptFilter;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbError, DbResult};
use crate::store::postgres::engine::ids;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EventRow};
use crate::store::postgres::log::spans;
use crate::store::postgres::queue::filter::event_row;
use crate::store::shared::class::Class;
use crate::store::shared::named::{Key, Named, NamedRow};
use crate::store::shared::selection::SearchHits;

macro_rules! of_log {
    () => {
        "SELECT t.id, t.delivery, t.endpoint, t.event, t.class, t.created_at, t.attempted_at, t.response_time_ms, \
         t.result_seq FROM log t WHERE t.app = $1"
    };
}
macro_rules! of_queue {
    () => {
        "SELECT t.id, coalesce(t.first_id, t.id) AS delivery, t.endpoint, t.event, t.class, t.created_at, \
         NULL::bigint AS attempted_at, NULL::bigint AS response_time_ms, NULL::bigint AS result_seq \
         FROM queue t WHERE t.app = $1"
    };
}
macro_rules! of_both {
    ($condition:literal) => {
        concat!(of_queue!(), " AND ", $condition, " UNION ALL ", of_log!(), " AND ", $condition)
    };
}

const BY_ID: &str = of_both!("t.id = ANY($2)");
/// The first attempt has the smallest id.
const OF_FIRST: &str = of_both!("t.id = $2 AND t.first_id IS NULL");
const OF_LATER: &str = of_both!("t.first_id = $2 AND t.id > $2");
/// Attempts are made after their event, and older ones have ids of another kind.
const OF_EVENTS: &str = of_both!("t.event = ANY($2) AND (t.id >= $3 OR t.id < $4)");
/// With the positions of the results.
pub(crate) const OF_RESULTS: &str =
    concat!(of_log!(), " AND t.result_seq > $2 AND t.result_seq <= $3 AND t.id >= $4 AND t.id <= $5");

pub(crate) fn read(row: &Row) -> DbResult<NamedRow> {
    Ok(NamedRow {
        id: row.num("id")?,
        delivery: row.num("delivery")?,
        endpoint: row.col("endpoint")?,
        event: row.col("event")?,
        class: Class(row.num("class")?),
        created_at: row.num("created_at")?,
        attempted_at: row.opt_num("attempted_at")?,
        response_time_ms: row.opt_num("response_time_ms")?,
    })
}

/// The rows of an app with these ids.
pub(crate) async fn by_ids(conn: &Conn, app: AppRow, ids: &[i64]) -> DbResult<Vec<NamedRow>> {
    conn.rows(BY_ID, &[&app, &ids]).await?.iter().map(read).collect()
}

/// What the ids in a filter name.
pub(crate) enum Ids {
    /// It has none.
    None,
    /// Nothing.
    Unknown,
    Named(Named),
}

/// Looks the ids of a filter up.
pub(crate) async fn of_filter(
    conn: &Conn,
    app: AppRow,
    filter: &AttemptFilter,
    found: Option<&SearchHits>,
) -> DbResult<Ids> {
    let event = match filter.event {
        None => None,
        Some(id) => match event_row(conn, app, id).await? {
            None => return Ok(Ids::Unknown),
            event => event,
        },
    };
    // PostgreSQL holds no such text.
    if filter.resource.as_ref().is_some_and(|text| text.contains('\0')) {
        return Ok(Ids::Unknown);
    }
    let named = Named::of_ids(app, filter.delivery, event, filter.resource.clone(), found);
    Ok(named.map_or(Ids::None, Ids::Named))
}

/// The rows, in no order.
pub(crate) async fn named_rows(
    conn: &Conn,
    partitions: &Partitions,
    named: &Named,
) -> DbResult<Vec<NamedRow>> {
    let mut all = Vec::new();
    for (at, key) in named.keys.iter().enumerate() {
        let rows = of_key(conn, partitions, named.app, key).await?;
        all.extend(rows.into_iter().filter(|row| !named.is_repeated(at, row)));
    }
    let mut about: HashMap<&str, HashSet<EventRow>> = HashMap::new();
    let events: Vec<EventRow> = all.iter().map(|row| row.event).collect();
    for resource in named.tested_resources() {
        about.insert(resource, events_about(conn, &events, resource).await?);
    }
    let mut meant = Vec::with_capacity(all.len());
    for row in all {
        let is_about =
            |text: &str| Ok::<_, DbError>(about.get(text).is_some_and(|events| events.contains(&row.event)));
        if named.admits(&row, is_about)? {
            meant.push(row);
        }
    }
    Ok(meant)
}

async fn of_key(conn: &Conn, partitions: &Partitions, app: AppRow, key: &Key) -> DbResult<Vec<NamedRow>> {
    let rows = match key {
        Key::Delivery(id) => {
            let mut rows = conn.rows(OF_FIRST, &[&app, id]).await?;
            rows.extend(conn.rows(OF_LATER, &[&app, id]).await?);
            rows
        }
        Key::Event(row) => of_events(conn, app, &[*row]).await?,
        Key::Resource(text) => {
            of_events(conn, app, &events_of_resource(conn, partitions, app, text).await?).await?
        }
    };
    rows.iter().map(read).collect()
}

async fn of_events(conn: &Conn, app: AppRow, events: &[EventRow]) -> DbResult<Vec<Row>> {
    let Some(first) = events.iter().min() else { return Ok(vec![]) };
    let from = ids::first_of_second(ids::second_of(first.0));
    conn.rows(OF_EVENTS, &[&app, &events, &from, &ids::TIMELY_FROM]).await
}

/// The events of an app that are about a resource.
async fn events_of_resource(
    conn: &Conn,
    partitions: &Partitions,
    app: AppRow,
    resource: &str,
) -> DbResult<Vec<EventRow>> {
    let sql =
        "SELECT v.id FROM events v WHERE v.app = $1 AND v.resource_id = $2 AND v.id >= $3 AND v.id <= $4";
    let mut found = Vec::new();
    for group in spans::groups(conn, partitions, Parent::Events).await? {
        for row in conn.rows(sql, &[&app, &resource, &group.from, &group.to]).await? {
            found.push(row.col("id")?);
        }
    }
    Ok(found)
}

/// Which of these events are about a resource.
async fn events_about(conn: &Conn, events: &[EventRow], resource: &str) -> DbResult<HashSet<EventRow>> {
    let sql = "SELECT v.id FROM events v WHERE v.id = ANY($1) AND v.resource_id = $2";
    conn.rows(sql, &[&events, &resource]).await?.iter().map(|row| row.col("id")).collect()
}
