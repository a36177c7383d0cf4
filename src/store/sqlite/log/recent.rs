//! The latest deliveries of an endpoint: its newest first attempts, and of each delivery the newest row
//! and the newest that has ended. Both are one step into an index.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::attempts::delivery::RecentDelivery;
use crate::domain::{AppId, AttemptId, EndpointId};
use crate::store::shared::recent_rows::{RowState, delivery};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::rows::EndpointRow;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::queue::endpoints;
use crate::store::{RecentStore, Result};

pub(crate) const FIRSTS: &str = "SELECT t.id AS id, v.uid AS uid, y.name AS event_type, v.created_at AS created_at \
     FROM attempts t CROSS JOIN events v ON v.id = t.event CROSS JOIN event_types y ON y.id = t.type \
     WHERE t.endpoint = ?1 AND t.first_id IS NULL AND +t.trigger <> 'test' ORDER BY t.id DESC LIMIT ?2";

macro_rules! of_rows {
    ($rows:literal) => {
        concat!(
            "SELECT status, attempt, response_status, response_time_ms, error_message, attempted_at \
             FROM attempts WHERE ",
            $rows
        )
    };
}
const FIRST: &str = of_rows!("id = ?1");
pub(crate) const LATER: &str = of_rows!("first_id = ?1 ORDER BY id DESC LIMIT 2");

fn row_state(row: &Row<'_>) -> rusqlite::Result<RowState> {
    Ok(RowState {
        status: row.get("status")?,
        attempt: row.get("attempt")?,
        response_status: row.get("response_status")?,
        response_time_ms: row.get("response_time_ms")?,
        error_message: row.get("error_message")?,
        attempted_at: row.get("attempted_at")?,
    })
}

/// The newest rows of a delivery, two at most, newest first.
fn newest(conn: &Connection, delivery: AttemptId) -> rusqlite::Result<Vec<RowState>> {
    let mut rows: Vec<RowState> =
        conn.prepare_cached(LATER)?.query_map([delivery], row_state)?.collect::<rusqlite::Result<_>>()?;
    if rows.len() < 2 {
        rows.extend(conn.prepare_cached(FIRST)?.query_row([delivery], row_state).optional()?);
    }
    Ok(rows)
}

fn recent(conn: &Connection, endpoint: EndpointRow, limit: u32) -> rusqlite::Result<Vec<RecentDelivery>> {
    let mut statement = conn.prepare_cached(FIRSTS)?;
    let mut firsts = statement.query(params![endpoint, limit])?;
    let mut found = Vec::new();
    while let Some(first) = firsts.next()? {
        let rows = newest(conn, first.get("id")?)?;
        found.extend(delivery(first.get("uid")?, first.get("event_type")?, first.get("created_at")?, &rows));
    }
    Ok(found)
}

#[async_trait]
impl RecentStore for SqliteStore {
    async fn delivery_recent(
        &self,
        app: AppId,
        endpoint: EndpointId,
        limit: u32,
    ) -> Result<Vec<RecentDelivery>> {
        self.read("reading the latest deliveries", move |conn| {
            let Some(app) = cache::app_row(conn, app)? else { return Ok(vec![]) };
            match endpoints::row_of(conn, app, endpoint)? {
                Some(row) => recent(conn, row, limit),
                None => Ok(vec![]),
            }
        })
        .await
    }
}
