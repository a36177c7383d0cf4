//! Reading the log in the order of results. [`crate::store::postgres::engine::ended`] numbers them.

use async_trait::async_trait;
use futures_util::FutureExt as _;

use crate::domain::{AppId, AttemptId};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::{Parent, Partitions};
use crate::store::postgres::engine::rows::{AppRow, Columns as _};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::log::plan::Plan;
use crate::store::postgres::log::spans;
use crate::store::postgres::log::{named, search};
use crate::store::postgres::queue::shown;
use crate::store::shared::named::NamedRow;
use crate::store::{AttemptFilter, LiveStore, Result, ResultPage, ResultSeq};

/// Results that one read looks at, so that a filter that lets nothing through does not hold a reader up.
const LOOKED_AT: i64 = 10_000;

const LAST: &str = "SELECT s.result_seq FROM result_seqs s JOIN apps a ON a.id = s.app WHERE a.uid = $1";

async fn last(conn: &Conn, app: AppId) -> DbResult<ResultSeq> {
    let found = conn.row_opt(LAST, &[&app]).await?;
    found.map_or(Ok(ResultSeq(0)), |row| row.num("result_seq").map(ResultSeq))
}

async fn seq_of(conn: &Conn, app: AppId, id: AttemptId) -> DbResult<Option<ResultSeq>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
    let sql = "SELECT result_seq FROM log WHERE id = $1 AND app = $2";
    let found = conn.row_opt(sql, &[&id, &app]).await?;
    found.map(|row| row.num("result_seq").map(ResultSeq)).transpose()
}

async fn after(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &AttemptFilter,
    after: ResultSeq,
    limit: usize,
) -> DbResult<ResultPage> {
    plan_by_values(conn).await?;
    let last = last(conn, app).await?;
    let upto = ResultSeq(last.0.min(after.0.saturating_add(LOOKED_AT)));
    let mut page = ResultPage { rows: vec![], result_seq: upto.max(after), more: upto < last };
    // A text that is looked for in payloads and responses is for lists and exports only.
    if upto <= after || filter.contains.is_some() {
        return Ok(page);
    }
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(page) };
    let Some(plan) = Plan::of(conn, partitions, app, filter).await? else { return Ok(page) };
    let mut results = results(conn, partitions, app, after.0, upto.0).await?;
    results.retain(|(_, row)| plan.admits(row));
    let mut ids: Vec<AttemptId> = results.iter().map(|(_, row)| AttemptId(row.id)).collect();
    if filter.error.is_some() {
        let meant = search::meant(conn, filter, &ids).await?;
        ids.retain(|id| meant.contains(id));
        results.retain(|(_, row)| meant.contains(&AttemptId(row.id)));
    }
    if ids.len() >= limit
        && let Some((seq, _)) = results.get(limit - 1)
    {
        page.result_seq = ResultSeq(*seq);
        page.more = page.result_seq < last;
    }
    ids.truncate(limit);
    page.rows = shown::list_rows(conn, &ids).await?;
    Ok(page)
}

/// The attempts whose results come after one position and up to another, in this order. Nearly all of them are in the
/// newest partitions, and no position is without an attempt but for what has been removed.
async fn results(
    conn: &Conn,
    partitions: &Partitions,
    app: AppRow,
    after: i64,
    upto: i64,
) -> DbResult<Vec<(i64, NamedRow)>> {
    let mut found = Vec::new();
    for group in spans::groups(conn, partitions, Parent::Log).await? {
        for row in conn.rows(named::OF_RESULTS, &[&app, &after, &upto, &group.from, &group.to]).await? {
            found.push((row.num("result_seq")?, named::read(&row)?));
        }
        if found.len() as i64 >= upto - after {
            break;
        }
    }
    found.sort_unstable_by_key(|(seq, _)| *seq);
    Ok(found)
}

#[async_trait]
impl LiveStore for PostgresStore {
    async fn result_seq_last(&self, app: AppId) -> Result<ResultSeq> {
        self.query("looking for the last result", move |conn| async move { last(conn, app).await }.boxed())
            .await
    }

    async fn result_seq_of(&self, app: AppId, id: AttemptId) -> Result<Option<ResultSeq>> {
        self.read("looking for a result", move |conn| async move { seq_of(conn, app, id).await }.boxed())
            .await
    }

    async fn results_after(
        &self,
        app: AppId,
        filter: AttemptFilter,
        from: ResultSeq,
        limit: u32,
    ) -> Result<ResultPage> {
        let limit = limit.max(1) as usize;
        let partitions = self.partitions.clone();
        self.read("following the log", move |conn| {
            async move { after(conn, &partitions, app, &filter, from, limit).await }.boxed()
        })
        .await
    }
}
