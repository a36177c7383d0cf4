//! The filters of endpoints, asked when an event is accepted.
//!
//! An app without filters pays one look into a map; see [`crate::store::shared::verdicts`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Row;

use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::{AppId, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::engine::rows::{
    Columns as _, EndpointRow, EventRow, SourceRow, clean, read_patterns,
};
use crate::store::postgres::people::activity;
use crate::store::postgres::queue::endpoints;
use crate::store::shared::asked::{Asked, FilterNote, KeptEvent, filter_failed};
use crate::store::shared::filter_snapshots::{Filtered, Filters};
use crate::store::shared::subscription::Subscription;
use crate::store::shared::verdicts::SourceOrigin;

pub(crate) const FILTERS: &str = "SELECT id, name, events, filter FROM endpoints \
     WHERE app = $1 AND filter IS NOT NULL AND deleted_at IS NULL AND status <> 'disabled' ORDER BY id";

/// Reads the filters of an app, ascending by row.
pub(crate) async fn of_app(conn: &Conn, app: AppId) -> DbResult<Arc<Filters>> {
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(Arc::default()) };
    let read = |row: &Row| {
        Ok(Filtered {
            row: row.col("id")?,
            name: row.col("name")?,
            events: read_patterns(row.col("events")?)?,
            filter: DeliveryFilter::new(row.col("filter")?),
        })
    };
    let found: DbResult<_> = conn.rows(FILTERS, &[&app]).await?.iter().map(read).collect();
    Ok(Filters::of(found?))
}

/// Those of these endpoints whose filters decline an event. Asks only filters that were not asked before, or have
/// changed since.
pub(crate) async fn declined(
    tx: &mut Tx,
    incoming: &Asked<'_>,
    matching: &[&Subscription],
) -> DbResult<HashSet<EndpointRow>> {
    let (mut answers, unasked) = incoming.known(matching.iter().copied());
    if !unasked.is_empty() {
        let origin = match incoming.source {
            Some(source) => origin(tx, source).await?,
            None => SourceOrigin::default(),
        };
        incoming.ask(&unasked, &origin, &mut answers);
    }
    for (row, error) in &answers.errors {
        note_error(tx, *row, error, incoming.now).await?;
    }
    Ok(answers.declined)
}

async fn origin(conn: &Conn, source: SourceRow) -> DbResult<SourceOrigin> {
    let row = conn.row("SELECT name, settings FROM sources WHERE id = $1", &[&source]).await?;
    Ok(SourceOrigin::read(row.col("name")?, row.col("settings")?))
}

/// Notes that a filter could not decide, on the endpoint, and in the activity log at most once an hour.
async fn note_error(tx: &mut Tx, row: EndpointRow, error: &str, now: Timestamp) -> DbResult<()> {
    let sql = "SELECT filter_error_at, filter_error IS NOT NULL AS is_shown FROM endpoints WHERE id = $1 \
               FOR NO KEY UPDATE";
    let found = tx.row(sql, &[&row]).await?;
    let (told_at, is_shown) = (found.col("filter_error_at")?, found.col("is_shown")?);
    let Some(note) = FilterNote::of(error, told_at, is_shown, now) else { return Ok(()) };
    let sql = "UPDATE endpoints SET filter_error = $2, filter_error_at = $3 WHERE id = $1";
    tx.run(sql, &[&row, &clean(&note.sentence), &note.told_at]).await?;
    if !note.is_news {
        return Ok(());
    }
    let endpoint = endpoints::by_row(tx, row).await?;
    activity::append(tx, &filter_failed(&endpoint, error, now)).await
}

/// Stored events, with the sources they came by.
pub(crate) struct KeptEvents {
    events: HashMap<EventRow, (KeptEvent, Option<SourceRow>)>,
    sources: HashMap<SourceRow, SourceOrigin>,
}

pub(crate) const KEPT: &str = "SELECT v.id, v.uid, y.name, v.resource_id, v.created_at, v.payload, v.source \
     FROM events v JOIN event_types y ON y.id = v.type WHERE v.id = ANY($1)";

impl KeptEvents {
    /// Reads what filters are asked about these events, for what is sent again.
    pub(crate) async fn read(conn: &Conn, events: &[EventRow]) -> DbResult<KeptEvents> {
        let mut kept = KeptEvents { events: HashMap::new(), sources: HashMap::new() };
        for row in conn.rows(KEPT, &[&events]).await? {
            let event = KeptEvent {
                id: row.col("uid")?,
                event_type: row.col("name")?,
                resource_id: row.col("resource_id")?,
                created_at: row.col("created_at")?,
                payload: row.col::<Option<Vec<u8>>>("payload")?.unwrap_or_default(),
            };
            let source: Option<SourceRow> = row.col("source")?;
            if let Some(source) = source.filter(|source| !kept.sources.contains_key(source)) {
                kept.sources.insert(source, origin(conn, source).await?);
            }
            kept.events.insert(row.col("id")?, (event, source));
        }
        Ok(kept)
    }

    /// Whether a filter with this name wants an event.
    pub(crate) fn is_wanted(&self, event: EventRow, filter: &str, name: &str) -> bool {
        let none = SourceOrigin::default();
        self.events.get(&event).is_some_and(|(event, source)| {
            let origin = source.and_then(|source| self.sources.get(&source)).unwrap_or(&none);
            event.is_wanted_by(filter, name, origin)
        })
    }

    /// The payload of an event.
    pub(crate) fn payload(&self, event: EventRow) -> Option<&[u8]> {
        self.events.get(&event).map(|(event, _)| event.payload.as_slice())
    }
}
