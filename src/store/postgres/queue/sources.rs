//! Sources: their rows. The requests to them are in [`super::inbound`].
//!
//! Deleting marks the row and wipes what is secret: recipes go on reading the summary of a source as long as an event
//! of it is kept.

use std::collections::HashMap;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::inbound::source::{
    EventSource, OldToken, OutcomeCounts, Source, SourceSettings, TokenHash,
};
use crate::domain::{AppId, EventId, SourceId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::{cache, ids};
use crate::store::shared::counts::{HOUR_MS, slot_of};
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::source_text::{json, read_mapping, read_preset};
use crate::store::{Page, PageRequest, SourceUse, SourceWrite, Start};

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT s.uid, a.uid AS app_uid, s.name, s.enabled, s.settings, s.token_hash, s.token, s.old_token_hash, \
             s.old_token_until, s.verify, s.preset, s.created_at, s.updated_at \
             FROM sources s JOIN apps a ON a.id = s.app WHERE s.deleted_at IS NULL AND ",
            $where
        )
    };
}

/// How long hourly counts are of interest.
pub(crate) const COUNTED_HOURS: i64 = 24;

fn source(row: &Row) -> DbResult<Source> {
    let preset: Option<&str> = row.col("preset")?;
    let old_until: Option<Timestamp> = row.col("old_token_until")?;
    let old_token = match (old_until, row.col::<Option<&[u8]>>("old_token_hash")?) {
        (Some(until), Some(_)) => Some(OldToken { hash: TokenHash(row.hash("old_token_hash")?), until }),
        _ => None,
    };
    Ok(Source {
        id: row.col("uid")?,
        app_id: row.col("app_uid")?,
        settings: SourceSettings {
            name: row.col("name")?,
            is_enabled: row.col("enabled")?,
            mapping: read_mapping(row.col("settings")?)?,
        },
        token_hash: TokenHash(row.hash("token_hash")?),
        token: row.col("token")?,
        old_token,
        guard: row.col("verify")?,
        preset: preset.map(read_preset).transpose()?,
        created_at: row.col("created_at")?,
        updated_at: row.col("updated_at")?,
    })
}

async fn is_taken(conn: &Conn, source: &Source) -> DbResult<bool> {
    let sql = "SELECT 1 AS one FROM sources s JOIN apps a ON a.id = s.app \
               WHERE a.uid = $1 AND s.name = $2 AND s.uid <> $3 AND s.deleted_at IS NULL";
    Ok(conn.row_opt(sql, &[&source.app_id, &source.settings.name, &source.id]).await?.is_some())
}

/// Adds a source, if there is room for it and nobody has its name.
pub(crate) async fn insert(conn: &Conn, source: &Source, most: u32) -> DbResult<SourceWrite> {
    let app = cache::app_row(conn, source.app_id).await?.ok_or_else(|| fault("there is no such app"))?;
    let count = "SELECT count(*) AS count FROM sources WHERE app = $1 AND deleted_at IS NULL";
    let there: i64 = conn.row(count, &[&app]).await?.num("count")?;
    if there >= i64::from(most) {
        return Ok(SourceWrite::TooMany);
    }
    if is_taken(conn, source).await? {
        return Ok(SourceWrite::NameTaken);
    }
    let sql = "INSERT INTO sources (uid, app, name, enabled, token_hash, token, verify, settings, preset, \
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let settings = &source.settings;
    let (mapping, preset) = (json(&settings.mapping)?, source.preset.as_ref().map(json).transpose()?);
    let hash = source.token_hash.0.as_slice();
    let values: [&(dyn ToSql + Sync); 11] = [
        &source.id,
        &app,
        &settings.name,
        &settings.is_enabled,
        &hash,
        &source.token,
        &source.guard,
        &mapping,
        &preset,
        &source.created_at,
        &source.updated_at,
    ];
    conn.run(sql, &values).await?;
    Ok(SourceWrite::Written)
}

/// Writes everything that can change about a source, if it is as it was read.
pub(crate) async fn update(
    conn: &Conn,
    source: &Source,
    read_at: Option<Timestamp>,
) -> DbResult<SourceWrite> {
    if is_taken(conn, source).await? {
        return Ok(SourceWrite::NameTaken);
    }
    let sql = "UPDATE sources SET name = $3, enabled = $4, token_hash = $5, token = $6, old_token_hash = $7, \
               old_token_until = $8, verify = $9, settings = $10, preset = $11, updated_at = $12 \
               WHERE uid = $1 AND updated_at = coalesce($2, updated_at) AND deleted_at IS NULL";
    let settings = &source.settings;
    let (mapping, preset) = (json(&settings.mapping)?, source.preset.as_ref().map(json).transpose()?);
    let (hash, old_hash) =
        (source.token_hash.0.as_slice(), source.old_token.as_ref().map(|old| old.hash.0.to_vec()));
    let old_until = source.old_token.as_ref().map(|old| old.until);
    let values: [&(dyn ToSql + Sync); 12] = [
        &source.id,
        &read_at,
        &settings.name,
        &settings.is_enabled,
        &hash,
        &source.token,
        &old_hash,
        &old_until,
        &source.guard,
        &mapping,
        &preset,
        &source.updated_at,
    ];
    let changed = conn.run(sql, &values).await?;
    Ok(if changed == 1 { SourceWrite::Written } else { SourceWrite::Changed })
}

/// Marks a source as deleted, and wipes its secrets.
pub(crate) async fn delete(conn: &Conn, app: AppId, id: SourceId, now: Timestamp) -> DbResult<bool> {
    // No token has a hash of 16 bytes.
    let sql = "UPDATE sources SET deleted_at = $3, updated_at = $3, enabled = false, verify = '', token = '', \
               token_hash = decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), \
               old_token_hash = NULL, old_token_until = NULL \
               WHERE uid = $1 AND app = (SELECT id FROM apps WHERE uid = $2) AND deleted_at IS NULL";
    Ok(conn.run(sql, &[&id, &app, &now]).await? == 1)
}

/// A source of an app that is not deleted.
pub(crate) async fn get(conn: &Conn, app: AppId, id: SourceId) -> DbResult<Option<Source>> {
    let sql = select!("s.uid = $1 AND a.uid = $2");
    conn.row_opt(sql, &[&id, &app]).await?.as_ref().map(source).transpose()
}

/// All sources that are not deleted.
pub(crate) async fn all(conn: &Conn) -> DbResult<Vec<Source>> {
    conn.rows(select!("true ORDER BY s.id"), &[]).await?.iter().map(source).collect()
}

/// The source that an event of an app came by, deleted or not.
pub(crate) async fn of_event(conn: &Conn, app: AppId, event: EventId) -> DbResult<Option<EventSource>> {
    let sql = "SELECT s.uid, s.name, s.deleted_at IS NOT NULL AS deleted, s.settings, v.hops \
               FROM events v JOIN sources s ON s.id = v.source JOIN apps a ON a.id = v.app \
               WHERE v.uid = $1 AND a.uid = $2 AND (v.id >= $3 AND v.id <= $4 OR v.id < $5)";
    let made_at = ids::made_at(event);
    let read = |row: Row| {
        let summary = read_mapping(row.col("settings")?)?.summary;
        let hops = row.opt_num("hops")?.unwrap_or_default();
        let (id, name, is_deleted) = (row.col("uid")?, row.col("name")?, row.col("deleted")?);
        Ok(EventSource { id, name, is_deleted, summary, hops })
    };
    let (first, last) = (ids::first_at(made_at), ids::last_at(made_at));
    let values: [&(dyn ToSql + Sync); 5] = [&event, &app, &first, &last, &ids::TIMELY_FROM];
    conn.row_opt(sql, &values).await?.map(read).transpose()
}

/// The enabled source with this token.
pub(crate) async fn of_token(conn: &Conn, token: TokenHash, now: Timestamp) -> DbResult<Option<Source>> {
    let sql =
        select!("(s.token_hash = $1 OR (s.old_token_hash = $1 AND s.old_token_until > $2)) AND s.enabled");
    conn.row_opt(sql, &[&token.0.as_slice(), &now]).await?.as_ref().map(source).transpose()
}

/// A page of the sources of an app.
pub(crate) async fn list(
    conn: &Conn,
    app: AppId,
    page: &PageRequest<SourceId>,
) -> DbResult<Page<Source, SourceId>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(empty()) };
    let count = "SELECT count(*) AS count FROM sources WHERE app = $1 AND deleted_at IS NULL";
    let counted = conn.row(count, &[&app]).await?.num("count")?;
    let (below, offset) = match &page.start {
        Start::Page(number) => (SourceId::from_uuid(Uuid::max()), skipped(*number, page.per_page)),
        Start::After(id) => (*id, 0),
    };
    let sql = select!("s.app = $1 AND s.uid < $2 ORDER BY s.uid DESC LIMIT $3 OFFSET $4");
    let rows = conn.rows(sql, &[&app, &below, &(i64::from(page.per_page) + 1), &offset]).await?;
    let rows = rows.iter().map(source).collect::<DbResult<Vec<_>>>()?;
    Ok(page_of(rows, page.per_page, total(counted), |source: &Source| source.id))
}

/// How much the sources of an app are used.
pub(crate) async fn uses(conn: &Conn, app: AppId, now: Timestamp) -> DbResult<HashMap<SourceId, SourceUse>> {
    let sql = "SELECT s.uid, s.last_request_at, coalesce(sum(h.accepted), 0)::bigint AS accepted, \
               coalesce(sum(h.duplicate), 0)::bigint AS duplicate, \
               coalesce(sum(h.ignored), 0)::bigint AS ignored, \
               coalesce(sum(h.rejected), 0)::bigint AS rejected \
               FROM sources s JOIN apps a ON a.id = s.app \
               LEFT JOIN inbound_hours h ON h.source = s.id AND h.hour > $2 \
               WHERE a.uid = $1 AND s.deleted_at IS NULL AND s.last_request_at IS NOT NULL GROUP BY s.id";
    let since = slot_of(now, HOUR_MS) - COUNTED_HOURS;
    let read = |row: &Row| {
        let counts = OutcomeCounts {
            accepted: row.num("accepted")?,
            duplicate: row.num("duplicate")?,
            ignored: row.num("ignored")?,
            rejected: row.num("rejected")?,
        };
        Ok((row.col("uid")?, SourceUse { last_request_at: row.col("last_request_at")?, counts }))
    };
    conn.rows(sql, &[&app, &since]).await?.iter().map(read).collect()
}
