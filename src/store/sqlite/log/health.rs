//! The health of endpoints. Each is judged by [`Facts::health`] from its row, its record and, only where something
//! was exhausted or slow in the last 24 hours, from the counts of these hours. So thousands of endpoints are
//! sorted by what is computed, without an index that would have to follow the clock.

use std::cmp::Ordering;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::domain::attempts::hold::{Hold, HoldState};
use crate::domain::filter::{EndpointKey, EndpointSort, EndpointSortField, SortValue};
use crate::domain::health::{self, Cause, Facts, HealthState, HealthSummary, Held, LastDay, Record};
use crate::domain::values::fold::fold;
use crate::domain::{AppId, Endpoint, EndpointId, Timestamp};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, paging, records, rows};
use crate::store::sqlite::log::day::{self, DAY_MS};
use crate::store::sqlite::queue::endpoints;
use crate::store::{EndpointBrief, EndpointFilter, HealthStore, Page, PageRequest, Result, Start};

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

/// What a row of [`facts!`] has.
struct Read {
    row: EndpointRow,
    brief: EndpointBrief,
    status_since: Timestamp,
    created_at: Timestamp,
    held: Option<Held>,
    record: Record,
    waiting: u64,
}

impl Read {
    fn facts(&self, last_day: LastDay) -> Facts<'_> {
        Facts {
            status: self.brief.status,
            status_reason: self.brief.status_reason.as_deref(),
            status_since: self.status_since,
            created_at: self.created_at,
            held: self.held,
            record: &self.record,
            last_day,
            waiting: self.waiting,
        }
    }

    /// The last day, which is summed up only where the record does not tell.
    fn last_day(&self, conn: &Connection, now: Timestamp, precisely: bool) -> rusqlite::Result<LastDay> {
        match health::needs_last_day(&self.record, now) {
            true => last_day(conn, self.row, now, precisely),
            false => Ok(health::last_day_of(&self.record, now)),
        }
    }

    /// The state. The last day decides it only for some.
    fn state(&self, conn: &Connection, now: Timestamp) -> rusqlite::Result<HealthState> {
        let at_once = self.facts(LastDay::default()).state(now);
        match at_once {
            HealthState::Idle | HealthState::Healthy => {
                Ok(self.facts(self.last_day(conn, now, false)?).state(now))
            }
            state => Ok(state),
        }
    }

    /// The whole summary. `precisely`: also since when it is degraded.
    fn summary(&self, conn: &Connection, now: Timestamp, precisely: bool) -> rusqlite::Result<HealthSummary> {
        let last_day = self.last_day(conn, now, precisely)?;
        Ok(HealthSummary {
            endpoint_id: self.brief.id,
            health: self.facts(last_day).health(now),
            success_rate: last_day.success_rate(),
            last_failure_at: self.record.last_failure_at,
            waiting: self.waiting,
            is_failing: health::is_failing(&self.record, now),
        })
    }
}

fn read(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Read> {
    Ok(Read {
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
        record: records::read(row.get_ref(9)?.as_str()?)?.kept(),
        waiting: rows::count(row, 8)?,
    })
}

/// The hold in a row of [`facts!`], as it is now.
fn held(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Option<Held>> {
    let Some(reason) = row.get(10)? else { return Ok(None) };
    let hold = Hold { reason, since: row.get(11)?, next_probe_at: row.get(12)?, step: 0 };
    let state = HoldState { hold: Some(hold), ..HoldState::default() };
    let Some(hold) = state.hold_at(now) else { return Ok(None) };
    let cause = match row.get(14)? {
        Some(kind) => Some(Cause { kind, response_status: row.get(15)? }),
        None => None,
    };
    Ok(Some(Held { hold, failures: row.get(13)?, cause }))
}

fn last_day(
    conn: &Connection,
    endpoint: EndpointRow,
    now: Timestamp,
    precisely: bool,
) -> rusqlite::Result<LastDay> {
    let since = now.plus_ms(-DAY_MS);
    let day = day::last(conn, endpoint, now)?;
    let mut last_day = LastDay {
        delivered: day.delivered,
        exhausted: day.exhausted,
        response_count: day.response_count,
        response_ms_sum: day.response_ms_sum,
        degraded_since: None,
    };
    if precisely {
        let first: Option<i64> = conn
            .prepare_cached(DEGRADED_SINCE)?
            .query_row(params![endpoint, since.as_millis() / 60_000], |row| row.get(0))?;
        last_day.degraded_since = first.map(|minute| Timestamp::from_millis(minute * 60_000).max(since));
    }
    Ok(last_day)
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
    found.next()?.map(|row| read(row, now)?.summary(conn, now, true)).transpose()
}

fn of_app(
    conn: &Connection,
    app: AppRow,
    now: Timestamp,
) -> rusqlite::Result<Vec<(EndpointBrief, HealthSummary)>> {
    let mut statement = conn.prepare_cached(OF_APP)?;
    let found = statement.query_map([app], |row| {
        let read = read(row, now)?;
        let summary = read.summary(conn, now, false)?;
        Ok((read.brief, summary))
    })?;
    found.collect()
}

fn counts(conn: &Connection, now: Timestamp) -> rusqlite::Result<Vec<(HealthState, u64)>> {
    let mut counts: Vec<(HealthState, u64)> = HealthState::ALL.iter().map(|state| (*state, 0)).collect();
    let mut statement = conn.prepare_cached(ALL)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let state = read(row, now)?.state(conn, now)?;
        counts.iter_mut().filter(|(of, _)| *of == state).for_each(|(_, n)| *n += 1);
    }
    Ok(counts)
}

/// What an endpoint is sorted by.
fn value(
    conn: &Connection,
    read: &Read,
    field: EndpointSortField,
    now: Timestamp,
) -> rusqlite::Result<SortValue> {
    let number = |n: Option<i64>| n.map_or(SortValue::Null, SortValue::Number);
    Ok(match field {
        EndpointSortField::Id => SortValue::Null,
        EndpointSortField::Name => SortValue::Text(fold(&read.brief.name)),
        EndpointSortField::LastFailureAt => number(read.record.last_failure_at.map(Timestamp::as_millis)),
        // In millionths of a percent: close enough to order by, and the same in every cursor.
        EndpointSortField::SuccessRate => {
            let rate = read.last_day(conn, now, false)?.success_rate();
            number(rate.map(|rate| (rate * 1e6) as i64))
        }
        EndpointSortField::Waiting => number(i64::try_from(read.waiting).ok()),
        EndpointSortField::Health => number(Some(read.state(conn, now)? as i64)),
    })
}

/// The order of two endpoints: by value, ties by id in the same direction, nulls last in both.
fn order(one: &EndpointKey, other: &EndpointKey, descending: bool) -> Ordering {
    let directed = |order: Ordering| if descending { order.reverse() } else { order };
    let by_value = match (&one.value, &other.value) {
        (SortValue::Null, SortValue::Null) => Ordering::Equal,
        (SortValue::Null, _) => Ordering::Greater,
        (_, SortValue::Null) => Ordering::Less,
        (SortValue::Number(one), SortValue::Number(other)) => directed(one.cmp(other)),
        (SortValue::Text(one), SortValue::Text(other)) => directed(one.cmp(other)),
        // A list has values of one kind.
        (SortValue::Number(_), SortValue::Text(_)) => directed(Ordering::Less),
        (SortValue::Text(_), SortValue::Number(_)) => directed(Ordering::Greater),
    };
    by_value.then_with(|| directed(one.id.as_uuid().cmp(&other.id.as_uuid())))
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
        if filter.health.is_empty() || filter.health.contains(&read.state(conn, now)?) {
            let value = value(conn, &read, sort.field, now)?;
            all.push((EndpointKey { id: read.brief.id, value }, read.row));
        }
    }
    all.sort_by(|(one, _), (other, _)| order(one, other, sort.descending));
    let total = paging::total(all.len() as u64);
    let first = match &page.start {
        Start::Page(number) => usize::try_from(paging::skipped(*number, page.per_page)).unwrap_or(usize::MAX),
        Start::After(key) => all.partition_point(|(one, _)| order(one, key, sort.descending).is_le()),
    };
    let wanted = all.into_iter().skip(first).take(page.per_page as usize + 1);
    let rows = wanted
        .map(|(key, row)| Ok((endpoints::by_row(conn, row)?, key)))
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let page = paging::page_of(rows, page.per_page, total, |(_, key)| key.clone());
    let rows = page.rows.into_iter().map(|(endpoint, _)| endpoint).collect();
    Ok(Page { rows, total: page.total, next: page.next })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_last_and_ties_go_by_id_in_both_directions() {
        let id = |n: u128| EndpointId::from_uuid(uuid::Uuid::from_u128(n));
        let key = |n: u128, value: Option<i64>| EndpointKey {
            id: id(n),
            value: value.map_or(SortValue::Null, SortValue::Number),
        };
        let mut keys = [key(1, Some(5)), key(2, None), key(3, Some(5)), key(4, Some(9)), key(5, None)];
        let mut sorted = |descending| {
            keys.sort_by(|one, other| order(one, other, descending));
            keys.iter().map(|key| key.id.as_uuid().as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(sorted(false), [1, 3, 4, 2, 5]);
        assert_eq!(sorted(true), [4, 3, 1, 5, 2]);
    }
}
