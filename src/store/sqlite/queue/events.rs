//! Events: taking them in, and reading them.
//!
//! Taking in is the hot path: one row for the event, one for each delivery, and a count for the type.
//! Which endpoints want it comes from the writer's cache. The event's id is made inside the
//! transaction, so that ids and rows ascend together.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use crate::domain::EventType;
use crate::domain::attempts::attempt::{Budget, Trigger};
use crate::domain::event::{Event, IDEMPOTENCY_MS, Origin};
use crate::domain::pattern::any_matches;
use crate::domain::{AppId, EndpointStatus, EventId, Timestamp};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::command;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::paging::{empty, page_of, skipped, total};
use crate::store::sqlite::log::event_list;
use crate::store::sqlite::log::zones;
use crate::store::sqlite::log::zones::ZONE_BITS;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::NewAttempt;
use crate::store::{
    Accepted, EventDetail, EventFilter, EventStore, EventTypeCount, NewEvent, Page, PageRequest, Queued,
    Result, Start, TOTAL_CAP, Taken,
};

/// An event on its way into the table.
pub(crate) struct Incoming<'a> {
    pub(crate) app: i64,
    pub(crate) event_type: &'a EventType,
    pub(crate) payload: &'a [u8],
    pub(crate) resource_id: Option<&'a str>,
    pub(crate) origin: Origin,
    pub(crate) now: Timestamp,
}

/// Takes in an event and makes its first attempts, at all endpoints that want it but `except`.
pub(crate) fn accept(
    tx: &mut Tx<'_>,
    incoming: &Incoming<'_>,
    except: Option<i64>,
) -> rusqlite::Result<(i64, Accepted)> {
    let wishes = tx.wishes(incoming.app)?;
    let wanted = || {
        wishes
            .iter()
            .filter(|wish| Some(wish.row) != except && any_matches(&wish.events, incoming.event_type))
    };
    let kind = type_row(tx, incoming)?;
    let deliveries = u32::try_from(wanted().count()).unwrap_or(u32::MAX);
    let (row, event) = insert(tx, incoming, kind, deliveries)?;
    let mut queued = Vec::with_capacity(deliveries as usize);
    for wish in wanted() {
        let attempt_id = attempts::insert(
            tx,
            &NewAttempt {
                first: None,
                app: incoming.app,
                endpoint: wish.row,
                event: row,
                kind,
                trigger: Trigger::Event,
                attempt: 1,
                budget: Budget::Schedule { used: 0 },
                created_at: incoming.now,
                due_at: incoming.now,
                job: None,
            },
        )?;
        if wish.status == EndpointStatus::Active {
            let due_at = incoming.now;
            queued.push(Queued { attempt_id, endpoint_id: wish.id, due_at, single: false, bulk: false });
        }
    }
    Ok((row, Accepted { event, queued }))
}

/// The row of the event's type, which is made when it is new; what clients post is counted.
pub(crate) fn type_row(tx: &mut Tx<'_>, incoming: &Incoming<'_>) -> rusqlite::Result<i64> {
    let kind = tx.event_type(incoming.app, incoming.event_type)?;
    if incoming.origin == Origin::Client {
        tx.counts.posted(kind, incoming.now);
    }
    Ok(kind)
}

/// Writes the event's row.
pub(crate) fn insert(
    conn: &Connection,
    incoming: &Incoming<'_>,
    kind: i64,
    deliveries: u32,
) -> rusqlite::Result<(i64, Event)> {
    let event = Event {
        id: EventId::new(incoming.now),
        event_type: incoming.event_type.clone(),
        resource_id: incoming.resource_id.map(str::to_owned),
        deliveries,
        created_at: incoming.now,
    };
    Ok((insert_as(conn, incoming, kind, &event)?, event))
}

/// Writes the row of an event that has its id already; the row's number.
pub(crate) fn insert_as(
    conn: &Connection,
    incoming: &Incoming<'_>,
    kind: i64,
    event: &Event,
) -> rusqlite::Result<i64> {
    conn.prepare_cached(
        "INSERT INTO events (uid, app, type, resource_id, origin, deliveries, created_at, payload) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        event.id,
        incoming.app,
        kind,
        event.resource_id,
        incoming.origin,
        event.deliveries,
        event.created_at,
        incoming.payload
    ])?;
    let row = conn.last_insert_rowid();
    zones::entered(conn, zones::EVENTS, row)?;
    Ok(row)
}

// ---------------------------------------------------------------------------------------------
// Idempotency

type Digest = [u8; 32];

/// Stands for type, resource and payload. Each part goes with its length, so that no two events can
/// run into the same bytes.
fn digest(event: &NewEvent) -> Digest {
    let mut hash = Sha256::new();
    let resource = event.resource_id.as_deref();
    hash.update([u8::from(resource.is_some())]);
    for part in
        [event.event_type.as_str().as_bytes(), resource.unwrap_or_default().as_bytes(), &event.payload]
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) const KEY_LOOKUP: &str = "SELECT i.digest, v.uid, y.name, v.resource_id, v.deliveries, v.created_at \
     FROM idempotency i CROSS JOIN events v ON v.id = i.event CROSS JOIN event_types y ON y.id = v.type \
     WHERE i.app = ?1 AND i.key = ?2 AND i.created_at > ?3";

/// What a key stands for, while it is remembered.
fn remembered(
    conn: &Connection,
    app: i64,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<(Digest, Event)>> {
    conn.prepare_cached(KEY_LOOKUP)?
        .query_row(params![app, key, now.plus_ms(-IDEMPOTENCY_MS)], |row| Ok((row.get(0)?, event(row, 1)?)))
        .optional()
}

fn remember(
    conn: &Connection,
    app: i64,
    key: &str,
    event: i64,
    digest: &Digest,
    now: Timestamp,
) -> rusqlite::Result<()> {
    // Only one that has expired can be there still.
    conn.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (app, key, event, digest, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![app, key, event, digest.as_slice(), now])
    .map(|_| ())
}

/// The first event whose key stands for another one, be it stored or earlier in the batch. Looked for
/// before anything is written, because a batch is taken whole or not at all.
fn conflict(
    conn: &Connection,
    app: i64,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Option<usize>> {
    let mut earlier: HashMap<&str, Digest> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let Some(key) = event.idempotency_key.as_deref() else { continue };
        let this = digest(event);
        let first = match earlier.get(key) {
            Some(first) => Some(*first),
            None => remembered(conn, app, key, now)?.map(|(first, _)| first),
        };
        if first.is_some_and(|first| first != this) {
            return Ok(Some(index));
        }
        earlier.insert(key, this);
    }
    Ok(None)
}

fn take(tx: &mut Tx<'_>, app: AppId, events: &[NewEvent], now: Timestamp) -> rusqlite::Result<Taken> {
    let app = tx.app(app)?;
    if let Some(index) = conflict(tx, app, events, now)? {
        return Ok(Taken::KeyConflict { index });
    }
    let mut all = Vec::with_capacity(events.len());
    for new in events {
        let key = new.idempotency_key.as_deref();
        if let Some(key) = key
            && let Some((_, event)) = remembered(tx, app, key, now)?
        {
            all.push(Accepted { event, queued: vec![] });
            continue;
        }
        let incoming = Incoming {
            app,
            event_type: &new.event_type,
            payload: &new.payload,
            resource_id: new.resource_id.as_deref(),
            origin: Origin::Client,
            now,
        };
        let (row, accepted) = accept(tx, &incoming, None)?;
        if let Some(key) = key {
            remember(tx, app, key, row, &digest(new), now)?;
        }
        all.push(accepted);
    }
    Ok(Taken::All(all))
}

// ---------------------------------------------------------------------------------------------
// Reading

/// Reads an event from five columns: uid, type, resource_id, deliveries, created_at.
pub(crate) fn event(row: &Row<'_>, from: usize) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(from)?,
        event_type: row.get(from + 1)?,
        resource_id: row.get(from + 2)?,
        deliveries: row.get(from + 3)?,
        created_at: row.get(from + 4)?,
    })
}

pub(crate) const GET: &str = "SELECT v.id, v.uid, y.name, v.resource_id, v.deliveries, v.created_at, v.payload \
     FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.uid = ?1 AND v.app = ?2";

fn get(conn: &Connection, app: AppId, id: EventId) -> rusqlite::Result<Option<EventDetail>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    let found = conn
        .prepare_cached(GET)?
        .query_row(params![id, app], |row| {
            let payload: Option<Vec<u8>> = row.get(6)?;
            Ok((row.get::<_, i64>(0)?, event(row, 1)?, payload.map(Bytes::from)))
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
        .query_row(params![app, TOTAL_CAP as i64 + 1], |row| {
            crate::store::sqlite::engine::rows::count(row, 0)
        })?;
    let (after, offset) = match &page.start {
        Start::Page(number) => ("", skipped(*number, page.per_page)),
        Start::After(name) => (name.as_str(), 0),
    };
    let rows = conn
        .prepare_cached(TYPES)?
        .query_map(params![app, after, i64::from(page.per_page) + 1, offset], |row| {
            let count = crate::store::sqlite::engine::rows::count(row, 1)?;
            Ok(EventTypeCount { event_type: row.get(0)?, count, last_seen_at: row.get(2)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(page_of(rows, page.per_page, total(counted), |row| row.event_type.as_str().to_owned()))
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn event_insert(&self, app: AppId, events: Vec<NewEvent>, now: Timestamp) -> Result<Taken> {
        let reserved = self.reserve(events.iter().map(|event| event.payload.len()).sum())?;
        let take = command::repeatable("taking in events", move |tx| {
            // Kept until the command is done with.
            let _ = &reserved;
            let taken = take(tx, app, &events, now)?;
            if let Taken::All(accepted) = &taken {
                accepted.iter().zip(&events).for_each(|(a, event)| tx.cache.taken_in(a, &event.payload));
            }
            Ok(taken)
        });
        self.ask(take).await
    }

    async fn event_list(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<Event, i64>> {
        self.read("listing events", move |conn| event_list::list(conn, app, &filter, &page, ZONE_BITS)).await
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
