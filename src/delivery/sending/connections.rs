//! Sends a request over a connection of the [`pool`](crate::delivery::sending::pool), or a new one.
//!
//! This is hyper's client for one connection with a pool of ours, not
//! [`client`](crate::delivery::sending::client): a pooled client costs more for each request, does not say which
//! connection a request uses, and skips interim responses (1xx) without a limit.
//!
//! As everywhere, no redirects, no proxies, no cookies, no decompression. A request is sent once, with one
//! exception: if an idle connection was closed just as it was reused, or an HTTP/2 peer refused the stream,
//! the request starts again, once, on a new connection ([`Broken::may_start_again`]).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::domain::Span;

use crate::delivery::begin::Begin;
use crate::delivery::sending::asked::{AskedBody, NotBegun};
use crate::delivery::sending::causes::find;
use crate::delivery::sending::client::{HTTP2_PING_EVERY, HTTP2_PING_TIMEOUT};
use crate::delivery::sending::connector::{BoxError, Connector};
use crate::delivery::sending::destination::HttpTarget;
use crate::delivery::sending::guard::Guard;
use crate::delivery::sending::opening::Opening;
use crate::delivery::sending::pool::{Pool, PooledConnection, RequestSender, run_http1, run_http2};
use crate::delivery::sending::route::Tracker;
use crate::delivery::sending::stream::ConnectionState;

/// The most header lines of a response.
pub(crate) const HEADER_LINES: usize = 1_000;
/// The most bytes in the headers of a response, names and values.
pub(crate) const HEADER_BYTES: usize = 256 << 10;
/// The same as HTTP/2 counts it: 32 bytes more for each line (RFC 9113, section 10.5.1).
const HTTP2_HEADER_LIST: u32 = (HEADER_BYTES + (HEADER_LINES + 10) * 32) as u32;
/// The read buffer: room for these headers with what separates them.
const READ_BUFFER: usize = HEADER_BYTES + HEADER_LINES * 4 + 1_024;

/// Why a request got no response. [`crate::delivery::sending::failure`] searches its causes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// hyper cannot parse the URL.
    #[error("HTTP cannot express this URL")]
    Url,
    /// More than [`INTERIM_LIMIT`](crate::delivery::sending::stream::INTERIM_LIMIT) interim responses arrived.
    #[error("too many interim responses")]
    Interim,
    /// It may not be begun any more.
    #[error(transparent)]
    NotBegun(#[from] NotBegun),
    /// No connection could be opened.
    #[error("no connection")]
    Connect(#[source] BoxError),
    /// The connection broke, or the response is malformed.
    #[error(transparent)]
    Broken(Broken),
}

impl RequestError {
    /// The status code that the response began with, if the rest of its head was malformed.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            RequestError::Broken(broken) => broken.state.status(),
            _ => None,
        }
    }
}

/// A connection broke before a response arrived.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke")]
pub(crate) struct Broken {
    #[source]
    error: hyper::Error,
    state: Arc<ConnectionState>,
    /// The request, if nothing of it was sent.
    unsent: Option<Box<Request<AskedBody>>>,
}

impl Broken {
    /// What the HTTP library says.
    pub(crate) fn error(&self) -> &hyper::Error {
        &self.error
    }

    /// Whether the request may start again: the receiver has certainly not begun to respond to it, because an idle
    /// connection was closed just as it was reused, or because an HTTP/2 peer refused the stream.
    fn may_start_again(&self) -> bool {
        let http2 = find::<h2::Error>(&self.error);
        if http2.is_some_and(is_refused) {
            return true;
        }
        let is_unanswered = self.unsent.is_some() || self.state.is_silent();
        self.state.is_reused() && is_unanswered && is_closed(&self.error, http2)
    }
}

/// Whether an HTTP/2 peer refused a stream without processing it (RFC 9113, section 8.7).
fn is_refused(error: &h2::Error) -> bool {
    let reason = error.reason();
    reason == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
}

/// Whether the other side closed the connection.
fn is_closed(error: &hyper::Error, http2: Option<&h2::Error>) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    match find::<io::Error>(error).or_else(|| http2.and_then(h2::Error::get_io)) {
        Some(io) => {
            matches!(
                io.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
            )
        }
        None => error.is_incomplete_message() || error.is_canceled() || error.is_closed(),
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

/// Open connections, and how new ones are opened.
pub(crate) struct Connections {
    connector: Connector,
    pool: Arc<Pool>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Connections {
    /// All connections go through `guard`. `connect_timeout` covers name resolution, TCP and TLS. There is no
    /// other timeout here.
    pub(crate) fn new(guard: Guard, connect_timeout: &Span) -> Connections {
        let mut http1 = http1::Builder::new();
        http1
            .max_headers(HEADER_LINES)
            .max_buf_size(READ_BUFFER)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(HTTP2_HEADER_LIST)
            .keep_alive_interval(HTTP2_PING_EVERY)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT);
        Connections { connector: Connector::new(guard, connect_timeout), pool: Arc::default(), http1, http2 }
    }

    /// Sends to `target` (`None`: HTTP cannot express the URL) and returns the response as soon as its headers have
    /// arrived. Dropping the response before its end closes the connection (HTTP/1) or the stream (HTTP/2).
    pub(crate) async fn send(
        &self,
        target: Option<&HttpTarget>,
        outgoing: Outgoing<'_>,
        tracker: &mut Tracker,
    ) -> Result<Response<ResponseBody>, RequestError> {
        let target = target.ok_or(RequestError::Url)?;
        let Outgoing { method, headers, headers_again, body } = outgoing;
        let begin = tracker.asks();
        let request = build(method, headers, body.clone(), begin.clone())?;
        tracker.begin();
        let connection = self.obtain(target, tracker).await?;
        let broken = match self.send_over(target, connection, request, tracker).await {
            Err(RequestError::Broken(broken)) if broken.may_start_again() => broken,
            result => return result,
        };
        tracing::debug!("an idle connection was closed as it was reused; the request starts again");
        let request = match broken.unsent {
            Some(request) => *request,
            None => build(method, headers_again(), body, begin)?,
        };
        tracker.begin();
        let connection = self.open(target, tracker.opens()).await?;
        self.send_over(target, connection, request, tracker).await
    }

    /// A connection for a request: an open one, or a new one if none comes back earlier.
    async fn obtain(
        &self,
        target: &HttpTarget,
        tracker: &mut Tracker,
    ) -> Result<PooledConnection, RequestError> {
        let mut waiting = match self.pool.take(&target.origin) {
            Ok(connection) => return Ok(connection),
            Err(waiting) => waiting,
        };
        let mut opening = Box::pin(self.open(target, tracker.opens()));
        tokio::select! {
            biased;
            connection = waiting.connection() => {
                // The next request takes it.
                let pool = self.pool.clone();
                tokio::spawn(async move {
                    if let Ok(connection) = opening.await {
                        pool.put(connection);
                    }
                });
                Ok(connection)
            }
            opened = &mut opening => opened,
        }
    }

    /// Opens a connection. Does not borrow, so that it can go on when its request has found another one.
    fn open(
        &self,
        target: &HttpTarget,
        opening: Arc<Opening>,
    ) -> impl Future<Output = Result<PooledConnection, RequestError>> + Send + use<> {
        let (connector, pool, target) = (self.connector.clone(), self.pool.clone(), target.clone());
        let (http1, http2) = (self.http1.clone(), self.http2.clone());
        async move {
            let stream = connector.open(&target, &opening).await.map_err(RequestError::Connect)?;
            let (state, origin, weak) = (stream.state(), target.origin, Arc::downgrade(&pool));
            let refused = |error: hyper::Error| RequestError::Connect(error.into());
            if state.is_http2() {
                let (sender, connection) = http2.handshake(TokioIo::new(stream)).await.map_err(refused)?;
                tokio::spawn(run_http2(connection, weak, origin.clone(), state.clone()));
                return Ok(pool.share(&origin, sender, state));
            }
            let (sender, connection) = http1.handshake(TokioIo::new(stream)).await.map_err(refused)?;
            tokio::spawn(run_http1(connection, weak, origin.clone(), state.clone()));
            Ok(PooledConnection { sender: RequestSender::Http1(sender), state, origin })
        }
    }

    /// Sends a request over a connection, which goes back to the pool with the response. HTTP/1 has the host in a
    /// header, HTTP/2 in the URL.
    async fn send_over(
        &self,
        target: &HttpTarget,
        mut connection: PooledConnection,
        mut request: Request<AskedBody>,
        tracker: &mut Tracker,
    ) -> Result<Response<ResponseBody>, RequestError> {
        let state = connection.state.clone();
        tracker.uses(&state);
        let sent = match &mut connection.sender {
            RequestSender::Http1(sender) => {
                *request.uri_mut() = target.path.clone();
                request.headers_mut().insert(HOST, target.host.clone());
                let counter = state.clone();
                hyper::ext::on_informational(&mut request, move |_| counter.interim());
                tokio::select! {
                    biased;
                    sent = sender.try_send_request(request) => sent,
                    () = state.too_many_interim() => return Err(RequestError::Interim),
                }
            }
            RequestSender::Http2(sender) => {
                *request.uri_mut() = target.uri.clone();
                request.headers_mut().remove(HOST);
                sender.try_send_request(request).await
            }
        };
        let response = sent.map_err(|error| RequestError::Broken(broken(error, state.clone())))?;
        tracker.responded();
        state.responded(response.headers());
        let lease = Lease { pool: self.pool.clone(), connection: Some(connection) };
        Ok(response.map(|incoming| ResponseBody { incoming, _lease: lease }))
    }
}

/// A request, all but its target.
fn build(
    method: &Method,
    headers: HeaderMap,
    body: Bytes,
    begin: Option<Arc<Begin>>,
) -> Result<Request<AskedBody>, NotBegun> {
    // A request without a body asks only here.
    if body.is_empty() && begin.as_ref().is_some_and(|begin| !begin.ask()) {
        return Err(NotBegun);
    }
    let mut request = Request::new(AskedBody::new(body, begin));
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers;
    Ok(request)
}

fn broken(mut error: TrySendError<Request<AskedBody>>, state: Arc<ConnectionState>) -> Broken {
    let unsent = error.take_message().map(Box::new);
    Broken { error: error.into_error(), state, unsent }
}

/// The body of a response.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    _lease: Lease,
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

/// A connection whose response is being read. It goes back to the pool when this is dropped.
struct Lease {
    pool: Arc<Pool>,
    connection: Option<PooledConnection>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.state.ended();
            self.pool.put(connection);
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
