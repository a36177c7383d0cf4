//! Walking over the whole log in pages, each in a snapshot of its own.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::log_query::{self, Wanted};
use super::{SqliteStore, attempts, cache, rows};
use crate::domain::AppId;
use crate::store::{
    AttemptFilter, EXPORT_AHEAD, ExportPage, ExportPlace, ExportStore, LogKey, Result, Sort, SortField,
};

fn count(conn: &Connection, app: AppId, filter: &AttemptFilter, cap: i64) -> rusqlite::Result<u64> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(0) };
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(0) };
    let (sql, values) = wanted.count_to(cap);
    conn.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| rows::count(row, 0))
}

fn page(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    sort: Sort,
    mut from: ExportPlace,
    limit: usize,
) -> rusqlite::Result<ExportPage> {
    let end = ExportPage { rows: vec![], next: None };
    let Some(app) = cache::app_row(conn, app)? else { return Ok(end) };
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(end) };
    // What was found in an earlier snapshot may have changed since.
    let is_fresh = from.ahead.is_empty();
    if is_fresh && !from.is_last {
        find_more(conn, &wanted, sort, &mut from, limit)?;
    }
    let (sql, values) = wanted.holds_for();
    let mut still = conn.prepare_cached(&sql)?;
    let mut rows = Vec::with_capacity(limit.min(from.ahead.len()));
    for _ in 0..limit {
        let Some(id) = from.ahead.pop_front() else { break };
        let id_first = std::iter::once(Value::Integer(id.0)).chain(values.iter().cloned());
        if is_fresh || still.exists(params_from_iter(id_first))? {
            rows.push(attempts::list_row(conn, id)?);
        }
    }
    let is_end = from.is_last && from.ahead.is_empty();
    Ok(ExportPage { rows, next: (!is_end).then_some(from) })
}

fn find_more(
    conn: &Connection,
    wanted: &Wanted,
    sort: Sort,
    from: &mut ExportPlace,
    limit: usize,
) -> rusqlite::Result<()> {
    let many = if sort.field == SortField::Id { limit } else { EXPORT_AHEAD };
    let (sql, values) = wanted.find(sort, from.after.as_ref(), many as i64, 0);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(&values))?;
    while let Some(row) = found.next()? {
        let id = row.get(0)?;
        from.ahead.push_back(id);
        if from.ahead.len() == many {
            let value = log_query::sort_value(sort.field, row.get::<_, Value>(1)?);
            from.after = Some(LogKey { id, value });
            return Ok(());
        }
    }
    from.is_last = true;
    Ok(())
}

#[async_trait]
impl ExportStore for SqliteStore {
    async fn export_count(&self, app: AppId, filter: AttemptFilter, cap: u64) -> Result<u64> {
        let cap = i64::try_from(cap).unwrap_or(i64::MAX);
        self.read("counting the log", move |conn| count(conn, app, &filter, cap)).await
    }

    async fn export_page(
        &self,
        app: AppId,
        filter: AttemptFilter,
        sort: Sort,
        from: ExportPlace,
        limit: u32,
    ) -> Result<ExportPage> {
        let limit = limit.max(1) as usize;
        self.read("exporting the log", move |conn| page(conn, app, &filter, sort, from, limit)).await
    }
}
