//! Signals between nodes: what happens on this node is told to the others, and what they tell becomes signals here.
//!
//! Told is only what concerns others: attempts of shards that another node holds, and everything rare. All that comes
//! together within [`GATHER`] is one statement, after the commits that it is about and without waiting for the disk.
//!
//! Whether this node hears anything it finds out by telling itself something, at the start and every few seconds, by
//! another connection: a pooler that lends out connections for single transactions takes LISTEN and passes on nothing.
//! For as long as it does not hear itself, it looks at the queue every [`POLL_EVERY`].

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::cluster::meters::ClusterMeters;
use crate::cluster::notice::{self, Notice, SENT_TOGETHER};
use crate::cluster::ownership::Ownership;
use crate::cluster::signals::{LocalSignals, Signals};
use crate::domain::{AttemptId, EndpointId, Shard, ShardSet};
use crate::store::{NoticeBoard, NoticeListener, Queued, StoreError};

/// What happens within this time is told together.
const GATHER: Duration = Duration::from_millis(2);
/// Results are for people who watch, and told together in larger groups.
const RESULTS_EVERY: Duration = Duration::from_millis(100);
/// How often the use of limits is told.
const USE_EVERY: Duration = Duration::from_secs(1);
/// Notices that may wait to be told; of more, only that there were more.
const WAITING: usize = 20_000;
/// How soon a node must hear itself, and how often it tries.
const ECHO: Duration = Duration::from_secs(1);
const ECHO_EVERY: Duration = Duration::from_secs(5);
/// How often a node that hears nothing looks at the queue.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// How long it waits until it listens again, at first and at most.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// How long a node waits for the answer of another one.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// What a node is sending.
pub type SendingList = Box<dyn Fn() -> Vec<(AttemptId, EndpointId)> + Send + Sync>;

/// What is counted on each node, and limited on all of them together.
pub trait SharedUse: Send + Sync {
    /// What was used here since the last call.
    fn take_used(&self) -> Vec<(String, u64)>;
    /// Another node has used so much.
    fn used_elsewhere(&self, name: &str, count: u64);
}

/// The signals of a node that shares its storage.
pub struct Notices {
    /// This node, to the others. Nothing else depends on it.
    node: u64,
    board: Arc<dyn NoticeBoard>,
    local: Arc<LocalSignals>,
    ownership: Arc<Ownership>,
    meters: Arc<ClusterMeters>,
    waiting: Mutex<VecDeque<Notice>>,
    wake: Notify,
    has_results: AtomicBool,
    shared_use: OnceLock<Arc<dyn SharedUse>>,
    sending: OnceLock<SendingList>,
    /// Questions of this node: the number of the last one, and those without an answer.
    last_question: AtomicU64,
    questions: Mutex<HashMap<u64, Question>>,
    is_listening: Arc<AtomicBool>,
}

/// A question that waits for its answer.
struct Question {
    parts: Vec<AttemptId>,
    answer: oneshot::Sender<Vec<AttemptId>>,
}

/// Takes a question back when nobody waits any more.
struct Asked<'a> {
    notices: &'a Notices,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.notices.questions().remove(&self.number);
    }
}

impl Notices {
    /// Starts telling and listening; `node` is a random number. `is_listening` says from then on whether this node
    /// hears the others. Ends when the board is closed.
    pub fn start(
        node: u64,
        board: Arc<dyn NoticeBoard>,
        local: Arc<LocalSignals>,
        ownership: Arc<Ownership>,
        is_listening: Arc<AtomicBool>,
    ) -> Arc<Notices> {
        let notices = Arc::new(Notices {
            node,
            board,
            local,
            meters: ownership.meters(),
            ownership,
            waiting: Mutex::default(),
            wake: Notify::new(),
            has_results: AtomicBool::new(false),
            shared_use: OnceLock::new(),
            sending: OnceLock::new(),
            last_question: AtomicU64::new(0),
            questions: Mutex::default(),
            is_listening,
        });
        tokio::spawn(notices.clone().tell());
        tokio::spawn(notices.clone().listen());
        notices
    }

    /// From now on the use of these limits is told. The first call counts.
    pub fn share(&self, shared_use: Arc<dyn SharedUse>) {
        let _ = self.shared_use.set(shared_use);
    }

    /// From now on other nodes are told what this one is sending, when they ask. The first call counts.
    pub fn tell_sending(&self, sending: SendingList) {
        let _ = self.sending.set(sending);
    }

    /// What other nodes are sending to an endpoint, if the holder of its shard answers in time.
    pub async fn sending_elsewhere(&self, endpoint: EndpointId) -> Vec<AttemptId> {
        if self.ownership.granted(Shard::of(endpoint)).is_some() {
            return self.handed_over(endpoint);
        }
        let number = self.last_question.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        self.questions().insert(number, Question { parts: vec![], answer });
        let _asked = Asked { notices: self, number };
        self.add([Notice::Sending { number, endpoint }]);
        let answered = tokio::time::timeout(ANSWER_WITHIN, answered).await;
        answered.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// What former holders are still sending to an endpoint of this node.
    fn handed_over(&self, endpoint: EndpointId) -> Vec<AttemptId> {
        let elsewhere = self.ownership.elsewhere().into_iter();
        elsewhere.filter(|(_, to)| *to == endpoint).map(|(id, _)| id).collect()
    }

    fn questions(&self) -> MutexGuard<'_, HashMap<u64, Question>> {
        // Each change is whole.
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers another node, if the endpoint is this node's.
    fn answer(&self, asker: u64, number: u64, endpoint: EndpointId) {
        let Some(sending) = self.sending.get() else { return };
        if self.ownership.granted(Shard::of(endpoint)).is_none() {
            return;
        }
        let own = sending().into_iter().filter(|(_, to)| *to == endpoint).map(|(id, _)| id);
        let ids: Vec<AttemptId> = own.chain(self.handed_over(endpoint)).collect();
        let part = |is_last: bool, ids: &[AttemptId]| {
            let attempts = ids.to_vec();
            Notice::Sent { asker, number, is_last, attempts }
        };
        let (first, last) = ids.split_at(ids.len() - ids.len() % SENT_TOGETHER);
        let first = first.chunks(SENT_TOGETHER).map(|ids| part(false, ids));
        self.add(first.chain([part(true, last)]).collect::<Vec<_>>());
    }

    /// Takes a part of an answer.
    fn answered(&self, number: u64, is_last: bool, attempts: Vec<AttemptId>) {
        let mut questions = self.questions();
        let Some(question) = questions.get_mut(&number) else { return };
        question.parts.extend(attempts);
        if is_last && let Some(Question { parts, answer }) = questions.remove(&number) {
            // Who asked may have left.
            let _ = answer.send(parts);
        }
    }

    /// Whether there is somebody to tell. A node that holds everything is alone, or about to share.
    fn is_alone(&self) -> bool {
        self.ownership.held() == ShardSet::ALL
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Notice>> {
        // Each change is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, notices: impl IntoIterator<Item = Notice>) {
        let mut waiting = self.waiting();
        for notice in notices {
            if waiting.len() >= WAITING {
                waiting.clear();
                waiting.push_back(Notice::Missed);
            }
            waiting.push_back(notice);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    // ------------------------------------------------------------------------------------ telling

    async fn tell(self: Arc<Self>) {
        let (mut told_at, mut results_at) = (None::<Instant>, Instant::now());
        let mut use_tick = tokio::time::interval(USE_EVERY);
        use_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(results_at + RESULTS_EVERY), if self.has_results() => {}
                _ = use_tick.tick() => self.add_use(),
            }
            if let Some(at) = told_at {
                tokio::time::sleep_until(at + GATHER).await;
            }
            if self.has_results() && results_at.elapsed() >= RESULTS_EVERY {
                self.has_results.store(false, Ordering::Release);
                results_at = Instant::now();
                if !self.is_alone() {
                    self.waiting().push_back(Notice::Results);
                }
            }
            let waiting = std::mem::take(&mut *self.waiting());
            if waiting.is_empty() {
                continue;
            }
            told_at = Some(Instant::now());
            match self.board.post(notice::write(self.node, waiting)).await {
                Ok(()) => {
                    self.meters.notifications_sent.inc();
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    self.meters.notifications_lost.inc();
                    tracing::debug!(%error, "other nodes could not be told of something");
                }
            }
        }
    }

    fn has_results(&self) -> bool {
        self.has_results.load(Ordering::Acquire)
    }

    fn add_use(&self) {
        let Some(shared_use) = self.shared_use.get() else { return };
        let used = shared_use.take_used();
        if !used.is_empty() && !self.is_alone() {
            self.add(used.into_iter().map(|(name, count)| Notice::Used { name, count }));
        }
    }

    // ---------------------------------------------------------------------------------- listening

    async fn listen(self: Arc<Self>) {
        let (mut wait, mut ear) = (RETRY, Ear::default());
        let mut tick = tokio::time::interval(POLL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let began = Instant::now();
            match self.polling_meanwhile(&mut tick, self.board.listen()).await {
                Ok(mut listener) => {
                    self.listen_to(&mut *listener, &mut tick, &mut ear).await;
                    if self.is_listening.swap(false, Ordering::AcqRel) {
                        wait = RETRY;
                        self.meters.listening_lost.inc();
                        tracing::warn!(
                            "the connection that listens to other nodes is lost; polling until it is back"
                        );
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => tracing::debug!(%error, "nobody listens to other nodes"),
            }
            self.polling_meanwhile(&mut tick, tokio::time::sleep_until(began + wait)).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    /// Listens until the connection is lost.
    async fn listen_to(&self, listener: &mut dyn NoticeListener, tick: &mut Interval, ear: &mut Ear) {
        self.ask(ear);
        loop {
            tokio::select! {
                biased;
                text = listener.next() => {
                    let Some(text) = text else { return };
                    if self.heard(&text) == ear.asked.map(|(number, _)| number) && ear.asked.take().is_some() {
                        self.hears(ear);
                    }
                }
                _ = tick.tick() => {
                    let hears = self.is_listening.load(Ordering::Acquire);
                    if !hears {
                        self.local.missed();
                    }
                    match ear.asked {
                        Some((_, at)) if at.elapsed() < ECHO => {}
                        // A connection that has died without a word.
                        Some(_) if hears => return,
                        Some(_) => {
                            ear.asked = None;
                            ear.tell_of_silence();
                        }
                        None if ear.asked_at.is_none_or(|at| at.elapsed() >= ECHO_EVERY) => self.ask(ear),
                        None => {}
                    }
                }
            }
        }
    }

    /// Tells itself something.
    fn ask(&self, ear: &mut Ear) {
        ear.number += 1;
        ear.asked = Some((ear.number, Instant::now()));
        ear.asked_at = Some(Instant::now());
        let (board, texts) = (self.board.clone(), notice::write(self.node, [Notice::Echo(ear.number)]));
        // Nobody waits: without the database this takes its time.
        tokio::spawn(async move {
            if let Err(error) = board.post_aside(texts).await {
                tracing::debug!(%error, "this node could not tell itself anything");
            }
        });
    }

    /// This node hears itself.
    fn hears(&self, ear: &mut Ear) {
        if self.is_listening.swap(true, Ordering::AcqRel) {
            return;
        }
        if std::mem::take(&mut ear.is_silence_told) {
            tracing::info!("notifications arrive now");
        }
        // Whatever was told before, nobody has heard it.
        self.local.missed();
    }

    /// Takes a text; the number of an echo of this node, if it is one.
    fn heard(&self, text: &str) -> Option<u64> {
        let Some(told) = notice::read(text) else {
            self.meters.notifications_lost.inc();
            return None;
        };
        if told.node == self.node {
            return told.notices.into_iter().find_map(|notice| match notice {
                Notice::Echo(number) => Some(number),
                _ => None,
            });
        }
        if told.notices.iter().all(|notice| matches!(notice, Notice::Echo(_))) && told.is_whole {
            return None;
        }
        self.meters.notifications_received.inc();
        if !told.is_whole {
            self.meters.notifications_lost.inc();
        }
        let mut queued = Vec::new();
        for notice in told.notices {
            match notice {
                Notice::Queued(one) if self.ownership.epoch_of(one.endpoint_id).is_some() => queued.push(one),
                Notice::Queued(_) | Notice::Echo(_) => {}
                Notice::EndpointChanged(endpoint) => self.local.endpoint_changed(endpoint),
                Notice::Results => self.local.result_committed(),
                Notice::BulkJob => self.local.bulk_job_waiting(),
                Notice::Access => self.local.access_changed(),
                Notice::Missed => self.local.missed(),
                Notice::Used { name, count } => {
                    if let Some(shared_use) = self.shared_use.get() {
                        shared_use.used_elsewhere(&name, count);
                    }
                }
                Notice::Sending { number, endpoint } => self.answer(told.node, number, endpoint),
                Notice::Sent { asker, number, is_last, attempts } if asker == self.node => {
                    self.answered(number, is_last, attempts);
                }
                Notice::Sent { .. } => {}
            }
        }
        self.local.queued(&queued);
        None
    }

    /// Does something, and looks at the queue regularly until it is done.
    async fn polling_meanwhile<T>(&self, tick: &mut Interval, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.local.missed(),
            }
        }
    }
}

/// What a node knows of its hearing.
#[derive(Default)]
struct Ear {
    /// The last number that it told itself.
    number: u64,
    /// The number that it waits for, and since when.
    asked: Option<(u64, Instant)>,
    /// When it asked last.
    asked_at: Option<Instant>,
    is_silence_told: bool,
}

impl Ear {
    fn tell_of_silence(&mut self) {
        if !std::mem::replace(&mut self.is_silence_told, true) {
            tracing::warn!(
                "no notification arrives from the database: probably storage.url leads to a pooler in transaction mode; \
                 set storage.listen_url to the database itself. Until then this node polls every 250 ms"
            );
        }
    }
}

impl Signals for Notices {
    fn queued(&self, queued: &[Queued]) {
        let is_held = |queued: &&Queued| self.ownership.epoch_of(queued.endpoint_id).is_some();
        let (held, others): (Vec<&Queued>, Vec<&Queued>) = queued.iter().partition(is_held);
        if others.is_empty() {
            return self.local.queued(queued);
        }
        self.local.queued(&held.into_iter().copied().collect::<Vec<_>>());
        self.add(others.into_iter().map(|queued| Notice::Queued(*queued)));
    }

    fn endpoint_changed(&self, endpoint: EndpointId) {
        self.local.endpoint_changed(endpoint);
        self.add([Notice::EndpointChanged(endpoint)]);
    }

    fn result_committed(&self) {
        self.local.result_committed();
        if !self.has_results.swap(true, Ordering::AcqRel) {
            // Who tells is to look at the time.
            self.wake.notify_one();
        }
    }

    fn bulk_job_waiting(&self) {
        self.local.bulk_job_waiting();
        self.add([Notice::BulkJob]);
    }

    fn access_changed(&self) {
        self.local.access_changed();
        self.add([Notice::Access]);
    }
}

#[cfg(test)]
mod tests;
