//! Which rows of a list are meant, and in which order: one set of filters for lists, exports and bulk
//! work alike.

use super::{AttemptId, EndpointId, EndpointStatus, EventType, Timestamp};
use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};

/// Which endpoints a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointFilter {
    pub status: Option<EndpointStatus>,
    /// Part of name or URL; literal, case-insensitive.
    pub q: Option<String>,
}

/// Which events a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub event_type: Option<TypeFilter>,
    /// Inclusive.
    pub since: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
}

/// A wish for event types in a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeFilter {
    /// `license.assigned`
    Exactly(EventType),
    /// `license.*`; holds `license`.
    Below(EventType),
}

/// A wish for response statuses in a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// `500`
    Exactly(u16),
    /// `5xx`; holds 5.
    Class(u16),
}

/// Which rows of the log are meant, for lists, exports and bulk retry alike. Everything given must
/// hold; an empty filter means all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    pub endpoint: Option<EndpointId>,
    /// Any of these; empty = any.
    pub status: Vec<AttemptStatus>,
    pub event_type: Option<TypeFilter>,
    pub response_status: Option<StatusFilter>,
    pub error_kind: Option<ErrorKind>,
    pub trigger: Option<Trigger>,
    /// Inclusive, on `created_at`.
    pub since: Option<Timestamp>,
    /// Exclusive, on `created_at`.
    pub until: Option<Timestamp>,
    /// Part of endpoint name, endpoint URL or event type; literal, case-insensitive.
    pub q: Option<String>,
}

/// What the log is sorted by. Ties go by id, in the same direction; nulls come last in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortField {
    /// The default: newest first.
    #[default]
    Id,
    CreatedAt,
    AttemptedAt,
    Status,
    ResponseStatus,
    ResponseTime,
}

/// An order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub field: SortField,
    pub descending: bool,
}

impl Default for Sort {
    fn default() -> Sort {
        Sort { field: SortField::Id, descending: true }
    }
}

/// The value a row is sorted by, as it stands in a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    Null,
    Number(i64),
    Text(String),
}

/// A place in the log. `value` is [`SortValue::Null`] in the default order, where the id says it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    pub id: AttemptId,
    pub value: SortValue,
}
