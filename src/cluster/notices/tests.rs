use super::*;
use crate::cluster::signals::{QueueSignal, QueueSignals};
use crate::domain::{AttemptId, Epoch, Shard, Timestamp};
use crate::store::{Line, Result};
use async_trait::async_trait;
use tokio::sync::mpsc;

/// A board in memory.
#[derive(Default)]
struct Board {
    listeners: Mutex<Vec<mpsc::UnboundedSender<String>>>,
    /// Every statement.
    posts: Mutex<Vec<Vec<String>>>,
    /// Whether nothing reaches who listens.
    is_deaf: AtomicBool,
    is_away: AtomicBool,
}

struct Listener(mpsc::UnboundedReceiver<String>);

#[async_trait]
impl NoticeListener for Listener {
    async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }
}

#[async_trait]
impl NoticeBoard for Board {
    async fn post(&self, texts: Vec<String>) -> Result<()> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        if !self.is_deaf.load(Ordering::Relaxed) {
            for listener in &*self.listeners.lock().unwrap() {
                texts.iter().for_each(|text| drop(listener.send(text.clone())));
            }
        }
        self.posts.lock().unwrap().push(texts);
        Ok(())
    }

    async fn post_aside(&self, texts: Vec<String>) -> Result<()> {
        self.post(texts).await
    }

    async fn listen(&self) -> Result<Box<dyn NoticeListener>> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        let (sender, texts) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap().push(sender);
        Ok(Box::new(Listener(texts)))
    }
}

impl Board {
    /// All connections are lost.
    fn cut(&self) {
        self.listeners.lock().unwrap().clear();
    }

    /// What was told by statements, but echoes.
    fn told(&self) -> Vec<Vec<Notice>> {
        let posts = self.posts.lock().unwrap();
        let told = posts.iter().map(|texts| {
            let texts = texts.iter().map(|text| notice::read(text).unwrap().notices);
            texts.flatten().filter(|notice| !matches!(notice, Notice::Echo(_))).collect::<Vec<_>>()
        });
        told.filter(|notices| !notices.is_empty()).collect()
    }
}

struct Node {
    notices: Arc<Notices>,
    local: Arc<LocalSignals>,
    ownership: Arc<Ownership>,
    queue: QueueSignals,
}

impl Node {
    fn start(number: u64, board: &Arc<Board>) -> Node {
        let ((local, queue), ownership) = (LocalSignals::new(), Ownership::of_nothing());
        let notices = Notices::start(number, board.clone(), local.clone(), ownership.clone(), Arc::default());
        Node { notices, local, ownership, queue }
    }

    fn is_listening(&self) -> bool {
        self.notices.is_listening.load(Ordering::Relaxed)
    }

    /// What the scheduler was told until now, but that something may be missing.
    fn signals(&mut self) -> Vec<QueueSignal> {
        let signals = std::iter::from_fn(|| self.queue.inbox.try_recv().ok());
        signals.filter(|signal| *signal != QueueSignal::Missed).collect()
    }

    /// How often it was told that something may be missing.
    fn missed(&mut self) -> usize {
        let signals = std::iter::from_fn(|| self.queue.inbox.try_recv().ok());
        signals.filter(|signal| *signal == QueueSignal::Missed).count()
    }
}

fn a_queued(number: i64) -> Queued {
    let due_at = Timestamp::from_millis(1_700_000_000_000 + number);
    Queued { attempt_id: AttemptId(number), endpoint_id: EndpointId::new(due_at), due_at, line: Line::Fresh }
}

async fn after(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_tells_others_of_what_they_hold_and_keeps_its_own_to_itself() {
    let board = Arc::new(Board::default());
    let (one, mut other) = (Node::start(1, &board), Node::start(2, &board));
    let (held, foreign) = (a_queued(1), a_queued(2));
    one.ownership.grant(Shard::of(held.endpoint_id), Epoch::FIRST);
    other.ownership.grant(Shard::of(foreign.endpoint_id), Epoch::FIRST);
    after(10).await;
    assert!(one.is_listening() && other.is_listening());
    let (mut one_queue, _) = (one.queue, other.signals());
    while one_queue.inbox.try_recv().is_ok() {}
    one.notices.queued(&[held, foreign]);
    assert_eq!(one_queue.inbox.try_recv().unwrap(), QueueSignal::Queued(vec![held]), "at once");
    after(3).await;
    assert_eq!(other.signals(), [QueueSignal::Queued(vec![foreign])]);
    assert_eq!(board.told(), [vec![Notice::Queued(foreign)]]);
    assert!(one_queue.inbox.try_recv().is_err(), "its own text is nothing new");
    one.notices.queued(&[held]);
    after(500).await;
    assert_eq!(board.told().len(), 1, "what it holds is nobody else's business");
}

#[tokio::test(start_paused = true)]
async fn what_comes_together_is_one_statement_and_everything_arrives() {
    let board = Arc::new(Board::default());
    let (one, mut other) = (Node::start(1, &board), Node::start(2, &board));
    after(10).await;
    other.signals();
    let (mut results, mut access) = (other.local.results(), other.local.access());
    results.mark_unchanged();
    access.mark_unchanged();
    let endpoint = a_queued(1).endpoint_id;
    one.notices.endpoint_changed(endpoint);
    tokio::task::yield_now().await;
    for _ in 0..10 {
        one.notices.endpoint_changed(endpoint);
        one.notices.access_changed();
        one.notices.bulk_job_waiting();
        one.notices.result_committed();
    }
    after(4).await;
    assert!(board.told().len() <= 2, "{:?}", board.told());
    assert_eq!(other.signals(), vec![QueueSignal::EndpointChanged(endpoint); 11]);
    assert!(access.has_changed().unwrap());
    other.local.bulk_jobs().notified().await;
    after(100).await;
    assert!(results.has_changed().unwrap(), "within a tenth of a second");
    for _ in 0..100 {
        one.notices.result_committed();
        after(10).await;
    }
    let told = board.told().into_iter().flatten().filter(|notice| *notice == Notice::Results).count();
    assert!((9..=12).contains(&told), "{told} within a second");
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_told_is_told_as_that() {
    let board = Arc::new(Board::default());
    let (one, mut other) = (Node::start(1, &board), Node::start(2, &board));
    after(10).await;
    other.missed();
    let many: Vec<Queued> = (0..WAITING as i64 + 1).map(a_queued).collect();
    one.notices.queued(&many);
    after(3).await;
    assert_eq!(other.missed(), 1);
    let told = board.told();
    assert_eq!((told.len(), told[0].len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_hear_itself_polls_and_goes_on_trying() {
    let board = Arc::new(Board::default());
    board.is_deaf.store(true, Ordering::Relaxed);
    let mut node = Node::start(1, &board);
    after(4_000).await;
    assert!(!node.is_listening());
    assert!((14..=18).contains(&node.missed()), "every 250 ms");
    board.is_deaf.store(false, Ordering::Relaxed);
    after(6_000).await;
    assert!(node.is_listening());
    node.missed();
    after(60_000).await;
    assert_eq!(node.missed(), 0, "no need any more");
    board.is_deaf.store(true, Ordering::Relaxed);
    after(8_000).await;
    assert!(!node.is_listening(), "a connection that has died without a word");
    assert!(node.missed() > 4);
    assert_eq!(node.notices.meters.listening_lost.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_every_loss_of_the_connection_everything_is_looked_at() {
    let board = Arc::new(Board::default());
    let mut node = Node::start(1, &board);
    after(10).await;
    for _ in 0..3 {
        assert!(node.is_listening());
        node.missed();
        board.is_away.store(true, Ordering::Relaxed);
        board.cut();
        after(10_000).await;
        assert!(!node.is_listening());
        assert!(node.missed() >= 35, "it polls");
        node.notices.access_changed();
        after(10).await;
        board.is_away.store(false, Ordering::Relaxed);
        after(3_000).await;
        assert!(node.is_listening(), "within seconds");
        assert!(node.missed() >= 1);
    }
    assert_eq!(node.notices.meters.notifications_lost.get(), 3, "nobody was told");
}

/// Counts what others have used.
#[derive(Default)]
struct Use(Mutex<Vec<(String, u64)>>, Mutex<Vec<(String, u64)>>);

impl SharedUse for Use {
    fn take_used(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn used_elsewhere(&self, name: &str, count: u64) {
        self.1.lock().unwrap().push((name.to_owned(), count));
    }
}

#[tokio::test(start_paused = true)]
async fn the_use_of_limits_is_told_once_a_second() {
    let board = Arc::new(Board::default());
    let (one, other) = (Node::start(1, &board), Node::start(2, &board));
    let (here, there) = (Arc::new(Use::default()), Arc::new(Use::default()));
    one.notices.share(here.clone());
    other.notices.share(there.clone());
    after(10).await;
    here.0.lock().unwrap().push(("key:a".to_owned(), 7));
    after(1_010).await;
    assert_eq!(*there.1.lock().unwrap(), [("key:a".to_owned(), 7)]);
    assert!(here.1.lock().unwrap().is_empty(), "it knows its own");
    after(5_000).await;
    assert_eq!(board.told().len(), 1);
    drop((one, other));
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_an_endpoint_says_what_it_and_former_holders_are_sending_to_it() {
    let board = Arc::new(Board::default());
    let [asks, holds, idle] = [1, 2, 3].map(|number| Node::start(number, &board));
    let (to, other) = (a_queued(1).endpoint_id, a_queued(2).endpoint_id);
    // More than fit into one text.
    let sent: Vec<AttemptId> = (1..=1_001).map(AttemptId).collect();
    let list: Vec<(AttemptId, EndpointId)> = sent.iter().map(|id| (*id, to)).collect();
    holds.ownership.grant(Shard::of(to), Epoch::FIRST);
    holds.ownership.set_elsewhere([(AttemptId(7_000), to), (AttemptId(7_001), other)].into());
    holds.notices.tell_sending(Box::new(move || [&list[..], &[(AttemptId(8_000), other)]].concat()));
    idle.notices.tell_sending(Box::new(move || vec![(AttemptId(9_000), to)]));
    after(10).await;
    let asked_at = Instant::now();
    let found = asks.notices.sending_elsewhere(to).await;
    assert_eq!(found, [&sent[..], &[AttemptId(7_000)]].concat());
    assert!(asked_at.elapsed() < Duration::from_millis(20), "{:?}", asked_at.elapsed());
    assert_eq!(holds.notices.sending_elsewhere(to).await, [AttemptId(7_000)], "without asking anybody");
    assert!(asks.notices.questions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for_long() {
    let board = Arc::new(Board::default());
    let asks = Node::start(1, &board);
    after(10).await;
    let asked_at = Instant::now();
    assert!(asks.notices.sending_elsewhere(a_queued(1).endpoint_id).await.is_empty());
    assert_eq!(asked_at.elapsed(), ANSWER_WITHIN);
    assert!(asks.notices.questions().is_empty());
    let nobody =
        tokio::time::timeout(ANSWER_WITHIN / 2, asks.notices.sending_elsewhere(a_queued(1).endpoint_id));
    assert!(nobody.await.is_err());
    assert!(asks.notices.questions().is_empty(), "who asked has left");
}
