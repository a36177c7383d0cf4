//! Retention: the steps of a sweep, the policy, and the latest time seen.
//!
//! [`expired`] removes rows of the log, events and idempotency keys; what is small is here.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::domain::event::IDEMPOTENCY_MS;
use crate::domain::retention::PagePolicy;
use crate::domain::{Activity, AppId, Span, Timestamp};
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::folding;
use crate::store::postgres::engine::partitions::Parent;
use crate::store::postgres::engine::rows::{Columns as _, read_span};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::postgres::upkeep::expired::StepEnd;
use crate::store::postgres::upkeep::{expired, shrink, whole};
use crate::store::shared::counts::{HOUR_MS, MINUTE_MS, slot_of};
use crate::store::{Cutoffs, Expired, Result, RetentionStore, StepLimit, SweepStep, WriterLoad};

/// A step of a walk that always starts at the oldest: there is more when the step was full.
fn all_or_more(removed: u64, limit: u32) -> SweepStep {
    SweepStep { removed, next: (removed >= u64::from(limit)).then_some(0), ..SweepStep::default() }
}

/// Their response times go with them.
const DELETE_MINUTES: &str = "WITH gone AS (DELETE FROM minutes WHERE (endpoint, minute) IN \
     (SELECT endpoint, minute FROM minutes WHERE minute < $1 ORDER BY minute LIMIT $2) RETURNING endpoint, minute), \
     times AS (DELETE FROM minute_times t USING gone WHERE t.endpoint = gone.endpoint AND t.minute = gone.minute) \
     SELECT count(*) AS count FROM gone";

async fn sweep_minutes(tx: &Conn, after: i64, before: Timestamp, limit: u32) -> DbResult<SweepStep> {
    let values = (slot_of(before, MINUTE_MS), i64::from(limit));
    let removed: u64 = tx.row(DELETE_MINUTES, &[&values.0, &values.1]).await?.num("count")?;
    Ok(SweepStep { removed, next: (removed > 0).then_some(after), ..SweepStep::default() })
}

const DELETE_INBOUND: &str = "DELETE FROM inbound WHERE id IN \
     (SELECT id FROM (SELECT id, received_at FROM inbound ORDER BY id LIMIT $2) AS oldest WHERE received_at < $1)";
const DELETE_SEEN: &str = "DELETE FROM inbound_seen WHERE (source, digest) IN \
     (SELECT source, digest FROM inbound_seen WHERE created_at <= $1 ORDER BY created_at LIMIT $2)";
/// A few hundred sources have a day of hours each.
const DELETE_INBOUND_HOURS: &str = "DELETE FROM inbound_hours WHERE hour < $1";
const DELETE_SOURCES: &str = "DELETE FROM sources s WHERE s.deleted_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM events v WHERE v.source = s.id) \
     AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.source = s.id)";

async fn sweep_sources(tx: &Conn, before: Timestamp, limit: u32) -> DbResult<SweepStep> {
    let gone = tx.run(DELETE_SEEN, &[&before, &i64::from(limit)]).await?;
    if gone < u64::from(limit) {
        tx.run(DELETE_INBOUND_HOURS, &[&(slot_of(before, HOUR_MS) - 1)]).await?;
        tx.run(DELETE_SOURCES, &[]).await?;
    }
    Ok(all_or_more(gone, limit))
}

const DELETE_ACTIVITY: &str = "DELETE FROM activity WHERE id IN \
     (SELECT id FROM (SELECT id, created_at FROM activity ORDER BY id LIMIT $2) AS oldest WHERE created_at < $1)";

/// Shorter policies have partitions of an hour.
const HOURLY_BELOW_MS: i64 = 2 * 86_400_000;

/// The names of settings.
const LOGS: &str = "retention.logs";
const EVENTS: &str = "retention.events";

async fn setting(conn: &Conn, name: &str) -> DbResult<Option<Span>> {
    let found = conn.row_opt("SELECT value FROM settings WHERE name = $1", &[&name]).await?;
    found.map(|row| read_span(row.col("value")?)).transpose()
}

async fn set_page(tx: &Conn, page: &PagePolicy) -> DbResult<()> {
    for (name, span) in [(LOGS, &page.logs), (EVENTS, &page.events)] {
        tx.run("DELETE FROM settings WHERE name = $1", &[&name]).await?;
        if let Some(span) = span {
            let sql = "INSERT INTO settings (name, value) VALUES ($1, $2)";
            tx.run(sql, &[&name, &span.to_string()]).await?;
        }
    }
    Ok(())
}

impl PostgresStore {
    /// A step that drops a partition, if there is one to drop.
    async fn drop_whole(&self, parent: Parent, after: i64, before: Timestamp) -> Result<Option<SweepStep>> {
        let partitions = self.partitions.clone();
        self.query("dropping a partition", move |conn| {
            async move { whole::drop_expired(conn, &partitions, parent, after, before).await }.boxed()
        })
        .await
    }

    /// What is kept for less than two days is in partitions of an hour.
    async fn set_length(&self, cutoffs: Cutoffs) -> Result<()> {
        // Keys are kept for a fixed time.
        let now = cutoffs.keys.plus_ms(IDEMPOTENCY_MS);
        let is_short = |before: Timestamp| now.as_millis() - before.as_millis() < HOURLY_BELOW_MS;
        let is_hourly = [cutoffs.attempts, cutoffs.events].into_iter().flatten().any(is_short);
        if is_hourly == self.partitions.is_hourly() {
            return Ok(());
        }
        let partitions = self.partitions.clone();
        self.query("making partitions", move |conn| {
            async move {
                partitions.set_hourly(conn, is_hourly).await?;
                partitions.keep_ahead(conn, now, 1).await
            }
            .boxed()
        })
        .await
    }

    /// Where the next partition begins that may go as a whole; that right behind `after` was tried.
    fn next_whole(&self, parent: Parent, after: i64, before: Timestamp) -> Option<i64> {
        whole::first_expired(&self.partitions, parent, after + 1, before).map(|partition| partition.from)
    }

    /// A step of a sweep.
    async fn sweep_step<F>(&self, doing: &'static str, limit: StepLimit, work: F) -> Result<SweepStep>
    where
        F: for<'a> FnOnce(&'a mut Tx, &'a StepEnd) -> BoxFuture<'a, DbResult<SweepStep>> + Send + 'static,
    {
        let contended = self.contended();
        self.write_patiently(doing, move |tx| {
            async move {
                // Its time begins when it is run.
                let end = StepEnd::new(limit, contended);
                let step = work(tx, &end).await?;
                tx.weigh(usize::try_from(step.removed).unwrap_or(usize::MAX));
                Ok(end.stamp(step))
            }
            .boxed()
        })
        .await
    }
}

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn retention_attempts(&self, after: i64, before: Timestamp, limit: StepLimit) -> Result<SweepStep> {
        if let Some(step) = self.drop_whole(Parent::Log, after, before).await? {
            return Ok(step);
        }
        let stop = self.next_whole(Parent::Log, after, before);
        self.sweep_step("sweeping the log", limit, move |tx, end| {
            async move { expired::sweep_attempts(tx, after, before, stop, end).await }.boxed()
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
        if app.is_none()
            && let Some(step) = self.drop_whole(Parent::Events, after, before).await?
        {
            return Ok(step);
        }
        let stop = if app.is_none() { self.next_whole(Parent::Events, after, before) } else { None };
        self.sweep_step("sweeping events", limit, move |tx, end| {
            async move { expired::sweep_events(tx, app, after, before, stop, end).await }.boxed()
        })
        .await
    }

    async fn retention_keys(&self, before: Timestamp, limit: StepLimit) -> Result<SweepStep> {
        self.sweep_step("forgetting idempotency keys", limit, move |tx, end| {
            async move { expired::sweep_keys(tx, before, end).await }.boxed()
        })
        .await
    }

    async fn retention_header_values(&self, _limit: u32) -> Result<SweepStep> {
        // They are in the rows of the attempts.
        Ok(SweepStep::default())
    }

    async fn retention_minutes(&self, after: i64, before: Timestamp, limit: u32) -> Result<SweepStep> {
        // What was counted and not added up yet is of these minutes, too.
        self.query("adding up counts", |conn| folding::fold(conn).boxed()).await?;
        self.write_patiently("sweeping statistics", move |tx| {
            async move { sweep_minutes(tx, after, before, limit).await }.boxed()
        })
        .await
    }

    async fn retention_inbound(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_patiently("sweeping the inbound log", move |tx| {
            async move {
                let gone = tx.run(DELETE_INBOUND, &[&before, &i64::from(limit)]).await?;
                Ok(all_or_more(gone, limit))
            }
            .boxed()
        })
        .await
    }

    async fn retention_sources(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_patiently("forgetting dedupe keys", move |tx| {
            async move { sweep_sources(tx, before, limit).await }.boxed()
        })
        .await
    }

    async fn retention_activity(&self, before: Timestamp, limit: u32) -> Result<SweepStep> {
        self.write_patiently("sweeping the activity log", move |tx| {
            async move {
                let gone = tx.run(DELETE_ACTIVITY, &[&before, &i64::from(limit)]).await?;
                Ok(all_or_more(gone, limit))
            }
            .boxed()
        })
        .await
    }

    async fn retention_shrink(&self, _pages: u32) -> Result<u64> {
        // The server uses free space again by itself, and gives it back with each partition that is dropped.
        let partitions = self.partitions.clone();
        self.query("giving space back", move |conn| {
            async move { shrink::drop_one(conn, &partitions).await }.boxed()
        })
        .await
    }

    async fn retention_expired(&self, cutoffs: Cutoffs) -> Result<Expired> {
        self.set_length(cutoffs).await?;
        self.read("looking for expired rows", move |conn| {
            async move { expired::expired(conn, cutoffs).await }.boxed()
        })
        .await
    }

    fn retention_load(&self) -> WriterLoad {
        let meters = self.meters();
        WriterLoad { commands: meters.group_size.sum(), busy: Duration::from_micros(meters.busy.get()) }
    }

    async fn retention_page(&self) -> Result<PagePolicy> {
        self.read("reading the retention policy", |conn| {
            async move {
                Ok(PagePolicy { logs: setting(conn, LOGS).await?, events: setting(conn, EVENTS).await? })
            }
            .boxed()
        })
        .await
    }

    async fn retention_set_page(&self, page: PagePolicy, entry: Activity) -> Result<()> {
        self.write_patiently("setting the retention policy", move |tx| {
            async move {
                set_page(tx, &page).await?;
                activity::append(tx, &entry).await
            }
            .boxed()
        })
        .await
    }

    async fn clock_seen(&self) -> Result<Option<Timestamp>> {
        self.query("reading the clock's mark", |conn| {
            async move {
                let found = conn.row_opt("SELECT value FROM meta WHERE name = 'clock'", &[]).await?;
                found.map(|row| row.col("value")).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn clock_note(&self, now: Timestamp, anyway: bool, entry: Option<Activity>) -> Result<()> {
        self.write_patiently("noting the time", move |tx| {
            async move {
                let sql = "INSERT INTO meta (name, value) VALUES ('clock', $1) ON CONFLICT (name) DO UPDATE \
                           SET value = excluded.value WHERE $2 OR excluded.value > meta.value";
                tx.run(sql, &[&now, &anyway]).await?;
                match &entry {
                    Some(entry) => activity::append(tx, entry).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await
    }
}
