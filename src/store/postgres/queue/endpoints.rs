//! Endpoints.
//!
//! What is many in an endpoint (patterns, headers, waits, retired secrets) stands as text in its row:
//! it is only ever read and written with the endpoint. Deleting marks the row and wipes what is secret,
//! because the log goes on showing name and URL.
//!
//! Every write here makes the writers of all nodes forget what they know of endpoints. Who changes an endpoint locks
//! its row first: the ends of its attempts change it, too.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::attempts::trouble::Trouble;
use crate::domain::condition::Condition;
use crate::domain::endpoint::{EndpointSettings, EndpointStatus};
use crate::domain::values::fold::fold;
use crate::domain::{Activity, AppId, Endpoint, EndpointId, Sealed, Shard, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::rows::{AppRow, Columns as _, EndpointRow, opt_num};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::postgres::queue::endpoint_columns::{Column, Value};
use crate::store::postgres::queue::trouble;
use crate::store::shared::endpoint_text::{read_rate, write_rate};
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::rotation::rotate;
use crate::store::{
    Changed, EndpointFilter, EndpointPatch, EndpointStore, Page, PageRequest, Result, Rotation, SendNow,
    Start, TOTAL_CAP,
};

/// The columns of an endpoint, each written down once: they have the names of the fields.
macro_rules! columns {
    (settings: $($setting:ident)*, rate: $number:ident $text:ident, endpoint: $($field:ident)*) => {
        /// The columns that [`endpoint`] reads, of `endpoints e` and `apps a`.
        pub(crate) const COLUMNS: &str = concat!(
            "e.uid, a.uid AS app_uid, e.created_at"
            $(, ", e.", stringify!($setting))* $(, ", e.", stringify!($field))*,
            ", e.", stringify!($number), ", e.", stringify!($text)
        );
        /// What of them can change.
        const CHANGING: &[&str] = &[$(stringify!($setting),)* $(stringify!($field),)* stringify!($number), stringify!($text)];

        /// Reads an endpoint from [`COLUMNS`].
        pub(crate) fn endpoint(row: &Row) -> DbResult<Endpoint> {
            Ok(Endpoint {
                id: row.col("uid")?,
                app_id: row.col("app_uid")?,
                created_at: row.col("created_at")?,
                settings: EndpointSettings {
                    $($setting: Column::read(row, stringify!($setting))?,)*
                    $number: read_rate(row.opt_num(stringify!($number))?, row.col(stringify!($text))?)?,
                },
                $($field: Column::read(row, stringify!($field))?,)*
            })
        }

        /// The values of [`CHANGING`].
        fn changing(endpoint: &Endpoint) -> Vec<Value> {
            let (number, text) = write_rate(endpoint.settings.$number);
            vec![
                $(endpoint.settings.$setting.write(),)* $(endpoint.$field.write(),)*
                Box::new(opt_num(number)), Box::new(text)
            ]
        }
    };
}

columns! {
    settings: url name description events filter headers request secrets encrypted retry_schedule timeout contact preset,
    rate: rate_limit rate_text,
    endpoint: status status_reason status_since secret retired_secrets consecutive_failures filter_error updated_at
}

/// `$from, $from + 1` and so on, for each of [`CHANGING`].
fn marks(from: usize) -> Vec<String> {
    (from..from + CHANGING.len()).map(|at| format!("${at}")).collect()
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let (names, marks) = (CHANGING.join(", "), marks(6).join(", "));
    format!(
        "INSERT INTO endpoints (uid, app, created_at, shard, disabled_at, {names}) VALUES ($1, $2, $3, $4, $5, {marks})"
    )
});
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let changes: Vec<String> =
        CHANGING.iter().zip(marks(2)).map(|(name, mark)| format!("{name} = {mark}")).collect();
    format!("UPDATE endpoints SET {} WHERE uid = $1", changes.join(", "))
});
static GET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app \
         WHERE e.uid = $1 AND a.uid = $2 AND e.deleted_at IS NULL"
    )
});
static GET_LOCKED: LazyLock<String> = LazyLock::new(|| format!("{} FOR NO KEY UPDATE OF e", *GET));
static BY_ROWS: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT e.id, {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.id = ANY($1)")
});
static ALL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.deleted_at IS NULL ORDER BY e.id"
    )
});
static LIST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS} FROM endpoints e JOIN apps a ON a.id = e.app WHERE e.app = $1 AND e.deleted_at IS NULL \
         AND ($2::text IS NULL OR e.status = $2) AND ($3::uuid IS NULL OR e.uid < $3) \
         ORDER BY e.uid DESC LIMIT $4 OFFSET $5"
    )
});

/// An endpoint of an app that is not deleted.
async fn get(conn: &Conn, app: AppId, id: EndpointId) -> DbResult<Option<Endpoint>> {
    conn.row_opt(&GET, &[&id, &app]).await?.as_ref().map(endpoint).transpose()
}

/// The same, when it is to be changed: nobody else changes it until the transaction ends.
async fn get_locked(conn: &Conn, app: AppId, id: EndpointId) -> DbResult<Option<Endpoint>> {
    conn.row_opt(&GET_LOCKED, &[&id, &app]).await?.as_ref().map(endpoint).transpose()
}

/// Endpoints by their rows.
pub(crate) async fn by_rows(conn: &Conn, rows: &[EndpointRow]) -> DbResult<HashMap<EndpointRow, Endpoint>> {
    let mut found = HashMap::with_capacity(rows.len());
    for row in conn.rows(&BY_ROWS, &[&rows]).await? {
        found.insert(row.col("id")?, endpoint(&row)?);
    }
    Ok(found)
}

/// An endpoint by its row.
pub(crate) async fn by_row(conn: &Conn, row: EndpointRow) -> DbResult<Endpoint> {
    by_rows(conn, &[row]).await?.remove(&row).ok_or_else(|| fault("there is no such endpoint"))
}

/// All endpoints that are not deleted.
pub(crate) async fn all(conn: &Conn) -> DbResult<Vec<Endpoint>> {
    conn.rows(&ALL, &[]).await?.iter().map(endpoint).collect()
}

/// The row of an endpoint of an app, deleted or not.
pub(crate) async fn row_of(conn: &Conn, app: AppRow, id: EndpointId) -> DbResult<Option<EndpointRow>> {
    let found = conn.row_opt("SELECT id FROM endpoints WHERE uid = $1 AND app = $2", &[&id, &app]).await?;
    found.map(|row| row.col("id")).transpose()
}

/// The row of an endpoint that is there.
async fn by_id(conn: &Conn, id: EndpointId) -> DbResult<EndpointRow> {
    conn.row("SELECT id FROM endpoints WHERE uid = $1", &[&id]).await?.col("id")
}

/// Notes when an endpoint is disabled by a person. Gives since when it was, if it is enabled now.
async fn change_disabled(
    conn: &Conn,
    row: EndpointRow,
    before: EndpointStatus,
    after: EndpointStatus,
    now: Timestamp,
) -> DbResult<Option<Timestamp>> {
    use EndpointStatus::Disabled;
    if before == Disabled && after != Disabled {
        return conn
            .row("SELECT disabled_at FROM endpoints WHERE id = $1", &[&row])
            .await?
            .col("disabled_at");
    }
    if before != Disabled && after == Disabled {
        conn.run("UPDATE endpoints SET disabled_at = $2 WHERE id = $1", &[&row, &now]).await?;
    }
    Ok(None)
}

/// Adds an endpoint.
pub(crate) async fn insert(conn: &Conn, endpoint: &Endpoint) -> DbResult<()> {
    let app = cache::app_row(conn, endpoint.app_id).await?.ok_or_else(|| fault("there is no such app"))?;
    let shard = i16::from(Shard::of(endpoint.id).0);
    let disabled_at = (endpoint.status == EndpointStatus::Disabled).then_some(endpoint.created_at);
    let own: [&(dyn ToSql + Sync); 5] = [&endpoint.id, &app, &endpoint.created_at, &shard, &disabled_at];
    let changing = changing(endpoint);
    let mut values: Vec<&(dyn ToSql + Sync)> = own.to_vec();
    values.extend(changing.iter().map(|value| &**value as &(dyn ToSql + Sync)));
    conn.run(&INSERT, &values).await.map(|_| ())
}

/// Writes everything that can change about an endpoint.
pub(crate) async fn put(conn: &Conn, endpoint: &Endpoint) -> DbResult<()> {
    let changing = changing(endpoint);
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&endpoint.id];
    values.extend(changing.iter().map(|value| &**value as &(dyn ToSql + Sync)));
    conn.run(&UPDATE, &values).await.map(|_| ())
}

/// The endpoints of an app that a filter means, newest first; health is not looked at.
pub(crate) async fn found(
    conn: &Conn,
    app: AppRow,
    filter: &EndpointFilter,
) -> DbResult<Vec<(EndpointRow, EndpointId)>> {
    let sql = "SELECT id, uid, name, url FROM endpoints WHERE app = $1 AND deleted_at IS NULL \
               AND ($2::text IS NULL OR status = $2) ORDER BY uid DESC";
    let q = filter.q.as_deref().map(fold);
    let mut found = Vec::new();
    for row in conn.rows(sql, &[&app, &filter.status]).await? {
        let (name, url): (&str, &str) = (row.col("name")?, row.col("url")?);
        if q.as_ref().is_none_or(|q| fold(name).contains(q.as_str()) || fold(url).contains(q.as_str())) {
            found.push((row.col("id")?, row.col("uid")?));
        }
    }
    Ok(found)
}

async fn list(
    conn: &Conn,
    app: AppId,
    filter: &EndpointFilter,
    page: &PageRequest<EndpointId>,
) -> DbResult<Page<Endpoint, EndpointId>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(empty()) };
    if filter.q.is_some() {
        return search(conn, app, filter, page).await;
    }
    let count = "SELECT count(*) AS count FROM (SELECT 1 FROM endpoints e WHERE e.app = $1 \
                 AND e.deleted_at IS NULL AND ($2::text IS NULL OR e.status = $2) LIMIT $3) AS found";
    let most = TOTAL_CAP as i64 + 1;
    let counted = conn.row(count, &[&app, &filter.status, &most]).await?.num("count")?;
    let (below, offset) = match &page.start {
        Start::Page(number) => (None, skipped(*number, page.per_page)),
        Start::After(id) => (Some(*id), 0),
    };
    let limit = i64::from(page.per_page) + 1;
    let values: [&(dyn ToSql + Sync); 5] = [&app, &filter.status, &below, &limit, &offset];
    let rows = conn.rows(&LIST, &values).await?.iter().map(endpoint).collect::<DbResult<Vec<_>>>()?;
    Ok(page_of(rows, page.per_page, total(counted), |e: &Endpoint| e.id))
}

/// A page of the endpoints whose names or URLs contain a text.
async fn search(
    conn: &Conn,
    app: AppRow,
    filter: &EndpointFilter,
    page: &PageRequest<EndpointId>,
) -> DbResult<Page<Endpoint, EndpointId>> {
    let all = found(conn, app, filter).await?;
    let counted = total(all.len() as u64);
    let from = match &page.start {
        Start::Page(number) => usize::try_from(skipped(*number, page.per_page)).unwrap_or(usize::MAX),
        Start::After(after) => all.partition_point(|(_, id)| id >= after),
    };
    let page_rows: Vec<(EndpointRow, EndpointId)> =
        all.into_iter().skip(from).take(page.per_page as usize + 1).collect();
    let rows: Vec<EndpointRow> = page_rows.iter().map(|(row, _)| *row).collect();
    let mut read = by_rows(conn, &rows).await?;
    let rows = rows.iter().filter_map(|row| read.remove(row)).collect();
    Ok(page_of(rows, page.per_page, counted, |e: &Endpoint| e.id))
}

async fn update(
    tx: &mut Tx,
    app: AppId,
    id: EndpointId,
    patch: EndpointPatch,
    now: Timestamp,
    activity: &Activity,
) -> DbResult<Option<Changed>> {
    let Some(mut endpoint) = get_locked(tx, app, id).await? else { return Ok(None) };
    let (before, url) = (endpoint.status, endpoint.settings.url.clone());
    let filter = endpoint.settings.filter.clone();
    let is_enabled = patch.status == Some(EndpointStatus::Active);
    patch.apply(&mut endpoint, now);
    if endpoint.settings.filter != filter {
        endpoint.filter_error = None;
    }
    tx.cache.endpoints_changed();
    put(tx, &endpoint).await?;
    let row = by_id(tx, id).await?;
    if is_enabled || endpoint.settings.url != url {
        trouble::forget(tx, row, now).await?;
    }
    let disabled_since = change_disabled(tx, row, before, endpoint.status, now).await?;
    activity::append(tx, activity).await?;
    Ok(Some(Changed { endpoint, disabled_since }))
}

async fn conditions(conn: &Conn, app: AppId, ids: &[EndpointId]) -> DbResult<HashMap<EndpointId, Condition>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(HashMap::new()) };
    let mut found = HashMap::with_capacity(ids.len());
    for row in conn.rows(trouble::CONDITIONS_OF_APP, &[&app, &ids]).await? {
        found.insert(row.col("uid")?, trouble::read_condition(&row)?);
    }
    Ok(found)
}

async fn send_now(
    tx: &mut Tx,
    app: AppId,
    id: EndpointId,
    limit: u32,
    now: Timestamp,
    activity: Option<&Activity>,
) -> DbResult<SendNow> {
    let Some(endpoint) = get(tx, app, id).await? else { return Ok(SendNow::NotFound) };
    if endpoint.status != EndpointStatus::Active {
        return Ok(SendNow::NotActive(endpoint.status));
    }
    let row = by_id(tx, id).await?;
    let condition = trouble::condition_locked(tx, row).await?;
    if let Some(activity) = activity {
        let trouble = Trouble { hold: condition.trouble.hold.probe_now(now), ..condition.trouble };
        if trouble != condition.trouble {
            trouble::write(tx, row, &trouble).await?;
        }
        activity::append(tx, activity).await?;
    }
    let later = trouble::make_later_due(tx, row, now, limit).await?;
    tx.weigh(usize::try_from(later).unwrap_or(usize::MAX));
    Ok(SendNow::Due { waiting: condition.waiting, more: later == u64::from(limit) })
}

const DELETE: &str = "UPDATE endpoints SET deleted_at = $3, updated_at = $3, secret = '', \
     retired_secrets = '[]', headers = '[]', secrets = NULL, contact = NULL \
     WHERE uid = $1 AND app = (SELECT id FROM apps WHERE uid = $2) AND deleted_at IS NULL";

#[async_trait]
impl EndpointStore for PostgresStore {
    async fn endpoint_insert(&self, endpoint: Endpoint, most: u32, activity: Activity) -> Result<bool> {
        self.write("creating an endpoint", move |tx| {
            async move {
                let app = tx.app(endpoint.app_id).await?;
                // Counted one after the other, on whichever nodes.
                tx.rows("SELECT 1 FROM apps WHERE id = $1 FOR NO KEY UPDATE", &[&app]).await?;
                let sql = "SELECT count(*) AS count FROM endpoints WHERE app = $1 AND deleted_at IS NULL";
                let count: i64 = tx.row(sql, &[&app]).await?.num("count")?;
                if count >= i64::from(most) {
                    return Ok(false);
                }
                tx.cache.endpoints_changed();
                insert(tx, &endpoint).await?;
                activity::append(tx, &activity).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn endpoint_get(&self, app: AppId, id: EndpointId) -> Result<Option<Endpoint>> {
        self.query("reading an endpoint", move |conn| get(conn, app, id).boxed()).await
    }

    async fn endpoint_list(
        &self,
        app: AppId,
        filter: EndpointFilter,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint, EndpointId>> {
        self.read("listing endpoints", move |conn| {
            async move { list(conn, app, &filter, &page).await }.boxed()
        })
        .await
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
            async move { update(tx, app, id, patch, now, &activity).await }.boxed()
        })
        .await
    }

    async fn endpoint_conditions(
        &self,
        app: AppId,
        ids: Vec<EndpointId>,
    ) -> Result<HashMap<EndpointId, Condition>> {
        self.read("reading how endpoints stand", move |conn| {
            async move { conditions(conn, app, &ids).await }.boxed()
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
            async move { send_now(tx, app, id, limit, now, activity.as_ref()).await }.boxed()
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
            async move {
                tx.cache.endpoints_changed();
                let deleted = tx.run(DELETE, &[&id, &app, &now]).await? == 1;
                if deleted {
                    activity::append(tx, &activity).await?;
                }
                Ok(deleted)
            }
            .boxed()
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
            async move {
                let Some(mut endpoint) = get_locked(tx, app, id).await? else {
                    return Ok(Rotation::NotFound);
                };
                if let Err(oldest_until) = rotate(&mut endpoint, secret, retire_at, end_oldest, now) {
                    return Ok(Rotation::TooMany { oldest_until });
                }
                tx.cache.endpoints_changed();
                put(tx, &endpoint).await?;
                activity::append(tx, &activity).await?;
                Ok(Rotation::Rotated(Box::new(endpoint)))
            }
            .boxed()
        })
        .await
    }
}
