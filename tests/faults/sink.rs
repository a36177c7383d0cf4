//! A receiver that counts: what arrived, how often, and when first and last. It keeps no requests, so a million fit.
//! What arrives at another path than `/` is counted under its name and that path.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use postrider::host::clock::{Clock as _, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// What is known of one event, by the name in its payload (`{"n":"…"}`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    pub(crate) count: u32,
}

/// How far `webhook-timestamp` was from the time of this machine, in seconds: the least and the most.
pub(crate) type Stamps = Option<(i64, i64)>;

type Script = Arc<dyn Fn(&str, u32) -> u16 + Send + Sync>;

struct Shared {
    seen: Mutex<HashMap<String, Arrivals>>,
    script: Script,
    arrived: watch::Sender<u64>,
    held: watch::Sender<bool>,
    stamps: Mutex<Stamps>,
}

/// The receiver.
pub(crate) struct Sink {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Sink {
    /// Answers 200.
    pub(crate) async fn start() -> Sink {
        Sink::with(|_, _| 200).await
    }

    /// Answers by the event's name and how often it has come, this time included.
    pub(crate) async fn with(script: impl Fn(&str, u32) -> u16 + Send + Sync + 'static) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            script: Arc::new(script),
            arrived: watch::Sender::new(0),
            held: watch::Sender::new(false),
            stamps: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Sink { addr, shared, accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many requests have come.
    pub(crate) fn total(&self) -> u64 {
        *self.shared.arrived.borrow()
    }

    /// Changes with every request.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrived.subscribe()
    }

    /// While true, requests come in and are counted, and no answer leaves.
    pub(crate) fn hold(&self, is_held: bool) {
        self.shared.held.send_replace(is_held);
    }

    /// How far the times in requests were off since the last call.
    pub(crate) fn take_stamps(&self) -> Stamps {
        self.shared.stamps.lock().unwrap().take()
    }

    pub(crate) fn of(&self, name: &str) -> Option<Arrivals> {
        self.shared.seen.lock().unwrap().get(name).copied()
    }

    /// Reads everything that has come.
    pub(crate) fn read_all<T>(&self, read: impl FnOnce(&HashMap<String, Arrivals>) -> T) -> T {
        read(&self.shared.seen.lock().unwrap())
    }

    /// Waits until all of these have come; after `limit` gives those that have not.
    pub(crate) async fn all_of<'a>(
        &self,
        names: impl Iterator<Item = &'a String> + Clone,
        limit: std::time::Duration,
    ) -> Vec<String> {
        let mut arrivals = self.arrivals();
        let missing = || -> Vec<String> {
            self.read_all(|seen| names.clone().filter(|name| !seen.contains_key(*name)).cloned().collect())
        };
        let wait = async {
            while !missing().is_empty() {
                arrivals.changed().await.unwrap();
            }
        };
        tokio::time::timeout(limit, wait).await.ok();
        missing()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut serving = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        let shared = shared.clone();
        serving.spawn(async move {
            let service = service_fn(move |request| answer(request, shared.clone()));
            let http = hyper::server::conn::http1::Builder::new();
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
        while serving.try_join_next().is_some() {}
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    note_stamp(&request, &shared);
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let body = request.into_body().collect().await.map(|all| all.to_bytes()).unwrap_or_default();
    let Some(name) = name_in(&body).map(|name| name + &path) else { return Ok(reply(400)) };
    let count = {
        let (mut seen, now) = (shared.seen.lock().unwrap(), Instant::now());
        let known = seen.entry(name.clone()).or_insert_with(|| Arrivals { first: now, last: now, count: 0 });
        (known.last, known.count) = (now, known.count + 1);
        known.count
    };
    shared.arrived.send_modify(|n| *n += 1);
    let status = (shared.script)(&name, count);
    shared.held.subscribe().wait_for(|held| !*held).await.ok();
    Ok(reply(status))
}

fn note_stamp(request: &hyper::Request<Incoming>, shared: &Shared) {
    let stamp =
        request.headers().get("webhook-timestamp").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    if let Some(stamp) = stamp {
        let off = stamp - SystemClock.now().as_millis() / 1_000;
        let mut stamps = shared.stamps.lock().unwrap();
        let (least, most) = stamps.unwrap_or((off, off));
        *stamps = Some((least.min(off), most.max(off)));
    }
}

fn reply(status: u16) -> hyper::Response<Full<Bytes>> {
    hyper::Response::builder().status(status).body(Full::default()).unwrap()
}

/// The name in a payload. A request that broke off has none.
pub(crate) fn name_in(payload: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(payload).ok()?;
    json["n"].as_str().map(str::to_owned)
}
