//! Decides which pending attempt is sent next.
//!
//! The table of attempts is the queue; the dispatcher holds a bounded window of it for each endpoint
//! (a [`Lane`]) and serves the endpoints in turn, within a global and a per-endpoint number of slots.
//! One that does not answer gets one slot, and all of its kind together half of them ([`Slots`]), so
//! that nobody waits for the dead. While results cannot be written (a full disk), nothing is sent.
//!
//! What bulk jobs have made waits behind all that is fresh at the same endpoint ([`super::lane`]), and
//! takes half of the slots at the most.
//!
//! Fresh attempts come as hints, right after their commit. A hint is never needed: the table is asked
//! when a window runs low, when something comes due, and every few seconds anyway. So nothing here has
//! to survive a crash, and a lost hint costs seconds, not a delivery.
//!
//! What is being sent is known in memory only (`claimed`). An id leaves it when its result is
//! committed, and an attempt is loaded only after it was claimed; so a row that was read from an older
//! snapshot is found to be no longer pending when it is loaded, and is not sent twice.
//!
//! The time of day may jump. What is due is judged by it; but the regular look at the table goes by
//! the time that passes, and puts right whatever waits for a time that has moved away.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Chance, Clock};
use crate::domain::{AttemptId, EndpointId, Outcome, Timestamp};
use crate::store::{Due, EndpointQueue, Finished, Job, Queued, Store, StoreError};

use super::courier::{Courier, Report, RetryPolicy, Transport};
use super::lane::{Hint, Lane, Manner};
use super::slots::Slots;
use super::wakes::Wakes;

/// How often the table is asked whether anything was overlooked, in milliseconds.
const POLL_EVERY_MS: u32 = 5_000;
/// Hints that may wait; more are dropped and the table is asked instead.
const HINTS: usize = 8_192;
/// Single shots fetched at once.
const SINGLES: usize = 256;
/// Single shots held in memory, over all endpoints; more stay in the table for now.
const SINGLES_MAX: usize = 4_096;
/// Attempts loaded by one question to the table.
const LOAD_AT_ONCE: usize = 32;
/// Pending attempts cancelled in one step.
const CANCEL_STEP: u32 = 1_000;

/// How many requests may run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In all.
    pub concurrency: usize,
    /// To one endpoint.
    pub endpoint_concurrency: usize,
}

/// What kind of attempt is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Single,
    Fresh,
    Bulk,
}

impl Claim {
    fn of(bulk: bool) -> Claim {
        if bulk { Claim::Bulk } else { Claim::Fresh }
    }
}

/// Something for the dispatcher to know.
enum Message {
    Queued(Vec<Queued>),
    EndpointChanged(EndpointId),
    Refilled(EndpointId, Result<Due, StoreError>),
    Polled(Result<Poll, StoreError>),
    Reported(Report),
}

struct Poll {
    endpoints: Vec<EndpointQueue>,
    singles: Vec<Queued>,
    /// How many were cancelled just now.
    cancelled: u32,
    /// Whether there is more to cancel, or there are more single shots.
    more: bool,
}

/// The running dispatcher, as others see it.
#[derive(Clone)]
pub struct Dispatcher {
    messages: mpsc::Sender<Message>,
    missed: Arc<AtomicBool>,
    courier: Arc<Courier>,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    ready: watch::Receiver<bool>,
    results: Arc<watch::Sender<u64>>,
}

impl Dispatcher {
    /// Starts it. Sending begins once the table has been read for the first time.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
        transport: Arc<dyn Transport>,
        policy: RetryPolicy,
        limits: Limits,
    ) -> Dispatcher {
        let (messages, inbox) = mpsc::channel(HINTS);
        let (ready_tx, ready) = watch::channel(false);
        let results = Arc::new(watch::Sender::new(0));
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let courier = Arc::new(Courier::new(
            store.clone(),
            clock.clone(),
            chance,
            transport,
            policy,
            stop.clone(),
            abort.clone(),
        ));
        let (tasks, missed) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
        let state = State {
            store,
            clock,
            courier: courier.clone(),
            limits,
            messages: messages.clone(),
            tasks: tasks.clone(),
            abort: abort.clone(),
            lanes: HashMap::new(),
            round: VecDeque::new(),
            held: VecDeque::new(),
            held_bulk: VecDeque::new(),
            claimed: HashMap::new(),
            singles: 0,
            slots: Slots::new(limits.concurrency),
            unwritten: 0,
            stuck: 0,
            wakes: Wakes::default(),
            polling: false,
            poll_again: false,
            polled: true,
            ready: ready_tx,
            results: results.clone(),
        };
        tasks.spawn(state.run(inbox, missed.clone(), stop.clone()));
        Dispatcher { messages, missed, courier, stop, abort, tasks, ready, results }
    }

    /// Tells of attempts that have just become pending.
    pub fn queued(&self, queued: &[Queued]) {
        if !queued.is_empty() {
            self.tell(Message::Queued(queued.to_vec()));
        }
    }

    /// Tells that an endpoint's status or settings have changed.
    pub fn endpoint_changed(&self, endpoint: EndpointId) {
        self.tell(Message::EndpointChanged(endpoint));
    }

    /// Whether the table has been read and sending has begun.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until [`Dispatcher::is_ready`].
    pub async fn ready(&self) {
        // The sender lives as long as the dispatcher; when it is gone there is nothing to wait for.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Changes with every result that has been written, and when something was cancelled. A hint, for
    /// who wants to look again.
    pub fn results(&self) -> watch::Receiver<u64> {
        self.results.subscribe()
    }

    /// Tells those who wait for results of one that did not go through here.
    pub fn result_written(&self) {
        self.results.send_modify(|n| *n += 1);
    }

    /// Makes one request outside the queue, whatever its endpoint's status, and puts it in the log as a
    /// test. Goes on to its end when nobody waits for it any more: what was sent is in the log.
    /// Fails when the log could not be written.
    pub async fn probe(&self, job: Job, created_at: Timestamp) -> Result<(AttemptId, Outcome), StoreError> {
        let (courier, results) = (self.courier.clone(), self.results.clone());
        let probe = self.tasks.spawn(async move {
            let probed = courier.probe(job, created_at).await;
            results.send_modify(|n| *n += 1);
            probed
        });
        probe
            .await
            .unwrap_or_else(|error| Err(StoreError::Failed { doing: "sending a test", source: error.into() }))
    }

    /// Starts nothing more by itself, waits for what is in flight for at most `grace`, then interrupts it, and
    /// returns when every result is written. May be called again for what was asked for meanwhile.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }

    fn tell(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            self.missed.store(true, Ordering::Relaxed);
        }
    }
}

struct State {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    courier: Arc<Courier>,
    limits: Limits,
    messages: mpsc::Sender<Message>,
    tasks: TaskTracker,
    abort: CancellationToken,
    lanes: HashMap<EndpointId, Lane>,
    /// Endpoints that have something to send and a free slot, in turn.
    round: VecDeque<EndpointId>,
    /// Endpoints that would stand in the round if there were not too many of their manner in flight.
    held: VecDeque<EndpointId>,
    /// Endpoints whose bulk work waits because there is too much of it in flight, in turn.
    held_bulk: VecDeque<EndpointId>,
    /// Ids in lanes, in flight, or sent and not yet written.
    claimed: HashMap<AttemptId, Claim>,
    /// How many of these are single shots.
    singles: usize,
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
    ready: watch::Sender<bool>,
    results: Arc<watch::Sender<u64>>,
}

impl State {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        missed: Arc<AtomicBool>,
        stop: CancellationToken,
    ) {
        let clock = self.clock.clone();
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
                    for _ in 0..HINTS {
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
            Message::Refilled(endpoint, due) => self.refilled(endpoint, due),
            Message::Polled(poll) => self.polled(poll),
            Message::Reported(report) => self.reported(report),
        }
    }

    // --- what comes in -----------------------------------------------------------------------

    fn lane(&mut self, endpoint: EndpointId) -> &mut Lane {
        self.lanes.entry(endpoint).or_insert_with(Lane::new)
    }

    fn take_hints(&mut self, queued: &[Queued]) {
        let now = self.clock.now();
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
        if self.claimed.contains_key(&id) || self.singles >= SINGLES_MAX {
            return;
        }
        self.claimed.insert(id, Claim::Single);
        self.singles += 1;
        self.lane(endpoint).single(id);
        self.tend(endpoint);
    }

    fn take_due(&mut self, endpoint: EndpointId, hint: Hint) {
        if !self.claimed.contains_key(&hint.id) && self.lane(endpoint).hint(hint) {
            self.claimed.insert(hint.id, Claim::of(hint.bulk));
        }
        self.tend(endpoint);
    }

    fn due_later(&mut self, endpoint: EndpointId, at: Timestamp) {
        let lane = self.lanes.entry(endpoint).or_insert_with(Lane::new);
        lane.due_at = Some(lane.due_at.map_or(at, |known| known.min(at)));
        self.wakes.update(endpoint, lane);
    }

    fn hold_back(&mut self, endpoint: EndpointId, until: Timestamp) {
        let lane = self.lanes.entry(endpoint).or_insert_with(Lane::new);
        lane.not_before = Some(until);
        self.wakes.update(endpoint, lane);
    }

    fn unclaim(&mut self, id: AttemptId) {
        if self.claimed.remove(&id) == Some(Claim::Single) {
            self.singles -= 1;
        }
    }

    fn reset_lane(&mut self, endpoint: EndpointId) {
        let lane = self.lanes.entry(endpoint).or_insert_with(Lane::new);
        let forgotten = lane.reset();
        self.wakes.update(endpoint, lane);
        for id in forgotten {
            self.unclaim(id);
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
                let again_at = self.clock.now().plus_ms(POLL_EVERY_MS.into());
                return self.due_later(endpoint, again_at);
            }
        };
        lane.pace.set_rate(due.rate_limit);
        let mut claim = |id: &AttemptId, claim| match self.claimed.entry(*id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(claim);
                true
            }
        };
        due.attempts.retain(|id| claim(id, Claim::Fresh));
        due.bulk.retain(|id| claim(id, Claim::Bulk));
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
        let now = self.clock.now();
        (self.polling, self.polled) = (false, true);
        let again = std::mem::take(&mut self.poll_again);
        let poll = match poll {
            Ok(poll) => poll,
            Err(error) => return tracing::warn!(%error, "the queue could not be read"),
        };
        if poll.cancelled > 0 {
            self.results.send_modify(|n| *n += 1);
        }
        self.forget_and_put_right(now);
        self.take_hints(&poll.singles);
        for queue in &poll.endpoints {
            if queue.earliest > now {
                self.due_later(queue.endpoint_id, queue.earliest);
            } else {
                self.lane(queue.endpoint_id).doubt();
                self.tend(queue.endpoint_id);
            }
        }
        if again || poll.more {
            self.poll();
        }
        self.ready.send_replace(true);
    }

    /// Forgets idle lanes. Those that wait for longer than anything here makes them wait do so because
    /// the clock was set back.
    fn forget_and_put_right(&mut self, now: Timestamp) {
        self.lanes.retain(|_, lane| !lane.is_idle(now));
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
                self.unclaim(id);
            }
            Report::LoadFailed { id, endpoint } => {
                self.lane(endpoint).doubt();
                self.hold_back(endpoint, self.clock.now().plus_ms(POLL_EVERY_MS.into()));
                self.release(endpoint, id, None);
                self.unclaim(id);
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
                self.unclaim(id);
                self.results.send_modify(|n| *n += 1);
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
        if self.claimed.get(&id) == Some(&Claim::Bulk) {
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

    /// Asks the table if the window runs low, and puts the endpoint in the round if it can be served.
    fn tend(&mut self, endpoint: EndpointId) {
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        if !lane.in_round && lane.can_send(self.limits.endpoint_concurrency) {
            lane.in_round = true;
            self.round.push_back(endpoint);
        }
        if !lane.wants_refill() {
            return;
        }
        let limit = u32::try_from(lane.start_refill()).unwrap_or(u32::MAX);
        let (store, messages, now) = (self.store.clone(), self.messages.clone(), self.clock.now());
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            let due = store.queue_due(endpoint, now, limit).await;
            send(&messages, &abort, Message::Refilled(endpoint, due)).await;
        });
    }

    fn send_what_can_be_sent(&mut self) {
        let now = self.clock.now();
        let mut batch = Vec::new();
        // Results that cannot be written must not pile up: then sending waits.
        while !self.slots.are_full()
            && self.stuck == 0
            && self.unwritten < self.limits.concurrency.saturating_mul(4)
        {
            let Some(endpoint) = self.round.pop_front() else { break };
            batch.extend(self.serve(endpoint, now).map(|id| (id, endpoint)));
            if batch.len() >= LOAD_AT_ONCE {
                self.dispatch(std::mem::take(&mut batch));
            }
        }
        if !batch.is_empty() {
            self.dispatch(batch);
        }
    }

    /// Takes one attempt of this endpoint, and puts it at the end of the round if there are more.
    fn serve(&mut self, endpoint: EndpointId, now: Timestamp) -> Option<AttemptId> {
        let lane = self.lanes.get_mut(&endpoint)?;
        lane.in_round = false;
        if !lane.can_send(self.limits.endpoint_concurrency) {
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
        self.tend(endpoint);
        Some(id)
    }

    fn dispatch(&mut self, batch: Vec<(AttemptId, EndpointId)>) {
        let (courier, tasks, abort) = (self.courier.clone(), self.tasks.clone(), self.abort.clone());
        let messages = self.messages.clone();
        self.tasks.spawn(async move {
            let report = move |report| {
                let (messages, abort) = (messages.clone(), abort.clone());
                async move { send(&messages, &abort, Message::Reported(report)).await }
            };
            courier.carry(batch, &tasks, report).await;
        });
    }

    // --- when to look again ------------------------------------------------------------------

    fn wake(&mut self) {
        let now = self.clock.now();
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
        let (store, messages, now) = (self.store.clone(), self.messages.clone(), self.clock.now());
        let abort = self.abort.clone();
        // Those that are known are still pending in the table and come first.
        let singles = if self.singles < SINGLES_MAX { SINGLES + self.singles } else { 0 };
        self.tasks.spawn(async move {
            let poll = poll(&*store, now, singles).await;
            send(&messages, &abort, Message::Polled(poll)).await;
        });
    }
}

async fn poll(store: &dyn Store, now: Timestamp, singles_limit: usize) -> Result<Poll, StoreError> {
    // Cancelling needs room on the disk; reading does not.
    let cancelled = store.queue_cancel(CANCEL_STEP).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what is pending at disabled endpoints could not be cancelled");
        0
    });
    let endpoints = store.queue_endpoints().await?;
    let singles = match u32::try_from(singles_limit).unwrap_or(u32::MAX) {
        0 => Vec::new(),
        limit => store.queue_singles(now, limit).await?,
    };
    let more_singles = singles_limit > 0 && singles.len() >= singles_limit;
    Ok(Poll { endpoints, cancelled, more: cancelled >= CANCEL_STEP || more_singles, singles })
}

/// Tells the dispatcher; when it has stopped, nobody needs to know.
async fn send(messages: &mpsc::Sender<Message>, abort: &CancellationToken, message: Message) {
    tokio::select! {
        _ = messages.send(message) => {}
        () = abort.cancelled() => {}
    }
}
