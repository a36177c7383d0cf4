//! The accept loop.
//!
//! poem's own server puts no limit on how long a client may take to send its headers, nor on how many
//! connections there are; a handful of clients that send a byte a minute would hold it for ever. This
//! loop sets both, and ends connections in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send the head of a request; also how long an idle connection stays.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most connections at once; more wait to be accepted.
const CONNECTIONS: usize = 4_096;
/// The largest head of a request, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// A pause after the system has no more file handles, so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is cancelled, then lets the requests under way end, but waits no longer than until
/// `abort` is.
pub async fn serve<E>(listener: TcpListener, app: E, stop: CancellationToken, abort: CancellationToken)
where
    E: Endpoint<Output = Response> + 'static,
{
    let app = Arc::new(app);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = free.clone().acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                let (app, stop) = (app.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, remote, app, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = abort.cancelled() => {
            tracing::warn!(connections = connections.len(), "connections were still open at the end");
        }
    }
}

async fn connection<E>(stream: TcpStream, remote: SocketAddr, app: Arc<E>, stop: CancellationToken)
where
    E: Endpoint<Output = Response> + 'static,
{
    // Answers are small and written whole; waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let app = app.clone();
        async move {
            let local = LocalAddr(Addr::SocketAddr(local));
            let remote = RemoteAddr(Addr::SocketAddr(remote));
            let request: Request = (request, local, remote, Scheme::HTTP).into();
            let response: hyper::Response<BoxBody<Bytes, std::io::Error>> =
                app.get_response(request).await.into();
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(HEAD_LIMIT as u32)
        .keep_alive_interval(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = &*error, "a connection ended early");
    }
}
