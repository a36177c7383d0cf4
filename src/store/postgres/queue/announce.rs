//! What the app is told when an endpoint fails, works again, or is disabled: an event to its other endpoints,
//! and for a disabling the activity log.

use crate::domain::attempts::transition::Disable;
use crate::domain::attempts::trouble::News;
use crate::domain::event::EndpointNews;
use crate::domain::{Endpoint, EventType, Origin, Timestamp};
use crate::store::Queued;
use crate::store::postgres::engine::command::Tx;
use crate::store::postgres::engine::conn::Statements as _;
use crate::store::postgres::engine::error::DbResult;
use crate::store::postgres::people::activity;
use crate::store::postgres::queue::attempts::Stored;
use crate::store::postgres::queue::events;
use crate::store::postgres::queue::events::Incoming;
use crate::store::postgres::queue::{endpoints, fan_outs, trouble};
use crate::store::shared::reports::Report;

/// Tells of an outage or of its end.
pub(crate) async fn tell(
    tx: &mut Tx,
    row: &Stored,
    news: News,
    began_at: Timestamp,
    now: Timestamp,
) -> DbResult<Vec<Queued>> {
    let endpoint = endpoints::by_row(tx, row.endpoint).await?;
    let condition = trouble::condition(tx, row.endpoint).await?;
    let report = Report::of_outage(news, &condition, began_at, now);
    post(tx, row, &endpoint, &report.news(&condition, now)).await
}

/// Disables an endpoint. What is pending for it is cancelled later, in steps.
pub(crate) async fn disable(
    tx: &mut Tx,
    row: &Stored,
    disable: Disable,
    at: Timestamp,
) -> DbResult<Vec<Queued>> {
    let report = Report::of_disabling(disable, at);
    tx.cache.endpoints_changed();
    let sql = "UPDATE endpoints SET status = 'disabled', status_reason = $2, status_since = $3, updated_at = $3, \
               disabled_at = $3 WHERE id = $1";
    tx.run(sql, &[&row.endpoint, &report.message, &at]).await?;
    let endpoint = endpoints::by_row(tx, row.endpoint).await?;
    let condition = trouble::condition(tx, row.endpoint).await?;
    activity::append(tx, &report.disabled(&endpoint, &condition, row.id, at)).await?;
    post(tx, row, &endpoint, &report.news(&condition, at)).await
}

/// Posts a system event to the app's other endpoints.
async fn post(
    tx: &mut Tx,
    row: &Stored,
    endpoint: &Endpoint,
    news: &EndpointNews<'_>,
) -> DbResult<Vec<Queued>> {
    let event_type = EventType::parse(news.event_type).expect("the system's own types are well-formed");
    let payload = news.payload(endpoint).into();
    let incoming = Incoming {
        app: row.app,
        event_type: &event_type,
        payload: &payload,
        resource_id: None,
        origin: Origin::System,
        source: None,
        hops: None,
        verdicts: None,
        now: news.at,
    };
    let mut room = fan_outs::AT_ONCE;
    Ok(events::accept(tx, &incoming, Some(row.endpoint), &mut room).await?.accepted.queued)
}
