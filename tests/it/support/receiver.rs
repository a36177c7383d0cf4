//! A receiver of webhooks on a loopback port. It records every request and answers as it is told.
//!
//! ```ignore
//! let receiver = Receiver::start().await;               // answers 200 to everything
//! receiver.reply(Reply::status(500));                   // from now on
//! receiver.reply_once(Reply::status(429).header("retry-after", "5"));  // first, and only once
//! receiver.reply_with(|r| Reply::ok().body(r.body.clone()));           // by looking at the request
//! let hold = receiver.hold();                           // requests arrive, answers wait …
//! hold.release();                                       // … until here (or until it is dropped)
//!
//! send_something_to(receiver.url("/hook")).await;
//! let got = receiver.next().await;                      // waits for the next request
//! assert_eq!(got.header("webhook-id"), Some("evt_…"));
//! assert_eq!(receiver.count(), 1);
//! ```
//!
//! It stops when it is dropped.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::in_time;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// 0 for the first request that this receiver got.
    pub index: usize,
    /// 0 for the first connection that was made to it.
    pub connection: usize,
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// In the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Received {
    /// The value of a header that must not be repeated.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = all.next();
        assert_eq!(all.next(), None, "{name} is repeated");
        first
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Reply {
    /// 200 with an empty body.
    pub(crate) fn ok() -> Reply {
        Reply::status(200)
    }

    /// This status with an empty body.
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// One more header; names may be repeated.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// This body.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Reply {
        self.body = body.into();
        self
    }
}

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

struct Shared {
    requests: AtomicUsize,
    connections: AtomicUsize,
    seen: Mutex<Vec<Received>>,
    arrived: mpsc::UnboundedSender<Received>,
    once: Mutex<VecDeque<Reply>>,
    script: Mutex<Script>,
    held: watch::Sender<usize>,
}

/// The receiver. See the module's text.
pub(crate) struct Receiver {
    addr: SocketAddr,
    is_https: bool,
    shared: Arc<Shared>,
    arrivals: AsyncMutex<mpsc::UnboundedReceiver<Received>>,
    accepting: tokio::task::JoinHandle<()>,
}

/// See [`Receiver::down`].
pub(crate) struct Down(TcpSocket);

impl Down {
    /// The URL of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().expect("a bound socket has an address"))
    }

    /// From now on it is there, under the same address.
    pub(crate) fn up(self) -> Receiver {
        Receiver::accept_on(self.0.listen(64).expect("a bound socket can listen"), None)
    }
}

/// While this exists, answers wait.
pub(crate) struct Hold(Arc<Shared>);

impl Hold {
    /// Lets the answers go.
    pub(crate) fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.send_modify(|holds| *holds -= 1);
    }
}

impl Receiver {
    /// Plain HTTP/1.1 on 127.0.0.1; answers 200 until told otherwise.
    pub(crate) async fn start() -> Receiver {
        Receiver::listen(None).await
    }

    /// The same at every address of a network that is the test's own.
    pub(crate) async fn everywhere() -> Receiver {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port is free");
        Receiver::accept_on(listener, None)
    }

    /// HTTPS. Whether HTTP/2 is offered is a matter of the configuration's `alpn_protocols`.
    pub(crate) async fn start_tls(config: rustls::ServerConfig) -> Receiver {
        Receiver::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    /// A receiver that is down for now: its port refuses connections, and nobody else can take it.
    pub(crate) fn down() -> Down {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a loopback port is free");
        Down(socket)
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        Receiver::accept_on(listener, tls)
    }

    fn accept_on(listener: TcpListener, tls: Option<TlsAcceptor>) -> Receiver {
        let addr = listener.local_addr().expect("a bound socket has an address");
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            seen: Mutex::default(),
            arrived,
            once: Mutex::default(),
            script: Mutex::new(Arc::new(|_| Reply::ok())),
            held: watch::Sender::new(0),
        });
        let is_https = tls.is_some();
        let accepting = tokio::spawn(accept(listener, tls, shared.clone()));
        Receiver { addr, is_https, shared, arrivals: AsyncMutex::new(arrivals), accepting }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path on it, with the address as host.
    pub(crate) fn url(&self, path: &str) -> String {
        self.url_as(&self.addr.ip().to_string(), path)
    }

    /// The URL of a path on it, with another name as host.
    pub(crate) fn url_as(&self, host: &str, path: &str) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{host}:{}{path}", self.addr.port())
    }

    /// What to answer from now on.
    pub(crate) fn reply(&self, reply: Reply) {
        self.reply_with(move |_| reply.clone());
    }

    /// What to answer from now on, by looking at the request.
    pub(crate) fn reply_with(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// What to answer to one request, before everything else; several are taken in order.
    pub(crate) fn reply_once(&self, reply: Reply) {
        self.shared.once.lock().unwrap().push_back(reply);
    }

    /// Requests arrive and are recorded, but no answer leaves until the hold is released or dropped.
    pub(crate) fn hold(&self) -> Hold {
        self.shared.held.send_modify(|holds| *holds += 1);
        Hold(self.shared.clone())
    }

    /// The next request that was not yet taken with this method, as soon as it is there.
    pub(crate) async fn next(&self) -> Received {
        let arrival = async { self.arrivals.lock().await.recv().await };
        in_time("a request", arrival).await.expect("the receiver keeps the sending half")
    }

    /// The next `n` requests, in the order they came.
    pub(crate) async fn next_n(&self, n: usize) -> Vec<Received> {
        let mut all = Vec::with_capacity(n);
        for _ in 0..n {
            all.push(self.next().await);
        }
        all
    }

    /// Every request so far, in the order they came.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests came so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped with this future, and every connection with it.
    let mut serving = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), shared.clone());
        serving.spawn(async move {
            stream.set_nodelay(true).ok();
            match tls {
                None => serve(stream, false, connection, shared).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(stream, is_http2, connection, shared).await;
                }
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    connection: usize,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| answer(request, connection, shared.clone()));
    let stream = TokioIo::new(stream);
    // A client that goes away is no concern of the test.
    if is_http2 {
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2.serve_connection(stream, service).await.ok();
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await.ok();
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|all| all.to_bytes()).unwrap_or_default();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let received = {
        // Numbered and recorded in one step, so that the order is one.
        let mut seen = shared.seen.lock().unwrap();
        let received = Received {
            index: shared.requests.fetch_add(1, Ordering::SeqCst),
            connection,
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            version: format!("{:?}", parts.version),
            headers: parts.headers.iter().map(|(n, v)| (n.to_string(), text(v.as_bytes()))).collect(),
            body,
        };
        seen.push(received.clone());
        shared.arrived.send(received.clone()).ok();
        received
    };
    let once = shared.once.lock().unwrap().pop_front();
    let reply = once.unwrap_or_else(|| {
        let script = shared.script.lock().unwrap().clone();
        script(&received)
    });
    shared.held.subscribe().wait_for(|holds| *holds == 0).await.ok();
    let mut response = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(reply.body)).expect("the test's reply is valid HTTP"))
}
