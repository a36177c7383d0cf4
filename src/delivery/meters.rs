//! What delivery counts of itself, test deliveries apart: those count nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::domain::AppId;
use crate::domain::attempts::attempt::{AttemptStatus, ErrorKind, Outcome};
use crate::host::meter::{Counter, Gauge, Histogram};

/// Milliseconds of an attempt; the longest timeout is 30 s.
const DURATION_MS: &[u64] =
    &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 60_000];

/// The meters of one dispatcher.
#[derive(Debug)]
pub struct Meters {
    delivered: Counter,
    /// By [`ErrorKind::ALL`].
    failed: Vec<Counter>,
    exhausted: Vec<Counter>,
    /// How long attempts took, shown in seconds.
    pub duration: Histogram,
    /// Requests in flight, tests included.
    pub in_flight: Gauge,
    /// The same by app; those that have none are not in it.
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
    /// Counts an attempt whose end is written.
    pub(super) fn ended(&self, status: AttemptStatus, outcome: &Ended) {
        let by_kind = |counters: &[Counter]| {
            let place = ErrorKind::ALL.iter().position(|kind| Some(*kind) == outcome.kind);
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
        if let Some(ms) = outcome.duration_ms {
            self.duration.observe(ms);
        }
    }

    /// How many attempts ended so: the outcome, why if it is no success, and the number.
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

    /// Counts a request as in flight for as long as what it gives lives.
    pub(super) fn fly(self: &Arc<Self>, app: AppId) -> Flying {
        self.in_flight.inc();
        *self.by_app.lock().expect("no panic happens while this is held").entry(app).or_default() += 1;
        Flying(self.clone(), app)
    }

    /// Requests of an app that are in flight, tests included.
    pub fn in_flight_of(&self, app: AppId) -> u64 {
        let by_app = self.by_app.lock().expect("no panic happens while this is held");
        by_app.get(&app).copied().unwrap_or(0)
    }
}

/// What the meters need of an outcome, which is written elsewhere meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) kind: Option<ErrorKind>,
    /// From the first byte sent to the end; `None` when nothing was sent.
    duration_ms: Option<u64>,
}

impl From<&Outcome> for Ended {
    fn from(outcome: &Outcome) -> Ended {
        let took = |at: crate::domain::Timestamp| outcome.finished_at.as_millis() - at.as_millis();
        Ended {
            kind: outcome.failure.as_ref().map(|failure| failure.kind),
            duration_ms: outcome.attempted_at.map(|at| u64::try_from(took(at)).unwrap_or(0)),
        }
    }
}

/// A request in flight.
pub(super) struct Flying(Arc<Meters>, AppId);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.in_flight.dec();
        let mut by_app = self.0.by_app.lock().expect("no panic happens while this is held");
        if let Some(flying) = by_app.get_mut(&self.1) {
            *flying -= 1;
            if *flying == 0 {
                by_app.remove(&self.1);
            }
        }
    }
}
