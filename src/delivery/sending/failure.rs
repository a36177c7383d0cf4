//! Why a request failed: the kind, and a sentence for the person who has to fix it.
//!
//! The HTTP client nests errors several layers deep, and its own texts repeat the URL, whose query may hold a
//! token. So the layers are searched for errors of known types, and the sentence is ours. It names the host,
//! never the path or the query.
//!
//! A failure whose cause is this machine is [`ErrorKind::Local`] and counts against no receiver (section 2 of
//! `contract/outages.md`).

use std::error::Error;
use std::io;

use hyper::StatusCode;
use hyper::header::HeaderMap;

use crate::domain::attempts::attempt::Failure;
use crate::domain::{ErrorKind, Span};

use crate::delivery::sending::causes::{causes, find, innermost, io_cause, local_cause};
use crate::delivery::sending::connections::{HEADER_BYTES, HEADER_LINES, RequestError};
use crate::delivery::sending::destination::PrepareError;
use crate::delivery::sending::guard::GuardError;
use crate::delivery::sending::reachability::Reachability;
use crate::delivery::sending::stream::INTERIM_LIMIT;
use crate::delivery::sending::tls_failure::{tls_message, without_links};

/// When a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// While a connection was opened.
    Connecting,
    /// Before the status and headers of the response arrived.
    Sending,
    /// While the body of the response was read.
    Reading,
}

/// The facts that the kind depends on and the sentences name.
#[derive(Clone, Copy)]
pub(crate) struct ErrorContext<'a> {
    /// The host of the URL.
    pub(crate) host: &'a str,
    /// `host` or `host:port`.
    pub(crate) authority: &'a str,
    /// Whether the URL is `https`.
    pub(crate) is_https: bool,
    /// The limit for a connection, for the sentence that says it was exceeded.
    pub(crate) connect_timeout: &'a Span,
    /// What worked lately.
    pub(crate) reachability: &'a Reachability,
}

impl ErrorContext<'_> {
    /// The kind of a failure that may be this machine's: `theirs` if other destinations work.
    fn local_unless_others_work(&self, theirs: ErrorKind) -> ErrorKind {
        if self.reachability.others_work(self.host) { theirs } else { ErrorKind::Local }
    }
}

fn failure(kind: ErrorKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into() }
}

fn local(message: impl Into<String>) -> Failure {
    failure(ErrorKind::Local, message)
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

/// The failure of a response whose headers are over the limits.
pub(crate) fn of_headers(status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let is_over = headers.len() > HEADER_LINES || bytes > HEADER_BYTES;
    let message = || format!("HTTP {}, but {}", status.as_u16(), large_headers());
    is_over.then(|| failure(ErrorKind::Protocol, message()))
}

fn large_headers() -> String {
    format!("the headers of the response are over {HEADER_LINES} lines or {} KiB", HEADER_BYTES >> 10)
}

/// The failure when the guard refuses a request, or its name does not resolve.
pub(crate) fn of_guard(error: &GuardError, context: ErrorContext<'_>) -> Failure {
    let kind = match error {
        GuardError::Blocked(_) | GuardError::BlockedName { .. } => ErrorKind::BlockedAddress,
        GuardError::Dns { .. } => ErrorKind::Dns,
        GuardError::Unresolved { .. } => context.local_unless_others_work(ErrorKind::Dns),
        GuardError::Local { .. } => ErrorKind::Local,
    };
    failure(kind, error.to_string())
}

/// The failure when the name was not resolved in time. If nothing else resolves either, the resolver is
/// silent.
pub(crate) fn of_slow_lookup(limit: &Span, context: ErrorContext<'_>) -> Failure {
    let kind = context.local_unless_others_work(ErrorKind::Timeout);
    failure(kind, format!("the name in {} did not resolve within {limit}", context.authority))
}

/// The failure when the whole request took too long.
pub fn of_deadline(stage: Stage, limit: &Span) -> Failure {
    let message = match stage {
        Stage::Connecting | Stage::Sending => format!("no response within {limit}"),
        Stage::Reading => format!("the response began but did not end within {limit}"),
    };
    failure(ErrorKind::Timeout, message)
}

/// The failure when no request could be built from the stored endpoint.
pub(crate) fn of_preparation(error: &PrepareError) -> Failure {
    let kind = match error {
        PrepareError::Vault(_) => ErrorKind::Local,
        PrepareError::Request(_) | PrepareError::Template(_) => ErrorKind::Template,
        PrepareError::Header { .. } | PrepareError::Url(_) => ErrorKind::Protocol,
    };
    failure(kind, format!("cannot build the request: {error}"))
}

/// The failure of a request without a response.
pub(crate) fn of_request(error: &RequestError, context: ErrorContext<'_>) -> Failure {
    match error {
        RequestError::Url => {
            failure(ErrorKind::Protocol, "cannot build the request: HTTP cannot express this URL")
        }
        RequestError::Interim => failure(
            ErrorKind::Protocol,
            format!("the receiver sent over {INTERIM_LIMIT} interim responses (1xx) and no final one"),
        ),
        // Counts nowhere, whatever is said here.
        RequestError::NotBegun(error) => local(error.to_string()),
        RequestError::Connect(error) => of_error(&**error, Stage::Connecting, context),
        RequestError::Broken(broken) => match error.status() {
            Some(status) => of_malformed(broken.error(), status),
            None => of_error(broken.error(), Stage::Sending, context),
        },
    }
}

/// The failure of a response whose status arrived, but not the rest of its head.
fn of_malformed(error: &hyper::Error, status: u16) -> Failure {
    let what = match error {
        hyper if hyper.is_parse_too_large() => large_headers(),
        hyper if hyper.is_parse() => format!("the headers of the response are malformed ({hyper})"),
        _ => "the connection broke in the middle of the response headers".to_owned(),
    };
    failure(ErrorKind::Protocol, format!("HTTP {status}, but {what}"))
}

/// The failure of a response whose body did not arrive completely.
pub(crate) fn of_body(error: &hyper::Error, context: ErrorContext<'_>) -> Failure {
    of_error(error, Stage::Reading, context)
}

fn of_error(error: &(dyn Error + 'static), stage: Stage, context: ErrorContext<'_>) -> Failure {
    if let Some(guard) = find::<GuardError>(error) {
        return of_guard(guard, context);
    }
    if is_timeout(error) {
        return of_timeout(stage, context);
    }
    if let (Stage::Connecting | Stage::Sending, Some(tls)) = (stage, find::<rustls::Error>(error)) {
        return failure(ErrorKind::Tls, tls_message(tls, context.authority));
    }
    match stage {
        Stage::Connecting => of_connect(error, context),
        Stage::Sending => of_no_response(error),
        Stage::Reading => of_broken_response(error),
    }
}

/// Whether a timeout expired: for a connection, or for the response to a ping.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let waited = |io: &io::Error| io.kind() == io::ErrorKind::TimedOut;
    causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(waited)
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
    })
}

fn of_timeout(stage: Stage, context: ErrorContext<'_>) -> Failure {
    let message = match stage {
        Stage::Connecting => {
            format!("no connection to {} within {}", context.authority, context.connect_timeout)
        }
        Stage::Sending => "the connection went silent before a response arrived".to_owned(),
        Stage::Reading => "the connection went silent in the middle of the response".to_owned(),
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
    if let Some(what) = local_cause(io) {
        return local(format!("no connection to {authority}, because this machine {what}: {io}"));
    }
    match io.kind() {
        Io::ConnectionRefused => failure(
            ErrorKind::Connect,
            format!("connection refused by {authority}: nothing listens there, or a firewall refuses"),
        ),
        Io::NetworkUnreachable | Io::NetworkDown => failure(
            context.local_unless_others_work(ErrorKind::Connect),
            format!("{authority} cannot be reached: this machine has no network route to it"),
        ),
        Io::HostUnreachable => {
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
        _ => failure(
            ErrorKind::Connect,
            format!("no connection to {authority}: {}", without_links(&io.to_string())),
        ),
    }
}

/// The failure of an open connection that broke or did not speak HTTP before a response arrived.
fn of_no_response(error: &(dyn Error + 'static)) -> Failure {
    let is_reset = io_cause(error).is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset);
    let message = match find::<hyper::Error>(error) {
        Some(hyper) if hyper.is_parse_too_large() => large_headers(),
        Some(hyper) if hyper.is_parse() => format!("the response is not HTTP ({hyper})"),
        _ if is_reset => "the connection was reset before a response arrived".to_owned(),
        Some(hyper) if hyper.is_incomplete_message() => {
            "the connection was closed before a response arrived".to_owned()
        }
        Some(hyper) if hyper.is_canceled() => {
            "the receiver closed the connection, or said something that is not HTTP, before the request was sent"
                .to_owned()
        }
        _ => find::<h2::Error>(error).and_then(http2_message).unwrap_or_else(|| {
            format!("the connection broke before a response arrived ({})", without_links(&innermost(error)))
        }),
    };
    failure(ErrorKind::Protocol, message)
}

/// The failure of a connection that broke while the response was read.
fn of_broken_response(error: &(dyn Error + 'static)) -> Failure {
    let is_reset = io_cause(error).is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset);
    let message = if is_reset {
        "the connection was reset in the middle of the response".to_owned()
    } else {
        format!("the connection broke in the middle of the response ({})", without_links(&innermost(error)))
    };
    failure(ErrorKind::Protocol, message)
}

/// The library refuses large and malformed headers over HTTP/2 alike.
fn http2_message(error: &h2::Error) -> Option<String> {
    let ours = !error.is_remote();
    match error.reason()? {
        h2::Reason::PROTOCOL_ERROR if ours => {
            Some(format!("the response over HTTP/2 is malformed, or {}", large_headers()))
        }
        h2::Reason::ENHANCE_YOUR_CALM if ours => Some(large_headers()),
        h2::Reason::REFUSED_STREAM => {
            Some("the receiver refused the request twice (HTTP/2 REFUSED_STREAM)".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

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
    fn trouble_of_this_machine_is_local_and_a_missing_route_only_if_nothing_else_works() {
        let (limit, reachability) = (Span::from_secs(5), Reachability::default());
        let context = ErrorContext {
            host: "a.example",
            authority: "a.example:8080",
            is_https: false,
            connect_timeout: &limit,
            reachability: &reachability,
        };
        let of = |errno: Errno| of_connect(&io::Error::from_raw_os_error(errno.raw_os_error()), context).kind;
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert_eq!(of(errno), ErrorKind::Local, "{errno}");
        }
        let failed = of_connect(&io::Error::from_raw_os_error(Errno::MFILE.raw_os_error()), context);
        assert!(failed.message.contains("no file handles left"), "{}", failed.message);
        assert_eq!(of(Errno::CONNREFUSED), ErrorKind::Connect);
        assert_eq!(of(Errno::HOSTUNREACH), ErrorKind::Connect);
        assert_eq!(of(Errno::NETUNREACH), ErrorKind::Local);
        assert_eq!(of_slow_lookup(&limit, context).kind, ErrorKind::Local);
        reachability.worked("b.example");
        assert_eq!(of(Errno::NETUNREACH), ErrorKind::Connect);
        assert_eq!(of_slow_lookup(&limit, context).kind, ErrorKind::Timeout);
        assert_eq!(of(Errno::MFILE), ErrorKind::Local);
    }
}
