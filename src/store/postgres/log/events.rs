//! Events: single ones, and event types. Their list is in [`crate::store::postgres::log::event_list`]; accepting them
//! is in [`crate::store::postgres::queue::events`].

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;

use crate::domain::event::Event;
use crate::domain::{AppId, EventId, Timestamp};
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::engine::{cache, ids};
use crate::store::postgres::log::event_list::event;
use crate::store::postgres::log::{event_list, search};
use crate::store::postgres::queue::shown;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::scan::Budget;
use crate::store::{
    EventDetail, EventFilter, EventStore, EventTypeCount, NewEvent, Page, PageRequest, Result, SearchPage,
    Start, TOTAL_CAP, Taken,
};

// ---------------------------------------------------------------------------------------------
// Single events, and types

const GET: &str = "SELECT v.id, v.uid, y.name AS type, v.resource_id, v.deliveries, v.created_at, v.filtered, \
     v.payload FROM events v JOIN event_types y ON y.id = v.type \
     WHERE v.uid = $1 AND v.app = $2 AND v.payload IS NOT NULL AND (v.id >= $3 AND v.id <= $4 OR v.id < $5)";

async fn get(conn: &Conn, app: AppId, id: EventId) -> DbResult<Option<EventDetail>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(None) };
    let made_at = ids::made_at(id);
    let (first, last) = (ids::first_at(made_at), ids::last_at(made_at));
    let Some(found) = conn.row_opt(GET, &[&id, &app, &first, &last, &ids::TIMELY_FROM]).await? else {
        return Ok(None);
    };
    let payload: Option<Vec<u8>> = found.col("payload")?;
    let attempts = shown::of_event(conn, found.col("id")?).await?;
    Ok(Some(EventDetail { event: event(&found)?, payload: payload.map(Bytes::from), attempts }))
}

const TYPES: &str = "SELECT y.name, y.count + coalesce(n.count, 0) AS count, \
     greatest(y.last_seen_at, n.last_seen_at) AS last_seen_at FROM event_types y LEFT JOIN LATERAL ( \
         SELECT sum(a.count)::bigint AS count, max(a.last_seen_at) AS last_seen_at FROM event_types_added a \
         WHERE a.type = y.id) n ON true \
     WHERE y.app = $1 AND y.name > $2 AND (y.count > 0 OR n.count > 0) ORDER BY y.name LIMIT $3 OFFSET $4";
const COUNT_TYPES: &str = "SELECT count(*) AS count FROM (SELECT 1 FROM event_types y WHERE y.app = $1 \
     AND (y.count > 0 OR EXISTS (SELECT 1 FROM event_types_added a WHERE a.type = y.id)) LIMIT $2) AS found";

async fn types(
    conn: &Conn,
    app: AppId,
    page: &PageRequest<String>,
) -> DbResult<Page<EventTypeCount, String>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(empty()) };
    let counted = conn.row(COUNT_TYPES, &[&app, &(TOTAL_CAP as i64 + 1)]).await?.num("count")?;
    let (after, offset) = match &page.start {
        Start::Page(number) => (String::new(), skipped(*number, page.per_page)),
        // PostgreSQL holds no NUL; nothing that has one is a name.
        Start::After(name) => (name.replace('\0', "\u{1}"), 0),
    };
    let mut rows = Vec::new();
    for row in conn.rows(TYPES, &[&app, &after, &(i64::from(page.per_page) + 1), &offset]).await? {
        let last_seen_at = row.col("last_seen_at")?;
        rows.push(EventTypeCount { event_type: row.col("name")?, count: row.num("count")?, last_seen_at });
    }
    Ok(page_of(rows, page.per_page, total(counted), |row| row.event_type.as_str().to_owned()))
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn event_insert(&self, app: AppId, events: Vec<NewEvent>, now: Timestamp) -> Result<Taken> {
        self.take_in(app, None, events, now).await
    }

    async fn event_batch_insert(
        &self,
        app: AppId,
        key: String,
        events: Vec<NewEvent>,
        now: Timestamp,
    ) -> Result<Taken> {
        self.take_in(app, Some(key), events, now).await
    }

    async fn event_list(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<Event, i64>> {
        let partitions = self.partitions.clone();
        self.read("listing events", move |conn| {
            async move { event_list::list(conn, &partitions, app, &filter, &page).await }.boxed()
        })
        .await
    }

    async fn event_search(
        &self,
        app: AppId,
        filter: EventFilter,
        page: PageRequest<i64>,
    ) -> Result<SearchPage<Event, i64>> {
        let partitions = self.partitions.clone();
        self.read("searching events", move |conn| {
            async move { search::events(conn, &partitions, app, &filter, &page, Budget::USUAL).await }.boxed()
        })
        .await
    }

    async fn event_type_list(
        &self,
        app: AppId,
        page: PageRequest<String>,
    ) -> Result<Page<EventTypeCount, String>> {
        self.read("listing event types", move |conn| async move { types(conn, app, &page).await }.boxed())
            .await
    }

    async fn event_get(&self, app: AppId, id: EventId) -> Result<Option<EventDetail>> {
        self.read("reading an event", move |conn| async move { get(conn, app, id).await }.boxed()).await
    }
}
