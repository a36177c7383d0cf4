//! Sources and the inbound log: the storage trait. What it writes is in [`crate::store::postgres::queue`].

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::inbound::source::{EventSource, Source, TokenHash};
use crate::domain::{Activity, AppId, EventId, SourceId, Timestamp};
use crate::store::postgres::engine::command;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{Columns as _, SourceRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::people::activity;
use crate::store::postgres::queue::{inbound, sources};
use crate::store::shared::header_text;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::source_text::read_content;
use crate::store::shared::verdicts::{SourceOrigin, Verdicts, asked_of};
use crate::store::{
    InboundBody, InboundDetail, InboundEntry, InboundEvent, InboundFilter, InboundRow, InboundTaken, Page,
    PageRequest, Queued, Result, SourceStore, SourceUse, SourceWrite, Start, TOTAL_CAP,
};

macro_rules! columns {
    () => {
        "SELECT i.id, s.uid AS source_uid, i.received_at, i.outcome, i.reason, i.status, i.client_ip, i.method, i.path, \
         i.size, v.uid AS event_uid, y.name AS event_type"
    };
}
macro_rules! tables {
    () => {
        " FROM inbound i JOIN sources s ON s.id = i.source LEFT JOIN events v ON v.id = i.event \
         LEFT JOIN event_types y ON y.id = v.type "
    };
}
macro_rules! wanted {
    () => {
        "i.source = $1 AND ($2::text IS NULL OR i.outcome = $2) AND ($3::bigint IS NULL OR i.received_at >= $3) \
         AND ($4::bigint IS NULL OR i.received_at < $4)"
    };
}

const COUNT: &str = concat!(
    "SELECT count(*) AS count FROM (SELECT 1 FROM inbound i WHERE ",
    wanted!(),
    " LIMIT $5) AS found"
);
const LIST: &str = concat!(
    columns!(),
    tables!(),
    "WHERE ",
    wanted!(),
    " AND i.id < $5 ORDER BY i.id DESC LIMIT $6 OFFSET $7"
);
const GET: &str = concat!(
    columns!(),
    ", i.headers, i.query, i.body, i.content, v.payload",
    tables!(),
    "WHERE i.id = $1 AND i.source = $2"
);

fn row(row: &Row) -> DbResult<InboundRow> {
    let (event_id, event_type): (Option<_>, Option<_>) = (row.col("event_uid")?, row.col("event_type")?);
    Ok(InboundRow {
        id: row.col("id")?,
        source_id: row.col("source_uid")?,
        received_at: row.col("received_at")?,
        outcome: row.col("outcome")?,
        reason: row.col("reason")?,
        status: row.num("status")?,
        client_ip: row.col("client_ip")?,
        method: row.col("method")?,
        path: row.col("path")?,
        size: row.num("size")?,
        event: event_id.zip(event_type),
    })
}

/// The row of a source of this app.
async fn source_row(conn: &Conn, app: AppId, id: SourceId) -> DbResult<Option<SourceRow>> {
    let sql = "SELECT s.id FROM sources s JOIN apps a ON a.id = s.app \
               WHERE s.uid = $1 AND a.uid = $2 AND s.deleted_at IS NULL";
    conn.row_opt(sql, &[&id, &app]).await?.map(|row| row.col("id")).transpose()
}

async fn list(
    conn: &Conn,
    app: AppId,
    source: SourceId,
    filter: &InboundFilter,
    page: &PageRequest<i64>,
) -> DbResult<Page<InboundRow, i64>> {
    let Some(source) = source_row(conn, app, source).await? else { return Ok(empty()) };
    let InboundFilter { outcome, since, until } = filter;
    let cap = TOTAL_CAP as i64 + 1;
    let counted = conn.row(COUNT, &[&source, outcome, since, until, &cap]).await?.num("count")?;
    let (below, offset) = match page.start {
        Start::Page(number) => (i64::MAX, skipped(number, page.per_page)),
        Start::After(id) => (id, 0),
    };
    let limit = i64::from(page.per_page) + 1;
    let values: [&(dyn ToSql + Sync); 7] = [&source, outcome, since, until, &below, &limit, &offset];
    let rows = conn.rows(LIST, &values).await?;
    let found = rows.iter().map(row).collect::<DbResult<Vec<_>>>()?;
    Ok(page_of(found, page.per_page, total(counted), |row: &InboundRow| row.id))
}

async fn get(conn: &Conn, app: AppId, source: SourceId, id: i64) -> DbResult<Option<InboundDetail>> {
    let Some(source) = source_row(conn, app, source).await? else { return Ok(None) };
    let detail = |found: Row| {
        let content = read_content(found.col("content")?)?;
        let (body, payload): (Option<Vec<u8>>, Option<Vec<u8>>) = (found.col("body")?, found.col("payload")?);
        Ok(InboundDetail {
            row: row(&found)?,
            headers: header_text::read(found.col("headers")?)?,
            query: found.col("query")?,
            body: body.map(|bytes| InboundBody { bytes: Bytes::from(bytes), content }),
            payload: payload.map(Bytes::from),
        })
    };
    conn.row_opt(GET, &[&id, &source]).await?.map(detail).transpose()
}

/// Waits for the attempts of an event that are written in steps.
async fn with_attempts(taken: InboundTaken, open: Option<oneshot::Receiver<Vec<Queued>>>) -> InboundTaken {
    match (taken, open) {
        (InboundTaken::Event { event, queued }, Some(attempts)) => {
            InboundTaken::Event { event, queued: attempts.await.unwrap_or(queued) }
        }
        (taken, _) => taken,
    }
}

impl PostgresStore {
    /// What the filters of the app's endpoints say of an event that came by a source.
    async fn verdicts_of(&self, event: &InboundEvent, now: Timestamp) -> Result<Verdicts> {
        let from = || Some(SourceOrigin::of(event));
        self.verdicts(event.app_id, &[asked_of(event)], from, now).await
    }
}

#[async_trait]
impl SourceStore for PostgresStore {
    async fn source_insert(&self, source: Source, most: u32, activity: Activity) -> Result<SourceWrite> {
        self.write("creating a source", move |tx| {
            async move {
                let written = sources::insert(tx, &source, most).await?;
                if written == SourceWrite::Written {
                    activity::append(tx, &activity).await?;
                }
                Ok(written)
            }
            .boxed()
        })
        .await
    }

    async fn source_get(&self, app: AppId, id: SourceId) -> Result<Option<Source>> {
        self.query("reading a source", move |conn| async move { sources::get(conn, app, id).await }.boxed())
            .await
    }

    async fn source_list(&self, app: AppId, page: PageRequest<SourceId>) -> Result<Page<Source, SourceId>> {
        self.read("listing sources", move |conn| async move { sources::list(conn, app, &page).await }.boxed())
            .await
    }

    async fn source_update(
        &self,
        source: Source,
        read_at: Timestamp,
        activity: Activity,
    ) -> Result<SourceWrite> {
        self.write("changing a source", move |tx| {
            async move {
                let written = sources::update(tx, &source, Some(read_at)).await?;
                if written == SourceWrite::Written {
                    activity::append(tx, &activity).await?;
                }
                Ok(written)
            }
            .boxed()
        })
        .await
    }

    async fn source_delete(
        &self,
        app: AppId,
        id: SourceId,
        now: Timestamp,
        activity: Activity,
    ) -> Result<bool> {
        self.write("deleting a source", move |tx| {
            async move {
                let deleted = sources::delete(tx, app, id, now).await?;
                if deleted {
                    activity::append(tx, &activity).await?;
                }
                Ok(deleted)
            }
            .boxed()
        })
        .await
    }

    async fn source_uses(&self, app: AppId, now: Timestamp) -> Result<HashMap<SourceId, SourceUse>> {
        self.query("reading how much sources are used", move |conn| {
            async move { sources::uses(conn, app, now).await }.boxed()
        })
        .await
    }

    async fn source_of_token(&self, token: TokenHash, now: Timestamp) -> Result<Option<Source>> {
        self.query("finding a source by its token", move |conn| {
            async move { sources::of_token(conn, token, now).await }.boxed()
        })
        .await
    }

    async fn source_of_event(&self, app: AppId, event: EventId) -> Result<Option<EventSource>> {
        self.query("finding the source of an event", move |conn| {
            async move { sources::of_event(conn, app, event).await }.boxed()
        })
        .await
    }

    async fn inbound_note(&self, source: SourceId, entry: InboundEntry, now: Timestamp) -> Result<()> {
        self.write("writing the inbound log", move |tx| {
            async move { inbound::note(tx, source, &entry, now).await }.boxed()
        })
        .await
    }

    async fn inbound_take(
        &self,
        source: SourceId,
        entry: InboundEntry,
        event: InboundEvent,
        now: Timestamp,
    ) -> Result<InboundTaken> {
        let verdicts = self.verdicts_of(&event, now).await?;
        let reserved = self.reserve(event.payload.len())?;
        let request = Arc::new((entry, event, verdicts));
        let take = command::repeatable("taking in a request", move |tx| {
            // Kept until the command is done with.
            let _ = &reserved;
            let request = request.clone();
            async move {
                let (entry, event, verdicts) = &*request;
                inbound::take(tx, source, entry, event, verdicts, now).await
            }
            .boxed()
        });
        let (taken, open) = self.ask(take).await?;
        Ok(with_attempts(taken, open).await)
    }

    async fn inbound_replay(
        &self,
        source: SourceId,
        event: InboundEvent,
        activity: Activity,
        now: Timestamp,
    ) -> Result<InboundTaken> {
        let verdicts = self.verdicts_of(&event, now).await?;
        let reserved = self.reserve(event.payload.len())?;
        let request = Arc::new((event, verdicts, activity));
        let take = command::repeatable("taking in a request again", move |tx| {
            let _ = &reserved;
            let request = request.clone();
            async move {
                let (event, verdicts, activity) = &*request;
                let taken = inbound::replay(tx, source, event, verdicts, now).await?;
                activity::append(tx, activity).await?;
                Ok(taken)
            }
            .boxed()
        });
        let (taken, open) = self.ask(take).await?;
        Ok(with_attempts(taken, open).await)
    }

    async fn inbound_list(
        &self,
        app: AppId,
        source: SourceId,
        filter: InboundFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<InboundRow, i64>> {
        self.read("reading the inbound log", move |conn| {
            async move { list(conn, app, source, &filter, &page).await }.boxed()
        })
        .await
    }

    async fn inbound_get(&self, app: AppId, source: SourceId, id: i64) -> Result<Option<InboundDetail>> {
        self.read("reading an inbound request", move |conn| {
            async move { get(conn, app, source, id).await }.boxed()
        })
        .await
    }
}
