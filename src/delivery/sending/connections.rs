//! The connections to receivers, and what a request over them may cost.
//!
//! This is hyper's client with a connector of ours, and not [`crate::delivery::sending::client`], because of two things that
//! a library with more comfort hides. A receiver that sends without end is read in turns: whoever reads
//! from a connection lets others at the thread after [`READ_QUOTA`]. And interim answers (1xx) are counted:
//! the library skips them for as long as they come.
//!
//! As everywhere, no redirects, no proxies, no cookies, no decompression, and no request is sent twice. (One that
//! was never begun, because an idle connection had just been closed, is begun again on another.)

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tower_service::Service;

use crate::domain::Span;

use crate::delivery::sending::client::{
    HTTP2_PING_EVERY, HTTP2_PING_TIMEOUT, POOL_IDLE, POOL_IDLE_PER_HOST, tls_config,
};
use crate::delivery::sending::guard::Guard;

/// How many bytes are read from one connection before others are let at the thread.
const READ_QUOTA: usize = 64 << 10;
/// How many interim answers are skipped before the real one.
const INTERIM_LIMIT: u32 = 1_000;
/// How often a silent connection is asked whether it lives, and how often in vain.
const TCP_PING_EVERY: Duration = Duration::from_secs(15);
const TCP_PINGS: u32 = 3;
/// How long what was sent may wait for the other side's system to say that it has come.
#[cfg(target_os = "linux")]
const TCP_UNHEARD: Duration = Duration::from_secs(30);

type BoxError = Box<dyn Error + Send + Sync>;
/// TCP, with or without TLS.
type ReceiverStream = MaybeHttpsStream<TokioIo<FairTcp>>;

/// Why a request got no answer. Its causes are for [`crate::delivery::sending::failure`] to search.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// hyper does not take the URL.
    #[error("HTTP cannot express this URL")]
    Url,
    /// More than [`INTERIM_LIMIT`] interim answers came.
    #[error("there was no end of interim answers")]
    Interim,
    /// No connection, or it broke.
    #[error(transparent)]
    Client(#[from] legacy::Error),
}

/// Open connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Connections(Client<Connector, Full<Bytes>>);

impl Connections {
    /// All connections go through `guard`; `connect_timeout` covers the look-up of the name, TCP and TLS. There
    /// is no other timeout in it.
    pub(crate) fn new(guard: Guard, connect_timeout: &Span) -> Connections {
        let mut tcp = HttpConnector::new_with_resolver(GuardedResolver(guard));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_PING_EVERY));
        tcp.set_keepalive_interval(Some(TCP_PING_EVERY));
        tcp.set_keepalive_retries(Some(TCP_PINGS));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(TCP_UNHEARD));
        let https = HttpsConnector::from((TcpConnector(tcp), tls_config()));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http2_keep_alive_interval(HTTP2_PING_EVERY)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .build(Connector { https, limit: connect_timeout.as_duration() });
        Connections(client)
    }

    /// Posts to `uri` (`None`: HTTP cannot express where that is), and gives the answer as soon as its headers
    /// are there. Dropping the answer before its end closes the connection (HTTP/1) or the stream (HTTP/2).
    pub(crate) async fn post(
        &self,
        uri: Option<&Uri>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, RequestError> {
        let uri = uri.ok_or(RequestError::Url)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        let interim = Arc::new(InterimCounter::default());
        let counter = interim.clone();
        hyper::ext::on_informational(&mut request, move |_| counter.came());
        tokio::select! {
            biased;
            answer = self.0.request(request) => Ok(answer?),
            () = interim.too_many.notified() => Err(RequestError::Interim),
        }
    }
}

/// The next piece of a body; `None` = it has ended.
pub(crate) async fn next_piece(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        match body.frame().await? {
            // What is no data are trailers, which nobody wants.
            Ok(frame) => match frame.into_data() {
                Ok(piece) if !piece.is_empty() => return Some(Ok(piece)),
                _ => {}
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Counts the interim answers to one request. HTTP/2 does not tell of them; there only [`FairTcp`] helps.
#[derive(Default)]
struct InterimCounter {
    count: AtomicU32,
    too_many: Notify,
}

impl InterimCounter {
    fn came(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == INTERIM_LIMIT {
            self.too_many.notify_one();
        }
    }
}

/// The guard, as what connects asks it: only addresses that it has checked.
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

/// Connects, over TCP only.
#[derive(Clone)]
struct TcpConnector(HttpConnector<GuardedResolver>);

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<FairTcp>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(
            async move { Ok(TokioIo::new(FairTcp { tcp: connecting.await?.into_inner(), read_in_turn: 0 })) },
        )
    }
}

/// Connects within a time, with TLS where the URL says so.
#[derive(Clone)]
struct Connector {
    https: HttpsConnector<TcpConnector>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = ReceiverStream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<ReceiverStream, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, limit) = (self.https.call(to), self.limit);
        Box::pin(async move {
            timeout(limit, connecting)
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}

/// A connection that is read in turns with others, however much there is to read.
struct FairTcp {
    tcp: TcpStream,
    /// Bytes read since somebody else was let at the thread.
    read_in_turn: usize,
}

impl Connection for FairTcp {
    fn connected(&self) -> Connected {
        self.tcp.connected()
    }
}

impl AsyncRead for FairTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_in_turn >= READ_QUOTA {
            self.read_in_turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        self.read_in_turn = if read.is_pending() { 0 } else { self.read_in_turn + came };
        read
    }
}

impl AsyncWrite for FairTcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn endless_reads_yield_to_other_tasks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut flood = listener.accept().await.unwrap().0.into_std().unwrap();
        flood.set_nonblocking(false).unwrap();
        // There is always more to read: it comes from a thread of its own, which needs nothing of this one.
        let flood = std::thread::spawn(move || while flood.write_all(&[0; 4_096]).is_ok() {});
        let mut fair = FairTcp { tcp, read_in_turn: 0 };
        let mut buffer = vec![0; READ_QUOTA];
        let mut most = 0;
        for _ in 0..200 {
            let mut at_once = 0;
            std::future::poll_fn(|cx| {
                at_once = 0;
                loop {
                    let mut buf = ReadBuf::new(&mut buffer);
                    match Pin::new(&mut fair).poll_read(cx, &mut buf) {
                        Poll::Ready(read) => read.unwrap(),
                        Poll::Pending => return Poll::Ready(()),
                    }
                    at_once += buf.filled().len();
                }
            })
            .await;
            most = most.max(at_once);
            fair.tcp.readable().await.unwrap();
        }
        assert!((1..2 * READ_QUOTA).contains(&most), "{most}");
        drop(fair);
        flood.join().unwrap();
    }
}
