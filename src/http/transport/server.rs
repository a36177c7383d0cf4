//! The accept loop.
//!
//! poem's own server has no limit on how long a client may take to send its headers, nor on how many
//! connections there are; a handful of clients that send a byte a minute would hold it forever. This loop
//! gives each connection a seat ([`super::seats`]), serves it ([`super::connection`]) in a task of its own,
//! so that a slow TLS handshake delays nobody, and ends all of them in order when the server stops.

use std::sync::Arc;
use std::time::Duration;

use poem::{Endpoint, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Service};
use super::heads::HeadBudget;
use super::listener::{Accepted, Listener};
use super::proxies::Proxies;
use super::seats::Seats;
use super::tls::Tls;

/// The most connections at once.
const CONNECTIONS_MAX: usize = 4_096;
/// The fewest, however few files may be open.
const CONNECTIONS_MIN: usize = 16;
/// Open files that are neither connections of clients nor deliveries: database, logs, exports, spare seats.
const OTHER_FILES: usize = 96;
/// A pause after the system has no more file handles, so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// How many connections a process may accept that may have so many open files and sends `concurrency`
/// deliveries at once: deliveries must never lack a file because of clients.
pub fn connections_within(open_files: u64, concurrency: usize) -> usize {
    let open_files = usize::try_from(open_files).unwrap_or(usize::MAX);
    open_files.saturating_sub(concurrency).saturating_sub(OTHER_FILES).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

/// Where clients come in.
pub struct Door {
    pub listener: Listener,
    /// `None`: connections are not encrypted here.
    pub tls: Option<Tls>,
    /// Who is believed about where requests come from.
    pub proxies: Proxies,
    /// The most connections at once; see [`connections_within`].
    pub connections: usize,
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Door {
        Door {
            listener: Listener::Tcp(listener),
            tls: None,
            proxies: Proxies::default(),
            connections: CONNECTIONS_MAX,
        }
    }
}

/// Serves until `stop` is cancelled, then lets requests in progress end, but waits no longer than until
/// `abort` is.
pub async fn serve<E>(door: impl Into<Door>, app: E, stop: CancellationToken, abort: CancellationToken)
where
    E: Endpoint<Output = Response> + 'static,
{
    let Door { listener, tls, proxies, connections } = door.into();
    let seats = Seats::new(connections);
    let heads = Arc::new(HeadBudget::default());
    let service = Arc::new(Service { app, proxies, tls, heads, stop: stop.clone() });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                seats.make_room();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let peer = accepted.peer();
        let Some(seat) = seats.take(peer.filter(|peer| !service.proxies.trusts(*peer))) else {
            tracing::debug!(?peer, "a connection was turned away: there are too many");
            continue;
        };
        let service = service.clone();
        connections.spawn(async move {
            let work = seat.work.clone();
            match accepted {
                Accepted::Tcp(stream, _) => connection::serve(service, stream, peer, work).await,
                Accepted::Unix(stream) => connection::serve(service, stream, None, work).await,
            }
            drop(seat);
        });
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

#[cfg(test)]
mod tests {
    use super::super::heads::HEAD_TIMEOUT;
    use super::super::stop::WAIT_AT_STOP;
    use super::*;
    use std::net::SocketAddr;

    use bytes::Bytes;
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
    async fn a_client_that_connected_just_before_the_stop_gets_its_response() {
        let (address, stop) = served().await;
        let mut newcomer = newcomer(address).await;
        stop.cancel();
        newcomer.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        newcomer.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_does_not_delay_the_stop() {
        let (address, stop) = served().await;
        let mut newcomer = newcomer(address).await;
        stop.cancel();
        let mut nothing = [0];
        let closed = tokio::time::timeout(WAIT_AT_STOP * 3, newcomer.read(&mut nothing));
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

    #[tokio::test]
    async fn one_connection_too_many_takes_the_place_of_the_one_that_is_idle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = poem::endpoint::make_sync(|_| "here").map_to_response();
        let door = Door { connections: 4, ..listener.into() };
        tokio::spawn(serve(door, app, CancellationToken::new(), CancellationToken::new()));
        let mut silent =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let asks = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(answer(address, asks).await.0.ends_with("here"));
        let closed = silent[0].read(&mut [0]).await;
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }

    #[tokio::test]
    async fn a_rest_of_a_body_is_dropped_or_the_connection_is_said_to_close() {
        let (address, _stop) = served().await;
        let post = |length: usize| format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut got = vec![0; 4096];
        for _ in 0..2 {
            // The body comes after the head has been answered, as it does from a client far away.
            stream.write_all(post(60_000).as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(&[b'x'; 60_000]).await.unwrap();
            let n = stream.read(&mut got).await.unwrap();
            let text = String::from_utf8_lossy(&got[..n]).to_ascii_lowercase();
            assert!(text.starts_with("http/1.1 200") && !text.contains("connection: close"), "{text}");
        }
        stream.write_all(post(70_000).as_bytes()).await.unwrap();
        stream.write_all(&[b'x'; 70_000]).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
        let waits = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
        let (text, _) = answer(address, waits.as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("connection: close"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_or_body_delays_the_stop_by_a_moment_only() {
        for (head, first) in [
            ("GET / HTTP/1.1\r\nhost:", false),
            ("GET / HTTP/1.1\r\nhost:", true),
            ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", false),
            ("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc", true),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let app = poem::endpoint::make(async |request: poem::Request| {
                let read = request.into_body().into_bytes().await;
                Ok::<_, poem::Error>(if read.is_ok() { "whole" } else { "broken off" })
            });
            let app = app.map_to_response();
            let serving = tokio::spawn(serve(listener, app, stop.clone(), CancellationToken::new()));
            let mut stream = TcpStream::connect(address).await.unwrap();
            if first {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
                let n = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(n > 0);
            }
            stream.write_all(head.as_bytes()).await.unwrap();
            // Another one is served meanwhile, so this one has been read.
            let asks = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            assert!(answer(address, asks).await.0.ends_with("whole"));
            let stopped_at = tokio::time::Instant::now();
            stop.cancel();
            let ended = tokio::time::timeout(HEAD_TIMEOUT * 9, serving).await;
            ended.expect("the server ends").unwrap();
            assert!(stopped_at.elapsed() <= WAIT_AT_STOP * 3, "{head:?}: {:?}", stopped_at.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_outlives_those_of_load_balancers() {
        let (address, _stop) = served().await;
        let (answer, waited) = answer(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.ends_with("here"), "{answer}");
        assert!((65..=85).contains(&waited.as_secs()), "{waited:?}");
    }

    #[test]
    fn deliveries_never_lack_a_file_because_of_clients() {
        assert_eq!(connections_within(1_024, 256), 672);
        assert_eq!(connections_within(1_048_576, 256), CONNECTIONS_MAX);
        assert_eq!(connections_within(u64::MAX, 256), CONNECTIONS_MAX);
        assert_eq!(connections_within(64, 256), CONNECTIONS_MIN);
    }
}
