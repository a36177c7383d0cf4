//! The sweeper: deletes data older than its policy, every hour and on request, in steps that do not slow
//! down requests.
//!
//! A step is one transaction of some rows, and the next step starts after its commit, so another writer
//! waits for at most one step. Between steps the sweeper pauses; while others write, the pause is many times
//! as long as the step ([`Pace`]). Pending attempts are never deleted.
//!
//! A wrong clock must not empty the log. Storage keeps the latest time seen; when the clock is more than a
//! day ahead of it, nothing is deleted until the clock can be trusted: the system says that it is synchronized,
//! or it has kept pace with the monotonic clock for an hour ([`Steadiness`]), or the server is started with
//! `serve --accept-clock`. (A server that was off for more than a day looks the same as a wrong clock.)

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Leadership;
use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::event::IDEMPOTENCY_MS;
use crate::domain::retention::{PagePolicy, Rules};
use crate::domain::{AppId, Span, Timestamp};
use crate::host::clock::Clock;
use crate::store::{MINUTES_KEPT_MS, Store, StoreError};

/// How often the sweeper runs by itself.
const EVERY_MS: i64 = 3_600_000;
/// Maximum distance of the clock from the latest time seen.
const TRUSTED_MS: i64 = 86_400_000;
/// How long the clock must keep pace before it is trusted by itself.
const STEADY_MS: i64 = 3_600_000;
/// How far it may be off meanwhile: time servers correct small errors in steps.
const OFF_MS: i64 = 2_000;
/// How often that is checked.
const LOOK_EVERY_MS: u32 = 60_000;
/// Retention of the activity log: a year.
pub const ACTIVITY_KEPT_MS: i64 = 365 * 86_400_000;
/// Rows of a step while others write: about the duration of a commit.
const STEP_ROWS: u32 = 10;
/// The same while nobody else writes: many rows share changed pages.
const STEP_ROWS_ALONE: u32 = 100;
/// Pages returned to the file system in a step.
const STEP_PAGES: u32 = 64;
/// Length of the pause after a step, in multiples of the step, while others write. It determines the p99 of
/// other writers (`benches/sweep.rs`).
const REST: u32 = 20;
/// The same while nobody else writes: the next writer waits for half a step on average.
const REST_ALONE: u32 = 1;
/// The longest pause.
const REST_MAX: Duration = Duration::from_secs(1);

/// Retention periods; `None` = forever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Attempts, in ms.
    pub logs_ms: Option<i64>,
    /// Events, in ms.
    pub events_ms: Option<i64>,
}

impl Policy {
    /// The configuration merged with the dashboard's page; zero means forever.
    pub fn of(rules: &Rules, page: &PagePolicy) -> Policy {
        let kept = |span: Span| (!span.is_zero()).then(|| span.as_millis_i64());
        Policy {
            logs_ms: kept(rules.logs.with_page(page.logs.as_ref()).0),
            events_ms: kept(rules.events.with_page(page.events.as_ref()).0),
        }
    }
}

/// Sweeps since the start of the server.
#[derive(Debug, Clone, Default)]
pub struct SweeperState {
    /// Time and result of the last sweep.
    pub last: Option<(Timestamp, Swept)>,
    /// Time of the next scheduled sweep.
    pub next_at: Option<Timestamp>,
    /// Why nothing is deleted; a sentence.
    pub held_back: Option<String>,
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows of the delivery log.
    pub attempts: u64,
    /// Deleted events.
    pub events: u64,
    /// Entries of the activity log.
    pub activity: u64,
    /// Pages returned to the file system.
    pub pages: u64,
}

/// The reason why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The clock is too far ahead of the latest time seen.
    #[error("the clock says {now}, more than a day after {seen}, the latest time this server has seen")]
    ClockJumped { now: Timestamp, seen: Timestamp },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A kind of data with a retention period.
#[derive(Debug, Clone, Copy)]
enum SweepTarget {
    Keys,
    Attempts,
    HeaderValues,
    Events(AppId),
    Minutes,
    Activity,
    /// The inbound log.
    Inbound,
    /// Dedupe keys and counts of sources, and deleted sources.
    Sources,
}

/// Deletes expired data.
#[derive(Clone)]
pub struct Sweeper(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    leadership: Arc<dyn Leadership>,
    rules: Rules,
    state: std::sync::Mutex<SweeperState>,
    /// One sweep at a time. True once a jump of the clock has been reported.
    running: Mutex<bool>,
    steadiness: std::sync::Mutex<Steadiness>,
    stop: CancellationToken,
}

impl Sweeper {
    /// Joins the parts; nothing runs yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        leadership: Arc<dyn Leadership>,
        rules: Rules,
    ) -> Sweeper {
        let (stop, state) = (CancellationToken::new(), std::sync::Mutex::default());
        let steadiness = std::sync::Mutex::new(Steadiness::new(&*clock));
        let running = Mutex::new(false);
        Sweeper(Arc::new(Inner { store, clock, leadership, rules, state, running, steadiness, stop }))
    }

    /// Sweeps since the start of the server.
    pub fn state(&self) -> SweeperState {
        self.0.state.lock().expect("no panic happens while this is held").clone()
    }

    fn update_state(&self, change: impl FnOnce(&mut SweeperState)) {
        change(&mut self.0.state.lock().expect("no panic happens while this is held"));
    }

    /// The current policy. Read before every step, so that a longer period takes effect at once.
    async fn policy(&self) -> Result<Policy, StoreError> {
        Ok(Policy::of(&self.0.rules, &self.0.store.retention_page().await?))
    }

    /// Sweeps now and then every hour, until [`Sweeper::stop`].
    pub fn start(&self) -> JoinHandle<()> {
        let sweeper = self.clone();
        tokio::spawn(async move {
            let mut leads = sweeper.0.leadership.watch();
            while !sweeper.0.stop.is_cancelled() {
                let next = sweeper.0.clock.now().plus_ms(EVERY_MS);
                sweeper.update_state(|state| state.next_at = Some(next));
                let is_leader = *leads.borrow_and_update();
                let swept = match is_leader {
                    true => sweeper.sweep(None).await.map(drop),
                    false => Ok(()),
                };
                match swept {
                    Ok(()) | Err(SweepError::ClockJumped { .. } | SweepError::Store(StoreError::Closed)) => {}
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a retention sweep failed");
                    }
                }
                tokio::select! {
                    () = sweeper.0.clock.sleep_until(next) => {}
                    () = sweeper.clock_trusted() => {}
                    Ok(()) = leads.changed() => {}
                    () = sweeper.0.stop.cancelled() => {}
                }
            }
        })
    }

    /// Watches the clock, and completes when sweeps were paused and need not be any more.
    async fn clock_trusted(&self) {
        loop {
            self.0.clock.sleep_ms(LOOK_EVERY_MS).await;
            if self.is_clock_trusted() && self.state().held_back.is_some() {
                return;
            }
        }
    }

    /// Whether the clock is right as far as this machine can tell.
    fn is_clock_trusted(&self) -> bool {
        let clock = &*self.0.clock;
        let steady_ms = self.0.steadiness.lock().expect("no panic happens while this is held").look(clock);
        steady_ms >= STEADY_MS || clock.is_synchronized()
    }

    /// Ends after the current step.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Accepts the clock (`serve --accept-clock`).
    pub async fn accept_clock(&self) -> Result<(), StoreError> {
        let (store, now) = (&self.0.store, self.0.clock.now());
        let seen = store.clock_seen().await?;
        let jumped = seen.filter(|seen| is_ahead(now, *seen));
        store.clock_note(now, true, jumped.map(|seen| accepted(&Actor::CommandLine, now, seen))).await
    }

    /// Sweeps once; `by` is the person who requested it, with an address, or `None` for a scheduled sweep.
    ///
    /// # Errors
    /// [`SweepError::ClockJumped`] when the clock is not trusted; nothing was deleted then.
    pub async fn sweep(&self, by: Option<(&Actor, Option<&str>)>) -> Result<Swept, SweepError> {
        let mut is_reported = self.0.running.lock().await;
        let now = self.0.clock.now();
        let store = &self.0.store;
        if let Some(seen) = store.clock_seen().await?
            && is_ahead(now, seen)
        {
            if !self.is_clock_trusted() {
                if !*is_reported {
                    self.report_clock_jump(now, seen).await?;
                    *is_reported = true;
                }
                let error = SweepError::ClockJumped { now, seen };
                self.update_state(|state| state.held_back = Some(format!("{error}. {ADVICE}")));
                return Err(error);
            }
            store.clock_note(now, true, Some(accepted(&Actor::System, now, seen))).await?;
        }
        *is_reported = false;
        store.clock_note(now, false, None).await?;
        let swept = self.sweep_all(now).await?;
        self.update_state(|state| (state.last, state.held_back) = (Some((now, swept)), None));
        let removed = swept.attempts + swept.events + swept.activity > 0;
        if removed || by.is_some() {
            self.report_swept(by, swept, now).await?;
        }
        Ok(swept)
    }

    async fn sweep_all(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let store = &self.0.store;
        let mut swept = Swept::default();
        self.walk(SweepTarget::Keys, now).await?;
        swept.attempts = self.walk(SweepTarget::Attempts, now).await?;
        self.walk(SweepTarget::HeaderValues, now).await?;
        self.walk(SweepTarget::Inbound, now).await?;
        for app in store.app_list().await? {
            swept.events += self.walk(SweepTarget::Events(app.id), now).await?;
        }
        self.walk(SweepTarget::Sources, now).await?;
        self.walk(SweepTarget::Minutes, now).await?;
        swept.activity = self.walk(SweepTarget::Activity, now).await?;
        let mut pace = Pace::new(&**store);
        while !self.0.stop.is_cancelled() {
            let begun = Instant::now();
            match store.retention_shrink(STEP_PAGES).await? {
                0 => break,
                pages => swept.pages += pages,
            }
            self.rest(pace.after(begun.elapsed(), store.retention_written())).await;
        }
        Ok(swept)
    }

    /// The current retention period; `None` = forever.
    async fn kept_ms(&self, what: SweepTarget) -> Result<Option<i64>, StoreError> {
        Ok(match what {
            // A dedupe key of a source is remembered as long as an idempotency key.
            SweepTarget::Keys | SweepTarget::Sources => Some(IDEMPOTENCY_MS),
            // They are deleted with the attempts that carried them.
            SweepTarget::HeaderValues => Some(0),
            SweepTarget::Attempts | SweepTarget::Inbound => self.policy().await?.logs_ms,
            SweepTarget::Events(_) => self.policy().await?.events_ms,
            SweepTarget::Minutes => Some(MINUTES_KEPT_MS),
            SweepTarget::Activity => Some(ACTIVITY_KEPT_MS),
        })
    }

    /// Takes steps until nothing expired at `now` is left, or until the server stops.
    async fn walk(&self, what: SweepTarget, now: Timestamp) -> Result<u64, StoreError> {
        let store = &self.0.store;
        let (mut after, mut removed, mut pace) = (0, 0, Pace::new(&**store));
        while !self.0.stop.is_cancelled() {
            let Some(kept) = self.kept_ms(what).await? else { break };
            let before = now.plus_ms(-kept);
            let (begun, rows) = (Instant::now(), pace.rows());
            let done = match what {
                SweepTarget::Keys => store.retention_keys(before, rows).await?,
                SweepTarget::Attempts => store.retention_attempts(after, before, rows).await?,
                SweepTarget::HeaderValues => store.retention_header_values(rows).await?,
                SweepTarget::Events(app) => store.retention_events(app, after, before, rows).await?,
                SweepTarget::Minutes => store.retention_minutes(after, before, rows).await?,
                SweepTarget::Activity => store.retention_activity(before, rows).await?,
                SweepTarget::Inbound => store.retention_inbound(before, rows).await?,
                SweepTarget::Sources => store.retention_sources(before, rows).await?,
            };
            removed += done.removed;
            match done.next {
                Some(next) => after = next,
                None => break,
            }
            self.rest(pace.after(begun.elapsed(), store.retention_written())).await;
        }
        Ok(removed)
    }

    /// Pauses after a step. The length depends on the machine and not on the time of day, so it does not use
    /// the clock.
    async fn rest(&self, rest: Duration) {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = self.0.stop.cancelled() => {}
        }
    }

    async fn report_clock_jump(&self, now: Timestamp, seen: Timestamp) -> Result<(), StoreError> {
        tracing::error!(
            %now,
            %seen,
            "retention is paused: the clock is more than a day ahead of the latest time seen; {ADVICE}"
        );
        let entry = Activity {
            kind: ActivityKind::RetentionHeld,
            app_id: None,
            actor: Actor::System.to_string(),
            address: None,
            summary: format!(
                "Retention is paused: the clock says {now}, more than a day after {seen}. {ADVICE}"
            ),
            details: json!({ "now": now.to_string(), "seen": seen.to_string() }),
            created_at: now,
        };
        self.0.store.activity_append(entry).await
    }

    async fn report_swept(
        &self,
        by: Option<(&Actor, Option<&str>)>,
        swept: Swept,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Swept { attempts, events, activity, pages } = swept;
        tracing::info!(attempts, events, activity, pages, "retention swept");
        let entry = Activity {
            kind: ActivityKind::RetentionSwept,
            app_id: None,
            actor: by.map_or(&Actor::System, |(actor, _)| actor).to_string(),
            address: by.and_then(|(_, address)| address.map(str::to_owned)),
            summary: format!("Retention removed {attempts} attempts and {events} events."),
            details: json!({ "attempts": attempts, "events": events, "activity": activity, "pages": pages }),
            created_at: now,
        };
        self.0.store.activity_append(entry).await
    }
}

/// The pace of a sweep: slow while others write.
struct Pace {
    /// The count of all writes at the end of the last step.
    written: u64,
    /// Whether nobody else wrote since the step before.
    is_alone: bool,
}

impl Pace {
    fn new(store: &dyn Store) -> Pace {
        Pace { written: store.retention_written(), is_alone: false }
    }

    /// Rows of the next step.
    fn rows(&self) -> u32 {
        if self.is_alone { STEP_ROWS_ALONE } else { STEP_ROWS }
    }

    /// The pause after a step of length `took`; `written` is the current count of all writes.
    fn after(&mut self, took: Duration, written: u64) -> Duration {
        self.is_alone = written.saturating_sub(self.written) <= 1;
        self.written = written;
        (took * if self.is_alone { REST_ALONE } else { REST }).min(REST_MAX)
    }
}

/// What can be done about a clock that is not trusted.
pub const ADVICE: &str = "Sweeping starts again by itself after an hour with a steady clock. If the clock is wrong, set \
     it right; if it is right, serve --accept-clock starts sweeping at once.";

fn accepted(by: &Actor, now: Timestamp, seen: Timestamp) -> Activity {
    Activity {
        kind: ActivityKind::RetentionClockAccepted,
        app_id: None,
        actor: by.to_string(),
        address: None,
        summary: format!("The clock was accepted: it is {now}."),
        details: json!({ "now": now.to_string(), "seen": seen.to_string() }),
        created_at: now,
    }
}

/// Since when the time of day has kept pace with the monotonic clock.
#[derive(Debug)]
struct Steadiness {
    passed_ms: i64,
    now: Timestamp,
}

impl Steadiness {
    fn new(clock: &dyn Clock) -> Steadiness {
        Steadiness { passed_ms: clock.passed_ms(), now: clock.now() }
    }

    /// For how long it has; starts again when the time of day was set meanwhile.
    fn look(&mut self, clock: &dyn Clock) -> i64 {
        let passed = clock.passed_ms() - self.passed_ms;
        let moved = clock.now().as_millis() - self.now.as_millis();
        if (moved - passed).abs() > OFF_MS {
            *self = Steadiness::new(clock);
            return 0;
        }
        passed
    }
}

fn is_ahead(now: Timestamp, seen: Timestamp) -> bool {
    now > seen.plus_ms(TRUSTED_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_fast_only_while_nobody_else_writes() {
        let (mut pace, took) = (Pace { written: 10, is_alone: false }, Duration::from_millis(4));
        assert_eq!(pace.rows(), STEP_ROWS);
        assert_eq!(pace.after(took, 11), took * REST_ALONE);
        assert_eq!(pace.rows(), STEP_ROWS_ALONE);
        assert_eq!(pace.after(took, 13), took * REST);
        assert_eq!(pace.rows(), STEP_ROWS);
        assert_eq!(pace.after(took, 14), took * REST_ALONE);
        assert_eq!(pace.after(Duration::from_secs(1), 20), REST_MAX);
    }
}
