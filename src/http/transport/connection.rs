//! One connection: HTTP on a stream, from its first byte to its orderly end.
//!
//! Each request is given where it comes from, as far as that is believed, and its body as it arrives
//! ([`super::arrival`]). What has to be refused at this level (a head that [`super::heads`] has refused, no
//! `Host` or two) is marked on the request; the shell words it, because only it knows the form of errors.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::http::uri::{Authority, Scheme};
use poem::http::{HeaderValue, Method, Version, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, RequestParts, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::arrival::{Rest, arriving};
use super::framing::{HEAD_LIMIT, Refusal};
use super::heads::{HEAD_TIMEOUT, HeadBudget, Heads, Signs};
use super::proxies::Proxies;
use super::seats::{Serving, Work};
use super::stop::{WAIT_AT_STOP, soon};
use super::tls::Tls;
use super::unread::Patient;

/// How long a connection may be idle between two requests. Load balancers keep theirs for 60 s and must be
/// the ones that close, or a request is lost with a connection that this side has just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How often HTTP/2 asks whether the other end is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Why a request is refused before it is routed; an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The head.
    Head(Refusal),
    /// There must be one `Host`, and it must be a host.
    Host,
}

/// A mark on requests with forwarding headers from a peer that is not trusted to send them.
#[derive(Debug, Clone, Copy)]
pub struct UntrustedForwarding;

/// What all connections share.
pub(super) struct Service<E> {
    pub(super) app: E,
    pub(super) proxies: Proxies,
    pub(super) tls: Option<Tls>,
    pub(super) heads: Arc<HeadBudget>,
    pub(super) stop: CancellationToken,
}

/// The other end of a connection, and what it is doing.
struct Peer {
    /// `None`: it came over a Unix socket.
    address: Option<IpAddr>,
    is_https: bool,
    work: Arc<Work>,
}

/// Shakes hands on TLS, if that is used, and serves the connection until it ends or has to make room.
pub(super) async fn serve<S, E>(service: Arc<Service<E>>, stream: S, address: Option<IpAddr>, work: Arc<Work>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let peer = Peer { address, is_https: service.tls.is_some(), work: work.clone() };
    tokio::select! {
        () = greet(service, stream, peer) => {}
        () = work.told_to_close() => {}
    }
}

async fn greet<S, E>(service: Arc<Service<E>>, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let stream = Patient::new(stream);
    let Some(tls) = service.tls.clone() else { return connection(service, stream, peer).await };
    let handshake = tokio::time::timeout(HEAD_TIMEOUT, tls.acceptor().accept(stream));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = soon(&service.stop) => return,
    };
    match shaken {
        Ok(Ok(stream)) => connection(service, stream, peer).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => {}
    }
}

async fn connection<S, E>(service: Arc<Service<E>>, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let signs = Arc::new(Signs::default());
    let stream = Heads::new(stream, signs.clone(), service.heads.clone());
    let (asked, stop, work) = (CancellationToken::new(), service.stop.clone(), peer.work.clone());
    let peer = Arc::new(peer);
    let respond = {
        let (asked, signs) = (asked.clone(), signs.clone());
        hyper::service::service_fn(move |request| {
            asked.cancel();
            let (service, peer, signs) = (service.clone(), peer.clone(), signs.clone());
            async move { Ok::<_, Infallible>(exchange(&service, &peer, &signs, request).await) }
        })
    };
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), respond);
    // hyper's own timeout begins with the first byte of HTTP/1; before that it waits forever, in order
    // to tell the versions apart.
    let first_head = tokio::time::timeout(HEAD_TIMEOUT, asked.cancelled());
    tokio::pin!(connection, first_head);
    tokio::select! {
        result = connection.as_mut() => return ended(result),
        first = first_head => if first.is_err() { return },
        () = soon(&stop) => return,
    }
    tokio::select! {
        result = connection.as_mut() => return ended(result),
        () = stop.cancelled() => {}
    }
    if signs.is_mid_head() {
        tokio::select! {
            result = connection.as_mut() => return ended(result),
            () = tokio::time::sleep(WAIT_AT_STOP) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        result = connection.as_mut() => ended(result),
        () = nothing_to_do(&work), if signs.is_http2() => {}
    }
}

/// Waits until nothing has been served for a moment. HTTP/2 waits for the other end to agree to the end of
/// a connection, which it may never do.
async fn nothing_to_do(work: &Work) {
    let mut moments = 0;
    while moments < 2 {
        tokio::time::sleep(WAIT_AT_STOP / 2).await;
        moments = if work.is_waiting() { moments + 1 } else { 0 };
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(HEAD_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(HEAD_LIMIT as u32)
        .keep_alive_interval(PING_EVERY);
    builder
}

fn ended(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(error = &*error, "a connection ended early");
    }
}

/// One request and its response.
async fn exchange<E>(
    service: &Service<E>,
    peer: &Peer,
    signs: &Signs,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Served>
where
    E: Endpoint<Output = Response> + 'static,
{
    let serving = peer.work.serve();
    let is_http1 = request.version() < Version::HTTP_2;
    if !is_http1 {
        signs.speaks_http2();
    }
    let waits_for_leave = request.headers().contains_key(header::EXPECT);
    let (request, rest) = introduce(service, peer, request);
    let response: hyper::Response<BoxBody<Bytes, std::io::Error>> =
        service.app.get_response(request).await.into();
    let (mut parts, body) = response.into_parts();
    // Over HTTP/2 a body that is not wanted ends its stream only.
    if let Some(rest) = rest.filter(|rest| is_http1 && !rest.was_read()) {
        let is_stopping = service.stop.is_cancelled();
        if is_stopping || waits_for_leave || !rest.dropped().await {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            if !is_stopping {
                signs.linger();
            }
        }
    }
    hyper::Response::from_parts(parts, Served { body, _serving: serving })
}

/// The request with where it comes from, as far as that is believed.
fn introduce<E>(
    service: &Service<E>,
    peer: &Peer,
    request: hyper::Request<Incoming>,
) -> (Request, Option<Rest>) {
    let (mut parts, body) = request.into_parts();
    let client = service.proxies.client(peer.address, peer.is_https, &parts.headers);
    if let Some(refusal) = Refusal::of_method(parts.method.as_str()) {
        parts.method = Method::GET;
        parts.extensions.insert(Refused::Head(refusal));
    } else if !has_one_host(&parts) {
        parts.extensions.insert(Refused::Host);
    }
    if client.is_forwarded_by_stranger {
        parts.extensions.insert(UntrustedForwarding);
    }
    let remote = match client.address {
        Some(address) => Addr::SocketAddr(SocketAddr::new(address, 0)),
        None => Addr::custom("unix", ""),
    };
    let scheme = if client.is_https { Scheme::HTTPS } else { Scheme::HTTP };
    let parts = RequestParts::from((parts, LocalAddr::default(), RemoteAddr(remote), scheme));
    if body.is_end_stream() {
        return (Request::from_parts(parts, poem::Body::empty()), None);
    }
    let (body, rest) = arriving(body, peer.work.clone(), service.stop.clone());
    (Request::from_parts(parts, body.boxed().into()), Some(rest))
}

/// HTTP/1.1 asks for exactly one `Host`, older versions for at most one; HTTP/2 has `:authority` for it.
fn has_one_host(parts: &poem::http::request::Parts) -> bool {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let is_host = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.is_empty() || Authority::try_from(value).is_ok()
    };
    match first {
        Some(host) => second.is_none() && is_host(host),
        None => {
            parts.version < Version::HTTP_11
                || parts.uri.authority().is_some_and(|_| parts.version > Version::HTTP_11)
        }
    }
}

/// The body of a response. Its request is being served until this is dropped.
struct Served {
    body: BoxBody<Bytes, std::io::Error>,
    _serving: Serving,
}

impl Body for Served {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
