//! Reading the log in the order of results. [`crate::store::sqlite::engine::counts`] numbers them and writes
//! the last number of each app once with every group.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::domain::{AppId, AttemptId};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, counts};
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::filter::Wanted;
use crate::store::{AttemptFilter, LiveStore, Result, ResultPage, ResultSeq};

/// Rows that one read looks at, so that a filter that lets nothing through does not hold a reader up.
const LOOKED_AT: i64 = 10_000;

fn last(conn: &Connection, app: AppId) -> rusqlite::Result<ResultSeq> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(ResultSeq(0)) };
    conn.prepare_cached(counts::LAST)?.query_row([app], |row| row.get(0)).map(ResultSeq)
}

fn seq_of(conn: &Connection, app: AppId, id: AttemptId) -> rusqlite::Result<Option<ResultSeq>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    let found = conn
        .prepare_cached("SELECT result_seq FROM attempts WHERE id = ?1 AND +app = ?2")?
        .query_row(params![id, app], |row| row.get::<_, Option<i64>>(0))
        .optional()?;
    Ok(found.flatten().map(ResultSeq))
}

fn after(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    after: ResultSeq,
    limit: usize,
) -> rusqlite::Result<ResultPage> {
    let last = last(conn, app)?;
    let upto = ResultSeq(last.0.min(after.0.saturating_add(LOOKED_AT)));
    let mut page = ResultPage { rows: vec![], result_seq: upto.max(after), more: upto < last };
    let Some(app) = cache::app_row(conn, app)? else { return Ok(page) };
    if upto <= after {
        return Ok(page);
    }
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(page) };
    let (sql, values) = wanted.results(app, after.0, upto.0, limit as i64);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(&values))?;
    while let Some(row) = found.next()? {
        page.rows.push(attempts::list_row(conn, row.get(0)?)?);
        if page.rows.len() == limit {
            page.result_seq = ResultSeq(row.get(1)?);
            page.more = page.result_seq < last;
        }
    }
    Ok(page)
}

#[async_trait]
impl LiveStore for SqliteStore {
    async fn result_seq_last(&self, app: AppId) -> Result<ResultSeq> {
        self.read("looking for the last result", move |conn| last(conn, app)).await
    }

    async fn result_seq_of(&self, app: AppId, id: AttemptId) -> Result<Option<ResultSeq>> {
        self.read("looking for a result", move |conn| seq_of(conn, app, id)).await
    }

    async fn results_after(
        &self,
        app: AppId,
        filter: AttemptFilter,
        from: ResultSeq,
        limit: u32,
    ) -> Result<ResultPage> {
        let limit = limit.max(1) as usize;
        self.read("following the log", move |conn| after(conn, app, &filter, from, limit)).await
    }
}
