//! The sweeper: deletes data older than its policy, continuously and on request.
//!
//! Every half minute it looks for expired rows and removes them in steps; [`crate::domain::sweep`] says how long a
//! step may take and how long to rest after it, so that it keeps up with what arrives and requests do not notice
//! it. What could not go when its time came (a delivery that was retried, an event that was still to be sent) is
//! looked at again every ten minutes. Pending attempts are never deleted.
//!
//! Nothing is deleted while the clock is not trusted ([`super::clock_guard`]).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::clock_guard::{self, ADVICE, Steadiness};
use super::sweep_context::{SweepContext, Task};
use super::sweeping::{Progress, Sweep};
use crate::cluster::Leadership;
use crate::domain::Timestamp;
use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::domain::retention::Rules;
use crate::domain::sweep::{SweepState, Swept};
use crate::host::clock::Clock;
use crate::store::{Store, StoreError};

/// How often expired rows are looked for.
const EVERY_MS: u32 = 30_000;
/// How often rows that could not go at their time are looked at again.
const AGAIN_MS: i64 = 600_000;
/// How often the rest is swept (statistics by the minute, the activity log), the time is noted, and what was
/// removed is reported.
const HOUR_MS: i64 = 3_600_000;

/// The reason why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The clock is too far ahead of the latest time seen.
    #[error("the clock says {now}, more than a day after {seen}, the latest time this server has seen")]
    ClockJumped { now: Timestamp, seen: Timestamp },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Deletes expired data.
#[derive(Clone)]
pub struct Sweeper(Arc<Inner>);

struct Inner {
    context: SweepContext,
    leadership: Arc<dyn Leadership>,
    state: std::sync::Mutex<SweepState>,
    /// One sweep at a time.
    running: Mutex<Running>,
    steadiness: std::sync::Mutex<Steadiness>,
}

/// What one sweep leaves to the next one.
struct Running {
    progress: Progress,
    /// True once a jump of the clock has been reported.
    is_jump_reported: bool,
    /// When these were done last, by the monotonic clock.
    again_at_ms: Option<i64>,
    hour_at_ms: Option<i64>,
    /// Removed since the last entry of the activity log, and when that was.
    unreported: Swept,
    reported_at_ms: Option<i64>,
}

impl Sweeper {
    /// Joins the parts; nothing runs yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        leadership: Arc<dyn Leadership>,
        rules: Rules,
    ) -> Sweeper {
        let steadiness = std::sync::Mutex::new(Steadiness::new(&*clock));
        let running = Mutex::new(Running {
            progress: Progress::new(&*store),
            is_jump_reported: false,
            again_at_ms: None,
            hour_at_ms: None,
            unreported: Swept::default(),
            reported_at_ms: None,
        });
        let (requested, stop) = (AtomicUsize::new(0), CancellationToken::new());
        let context = SweepContext { store, clock, rules, requested, stop };
        Sweeper(Arc::new(Inner {
            context,
            leadership,
            state: std::sync::Mutex::default(),
            running,
            steadiness,
        }))
    }

    /// Sweeps since the start of the server.
    pub fn state(&self) -> SweepState {
        self.0.state.lock().expect("no panic happens while this is held").clone()
    }

    fn update_state(&self, change: impl FnOnce(&mut SweepState)) {
        change(&mut self.0.state.lock().expect("no panic happens while this is held"));
    }

    /// Sweeps now and then every half minute, until [`Sweeper::stop`].
    pub fn start(&self) -> JoinHandle<()> {
        let sweeper = self.clone();
        tokio::spawn(async move {
            let mut leads = sweeper.0.leadership.watch();
            while !sweeper.0.context.stop.is_cancelled() {
                // Not by the time of day: it may be set back.
                let next = sweeper.0.context.clock.sleep_ms(EVERY_MS);
                sweeper.update_state(|state| {
                    state.next_at = Some(sweeper.0.context.clock.now().plus_ms(EVERY_MS.into()));
                });
                let is_leader = *leads.borrow_and_update();
                if is_leader {
                    sweeper.scheduled().await;
                }
                tokio::select! {
                    () = next => {}
                    Ok(()) = leads.changed() => {}
                    () = sweeper.0.context.stop.cancelled() => {}
                }
            }
        })
    }

    async fn scheduled(&self) {
        let mut running = self.0.running.lock().await;
        match self.sweep_due(&mut running).await {
            Ok(()) | Err(SweepError::ClockJumped { .. } | SweepError::Store(StoreError::Closed)) => {}
            Err(SweepError::Store(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a retention sweep failed");
            }
        }
    }

    fn is_clock_trusted(&self) -> bool {
        let mut steadiness = self.0.steadiness.lock().expect("no panic happens while this is held");
        steadiness.is_trusted(&*self.0.context.clock)
    }

    /// Ends after the current step.
    pub fn stop(&self) {
        self.0.context.stop.cancel();
    }

    /// Accepts the clock (`serve --accept-clock`).
    pub async fn accept_clock(&self) -> Result<(), StoreError> {
        let (store, now) = (&self.0.context.store, self.0.context.clock.now());
        let seen = store.clock_seen().await?;
        let jumped = seen.filter(|seen| clock_guard::is_ahead(now, *seen));
        let entry = jumped.map(|seen| clock_guard::accepted(&Actor::CommandLine, now, seen));
        store.clock_note(now, true, entry).await
    }

    /// The time, if the clock is trusted.
    async fn trusted_time(&self, running: &mut Running) -> Result<Timestamp, SweepError> {
        let (now, store) = (self.0.context.clock.now(), &self.0.context.store);
        if let Some(seen) = store.clock_seen().await?
            && clock_guard::is_ahead(now, seen)
        {
            if !self.is_clock_trusted() {
                if !running.is_jump_reported {
                    tracing::error!(
                        %now,
                        %seen,
                        "retention is paused: the clock is more than a day ahead of the latest time seen; {ADVICE}"
                    );
                    store.activity_append(clock_guard::held(now, seen)).await?;
                    running.is_jump_reported = true;
                }
                let error = SweepError::ClockJumped { now, seen };
                self.update_state(|state| state.held_back = Some(format!("{error}. {ADVICE}")));
                return Err(error);
            }
            store.clock_note(now, true, Some(clock_guard::accepted(&Actor::System, now, seen))).await?;
        }
        running.is_jump_reported = false;
        self.update_state(|state| state.held_back = None);
        Ok(now)
    }

    /// Sweeps once, all of it; `by` is the person who requested it, with an address.
    ///
    /// # Errors
    /// [`SweepError::ClockJumped`] when the clock is not trusted; nothing was deleted then.
    pub async fn sweep(&self, by: Option<(&Actor, Option<&str>)>) -> Result<Swept, SweepError> {
        let context = &self.0.context;
        let _request = context.request();
        let mut running = self.0.running.lock().await;
        let now = self.trusted_time(&mut running).await?;
        context.store.clock_note(now, false, None).await?;
        running.progress.start_over();
        let mut swept = Swept::default();
        let done =
            running.progress.sweep_all(Sweep { context, task: Task::Requested, now }, &mut swept).await;
        self.update_state(|state| state.last = Some((now, swept)));
        // What the schedule removed before is not this person's.
        self.report(&mut running, now).await?;
        if swept.is_something() || by.is_some() {
            self.report_swept(by, swept, now).await?;
        }
        done?;
        Ok(swept)
    }

    /// Removes what has expired since the last time, and what else is to be done from time to time.
    async fn sweep_due(&self, running: &mut Running) -> Result<(), SweepError> {
        let now = self.trusted_time(running).await?;
        let context = &self.0.context;
        let passed = context.clock.passed_ms();
        let is_due = |last: Option<i64>, every| last.is_none_or(|last| passed - last >= every);
        let (is_again, is_hour) =
            (is_due(running.again_at_ms, AGAIN_MS), is_due(running.hour_at_ms, HOUR_MS));
        if is_hour {
            context.store.clock_note(now, false, None).await?;
        }
        let mut swept = Swept::default();
        let sweep = Sweep { context, task: Task::Scheduled, now };
        let done = running.progress.sweep_due(sweep, is_again, is_hour, &mut swept).await;
        if done.is_ok() && !context.is_interrupted(Task::Scheduled) {
            running.again_at_ms = if is_again { Some(passed) } else { running.again_at_ms };
            running.hour_at_ms = if is_hour { Some(passed) } else { running.hour_at_ms };
        }
        running.unreported += swept;
        self.update_state(|state| state.last = Some((now, swept)));
        if is_due(running.reported_at_ms, HOUR_MS) && running.unreported.is_something() {
            running.reported_at_ms = Some(passed);
            self.report(running, now).await?;
        }
        Ok(done?)
    }

    /// Reports what was removed by schedule since the last report.
    async fn report(&self, running: &mut Running, now: Timestamp) -> Result<(), StoreError> {
        let swept = std::mem::take(&mut running.unreported);
        if swept.is_something() { self.report_swept(None, swept, now).await } else { Ok(()) }
    }

    async fn report_swept(
        &self,
        by: Option<(&Actor, Option<&str>)>,
        swept: Swept,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Swept { attempts, events, activity, pages, is_estimated } = swept;
        tracing::info!(attempts, events, activity, pages, "retention swept");
        let mut details =
            json!({ "attempts": attempts, "events": events, "activity": activity, "pages": pages });
        if is_estimated {
            details["estimated"] = true.into();
        }
        let entry = Activity {
            kind: ActivityKind::RetentionSwept,
            app_id: None,
            actor: by.map_or(&Actor::System, |(actor, _)| actor).to_string(),
            address: by.and_then(|(_, address)| address.map(str::to_owned)),
            summary: format!("Retention removed {attempts} attempts and {events} events."),
            details,
            created_at: now,
        };
        self.0.context.store.activity_append(entry).await
    }
}
