//! The delivery log: its lists and details.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio_postgres::Row;

use crate::domain::access::activity::Activity;
use crate::domain::attempts::attempt::{Attempt, AttemptDetail, Request, Response, Route, Timings};
use crate::domain::{AppId, AttemptId, EndpointId, Timestamp};
use crate::store::postgres::engine::cache;
use crate::store::postgres::engine::conn::{Conn, Statements as _, plan_by_values};
use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::{Columns as _, EventRow};
use crate::store::postgres::engine::store::PostgresStore;
use crate::store::postgres::log::plan::Plan;
use crate::store::postgres::log::{merge, search};
use crate::store::postgres::queue::{attempts, manual, shown};
use crate::store::shared::header_text;
use crate::store::shared::paging::{empty, page_of, skipped, total};
use crate::store::shared::scan::Budget;
use crate::store::{
    AttemptFilter, LogKey, LogStore, Page, PageRequest, Result, Retried, SearchPage, Sort, Start, TOTAL_CAP,
    TestDelivery,
};

async fn list(
    conn: &Conn,
    partitions: &Partitions,
    app: AppId,
    filter: &AttemptFilter,
    sort: Sort,
    page: &PageRequest<LogKey>,
) -> DbResult<Page<Attempt, LogKey>> {
    plan_by_values(conn).await?;
    let Some(app) = cache::app_row(conn, app).await? else { return Ok(empty()) };
    let Some(mut plan) = Plan::of(conn, partitions, app, filter).await? else { return Ok(empty()) };
    let counted = plan.count(conn, TOTAL_CAP + 1).await?;
    let (after, offset) = match &page.start {
        Start::Page(number) => (None, usize::try_from(skipped(*number, page.per_page)).unwrap_or(usize::MAX)),
        Start::After(key) => (Some(key), 0),
    };
    let most = offset.saturating_add(page.per_page as usize + 1);
    let mut keys = merge::find(conn, &mut plan, sort, after, most).await?;
    keys.drain(..offset.min(keys.len()));
    let keys = page_of(keys, page.per_page, total(counted), LogKey::clone);
    let ids: Vec<AttemptId> = keys.rows.iter().map(|key| key.id).collect();
    let rows = shown::list_rows(conn, &ids).await?;
    Ok(Page { rows, total: keys.total, next: keys.next })
}

async fn detail(conn: &Conn, app: AppId, id: AttemptId) -> DbResult<Option<AttemptDetail>> {
    plan_by_values(conn).await?;
    let Some(row) = attempts::of_app(conn, app, id).await? else { return Ok(None) };
    let attempt = shown::list_row(conn, id).await?;
    let (mut request, response, route) = exchange(conn, id, attempt.response_status).await?;
    let mut request_body = None;
    if let Some(request) = &mut request {
        // What retention has taken is not shown as it was sent, either.
        let payload = payload(conn, row.event).await?;
        request.body = request.body.take().filter(|_| payload.is_some());
        request_body = request.body.clone().or(payload);
    }
    let attempts = shown::of_delivery(conn, row.delivery()).await?;
    Ok(Some(AttemptDetail { attempt, request, request_body, response, route, attempts }))
}

type Exchange = (Option<Request>, Option<Response>, Option<Route>);

const EXCHANGE: &str = "SELECT request_method, request_url, request_headers, request_body, response_headers, \
     response_body, response_truncated, remote_address, dns_ms, connect_ms, tls_ms, first_byte_ms \
     FROM log WHERE id = $1";

/// What was sent and what came back, as far as it was stored.
async fn exchange(conn: &Conn, id: AttemptId, status: Option<u16>) -> DbResult<Exchange> {
    let Some(row) = conn.row_opt(EXCHANGE, &[&id]).await? else { return Ok(Exchange::default()) };
    let headers = |name: &str| -> DbResult<_> {
        let text: Option<&str> = row.col(name)?;
        Ok(text.map(header_text::read).transpose()?.unwrap_or_default())
    };
    let request = match row.col("request_url")? {
        None => None,
        Some(url) => {
            let (method, body) = (row.col("request_method")?, row.col("request_body")?);
            Some(Request { method, url, headers: headers("request_headers")?, body })
        }
    };
    let response = match status {
        None => None,
        Some(status) => Some(Response {
            status,
            headers: headers("response_headers")?,
            body: row.col::<Option<Vec<u8>>>("response_body")?.unwrap_or_default(),
            body_truncated: row.col::<Option<bool>>("response_truncated")?.unwrap_or_default(),
        }),
    };
    Ok((request, response, route(&row)?))
}

/// Where the request went; rows of earlier versions do not tell.
fn route(row: &Row) -> DbResult<Option<Route>> {
    let timings = Timings {
        dns_ms: row.opt_num("dns_ms")?,
        connect_ms: row.opt_num("connect_ms")?,
        tls_ms: row.opt_num("tls_ms")?,
        first_byte_ms: row.opt_num("first_byte_ms")?,
    };
    let address: Option<&str> = row.col("remote_address")?;
    let remote_address = address.map(|text| text.parse().map_err(|_| fault("a kept address does not read")));
    let route = Route { remote_address: remote_address.transpose()?, timings };
    Ok(Some(route).filter(|route| *route != Route::default()))
}

async fn payload(conn: &Conn, event: EventRow) -> DbResult<Option<Vec<u8>>> {
    conn.row("SELECT payload FROM events WHERE id = $1", &[&event]).await?.col("payload")
}

#[async_trait]
impl LogStore for PostgresStore {
    async fn attempt_list(
        &self,
        app: AppId,
        filter: AttemptFilter,
        sort: Sort,
        page: PageRequest<LogKey>,
    ) -> Result<Page<Attempt, LogKey>> {
        let partitions = self.partitions.clone();
        self.read("reading the log", move |conn| {
            async move { list(conn, &partitions, app, &filter, sort, &page).await }.boxed()
        })
        .await
    }

    async fn attempt_search(
        &self,
        app: AppId,
        filter: AttemptFilter,
        page: PageRequest<LogKey>,
    ) -> Result<SearchPage<Attempt, LogKey>> {
        let partitions = self.partitions.clone();
        self.read("searching the log", move |conn| {
            async move { search::attempts(conn, &partitions, app, &filter, &page, Budget::USUAL).await }
                .boxed()
        })
        .await
    }

    async fn attempt_get(&self, app: AppId, id: AttemptId) -> Result<Option<AttemptDetail>> {
        self.read("reading an attempt", move |conn| async move { detail(conn, app, id).await }.boxed()).await
    }

    async fn attempt_endpoint(&self, app: AppId, id: AttemptId) -> Result<Option<EndpointId>> {
        self.read("reading an attempt's webhook", move |conn| manual::endpoint_of(conn, app, id).boxed())
            .await
    }

    async fn attempt_retry(
        &self,
        app: AppId,
        id: AttemptId,
        in_flight: Vec<AttemptId>,
        now: Timestamp,
        activity: Activity,
    ) -> Result<Retried> {
        self.write("retrying a delivery", move |tx| {
            async move { manual::retry(tx, app, id, &in_flight, now, &activity).await }.boxed()
        })
        .await
    }

    async fn test_record(&self, app: AppId, test: TestDelivery) -> Result<AttemptId> {
        // Its request has been sent already, so it waits for room like any other result.
        self.write_patiently("recording a test", move |tx| {
            async move { manual::record_test(tx, app, &test).await }.boxed()
        })
        .await
    }
}
