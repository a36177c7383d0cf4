//! Alerts: checks for problems once a minute and notifies the configured targets.
//!
//! It checks the current *state* (which endpoints are disabled, how old the queue is), not events. So nothing
//! is lost by a restart or by a target that is down, a problem that was fixed meanwhile raises no alert, and
//! a failed notification is tried again a minute later. Sent alerts are stored by kind and subject: the same
//! alert is sent at most once an hour, and a state that lasts is alerted once.
//!
//! Without targets it reads one small table a minute and nothing else. Requests pass the same guard as
//! deliveries.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cluster::Leadership;
use crate::delivery::Sender;
use crate::delivery::sending::destination;
use crate::delivery::test_slots::TestSlots;
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::alert::{Alert, AlertTarget, AlertTry, SILENCE_MS, Told, Trouble, Webhook};
use crate::domain::{Activity, ActivityKind, Actor, AlertKind, AlertTargetId, EndpointStatus, Timestamp};
use crate::host::clock::Clock;
use crate::host::disk;
use crate::host::vault::{CannotOpen, Vault};
use crate::store::{EndpointTrouble, Store, StoreError};
use crate::upkeep::backup::BackupSchedule;

/// Interval of the checks.
const EVERY_MS: u32 = 60_000;
/// Maximum alerts to one target in one check; the rest follows with the next check.
const MESSAGES_MAX: usize = 5;
/// Pending deliveries are counted up to here.
const PENDING_MAX: u64 = 10_000;
/// Number of error kinds that are read to find the latest error.
const ERRORS: u32 = 10;

/// What is checked besides storage.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Consecutive failed attempts that disable an endpoint; 0 = never.
    pub disable_after_failures: u32,
    /// Directories whose disks are checked.
    pub directories: Vec<PathBuf>,
    /// The URL of the dashboard without trailing slash, if configured.
    pub dashboard: Option<String>,
}

/// Checks, and notifies.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

type Key = (AlertTargetId, AlertKind, String);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    sender: Arc<Sender>,
    backups: BackupSchedule,
    leadership: Arc<dyn Leadership>,
    watched: Watched,
    /// The last alerts. Also in storage, but a full disk must not make alerts repeat.
    sent: Mutex<Option<HashMap<Key, Told>>>,
    checks: watch::Sender<u64>,
    test_slots: TestSlots<AlertTargetId>,
    stop: CancellationToken,
}

/// The space of a disk.
struct DiskState {
    path: String,
    free_bytes: u64,
    total_bytes: u64,
}

/// The state found by a check, as far as any target subscribes to it.
struct Observed {
    endpoints: Vec<EndpointTrouble>,
    due_since: Option<Timestamp>,
    pending: u64,
    disks: Vec<DiskState>,
    backup: Option<(Timestamp, String)>,
}

impl Alerts {
    /// Joins the parts; nothing runs yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        sender: Arc<Sender>,
        backups: BackupSchedule,
        leadership: Arc<dyn Leadership>,
        watched: Watched,
    ) -> Alerts {
        let (sent, checks, stop) = (Mutex::default(), watch::Sender::new(0), CancellationToken::new());
        let test_slots = TestSlots::default();
        Alerts(Arc::new(Inner {
            store,
            clock,
            vault,
            sender,
            backups,
            leadership,
            watched,
            sent,
            checks,
            test_slots,
            stop,
        }))
    }

    /// Checks once a minute, first a minute from now, until [`Alerts::stop`].
    pub fn start(&self) -> JoinHandle<()> {
        let inner = self.0.clone();
        tokio::spawn(async move {
            let mut nap = inner.clock.sleep_ms(EVERY_MS);
            loop {
                tokio::select! {
                    () = &mut nap => {}
                    () = inner.stop.cancelled() => return,
                }
                // Started here, so that the duration of a check is not added to the interval.
                nap = inner.clock.sleep_ms(EVERY_MS);
                let checked = tokio::select! {
                    checked = inner.check() => checked,
                    () = inner.stop.cancelled() => return,
                };
                match checked {
                    Ok(()) | Err(StoreError::Closed) => {}
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the check for alerts failed"
                        );
                    }
                }
                inner.checks.send_modify(|n| *n += 1);
            }
        })
    }

    /// Stops it; unfinished notifications are abandoned.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Changes after every check.
    pub fn checks(&self) -> watch::Receiver<u64> {
        self.0.checks.subscribe()
    }

    /// Sends a sample alert to a target, whatever was sent before, and returns the result; `None` if too many
    /// tests are in flight.
    pub async fn test(&self, target: &AlertTarget, kind: AlertKind) -> Option<AlertTry> {
        let _slot = self.0.test_slots.take(target.id)?;
        let (now, dashboard) = (self.0.clock.now(), self.0.watched.dashboard.as_deref());
        let alert = Trouble::example(kind, now).alert(dashboard, now).as_test(dashboard);
        let tried = self.0.send(target, &alert).await;
        self.0.record(target, tried.clone(), None, None).await;
        Some(tried)
    }
}

impl Inner {
    async fn check(&self) -> Result<(), StoreError> {
        if !self.leadership.is_leader() {
            // What another node sends meanwhile is read again from storage.
            *self.sent.lock().await = None;
            return Ok(());
        }
        let mut targets = self.store.alert_target_list().await?;
        targets.retain(|target| target.is_enabled);
        if targets.is_empty() {
            return Ok(());
        }
        let mut sent = self.sent.lock().await;
        let sent = match &mut *sent {
            Some(sent) => sent,
            none => none.insert(self.store.alert_told().await?.into_iter().map(keyed).collect()),
        };
        let wanted: HashSet<AlertKind> = targets.iter().flat_map(|target| target.kinds.clone()).collect();
        let (now, observed) = (self.clock.now(), self.observe(&wanted).await?);
        let each = targets.iter().map(|target| {
            let troubles = troubles_of(target, &observed, &self.watched, now);
            self.notify(target, troubles, sent, now)
        });
        for news in join_all(each).await {
            sent.extend(news.into_iter().map(keyed));
        }
        self.forget_resolved(&targets, &observed, sent, now).await;
        Ok(())
    }

    /// Reads the state that the subscribed kinds need.
    async fn observe(&self, wanted: &HashSet<AlertKind>) -> Result<Observed, StoreError> {
        let wants = |kind| wanted.contains(&kind);
        let limit = self.watched.disable_after_failures;
        let endpoints = if wants(AlertKind::WebhookDisabled) || wants(AlertKind::WebhookFailing) {
            let half = (limit > 1).then(|| limit.div_ceil(2));
            self.store.endpoint_troubles(half).await?
        } else {
            Vec::new()
        };
        let (mut due_since, mut pending) = (None, 0);
        if wants(AlertKind::QueueLate) {
            due_since = self.store.queue_oldest().await?.of_active;
            if due_since.is_some() {
                pending = self.store.queue_depth(PENDING_MAX).await?;
            }
        }
        let mut disks = Vec::new();
        if wants(AlertKind::DiskLow) {
            let directories = self.watched.directories.clone();
            // A network disk may hang.
            disks = tokio::task::spawn_blocking(move || disks_of(&directories)).await.unwrap_or_default();
        }
        Ok(Observed { endpoints, due_since, pending, disks, backup: self.backups.failure() })
    }

    /// Sends the alerts that are due to a target, and returns those that were sent.
    async fn notify(
        &self,
        target: &AlertTarget,
        troubles: Vec<Trouble>,
        sent: &HashMap<Key, Told>,
        now: Timestamp,
    ) -> Vec<Told> {
        let mut news = Vec::new();
        for trouble in troubles {
            let (kind, subject, mark) = (trouble.kind(), trouble.subject(), trouble.mark());
            let known = sent.get(&(target.id, kind, subject.clone()));
            if known.is_some_and(|known| !known.allows(mark.as_deref(), now)) {
                continue;
            }
            let trouble = self.with_history(trouble, now).await;
            let alert = trouble.alert(self.watched.dashboard.as_deref(), now);
            let tried = self.send(target, &alert).await;
            let arrived = tried.error.is_none();
            let told = arrived.then_some(Told { target: target.id, kind, subject, mark, at: now });
            let entry = self.entry(target, &alert, &tried);
            self.record(target, tried, told.clone(), entry).await;
            news.extend(told);
            // A target that fails is tried again in a minute.
            if !arrived || news.len() == MESSAGES_MAX {
                break;
            }
        }
        news
    }

    /// Sends one request.
    async fn send(&self, target: &AlertTarget, alert: &Alert) -> AlertTry {
        let sent = match self.open(target) {
            Ok((url, token)) => {
                let posting = target.form.posting(&url, token.as_deref(), alert);
                let sent = self.sender.post(posting.url, &posting.headers, posting.body).await;
                sent.map(drop).map_err(|failure| failure.message)
            }
            Err(error) => Err(error.to_string()),
        };
        AlertTry { at: self.clock.now(), kind: alert.kind, error: sent.err() }
    }

    fn open(&self, target: &AlertTarget) -> Result<(Url, Option<String>), CannotOpen> {
        let url = self.vault.open_alert(target.id, "url", &target.url)?;
        let url = Url::parse(&url).expect("a URL is checked before it is sealed");
        let token = target.token.as_ref().map(|token| self.vault.open_alert(target.id, "token", token));
        Ok((url, token.transpose()?))
    }

    /// Stores the result of a notification; nothing else depends on it.
    async fn record(
        &self,
        target: &AlertTarget,
        tried: AlertTry,
        told: Option<Told>,
        entry: Option<Activity>,
    ) {
        if let Err(error) = self.store.alert_tried(target.id, tried, told, entry).await {
            tracing::warn!(%error, alert_target = target.name, "the result of an alert could not be stored");
        }
    }

    /// The entry for the activity log: every sent alert, and the first of consecutive failures.
    fn entry(&self, target: &AlertTarget, alert: &Alert, tried: &AlertTry) -> Option<Activity> {
        let (kind, summary) = match &tried.error {
            None => {
                tracing::info!(alert_target = target.name, kind = alert.kind.as_str(), "alert sent");
                (ActivityKind::AlertSent, format!("Alert sent to {}: {}.", target.name, alert.title))
            }
            Some(error) => {
                tracing::warn!(
                    error,
                    alert_target = target.name,
                    kind = alert.kind.as_str(),
                    "an alert could not be sent"
                );
                if target.last_try.as_ref().is_some_and(|last| last.error.is_some()) {
                    return None;
                }
                let summary = format!("Alert to {} failed ({}): {error}.", target.name, alert.title);
                (ActivityKind::AlertFailed, summary)
            }
        };
        Some(Activity {
            kind,
            app_id: None,
            actor: Actor::System.to_string(),
            address: None,
            summary,
            details: json!({
                "target_id": target.id.to_string(),
                "alert": alert.kind.as_str(),
                "subject": alert.subject,
                "text": alert.text,
                "error": tried.error,
            }),
            created_at: tried.at,
        })
    }

    /// Forgets resolved alerts, so that they are sent when they occur again. Within the hour only the mark is
    /// forgotten: the limit of one an hour stays.
    async fn forget_resolved(
        &self,
        targets: &[AlertTarget],
        observed: &Observed,
        sent: &mut HashMap<Key, Told>,
        now: Timestamp,
    ) {
        for target in targets {
            let lasting: HashSet<(AlertKind, String)> = troubles_of(target, observed, &self.watched, now)
                .iter()
                .map(|trouble| (trouble.kind(), trouble.subject()))
                .collect();
            let is_over = |told: &Told| {
                told.target == target.id && !lasting.contains(&(told.kind, told.subject.clone()))
            };
            let mut over: Vec<Key> = Vec::new();
            for (key, told) in sent.iter_mut().filter(|(_, told)| is_over(told)) {
                told.mark = None;
                if now >= told.at.plus_ms(SILENCE_MS) {
                    over.push(key.clone());
                }
            }
            for key in over {
                sent.remove(&key);
                let (target, kind, subject) = key;
                if let Err(error) = self.store.alert_forget(target, kind, subject).await {
                    tracing::warn!(%error, "a resolved alert could not be forgotten");
                }
            }
        }
    }

    /// Adds the time of the last success and the last error.
    async fn with_history(&self, mut trouble: Trouble, now: Timestamp) -> Trouble {
        let (Trouble::WebhookDisabled { webhook, .. } | Trouble::WebhookFailing { webhook, .. }) =
            &mut trouble
        else {
            return trouble;
        };
        match self.store.stats_health(webhook.app_id, webhook.id, ERRORS, now).await {
            Ok(Some(health)) => {
                webhook.since = health.errors.iter().filter_map(|error| error.since).min();
                let last = health.errors.into_iter().max_by_key(|error| error.last_at);
                webhook.last_error = last.map(|error| error.last_message);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, endpoint_id = %webhook.id, "an alert is sent without its history")
            }
        }
        trouble
    }
}

fn keyed(told: Told) -> (Key, Told) {
    ((told.target, told.kind, told.subject.clone()), told)
}

/// All current problems that a target subscribes to, sent or not.
fn troubles_of(target: &AlertTarget, observed: &Observed, watched: &Watched, now: Timestamp) -> Vec<Trouble> {
    let mut found: Vec<Trouble> = observed
        .endpoints
        .iter()
        .map(|endpoint| trouble_of(endpoint, watched.disable_after_failures))
        .collect();
    if let Some(since) = observed.due_since
        && now >= since.plus_ms(target.queue_age.as_millis_i64())
    {
        let limit = target.queue_age.clone();
        found.push(Trouble::QueueLate { since, pending: observed.pending, cap: PENDING_MAX, limit });
    }
    let limit_bytes = u64::from(target.disk_free_mib) << 20;
    for disk in observed.disks.iter().filter(|disk| disk.free_bytes < limit_bytes) {
        let DiskState { path, free_bytes, total_bytes } = disk;
        let (free_bytes, total_bytes) = (*free_bytes, *total_bytes);
        found.push(Trouble::DiskLow { path: path.clone(), free_bytes, total_bytes, limit_bytes });
    }
    if let Some((at, reason)) = observed.backup.clone() {
        found.push(Trouble::BackupFailed { reason, at });
    }
    let is_news = |trouble: &Trouble| trouble.happened_at().is_none_or(|at| at >= target.created_at);
    found.retain(|trouble| target.kinds.contains(&trouble.kind()) && is_news(trouble));
    found
}

fn trouble_of(endpoint: &EndpointTrouble, limit: u32) -> Trouble {
    let host = Url::parse(&endpoint.url).map_or(String::new(), |url| destination::authority(&url));
    let webhook = Webhook {
        id: endpoint.id,
        app_id: endpoint.app_id,
        name: endpoint.name.clone(),
        host,
        app: Some(endpoint.app_name.clone()).filter(|name| name != DEFAULT_APP),
        since: None,
        last_error: None,
    };
    match (endpoint.status, endpoint.disabled_at) {
        (EndpointStatus::Disabled, Some(at)) => {
            let reason = endpoint.status_reason.clone().unwrap_or_default();
            Trouble::WebhookDisabled { webhook, reason, at }
        }
        _ => Trouble::WebhookFailing { webhook, failures: endpoint.consecutive_failures, limit },
    }
}

/// The disks of the directories, each once.
fn disks_of(directories: &[PathBuf]) -> Vec<DiskState> {
    let mut known = HashSet::new();
    let mut disks = Vec::new();
    for directory in directories {
        let Some(found) = existing(directory).and_then(|path| disk::space(path).ok()) else {
            continue;
        };
        if known.insert(found.file_system) {
            disks.push(DiskState {
                path: directory.display().to_string(),
                free_bytes: found.free_bytes,
                total_bytes: found.total_bytes,
            });
        }
    }
    disks
}

/// The directory, or its nearest existing ancestor.
fn existing(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|path| path.exists())
}
