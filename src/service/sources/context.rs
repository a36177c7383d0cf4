//! Where an event came from, what it means to a person, and who declines it: for the page of an event.

use std::sync::Arc;

use crate::domain::delivery_filter::DeliveryFilter;
use crate::domain::inbound::source::EventSource;
use crate::domain::pattern::any_matches;
use crate::domain::shaping::summary::Summary;
use crate::domain::shaping::{ParsedSubject, Subject};
use crate::domain::{EndpointId, EndpointStatus, EventId};
use crate::service::{Caller, Result};
use crate::store::{EndpointFilter, EventDetail, PageRequest, Start, Store};

/// Endpoints that are asked.
const ENDPOINTS_MAX: u32 = 200;

/// The surroundings of an event.
#[derive(Debug, Clone, Default)]
pub struct EventContext {
    pub source: Option<EventSource>,
    /// `None` when the payload is gone.
    pub summary: Option<Summary>,
    /// Id and name of endpoints whose patterns match the event and whose filters decline it now.
    pub declined: Vec<(EndpointId, String)>,
    /// The settings of an endpoint that was asked about.
    pub shaping: Option<Shaping>,
}

/// How an endpoint chooses events and shapes requests.
#[derive(Debug, Clone)]
pub struct Shaping {
    /// The name of its recipe.
    pub preset: Option<String>,
    pub filter: Option<String>,
    pub is_shaped: bool,
}

/// The use case.
pub struct Contexts {
    store: Arc<dyn Store>,
}

impl Contexts {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>) -> Contexts {
        Contexts { store }
    }

    /// The context of an event, and the settings of an endpoint, both of the caller's app. What is unknown is left
    /// out.
    pub async fn of(
        &self,
        caller: &Caller,
        event: Option<EventId>,
        endpoint: Option<EndpointId>,
    ) -> Result<EventContext> {
        let context = match event {
            Some(event) => self.of_event(caller, event).await?,
            None => EventContext::default(),
        };
        let found = match endpoint {
            Some(id) => self.store.endpoint_get(caller.app_id, id).await?,
            None => None,
        };
        let shaping = found.map(|endpoint| Shaping {
            preset: endpoint.settings.preset.map(|preset| preset.name),
            filter: endpoint.settings.filter,
            is_shaped: endpoint.settings.request.is_some(),
        });
        Ok(EventContext { shaping, ..context })
    }

    async fn of_event(&self, caller: &Caller, event: EventId) -> Result<EventContext> {
        let Some(detail) = self.store.event_get(caller.app_id, event).await? else {
            return Ok(EventContext::default());
        };
        let source = self.store.source_of_event(caller.app_id, event).await?;
        let Some(payload) = &detail.payload else {
            return Ok(EventContext { source, ..EventContext::default() });
        };
        let text = source.as_ref().and_then(|source| source.summary.clone()).unwrap_or_default();
        let templates = text.parsed()?;
        let subject = ParsedSubject::new(Subject {
            id: Some(event),
            event_type: &detail.event.event_type,
            resource_id: detail.event.resource_id.as_deref(),
            source: source.as_ref().map(|source| source.name.as_str()),
            summary: Some(&templates),
            created_at: detail.event.created_at,
            payload,
        });
        let (summary, declined) = (Some(subject.summary()), self.declined(caller, &detail, &subject).await?);
        Ok(EventContext { summary, declined, source, shaping: None })
    }

    /// Only asked when some declined the event when it was taken in.
    async fn declined(
        &self,
        caller: &Caller,
        detail: &EventDetail,
        subject: &ParsedSubject<'_>,
    ) -> Result<Vec<(EndpointId, String)>> {
        if detail.event.filtered == 0 {
            return Ok(vec![]);
        }
        let page = PageRequest { start: Start::Page(1), per_page: ENDPOINTS_MAX };
        let endpoints = self.store.endpoint_list(caller.app_id, EndpointFilter::default(), page).await?.rows;
        let declined = endpoints.into_iter().filter_map(|endpoint| {
            let settings = endpoint.settings;
            let filter = settings.filter.map(DeliveryFilter::new)?;
            let matches = endpoint.status != EndpointStatus::Disabled
                && any_matches(&settings.events, &detail.event.event_type);
            let declines = matches && !filter.judge(subject, &settings.name).is_wanted;
            declines.then_some((endpoint.id, settings.name))
        });
        Ok(declined.collect())
    }
}
