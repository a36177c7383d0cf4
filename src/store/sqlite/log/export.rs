//! Walking over the whole log in pages, each in a snapshot of its own.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::domain::{AppId, AttemptId, AttemptStatus};
use crate::store::shared::scan::Budget;
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::log::merge;
use crate::store::sqlite::log::plan::{Bounds, Plan};
use crate::store::sqlite::log::search;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::filter::Wanted;
use crate::store::{
    AttemptFilter, EXPORT_AHEAD, ExportPage, ExportPosition, ExportStore, PageRequest, Result, Sort,
    SortField, Start, View,
};

fn count(conn: &Connection, app: AppId, filter: &AttemptFilter, cap: u64) -> rusqlite::Result<u64> {
    // Only reading all of it would tell.
    if filter.reads_rows() {
        return Ok(0);
    }
    let Some(app) = cache::app_row(conn, app)? else { return Ok(0) };
    match Plan::of(conn, app, filter, Bounds::USUAL)? {
        Some(plan) => plan.count(conn, cap),
        None => Ok(0),
    }
}

fn page(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    sort: Sort,
    mut from: ExportPosition,
    limit: usize,
) -> rusqlite::Result<ExportPage> {
    if filter.reads_rows() {
        return search_page(conn, app, filter, from, limit);
    }
    let end = ExportPage { rows: vec![], next: None };
    let Some(app) = cache::app_row(conn, app)? else { return Ok(end) };
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(end) };
    // What was found in an earlier snapshot may have changed since.
    let is_fresh = from.ahead.is_empty();
    if is_fresh && !from.is_last {
        let Some(plan) = Plan::of(conn, app, filter, Bounds::USUAL)? else { return Ok(end) };
        find_more(conn, &plan, sort, &mut from, limit)?;
    }
    let (sql, values) = wanted.holds_for();
    let mut still = conn.prepare_cached(&sql)?;
    let mut rows = Vec::with_capacity(limit.min(from.ahead.len()));
    for _ in 0..limit {
        let Some(found) = from.ahead.pop_front() else { break };
        let Some(id) = now(conn, found, filter.view)? else { continue };
        let id_first = std::iter::once(Value::Integer(id.0)).chain(values.iter().cloned());
        if is_fresh || still.exists(params_from_iter(id_first))? {
            rows.push(attempts::list_row(conn, id)?);
        }
    }
    let is_end = from.is_last && from.ahead.is_empty();
    Ok(ExportPage { rows, next: (!is_end).then_some(from) })
}

/// A page of a filter that reads rows one by one.
fn search_page(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    from: ExportPosition,
    limit: usize,
) -> rusqlite::Result<ExportPage> {
    let start = from.after.map_or(Start::Page(1), Start::After);
    let page = PageRequest { start, per_page: u32::try_from(limit).unwrap_or(u32::MAX) };
    let found = search::attempts(conn, app, filter, &page, Budget::USUAL, Bounds::USUAL)?;
    let next = found.next.map(|key| ExportPosition { after: Some(key), ..ExportPosition::default() });
    Ok(ExportPage { rows: found.rows, next })
}

/// The row that stands for what was found: a delivery may have a newer attempt by now.
fn now(conn: &Connection, found: AttemptId, view: View) -> rusqlite::Result<Option<AttemptId>> {
    if view == View::Attempts {
        return Ok(Some(found));
    }
    let Some(row) = attempts::get(conn, found)? else { return Ok(None) };
    if row.current.status != AttemptStatus::Failed {
        return Ok(Some(found));
    }
    Ok(attempts::newest(conn, row.delivery())?.map(|newest| newest.id))
}

fn find_more(
    conn: &Connection,
    plan: &Plan,
    sort: Sort,
    from: &mut ExportPosition,
    limit: usize,
) -> rusqlite::Result<()> {
    let by_id = matches!(sort.field, SortField::Id | SortField::Delivery);
    let many = if by_id { limit } else { EXPORT_AHEAD };
    let found = merge::find(conn, plan, sort, from.after.as_ref(), many)?;
    from.is_last = found.len() < many;
    from.ahead.extend(found.iter().map(|key| key.id));
    if !from.is_last {
        from.after = found.into_iter().next_back();
    }
    Ok(())
}

#[async_trait]
impl ExportStore for SqliteStore {
    async fn export_count(&self, app: AppId, filter: AttemptFilter, cap: u64) -> Result<u64> {
        self.read("counting the log", move |conn| count(conn, app, &filter, cap)).await
    }

    async fn export_page(
        &self,
        app: AppId,
        filter: AttemptFilter,
        sort: Sort,
        from: ExportPosition,
        limit: u32,
    ) -> Result<ExportPage> {
        let limit = limit.max(1) as usize;
        self.read("exporting the log", move |conn| page(conn, app, &filter, sort, from, limit)).await
    }
}
