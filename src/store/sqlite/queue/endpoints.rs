//! Endpoints.
//!
//! What is many in an endpoint (patterns, headers, waits, retired secrets) stands as text in its row:
//! it is only ever read and written with the endpoint. Deleting marks the row and wipes what is secret,
//! because the log goes on showing name and URL.
//!
//! Every write here makes the writer forget what it knows of endpoints.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use rusqlite::types::{ToSql as _, ToSqlOutput, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::domain::attempts::trouble::Trouble;
use crate::domain::condition::Condition;
use crate::domain::endpoint::{EndpointSettings, EndpointStatus};
use crate::domain::values::fold::fold;
use crate::domain::{Activity, AppId, Endpoint, EndpointId, Sealed, Timestamp};
use crate::store::shared::endpoint_text::read_rate;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::rotation::rotate;
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::{AppRow, EndpointRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::endpoint_columns::{Column, write_rate};
use crate::store::sqlite::queue::trouble;
use crate::store::{
    Changed, EndpointFilter, EndpointPatch, EndpointStore, Page, PageRequest, Result, Rotation, SendNow,
    Start, TOTAL_CAP,
};

/// The columns of an endpoint, each written down once: they have the names of the fields.
macro_rules! columns {
    (settings: $($setting:ident)*, rate: $number:ident $text:ident, endpoint: $($field:ident)*) => {
        /// The columns that [`endpoint`] reads, of `endpoints e` and `apps a`.
        pub(crate) const COLUMNS: &str = concat!(
            "e.uid, a.uid, e.created_at"
            $(, ", e.", stringify!($setting))* $(, ", e.", stringify!($field))*,
            ", e.", stringify!($number), ", e.", stringify!($text)
        );
        /// What of them can change.
        const CHANGING: &[&str] = &[$(stringify!($setting),)* $(stringify!($field),)* stringify!($number), stringify!($text)];

        /// Where in [`COLUMNS`] each of them is.
        #[allow(non_camel_case_types, reason = "the names of the columns")]
        enum At { uid, app, created_at, $($setting,)* $($field,)* $number, $text }

        /// Reads an endpoint from [`COLUMNS`].
        pub(crate) fn endpoint(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
            Ok(Endpoint {
                id: row.get(At::uid as usize)?,
                app_id: row.get(At::app as usize)?,
                created_at: row.get(At::created_at as usize)?,
                settings: EndpointSettings {
                    $($setting: Column::read(row.get_ref(At::$setting as usize)?)?,)*
                    $number: read_rate(row.get(At::$number as usize)?, row.get(At::$text as usize)?)?,
                },
                $($field: Column::read(row.get_ref(At::$field as usize)?)?,)*
            })
        }

        /// The values of [`CHANGING`].
        fn changing(endpoint: &Endpoint) -> rusqlite::Result<Vec<ToSqlOutput<'_>>> {
            let mut values = vec![$(endpoint.settings.$setting.write()?,)* $(endpoint.$field.write()?,)*];
            values.extend(write_rate(endpoint.settings.$number));
            Ok(values)
        }
    };
}

columns! {
    settings: url name description events filter headers request secrets encrypted retry_schedule timeout contact preset,
    rate: rate_limit rate_text,
    endpoint: status status_reason status_since secret retired_secrets consecutive_failures filter_error updated_at
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let (names, marks) = (CHANGING.join(", "), vec!["?"; CHANGING.len()].join(", "));
    format!("INSERT INTO endpoints ({names}, uid, app, created_at) VALUES ({marks}, ?, ?, ?)")
});
static UPDATE: LazyLock<String> =
    LazyLock::new(|| format!("UPDATE endpoints SET {} = ? WHERE uid = ?", CHANGING.join(" = ?, ")));

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

/// The row of an endpoint that is there.
fn by_id(conn: &Connection, id: EndpointId) -> rusqlite::Result<EndpointRow> {
    conn.prepare_cached("SELECT id FROM endpoints WHERE uid = ?1")?.query_row([id], |row| row.get(0))
}

/// Notes when an endpoint is disabled by a person. Gives since when it was, if it is enabled now.
fn change_disabled(
    tx: &Connection,
    row: EndpointRow,
    before: EndpointStatus,
    after: EndpointStatus,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    use EndpointStatus::Disabled;
    if before == Disabled && after != Disabled {
        return tx
            .prepare_cached("SELECT disabled_at FROM endpoints WHERE id = ?1")?
            .query_row([row], |row| row.get(0));
    }
    if before != Disabled && after == Disabled {
        tx.prepare_cached("UPDATE endpoints SET disabled_at = ?2 WHERE id = ?1")?
            .execute(params![row, now])?;
    }
    Ok(None)
}

/// Adds an endpoint.
pub(crate) fn insert(conn: &Connection, endpoint: &Endpoint) -> rusqlite::Result<()> {
    let app = cache::app_row(conn, endpoint.app_id)?.ok_or_else(|| fault("there is no such app"))?;
    let mut values = changing(endpoint)?;
    values.extend([endpoint.id.to_sql()?, app.to_sql()?, endpoint.created_at.to_sql()?]);
    conn.prepare_cached(&INSERT)?.execute(params_from_iter(values))?;
    let row = EndpointRow(conn.last_insert_rowid());
    change_disabled(conn, row, EndpointStatus::Active, endpoint.status, endpoint.created_at).map(|_| ())
}

/// Writes everything that can change about an endpoint.
pub(crate) fn put(conn: &Connection, endpoint: &Endpoint) -> rusqlite::Result<()> {
    let mut values = changing(endpoint)?;
    values.push(endpoint.id.to_sql()?);
    conn.prepare_cached(&UPDATE)?.execute(params_from_iter(values)).map(|_| ())
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
    ) -> Result<Option<Changed>> {
        self.write("changing an endpoint", move |tx| {
            let Some(mut endpoint) = get(tx, app, id)? else { return Ok(None) };
            let (before, url) = (endpoint.status, endpoint.settings.url.clone());
            let filter = endpoint.settings.filter.clone();
            let is_enabled = patch.status == Some(EndpointStatus::Active);
            patch.apply(&mut endpoint, now);
            if endpoint.settings.filter != filter {
                endpoint.filter_error = None;
            }
            tx.cache.endpoints_changed();
            put(tx, &endpoint)?;
            let row = by_id(tx, id)?;
            if is_enabled || endpoint.settings.url != url {
                trouble::forget(tx, row, now)?;
            }
            let disabled_since = change_disabled(tx, row, before, endpoint.status, now)?;
            activity::append(tx, &activity)?;
            Ok(Some(Changed { endpoint, disabled_since }))
        })
        .await
    }

    async fn endpoint_conditions(
        &self,
        app: AppId,
        ids: Vec<EndpointId>,
    ) -> Result<HashMap<EndpointId, Condition>> {
        self.read("reading how endpoints stand", move |conn| {
            let Some(app) = cache::app_row(conn, app)? else { return Ok(HashMap::new()) };
            let mut found = HashMap::with_capacity(ids.len());
            for id in ids {
                if let Some(row) = row_of(conn, app, id)? {
                    found.insert(id, trouble::condition(conn, row)?);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn endpoint_send_now(
        &self,
        app: AppId,
        id: EndpointId,
        limit: u32,
        now: Timestamp,
        activity: Option<Activity>,
    ) -> Result<SendNow> {
        self.write("sending pending deliveries now", move |tx| {
            let Some(endpoint) = get(tx, app, id)? else { return Ok(SendNow::NotFound) };
            if endpoint.status != EndpointStatus::Active {
                return Ok(SendNow::NotActive(endpoint.status));
            }
            let row = by_id(tx, id)?;
            let condition = trouble::condition(tx, row)?;
            if let Some(activity) = &activity {
                let trouble = Trouble { hold: condition.trouble.hold.probe_now(now), ..condition.trouble };
                if trouble != condition.trouble {
                    trouble::write(tx, row, &trouble)?;
                }
                activity::append(tx, activity)?;
            }
            let later = trouble::due_later(tx, row, now, limit)?;
            for id in &later {
                trouble::make_due(tx, *id, now)?;
            }
            Ok(SendNow::Due { waiting: condition.waiting, more: later.len() == limit as usize })
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
                 retired_secrets = '[]', headers = '[]', secrets = NULL, contact = NULL \
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
            if let Err(oldest_until) = rotate(&mut endpoint, secret, retire_at, end_oldest, now) {
                return Ok(Rotation::TooMany { oldest_until });
            }
            tx.cache.endpoints_changed();
            put(tx, &endpoint)?;
            activity::append(tx, &activity)?;
            Ok(Rotation::Rotated(Box::new(endpoint)))
        })
        .await
    }
}

/// Adds the conditions of a filter on `endpoints e`, except health, which is no column.
pub(crate) fn restrict(filter: &EndpointFilter, sql: &mut String, values: &mut Vec<Value>) {
    if let Some(status) = filter.status {
        sql.push_str(" AND e.status = ?");
        values.push(Value::Text(status.as_str().to_owned()));
    }
    if let Some(q) = &filter.q {
        sql.push_str(" AND (text_contains(e.name, ?) OR text_contains(e.url, ?))");
        let q = Value::Text(fold(q));
        values.extend([q.clone(), q]);
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
    restrict(filter, &mut wanted, &mut values);
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
