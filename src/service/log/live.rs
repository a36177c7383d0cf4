//! The live log: finished attempts as they end, each client with its own filter.
//!
//! A task for each client reads the table in the order of results and hands rows to a bounded channel.
//! A notification of a result is only a hint to look; what a client has seen is a `result_seq` in the table, so
//! going on behind a row leaves no gap, whatever ended out of order. What a client does not take is
//! never piled up: when the channel stays full, the client is let go, and can come back and go on where
//! it was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::domain::attempts::attempt::Attempt;
use crate::domain::{AppId, AttemptId};
use crate::host::clock::Clock;
use crate::store::{AttemptFilter, ResultSeq, Store, StoreError};

use crate::service::{Caller, Result, ServiceError};

/// How often a sign of life is sent, and the caller's right to be here is looked at again.
pub const ALIVE_EVERY_MS: i64 = 15_000;
/// How long a client may take nothing while there is something for it.
pub const SLOW_AFTER_MS: i64 = 10_000;
/// Rows that wait for a client.
const WAITING: usize = 64;
/// Rows of one read.
const PAGE: u32 = 64;
/// How many may follow at once: each looks at the table up to ten times a second while much ends.
const FOLLOWERS: usize = 100;
/// Of one app.
const FOLLOWERS_OF_APP: usize = 25;
/// What ends within this time is read together. Not the clock's time: nothing is decided by it.
const TOGETHER: Duration = Duration::from_millis(100);

/// Something for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An attempt has ended.
    Row(Box<Attempt>),
    /// Nothing, to show that the connection is alive.
    Alive,
    /// The row to go on behind is not there any more, so what ended since is not known; from now on
    /// nothing is left out.
    Gap,
}

/// Says whether the caller may still be here.
pub type StillAllowed = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The use case of following the log.
pub struct Live {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    results: watch::Receiver<u64>,
    access: watch::Receiver<u64>,
    stop: CancellationToken,
    followers: Arc<Followers>,
}

/// Who follows, counted by app.
struct Followers {
    of: Mutex<HashMap<AppId, usize>>,
    all: watch::Sender<usize>,
}

/// A follower, for as long as it lives.
struct Seat {
    app: AppId,
    followers: Arc<Followers>,
}

impl Seat {
    fn take(app: AppId, followers: &Arc<Followers>) -> Option<Seat> {
        let mut of = followers.of.lock().expect("no panic happens while this lock is held");
        let of_app = of.get(&app).copied().unwrap_or(0);
        if of_app >= FOLLOWERS_OF_APP || of.values().sum::<usize>() >= FOLLOWERS {
            return None;
        }
        of.insert(app, of_app + 1);
        followers.all.send_modify(|n| *n += 1);
        Some(Seat { app, followers: followers.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut of = self.followers.of.lock().expect("no panic happens while this lock is held");
        if let Some(n) = of.get_mut(&self.app) {
            *n -= 1;
        }
        of.retain(|_, n| *n > 0);
        self.followers.all.send_modify(|n| *n -= 1);
    }
}

impl Live {
    /// `results` changes when results may have been committed, `access` when a caller may have lost its rights; `stop`
    /// ends everything.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        results: watch::Receiver<u64>,
        access: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Live {
        let followers = Followers { of: Mutex::default(), all: watch::Sender::new(0) };
        Live { store, clock, results, access, stop, followers: Arc::new(followers) }
    }

    /// How many follow.
    pub fn following(&self) -> watch::Receiver<usize> {
        self.followers.all.subscribe()
    }

    /// Attempts that match, as they end; those behind a row first, if one is named. Ends when the server
    /// stops, when the client takes nothing for long, or when it may not be here any more.
    pub async fn follow(
        &self,
        caller: &Caller,
        filter: AttemptFilter,
        behind: Option<AttemptId>,
        still_allowed: StillAllowed,
    ) -> Result<BoxStream<'static, Item>> {
        let app = caller.app_id;
        let filter = caller.filter(filter)?;
        let seat = Seat::take(app, &self.followers)
            .ok_or(ServiceError::Unavailable("Too many clients follow the log at this moment."))?;
        let known = match behind {
            Some(id) => self.store.result_seq_of(app, id).await?,
            None => None,
        };
        let result_seq = match known {
            Some(result_seq) => result_seq,
            None => self.store.result_seq_last(app).await?,
        };
        let (items, waiting) = mpsc::channel(WAITING);
        if behind.is_some() && known.is_none() {
            let _ = items.try_send(Item::Gap);
        }
        let (store, clock, results) = (self.store.clone(), self.clock.clone(), self.results.clone());
        let (access, caller) = (self.access.clone(), caller.clone());
        let follower =
            Follower { store, clock, results, access, caller, filter, result_seq, items, still_allowed };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            follower.run(stop).await;
            drop(seat);
        });
        let taken =
            stream::unfold(
                waiting,
                |mut waiting| async move { waiting.recv().await.map(|item| (item, waiting)) },
            );
        Ok(taken.boxed())
    }
}

/// One client's task.
struct Follower {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    results: watch::Receiver<u64>,
    access: watch::Receiver<u64>,
    caller: Caller,
    filter: AttemptFilter,
    result_seq: ResultSeq,
    items: mpsc::Sender<Item>,
    still_allowed: StillAllowed,
}

impl Follower {
    async fn run(mut self, stop: CancellationToken) {
        let items = self.items.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = items.closed() => {}
            result = self.follow() => match result {
                Ok(()) | Err(StoreError::Closed) => {}
                // The client comes back and goes on where it was.
                Err(error) => tracing::warn!(%error, "the log could not be followed"),
            }
        }
    }

    async fn follow(&mut self) -> std::result::Result<(), StoreError> {
        let mut alive_at = self.clock.now().plus_ms(ALIVE_EVERY_MS);
        loop {
            // Before reading: what is written meanwhile is a reason to look again.
            self.results.mark_unchanged();
            let (app, filter) = (self.caller.app_id, self.filter.clone());
            let page = self.store.results_after(app, filter, self.result_seq, PAGE).await?;
            for mut row in page.rows {
                self.caller.hide_address_of(&mut row);
                if !self.hand_over(Item::Row(Box::new(row))).await {
                    return Ok(());
                }
            }
            self.result_seq = page.result_seq;
            if self.clock.now() >= alive_at {
                if !(self.still_allowed)().await || !self.hand_over(Item::Alive).await {
                    return Ok(());
                }
                alive_at = self.clock.now().plus_ms(ALIVE_EVERY_MS);
            }
            if page.more {
                continue;
            }
            tokio::select! {
                changed = self.results.changed() => match changed {
                    Ok(()) => tokio::time::sleep(TOGETHER).await,
                    Err(_) => return Ok(()),
                },
                Ok(()) = self.access.changed() => {
                    if !(self.still_allowed)().await {
                        return Ok(());
                    }
                }
                () = self.clock.sleep_until(alive_at) => {}
            }
        }
    }

    /// Hands something over; `false` when the client is gone, or takes nothing.
    async fn hand_over(&self, item: Item) -> bool {
        let item = match self.items.try_send(item) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(item)) => item,
        };
        let until = self.clock.now().plus_ms(SLOW_AFTER_MS);
        tokio::select! {
            sent = self.items.send(item) => sent.is_ok(),
            () = self.clock.sleep_until(until) => {
                tracing::info!(app_id = %self.caller.app_id, "a client that does not keep up with the live log is let go");
                false
            }
        }
    }
}
