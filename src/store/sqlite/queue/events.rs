//! Accepting events. Reading them is in the room `log`.
//!
//! Taking in is the hot path: one row for the event, one for each delivery, and a count for the type.
//! Which endpoints want it comes from the writer's cache. The event's id is made inside the
//! transaction, so that ids and rows ascend together.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use crate::domain::EventType;
use crate::domain::attempts::attempt::{Budget, Trigger};
use crate::domain::event::{Event, IDEMPOTENCY_MS, Origin};
use crate::domain::pattern::any_matches;
use crate::domain::{AppId, EndpointStatus, EventId, Timestamp};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::zones;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::NewAttempt;
use crate::store::{Accepted, NewEvent, Queued, Taken};

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

pub(crate) const KEY_LOOKUP: &str = "SELECT i.digest, i.event, v.uid, y.name, v.resource_id, v.deliveries, v.created_at \
     FROM idempotency i CROSS JOIN events v ON v.id = i.event CROSS JOIN event_types y ON y.id = v.type \
     WHERE i.app = ?1 AND i.key = ?2 AND i.created_at > ?3";

/// What a key stands for.
struct Known {
    digest: Digest,
    row: i64,
    event: Event,
}

/// What a key stands for, while it is remembered.
fn remembered(conn: &Connection, app: i64, key: &str, now: Timestamp) -> rusqlite::Result<Option<Known>> {
    conn.prepare_cached(KEY_LOOKUP)?
        .query_row(params![app, key, now.plus_ms(-IDEMPOTENCY_MS)], |row| {
            Ok(Known { digest: row.get(0)?, row: row.get(1)?, event: event(row, 2)? })
        })
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
            None => remembered(conn, app, key, now)?.map(|known| known.digest),
        };
        if first.is_some_and(|first| first != this) {
            return Ok(Some(index));
        }
        earlier.insert(key, this);
    }
    Ok(None)
}

/// Stands for a batch as a whole: its events, in their order.
fn batch_digest(events: &[NewEvent]) -> Digest {
    let mut hash = Sha256::new();
    // The digest of one event is over bytes that begin with 0 or 1.
    hash.update(b"batch");
    for event in events {
        hash.update(digest(event));
    }
    hash.finalize().into()
}

/// The key that remembers which event was at this place of a batch. A client's key has no control characters,
/// so none can be like it.
fn place_key(key: &str, index: usize) -> String {
    format!("{key}\u{1}{index}")
}

/// Takes in events, each with the row it has now.
fn take_each(
    tx: &mut Tx<'_>,
    app: i64,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Vec<(i64, Accepted)>> {
    let mut all = Vec::with_capacity(events.len());
    for new in events {
        let key = new.idempotency_key.as_deref();
        if let Some(key) = key
            && let Some(known) = remembered(tx, app, key, now)?
        {
            all.push((known.row, Accepted { event: known.event, queued: vec![] }));
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
        all.push((row, accepted));
    }
    Ok(all)
}

pub(crate) fn take(
    tx: &mut Tx<'_>,
    app: AppId,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Taken> {
    let app = tx.app(app)?;
    if let Some(index) = conflict(tx, app, events, now)? {
        return Ok(Taken::KeyConflict { index });
    }
    Ok(Taken::All(take_each(tx, app, events, now)?.into_iter().map(|(_, accepted)| accepted).collect()))
}

/// Takes in a batch under a key of its own, or finds that it was taken in before.
pub(crate) fn take_batch(
    tx: &mut Tx<'_>,
    app: AppId,
    key: &str,
    events: &[NewEvent],
    now: Timestamp,
) -> rusqlite::Result<Taken> {
    let app = tx.app(app)?;
    let this = batch_digest(events);
    if let Some(known) = remembered(tx, app, key, now)? {
        if known.digest != this {
            return Ok(Taken::BatchConflict);
        }
        let again = (0..events.len()).map(|index| {
            let known = remembered(tx, app, &place_key(key, index), now)?;
            let known = known.ok_or_else(|| fault("a batch is remembered and its events are not"))?;
            Ok(Accepted { event: known.event, queued: vec![] })
        });
        return Ok(Taken::All(again.collect::<rusqlite::Result<_>>()?));
    }
    if let Some(index) = conflict(tx, app, events, now)? {
        return Ok(Taken::KeyConflict { index });
    }
    let all = take_each(tx, app, events, now)?;
    for (index, ((row, _), event)) in all.iter().zip(events).enumerate() {
        if index == 0 {
            remember(tx, app, key, *row, &this, now)?;
        }
        remember(tx, app, &place_key(key, index), *row, &digest(event), now)?;
    }
    Ok(Taken::All(all.into_iter().map(|(_, accepted)| accepted).collect()))
}

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
