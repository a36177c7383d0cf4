//! Decides which pending attempt is sent next.
//!
//! The table of attempts is the queue. The scheduler holds a bounded window of it for each endpoint (a
//! [`Lane`]) and serves the endpoints in turn ([`Turns`]), within a total and a per-endpoint number of slots.
//! An unresponsive endpoint gets one slot, and all of them together half of the slots ([`Slots`]), so that
//! unresponsive endpoints cannot starve the others. While results cannot be committed (a full disk), nothing
//! is sent.
//!
//! An endpoint that just became non-empty is served first, and its refill is done first, so that its event
//! does not wait behind every backlog.
//!
//! Bulk work waits behind all fresh attempts of its endpoint ([`crate::delivery::scheduling::lane`]) and gets
//! at most half of the slots.
//!
//! Fresh attempts come as hints, right after their commit. A hint may be lost: the table is queried when a
//! window runs low, when something comes due, and every few seconds. So nothing here has to survive a crash,
//! and a lost hint costs seconds, not a delivery.
//!
//! What is in flight is known in memory only ([`Claims`]). A claim ends when the result is committed, and an
//! attempt is loaded only after it was claimed. So an attempt that was read from an older snapshot turns out
//! to be no longer pending when it is loaded, and is not sent twice.
//!
//! Only endpoints of shards that this node holds are served ([`Ownership`]). Every attempt is sent under the
//! epoch in which it was taken from its lane, and its result counts only if the shard has not changed hands
//! since.
//!
//! The time of day may jump. Due times are compared with it, but the regular poll goes by monotonic time, and
//! reschedules lanes whose time has moved away.
//!
//! An endpoint on hold ([`crate::domain::attempts::hold`]) gets single shots and probes only; its windows stay
//! empty. The table has the truth: a lane looks there when a result has changed the hold, and when the next
//! probe is due.
//!
//! Files: this one has the loop and the lanes; [`holding`] follows the shards; [`refills`] queries the table;
//! [`serving`] sends, and takes reports.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Ownership, QueueSignal, QueueSignals, Signals};
use crate::domain::{EndpointId, Timestamp};
use crate::host::clock::Clock;
use crate::store::{Line, Queued, Store};

use crate::delivery::courier::Courier;
use crate::delivery::scheduling::claims::Claims;
use crate::delivery::scheduling::lane::{Hint, Lane, Responsiveness, window_size};
use crate::delivery::scheduling::messages::{INBOX_SIZE, SchedulerMessage};
use crate::delivery::scheduling::slots::{SlotLimits, Slots};
use crate::delivery::scheduling::timers::Timers;
use crate::delivery::scheduling::turns::Turns;

mod holding;
mod refills;
mod serving;

/// How often the table is polled for what hints missed, in milliseconds.
const POLL_EVERY_MS: u32 = 5_000;

/// How soon storage is asked again that has failed, in milliseconds. All goes on within 5 s of its return.
const AGAIN_MS: u32 = 1_000;

/// What the scheduler works with.
pub(crate) struct SchedulerDeps {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) limits: SlotLimits,
    /// The sending end of its own inbox, for the tasks that it starts.
    pub(crate) messages: mpsc::Sender<SchedulerMessage>,
    pub(crate) tasks: TaskTracker,
    pub(crate) abort: CancellationToken,
    /// Set to true after the first poll.
    pub(crate) ready: watch::Sender<bool>,
    pub(crate) signals: Arc<dyn Signals>,
    /// Which endpoints are served.
    pub(crate) ownership: Arc<Ownership>,
}

/// Whether the table is being polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Polling {
    /// No; the next poll is due [`POLL_EVERY_MS`] after the last one ended, or [`AGAIN_MS`] after one that failed.
    Idle,
    Running,
    /// Something happened meanwhile that the running poll may not see: another one has to follow.
    RunningStale,
}

/// The state of the loop.
pub(crate) struct Scheduler {
    deps: SchedulerDeps,
    lanes: HashMap<EndpointId, Lane>,
    /// The responsiveness of endpoints whose lanes were dropped.
    responsiveness: HashMap<EndpointId, Responsiveness>,
    /// Endpoints that have something to send and a free slot of their own.
    send_queue: Turns,
    /// Endpoints that would be in the send queue if too many of their class were not in flight.
    held: VecDeque<EndpointId>,
    /// Endpoints whose bulk work is held because too much bulk work is in flight.
    held_bulk: VecDeque<EndpointId>,
    /// Endpoints whose lanes need a refill.
    refill_queue: Turns,
    running_refills: usize,
    claims: Claims,
    slots: Slots,
    /// Attempts whose results are not yet committed.
    uncommitted: usize,
    /// Those of them that storage has refused at least once.
    stuck: usize,
    timers: Timers,
    polling: Polling,
    /// Whether the next poll may find endpoints without a lane that have been active for long: after the start, and
    /// after a change of ownership. At other times such an endpoint has just become active, and its hint comes
    /// after the poll or was lost.
    may_find_backlogs: bool,
    holding: holding::Holding,
    /// Whether a poll has ended; the time to the next one counts from then on.
    poll_ended: bool,
    /// Whether the last one failed.
    poll_failed: bool,
}

impl Scheduler {
    /// A scheduler with no lanes.
    pub(crate) fn new(deps: SchedulerDeps) -> Scheduler {
        Scheduler {
            slots: Slots::new(deps.limits.concurrency),
            deps,
            lanes: HashMap::new(),
            responsiveness: HashMap::new(),
            send_queue: Turns::default(),
            held: VecDeque::new(),
            held_bulk: VecDeque::new(),
            refill_queue: Turns::default(),
            running_refills: 0,
            claims: Claims::default(),
            uncommitted: 0,
            stuck: 0,
            timers: Timers::default(),
            polling: Polling::Idle,
            may_find_backlogs: true,
            holding: holding::Holding::default(),
            poll_ended: true,
            poll_failed: false,
        }
    }

    /// Schedules until `stop` is cancelled.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<SchedulerMessage>,
        mut signals: QueueSignals,
        stop: CancellationToken,
    ) {
        let clock = self.deps.clock.clone();
        let mut ownership_changes = self.deps.ownership.changes();
        let mut next_poll = clock.sleep_ms(POLL_EVERY_MS);
        self.ownership_changed();
        loop {
            self.send_due();
            if std::mem::take(&mut self.poll_ended) {
                next_poll = clock.sleep_ms(if self.poll_failed { AGAIN_MS } else { POLL_EVERY_MS });
            }
            let timer_at = self.timers.next().unwrap_or(Timestamp::from_millis(i64::MAX));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Before the messages, which may never end.
                () = &mut next_poll, if self.polling == Polling::Idle => self.start_poll(),
                Ok(()) = ownership_changes.changed() => self.ownership_changed(),
                Some(message) = inbox.recv() => self.handle(message),
                Some(signal) = signals.inbox.recv() => self.handle_signal(signal),
                () = clock.sleep_until(timer_at) => {}
            }
            // Everything that is there, before anything is sent: one pass for many.
            for _ in 0..INBOX_SIZE {
                let Ok(message) = inbox.try_recv() else { break };
                self.handle(message);
            }
            for _ in 0..INBOX_SIZE {
                let Ok(signal) = signals.inbox.try_recv() else { break };
                self.handle_signal(signal);
            }
            if signals.take_lost() {
                self.start_poll();
            }
            self.fire_timers();
        }
    }

    fn handle_signal(&mut self, signal: QueueSignal) {
        self.take_elsewhere();
        match signal {
            QueueSignal::Queued(queued) => self.take_hints(&queued),
            QueueSignal::EndpointChanged(endpoint) => {
                if self.holds(endpoint) {
                    self.reset_lane(endpoint);
                }
                // The poll cancels what is pending if the endpoint was disabled.
                self.start_poll();
            }
            QueueSignal::Missed => self.start_poll(),
        }
    }

    fn handle(&mut self, message: SchedulerMessage) {
        // Before anything is claimed that another node still sends.
        self.take_elsewhere();
        match message {
            SchedulerMessage::Refilled(endpoint, due) => {
                self.running_refills -= 1;
                self.refilled(endpoint, due);
                self.start_refills();
            }
            SchedulerMessage::Polled(poll) => self.polled(poll),
            SchedulerMessage::GivenUp { attempts, count, more } => self.given_up(attempts, count, more),
            SchedulerMessage::Reported(report) => self.reported(report),
        }
    }

    // --- lanes -------------------------------------------------------------------------------

    fn lane(&mut self, endpoint: EndpointId) -> &mut Lane {
        self.lanes
            .entry(endpoint)
            .or_insert_with(|| Lane::new(self.responsiveness.remove(&endpoint).unwrap_or_default()))
    }

    /// The size of a lane's window.
    fn window_size(&self) -> usize {
        window_size(self.lanes.len())
    }

    fn take_hints(&mut self, queued: &[Queued]) {
        let now = self.deps.clock.now();
        for q in queued {
            if !self.holds(q.endpoint_id) {
                continue;
            }
            let hint = Hint { id: q.attempt_id, line: q.line };
            match q.line {
                // A poll finds it when it is due.
                Line::Single if q.due_at > now => {}
                Line::Single => self.take_single(q.endpoint_id, hint),
                Line::Fresh | Line::Bulk if q.due_at > now => self.due_later(q.endpoint_id, q.due_at),
                Line::Fresh | Line::Bulk => self.take_due(q.endpoint_id, hint),
            }
        }
    }

    fn take_single(&mut self, endpoint: EndpointId, hint: Hint) {
        let window_size = self.window_size();
        // Beyond the limit it stays in the table until a poll finds it.
        if self.claims.claim(hint.id, hint.line) {
            self.lane(endpoint).push(hint, window_size);
            self.update_lane(endpoint);
        }
    }

    fn take_due(&mut self, endpoint: EndpointId, hint: Hint) {
        let window_size = self.window_size();
        if !self.claims.contains(hint.id) && self.lane(endpoint).push(hint, window_size) {
            self.claims.claim(hint.id, hint.line);
        }
        if hint.line == Line::Bulk && self.lane(endpoint).next_probe_at().is_some() {
            // A bulk job may have asked for a probe.
            self.lane(endpoint).mark_stale();
        }
        self.await_probe(endpoint);
        self.update_lane(endpoint);
    }

    /// Something waits for an endpoint: if it is on hold, the probe has to be found in time.
    fn await_probe(&mut self, endpoint: EndpointId) {
        let now = self.deps.clock.now();
        let lane = self.lane(endpoint);
        if lane.needs_probe(now) {
            lane.mark_stale();
        } else if let Some(at) = lane.next_probe_at().filter(|at| *at > now) {
            self.due_later(endpoint, at);
        }
    }

    fn due_later(&mut self, endpoint: EndpointId, at: Timestamp) {
        let lane = self.lane(endpoint);
        lane.due_at = Some(lane.due_at.map_or(at, |known| known.min(at)));
        self.update_timer(endpoint);
    }

    fn hold_back(&mut self, endpoint: EndpointId, until: Timestamp) {
        self.lane(endpoint).not_before = Some(until);
        self.update_timer(endpoint);
    }

    fn update_timer(&mut self, endpoint: EndpointId) {
        let lane = self.lanes.get_mut(&endpoint).expect("the caller has just changed it");
        self.timers.update(endpoint, lane);
    }

    fn reset_lane(&mut self, endpoint: EndpointId) {
        let dropped = self.lane(endpoint).reset();
        self.update_timer(endpoint);
        for id in dropped {
            self.claims.release(id);
        }
        self.update_lane(endpoint);
    }

    /// Queues the lane for a refill if its window runs low, and for sending if it has something to send.
    fn update_lane(&mut self, endpoint: EndpointId) {
        if !self.holds(endpoint) {
            return;
        }
        let window_size = self.window_size();
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        let refill = lane.queue_refill(window_size);
        if let Some(has_priority) = refill {
            self.refill_queue.push(endpoint, has_priority);
        }
        if !lane.in_send_queue && lane.can_send(self.deps.limits.endpoint_concurrency) {
            lane.in_send_queue = true;
            let has_priority = std::mem::take(&mut lane.was_idle) && !lane.is_bulk_next();
            self.send_queue.push(endpoint, has_priority);
        }
        if refill.is_some() {
            self.start_refills();
        }
    }

    fn fire_timers(&mut self) {
        let now = self.deps.clock.now();
        for endpoint in self.timers.due(now) {
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            if lane.not_before.is_some_and(|at| at <= now) {
                lane.not_before = None;
            }
            if lane.due_at.is_some_and(|at| at <= now) {
                lane.due_at = None;
                lane.mark_stale();
            }
            self.timers.update(endpoint, lane);
            self.update_lane(endpoint);
        }
    }
}

#[cfg(test)]
mod tests;
