//! Why a request failed: the kind, and a sentence for the person who has to fix it.
//!
//! The HTTP client nests errors several layers deep, and its own texts repeat the URL, whose query may hold a
//! token. So the layers are searched for errors of known types, and the sentence is ours. It names the host,
//! never the path or the query.

use std::error::Error;
use std::io;

use hyper::StatusCode;
use hyper_util::client::legacy;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::domain::attempts::attempt::Failure;
use crate::domain::{ErrorKind, Span, Timestamp};

use crate::delivery::sending::authorities::NO_ROOTS;
use crate::delivery::sending::connections::RequestError;
use crate::delivery::sending::guard::GuardError;

/// When a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the status and headers of the response arrived.
    Sending,
    /// While the body of the response was read.
    Reading,
}

/// The facts that the sentences name.
#[derive(Debug, Clone, Copy)]
pub struct ErrorContext<'a> {
    /// `host` or `host:port`.
    pub authority: &'a str,
    /// Whether the URL is `https`.
    pub is_https: bool,
    /// The limit for a connection, for the sentence that says it was exceeded.
    pub connect_timeout: &'a Span,
}

fn failure(kind: ErrorKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into() }
}

/// The failure of a response: any status but 2xx.
pub fn of_status(status: StatusCode) -> Option<Failure> {
    if status.is_success() {
        return None;
    }
    let mut message = format!("HTTP {}", status.as_u16());
    if let Some(reason) = status.canonical_reason() {
        message = format!("{message} {reason}");
    }
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        message += ": redirects are never followed; set the URL that it leads to";
    }
    Some(failure(ErrorKind::HttpStatus, message))
}

/// The failure when the guard refuses a request.
pub fn of_guard(error: &GuardError) -> Failure {
    let kind = match error {
        GuardError::Blocked(_) | GuardError::BlockedName { .. } => ErrorKind::BlockedAddress,
        GuardError::Dns { .. } => ErrorKind::Dns,
    };
    failure(kind, error.to_string())
}

/// The failure when the name was not resolved in time.
pub fn of_slow_lookup(authority: &str, limit: &Span) -> Failure {
    failure(ErrorKind::Timeout, format!("the name in {authority} did not resolve within {limit}"))
}

/// The failure when the whole request took too long.
pub fn of_deadline(stage: Stage, limit: &Span) -> Failure {
    let message = match stage {
        Stage::Sending => format!("no response within {limit}"),
        Stage::Reading => format!("the response began but did not end within {limit}"),
    };
    failure(ErrorKind::Timeout, message)
}

/// The failure when no request could be built from the stored endpoint.
pub fn of_preparation(error: &dyn Error) -> Failure {
    failure(ErrorKind::Protocol, format!("the request could not be made: {error}"))
}

/// The failure of a request without a response.
pub fn of_request(error: &RequestError, context: ErrorContext<'_>) -> Failure {
    match error {
        RequestError::Url => {
            failure(ErrorKind::Protocol, "the request could not be made: HTTP cannot express this URL")
        }
        RequestError::Interim => failure(
            ErrorKind::Protocol,
            "the receiver sent over 1000 interim responses (1xx) and no final one",
        ),
        RequestError::Client(error) => of_error(error, Stage::Sending, context),
    }
}

/// The failure of a response whose body did not arrive completely.
pub fn of_body(error: &hyper::Error, context: ErrorContext<'_>) -> Failure {
    of_error(error, Stage::Reading, context)
}

fn of_error(error: &(dyn Error + 'static), stage: Stage, context: ErrorContext<'_>) -> Failure {
    if let Some(guard) = find::<GuardError>(error) {
        return of_guard(guard);
    }
    if is_timeout(error) {
        return of_timeout(error, stage, context);
    }
    if let (Stage::Sending, Some(tls)) = (stage, find::<rustls::Error>(error)) {
        return failure(ErrorKind::Tls, tls_message(tls, context.authority));
    }
    if is_connect(error) { of_connect(error, context) } else { of_exchange(error, stage) }
}

/// Whether a timeout expired: for a connection, or for the response to a ping.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let waited = |io: &io::Error| io.kind() == io::ErrorKind::TimedOut;
    causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(waited)
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
    })
}

/// Whether there was no connection yet.
fn is_connect(error: &(dyn Error + 'static)) -> bool {
    find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect)
}

fn of_timeout(error: &(dyn Error + 'static), stage: Stage, context: ErrorContext<'_>) -> Failure {
    let message = if is_connect(error) {
        format!("no connection to {} within {}", context.authority, context.connect_timeout)
    } else if stage == Stage::Reading {
        "the connection went silent in the middle of the response".to_owned()
    } else {
        "the connection went silent before a response arrived".to_owned()
    };
    failure(ErrorKind::Timeout, message)
}

/// The failure when no connection could be opened.
fn of_connect(error: &(dyn Error + 'static), context: ErrorContext<'_>) -> Failure {
    use io::ErrorKind as Io;
    let authority = context.authority;
    let Some(io) = io_cause(error) else {
        // The HTTP/2 preface is part of connecting, too.
        return match find::<hyper::Error>(error) {
            Some(hyper) => failure(ErrorKind::Protocol, format!("no HTTP from {authority}: {hyper}")),
            None => {
                failure(ErrorKind::Connect, format!("no connection to {authority}: {}", innermost(error)))
            }
        };
    };
    match io.kind() {
        Io::ConnectionRefused => failure(
            ErrorKind::Connect,
            format!("connection refused by {authority}: nothing listens there, or a firewall refuses"),
        ),
        Io::HostUnreachable | Io::NetworkUnreachable => {
            failure(ErrorKind::Connect, format!("{authority} cannot be reached: no route to it"))
        }
        Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe
            if context.is_https =>
        {
            failure(
                ErrorKind::Tls,
                format!("{authority} closed the connection during the TLS handshake; does it speak HTTPS?"),
            )
        }
        Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => {
            failure(ErrorKind::Protocol, format!("{authority} closed the connection at once"))
        }
        _ => failure(ErrorKind::Connect, format!("no connection to {authority}: {io}")),
    }
}

/// The failure of an open connection that broke or did not speak HTTP.
fn of_exchange(error: &(dyn Error + 'static), stage: Stage) -> Failure {
    let message = match (stage, find::<hyper::Error>(error), io_cause(error)) {
        (Stage::Sending, Some(hyper), _) if hyper.is_parse_too_large() => {
            "the headers of the response are too long".to_owned()
        }
        (Stage::Sending, Some(hyper), _) if hyper.is_parse() => {
            format!("the response is not HTTP ({hyper})")
        }
        (_, _, Some(io)) if io.kind() == io::ErrorKind::ConnectionReset => match stage {
            Stage::Sending => "the connection was reset before a response arrived".to_owned(),
            Stage::Reading => "the connection was reset in the middle of the response".to_owned(),
        },
        (Stage::Sending, Some(hyper), _) if hyper.is_incomplete_message() => {
            "the connection was closed before a response arrived".to_owned()
        }
        (Stage::Sending, Some(hyper), _) if hyper.is_canceled() => {
            "the receiver closed the connection, or said something that is not HTTP, before the request was sent"
                .to_owned()
        }
        (Stage::Sending, ..) => format!("the connection broke before a response arrived ({})", innermost(error)),
        (Stage::Reading, ..) => {
            format!("the connection broke in the middle of the response ({})", innermost(error))
        }
    };
    failure(ErrorKind::Protocol, message)
}

/// Describes a TLS error.
pub(crate) fn tls_message(error: &rustls::Error, host: &str) -> String {
    use CertificateError as Certificate;
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired => format!("the certificate of {host} has expired"),
            Certificate::ExpiredContext { not_after, .. } => {
                format!("the certificate of {host} expired on {}", day(*not_after))
            }
            Certificate::NotValidYet => {
                format!("the certificate of {host} is not valid yet; is this machine's clock right?")
            }
            Certificate::NotValidYetContext { not_before, .. } => format!(
                "the certificate of {host} is not valid yet, only from {} on; is this machine's clock right?",
                day(*not_before)
            ),
            Certificate::UnknownIssuer => format!(
                "the certificate of {host} has an unknown issuer: it is self-signed, an intermediate certificate is missing, or this machine does not trust its authority"
            ),
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                format!("the certificate of {host} does not match its name: it is for another host")
            }
            Certificate::BadSignature => format!(
                "the certificate of {host} is not signed by the authority that it names; it may be self-signed"
            ),
            Certificate::Revoked => format!("the certificate of {host} has been revoked"),
            // rustls has no variant for it.
            Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => format!(
                "the certificate of {host} is one for an authority, as \"openssl req -x509\" makes them: make one with -addext basicConstraints=critical,CA:FALSE"
            ),
            other => format!("the certificate of {host} is not acceptable: {other}"),
        },
        Tls::General(text) if text == NO_ROOTS => {
            format!("the certificate of {host} cannot be checked: {NO_ROOTS}")
        }
        Tls::InvalidMessage(_) => format!("{host} does not speak TLS; is the URL meant to be http?"),
        other => format!("TLS with {host} failed: {other}"),
    }
}

/// The date of a certificate's time, in UTC.
fn day(time: UnixTime) -> String {
    let ms = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    Timestamp::from_millis(ms).to_datetime().date().to_string()
}

/// The first error of type `E` among an error and its causes.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref::<E>())
}

/// The innermost `io::Error`: it has the kind; the outer ones are often of kind `Other`.
fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last()
}

/// The text of the last cause, which is the most specific and never contains the URL.
fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).skip(1).last().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// An error and its causes, outermost first. The `source` of an `io::Error` skips the error that it wraps, so
/// that one is included here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e: &&'a (dyn Error + 'static)| {
        match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => e.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_but_2xx_is_a_failure() {
        for code in 200..300 {
            assert_eq!(of_status(StatusCode::from_u16(code).unwrap()), None, "{code}");
        }
        let message = |code| of_status(StatusCode::from_u16(code).unwrap()).unwrap().message;
        assert_eq!(message(500), "HTTP 500 Internal Server Error");
        assert_eq!(message(404), "HTTP 404 Not Found");
        assert_eq!(message(599), "HTTP 599");
        assert_eq!(message(304), "HTTP 304 Not Modified");
        assert_eq!(
            message(302),
            "HTTP 302 Found: redirects are never followed; set the URL that it leads to"
        );
    }

    #[test]
    fn an_error_inside_an_io_error_is_found() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, io::Error::other(inner.clone()));
        assert_eq!(find::<rustls::Error>(&wrapped), Some(&inner));
    }

    #[test]
    fn certificate_problems_are_described_in_words() {
        let message = |e| tls_message(&rustls::Error::InvalidCertificate(e), "hooks.example");
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        assert_eq!(message(CertificateError::Expired), "the certificate of hooks.example has expired");
        assert!(message(CertificateError::UnknownIssuer).contains("unknown issuer"));
        assert!(message(CertificateError::NotValidForName).contains("does not match its name"));
        assert!(message(CertificateError::NotValidYet).contains("not valid yet"));
        let (time, not_after) = (at(1_772_366_400), at(1_769_903_999));
        assert_eq!(
            message(CertificateError::ExpiredContext { time, not_after }),
            "the certificate of hooks.example expired on 2026-01-31"
        );
        let not_before = at(1_772_409_600);
        let early = message(CertificateError::NotValidYetContext { time, not_before });
        assert!(early.contains("only from 2026-03-02 on"), "{early}");
    }
}
