//! Sources and the inbound log: the storage trait. What it writes is in [`crate::store::sqlite::queue`].

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::domain::inbound::source::{EventSource, Source, TokenHash};
use crate::domain::{Activity, AppId, EventId, SourceId, Timestamp};
use crate::store::shared::header_text;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::source_text;
use crate::store::shared::verdicts::{SourceOrigin, Verdicts, asked_of};
use crate::store::sqlite::engine::rows::{self, SourceRow};
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::engine::{cache, command};
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::{inbound, sources};
use crate::store::{
    InboundBody, InboundDetail, InboundEntry, InboundEvent, InboundFilter, InboundRow, InboundTaken, Page,
    PageRequest, Result, SourceStore, SourceUse, SourceWrite, Start, TOTAL_CAP,
};

/// The columns that [`row`] reads.
const COLUMNS: &str = "i.id AS id, s.uid AS source_uid, i.received_at AS received_at, i.outcome AS outcome, \
     i.reason AS reason, i.status AS status, i.client_ip AS client_ip, i.method AS method, i.path AS path, \
     i.size AS size, v.uid AS event_uid, y.name AS event_type";
const TABLES: &str = "FROM inbound i CROSS JOIN sources s ON s.id = i.source LEFT JOIN events v ON v.id = i.event \
     LEFT JOIN event_types y ON y.id = v.type";

fn row(row: &Row<'_>) -> rusqlite::Result<InboundRow> {
    let (event_id, event_type) =
        (row.get::<_, Option<_>>("event_uid")?, row.get::<_, Option<_>>("event_type")?);
    Ok(InboundRow {
        id: row.get("id")?,
        source_id: row.get("source_uid")?,
        received_at: row.get("received_at")?,
        outcome: row.get("outcome")?,
        reason: row.get("reason")?,
        status: row.get("status")?,
        client_ip: row.get("client_ip")?,
        method: row.get("method")?,
        path: row.get("path")?,
        size: rows::count(row, "size")?,
        event: event_id.zip(event_type),
    })
}

/// The row of a source of this app.
fn source_row(conn: &Connection, app: AppId, id: SourceId) -> rusqlite::Result<Option<SourceRow>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    conn.prepare_cached("SELECT id FROM sources WHERE uid = ?1 AND app = ?2 AND deleted_at IS NULL")?
        .query_row(params![id, app], |row| row.get(0))
        .optional()
}

fn list(
    conn: &Connection,
    app: AppId,
    source: SourceId,
    filter: &InboundFilter,
    page: &PageRequest<i64>,
) -> rusqlite::Result<Page<InboundRow, i64>> {
    let Some(source) = source_row(conn, app, source)? else { return Ok(empty()) };
    let mut wanted = "i.source = ?".to_owned();
    let mut values = vec![Value::Integer(source.0)];
    if let Some(outcome) = filter.outcome {
        wanted.push_str(" AND i.outcome = ?");
        values.push(Value::Text(outcome.as_str().to_owned()));
    }
    for (time, condition) in
        [(filter.since, " AND i.received_at >= ?"), (filter.until, " AND i.received_at < ?")]
    {
        if let Some(time) = time {
            wanted.push_str(condition);
            values.push(Value::Integer(time.as_millis()));
        }
    }
    let count =
        format!("SELECT count(*) FROM (SELECT 1 FROM inbound i WHERE {wanted} LIMIT {})", TOTAL_CAP + 1);
    let counted =
        conn.prepare_cached(&count)?.query_row(params_from_iter(&values), |row| rows::count(row, 0))?;
    let mut offset = 0;
    match page.start {
        Start::Page(number) => offset = skipped(number, page.per_page),
        Start::After(id) => {
            wanted.push_str(" AND i.id < ?");
            values.push(Value::Integer(id));
        }
    }
    values.extend([Value::Integer(i64::from(page.per_page) + 1), Value::Integer(offset)]);
    let sql = format!("SELECT {COLUMNS} {TABLES} WHERE {wanted} ORDER BY i.id DESC LIMIT ? OFFSET ?");
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(&values), row)?.collect::<rusqlite::Result<_>>()?;
    Ok(page_of(found, page.per_page, total(counted), |row: &InboundRow| row.id))
}

fn get(conn: &Connection, app: AppId, source: SourceId, id: i64) -> rusqlite::Result<Option<InboundDetail>> {
    let Some(source) = source_row(conn, app, source)? else { return Ok(None) };
    let sql = format!(
        "SELECT {COLUMNS}, d.headers AS headers, d.query AS query, d.body AS body, d.content AS content, \
         v.payload AS payload {TABLES} \
         CROSS JOIN inbound_details d ON d.inbound = i.id WHERE i.id = ?1 AND i.source = ?2"
    );
    let detail = |found: &Row<'_>| {
        let (headers, content): (String, Option<String>) = (found.get("headers")?, found.get("content")?);
        let (body, payload): (Option<Vec<u8>>, Option<Vec<u8>>) = (found.get("body")?, found.get("payload")?);
        let content = source_text::read_content(content.as_deref())?;
        Ok(InboundDetail {
            row: row(found)?,
            headers: header_text::read(&headers)?,
            query: found.get("query")?,
            body: body.map(|bytes| InboundBody { bytes: Bytes::from(bytes), content }),
            payload: payload.map(Bytes::from),
        })
    };
    conn.prepare_cached(&sql)?.query_row(params![id, source], detail).optional()
}

impl SqliteStore {
    /// What the filters of the app's endpoints say of an event that came by a source.
    async fn verdicts_of(&self, event: &InboundEvent, now: Timestamp) -> Result<Verdicts> {
        let from = || Some(SourceOrigin::of(event));
        self.verdicts(event.app_id, &[asked_of(event)], from, now).await
    }

    /// Waits for the attempts of an event that are written in steps.
    async fn with_attempts(
        taken: InboundTaken,
        open: Option<tokio::sync::oneshot::Receiver<Vec<crate::store::Queued>>>,
    ) -> InboundTaken {
        match (taken, open) {
            (InboundTaken::Event { event, queued }, Some(attempts)) => {
                InboundTaken::Event { event, queued: attempts.await.unwrap_or(queued) }
            }
            (taken, _) => taken,
        }
    }
}

#[async_trait]
impl SourceStore for SqliteStore {
    async fn source_insert(&self, source: Source, most: u32, activity: Activity) -> Result<SourceWrite> {
        self.write("creating a source", move |tx| {
            let written = sources::insert(tx, &source, most)?;
            if written == SourceWrite::Written {
                activity::append(tx, &activity)?;
            }
            Ok(written)
        })
        .await
    }

    async fn source_get(&self, app: AppId, id: SourceId) -> Result<Option<Source>> {
        self.read("reading a source", move |conn| sources::get(conn, app, id)).await
    }

    async fn source_list(&self, app: AppId, page: PageRequest<SourceId>) -> Result<Page<Source, SourceId>> {
        self.read("listing sources", move |conn| sources::list(conn, app, &page)).await
    }

    async fn source_update(
        &self,
        source: Source,
        read_at: Timestamp,
        activity: Activity,
    ) -> Result<SourceWrite> {
        self.write("changing a source", move |tx| {
            let written = sources::update(tx, &source, Some(read_at))?;
            if written == SourceWrite::Written {
                activity::append(tx, &activity)?;
            }
            Ok(written)
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
            let deleted = sources::delete(tx, app, id, now)?;
            if deleted {
                activity::append(tx, &activity)?;
            }
            Ok(deleted)
        })
        .await
    }

    async fn source_uses(&self, app: AppId, now: Timestamp) -> Result<HashMap<SourceId, SourceUse>> {
        self.read("reading how much sources are used", move |conn| sources::uses(conn, app, now)).await
    }

    async fn source_of_token(&self, token: TokenHash, now: Timestamp) -> Result<Option<Source>> {
        self.read_at_once("finding a source by its token", |conn| sources::of_token(conn, token, now))
    }

    async fn source_of_event(&self, app: AppId, event: EventId) -> Result<Option<EventSource>> {
        self.read("finding the source of an event", move |conn| sources::of_event_id(conn, app, event)).await
    }

    async fn inbound_note(&self, source: SourceId, entry: InboundEntry, now: Timestamp) -> Result<()> {
        self.write("writing the inbound log", move |tx| inbound::note(tx, source, &entry, now)).await
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
        let take = command::repeatable("taking in a request", move |tx| {
            // Kept until the command is done with.
            let _ = &reserved;
            inbound::take(tx, source, &entry, &event, &verdicts, now)
        });
        let (taken, open) = self.ask(take).await?;
        Ok(SqliteStore::with_attempts(taken, open).await)
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
        let take = command::repeatable("taking in a request again", move |tx| {
            let _ = &reserved;
            let taken = inbound::replay(tx, source, &event, &verdicts, now)?;
            activity::append(tx, &activity)?;
            Ok(taken)
        });
        let (taken, open) = self.ask(take).await?;
        Ok(SqliteStore::with_attempts(taken, open).await)
    }

    async fn inbound_list(
        &self,
        app: AppId,
        source: SourceId,
        filter: InboundFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<InboundRow, i64>> {
        self.read("reading the inbound log", move |conn| list(conn, app, source, &filter, &page)).await
    }

    async fn inbound_get(&self, app: AppId, source: SourceId, id: i64) -> Result<Option<InboundDetail>> {
        self.read("reading an inbound request", move |conn| get(conn, app, source, id)).await
    }
}
