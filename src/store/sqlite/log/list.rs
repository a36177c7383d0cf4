//! The delivery log: its lists and details, a person's wish to send again, and test deliveries.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::domain::access::activity::Activity;
use crate::domain::attempts::attempt::Attempt;
use crate::domain::attempts::attempt::{AttemptDetail, AttemptStatus, Budget, Request, Response, Trigger};
use crate::domain::event::Event;
use crate::domain::{AppId, AttemptId, EndpointId, Origin, Timestamp};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::command::Tx;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::paging::{empty, page_of, skipped, total};
use crate::store::sqlite::log::merge;
use crate::store::sqlite::log::plan::{Bounds, Plan};
use crate::store::sqlite::log::zones;
use crate::store::sqlite::people::activity;
use crate::store::sqlite::queue::attempts;
use crate::store::sqlite::queue::attempts::{NewAttempt, Stored};
use crate::store::sqlite::queue::endpoints::row_of;
use crate::store::sqlite::queue::events;
use crate::store::sqlite::queue::events::Incoming;
use crate::store::sqlite::queue::finish::write_details;
use crate::store::sqlite::queue::header_text;
use crate::store::{
    AttemptFilter, LogKey, LogStore, Page, PageRequest, Queued, Result, Retried, Sort, Start, TOTAL_CAP,
    TestDelivery,
};

pub(crate) fn list(
    conn: &Connection,
    app: AppId,
    filter: &AttemptFilter,
    sort: Sort,
    page: &PageRequest<LogKey>,
    bounds: Bounds,
) -> rusqlite::Result<Page<Attempt, LogKey>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(empty()) };
    let Some(plan) = Plan::of(conn, app, filter, bounds)? else { return Ok(empty()) };
    let counted = plan.count(conn, TOTAL_CAP + 1)?;
    let (after, offset) = match &page.start {
        Start::Page(number) => (None, usize::try_from(skipped(*number, page.per_page)).unwrap_or(usize::MAX)),
        Start::After(key) => (Some(key), 0),
    };
    let most = offset.saturating_add(page.per_page as usize + 1);
    let mut keys = merge::find(conn, &plan, sort, after, most)?;
    keys.drain(..offset.min(keys.len()));
    let keys = page_of(keys, page.per_page, total(counted), LogKey::clone);
    let rows =
        keys.rows.iter().map(|key| attempts::list_row(conn, key.id)).collect::<rusqlite::Result<_>>()?;
    Ok(Page { rows, total: keys.total, next: keys.next })
}

/// A row, if it is of this app.
fn of_app(conn: &Connection, app: AppId, id: AttemptId) -> rusqlite::Result<Option<Stored>> {
    let Some(app) = cache::app_row(conn, app)? else { return Ok(None) };
    Ok(attempts::get(conn, id)?.filter(|row| row.app == app))
}

fn detail(conn: &Connection, app: AppId, id: AttemptId) -> rusqlite::Result<Option<AttemptDetail>> {
    let Some(row) = of_app(conn, app, id)? else { return Ok(None) };
    let attempt = attempts::list_row(conn, id)?;
    let (request, response) = kept(conn, id, attempt.response_status)?.unwrap_or_default();
    let request_body = match &request {
        None => None,
        Some(Request { body: Some(body), .. }) => Some(body.clone()),
        Some(_) => payload(conn, row.event)?,
    };
    let attempts = attempts::of_delivery(conn, row.delivery())?;
    Ok(Some(AttemptDetail { attempt, request, request_body, response, attempts }))
}

type Kept = (Option<Request>, Option<Response>);

/// What was sent and what came back, as far as it is kept.
fn kept(conn: &Connection, id: AttemptId, status: Option<u16>) -> rusqlite::Result<Option<Kept>> {
    let headers = |text: Option<String>| text.as_deref().map(header_text::read).transpose();
    conn.prepare_cached(
        "SELECT request_url, request_headers, request_body, response_headers, response_body, \
         response_truncated FROM attempt_details WHERE attempt = ?1",
    )?
    .query_row([id], |row| {
        let request = match row.get(0)? {
            None => None,
            Some(url) => {
                Some(Request { url, headers: headers(row.get(1)?)?.unwrap_or_default(), body: row.get(2)? })
            }
        };
        let response = match status {
            None => None,
            Some(status) => Some(Response {
                status,
                headers: headers(row.get(3)?)?.unwrap_or_default(),
                body: row.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default(),
                body_truncated: row.get::<_, Option<bool>>(5)?.unwrap_or_default(),
            }),
        };
        Ok((request, response))
    })
    .optional()
}

fn payload(conn: &Connection, event: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT payload FROM events WHERE id = ?1")?.query_row([event], |row| row.get(0))
}

fn retry(
    tx: &mut Tx<'_>,
    app: AppId,
    id: AttemptId,
    now: Timestamp,
    entry: &Activity,
) -> rusqlite::Result<Retried> {
    let Some(named) = of_app(tx, app, id)? else { return Ok(Retried::NotFound) };
    let Some(row) = attempts::newest(tx, named.delivery())? else { return Ok(Retried::NotFound) };
    let (endpoint_id, deleted): (EndpointId, bool) = tx
        .prepare_cached("SELECT uid, deleted_at IS NOT NULL FROM endpoints WHERE id = ?1")?
        .query_row([row.endpoint], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if deleted {
        return Ok(Retried::EndpointDeleted);
    }
    if row.current.status == AttemptStatus::Pending {
        return Ok(Retried::Pending);
    }
    let gone: bool = tx
        .prepare_cached("SELECT payload IS NULL FROM events WHERE id = ?1")?
        .query_row([row.event], |row| row.get(0))?;
    if gone {
        return Ok(Retried::EventGone);
    }
    // A test stays one: sending it again must not count for or against the endpoint either.
    let test = row.current.trigger == Trigger::Test;
    let trigger = if test { Trigger::Test } else { Trigger::Manual };
    let attempt_id = match row.current.status {
        AttemptStatus::Exhausted => attempts::supersede(tx, &row, trigger, Budget::Single, None, now)?.0,
        AttemptStatus::Delivered | AttemptStatus::Cancelled => attempts::insert(
            tx,
            &NewAttempt {
                first: None,
                app: row.app,
                endpoint: row.endpoint,
                event: row.event,
                kind: row.kind,
                trigger,
                attempt: 1,
                budget: Budget::Single,
                created_at: now,
                due_at: now,
                job: None,
            },
        )?,
        AttemptStatus::Pending | AttemptStatus::Failed => {
            return Err(fault(format!("the newest attempt of delivery {} is failed", row.delivery())));
        }
    };
    activity::append(tx, entry)?;
    let attempt = attempts::list_row(tx, attempt_id)?;
    let queued = Queued { attempt_id, endpoint_id, due_at: now, single: true, bulk: false };
    Ok(Retried::Queued(Box::new(attempt), queued))
}

fn record_test(tx: &mut Tx<'_>, app: AppId, test: &TestDelivery) -> rusqlite::Result<AttemptId> {
    let app = tx.app(app)?;
    let endpoint = row_of(tx, app, test.endpoint_id)?.ok_or_else(|| fault("there is no such endpoint"))?;
    let incoming = Incoming {
        app,
        event_type: &test.event_type,
        payload: &test.payload,
        resource_id: None,
        origin: Origin::Test,
        now: test.created_at,
    };
    let kind = events::type_row(tx, &incoming)?;
    let event = Event {
        id: test.event_id,
        event_type: test.event_type.clone(),
        resource_id: None,
        deliveries: 1,
        created_at: test.created_at,
    };
    let event = events::insert_as(tx, &incoming, kind, &event)?;
    let outcome = &test.outcome;
    let status = match outcome.failure {
        None => AttemptStatus::Delivered,
        Some(_) => AttemptStatus::Exhausted,
    };
    let place = tx.next_place(app)?;
    tx.prepare_cached(
        "INSERT INTO attempts (app, endpoint, event, type, status, trigger, attempt, schedule_used, \
         created_at, due_at, attempted_at, finished_at, response_status, response_time_ms, error_kind, \
         error_message, finished_seq) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'test', 1, NULL, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        app,
        endpoint,
        event,
        kind,
        status,
        test.created_at,
        outcome.attempted_at,
        outcome.finished_at,
        outcome.response.as_ref().map(|response| response.status),
        outcome.response_time_ms,
        outcome.failure.as_ref().map(|failure| failure.kind),
        outcome.failure.as_ref().map(|failure| &failure.message),
        place
    ])?;
    let id = AttemptId(tx.last_insert_rowid());
    zones::entered(tx, zones::ATTEMPTS, id.0)?;
    write_details(tx, id, outcome)?;
    Ok(id)
}

#[async_trait]
impl LogStore for SqliteStore {
    async fn attempt_list(
        &self,
        app: AppId,
        filter: AttemptFilter,
        sort: Sort,
        page: PageRequest<LogKey>,
    ) -> Result<Page<Attempt, LogKey>> {
        self.read("reading the log", move |conn| list(conn, app, &filter, sort, &page, Bounds::USUAL)).await
    }

    async fn attempt_get(&self, app: AppId, id: AttemptId) -> Result<Option<AttemptDetail>> {
        self.read("reading an attempt", move |conn| detail(conn, app, id)).await
    }

    async fn attempt_retry(
        &self,
        app: AppId,
        id: AttemptId,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Retried> {
        self.write("retrying a delivery", move |tx| retry(tx, app, id, now, &activity)).await
    }

    async fn test_record(&self, app: AppId, test: TestDelivery) -> Result<AttemptId> {
        // Its request has been sent already, so it waits for room like any other result.
        self.write_patiently("recording a test", move |tx| record_test(tx, app, &test)).await
    }
}
