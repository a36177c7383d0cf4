//! Rows that an id names: those of a delivery, of an event, of a resource.
//!
//! They lie together in no index of an order, but are few in any log: each of them is looked at, and the filter
//! tests it here. A resource may have many; the cost follows how many rows it has, never how many the log has.

use crate::domain::AttemptId;
use crate::store::SortField;
use crate::store::shared::class::Class;
use crate::store::shared::row_numbers::{AppRow, EndpointRow, EventRow};
use crate::store::shared::selection::SearchHits;

/// What names rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Delivery(i64),
    Event(EventRow),
    Resource(String),
}

/// A row, as far as filters and orders concern it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedRow {
    pub(crate) id: i64,
    pub(crate) delivery: i64,
    pub(crate) endpoint: EndpointRow,
    pub(crate) event: EventRow,
    pub(crate) class: Class,
    pub(crate) created_at: i64,
    pub(crate) attempted_at: Option<i64>,
    pub(crate) response_time_ms: Option<i64>,
}

impl NamedRow {
    /// What the row is sorted by.
    pub(crate) fn value(&self, field: SortField) -> Option<i64> {
        match field {
            SortField::Id => Some(0),
            SortField::Delivery => Some(self.delivery),
            SortField::CreatedAt => Some(self.created_at),
            SortField::AttemptedAt => self.attempted_at,
            SortField::LastActivity => Some(self.attempted_at.unwrap_or(self.created_at)),
            SortField::Status => Some(self.class.status_order()),
            SortField::ResponseStatus => self.class.response_status(),
            SortField::ResponseTime => self.response_time_ms,
        }
    }
}

/// The rows of some keys, and what of the filter no key says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) app: AppRow,
    pub(crate) keys: Vec<Key>,
    event: Option<EventRow>,
    resource: Option<String>,
    /// What the search text has found.
    found: Option<SearchHits>,
    /// Whether rows are meant that the text's names do not lead to; else those that anything of it leads to.
    beyond_names: bool,
}

impl Named {
    /// By the ids of a filter, whose event is looked up already. `None`: it has none.
    pub(crate) fn of_ids(
        app: AppRow,
        delivery: Option<AttemptId>,
        event: Option<EventRow>,
        resource: Option<String>,
        found: Option<&SearchHits>,
    ) -> Option<Named> {
        // The one that names the fewest rows leads; the others test them.
        let key = match (delivery, event, &resource) {
            (Some(id), ..) => Key::Delivery(id.0),
            (None, Some(event), _) => Key::Event(event),
            (None, None, Some(text)) => Key::Resource(text.clone()),
            (None, None, None) => return None,
        };
        let found = found.cloned();
        Some(Named { app, keys: vec![key], event, resource, found, beyond_names: false })
    }

    /// By the search text, as far as it is an id; rows that its names lead to are left out.
    pub(crate) fn of_text(app: AppRow, found: &SearchHits) -> Option<Named> {
        let event = found.event.map(Key::Event);
        let keys: Vec<Key> = event.into_iter().chain(found.resource.clone().map(Key::Resource)).collect();
        let found = Some(found.clone());
        let named = Named { app, keys, event: None, resource: None, found, beyond_names: true };
        (!named.keys.is_empty()).then_some(named)
    }

    /// Whether a row of the key at `at` was a row of an earlier one.
    pub(crate) fn is_repeated(&self, at: usize, row: &NamedRow) -> bool {
        self.keys[..at].contains(&Key::Event(row.event))
    }

    /// The resource that rows are tested for, apart from that of the key that leads.
    pub(crate) fn tested_resources(&self) -> impl Iterator<Item = &str> {
        let found = self.found.as_ref().and_then(|found| found.resource.as_deref());
        self.resource.as_deref().into_iter().chain(found)
    }

    /// Whether the row is meant; `is_about` says whether its event is about a resource.
    pub(crate) fn admits<E>(
        &self,
        row: &NamedRow,
        is_about: impl Fn(&str) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if self.event.is_some_and(|event| event != row.event) {
            return Ok(false);
        }
        if let Some(resource) = &self.resource
            && !is_about(resource)?
        {
            return Ok(false);
        }
        let Some(found) = &self.found else { return Ok(true) };
        let is_named = found.names(row.endpoint, row.class.kind());
        if self.beyond_names || is_named {
            return Ok(self.beyond_names != is_named);
        }
        match &found.resource {
            _ if found.event == Some(row.event) => Ok(true),
            Some(resource) => is_about(resource),
            None => Ok(false),
        }
    }
}
