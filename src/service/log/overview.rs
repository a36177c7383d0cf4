//! An overview: pending deliveries, and which endpoints need attention.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::health::{self, HealthState, HealthSummary};
use crate::domain::{EndpointId, EndpointStatus, Timestamp};
use crate::host::clock::Clock;
use crate::store::{Store, TOTAL_CAP};

use crate::service::log::statistics::Summary;
use crate::service::{Caller, Dispatch, Result};

pub use crate::store::EndpointBrief;

const HOUR_MS: i64 = 3_600_000;
/// Hours of the series, the present one included.
const HOURS: i64 = 24;
/// The most endpoints that are listed as needing attention; the list of webhooks has them all.
const ATTENTION_MAX: usize = 50;

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

    /// Every endpoint of the caller's app with its figures, and its last 24 hours one by one.
    pub async fn health(&self, caller: &Caller) -> Result<Vec<(EndpointId, Summary, Vec<Hour>)>> {
        let first = self.clock.now().hour().plus_ms(-(HOURS - 1) * HOUR_MS);
        let found = self.store.endpoint_hours(caller.app_id, first).await?;
        let all = self.summaries(caller).await?;
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
        Ok(all.into_iter().map(|(brief, summary)| (brief.id, summary, hours_of(brief.id))).collect())
    }

    /// All endpoints with their figures, newest first.
    async fn summaries(&self, caller: &Caller) -> Result<Vec<(EndpointBrief, Summary)>> {
        let briefs = self.store.endpoint_briefs(caller.app_id).await?;
        let ids = briefs.iter().map(|brief| brief.id).collect();
        let figures = self.store.stats_endpoints(caller.app_id, ids, self.clock.now()).await?;
        let mut figures = figures.into_iter().peekable();
        let joined = briefs.into_iter().filter_map(|brief| {
            let own = figures.next_if(|figures| figures.endpoint_id == brief.id)?;
            Some((brief, Summary::of(&own)))
        });
        Ok(joined.collect())
    }
}
