//! Sources: their rows. The requests to them are in [`super::inbound`].
//!
//! Deleting marks the row and wipes what is secret: recipes go on reading the summary of a source as long as an event
//! of it is kept.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::domain::inbound::source::{
    EventSource, OldToken, OutcomeCounts, Source, SourceSettings, TokenHash,
};
use crate::domain::{AppId, EventId, SourceId, Timestamp};
use crate::store::shared::counts::{HOUR_MS, slot_of};
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::source_text::{json, read_mapping, read_preset};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{EventRow, count};
use crate::store::{Page, PageRequest, SourceUse, SourceWrite, Start};

/// The columns that [`source`] reads, of `sources s` and `apps a`.
const COLUMNS: &str = "s.uid AS uid, a.uid AS app_uid, s.name AS name, s.enabled AS enabled, s.settings AS settings, \
     s.token_hash AS token_hash, s.token AS token, s.old_token_hash AS old_token_hash, \
     s.old_token_until AS old_token_until, s.verify AS verify, s.preset AS preset, s.created_at AS created_at, \
     s.updated_at AS updated_at";
/// How long hourly counts are of interest.
pub(crate) const COUNTED_HOURS: i64 = 24;

fn source(row: &Row<'_>) -> rusqlite::Result<Source> {
    let (settings, preset): (String, Option<String>) = (row.get("settings")?, row.get("preset")?);
    let old_hash: Option<[u8; 32]> = row.get("old_token_hash")?;
    let old_until: Option<Timestamp> = row.get("old_token_until")?;
    Ok(Source {
        id: row.get("uid")?,
        app_id: row.get("app_uid")?,
        settings: SourceSettings {
            name: row.get("name")?,
            is_enabled: row.get("enabled")?,
            mapping: read_mapping(&settings)?,
        },
        token_hash: TokenHash(row.get("token_hash")?),
        token: row.get("token")?,
        old_token: old_hash.zip(old_until).map(|(hash, until)| OldToken { hash: TokenHash(hash), until }),
        guard: row.get("verify")?,
        preset: preset.as_deref().map(read_preset).transpose()?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn is_taken(conn: &Connection, source: &Source) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sources s JOIN apps a ON a.id = s.app \
               WHERE a.uid = ?1 AND s.name = ?2 AND s.uid <> ?3 AND s.deleted_at IS NULL)";
    conn.prepare_cached(sql)?
        .query_row(params![source.app_id, source.settings.name, source.id], |row| row.get(0))
}

/// Adds a source, if there is room for it and nobody has its name.
pub(crate) fn insert(conn: &Connection, source: &Source, most: u32) -> rusqlite::Result<SourceWrite> {
    let app = cache::app_row(conn, source.app_id)?.ok_or_else(|| fault("there is no such app"))?;
    let there: u32 = conn
        .prepare_cached("SELECT count(*) FROM sources WHERE app = ?1 AND deleted_at IS NULL")?
        .query_row([app], |row| row.get(0))?;
    if there >= most {
        return Ok(SourceWrite::TooMany);
    }
    if is_taken(conn, source)? {
        return Ok(SourceWrite::NameTaken);
    }
    let sql = "INSERT INTO sources (uid, app, name, enabled, token_hash, token, verify, settings, preset, \
               created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let settings = &source.settings;
    conn.prepare_cached(sql)?.execute(params![
        source.id,
        app,
        settings.name,
        settings.is_enabled,
        source.token_hash.0,
        source.token,
        source.guard,
        json(&settings.mapping)?,
        source.preset.as_ref().map(json).transpose()?,
        source.created_at,
        source.updated_at
    ])?;
    Ok(SourceWrite::Written)
}

/// Writes everything that can change about a source, if it is as it was read.
pub(crate) fn update(
    conn: &Connection,
    source: &Source,
    read_at: Option<Timestamp>,
) -> rusqlite::Result<SourceWrite> {
    if is_taken(conn, source)? {
        return Ok(SourceWrite::NameTaken);
    }
    let sql = "UPDATE sources SET name = ?3, enabled = ?4, token_hash = ?5, token = ?6, old_token_hash = ?7, \
               old_token_until = ?8, verify = ?9, settings = ?10, preset = ?11, updated_at = ?12 \
               WHERE uid = ?1 AND updated_at = coalesce(?2, updated_at) AND deleted_at IS NULL";
    let settings = &source.settings;
    let changed = conn.prepare_cached(sql)?.execute(params![
        source.id,
        read_at,
        settings.name,
        settings.is_enabled,
        source.token_hash.0,
        source.token,
        source.old_token.map(|old| old.hash.0),
        source.old_token.map(|old| old.until),
        source.guard,
        json(&settings.mapping)?,
        source.preset.as_ref().map(json).transpose()?,
        source.updated_at
    ])?;
    Ok(if changed == 1 { SourceWrite::Written } else { SourceWrite::Changed })
}

/// Marks a source as deleted, and wipes its secrets.
pub(crate) fn delete(conn: &Connection, app: AppId, id: SourceId, now: Timestamp) -> rusqlite::Result<bool> {
    let deleted = conn.execute(
        "UPDATE sources SET deleted_at = ?3, updated_at = ?3, enabled = 0, verify = x'', token = x'', \
         token_hash = randomblob(32), old_token_hash = NULL, old_token_until = NULL \
         WHERE uid = ?1 AND app = (SELECT id FROM apps WHERE uid = ?2) AND deleted_at IS NULL",
        params![id, app, now],
    )?;
    Ok(deleted == 1)
}

/// A source of an app that is not deleted.
pub(crate) fn get(conn: &Connection, app: AppId, id: SourceId) -> rusqlite::Result<Option<Source>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sources s JOIN apps a ON a.id = s.app \
         WHERE s.uid = ?1 AND a.uid = ?2 AND s.deleted_at IS NULL"
    );
    conn.prepare_cached(&sql)?.query_row(params![id, app], source).optional()
}

/// All sources that are not deleted.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<Source>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sources s JOIN apps a ON a.id = s.app WHERE s.deleted_at IS NULL ORDER BY s.id"
    );
    conn.prepare_cached(&sql)?.query_map([], source)?.collect()
}

/// The source that an event came by, deleted or not.
pub(crate) fn of_event(conn: &Connection, event: EventRow) -> rusqlite::Result<Option<EventSource>> {
    conn.prepare_cached(
        "SELECT s.uid AS id, s.name AS name, s.deleted_at IS NOT NULL AS is_deleted, s.settings AS settings, \
         x.hops AS hops FROM event_extras x CROSS JOIN sources s ON s.id = x.source WHERE x.event = ?1",
    )?
    .query_row([event], |row| {
        let settings: String = row.get("settings")?;
        let hops: Option<u32> = row.get("hops")?;
        Ok(EventSource {
            id: row.get("id")?,
            name: row.get("name")?,
            is_deleted: row.get("is_deleted")?,
            summary: read_mapping(&settings)?.summary,
            hops: hops.unwrap_or_default(),
        })
    })
    .optional()
}

/// The same, by the app and the id of the event.
pub(crate) fn of_event_id(
    conn: &Connection,
    app: AppId,
    event: EventId,
) -> rusqlite::Result<Option<EventSource>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    let row: Option<EventRow> = conn
        .prepare_cached("SELECT id FROM events WHERE uid = ?1 AND app = ?2")?
        .query_row(params![event, app], |row| row.get("id"))
        .optional()?;
    row.map_or(Ok(None), |row| of_event(conn, row))
}

/// The enabled source with this token.
pub(crate) fn of_token(
    conn: &Connection,
    token: TokenHash,
    now: Timestamp,
) -> rusqlite::Result<Option<Source>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM sources s JOIN apps a ON a.id = s.app \
         WHERE (s.token_hash = ?1 OR (s.old_token_hash = ?1 AND s.old_token_until > ?2)) \
         AND s.enabled AND s.deleted_at IS NULL"
    );
    conn.prepare_cached(&sql)?.query_row(params![token.0, now], source).optional()
}

/// A page of the sources of an app.
pub(crate) fn list(
    conn: &Connection,
    app: AppId,
    page: &PageRequest<SourceId>,
) -> rusqlite::Result<Page<Source, SourceId>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let counted = conn
        .prepare_cached("SELECT count(*) FROM sources WHERE app = ?1 AND deleted_at IS NULL")?
        .query_row([app], |row| count(row, 0))?;
    let (below, offset) = match &page.start {
        Start::Page(number) => (vec![0xff; 16], skipped(*number, page.per_page)),
        Start::After(id) => (id.as_uuid().into_bytes().to_vec(), 0),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM sources s JOIN apps a ON a.id = s.app \
         WHERE s.app = ?1 AND s.deleted_at IS NULL AND s.uid < ?2 ORDER BY s.uid DESC LIMIT ?3 OFFSET ?4"
    );
    let rows = conn
        .prepare_cached(&sql)?
        .query_map(params![app, below, i64::from(page.per_page) + 1, offset], source)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(page_of(rows, page.per_page, total(counted), |source: &Source| source.id))
}

/// How much the sources of an app are used.
pub(crate) fn uses(
    conn: &Connection,
    app: AppId,
    now: Timestamp,
) -> rusqlite::Result<HashMap<SourceId, SourceUse>> {
    let sql = "SELECT s.uid AS uid, s.last_request_at AS last_request_at, coalesce(sum(h.accepted), 0) AS accepted, \
               coalesce(sum(h.duplicate), 0) AS duplicate, coalesce(sum(h.ignored), 0) AS ignored, \
               coalesce(sum(h.rejected), 0) AS rejected \
               FROM sources s JOIN apps a ON a.id = s.app \
               LEFT JOIN inbound_hours h ON h.source = s.id AND h.hour > ?2 \
               WHERE a.uid = ?1 AND s.deleted_at IS NULL AND s.last_request_at IS NOT NULL GROUP BY s.id";
    let since = slot_of(now, HOUR_MS) - COUNTED_HOURS;
    let read = |row: &Row<'_>| {
        let counts = OutcomeCounts {
            accepted: count(row, "accepted")?,
            duplicate: count(row, "duplicate")?,
            ignored: count(row, "ignored")?,
            rejected: count(row, "rejected")?,
        };
        Ok((row.get("uid")?, SourceUse { last_request_at: row.get("last_request_at")?, counts }))
    };
    conn.prepare_cached(sql)?.query_map(params![app, since], read)?.collect()
}
