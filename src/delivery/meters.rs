//! Counters of delivery. Test deliveries count nowhere, except while they are in flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::domain::AppId;
use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Outcome};
use crate::host::meter::{Counter, Gauge, Histogram};

/// Bucket limits for the duration of an attempt, in milliseconds. The longest timeout is 30 s.
const DURATION_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 60_000];

/// The meters of one dispatcher.
#[derive(Debug)]
pub struct Meters {
    delivered: Counter,
    /// By [`ErrorKind::ALL`].
    failed: Vec<Counter>,
    exhausted: Vec<Counter>,
    /// Durations of attempts, exported in seconds.
    pub duration: Histogram,
    /// Requests in flight, tests included.
    pub in_flight: Gauge,
    /// The same by app; apps without any are left out.
    by_app: Mutex<HashMap<AppId, u64>>,
}

impl Default for Meters {
    fn default() -> Meters {
        let each = || ErrorKind::ALL.iter().map(|_| Counter::default()).collect();
        Meters {
            delivered: Counter::default(),
            failed: each(),
            exhausted: each(),
            duration: Histogram::new(DURATION_MS, 1_000),
            in_flight: Gauge::default(),
            by_app: Mutex::default(),
        }
    }
}

impl Meters {
    /// Counts an attempt whose result is committed.
    pub(super) fn count(&self, status: AttemptStatus, attempt: &AttemptSummary) {
        let by_kind = |counters: &[Counter]| {
            let place = ErrorKind::ALL.iter().position(|kind| Some(*kind) == attempt.kind);
            if let Some(counter) = place.and_then(|place| counters.get(place)) {
                counter.inc();
            }
        };
        match status {
            AttemptStatus::Delivered => {
                self.delivered.inc();
            }
            AttemptStatus::Failed => by_kind(&self.failed),
            AttemptStatus::Exhausted => by_kind(&self.exhausted),
            AttemptStatus::Pending | AttemptStatus::Cancelled => return,
        }
        if let Some(ms) = attempt.duration_ms {
            self.duration.observe(ms);
        }
    }

    /// Number of finished attempts, by status and kind of error.
    pub fn attempts(&self) -> Vec<(AttemptStatus, Option<ErrorKind>, u64)> {
        let by_kind = |status, counters: &[Counter]| -> Vec<_> {
            let kinds = ErrorKind::ALL.iter().zip(counters);
            kinds.map(|(kind, counter)| (status, Some(*kind), counter.get())).collect()
        };
        let mut all = vec![(AttemptStatus::Delivered, None, self.delivered.get())];
        all.extend(by_kind(AttemptStatus::Failed, &self.failed));
        all.extend(by_kind(AttemptStatus::Exhausted, &self.exhausted));
        all
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(super) fn count_in_flight(self: &Arc<Self>, app: AppId) -> InFlightGuard {
        self.in_flight.inc();
        *self.by_app.lock().expect("no panic happens while this is held").entry(app).or_default() += 1;
        InFlightGuard(self.clone(), app)
    }

    /// Requests of an app that are in flight, tests included.
    pub fn in_flight_of(&self, app: AppId) -> u64 {
        let by_app = self.by_app.lock().expect("no panic happens while this is held");
        by_app.get(&app).copied().unwrap_or(0)
    }
}

/// What the counters need of an outcome, which is moved to the writer meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptSummary {
    pub(super) kind: Option<ErrorKind>,
    /// From the first byte sent to the end of the response; `None` when nothing was sent.
    duration_ms: Option<u64>,
}

impl From<&Outcome> for AttemptSummary {
    fn from(outcome: &Outcome) -> AttemptSummary {
        let took = |at: crate::domain::Timestamp| outcome.finished_at.as_millis() - at.as_millis();
        AttemptSummary {
            kind: outcome.failure.as_ref().map(|failure| failure.kind),
            duration_ms: outcome.attempted_at.map(|at| u64::try_from(took(at)).unwrap_or(0)),
        }
    }
}

/// Counts one request as in flight.
pub(super) struct InFlightGuard(Arc<Meters>, AppId);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.dec();
        let mut by_app = self.0.by_app.lock().expect("no panic happens while this is held");
        if let Some(in_flight) = by_app.get_mut(&self.1) {
            *in_flight -= 1;
            if *in_flight == 0 {
                by_app.remove(&self.1);
            }
        }
    }
}
