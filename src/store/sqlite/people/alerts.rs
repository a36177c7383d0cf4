//! Alerts: their targets, what was told, and which endpoints are in trouble.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::alert::{AlertTarget, AlertTry, Told};
use crate::domain::{Activity, AlertKind, AlertTargetId};
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::read_span;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::{AlertStore, EndpointTrouble, Result};

const COLUMNS: &str = "uid, name, form, url, host, token, kinds, queue_age, disk_free_mib, enabled, created_at, \
     updated_at, tried_at, tried_kind, tried_error";

fn target(row: &Row<'_>) -> rusqlite::Result<AlertTarget> {
    let (kinds, queue_age): (String, String) = (row.get(6)?, row.get(7)?);
    let kinds = kinds.split_ascii_whitespace().map(|kind| {
        AlertKind::parse(kind).ok_or_else(|| fault(format!("{kind:?} in the database is no kind of alert")))
    });
    let last_try = match (row.get(12)?, row.get(13)?) {
        (Some(at), Some(kind)) => Some(AlertTry { at, kind, error: row.get(14)? }),
        _ => None,
    };
    Ok(AlertTarget {
        id: row.get(0)?,
        name: row.get(1)?,
        form: row.get(2)?,
        url: row.get(3)?,
        host: row.get(4)?,
        token: row.get(5)?,
        kinds: kinds.collect::<rusqlite::Result<_>>()?,
        queue_age: read_span(&queue_age)?,
        disk_free_mib: row.get(8)?,
        is_enabled: row.get(9)?,
        created_at: row.get(10)?,
        updated_at: row.get(11)?,
        last_try,
    })
}

/// All targets, in the order in which they were made.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<AlertTarget>> {
    let sql = format!("SELECT {COLUMNS} FROM alert_targets ORDER BY id");
    conn.prepare_cached(&sql)?.query_map([], target)?.collect()
}

fn write_kinds(kinds: &[AlertKind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

fn insert(conn: &Connection, t: &AlertTarget, max: u32) -> rusqlite::Result<bool> {
    let made = conn.execute(
        "INSERT INTO alert_targets (uid, name, form, url, host, token, kinds, queue_age, disk_free_mib, \
         enabled, created_at, updated_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 \
         WHERE (SELECT count(*) FROM alert_targets) < ?13",
        params![
            t.id,
            t.name,
            t.form,
            t.url,
            t.host,
            t.token,
            write_kinds(&t.kinds),
            t.queue_age.to_string(),
            t.disk_free_mib,
            t.is_enabled,
            t.created_at,
            t.updated_at,
            max
        ],
    )?;
    Ok(made == 1)
}

pub(crate) fn update(conn: &Connection, t: &AlertTarget) -> rusqlite::Result<bool> {
    let changed = conn.execute(
        "UPDATE alert_targets SET name = ?2, form = ?3, url = ?4, host = ?5, token = ?6, kinds = ?7, \
         queue_age = ?8, disk_free_mib = ?9, enabled = ?10, updated_at = ?11 WHERE uid = ?1",
        params![
            t.id,
            t.name,
            t.form,
            t.url,
            t.host,
            t.token,
            write_kinds(&t.kinds),
            t.queue_age.to_string(),
            t.disk_free_mib,
            t.is_enabled,
            t.updated_at
        ],
    )?;
    Ok(changed == 1)
}

fn tried(
    conn: &Connection,
    id: AlertTargetId,
    tried: &AlertTry,
    told: Option<&Told>,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE alert_targets SET tried_at = ?2, tried_kind = ?3, tried_error = ?4 WHERE uid = ?1 \
               RETURNING id";
    let row: Option<i64> =
        conn.query_row(sql, params![id, tried.at, tried.kind, tried.error], |row| row.get(0)).optional()?;
    if let (Some(row), Some(told)) = (row, told) {
        conn.execute(
            "INSERT OR REPLACE INTO alerts_told (target, kind, subject, mark, told_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row, told.kind, told.subject, told.mark, told.at],
        )?;
    }
    Ok(row.is_some())
}

/// Few servers have so many endpoints that looking at each of them once a minute would be felt.
pub(crate) const TROUBLES: &str = "SELECT p.uid, a.uid, a.name, p.name, p.url, p.status, p.status_reason, \
     p.disabled_at, p.consecutive_failures FROM endpoints p CROSS JOIN apps a ON a.id = p.app \
     WHERE p.deleted_at IS NULL AND CASE p.status \
     WHEN 'disabled' THEN p.status_reason IS NOT NULL AND p.disabled_at IS NOT NULL \
     WHEN 'active' THEN p.consecutive_failures >= ?1 ELSE 0 END ORDER BY p.id";

fn trouble(row: &Row<'_>) -> rusqlite::Result<EndpointTrouble> {
    Ok(EndpointTrouble {
        id: row.get(0)?,
        app_id: row.get(1)?,
        app_name: row.get(2)?,
        name: row.get(3)?,
        url: row.get(4)?,
        status: row.get(5)?,
        status_reason: row.get(6)?,
        disabled_at: row.get(7)?,
        consecutive_failures: row.get(8)?,
    })
}

#[async_trait]
impl AlertStore for SqliteStore {
    async fn alert_target_insert(&self, target: AlertTarget, max: u32, entry: Activity) -> Result<bool> {
        self.write("making a target of alerts", move |tx| {
            let made = insert(tx, &target, max)?;
            if made {
                activity::append(tx, &entry)?;
            }
            Ok(made)
        })
        .await
    }

    async fn alert_target_list(&self) -> Result<Vec<AlertTarget>> {
        self.read("listing targets of alerts", all).await
    }

    async fn alert_target_get(&self, id: AlertTargetId) -> Result<Option<AlertTarget>> {
        self.read("reading a target of alerts", move |conn| {
            let sql = format!("SELECT {COLUMNS} FROM alert_targets WHERE uid = ?1");
            conn.prepare_cached(&sql)?.query_row([id], target).optional()
        })
        .await
    }

    async fn alert_target_update(&self, target: AlertTarget, entry: Activity) -> Result<bool> {
        self.write("changing a target of alerts", move |tx| {
            let changed = update(tx, &target)?;
            if changed {
                activity::append(tx, &entry)?;
            }
            Ok(changed)
        })
        .await
    }

    async fn alert_target_delete(&self, id: AlertTargetId, entry: Activity) -> Result<bool> {
        self.write("deleting a target of alerts", move |tx| {
            let deleted = tx.execute("DELETE FROM alert_targets WHERE uid = ?1", [id])? == 1;
            if deleted {
                activity::append(tx, &entry)?;
            }
            Ok(deleted)
        })
        .await
    }

    async fn alert_tried(
        &self,
        id: AlertTargetId,
        attempt: AlertTry,
        told: Option<Told>,
        entry: Option<Activity>,
    ) -> Result<()> {
        self.write("noting an alert", move |tx| {
            if tried(tx, id, &attempt, told.as_ref())? {
                entry.iter().try_for_each(|entry| activity::append(tx, entry))?;
            }
            Ok(())
        })
        .await
    }

    async fn alert_told(&self) -> Result<Vec<Told>> {
        self.read("reading what was told", |conn| {
            conn.prepare_cached(
                "SELECT t.uid, d.kind, d.subject, d.mark, d.told_at FROM alerts_told d \
                 JOIN alert_targets t ON t.id = d.target",
            )?
            .query_map([], |row| {
                Ok(Told {
                    target: row.get(0)?,
                    kind: row.get(1)?,
                    subject: row.get(2)?,
                    mark: row.get(3)?,
                    at: row.get(4)?,
                })
            })?
            .collect()
        })
        .await
    }

    async fn alert_forget(&self, target: AlertTargetId, kind: AlertKind, subject: String) -> Result<()> {
        self.write("forgetting an alert", move |tx| {
            tx.execute(
                "DELETE FROM alerts_told WHERE target = (SELECT id FROM alert_targets WHERE uid = ?1) \
                 AND kind = ?2 AND subject = ?3",
                params![target, kind, subject],
            )
            .map(|_| ())
        })
        .await
    }

    async fn endpoint_troubles(&self, failures: Option<u32>) -> Result<Vec<EndpointTrouble>> {
        // No counter reaches it.
        let failures = failures.map_or(i64::MAX, i64::from);
        self.read("looking for endpoints in trouble", move |conn| {
            conn.prepare_cached(TROUBLES)?.query_map([failures], trouble)?.collect()
        })
        .await
    }
}
