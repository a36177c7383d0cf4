//! The delivery log: its lists and details.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::domain::access::activity::Activity;
use crate::domain::attempts::attempt::{Attempt, AttemptDetail, Request, Response, Route, Timings};
use crate::domain::{AppId, AttemptId, EndpointId, Timestamp};
use crate::store::shared::header_text;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::scan::Budget;
use crate::store::sqlite::engine::cache;
use crate::store::sqlite::engine::error::fault;
use crate::store::sqlite::engine::rows::EventRow;
use crate::store::sqlite::engine::store::SqliteStore;
use crate::store::sqlite::log::merge;
use crate::store::sqlite::log::plan::{Bounds, Plan};
use crate::store::sqlite::log::search;
use crate::store::sqlite::queue::{attempts, header_values, manual};
use crate::store::{
    AttemptFilter, LogKey, LogStore, Page, PageRequest, Result, Retried, SearchPage, Sort, Start, TOTAL_CAP,
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

fn detail(conn: &Connection, app: AppId, id: AttemptId) -> rusqlite::Result<Option<AttemptDetail>> {
    let Some(row) = attempts::of_app(conn, app, id)? else { return Ok(None) };
    let attempt = attempts::list_row(conn, id)?;
    let (mut request, response, route) = exchange(conn, id, attempt.response_status)?.unwrap_or_default();
    let mut request_body = None;
    if let Some(request) = &mut request {
        // What retention has taken is not shown as it was sent, either.
        let payload = payload(conn, row.event)?;
        request.body = request.body.take().filter(|_| payload.is_some());
        request_body = request.body.clone().or(payload);
    }
    let attempts = attempts::of_delivery(conn, row.delivery())?;
    Ok(Some(AttemptDetail { attempt, request, request_body, response, route, attempts }))
}

type Exchange = (Option<Request>, Option<Response>, Option<Route>);

/// What was sent and what came back, as far as it was stored.
fn exchange(conn: &Connection, id: AttemptId, status: Option<u16>) -> rusqlite::Result<Option<Exchange>> {
    let headers = |text: Option<String>| text.as_deref().map(header_text::read).transpose();
    conn.prepare_cached(
        "SELECT request_method, request_url, request_headers, request_body, response_headers, response_body, \
         response_truncated, remote_address, dns_ms, connect_ms, tls_ms, first_byte_ms \
         FROM attempt_details WHERE attempt = ?1",
    )?
    .query_row([id], |row| {
        let request = match row.get("request_url")? {
            None => None,
            Some(url) => {
                let headers = headers(row.get("request_headers")?)?.unwrap_or_default();
                let headers = header_values::resolve(conn, headers)?;
                let method = row.get("request_method")?;
                Some(Request { method, url, headers, body: row.get("request_body")? })
            }
        };
        let response = match status {
            None => None,
            Some(status) => Some(Response {
                status,
                headers: headers(row.get("response_headers")?)?.unwrap_or_default(),
                body: row.get::<_, Option<Vec<u8>>>("response_body")?.unwrap_or_default(),
                body_truncated: row.get::<_, Option<bool>>("response_truncated")?.unwrap_or_default(),
            }),
        };
        Ok((request, response, route(row)?))
    })
    .optional()
}

/// Where the request went; rows of earlier versions do not tell.
fn route(row: &Row<'_>) -> rusqlite::Result<Option<Route>> {
    let timings = Timings {
        dns_ms: row.get("dns_ms")?,
        connect_ms: row.get("connect_ms")?,
        tls_ms: row.get("tls_ms")?,
        first_byte_ms: row.get("first_byte_ms")?,
    };
    let address: Option<String> = row.get("remote_address")?;
    let remote_address = address.map(|text| text.parse().map_err(|_| fault("a kept address does not read")));
    let route = Route { remote_address: remote_address.transpose()?, timings };
    Ok(Some(route).filter(|route| *route != Route::default()))
}

fn payload(conn: &Connection, event: EventRow) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT payload FROM events WHERE id = ?1")?.query_row([event], |row| row.get(0))
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

    async fn attempt_search(
        &self,
        app: AppId,
        filter: AttemptFilter,
        page: PageRequest<LogKey>,
    ) -> Result<SearchPage<Attempt, LogKey>> {
        self.read("searching the log", move |conn| {
            search::attempts(conn, app, &filter, &page, Budget::USUAL, Bounds::USUAL)
        })
        .await
    }

    async fn attempt_get(&self, app: AppId, id: AttemptId) -> Result<Option<AttemptDetail>> {
        self.read("reading an attempt", move |conn| detail(conn, app, id)).await
    }

    async fn attempt_endpoint(&self, app: AppId, id: AttemptId) -> Result<Option<EndpointId>> {
        self.read("reading an attempt's webhook", move |conn| manual::endpoint_of(conn, app, id)).await
    }

    async fn attempt_retry(
        &self,
        app: AppId,
        id: AttemptId,
        in_flight: Vec<AttemptId>,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Retried> {
        self.write("retrying a delivery", move |tx| manual::retry(tx, app, id, &in_flight, now, &activity))
            .await
    }

    async fn test_record(&self, app: AppId, test: TestDelivery) -> Result<AttemptId> {
        // Its request has been sent already, so it waits for room like any other result.
        self.write_patiently("recording a test", move |tx| manual::record_test(tx, app, &test)).await
    }
}
