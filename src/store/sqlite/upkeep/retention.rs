//! Removing what has grown old, a bounded number of rows at a time.
//!
//! The log and the events are walked by their row numbers, which ascend with time; so no index by time
//! is needed, and what cannot go yet (pending, or a delivery that lives on) is passed over. Rows that a
//! clock once dated into the future hold a walk up only if there are [`LOOK_AHEAD`] of them in a row.
//!
//! An event has three ends: its payload is taken by its own policy; its row stays while an attempt
//! or an idempotency key refers to it ([`drop_if_unused`]); then it goes.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::attempts::attempt::AttemptStatus;
use crate::domain::retention::PagePolicy;
use crate::domain::{Activity, AppId, AttemptId, Span, Timestamp};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::counts::{HOUR_MS, MINUTE_MS, slot_of};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, EventRow, read_span};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::writer::Message;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::{attempts, header_values};
use crate::store::{Result, RetentionStore, SweepStep};

/// A tenth of the file may stay free: it is used again soon.
const FREE_SHARE: i64 = 10;

/// Where a step finds only what is younger, so many row numbers more are looked at for something to remove.
const LOOK_AHEAD: i64 = 4_000;

// ---------------------------------------------------------------------------------------------
// The log

pub(crate) const WALK_ATTEMPTS: &str =
    "SELECT id, first_id IS NULL, created_at FROM attempts WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(crate) const NEXT_ATTEMPT: &str =
    "SELECT min(id) FROM attempts WHERE id > ?1 AND id <= ?1 + ?2 AND created_at < ?3";
pub(crate) const DELETE_LATER: &str = "DELETE FROM attempts WHERE first_id = ?1";
pub(crate) const DELETE_FIRST: &str = "DELETE FROM attempts WHERE id = ?1";

fn sweep_attempts(tx: &mut Tx<'_>, after: i64, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    let walked: Vec<(AttemptId, bool, Timestamp)> = tx
        .prepare_cached(WALK_ATTEMPTS)?
        .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut step = SweepStep { removed: 0, next: None };
    if walked.iter().all(|(_, _, created_at)| *created_at >= before) {
        if let Some((last, ..)) = walked.last() {
            step.next = look_ahead(tx, NEXT_ATTEMPT, params![last, LOOK_AHEAD, before])?;
        }
        return Ok(step);
    }
    for (id, is_first, created_at) in walked {
        // A delivery with many attempts counts for as many rows: the step ends early.
        if step.removed >= u64::from(limit) {
            break;
        }
        step.next = Some(id.0);
        if is_first && created_at < before {
            step.removed += sweep_delivery(tx, id, before)?;
        }
    }
    Ok(step)
}

/// Removes a delivery if its newest attempt allows it, and says how many rows it had.
fn sweep_delivery(tx: &mut Tx<'_>, delivery: AttemptId, before: Timestamp) -> rusqlite::Result<u64> {
    let Some(newest) = attempts::newest(tx, delivery)? else { return Ok(0) };
    if newest.current.status == AttemptStatus::Pending || newest.created_at >= before {
        return Ok(0);
    }
    // Their details go with them: the table says ON DELETE CASCADE.
    let later = tx.prepare_cached(DELETE_LATER)?.execute([delivery])?;
    let first = tx.prepare_cached(DELETE_FIRST)?.execute([delivery])?;
    drop_if_unused(tx, newest.event)?;
    Ok((later + first) as u64)
}

// ---------------------------------------------------------------------------------------------
// Events

/// The condition is that of the index `events_app`.
pub(crate) const WALK_EVENTS: &str = "SELECT id, created_at FROM events \
     WHERE app = ?1 AND payload IS NOT NULL AND id > ?2 ORDER BY id LIMIT ?3";
pub(crate) const NEXT_EVENT: &str = "SELECT min(id) FROM events WHERE id > ?1 AND id <= ?1 + ?2 AND created_at < ?3 \
     AND app = ?4 AND payload IS NOT NULL";
pub(crate) const HAS_PENDING: &str =
    "SELECT EXISTS (SELECT 1 FROM attempts WHERE event = ?1 AND status = 'pending')";
pub(crate) const IS_REFERRED_TO: &str = "SELECT EXISTS (SELECT 1 FROM attempts WHERE event = ?1)";
/// A key is as old as its event to the millisecond, so the index by age finds it.
pub(crate) const HAS_KEY: &str =
    "SELECT EXISTS (SELECT 1 FROM idempotency i WHERE i.created_at = ?2 AND i.event = ?1)";

fn sweep_events(
    tx: &mut Tx<'_>,
    app: AppId,
    after: i64,
    before: Timestamp,
    limit: u32,
) -> rusqlite::Result<SweepStep> {
    let mut step = SweepStep { removed: 0, next: None };
    let Some(app) = cache::app_row(tx, app)? else { return Ok(step) };
    let walked: Vec<(EventRow, Timestamp)> = tx
        .prepare_cached(WALK_EVENTS)?
        .query_map(params![app, after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if walked.iter().all(|(_, created_at)| *created_at >= before) {
        if let Some((last, _)) = walked.last() {
            step.next = look_ahead(tx, NEXT_EVENT, params![last, LOOK_AHEAD, before, app])?;
        }
        return Ok(step);
    }
    for (id, created_at) in walked {
        step.next = Some(id.0);
        if created_at >= before || is(tx, HAS_PENDING, id)? {
            continue;
        }
        tx.prepare_cached("UPDATE events SET payload = NULL WHERE id = ?1")?.execute([id])?;
        drop_if_unused(tx, id)?;
        step.removed += 1;
    }
    Ok(step)
}

/// Where to go on after a run of rows that are all too young.
fn look_ahead(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Option<i64>> {
    let found: Option<i64> = conn.prepare_cached(sql)?.query_row(params, |row| row.get(0))?;
    Ok(found.map(|id| id - 1))
}

fn is(conn: &Connection, sql: &str, event: EventRow) -> rusqlite::Result<bool> {
    conn.prepare_cached(sql)?.query_row([event], |row| row.get(0))
}

/// Removes an event that has lost its payload, once nothing refers to it.
fn drop_if_unused(conn: &Connection, event: EventRow) -> rusqlite::Result<()> {
    let taken: Option<(bool, Timestamp)> = conn
        .prepare_cached("SELECT payload IS NULL, created_at FROM events WHERE id = ?1")?
        .query_row([event], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((true, created_at)) = taken else { return Ok(()) };
    if is(conn, IS_REFERRED_TO, event)? {
        return Ok(());
    }
    let keyed: bool =
        conn.prepare_cached(HAS_KEY)?.query_row(params![event, created_at], |row| row.get(0))?;
    if !keyed {
        conn.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([event])?;
        conn.prepare_cached("DELETE FROM event_extras WHERE event = ?1")?.execute([event])?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// The rest

pub(crate) const EXPIRED_KEYS: &str =
    "SELECT app, key, event FROM idempotency WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2";

fn sweep_keys(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    let expired: Vec<(AppRow, String, EventRow)> = tx
        .prepare_cached(EXPIRED_KEYS)?
        .query_map(params![before, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (app, key, event) in &expired {
        tx.prepare_cached("DELETE FROM idempotency WHERE app = ?1 AND key = ?2")?
            .execute(params![app, key])?;
        drop_if_unused(tx, *event)?;
    }
    Ok(all_or_more(expired.len(), limit))
}

/// A step of a walk that always starts at the oldest: there is more when the step was full.
fn all_or_more(removed: usize, limit: u32) -> SweepStep {
    SweepStep { removed: removed as u64, next: (removed >= limit as usize).then_some(0) }
}

pub(crate) const DELETE_MINUTES: &str = "DELETE FROM minutes WHERE endpoint = ?1 AND minute IN \
     (SELECT minute FROM minutes WHERE endpoint = ?1 AND minute < ?2 ORDER BY minute LIMIT ?3)";
/// Times of minutes that have gone.
pub(crate) const DELETE_TIMES: &str = "DELETE FROM minute_times WHERE endpoint = ?1 AND minute < coalesce( \
     (SELECT min(minute) FROM minutes WHERE endpoint = ?1), ?2) AND minute < ?2";

fn sweep_minutes(tx: &mut Tx<'_>, after: i64, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    let endpoint: Option<EndpointRow> = tx
        .prepare_cached("SELECT id FROM endpoints WHERE id > ?1 ORDER BY id LIMIT 1")?
        .query_row([after], |row| row.get(0))
        .optional()?;
    let Some(endpoint) = endpoint else { return Ok(SweepStep { removed: 0, next: None }) };
    let minute = slot_of(before, MINUTE_MS);
    let gone = tx.prepare_cached(DELETE_MINUTES)?.execute(params![endpoint, minute, limit])?;
    tx.prepare_cached(DELETE_TIMES)?.execute(params![endpoint, minute])?;
    let next = if gone >= limit as usize { after } else { endpoint.0 };
    Ok(SweepStep { removed: gone as u64, next: Some(next) })
}

pub(crate) const DELETE_INBOUND: &str = "DELETE FROM inbound WHERE id IN \
     (SELECT id FROM (SELECT id, received_at FROM inbound ORDER BY id LIMIT ?2) WHERE received_at < ?1)";

fn sweep_inbound(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    // Their details go with them: the table says ON DELETE CASCADE.
    let gone = tx.prepare_cached(DELETE_INBOUND)?.execute(params![before, limit])?;
    Ok(all_or_more(gone, limit))
}

pub(crate) const DELETE_SEEN: &str = "DELETE FROM inbound_seen WHERE (source, digest) IN \
     (SELECT source, digest FROM inbound_seen INDEXED BY inbound_seen_age \
     WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)";
/// A few hundred sources have a day of hours each.
pub(crate) const DELETE_INBOUND_HOURS: &str = "DELETE FROM inbound_hours WHERE hour < ?1";
pub(crate) const DELETE_SOURCES: &str = "DELETE FROM sources WHERE deleted_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM event_extras x WHERE x.source = sources.id) \
     AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.source = sources.id)";

fn sweep_sources(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    let gone = tx.prepare_cached(DELETE_SEEN)?.execute(params![before, limit])?;
    if gone < limit as usize {
        tx.prepare_cached(DELETE_INBOUND_HOURS)?.execute([slot_of(before, HOUR_MS) - 1])?;
        tx.prepare_cached(DELETE_SOURCES)?.execute([])?;
    }
    Ok(all_or_more(gone, limit))
}

fn sweep_activity(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    let gone = tx
        .prepare_cached(
            "DELETE FROM activity WHERE id IN \
             (SELECT id FROM (SELECT id, created_at FROM activity ORDER BY id LIMIT ?2) WHERE created_at < ?1)",
        )?
        .execute(params![before, limit])?;
    Ok(all_or_more(gone, limit))
}

fn shrink(conn: &Connection, pages: u32) -> rusqlite::Result<u64> {
    let number = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (all, free) = (number("page_count")?, number("freelist_count")?);
    let spare = free - all / FREE_SHARE;
    if spare <= 0 {
        return Ok(0);
    }
    // It gives one page back with each row that is read.
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({})", spare.min(pages.into())))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let gone = all - number("page_count")?;
    u64::try_from(gone).map_err(|_| fault("giving pages back made the file larger"))
}

/// The names of settings.
const LOGS: &str = "retention.logs";
const EVENTS: &str = "retention.events";

fn setting(conn: &Connection, name: &str) -> rusqlite::Result<Option<Span>> {
    let text: Option<String> = conn
        .prepare_cached("SELECT value FROM settings WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    text.as_deref().map(read_span).transpose()
}

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn retention_attempts(&self, after: i64, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_freeing("sweeping the log", move |tx| sweep_attempts(tx, after, before, limit)).await
    }

    async fn retention_events(
        &self,
        app: AppId,
        after: i64,
        before: Timestamp,
        limit: u32,
    ) -> Result<SweepStep> {
        self.write_freeing("sweeping events", move |tx| sweep_events(tx, app, after, before, limit)).await
    }

    async fn retention_keys(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_freeing("forgetting idempotency keys", move |tx| sweep_keys(tx, before, limit)).await
    }

    async fn retention_header_values(&self, limit: u32) -> Result<SweepStep> {
        self.write_freeing("sweeping header values", move |tx| {
            let removed = header_values::sweep(tx, limit)?;
            Ok(SweepStep { removed, next: (removed >= u64::from(limit)).then_some(0) })
        })
        .await
    }

    async fn retention_minutes(&self, after: i64, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_freeing("sweeping statistics", move |tx| sweep_minutes(tx, after, before, limit)).await
    }

    async fn retention_inbound(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_freeing("sweeping the inbound log", move |tx| sweep_inbound(tx, before, limit)).await
    }

    async fn retention_sources(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_freeing("forgetting dedupe keys", move |tx| sweep_sources(tx, before, limit)).await
    }

    async fn retention_activity(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_freeing("sweeping the activity log", move |tx| sweep_activity(tx, before, limit)).await
    }

    async fn retention_shrink(&self, pages: u32) -> Result<u64> {
        let gone = self.write_freeing("giving space back", move |tx| shrink(tx, pages)).await?;
        if gone > 0 {
            // The file itself is cut when the WAL is moved into it. Nobody waits for that.
            let _ = self.inbox.send(Message::Checkpoint).await;
        }
        Ok(gone)
    }

    fn retention_written(&self) -> u64 {
        self.meters().group_size.sum()
    }

    async fn retention_page(&self) -> Result<PagePolicy> {
        self.read("reading the retention policy", |conn| {
            Ok(PagePolicy { logs: setting(conn, LOGS)?, events: setting(conn, EVENTS)? })
        })
        .await
    }

    async fn retention_set_page(&self, page: PagePolicy, entry: Activity) -> Result<()> {
        self.write_freeing("setting the retention policy", move |tx| {
            for (name, span) in [(LOGS, &page.logs), (EVENTS, &page.events)] {
                tx.execute("DELETE FROM settings WHERE name = ?1", [name])?;
                if let Some(span) = span {
                    let sql = "INSERT INTO settings (name, value) VALUES (?1, ?2)";
                    tx.execute(sql, params![name, span.to_string()])?;
                }
            }
            activity::append(tx, &entry)
        })
        .await
    }

    async fn clock_seen(&self) -> Result<Option<Timestamp>> {
        self.read("reading the clock's mark", |conn| {
            conn.prepare_cached("SELECT value FROM meta WHERE name = 'clock'")?
                .query_row([], |row| row.get(0))
                .optional()
        })
        .await
    }

    async fn clock_note(&self, now: Timestamp, anyway: bool, entry: Option<Activity>) -> Result<()> {
        self.write_freeing("noting the time", move |tx| {
            tx.prepare_cached(
                "INSERT INTO meta (name, value) VALUES ('clock', ?1) ON CONFLICT (name) DO UPDATE \
                 SET value = excluded.value WHERE ?2 OR excluded.value > meta.value",
            )?
            .execute(params![now, anyway])?;
            entry.iter().try_for_each(|entry| activity::append(tx, entry))
        })
        .await
    }
}
