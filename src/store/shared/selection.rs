//! What a filter of the log means, as far as the [class](Class) of a row tells, and what the names in it lead to.
//! Where the rows are found is each backend's own.

use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Trigger};
use crate::store::shared::class::Class;
use crate::store::shared::row_numbers::{AppRow, EndpointRow, EventRow, TypeRow};
use crate::store::{AttemptFilter, StatusFilter, View};

/// Whose rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    App(AppRow),
    Endpoint(EndpointRow),
}

impl Scope {
    /// The column that leads its indexes, and the middle of their names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Scope::App(_) => "app",
            Scope::Endpoint(_) => "endpoint",
        }
    }

    pub(crate) fn row(self) -> i64 {
        match self {
            Scope::App(AppRow(row)) | Scope::Endpoint(EndpointRow(row)) => row,
        }
    }
}

/// Which event types are meant, as sorted rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kinds {
    Any,
    Only(Vec<TypeRow>),
    Except(Vec<TypeRow>),
}

impl Kinds {
    /// These, in any order.
    pub(crate) fn only(mut rows: Vec<TypeRow>) -> Kinds {
        rows.sort_unstable();
        Kinds::Only(rows)
    }

    pub(crate) fn admits(&self, kind: TypeRow) -> bool {
        match self {
            Kinds::Any => true,
            Kinds::Only(kinds) => kinds.binary_search(&kind).is_ok(),
            Kinds::Except(kinds) => kinds.binary_search(&kind).is_err(),
        }
    }

    /// The ranges of classes to look for: from the first number to before the second.
    pub(crate) fn ranges(&self) -> Vec<(Class, Class)> {
        match self {
            Kinds::Any | Kinds::Except(_) => vec![(Class(i64::MIN), Class(i64::MAX))],
            Kinds::Only(only) => only.iter().map(|kind| Class::of_type(*kind)).collect(),
        }
    }
}

/// A scope and what of it is meant. The parts of a filter have no row in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeSelection {
    pub(crate) scope: Scope,
    pub(crate) kinds: Kinds,
}

/// What a filter asks of the outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    view: View,
    status: Vec<AttemptStatus>,
    response_status: Option<StatusFilter>,
    error_kind: Option<ErrorKind>,
    trigger: Option<Trigger>,
    /// Only rows with an error.
    has_error: bool,
    /// No tests.
    without_tests: bool,
}

impl Selection {
    pub(crate) fn of(filter: &AttemptFilter) -> Selection {
        Selection {
            view: filter.view,
            status: filter.status.clone(),
            response_status: filter.response_status,
            error_kind: filter.error_kind,
            trigger: filter.trigger,
            has_error: filter.error.is_some(),
            without_tests: false,
        }
    }

    /// The same without tests.
    pub(crate) fn without_tests(self) -> Selection {
        Selection { without_tests: true, ..self }
    }

    pub(crate) fn admits(&self, class: Class) -> bool {
        let status = || self.status.is_empty() || class.status().is_some_and(|s| self.status.contains(&s));
        let of_deliveries = self.view == View::Deliveries;
        let (response_status, error_kind) = if of_deliveries {
            (class.last_response_status(), class.last_error_kind())
        } else {
            (class.response_status(), class.error_kind())
        };
        let response = || match (self.response_status, response_status) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(StatusFilter::Exactly(wanted)), Some(status)) => status == i64::from(wanted),
            (Some(StatusFilter::Class(wanted)), Some(status)) => status / 100 == i64::from(wanted),
        };
        let error = || {
            (self.error_kind.is_none() || self.error_kind == error_kind)
                && (!self.has_error || error_kind.is_some())
        };
        let trigger = || {
            (self.trigger.is_none() || self.trigger == class.trigger())
                && !(self.without_tests && class.trigger() == Some(Trigger::Test))
        };
        (!of_deliveries || class.is_newest()) && status() && response() && error() && trigger()
    }
}

/// What a search text leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SearchHits {
    /// Endpoints (deleted ones too) and event types whose names contain it.
    pub(crate) endpoints: Vec<EndpointRow>,
    pub(crate) kinds: Vec<TypeRow>,
    /// The event with this id.
    pub(crate) event: Option<EventRow>,
    /// The text, if there is an event with this resource id.
    pub(crate) resource: Option<String>,
}

impl SearchHits {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == SearchHits::default()
    }

    /// Whether a name that was found leads to the row.
    pub(crate) fn names(&self, endpoint: EndpointRow, kind: TypeRow) -> bool {
        self.endpoints.contains(&endpoint) || self.kinds.contains(&kind)
    }
}

/// What the names in a filter lead to.
pub(crate) struct Names {
    pub(crate) endpoint: Option<EndpointRow>,
    pub(crate) kinds: Kinds,
    pub(crate) found: Option<SearchHits>,
}

impl Names {
    /// Whether the search text leads to the one endpoint that is asked for, and so excludes none of its rows.
    pub(crate) fn has_found_endpoint(&self) -> bool {
        let found = |row| self.found.as_ref().is_some_and(|found| found.endpoints.contains(&row));
        self.endpoint.is_some_and(found)
    }

    /// The scopes that endpoint, type and search text leave. `found_all`: the text leads to all endpoints or to all
    /// types that the app has.
    pub(crate) fn parts(&self, app: AppRow, found_all: bool) -> Vec<ScopeSelection> {
        let scope = self.endpoint.map_or(Scope::App(app), Scope::Endpoint);
        let Some(found) = self.found.as_ref().filter(|_| !found_all) else {
            return vec![ScopeSelection { scope, kinds: self.kinds.clone() }];
        };
        let kinds = found.kinds.iter().copied().filter(|kind| self.kinds.admits(*kind));
        let Kinds::Only(of_kind) = Kinds::only(kinds.collect()) else { return vec![] };
        let mut parts = vec![ScopeSelection { scope, kinds: Kinds::Only(of_kind.clone()) }];
        if self.endpoint.is_none() {
            // Of the endpoints that were found, what the first part has not got.
            let kinds = match &self.kinds {
                Kinds::Only(asked) => {
                    Kinds::Only(asked.iter().copied().filter(|k| !of_kind.contains(k)).collect())
                }
                _ if of_kind.is_empty() => Kinds::Any,
                _ => Kinds::Except(of_kind),
            };
            let rest =
                |row: &EndpointRow| ScopeSelection { scope: Scope::Endpoint(*row), kinds: kinds.clone() };
            parts.extend(found.endpoints.iter().map(rest));
        }
        parts.retain(|part| part.kinds != Kinds::Only(vec![]));
        parts
    }
}
