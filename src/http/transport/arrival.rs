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

/// Where the body is until it has been read, or the response is ready.
type Shared = Arc<Mutex<Option<Incoming>>>;

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
    let body = Arc::new(Mutex::new(Some(body)));
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
        let Some(body) = shared.as_mut() else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if frame.is_none() {
                    *shared = None;
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
        shared.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.body.lock().expect("no panic happens while this is held");
        shared.as_ref().map(Body::size_hint).unwrap_or_default()
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
    /// Reads the rest and drops it. `false`: it is too long or does not come, so the connection cannot go on.
    pub(super) async fn dropped(self) -> bool {
        let taken = self.0.lock().expect("no panic happens while this is held").take();
        let Some(mut rest) = taken.filter(|rest| !rest.is_end_stream()) else { return true };
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

    /// Whether something of the body has not been read.
    pub(super) fn is_some(&self) -> bool {
        let shared = self.0.lock().expect("no panic happens while this is held");
        shared.as_ref().is_some_and(|rest| !rest.is_end_stream())
    }
}
