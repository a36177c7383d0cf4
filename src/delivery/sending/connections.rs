//! The connections to receivers, and the limits of a request over them.
//!
//! This is hyper's pooled client with a connector of ours, not [`client`](crate::delivery::sending::client),
//! which costs more for each request and hides two things: when a connection yields
//! ([`stream`](crate::delivery::sending::stream)), and interim responses (1xx), which the library skips
//! without a limit.
//!
//! As everywhere, no redirects, no proxies, no cookies, no decompression. A request is sent once, with one
//! exception: if an idle connection was closed just as it was reused, or an HTTP/2 peer refused the stream,
//! the request starts again, once, on a new connection ([`may_start_again`]).

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::Extensions;
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tower_service::Service;

use crate::domain::Span;

use crate::delivery::sending::asked::{AskedBody, NotBegun};
use crate::delivery::sending::causes::{find, io_cause};
use crate::delivery::sending::client::{
    HTTP2_PING_EVERY, HTTP2_PING_TIMEOUT, POOL_IDLE, POOL_IDLE_PER_HOST, tls_config,
};
use crate::delivery::sending::dial::first_of;
use crate::delivery::sending::guard::Guard;
use crate::delivery::sending::opening::{Opening, noting};
use crate::delivery::sending::route::Tracker;
use crate::delivery::sending::stream::{ConnectionState, FairTcp, ReceiverStream};

/// The most header lines of a response.
pub(crate) const HEADER_LINES: usize = 1_000;
/// The most bytes in the headers of a response, names and values.
pub(crate) const HEADER_BYTES: usize = 256 << 10;
/// The same as HTTP/2 counts it: 32 bytes more for each line (RFC 9113, section 10.5.1).
const HTTP2_HEADER_LIST: u32 = (HEADER_BYTES + (HEADER_LINES + 10) * 32) as u32;
/// The read buffer: room for these headers with what separates them.
const READ_BUFFER: usize = HEADER_BYTES + HEADER_LINES * 4 + 1_024;
/// The most interim responses before the final one.
pub(crate) const INTERIM_LIMIT: u32 = 1_000;
/// How often a silent connection is probed, and how many probes may fail.
const TCP_PROBE_EVERY: Duration = Duration::from_secs(15);
const TCP_PROBES: u32 = 3;
/// How long sent data may wait for an acknowledgement.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn Error + Send + Sync>;
/// TCP, with or without TLS.
type Secured = MaybeHttpsStream<TokioIo<FairTcp>>;
type HttpClient = Client<Connector, AskedBody>;

/// Why a request got no response. [`crate::delivery::sending::failure`] searches its causes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// hyper cannot parse the URL.
    #[error("HTTP cannot express this URL")]
    Url,
    /// More than [`INTERIM_LIMIT`] interim responses arrived.
    #[error("too many interim responses")]
    Interim,
    /// It may not be begun any more.
    #[error(transparent)]
    NotBegun(#[from] NotBegun),
    /// No connection, or it broke.
    #[error(transparent)]
    Client(#[from] legacy::Error),
}

impl RequestError {
    /// The status code that the response began with, if the rest of its head was malformed.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            RequestError::Client(error) => state_of(error)?.status(),
            RequestError::Url | RequestError::Interim | RequestError::NotBegun(_) => None,
        }
    }
}

/// A request to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: HeaderMap,
    /// Makes the headers once more, for a request that starts again. That is rare, so plain deliveries, whose headers
    /// can be signed again, keep no copy.
    pub(crate) headers_again: &'a (dyn Fn() -> HeaderMap + Send + Sync),
    pub(crate) body: Bytes,
}

/// Open connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Connections {
    pooled: HttpClient,
    /// Never reuses a connection.
    fresh: HttpClient,
}

impl Connections {
    /// All connections go through `guard`. `connect_timeout` covers name resolution, TCP and TLS. There is no
    /// other timeout here.
    pub(crate) fn new(guard: Guard, connect_timeout: &Span) -> Connections {
        let mut tcp = HttpConnector::new_with_resolver(GuardedResolver(guard.clone()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_PROBE_EVERY));
        tcp.set_keepalive_interval(Some(TCP_PROBE_EVERY));
        tcp.set_keepalive_retries(Some(TCP_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let https = HttpsConnector::from((TcpConnector { tcp, guard }, tls_config()));
        let connector = Connector { https, limit: connect_timeout.as_duration() };
        let client = |idle| {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(idle)
                .http1_max_headers(HEADER_LINES)
                .http1_max_buf_size(READ_BUFFER)
                .http1_allow_obsolete_multiline_headers_in_responses(true)
                .http1_allow_spaces_after_header_name_in_responses(true)
                .http1_ignore_invalid_headers_in_responses(true)
                .http2_max_header_list_size(HTTP2_HEADER_LIST)
                .http2_keep_alive_interval(HTTP2_PING_EVERY)
                .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
                .build(connector.clone())
        };
        Connections { pooled: client(POOL_IDLE_PER_HOST), fresh: client(0) }
    }

    /// Sends to `uri` (`None`: HTTP cannot express it) and returns the response as soon as its headers have
    /// arrived. Dropping the response before its end closes the connection (HTTP/1) or the stream (HTTP/2).
    pub(crate) async fn send(
        &self,
        uri: Option<&Uri>,
        outgoing: Outgoing<'_>,
        tracker: &mut Tracker,
    ) -> Result<Response<ResponseBody>, RequestError> {
        let uri = uri.ok_or(RequestError::Url)?;
        let Outgoing { method, headers, headers_again, body } = outgoing;
        match send_with(&self.pooled, method, uri, headers, body.clone(), tracker).await {
            Err(RequestError::Client(error)) if may_start_again(&error) => {
                tracing::debug!("an idle connection was closed as it was reused; the request starts again");
                send_with(&self.fresh, method, uri, headers_again(), body, tracker).await
            }
            result => result,
        }
    }
}

async fn send_with(
    client: &HttpClient,
    method: &Method,
    uri: &Uri,
    headers: HeaderMap,
    body: Bytes,
    tracker: &mut Tracker,
) -> Result<Response<ResponseBody>, RequestError> {
    let begin = tracker.asks();
    // A request without a body asks only here.
    if body.is_empty() && begin.as_ref().is_some_and(|begin| !begin.ask()) {
        return Err(RequestError::NotBegun(NotBegun));
    }
    let mut request = Request::new(AskedBody::new(body, begin));
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers;
    let interim = Arc::new(InterimCounter::default());
    let counter = interim.clone();
    hyper::ext::on_informational(&mut request, move |_| counter.count());
    let opening = tracker.begin(capture_connection(&mut request));
    let mut response = tokio::select! {
        biased;
        response = noting(opening, client.request(request)) => response?,
        () = interim.too_many.notified() => return Err(RequestError::Interim),
    };
    let state = response.extensions_mut().remove::<Arc<ConnectionState>>();
    tracker.responded(state.clone());
    if let Some(state) = &state {
        state.responded(response.headers());
    }
    Ok(response.map(|incoming| ResponseBody { incoming, state }))
}

/// Whether a request that got no response may start again: the receiver has certainly not begun to respond to
/// it, because an idle connection was closed just as it was reused, or because an HTTP/2 peer refused the
/// stream.
fn may_start_again(error: &legacy::Error) -> bool {
    if error.is_connect() {
        return false;
    }
    let http2 = find::<h2::Error>(error);
    if http2.is_some_and(is_refused) {
        return true;
    }
    state_of(error).is_some_and(|state| state.is_reused() && state.is_silent()) && is_closed(error, http2)
}

/// Whether an HTTP/2 peer refused a stream without processing it (RFC 9113, section 8.7).
fn is_refused(error: &h2::Error) -> bool {
    let reason = error.reason();
    reason == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
}

/// Whether the other side closed the connection.
fn is_closed(error: &legacy::Error, http2: Option<&h2::Error>) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let io = find::<io::Error>(error).or_else(|| http2.and_then(h2::Error::get_io));
    match (io, find::<hyper::Error>(error)) {
        (Some(io), _) => {
            matches!(
                io.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
            )
        }
        (None, Some(hyper)) => hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed(),
        (None, None) => false,
    }
}

/// The connection on which an error occurred.
fn state_of(error: &legacy::Error) -> Option<Arc<ConnectionState>> {
    let mut extras = Extensions::new();
    error.connect_info()?.get_extras(&mut extras);
    extras.remove()
}

/// The body of a response.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    state: Option<Arc<ConnectionState>>,
}

impl ResponseBody {
    /// The next piece; `None` at the end.
    pub(crate) async fn next_piece(&mut self) -> Option<hyper::Result<Bytes>> {
        loop {
            match self.incoming.frame().await? {
                // Trailers are ignored.
                Ok(frame) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => return Some(Ok(piece)),
                    _ => {}
                },
                // The body was complete before them.
                Err(error) if is_about_trailers(&error) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.ended();
        }
    }
}

/// Whether the trailers of a chunked body are malformed or too long. hyper has no type for it.
fn is_about_trailers(error: &hyper::Error) -> bool {
    const TEXTS: [&str; 6] = [
        "chunk trailers",
        "Invalid trailer",
        "Invalid header",
        "Partial header",
        "invalid header",
        "invalid token",
    ];
    let text = find::<io::Error>(error).map(ToString::to_string).unwrap_or_default();
    TEXTS.iter().any(|start| text.starts_with(start))
}

/// Counts the interim responses to one request. HTTP/2 does not report them; there only [`FairTcp`] helps.
#[derive(Default)]
struct InterimCounter {
    received: AtomicU32,
    too_many: Notify,
}

impl InterimCounter {
    fn count(&self) {
        if self.received.fetch_add(1, Ordering::Relaxed) == INTERIM_LIMIT {
            self.too_many.notify_one();
        }
    }
}

/// The guard as the connector's resolver: returns only addresses that it has checked.
#[derive(Clone)]
struct GuardedResolver(Guard);

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move { Ok(guard.resolve_checked(name.as_str()).await?.into_iter()) })
    }
}

/// Opens TCP connections.
#[derive(Clone)]
struct TcpConnector {
    /// Connects to one address.
    tcp: HttpConnector<GuardedResolver>,
    guard: Guard,
}

impl TcpConnector {
    async fn connect(self, to: Uri, opening: Arc<Opening>) -> Result<TokioIo<FairTcp>, BoxError> {
        let host = to.host().unwrap_or_default().trim_matches(['[', ']']);
        let mut addresses = match host.parse::<IpAddr>() {
            Ok(literal) => vec![SocketAddr::new(literal, 0)],
            Err(_) => {
                let began = Instant::now();
                let found = self.guard.resolve_checked(host).await?;
                opening.note(|opened| opened.dns = Some(began.elapsed()));
                found
            }
        };
        addresses.iter_mut().for_each(|address| address.set_port(port_of(&to)));
        let began = Instant::now();
        let connecting = first_of(addresses, is_unreachable, |address| {
            opening.note(|opened| opened.address = Some(address));
            let mut tcp = self.tcp.clone();
            async move {
                let to: Uri = format!("http://{address}/").parse()?;
                Ok::<_, BoxError>(tcp.call(to).await?.into_inner())
            }
        });
        let connected = connecting.await.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))??;
        opening.note(|opened| {
            opened.address = connected.peer_addr().ok();
            opened.connect = Some(began.elapsed());
        });
        Ok(TokioIo::new(FairTcp::new(connected)))
    }
}

/// Whether this machine has no route to an address, which says nothing of the receiver.
fn is_unreachable(error: &BoxError) -> bool {
    io_cause(&**error).is_some_and(|io| io.kind() == io::ErrorKind::NetworkUnreachable)
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<FairTcp>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().connect(to, Opening::current()))
    }
}

/// The port of a URL.
fn port_of(to: &Uri) -> u16 {
    let is_https = to.scheme_str() == Some("https");
    to.port_u16().unwrap_or(if is_https { 443 } else { 80 })
}

/// Connects within the limit, with TLS if the URL is `https`.
#[derive(Clone)]
struct Connector {
    https: HttpsConnector<TcpConnector>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<ReceiverStream<TokioIo<Secured>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (opening, began) = (Opening::current(), Instant::now());
        let is_https = to.scheme_str() == Some("https");
        let (connecting, limit) = (self.https.call(to), self.limit);
        Box::pin(async move {
            let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
            let secured = timeout(limit, connecting).await.map_err(timed_out)??;
            opening.note(|opened| {
                let before = opened.dns.unwrap_or_default() + opened.connect.unwrap_or_default();
                opened.tls = is_https.then(|| began.elapsed().saturating_sub(before));
            });
            let is_http2 = secured.connected().is_negotiated_h2();
            Ok(TokioIo::new(ReceiverStream::new(TokioIo::new(secured), is_http2, opening.get())))
        })
    }
}
