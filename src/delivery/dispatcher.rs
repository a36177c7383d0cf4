//! Decides which pending attempt is sent next.
//!
//! The table of attempts is the queue; the dispatcher holds a bounded window of it for each endpoint
//! (a [`Lane`]) and serves the endpoints in turn, within a global and a per-endpoint number of slots.
//! One that does not answer gets one slot, and all of its kind together half of them, so that nobody
//! waits for the dead.
//!
//! Fresh attempts come as hints, right after their commit. A hint is never needed: the table is asked
//! when a window runs low, when something comes due, and every few seconds anyway. So nothing here has
//! to survive a crash, and a lost hint costs seconds, not a delivery.
//!
//! What is being sent is known in memory only (`claimed`). An id leaves it when its result is
//! committed, and an attempt is loaded only after it was claimed; so a row that was read from an older
//! snapshot is found to be no longer pending when it is loaded, and is not sent twice.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Chance, Clock};
use crate::domain::{AttemptId, EndpointId, Timestamp};
use crate::store::{Due, EndpointQueue, Finished, Queued, Store, StoreError};

use super::courier::{Courier, Report, RetryPolicy, Transport};
use super::lane::{Lane, Manner, WINDOW};

/// How often the table is asked whether anything was overlooked, in milliseconds.
const POLL_EVERY_MS: i64 = 5_000;
/// Hints that may wait; more are dropped and the table is asked instead.
const HINTS: usize = 8_192;
/// Single shots fetched at once.
const SINGLES: u32 = 256;
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
    /// Whether there is more to cancel.
    cancel_more: bool,
}

/// The running dispatcher, as others see it.
#[derive(Clone)]
pub struct Dispatcher {
    messages: mpsc::Sender<Message>,
    missed: Arc<AtomicBool>,
    stop: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    ready: watch::Receiver<bool>,
    results: watch::Receiver<u64>,
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
        let (results_tx, results) = watch::channel(0);
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let courier = Courier::new(store.clone(), clock.clone(), chance, transport, policy, abort.clone());
        let (tasks, missed) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
        let state = State {
            store,
            clock,
            courier: Arc::new(courier),
            limits,
            messages: messages.clone(),
            tasks: tasks.clone(),
            abort: abort.clone(),
            lanes: HashMap::new(),
            round: VecDeque::new(),
            singles: VecDeque::new(),
            claimed: HashSet::new(),
            running: 0,
            slow_running: 0,
            unwritten: 0,
            wakes: BinaryHeap::new(),
            polling: false,
            next_poll: None,
            ready: ready_tx,
            results: results_tx,
        };
        tasks.spawn(state.run(inbox, missed.clone(), stop.clone()));
        Dispatcher { messages, missed, stop, abort, tasks, ready, results }
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

    /// Changes with every result that has been written. A hint, for who wants to look again.
    pub fn results(&self) -> watch::Receiver<u64> {
        self.results.clone()
    }

    /// Starts nothing more, waits for what is in flight for at most `grace`, then interrupts it, and
    /// returns when every result is written.
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
    singles: VecDeque<Queued>,
    /// Ids in windows, in flight, or sent and not yet written.
    claimed: HashSet<AttemptId>,
    running: usize,
    slow_running: usize,
    /// Results that are not yet committed.
    unwritten: usize,
    wakes: BinaryHeap<Reverse<(Timestamp, EndpointId)>>,
    polling: bool,
    next_poll: Option<Timestamp>,
    ready: watch::Sender<bool>,
    results: watch::Sender<u64>,
}

impl State {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        missed: Arc<AtomicBool>,
        stop: CancellationToken,
    ) {
        let clock = self.clock.clone();
        self.poll();
        loop {
            self.send_what_can_be_sent();
            let wake_at = self.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
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
            Message::EndpointChanged(endpoint) => self.reset_lane(endpoint),
            Message::Refilled(endpoint, due) => self.refilled(endpoint, due),
            Message::Polled(poll) => self.polled(poll),
            Message::Reported(report) => self.reported(report),
        }
    }

    // --- what comes in -----------------------------------------------------------------------

    fn take_hints(&mut self, queued: &[Queued]) {
        let now = self.clock.now();
        for q in queued {
            if q.single {
                if self.claimed.insert(q.attempt_id) {
                    self.singles.push_back(*q);
                }
            } else if q.due_at > now {
                self.wake_lane_at(q.endpoint_id, q.due_at);
            } else {
                self.take_due(q.endpoint_id, q.attempt_id);
            }
        }
    }

    fn take_due(&mut self, endpoint: EndpointId, id: AttemptId) {
        let lane = self.lanes.entry(endpoint).or_insert_with(Lane::new);
        if !self.claimed.contains(&id) && lane.hint(id) {
            self.claimed.insert(id);
        }
        self.tend(endpoint);
    }

    fn reset_lane(&mut self, endpoint: EndpointId) {
        let lane = self.lanes.entry(endpoint).or_insert_with(Lane::new);
        for id in lane.reset() {
            self.claimed.remove(&id);
        }
        self.tend(endpoint);
    }

    fn refilled(&mut self, endpoint: EndpointId, due: Result<Due, StoreError>) {
        let now = self.clock.now();
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        let arrived = match due {
            Ok(due) => {
                lane.pace.set_rate(due.rate_limit);
                let fresh: Vec<_> = due.attempts.into_iter().filter(|id| self.claimed.insert(*id)).collect();
                let arrived = lane.refilled(fresh, due.more);
                if let Some(at) = due.next_due {
                    self.wake_lane_at(endpoint, at);
                }
                arrived
            }
            Err(error) => {
                tracing::warn!(%error, endpoint_id = %endpoint, "the queue of an endpoint could not be read");
                // The next poll asks again.
                let arrived = lane.refilled([], true);
                self.wake_lane_at(endpoint, now.plus_ms(POLL_EVERY_MS));
                return drop(arrived);
            }
        };
        for id in arrived {
            self.take_due(endpoint, id);
        }
        self.tend(endpoint);
    }

    fn polled(&mut self, poll: Result<Poll, StoreError>) {
        let now = self.clock.now();
        self.polling = false;
        self.next_poll = Some(now.plus_ms(POLL_EVERY_MS));
        let poll = match poll {
            Ok(poll) => poll,
            Err(error) => return tracing::warn!(%error, "the queue could not be read"),
        };
        self.lanes.retain(|_, lane| !lane.is_idle());
        self.take_hints(&poll.singles);
        for queue in &poll.endpoints {
            if queue.earliest > now {
                self.wake_lane_at(queue.endpoint_id, queue.earliest);
            } else {
                self.lanes.entry(queue.endpoint_id).or_insert_with(Lane::new).doubt();
                self.tend(queue.endpoint_id);
            }
        }
        if poll.cancel_more || poll.singles.len() >= SINGLES as usize {
            self.next_poll = Some(now);
        }
        self.ready.send_replace(true);
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::NotPending { id, lane } => {
                self.claimed.remove(&id);
                self.release(lane, None);
            }
            Report::LoadFailed { id, lane } => {
                self.claimed.remove(&id);
                self.release(lane, None);
                if let Some(endpoint) = lane {
                    let at = self.clock.now().plus_ms(POLL_EVERY_MS);
                    self.lanes.entry(endpoint).or_insert_with(Lane::new).doubt();
                    self.wake_lane_at(endpoint, at);
                }
            }
            Report::Sent { lane, timed_out } => {
                self.unwritten += 1;
                self.release(lane, Some(timed_out));
            }
            Report::Written { id, endpoint, finished } => {
                self.unwritten -= 1;
                self.claimed.remove(&id);
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
    fn release(&mut self, endpoint: Option<EndpointId>, timed_out: Option<bool>) {
        self.running -= 1;
        let Some(endpoint) = endpoint else { return };
        let Some(lane) = self.lanes.get_mut(&endpoint) else { return };
        lane.running -= 1;
        if lane.manner == Manner::Slow {
            self.slow_running -= 1;
        }
        if let Some(timed_out) = timed_out {
            let manner = if timed_out { Manner::Slow } else { Manner::Answering };
            // Those still running change their kind with the lane.
            match (lane.manner == Manner::Slow, manner == Manner::Slow) {
                (false, true) => self.slow_running += lane.running,
                (true, false) => self.slow_running -= lane.running,
                _ => {}
            }
            lane.manner = manner;
        }
        self.tend(endpoint);
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
        lane.refilling = true;
        // Those in flight are still pending in the table and come back with the answer.
        let limit = u32::try_from(WINDOW + lane.running).unwrap_or(u32::MAX);
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
        // Results that cannot be written (a full disk) must not pile up: then sending waits.
        while self.running < self.limits.concurrency && self.unwritten < self.limits.concurrency * 4 {
            if let Some(single) = self.singles.pop_front() {
                self.running += 1;
                batch.push((single.attempt_id, None));
            } else if let Some(endpoint) = self.round.pop_front() {
                batch.extend(self.serve(endpoint, now).map(|id| (id, Some(endpoint))));
            } else {
                break;
            }
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
        let limit = self.limits.endpoint_concurrency;
        let lane = self.lanes.get_mut(&endpoint)?;
        lane.in_round = false;
        if !lane.can_send(limit) {
            return None;
        }
        let slow = lane.manner == Manner::Slow;
        if slow && self.slow_running >= (self.limits.concurrency / 2).max(1) {
            // It comes back into the round when a slow one is done: see `wake`.
            self.wake_lane_at(endpoint, now.plus_ms(100));
            return None;
        }
        if let Err(at) = lane.pace.take(now) {
            self.wake_lane_at(endpoint, at);
            return None;
        }
        let id = lane.pop()?;
        lane.running += 1;
        self.running += 1;
        self.slow_running += usize::from(slow);
        self.tend(endpoint);
        Some(id)
    }

    fn dispatch(&mut self, batch: Vec<(AttemptId, Option<EndpointId>)>) {
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

    fn wake_lane_at(&mut self, endpoint: EndpointId, at: Timestamp) {
        let lane = self.lanes.entry(endpoint).or_insert_with(Lane::new);
        if lane.wake_at.is_none_or(|known| at < known) {
            lane.wake_at = Some(at);
            self.wakes.push(Reverse((at, endpoint)));
        }
    }

    fn next_wake(&self) -> Timestamp {
        let far = Timestamp::from_millis(i64::MAX);
        let lane = self.wakes.peek().map_or(far, |Reverse((at, _))| *at);
        lane.min(self.next_poll.unwrap_or(far))
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        while let Some(Reverse((at, endpoint))) = self.wakes.peek().copied() {
            if at > now {
                break;
            }
            self.wakes.pop();
            let Some(lane) = self.lanes.get_mut(&endpoint) else { continue };
            if lane.wake_at.is_some_and(|known| known <= now) {
                lane.wake_at = None;
                lane.doubt();
            }
            self.tend(endpoint);
        }
        if self.next_poll.is_some_and(|at| at <= now) {
            self.poll();
        }
    }

    fn poll(&mut self) {
        if self.polling {
            return;
        }
        self.polling = true;
        self.next_poll = None;
        let (store, messages, now) = (self.store.clone(), self.messages.clone(), self.clock.now());
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            let poll = poll(&*store, now).await;
            send(&messages, &abort, Message::Polled(poll)).await;
        });
    }
}

async fn poll(store: &dyn Store, now: Timestamp) -> Result<Poll, StoreError> {
    let cancelled = store.queue_cancel(CANCEL_STEP).await?;
    Ok(Poll {
        endpoints: store.queue_endpoints().await?,
        singles: store.queue_singles(now, SINGLES).await?,
        cancel_more: cancelled >= CANCEL_STEP,
    })
}

/// Tells the dispatcher; when it has stopped, nobody needs to know.
async fn send(messages: &mpsc::Sender<Message>, abort: &CancellationToken, message: Message) {
    tokio::select! {
        _ = messages.send(message) => {}
        () = abort.cancelled() => {}
    }
}
