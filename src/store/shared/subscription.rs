//! Endpoints as the writer remembers them, to accept events without reading them again.

use crate::domain::pattern::PatternIndex;
use crate::domain::{EndpointId, EndpointStatus, EventPattern, EventType};
use crate::store::shared::row_numbers::EndpointRow;

/// An endpoint, as far as events concern it.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) row: EndpointRow,
    pub(crate) id: EndpointId,
    pub(crate) status: EndpointStatus,
    pub(crate) events: Vec<EventPattern>,
    /// With a filter: its name and the filter.
    pub(crate) filter: Option<(String, String)>,
}

/// The endpoints of an app that events make deliveries for: not deleted, not disabled.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    index: PatternIndex,
}

impl Subscriptions {
    pub(crate) fn of(all: Vec<Subscription>) -> Subscriptions {
        let index = PatternIndex::new(all.iter().map(|subscription| subscription.events.as_slice()));
        Subscriptions { all, index }
    }

    /// All of them, in the order of their ids.
    pub(crate) fn all(&self) -> &[Subscription] {
        &self.all
    }

    /// Those that want events of this type.
    pub(crate) fn to(&self, event_type: &EventType) -> Vec<&Subscription> {
        self.index.wanting(event_type).into_iter().map(|number| &self.all[number]).collect()
    }
}
