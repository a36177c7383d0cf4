//! Sends: takes attempts from the lanes in turn, hands them to the courier, and takes its reports.

use crate::domain::{AttemptId, EndpointId, Timestamp};
use crate::store::{Finished, Line, SentAs};

use super::{AGAIN_MS, Scheduler};
use crate::delivery::courier::{Claimed, CourierReport, RequestEnd};
use crate::delivery::scheduling::lane::{Hint, Responsiveness};
use crate::delivery::scheduling::messages::{SchedulerMessage, send};

/// Attempts loaded by one query.
const LOAD_AT_ONCE: usize = 32;

impl Scheduler {
    /// Sends whatever is due, as far as there are slots.
    pub(super) fn send_due(&mut self) {
        let now = self.deps.clock.now();
        let mut batch = Vec::new();
        // Sending stops while results cannot be committed: they must not pile up in memory.
        while !self.slots.are_full()
            && self.stuck == 0
            && self.uncommitted < self.deps.limits.concurrency.saturating_mul(4)
        {
            let Some((endpoint, has_priority)) = self.send_queue.pop() else { break };
            batch.extend(self.serve(endpoint, has_priority, now));
            if batch.len() >= LOAD_AT_ONCE {
                self.dispatch(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.dispatch(batch);
        }
    }

    /// Takes one attempt of this endpoint, and puts it at the end of the send queue if it has more.
    fn serve(&mut self, endpoint: EndpointId, has_priority: bool, now: Timestamp) -> Option<Claimed> {
        let epoch = self.deps.ownership.epoch_of(endpoint);
        let lane = self.lanes.get_mut(&endpoint)?;
        lane.in_send_queue = false;
        let epoch = epoch?;
        if !lane.can_send(self.deps.limits.endpoint_concurrency) {
            return None;
        }
        if !self.slots.has_room_for(lane.responsiveness) {
            lane.in_send_queue = true;
            self.held.push_back(endpoint);
            return None;
        }
        if lane.is_bulk_next() && !self.slots.has_room_for_bulk() {
            // Not in the send queue meanwhile, so that something fresh can bring it there.
            if !std::mem::replace(&mut lane.bulk_is_held, true) {
                self.held_bulk.push_back(endpoint);
            }
            return None;
        }
        if let Err(at) = lane.limiter.as_mut()?.take(now) {
            self.hold_back(endpoint, at);
            return None;
        }
        let is_probe = lane.next_probe_at().is_some();
        let Hint { id, line } = lane.pop()?;
        lane.in_flight += 1;
        self.slots.take(lane.responsiveness);
        if line == Line::Bulk {
            lane.bulk_in_flight += 1;
            self.slots.take_bulk();
        }
        if has_priority {
            // A regular turn has to follow, even if the lane is empty now.
            lane.in_send_queue = true;
            self.send_queue.push(endpoint, false);
        }
        self.update_lane(endpoint);
        Some(Claimed { id, endpoint, sent: SentAs { epoch, is_probe } })
    }

    fn dispatch(&mut self, batch: Vec<Claimed>) {
        let (courier, tasks) = (self.deps.courier.clone(), self.deps.tasks.clone());
        let (messages, abort) = (self.deps.messages.clone(), self.deps.abort.clone());
        self.deps.tasks.spawn(async move {
            let report = move |report| {
                let (messages, abort) = (messages.clone(), abort.clone());
                async move { send(&messages, &abort, SchedulerMessage::Reported(report)).await }
            };
            courier.carry(batch, &tasks, report).await;
        });
    }

    pub(super) fn reported(&mut self, report: CourierReport) {
        match report {
            CourierReport::NotSent { id, endpoint } => {
                self.release(endpoint, id, None);
                self.claims.release(id);
                self.ended(endpoint, id);
            }
            CourierReport::LoadFailed { id, endpoint } => {
                self.lane(endpoint).mark_stale();
                self.hold_back(endpoint, self.deps.clock.now().plus_ms(AGAIN_MS.into()));
                self.release(endpoint, id, None);
                self.claims.release(id);
                self.ended(endpoint, id);
            }
            CourierReport::Sent { id, endpoint, ended } => {
                self.uncommitted += 1;
                let limit = self.deps.limits.endpoint_concurrency;
                let lane = self.lane(endpoint);
                lane.uncommitted += 1;
                if ended == RequestEnd::Succeeded {
                    lane.succeeded(limit);
                }
                let class = match ended {
                    RequestEnd::Succeeded | RequestEnd::Failed => Some(Responsiveness::Responsive),
                    RequestEnd::TimedOut => Some(Responsiveness::Unresponsive),
                    RequestEnd::Local => None,
                };
                self.release(endpoint, id, class);
            }
            CourierReport::Stuck => self.stuck += 1,
            CourierReport::Committed { id, endpoint, finished, was_stuck } => {
                self.uncommitted -= 1;
                self.lane(endpoint).uncommitted -= 1;
                self.stuck -= usize::from(was_stuck);
                self.claims.release(id);
                self.deps.signals.result_committed();
                self.finished(endpoint, finished);
                self.ended(endpoint, id);
            }
        }
    }

    /// An attempt is no longer in flight. If it was the probe of a hold that goes on, the next one is looked for.
    fn ended(&mut self, endpoint: EndpointId, id: AttemptId) {
        self.lane(endpoint).ended(id);
        self.await_probe(endpoint);
        self.update_lane(endpoint);
    }

    fn finished(&mut self, endpoint: EndpointId, finished: Finished) {
        match finished {
            Finished::Done { queued, disabled, hold_changed, .. } => {
                self.take_hints(&queued);
                if hold_changed {
                    self.reset_lane(endpoint);
                }
                if disabled {
                    self.reset_lane(endpoint);
                    // The poll cancels what is pending.
                    self.start_poll();
                }
            }
            // The shard has changed hands, maybe back to this node: then the attempt is pending here again.
            Finished::StaleEpoch => {
                self.lane(endpoint).mark_stale();
                self.update_lane(endpoint);
            }
            Finished::Stale => {}
        }
    }

    /// Gives back a slot. `class` is the endpoint's responsiveness from now on; `None` if no request was
    /// made.
    fn release(&mut self, endpoint: EndpointId, id: AttemptId, class: Option<Responsiveness>) {
        if self.claims.line(id) == Some(Line::Bulk) {
            self.release_bulk(endpoint);
        }
        let lane = self.lanes.get_mut(&endpoint).expect("a lane with something in flight is kept");
        lane.in_flight -= 1;
        self.slots.give_back(lane.responsiveness);
        if lane.responsiveness != Responsiveness::Responsive {
            self.send_queue.extend(self.held.drain(..));
        }
        if let Some(class) = class {
            // The slots of those still in flight change their class, too.
            self.slots.reclassify(lane.in_flight, lane.responsiveness, class);
            lane.responsiveness = class;
        }
        self.update_lane(endpoint);
    }

    /// Gives back a slot's share of bulk work, and lets the next endpoint have it.
    fn release_bulk(&mut self, endpoint: EndpointId) {
        self.lane(endpoint).bulk_in_flight -= 1;
        self.slots.give_back_bulk();
        if let Some(next) = self.held_bulk.pop_front() {
            self.lane(next).bulk_is_held = false;
            self.update_lane(next);
        }
    }
}
