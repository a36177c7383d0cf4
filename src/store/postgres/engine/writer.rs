//! The one task that writes, with group commit.
//!
//! A commit costs a round trip and an fsync, whatever is in it. So the writer takes all waiting commands, runs each in
//! a savepoint, commits once, and answers all of them after. A command that fails undoes only its own savepoint;
//! when the commit fails, the whole group fails. A transaction ends early when it has changed [`LARGE`] rows.
//!
//! Events and results, which are nearly all writes, can be run again; so neighbors of this kind share a savepoint. If
//! one of them fails, which is rare, all of them are undone and run again, each in its own. The first commands of a
//! transaction need none: undoing them is starting over.
//!
//! Without the database, results of attempts ([`Kind::Lasting`]) wait here until it is back, and everything else is
//! refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join3;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::domain::AttemptId;
use crate::store::StoreMeters;
use crate::store::postgres::engine::ahead::ReadAhead;
use crate::store::postgres::engine::cache::Cache;
use crate::store::postgres::engine::command::{Command, CommitOutcome, Kind, Tx};
use crate::store::postgres::engine::conn::{Conn, Statements as _};
use crate::store::postgres::engine::connect::Connector;
use crate::store::postgres::engine::counts;
use crate::store::postgres::engine::error::{self, DbError, DbResult, ErrorClass};
use crate::store::postgres::engine::own::OwnNode;
use crate::store::postgres::engine::partitions::Partitions;
use crate::store::postgres::engine::rows::Columns as _;
use crate::store::shared::counts::Tally;
use crate::store::shared::fan_outs::FanOuts;
use crate::store::shared::fresh::Fresh;

/// What the writer is told.
pub(crate) enum Message {
    Run(Box<dyn Command>),
    /// Finish what is waiting, take no more, and end.
    Close,
}

/// What the writer works with.
pub(crate) struct WriterParts {
    /// The most commands in one commit.
    pub(crate) group_max: usize,
    /// This opening of the store.
    pub(crate) node: i64,
    pub(crate) meters: Arc<StoreMeters>,
    pub(crate) connector: Connector,
    pub(crate) partitions: Partitions,
    pub(crate) fresh: Arc<Fresh>,
    pub(crate) fan_outs: Arc<FanOuts>,
    /// Is told when something was counted.
    pub(crate) counted: Arc<Notify>,
    pub(crate) own: OwnNode,
}

/// So many changed rows end a transaction, although more commands wait.
const LARGE: u64 = 10_000;
/// How often a group is run again that deadlocks, meets a lost connection, or collides with what another node has just
/// written; with keys that clients send to several nodes it may do so some times in a row.
const AGAIN_MOST: u32 = 20;
/// How often of these commands are run together.
const TOGETHER_TRIES: u32 = 3;
/// How long the database is left alone after it could not be reached.
const PAUSE: Duration = Duration::from_millis(250);

const GENERATION: &str = "SELECT value FROM meta WHERE name = 'generation'";
const NEXT_GENERATION: &str = "UPDATE meta SET value = value + 1 WHERE name = 'generation' RETURNING value";

type Waiting = VecDeque<Box<dyn Command>>;

/// Writes until it is told to close, or until nobody is left to tell it anything. `conn` is the first connection.
pub(crate) async fn run(mut inbox: mpsc::Receiver<Message>, parts: WriterParts, conn: Conn) {
    let mut writer = Writer { parts, tx: None, again: 0, is_told: false };
    writer.use_for_writing(conn);
    let mut waiting = Waiting::new();
    loop {
        // Commands that wait for the database are tried again after a while; else the next command is waited for.
        let first = if waiting.is_empty() {
            match inbox.recv().await {
                None => return,
                first => first,
            }
        } else {
            tokio::time::timeout(PAUSE, inbox.recv()).await.ok().flatten()
        };
        let mut next = first;
        while let Some(message) = next {
            match message {
                Message::Run(command) => waiting.push_back(command),
                Message::Close => inbox.close(),
            }
            next = if waiting.len() < writer.parts.group_max { inbox.try_recv().ok() } else { None };
        }
        let begun = Instant::now();
        writer.commit_all(&mut waiting, inbox.is_closed()).await;
        writer.parts.meters.busy.inc_by(begun.elapsed().as_micros() as u64);
    }
}

struct Writer {
    parts: WriterParts,
    /// `None` without a connection.
    tx: Option<Tx>,
    /// How often the present group was run again.
    again: u32,
    /// Whether it was logged that there is no connection.
    is_told: bool,
}

impl Writer {
    /// Runs and commits all that waits. What is left then waits for the server; at the end nothing does.
    async fn commit_all(&mut self, waiting: &mut Waiting, is_end: bool) {
        self.again = 0;
        while !waiting.is_empty() {
            if let Err(cause) = self.connect().await {
                let (kept, refused) = std::mem::take(waiting)
                    .into_iter()
                    .partition(|command| command.kind() == Kind::Lasting && !is_end);
                *waiting = kept;
                answer::<Waiting>(refused, &CommitOutcome::lost("connecting", cause));
                return;
            }
            self.commit_some(waiting).await;
        }
    }

    async fn connect(&mut self) -> DbResult<()> {
        if self.tx.as_ref().is_some_and(|tx| !tx.conn.is_closed()) {
            return Ok(());
        }
        self.tx = None;
        match self.open().await {
            Ok(conn) => {
                self.use_for_writing(conn);
                Ok(())
            }
            Err(cause) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(error = %cause, "nothing can be written to the database; trying again");
                }
                Err(cause)
            }
        }
    }

    /// A new connection.
    async fn open(&mut self) -> DbResult<Conn> {
        let conn = self.parts.connector.connect().await.map_err(|e| error::not_connected(&e))?;
        self.parts.partitions.refresh(&conn).await?;
        Ok(conn)
    }

    fn use_for_writing(&mut self, conn: Conn) {
        let cache = Cache::new(self.parts.node, self.parts.fresh.clone(), self.parts.fan_outs.clone());
        self.tx = Some(Tx::new(conn, cache, self.parts.partitions.clone(), self.parts.own.clone()));
        self.is_told = false;
    }

    /// Runs commands and commits them: all of them, or as many as fit into one transaction.
    async fn commit_some(&mut self, waiting: &mut Waiting) {
        let Some(mut tx) = self.tx.take() else { return };
        let mut ran: Vec<Box<dyn Command>> = Vec::with_capacity(waiting.len());
        // What has failed some times in a row may stand in the way of others, so each is tried by itself.
        let most = if self.again < TOGETHER_TRIES { usize::MAX } else { 1 };
        let done = match run_group(&mut tx, waiting, &mut ran, most).await {
            Ok(()) => self.commit(&mut tx).await.map_err(|e| (e, true)),
            Err(e) => Err((e, false)),
        };
        tx.over();
        match done {
            Ok(()) => {
                tx.cache.after_commit();
                self.parts.meters.group_size.observe(ran.len() as u64);
                self.again = 0;
                answer(ran, &CommitOutcome::Committed);
                self.tx = Some(tx);
            }
            Err((cause, may_be_committed)) => {
                tx.cache.clear();
                tx.cache.after_commit();
                tx.counts.undo_to(0);
                let class = error::classify(&cause);
                if class != ErrorClass::Away && tx.script("ROLLBACK").await.is_ok() {
                    if tx.partitions.refresh(&tx.conn).await.is_err() {
                        tracing::debug!(
                            "the partitions could not be read; the connection is not used any more"
                        );
                    } else {
                        self.tx = Some(tx);
                    }
                }
                self.lost(ran, waiting, cause, may_be_committed && class == ErrorClass::Away);
            }
        }
    }

    /// Writes what the group has counted, and commits it.
    async fn commit(&mut self, tx: &mut Tx) -> DbResult<()> {
        let tally = flush(tx).await?;
        let started = Instant::now();
        tx.settle_and_commit().await?;
        if tally.is_some() {
            self.parts.counted.notify_one();
        }
        let tally = tally.unwrap_or_default();
        let meters = &self.parts.meters;
        meters.commit.observe(started.elapsed().as_micros() as u64);
        meters.events_accepted.inc_by(tally.events);
        meters.queue_depth.inc_by(tally.pending);
        meters.events_filtered.inc_by(tally.declined);
        meters.holds.inc_by(tally.holds);
        Ok(())
    }

    /// A transaction is gone: what can be run again waits once more, the rest is told.
    fn lost(
        &mut self,
        ran: Vec<Box<dyn Command>>,
        waiting: &mut Waiting,
        cause: DbError,
        may_be_committed: bool,
    ) {
        let class = error::classify(&cause);
        let outcome = CommitOutcome::lost("writing", cause);
        self.again += 1;
        let is_worth_it = matches!(class, ErrorClass::Again | ErrorClass::Away);
        let again = |kind: Kind| match kind {
            Kind::Once => false,
            Kind::Repeatable => is_worth_it && !may_be_committed && self.again <= AGAIN_MOST,
            Kind::Lasting => is_worth_it && (class == ErrorClass::Away || self.again <= AGAIN_MOST),
        };
        // Without having run, the first command would be tried forever.
        if ran.is_empty() && !is_worth_it {
            return answer(std::mem::take(waiting), &outcome);
        }
        let (kept, told): (Vec<_>, Vec<_>) = ran.into_iter().partition(|command| again(command.kind()));
        for command in kept.into_iter().rev() {
            waiting.push_front(command);
        }
        answer(told, &outcome);
    }
}

/// Begins a transaction, and runs commands in it, at most so many, until it is large.
async fn run_group(
    tx: &mut Tx,
    waiting: &mut Waiting,
    ran: &mut Vec<Box<dyn Command>>,
    most: usize,
) -> DbResult<()> {
    begin(tx).await?;
    // How many of the next commands get a savepoint each, because sharing one failed.
    let mut apart = 0_usize;
    while !waiting.is_empty() && tx.changed < LARGE && ran.len() < most {
        let is_first = ran.is_empty();
        let shared = if apart == 0 {
            waiting.iter().take(most).take_while(|c| c.kind() != Kind::Once).count()
        } else {
            0
        };
        if shared > 1 {
            match run_together(tx, &mut waiting.make_contiguous()[..shared], is_first).await? {
                Ran::Well(count) => ran.extend(waiting.drain(..count)),
                Ran::Failed(_) => apart = shared,
            }
        } else {
            apart = apart.saturating_sub(1);
            if !tx.is_settled() && waiting.front().is_some_and(|next| next.kind() == Kind::Once) {
                // Nodes lock the rows that they all write in one order, at the end of a transaction, and so never wait
                // for each other in a circle; what comes before this command is committed before it runs.
                break;
            }
            let Some(command) = waiting.pop_front() else { break };
            ran.push(command);
            let last = ran.len() - 1;
            let kind = ran[last].kind();
            let ran_well = run_together(tx, &mut ran[last..], is_first).await?;
            if matches!(ran_well, Ran::Failed(ErrorClass::Again)) && kind != Kind::Once {
                return Err(DbError::Collided("stood in the way"));
            }
        }
    }
    Ok(())
}

async fn begin(tx: &mut Tx) -> DbResult<()> {
    // Sent together.
    let numbers = tx.numbers.begin(&tx.conn);
    let (_, found, ()) = try_join3(tx.conn.script("BEGIN"), tx.conn.row(GENERATION, &[]), numbers).await?;
    tx.cache.of_generation(found.num("value")?);
    Ok(())
}

/// What became of commands that share a savepoint.
enum Ran {
    /// So many ran, and none failed.
    Well(usize),
    /// One failed, and all of them are undone.
    Failed(ErrorClass),
}

/// Runs commands in one savepoint, which the transaction is itself where nothing has run in it before, until the
/// transaction is large. When one of them fails, all of them are undone.
async fn run_together(tx: &mut Tx, commands: &mut [Box<dyn Command>], is_first: bool) -> DbResult<Ran> {
    if !is_first {
        tx.script("SAVEPOINT command").await?;
    }
    if let Some((read, attempts)) = to_read_ahead(commands) {
        let rows = read(&tx.conn, attempts).await?;
        tx.ahead.fill(rows);
    }
    let (counted, entered, ended) = (tx.counts.mark(), tx.entered.mark(), tx.ended.mark());
    let (mut failed, mut ran) = (None, 0);
    for command in commands {
        if ran > 0 && tx.changed >= LARGE {
            break;
        }
        ran += 1;
        failed = command.run(tx).await;
        if failed.is_some() {
            break;
        }
    }
    tx.ahead.clear();
    let Some(class) = failed else { return Ok(Ran::Well(ran)) };
    if class == ErrorClass::Away {
        return Err(DbError::NoConnection("it was lost".to_owned()));
    }
    tx.cache.clear();
    tx.counts.undo_to(counted);
    tx.entered.undo_to(entered);
    tx.ended.undo_to(ended);
    if is_first {
        tx.script("ROLLBACK").await?;
        begin(tx).await?;
    } else {
        tx.script("ROLLBACK TO SAVEPOINT command").await?;
    }
    // Those that were made meanwhile are undone, too.
    tx.partitions.refresh(&tx.conn).await?;
    Ok(Ran::Failed(class))
}

/// The attempts that several commands are about to end, and how they are read.
fn to_read_ahead(commands: &[Box<dyn Command>]) -> Option<(ReadAhead, Vec<AttemptId>)> {
    let mut ends = commands.iter().filter_map(|command| command.ends());
    let ((first, read), (second, _)) = (ends.next()?, ends.next()?);
    Some((read, [first, second].into_iter().chain(ends.map(|(attempt, _)| attempt)).collect()))
}

/// Writes the counts, and whether other nodes must forget something. `None`: nothing was counted.
async fn flush(tx: &mut Tx) -> DbResult<Option<Tally>> {
    if tx.cache.take_changed() {
        let generation = tx.conn.row(NEXT_GENERATION, &[]).await?.num("value")?;
        tx.cache.begun_generation(generation);
    }
    let Some(sums) = tx.counts.take() else { return Ok(None) };
    counts::write(&tx.conn, &sums).await?;
    Ok(Some(sums.tally()))
}

/// Tells each what became of it.
fn answer<I: IntoIterator<Item = Box<dyn Command>>>(commands: I, outcome: &CommitOutcome) {
    for command in commands {
        command.answer(outcome);
    }
}
