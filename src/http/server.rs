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
    let asked = CancellationToken::new();
    let asks = asked.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        asks.cancel();
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
    // hyper's own timeout begins with the first byte of HTTP/1; before that it waits for ever, in order
    // to tell the versions apart.
    let first_head = tokio::time::timeout(HEAD_TIMEOUT, asked.cancelled());
    tokio::pin!(connection, first_head);
    let is_silent = tokio::select! {
        result = connection.as_mut() => return ended(result),
        first = first_head => first.is_err(),
        () = stop.cancelled() => false,
    };
    if is_silent {
        return;
    }
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended(result);
}

fn ended(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(error = &*error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::EndpointExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn served() -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let app = poem::endpoint::make_sync(|_| "here").map_to_response();
        tokio::spawn(serve(listener, app, stop.clone(), CancellationToken::new()));
        (address, stop)
    }

    /// What comes back until the server closes, and after how long. Time runs as fast as nothing happens.
    async fn answer(address: SocketAddr, bytes: &[u8]) -> (String, Duration) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let started = tokio::time::Instant::now();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer).await;
        (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_slow_to_ask_is_not_waited_for() {
        let (address, _stop) = served().await;
        for slow in [&b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: "[..], b"G"] {
            let (answer, waited) = answer(address, slow).await;
            assert!(!answer.contains("200"), "{answer}");
            assert!(waited <= HEAD_TIMEOUT * 2, "{slow:?}: {waited:?}");
        }
        let (answer, waited) = answer(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.contains("200") && answer.ends_with("here"), "{answer}");
        assert!(waited <= HEAD_TIMEOUT * 2, "an idle connection is closed: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_or_half_a_greeting_is_not_waited_for() {
        let (address, _stop) = served().await;
        for bytes in [&b""[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let talk = tokio::time::timeout(HEAD_TIMEOUT * 3, answer(address, bytes));
            let (answer, _) = talk.await.expect("the connection is closed");
            assert!(!answer.contains("here"));
        }
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _stop) = served().await;
        let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(HEAD_LIMIT));
        assert!(answer(address, head.as_bytes()).await.0.starts_with("HTTP/1.1 431"));
    }
}
