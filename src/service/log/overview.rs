//! An overview: pending deliveries, and which endpoints need attention.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::health::{self, HealthState, HealthSummary};
use crate::domain::{EndpointId, EndpointStatus, EventId, Timestamp};
use crate::host::clock::Clock;
use crate::store::{EndpointFilter, PageRequest, Start, Store, TOTAL_CAP};

use crate::service::log::statistics::Summary;
use crate::service::{Caller, Dispatch, Result};

pub use crate::store::{EndpointBrief, EventOutcome};

/// The most endpoints whose health one request asks for: a page of a list.
pub const HEALTH_MAX: u32 = 200;

const HOUR_MS: i64 = 3_600_000;
/// Hours of the series, the present one included.
const HOURS: i64 = 24;
/// The most endpoints that are listed as needing attention; the list of webhooks has them all.
const ATTENTION_MAX: usize = 50;
/// The most deliveries of an event that are counted for its outcome; the page of the event has them all.
const OUTCOMES_MAX: u32 = 1_000;

/// An hour of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    pub start: Timestamp,
    pub delivered: u64,
    pub exhausted: u64,
}

/// An endpoint that needs somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    pub endpoint: EndpointBrief,
    pub standing: HealthSummary,
    pub summary: Summary,
}

/// An app at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Deliveries that wait, for their time or for a paused endpoint.
    pub pending: u64,
    /// Attempts that are to be sent now, those in flight included; exact up to 10,000.
    pub due: u64,
    pub oldest_due_at: Option<Timestamp>,
    pub in_flight: u64,
    pub active: u64,
    pub paused: u64,
    pub disabled: u64,
    /// How many webhooks are in each state, from the worst to the best.
    pub states: Vec<(HealthState, u64)>,
    /// The worst first.
    pub attention: Vec<Attention>,
}

/// The use cases.
pub struct Overviews {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    dispatch: Arc<dyn Dispatch>,
}

impl Overviews {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, dispatch: Arc<dyn Dispatch>) -> Overviews {
        Overviews { store, clock, dispatch }
    }

    /// The caller's app at a glance.
    pub async fn overview(&self, caller: &Caller) -> Result<Overview> {
        let (app, now) = (caller.app_id, self.clock.now());
        let cap = u32::try_from(TOTAL_CAP).unwrap_or(u32::MAX);
        let due = self.store.due_figures(app, now, cap).await?;
        let totals = self.store.stats_totals(app, None).await?;
        let all = self.store.app_health(app, now).await?;
        let count = |status| all.iter().filter(|(brief, _)| brief.status == status).count() as u64;
        let (active, paused, disabled) =
            (count(EndpointStatus::Active), count(EndpointStatus::Paused), count(EndpointStatus::Disabled));
        let in_state =
            |state| all.iter().filter(|(_, standing)| standing.health.state == state).count() as u64;
        let states = HealthState::ALL.iter().map(|state| (*state, in_state(*state))).collect();
        let attention = self.attention(caller, all).await?;
        Ok(Overview {
            pending: totals.pending,
            due: due.due,
            oldest_due_at: due.oldest_due_at,
            in_flight: self.dispatch.in_flight(app),
            active,
            paused,
            disabled,
            states,
            attention,
        })
    }

    /// The endpoints that need attention, the worst first, with their figures.
    async fn attention(
        &self,
        caller: &Caller,
        all: Vec<(EndpointBrief, HealthSummary)>,
    ) -> Result<Vec<Attention>> {
        let mut found: Vec<(EndpointBrief, HealthSummary)> = all
            .into_iter()
            .filter(|(brief, standing)| {
                let reason = brief.status_reason.as_deref();
                health::needs_attention(standing.health.state, reason, standing.waiting)
            })
            .collect();
        found.sort_by_key(|(_, standing)| standing.health.state);
        found.truncate(ATTENTION_MAX);
        let ids = found.iter().map(|(brief, _)| brief.id).collect();
        let figures = self.store.stats_endpoints(caller.app_id, ids, self.clock.now()).await?;
        let mut figures = figures.into_iter().peekable();
        let joined = found.into_iter().filter_map(|(endpoint, _)| {
            let own = figures.next_if(|figures| figures.endpoint_id == endpoint.id)?;
            let summary = Summary::of(&own);
            Some(Attention { endpoint, standing: own.standing, summary })
        });
        Ok(joined.collect())
    }

    /// These endpoints of the caller's app, or the newest [`HEALTH_MAX`], newest first, with their figures, and the
    /// last 24 hours one by one.
    pub async fn health(
        &self,
        caller: &Caller,
        ids: Option<Vec<EndpointId>>,
    ) -> Result<Vec<(EndpointId, Summary, Vec<Hour>)>> {
        let (app, now) = (caller.app_id, self.clock.now());
        let first = now.hour().plus_ms(-(HOURS - 1) * HOUR_MS);
        let ids = match ids {
            Some(ids) => ids,
            None => {
                let page = PageRequest { start: Start::Page(1), per_page: HEALTH_MAX };
                let newest = self.store.endpoint_list(app, EndpointFilter::default(), page).await?;
                newest.rows.into_iter().map(|endpoint| endpoint.id).collect()
            }
        };
        let found = self.store.endpoint_hours(app, ids.clone(), first).await?;
        let figures = self.store.stats_endpoints(app, ids, now).await?;
        let mut counted: HashMap<_, _> =
            found.into_iter().map(|hour| ((hour.endpoint_id, hour.start), hour)).collect();
        let mut hours_of = |id: EndpointId| -> Vec<Hour> {
            let starts = (0..HOURS).map(|i| first.plus_ms(i * HOUR_MS));
            let hour = |start| {
                let counted = counted.remove(&(id, start));
                let (delivered, exhausted) = counted.map_or((0, 0), |hour| (hour.delivered, hour.exhausted));
                Hour { start, delivered, exhausted }
            };
            starts.map(hour).collect()
        };
        let joined = figures.iter().map(|own| {
            let id = own.endpoint_id;
            (id, Summary::of(own), hours_of(id))
        });
        Ok(joined.collect())
    }

    /// How the deliveries of these events of the caller's app stand.
    pub async fn outcomes(
        &self,
        caller: &Caller,
        events: Vec<EventId>,
    ) -> Result<Vec<(EventId, EventOutcome)>> {
        Ok(self.store.event_outcomes(caller.app_id, events, OUTCOMES_MAX).await?)
    }
}
