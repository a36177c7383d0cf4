//! `/v1`: the main surface, JSON:API-like (sections 4 and 5 of the contract).
//!
//! An operation reads its input ([`crate::http::request::body`], [`crate::http::request::query`]), calls one
//! service, and says the answer in the words of [`shapes`]. What it may be called with is the type of its
//! first argument ([`crate::http::request::auth`]).

use std::str::FromStr;

use poem_openapi::{OpenApiService, Tags};

use crate::domain::values::list::{Page, PageRequest, Start};
use crate::domain::{Scope, Span};
use crate::http::problem::Problem;
use crate::http::request::body::Fields;
use crate::service::endpoints::endpoint_input::not_a_span;
use crate::service::{Caller, ServiceError};

mod deliveries;
mod endpoints;
mod events;
mod examples;
mod export;
mod filters;
mod gallery;
mod jobs;
pub mod openapi;
mod operations;
mod params;
mod places;
mod preview;
pub mod raw;
mod schemas;
pub mod shapes;
mod sources;
mod statistics;
mod stream;
mod trials;
mod verification;
mod written;

pub(super) use events::post_event;

/// The groups of operations.
#[derive(Tags)]
pub(super) enum Tag {
    /// Where events are sent, and which ones.
    Webhooks,
    /// The delivery log: one row for each HTTP request.
    Deliveries,
    /// Post events and read them.
    Events,
    /// Recovery: send many deliveries again, and watch the progress.
    Jobs,
    /// URLs that other programs post to, and what their requests become.
    Sources,
    /// Recipes for programs that send and receive.
    Gallery,
    /// Statistics, health and event types.
    Statistics,
    /// The server as a whole: the activity log and retention.
    Operations,
}

/// All operations, a topic each.
type Apis = (
    endpoints::EndpointsApi,
    preview::PreviewApi,
    deliveries::DeliveriesApi,
    export::ExportApi,
    stream::StreamApi,
    events::EventsApi,
    jobs::JobsApi,
    statistics::StatisticsApi,
    operations::OperationsApi,
    verification::VerificationApi,
    sources::SourcesApi,
    gallery::GalleryApi,
);

/// The operations as a service, with the document that poem makes of them.
pub fn service() -> OpenApiService<Apis, ()> {
    let apis = (
        endpoints::EndpointsApi,
        preview::PreviewApi,
        deliveries::DeliveriesApi,
        export::ExportApi,
        stream::StreamApi,
        events::EventsApi,
        jobs::JobsApi,
        statistics::StatisticsApi,
        operations::OperationsApi,
        verification::VerificationApi,
        sources::SourcesApi,
        gallery::GalleryApi,
    );
    OpenApiService::new(apis, "Postrider", env!("CARGO_PKG_VERSION"))
}

/// What an overlap of two secrets or URLs is unless it is given.
const OVERLAP_DEFAULT: &str = "24h";

/// Reads `overlap`; `None` when it is wrong, which is noted.
fn read_overlap(fields: &mut Fields<'_>) -> Option<Span> {
    let text = fields.nullable::<String>("overlap", "a length of time, such as \"24h\"").flatten();
    let text = text.unwrap_or_else(|| OVERLAP_DEFAULT.to_owned());
    let overlap = Span::parse(&text);
    if overlap.is_none() {
        fields.fail("overlap", not_a_span(&text));
    }
    overlap
}

/// Whether the caller may see payloads of stored events.
fn check_events_read(caller: &Caller) -> Result<(), Problem> {
    let may = caller.by.scopes.allows(Scope::EventsRead);
    if may { Ok(()) } else { Err(ServiceError::Forbidden(Scope::EventsRead).into()) }
}

fn id_of<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn map_key<A, B>(page: PageRequest<A>, map: impl FnOnce(A) -> B) -> PageRequest<B> {
    let start = match page.start {
        Start::Page(n) => Start::Page(n),
        Start::After(key) => Start::After(map(key)),
    };
    PageRequest { start, per_page: page.per_page }
}

fn map_next<T, A, B>(page: Page<T, A>, map: impl FnOnce(A) -> B) -> Page<T, B> {
    Page { rows: page.rows, total: page.total, next: page.next.map(map) }
}
