//! The filters of endpoints, asked when an event is accepted.
//!
//! The task of the request asks them ([`verdicts`](crate::store::sqlite::queue::verdicts)) before the writer does its
//! work, from a snapshot that belongs to a generation of endpoints
//! ([`Fresh`](crate::store::sqlite::engine::fresh::Fresh)). An app without filters pays one look into a map. The writer
//! asks again only where the snapshot does not have the endpoint's filter of now.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::expr::Json;
use crate::domain::shaping::summary::SummaryTemplates;
use crate::domain::shaping::{ParsedSubject, Subject};
use crate::domain::{AppId, EventId, EventType, Timestamp};
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::cache::Subscription;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::filter_snapshots::Filtered;
use crate::store::sqlite::engine::rows::{EndpointRow, EventRow, SourceRow, read_patterns};
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::endpoints;
use crate::store::sqlite::queue::verdicts::{SourceOrigin, Verdicts};

/// How often the activity log is told of a filter that does not work: once an hour.
const TOLD_EVERY_MS: i64 = 3_600_000;

pub(crate) const FILTERS: &str = "SELECT id, name, events, filter FROM endpoints \
     WHERE app = ?1 AND filter IS NOT NULL AND deleted_at IS NULL AND status <> 'disabled' ORDER BY id";

/// Reads the filters of an app, ascending by row.
pub(crate) fn of_app(conn: &Connection, app: AppId) -> rusqlite::Result<Arc<[Filtered]>> {
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
    found.collect()
}

/// An event that is being accepted.
pub(crate) struct Asked<'a> {
    pub(crate) event_type: &'a EventType,
    pub(crate) payload: &'a [u8],
    pub(crate) resource_id: Option<&'a str>,
    /// The source it came from.
    pub(crate) source: Option<SourceRow>,
    /// What filters said of it before, and its place among the events that they were asked about.
    pub(crate) verdicts: Option<(&'a Verdicts, usize)>,
    pub(crate) now: Timestamp,
}

/// Those of these endpoints whose filters decline an event. Asks only filters that were not asked before, or have
/// changed since.
pub(crate) fn declined<'a>(
    tx: &mut Tx<'_>,
    incoming: &Asked<'_>,
    matching: impl Iterator<Item = &'a Subscription>,
) -> rusqlite::Result<HashSet<EndpointRow>> {
    let (mut declined, mut unasked) = (HashSet::new(), Vec::new());
    for subscription in matching {
        let Some((name, filter)) = &subscription.filter else { continue };
        let known = incoming.verdicts.and_then(|(verdicts, at)| verdicts.get(at, subscription.row, filter));
        let Some((is_wanted, error)) = known else {
            unasked.push((subscription.row, name, filter));
            continue;
        };
        if let Some(error) = error {
            note_error(tx, subscription.row, error, incoming.now)?;
        }
        if !is_wanted {
            declined.insert(subscription.row);
        }
    }
    if unasked.is_empty() {
        return Ok(declined);
    }
    let (source, summary) = incoming.source.map(|row| origin(tx, row)).transpose()?.unwrap_or_default();
    let parsed = ParsedSubject::new(Subject {
        id: None,
        event_type: incoming.event_type,
        resource_id: incoming.resource_id,
        source: source.as_deref(),
        summary: Some(&summary),
        created_at: incoming.now,
        payload: incoming.payload,
    });
    for (row, name, filter) in unasked {
        let verdict = DeliveryFilter::new(filter.clone()).judge(&parsed, name);
        if let Some(error) = &verdict.error {
            note_error(tx, row, error, incoming.now)?;
        }
        if !verdict.is_wanted {
            declined.insert(row);
        }
    }
    Ok(declined)
}

fn origin(conn: &Connection, source: SourceRow) -> rusqlite::Result<SourceOrigin> {
    let (name, settings): (String, String) = conn
        .prepare_cached("SELECT name, settings FROM sources WHERE id = ?1")?
        .query_row([source], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let settings = Json::parse(&settings).ok();
    let summary = settings.as_ref().and_then(|settings| settings.get("summary"));
    let templates = summary.and_then(|summary| SummaryTemplates::read(summary, "").ok());
    Ok((Some(name), templates.unwrap_or_default()))
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
    // One of the future was told before the clock was set back.
    let was_told = told_at.is_some_and(|at| at > now.plus_ms(-TOLD_EVERY_MS) && at <= now);
    if was_told && is_shown {
        return Ok(());
    }
    let sentence = format!("{} {error} The event was delivered all the same.", now.to_short_text());
    let told_at = told_at.filter(|_| was_told).unwrap_or(now);
    tx.prepare_cached("UPDATE endpoints SET filter_error = ?2, filter_error_at = ?3 WHERE id = ?1")?
        .execute(params![row, sentence, told_at])?;
    if was_told {
        return Ok(());
    }
    let endpoint = endpoints::by_row(tx, row)?;
    let entry = Activity {
        kind: ActivityKind::EndpointFilterFailed,
        app_id: Some(endpoint.app_id),
        actor: Actor::System.to_string(),
        address: None,
        summary: format!("Webhook {:?}: {error}", endpoint.settings.name),
        details: serde_json::json!({ "endpoint_id": endpoint.id.to_string() }),
        created_at: now,
    };
    activity::append(tx, &entry)
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
    let (event_type, resource_id, created_at, payload, source, id) = conn
        .prepare_cached(
            "SELECT y.name, v.resource_id, v.created_at, v.payload, \
             (SELECT x.source FROM event_extras x WHERE x.event = v.id), v.uid \
             FROM events v CROSS JOIN event_types y ON y.id = v.type WHERE v.id = ?1",
        )?
        .query_row([event], |row| {
            let payload: Option<Vec<u8>> = row.get(3)?;
            let resource_id: Option<String> = row.get(1)?;
            let source: Option<SourceRow> = row.get(4)?;
            let id: EventId = row.get(5)?;
            Ok((row.get(0)?, resource_id, row.get(2)?, payload.unwrap_or_default(), source, id))
        })?;
    let (source, summary) = source.map(|row| origin(conn, row)).transpose()?.unwrap_or_default();
    let subject = Subject {
        id: Some(id),
        event_type: &event_type,
        resource_id: resource_id.as_deref(),
        source: source.as_deref(),
        summary: Some(&summary),
        created_at,
        payload: &payload,
    };
    Ok(DeliveryFilter::new(filter).judge(&ParsedSubject::new(subject), &name).is_wanted)
}
