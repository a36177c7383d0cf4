//! The delivery log: read it, and send again.

use std::sync::Arc;

use serde_json::json;

use crate::cluster::Signals;
use crate::domain::attempts::attempt::{Attempt, AttemptDetail};
use crate::domain::network::is_private;
use crate::domain::{ActivityKind, AttemptId};
use crate::host::clock::Clock;
use crate::store::{AttemptFilter, LogKey, Page, PageRequest, Retried, SearchPage, Sort, Store};

use crate::service::{Caller, Dispatch, Kind, Result, ServiceError};

/// The use cases of the log.
pub struct Deliveries {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    dispatch: Arc<dyn Dispatch>,
    signals: Arc<dyn Signals>,
}

impl Deliveries {
    /// Joins the parts.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        dispatch: Arc<dyn Dispatch>,
        signals: Arc<dyn Signals>,
    ) -> Deliveries {
        Deliveries { store, clock, dispatch, signals }
    }

    /// A page of the log. A filter for an endpoint that is not there, or not this app's, finds nothing.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: AttemptFilter,
        sort: Sort,
        page: PageRequest<LogKey>,
    ) -> Result<Page<Attempt, LogKey>> {
        let mut page = self.store.attempt_list(caller.app_id, filter, sort, page).await?;
        page.rows.iter_mut().for_each(|attempt| caller.hide_address_of(attempt));
        Ok(page)
    }

    /// A page of what a filter with a text finds ([`AttemptFilter::reads_rows`]).
    pub async fn search(
        &self,
        caller: &Caller,
        filter: AttemptFilter,
        page: PageRequest<LogKey>,
    ) -> Result<SearchPage<Attempt, LogKey>> {
        let filter = caller.filter(filter)?;
        let mut page = self.store.attempt_search(caller.app_id, filter, page).await?;
        page.rows.iter_mut().for_each(|attempt| caller.hide_address_of(attempt));
        Ok(page)
    }

    /// One attempt with request and response.
    pub async fn get(&self, caller: &Caller, id: AttemptId) -> Result<AttemptDetail> {
        let found = self.store.attempt_get(caller.app_id, id).await?;
        let mut detail = found.ok_or(ServiceError::NotFound(Kind::Delivery))?;
        caller.hide_address_of(&mut detail.attempt);
        if let Some(route) = &mut detail.route
            && !caller.sees_addresses()
        {
            route.remote_address = route.remote_address.filter(|address| !is_private(address.ip()));
        }
        Ok(detail)
    }

    /// Sends a delivery now: again and once, or, if it is pending, ahead of its time. Any of its rows may be named.
    pub async fn retry(&self, caller: &Caller, id: AttemptId) -> Result<Attempt> {
        let now = self.clock.now();
        let summary = format!("Delivery {id}: retried by hand.");
        let activity =
            caller.activity(ActivityKind::DeliveryRetried, summary, json!({ "attempt_id": id.0 }), now);
        let conflict = |text: &str| Err(ServiceError::Conflict(text.to_owned()));
        let in_flight = match self.store.attempt_endpoint(caller.app_id, id).await? {
            None => return Err(ServiceError::NotFound(Kind::Delivery)),
            Some(endpoint) => self.dispatch.sending_to(endpoint).await,
        };
        match self.store.attempt_retry(caller.app_id, id, in_flight, now, activity).await? {
            Retried::NotFound => Err(ServiceError::NotFound(Kind::Delivery)),
            Retried::InFlight => conflict("The delivery is being sent at this moment; wait for its result."),
            Retried::EndpointDeleted => conflict("The webhook was deleted; there is nowhere to send to."),
            Retried::EventGone => {
                conflict("The event's payload was removed by the retention policy; there is nothing to send.")
            }
            Retried::Queued(mut attempt, queued) => {
                self.signals.queued(&[queued]);
                caller.hide_address_of(&mut attempt);
                Ok(*attempt)
            }
        }
    }
}
