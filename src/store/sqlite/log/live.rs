//! The order in which attempts end: reading along it. It is given by [`crate::store::sqlite::engine::counts`], whose last number
//! for each app is written once with every group.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::domain::{AppId, AttemptId};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, counts};
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::filter::Wanted;
use crate::store::{AttemptFilter, FinishPlace, FinishedPage, LiveStore, Result};

/// Rows that one read looks at, so that a filter that lets nothing through does not hold a reader up.
const LOOKED_AT: i64 = 10_000;

fn last(conn: &Connection, app: AppId) -> rusqlite::Result<FinishPlace> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(FinishPlace(0)) };
    conn.prepare_cached(counts::LAST)?.query_row([app], |row| row.get(0)).map(FinishPlace)
}

fn place(conn: &Connection, app: AppId, id: AttemptId) -> rusqlite::Result<Option<FinishPlace>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    let found = conn
        .prepare_cached("SELECT finished_seq FROM attempts WHERE id = ?1 AND +app = ?2")?
        .query_row(params![id, app], |row| row.get::<_, Option<i64>>(0))
        .optional()?;
    Ok(found.flatten().map(FinishPlace))
}

fn after(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    after: FinishPlace,
    limit: usize,
) -> rusqlite::Result<FinishedPage> {
    let last = last(conn, app)?;
    let upto = FinishPlace(last.0.min(after.0.saturating_add(LOOKED_AT)));
    let mut page = FinishedPage { rows: vec![], place: upto.max(after), more: upto < last };
    let Some(app) = cache::app_row(conn, app)? else { return Ok(page) };
    if upto <= after {
        return Ok(page);
    }
    let Some(wanted) = Wanted::of(conn, app, filter)? else { return Ok(page) };
    let (sql, values) = wanted.finished(app, after.0, upto.0, limit as i64);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(&values))?;
    while let Some(row) = found.next()? {
        page.rows.push(attempts::list_row(conn, row.get(0)?)?);
        if page.rows.len() == limit {
            page.place = FinishPlace(row.get(1)?);
            page.more = page.place < last;
        }
    }
    Ok(page)
}

#[async_trait]
impl LiveStore for SqliteStore {
    async fn finished_last(&self, app: AppId) -> Result<FinishPlace> {
        self.read("looking for the last end of an attempt", move |conn| last(conn, app)).await
    }

    async fn finished_place(&self, app: AppId, id: AttemptId) -> Result<Option<FinishPlace>> {
        self.read("looking for the end of an attempt", move |conn| place(conn, app, id)).await
    }

    async fn finished_after(
        &self,
        app: AppId,
        filter: AttemptFilter,
        from: FinishPlace,
        limit: u32,
    ) -> Result<FinishedPage> {
        let limit = limit.max(1) as usize;
        self.read("following the log", move |conn| after(conn, app, &filter, from, limit)).await
    }
}
