//! The query parameters of the lists: what is taken and what the document says, in one place.

use crate::domain::event::RESOURCE_ID_MAX_CHARS;
use crate::domain::filter::View;
use crate::domain::health::HealthState;
use crate::domain::{AttemptStatus, EndpointStatus, ErrorKind, Trigger};
use crate::http::request::paging;
use crate::http::request::query::{EVENT_ID, Param, Shape};
use crate::service::log::export::Format;

/// The most characters of a search text.
pub(super) const SEARCH_MAX: usize = 200;

/// Orders of the log.
pub(super) const SORTS: &[&str] = &[
    "created_at",
    "-created_at",
    "attempted_at",
    "-attempted_at",
    "-last_activity_at",
    "status",
    "-status",
    "response_status",
    "-response_status",
    "response_time_ms",
    "-response_time_ms",
];

/// Orders of the list of webhooks.
pub(super) const ENDPOINT_SORTS: &[&str] = &[
    "name",
    "-name",
    "last_failure_at",
    "-last_failure_at",
    "success_rate",
    "-success_rate",
    "waiting",
    "-waiting",
    "health",
];

/// The form of a filter by event type.
pub(super) const TYPE_FILTER: &str = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?$";
/// The form of a filter by response status.
pub(super) const STATUS_FILTER: &str = "^[1-9]([0-9][0-9]|xx)$";
/// The largest number that every JSON reader takes as it is.
const SAFE_INTEGER: i64 = (1 << 53) - 1;
/// What an export must say.
const FORMAT: Param = Param {
    name: "format",
    shape: Shape::OneOf(Format::WORDS),
    description: "The format of the file. Required.",
    example: "csv",
};
pub(super) const SINCE: Param = Param {
    name: "since",
    shape: Shape::Time,
    description: "Rows with `created_at` at or after this time.",
    example: "2026-05-01T00:00:00Z",
};
pub(super) const UNTIL: Param = Param {
    name: "until",
    shape: Shape::Time,
    description: "Rows with `created_at` before this time.",
    example: "2026-06-01T00:00:00Z",
};
const EVENT_TYPE: Param = Param {
    name: "event_type",
    shape: Shape::Like { pattern: TYPE_FILTER, max: 130 },
    description: "An event type, or one followed by `.*`, which stands for one or more further segments.",
    example: "license.*",
};
const ENDPOINT_ID: Param = Param {
    name: "endpoint_id",
    shape: Shape::Uuid,
    description: "Rows of this webhook, deleted ones included.",
    example: "f47ac10b-58cc-4372-a567-0e02b2c3d479",
};

const RESOURCE_ID: Param = Param {
    name: "resource_id",
    shape: Shape::Filled { max: RESOURCE_ID_MAX_CHARS },
    description: "What the event is about: exactly this `resource_id`.",
    example: "L-1",
};

const FILTERS: [Param; 13] = [
    Param {
        name: "view",
        shape: Shape::OneOf(View::WORDS),
        description: "`attempts` (default): one row for each HTTP request. `deliveries`: one row for each delivery, its \
                      newest attempt, ordered by `delivery_id` unless sorted; a pending row has `last_response_status`, \
                      `last_error_kind`, `last_error_message` and `last_attempted_at` of the attempt before it, and \
                      `response_status` and `error_kind` look at these.",
        example: "deliveries",
    },
    Param {
        name: "status",
        shape: Shape::AnyOf(AttemptStatus::WORDS),
        description: "Rows with one of these statuses.",
        example: "exhausted",
    },
    EVENT_TYPE,
    Param {
        name: "response_status",
        shape: Shape::Like { pattern: STATUS_FILTER, max: 3 },
        description: "A status (`500`) or a class (`5xx`).",
        example: "5xx",
    },
    Param {
        name: "error_kind",
        shape: Shape::OneOf(ErrorKind::WORDS),
        description: "Rows that failed in this way.",
        example: "timeout",
    },
    Param {
        name: "trigger",
        shape: Shape::OneOf(Trigger::WORDS),
        description: "Rows that were made for this reason.",
        example: "retry",
    },
    Param {
        name: "event_id",
        shape: Shape::Like { pattern: EVENT_ID, max: 36 },
        description: "Rows of this event.",
        example: "evt_0198c2f46b2f7d1199aa3c4e5f607182",
    },
    RESOURCE_ID,
    Param {
        name: "delivery_id",
        shape: Shape::Integer { min: 1, max: SAFE_INTEGER },
        description: "Rows of this delivery: all its attempts.",
        example: "1042",
    },
    Param {
        name: "error",
        shape: Shape::Filled { max: SEARCH_MAX },
        description: "Part of `error_message` (literal, case-insensitive); with `view=deliveries`, of a pending row, \
                      of `last_error_message`. Read as `contains` is.",
        example: "refused",
    },
    Param {
        name: "contains",
        shape: Shape::Filled { max: SEARCH_MAX },
        description: "Part of the payload or of the response body (literal, case-sensitive). Needs the scope \
                      `events:read`. Reads newest first, for up to 200 ms a page: `meta.scanned` is how many rows \
                      were read, and while `meta.complete` is false, `links.next` goes on. Without `meta.total`, \
                      other orders than newest first and `page`.",
        example: "L-1",
    },
    Param {
        name: "q",
        shape: Shape::Text { max: SEARCH_MAX },
        description: "Part of the webhook's name or URL or of the event type (literal, case-insensitive), or exactly \
                      an event id or a resource id.",
        example: "billing",
    },
    Param {
        name: "sort",
        shape: Shape::OneOf(SORTS),
        description: "The order; `-` for descending. Ties go by id, nulls come last. Newest first unless given. \
                      `-last_activity_at`: by when it was sent, or scheduled if it was not sent.",
        example: "-response_time_ms",
    },
];

const EVENT_TEXT: Param = Param {
    name: "contains",
    shape: Shape::Filled { max: SEARCH_MAX },
    description: "Part of the payload (literal, case-sensitive). Reads newest first, for up to 200 ms a page: \
                  `meta.scanned` is how many events were read, and while `meta.complete` is false, `links.next` goes \
                  on. Without `meta.total` and `page`.",
    example: "L-1",
};
const EVENT_SEARCH: Param = Param {
    name: "q",
    shape: Shape::Text { max: SEARCH_MAX },
    description: "Part of the type (literal, case-insensitive), or exactly an event id or a resource id.",
    example: "license",
};

/// Parameters of the list of webhooks.
pub(super) fn endpoint_list() -> Vec<Param> {
    let own = [
        Param {
            name: "status",
            shape: Shape::OneOf(EndpointStatus::WORDS),
            description: "Webhooks with this status.",
            example: "disabled",
        },
        Param {
            name: "health",
            shape: Shape::AnyOf(HealthState::WORDS),
            description: "Webhooks in one of these states.",
            example: "failing",
        },
        Param {
            name: "sort",
            shape: Shape::OneOf(ENDPOINT_SORTS),
            description: "The order, by the attribute of this name; `-` for descending, `health`: the worst first. \
                          Ties go by id, nulls come last. Newest first unless given.",
            example: "health",
        },
        Param {
            name: "q",
            shape: Shape::Text { max: SEARCH_MAX },
            description: "Part of the name or the URL; literal, case-insensitive.",
            example: "billing",
        },
    ];
    paging::PARAMS.into_iter().chain(own).collect()
}

/// Parameters of the two lists of the log.
pub(super) fn attempt_list(of_one_endpoint: bool) -> Vec<Param> {
    let endpoint = (!of_one_endpoint).then_some(ENDPOINT_ID);
    paging::PARAMS.into_iter().chain(FILTERS).chain([SINCE, UNTIL]).chain(endpoint).collect()
}

/// Parameters of the two exports of the log: those of the lists, without pages.
pub(super) fn attempt_export(of_one_endpoint: bool) -> Vec<Param> {
    let paging: Vec<&str> = paging::PARAMS.iter().map(|param| param.name).collect();
    let list = attempt_list(of_one_endpoint).into_iter().filter(|param| !paging.contains(&param.name));
    std::iter::once(FORMAT).chain(list).collect()
}

/// Parameters of the stream of the log: the filters. Its order is its own.
pub(super) fn attempt_stream() -> Vec<Param> {
    attempt_export(false)
        .into_iter()
        .filter(|param| !["format", "view", "sort", "contains"].contains(&param.name))
        .collect()
}

/// Parameters of the list of events.
pub(super) fn event_list() -> Vec<Param> {
    paging::PARAMS
        .into_iter()
        .chain([EVENT_TYPE, RESOURCE_ID, EVENT_SEARCH, EVENT_TEXT, SINCE, UNTIL])
        .collect()
}
