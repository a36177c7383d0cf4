//! Decides which pending attempt is sent next.
//!
//! The table of attempts is the queue; the scheduler holds a bounded window of it for each endpoint
//! (a [`Lane`]) and serves the endpoints in turn, within a global and a per-endpoint number of slots.
//! One that does not answer gets one slot, and all of its kind together half of them ([`Slots`]), so
//! that nobody waits for the dead. While results cannot be written (a full disk), nothing is sent.
//!
//! One that had nothing waiting has its turn first, in the round and when the table is asked, so that an event does
//! not wait for as many others as there are backlogs ([`Turns`]).
//!
//! What bulk jobs have made waits behind all that is fresh at the same endpoint ([`crate::delivery::scheduling::lane`]), and
//! takes half of the slots at the most.
//!
//! Fresh attempts come as hints, right after their commit. A hint is never needed: the table is asked
//! when a window runs low, when something comes due, and every few seconds anyway. So nothing here has
//! to survive a crash, and a lost hint costs seconds, not a delivery.
//!
//! What is being sent is known in memory only ([`Claims`]). An id leaves it when its result is
//! committed, and an attempt is loaded only after it was claimed; so a row that was read from an older
//! snapshot is found to be no longer pending when it is loaded, and is not sent twice.
//!
//! The time of day may jump. What is due is judged by it; but the regular look at the table goes by
//! the time that passes, and puts right whatever waits for a time that has moved away.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{AttemptId, EndpointId, Timestamp};
use crate::host::clock::Clock;
use crate::store::{Due, Finished, Queued, Store, StoreError};

use crate::delivery::courier::{Courier, Report};
use crate::delivery::scheduling::claims::Claims;
use crate::delivery::scheduling::lane;
use crate::delivery::scheduling::lane::{Hint, Lane, Manner};
use crate::delivery::scheduling::messages::{MESSAGES, Message, send};
use crate::delivery::scheduling::poll::{Poll, poll};
use crate::delivery::scheduling::slots::{Limits, Slots};
use crate::delivery::scheduling::turns::Turns;
use crate::delivery::scheduling::wakes::Wakes;

/// How often the table is asked whether anything was overlooked, in milliseconds.
const POLL_EVERY_MS: u32 = 5_000;
/// Single shots fetched at once.
const SINGLES: usize = 256;
/// For how many endpoints without a lane it is remembered how they answered: some megabytes.
const MANNERS: usize = 100_000;
/// For how many endpoints the table is asked at the same time.
const ASKED: usize = 3;
/// Attempts loaded by one question to the table.
const LOAD_AT_ONCE: usize = 32;

/// What the scheduler works with.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) limits: Limits,
    /// The other end of its own inbox, for the tasks it starts.
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) tasks: TaskTracker,
    pub(crate) abort: CancellationToken,
    /// Becomes true when the table has been read.
    pub(crate) ready: watch::Sender<bool>,
    /// Changes with every result.
    pub(crate) results: Arc<watch::Sender<u64>>,
}

/// The state of the loop.
pub(crate) struct Scheduler {
    parts: Parts,
    lanes: HashMap<EndpointId, Lane>,
    /// How endpoints answered last whose lanes were forgotten since.
    manners: HashMap<EndpointId, Manner>,
    /// Endpoints that have something to send and a free slot, in turn.
    round: Turns,
    /// Endpoints that would stand in the round if there were not too many of their manner in flight.
    held: VecDeque<EndpointId>,
    /// Endpoints whose bulk work waits because there is too much of it in flight, in turn.
    held_bulk: VecDeque<EndpointId>,
    /// Endpoints for which the table is to be asked, in turn.
    line: Turns,
    /// For how many it is being asked.
    asked: usize,
    claims: Claims,
    slots: Slots,
    /// Results that are not yet committed.
    unwritten: usize,
    /// Those of them that storage has refused at least once.
    stuck: usize,
    wakes: Wakes,
    polling: bool,
    /// Whether something happened that the poll under way may not see.
    poll_again: bool,
    /// Whether a poll has ended, from when on the time to the next one counts.
    polled: bool,
}

impl Scheduler {
    /// One that knows nothing yet.
    pub(crate) fn new(parts: Parts) -> Scheduler {
        Scheduler {
            slots: Slots::new(parts.limits.concurrency),
            parts,
            lanes: HashMap::new(),
            manners: HashMap::new(),
            round: Turns::default(),
            held: VecDeque::new(),
            held_bulk: VecDeque::new(),
            line: Turns::default(),
            asked: 0,
            claims: Claims::default(),
            unwritten: 0,
            stuck: 0,
            wakes: Wakes::default(),
            polling: false,
            poll_again: false,
            polled: true,
        }
    }

    /// Hears and sends until `stop` is cancelled; `missed` says that a message was dropped.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        missed: Arc<AtomicBool>,
        stop: CancellationToken,
    ) {
        let clock = self.parts.clock.clone();
        let mut rest = clock.sleep_ms(POLL_EVERY_MS);
        self.poll();
        loop {
            self.send_what_can_be_sent();
            if std::mem::take(&mut self.polled) {
                rest = clock.sleep_ms(POLL_EVERY_MS);
            }
            let wake_at = self.wakes.next().unwrap_or(Timestamp::from_millis(i64::MAX));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                // Before the messages, which may never end.
                () = &mut rest, if !self.polling => self.poll(),
                message = inbox.recv() => {
                    let Some(message) = message else { return };
                    self.hear(message);
                    // What else is there is heard before anything is sent: one pass for many.
                    for _ in 0..MESSAGES {
                        let Ok(message) = inbox.try_recv() else { break };
                        self.hear(message);
                    }
                }
                () = clock.sleep_until(wake_at) => {}
            }
            if missed.swap(false, Ordering::Relaxed) {
                self.poll();
            }
            self.wake();
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Queued(queued) => self.take_hints(&queued),
            Message::EndpointChanged(endpoint) => {
                self.reset_lane(endpoint);
                // What is pending for an endpoint that was switched off is cancelled by the poll.
                self.poll();
            }
            Message::Refilled(endpoint, due) => {
                self.asked -= 1;
                self.refilled(endpoint, due);
                self.ask();
            }
            Message::Polled(poll) => self.polled(poll),
            Message::Reported(report) => self.reported(report),
        }
    }

    // --- what comes in -----------------------------------------------------------------------

    fn lane(&mut self, endpoint: EndpointId) -> &mut Lane {
        self.lanes
            .entry(endpoint)
            .or_insert_with(|| Lane::new(self.manners.remove(&endpoint).unwrap_or_default()))
    }

    /// How many attempts a lane's window may hold.
    fn window(&self) -> usize {
        lane::window(self.lanes.len())
    }

    fn take_hints(&mut self, queued: &[Queued]) {
        let now = self.parts.clock.now();
        for q in queued {
            if q.single {
                self.take_single(q.endpoint_id, q.attempt_id);
            } else if q.due_at > now {
                self.due_later(q.endpoint_id, q.due_at);
            } else {
                self.take_due(q.endpoint_id, Hint { id: q.attempt_id, bulk: q.bulk });
            }
        }
    }

    fn take_single(&mut self, endpoint: EndpointId, id: AttemptId) {
        // Beyond the limit it stays in the table until a poll finds it.
        if self.claims.take_single(id) {
            self.lane(endpoint).single(id);
            self.tend(endpoint);
        }
    }

    fn take_due(&mut self, endpoint: EndpointId, hint: Hint) {
        let window = self.window();
        if !self.claims.contains(hint.id) && self.lane(endpoint).hint(hint, window) {
            self.claims.take(hint.id, hint.bulk);
        }
        self.tend(endpoint);
    }

    fn due_later(&mut self, endpoint: EndpointId, at: Timestamp) {
        let lane = self.lane(endpoint);
        lane.due_at = Some(lane.due_at.map_or(at, |known| known.min(at)));
        self.update_wake(endpoint);
    }

    fn hold_back(&mut self, endpoint: EndpointId, until: Timestamp) {
        self.lane(endpoint).not_before = Some(until);
        self.update_wake(endpoint);
    }

    fn update_wake(&mut self, endpoint: EndpointId) {
        let lane = self.lanes.get_mut(&endpoint).expect("it has just been looked at");
        self.wakes.update(endpoint, lane);
    }

    fn reset_lane(&mut self, endpoint: EndpointId) {
        let forgotten = self.lane(endpoint).reset();
        self.update_wake(endpoint);
        for id in forgotten {
            self.claims.give_up(id);
        }
        self.tend(endpoint);
    }

    fn refilled(&mut self, endpoint: EndpointId, due: Result<Due, StoreError>) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        let mut due = match due {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, endpoint_id = %endpoint, "the queue of an endpoint could not be read");
                lane.refill_failed();
                // The table is asked again when the time has come.
                let again_at = self.parts.clock.now().plus_ms(POLL_EVERY_MS.into());
                return self.due_later(endpoint, again_at);
            }
        };
        lane.pace.set_rate(due.rate_limit);
        due.attempts.retain(|id| self.claims.take(*id, false));
        due.bulk.retain(|id| self.claims.take(*id, true));
        let next_due = due.next_due;
        for hint in lane.refilled(due) {
            self.take_due(endpoint, hint);
        }
        if let Some(at) = next_due {
            self.due_later(endpoint, at);
        }
        self.tend(endpoint);
    }

    fn polled(&mut self, poll: Result<Poll, StoreError>) {
        let now = self.parts.clock.now();
        (self.polling, self.polled) = (false, true);
        let again = std::mem::take(&mut self.poll_again);
        let poll = match poll {
            Ok(poll) => poll,
            Err(error) => return tracing::warn!(%error, "the queue could not be read"),
        };
        if poll.cancelled > 0 {
            self.parts.results.send_modify(|n| *n += 1);
        }
        self.forget_and_put_right(now);
        self.take_hints(&poll.singles);
        let (later, due): (Vec<_>, Vec<_>) = poll.endpoints.into_iter().partition(|q| q.earliest > now);
        for queue in later {
            self.due_later(queue.endpoint_id, queue.earliest);
        }
        // All lanes first: what a window may hold depends on how many there are.
        for queue in &due {
            let is_known = self.lanes.contains_key(&queue.endpoint_id);
            let lane = self.lane(queue.endpoint_id);
            lane.doubt();
            // Of the others, what is found here may have waited since an earlier life.
            lane.rested &= is_known;
        }
        for queue in due {
            self.tend(queue.endpoint_id);
        }
        if again || poll.more {
            self.poll();
        }
        self.parts.ready.send_replace(true);
    }

    /// Forgets idle lanes, but not how their endpoints answered. Those that wait for longer than anything here makes them wait do so because
    /// the clock was set back.
    fn forget_and_put_right(&mut self, now: Timestamp) {
        if self.manners.len() > MANNERS {
            self.manners.clear();
        }
        self.lanes.retain(|endpoint, lane| {
            let is_idle = lane.is_idle(now);
            // Else one that answers would wait for a slot among all those of which nothing is known.
            if is_idle && lane.manner != Manner::New {
                self.manners.insert(*endpoint, lane.manner);
            }
            !is_idle
        });
        let latest = now.plus_ms(POLL_EVERY_MS.into());
        let late = |lane: &Lane| lane.not_before.is_some_and(|at| at > latest);
        let late: Vec<_> = self.lanes.iter().filter(|(_, l)| late(l)).map(|(id, _)| *id).collect();
        for endpoint in late {
            self.hold_back(endpoint, now);
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::NotSent { id, endpoint } => {
                self.release(endpoint, id, None);
                self.claims.give_up(id);
            }
            Report::LoadFailed { id, endpoint } => {
                self.lane(endpoint).doubt();
                self.hold_back(endpoint, self.parts.clock.now().plus_ms(POLL_EVERY_MS.into()));
                self.release(endpoint, id, None);
                self.claims.give_up(id);
            }
            Report::Sent { id, endpoint, timed_out } => {
                self.unwritten += 1;
                self.lane(endpoint).unwritten += 1;
                self.release(endpoint, id, Some(timed_out));
            }
            Report::Stuck => self.stuck += 1,
            Report::Written { id, endpoint, finished, was_stuck } => {
                self.unwritten -= 1;
                self.lane(endpoint).unwritten -= 1;
                self.stuck -= usize::from(was_stuck);
                self.claims.give_up(id);
                self.parts.results.send_modify(|n| *n += 1);
                if let Finished::Done { queued, disabled, .. } = finished {
                    self.take_hints(&queued);
                    if disabled {
                        self.reset_lane(endpoint);
                        // What is left is cancelled by the poll.
                        self.poll();
                    }
                }
            }
        }
    }

    /// Gives back a slot; `timed_out` says how the endpoint answered, if it was asked.
    fn release(&mut self, endpoint: EndpointId, id: AttemptId, timed_out: Option<bool>) {
        if self.claims.is_bulk(id) {
            self.release_bulk(endpoint);
        }
        let lane = self.lanes.get_mut(&endpoint).expect("a lane with something in flight is kept");
        lane.running -= 1;
        self.slots.give_back(lane.manner);
        if lane.manner != Manner::Answering {
            self.round.extend(self.held.drain(..));
        }
        if let Some(timed_out) = timed_out {
            let manner = if timed_out { Manner::Slow } else { Manner::Answering };
            // Those still running change their kind with the lane.
            self.slots.turn(lane.running, lane.manner, manner);
            lane.manner = manner;
        }
        self.tend(endpoint);
    }

    /// Gives back a slot's share of bulk work, and lets the next endpoint have it.
    fn release_bulk(&mut self, endpoint: EndpointId) {
        self.lane(endpoint).bulk_running -= 1;
        self.slots.give_back_bulk();
        if let Some(next) = self.held_bulk.pop_front() {
            self.lane(next).bulk_held = false;
            self.tend(next);
        }
    }

    // --- what goes out -----------------------------------------------------------------------

    /// Sees to it that the table is asked if the window runs low, and puts the endpoint in the round if it can be
    /// served.
    fn tend(&mut self, endpoint: EndpointId) {
        let window = self.window();
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        let wants_refill = lane.wants_refill(window) && !std::mem::replace(&mut lane.in_line, true);
        if wants_refill {
            self.line.push(endpoint, lane.rested);
        }
        if !lane.in_round && lane.can_send(self.parts.limits.endpoint_concurrency) {
            lane.in_round = true;
            let is_new = std::mem::take(&mut lane.rested) && !lane.is_bulk_next();
            self.round.push(endpoint, is_new);
        }
        if wants_refill {
            self.ask();
        }
    }

    /// Asks the table for those whose turn it is, few at a time: others read, too.
    fn ask(&mut self) {
        while self.asked < ASKED {
            let Some((endpoint, _)) = self.line.pop() else { return };
            let window = self.window();
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            lane.in_line = false;
            if !lane.wants_refill(window) {
                continue;
            }
            self.asked += 1;
            let limit = u32::try_from(lane.start_refill(window)).unwrap_or(u32::MAX);
            let (store, messages, now) =
                (self.parts.store.clone(), self.parts.messages.clone(), self.parts.clock.now());
            let abort = self.parts.abort.clone();
            self.parts.tasks.spawn(async move {
                let due = store.queue_due(endpoint, now, limit).await;
                send(&messages, &abort, Message::Refilled(endpoint, due)).await;
            });
        }
    }

    fn send_what_can_be_sent(&mut self) {
        let now = self.parts.clock.now();
        let mut batch = Vec::new();
        // Results that cannot be written must not pile up: then sending waits.
        while !self.slots.are_full()
            && self.stuck == 0
            && self.unwritten < self.parts.limits.concurrency.saturating_mul(4)
        {
            let Some((endpoint, is_new)) = self.round.pop() else { break };
            batch.extend(self.serve(endpoint, is_new, now).map(|id| (id, endpoint)));
            if batch.len() >= LOAD_AT_ONCE {
                self.dispatch(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.dispatch(batch);
        }
    }

    /// Takes one attempt of this endpoint, and puts it at the end of the round if there are more.
    fn serve(&mut self, endpoint: EndpointId, is_new: bool, now: Timestamp) -> Option<AttemptId> {
        let lane = self.lanes.get_mut(&endpoint)?;
        lane.in_round = false;
        if !lane.can_send(self.parts.limits.endpoint_concurrency) {
            return None;
        }
        if !self.slots.has_room_for(lane.manner) {
            lane.in_round = true;
            self.held.push_back(endpoint);
            return None;
        }
        if lane.is_bulk_next() && !self.slots.has_room_for_bulk() {
            // Not in the round meanwhile, so that something fresh can bring it there.
            if !std::mem::replace(&mut lane.bulk_held, true) {
                self.held_bulk.push_back(endpoint);
            }
            return None;
        }
        if let Err(at) = lane.pace.take(now) {
            self.hold_back(endpoint, at);
            return None;
        }
        let Hint { id, bulk } = lane.pop()?;
        lane.running += 1;
        self.slots.take(lane.manner);
        if bulk {
            lane.bulk_running += 1;
            self.slots.take_bulk();
        }
        if is_new {
            // It has had its turn before the others.
            lane.in_round = true;
            self.round.push(endpoint, false);
        }
        self.tend(endpoint);
        Some(id)
    }

    fn dispatch(&mut self, batch: Vec<(AttemptId, EndpointId)>) {
        let (courier, tasks, abort) =
            (self.parts.courier.clone(), self.parts.tasks.clone(), self.parts.abort.clone());
        let messages = self.parts.messages.clone();
        self.parts.tasks.spawn(async move {
            let report = move |report| {
                let (messages, abort) = (messages.clone(), abort.clone());
                async move { send(&messages, &abort, Message::Reported(report)).await }
            };
            courier.carry(batch, &tasks, report).await;
        });
    }

    // --- when to look again ------------------------------------------------------------------

    fn wake(&mut self) {
        let now = self.parts.clock.now();
        for endpoint in self.wakes.due(now) {
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            if lane.not_before.is_some_and(|at| at <= now) {
                lane.not_before = None;
            }
            if lane.due_at.is_some_and(|at| at <= now) {
                lane.due_at = None;
                lane.doubt();
            }
            self.wakes.update(endpoint, lane);
            self.tend(endpoint);
        }
    }

    fn poll(&mut self) {
        if self.polling {
            self.poll_again = true;
            return;
        }
        self.polling = true;
        let (store, messages, now) =
            (self.parts.store.clone(), self.parts.messages.clone(), self.parts.clock.now());
        let abort = self.parts.abort.clone();
        // Those that are known are still pending in the table and come first.
        let singles = if self.claims.has_room_for_singles() { SINGLES + self.claims.singles() } else { 0 };
        self.parts.tasks.spawn(async move {
            let poll = poll(&*store, now, singles).await;
            send(&messages, &abort, Message::Polled(poll)).await;
        });
    }
}
