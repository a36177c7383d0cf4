//! Queries the table: refills for one lane, and polls for all endpoints.

use crate::domain::{AttemptId, EndpointId, Timestamp};
use crate::store::{Due, Line, StoreError};

use super::{AGAIN_MS, POLL_EVERY_MS, Polling, Scheduler};
use crate::delivery::scheduling::lane::{Hint, Lane, Responsiveness};
use crate::delivery::scheduling::messages::{SchedulerMessage, send};
use crate::delivery::scheduling::poll::{Poll, STEP, poll};

/// Single shots read by one poll.
const SINGLES_AT_ONCE: usize = 256;
/// For how many endpoints without a lane the responsiveness is kept: some megabytes.
const RESPONSIVENESS_MAX: usize = 100_000;
/// How many refills run at the same time. Few, because others read, too.
const REFILLS_AT_ONCE: usize = 3;

impl Scheduler {
    /// Starts refills of those whose turn it is.
    pub(super) fn start_refills(&mut self) {
        while self.running_refills < REFILLS_AT_ONCE {
            let Some((endpoint, _)) = self.refill_queue.pop() else { return };
            let window_size = self.window_size();
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            let Some(limit) = lane.start_refill(window_size) else { continue };
            self.running_refills += 1;
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let (store, now) = (self.deps.store.clone(), self.deps.clock.now());
            let (messages, abort) = (self.deps.messages.clone(), self.deps.abort.clone());
            self.deps.tasks.spawn(async move {
                let due = store.queue_due(endpoint, now, limit).await;
                send(&messages, &abort, SchedulerMessage::Refilled(endpoint, due)).await;
            });
        }
    }

    pub(super) fn refilled(&mut self, endpoint: EndpointId, due: Result<Due, StoreError>) {
        let is_held = self.holds(endpoint);
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        if !is_held {
            return lane.refill_failed();
        }
        let mut due = match due {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, endpoint_id = %endpoint, "the queue of an endpoint could not be read");
                lane.refill_failed();
                let retry_at = self.deps.clock.now().plus_ms(AGAIN_MS.into());
                return self.due_later(endpoint, retry_at);
            }
        };
        if lane.take_void() {
            return self.update_lane(endpoint);
        }
        let next_due = due.next_due;
        match due.hold.take() {
            Some(hold) => {
                let probes = hold.probes.iter().filter(|_| lane.may_probe());
                let mut claimed = probes.filter(|(id, line)| self.claims.claim(*id, *line));
                let probe = claimed.next().map(|(id, line)| Hint { id: *id, line: *line });
                drop(claimed);
                if lane.may_probe() {
                    lane.set_hold(Some(hold.next_probe_at), probe);
                }
            }
            None => {
                // Else it would be claimed forever, and sent by nobody.
                if let Some(chosen) = lane.set_hold(None, None) {
                    self.claims.release(chosen);
                }
                due.attempts.retain(|id| self.claims.claim(*id, Line::Fresh));
                due.bulk.retain(|id| self.claims.claim(*id, Line::Bulk));
            }
        }
        let since = self.holding.since(endpoint);
        for hint in lane.refilled(due, since) {
            self.take_due(endpoint, hint);
        }
        if let Some(at) = next_due {
            self.due_later(endpoint, at);
        }
        self.update_lane(endpoint);
    }

    pub(super) fn start_poll(&mut self) {
        if self.polling != Polling::Idle {
            self.polling = Polling::RunningStale;
            return;
        }
        self.polling = Polling::Running;
        let (store, now) = (self.deps.store.clone(), self.deps.clock.now());
        let (messages, abort) = (self.deps.messages.clone(), self.deps.abort.clone());
        let held = self.deps.ownership.held();
        let held_since = self.held_since(now);
        // Claimed ones are still pending in the table and come first.
        let singles =
            if self.claims.has_room_for_singles() { SINGLES_AT_ONCE + self.claims.singles() } else { 0 };
        self.deps.tasks.spawn(async move {
            let poll = poll(&*store, now, held, singles, held_since).await;
            send(&messages, &abort, SchedulerMessage::Polled(poll)).await;
        });
    }

    pub(super) fn polled(&mut self, poll: Result<Poll, StoreError>) {
        let now = self.deps.clock.now();
        let was_stale = self.polling == Polling::RunningStale;
        let finds_backlogs = self.may_find_backlogs;
        self.may_find_backlogs &= was_stale;
        (self.polling, self.poll_ended, self.poll_failed) = (Polling::Idle, true, poll.is_err());
        let poll = match poll {
            Ok(poll) => poll,
            Err(error) => return tracing::warn!(%error, "the queue could not be read"),
        };
        if poll.cancelled > 0 {
            self.deps.signals.result_committed();
        }
        self.drop_idle_lanes(now);
        self.reschedule_after_clock_change(now);
        self.take_hints(&poll.singles);
        self.give_up(poll.overdue, now);
        // The poll may be older than a change of ownership.
        let held = poll
            .endpoints
            .into_iter()
            .filter(|queue| self.deps.ownership.epoch_of(queue.endpoint_id).is_some());
        let (later, due): (Vec<_>, Vec<_>) = held.partition(|queue| queue.earliest > now);
        for queue in later {
            self.due_later(queue.endpoint_id, queue.earliest);
        }
        // All lanes first: the size of a window depends on their number.
        for queue in &due {
            let is_known = self.lanes.contains_key(&queue.endpoint_id);
            let lane = self.lane(queue.endpoint_id);
            lane.mark_stale();
            // After a restart every endpoint is new here, and none of them has just become active.
            lane.was_idle &= is_known || !finds_backlogs;
        }
        for queue in due {
            self.update_lane(queue.endpoint_id);
        }
        if was_stale || poll.more {
            self.start_poll();
        }
        self.deps.ready.send_replace(true);
    }

    /// What has been held since then or longer has been held for too long.
    fn held_since(&self, now: Timestamp) -> Option<Timestamp> {
        let at_most_ms = self.deps.courier.hold_at_most_ms();
        (at_most_ms > 0).then(|| now.plus_ms(-at_most_ms))
    }

    /// Exhausts attempts that have been held for too long, but those that are in flight or about to be. The others
    /// are claimed meanwhile, so that they are not sent.
    fn give_up(&mut self, mut overdue: Vec<AttemptId>, now: Timestamp) {
        let is_full = overdue.len() >= STEP as usize;
        overdue.retain(|id| self.claims.claim(*id, Line::Fresh));
        let Some(since) = self.held_since(now).filter(|_| !overdue.is_empty()) else { return };
        let store = self.deps.store.clone();
        let (messages, abort) = (self.deps.messages.clone(), self.deps.abort.clone());
        self.deps.tasks.spawn(async move {
            let given_up = store.queue_give_up(overdue.clone(), since, now).await;
            let count = given_up.unwrap_or_else(|error| {
                tracing::warn!(%error, "deliveries that were held for too long could not be exhausted");
                0
            });
            let more = is_full && count > 0;
            send(&messages, &abort, SchedulerMessage::GivenUp { attempts: overdue, count, more }).await;
        });
    }

    pub(super) fn given_up(&mut self, attempts: Vec<AttemptId>, count: u32, more: bool) {
        for id in attempts {
            self.claims.release(id);
        }
        if count > 0 {
            self.deps.signals.result_committed();
        }
        if more {
            self.start_poll();
        }
    }

    /// Drops idle lanes, but keeps their responsiveness: otherwise a responsive endpoint would compete for
    /// slots with all unknown ones.
    fn drop_idle_lanes(&mut self, now: Timestamp) {
        if self.responsiveness.len() > RESPONSIVENESS_MAX {
            self.responsiveness.clear();
        }
        self.lanes.retain(|endpoint, lane| {
            let is_idle = lane.is_idle(now);
            if is_idle && lane.responsiveness != Responsiveness::Unknown {
                self.responsiveness.insert(*endpoint, lane.responsiveness);
            }
            !is_idle
        });
    }

    /// A lane that waits longer than any delay we set was scheduled before the clock was set back;
    /// reschedules it.
    fn reschedule_after_clock_change(&mut self, now: Timestamp) {
        let latest = now.plus_ms(POLL_EVERY_MS.into());
        let is_late = |lane: &Lane| lane.not_before.is_some_and(|at| at > latest);
        let late: Vec<_> = self.lanes.iter().filter(|(_, l)| is_late(l)).map(|(id, _)| *id).collect();
        for endpoint in late {
            self.hold_back(endpoint, now);
        }
    }
}
