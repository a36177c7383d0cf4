//! `/v1/webhooks/…/deliveries`: the delivery log.

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json as Answer;
use serde::{Deserialize, Serialize};

use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::{LogKey, View};
use crate::domain::values::list::SearchPage;
use crate::domain::{AttemptId, EndpointId};
use crate::http::problem::Problem;
use crate::http::request::auth::{ReadWebhooks, WriteWebhooks};
use crate::http::request::paging::Paging;
use crate::http::request::query::Query;
use crate::service::{Kind, ServiceError};

use super::endpoints::endpoint_id;
use super::places::PlaceValue;
use super::shapes::{self, Accepted, AttemptResource, List, One, one};
use super::{Tag, filters, id_of, map_key, map_next, params};

/// The operations.
pub struct DeliveriesApi;

#[OpenApi(tag = "Tag::Deliveries")]
impl DeliveriesApi {
    /// List deliveries of all webhooks
    ///
    /// Delivery attempts, newest first, one row for each HTTP request, with `endpoint_url` and
    /// `endpoint_name`. Rows of deleted webhooks are among them. With `view=deliveries`, one row for each delivery.
    #[oai(path = "/webhooks/deliveries", method = "get", operation_id = "list_all_deliveries")]
    async fn list_all(
        &self,
        auth: ReadWebhooks,
        request: &Request,
    ) -> Result<Answer<List<AttemptResource>>, Problem> {
        list(&auth, None, request).await
    }

    /// List deliveries of a webhook
    ///
    /// Delivery attempts, newest first, one row for each HTTP request; with `view=deliveries`, one row for each
    /// delivery.
    #[oai(path = "/webhooks/:id/deliveries", method = "get", operation_id = "list_deliveries")]
    async fn list_one(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
        request: &Request,
    ) -> Result<Answer<List<AttemptResource>>, Problem> {
        let id = endpoint_id(&id)?;
        auth.state.services.endpoints.get(&auth.caller, id).await?;
        list(&auth, Some(id), request).await
    }

    /// Get a delivery attempt
    ///
    /// With `request` (exactly what was sent; secret header values are masked), `response` (as far as it
    /// is kept) and `attempts` (all of the same delivery).
    #[oai(path = "/webhooks/deliveries/:id", method = "get", operation_id = "get_delivery")]
    async fn get(
        &self,
        auth: ReadWebhooks,
        id: Path<String>,
    ) -> Result<Answer<One<AttemptResource>>, Problem> {
        let detail = auth.state.services.deliveries.get(&auth.caller, attempt_id(&id)?).await?;
        Ok(one(AttemptResource::detail(&detail)))
    }

    /// Retry a delivery
    ///
    /// One attempt now, whatever the webhook's status. Any row of the delivery may be named. An exhausted
    /// delivery gets its next attempt; a delivered or cancelled one is sent again; a pending one is a 409.
    #[oai(path = "/webhooks/deliveries/:id/retry", method = "post", operation_id = "retry_delivery")]
    async fn retry(
        &self,
        auth: WriteWebhooks,
        id: Path<String>,
    ) -> Result<Accepted<One<AttemptResource>>, Problem> {
        let attempt = auth.state.services.deliveries.retry(&auth.caller, attempt_id(&id)?).await?;
        Ok(Accepted::Accepted(one(AttemptResource::of(&attempt, true))))
    }
}

async fn list(
    auth: &ReadWebhooks,
    endpoint: Option<EndpointId>,
    request: &Request,
) -> Result<Answer<List<AttemptResource>>, Problem> {
    let caller = &auth.caller;
    let mut query = Query::of(request, &params::attempt_list(endpoint.is_some()));
    let mut filter = filters::of_log(&mut query);
    let sort = filters::sort(&mut query, &filter);
    let (path, scope) = match endpoint {
        Some(id) => (format!("/v1/webhooks/{id}/deliveries"), format!("deliveries {} {id}", caller.app_id)),
        None => ("/v1/webhooks/deliveries".to_owned(), format!("deliveries {}", caller.app_id)),
    };
    let read = Paging::read::<Place>(&mut query, &auth.state.cursors, auth.state.path(&path), &scope);
    let (paging, page) = filters::settle(query, read, filter.reads_rows())?;
    if endpoint.is_some() {
        filter.endpoint = endpoint;
    }
    let page = map_key(page, LogKey::from);
    let view = filter.view;
    if filter.reads_rows() {
        let found = auth.state.services.deliveries.search(caller, filter, page).await?;
        let data = found.rows.iter().map(|a| row(a, endpoint.is_none(), view)).collect();
        let next = found.next.map(Place::from);
        let (links, meta) =
            paging.searched(&SearchPage::<Attempt, Place> { rows: vec![], scanned: found.scanned, next });
        return Ok(Answer(List { data, links, meta }));
    }
    let found = auth.state.services.deliveries.list(caller, filter, sort, page).await?;
    let found = map_next(found, Place::from);
    Ok(shapes::list(&paging, &found, |a| row(a, endpoint.is_none(), view)))
}

fn row(attempt: &Attempt, with_endpoint: bool, view: View) -> AttemptResource {
    let row = AttemptResource::of(attempt, with_endpoint);
    if view == View::Deliveries { row.with_last(attempt) } else { row }
}

fn attempt_id(text: &str) -> Result<AttemptId, Problem> {
    id_of(text).ok_or_else(|| ServiceError::NotFound(Kind::Delivery).into())
}

/// A place in the log, as a cursor holds it.
#[derive(Clone, Serialize, Deserialize)]
struct Place(i64, Option<PlaceValue>);

impl From<LogKey> for Place {
    fn from(key: LogKey) -> Place {
        Place(key.id.0, PlaceValue::of(key.value))
    }
}

impl From<Place> for LogKey {
    fn from(place: Place) -> LogKey {
        LogKey { id: AttemptId(place.0), value: PlaceValue::read(place.1) }
    }
}
