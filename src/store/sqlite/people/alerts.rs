//! Alerts: their targets, what was told, and which endpoints are in trouble.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::alert::{AlertTarget, AlertTry, Told};
use crate::domain::{Activity, AlertKind, AlertTargetId, EndpointId, Timestamp};
use crate::store::shared::alert_text::{read_kinds, read_smtp, write_kinds, write_smtp};
use crate::store::shared::counts::{MINUTE_MS, slot_of};
use crate::store::shared::record_text;
use crate::store::sqlite::engine::rows::{self, read_span};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::{AlertStore, LocalFailures, Result, WatchedEndpoint};

const COLUMNS: &str = "uid, name, form, url, host, token, kinds, queue_age, disk_free_mib, enabled, created_at, \
     updated_at, tried_at, tried_kind, tried_error, smtp, silent_after";

fn target(row: &Row<'_>) -> rusqlite::Result<AlertTarget> {
    let (kinds, queue_age, silent_after): (String, String, String) =
        (row.get("kinds")?, row.get("queue_age")?, row.get("silent_after")?);
    let smtp: Option<String> = row.get("smtp")?;
    let last_try = match (row.get("tried_at")?, row.get("tried_kind")?) {
        (Some(at), Some(kind)) => Some(AlertTry { at, kind, error: row.get("tried_error")? }),
        _ => None,
    };
    Ok(AlertTarget {
        id: row.get("uid")?,
        name: row.get("name")?,
        form: row.get("form")?,
        url: row.get("url")?,
        host: row.get("host")?,
        token: row.get("token")?,
        smtp: smtp.as_deref().map(read_smtp).transpose()?,
        kinds: read_kinds(&kinds)?,
        queue_age: read_span(&queue_age)?,
        silent_after: read_span(&silent_after)?,
        disk_free_mib: row.get("disk_free_mib")?,
        is_enabled: row.get("enabled")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        last_try,
    })
}

/// All targets, in the order in which they were made.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<AlertTarget>> {
    let sql = format!("SELECT {COLUMNS} FROM alert_targets ORDER BY id");
    conn.prepare_cached(&sql)?.query_map([], target)?.collect()
}

fn insert(conn: &Connection, t: &AlertTarget, max: u32) -> rusqlite::Result<bool> {
    let made = conn.execute(
        "INSERT INTO alert_targets (uid, name, form, url, host, token, kinds, queue_age, disk_free_mib, \
         enabled, created_at, updated_at, smtp, silent_after) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 \
         WHERE (SELECT count(*) FROM alert_targets) < ?15",
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
            t.smtp.as_ref().map(write_smtp),
            t.silent_after.to_string(),
            max
        ],
    )?;
    Ok(made == 1)
}

pub(crate) fn update(conn: &Connection, t: &AlertTarget) -> rusqlite::Result<bool> {
    let changed = conn.execute(
        "UPDATE alert_targets SET name = ?2, form = ?3, url = ?4, host = ?5, token = ?6, kinds = ?7, \
         queue_age = ?8, disk_free_mib = ?9, enabled = ?10, updated_at = ?11, smtp = ?12, silent_after = ?13 \
         WHERE uid = ?1",
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
            t.updated_at,
            t.smtp.as_ref().map(write_smtp),
            t.silent_after.to_string()
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
    let Some(row) = row else { return tell_contact(conn, id, told) };
    if let Some(told) = told {
        conn.execute(
            "INSERT OR REPLACE INTO alerts_told (target, kind, subject, mark, told_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row, told.kind, told.subject, told.mark, told.at],
        )?;
    }
    Ok(true)
}

/// Notes what was told to the contact of an endpoint; `false` when there is no such endpoint.
fn tell_contact(conn: &Connection, id: AlertTargetId, told: Option<&Told>) -> rusqlite::Result<bool> {
    let sql = "SELECT id FROM endpoints WHERE uid = ?1 AND deleted_at IS NULL";
    let row: Option<i64> = conn.query_row(sql, [id], |row| row.get(0)).optional()?;
    if let (Some(row), Some(told)) = (row, told) {
        conn.execute(
            "INSERT OR REPLACE INTO contacts_told (endpoint, kind, mark, told_at) VALUES (?1, ?2, ?3, ?4)",
            params![row, told.kind, told.mark, told.at],
        )?;
    }
    Ok(row.is_some())
}

/// What was told to contacts: a digest has no subject, all else is about their endpoint.
fn told_to_contacts(conn: &Connection) -> rusqlite::Result<Vec<Told>> {
    conn.prepare_cached(
        "SELECT p.uid AS endpoint, d.kind AS kind, d.mark AS mark, d.told_at AS told_at FROM contacts_told d \
         JOIN endpoints p ON p.id = d.endpoint",
    )?
    .query_map([], |row| {
        let (kind, endpoint): (AlertKind, EndpointId) = (row.get("kind")?, row.get("endpoint")?);
        let is_digest = kind == AlertKind::DeliveriesExhausted;
        let subject = if is_digest { String::new() } else { endpoint.to_string() };
        Ok(Told {
            target: row.get("endpoint")?,
            kind,
            subject,
            mark: row.get("mark")?,
            at: row.get("told_at")?,
        })
    })?
    .collect()
}

/// Few servers have so many endpoints that looking at each of them once a minute would be felt.
pub(crate) const WATCHED: &str = "SELECT p.uid AS id, a.uid AS app_id, a.name AS app_name, p.name AS name, \
     p.url AS url, p.status AS status, p.status_reason AS status_reason, p.disabled_at AS disabled_at, \
     p.consecutive_failures AS consecutive_failures, p.is_announced AS is_failing, \
     p.hold_reason IS NOT NULL AS is_on_hold, p.contact AS contact, coalesce(t.record, '') AS record \
     FROM endpoints p CROSS JOIN apps a ON a.id = p.app \
     LEFT JOIN totals t ON t.endpoint = p.id \
     WHERE p.deleted_at IS NULL AND (t.record <> '' OR p.status = 'disabled') ORDER BY p.id";

fn watched(row: &Row<'_>) -> rusqlite::Result<WatchedEndpoint> {
    let status_reason: Option<String> = row.get("status_reason")?;
    Ok(WatchedEndpoint {
        id: row.get("id")?,
        app_id: row.get("app_id")?,
        app_name: row.get("app_name")?,
        name: row.get("name")?,
        url: row.get("url")?,
        status: row.get("status")?,
        // A person who disables an endpoint gives no reason.
        disabled_at: if status_reason.is_some() { row.get("disabled_at")? } else { None },
        status_reason,
        consecutive_failures: row.get("consecutive_failures")?,
        is_failing: row.get("is_failing")?,
        is_on_hold: row.get("is_on_hold")?,
        contact: row.get("contact")?,
        record: record_text::read(row.get_ref("record")?.as_str()?)?.kept(),
    })
}

pub(crate) const EXHAUSTED: &str = "SELECT coalesce(sum(m.ended_exhausted), 0) FROM endpoints p \
     CROSS JOIN minutes m ON m.endpoint = p.id AND m.minute >= ?2 AND m.minute < ?3 WHERE p.uid = ?1";
pub(crate) const LOCAL_COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM attempts \
     WHERE status = 'pending' AND local_since IS NOT NULL LIMIT ?1)";
pub(crate) const LOCAL_FIRST: &str = "SELECT local_since, coalesce(error_message, '') AS message FROM attempts \
     WHERE status = 'pending' AND local_since IS NOT NULL ORDER BY local_since LIMIT 1";

fn local_failures(conn: &Connection, cap: u64) -> rusqlite::Result<Option<LocalFailures>> {
    let first = conn
        .prepare_cached(LOCAL_FIRST)?
        .query_row([], |row| Ok((row.get("local_since")?, row.get("message")?)));
    let Some((since, message)) = first.optional()? else { return Ok(None) };
    let pending = conn
        .prepare_cached(LOCAL_COUNT)?
        .query_row([i64::try_from(cap).unwrap_or(i64::MAX)], |row| rows::count(row, 0))?;
    Ok(Some(LocalFailures { since, pending, message }))
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

    async fn alert_track(&self, told: Told) -> Result<()> {
        self.write("tracking an alert", move |tx| {
            let sql = "SELECT id FROM alert_targets WHERE uid = ?1";
            let row: Option<i64> = tx.query_row(sql, [told.target], |row| row.get(0)).optional()?;
            if let Some(row) = row {
                tx.execute(
                    "INSERT OR REPLACE INTO alerts_told (target, kind, subject, mark, told_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![row, told.kind, told.subject, told.mark, told.at],
                )?;
            }
            Ok(())
        })
        .await
    }

    async fn alert_told(&self) -> Result<Vec<Told>> {
        self.read("reading what was told", |conn| {
            conn.prepare_cached(
                "SELECT t.uid AS target, d.kind AS kind, d.subject AS subject, d.mark AS mark, d.told_at AS told_at \
                 FROM alerts_told d JOIN alert_targets t ON t.id = d.target",
            )?
            .query_map([], |row| {
                Ok(Told {
                    target: row.get("target")?,
                    kind: row.get("kind")?,
                    subject: row.get("subject")?,
                    mark: row.get("mark")?,
                    at: row.get("told_at")?,
                })
            })?
            .chain(told_to_contacts(conn)?.into_iter().map(Ok))
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
            )?;
            tx.execute(
                "DELETE FROM contacts_told WHERE endpoint = (SELECT id FROM endpoints WHERE uid = ?1) AND kind = ?2",
                params![target, kind],
            )
            .map(|_| ())
        })
        .await
    }

    async fn watched_endpoints(&self) -> Result<Vec<WatchedEndpoint>> {
        self.read("looking for endpoints in trouble", |conn| {
            conn.prepare_cached(WATCHED)?.query_map([], watched)?.collect()
        })
        .await
    }

    async fn has_contacts(&self) -> Result<bool> {
        self.read("looking for contacts", |conn| {
            let sql = "SELECT EXISTS (SELECT 1 FROM endpoints WHERE contact IS NOT NULL)";
            conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
        })
        .await
    }

    async fn exhausted_counts(
        &self,
        endpoints: Vec<EndpointId>,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(EndpointId, u64)>> {
        self.read("counting exhausted deliveries", move |conn| {
            let (since, until) = (slot_of(since, MINUTE_MS), slot_of(until, MINUTE_MS));
            let mut statement = conn.prepare_cached(EXHAUSTED)?;
            let mut found = Vec::new();
            for id in endpoints {
                let count = statement.query_row(params![id, since, until], |row| rows::count(row, 0))?;
                if count > 0 {
                    found.push((id, count));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn local_failures(&self, cap: u64) -> Result<Option<LocalFailures>> {
        self.read("looking for local failures", move |conn| local_failures(conn, cap)).await
    }
}
