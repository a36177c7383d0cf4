//! Makes one attempt: builds the request, sends it, reads the response.
//!
//! [`Sender::send`] never fails and never retries. Every result is an [`Outcome`]; what follows from it is
//! decided elsewhere. The only state between attempts are the open connections and the cache of recipients.
//!
//! Timeouts use tokio's timer even when a test passes a fake clock: sockets do not follow a fake clock. The
//! clock only says *when* an attempt was made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response as HttpResponse, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Url};

use crate::domain::alert::Smtp;
use crate::domain::attempts::attempt::{ErrorKind, Failure, Outcome, Request, Response, Route};
use crate::domain::attempts::retry_after;
use crate::domain::network::NetworkPolicy;
use crate::domain::shaping::Body;
use crate::domain::{Headers, Span, Timestamp};
use crate::host::clock::Clock;
use crate::host::vault::Vault;
use crate::store::LoadedAttempt;

use crate::delivery::begin::Begin;
use crate::delivery::courier::{InFlight, Transport};
use crate::delivery::sending::connections::{Connections, Outgoing, ResponseBody};
use crate::delivery::sending::destination::{Destination, PrepareError};
use crate::delivery::sending::failure;
use crate::delivery::sending::failure::{ErrorContext, Stage};
use crate::delivery::sending::guard::{Guard, Lookup, SystemLookup};
use crate::delivery::sending::headers;
use crate::delivery::sending::headers::SigningHeaders;
use crate::delivery::sending::mail::{Mail, Mailer};
use crate::delivery::sending::reachability::Reachability;
use crate::delivery::sending::recipients::{Recipient, Recipients};
use crate::delivery::sending::render::{ResponseVerdict, Shaped, Target};
use crate::delivery::sending::route::Tracker;
use crate::delivery::sending::{echo, jwe, render};

/// The limit for stored response headers, in bytes of names and values. The rest is dropped.
const RESPONSE_HEADERS_LIMIT: usize = 64 * 1_024;
/// How long to wait for the end of a body that has exactly reached the limit.
const LAST_READ_TIMEOUT: Duration = Duration::from_millis(50);

/// The sender's part of the configuration.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// `delivery.timeout`: for the whole request, reading the response included. Endpoints may have their
    /// own.
    pub timeout: Span,
    /// `delivery.connect_timeout`: name resolution, TCP and TLS.
    pub connect_timeout: Span,
    /// `delivery.response_body_limit`, in bytes.
    pub response_body_limit: usize,
    /// `signing.headers`.
    pub signing_headers: Vec<String>,
    /// `network.allow`.
    pub policy: NetworkPolicy,
}

/// Why the sender could not be built.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// A name in `signing.headers` cannot be used.
    #[error("signing.headers: {0}")]
    SigningHeader(String),
}

/// Makes requests. Cheap to share behind an `Arc`; connections are reused between attempts.
pub struct Sender {
    connections: Connections,
    guard: Guard,
    reachability: Reachability,
    recipients: Recipients,
    signing_headers: SigningHeaders,
    mailer: Mailer,
    timeout: Span,
    connect_timeout: Span,
    response_body_limit: usize,
    clock: Arc<dyn Clock>,
}

/// A request that is ready to be sent.
struct PreparedRequest {
    to: Arc<Recipient>,
    headers: HeaderMap,
    body: Bytes,
    shaped: Option<Box<ShapedRequest>>,
}

/// What a shaped request has besides.
struct ShapedRequest {
    target: Target,
    record: Request,
}

/// The response, and the failure if there was one.
#[derive(Default)]
struct Exchange {
    response: Option<Response>,
    retry_after: Option<String>,
    failure: Option<Failure>,
    route: Option<Route>,
    /// The wait that a shaped endpoint reads from the body, in milliseconds.
    wait_ms: Option<i64>,
    is_final: bool,
}

impl Sender {
    /// A sender that uses the operating system's resolver.
    pub fn new(
        config: SenderConfig,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
    ) -> Result<Sender, SenderError> {
        Sender::with_lookup(config, clock, vault, Arc::new(SystemLookup))
    }

    /// A sender that resolves names with `lookup`, for tests.
    pub fn with_lookup(
        config: SenderConfig,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Sender, SenderError> {
        let guard = Guard::with_lookup(config.policy, lookup);
        let connections = Connections::new(guard.clone(), &config.connect_timeout);
        let signing_headers =
            SigningHeaders::new(&config.signing_headers).map_err(SenderError::SigningHeader)?;
        let mailer = Mailer::new(guard.clone(), config.connect_timeout.clone(), config.timeout.clone());
        Ok(Sender {
            connections,
            mailer,
            guard,
            reachability: Reachability::default(),
            recipients: Recipients::new(vault, config.signing_headers),
            signing_headers,
            timeout: config.timeout,
            connect_timeout: config.connect_timeout,
            response_body_limit: config.response_body_limit,
            clock,
        })
    }

    /// Makes one request.
    ///
    /// `response_time_ms` is set if the receiver was reached or the time ran out. It is `None` for failures
    /// before that (`dns`, `connect`, `tls`, `blocked_address`), which would make an unreachable receiver
    /// look fast.
    pub async fn send(&self, loaded: &LoadedAttempt) -> Outcome {
        self.send_recorded(loaded, &InFlight::default()).await
    }

    /// Posts something other than a delivery, such as an alert. The same checks, timeouts and limits apply;
    /// it is neither signed nor logged. Returns the 2xx status.
    ///
    /// # Errors
    /// Why the request failed; a response other than 2xx is a failure.
    pub async fn post(
        &self,
        url: Url,
        own: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<u16, Failure> {
        let headers = headers::of_notice(own).map_err(|error| failure::of_preparation(&error))?;
        let (to, limit) = (Destination::from(url), &self.timeout);
        let started = Instant::now();
        // They were made of the same a moment ago.
        let headers_again = || headers::of_notice(own).unwrap_or_default();
        let (method, body) = (&Method::POST, body.into());
        let outgoing = Outgoing { method, headers, headers_again: &headers_again, body };
        let exchange = self.exchange(&to, outgoing, (started, limit), None).await;
        match (exchange.failure, exchange.response) {
            (None, Some(response)) => Ok(response.status),
            (Some(failure), _) => Err(failure),
            (None, None) => unreachable!("an exchange ends with a response or a failure"),
        }
    }

    /// Sends an e-mail. The same checks and timeouts apply as to requests. The error is a sentence.
    pub async fn mail(&self, smtp: &Smtp, password: Option<&str>, mail: &Mail) -> Result<(), String> {
        self.mailer.send(smtp, password, mail).await
    }

    async fn send_recorded(&self, loaded: &LoadedAttempt, flight: &InFlight) -> Outcome {
        let attempted_at = self.clock.now();
        let started = Instant::now();
        let (request, exchange) = match self.prepare(loaded, attempted_at) {
            Ok(prepared) => {
                flight.note(attempted_at, record(&prepared, loaded));
                let limit = loaded.endpoint.settings.timeout.as_ref().unwrap_or(&self.timeout);
                let PreparedRequest { to, headers, body, shaped } = prepared;
                let target = shaped.as_ref().map(|shaped| &shaped.target);
                let destination = target.map_or(&to.destination, |target| &target.destination);
                let method = target.map_or(Method::POST, |target| target.method.clone());
                let mut exchange = if echo::is_echo_url(&destination.url) {
                    self.echo(&to, &headers, &body, attempted_at)
                } else {
                    let (kept, signed) = (shaped.as_ref().map(|_| headers.clone()), body.clone());
                    let plain = || self.signing_headers.for_request(loaded, &to, attempted_at, &signed);
                    let headers_again = || kept.clone().unwrap_or_else(plain);
                    let outgoing = Outgoing { method: &method, headers, headers_again: &headers_again, body };
                    self.exchange(destination, outgoing, (started, limit), flight.begin()).await
                };
                if let Some(shaped) = &to.shaped {
                    exchange.judged_by(shaped, loaded);
                }
                (flight.take().map(|(_, request)| request), exchange)
            }
            Err(error @ PrepareError::Template(_)) => {
                tracing::debug!(attempt_id = %loaded.id, endpoint_id = %loaded.endpoint.id, %error, "cannot render the request");
                let failure = Some(failure::of_preparation(&error));
                (None, Exchange { failure, ..Exchange::default() })
            }
            Err(error) => {
                tracing::error!(attempt_id = %loaded.id, endpoint_id = %loaded.endpoint.id, %error, "cannot build the request");
                let failure = Some(failure::of_preparation(&error));
                (None, Exchange { failure, ..Exchange::default() })
            }
        };
        let reached = request.is_some() && exchange.failure.as_ref().is_none_or(|f| was_reached(f.kind));
        let elapsed = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
        let finished_at = self.clock.now();
        let wish = exchange.wait_ms.map(|ms| finished_at.plus_ms(ms));
        let by_header = || exchange.retry_after.and_then(|value| retry_after::parse(&value, finished_at));
        Outcome {
            attempted_at: Some(attempted_at),
            finished_at,
            response_time_ms: reached.then_some(elapsed),
            request,
            not_before: wish.or_else(by_header),
            is_final: exchange.is_final,
            response: exchange.response,
            failure: exchange.failure,
            route: exchange.route,
        }
    }

    fn prepare(&self, loaded: &LoadedAttempt, at: Timestamp) -> Result<PreparedRequest, PrepareError> {
        let to = self.recipients.get(&loaded.endpoint, at)?;
        if to.shaped.is_some() {
            return self.prepare_shaped(loaded, to, at);
        }
        let body = match (loaded.endpoint.settings.encrypted, to.secrets(at).next()) {
            (true, Some(secret)) => Bytes::from(jwe::encrypt(secret, &loaded.payload)),
            _ => loaded.payload.clone(),
        };
        let headers = self.signing_headers.for_request(loaded, &to, at, &body);
        Ok(PreparedRequest { to, headers, body, shaped: None })
    }

    fn prepare_shaped(
        &self,
        loaded: &LoadedAttempt,
        to: Arc<Recipient>,
        at: Timestamp,
    ) -> Result<PreparedRequest, PrepareError> {
        let Some(shaped) = &to.shaped else { return Err(PrepareError::Request("is missing".to_owned())) };
        let twins = shaped.render(loaded)?;
        let target = render::target(&twins.sent)?;
        let (mut headers, shown) =
            self.signing_headers.for_shaped(loaded, &to, at, &twins, shaped.shape.signs())?;
        let body = match twins.sent.body {
            Body::Payload => loaded.payload.clone(),
            Body::Made(text) => Bytes::from(text),
            Body::None => Bytes::new(),
        };
        // The client leaves the length of an empty body out, which some servers refuse where one is usual.
        let has_length = !matches!(target.method, Method::GET | Method::DELETE);
        if has_length && body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        let shown_headers =
            headers::recorded(&shown, &target.destination.authority, has_length.then_some(body.len()));
        let record = render::record(twins.shown, shown_headers);
        let shaped = Some(Box::new(ShapedRequest { target, record }));
        Ok(PreparedRequest { to, headers, body, shaped })
    }

    /// The built-in receiver's response.
    fn echo(&self, to: &Recipient, headers: &HeaderMap, body: &[u8], at: Timestamp) -> Exchange {
        let response = echo::respond(to.secrets(at), headers, body, at, self.response_body_limit);
        let failure = StatusCode::from_u16(response.status).ok().and_then(failure::of_status);
        Exchange { response: Some(response), failure, ..Exchange::default() }
    }

    /// Checks the address, sends the request and reads the response, within `limit` from `started`.
    async fn exchange(
        &self,
        to: &Destination,
        outgoing: Outgoing<'_>,
        (started, limit): (Instant, &Span),
        begin: Option<&Arc<Begin>>,
    ) -> Exchange {
        let deadline = started + limit.as_duration();
        let host = to.url.host_str().unwrap_or_default();
        let context = ErrorContext {
            host,
            reachability: &self.reachability,
            authority: &to.authority,
            is_https: to.url.scheme() == "https",
            connect_timeout: &self.connect_timeout,
        };
        let failed = |failure| Exchange { failure: Some(failure), ..Exchange::default() };

        let checked = Instant::now();
        let lookup_limit =
            if self.connect_timeout.as_millis() < limit.as_millis() { &self.connect_timeout } else { limit };
        match timeout_at(started + lookup_limit.as_duration(), self.guard.check_url(&to.url)).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => return failed(failure::of_guard(&refused, context)),
            Err(_) => return failed(failure::of_slow_lookup(lookup_limit, context)),
        }
        if let Some(Host::Domain(_)) = to.url.host() {
            self.reachability.worked(host);
        }

        let mut tracker = Tracker::of(begin.cloned());
        tracker.checked(checked.elapsed());
        let request = self.connections.send(to.http.as_ref(), outgoing, &mut tracker);
        let sent = timeout_at(deadline, request).await;
        let route = tracker.route();
        let failed = |failure| Exchange { route, ..failed(failure) };
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let response = error.status().map(bare_response);
                return Exchange { response, ..failed(failure::of_request(&error, context)) };
            }
            Err(_) => return failed(failure::of_deadline(Stage::Sending, limit)),
        };
        self.reachability.worked(host);
        Exchange { route, ..self.read(response, deadline, limit, context).await }
    }

    /// Reads a response, up to the limit for stored bodies.
    async fn read(
        &self,
        received: HttpResponse<ResponseBody>,
        deadline: Instant,
        limit: &Span,
        context: ErrorContext<'_>,
    ) -> Exchange {
        let status = received.status();
        let mut response = Response {
            status: status.as_u16(),
            headers: kept_headers(received.headers()),
            body: Vec::new(),
            body_truncated: false,
        };
        if let Some(failure) = failure::of_headers(status, received.headers()) {
            response.body_truncated = true;
            return Exchange { response: Some(response), failure: Some(failure), ..Exchange::default() };
        }
        let retry_after = retry_after_header(status, received.headers());
        let mut body = received.into_body();
        let broken = loop {
            let room = self.response_body_limit - response.body.len();
            if room == 0 {
                response.body_truncated = has_more(&mut body).await;
                break None;
            }
            match timeout_at(deadline, body.next_piece()).await {
                Ok(Some(Ok(chunk))) if chunk.len() > room => {
                    response.body.extend_from_slice(&chunk[..room]);
                    response.body_truncated = true;
                    break None;
                }
                Ok(Some(Ok(chunk))) => response.body.extend_from_slice(&chunk),
                Ok(None) => break None,
                Ok(Some(Err(error))) => break Some(failure::of_body(&error, context)),
                Err(_) => break Some(failure::of_deadline(Stage::Reading, limit)),
            }
        };
        // A body with unread data closes its connection (HTTP/1) or stream (HTTP/2) when it is dropped.
        drop(body);
        let failure = broken.or_else(|| failure::of_status(status));
        Exchange { response: Some(response), retry_after, failure, ..Exchange::default() }
    }
}

impl Exchange {
    /// Looks at the response as a shaped endpoint does, and masks its secrets.
    fn judged_by(&mut self, shaped: &Shaped, loaded: &LoadedAttempt) {
        if let Some(response) = &mut self.response {
            let ResponseVerdict { failure, wait_ms, is_final } =
                shaped.judge(loaded, response, self.failure.is_none());
            self.failure = self.failure.take().or(failure);
            self.wait_ms = wait_ms;
            self.is_final = is_final && self.failure.is_some();
            shaped.mask_response(response);
        }
        if let Some(failure) = &mut self.failure {
            shaped.mask_failure(failure);
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender(…)")
    }
}

/// The request as the log shows it. Its body is included only if it differs from the event's payload.
fn record(prepared: &PreparedRequest, loaded: &LoadedAttempt) -> Request {
    if let Some(shaped) = &prepared.shaped {
        return shaped.record.clone();
    }
    Request {
        method: None,
        url: prepared.to.destination.url.as_str().to_owned(),
        headers: headers::recorded(
            &prepared.headers,
            &prepared.to.destination.authority,
            Some(prepared.body.len()),
        ),
        body: loaded.endpoint.settings.encrypted.then(|| prepared.body.to_vec()),
    }
}

/// Whether a failure of this kind has a meaningful response time.
fn was_reached(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Timeout
        | ErrorKind::HttpStatus
        | ErrorKind::Response
        | ErrorKind::Protocol
        | ErrorKind::Interrupted => true,
        ErrorKind::Dns
        | ErrorKind::Connect
        | ErrorKind::Tls
        | ErrorKind::BlockedAddress
        | ErrorKind::Local
        | ErrorKind::Template => false,
    }
}

/// The receiver's retry_after_header to be called later; only with 429 and 503 (section 8 of the contract).
fn retry_after_header(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let has_meaning = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    headers.get(RETRY_AFTER).filter(|_| has_meaning).map(|value| headers::text(value).into_owned())
}

/// A response of which only the status code arrived in good order.
fn bare_response(status: u16) -> Response {
    Response { status, headers: Headers::default(), body: Vec::new(), body_truncated: true }
}

fn kept_headers(headers: &HeaderMap) -> Headers {
    let mut room = RESPONSE_HEADERS_LIMIT;
    let mut kept = Headers::with_capacity(headers.len(), 0);
    for (name, value) in headers {
        let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { break };
        room = left;
        kept.push(name.as_str(), &headers::text(value));
    }
    kept
}

/// Whether a body that fills the limit exactly has more data. If neither data nor the end arrives within a
/// moment, it counts as truncated.
async fn has_more(body: &mut ResponseBody) -> bool {
    timeout(LAST_READ_TIMEOUT, body.next_piece()).await.map_or(true, |next| next.is_some())
}

#[async_trait::async_trait]
impl Transport for Sender {
    async fn send(&self, loaded: &LoadedAttempt, flight: &InFlight) -> Outcome {
        self.send_recorded(loaded, flight).await
    }
}
