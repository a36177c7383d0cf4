//! What the app is told when an endpoint fails, works again, or is disabled: an event to its other endpoints,
//! and for a disabling the activity log.

use rusqlite::params;

use crate::domain::attempts::transition::Disable;
use crate::domain::attempts::trouble::News;
use crate::domain::event::EndpointNews;
use crate::domain::{Endpoint, EventType, Origin, Timestamp};
use crate::store::Queued;
use crate::store::shared::reports::Report;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::attempts::Stored;
use crate::store::sqlite::queue::events;
use crate::store::sqlite::queue::events::Incoming;
use crate::store::sqlite::queue::{endpoints, fan_outs, trouble};

/// Tells of an outage or of its end.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    row: &Stored,
    news: News,
    began_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Vec<Queued>> {
    let endpoint = endpoints::by_row(tx, row.endpoint)?;
    let condition = trouble::condition(tx, row.endpoint)?;
    let report = Report::of_outage(news, &condition, began_at, now);
    post(tx, row, &endpoint, &report.news(&condition, now))
}

/// Disables an endpoint. What is pending for it is cancelled later, in steps.
pub(crate) fn disable(
    tx: &mut Tx<'_>,
    row: &Stored,
    disable: Disable,
    at: Timestamp,
) -> rusqlite::Result<Vec<Queued>> {
    let report = Report::of_disabling(disable, at);
    tx.prepare_cached(
        "UPDATE endpoints SET status = 'disabled', status_reason = ?2, status_since = ?3, updated_at = ?3, \
         disabled_at = ?3 WHERE id = ?1",
    )?
    .execute(params![row.endpoint, report.message, at])?;
    tx.cache.endpoints_changed();
    let endpoint = endpoints::by_row(tx, row.endpoint)?;
    let condition = trouble::condition(tx, row.endpoint)?;
    activity::append(tx, &report.disabled(&endpoint, &condition, row.id, at))?;
    post(tx, row, &endpoint, &report.news(&condition, at))
}

/// Posts a system event to the app's other endpoints.
fn post(
    tx: &mut Tx<'_>,
    row: &Stored,
    endpoint: &Endpoint,
    news: &EndpointNews<'_>,
) -> rusqlite::Result<Vec<Queued>> {
    let event_type = EventType::parse(news.event_type).expect("the system's own types are well-formed");
    let payload = news.payload(endpoint);
    let incoming = Incoming {
        app: row.app,
        event_type: &event_type,
        payload: &payload,
        resource_id: None,
        origin: Origin::System,
        source: None,
        verdicts: None,
        now: news.at,
    };
    let mut room = fan_outs::AT_ONCE;
    Ok(events::accept(tx, &incoming, Some(row.endpoint), &mut room)?.accepted.queued)
}
