//! The health of endpoints; see [`crate::store::shared::standing`].

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::domain::attempts::hold::Hold;
use crate::domain::filter::{EndpointKey, EndpointSort};
use crate::domain::health::{Cause, HealthState, HealthSummary, Held, LastDay};
use crate::domain::{AppId, Endpoint, EndpointId, Timestamp};
use crate::store::shared::day::{self as shared_day, degraded_from};
use crate::store::shared::standing::{self, Standing};
use crate::store::shared::{paging, record_text};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, rows};
use crate::store::sqlite::log::day;
use crate::store::sqlite::queue::endpoints;
use crate::store::{EndpointBrief, EndpointFilter, HealthStore, Page, PageRequest, Result};

/// What health is judged by, of `endpoints e`.
macro_rules! facts {
    ($rest:literal) => {
        concat!(
            "SELECT e.id, e.uid, e.name, e.url, e.status, e.status_reason, e.status_since, e.created_at, \
             coalesce(t.pending, 0), coalesce(t.record, ''), e.hold_reason, e.hold_since, e.hold_probe_at, e.consecutive_failures, \
             e.failure_kind, e.failure_status FROM endpoints e \
             LEFT JOIN totals t ON t.endpoint = e.id ",
            $rest
        )
    };
}
pub(crate) const ONE: &str = facts!("WHERE e.uid = ?1 AND e.app = ?2");
pub(crate) const OF_APP: &str = facts!("WHERE e.app = ?1 AND e.deleted_at IS NULL ORDER BY e.uid DESC");
pub(crate) const ALL: &str = facts!("WHERE e.deleted_at IS NULL");

/// When the newest minutes of an endpoint began to be bad: with exhausted deliveries, or slow on average.
pub(crate) const DEGRADED_SINCE: &str = "SELECT min(minute) FROM minutes WHERE endpoint = ?1 AND minute >= ?2 \
     AND (exhausted > 0 OR response_ms_sum > 3000 * response_count)";

impl Standing {
    /// The last day, which is summed up only where the record does not tell. `precisely`: also since when the endpoint
    /// is degraded.
    fn last_day(&self, conn: &Connection, now: Timestamp, precisely: bool) -> rusqlite::Result<LastDay> {
        self.known_day(now).map_or_else(|| last_day(conn, self.row, now, precisely), Ok)
    }

    /// The state. The last day decides it only for some.
    fn current_state(&self, conn: &Connection, now: Timestamp) -> rusqlite::Result<HealthState> {
        match self.state_at_once(now) {
            Some(state) => Ok(state),
            None => Ok(self.state(self.last_day(conn, now, false)?, now)),
        }
    }
}

/// Reads a row of [`facts!`].
fn read(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Standing> {
    Ok(Standing {
        row: row.get(0)?,
        brief: EndpointBrief {
            id: row.get(1)?,
            name: row.get(2)?,
            url: row.get(3)?,
            status: row.get(4)?,
            status_reason: row.get(5)?,
        },
        status_since: row.get(6)?,
        created_at: row.get(7)?,
        held: held(row, now)?,
        record: record_text::read(row.get_ref(9)?.as_str()?)?.kept(),
        waiting: rows::count(row, 8)?,
    })
}

/// The hold in a row of [`facts!`], as it is now.
fn held(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Option<Held>> {
    let Some(reason) = row.get(10)? else { return Ok(None) };
    let hold = Hold { reason, since: row.get(11)?, next_probe_at: row.get(12)?, step: 0 };
    let cause = match row.get(14)? {
        Some(kind) => Some(Cause { kind, response_status: row.get(15)? }),
        None => None,
    };
    Ok(standing::held(Some(hold), row.get(13)?, cause, now))
}

fn last_day(
    conn: &Connection,
    endpoint: EndpointRow,
    now: Timestamp,
    precisely: bool,
) -> rusqlite::Result<LastDay> {
    let day = day::last(conn, endpoint, now)?;
    let degraded: Option<i64> = if precisely {
        conn.prepare_cached(DEGRADED_SINCE)?
            .query_row(params![endpoint, degraded_from(now)], |row| row.get(0))?
    } else {
        None
    };
    Ok(shared_day::last_day(&day, degraded, now))
}

/// How an endpoint stands, if the app has it.
pub(crate) fn standing(
    conn: &Connection,
    app: AppRow,
    id: EndpointId,
    now: Timestamp,
) -> rusqlite::Result<Option<HealthSummary>> {
    let mut statement = conn.prepare_cached(ONE)?;
    let mut found = statement.query(params![id, app])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let read = read(row, now)?;
    Ok(Some(read.summary(read.last_day(conn, now, true)?, now)))
}

fn of_app(
    conn: &Connection,
    app: AppRow,
    now: Timestamp,
) -> rusqlite::Result<Vec<(EndpointBrief, HealthSummary)>> {
    let mut statement = conn.prepare_cached(OF_APP)?;
    let found = statement.query_map([app], |row| {
        let read = read(row, now)?;
        let summary = read.summary(read.last_day(conn, now, false)?, now);
        Ok((read.brief, summary))
    })?;
    found.collect()
}

fn counts(conn: &Connection, now: Timestamp) -> rusqlite::Result<Vec<(HealthState, u64)>> {
    let mut counts: Vec<(HealthState, u64)> = HealthState::ALL.iter().map(|state| (*state, 0)).collect();
    let mut statement = conn.prepare_cached(ALL)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let state = read(row, now)?.current_state(conn, now)?;
        counts.iter_mut().filter(|(of, _)| *of == state).for_each(|(_, n)| *n += 1);
    }
    Ok(counts)
}

fn ranked(
    conn: &Connection,
    app: AppId,
    filter: &EndpointFilter,
    sort: EndpointSort,
    page: &PageRequest<EndpointKey>,
    now: Timestamp,
) -> rusqlite::Result<Page<Endpoint, EndpointKey>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(paging::empty()) };
    let mut sql = facts!("WHERE e.app = ? AND e.deleted_at IS NULL").to_owned();
    let mut values = vec![Value::Integer(app.0)];
    endpoints::restrict(filter, &mut sql, &mut values);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(&values))?;
    let mut all: Vec<(EndpointKey, EndpointRow)> = Vec::new();
    while let Some(row) = found.next()? {
        let read = read(row, now)?;
        if filter.health.is_empty() || filter.health.contains(&read.current_state(conn, now)?) {
            let state = || read.current_state(conn, now);
            let value = read.value(sort.field, state, || read.last_day(conn, now, false))?;
            all.push((EndpointKey { id: read.brief.id, value }, read.row));
        }
    }
    let page = standing::page(all, sort, page);
    let rows = page.rows.iter().map(|row| endpoints::by_row(conn, *row));
    Ok(Page { rows: rows.collect::<rusqlite::Result<_>>()?, total: page.total, next: page.next })
}

#[async_trait]
impl HealthStore for SqliteStore {
    async fn endpoint_health(
        &self,
        app: AppId,
        ids: Vec<EndpointId>,
        now: Timestamp,
    ) -> Result<Vec<HealthSummary>> {
        self.read("reading the health of endpoints", move |conn| {
            let Some(app) = cache::app_row(conn, app)? else { return Ok(vec![]) };
            let each = ids.iter().filter_map(|id| standing(conn, app, *id, now).transpose());
            each.collect()
        })
        .await
    }

    async fn app_health(&self, app: AppId, now: Timestamp) -> Result<Vec<(EndpointBrief, HealthSummary)>> {
        self.read("reading the health of all endpoints", move |conn| match cache::app_row(conn, app)? {
            Some(app) => of_app(conn, app, now),
            None => Ok(vec![]),
        })
        .await
    }

    async fn health_counts(&self, now: Timestamp) -> Result<Vec<(HealthState, u64)>> {
        self.read("counting endpoints by health", move |conn| counts(conn, now)).await
    }

    async fn endpoint_ranked(
        &self,
        app: AppId,
        filter: EndpointFilter,
        sort: EndpointSort,
        page: PageRequest<EndpointKey>,
        now: Timestamp,
    ) -> Result<Page<Endpoint, EndpointKey>> {
        self.read("listing endpoints by health", move |conn| ranked(conn, app, &filter, sort, &page, now))
            .await
    }
}
