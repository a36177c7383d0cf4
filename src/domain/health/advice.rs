//! What to do about an endpoint that fails: a recommendation for each thing that is wrong, with its cause as the
//! delivery log says it and since when it has been there. What was wrong once and works now is none.

use super::ResponseLabel;
use crate::domain::attempts::attempt::ErrorKind;
use crate::domain::endpoint::EndpointStatus;
use crate::domain::values::timestamp::Timestamp;

/// What is known of the way in which attempts failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symptom<'a> {
    pub kind: ErrorKind,
    pub response_status: Option<u16>,
    pub count: u64,
    /// What the log says of the last of them.
    pub message: &'a str,
    pub last_at: Timestamp,
    /// Since when it has been so without a success in between; `None`: there was one.
    pub since: Option<Timestamp>,
}

/// What else a recommendation may rest on.
#[derive(Debug, Clone, Copy)]
pub struct State {
    pub status: EndpointStatus,
    pub response_time: ResponseLabel,
    /// The average that the label judged, in whole ms.
    pub average_ms: u64,
    pub now: Timestamp,
}

/// How long an error is worth a recommendation, in ms: a problem that was fixed last month needs none.
pub const RECENT_MS: i64 = 7 * 86_400_000;

/// What to do about it: a sentence for each cause that the log shows, the most frequent first. It names
/// the cause in the log's own words (a certificate's day, a name, a time limit), and says since when.
pub fn recommendations(symptoms: &[Symptom<'_>], state: State) -> Vec<String> {
    let mut sentences = Vec::new();
    if state.status == EndpointStatus::Disabled {
        sentences.push(
            "The webhook is disabled and gets no events: once the receiver works, set its status to active, \
             then use recover to send what it missed."
                .to_owned(),
        );
    }
    let mut findings: Vec<Finding<'_>> = Vec::new();
    for symptom in symptoms.iter().filter(|s| s.last_at > state.now.plus_ms(-RECENT_MS)) {
        let cause = Cause::of(symptom.kind, symptom.response_status);
        match findings.iter_mut().find(|finding| finding.cause == cause) {
            Some(finding) => finding.add(symptom),
            None => findings.push(Finding::of(cause, symptom)),
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.count));
    sentences.extend(findings.iter().filter_map(Finding::advice));
    let slower = match state.response_time {
        ResponseLabel::Slow => "3 s",
        ResponseLabel::Critical => "5 s",
        _ => return sentences,
    };
    sentences.push(format!(
        "The receiver is slower than {slower} on average (responses take {} ms): answer with 2xx first and do \
         the work afterwards.",
        state.average_ms
    ));
    sentences
}

/// A cause, with what the log shows of it.
struct Finding<'a> {
    cause: Cause,
    count: u64,
    /// Of the latest attempt.
    message: &'a str,
    last_at: Timestamp,
    since: Option<Timestamp>,
    statuses: Vec<u16>,
}

impl<'a> Finding<'a> {
    fn of(cause: Cause, symptom: &Symptom<'a>) -> Finding<'a> {
        let Symptom { count, message, last_at, since, .. } = *symptom;
        Finding {
            cause,
            count,
            message,
            last_at,
            since,
            statuses: symptom.response_status.into_iter().collect(),
        }
    }

    fn add(&mut self, symptom: &Symptom<'a>) {
        self.count += symptom.count;
        self.statuses.extend(symptom.response_status);
        if symptom.last_at > self.last_at {
            (self.message, self.last_at) = (symptom.message, symptom.last_at);
        }
        self.since = match (self.since, symptom.since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn advice(&self) -> Option<String> {
        let (what, todo) = self.cause.words()?;
        let attempts =
            if self.count == 1 { "1 attempt".to_owned() } else { format!("{} attempts", self.count) };
        let statuses: Vec<String> = self.statuses.iter().map(u16::to_string).collect();
        let answered =
            matches!(self.cause, Cause::Client | Cause::Server | Cause::Redirect | Cause::OtherStatus);
        let which = if answered { format!(" ({})", statuses.join(", ")) } else { String::new() };
        let when = match self.since {
            Some(since) if statuses.is_empty() => format!(", without a success since {since}"),
            Some(since) => format!("; the receiver has answered so, without a success, since {since}"),
            None => format!(", the last at {}", self.last_at),
        };
        // The log says of a status no more than its number.
        let told = if statuses.is_empty() { format!(": {}; ", self.message) } else { ": ".to_owned() };
        Some(format!("{attempts} failed with {what}{which}{when}{told}{todo}."))
    }
}

/// What lies behind an error, as far as the advice differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Gone,
    NotFound,
    Refused(u16),
    TooMany,
    Client,
    Server,
    Redirect,
    OtherStatus,
    Kind(ErrorKind),
}

impl Cause {
    fn of(kind: ErrorKind, status: Option<u16>) -> Cause {
        match (kind, status) {
            (ErrorKind::HttpStatus, Some(410)) => Cause::Gone,
            (ErrorKind::HttpStatus, Some(404)) => Cause::NotFound,
            (ErrorKind::HttpStatus, Some(status @ (401 | 403))) => Cause::Refused(status),
            (ErrorKind::HttpStatus, Some(429)) => Cause::TooMany,
            (ErrorKind::HttpStatus, Some(400..=499)) => Cause::Client,
            (ErrorKind::HttpStatus, Some(500..=599)) => Cause::Server,
            (ErrorKind::HttpStatus, Some(300..=399)) => Cause::Redirect,
            (ErrorKind::HttpStatus, _) => Cause::OtherStatus,
            (kind, _) => Cause::Kind(kind),
        }
    }

    /// What failed, and what to do about it.
    fn words(self) -> Option<(String, &'static str)> {
        let (what, todo) = match self {
            Cause::Gone => (
                "HTTP 410 (a 4xx error)",
                "the receiver says that this address is gone permanently; give the webhook its new URL, or delete it",
            ),
            Cause::NotFound => (
                "HTTP 404 (a 4xx error)",
                "check that the path in the webhook's URL is the one that the receiver serves",
            ),
            Cause::Refused(status) => {
                return Some((
                    format!("HTTP {status} (a 4xx error)"),
                    "check the credentials in the webhook's headers, and how the receiver verifies signatures",
                ));
            }
            Cause::TooMany => (
                "HTTP 429 (a 4xx error)",
                "the receiver limits requests; set the webhook's rate_limit below its limit",
            ),
            Cause::Client => (
                "an HTTP 4xx error",
                "check the receiver's implementation: it refuses the request; its response body says why",
            ),
            Cause::Server => (
                "an HTTP 5xx error",
                "check the health and the capacity of the receiver's server, and its log",
            ),
            Cause::Redirect => (
                "an HTTP 3xx redirect",
                "redirects are not followed; give the webhook the URL that the receiver redirects to",
            ),
            Cause::OtherStatus => ("an unexpected HTTP status", "the receiver must answer with 2xx"),
            Cause::Kind(kind) => words_of(kind)?,
        };
        Some((what.to_owned(), todo))
    }
}

/// What failed where no status says it, and what to do about it.
fn words_of(kind: ErrorKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        ErrorKind::Timeout => (
            "a timeout",
            "answer with 2xx first and do the work afterwards, or give the webhook a longer timeout (up to 30s)",
        ),
        ErrorKind::Connect => (
            "a connection error",
            "check that the receiver runs, and that the webhook's URL and port and any firewall let it be reached",
        ),
        ErrorKind::Dns => ("a DNS error", "check the host name in the webhook's URL, and its records"),
        ErrorKind::Tls => (
            "a TLS error",
            "renew or fix the receiver's certificate: its date, its chain, and that it names the host of the URL",
        ),
        ErrorKind::BlockedAddress => (
            "a blocked address",
            "the URL leads to an address that may not be reached; list it in network.allow if it is meant",
        ),
        ErrorKind::Protocol => (
            "a protocol error",
            "check that the URL's port speaks HTTP, and that no proxy closes the connection early",
        ),
        ErrorKind::Template => (
            "a template error",
            "the webhook's request cannot be rendered; correct its templates, then retry these deliveries",
        ),
        ErrorKind::Response => (
            "an unexpected response",
            "the receiver answered 2xx, but not as the webhook's request expects it; its response body says why",
        ),
        ErrorKind::HttpStatus | ErrorKind::Interrupted | ErrorKind::Local => return None,
    })
}
