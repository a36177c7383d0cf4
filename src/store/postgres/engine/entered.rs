//! Events, pending attempts and idempotency keys that a group of commands makes, and pending attempts that it ends.
//! They are written together, at the end of the group: a few statements, however many commands there are.
//!
//! Who asks for a key finds those of the group here. Keys are written in their order, so that nodes never wait for
//! each other in a circle; when another node has written one of them meanwhile, the group is run again and finds it.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use futures_util::future::try_join5;

use crate::domain::attempts::attempt::{AttemptStatus, Trigger};
use crate::domain::event::{Event, IDEMPOTENCY_MS};
use crate::domain::{AttemptId, Origin, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Params, Statements as _};
use crate::store::postgres::engine::error::{DbError, DbResult, fault};
use crate::store::postgres::engine::rows::{
    AppRow, EndpointRow, EventRow, JobRow, SourceRow, TypeRow, num, opt_num,
};
use crate::store::shared::class::{Class, ClassParts};
use crate::store::shared::idempotency::Digest;
use crate::store::shared::job_ends::JobEnd;

/// A pending attempt. The columns of the same names; its shard is that of its endpoint.
#[derive(Debug, Clone)]
pub(crate) struct QueueRow {
    pub(crate) id: AttemptId,
    pub(crate) first_id: Option<AttemptId>,
    pub(crate) app: AppRow,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) kind: TypeRow,
    pub(crate) created_at: Timestamp,
    pub(crate) begun_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) job: Option<JobRow>,
    pub(crate) held_since: Option<Timestamp>,
    pub(crate) last_outcome: Option<i64>,
    pub(crate) attempt: u32,
    pub(crate) schedule_used: Option<i64>,
    pub(crate) trigger: Trigger,
}

impl QueueRow {
    fn class(&self) -> Class {
        Class::of(ClassParts {
            kind: self.kind,
            status: AttemptStatus::Pending,
            trigger: self.trigger,
            error_kind: None,
            created_at: self.created_at,
            attempted_at: None,
            response_time_ms: None,
            response_status: None,
            last_outcome: self.last_outcome,
        })
    }
}

/// An event. The columns of the same names.
#[derive(Debug, Clone)]
pub(crate) struct NewEventRow {
    pub(crate) id: EventRow,
    pub(crate) event: Event,
    pub(crate) app: AppRow,
    pub(crate) kind: TypeRow,
    pub(crate) source: Option<SourceRow>,
    pub(crate) hops: Option<u32>,
    pub(crate) origin: Origin,
    pub(crate) payload: Bytes,
}

/// An idempotency key and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct KeyRow {
    pub(crate) app: AppRow,
    pub(crate) key: String,
    pub(crate) row: EventRow,
    pub(crate) kind: TypeRow,
    pub(crate) event: Event,
    pub(crate) digest: Digest,
    pub(crate) created_at: Timestamp,
}

/// Rows of the open transaction, and how many of each are in the tables.
#[derive(Debug, Default)]
pub(crate) struct Entered {
    events: Vec<NewEventRow>,
    queue: Vec<QueueRow>,
    left: Vec<AttemptId>,
    keys: Vec<KeyRow>,
    job_ends: Vec<(JobRow, JobEnd)>,
    written: EnteredMark,
    known_left: HashSet<AttemptId>,
    /// Where the newest row of a key is.
    known_keys: HashMap<AppRow, HashMap<String, usize>>,
}

/// How many rows there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct EnteredMark {
    events: usize,
    queue: usize,
    left: usize,
    keys: usize,
    job_ends: usize,
}

/// A place to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnteredState {
    rows: EnteredMark,
    written: EnteredMark,
}

impl Entered {
    pub(crate) fn event(&mut self, row: NewEventRow) {
        self.events.push(row);
    }

    pub(crate) fn enter(&mut self, row: QueueRow) {
        self.queue.push(row);
    }

    pub(crate) fn leave(&mut self, id: AttemptId) {
        self.left.push(id);
        self.known_left.insert(id);
    }

    pub(crate) fn has_left(&self, id: AttemptId) -> bool {
        self.known_left.contains(&id)
    }

    pub(crate) fn remember(&mut self, row: KeyRow) {
        self.known_keys.entry(row.app).or_default().insert(row.key.clone(), self.keys.len());
        self.keys.push(row);
    }

    /// An attempt of a bulk job has changed its status.
    pub(crate) fn job_end(&mut self, job: JobRow, end: JobEnd) {
        self.job_ends.push((job, end));
    }

    pub(crate) fn remembered(&self, app: AppRow, key: &str) -> Option<&KeyRow> {
        self.keys.get(*self.known_keys.get(&app)?.get(key)?)
    }

    fn rows(&self) -> EnteredMark {
        EnteredMark {
            events: self.events.len(),
            queue: self.queue.len(),
            left: self.left.len(),
            keys: self.keys.len(),
            job_ends: self.job_ends.len(),
        }
    }

    /// The present state.
    pub(crate) fn mark(&self) -> EnteredState {
        EnteredState { rows: self.rows(), written: self.written }
    }

    /// Forgets what came since a mark, because it was undone.
    pub(crate) fn undo_to(&mut self, mark: EnteredState) {
        self.events.truncate(mark.rows.events);
        self.queue.truncate(mark.rows.queue);
        self.job_ends.truncate(mark.rows.job_ends);
        for id in self.left.drain(mark.rows.left..) {
            self.known_left.remove(&id);
        }
        if self.keys.len() > mark.rows.keys {
            self.keys.truncate(mark.rows.keys);
            self.known_keys.clear();
            for (at, row) in self.keys.iter().enumerate() {
                self.known_keys.entry(row.app).or_default().insert(row.key.clone(), at);
            }
        }
        self.written = mark.written;
    }

    /// Forgets everything: the transaction is over.
    pub(crate) fn clear(&mut self) {
        *self = Entered::default();
    }

    /// Whether everything is in the tables.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.rows()
    }

    /// Writes what is not in the tables yet.
    pub(crate) async fn write(&mut self, conn: &Conn) -> DbResult<()> {
        let done = self.written;
        try_join5(
            insert_keys(conn, &self.keys[done.keys..]),
            insert_events(conn, &self.events[done.events..]),
            insert_queue(conn, &self.queue[done.queue..]),
            delete_queue(conn, &self.left[done.left..]),
            count_job_ends(conn, &self.job_ends[done.job_ends..]),
        )
        .await?;
        self.written = self.rows();
        Ok(())
    }
}

/// A column of rows as an array.
fn all<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

const EVENTS: &str = "INSERT INTO events (id, uid, app, type, created_at, deliveries, filtered, source, hops, origin, \
     resource_id, payload) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], \
     $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bytea[])";

async fn insert_events(conn: &Conn, rows: &[NewEventRow]) -> DbResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let values: Params<'_> = &[
        &all(rows, |row| row.id),
        &all(rows, |row| row.event.id),
        &all(rows, |row| row.app),
        &all(rows, |row| row.kind),
        &all(rows, |row| row.event.created_at),
        &all(rows, |row| num(row.event.deliveries)),
        &all(rows, |row| num(row.event.filtered)),
        &all(rows, |row| row.source),
        &all(rows, |row| opt_num(row.hops)),
        &all(rows, |row| row.origin),
        &all(rows, |row| row.event.resource_id.as_deref()),
        &all(rows, |row| row.payload.as_ref()),
    ];
    conn.run(EVENTS, values).await.map(|_| ())
}

const QUEUE: &str = "INSERT INTO queue (id, first_id, app, endpoint, event, type, class, created_at, begun_at, due_at, job, \
     held_since, last_outcome, attempt, schedule_used, trigger, shard) \
     SELECT n.*, e.shard FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
     $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], \
     $13::bigint[], $14::bigint[], $15::bigint[], $16::text[]) AS n (id, first_id, app, endpoint, event, type, class, \
     created_at, begun_at, due_at, job, held_since, last_outcome, attempt, schedule_used, trigger) \
     JOIN endpoints e ON e.id = n.endpoint";

async fn insert_queue(conn: &Conn, rows: &[QueueRow]) -> DbResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let values: Params<'_> = &[
        &all(rows, |row| row.id),
        &all(rows, |row| row.first_id),
        &all(rows, |row| row.app),
        &all(rows, |row| row.endpoint),
        &all(rows, |row| row.event),
        &all(rows, |row| row.kind),
        &all(rows, |row| row.class().0),
        &all(rows, |row| row.created_at),
        &all(rows, |row| row.begun_at),
        &all(rows, |row| row.due_at),
        &all(rows, |row| row.job),
        &all(rows, |row| row.held_since),
        &all(rows, |row| row.last_outcome),
        &all(rows, |row| num(row.attempt)),
        &all(rows, |row| row.schedule_used),
        &all(rows, |row| row.trigger),
    ];
    let inserted = conn.run(QUEUE, values).await?;
    if inserted == rows.len() as u64 { Ok(()) } else { Err(fault("an attempt has no endpoint")) }
}

async fn delete_queue(conn: &Conn, ids: &[AttemptId]) -> DbResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let deleted = conn.run("DELETE FROM queue WHERE id = ANY($1)", &[&ids]).await?;
    if deleted == ids.len() as u64 { Ok(()) } else { Err(DbError::Collided("ended an attempt")) }
}

/// Only one that has expired can be there still.
const KEYS: &str = "INSERT INTO idempotency AS i (app, key, event, event_uid, type, resource_id, deliveries, filtered, \
     event_at, digest, created_at) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[], \
     $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[], $11::bigint[]) \
     ON CONFLICT (app, key) DO UPDATE SET event = excluded.event, event_uid = excluded.event_uid, \
     type = excluded.type, resource_id = excluded.resource_id, deliveries = excluded.deliveries, \
     filtered = excluded.filtered, event_at = excluded.event_at, digest = excluded.digest, \
     created_at = excluded.created_at WHERE i.created_at <= excluded.created_at - $12";

async fn insert_keys(conn: &Conn, rows: &[KeyRow]) -> DbResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // A batch may have the key of one of its events; the last one counts.
    let sorted: BTreeMap<(AppRow, &str), &KeyRow> =
        rows.iter().map(|row| ((row.app, row.key.as_str()), row)).collect();
    let rows: Vec<&KeyRow> = sorted.into_values().collect();
    let values: Params<'_> = &[
        &all(&rows, |row| row.app),
        &all(&rows, |row| row.key.as_str()),
        &all(&rows, |row| row.row),
        &all(&rows, |row| row.event.id),
        &all(&rows, |row| row.kind),
        &all(&rows, |row| row.event.resource_id.as_deref()),
        &all(&rows, |row| num(row.event.deliveries)),
        &all(&rows, |row| num(row.event.filtered)),
        &all(&rows, |row| row.event.created_at),
        &all(&rows, |row| row.digest.as_slice()),
        &all(&rows, |row| row.created_at),
        &IDEMPOTENCY_MS,
    ];
    let written = conn.run(KEYS, values).await?;
    if written == rows.len() as u64 { Ok(()) } else { Err(DbError::Collided("used an idempotency key")) }
}

const JOB_ENDS: &str = "WITH locked AS MATERIALIZED (SELECT id FROM jobs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE) \
     UPDATE jobs j SET delivered = j.delivered + n.delivered, exhausted = j.exhausted + n.exhausted, \
     cancelled = j.cancelled + n.cancelled, status = CASE WHEN j.status = 'running' AND NOT j.walking \
     AND j.queued = j.delivered + j.exhausted + j.cancelled + n.delivered + n.exhausted + n.cancelled THEN 'done' \
     ELSE j.status END FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
     AS n (id, delivered, exhausted, cancelled) WHERE j.id = n.id AND j.id IN (SELECT id FROM locked)";

async fn count_job_ends(conn: &Conn, ends: &[(JobRow, JobEnd)]) -> DbResult<()> {
    if ends.is_empty() {
        return Ok(());
    }
    let mut sums: BTreeMap<JobRow, JobEnd> = BTreeMap::new();
    for (job, end) in ends {
        sums.entry(*job).or_default().add(*end);
    }
    let sums: Vec<(JobRow, JobEnd)> = sums.into_iter().collect();
    let values: Params<'_> = &[
        &all(&sums, |(job, _)| *job),
        &all(&sums, |(_, end)| end.delivered),
        &all(&sums, |(_, end)| end.exhausted),
        &all(&sums, |(_, end)| end.cancelled),
    ];
    conn.run(JOB_ENDS, values).await.map(|_| ())
}
