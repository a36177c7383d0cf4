//! Logs ([`logging`]) and spans for traces.
//!
//! Spans exist only in builds with the feature `otel`, which exports them by OTLP over HTTP; otherwise they
//! cost nothing. There are two kinds: `request` (of a client) and `attempt` (to a receiver). They are not
//! linked: in between an event is on disk, perhaps for days, and the delivery log shows what follows an event.

#[cfg(feature = "otel")]
pub mod otel;

use tracing::Span;

/// An attempt at its start.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub attempt_id: i64,
    /// Its number within the delivery.
    pub attempt: u32,
    pub endpoint_id: &'a dyn std::fmt::Display,
    pub event_id: &'a dyn std::fmt::Display,
    pub event_type: &'a str,
}

#[cfg(feature = "otel")]
mod spans {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::{Attempt, Span};

    /// The span of an attempt.
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

    /// Records the outcome of an attempt.
    pub fn attempt_ended(span: &Span, status: Option<u16>, failure: Option<(&str, &str)>) {
        if let Some(status) = status {
            span.set_attribute("http.response.status_code", i64::from(status));
        }
        if let Some((kind, message)) = failure {
            span.set_attribute("error.type", kind.to_owned());
            span.set_status(opentelemetry::trace::Status::error(message.to_owned()));
        }
    }

    /// Records a request and its response on the current span. The path has no query.
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

    /// No span.
    pub fn attempt(_: Attempt<'_>) -> Span {
        Span::none()
    }

    /// Does nothing.
    pub fn attempt_ended(_: &Span, _: Option<u16>, _: Option<(&str, &str)>) {}

    /// Does nothing.
    pub fn request_answered(_: &str, _: &str, _: u16) {}
}

pub use spans::{attempt, attempt_ended, request_answered};

/// Exports the remaining spans before the process ends; blocks for some seconds at most.
pub fn finish() {
    #[cfg(feature = "otel")]
    otel::finish();
}

pub mod logging;
