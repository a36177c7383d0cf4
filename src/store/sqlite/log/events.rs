//! Events: their list, single events, event types. Accepting them is in
//! [`crate::store::sqlite::queue::events`].
//!
//! The list is read as the delivery log is: by the id, within a type where one is asked for, and a range of
//! time is found by the [zones](crate::store::sqlite::engine::zones) of ids it can be in.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::domain::event::Event;
use crate::domain::{AppId, EventId, Timestamp};
use crate::store::sqlite::engine::paging::{empty, page_of, skipped, total};
use crate::store::sqlite::engine::rows::{AppRow, EventRow, TypeRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::zones::{EVENTS, IdRange, TimeRange, ZONE_BITS, Zones};
use crate::store::sqlite::engine::{cache, command, rows};
use crate::store::sqlite::queue::events::{event, take, take_batch};
use crate::store::sqlite::queue::{attempts, filter};
use crate::store::{
    EventDetail, EventFilter, EventStore, EventTypeCount, NewEvent, Page, PageRequest, Result, Start,
    TOTAL_CAP, Taken,
};

/// Events of one type, or of all, with ids in a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventRange {
    pub(crate) kind: Option<TypeRow>,
    pub(crate) span: IdRange,
}

impl EventRange {
    /// What a list shows: retention has not taken it, and it is no test.
    pub(crate) fn condition(self) -> String {
        let (index, of_kind) = match self.kind {
            Some(_) => ("events_type", "type = ?2"),
            None => ("events_app", "?2 = 0"),
        };
        let test = if self.span.mixed { " AND created_at >= ?6 AND created_at <= ?7" } else { "" };
        format!(
            "FROM events INDEXED BY {index} WHERE app = ?1 AND {of_kind} AND id >= ?3 AND id <= ?4 \
             AND payload IS NOT NULL AND origin <> 'test'{test}"
        )
    }

    fn values(self, app: AppRow, limit: u64, range: TimeRange) -> Vec<i64> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values = vec![app.0, self.kind.map_or(0, |kind| kind.0), self.span.from, self.span.to, limit];
        if self.span.mixed {
            values.extend([range.since, range.until]);
        }
        values
    }

    fn count(self, conn: &Connection, app: AppRow, limit: u64, range: TimeRange) -> rusqlite::Result<u64> {
        let sql = format!("SELECT count(*) FROM (SELECT 1 {} LIMIT ?5)", self.condition());
        let values = self.values(app, limit, range);
        conn.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| rows::count(row, 0))
    }

    /// The newest ids.
    fn ids(self, conn: &Connection, app: AppRow, limit: u64, range: TimeRange) -> rusqlite::Result<Vec<i64>> {
        let values = self.values(app, limit, range);
        conn.prepare_cached(&self.ids_sql())?.query_map(params_from_iter(values), |row| row.get(0))?.collect()
    }

    pub(crate) fn ids_sql(self) -> String {
        format!("SELECT id {} ORDER BY id DESC LIMIT ?5", self.condition())
    }
}

pub(crate) const ROW: &str = "SELECT v.id, v.uid, y.name, v.resource_id, v.deliveries, v.created_at \
     FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.id = ?1";

/// A page of the list; `bits` is the size of a zone as a power of two.
pub(crate) fn list(
    conn: &Connection,
    app: AppId,
    wanted: &EventFilter,
    page: &PageRequest<i64>,
    bits: u32,
) -> rusqlite::Result<Page<Event, i64>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let range = TimeRange {
        since: wanted.since.map_or(i64::MIN, |since| since.as_millis()),
        until: wanted.until.map_or(i64::MAX, |until| until.as_millis().saturating_sub(1)),
    };
    let spans = match range {
        TimeRange::ALL => vec![IdRange::ALL],
        _ => Zones::load(conn, EVENTS, bits)?.spans(range),
    };
    let kinds = match &wanted.event_type {
        Some(names) => filter::types(conn, app, names)?.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id.saturating_sub(1), 0),
    };
    let most = offset.unsigned_abs() + u64::from(page.per_page) + 1;
    let mut counted = 0;
    let mut ids = Vec::new();
    for kind in kinds {
        let mut left = most;
        for span in spans.iter().rev() {
            if counted <= TOTAL_CAP {
                counted +=
                    EventRange { kind, span: *span }.count(conn, app, TOTAL_CAP + 1 - counted, range)?;
            }
            if let Some(span) = span.within(i64::MIN, below).filter(|_| left > 0) {
                let found = EventRange { kind, span }.ids(conn, app, left, range)?;
                left -= found.len() as u64;
                ids.extend(found);
            }
        }
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let ids = ids.into_iter().skip(usize::try_from(offset).unwrap_or(usize::MAX));
    let ids: Vec<i64> = ids.take(page.per_page as usize + 1).collect();
    let page = page_of(ids, page.per_page, total(counted), |id| *id);
    let mut statement = conn.prepare_cached(ROW)?;
    let rows = page.rows.iter().map(|id| statement.query_row(params![id], |row| event(row, 1)));
    Ok(Page { rows: rows.collect::<rusqlite::Result<_>>()?, total: page.total, next: page.next })
}

// ---------------------------------------------------------------------------------------------
// Single events, and types

pub(crate) const GET: &str = "SELECT v.id, v.uid, y.name, v.resource_id, v.deliveries, v.created_at, v.payload \
     FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.uid = ?1 AND v.app = ?2 AND v.payload IS NOT NULL";

fn get(conn: &Connection, app: AppId, id: EventId) -> rusqlite::Result<Option<EventDetail>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    let found = conn
        .prepare_cached(GET)?
        .query_row(params![id, app], |row| {
            let payload: Option<Vec<u8>> = row.get(6)?;
            Ok((row.get::<_, EventRow>(0)?, event(row, 1)?, payload.map(Bytes::from)))
        })
        .optional()?;
    let Some((row, event, payload)) = found else { return Ok(None) };
    Ok(Some(EventDetail { event, payload, attempts: attempts::of_event(conn, row)? }))
}

pub(crate) const TYPES: &str = "SELECT name, count, last_seen_at FROM event_types \
     WHERE app = ?1 AND name > ?2 AND count > 0 ORDER BY name LIMIT ?3 OFFSET ?4";

fn types(
    conn: &Connection,
    app: AppId,
    page: &PageRequest<String>,
) -> rusqlite::Result<Page<EventTypeCount, String>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let counted = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM event_types WHERE app = ?1 AND count > 0 LIMIT ?2)",
        )?
        .query_row(params![app, TOTAL_CAP as i64 + 1], |row| rows::count(row, 0))?;
    let (after, offset) = match &page.start {
        Start::Page(number) => ("", skipped(*number, page.per_page)),
        Start::After(name) => (name.as_str(), 0),
    };
    let rows = conn
        .prepare_cached(TYPES)?
        .query_map(params![app, after, i64::from(page.per_page) + 1, offset], |row| {
            let count = rows::count(row, 1)?;
            Ok(EventTypeCount { event_type: row.get(0)?, count, last_seen_at: row.get(2)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(page_of(rows, page.per_page, total(counted), |row| row.event_type.as_str().to_owned()))
}

impl SqliteStore {
    async fn take_in(
        &self,
        app: AppId,
        batch_key: Option<String>,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Taken> {
        let reserved = self.reserve(events.iter().map(|event| event.payload.len()).sum())?;
        let take = command::repeatable("taking in events", move |tx| {
            // Kept until the command is done with.
            let _ = &reserved;
            let (taken, open) = match &batch_key {
                Some(key) => take_batch(tx, app, key, &events, now)?,
                None => take(tx, app, &events, now)?,
            };
            if let Taken::All(accepted) = &taken {
                accepted.iter().zip(&events).for_each(|(a, event)| tx.cache.accepted(a, &event.payload));
            }
            Ok((taken, open))
        });
        let (mut taken, open) = self.ask(take).await?;
        // The events are on disk; a caller that goes away now changes nothing.
        for (index, attempts) in open {
            if let (Taken::All(accepted), Ok(queued)) = (&mut taken, attempts.await) {
                accepted[index].queued = queued;
            }
        }
        Ok(taken)
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn event_insert(&self, app: AppId, events: Vec<NewEvent>, now: Timestamp) -> Result<Taken> {
        self.take_in(app, None, events, now).await
    }

    async fn event_batch_insert(
        &self,
        app: AppId,
        key: String,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Taken> {
        self.take_in(app, Some(key), events, now).await
    }

    async fn event_list(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<Event, i64>> {
        self.read("listing events", move |conn| list(conn, app, &filter, &page, ZONE_BITS)).await
    }

    async fn event_type_list(
        &self,
        app: AppId,
        page: PageRequest<String>,
    ) -> Result<Page<EventTypeCount, String>> {
        self.read("listing event types", move |conn| types(conn, app, &page)).await
    }

    async fn event_get(&self, app: AppId, id: EventId) -> Result<Option<EventDetail>> {
        self.read("reading an event", move |conn| get(conn, app, id)).await
    }
}
