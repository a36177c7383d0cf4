//! HTTP/1 request heads, judged before hyper sees them.
//!
//! hyper takes lines that end in a bare line feed, and refuses transfer codings in its own words and later
//! than we promise; and it keeps a head that never ends in a buffer of its own. A proxy in front that reads
//! such a head differently would let one client's request pass as another's (request smuggling). So
//! [`Heads`] stands between the connection and hyper and hands over whole heads only:
//!
//! * a line that ends in a bare line feed is a 400, a transfer coding other than `chunked` alone a 501;
//! * what hyper would refuse with an empty response of its own is refused here, in the form of all errors;
//! * what has come of a head is held here, at most [`HEAD_LIMIT`] bytes, all connections together at most
//!   [`HEADS_LIMIT`] (503 beyond), and for at most [`HEAD_TIMEOUT`].
//!
//! A refused head is replaced by a request of its own kind ([`Refusal`]), which the connection's service
//! turns into a response; nothing behind it is read as a request. To find the next head, bodies are
//! followed by their length or their chunks; chunks with bare line feeds end in an error of the body. For
//! HTTP/2, everything passes on as it is: hyper decides. Its unfinished heads are counted
//! ([`super::http2_heads`]), and beyond [`HEADS_LIMIT`] their connection ends.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::framing::{Framing, HEAD_LIMIT, Refusal, Scan};

/// How long a client may take to send the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// What no line of chunks may hold, wherever it stands in one.
const BAD_CHUNK: &[u8] = b"\r\0";
/// The most bytes of unfinished heads, of all connections together.
const HEADS_LIMIT: usize = 16 << 20;
/// What is read and dropped of a connection that is closed before the client has sent everything.
const LINGER_BYTES: usize = 16 << 20;
/// How long it is read for.
const LINGER: Duration = Duration::from_secs(1);

/// The unfinished heads of all connections, in bytes.
#[derive(Debug, Default)]
pub(super) struct HeadBudget(AtomicUsize);

impl HeadBudget {
    fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > HEADS_LIMIT {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// What a connection's task and its stream tell each other.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// A head has begun and not ended.
    mid_head: AtomicBool,
    /// Before it closes, the connection reads a rest, so that the client gets the last response.
    lingers: AtomicBool,
    /// The other end speaks HTTP/2.
    http2: AtomicBool,
}

impl Signs {
    pub(super) fn is_mid_head(&self) -> bool {
        self.mid_head.load(Ordering::Relaxed)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }
}

/// A connection whose heads are judged.
pub(super) struct Heads<S> {
    stream: S,
    signs: Arc<Signs>,
    budget: Arc<HeadBudget>,
    framing: Framing,
    /// Bytes that were read and not handed over; the first `ready` of them may be.
    held: Vec<u8>,
    ready: usize,
    /// How many bytes of `held` are counted in the budget.
    counted: usize,
    /// A head was refused: nothing more is handed over.
    is_refused: bool,
    /// The client has ended its side.
    has_ended: bool,
    /// Runs while a head is unfinished.
    head_deadline: Option<Pin<Box<Sleep>>>,
    lingering: Option<Lingering>,
}

struct Lingering {
    left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Heads<S> {
    pub(super) fn new(stream: S, signs: Arc<Signs>, budget: Arc<HeadBudget>) -> Heads<S> {
        Heads {
            stream,
            signs,
            budget,
            framing: Framing::default(),
            held: Vec::new(),
            ready: 0,
            counted: 0,
            is_refused: false,
            has_ended: false,
            head_deadline: None,
            lingering: None,
        }
    }

    /// Hands over what may be of what is held.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let n = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..n]);
        self.held.drain(..n);
        self.ready -= n;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Judges bytes that have just been read into `buf` behind `start`.
    fn judge(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        if self.held.is_empty() {
            // Most requests come whole, in one piece: they stay where they are.
            let read = &buf.filled()[start..];
            match self.framing.scan(read) {
                Scan::Pass(n) if n == read.len() => return self.count_block(),
                Scan::Pass(n) => {
                    self.held.extend_from_slice(&read[n..]);
                    buf.set_filled(start + n);
                    return self.hold();
                }
                Scan::Refuse { good, refusal } => {
                    self.held.extend_from_slice(&read[good..]);
                    buf.set_filled(start + good);
                    self.refuse(0, refusal);
                }
                Scan::BadChunk { good } => {
                    buf.set_filled(start + good);
                    self.end_in_bad_chunk(0);
                }
            }
        } else {
            self.held.extend_from_slice(&buf.filled()[start..]);
            buf.set_filled(start);
            match self.framing.scan(&self.held) {
                Scan::Pass(n) => {
                    self.ready = n;
                    return self.hold();
                }
                Scan::Refuse { good, refusal } => self.refuse(good, refusal),
                Scan::BadChunk { good } => self.end_in_bad_chunk(good),
            }
        }
        Ok(())
    }

    /// Counts what hyper holds of an unfinished head of HTTP/2. There is no response to it: the connection ends.
    fn count_block(&mut self) -> io::Result<()> {
        let (before, now) = (self.counted, self.framing.unfinished_block());
        if now > before && !self.budget.take(now - before) {
            return Err(io::Error::other("too many unfinished heads"));
        }
        self.budget.give_back(before.saturating_sub(now));
        self.counted = now;
        Ok(())
    }

    /// Counts what is held of an unfinished head.
    fn hold(&mut self) -> io::Result<()> {
        if self.held.len() - self.ready > HEAD_LIMIT {
            self.refuse(self.ready, Refusal::TooLarge);
            return Ok(());
        }
        let (before, now) = (self.counted, self.held.len() - self.ready);
        self.signs.mid_head.store(now > 0, Ordering::Relaxed);
        if now == 0 {
            self.head_deadline = None;
        }
        if now > before && !self.budget.take(now - before) {
            self.refuse(self.ready, Refusal::Overloaded);
            return Ok(());
        }
        self.budget.give_back(before.saturating_sub(now));
        self.counted = now;
        Ok(())
    }

    /// Ends a body whose chunks are malformed in a way that hyper sees, too: the operation that reads it responds, and
    /// nothing behind it is read.
    fn end_in_bad_chunk(&mut self, good: usize) {
        self.held.truncate(good);
        self.held.extend_from_slice(BAD_CHUNK);
        self.ready = self.held.len();
        self.is_refused = true;
    }

    /// Puts a request that stands for the refusal in the place of a head, which begins at `good`.
    fn refuse(&mut self, good: usize, refusal: Refusal) {
        let head = refusal.stand_in(&self.held[good..]);
        self.held.truncate(good);
        self.held.extend_from_slice(&head);
        self.ready = self.held.len();
        self.is_refused = true;
        self.head_deadline = None;
        self.signs.mid_head.store(false, Ordering::Relaxed);
        self.signs.linger();
        self.budget.give_back(std::mem::take(&mut self.counted));
    }
}

impl<S> Drop for Heads<S> {
    fn drop(&mut self) {
        self.budget.give_back(self.counted);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready > 0 {
                this.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            if this.has_ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.is_refused {
                // Not the end of the stream: hyper would close the connection before it has responded. It
                // closes after the response, since the request that stands for the refused one asks for that.
                return Poll::Pending;
            }
            let start = buf.filled().len();
            match Pin::new(&mut this.stream).poll_read(cx, buf) {
                Poll::Ready(read) => read?,
                Poll::Pending if this.held.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    let deadline =
                        this.head_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(HEAD_TIMEOUT)));
                    ready!(deadline.as_mut().poll(cx));
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the head took too long",
                    )));
                }
            }
            if buf.filled().len() == start {
                // The end of the stream. hyper judges what there is of a head.
                this.ready = this.held.len();
                this.has_ended = true;
                continue;
            }
            this.judge(buf, start)?;
            if buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes the way out, and reads a rest first where the client may still be sending: else the system
    /// would answer what still comes with a reset, which takes the response away from the client (RFC 9112,
    /// section 9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.signs.lingers.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Lingering {
            left: LINGER_BYTES,
            deadline: Box::pin(tokio::time::sleep(LINGER)),
        });
        let mut scratch = [0; 8192];
        while lingering.left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(lingering.deadline.as_mut().poll(cx));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::transport::http2_heads::tests::connection;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    fn judged(stream: tokio::io::DuplexStream, budget: &Arc<HeadBudget>) -> Heads<tokio::io::DuplexStream> {
        Heads::new(stream, Arc::default(), budget.clone())
    }

    #[tokio::test]
    async fn a_head_is_handed_over_when_it_is_whole() {
        let (near, mut far) = tokio::io::duplex(64);
        let budget = Arc::default();
        let mut heads = judged(near, &budget);
        far.write_all(&GET[..20]).await.unwrap();
        let mut byte = [0];
        let nothing = futures_util::future::poll_immediate(heads.read(&mut byte)).await;
        assert!(nothing.is_none() && heads.signs.is_mid_head());
        assert_eq!(budget.0.load(Ordering::Relaxed), 20);
        far.write_all(&GET[20..]).await.unwrap();
        let mut got = vec![0; GET.len()];
        heads.read_exact(&mut got).await.unwrap();
        assert_eq!((got.as_slice(), heads.signs.is_mid_head()), (GET, false));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_given_up_and_given_back() {
        let (near, mut far) = tokio::io::duplex(64);
        let budget = Arc::default();
        let mut heads = judged(near, &budget);
        far.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let error = heads.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(heads);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn unfinished_heads_of_http2_are_counted_and_have_the_same_limit() {
        let budget = Arc::new(HeadBudget(AtomicUsize::new(HEADS_LIMIT - 500)));
        let read = async |frames: &[(u8, u8, usize)]| {
            let (near, mut far) = tokio::io::duplex(4_096);
            let mut heads = judged(near, &budget);
            let bytes = connection(frames);
            far.write_all(&bytes).await.unwrap();
            let read = heads.read_exact(&mut vec![0; bytes.len()]).await.map(drop);
            (read, budget.0.load(Ordering::Relaxed))
        };
        let (whole, counted) = read(&[(1, 4, 600), (1, 4, 600)]).await;
        assert!(whole.is_ok() && counted == HEADS_LIMIT - 500, "{whole:?}, {counted}");
        let (unfinished, counted) = read(&[(1, 0, 200), (9, 0, 300)]).await;
        assert!(unfinished.is_ok() && counted == HEADS_LIMIT, "{unfinished:?}, {counted}");
        assert!(read(&[(1, 0, 200), (9, 0, 301)]).await.0.is_err());
        assert_eq!(budget.0.load(Ordering::Relaxed), HEADS_LIMIT - 500, "given back");
    }

    #[tokio::test]
    async fn unfinished_heads_of_all_connections_have_a_limit_together() {
        let budget = Arc::new(HeadBudget(AtomicUsize::new(HEADS_LIMIT - 30)));
        let (near, mut far) = tokio::io::duplex(64);
        let mut heads = judged(near, &budget);
        far.write_all(b"GET /v1/events HTTP/1.1\r\nx: 0123456789").await.unwrap();
        let mut got = [0; 256];
        let length = heads.read(&mut got).await.unwrap();
        let text = String::from_utf8_lossy(&got[..length]);
        assert!(text.starts_with("REFUSED-BUSY /v1/events HTTP/1.1\r\n"), "{text}");
        assert_eq!(budget.0.load(Ordering::Relaxed), HEADS_LIMIT - 30);
    }
}
