//! Accepting events. Reading them is in the room `log`.
//!
//! Taking in is the hot path. Which endpoints want an event comes from the writer's cache, ids are taken beforehand,
//! and rows are written with the whole group; so an event without a key asks the database for nothing of its own. The
//! event's id is made inside the transaction, so that ids and rows ascend together.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_postgres::Row;

use crate::domain::EventType;
use crate::domain::event::{Event, IDEMPOTENCY_MS, Origin};
use crate::domain::{AppId, EndpointStatus, Timestamp};
use crate::store::postgres::engine::command;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::entered::{KeyRow, NewEventRow};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::{
    AppRow, Columns as _, EndpointRow, EventRow, SourceRow, TypeRow, clean,
};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::queue::attempts;
use crate::store::postgres::queue::fan_outs;
use crate::store::postgres::queue::filters;
use crate::store::shared::asked::Asked;
use crate::store::shared::attempt_rows::NewDelivery;
use crate::store::shared::idempotency::{Digest, batch_digest, digest, place_key};
use crate::store::shared::subscription::Subscription;
use crate::store::shared::verdicts::{SourceOrigin, Verdicts};
use crate::store::{Accepted, Line, NewEvent, Queued, Result, Taken};

/// An event on its way into the table.
pub(crate) struct Incoming<'a> {
    pub(crate) app: AppRow,
    pub(crate) event_type: &'a EventType,
    pub(crate) payload: &'a Bytes,
    pub(crate) resource_id: Option<&'a str>,
    pub(crate) origin: Origin,
    /// The source it came from, and how often it has come through this server before.
    pub(crate) source: Option<SourceRow>,
    pub(crate) hops: Option<u32>,
    /// What filters say of it, as far as they were asked before, and its place there.
    pub(crate) verdicts: Option<(&'a Verdicts, usize)>,
    pub(crate) now: Timestamp,
}

impl<'a> Incoming<'a> {
    /// What filters are asked about it.
    fn asked(&self) -> Asked<'a> {
        let Incoming { event_type, payload, resource_id, source, verdicts, now, .. } = *self;
        Asked { event_type, payload, resource_id, source, verdicts, now }
    }
}

/// An event that has been accepted.
pub(crate) struct Acceptance {
    pub(crate) row: EventRow,
    pub(crate) accepted: Accepted,
    /// Whether its attempts are still to be written, by [`fan_outs`].
    pub(crate) is_open: bool,
}

/// Accepts an event and creates its first attempts, for all subscribed endpoints except `except`. `room` is
/// how many attempts the command may still write; an event with more of them is written in steps.
pub(crate) async fn accept(
    tx: &mut Tx,
    incoming: &Incoming<'_>,
    except: Option<EndpointRow>,
    room: &mut usize,
) -> DbResult<Acceptance> {
    let subscriptions = tx.subscriptions(incoming.app).await?;
    let mut subscribed = subscriptions.to(incoming.event_type);
    subscribed.retain(|subscription| Some(subscription.row) != except);
    let declined = filters::declined(tx, &incoming.asked(), &subscribed).await?;
    subscribed.retain(|subscription| !declined.contains(&subscription.row));
    let kind = type_row(tx, incoming).await?;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (row, id) = tx.new_event(incoming.now).await?;
    let event = Event {
        id,
        event_type: incoming.event_type.clone(),
        resource_id: incoming.resource_id.map(str::to_owned),
        deliveries: count(subscribed.len()),
        filtered: count(declined.len()),
        created_at: incoming.now,
    };
    if event.filtered > 0 {
        tx.counts.declined(event.filtered);
    }
    enter(tx, incoming, kind, row, event.clone());
    if subscribed.len() > *room && tx.cache.fan_outs().is_running() {
        let endpoints = subscribed.iter().map(|subscription| subscription.row).collect();
        fan_outs::open(tx, incoming.app, row, endpoints).await?;
        return Ok(Acceptance { row, accepted: Accepted { event, queued: vec![] }, is_open: true });
    }
    *room = room.saturating_sub(subscribed.len());
    let queued = insert_attempts(tx, incoming, row, kind, &subscribed).await?;
    Ok(Acceptance { row, accepted: Accepted { event, queued }, is_open: false })
}

/// Creates the first attempts of an event. Those of paused endpoints wait.
async fn insert_attempts(
    tx: &mut Tx,
    incoming: &Incoming<'_>,
    event: EventRow,
    kind: TypeRow,
    subscribed: &[&Subscription],
) -> DbResult<Vec<Queued>> {
    let mut queued = Vec::with_capacity(subscribed.len());
    for subscription in subscribed {
        let new = NewDelivery { app: incoming.app, endpoint: subscription.row, event, kind };
        let attempt_id = attempts::insert(tx, &new.of_event(incoming.now), None).await?;
        if subscription.status == EndpointStatus::Active {
            let (endpoint_id, due_at) = (subscription.id, incoming.now);
            queued.push(Queued { attempt_id, endpoint_id, due_at, line: Line::Fresh });
        }
    }
    Ok(queued)
}

/// The row of the event's type, which is made when it is new; what clients post is counted.
pub(crate) async fn type_row(tx: &mut Tx, incoming: &Incoming<'_>) -> DbResult<TypeRow> {
    let kind = tx.event_type(incoming.app, incoming.event_type).await?;
    if incoming.origin == Origin::Client {
        tx.counts.posted(kind, incoming.now);
    }
    Ok(kind)
}

/// Writes the row of an event that has its id already; the row's number.
pub(crate) async fn insert_as(
    tx: &mut Tx,
    incoming: &Incoming<'_>,
    kind: TypeRow,
    event: Event,
) -> DbResult<EventRow> {
    let id = tx.event_row(event.id).await?;
    enter(tx, incoming, kind, id, event);
    Ok(id)
}

fn enter(tx: &mut Tx, incoming: &Incoming<'_>, kind: TypeRow, id: EventRow, event: Event) {
    let resource_id = event.resource_id.as_deref().map(|id| clean(id).into_owned());
    tx.enter_event(NewEventRow {
        id,
        event: Event { resource_id, ..event },
        app: incoming.app,
        kind,
        source: incoming.source,
        hops: incoming.hops,
        origin: incoming.origin,
        payload: incoming.payload.clone(),
    });
}

// ---------------------------------------------------------------------------------------------
// Idempotency

pub(crate) const KEY_LOOKUP: &str = "SELECT i.key, i.digest, i.event, i.type, i.event_uid, y.name, i.resource_id, \
     i.deliveries, i.filtered, i.event_at FROM idempotency i JOIN event_types y ON y.id = i.type \
     WHERE i.app = $1 AND i.key = ANY($2) AND i.created_at > $3";

/// What a key stands for.
#[derive(Clone)]
struct Known {
    digest: Digest,
    row: EventRow,
    kind: TypeRow,
    event: Event,
}

/// What keys stand for, by key.
type KnownKeys = HashMap<String, Known>;

fn known(row: &Row) -> DbResult<Known> {
    let event = Event {
        id: row.col("event_uid")?,
        event_type: row.col("name")?,
        resource_id: row.col("resource_id")?,
        deliveries: row.num("deliveries")?,
        filtered: row.num("filtered")?,
        created_at: row.col("event_at")?,
    };
    Ok(Known { digest: row.hash("digest")?, row: row.col("event")?, kind: row.col("type")?, event })
}

/// What keys stand for, while they are remembered: in the table, or in the rows that the group is about to write.
async fn remembered<'k>(
    tx: &Tx,
    app: AppRow,
    keys: impl Iterator<Item = &'k str>,
    now: Timestamp,
) -> DbResult<KnownKeys> {
    let since = now.plus_ms(-IDEMPOTENCY_MS);
    let (mut found, mut asked) = (KnownKeys::new(), Vec::new());
    for key in keys {
        match tx.remembered(app, key).filter(|row| row.created_at > since) {
            Some(KeyRow { digest, row, kind, event, .. }) => {
                let known = Known { digest: *digest, row: *row, kind: *kind, event: event.clone() };
                found.insert(key.to_owned(), known);
            }
            None => asked.push(key),
        }
    }
    if !asked.is_empty() {
        for row in tx.rows(KEY_LOOKUP, &[&app, &asked, &since]).await? {
            found.insert(row.col("key")?, known(&row)?);
        }
    }
    Ok(found)
}

fn remember(tx: &mut Tx, app: AppRow, key: String, known: Known, now: Timestamp) {
    let Known { digest, row, kind, event } = known;
    tx.remember(KeyRow { app, key, row, kind, event, digest, created_at: now });
}

/// The first event whose key stands for another one, be it stored or earlier in the batch. Looked for
/// before anything is written, because a batch is taken whole or not at all.
fn conflict(known: &KnownKeys, events: &[NewEvent]) -> Option<usize> {
    let mut earlier: HashMap<&str, Digest> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let Some(key) = event.idempotency_key.as_deref() else { continue };
        let this = digest(event);
        let stored = known.get(key).map(|known| known.digest);
        if earlier.get(key).copied().or(stored).is_some_and(|first| first != this) {
            return Some(index);
        }
        earlier.insert(key, this);
    }
    None
}

/// The attempts of one event of a batch, which are written in steps: its index, and where its hints arrive.
pub(crate) type OpenFanOut = (usize, oneshot::Receiver<Vec<Queued>>);

/// Events that were taken in, in their order.
struct TakenIn {
    /// What a key of each of them stands for.
    known: Vec<Known>,
    accepted: Vec<Accepted>,
    open: Vec<OpenFanOut>,
}

/// Takes in events whose keys have no conflict; `stored` is what the keys stand for.
async fn take_each(
    tx: &mut Tx,
    app: AppRow,
    mut stored: KnownKeys,
    events: &[NewEvent],
    verdicts: &Verdicts,
    now: Timestamp,
) -> DbResult<TakenIn> {
    let (mut all, mut accepted) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
    let (mut open, mut room) = (Vec::new(), fan_outs::AT_ONCE);
    for (index, new) in events.iter().enumerate() {
        let key = new.idempotency_key.as_deref();
        if let Some(known) = key.and_then(|key| stored.get(key)) {
            accepted.push(Accepted { event: known.event.clone(), queued: vec![] });
            all.push(known.clone());
            continue;
        }
        let incoming = Incoming {
            app,
            event_type: &new.event_type,
            payload: &new.payload,
            resource_id: new.resource_id.as_deref(),
            origin: Origin::Client,
            source: None,
            hops: None,
            verdicts: Some((verdicts, index)),
            now,
        };
        let acceptance = accept(tx, &incoming, None, &mut room).await?;
        if acceptance.is_open {
            open.push((index, tx.cache.fan_outs().wait_for(acceptance.row)));
        }
        let kind = tx.event_type(app, &new.event_type).await?;
        let event = acceptance.accepted.event.clone();
        // Of an event without a key nobody asks for the digest here.
        let digest = key.map(|_| digest(new)).unwrap_or_default();
        let known = Known { digest, row: acceptance.row, kind, event };
        if let Some(key) = key {
            remember(tx, app, key.to_owned(), known.clone(), now);
            stored.insert(key.to_owned(), known.clone());
        }
        accepted.push(acceptance.accepted);
        all.push(known);
    }
    Ok(TakenIn { known: all, accepted, open })
}

fn keys(events: &[NewEvent]) -> impl Iterator<Item = &str> {
    events.iter().filter_map(|event| event.idempotency_key.as_deref())
}

/// Accepts events, whole or not at all.
async fn take(
    tx: &mut Tx,
    app: AppId,
    events: &[NewEvent],
    verdicts: &Verdicts,
    now: Timestamp,
) -> DbResult<(Taken, Vec<OpenFanOut>)> {
    let app = tx.app(app).await?;
    let stored = remembered(tx, app, keys(events), now).await?;
    if let Some(index) = conflict(&stored, events) {
        return Ok((Taken::KeyConflict { index }, vec![]));
    }
    let TakenIn { accepted, open, .. } = take_each(tx, app, stored, events, verdicts, now).await?;
    Ok((Taken::All(accepted), open))
}

/// Accepts a batch under a key of its own, or finds that it was accepted before.
async fn take_batch(
    tx: &mut Tx,
    app: AppId,
    key: &str,
    events: &[NewEvent],
    verdicts: &Verdicts,
    now: Timestamp,
) -> DbResult<(Taken, Vec<OpenFanOut>)> {
    let app = tx.app(app).await?;
    let this = batch_digest(events);
    let of_batch = remembered(tx, app, std::iter::once(key), now).await?;
    if let Some(known) = of_batch.get(key) {
        if known.digest != this {
            return Ok((Taken::BatchConflict, vec![]));
        }
        let places: Vec<String> = (0..events.len()).map(|index| place_key(key, index)).collect();
        let mut stored = remembered(tx, app, places.iter().map(String::as_str), now).await?;
        let again = places.iter().map(|place| {
            let known = stored.remove(place);
            let known = known.ok_or_else(|| fault("a batch is remembered and its events are not"))?;
            Ok(Accepted { event: known.event, queued: vec![] })
        });
        return Ok((Taken::All(again.collect::<DbResult<_>>()?), vec![]));
    }
    let stored = remembered(tx, app, keys(events), now).await?;
    if let Some(index) = conflict(&stored, events) {
        return Ok((Taken::KeyConflict { index }, vec![]));
    }
    let TakenIn { known, accepted, open } = take_each(tx, app, stored, events, verdicts, now).await?;
    for (index, (known, event)) in known.into_iter().zip(events).enumerate() {
        if index == 0 {
            remember(tx, app, key.to_owned(), Known { digest: this, ..known.clone() }, now);
        }
        remember(tx, app, place_key(key, index), Known { digest: digest(event), ..known }, now);
    }
    Ok((Taken::All(accepted), open))
}

// ---------------------------------------------------------------------------------------------
// The command

/// What a command takes in; it may be run again.
struct Batch {
    app: AppId,
    key: Option<String>,
    events: Vec<NewEvent>,
    verdicts: Verdicts,
    now: Timestamp,
}

impl Batch {
    async fn take(&self, tx: &mut Tx) -> DbResult<(Taken, Vec<OpenFanOut>)> {
        let Batch { app, key, events, verdicts, now } = self;
        let (taken, open) = match key {
            Some(key) => take_batch(tx, *app, key, events, verdicts, *now).await?,
            None => take(tx, *app, events, verdicts, *now).await?,
        };
        if let Taken::All(accepted) = &taken {
            accepted.iter().zip(events).for_each(|(a, event)| tx.cache.accepted(a, &event.payload));
        }
        Ok((taken, open))
    }
}

impl PostgresStore {
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
                let read = self.read("reading filters", move |conn| filters::of_app(conn, app).boxed());
                let read = read.await?;
                self.filters.keep(app, generation, read.clone());
                read
            }
        };
        if filters.is_empty() {
            return Ok(Verdicts::default());
        }
        Verdicts::of(filters, events, from(), now, &self.filter_turns).await
    }

    /// Takes in events; see [`crate::store::EventStore::event_insert`] and
    /// [`crate::store::EventStore::event_batch_insert`].
    pub(crate) async fn take_in(
        &self,
        app: AppId,
        batch_key: Option<String>,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Taken> {
        let verdicts = self.verdicts(app, &events, || None, now).await?;
        let reserved = self.reserve(events.iter().map(|event| event.payload.len()).sum())?;
        let batch = Arc::new(Batch { app, key: batch_key, events, verdicts, now });
        let take = command::repeatable("taking in events", move |tx| {
            // Kept until the command is done with.
            let _ = &reserved;
            let batch = batch.clone();
            async move { batch.take(tx).await }.boxed()
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
