//! Reads the filters of the log and of events, for every operation that takes them: as parameters of lists, exports
//! and the stream, and as `filter` of a bulk retry.

use crate::domain::event::RESOURCE_ID_MAX_CHARS;
use crate::domain::filter::{
    AttemptFilter, ErrorText, EventFilter, Sort, SortField, StatusFilter, TypeFilter, View,
};
use crate::domain::values::list::PageRequest;
use crate::domain::{AttemptStatus, ErrorKind, Trigger};
use crate::http::problem::Problem;
use crate::http::request::paging;
use crate::http::request::paging::Paging;
use crate::http::request::query::Query;
use crate::http::request::values::Values;

use super::id_of;
use super::params::{SEARCH_MAX, SORTS};

/// The names of a bulk retry's filters. `view` and `sort` are accepted, so that the query of a list can be used as it
/// is; all that matches is meant in any order.
pub(super) const OF_BULK_RETRY: &[&str] = &[
    "view",
    "status",
    "event_type",
    "endpoint_id",
    "response_status",
    "error_kind",
    "trigger",
    "event_id",
    "resource_id",
    "delivery_id",
    "error",
    "contains",
    "since",
    "until",
    "q",
    "sort",
];

/// Reads the log filters (section 5 of the contract).
pub(super) fn of_log(values: &mut impl Values) -> AttemptFilter {
    let words = |words: &[&str]| format!("one of {}", words.join(", "));
    AttemptFilter {
        view: values.value("view", &words(View::WORDS), View::parse).unwrap_or_default(),
        endpoint: values.value("endpoint_id", "the UUID of a webhook", id_of),
        status: values.values("status", &words(AttemptStatus::WORDS), AttemptStatus::parse),
        event_type: event_type(values),
        response_status: values.number_or_text(
            "response_status",
            "a status such as 500, or a class such as 5xx",
            StatusFilter::parse,
        ),
        error_kind: values.value("error_kind", &words(ErrorKind::WORDS), ErrorKind::parse),
        trigger: values.value("trigger", &words(Trigger::WORDS), Trigger::parse),
        event: values.value("event_id", "the id of an event (evt_ and 32 hexadecimal digits)", id_of),
        resource: resource(values),
        delivery: values.number_or_text("delivery_id", "the id of a delivery, a whole number", id_of),
        error: part(values, "error").map(|part| ErrorText { part, with_addresses: false }),
        contains: part(values, "contains"),
        since: values.timestamp("since"),
        until: values.timestamp("until"),
        q: search_text(values),
    }
}

/// Reads the filters of the list of events.
pub(super) fn of_events(values: &mut impl Values) -> EventFilter {
    EventFilter {
        event_type: event_type(values),
        resource: resource(values),
        since: values.timestamp("since"),
        until: values.timestamp("until"),
        q: search_text(values),
        contains: part(values, "contains"),
    }
}

/// Reads the order of the log; that of a filter which reads rows one by one is newest first.
pub(super) fn sort(values: &mut Query, filter: &AttemptFilter) -> Sort {
    let sort = any_sort(values, filter.view);
    let newest_by_time = Sort { field: SortField::CreatedAt, descending: true };
    if filter.reads_rows() && sort != Sort::newest(filter.view) {
        if sort != newest_by_time {
            values.fail(
                "sort",
                "cannot be combined with contains or error, which find the newest first; leave it out",
            );
        }
        return Sort::newest(filter.view);
    }
    sort
}

/// Reads an order of the log.
pub(super) fn any_sort(values: &mut impl Values, view: View) -> Sort {
    let expected = format!("one of {}", SORTS.join(", "));
    values.value("sort", &expected, Sort::parse).unwrap_or_else(|| Sort::newest(view))
}

/// Reads `q`; an empty one is none.
pub(super) fn search_text(values: &mut impl Values) -> Option<String> {
    let expected = format!("at most {SEARCH_MAX} characters");
    let text = |text: &str| (text.chars().count() <= SEARCH_MAX).then(|| text.to_owned());
    values.value("q", &expected, text).filter(|q| !q.is_empty())
}

/// Reads a part that is looked for row by row.
fn part(values: &mut impl Values, name: &str) -> Option<String> {
    let expected = format!("1 to {SEARCH_MAX} characters");
    let text = |text: &str| (1..=SEARCH_MAX).contains(&text.chars().count()).then(|| text.to_owned());
    values.value(name, &expected, text)
}

/// Ends the reading of a list's parameters. A search that reads rows one by one knows no numbers of pages.
pub(super) fn settle<K>(
    mut query: Query,
    read: Option<(Paging, PageRequest<K>)>,
    reads_rows: bool,
) -> Result<(Paging, PageRequest<K>), Problem> {
    if reads_rows && read.as_ref().is_some_and(|(paging, _)| paging.is_numbered()) {
        query.fail("page", "cannot be combined with contains or error; follow links.next instead");
    }
    paging::settle(query, read)
}

fn event_type(values: &mut impl Values) -> Option<TypeFilter> {
    let expected = "an event type (license.assigned), or one followed by .* (license.*)";
    values.value("event_type", expected, TypeFilter::parse)
}

fn resource(values: &mut impl Values) -> Option<String> {
    let expected = format!("1 to {RESOURCE_ID_MAX_CHARS} characters");
    let text =
        |text: &str| (1..=RESOURCE_ID_MAX_CHARS).contains(&text.chars().count()).then(|| text.to_owned());
    values.value("resource_id", &expected, text)
}
