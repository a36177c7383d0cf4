//! What a sweep walks through, and how far it is: rows of the log, events, idempotency keys, and the rest.

use std::time::Duration;

use tokio::time::Instant;

use super::pacer::{Done, Pacer};
use super::sweep_context::{Policy, SweepContext, Task};
use crate::domain::event::IDEMPOTENCY_MS;
use crate::domain::sweep::Swept;
use crate::domain::{AppId, Timestamp};
use crate::store::{Cutoffs, Expired, MINUTES_KEPT_MS, RetentionStore, StoreError, SweepStep};

/// Retention of the activity log: a year.
const ACTIVITY_KEPT_MS: i64 = 365 * 86_400_000;
/// How long the second look may take in one sweep.
const AGAIN_AT_ONCE: Duration = Duration::from_secs(20);

/// A small kind of data.
#[derive(Debug, Clone, Copy)]
enum Small {
    /// What an app's events kept when their time came.
    Events(AppId),
    HeaderValues,
    Minutes,
    Activity,
    /// The inbound log.
    Inbound,
    /// Dedupe keys and counts of sources, and deleted sources.
    Sources,
}

/// One sweep: what it works with, who wants it, and the time by which it judges.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub(super) context: &'a SweepContext,
    pub(super) task: Task,
    pub(super) now: Timestamp,
}

/// How far sweeps have come, and their pace.
pub(super) struct Progress {
    pacer: Pacer,
    /// Rows of the log up to here that had expired are gone, or could not go.
    attempts: i64,
    /// The same of events.
    events: i64,
    /// The walk through the rows below `attempts`, which may be able to go now.
    again: Option<i64>,
}

/// What is left of each kind during one sweep.
struct Left {
    attempts: bool,
    again: bool,
    events: bool,
    keys: bool,
    /// When the newest attempt that this sweep removed was made.
    came_to: Option<Timestamp>,
    expired: Expired,
}

impl Left {
    fn is_behind(&self) -> bool {
        self.attempts || self.events || self.keys
    }

    /// A policy can change during a sweep.
    fn allow(&mut self, policy: Policy) {
        self.attempts &= policy.logs_ms.is_some();
        self.again &= policy.logs_ms.is_some();
        self.events &= policy.events_ms.is_some();
    }

    /// What a step may remove. Events go behind the attempts that refer to them, if both have expired: then they go
    /// as a whole at once, and not the payload first.
    fn cutoffs(&self, policy: Policy, now: Timestamp) -> Cutoffs {
        let all = cutoffs(policy, now);
        let is_together = policy.logs_ms.zip(policy.events_ms).is_some_and(|(logs, events)| logs <= events);
        let events = if is_together && self.attempts {
            all.events.zip(self.came_to).map(|(events, attempts)| events.min(attempts))
        } else {
            all.events
        };
        Cutoffs { events, ..all }
    }
}

impl Progress {
    pub(super) fn new(store: &dyn RetentionStore) -> Progress {
        Progress { pacer: Pacer::new(store), attempts: 0, events: 0, again: None }
    }

    /// Looks at every row.
    pub(super) fn start_over(&mut self) {
        (self.attempts, self.events, self.again) = (0, 0, None);
    }

    /// Looks once more at rows that could not go.
    fn plan_second_pass(&mut self) {
        // At first everything is looked at anyway.
        self.again = self.again.or((self.attempts > 0).then_some(0));
    }

    /// Everything, until nothing that has expired at `now` is left.
    pub(super) async fn sweep_all(&mut self, sweep: Sweep<'_>, swept: &mut Swept) -> Result<(), StoreError> {
        self.sweep_expired(sweep, swept).await?;
        self.sweep_rest(sweep, swept).await?;
        self.shrink(sweep, swept).await
    }

    /// What has expired since the last time; `is_again`: and what could not go at its time; `is_hour`: and the rest.
    pub(super) async fn sweep_due(
        &mut self,
        sweep: Sweep<'_>,
        is_again: bool,
        is_hour: bool,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        if is_again {
            self.plan_second_pass();
        }
        self.sweep_expired(sweep, swept).await?;
        if is_again {
            self.sweep_events_again(sweep, swept).await?;
        }
        if is_hour {
            self.sweep_rest(sweep, swept).await?;
        }
        if is_again { self.shrink(sweep, swept).await } else { Ok(()) }
    }

    /// Rows of the log, events and keys, side by side: all of them arrive all the time.
    async fn sweep_expired(&mut self, sweep: Sweep<'_>, swept: &mut Swept) -> Result<(), StoreError> {
        let Sweep { context, task, now } = sweep;
        let store = &*context.store;
        let cutoffs = cutoffs(context.policy().await?, now);
        let expired = store.retention_expired(cutoffs).await?;
        // Before these there is nothing, and no event with a payload.
        self.attempts = self.attempts.max(expired.attempts_from.min(expired.attempts_to));
        self.events = self.events.max(expired.events_from.min(expired.events_to));
        let is_requested = task == Task::Requested;
        let mut left = Left {
            // An estimate is not good enough for somebody who waits.
            attempts: cutoffs.attempts.is_some() && (is_requested || self.attempts < expired.attempts_to),
            again: cutoffs.attempts.is_some() && self.again.is_some(),
            events: cutoffs.events.is_some() && (is_requested || self.events < expired.events_to),
            keys: expired.keys > 0,
            came_to: None,
            expired,
        };
        let begun = Instant::now();
        // Rows that expire meanwhile do not wait for the second look; it goes on with the next sweep.
        while (left.is_behind() || left.again && begun.elapsed() < AGAIN_AT_ONCE)
            && !context.is_interrupted(task)
        {
            let policy = context.policy().await?;
            left.allow(policy);
            let done = self.step(sweep, policy, &mut left, swept).await?;
            let rest = self.pacer.after(store, done, is_requested);
            context.rest(rest).await;
        }
        Ok(())
    }

    /// One step of each kind that is left, in one commit if the writer is quick.
    async fn step(
        &mut self,
        Sweep { context, now, .. }: Sweep<'_>,
        policy: Policy,
        left: &mut Left,
        swept: &mut Swept,
    ) -> Result<Done, StoreError> {
        let (store, cutoffs) = (&*context.store, left.cutoffs(policy, now));
        let of_log = cutoffs.attempts.filter(|_| left.attempts);
        let again = cutoffs.attempts.filter(|_| left.again).zip(self.again);
        let of_events = cutoffs.events.filter(|_| left.events);
        let of_keys = left.keys.then_some(cutoffs.keys);
        let together = [of_log.is_some(), again.is_some(), of_events.is_some(), of_keys.is_some()];
        let limit = self.pacer.limit(together.iter().map(|is_made| u32::from(*is_made)).sum());
        let (log, again, events, keys) = tokio::join!(
            when(of_log, |before| store.retention_attempts(self.attempts, before, limit)),
            when(again, |(before, after)| store.retention_attempts(after, before, limit)),
            when(of_events, |before| store.retention_events(None, self.events, before, limit)),
            when(of_keys, |before| store.retention_keys(before, limit)),
        );
        let mut done = Done::default();
        let time = context.clock.now();
        if let Some(step) = log? {
            done.note(&step, late(time, &step, policy.logs_ms));
            swept.attempts += step.removed;
            swept.is_estimated |= step.is_estimated;
            self.attempts = self.attempts.max(step.reached);
            left.came_to = left.came_to.max(step.newest);
            left.attempts = step.next.is_some();
        }
        if let Some(step) = again? {
            // How late these are depends on how often they are looked at, and not on the pace.
            done.note(&step, None);
            swept.attempts += step.removed;
            self.again = step.next.filter(|next| *next < self.attempts);
            left.again = self.again.is_some();
        }
        if let Some(step) = events? {
            done.note(&step, late(time, &step, policy.events_ms));
            swept.events += step.removed;
            swept.is_estimated |= step.is_estimated;
            self.events = self.events.max(step.reached);
            // Behind the attempts there is more to come.
            left.events = step.next.is_some() || of_log.is_some();
        }
        if let Some(step) = keys? {
            done.note(&step, late(time, &step, Some(IDEMPOTENCY_MS)));
            left.expired.keys = left.expired.keys.saturating_sub(step.removed);
            left.keys = step.next.is_some();
        }
        done.backlog = self.backlog(left);
        Ok(done)
    }

    fn backlog(&self, left: &Left) -> u64 {
        let expired = &left.expired;
        let rows = |is_left: bool, from: i64, to: i64, spread: i64| {
            if is_left { u64::try_from((to - from) / spread.max(1)).unwrap_or(0) } else { 0 }
        };
        rows(left.attempts, self.attempts, expired.attempts_to, expired.attempts_spread)
            + rows(left.events, self.events, expired.events_to, expired.events_spread)
            + expired.keys
    }

    /// Events that could not go when their time came.
    async fn sweep_events_again(&mut self, sweep: Sweep<'_>, swept: &mut Swept) -> Result<(), StoreError> {
        for app in sweep.context.store.app_list().await? {
            swept.events += self.walk(sweep, Small::Events(app.id)).await?;
        }
        Ok(())
    }

    /// Long header values, statistics by the minute, the inbound log, the activity log.
    async fn sweep_rest(&mut self, sweep: Sweep<'_>, swept: &mut Swept) -> Result<(), StoreError> {
        self.walk(sweep, Small::HeaderValues).await?;
        self.walk(sweep, Small::Minutes).await?;
        self.walk(sweep, Small::Inbound).await?;
        self.walk(sweep, Small::Sources).await?;
        swept.activity += self.walk(sweep, Small::Activity).await?;
        Ok(())
    }

    /// Takes steps until nothing expired at `now` is left.
    async fn walk(
        &mut self,
        Sweep { context, task, now }: Sweep<'_>,
        what: Small,
    ) -> Result<u64, StoreError> {
        let store = &*context.store;
        let (mut after, mut removed) = (0, 0);
        while !context.is_interrupted(task) {
            let (begun, rows) = (Instant::now(), self.pacer.small_rows());
            let step = match what {
                Small::Events(app) => {
                    let Some(kept) = context.policy().await?.events_ms else { break };
                    store.retention_events(Some(app), after, now.plus_ms(-kept), self.pacer.limit(1)).await?
                }
                Small::HeaderValues => store.retention_header_values(rows).await?,
                Small::Minutes => store.retention_minutes(after, now.plus_ms(-MINUTES_KEPT_MS), rows).await?,
                Small::Inbound => {
                    let Some(kept) = context.policy().await?.logs_ms else { break };
                    store.retention_inbound(now.plus_ms(-kept), rows).await?
                }
                // A dedupe key of a source is remembered as long as an idempotency key.
                Small::Sources => store.retention_sources(now.plus_ms(-IDEMPOTENCY_MS), rows).await?,
                Small::Activity => store.retention_activity(now.plus_ms(-ACTIVITY_KEPT_MS), rows).await?,
            };
            removed += step.removed;
            match step.next {
                Some(next) => after = next,
                None => break,
            }
            let ran = if step.ran.is_zero() { ran(step.removed, begun) } else { step.ran };
            let done = Done { commands: 1, rows: step.removed, ran, ..Done::default() };
            let rest = self.pacer.after(store, done, true);
            context.rest(rest).await;
        }
        Ok(removed)
    }

    /// Gives free pages back to the file system.
    async fn shrink(
        &mut self,
        Sweep { context, task, .. }: Sweep<'_>,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        let store = &*context.store;
        while !context.is_interrupted(task) {
            let begun = Instant::now();
            let pages = store.retention_shrink(self.pacer.pages()).await?;
            if pages == 0 {
                break;
            }
            swept.pages += pages;
            let done = Done { commands: 1, ran: ran(pages, begun), ..Done::default() };
            let rest = self.pacer.after(store, done, true);
            context.rest(rest).await;
        }
        Ok(())
    }
}

/// How long a small step ran, of which only the whole duration is known: half of it is the commit. A step that changes
/// nothing has none.
fn ran(changed: u64, begun: Instant) -> Duration {
    if changed == 0 { Duration::ZERO } else { begun.elapsed() / 2 }
}

/// How long after their time the rows of a step were removed.
fn late(now: Timestamp, step: &SweepStep, kept_ms: Option<i64>) -> Option<Duration> {
    let ms = now.as_millis() - step.newest?.plus_ms(kept_ms?).as_millis();
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// What has expired.
fn cutoffs(policy: Policy, now: Timestamp) -> Cutoffs {
    let before = |kept: Option<i64>| kept.map(|kept| now.plus_ms(-kept));
    let keys = now.plus_ms(-IDEMPOTENCY_MS);
    Cutoffs { attempts: before(policy.logs_ms), events: before(policy.events_ms), keys }
}

/// A step, if it is to be made.
async fn when<T, F>(of: Option<T>, step: impl FnOnce(T) -> F) -> Result<Option<SweepStep>, StoreError>
where
    F: Future<Output = Result<SweepStep, StoreError>>,
{
    match of {
        Some(of) => step(of).await.map(Some),
        None => Ok(None),
    }
}
