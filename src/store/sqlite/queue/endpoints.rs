//! Endpoints.
//!
//! What is many in an endpoint (patterns, headers, waits, retired secrets) stands as text in its row:
//! it is only ever read and written with the endpoint. Deleting marks the row and wipes what is secret,
//! because the log goes on showing name and URL.
//!
//! Every write here makes the writer forget what it knows of endpoints.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::domain::endpoint::{EndpointSettings, RetiredSecret, SIGNING_SECRETS_MAX};
use crate::domain::values::fold::fold;
use crate::domain::{Activity, AppId, Endpoint, EndpointId, EndpointStatus, Sealed, Span, Timestamp};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::paging::{empty, page_of, skipped, total};
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow, read_patterns, read_span};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::endpoint_text::{
    read_headers, read_retired, read_schedule, write_headers, write_patterns, write_retired, write_schedule,
};
use crate::store::{
    EndpointFilter, EndpointPatch, EndpointStore, Page, PageRequest, Result, Rotation, Start, TOTAL_CAP,
};

/// The columns that [`endpoint`] reads, of `endpoints e` and `apps a`.
pub(crate) const COLUMNS: &str = "e.uid, a.uid, e.url, e.name, e.description, e.events, e.headers, \
     e.encrypted, e.retry_schedule, e.timeout, e.rate_limit, e.status, e.status_reason, e.secret, \
     e.retired_secrets, e.consecutive_failures, e.created_at, e.updated_at";

/// Reads an endpoint from [`COLUMNS`].
pub(crate) fn endpoint(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let events: String = row.get(5)?;
    let headers: String = row.get(6)?;
    let waits: Option<String> = row.get(8)?;
    let timeout: Option<String> = row.get(9)?;
    let retired: String = row.get(14)?;
    Ok(Endpoint {
        id: row.get(0)?,
        app_id: row.get(1)?,
        settings: EndpointSettings {
            url: row.get(2)?,
            name: row.get(3)?,
            description: row.get(4)?,
            events: read_patterns(&events)?,
            headers: read_headers(&headers)?,
            encrypted: row.get(7)?,
            retry_schedule: waits.as_deref().map(read_schedule).transpose()?,
            timeout: timeout.as_deref().map(read_span).transpose()?,
            rate_limit: row.get(10)?,
        },
        status: row.get(11)?,
        status_reason: row.get(12)?,
        secret: row.get(13)?,
        retired_secrets: read_retired(&retired)?,
        consecutive_failures: row.get(15)?,
        created_at: row.get(16)?,
        updated_at: row.get(17)?,
    })
}

/// An endpoint of an app that is not deleted.
fn get(conn: &Connection, app: AppId, id: EndpointId) -> rusqlite::Result<Option<Endpoint>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app \
         WHERE e.uid = ?1 AND a.uid = ?2 AND e.deleted_at IS NULL"
    );
    conn.prepare_cached(&sql)?.query_row(params![id, app], endpoint).optional()
}

/// An endpoint by its row.
pub(crate) fn by_row(conn: &Connection, row: EndpointRow) -> rusqlite::Result<Endpoint> {
    let sql = format!("SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.id = ?1");
    conn.prepare_cached(&sql)?.query_row([row], endpoint)
}

/// The row of an endpoint of an app, deleted or not.
pub(crate) fn row_of(
    conn: &Connection,
    app: AppRow,
    id: EndpointId,
) -> rusqlite::Result<Option<EndpointRow>> {
    conn.prepare_cached("SELECT id FROM endpoints WHERE uid = ?1 AND app = ?2")?
        .query_row(params![id, app], |row| row.get(0))
        .optional()
}

/// Adds an endpoint.
pub(crate) fn insert(conn: &Connection, endpoint: &Endpoint) -> rusqlite::Result<()> {
    let app = cache::app_row(conn, endpoint.app_id)?.ok_or_else(|| fault("there is no such app"))?;
    conn.prepare_cached(
        "INSERT INTO endpoints (uid, app, status, consecutive_failures, url, name, events, headers, \
         encrypted, secret, retired_secrets, created_at, updated_at) \
         VALUES (?1, ?2, 'active', 0, '', '', '', '', 0, x'', '', ?3, 0)",
    )?
    .execute(params![endpoint.id, app, endpoint.created_at])?;
    put(conn, endpoint)
}

/// Writes everything that can change about an endpoint.
pub(crate) fn put(conn: &Connection, e: &Endpoint) -> rusqlite::Result<()> {
    let s = &e.settings;
    conn.prepare_cached(
        "UPDATE endpoints SET url = ?2, name = ?3, description = ?4, events = ?5, headers = ?6, \
         encrypted = ?7, retry_schedule = ?8, timeout = ?9, rate_limit = ?10, status = ?11, \
         status_reason = ?12, secret = ?13, retired_secrets = ?14, consecutive_failures = ?15, \
         updated_at = ?16 WHERE uid = ?1",
    )?
    .execute(params![
        e.id,
        s.url,
        s.name,
        s.description,
        write_patterns(&s.events),
        write_headers(&s.headers),
        s.encrypted,
        s.retry_schedule.as_ref().map(write_schedule),
        s.timeout.as_ref().map(Span::to_string),
        s.rate_limit,
        e.status,
        e.status_reason,
        e.secret,
        write_retired(&e.retired_secrets),
        e.consecutive_failures,
        e.updated_at
    ])
    .map(|_| ())
}

fn change(endpoint: &mut Endpoint, patch: EndpointPatch, now: Timestamp) {
    fn set<T>(field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
        }
    }
    let settings = &mut endpoint.settings;
    set(&mut settings.url, patch.url);
    set(&mut settings.name, patch.name);
    set(&mut settings.description, patch.description);
    set(&mut settings.events, patch.events);
    set(&mut settings.headers, patch.headers);
    set(&mut settings.encrypted, patch.encrypted);
    set(&mut settings.retry_schedule, patch.retry_schedule);
    set(&mut settings.timeout, patch.timeout);
    set(&mut settings.rate_limit, patch.rate_limit);
    if let Some(status) = patch.status {
        endpoint.status = status;
        endpoint.status_reason = None;
        if status == EndpointStatus::Active {
            endpoint.consecutive_failures = 0;
        }
    }
    endpoint.updated_at = now;
}

#[async_trait]
impl EndpointStore for SqliteStore {
    async fn endpoint_insert(&self, endpoint: Endpoint, most: u32, activity: Activity) -> Result<bool> {
        self.write("creating an endpoint", move |tx| {
            let app = tx.app(endpoint.app_id)?;
            let count: u32 = tx
                .prepare_cached("SELECT count(*) FROM endpoints WHERE app = ?1 AND deleted_at IS NULL")?
                .query_row([app], |row| row.get(0))?;
            if count >= most {
                return Ok(false);
            }
            tx.cache.endpoints_changed();
            insert(tx, &endpoint)?;
            activity::append(tx, &activity)?;
            Ok(true)
        })
        .await
    }

    async fn endpoint_get(&self, app: AppId, id: EndpointId) -> Result<Option<Endpoint>> {
        self.read("reading an endpoint", move |conn| get(conn, app, id)).await
    }

    async fn endpoint_list(
        &self,
        app: AppId,
        filter: EndpointFilter,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint, EndpointId>> {
        self.read("listing endpoints", move |conn| list(conn, app, &filter, &page)).await
    }

    async fn endpoint_update(
        &self,
        app: AppId,
        id: EndpointId,
        patch: EndpointPatch,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Option<Endpoint>> {
        self.write("changing an endpoint", move |tx| {
            let Some(mut endpoint) = get(tx, app, id)? else { return Ok(None) };
            change(&mut endpoint, patch, now);
            tx.cache.endpoints_changed();
            put(tx, &endpoint)?;
            activity::append(tx, &activity)?;
            Ok(Some(endpoint))
        })
        .await
    }

    async fn endpoint_delete(
        &self,
        app: AppId,
        id: EndpointId,
        now: Timestamp,
        activity: Activity,
    ) -> Result<bool> {
        self.write("deleting an endpoint", move |tx| {
            tx.cache.endpoints_changed();
            let deleted = tx.execute(
                "UPDATE endpoints SET deleted_at = ?3, updated_at = ?3, secret = x'', \
                 retired_secrets = '[]', headers = '[]' \
                 WHERE uid = ?1 AND app = (SELECT id FROM apps WHERE uid = ?2) AND deleted_at IS NULL",
                params![id, app, now],
            )? == 1;
            if deleted {
                activity::append(tx, &activity)?;
            }
            Ok(deleted)
        })
        .await
    }

    async fn endpoint_rotate(
        &self,
        app: AppId,
        id: EndpointId,
        secret: Sealed,
        retire_at: Option<Timestamp>,
        end_oldest: bool,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Rotation> {
        self.write("rotating a secret", move |tx| {
            let Some(mut endpoint) = get(tx, app, id)? else { return Ok(Rotation::NotFound) };
            let old = std::mem::replace(&mut endpoint.secret, secret);
            let retired = &mut endpoint.retired_secrets;
            match retire_at {
                None => retired.clear(),
                Some(valid_until) => {
                    retired.retain(|retired| retired.valid_until > now);
                    let room = SIGNING_SECRETS_MAX - 2;
                    match retired.get(room..).and_then(<[_]>::last) {
                        Some(oldest) if !end_oldest => {
                            return Ok(Rotation::TooMany { oldest_until: oldest.valid_until });
                        }
                        _ => retired.truncate(room),
                    }
                    retired.insert(0, RetiredSecret { secret: old, valid_until });
                }
            }
            endpoint.updated_at = now;
            tx.cache.endpoints_changed();
            put(tx, &endpoint)?;
            activity::append(tx, &activity)?;
            Ok(Rotation::Rotated(Box::new(endpoint)))
        })
        .await
    }
}

fn list(
    conn: &Connection,
    app: AppId,
    filter: &EndpointFilter,
    page: &PageRequest<EndpointId>,
) -> rusqlite::Result<Page<Endpoint, EndpointId>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let mut wanted = "e.app = ? AND e.deleted_at IS NULL".to_owned();
    let mut values = vec![Value::Integer(app.0)];
    if let Some(status) = filter.status {
        wanted.push_str(" AND e.status = ?");
        values.push(Value::Text(status.as_str().to_owned()));
    }
    if let Some(q) = &filter.q {
        wanted.push_str(" AND (text_contains(e.name, ?) OR text_contains(e.url, ?))");
        let q = Value::Text(fold(q));
        values.extend([q.clone(), q]);
    }
    let count =
        format!("SELECT count(*) FROM (SELECT 1 FROM endpoints e WHERE {wanted} LIMIT {})", TOTAL_CAP + 1);
    let total = conn.prepare_cached(&count)?.query_row(params_from_iter(&values), |row| {
        crate::store::sqlite::engine::rows::count(row, 0).map(total)
    })?;

    let mut offset = 0;
    match &page.start {
        Start::Page(number) => offset = skipped(*number, page.per_page),
        Start::After(id) => {
            wanted.push_str(" AND e.uid < ?");
            values.push(Value::Blob(id.as_uuid().into_bytes().to_vec()));
        }
    }
    values.extend([Value::Integer(i64::from(page.per_page) + 1), Value::Integer(offset)]);
    let sql = format!(
        "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE {wanted} \
         ORDER BY e.uid DESC LIMIT ? OFFSET ?"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), endpoint)?.collect::<rusqlite::Result<_>>()?;
    Ok(page_of(rows, page.per_page, total, |e: &Endpoint| e.id))
}
