//! Events: single ones, and event types. Their list is in [`crate::store::sqlite::log::event_list`]; accepting them
//! is in [`crate::store::sqlite::queue::events`].

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::event::Event;
use crate::domain::{AppId, EventId, Timestamp};
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::scan::Budget;
use crate::store::shared::verdicts::{SourceOrigin, Verdicts};
use crate::store::sqlite::engine::rows::EventRow;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::zones::ZONE_BITS;
use crate::store::sqlite::engine::{cache, command, rows};
use crate::store::sqlite::log::{event_list, search};
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::events::{event, take, take_batch};
use crate::store::sqlite::queue::filters;
use crate::store::{
    EventDetail, EventFilter, EventStore, EventTypeCount, NewEvent, Page, PageRequest, Result, SearchPage,
    Start, TOTAL_CAP, Taken,
};

// ---------------------------------------------------------------------------------------------
// Single events, and types

pub(crate) const GET: &str = "SELECT v.id, v.uid, y.name, v.resource_id, v.deliveries, v.created_at, \
     (SELECT filtered FROM event_extras x WHERE x.event = v.id), v.payload \
     FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.uid = ?1 AND v.app = ?2 AND v.payload IS NOT NULL";

fn get(conn: &Connection, app: AppId, id: EventId) -> rusqlite::Result<Option<EventDetail>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    let found = conn
        .prepare_cached(GET)?
        .query_row(params![id, app], |row| {
            let payload: Option<Vec<u8>> = row.get(7)?;
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
    /// What the filters of the app's endpoints say of these events, which came `from` a source.
    pub(crate) async fn verdicts(
        &self,
        app: AppId,
        events: &[NewEvent],
        from: impl FnOnce() -> Option<SourceOrigin>,
        now: Timestamp,
    ) -> Result<Verdicts> {
        let generation = self.fresh.generation();
        let filters = match self.filters.get(app, generation) {
            Some(filters) => filters,
            None => {
                let read = self.read("reading filters", move |conn| filters::of_app(conn, app)).await?;
                self.filters.keep(app, generation, read.clone());
                read
            }
        };
        if filters.is_empty() {
            return Ok(Verdicts::default());
        }
        Verdicts::of(filters, events, from(), now, &self.filter_turns).await
    }

    async fn take_in(
        &self,
        app: AppId,
        batch_key: Option<String>,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Taken> {
        let verdicts = self.verdicts(app, &events, || None, now).await?;
        let reserved = self.reserve(events.iter().map(|event| event.payload.len()).sum())?;
        let take = command::repeatable("taking in events", move |tx| {
            // Kept until the command is done with.
            let _ = &reserved;
            let (taken, open) = match &batch_key {
                Some(key) => take_batch(tx, app, key, &events, &verdicts, now)?,
                None => take(tx, app, &events, &verdicts, now)?,
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
        self.read("listing events", move |conn| event_list::list(conn, app, &filter, &page, ZONE_BITS)).await
    }

    async fn event_search(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<SearchPage<Event, i64>> {
        self.read("searching events", move |conn| search::events(conn, app, &filter, &page, Budget::USUAL))
            .await
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
