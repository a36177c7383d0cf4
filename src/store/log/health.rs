//! The health of endpoints: read from the record and the counts of each, never from the log.

use async_trait::async_trait;

use crate::domain::filter::{EndpointKey, EndpointSort};
use crate::domain::health::{HealthState, HealthSummary};
use crate::domain::{AppId, Endpoint, EndpointId, Timestamp};
use crate::store::{EndpointBrief, EndpointFilter, Page, PageRequest, Result};

/// Health.
#[async_trait]
pub trait HealthStore: Send + Sync {
    /// How these endpoints of the app stand at `now`, in the same order; unknown ones are left out.
    async fn endpoint_health(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        now: Timestamp,
    ) -> Result<Vec<HealthSummary>>;
    /// How all endpoints of the app stand at `now`, newest first; deleted ones are left out. When a degraded one
    /// became so is not looked up.
    async fn app_health(&self, app: AppId, now: Timestamp) -> Result<Vec<(EndpointBrief, HealthSummary)>>;
    /// How many endpoints, of all apps, are in each state at `now`, in the order of [`HealthState::ALL`].
    async fn health_counts(&self, now: Timestamp) -> Result<Vec<(HealthState, u64)>>;
    /// Endpoints of an app in some of the states (none given: all), in an order of `sort`. Ties go by id, in the
    /// same direction; nulls come last.
    async fn endpoint_ranked(
        &self,
        app: AppId,
        filter: EndpointFilter,
        sort: EndpointSort,
        page: PageRequest<EndpointKey>,
        now: Timestamp,
    ) -> Result<Page<Endpoint, EndpointKey>>;
}
