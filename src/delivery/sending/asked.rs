//! The body of a request that asks whether it may be begun ([`Begin`]).
//!
//! The HTTP client takes the first piece of a body when it has a connection and is about to write; an error there ends
//! the request before anything of it is sent. Over HTTP/2, where a connection is shared, the head may have left;
//! without its body no receiver acts on it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use crate::delivery::begin::Begin;

/// The request may not be begun any more.
#[derive(Debug, thiserror::Error)]
#[error("the endpoint is not this node's any more")]
pub(crate) struct NotBegun;

/// A body in one piece.
pub(crate) struct AskedBody {
    bytes: Full<Bytes>,
    begin: Option<Arc<Begin>>,
}

impl AskedBody {
    /// Asks before the first byte, if there is somebody to ask.
    pub(crate) fn new(bytes: Bytes, begin: Option<Arc<Begin>>) -> AskedBody {
        AskedBody { bytes: Full::new(bytes), begin }
    }
}

impl Body for AskedBody {
    type Data = Bytes;
    type Error = NotBegun;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotBegun>>> {
        if self.begin.take().is_some_and(|begin| !begin.ask()) {
            return Poll::Ready(Some(Err(NotBegun)));
        }
        let frame = ready!(Pin::new(&mut self.bytes).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

impl std::fmt::Debug for AskedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AskedBody(…)")
    }
}
