//! Retention: the steps of a sweep, giving space back, the policy, and the latest time seen.
//!
//! [`expired`] removes rows of the log, events and idempotency keys; what is small is here.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::retention::PagePolicy;
use crate::domain::{Activity, AppId, Span, Timestamp};
use crate::store::shared::counts::{HOUR_MS, MINUTE_MS, slot_of};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{EndpointRow, read_span};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::writer::Message;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::header_values;
use crate::store::sqlite::upkeep::expired;
use crate::store::sqlite::upkeep::expired::StepEnd;
use crate::store::{Cutoffs, Expired, Result, RetentionStore, StepLimit, SweepStep, WriterLoad};

/// A tenth of the file may stay free: it is used again soon.
const FREE_SHARE: i64 = 10;

/// A step of a walk that always starts at the oldest: there is more when the step was full.
fn all_or_more(removed: usize, limit: u32) -> SweepStep {
    SweepStep {
        removed: removed as u64,
        next: (removed >= limit as usize).then_some(0),
        ..SweepStep::default()
    }
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
    let Some(endpoint) = endpoint else { return Ok(SweepStep::default()) };
    let minute = slot_of(before, MINUTE_MS);
    let gone = tx.prepare_cached(DELETE_MINUTES)?.execute(params![endpoint, minute, limit])?;
    tx.prepare_cached(DELETE_TIMES)?.execute(params![endpoint, minute])?;
    let next = if gone >= limit as usize { after } else { endpoint.0 };
    Ok(SweepStep { removed: gone as u64, next: Some(next), ..SweepStep::default() })
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
/// What events had that are gone: events go from the oldest on.
pub(crate) const DELETE_EXTRAS: &str =
    "DELETE FROM event_extras WHERE event < coalesce((SELECT min(id) FROM events), 0)";
/// A few hundred sources have a day of hours each.
pub(crate) const DELETE_INBOUND_HOURS: &str = "DELETE FROM inbound_hours WHERE hour < ?1";
pub(crate) const DELETE_SOURCES: &str = "DELETE FROM sources WHERE deleted_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM event_extras x WHERE x.source = sources.id) \
     AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.source = sources.id)";

fn sweep_sources(tx: &mut Tx<'_>, before: Timestamp, limit: u32) -> rusqlite::Result<SweepStep> {
    let gone = tx.prepare_cached(DELETE_SEEN)?.execute(params![before, limit])?;
    if gone < limit as usize {
        tx.prepare_cached(DELETE_INBOUND_HOURS)?.execute([slot_of(before, HOUR_MS) - 1])?;
        tx.prepare_cached(DELETE_EXTRAS)?.execute([])?;
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

impl SqliteStore {
    /// A step of a sweep.
    async fn sweep_step<F>(&self, doing: &'static str, limit: StepLimit, work: F) -> Result<SweepStep>
    where
        F: Fn(&mut Tx<'_>, &StepEnd) -> rusqlite::Result<SweepStep> + Clone + Send + 'static,
    {
        let inbox = self.inbox.clone();
        self.write_freeing(doing, move |tx| {
            // Its time begins when it is run.
            let end = StepEnd::new(limit, inbox.clone());
            work(tx, &end).map(|step| end.stamp(step))
        })
        .await
    }
}

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn retention_attempts(&self, after: i64, before: Timestamp, limit: StepLimit) -> Result<SweepStep> {
        self.sweep_step("sweeping the log", limit, move |tx, end| {
            expired::sweep_attempts(tx, after, before, end)
        })
        .await
    }

    async fn retention_events(
        &self,
        app: Option<AppId>,
        after: i64,
        before: Timestamp,
        limit: StepLimit,
    ) -> Result<SweepStep> {
        self.sweep_step("sweeping events", limit, move |tx, end| {
            expired::sweep_events(tx, app, after, before, end)
        })
        .await
    }

    async fn retention_keys(&self, before: Timestamp, limit: StepLimit) -> Result<SweepStep> {
        self.sweep_step("forgetting idempotency keys", limit, move |tx, end| {
            expired::sweep_keys(tx, before, end)
        })
        .await
    }

    async fn retention_header_values(&self, limit: u32) -> Result<SweepStep> {
        self.write_freeing("sweeping header values", move |tx| {
            let removed = header_values::sweep(tx, limit)?;
            let next = (removed >= u64::from(limit)).then_some(0);
            Ok(SweepStep { removed, next, ..SweepStep::default() })
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

    async fn retention_expired(&self, cutoffs: Cutoffs) -> Result<Expired> {
        self.read("looking for expired rows", move |conn| expired::expired(conn, cutoffs)).await
    }

    fn retention_load(&self) -> WriterLoad {
        let meters = self.meters();
        WriterLoad { commands: meters.group_size.sum(), busy: Duration::from_micros(meters.busy.get()) }
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
