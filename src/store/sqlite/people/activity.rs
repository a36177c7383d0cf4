//! The record of what the system and people did, written in the transaction of what it tells of.

use async_trait::async_trait;
use rusqlite::{Connection, Row, named_params, params};

use crate::domain::Activity;
use crate::store::shared::paging::{page_of, skipped, total};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::{
    ActivityEntry, ActivityFilter, ActivityStore, Page, PageRequest, Result, Start, TOTAL_CAP,
};

/// Adds an entry.
pub(crate) fn append(conn: &Connection, entry: &Activity) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO activity (kind, app, actor, address, summary, details, created_at) \
         VALUES (?1, (SELECT id FROM apps WHERE uid = ?2), ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        entry.kind,
        entry.app_id,
        entry.actor,
        entry.address,
        entry.summary,
        entry.details.to_string(),
        entry.created_at
    ])
    .map(|_| ())
}

/// The columns that are read, and where they are.
const COLUMNS: &str = "v.id AS id, v.kind AS kind, a.uid AS app_uid, v.actor AS actor, v.address AS address, \
     v.summary AS summary, v.details AS details, v.created_at AS created_at";
const TABLES: &str = "FROM activity v LEFT JOIN apps a ON a.id = v.app";

fn entry(row: &Row<'_>) -> rusqlite::Result<Activity> {
    let details: String = row.get("details")?;
    Ok(Activity {
        kind: row.get("kind")?,
        app_id: row.get("app_uid")?,
        actor: row.get("actor")?,
        address: row.get("address")?,
        summary: row.get("summary")?,
        details: serde_json::from_str(&details).map_err(|_| fault("an activity's details are damaged"))?,
        created_at: row.get("created_at")?,
    })
}

/// Few entries are written, so they are walked by their number and looked at.
const WANTED: &str = "(:kind IS NULL OR v.kind = :kind) AND (:since IS NULL OR v.created_at >= :since) \
     AND (:until IS NULL OR v.created_at < :until)";

fn list(
    conn: &Connection,
    filter: ActivityFilter,
    page: &PageRequest<i64>,
) -> rusqlite::Result<Page<ActivityEntry, i64>> {
    let ActivityFilter { kind, since, until } = filter;
    let count = format!("SELECT count(*) FROM (SELECT 1 FROM activity v WHERE {WANTED} LIMIT :cap)");
    let cap = TOTAL_CAP as i64 + 1;
    let counted = conn
        .prepare_cached(&count)?
        .query_row(named_params! { ":kind": kind, ":since": since, ":until": until, ":cap": cap }, |row| {
            rows::count(row, 0)
        })?;
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id, 0),
    };
    let find = format!(
        "SELECT {COLUMNS} {TABLES} WHERE v.id < :below AND {WANTED} \
         ORDER BY v.id DESC LIMIT :limit OFFSET :offset"
    );
    let limit = i64::from(page.per_page) + 1;
    let found = conn
        .prepare_cached(&find)?
        .query_map(
            named_params! { ":below": below, ":kind": kind, ":since": since, ":until": until,
            ":limit": limit, ":offset": offset },
            |row| Ok(ActivityEntry { id: row.get("id")?, activity: entry(row)? }),
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(page_of(found, page.per_page, total(counted), |entry| entry.id))
}

#[async_trait]
impl ActivityStore for SqliteStore {
    async fn activity_append(&self, activity: Activity) -> Result<()> {
        self.write("writing the activity log", move |tx| append(tx, &activity)).await
    }

    async fn activity_list(
        &self,
        filter: ActivityFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<ActivityEntry, i64>> {
        self.read("listing the activity log", move |conn| list(conn, filter, &page)).await
    }

    async fn activity_recent(&self, limit: u32) -> Result<Vec<Activity>> {
        self.read("reading the activity log", move |conn| {
            conn.prepare_cached(&format!("SELECT {COLUMNS} {TABLES} ORDER BY v.id DESC LIMIT ?1"))?
                .query_map([limit], entry)?
                .collect()
        })
        .await
    }
}
