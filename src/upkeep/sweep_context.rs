//! What a sweep works with, and when it has to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::Span;
use crate::domain::retention::{PagePolicy, Rules};
use crate::host::clock::Clock;
use crate::store::{Store, StoreError};

/// Retention periods; `None` = forever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Attempts, in ms.
    pub(super) logs_ms: Option<i64>,
    /// Events, in ms.
    pub(super) events_ms: Option<i64>,
}

impl Policy {
    /// The configuration merged with the dashboard's page; zero means forever.
    fn of(rules: &Rules, page: &PagePolicy) -> Policy {
        let kept = |span: Span| (!span.is_zero()).then(|| span.as_millis_i64());
        Policy {
            logs_ms: kept(rules.logs.with_page(page.logs.as_ref()).0),
            events_ms: kept(rules.events.with_page(page.events.as_ref()).0),
        }
    }
}

/// Who wants a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// The schedule: there is time.
    Scheduled,
    /// Somebody waits for it.
    Requested,
}

/// What a sweep works with.
pub(super) struct SweepContext {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    /// Requests for a sweep. The scheduled one makes room for them.
    pub(super) requested: AtomicUsize,
    pub(super) stop: CancellationToken,
}

/// A request, for as long as this lives.
pub(super) struct Requested<'a>(&'a AtomicUsize);

impl Drop for Requested<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SweepContext {
    /// The current policy. Read before every step, so that a longer period takes effect at once.
    pub(super) async fn policy(&self) -> Result<Policy, StoreError> {
        Ok(Policy::of(&self.rules, &self.store.retention_page().await?))
    }

    /// Has a scheduled sweep end.
    pub(super) fn request(&self) -> Requested<'_> {
        self.requested.fetch_add(1, Ordering::SeqCst);
        Requested(&self.requested)
    }

    /// Whether a sweep has to end: the server stops, or somebody waits for another one.
    pub(super) fn is_interrupted(&self, task: Task) -> bool {
        let is_requested = task == Task::Scheduled && self.requested.load(Ordering::SeqCst) > 0;
        self.stop.is_cancelled() || is_requested
    }

    /// Pauses after a step. The length depends on the machine and not on the time of day, so it does not use
    /// the clock.
    pub(super) async fn rest(&self, rest: Duration) {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
