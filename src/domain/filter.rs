//! Which rows of a list are meant, and in which order: one set of filters for lists, exports and bulk
//! work alike.

use super::{AttemptId, EndpointId, EndpointStatus, EventId, EventPattern, EventType, Timestamp};
use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};
use crate::domain::health::HealthState;
use crate::domain::values::words::words;

/// Which endpoints a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointFilter {
    pub status: Option<EndpointStatus>,
    /// Any of these; empty = any.
    pub health: Vec<HealthState>,
    /// Part of name or URL; literal, case-insensitive.
    pub q: Option<String>,
}

/// What endpoints are sorted by. Ties go by id, in the same direction; nulls come last in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointSortField {
    /// The default: newest first.
    #[default]
    Id,
    Name,
    LastFailureAt,
    /// Over the last 24 hours.
    SuccessRate,
    Waiting,
    /// The worst first.
    Health,
}

/// An order of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointSort {
    pub field: EndpointSortField,
    pub descending: bool,
}

impl Default for EndpointSort {
    fn default() -> EndpointSort {
        EndpointSort { field: EndpointSortField::Id, descending: true }
    }
}

impl EndpointSort {
    /// Reads the name of an attribute; `-` before it means descending. Health is sorted in one way only.
    pub fn parse(text: &str) -> Option<EndpointSort> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let field = match name {
            "name" => EndpointSortField::Name,
            "last_failure_at" => EndpointSortField::LastFailureAt,
            "success_rate" => EndpointSortField::SuccessRate,
            "waiting" => EndpointSortField::Waiting,
            "health" if !descending => EndpointSortField::Health,
            _ => return None,
        };
        Some(EndpointSort { field, descending })
    }
}

/// A place in a list of endpoints. `value` is [`SortValue::Null`] in the default order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointKey {
    pub id: EndpointId,
    pub value: SortValue,
}

/// Which events a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub event_type: Option<TypeFilter>,
    /// Exactly this one.
    pub resource: Option<String>,
    /// Inclusive.
    pub since: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
    /// Part of the type (literal, case-insensitive), or an exact event or resource id.
    pub q: Option<String>,
    /// Part of the payload; literal.
    pub contains: Option<String>,
}

/// The event types that a filter selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeFilter {
    /// `license.assigned`
    Exactly(EventType),
    /// `license.*`; holds `license`.
    Below(EventType),
}

impl TypeFilter {
    /// Reads an event type, or one followed by `.*`. There is no filter for all types.
    pub fn parse(text: &str) -> Option<TypeFilter> {
        match EventPattern::parse(text).ok()? {
            EventPattern::All => None,
            EventPattern::Exactly(name) => Some(TypeFilter::Exactly(name)),
            EventPattern::Below(stem) => Some(TypeFilter::Below(stem)),
        }
    }
}

/// The response statuses that a filter selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// `500`
    Exactly(u16),
    /// `5xx`; holds 5.
    Class(u16),
}

impl StatusFilter {
    /// Reads `500` or `5xx`.
    pub fn parse(text: &str) -> Option<StatusFilter> {
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().ok()?;
            return (text.len() == 3 && (1..=9).contains(&class)).then_some(StatusFilter::Class(class));
        }
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| digits && *n >= 100).map(StatusFilter::Exactly)
    }
}

/// Part of an error's message; literal, case-insensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorText {
    pub part: String,
    /// Whether it may be in an address that only some callers see.
    pub with_addresses: bool,
}

words! {
    /// What a row of a list of the log is.
    #[derive(Default)]
    pub enum View {
        /// An attempt.
        #[default]
        Attempts = "attempts",
        /// A delivery, by its newest attempt. Of a pending one, what filters ask of an outcome is that of the
        /// attempt before.
        Deliveries = "deliveries",
    }
}

/// Which rows of the log are meant, for lists, exports and bulk retry alike. Everything given must
/// hold; an empty filter means all rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    pub view: View,
    pub endpoint: Option<EndpointId>,
    /// Any of these; empty = any.
    pub status: Vec<AttemptStatus>,
    pub event_type: Option<TypeFilter>,
    pub response_status: Option<StatusFilter>,
    pub error_kind: Option<ErrorKind>,
    pub trigger: Option<Trigger>,
    pub event: Option<EventId>,
    /// The resource of the event, exactly.
    pub resource: Option<String>,
    /// By the id of its first attempt.
    pub delivery: Option<AttemptId>,
    pub error: Option<ErrorText>,
    /// Part of the payload or of the response body; literal. For lists and exports only.
    pub contains: Option<String>,
    /// Inclusive, on `created_at`.
    pub since: Option<Timestamp>,
    /// Exclusive, on `created_at`.
    pub until: Option<Timestamp>,
    /// Part of endpoint name, endpoint URL or event type (literal, case-insensitive), or an exact event or
    /// resource id.
    pub q: Option<String>,
}

impl AttemptFilter {
    /// Whether it asks for a text that is in no index, so that rows are read one by one, newest first.
    pub fn reads_rows(&self) -> bool {
        self.error.is_some() || self.contains.is_some()
    }
}

/// What the log is sorted by. Ties go by id, in the same direction; nulls come last in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortField {
    /// The default: newest first.
    #[default]
    Id,
    /// By the id of the delivery, which stays the same while its newest attempt changes: the default of
    /// [`View::Deliveries`].
    Delivery,
    CreatedAt,
    AttemptedAt,
    /// When it was sent, or, if it was not, when it was made.
    LastActivity,
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

impl Sort {
    /// The default of a view: newest first.
    pub fn newest(view: View) -> Sort {
        let field = match view {
            View::Attempts => SortField::Id,
            View::Deliveries => SortField::Delivery,
        };
        Sort { field, descending: true }
    }

    /// Reads the name of a column; `-` before it means descending.
    pub fn parse(text: &str) -> Option<Sort> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let field = match name {
            "created_at" => SortField::CreatedAt,
            "attempted_at" => SortField::AttemptedAt,
            // Nobody looks for the oldest activity.
            "last_activity_at" if descending => SortField::LastActivity,
            "status" => SortField::Status,
            "response_status" => SortField::ResponseStatus,
            "response_time_ms" => SortField::ResponseTime,
            _ => return None,
        };
        Some(Sort { field, descending })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class_is_read() {
        assert_eq!(StatusFilter::parse("500"), Some(StatusFilter::Exactly(500)));
        assert_eq!(StatusFilter::parse("5xx"), Some(StatusFilter::Class(5)));
        for text in ["", "xx", "5x", "0xx", "+xx", "55xx", "5XX", "+50", "99", "1000", "abc", "-5xx"] {
            assert_eq!(StatusFilter::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_order_of_endpoints_is_read_and_health_has_one_direction() {
        let read = |text| EndpointSort::parse(text).map(|sort| (sort.field, sort.descending));
        assert_eq!(read("name"), Some((EndpointSortField::Name, false)));
        assert_eq!(read("-waiting"), Some((EndpointSortField::Waiting, true)));
        assert_eq!(read("health"), Some((EndpointSortField::Health, false)));
        assert!(["-health", "", "-", "id", "--name", "Name"].iter().all(|text| read(text).is_none()));
    }

    #[test]
    fn a_star_alone_is_no_filter_by_type() {
        assert_eq!(TypeFilter::parse("*"), None);
        let name = EventType::parse("license").unwrap();
        assert_eq!(TypeFilter::parse("license"), Some(TypeFilter::Exactly(name.clone())));
        assert_eq!(TypeFilter::parse("license.*"), Some(TypeFilter::Below(name)));
    }
}
