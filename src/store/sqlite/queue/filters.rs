//! The filters of endpoints, asked when an event is accepted.
//!
//! An app without filters pays one look into a map; see [`crate::store::shared::verdicts`].

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::{AppId, Timestamp};
use crate::store::shared::asked::{Asked, FilterNote, KeptEvent, filter_failed};
use crate::store::shared::filter_snapshots::{Filtered, Filters};
use crate::store::shared::subscription::Subscription;
use crate::store::shared::verdicts::SourceOrigin;
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::rows::{EndpointRow, EventRow, SourceRow, read_patterns};
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::endpoints;

pub(crate) const FILTERS: &str = "SELECT id, name, events, filter FROM endpoints \
     WHERE app = ?1 AND filter IS NOT NULL AND deleted_at IS NULL AND status <> 'disabled' ORDER BY id";

/// Reads the filters of an app, ascending by row.
pub(crate) fn of_app(conn: &Connection, app: AppId) -> rusqlite::Result<Arc<Filters>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(Arc::default()) };
    let mut statement = conn.prepare_cached(FILTERS)?;
    let found = statement.query_map([app], |row| {
        let events: String = row.get(2)?;
        Ok(Filtered {
            row: row.get(0)?,
            name: row.get(1)?,
            events: read_patterns(&events)?,
            filter: DeliveryFilter::new(row.get(3)?),
        })
    })?;
    Ok(Filters::of(found.collect::<rusqlite::Result<_>>()?))
}

/// Those of these endpoints whose filters decline an event. Asks only filters that were not asked before, or have
/// changed since.
pub(crate) fn declined<'a>(
    tx: &mut Tx<'_>,
    incoming: &Asked<'_>,
    matching: impl Iterator<Item = &'a Subscription>,
) -> rusqlite::Result<HashSet<EndpointRow>> {
    let (mut answers, unasked) = incoming.known(matching);
    if !unasked.is_empty() {
        let origin = incoming.source.map(|row| origin(tx, row)).transpose()?.unwrap_or_default();
        incoming.ask(&unasked, &origin, &mut answers);
    }
    for (row, error) in &answers.errors {
        note_error(tx, *row, error, incoming.now)?;
    }
    Ok(answers.declined)
}

fn origin(conn: &Connection, source: SourceRow) -> rusqlite::Result<SourceOrigin> {
    let (name, settings): (String, String) = conn
        .prepare_cached("SELECT name, settings FROM sources WHERE id = ?1")?
        .query_row([source], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(SourceOrigin::read(name, &settings))
}

/// Notes that a filter could not decide, on the endpoint, and in the activity log at most once an hour.
pub(crate) fn note_error(
    tx: &mut Tx<'_>,
    row: EndpointRow,
    error: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (told_at, is_shown): (Option<Timestamp>, bool) = tx
        .prepare_cached("SELECT filter_error_at, filter_error IS NOT NULL FROM endpoints WHERE id = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(note) = FilterNote::of(error, told_at, is_shown, now) else { return Ok(()) };
    tx.prepare_cached("UPDATE endpoints SET filter_error = ?2, filter_error_at = ?3 WHERE id = ?1")?
        .execute(params![row, note.sentence, note.told_at])?;
    if !note.is_news {
        return Ok(());
    }
    let endpoint = endpoints::by_row(tx, row)?;
    activity::append(tx, &filter_failed(&endpoint, error, now))
}

/// Notes how many endpoints declined an event.
pub(crate) fn note_declined(conn: &Connection, event: EventRow, declined: u32) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO event_extras (event, filtered) VALUES (?1, ?2) \
         ON CONFLICT (event) DO UPDATE SET filtered = excluded.filtered",
    )?
    .execute(params![event, declined])
    .map(|_| ())
}

/// Whether an endpoint wants a stored event, for what is sent again.
pub(crate) fn wants(conn: &Connection, endpoint: EndpointRow, event: EventRow) -> rusqlite::Result<bool> {
    let (name, filter): (String, Option<String>) = conn
        .prepare_cached("SELECT name, filter FROM endpoints WHERE id = ?1")?
        .query_row([endpoint], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(filter) = filter else { return Ok(true) };
    let (event, source) = conn
        .prepare_cached(
            "SELECT y.name, v.resource_id, v.created_at, v.payload, \
             (SELECT x.source FROM event_extras x WHERE x.event = v.id), v.uid \
             FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.id = ?1",
        )?
        .query_row([event], |row| {
            let event = KeptEvent {
                event_type: row.get(0)?,
                resource_id: row.get(1)?,
                created_at: row.get(2)?,
                payload: row.get::<_, Option<Vec<u8>>>(3)?.unwrap_or_default(),
                id: row.get(5)?,
            };
            Ok((event, row.get::<_, Option<SourceRow>>(4)?))
        })?;
    let origin = source.map(|row| origin(conn, row)).transpose()?.unwrap_or_default();
    Ok(event.is_wanted_by(&filter, &name, &origin))
}
