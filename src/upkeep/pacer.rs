//! The pace of a sweep in the running server: measures what each step met, asks the control loop of
//! [`crate::domain::sweep`], and knows how long the next step may be.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::sweep::{self, Pace, Seen};
use crate::store::{RetentionStore, StepLimit, SweepStep, WriterLoad};

/// The most rows of a step: their numbers are kept in memory.
const ROWS_MAX: u32 = 20_000;
/// How long a row of a small table takes, and a page that is given back.
const SMALL_ROW: Duration = Duration::from_micros(50);
const PAGE: Duration = Duration::from_micros(25);

/// What was done since the last rest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Commands that were given to the writer.
    pub(super) commands: u64,
    pub(super) rows: u64,
    pub(super) ran: Duration,
    /// How long after their time rows were removed.
    pub(super) late: Option<Duration>,
    /// Rows that are left, estimated.
    pub(super) backlog: u64,
}

impl Done {
    /// Adds a step.
    pub(super) fn note(&mut self, step: &SweepStep, late: Option<Duration>) {
        self.commands += 1;
        self.rows += step.removed;
        self.ran += step.ran;
        self.late = self.late.max(late);
    }
}

/// The control loop with its measurements.
pub(super) struct Pacer {
    pace: Pace,
    load: WriterLoad,
    at: Instant,
}

impl Pacer {
    pub(super) fn new(store: &dyn RetentionStore) -> Pacer {
        Pacer { pace: Pace::default(), load: store.retention_load(), at: Instant::now() }
    }

    /// The limit of the next step, if it is one of so many that are made together.
    pub(super) fn limit(&self, together: u32) -> StepLimit {
        let length = self.pace.length();
        let part = |length: Duration| length / together.max(1);
        StepLimit { rows: ROWS_MAX, time: part(length.most), time_contended: part(length.contended) }
    }

    /// Rows of a small table in the next step.
    pub(super) fn small_rows(&self) -> u32 {
        self.times(SMALL_ROW)
    }

    /// Pages that are given back in the next step.
    pub(super) fn pages(&self) -> u32 {
        self.times(PAGE)
    }

    fn times(&self, cost: Duration) -> u32 {
        let times = self.pace.length().most.as_micros() / cost.as_micros().max(1);
        u32::try_from(times).unwrap_or(ROWS_MAX).clamp(10, ROWS_MAX)
    }

    /// The rest after a step.
    pub(super) fn after(&mut self, store: &dyn RetentionStore, done: Done, is_requested: bool) -> Duration {
        let (load, now) = (store.retention_load(), Instant::now());
        let elapsed = now.duration_since(self.at);
        let seen = Seen {
            backlog: done.backlog,
            rows: done.rows,
            late: done.late,
            ran: done.ran,
            elapsed,
            idle: idle(self.load, load, &done, elapsed),
            is_requested,
        };
        let (pace, plan) = sweep::next(self.pace, &seen);
        *self = Pacer { pace, load, at: now };
        plan.rest
    }
}

/// The share of the time in which the writer had nothing to do for others.
fn idle(before: WriterLoad, after: WriterLoad, done: &Done, elapsed: Duration) -> f64 {
    if after.commands.saturating_sub(before.commands) <= done.commands {
        return 1.0;
    }
    // What shares a commit with others is not told apart from them; a step costs about twice its run.
    let others = after.busy.saturating_sub(before.busy).saturating_sub(done.ran * 2);
    let busy = others.as_secs_f64() / elapsed.as_secs_f64().max(1e-6);
    (1.0 - busy).clamp(0.0, BUSY)
}

/// Idle at most, if anybody wrote.
const BUSY: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_is_idle_when_only_the_sweep_wrote() {
        let load = |commands, busy| WriterLoad { commands, busy: Duration::from_millis(busy) };
        let done = Done { commands: 2, ran: Duration::from_millis(5), ..Done::default() };
        let ms = Duration::from_millis;
        assert_eq!(idle(load(5, 0), load(7, 30), &done, ms(100)), 1.0);
        assert_eq!(idle(load(5, 0), load(8, 40), &done, ms(100)), 0.7);
        assert_eq!(idle(load(5, 0), load(8, 10), &done, ms(100)), BUSY);
        assert_eq!(idle(load(5, 0), load(8, 200), &done, ms(100)), 0.0);
    }
}
