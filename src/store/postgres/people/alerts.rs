//! Alerts: their targets, what was told, and which endpoints are in trouble.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::alert::{AlertTarget, AlertTry, Told};
use crate::domain::{Activity, AlertKind, AlertTargetId, EndpointId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::counts::totals_of_many;
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, clean, num, read_span};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::shared::alert_text::{read_kinds, read_smtp, write_kinds, write_smtp};
use crate::store::shared::counts::{MINUTE_MS, slot_of};
use crate::store::shared::record_text;
use crate::store::{AlertStore, LocalFailures, Result, WatchedEndpoint};

macro_rules! targets {
    ($rest:literal) => {
        concat!(
            "SELECT uid, name, form, url, host, token, kinds, queue_age, disk_free_mib, enabled, created_at, \
             updated_at, tried_at, tried_kind, tried_error, smtp, silent_after FROM alert_targets ",
            $rest
        )
    };
}

fn target(row: &Row) -> DbResult<AlertTarget> {
    let last_try = match (row.col("tried_at")?, row.col("tried_kind")?) {
        (Some(at), Some(kind)) => Some(AlertTry { at, kind, error: row.col("tried_error")? }),
        _ => None,
    };
    let smtp: Option<&str> = row.col("smtp")?;
    Ok(AlertTarget {
        id: row.col("uid")?,
        name: row.col("name")?,
        form: row.col("form")?,
        url: row.col("url")?,
        host: row.col("host")?,
        token: row.col("token")?,
        smtp: smtp.map(read_smtp).transpose()?,
        kinds: read_kinds(row.col("kinds")?)?,
        queue_age: read_span(row.col("queue_age")?)?,
        silent_after: read_span(row.col("silent_after")?)?,
        disk_free_mib: row.num("disk_free_mib")?,
        is_enabled: row.col("enabled")?,
        created_at: row.col("created_at")?,
        updated_at: row.col("updated_at")?,
        last_try,
    })
}

/// All targets, in the order in which they were made.
pub(crate) async fn all(conn: &Conn) -> DbResult<Vec<AlertTarget>> {
    conn.rows(targets!("ORDER BY id"), &[]).await?.iter().map(target).collect()
}

async fn insert(conn: &Conn, t: &AlertTarget, max: u32) -> DbResult<bool> {
    let sql = "INSERT INTO alert_targets (uid, name, form, url, host, token, kinds, queue_age, disk_free_mib, \
               enabled, created_at, updated_at, smtp, silent_after) \
               SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 \
               WHERE (SELECT count(*) FROM alert_targets) < $15::bigint";
    let (kinds, queue_age, free) = (write_kinds(&t.kinds), t.queue_age.to_string(), num(t.disk_free_mib));
    let (smtp, silent_after, max) =
        (t.smtp.as_ref().map(write_smtp), t.silent_after.to_string(), i64::from(max));
    let values: [&(dyn ToSql + Sync); 15] = [
        &t.id,
        &t.name,
        &t.form,
        &t.url,
        &t.host,
        &t.token,
        &kinds,
        &queue_age,
        &free,
        &t.is_enabled,
        &t.created_at,
        &t.updated_at,
        &smtp,
        &silent_after,
        &max,
    ];
    Ok(conn.run(sql, &values).await? == 1)
}

pub(crate) async fn update(conn: &Conn, t: &AlertTarget) -> DbResult<bool> {
    let sql = "UPDATE alert_targets SET name = $2, form = $3, url = $4, host = $5, token = $6, kinds = $7, \
               queue_age = $8, disk_free_mib = $9, enabled = $10, updated_at = $11, smtp = $12, \
               silent_after = $13 WHERE uid = $1";
    let (kinds, queue_age, free) = (write_kinds(&t.kinds), t.queue_age.to_string(), num(t.disk_free_mib));
    let (smtp, silent_after) = (t.smtp.as_ref().map(write_smtp), t.silent_after.to_string());
    let values: [&(dyn ToSql + Sync); 13] = [
        &t.id,
        &t.name,
        &t.form,
        &t.url,
        &t.host,
        &t.token,
        &kinds,
        &queue_age,
        &free,
        &t.is_enabled,
        &t.updated_at,
        &smtp,
        &silent_after,
    ];
    Ok(conn.run(sql, &values).await? == 1)
}

const TELL: &str = "INSERT INTO alerts_told (target, kind, subject, mark, told_at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (target, kind, subject) DO UPDATE SET mark = excluded.mark, told_at = excluded.told_at";
const TELL_CONTACT: &str = "INSERT INTO contacts_told (endpoint, kind, mark, told_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (endpoint, kind) DO UPDATE SET mark = excluded.mark, told_at = excluded.told_at";

async fn tell(conn: &Conn, row: i64, told: &Told) -> DbResult<()> {
    conn.run(TELL, &[&row, &told.kind, &told.subject, &told.mark, &told.at]).await.map(|_| ())
}

async fn tried(conn: &Conn, id: AlertTargetId, tried: &AlertTry, told: Option<&Told>) -> DbResult<bool> {
    let sql = "UPDATE alert_targets SET tried_at = $2, tried_kind = $3, tried_error = $4 WHERE uid = $1 \
               RETURNING id";
    let error = tried.error.as_deref().map(clean);
    let row = conn.row_opt(sql, &[&id, &tried.at, &tried.kind, &error]).await?;
    let Some(row) = row else { return tell_contact(conn, id, told).await };
    if let Some(told) = told {
        tell(conn, row.col("id")?, told).await?;
    }
    Ok(true)
}

/// Notes what was told to the contact of an endpoint; `false` when there is no such endpoint.
async fn tell_contact(conn: &Conn, id: AlertTargetId, told: Option<&Told>) -> DbResult<bool> {
    let sql = "SELECT id FROM endpoints WHERE uid = $1 AND deleted_at IS NULL";
    let Some(row) = conn.row_opt(sql, &[&id]).await? else { return Ok(false) };
    if let Some(told) = told {
        let row: i64 = row.col("id")?;
        conn.run(TELL_CONTACT, &[&row, &told.kind, &told.mark, &told.at]).await?;
    }
    Ok(true)
}

/// What was told to contacts: a digest has no subject, all else is about their endpoint.
async fn told_to_contacts(conn: &Conn) -> DbResult<Vec<Told>> {
    let sql = "SELECT p.uid, d.kind, d.mark, d.told_at \
               FROM contacts_told d JOIN endpoints p ON p.id = d.endpoint";
    let read = |row: &Row| {
        let (kind, endpoint): (AlertKind, EndpointId) = (row.col("kind")?, row.col("uid")?);
        let is_digest = kind == AlertKind::DeliveriesExhausted;
        let subject = if is_digest { String::new() } else { endpoint.to_string() };
        Ok(Told { target: row.col("uid")?, kind, subject, mark: row.col("mark")?, at: row.col("told_at")? })
    };
    conn.rows(sql, &[]).await?.iter().map(read).collect()
}

async fn told_to_targets(conn: &Conn) -> DbResult<Vec<Told>> {
    let sql = "SELECT t.uid, d.kind, d.subject, d.mark, d.told_at \
               FROM alerts_told d JOIN alert_targets t ON t.id = d.target";
    let read = |row: &Row| {
        Ok(Told {
            target: row.col("uid")?,
            kind: row.col("kind")?,
            subject: row.col("subject")?,
            mark: row.col("mark")?,
            at: row.col("told_at")?,
        })
    };
    conn.rows(sql, &[]).await?.iter().map(read).collect()
}

/// Few servers have so many endpoints that looking at each of them once a minute would be felt.
const WATCHED: &str = concat!(
    "SELECT p.uid, a.uid AS app_uid, a.name AS app_name, p.name, p.url, p.status, p.status_reason, p.disabled_at, \
     p.consecutive_failures, p.is_announced, p.hold_reason IS NOT NULL AS on_hold, p.contact, \
     coalesce(t.record, '') AS record FROM endpoints p JOIN apps a ON a.id = p.app ",
    totals_of_many!("p.id"),
    " WHERE p.deleted_at IS NULL AND (t.record <> '' OR p.status = 'disabled') ORDER BY p.id"
);

fn watched(row: &Row) -> DbResult<WatchedEndpoint> {
    let status_reason: Option<String> = row.col("status_reason")?;
    Ok(WatchedEndpoint {
        id: row.col("uid")?,
        app_id: row.col("app_uid")?,
        app_name: row.col("app_name")?,
        name: row.col("name")?,
        url: row.col("url")?,
        status: row.col("status")?,
        // A person who disables an endpoint gives no reason.
        disabled_at: if status_reason.is_some() { row.col("disabled_at")? } else { None },
        status_reason,
        consecutive_failures: row.num("consecutive_failures")?,
        is_failing: row.col("is_announced")?,
        is_on_hold: row.col("on_hold")?,
        contact: row.col("contact")?,
        record: record_text::read(row.col("record")?)?.kept(),
    })
}

const EXHAUSTED: &str = "SELECT p.uid, sum(m.ended_exhausted)::bigint AS count FROM endpoints p \
     JOIN minutes_now m ON m.endpoint = p.id AND m.minute >= $2 AND m.minute < $3 \
     WHERE p.uid = ANY($1) GROUP BY p.uid HAVING sum(m.ended_exhausted) > 0";
const LOCAL_COUNT: &str = "SELECT count(*) AS count FROM (SELECT 1 FROM queue WHERE local_since IS NOT NULL LIMIT $1) \
     AS found";
const LOCAL_FIRST: &str = "SELECT local_since, coalesce(error_message, '') AS message FROM queue \
     WHERE local_since IS NOT NULL ORDER BY local_since LIMIT 1";

async fn local_failures(conn: &Conn, cap: u64) -> DbResult<Option<LocalFailures>> {
    let Some(first) = conn.row_opt(LOCAL_FIRST, &[]).await? else { return Ok(None) };
    let pending = conn.row(LOCAL_COUNT, &[&num(cap)]).await?.num("count")?;
    Ok(Some(LocalFailures { since: first.col("local_since")?, pending, message: first.col("message")? }))
}

#[async_trait]
impl AlertStore for PostgresStore {
    async fn alert_target_insert(&self, target: AlertTarget, max: u32, entry: Activity) -> Result<bool> {
        self.write("making a target of alerts", move |tx| {
            async move {
                let made = insert(tx, &target, max).await?;
                if made {
                    activity::append(tx, &entry).await?;
                }
                Ok(made)
            }
            .boxed()
        })
        .await
    }

    async fn alert_target_list(&self) -> Result<Vec<AlertTarget>> {
        self.query("listing targets of alerts", |conn| async move { all(conn).await }.boxed()).await
    }

    async fn alert_target_get(&self, id: AlertTargetId) -> Result<Option<AlertTarget>> {
        self.query("reading a target of alerts", move |conn| {
            async move {
                conn.row_opt(targets!("WHERE uid = $1"), &[&id]).await?.as_ref().map(target).transpose()
            }
            .boxed()
        })
        .await
    }

    async fn alert_target_update(&self, target: AlertTarget, entry: Activity) -> Result<bool> {
        self.write("changing a target of alerts", move |tx| {
            async move {
                let changed = update(tx, &target).await?;
                if changed {
                    activity::append(tx, &entry).await?;
                }
                Ok(changed)
            }
            .boxed()
        })
        .await
    }

    async fn alert_target_delete(&self, id: AlertTargetId, entry: Activity) -> Result<bool> {
        self.write("deleting a target of alerts", move |tx| {
            async move {
                let deleted = tx.run("DELETE FROM alert_targets WHERE uid = $1", &[&id]).await? == 1;
                if deleted {
                    activity::append(tx, &entry).await?;
                }
                Ok(deleted)
            }
            .boxed()
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
            async move {
                if tried(tx, id, &attempt, told.as_ref()).await?
                    && let Some(entry) = &entry
                {
                    activity::append(tx, entry).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn alert_track(&self, told: Told) -> Result<()> {
        self.write("tracking an alert", move |tx| {
            async move {
                let found =
                    tx.row_opt("SELECT id FROM alert_targets WHERE uid = $1", &[&told.target]).await?;
                match found {
                    Some(row) => tell(tx, row.col("id")?, &told).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await
    }

    async fn alert_told(&self) -> Result<Vec<Told>> {
        self.read("reading what was told", |conn| {
            async move {
                let mut told = told_to_targets(conn).await?;
                told.extend(told_to_contacts(conn).await?);
                Ok(told)
            }
            .boxed()
        })
        .await
    }

    async fn alert_forget(&self, target: AlertTargetId, kind: AlertKind, subject: String) -> Result<()> {
        self.write("forgetting an alert", move |tx| {
            async move {
                let sql = "DELETE FROM alerts_told WHERE target = (SELECT id FROM alert_targets WHERE uid = $1) \
                           AND kind = $2 AND subject = $3";
                tx.run(sql, &[&target, &kind, &subject]).await?;
                let sql = "DELETE FROM contacts_told WHERE kind = $2 \
                           AND endpoint = (SELECT id FROM endpoints WHERE uid = $1)";
                tx.run(sql, &[&target, &kind]).await.map(|_| ())
            }
            .boxed()
        })
        .await
    }

    async fn watched_endpoints(&self) -> Result<Vec<WatchedEndpoint>> {
        self.query("looking for endpoints in trouble", |conn| {
            async move { conn.rows(WATCHED, &[]).await?.iter().map(watched).collect() }.boxed()
        })
        .await
    }

    async fn has_contacts(&self) -> Result<bool> {
        self.query("looking for contacts", |conn| {
            async move {
                let sql = "SELECT 1 AS one FROM endpoints WHERE contact IS NOT NULL LIMIT 1";
                Ok(conn.row_opt(sql, &[]).await?.is_some())
            }
            .boxed()
        })
        .await
    }

    async fn exhausted_counts(
        &self,
        endpoints: Vec<EndpointId>,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(EndpointId, u64)>> {
        self.query("counting exhausted deliveries", move |conn| {
            async move {
                let (since, until) = (slot_of(since, MINUTE_MS), slot_of(until, MINUTE_MS));
                let rows = conn.rows(EXHAUSTED, &[&endpoints, &since, &until]).await?;
                rows.iter().map(|row| Ok((row.col("uid")?, row.num("count")?))).collect()
            }
            .boxed()
        })
        .await
    }

    async fn local_failures(&self, cap: u64) -> Result<Option<LocalFailures>> {
        self.read("looking for local failures", move |conn| {
            async move { local_failures(conn, cap).await }.boxed()
        })
        .await
    }
}
