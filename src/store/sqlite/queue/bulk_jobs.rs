//! Bulk jobs: made, stepped, counted, stopped.
//!
//! A job's counters are written in the transactions of what they count: a step that queues, an attempt
//! that ends ([`crate::store::sqlite::queue::bulk_job_counts`]). So they are exact after a crash, stay when
//! retention takes the rows, and say when the job is done without asking the log.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::attempts::attempt::Budget;
use crate::domain::attempts::bulk_job::{BulkJob, JobKind, JobStatus, Work};
use crate::domain::{Activity, AppId, EndpointId, JobId, Timestamp};
use crate::store::shared::attempt_rows::NewDelivery;
use crate::store::shared::bulk_job_text;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, JobRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, rows};
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::NewAttempt;
use crate::store::sqlite::queue::bulk_job_walk;
use crate::store::sqlite::queue::bulk_job_walk::{Item, WalkPosition, WalkRange};
use crate::store::sqlite::queue::trouble;
use crate::store::{
    JobCreation, JobNote, JobStep, JobStore, Line, NoJob, Page, PageRequest, Queued, Result, Start,
    StoreError, TOTAL_CAP,
};

/// A job that is being queued.
struct Walking {
    row: JobRow,
    app: AppRow,
    work: Work,
    range: WalkRange,
}

pub(crate) const WALKING: &str = "SELECT id, app, work, walked_at, walked_id, walk_to FROM jobs \
     WHERE walking = 1 ORDER BY id LIMIT 1";
pub(crate) const IS_WALKING: &str = "SELECT EXISTS (SELECT 1 FROM jobs WHERE walking = 1 AND +app = ?1)";

fn next_walking(conn: &Connection) -> rusqlite::Result<Option<Walking>> {
    conn.prepare_cached(WALKING)?
        .query_row([], |row| {
            let work: String = row.get("work")?;
            let from = WalkPosition { at: row.get("walked_at")?, id: row.get("walked_id")? };
            Ok(Walking {
                row: row.get("id")?,
                app: row.get("app")?,
                work: bulk_job_text::read_work(&work)?,
                range: WalkRange { from, to: row.get("walk_to")? },
            })
        })
        .optional()
}

/// Queues the next rows of a job and notes how far it came.
fn step(tx: &mut Tx<'_>, job: &Walking, now: Timestamp) -> rusqlite::Result<JobStep> {
    let found = bulk_job_walk::step(tx, job.app, &job.work, job.range)?;
    let mut known: HashMap<EndpointRow, (EndpointId, bool)> = HashMap::new();
    let (mut queued, mut counted) = (Vec::with_capacity(found.items.len()), 0_i64);
    for item in &found.items {
        let attempt_id = queue(tx, job, item, now)?;
        // What is part of another job already is due sooner, and stays part of that one.
        counted += i64::from(!matches!(item, Item::MakeDue(row) if row.job.is_some()));
        let row = item.endpoint();
        let (endpoint_id, is_active) = match known.get(&row) {
            Some(known) => *known,
            None => *known.entry(row).or_insert(bulk_job_walk::endpoint_of(tx, row)?),
        };
        let line = match item {
            _ if is_active => Line::Bulk,
            Item::MakeDue(_) => Line::Single,
            // It waits until the endpoint is active.
            Item::GoOn(_) | Item::New { .. } => continue,
        };
        queued.push(Queued { attempt_id, endpoint_id, due_at: now, line });
    }
    tx.prepare_cached(
        "UPDATE jobs SET walked_at = ?2, walked_id = ?3, walking = ?4, queued = queued + ?5, \
         matched = CASE WHEN ?4 THEN max(matched, queued + ?5) ELSE queued + ?5 END, \
         status = CASE WHEN NOT ?4 AND queued + ?5 = delivered + exhausted + cancelled THEN 'done' \
             ELSE status END WHERE id = ?1",
    )?
    .execute(params![job.row, found.at.at, found.at.id, found.more, counted])?;
    Ok(JobStep { queued, more: found.more })
}

/// Makes one delivery pending, with the whole schedule before it, or a pending one due now.
fn queue(
    tx: &mut Tx<'_>,
    job: &Walking,
    item: &Item,
    now: Timestamp,
) -> rusqlite::Result<crate::domain::AttemptId> {
    let (trigger, budget) = (job.work.kind().trigger(), Budget::Schedule { used: 0 });
    match *item {
        Item::GoOn(row) => {
            attempts::supersede(tx, &row, trigger, budget, Some(job.row), now).map(|(id, _)| id)
        }
        Item::MakeDue(row) => trouble::send_now(tx, &row, job.row, now).map(|()| row.id),
        Item::New { event, kind, endpoint } => {
            let first =
                NewDelivery { app: job.app, endpoint, event, kind }.first_attempt(trigger, budget, now);
            attempts::insert(tx, &NewAttempt { job: Some(job.row), ..first })
        }
    }
}

fn insert(
    tx: &mut Tx<'_>,
    app: AppId,
    work: &Work,
    matched: u64,
    now: Timestamp,
    note: JobNote,
) -> rusqlite::Result<JobCreation> {
    let app = tx.app(app)?;
    let range = match bulk_job_walk::range(tx, app, work)? {
        Ok(range) => range,
        Err(why) => return Ok(JobCreation::Refused(why)),
    };
    // Jobs of an app are queued one after the other, so that what one means is not counted by the next.
    let wait: bool = tx.prepare_cached(IS_WALKING)?.query_row([app], |row| row.get(0))?;
    let id = JobId::new(now);
    tx.prepare_cached(
        "INSERT INTO jobs (uid, app, kind, status, work, walking, walk_to, walked_at, walked_id, matched, \
         created_at) VALUES (?1, ?2, ?3, 'running', ?4, 1, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        id,
        app,
        work.kind(),
        bulk_job_text::write_work(work),
        range.to,
        range.from.at,
        range.from.id,
        i64::try_from(matched).unwrap_or(i64::MAX),
        now
    ])?;
    let row = JobRow(tx.last_insert_rowid());
    let first = match wait {
        true => JobStep { queued: vec![], more: true },
        false => step(tx, &Walking { row, app, work: work.clone(), range }, now)?,
    };
    let (_, job) = tx.prepare_cached(&get_sql("j.id = ?1"))?.query_row([row], read)?;
    activity::append(tx, &note(&job))?;
    Ok(JobCreation::Created { job, queued: first.queued, more: first.more })
}

fn cancel(conn: &Connection, app: AppId, id: JobId, entry: &Activity) -> rusqlite::Result<Option<bool>> {
    let Some((_, job)) = get(conn, app, id)? else { return Ok(None) };
    if job.status != JobStatus::Running {
        return Ok(Some(false));
    }
    conn.prepare_cached("UPDATE jobs SET status = 'cancelled', walking = 0 WHERE uid = ?1")?.execute([id])?;
    activity::append(conn, entry)?;
    Ok(Some(true))
}

// ---------------------------------------------------------------------------------------------
// Reading

pub(crate) fn get_sql(wanted: &str) -> String {
    format!(
        "SELECT j.id AS id, j.uid AS uid, j.kind AS kind, j.status AS status, j.matched AS matched, \
         j.queued AS queued, j.delivered AS delivered, j.exhausted AS exhausted, j.created_at AS created_at \
         FROM jobs j WHERE {wanted}"
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<(JobRow, BulkJob)> {
    let (kind, status): (JobKind, JobStatus) = (row.get("kind")?, row.get("status")?);
    let job = BulkJob {
        id: Some(row.get("uid")?),
        kind,
        status,
        matched: rows::count(row, "matched")?,
        queued: rows::count(row, "queued")?,
        delivered: rows::count(row, "delivered")?,
        exhausted: rows::count(row, "exhausted")?,
        created_at: row.get("created_at")?,
    };
    Ok((row.get("id")?, job))
}

fn get(conn: &Connection, app: AppId, id: JobId) -> rusqlite::Result<Option<(JobRow, BulkJob)>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    conn.prepare_cached(&get_sql("j.uid = ?1 AND j.app = ?2"))?.query_row(params![id, app], read).optional()
}

pub(crate) const LIST: &str = "j.app = ?1 AND j.id < ?2 ORDER BY j.id DESC LIMIT ?3 OFFSET ?4";

fn list(conn: &Connection, app: AppId, page: &PageRequest<i64>) -> rusqlite::Result<Page<BulkJob, i64>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let counted = conn
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE app = ?1 LIMIT ?2)")?
        .query_row(params![app, TOTAL_CAP as i64 + 1], |row| rows::count(row, 0))?;
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id, 0),
    };
    let found = conn
        .prepare_cached(&get_sql(LIST))?
        .query_map(params![app, below, i64::from(page.per_page) + 1, offset], read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let page = page_of(found, page.per_page, total(counted), |(row, _)| row.0);
    let rows = page.rows.into_iter().map(|(_, job)| job).collect();
    Ok(Page { rows, total: page.total, next: page.next })
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn job_count(&self, app: AppId, work: Work) -> Result<std::result::Result<u64, NoJob>> {
        let doing = "counting what a job means";
        let of = work.clone();
        let started = self.read(doing, move |conn| {
            let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
            Ok(Some((app, bulk_job_walk::range(conn, app, &of)?)))
        });
        let no_app = || StoreError::Failed { doing, source: "there is no such app".into() };
        let (app, range) = started.await?.ok_or_else(no_app)?;
        let mut range = match range {
            Ok(range) => range,
            Err(why) => return Ok(Err(why)),
        };
        // Each page is a snapshot of its own: a long one would hold up checkpoints.
        let mut counted = 0;
        loop {
            let (of, at) = (work.clone(), range);
            let found = self.read(doing, move |conn| bulk_job_walk::step(conn, app, &of, at)).await?;
            counted += found.items.len() as u64;
            range.from = found.at;
            if !found.more {
                return Ok(Ok(counted));
            }
        }
    }

    async fn job_insert(
        &self,
        app: AppId,
        work: Work,
        matched: u64,
        now: Timestamp,
        note: JobNote,
    ) -> Result<JobCreation> {
        self.write("making a job", move |tx| insert(tx, app, &work, matched, now, note)).await
    }

    async fn job_step(&self, now: Timestamp) -> Result<JobStep> {
        self.write_patiently("queueing a job", move |tx| {
            let Some(job) = next_walking(tx)? else { return Ok(JobStep::default()) };
            let done = step(tx, &job, now)?;
            Ok(JobStep { more: next_walking(tx)?.is_some(), ..done })
        })
        .await
    }

    async fn job_list(&self, app: AppId, page: PageRequest<i64>) -> Result<Page<BulkJob, i64>> {
        self.read("listing jobs", move |conn| list(conn, app, &page)).await
    }

    async fn job_get(&self, app: AppId, id: JobId) -> Result<Option<BulkJob>> {
        self.read("reading a job", move |conn| Ok(get(conn, app, id)?.map(|(_, job)| job))).await
    }

    async fn job_cancel(&self, app: AppId, id: JobId, activity: Activity) -> Result<Option<bool>> {
        self.write("stopping a job", move |tx| cancel(tx, app, id, &activity)).await
    }
}
