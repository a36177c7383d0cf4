//! An attempt: one HTTP request of a delivery, and one row of the delivery log.

use std::net::SocketAddr;

use crate::domain::values::words::words;
use crate::domain::{AttemptId, EndpointId, EventId, EventType, Headers, Timestamp};

words! {
    /// Where an attempt stands. A delivery stands where its newest attempt does, so exactly one row of
    /// a delivery is not `Failed`.
    pub enum AttemptStatus {
        /// Scheduled or in flight. The rows with this status are the queue.
        Pending = "pending",
        /// Answered with 2xx.
        Delivered = "delivered",
        /// Not delivered, and a later attempt of the same delivery exists.
        Failed = "failed",
        /// Not delivered, and nothing further is scheduled.
        Exhausted = "exhausted",
        /// The endpoint was deleted or disabled before it was sent.
        Cancelled = "cancelled",
    }
}

words! {
    /// Why there is an attempt.
    pub enum Trigger {
        /// The first send of an event.
        Event = "event",
        /// The schedule, after a failure.
        Retry = "retry",
        /// A person or program asked for it.
        Manual = "manual",
        /// `recover` found that the endpoint had missed the event.
        Recover = "recover",
        /// The event was sent again as a new delivery.
        Replay = "replay",
        /// A test delivery.
        Test = "test",
    }
}

words! {
    /// In what way an attempt failed.
    pub enum ErrorKind {
        /// The name does not resolve.
        Dns = "dns",
        /// No connection: refused, unreachable.
        Connect = "connect",
        /// The TLS handshake or the certificate.
        Tls = "tls",
        /// No connection, or no whole answer, in time.
        Timeout = "timeout",
        /// Answered, but not with 2xx.
        HttpStatus = "http_status",
        /// The network policy forbids the address; nothing was sent.
        BlockedAddress = "blocked_address",
        /// Closed or reset after connecting, or not HTTP.
        Protocol = "protocol",
        /// Postrider was stopped while the request was in flight.
        Interrupted = "interrupted",
        /// Nothing was sent, for a cause of this machine: the attempt stays pending and is tried again.
        Local = "local",
        /// A template of the endpoint's request cannot be rendered with this event; nothing was sent.
        Template = "template",
        /// Answered with 2xx, but not as the endpoint's `expect` describes a success.
        Response = "response",
    }
}

/// What may follow when an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// The retry schedule, of which so many steps have been used.
    Schedule { used: u32 },
    /// Nothing: a single shot, asked for by a person. Such an attempt is sent now, whatever the
    /// endpoint's status and backlog.
    Single,
}

/// The answer of a receiver, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Lower-case names; repeated ones are separate entries.
    pub headers: Headers,
    /// Up to `delivery.response_body_limit`.
    pub body: Vec<u8>,
    /// Whether the receiver had more to say.
    pub body_truncated: bool,
}

/// The request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `None`: `POST`.
    pub method: Option<String>,
    pub url: String,
    /// Lower-case names; values of secret headers are masked already.
    pub headers: Headers,
    /// The body, when it is not simply the event's payload.
    pub body: Option<Vec<u8>>,
}

/// A failure, in a kind and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: ErrorKind,
    /// A sentence that names what to change where there is something to change.
    pub message: String,
}

/// Where a request went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Route {
    /// The address that was tried last.
    pub remote_address: Option<SocketAddr>,
    pub timings: Timings,
}

/// How long the parts of a request took, one after the other. `None`: it did not come to that, or the connection was
/// open already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    pub dns_ms: Option<u32>,
    pub connect_ms: Option<u32>,
    pub tls_ms: Option<u32>,
    /// From then to the head of the response.
    pub first_byte_ms: Option<u32>,
}

/// What became of one request. `failure` is `None` exactly for a 2xx, as the endpoint expects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When the request was started; `None` when it never was (a stop before the first byte).
    pub attempted_at: Option<Timestamp>,
    /// When the result was known.
    pub finished_at: Timestamp,
    /// From the start of the request to the end of the kept response; `None` when nothing was sent.
    pub response_time_ms: Option<u32>,
    pub request: Option<Request>,
    pub response: Option<Response>,
    pub failure: Option<Failure>,
    /// A receiver's `Retry-After` with 429 or 503, as a time.
    pub not_before: Option<Timestamp>,
    /// Where it went, as far as it left this machine.
    pub route: Option<Route>,
    /// Whether the endpoint's request names the response's status as final: nothing is tried again.
    pub is_final: bool,
}

impl Outcome {
    /// Whether nothing was sent, for a cause of this machine.
    pub fn is_local(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Local)
    }

    /// Whether trying again cannot help: the status is final, or the template has to be edited first.
    pub fn is_last(&self) -> bool {
        self.is_final || self.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Template)
    }

    /// Whether the receiver answered 410: it does not want to be called again.
    pub fn is_gone(&self) -> bool {
        self.response.as_ref().is_some_and(|r| r.status == 410)
    }
}

/// A row of the log, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    /// The id of the delivery's first attempt.
    pub delivery_id: AttemptId,
    pub endpoint_id: EndpointId,
    pub endpoint_url: String,
    pub endpoint_name: String,
    pub event_id: EventId,
    pub event_type: EventType,
    pub resource_id: Option<String>,
    pub attempt: u32,
    pub status: AttemptStatus,
    pub trigger: Trigger,
    pub response_status: Option<u16>,
    /// What is kept of the response body in lists: its first 500 characters.
    pub response_body: Option<String>,
    pub response_time_ms: Option<u32>,
    pub error_kind: Option<ErrorKind>,
    pub error_message: Option<String>,
    pub next_retry_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// When a pending one is to be sent.
    pub due_at: Option<Timestamp>,
    pub attempted_at: Option<Timestamp>,
    /// How the attempt before it ended, while this one is pending; or how this one failed for a cause of this machine.
    pub last: Option<LastOutcome>,
}

/// How the attempt before a pending one ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastOutcome {
    pub response_status: Option<u16>,
    pub error_kind: Option<ErrorKind>,
    /// `None` when retention has removed that attempt.
    pub error_message: Option<String>,
    pub attempted_at: Option<Timestamp>,
}

impl Attempt {
    /// The event's resource when the event is about a validation, else nothing (the contract's
    /// `validation_id`).
    pub fn validation_id(&self) -> Option<&str> {
        let about_validation = self.event_type.as_str().starts_with("validation.");
        self.resource_id.as_deref().filter(|_| about_validation)
    }
}

/// An attempt among the others of its delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSummary {
    pub id: AttemptId,
    pub endpoint_id: EndpointId,
    /// Empty for none. A deleted endpoint keeps both.
    pub endpoint_name: String,
    pub endpoint_url: String,
    pub attempt: u32,
    pub status: AttemptStatus,
    pub trigger: Trigger,
    pub attempted_at: Option<Timestamp>,
    pub due_at: Option<Timestamp>,
    pub response_status: Option<u16>,
    pub error_kind: Option<ErrorKind>,
}

/// A row of the log with everything that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptDetail {
    pub attempt: Attempt,
    pub request: Option<Request>,
    /// The body that was sent: the request's own, else the event's payload while it is kept.
    pub request_body: Option<Vec<u8>>,
    pub response: Option<Response>,
    pub route: Option<Route>,
    /// All attempts of the delivery, first to last.
    pub attempts: Vec<AttemptSummary>,
}
