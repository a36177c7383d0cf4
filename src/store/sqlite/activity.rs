//! The record of what the system and people did, written in the transaction of what it tells of.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::error::fault;
use crate::domain::Activity;
use crate::store::{ActivityStore, Result};

/// Adds an entry.
pub(super) fn append(conn: &Connection, entry: &Activity) -> rusqlite::Result<()> {
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

fn entry(row: &Row<'_>) -> rusqlite::Result<Activity> {
    let details: String = row.get(5)?;
    Ok(Activity {
        kind: row.get(0)?,
        app_id: row.get(1)?,
        actor: row.get(2)?,
        address: row.get(3)?,
        summary: row.get(4)?,
        details: serde_json::from_str(&details).map_err(|_| fault("an activity's details are damaged"))?,
        created_at: row.get(6)?,
    })
}

#[async_trait]
impl ActivityStore for SqliteStore {
    async fn activity_append(&self, activity: Activity) -> Result<()> {
        self.write("writing the activity log", move |tx| append(tx, &activity)).await
    }

    async fn activity_recent(&self, limit: u32) -> Result<Vec<Activity>> {
        self.read("reading the activity log", move |conn| {
            conn.prepare_cached(
                "SELECT v.kind, a.uid, v.actor, v.address, v.summary, v.details, v.created_at \
                 FROM activity v LEFT JOIN apps a ON a.id = v.app ORDER BY v.id DESC LIMIT ?1",
            )?
            .query_map([limit], entry)?
            .collect()
        })
        .await
    }
}
