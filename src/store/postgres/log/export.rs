//! Walking over the whole log in pages, each in a snapshot of its own.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::{AppId, AttemptId};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::{AppRow, Columns as _};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::log::plan::Plan;
use crate::store::postgres::log::{merge, named, search};
use crate::store::postgres::queue::shown;
use crate::store::shared::scan::Budget;
use crate::store::{
    AttemptFilter, EXPORT_AHEAD, ExportPage, ExportPosition, ExportStore, PageRequest, Result, Sort,
    SortField, Start, View,
};

async fn count(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &AttemptFilter,
    cap: u64,
) -> DbResult<u64> {
    // Only reading all of it would tell.
    if filter.reads_rows() {
        return Ok(0);
    }
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(0) };
    match Plan::of(conn, partitions, app, filter).await? {
        Some(mut plan) => plan.count(conn, cap).await,
        None => Ok(0),
    }
}

async fn page(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &AttemptFilter,
    sort: Sort,
    mut from: ExportPosition,
    limit: usize,
) -> DbResult<ExportPage> {
    if filter.reads_rows() {
        return search_page(conn, partitions, app, filter, from, limit).await;
    }
    plan_by_values(conn).await?;
    let end = ExportPage { rows: vec![], next: None };
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(end) };
    let Some(mut plan) = Plan::of(conn, partitions, app, filter).await? else { return Ok(end) };
    // What was found in an earlier snapshot may have changed since.
    let is_fresh = from.ahead.is_empty();
    if is_fresh && !from.is_last {
        find_more(conn, &mut plan, sort, &mut from, limit).await?;
    }
    let mut ids: Vec<AttemptId> = from.ahead.drain(..limit.min(from.ahead.len())).collect();
    if !is_fresh {
        ids = still_meant(conn, app, &plan, filter.view, ids).await?;
    }
    let rows = shown::list_rows(conn, &ids).await?;
    let is_end = from.is_last && from.ahead.is_empty();
    Ok(ExportPage { rows, next: (!is_end).then_some(from) })
}

/// A page of a filter that reads rows one by one.
async fn search_page(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &AttemptFilter,
    from: ExportPosition,
    limit: usize,
) -> DbResult<ExportPage> {
    let start = from.after.map_or(Start::Page(1), Start::After);
    let page = PageRequest { start, per_page: u32::try_from(limit).unwrap_or(u32::MAX) };
    let found = search::attempts(conn, partitions, app, filter, &page, Budget::USUAL).await?;
    let next = found.next.map(|key| ExportPosition { after: Some(key), ..ExportPosition::default() });
    Ok(ExportPage { rows: found.rows, next })
}

/// The rows that stand for what was found and are still meant: a delivery may have a newer attempt by now.
async fn still_meant(
    conn: &Conn,
    app: AppRow,
    plan: &Plan,
    view: View,
    mut ids: Vec<AttemptId>,
) -> DbResult<Vec<AttemptId>> {
    if view == View::Deliveries {
        let newest = newest(conn, &ids).await?;
        ids.iter_mut().for_each(|id| *id = newest.get(id).copied().unwrap_or(*id));
    }
    let numbers: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = named::by_ids(conn, app, &numbers).await?;
    let meant = |id: &AttemptId| rows.iter().any(|row| row.id == id.0 && plan.admits(row));
    ids.retain(meant);
    Ok(ids)
}

/// Of failed attempts: the newest ones of their deliveries, which follow them.
const NEWEST: &str = "SELECT DISTINCT ON (f.id) f.id, n.id AS newest \
     FROM (SELECT l.id, l.delivery FROM log l WHERE l.id = ANY($1) AND l.status = 'failed') f \
     JOIN (SELECT q.id, q.first_id, q.attempt FROM queue q WHERE q.first_id IS NOT NULL \
         UNION ALL SELECT l.id, l.first_id, l.attempt FROM log l WHERE l.first_id IS NOT NULL AND l.id > $2) n \
     ON n.first_id = f.delivery ORDER BY f.id, n.attempt DESC";

async fn newest(conn: &Conn, ids: &[AttemptId]) -> DbResult<HashMap<AttemptId, AttemptId>> {
    let Some(first) = ids.iter().min() else { return Ok(HashMap::new()) };
    let failed = "SELECT count(*) AS count FROM log l WHERE l.id = ANY($1) AND l.status = 'failed'";
    if conn.row(failed, &[&ids]).await?.num::<u64>("count")? == 0 {
        return Ok(HashMap::new());
    }
    let rows = conn.rows(NEWEST, &[&ids, first]).await?;
    rows.iter().map(|row| Ok((row.col("id")?, row.col("newest")?))).collect()
}

async fn find_more(
    conn: &Conn,
    plan: &mut Plan,
    sort: Sort,
    from: &mut ExportPosition,
    limit: usize,
) -> DbResult<()> {
    let by_id = matches!(sort.field, SortField::Id | SortField::Delivery);
    let many = if by_id { limit } else { EXPORT_AHEAD };
    let found = merge::find(conn, plan, sort, from.after.as_ref(), many).await?;
    from.is_last = found.len() < many;
    from.ahead.extend(found.iter().map(|key| key.id));
    if !from.is_last {
        from.after = found.into_iter().next_back();
    }
    Ok(())
}

#[async_trait]
impl ExportStore for PostgresStore {
    async fn export_count(&self, app: AppId, filter: AttemptFilter, cap: u64) -> Result<u64> {
        let partitions = self.partitions.clone();
        self.read("counting the log", move |conn| {
            async move { count(conn, &partitions, app, &filter, cap).await }.boxed()
        })
        .await
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
        let partitions = self.partitions.clone();
        self.read("exporting the log", move |conn| {
            async move { page(conn, &partitions, app, &filter, sort, from, limit).await }.boxed()
        })
        .await
    }
}
