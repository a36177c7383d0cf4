//! The in-memory window of one endpoint's pending attempts, and how many requests to it may be in flight.
//! Pure state: the scheduler waits and queries.
//!
//! Bulk work has a window of its own. It is served only while nothing fresh is due, and with at most half of
//! the slots, so a new event overtakes any backlog and rarely waits for a free slot. Bulk work has no other
//! speed limit: it goes as fast as the receiver takes it, and more slowly at an endpoint that fresh events
//! keep busy.

use std::collections::VecDeque;

use crate::domain::{AttemptId, Timestamp};
use crate::store::{Due, Line};

use crate::delivery::scheduling::rate_limiter::RateLimiter;
use window::LaneWindow;
pub(crate) use window::window_size;

mod window;

/// Whether an endpoint responds to requests. Any response counts, also an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Responsiveness {
    /// Not known yet. Limited to one request at a time, so that an endpoint that is down holds one slot and
    /// not all.
    #[default]
    Unknown,
    /// The last request got a response.
    Responsive,
    /// The last request timed out (or the last attempt before a restart failed). Limited to one request at a
    /// time and to the shared pool for unresponsive endpoints.
    Unresponsive,
}

/// An attempt that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) id: AttemptId,
    pub(crate) line: Line,
}

/// Whether the table is being queried for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refill {
    /// No refill is needed, as far as is known.
    Idle,
    /// The lane is in the scheduler's refill queue.
    Queued { has_priority: bool },
    /// The table is being queried.
    Running,
    /// The table is being queried, and something happened meanwhile that the result may not contain.
    RunningStale,
    /// The table is being queried, but the result must not be used: it may be older than a hold.
    RunningVoid,
}

/// While an endpoint is on hold, only single shots and its probes are sent.
#[derive(Debug)]
struct LaneHold {
    next_probe_at: Timestamp,
    /// The probe to send.
    probe: Option<Hint>,
    /// The probe that is in flight.
    sent: Option<AttemptId>,
}

/// One endpoint's part of the queue.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Sent first, whatever the endpoint's status and responsiveness, but within its slots and its rate.
    singles: VecDeque<AttemptId>,
    fresh: LaneWindow,
    bulk: LaneWindow,
    refill: Refill,
    /// The hold of the endpoint, as far as is known.
    hold: Option<LaneHold>,
    /// After a hold: so many requests may be in flight, until that is the endpoint's own limit.
    ramp: Option<usize>,
    /// Hints that came during a refill, whose result may or may not contain them.
    arrived: Vec<Hint>,
    /// When the next attempt comes due and the table has to be queried again.
    pub(crate) due_at: Option<Timestamp>,
    /// Nothing is sent before this: because of the rate, or for a pause after storage failed.
    pub(crate) not_before: Option<Timestamp>,
    /// When the scheduler updates this lane; kept by [`crate::delivery::scheduling::timers::Timers`].
    pub(crate) timer_at: Option<Timestamp>,
    pub(crate) in_flight: usize,
    /// In flight from a node that held the endpoint before.
    pub(crate) elsewhere: usize,
    /// Of those from here, how many are bulk work.
    pub(crate) bulk_in_flight: usize,
    /// Sent, but not yet committed: still pending in the table.
    pub(crate) uncommitted: usize,
    pub(crate) responsiveness: Responsiveness,
    /// `None` until the first refill tells the endpoint's rate; nothing is sent before.
    pub(crate) limiter: Option<RateLimiter>,
    /// Whether the endpoint is in the send queue, or held back from it because its class has no free slot.
    pub(crate) in_send_queue: bool,
    /// Whether its bulk work is held until other endpoints' bulk work finishes.
    pub(crate) bulk_is_held: bool,
    /// True if nothing was known to be due after the lane's last turn; its next turn then has priority.
    pub(crate) was_idle: bool,
}

impl Lane {
    /// An empty lane that needs a refill.
    pub(crate) fn new(responsiveness: Responsiveness) -> Lane {
        Lane {
            singles: VecDeque::new(),
            fresh: LaneWindow::default(),
            bulk: LaneWindow::default(),
            refill: Refill::Idle,
            hold: None,
            ramp: None,
            arrived: Vec::new(),
            due_at: None,
            not_before: None,
            timer_at: None,
            in_flight: 0,
            elsewhere: 0,
            bulk_in_flight: 0,
            uncommitted: 0,
            responsiveness,
            limiter: None,
            in_send_queue: false,
            bulk_is_held: false,
            was_idle: true,
        }
    }

    /// Adds an attempt that is due. False if it has to stay in the table, of which a window holds
    /// `window_size`.
    pub(crate) fn push(&mut self, hint: Hint, window_size: usize) -> bool {
        let window = match hint.line {
            Line::Single => {
                self.singles.push_back(hint.id);
                return true;
            }
            // The probe is looked for in the table.
            Line::Fresh | Line::Bulk if self.hold.is_some() => return false,
            Line::Fresh => &mut self.fresh,
            Line::Bulk => &mut self.bulk,
        };
        if !self.refill.is_running() {
            return window.push_hint(hint.id, window_size);
        }
        if self.arrived.len() < window_size {
            self.arrived.push(hint);
        } else {
            self.mark_stale();
        }
        false
    }

    /// Whether a refill has to be queued, with windows of `window_size`. If so, it counts as queued from now on, and
    /// `Some` says whether it has priority over lanes with a backlog: it has while nothing is known to be due. A refill
    /// that is queued already is queued once more when it gets priority.
    pub(crate) fn queue_refill(&mut self, window_size: usize) -> Option<bool> {
        let has_priority = self.was_idle;
        let is_needed = match self.refill {
            Refill::Idle => self.is_low(window_size),
            Refill::Queued { has_priority: false } => has_priority,
            _ => false,
        };
        is_needed.then(|| {
            self.refill = Refill::Queued { has_priority };
            has_priority
        })
    }

    /// Starts a queued refill if it is still needed; gives how many rows to read for windows of
    /// `window_size`.
    pub(crate) fn start_refill(&mut self, window_size: usize) -> Option<usize> {
        // It was in the queue twice, and its first turn has come already.
        if !matches!(self.refill, Refill::Queued { .. }) {
            return None;
        }
        if !self.is_low(window_size) {
            self.refill = Refill::Idle;
            return None;
        }
        self.refill = Refill::Running;
        // Those in flight are still pending in the table, so the result contains them.
        Some(window_size + self.in_flight + self.uncommitted)
    }

    /// Whether the result of the running refill must not be used. If so, the refill is over, and another one
    /// is needed.
    pub(crate) fn take_void(&mut self) -> bool {
        let is_void = self.refill == Refill::RunningVoid;
        if is_void {
            self.refill = Refill::Idle;
            self.arrived.clear();
        }
        is_void
    }

    /// Takes what a refill says of the endpoint's hold, with the probe that was claimed for it. Gives the one that was
    /// chosen before and not sent: the hold is over, and it is an attempt like others.
    pub(crate) fn set_hold(
        &mut self,
        next_probe_at: Option<Timestamp>,
        probe: Option<Hint>,
    ) -> Option<AttemptId> {
        let before = self.hold.take();
        let chosen = before.as_ref().and_then(|hold| hold.probe).map(|hint| hint.id);
        match next_probe_at {
            Some(next_probe_at) => {
                let sent = before.and_then(|hold| hold.sent);
                self.hold = Some(LaneHold { next_probe_at, probe, sent });
                self.ramp = None;
            }
            None if before.is_some() => self.ramp = Some(1),
            None => {}
        }
        chosen
    }

    /// When a probe may be sent, if the endpoint is on hold.
    pub(crate) fn next_probe_at(&self) -> Option<Timestamp> {
        self.hold.as_ref().map(|hold| hold.next_probe_at)
    }

    /// Whether the endpoint is on hold and a probe has to be found.
    pub(crate) fn needs_probe(&self, now: Timestamp) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|hold| hold.next_probe_at <= now && hold.probe.is_none() && hold.sent.is_none())
    }

    /// Whether a refill may choose a probe: none is chosen or in flight.
    pub(crate) fn may_probe(&self) -> bool {
        self.hold.as_ref().is_none_or(|hold| hold.probe.is_none() && hold.sent.is_none())
    }

    /// An attempt is no longer in flight: committed, or not sent.
    pub(crate) fn ended(&mut self, id: AttemptId) {
        if let Some(hold) = &mut self.hold {
            hold.sent = hold.sent.filter(|sent| *sent != id);
        }
    }

    /// After a hold each success lets one more request be in flight: so their number doubles with each round,
    /// and a receiver that has just recovered is not buried.
    pub(crate) fn succeeded(&mut self, limit: usize) {
        self.ramp = self.ramp.map(|at_once| at_once + 1).filter(|at_once| *at_once < limit);
    }

    /// Takes the result of a refill, without attempts that are claimed. Gives the hints that came meanwhile,
    /// to be pushed again. `since`: until then another node may have sent to the endpoint.
    pub(crate) fn refilled(&mut self, due: Due, since: Option<Timestamp>) -> Vec<Hint> {
        let is_current = self.refill != Refill::RunningStale;
        self.fresh.refill(due.attempts, due.more, is_current);
        self.bulk.refill(due.bulk, due.more_bulk, is_current);
        self.refill = Refill::Idle;
        // Before the first refill nothing was sent, so no slot changes its class.
        let is_first = self.limiter.is_none();
        if is_first && due.failing && self.responsiveness == Responsiveness::Unknown {
            self.responsiveness = Responsiveness::Unresponsive;
        }
        self.limiter.get_or_insert_with(|| RateLimiter::empty_since(since)).set_rate(due.rate_limit);
        self.was_idle |= self.is_done();
        std::mem::take(&mut self.arrived)
    }

    /// Ends a refill that failed. The lane is not refilled again before it is marked as stale.
    pub(crate) fn refill_failed(&mut self) {
        self.fresh.assume_complete();
        self.bulk.assume_complete();
        self.refill = Refill::Idle;
        self.arrived.clear();
    }

    /// Empties the windows, so that they are refilled; gives what they held. The result of a refill that runs
    /// is not used.
    pub(crate) fn reset(&mut self) -> Vec<AttemptId> {
        self.mark_stale();
        if self.refill.is_running() {
            self.refill = Refill::RunningVoid;
        }
        self.not_before = None;
        let probe = self.hold.as_mut().and_then(|hold| hold.probe.take());
        let windows = self.fresh.ids.drain(..).chain(self.bulk.ids.drain(..));
        windows.chain(probe.map(|hint| hint.id)).collect()
    }

    /// Drops everything that is not in flight: the endpoint is served elsewhere now. Gives what was dropped.
    pub(crate) fn clear(&mut self) -> Vec<AttemptId> {
        let mut dropped = self.reset();
        dropped.extend(self.singles.drain(..));
        self.arrived.clear();
        self.due_at = None;
        dropped
    }

    /// The table may have more than the windows, or than a running refill will find.
    pub(crate) fn mark_stale(&mut self) {
        self.fresh.mark_stale();
        self.bulk.mark_stale();
        if self.refill == Refill::Running {
            self.refill = Refill::RunningStale;
        }
    }

    fn is_low(&self, window_size: usize) -> bool {
        self.fresh.is_low(window_size) || self.bulk.is_low(window_size)
    }

    /// The next attempt to send. Call it only when [`Lane::can_send`].
    pub(crate) fn pop(&mut self) -> Option<Hint> {
        let hint = |line| move |id| Hint { id, line };
        let popped = (self.singles.pop_front().map(hint(Line::Single)))
            .or_else(|| self.pop_probe())
            .or_else(|| self.fresh.ids.pop_front().map(hint(Line::Fresh)))
            .or_else(|| self.bulk.ids.pop_front().map(hint(Line::Bulk)));
        self.was_idle = self.is_done();
        popped
    }

    fn pop_probe(&mut self) -> Option<Hint> {
        let hold = self.hold.as_mut()?;
        let probe = hold.probe.take()?;
        hold.sent = Some(probe.id);
        Some(probe)
    }

    /// Whether there is a probe to send.
    fn has_probe(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.probe.is_some())
    }

    /// Whether nothing is due, here or in the table, as far as is known.
    fn is_done(&self) -> bool {
        self.singles.is_empty() && !self.has_probe() && self.fresh.is_done() && self.bulk.is_done()
    }

    /// Whether the next attempt to send is bulk work.
    pub(crate) fn is_bulk_next(&self) -> bool {
        self.singles.is_empty() && !self.has_probe() && self.fresh.ids.is_empty()
    }

    /// Whether the lane may be dropped: nothing is due, in flight or queued, and its state is that of a new
    /// one.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        self.singles.is_empty()
            && self.fresh.ids.is_empty()
            && self.bulk.ids.is_empty()
            && !self.has_probe()
            && self.in_flight + self.uncommitted + self.elsewhere == 0
            && self.refill == Refill::Idle
            && !self.in_send_queue
            && self.timer_at.is_none()
            && self.limiter.is_none_or(|limiter| limiter.is_idle(now))
    }

    /// How many scheduled requests may be in flight; `limit` is the configured number.
    fn slots(&self, limit: usize) -> usize {
        match self.responsiveness {
            Responsiveness::Responsive => self.ramp.map_or(limit, |at_once| at_once.min(limit)),
            Responsiveness::Unknown | Responsiveness::Unresponsive => 1,
        }
    }

    /// Whether there is bulk work, within its half of the slots.
    fn can_send_bulk(&self, limit: usize) -> bool {
        !self.bulk.ids.is_empty() && self.bulk_in_flight < self.slots(limit).div_ceil(2)
    }

    /// Whether there is something to send and a free slot for it; `limit` is the configured number of slots.
    pub(crate) fn can_send(&self, limit: usize) -> bool {
        let slots = if !self.singles.is_empty() || self.has_probe() {
            // A person asked for it, so it does not wait behind a request that hangs; nor does a probe.
            limit
        } else if !self.fresh.ids.is_empty() || self.can_send_bulk(limit) {
            self.slots(limit)
        } else {
            0
        };
        self.limiter.is_some() && self.not_before.is_none() && self.in_flight + self.elsewhere < slots
    }
}

impl Refill {
    fn is_running(self) -> bool {
        matches!(self, Refill::Running | Refill::RunningStale | Refill::RunningVoid)
    }
}

#[cfg(test)]
mod tests;
