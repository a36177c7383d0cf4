//! The use cases, once, for every surface: what `/v1`, `/api/v0`, the dashboard and the command line
//! have in common is here, and none of their names are.
//!
//! A service checks what the caller may do and what the input means, asks storage for one transaction,
//! and wakes the dispatcher. It knows no HTTP: what went wrong is a [`ServiceError`], and each surface
//! maps that in one place.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::attempts::attempt::Attempt;
use crate::domain::filter::AttemptFilter;
use crate::domain::network::without_address;
use crate::domain::values::words::words;
use crate::domain::{
    Activity, ActivityKind, Actor, AppId, AttemptId, EndpointId, Invalid, Outcome, Scope, Scopes, Timestamp,
};
use crate::store::{LoadedAttempt, StoreError};

pub mod about;
pub mod alerts;
pub mod bulk_jobs;
pub mod endpoints;
pub mod events;
#[cfg(test)]
mod fake;
pub mod log;
pub mod log_level;
pub mod moving;
pub mod nodes;
pub mod operations;
pub mod people;
pub mod retention;
pub mod sources;

/// What the services ask of delivery. Delivery implements it; `crate::app` joins the two. Hints go by
/// [`crate::cluster::Signals`] instead.
#[async_trait]
pub trait Dispatch: Send + Sync {
    /// Requests of an app that are in flight, tests included.
    fn in_flight(&self, app: AppId) -> u64;
    /// Requests of all apps that are in flight, tests included.
    fn in_flight_of_all(&self) -> u64;
    /// The attempts to an endpoint that are being sent, by whichever node, or whose results are not committed yet.
    async fn sending_to(&self, endpoint: EndpointId) -> Vec<AttemptId>;
    /// Makes one request outside the queue, puts it in the log as a test asked for at `created_at`, and
    /// gives the outcome; `None` if too many tests are in flight. Both are finished even if the caller is dropped
    /// meanwhile.
    async fn send_test(
        &self,
        job: LoadedAttempt,
        created_at: Timestamp,
    ) -> std::result::Result<Option<(AttemptId, Outcome)>, StoreError>;
}

/// Who makes a change: for the activity log, and for what may be handed out.
#[derive(Debug, Clone)]
pub struct By {
    pub actor: Actor,
    /// The client's address, when there is one.
    pub address: Option<String>,
    /// What the actor may do.
    pub scopes: Scopes,
}

impl By {
    /// Someone at the command line, who has the files and so may do everything.
    pub fn command_line() -> By {
        By { actor: Actor::CommandLine, address: None, scopes: [Scope::Admin].into_iter().collect() }
    }

    /// Postrider itself.
    pub fn system() -> By {
        By { actor: Actor::System, address: None, scopes: Scopes::NONE }
    }

    /// An entry of the activity log.
    pub fn activity(
        &self,
        kind: ActivityKind,
        app_id: Option<AppId>,
        summary: String,
        details: serde_json::Value,
        now: Timestamp,
    ) -> Activity {
        let (actor, address) = (self.actor.to_string(), self.address.clone());
        Activity { kind, app_id, actor, address, summary, details, created_at: now }
    }
}

/// Who asks through an API, and for which app.
#[derive(Debug, Clone)]
pub struct Caller {
    pub by: By,
    /// The app that the request is about.
    pub app_id: AppId,
}

impl Caller {
    /// Whether the caller may see the addresses that names resolve to in error messages: only with scope
    /// `admin`, because they describe the operator's network.
    pub fn sees_addresses(&self) -> bool {
        self.by.scopes.allows(Scope::Admin)
    }

    /// Removes such an address from a message, unless the caller may see it.
    pub fn hide_address(&self, message: &mut String) {
        if !self.sees_addresses()
            && let Some(hidden) = without_address(message)
        {
            *message = hidden;
        }
    }

    /// The same for a row of the log.
    pub fn hide_address_of(&self, attempt: &mut Attempt) {
        let last = attempt.last.as_mut().and_then(|last| last.error_message.as_mut());
        for message in attempt.error_message.iter_mut().chain(last) {
            self.hide_address(message);
        }
    }

    /// The filter as this caller may use it: texts are searched only where the caller sees them.
    pub fn filter(&self, mut filter: AttemptFilter) -> Result<AttemptFilter> {
        if filter.contains.is_some() && !self.by.scopes.allows(Scope::EventsRead) {
            return Err(ServiceError::Forbidden(Scope::EventsRead));
        }
        if let Some(error) = &mut filter.error {
            error.with_addresses = self.sees_addresses();
        }
        Ok(filter)
    }

    /// An entry of the activity log about something this caller did in this app.
    pub fn activity(
        &self,
        kind: ActivityKind,
        summary: String,
        details: serde_json::Value,
        now: Timestamp,
    ) -> Activity {
        self.by.activity(kind, Some(self.app_id), summary, details, now)
    }
}

words! {
    /// What was looked for, with the word for it that people know.
    pub enum Kind {
        Endpoint = "webhook",
        Delivery = "delivery",
        Event = "event",
        BulkJob = "job",
        Source = "source",
        InboundRequest = "request",
        App = "app",
        User = "user",
        Key = "key",
        Session = "session",
        AlertTarget = "alert target",
    }
}

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No valid credential. Says nothing more, on purpose.
    #[error("invalid or missing credentials")]
    Unauthorized,
    /// The credential lacks this scope.
    #[error("the scope {0} is missing")]
    Forbidden(Scope),
    /// There is none, or it belongs to another app.
    #[error("{0} not found")]
    NotFound(Kind),
    /// What is asked for does not fit what there is; a sentence.
    #[error("{0}")]
    Conflict(String),
    /// The request contradicts itself; a sentence.
    #[error("{0}")]
    BadRequest(String),
    /// Fields that cannot be taken.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// More was asked for than a limit allows; whole seconds until it is allowed again, at least 1.
    #[error("rate limit exceeded; try again in {retry_after_secs} seconds")]
    RateLimited { retry_after_secs: u64 },
    /// A payload is over the limit; a sentence.
    #[error("{0}")]
    TooLarge(String),
    /// More is being written than storage can keep up with, or the server is stopping; a sentence.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The disk is full; reads go on.
    #[error("storage is full")]
    StorageFull,
    /// Something that should not happen; its causes are for the log.
    #[error("an internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> ServiceError {
        match error {
            StoreError::Overloaded => {
                ServiceError::Unavailable("More is being written than this server can keep up with.")
            }
            StoreError::Closed => ServiceError::Unavailable("The server is stopping."),
            StoreError::Full => ServiceError::StorageFull,
            error => ServiceError::Internal(Box::new(error)),
        }
    }
}

/// What went wrong with a user, where it is nobody's input.
fn user_error(error: people::users::UserError) -> ServiceError {
    match error {
        people::users::UserError::Store(error) => error.into(),
        other => ServiceError::Internal(Box::new(other)),
    }
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, ServiceError>;

/// All services that the HTTP surfaces use.
#[derive(Clone)]
pub struct Services {
    pub auth: Arc<people::auth::Auth>,
    pub endpoints: Arc<endpoints::manage::Endpoints>,
    pub events: Arc<events::Events>,
    pub deliveries: Arc<log::deliveries::Deliveries>,
    pub limits: Arc<people::limits::Limits>,
    pub jobs: Arc<bulk_jobs::Jobs>,
    pub exports: Arc<log::export::Exports>,
    pub live: Arc<log::live::Live>,
    pub statistics: Arc<log::statistics::Statistics>,
    pub operations: Arc<operations::Operations>,
    pub sessions: Arc<people::sessions::Sessions>,
    pub verification: Arc<endpoints::verification::Verification>,
    pub accounts: Arc<people::accounts::Accounts>,
    pub overviews: Arc<log::overview::Overviews>,
    pub retention: Arc<retention::Retention>,
    pub about: Arc<about::About>,
    pub nodes: Arc<nodes::Nodes>,
    pub alerts: Arc<alerts::AlertTargets>,
    pub log_level: Arc<log_level::LogLevel>,
    pub endpoint_previews: Arc<endpoints::preview::EndpointPreviews>,
    pub tests: Arc<endpoints::testing::Tests>,
    pub sources: Arc<sources::manage::Sources>,
    pub inbound_log: Arc<sources::requests::InboundLog>,
    pub previews: Arc<sources::preview::Previews>,
    pub contexts: Arc<sources::context::Contexts>,
    pub receiver: Arc<sources::receive::Receiver>,
}

/// Checks what people name their apps and keys. The error is a sentence.
fn check_name(name: &str) -> std::result::Result<(), String> {
    let max = crate::domain::access::app::NAME_MAX_CHARS;
    let fits = (1..=max).contains(&name.chars().count());
    if !fits || name.trim() != name || name.chars().any(char::is_control) {
        return Err(format!(
            "a name has 1 to {max} characters, no line breaks, and no space at its ends; {name:?} is none"
        ));
    }
    Ok(())
}
