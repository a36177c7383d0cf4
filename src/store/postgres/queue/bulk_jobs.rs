//! Bulk jobs: made, stepped, counted, stopped.
//!
//! A job's counters are written in the transactions of what they count: a step that queues, an attempt
//! that ends ([`Tx::attempt_changed`]). So they are exact after a crash, stay when
//! retention takes the rows, and say when the job is done without asking the log.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::attempts::attempt::Budget;
use crate::domain::attempts::bulk_job::{BulkJob, JobStatus, Work};
use crate::domain::{Activity, AppId, AttemptId, JobId, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow, JobRow, num};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::postgres::queue::attempts;
use crate::store::postgres::queue::attempts::{NewAttempt, Stored};
use crate::store::postgres::queue::bulk_job_walk;
use crate::store::postgres::queue::bulk_job_walk::{Item, WalkPosition, WalkRange};
use crate::store::postgres::queue::trouble;
use crate::store::shared::attempt_rows::NewDelivery;
use crate::store::shared::bulk_job_text;
use crate::store::shared::paging::{empty, page_of, skipped, total};
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

/// Locked, so that no other node does the same step.
pub(crate) const WALKING: &str = "SELECT id, app, work, walked_at, walked_id, walk_to FROM jobs \
     WHERE walking ORDER BY id LIMIT 1 FOR UPDATE";
pub(crate) const IS_WALKING: &str =
    "SELECT EXISTS (SELECT 1 FROM jobs WHERE walking AND app = $1) AS is_walking";
const ANY_WALKING: &str = "SELECT EXISTS (SELECT 1 FROM jobs WHERE walking) AS is_walking";

async fn next_walking(conn: &Conn) -> DbResult<Option<Walking>> {
    let read = |row: Row| {
        let from = WalkPosition { at: row.col("walked_at")?, id: row.col("walked_id")? };
        Ok(Walking {
            row: row.col("id")?,
            app: row.col("app")?,
            work: bulk_job_text::read_work(row.col("work")?)?,
            range: WalkRange { from, to: row.col("walk_to")? },
        })
    };
    conn.row_opt(WALKING, &[]).await?.map(read).transpose()
}

const STEPPED: &str = "UPDATE jobs SET walked_at = $2, walked_id = $3, walking = $4::boolean, \
     queued = queued + $5::bigint, \
     matched = CASE WHEN $4::boolean THEN greatest(matched, queued + $5::bigint) ELSE queued + $5::bigint END, \
     status = CASE WHEN NOT $4::boolean AND queued + $5::bigint = delivered + exhausted + cancelled THEN 'done' \
         ELSE status END WHERE id = $1";

/// Queues the next rows of a job and notes how far it came.
async fn step(tx: &mut Tx, job: &Walking, now: Timestamp) -> DbResult<JobStep> {
    let found = bulk_job_walk::step(tx, job.app, &job.work, job.range).await?;
    let ids = queue(tx, job, &found.items, now).await?;
    let mut rows: Vec<EndpointRow> = found.items.iter().map(Item::endpoint).collect();
    rows.sort_unstable();
    rows.dedup();
    let endpoints = bulk_job_walk::endpoints_of(tx, &rows).await?;
    let (mut queued, mut counted) = (Vec::with_capacity(found.items.len()), 0_i64);
    for (item, attempt_id) in found.items.iter().zip(ids) {
        // What is part of another job already is due sooner, and stays part of that one.
        counted += i64::from(!matches!(item, Item::MakeDue(row) if row.job.is_some()));
        let Some((endpoint_id, is_active)) = endpoints.get(&item.endpoint()).copied() else { continue };
        let line = match item {
            _ if is_active => Line::Bulk,
            Item::MakeDue(_) => Line::Single,
            // It waits until the endpoint is active.
            Item::GoOn(_) | Item::New { .. } => continue,
        };
        queued.push(Queued { attempt_id, endpoint_id, due_at: now, line });
    }
    let values: [&(dyn ToSql + Sync); 5] = [&job.row, &found.at.at, &found.at.id, &found.more, &counted];
    tx.run(STEPPED, &values).await?;
    Ok(JobStep { queued, more: found.more })
}

/// Makes deliveries pending, with the whole schedule before them, or pending ones due now. Gives their attempts, in the
/// same order.
async fn queue(tx: &mut Tx, job: &Walking, items: &[Item], now: Timestamp) -> DbResult<Vec<AttemptId>> {
    let (trigger, budget) = (job.work.kind().trigger(), Budget::Schedule { used: 0 });
    let go_on: Vec<Stored> =
        items.iter().filter_map(|item| if let Item::GoOn(row) = item { Some(*row) } else { None }).collect();
    let make_due: Vec<Stored> = items
        .iter()
        .filter_map(|item| if let Item::MakeDue(row) = item { Some(*row) } else { None })
        .collect();
    if !make_due.is_empty() {
        tx.weigh(make_due.len());
        trouble::send_now(tx, &make_due, job.row, now).await?;
    }
    let superseded = attempts::supersede(tx, &go_on, trigger, budget, Some(job.row), now).await?;
    let mut superseded = superseded.into_iter();
    let mut ids = Vec::with_capacity(items.len());
    for item in items {
        match *item {
            Item::GoOn(_) => ids.extend(superseded.next()),
            Item::MakeDue(row) => ids.push(row.id),
            Item::New { event, kind, endpoint } => {
                let new = NewDelivery { app: job.app, endpoint, event, kind };
                let new = NewAttempt { job: Some(job.row), ..new.first_attempt(trigger, budget, now) };
                ids.push(attempts::insert(tx, &new, None).await?);
            }
        }
    }
    Ok(ids)
}

const INSERT: &str = "INSERT INTO jobs (uid, app, kind, status, work, walking, walk_to, walked_at, walked_id, matched, \
     created_at) VALUES ($1, $2, $3, 'running', $4, true, $5, $6, $7, $8, $9) RETURNING id";

async fn insert(
    tx: &mut Tx,
    app: AppId,
    work: Work,
    matched: u64,
    now: Timestamp,
    note: JobNote,
) -> DbResult<JobCreation> {
    let app = tx.app(app).await?;
    // One after the other, on whichever nodes.
    tx.rows("SELECT 1 FROM apps WHERE id = $1 FOR NO KEY UPDATE", &[&app]).await?;
    let range = match bulk_job_walk::range(tx, app, &work).await? {
        Ok(range) => range,
        Err(why) => return Ok(JobCreation::Refused(why)),
    };
    // Jobs of an app are queued one after the other, so that what one means is not counted by the next.
    let wait: bool = tx.row(IS_WALKING, &[&app]).await?.col("is_walking")?;
    let (id, text) = (JobId::new(now), bulk_job_text::write_work(&work));
    let (kind, matched) = (work.kind(), num(matched));
    let values: [&(dyn ToSql + Sync); 9] =
        [&id, &app, &kind, &text, &range.to, &range.from.at, &range.from.id, &matched, &now];
    let row: JobRow = tx.row(INSERT, &values).await?.col("id")?;
    let first = match wait {
        true => JobStep { queued: vec![], more: true },
        false => step(tx, &Walking { row, app, work, range }, now).await?,
    };
    let (_, job) = read(&tx.row(GET_BY_ROW, &[&row]).await?)?;
    activity::append(tx, &note(&job)).await?;
    Ok(JobCreation::Created { job, queued: first.queued, more: first.more })
}

async fn cancel(conn: &Conn, app: AppId, id: JobId, entry: &Activity) -> DbResult<Option<bool>> {
    let Some((_, job)) = get(conn, app, id).await? else { return Ok(None) };
    let sql = "UPDATE jobs SET status = 'cancelled', walking = false WHERE uid = $1 AND status = 'running'";
    if job.status != JobStatus::Running || conn.run(sql, &[&id]).await? == 0 {
        return Ok(Some(false));
    }
    activity::append(conn, entry).await?;
    Ok(Some(true))
}

// ---------------------------------------------------------------------------------------------
// Reading

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT j.id, j.uid, j.kind, j.status, j.matched, j.queued, j.delivered, j.exhausted, j.created_at \
             FROM jobs j WHERE ",
            $where
        )
    };
}
const GET_BY_ROW: &str = select!("j.id = $1");
pub(crate) const GET: &str = select!("j.uid = $1 AND j.app = $2");
pub(crate) const LIST: &str = select!("j.app = $1 AND j.id < $2 ORDER BY j.id DESC LIMIT $3 OFFSET $4");

fn read(row: &Row) -> DbResult<(JobRow, BulkJob)> {
    let job = BulkJob {
        id: Some(row.col("uid")?),
        kind: row.col("kind")?,
        status: row.col("status")?,
        matched: row.num("matched")?,
        queued: row.num("queued")?,
        delivered: row.num("delivered")?,
        exhausted: row.num("exhausted")?,
        created_at: row.col("created_at")?,
    };
    Ok((row.col("id")?, job))
}

async fn get(conn: &Conn, app: AppId, id: JobId) -> DbResult<Option<(JobRow, BulkJob)>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
    conn.row_opt(GET, &[&id, &app]).await?.as_ref().map(read).transpose()
}

async fn list(conn: &Conn, app: AppId, page: &PageRequest<i64>) -> DbResult<Page<BulkJob, i64>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(empty()) };
    let count = "SELECT count(*) AS count FROM (SELECT 1 FROM jobs WHERE app = $1 LIMIT $2) AS found";
    let counted = conn.row(count, &[&app, &(TOTAL_CAP as i64 + 1)]).await?.num("count")?;
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id, 0),
    };
    let found = conn.rows(LIST, &[&app, &below, &(i64::from(page.per_page) + 1), &offset]).await?;
    let found = found.iter().map(read).collect::<DbResult<Vec<_>>>()?;
    let page = page_of(found, page.per_page, total(counted), |(row, _)| row.0);
    let rows = page.rows.into_iter().map(|(_, job)| job).collect();
    Ok(Page { rows, total: page.total, next: page.next })
}

#[async_trait]
impl JobStore for PostgresStore {
    async fn job_count(&self, app: AppId, work: Work) -> Result<std::result::Result<u64, NoJob>> {
        let doing = "counting what a job means";
        let of = work.clone();
        let started = self.read(doing, move |conn| {
            async move {
                let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
                Ok(Some((app, bulk_job_walk::range(conn, app, &of).await?)))
            }
            .boxed()
        });
        let no_app = || StoreError::Failed { doing, source: "there is no such app".into() };
        let (app, range) = started.await?.ok_or_else(no_app)?;
        let mut range = match range {
            Ok(range) => range,
            Err(why) => return Ok(Err(why)),
        };
        // Each page is a snapshot of its own: a long one would hold up vacuum.
        let mut counted = 0;
        loop {
            let (of, at) = (work.clone(), range);
            let found = self.read(doing, move |conn| {
                async move { bulk_job_walk::step(conn, app, &of, at).await }.boxed()
            });
            let found = found.await?;
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
        self.write("making a job", move |tx| insert(tx, app, work, matched, now, note).boxed()).await
    }

    async fn job_step(&self, now: Timestamp) -> Result<JobStep> {
        self.write_patiently("queueing a job", move |tx| {
            async move {
                let Some(job) = next_walking(tx).await? else { return Ok(JobStep::default()) };
                let done = step(tx, &job, now).await?;
                let more = tx.row(ANY_WALKING, &[]).await?.col("is_walking")?;
                Ok(JobStep { more, ..done })
            }
            .boxed()
        })
        .await
    }

    async fn job_list(&self, app: AppId, page: PageRequest<i64>) -> Result<Page<BulkJob, i64>> {
        self.read("listing jobs", move |conn| async move { list(conn, app, &page).await }.boxed()).await
    }

    async fn job_get(&self, app: AppId, id: JobId) -> Result<Option<BulkJob>> {
        self.read("reading a job", move |conn| {
            async move { Ok(get(conn, app, id).await?.map(|(_, job)| job)) }.boxed()
        })
        .await
    }

    async fn job_cancel(&self, app: AppId, id: JobId, activity: Activity) -> Result<Option<bool>> {
        self.write("stopping a job", move |tx| async move { cancel(tx, app, id, &activity).await }.boxed())
            .await
    }
}
