//! The latest deliveries of an endpoint: they are found as the list of deliveries finds them, and of each the newest
//! row and the one before it are read.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::attempts::delivery::RecentDelivery;
use crate::domain::filter::View;
use crate::domain::{AppId, AttemptId, EndpointId};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::{Columns as _, EventRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::log::merge;
use crate::store::postgres::log::plan::Plan;
use crate::store::shared::recent_rows::{RowState, delivery};
use crate::store::shared::selection::Selection;
use crate::store::{AttemptFilter, RecentStore, Result, Sort, SortValue};

/// The rows of deliveries: the pending ones, the first ones, and the later ones, which are not before the first.
const ROWS: &str = "SELECT coalesce(q.first_id, q.id) AS delivery, q.event, 'pending' AS status, q.attempt, \
     NULL::bigint AS response_status, NULL::bigint AS response_time_ms, q.error_message, \
     NULL::bigint AS attempted_at FROM queue q WHERE q.id = ANY($2) \
     UNION ALL SELECT l.delivery, l.event, l.status, l.attempt, l.response_status, l.response_time_ms, \
     l.error_message, l.attempted_at FROM log l WHERE l.id = ANY($1) AND l.first_id IS NULL \
     UNION ALL SELECT l.delivery, l.event, l.status, l.attempt, l.response_status, l.response_time_ms, \
     l.error_message, l.attempted_at FROM log l WHERE l.first_id = ANY($1) AND l.id >= $3 AND l.id <= $4";
const EVENTS: &str = "SELECT v.id, v.uid, y.name AS type, v.created_at FROM events v \
     JOIN event_types y ON y.id = v.type WHERE v.id = ANY($1)";

fn row_state(row: &Row) -> DbResult<RowState> {
    Ok(RowState {
        status: row.col("status")?,
        attempt: row.num("attempt")?,
        response_status: row.opt_num("response_status")?,
        response_time_ms: row.opt_num("response_time_ms")?,
        error_message: row.col("error_message")?,
        attempted_at: row.col("attempted_at")?,
    })
}

/// The deliveries of an endpoint, and their newest rows, newest first.
async fn newest(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    endpoint: EndpointId,
    limit: u32,
) -> DbResult<Vec<(AttemptId, AttemptId)>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(vec![]) };
    let (view, endpoint) = (View::Deliveries, Some(endpoint));
    let filter = AttemptFilter { view, endpoint, ..AttemptFilter::default() };
    let selection = Selection::of(&filter).without_tests();
    let plan = Plan::of_selection(conn, partitions, app, &filter, selection).await?;
    let Some(mut plan) = plan else { return Ok(vec![]) };
    let keys = merge::find(conn, &mut plan, Sort::newest(view), None, limit as usize).await?;
    let of_key = |(id, value): (AttemptId, SortValue)| match value {
        SortValue::Number(delivery) => (AttemptId(delivery), id),
        _ => (id, id),
    };
    Ok(keys.into_iter().map(|key| of_key((key.id, key.value))).collect())
}

async fn recent(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    endpoint: EndpointId,
    limit: u32,
) -> DbResult<Vec<RecentDelivery>> {
    plan_by_values(conn).await?;
    let found = newest(conn, partitions, app, endpoint, limit).await?;
    let (deliveries, rows): (Vec<AttemptId>, Vec<AttemptId>) = found.into_iter().unzip();
    let (Some(first), Some(last)) = (deliveries.iter().min(), rows.iter().max()) else { return Ok(vec![]) };
    let mut states: HashMap<AttemptId, (EventRow, Vec<RowState>)> = HashMap::new();
    for row in conn.rows(ROWS, &[&deliveries, &rows, first, last]).await? {
        let event = row.col("event")?;
        let entry = states.entry(row.col("delivery")?).or_insert_with(|| (event, vec![]));
        entry.1.push(row_state(&row)?);
    }
    let events: Vec<EventRow> = states.values().map(|(event, _)| *event).collect();
    let mut facts = HashMap::new();
    for row in conn.rows(EVENTS, &[&events]).await? {
        let event: EventRow = row.col("id")?;
        facts.insert(event, (row.col("uid")?, row.col("type")?, row.col("created_at")?));
    }
    let mut recent = Vec::with_capacity(deliveries.len());
    for id in deliveries {
        let Some((event, mut rows)) = states.remove(&id) else { continue };
        let Some((uid, event_type, created_at)) = facts.get(&event).cloned() else { continue };
        rows.sort_by_key(|row| std::cmp::Reverse(row.attempt));
        recent.extend(delivery(uid, event_type, created_at, &rows));
    }
    Ok(recent)
}

#[async_trait]
impl RecentStore for PostgresStore {
    async fn delivery_recent(
        &self,
        app: AppId,
        endpoint: EndpointId,
        limit: u32,
    ) -> Result<Vec<RecentDelivery>> {
        let partitions = self.partitions.clone();
        self.read("reading the latest deliveries", move |conn| {
            async move { recent(conn, &partitions, app, endpoint, limit).await }.boxed()
        })
        .await
    }
}
