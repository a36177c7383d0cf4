//! Receivers that misbehave, down to single bytes.
//!
//! ```ignore
//! let silent = Hostile::silent().await;                              // accepts, never answers
//! let cut = Hostile::answers(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", Then::Close).await;
//! let drip = Hostile::drips(b"HTTP/1.1 200 OK\r\n").await;           // byte by byte, then stalls
//! let flood = Hostile::endless(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n").await;
//! ```
//!
//! Each reads one request before it misbehaves, except `silent` and `closes_at_once`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// In bytes; the system doubles it.
const SEND_BUFFER: u32 = 32 << 10;

/// What follows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The connection stays open and nothing more comes.
    Stall,
    /// The connection is closed in order.
    Close,
    /// The connection is reset (RST).
    Reset,
}

#[derive(Debug, Clone)]
enum Behaviour {
    Silent,
    CloseAtOnce,
    Answer { bytes: Vec<u8>, then: Then },
    AnswerEarly { bytes: Vec<u8> },
    AnswerTls { config: Arc<rustls::ServerConfig>, bytes: Vec<u8> },
    CloseReused { first: Vec<u8>, second: Vec<u8> },
    SpeakFirst { bytes: Vec<u8> },
    Drip { bytes: Vec<u8> },
    Endless { head: Vec<u8>, repeated: Vec<u8> },
}

/// The misbehaving receiver; it stops when it is dropped.
pub(crate) struct Hostile {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Hostile {
    /// Accepts and neither reads nor answers.
    pub(crate) async fn silent() -> Hostile {
        Hostile::start(Behaviour::Silent).await
    }

    /// Accepts and closes before anything is said.
    pub(crate) async fn closes_at_once() -> Hostile {
        Hostile::start(Behaviour::CloseAtOnce).await
    }

    /// Answers with exactly these bytes.
    pub(crate) async fn answers(bytes: impl Into<Vec<u8>>, then: Then) -> Hostile {
        Hostile::start(Behaviour::Answer { bytes: bytes.into(), then }).await
    }

    /// Answers over TLS with exactly these bytes, and closes TCP without close_notify.
    pub(crate) async fn answers_tls(config: rustls::ServerConfig, bytes: impl Into<Vec<u8>>) -> Hostile {
        Hostile::start(Behaviour::AnswerTls { config: Arc::new(config), bytes: bytes.into() }).await
    }

    /// Answers the first request of each connection with `first`, the second one with `second`, and closes.
    pub(crate) async fn closes_reused(first: impl Into<Vec<u8>>, second: impl Into<Vec<u8>>) -> Hostile {
        Hostile::start(Behaviour::CloseReused { first: first.into(), second: second.into() }).await
    }

    /// Answers with these bytes as soon as the request begins, and reads no more of it.
    pub(crate) async fn answers_early(bytes: impl Into<Vec<u8>>) -> Hostile {
        Hostile::start(Behaviour::AnswerEarly { bytes: bytes.into() }).await
    }

    /// Says these bytes as soon as it is connected to, as an SSH or SMTP server does.
    pub(crate) async fn speaks_first(bytes: impl Into<Vec<u8>>) -> Hostile {
        Hostile::start(Behaviour::SpeakFirst { bytes: bytes.into() }).await
    }

    /// Answers with these bytes one at a time, each in a packet of its own, then stalls.
    pub(crate) async fn drips(bytes: impl Into<Vec<u8>>) -> Hostile {
        Hostile::start(Behaviour::Drip { bytes: bytes.into() }).await
    }

    /// Answers with `head` and then `repeated`, again and again, as fast as it is read.
    pub(crate) async fn endless(head: impl Into<Vec<u8>>, repeated: &[u8]) -> Hostile {
        // In larger pieces, so that the flood is one.
        let repeated = repeated.repeat(1 + 4_096 / repeated.len());
        Hostile::start(Behaviour::Endless { head: head.into(), repeated }).await
    }

    async fn start(behaviour: Behaviour) -> Hostile {
        let listener = listener();
        let addr = listener.local_addr().expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                counter.fetch_add(1, Ordering::SeqCst);
                serving.spawn(misbehave(stream, behaviour.clone()));
            }
        });
        Hostile { addr, connections, accepting }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// An `http` URL on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// An `https` URL on it, although it speaks no TLS.
    pub(crate) fn https_url(&self, path: &str) -> String {
        format!("https://{}{path}", self.addr)
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Its sockets keep little of what is written to them: to fill the usual 4 MB takes a thread on the machine
/// of the server under test longer than the server takes for a whole delivery.
fn listener() -> TcpListener {
    let socket = TcpSocket::new_v4().expect("there is a socket");
    socket.set_send_buffer_size(SEND_BUFFER).expect("its size may be chosen");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a loopback port is free");
    socket.listen(1_024).expect("a bound socket listens")
}

async fn misbehave(mut stream: TcpStream, behaviour: Behaviour) {
    stream.set_nodelay(true).ok();
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::CloseAtOnce => {}
        Behaviour::Answer { bytes, then } => {
            read_request(&mut stream).await;
            stream.write_all(&bytes).await.ok();
            match then {
                Then::Stall => std::future::pending().await,
                Then::Close => stream.shutdown().await.ok(),
                Then::Reset => stream.set_zero_linger().ok(),
            };
        }
        Behaviour::AnswerEarly { bytes } => {
            // A byte must really have come: `readable` may say so too early, and an answer before any
            // request is no answer.
            stream.read_exact(&mut [0]).await.ok();
            stream.write_all(&bytes).await.ok();
            std::future::pending().await
        }
        Behaviour::AnswerTls { config, bytes } => {
            let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await else { return };
            read_request(&mut tls).await;
            tls.write_all(&bytes).await.ok();
            tls.flush().await.ok();
            let (mut tcp, _) = tls.into_inner();
            tcp.shutdown().await.ok();
            // Reads to the end, because a reset would overtake the response.
            tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await.ok();
        }
        Behaviour::CloseReused { first, second } => {
            read_request(&mut stream).await;
            stream.write_all(&first).await.ok();
            read_request(&mut stream).await;
            stream.write_all(&second).await.ok();
            stream.shutdown().await.ok();
        }
        Behaviour::SpeakFirst { bytes } => {
            stream.write_all(&bytes).await.ok();
            std::future::pending().await
        }
        Behaviour::Drip { bytes } => {
            read_request(&mut stream).await;
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            std::future::pending().await
        }
        Behaviour::Endless { head, repeated } => {
            read_request(&mut stream).await;
            stream.write_all(&head).await.ok();
            while stream.write_all(&repeated).await.is_ok() {}
        }
    }
}

/// Reads one request with a `content-length`, or whatever comes before the end of the stream.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut request = Vec::new();
    let mut missing = None;
    while missing != Some(0) {
        let mut buffer = [0; 4_096];
        let read = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            // A TLS greeting has no such end; it is all that comes before an answer.
            if request[0] == 0x16 {
                break;
            }
            continue;
        };
        let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
        let length: usize = length.split("\r\n").next().unwrap().parse().expect("a length");
        missing = Some((head.len() + 4 + length).saturating_sub(request.len()));
    }
    request
}
