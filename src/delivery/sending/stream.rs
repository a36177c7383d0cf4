//! The byte stream to a receiver: shares its thread, ends idle connections in time, and remembers what the error
//! handling needs to know.
//!
//! * [`FairTcp`] (below TLS) yields after [`READ_QUOTA`], so a receiver that sends without end cannot block the
//!   others on its thread.
//! * [`ReceiverStream`] (above TLS) ends an idle HTTP/1 connection before the receiver does, treats a TLS stream
//!   that ends without close_notify as ended, and records the status code of the current response. Whether a
//!   response is complete is decided by its own length or chunks in the HTTP library, never by the TLS layer.
//! * [`ConnectionState`] is the part of it that requests share with their connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::header::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use crate::delivery::sending::client::POOL_IDLE;
use crate::delivery::sending::opening::Opened;

/// How many bytes are read from one connection before other tasks get the thread.
const READ_QUOTA: usize = 64 << 10;
/// How long an idle HTTP/1 connection is kept if its receiver does not say how long it keeps it. Node.js, Apache and
/// uvicorn close after 5 s.
const IDLE_DEFAULT: Duration = Duration::from_secs(4);
/// How long before the end of `Keep-Alive: timeout` a connection is closed: a request needs time to arrive.
const IDLE_MARGIN: Duration = Duration::from_secs(1);
/// How often a connection checks whether it has been idle for too long.
const IDLE_CHECK_EVERY: Duration = Duration::from_secs(1);
/// The most interim responses (1xx) before the final one.
pub(crate) const INTERIM_LIMIT: u32 = 1_000;
/// The length of `HTTP/1.1 200` and one byte more, which shows that the status code has ended.
const STATUS_END: usize = 13;

/// What is known about a connection. Shared by the connection and its requests.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    is_http2: bool,
    /// Responses whose head arrived.
    responses: AtomicU32,
    /// Requests that were begun (HTTP/1), and responses that were read or dropped.
    requests: AtomicU32,
    ended: AtomicU32,
    /// Whether the receiver has sent something since the last request was begun.
    has_read: AtomicBool,
    /// The status code of the current response as it was received, 0 before it arrived.
    status: AtomicU16,
    /// Interim responses to the current request. HTTP/2 does not report them; there only [`FairTcp`] helps.
    interim: AtomicU32,
    too_many_interim: Notify,
    /// In milliseconds.
    idle_limit: AtomicU32,
    /// How it was opened, and whether its first request has asked for that.
    opened: Opened,
    is_claimed: AtomicBool,
}

impl ConnectionState {
    fn new(is_http2: bool, opened: Opened) -> ConnectionState {
        ConnectionState {
            is_http2,
            responses: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            has_read: AtomicBool::new(false),
            status: AtomicU16::new(0),
            interim: AtomicU32::new(0),
            too_many_interim: Notify::new(),
            idle_limit: AtomicU32::new(millis(IDLE_DEFAULT)),
            opened,
            is_claimed: AtomicBool::new(false),
        }
    }

    /// The head of a response has arrived: notes how long the receiver keeps the connection.
    pub(crate) fn responded(&self, headers: &HeaderMap) {
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.interim.store(0, Ordering::Relaxed);
        if let Some(limit) = headers.get("keep-alive").and_then(|value| idle_limit(value.to_str().ok()?)) {
            self.idle_limit.store(millis(limit), Ordering::Relaxed);
        }
    }

    /// An interim response has arrived.
    pub(crate) fn interim(&self) {
        if self.interim.fetch_add(1, Ordering::Relaxed) == INTERIM_LIMIT {
            self.too_many_interim.notify_one();
        }
    }

    /// Ends when more than [`INTERIM_LIMIT`] interim responses have arrived.
    pub(crate) async fn too_many_interim(&self) {
        self.too_many_interim.notified().await;
    }

    /// A response has been read to its end, or dropped.
    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// The other end.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.opened.address
    }

    /// How the connection was opened, for the first request that asks: for all others it was open.
    pub(crate) fn claim(&self) -> Option<Opened> {
        (!self.is_claimed.swap(true, Ordering::Relaxed)).then_some(self.opened)
    }

    /// Whether the connection has served a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.responses.load(Ordering::Relaxed) > 0
    }

    /// Whether the receiver has sent nothing since the current request was begun. HTTP/2 connections carry more than
    /// one request, so there it is unknown, and the error alone has to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_http2 || !self.has_read.load(Ordering::Relaxed)
    }

    /// The final status code that the current response begins with, even if the rest of it is malformed (HTTP/1).
    pub(crate) fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| (200..1_000).contains(status))
    }

    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == self.ended.load(Ordering::Relaxed)
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// How long a connection may be idle, by the receiver's `Keep-Alive` header (RFC 2068, section 19.7.1.1).
fn idle_limit(keep_alive: &str) -> Option<Duration> {
    let timeout = keep_alive.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"').parse().ok())?
    })?;
    Some(Duration::from_secs(timeout).saturating_sub(IDLE_MARGIN).min(POOL_IDLE))
}

/// A connection to a receiver, in plain text above TLS.
pub(crate) struct ReceiverStream<S> {
    inner: S,
    state: Arc<ConnectionState>,
    /// The start of the current response.
    head: [u8; STATUS_END],
    head_len: usize,
    last_io: Instant,
    check: Pin<Box<Sleep>>,
}

impl<S> ReceiverStream<S> {
    pub(crate) fn new(inner: S, is_http2: bool, opened: Opened) -> ReceiverStream<S> {
        ReceiverStream {
            inner,
            state: Arc::new(ConnectionState::new(is_http2, opened)),
            head: [0; STATUS_END],
            head_len: 0,
            last_io: Instant::now(),
            check: Box::pin(sleep(IDLE_CHECK_EVERY)),
        }
    }

    /// What its requests know of it.
    pub(crate) fn state(&self) -> Arc<ConnectionState> {
        self.state.clone()
    }

    /// Before bytes of a request are written: the first ones after something was read begin a new request.
    fn note_write(&mut self) {
        let is_first = self.state.requests.load(Ordering::Relaxed) == 0;
        if is_first || self.state.has_read.load(Ordering::Relaxed) {
            self.state.requests.fetch_add(1, Ordering::Relaxed);
            self.state.has_read.store(false, Ordering::Relaxed);
            self.state.status.store(0, Ordering::Relaxed);
            self.head_len = 0;
        }
    }

    /// After bytes of a response were read.
    fn note_read(&mut self, bytes: &[u8]) {
        self.last_io = Instant::now();
        self.state.has_read.store(true, Ordering::Relaxed);
        if self.head_len < STATUS_END {
            let taken = bytes.len().min(STATUS_END - self.head_len);
            self.head[self.head_len..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_len += taken;
            if self.head_len == STATUS_END {
                self.state.status.store(status_in(&self.head).unwrap_or(0), Ordering::Relaxed);
            }
        }
    }

    /// Ready when the connection has been idle for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.check.as_mut().poll(cx));
            let now = Instant::now();
            let limit = Duration::from_millis(self.state.idle_limit.load(Ordering::Relaxed).into());
            let end = self.last_io + limit;
            if self.state.is_idle() && now >= end {
                return Poll::Ready(());
            }
            let next = if end > now { (end - now).min(IDLE_CHECK_EVERY) } else { IDLE_CHECK_EVERY };
            self.check.as_mut().reset(now + next);
        }
    }
}

/// The status code in the start of an HTTP/1 response.
fn status_in(head: &[u8; STATUS_END]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let (code, end) = rest.split_at_checked(3)?;
    let is_whole = code.iter().all(u8::is_ascii_digit) && end.first().is_some_and(u8::is_ascii_whitespace);
    is_whole.then(|| std::str::from_utf8(code).ok()?.parse().ok())?
}

impl<S: AsyncRead + Unpin> AsyncRead for ReceiverStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if !self.state.is_http2 && buf.filled().len() > before {
                    self.note_read(&buf.filled()[before..]);
                }
                Poll::Ready(Ok(()))
            }
            // The end of a TLS stream without close_notify.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // Reading nothing is the end of the stream.
            Poll::Pending if !self.state.is_http2 => self.poll_idle(cx).map(Ok),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReceiverStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.note_write();
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A TCP connection that yields to other tasks, however much there is to read.
pub(crate) struct FairTcp {
    tcp: TcpStream,
    /// Bytes read since it last yielded.
    read_in_turn: usize,
}

impl FairTcp {
    pub(crate) fn new(tcp: TcpStream) -> FairTcp {
        FairTcp { tcp, read_in_turn: 0 }
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
        let received = buf.filled().len() - before;
        self.read_in_turn = if read.is_pending() { 0 } else { self.read_in_turn + received };
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
    use hyper::header::HeaderValue;
    use std::io::Write as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn endless_reads_yield_to_other_tasks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut flood = listener.accept().await.unwrap().0.into_std().unwrap();
        flood.set_nonblocking(false).unwrap();
        // Writes from a thread of its own, so there is always more to read.
        let flood = std::thread::spawn(move || while flood.write_all(&[0; 4_096]).is_ok() {});
        let mut fair = FairTcp::new(tcp);
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

    /// A connection after one request and its response, with the receiver's side of it.
    async fn used(keep_alive: Option<&'static str>) -> (ReceiverStream<DuplexStream>, DuplexStream) {
        let (ours, mut theirs) = duplex(1_024);
        let mut stream = ReceiverStream::new(ours, false, Opened::default());
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 100]).await.unwrap() > 0);
        let headers =
            keep_alive.map(|value| ("keep-alive".parse().unwrap(), HeaderValue::from_static(value)));
        stream.state.responded(&headers.into_iter().collect());
        (stream, theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_before_the_receiver_closes_it() {
        for (keep_alive, seconds) in [
            (None, 4),
            (Some("timeout=5, max=100"), 4),
            (Some("max=9, Timeout = 3"), 2),
            (Some("timeout=600"), 20),
        ] {
            let (mut stream, _theirs) = used(keep_alive).await;
            stream.state.ended();
            let start = Instant::now();
            assert_eq!(stream.read(&mut [0; 100]).await.unwrap(), 0, "it ends");
            assert_eq!(start.elapsed().as_secs(), seconds, "{keep_alive:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_waits_for_a_response_does_not_end() {
        let (mut stream, mut theirs) = used(None).await;
        stream.state.ended();
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        let hour = tokio::time::timeout(Duration::from_secs(3_600), stream.read(&mut [0; 100])).await;
        assert!(hour.is_err(), "the request is in flight");
        theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 100]).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn the_state_knows_whether_a_response_has_begun_and_its_status() {
        let (mut stream, mut theirs) = used(None).await;
        assert!(stream.state.is_reused() && !stream.state.is_silent());
        assert_eq!(stream.state.status(), Some(204));
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        stream.write_all(b"more of the same request").await.unwrap();
        assert!(stream.state.is_silent());
        assert_eq!(stream.state.status(), None, "the status was that of the response before");
        for byte in b"HTTP/1.0 410 Gone" {
            theirs.write_all(&[*byte]).await.unwrap();
            assert_eq!(stream.read(&mut [0; 100]).await.unwrap(), 1);
        }
        assert!(!stream.state.is_silent());
        assert_eq!(stream.state.status(), Some(410));
        assert_eq!(stream.state.requests.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn only_final_status_codes_count() {
        let status = |text: &[u8; STATUS_END]| {
            let state = ConnectionState::new(false, Opened::default());
            state.status.store(status_in(text).unwrap_or(0), Ordering::Relaxed);
            state.status()
        };
        assert_eq!((status(b"HTTP/1.1 200 "), status(b"HTTP/1.0 204\r")), (Some(200), Some(204)));
        for none in [
            b"HTTP/1.1 100 ",
            b"SSH-2.0-OpenS",
            b"HTTP/1.1 2xx ",
            b"HTTP/2.0 200 ",
            b"HTTP/1.1 +20 ",
            b"HTTP/1.1 9999",
        ] {
            assert_eq!(status(none), None, "{none:?}");
        }
    }
}
