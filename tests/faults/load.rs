//! Concurrent clients that keep a ledger of every event whose 202 arrived.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::program::Running;
use crate::support::app::json_body;

/// Clients that post at the same time.
pub(crate) const CLIENTS: usize = 8;
/// Types of events, and webhooks for them.
pub(crate) const TYPES: usize = 4;

/// The type of the nth kind of events.
pub(crate) fn type_of(kind: usize) -> String {
    format!("load.kind{kind}")
}

/// The body that posts the event of this name: the name is its payload and its `resource_id`.
pub(crate) fn event(name: &str, kind: usize, padding: usize) -> serde_json::Value {
    json!({
        "event_type": type_of(kind),
        "resource_id": name,
        "payload": { "n": name, "pad": "x".repeat(padding) },
    })
}

/// What was accepted.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) accepted: BTreeSet<String>,
    /// Other answers than 202, by status.
    pub(crate) refused: Vec<u16>,
}

/// Clients at work.
pub(crate) struct Load {
    clients: JoinSet<()>,
    ledger: Arc<Mutex<Ledger>>,
    count: watch::Receiver<u64>,
    stop: Arc<AtomicU64>,
}

impl Load {
    /// Posts until the server is gone or [`Load::end`]. Names begin with `prefix`; events go to all
    /// types in turn.
    pub(crate) fn start(running: &Running, prefix: &str) -> Load {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (sender, count) = watch::channel(0);
        let (sender, stop) = (Arc::new(sender), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (ledger, sender, stop) = (ledger.clone(), sender.clone(), stop.clone());
            let request = running.request(Method::POST, "/v1/events");
            let prefix = format!("{prefix}-{client}");
            clients.spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) > 0 {
                        return;
                    }
                    let name = format!("{prefix}-{n}");
                    let body = event(&name, (client + n) % TYPES, n * 37 % 700);
                    let request = request.try_clone().expect("it has no body yet");
                    let Ok(answer) = json_body(request, body.to_string()).send().await else { return };
                    let status = answer.status().as_u16();
                    // The promise is in the first line, even when the rest breaks off.
                    let is_whole = answer.bytes().await.is_ok();
                    let mut ledger = ledger.lock().unwrap();
                    if status == 202 {
                        ledger.accepted.insert(name);
                        sender.send_modify(|n| *n += 1);
                    } else {
                        ledger.refused.push(status);
                    }
                    if !is_whole {
                        return;
                    }
                }
            });
        }
        Load { clients, ledger, count, stop }
    }

    /// Waits until so many were accepted, or until no client is left.
    pub(crate) async fn accepted(&mut self, count: u64) {
        self.count.wait_for(|n| *n >= count).await.ok();
    }

    /// What was accepted so far.
    pub(crate) fn so_far(&self) -> BTreeSet<String> {
        self.ledger.lock().unwrap().accepted.clone()
    }

    /// Stops the clients and gives the ledger.
    pub(crate) async fn end(mut self) -> Ledger {
        self.stop.store(1, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut self.ledger.lock().unwrap())
    }
}
