//! Connections whose other end does not read.
//!
//! A client that asks for a long answer and then reads nothing of it fills the system's buffers, and from
//! there on the answer waits: with its page of the log, its place among the connections, and for an export
//! its place in the queue. hyper waits forever. So each connection is wrapped in a [`Patient`], which gives
//! up when nothing at all could be written for [`PATIENCE`]. A client that reads slowly goes on reading,
//! and an event stream on which nothing happens has nothing to write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the other end may take none of what is written.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that ends when the other end takes nothing for too long.
pub(crate) struct Patient<S> {
    stream: S,
    /// Runs while something waits to be written.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S) -> Patient<S> {
        Patient { stream, waiting: None }
    }
}

impl<S: Unpin> Patient<S> {
    /// Passes on what came of an attempt to write, and looks at the time when nothing did.
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(shut, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(64);
        let started = Instant::now();
        let error = Patient::new(near).write_all(&[0; 65]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::TimedOut, PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_a_little_now_and_then_gets_all() {
        let (near, mut far) = tokio::io::duplex(64);
        let sent = tokio::spawn(async move { Patient::new(near).write_all(&[7; 256]).await });
        let mut got = Vec::new();
        while got.len() < 256 {
            tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
            let mut some = [0; 32];
            let n = far.read(&mut some).await.unwrap();
            got.extend_from_slice(&some[..n]);
        }
        sent.await.unwrap().expect("it was patient");
        assert_eq!(got, [7; 256]);
    }
}
