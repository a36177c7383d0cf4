//! The body of a request while it arrives.
//!
//! Three things that hyper does not do: a body whose rest has not come when the server stops is given up
//! after a moment instead of holding the stop; a connection that waits for its client counts as waiting
//! ([`super::seats`]); and a body that nobody wanted is read to its end and dropped, if it is small, so
//! that the connection stays usable.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::CancellationToken;

use super::seats::Work;
use super::stop::soon;

/// The longest rest of a body that is read only to be dropped, in bytes.
const DROPPED_MAX: u64 = 64 * 1024;
/// How long it is waited for.
const DROPPED_WITHIN: Duration = Duration::from_secs(1);

/// Where the body is until the response is ready.
type Shared = Arc<Mutex<Arrival>>;

/// How far a body has come.
enum Arrival {
    Unread(Incoming),
    Read,
    /// It ended too early, or its chunks are malformed: nobody knows where the next request begins.
    Broken,
}

/// What an operation reads.
pub(super) struct Arriving {
    body: Shared,
    work: Arc<Work>,
    stop: CancellationToken,
    /// Ends the wait for more when the server stops; exists while something is waited for.
    given_up: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

/// What is left of a body after the operation.
pub(super) struct Rest(Shared);

/// Splits a body into what the operation reads, and what is left of it afterwards.
pub(super) fn arriving(body: Incoming, work: Arc<Work>, stop: CancellationToken) -> (Arriving, Rest) {
    let body = Arc::new(Mutex::new(Arrival::Unread(body)));
    (Arriving { body: body.clone(), work, stop, given_up: None }, Rest(body))
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let mut shared = this.body.lock().expect("no panic happens while this is held");
        let Arrival::Unread(body) = &mut *shared else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => {
                match &frame {
                    None => *shared = Arrival::Read,
                    Some(Err(_)) => *shared = Arrival::Broken,
                    Some(Ok(_)) => {}
                }
                if this.given_up.take().is_some() {
                    this.work.goes_on();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
            }
            Poll::Pending => {
                if this.given_up.is_none() {
                    this.work.waits();
                }
                let stop = &this.stop;
                let given_up = this.given_up.get_or_insert_with(|| {
                    let stop = stop.clone();
                    Box::pin(async move { soon(&stop).await })
                });
                match given_up.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.body.lock().expect("no panic happens while this is held");
        match &*shared {
            Arrival::Unread(body) => body.is_end_stream(),
            Arrival::Read | Arrival::Broken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.body.lock().expect("no panic happens while this is held");
        match &*shared {
            Arrival::Unread(body) => body.size_hint(),
            Arrival::Read | Arrival::Broken => SizeHint::default(),
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.given_up.take().is_some() {
            self.work.goes_on();
        }
    }
}

impl Rest {
    /// Reads the rest and drops it. `false`: it is too long, malformed or does not come, so the connection cannot go
    /// on.
    pub(super) async fn dropped(self) -> bool {
        let mut rest = match self.taken() {
            Arrival::Unread(rest) if !rest.is_end_stream() => rest,
            Arrival::Unread(_) | Arrival::Read => return true,
            Arrival::Broken => return false,
        };
        if rest.size_hint().lower() > DROPPED_MAX {
            return false;
        }
        let all = async {
            let mut left = DROPPED_MAX;
            while let Some(frame) = rest.frame().await {
                let Ok(frame) = frame else { return false };
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(less) = left.checked_sub(length) else { return false };
                left = less;
            }
            true
        };
        tokio::time::timeout(DROPPED_WITHIN, all).await.unwrap_or(false)
    }

    fn taken(&self) -> Arrival {
        let mut shared = self.0.lock().expect("no panic happens while this is held");
        std::mem::replace(&mut *shared, Arrival::Read)
    }

    /// Whether the whole body has been read.
    pub(super) fn was_read(&self) -> bool {
        match &*self.0.lock().expect("no panic happens while this is held") {
            Arrival::Unread(rest) => rest.is_end_stream(),
            Arrival::Read => true,
            Arrival::Broken => false,
        }
    }
}
