//! Spans for traces, where the program was built with the feature `otel`; without it nothing of this costs
//! anything.
//!
//! Two kinds of spans: `request` (one of a client) and `attempt` (one at a receiver). They are not joined:
//! between the two an event is on disk, perhaps for days. What follows an event is in the delivery log.
//!
//! `otel` sends them by OTLP over HTTP.

#[cfg(feature = "otel")]
pub mod otel;

use tracing::Span;

/// What is said of an attempt when it begins.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub attempt_id: i64,
    /// Its number in the delivery.
    pub attempt: u32,
    pub endpoint_id: &'a dyn std::fmt::Display,
    pub event_id: &'a dyn std::fmt::Display,
    pub event_type: &'a str,
}

#[cfg(feature = "otel")]
mod spans {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::{Attempt, Span};

    /// A span for an attempt.
    pub fn attempt(attempt: Attempt<'_>) -> Span {
        let span = tracing::info_span!(
            "attempt",
            otel.kind = "client",
            attempt_id = attempt.attempt_id,
            endpoint_id = %attempt.endpoint_id,
        );
        span.set_attribute("postrider.attempt", i64::from(attempt.attempt));
        span.set_attribute("postrider.event_id", attempt.event_id.to_string());
        span.set_attribute("postrider.event_type", attempt.event_type.to_owned());
        span
    }

    /// Says how an attempt ended.
    pub fn attempt_ended(span: &Span, status: Option<u16>, failure: Option<(&str, &str)>) {
        if let Some(status) = status {
            span.set_attribute("http.response.status_code", i64::from(status));
        }
        if let Some((kind, message)) = failure {
            span.set_attribute("error.type", kind.to_owned());
            span.set_status(opentelemetry::trace::Status::error(message.to_owned()));
        }
    }

    /// Says on the present span what a request was and how it was answered. The path has no query.
    pub fn request_answered(method: &str, path: &str, status: u16) {
        let span = Span::current();
        span.set_attribute("http.request.method", method.to_owned());
        span.set_attribute("url.path", path.to_owned());
        span.set_attribute("http.response.status_code", i64::from(status));
    }
}

#[cfg(not(feature = "otel"))]
mod spans {
    use super::{Attempt, Span};

    /// A span for an attempt: none.
    pub fn attempt(_: Attempt<'_>) -> Span {
        Span::none()
    }

    /// Says how an attempt ended: to nobody.
    pub fn attempt_ended(_: &Span, _: Option<u16>, _: Option<(&str, &str)>) {}

    /// Says how a request was answered: to nobody.
    pub fn request_answered(_: &str, _: &str, _: u16) {}
}

pub use spans::{attempt, attempt_ended, request_answered};

/// Sends what is waiting, before the process ends; blocks for some seconds at most.
pub fn finish() {
    #[cfg(feature = "otel")]
    otel::finish();
}

pub mod logging;
