//! The health of endpoints; see [`crate::store::shared::standing`].

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::attempts::hold::Hold;
use crate::domain::filter::{EndpointKey, EndpointSort};
use crate::domain::health::{Cause, HealthState, HealthSummary, Held, LastDay};
use crate::domain::values::fold::fold;
use crate::domain::{AppId, Endpoint, EndpointId, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::counts::{totals_of_each, totals_of_many};
use crate::store::postgres::engine::error::{DbError, DbResult};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::log::day;
use crate::store::postgres::queue::endpoints;
use crate::store::shared::standing::{self, Standing};
use crate::store::shared::{paging, record_text};
use crate::store::{EndpointBrief, EndpointFilter, HealthStore, Page, PageRequest, Result};

/// What health is judged by, of `endpoints e`.
macro_rules! facts {
    ($totals:expr, $rest:literal) => {
        concat!(
            "SELECT e.id, e.uid, e.name, e.url, e.status, e.status_reason, e.status_since, e.created_at, \
             coalesce(t.pending, 0) AS pending, coalesce(t.record, '') AS record, e.hold_reason, e.hold_since, \
             e.hold_probe_at, e.consecutive_failures, e.failure_kind, e.failure_status FROM endpoints e ",
            $totals,
            $rest
        )
    };
}
const THESE: &str = facts!(totals_of_each!("e.id"), " WHERE e.uid = ANY($1) AND e.app = $2");
const OF_APP: &str =
    facts!(totals_of_many!("e.id"), " WHERE e.app = $1 AND e.deleted_at IS NULL ORDER BY e.uid DESC");
const ALL: &str = facts!(totals_of_many!("e.id"), " WHERE e.deleted_at IS NULL");

/// Reads a row of [`facts!`].
fn read(row: &Row, now: Timestamp) -> DbResult<Standing> {
    Ok(Standing {
        row: row.col("id")?,
        brief: EndpointBrief {
            id: row.col("uid")?,
            name: row.col("name")?,
            url: row.col("url")?,
            status: row.col("status")?,
            status_reason: row.col("status_reason")?,
        },
        status_since: row.col("status_since")?,
        created_at: row.col("created_at")?,
        held: held(row, now)?,
        record: record_text::read(row.col("record")?)?.kept(),
        waiting: row.num("pending")?,
    })
}

/// The hold in a row of [`facts!`], as it is now.
fn held(row: &Row, now: Timestamp) -> DbResult<Option<Held>> {
    let Some(reason) = row.col("hold_reason")? else { return Ok(None) };
    let (since, next_probe_at) = (row.col("hold_since")?, row.col("hold_probe_at")?);
    let hold = Hold { reason, since, next_probe_at, step: 0 };
    let cause = match row.col("failure_kind")? {
        Some(kind) => Some(Cause { kind, response_status: row.opt_num("failure_status")? }),
        None => None,
    };
    Ok(standing::held(Some(hold), row.num("consecutive_failures")?, cause, now))
}

fn read_all(rows: &[Row], now: Timestamp) -> DbResult<Vec<Standing>> {
    rows.iter().map(|row| read(row, now)).collect()
}

/// The last days of endpoints, which are summed up only where their records do not tell.
async fn last_days(conn: &Conn, all: &[Standing], now: Timestamp, precisely: bool) -> DbResult<Vec<LastDay>> {
    let known: Vec<Option<LastDay>> = all.iter().map(|one| one.known_day(now)).collect();
    let open: Vec<EndpointRow> =
        all.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(one, _)| one.row).collect();
    let mut summed = day::last(conn, &open, now, precisely).await?.into_iter();
    Ok(known.into_iter().map(|known| known.or_else(|| summed.next()).unwrap_or_default()).collect())
}

/// How these endpoints of the app stand, in their order; unknown ones are left out.
pub(crate) async fn standings(
    conn: &Conn,
    app: AppRow,
    ids: &[EndpointId],
    now: Timestamp,
) -> DbResult<Vec<(EndpointRow, HealthSummary)>> {
    let all = read_all(&conn.rows(THESE, &[&ids, &app]).await?, now)?;
    let days = last_days(conn, &all, now, true).await?;
    let summaries: Vec<(EndpointRow, HealthSummary)> =
        all.iter().zip(days).map(|(one, day)| (one.row, one.summary(day, now))).collect();
    let of = |id: &EndpointId| summaries.iter().find(|(_, summary)| summary.endpoint_id == *id).cloned();
    Ok(ids.iter().filter_map(of).collect())
}

async fn of_app(conn: &Conn, app: AppId, now: Timestamp) -> DbResult<Vec<(EndpointBrief, HealthSummary)>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(vec![]) };
    let all = read_all(&conn.rows(OF_APP, &[&app]).await?, now)?;
    let days = last_days(conn, &all, now, false).await?;
    let summary = |(one, day): (Standing, LastDay)| {
        let summary = one.summary(day, now);
        (one.brief, summary)
    };
    Ok(all.into_iter().zip(days).map(summary).collect())
}

async fn counts(conn: &Conn, now: Timestamp) -> DbResult<Vec<(HealthState, u64)>> {
    let mut counts: Vec<(HealthState, u64)> = HealthState::ALL.iter().map(|state| (*state, 0)).collect();
    let all = read_all(&conn.rows(ALL, &[]).await?, now)?;
    let days = last_days(conn, &all, now, false).await?;
    for (one, day) in all.iter().zip(days) {
        let state = one.state(day, now);
        counts.iter_mut().filter(|(of, _)| *of == state).for_each(|(_, n)| *n += 1);
    }
    Ok(counts)
}

/// Whether a filter means an endpoint, apart from its health.
fn is_meant(filter: &EndpointFilter, text: Option<&str>, one: &EndpointBrief) -> bool {
    let has = |text: &str| fold(&one.name).contains(text) || fold(&one.url).contains(text);
    filter.status.is_none_or(|status| status == one.status) && text.is_none_or(has)
}

async fn ranked(
    conn: &Conn,
    app: AppId,
    filter: &EndpointFilter,
    sort: EndpointSort,
    page: &PageRequest<EndpointKey>,
    now: Timestamp,
) -> DbResult<Page<Endpoint, EndpointKey>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(paging::empty()) };
    let text = filter.q.as_deref().map(fold);
    let mut meant = read_all(&conn.rows(OF_APP, &[&app]).await?, now)?;
    meant.retain(|one| is_meant(filter, text.as_deref(), &one.brief));
    let days = last_days(conn, &meant, now, false).await?;
    let mut all: Vec<(EndpointKey, EndpointRow)> = Vec::with_capacity(meant.len());
    for (one, day) in meant.iter().zip(days) {
        let state = one.state(day, now);
        if filter.health.is_empty() || filter.health.contains(&state) {
            let value = one.value(sort.field, || Ok::<_, DbError>(state), || Ok(day))?;
            all.push((EndpointKey { id: one.brief.id, value }, one.row));
        }
    }
    let page = standing::page(all, sort, page);
    let mut found = endpoints::by_rows(conn, &page.rows).await?;
    let rows = page.rows.iter().filter_map(|row| found.remove(row)).collect();
    Ok(Page { rows, total: page.total, next: page.next })
}

#[async_trait]
impl HealthStore for PostgresStore {
    async fn endpoint_health(
        &self,
        app: AppId,
        ids: Vec<EndpointId>,
        now: Timestamp,
    ) -> Result<Vec<HealthSummary>> {
        self.read("reading the health of endpoints", move |conn| {
            async move {
                let Some(app) = cache::app_row(conn, app).await? else { return Ok(vec![]) };
                let found = standings(conn, app, &ids, now).await?;
                Ok(found.into_iter().map(|(_, summary)| summary).collect())
            }
            .boxed()
        })
        .await
    }

    async fn app_health(&self, app: AppId, now: Timestamp) -> Result<Vec<(EndpointBrief, HealthSummary)>> {
        self.read("reading the health of all endpoints", move |conn| {
            async move { of_app(conn, app, now).await }.boxed()
        })
        .await
    }

    async fn health_counts(&self, now: Timestamp) -> Result<Vec<(HealthState, u64)>> {
        self.read("counting endpoints by health", move |conn| async move { counts(conn, now).await }.boxed())
            .await
    }

    async fn endpoint_ranked(
        &self,
        app: AppId,
        filter: EndpointFilter,
        sort: EndpointSort,
        page: PageRequest<EndpointKey>,
        now: Timestamp,
    ) -> Result<Page<Endpoint, EndpointKey>> {
        self.read("listing endpoints by health", move |conn| {
            async move { ranked(conn, app, &filter, sort, &page, now).await }.boxed()
        })
        .await
    }
}
