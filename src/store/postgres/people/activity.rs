//! The record of what the system and people did, written in the transaction of what it tells of.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::Activity;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::{Columns as _, clean};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::shared::paging::{page_of, skipped, total};
use crate::store::{
    ActivityEntry, ActivityFilter, ActivityStore, Page, PageRequest, Result, Start, TOTAL_CAP,
};

/// Adds an entry.
pub(crate) async fn append(conn: &Conn, entry: &Activity) -> DbResult<()> {
    let sql = "INSERT INTO activity (kind, app, actor, address, summary, details, created_at) \
               VALUES ($1, (SELECT id FROM apps WHERE uid = $2), $3, $4, $5, $6, $7)";
    let (actor, summary) = (clean(&entry.actor), clean(&entry.summary));
    let (address, details) = (entry.address.as_deref().map(clean), entry.details.to_string());
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&entry.kind, &entry.app_id, &actor, &address, &summary, &details, &entry.created_at];
    conn.run(sql, &values).await.map(|_| ())
}

fn entry(row: &Row) -> DbResult<ActivityEntry> {
    let details: &str = row.col("details")?;
    let activity = Activity {
        kind: row.col("kind")?,
        app_id: row.col("app_uid")?,
        actor: row.col("actor")?,
        address: row.col("address")?,
        summary: row.col("summary")?,
        details: serde_json::from_str(details).map_err(|_| fault("an activity's details are damaged"))?,
        created_at: row.col("created_at")?,
    };
    Ok(ActivityEntry { id: row.col("id")?, activity })
}

macro_rules! wanted {
    () => {
        "($1::text IS NULL OR v.kind = $1) AND ($2::bigint IS NULL OR v.created_at >= $2) \
         AND ($3::bigint IS NULL OR v.created_at < $3) "
    };
}
macro_rules! columns {
    () => {
        "SELECT v.kind, a.uid AS app_uid, v.actor, v.address, v.summary, v.details, v.created_at, v.id \
         FROM activity v LEFT JOIN apps a ON a.id = v.app "
    };
}

/// Few entries are written, so they are walked by their number and looked at.
const COUNT: &str = concat!(
    "SELECT count(*) AS count FROM (SELECT 1 FROM activity v WHERE ",
    wanted!(),
    "LIMIT $4) AS found"
);
const FIND: &str =
    concat!(columns!(), "WHERE v.id < $4 AND ", wanted!(), "ORDER BY v.id DESC LIMIT $5 OFFSET $6");
const RECENT: &str = concat!(columns!(), "ORDER BY v.id DESC LIMIT $1");

async fn list(
    conn: &Conn,
    filter: ActivityFilter,
    page: &PageRequest<i64>,
) -> DbResult<Page<ActivityEntry, i64>> {
    let ActivityFilter { kind, since, until } = filter;
    let cap = TOTAL_CAP as i64 + 1;
    let counted = conn.row(COUNT, &[&kind, &since, &until, &cap]).await?.num("count")?;
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id, 0),
    };
    let limit = i64::from(page.per_page) + 1;
    let rows = conn.rows(FIND, &[&kind, &since, &until, &below, &limit, &offset]).await?;
    let found = rows.iter().map(entry).collect::<DbResult<Vec<_>>>()?;
    Ok(page_of(found, page.per_page, total(counted), |entry| entry.id))
}

#[async_trait]
impl ActivityStore for PostgresStore {
    async fn activity_append(&self, activity: Activity) -> Result<()> {
        self.write("writing the activity log", move |tx| async move { append(tx, &activity).await }.boxed())
            .await
    }

    async fn activity_list(
        &self,
        filter: ActivityFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<ActivityEntry, i64>> {
        self.read("listing the activity log", move |conn| {
            async move { list(conn, filter, &page).await }.boxed()
        })
        .await
    }

    async fn activity_recent(&self, limit: u32) -> Result<Vec<Activity>> {
        self.query("reading the activity log", move |conn| {
            async move {
                let rows = conn.rows(RECENT, &[&i64::from(limit)]).await?;
                rows.iter().map(|row| entry(row).map(|entry| entry.activity)).collect()
            }
            .boxed()
        })
        .await
    }
}
