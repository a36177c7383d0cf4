//! The accept loop.
//!
//! poem's own server puts no limit on how long a client may take to send its headers, nor on how many
//! connections there are; a handful of clients that send a byte a minute would hold it for ever. This
//! loop sets both, gives up on clients that do not read ([`crate::http::transport::unread`]), and ends connections in order. TLS is shaken hands on in the connection's own task, so
//! that a client that does not get on with it delays nobody.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::transport::listener::{Accepted, Listener};
use crate::http::transport::proxies::Proxies;
use crate::http::transport::tls::Tls;
use crate::http::transport::unread::Patient;

/// How long a client may take to send the head of a request; also how long an idle connection stays.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long whoever has connected but not asked may take for it when the server stops. Less would break requests that
/// are on their way: where systemd holds the socket, a restart is to refuse nobody.
const NEWCOMER_GRACE: Duration = Duration::from_secs(1);
/// The most connections at once; more wait to be accepted.
const CONNECTIONS: usize = 4_096;
/// The largest head of a request, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// A pause after the system has no more file handles, so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Where clients come in.
pub struct Door {
    pub listener: Listener,
    /// `None`: connections are not encrypted here.
    pub tls: Option<Tls>,
    /// Who is believed about where requests come from.
    pub proxies: Proxies,
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Door {
        Door { listener: Listener::Tcp(listener), tls: None, proxies: Proxies::default() }
    }
}

/// Serves until `stop` is cancelled, then lets the requests under way end, but waits no longer than until
/// `abort` is.
pub async fn serve<E>(door: impl Into<Door>, app: E, stop: CancellationToken, abort: CancellationToken)
where
    E: Endpoint<Output = Response> + 'static,
{
    serve_at_most(CONNECTIONS, door, app, stop, abort).await;
}

/// The same with another limit of connections at once.
async fn serve_at_most<E>(
    limit: usize,
    door: impl Into<Door>,
    app: E,
    stop: CancellationToken,
    abort: CancellationToken,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let Door { listener, tls, proxies } = door.into();
    let (app, proxies) = (Arc::new(app), Arc::new(proxies));
    let free = Arc::new(Semaphore::new(limit));
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
            Ok(accepted) => {
                let (app, stop) = (app.clone(), stop.clone());
                let (tls, proxies) = (tls.clone(), proxies.clone());
                connections.spawn(async move {
                    match accepted {
                        Accepted::Tcp(stream, remote) => {
                            greet(stream, Some(remote.ip()), tls, proxies, app, stop).await;
                        }
                        Accepted::Unix(stream) => greet(stream, None, tls, proxies, app, stop).await,
                    }
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

/// Shakes hands on TLS, if that is used, and serves the connection.
async fn greet<S, E>(
    stream: S,
    peer: Option<IpAddr>,
    tls: Option<Tls>,
    proxies: Arc<Proxies>,
    app: Arc<E>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let stream = Patient::new(stream);
    let peer = Peer { address: peer, is_https: tls.is_some(), proxies };
    let Some(tls) = tls else { return connection(stream, peer, app, stop).await };
    let handshake = tokio::time::timeout(HEAD_TIMEOUT, tls.acceptor().accept(stream));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = soon(&stop) => return,
    };
    match shaken {
        Ok(Ok(stream)) => connection(stream, peer, app, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client did not get on with TLS"),
        Err(_) => {}
    }
}

/// Waits for the stop, and as long as somebody who has not asked yet may take then.
async fn soon(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(NEWCOMER_GRACE).await;
}

/// The other end of a connection.
struct Peer {
    /// `None`: it came over a Unix socket.
    address: Option<IpAddr>,
    is_https: bool,
    proxies: Arc<Proxies>,
}

impl Peer {
    /// The request with where it comes from, as far as that is believed.
    fn introduce(&self, request: hyper::Request<Incoming>) -> Request {
        let client = self.proxies.client(self.address, self.is_https, request.headers());
        let remote = match client.address {
            Some(address) => Addr::SocketAddr(SocketAddr::new(address, 0)),
            None => Addr::custom("unix", ""),
        };
        let scheme = if client.is_https { Scheme::HTTPS } else { Scheme::HTTP };
        (request, LocalAddr::default(), RemoteAddr(remote), scheme).into()
    }
}

async fn connection<S, E>(stream: S, peer: Peer, app: Arc<E>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint<Output = Response> + 'static,
{
    let asked = CancellationToken::new();
    let asks = asked.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        asks.cancel();
        let app = app.clone();
        let request = peer.introduce(request);
        async move {
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
        () = soon(&stop) => false,
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
    use tokio::net::TcpStream;

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

    /// A client that has connected and whom the server has let in, but who has not asked.
    async fn newcomer(address: SocketAddr) -> TcpStream {
        let newcomer = TcpStream::connect(address).await.unwrap();
        // They are let in one after the other.
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(answer(address, request).await.0.ends_with("here"));
        newcomer
    }

    #[tokio::test]
    async fn whoever_was_let_in_just_before_the_stop_is_answered() {
        let (address, stop) = served().await;
        let mut newcomer = newcomer(address).await;
        stop.cancel();
        newcomer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        newcomer.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_let_in_and_says_nothing_holds_no_stop_up() {
        let (address, stop) = served().await;
        let mut newcomer = newcomer(address).await;
        stop.cancel();
        let mut nothing = [0];
        let closed = tokio::time::timeout(NEWCOMER_GRACE * 3, newcomer.read(&mut nothing));
        assert_eq!(closed.await.expect("the connection is closed").unwrap_or(0), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_its_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // An answer without an end, which holds this as long as it is being sent.
        let (held, released) = tokio::sync::oneshot::channel::<()>();
        let held = std::sync::Mutex::new(Some(held));
        let app = poem::endpoint::make_sync(move |_| {
            let held = held.lock().unwrap().take();
            let endless = futures_util::stream::repeat_with(move || {
                let _ = &held;
                Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 65_536]))
            });
            poem::Body::from_bytes_stream(endless)
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, app.map_to_response(), stop.clone(), CancellationToken::new()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let end = tokio::time::timeout(HEAD_TIMEOUT * 4, released).await;
        assert!(end.expect("the answer is let go of").is_err(), "it was dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_too_many_waits_until_another_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = poem::endpoint::make_sync(|_| "here").map_to_response();
        let stop = CancellationToken::new();
        tokio::spawn(serve_at_most(2, listener, app, stop.clone(), CancellationToken::new()));
        let silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let started = tokio::time::Instant::now();
        let asks = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(answer(address, asks).await.0.ends_with("here"));
        assert!(started.elapsed() >= HEAD_TIMEOUT, "those that say nothing were closed first");
        drop(silent);
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _stop) = served().await;
        let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(HEAD_LIMIT));
        assert!(answer(address, head.as_bytes()).await.0.starts_with("HTTP/1.1 431"));
    }
}
