//! Clients that post through a balancer, each at its pace, and keep a ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Nodes;
use crate::load::{TYPES, event};
use crate::support::app::json_body;
use crate::support::in_time;

/// Clients that post at the same time.
const CLIENTS: usize = 4;

/// To which nodes requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Balancing {
    /// Those that were ready within the last tenth of a second.
    ToReady,
    /// All that run, in turn.
    ToAll,
}

/// Chooses the node of each request.
pub(super) struct Balancer {
    good: Arc<Mutex<Vec<RequestBuilder>>>,
    looking: JoinHandle<()>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Balancer {
    fn start(nodes: Nodes, balancing: Balancing) -> Balancer {
        let good: Arc<Mutex<Vec<RequestBuilder>>> = Arc::default();
        let looking = tokio::spawn({
            let good = good.clone();
            async move {
                loop {
                    let requests: Vec<_> = {
                        let nodes = nodes.0.lock().unwrap();
                        nodes
                            .iter()
                            .flatten()
                            .map(|node| {
                                (
                                    node.request(Method::GET, "/readyz"),
                                    node.request(Method::POST, "/v1/events"),
                                )
                            })
                            .collect()
                    };
                    let mut posts = Vec::new();
                    for (look, post) in requests {
                        let is_ready = async {
                            let answer = look.timeout(Duration::from_millis(500)).send().await;
                            answer.is_ok_and(|answer| answer.status().as_u16() == 200)
                        };
                        if balancing == Balancing::ToAll || is_ready.await {
                            posts.push(post);
                        }
                    }
                    *good.lock().unwrap() = posts;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Balancer { good, looking }
    }

    fn next(&self, n: usize) -> Option<RequestBuilder> {
        let good = self.good.lock().unwrap();
        good.get(n % good.len().max(1)).and_then(RequestBuilder::try_clone)
    }
}

/// An event that was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted {
    /// When the 202 came.
    pub(super) at: Instant,
    /// The kind of its type.
    pub(super) kind: usize,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub(super) accepted: BTreeMap<String, Accepted>,
    /// Refused, and how.
    pub(super) refused: Vec<String>,
    /// Requests without an answer.
    pub(super) broken: Vec<String>,
}

/// Clients at work.
pub(super) struct Traffic {
    clients: JoinSet<()>,
    posted: Arc<Mutex<Posted>>,
    count: watch::Receiver<u64>,
    is_over: Arc<AtomicBool>,
}

impl Traffic {
    /// Posts until [`Traffic::end`]. Names begin with `prefix`; each client waits for `pace` between two requests.
    pub(super) fn start(nodes: &Nodes, balancing: Balancing, prefix: &str, pace: Duration) -> Traffic {
        let balancer = Arc::new(Balancer::start(nodes.clone(), balancing));
        let (count, counting) = watch::channel(0);
        let (count, turn) = (Arc::new(count), Arc::new(AtomicU64::new(0)));
        let posted: Arc<Mutex<Posted>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (balancer, count, turn) = (balancer.clone(), count.clone(), turn.clone());
            let (posted, is_over) = (posted.clone(), is_over.clone());
            let prefix = format!("{prefix}{client}");
            clients.spawn(async move {
                for n in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let turn = turn.fetch_add(1, Ordering::Relaxed) as usize;
                    if let Some(request) = balancer.next(turn) {
                        post(request, &format!("{prefix}-{n}"), (client + n) % TYPES, &posted).await;
                        let accepted = posted.lock().unwrap().accepted.len();
                        count.send_replace(accepted as u64);
                    }
                    tokio::time::sleep(pace).await;
                }
            });
        }
        Traffic { clients, posted, count: counting, is_over }
    }

    /// Waits until so many more were accepted.
    pub(super) async fn more(&mut self, count: u64) {
        let wanted = *self.count.borrow() + count;
        in_time("accepted events", self.count.wait_for(|n| *n >= wanted)).await.expect("clients post");
    }

    /// Looks at what became of the requests so far.
    pub(super) fn read_posted<T>(&self, read: impl FnOnce(&Posted) -> T) -> T {
        read(&self.posted.lock().unwrap())
    }

    /// Stops the clients and gives the ledger.
    pub(super) async fn end(mut self) -> Posted {
        self.is_over.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut self.posted.lock().unwrap())
    }
}

async fn post(request: RequestBuilder, name: &str, kind: usize, posted: &Mutex<Posted>) {
    let body = event(name, kind, 0).to_string();
    let answer = json_body(request, body).send().await;
    let at = Instant::now();
    let mut posted = posted.lock().unwrap();
    match answer {
        Ok(answer) if answer.status().as_u16() == 202 => {
            posted.accepted.insert(name.to_owned(), Accepted { at, kind });
        }
        Ok(answer) => {
            let wait = answer.headers().get("retry-after").map_or("", |_| ", Retry-After");
            posted.refused.push(format!("{}{wait}", answer.status().as_u16()));
        }
        Err(error) => posted.broken.push(error.to_string()),
    }
}
