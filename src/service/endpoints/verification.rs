//! Verification made easy: how an endpoint's requests are signed, and why a signature that a receiver
//! refused holds or does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::endpoint::SIGNING_SECRETS_MAX;
use crate::domain::signing::verification::{Diagnosis, Evidence, LoggedRequest, ReceivedRequest, diagnose};
use crate::domain::{Endpoint, EndpointId, EventId, SigningSecret, Timestamp};
use crate::host::clock::Clock;
use crate::host::vault::{CannotOpen, Vault};
use crate::store::Store;

use crate::service::{Caller, Kind, Result, ServiceError};

/// The most rows of the log that a request is compared with, the newest ones.
const SENT_MAX: usize = 20;

/// How many requests are verified at the same time: it takes a thread, and a second of it for the largest
/// ones.
const AT_ONCE: usize = 2;

/// Threads for verification, a few at the same time.
struct Turns(Arc<Semaphore>);

/// One of them, until it is dropped.
struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// Tells a thread to stop when it is dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Turns {
    fn new() -> Turns {
        Turns(Arc::new(Semaphore::new(AT_ONCE)))
    }

    async fn take(&self) -> Result<Turn> {
        let permit = self.0.clone().acquire_owned().await;
        Ok(Turn { _permit: permit.map_err(|e| ServiceError::Internal(Box::new(e)))? })
    }
}

impl Turn {
    /// Works on a thread. `work` is told to stop when the caller is gone; the turn ends with the work.
    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T> {
        let stop = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(stop.clone());
        let working = tokio::task::spawn_blocking(move || {
            let _turn = self;
            work(&stop)
        });
        working.await.map_err(|e| ServiceError::Internal(Box::new(e)))
    }
}

/// The use cases of verification.
pub struct Verification {
    turns: Turns,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    plain_headers: Vec<String>,
}

impl Verification {
    /// `plain_headers` is the configured `signing.headers`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        plain_headers: Vec<String>,
    ) -> Verification {
        Verification { turns: Turns::new(), store, clock, vault, plain_headers }
    }

    /// The endpoint, and the names of the plain HMAC headers that its requests carry.
    pub async fn scheme(&self, caller: &Caller, id: EndpointId) -> Result<(Endpoint, &[String])> {
        Ok((self.endpoint(caller, id).await?, &self.plain_headers))
    }

    /// Verifies what a receiver got. Nothing is sent or written. The work runs on a thread of its own, a few
    /// at the same time, and stops when the caller is gone.
    pub async fn verify(&self, caller: &Caller, id: EndpointId, seen: ReceivedRequest) -> Result<Diagnosis> {
        let endpoint = self.endpoint(caller, id).await?;
        let at = seen.at.unwrap_or_else(|| self.clock.now());
        let secrets = self.secrets(&endpoint, at);
        let (secrets, ended) = secrets.map_err(|e| ServiceError::Internal(Box::new(e)))?;
        let turn = self.turns.take().await?;
        let (payload, sent) = match seen.header("webhook-id").and_then(|id| id.parse().ok()) {
            Some(event) => self.sent(caller, event).await?,
            None => (None, vec![]),
        };
        let (encrypted, plain_headers) = (endpoint.settings.encrypted, self.plain_headers.clone());
        let verify = move |stop: &AtomicBool| {
            let known = Evidence {
                endpoint_id: id,
                encrypted,
                plain_headers: &plain_headers,
                secrets: &secrets,
                ended: &ended,
                payload: payload.as_deref(),
                sent: &sent,
                at,
                stop,
            };
            diagnose(&seen, &known)
        };
        turn.work(verify).await
    }

    /// The secrets that sign at that time, newest first, and those that no longer do.
    fn secrets(
        &self,
        endpoint: &Endpoint,
        at: Timestamp,
    ) -> std::result::Result<(Vec<SigningSecret>, Vec<SigningSecret>), CannotOpen> {
        let mut signing = vec![self.vault.open_signing_secret(endpoint.id, &endpoint.secret)?];
        let mut ended = Vec::new();
        for retired in &endpoint.retired_secrets {
            let secret = self.vault.open_signing_secret(endpoint.id, &retired.secret)?;
            let signs = retired.valid_until > at && signing.len() < SIGNING_SECRETS_MAX;
            if signs { &mut signing } else { &mut ended }.push(secret);
        }
        Ok((signing, ended))
    }

    /// The payload of an event, and the requests that carried it.
    async fn sent(&self, caller: &Caller, event: EventId) -> Result<(Option<Vec<u8>>, Vec<LoggedRequest>)> {
        let Some(found) = self.store.event_get(caller.app_id, event).await? else {
            return Ok((None, vec![]));
        };
        let mut sent = Vec::new();
        for attempt in found.attempts.iter().rev().filter(|a| a.attempted_at.is_some()).take(SENT_MAX) {
            let Some(detail) = self.store.attempt_get(caller.app_id, attempt.id).await? else { continue };
            if let Some(request) = detail.request {
                let (endpoint_id, headers) = (attempt.endpoint_id, request.headers);
                sent.push(LoggedRequest { endpoint_id, headers, body: detail.request_body });
            }
        }
        Ok((found.payload.map(|bytes| bytes.to_vec()), sent))
    }

    async fn endpoint(&self, caller: &Caller, id: EndpointId) -> Result<Endpoint> {
        self.store.endpoint_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound(Kind::Endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    /// How long anything may take before it counts as hanging.
    const HANGS_AFTER: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn few_work_at_once_and_one_whose_caller_is_gone_stops() {
        let turns = Arc::new(Turns::new());
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        // Ends all threads when the test fails.
        let over = Arc::new(AtomicBool::new(false));
        let _over = StopOnDrop(over.clone());
        let mut callers = Vec::new();
        for _ in 0..=AT_ONCE {
            let (turns, begun, over) = (turns.clone(), begun.clone(), over.clone());
            callers.push(tokio::spawn(async move {
                let work = move |stop: &AtomicBool| {
                    begun.send(()).unwrap();
                    while !stop.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                };
                turns.take().await.unwrap().work(work).await.unwrap();
            }));
        }
        for _ in 0..AT_ONCE {
            timeout(HANGS_AFTER, begins.recv()).await.unwrap().unwrap();
        }
        assert_eq!(turns.0.available_permits(), 0);
        // The last one begins when another one has stopped.
        callers[0].abort();
        timeout(HANGS_AFTER, begins.recv()).await.expect("a turn is free").unwrap();
        callers.iter().for_each(tokio::task::JoinHandle::abort);
        let _all = turns.0.acquire_many(AT_ONCE as u32).await.unwrap();
    }
}
