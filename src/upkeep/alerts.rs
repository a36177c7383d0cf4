//! Tells people of troubles: looks once a minute, and sends what they should hear of to the targets that
//! they have set up.
//!
//! It looks at what *is* (which endpoints are switched off, since when the queue waits), not at what has
//! just happened: so nothing is lost by a restart or by a target that is down, what was mended meanwhile is
//! not told, and what could not be told is tried again a minute later. What was told is kept, by kind and
//! subject: nothing is told twice within an hour, and what stays as it is is told once.
//!
//! Without targets it reads one small table each minute and nothing else. Requests go the way of
//! deliveries, past the same guard.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::delivery::Sender;
use crate::delivery::sending::recipients;
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::alert::{Alert, AlertTarget, AlertTry, SILENCE_MS, Told, Trouble, Webhook};
use crate::domain::{Activity, ActivityKind, Actor, AlertKind, AlertTargetId, EndpointStatus, Timestamp};
use crate::host::clock::Clock;
use crate::host::disk;
use crate::host::vault::{CannotOpen, Vault};
use crate::store::{EndpointTrouble, Store, StoreError};
use crate::upkeep::backup::Scheduled;

/// How often it looks.
const EVERY_MS: u32 = 60_000;
/// The most that one target is told in one look; the rest comes with the next.
const MESSAGES_MAX: usize = 5;
/// Pending deliveries are counted up to here.
const PENDING_MAX: u64 = 10_000;
/// Kinds of errors that are looked at for the last one.
const ERRORS: u32 = 10;

/// What is watched, besides storage.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Failed attempts in a row that disable an endpoint; 0 = never.
    pub disable_after_failures: u32,
    /// Directories whose disks must not fill up.
    pub directories: Vec<PathBuf>,
    /// The URL of the dashboard, without a slash at the end, when it is configured.
    pub dashboard: Option<String>,
}

/// Looks, and tells.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

type Key = (AlertTargetId, AlertKind, String);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    sender: Arc<Sender>,
    backups: Scheduled,
    watched: Watched,
    /// What was told last. Storage has it as well, but a full disk must not make alerts repeat themselves.
    told: Mutex<Option<HashMap<Key, Told>>>,
    looks: watch::Sender<u64>,
    stop: CancellationToken,
}

/// A disk at one moment.
struct Disk {
    path: String,
    free_bytes: u64,
    total_bytes: u64,
}

/// What was seen in a look, as far as any target asks for it.
struct Seen {
    endpoints: Vec<EndpointTrouble>,
    due_since: Option<Timestamp>,
    pending: u64,
    disks: Vec<Disk>,
    backup: Option<(Timestamp, String)>,
}

impl Alerts {
    /// Joins the parts; nothing runs yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        sender: Arc<Sender>,
        backups: Scheduled,
        watched: Watched,
    ) -> Alerts {
        let (told, looks, stop) = (Mutex::default(), watch::Sender::new(0), CancellationToken::new());
        Alerts(Arc::new(Inner { store, clock, vault, sender, backups, watched, told, looks, stop }))
    }

    /// Looks once a minute, the first time a minute from now, until [`Alerts::stop`].
    pub fn start(&self) -> JoinHandle<()> {
        let inner = self.0.clone();
        tokio::spawn(async move {
            let mut nap = inner.clock.sleep_ms(EVERY_MS);
            loop {
                tokio::select! {
                    () = &mut nap => {}
                    () = inner.stop.cancelled() => return,
                }
                // Begun here, so that the time of a look is no addition to it.
                nap = inner.clock.sleep_ms(EVERY_MS);
                let looked = tokio::select! {
                    looked = inner.look() => looked,
                    () = inner.stop.cancelled() => return,
                };
                match looked {
                    Ok(()) | Err(StoreError::Closed) => {}
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "alerts could not be looked for"
                        );
                    }
                }
                inner.looks.send_modify(|n| *n += 1);
            }
        })
    }

    /// Ends it; what is being told is given up.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Changes with every look that is over.
    pub fn looks(&self) -> watch::Receiver<u64> {
        self.0.looks.subscribe()
    }

    /// Sends an example of a kind to a target, whatever was told before, and says what became of it.
    pub async fn test(&self, target: &AlertTarget, kind: AlertKind) -> AlertTry {
        let (now, dashboard) = (self.0.clock.now(), self.0.watched.dashboard.as_deref());
        let alert = Trouble::example(kind, now).alert(dashboard, now).as_test(dashboard);
        let tried = self.0.send(target, &alert).await;
        self.0.note(target, tried.clone(), None, None).await;
        tried
    }
}

impl Inner {
    async fn look(&self) -> Result<(), StoreError> {
        let mut targets = self.store.alert_target_list().await?;
        targets.retain(|target| target.is_enabled);
        if targets.is_empty() {
            return Ok(());
        }
        let mut told = self.told.lock().await;
        let told = match &mut *told {
            Some(told) => told,
            none => none.insert(self.store.alert_told().await?.into_iter().map(keyed).collect()),
        };
        let wanted: HashSet<AlertKind> = targets.iter().flat_map(|target| target.kinds.clone()).collect();
        let (now, seen) = (self.clock.now(), self.see(&wanted).await?);
        let each = targets.iter().map(|target| {
            let troubles = troubles_of(target, &seen, &self.watched, now);
            self.tell(target, troubles, told, now)
        });
        for news in join_all(each).await {
            told.extend(news.into_iter().map(keyed));
        }
        self.forget(&targets, &seen, told, now).await;
        Ok(())
    }

    /// Looks at what the wanted kinds are about.
    async fn see(&self, wanted: &HashSet<AlertKind>) -> Result<Seen, StoreError> {
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
            // A disk of the network may hang.
            disks = tokio::task::spawn_blocking(move || disks_of(&directories)).await.unwrap_or_default();
        }
        Ok(Seen { endpoints, due_since, pending, disks, backup: self.backups.failure() })
    }

    /// Tells a target what it is time to tell, and gives what was told.
    async fn tell(
        &self,
        target: &AlertTarget,
        troubles: Vec<Trouble>,
        told: &HashMap<Key, Told>,
        now: Timestamp,
    ) -> Vec<Told> {
        let mut news = Vec::new();
        for trouble in troubles {
            let (kind, subject, mark) = (trouble.kind(), trouble.subject(), trouble.mark());
            let known = told.get(&(target.id, kind, subject.clone()));
            if known.is_some_and(|known| !known.allows(mark.as_deref(), now)) {
                continue;
            }
            let trouble = self.with_history(trouble, now).await;
            let alert = trouble.alert(self.watched.dashboard.as_deref(), now);
            let tried = self.send(target, &alert).await;
            let arrived = tried.error.is_none();
            let told = arrived.then_some(Told { target: target.id, kind, subject, mark, at: now });
            let entry = self.entry(target, &alert, &tried);
            self.note(target, tried, told.clone(), entry).await;
            news.extend(told);
            // Who does not answer is asked again in a minute.
            if !arrived || news.len() == MESSAGES_MAX {
                break;
            }
        }
        news
    }

    /// Makes one request.
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

    /// Writes what became of a try; nothing else depends on it.
    async fn note(&self, target: &AlertTarget, tried: AlertTry, told: Option<Told>, entry: Option<Activity>) {
        if let Err(error) = self.store.alert_tried(target.id, tried, told, entry).await {
            tracing::warn!(%error, alert_target = target.name, "what became of an alert could not be noted");
        }
    }

    /// What the activity log says of it: everything that was told, and the first failure of a row.
    fn entry(&self, target: &AlertTarget, alert: &Alert, tried: &AlertTry) -> Option<Activity> {
        let (kind, summary) = match &tried.error {
            None => {
                tracing::info!(alert_target = target.name, kind = alert.kind.as_str(), "alert sent");
                (ActivityKind::AlertSent, format!("{} was told: {}.", target.name, alert.title))
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
                let summary = format!("{} could not be told ({}): {error}.", target.name, alert.title);
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

    /// Forgets what is over, so that it is told when it comes again. Within the hour only its mark is
    /// forgotten: the silence lasts.
    async fn forget(
        &self,
        targets: &[AlertTarget],
        seen: &Seen,
        told: &mut HashMap<Key, Told>,
        now: Timestamp,
    ) {
        for target in targets {
            let lasting: HashSet<(AlertKind, String)> = troubles_of(target, seen, &self.watched, now)
                .iter()
                .map(|trouble| (trouble.kind(), trouble.subject()))
                .collect();
            let is_over = |told: &Told| {
                told.target == target.id && !lasting.contains(&(told.kind, told.subject.clone()))
            };
            let mut over: Vec<Key> = Vec::new();
            for (key, told) in told.iter_mut().filter(|(_, told)| is_over(told)) {
                told.mark = None;
                if now >= told.at.plus_ms(SILENCE_MS) {
                    over.push(key.clone());
                }
            }
            for key in over {
                told.remove(&key);
                let (target, kind, subject) = key;
                if let Err(error) = self.store.alert_forget(target, kind, subject).await {
                    tracing::warn!(%error, "an alert that is over could not be forgotten");
                }
            }
        }
    }

    /// Adds since when nothing has arrived, and what went wrong last.
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
                tracing::warn!(%error, endpoint_id = %webhook.id, "an alert goes without its history")
            }
        }
        trouble
    }
}

fn keyed(told: Told) -> (Key, Told) {
    ((told.target, told.kind, told.subject.clone()), told)
}

/// What a target should hear of, whether it was told or not.
fn troubles_of(target: &AlertTarget, seen: &Seen, watched: &Watched, now: Timestamp) -> Vec<Trouble> {
    let mut found: Vec<Trouble> =
        seen.endpoints.iter().map(|endpoint| trouble_of(endpoint, watched.disable_after_failures)).collect();
    if let Some(since) = seen.due_since
        && now >= since.plus_ms(target.queue_age.as_millis_i64())
    {
        let limit = target.queue_age.clone();
        found.push(Trouble::QueueLate { since, pending: seen.pending, cap: PENDING_MAX, limit });
    }
    let limit_bytes = u64::from(target.disk_free_mib) << 20;
    for disk in seen.disks.iter().filter(|disk| disk.free_bytes < limit_bytes) {
        let Disk { path, free_bytes, total_bytes } = disk;
        let (free_bytes, total_bytes) = (*free_bytes, *total_bytes);
        found.push(Trouble::DiskLow { path: path.clone(), free_bytes, total_bytes, limit_bytes });
    }
    if let Some((at, reason)) = seen.backup.clone() {
        found.push(Trouble::BackupFailed { reason, at });
    }
    let is_news = |trouble: &Trouble| trouble.happened_at().is_none_or(|at| at >= target.created_at);
    found.retain(|trouble| target.kinds.contains(&trouble.kind()) && is_news(trouble));
    found
}

fn trouble_of(endpoint: &EndpointTrouble, limit: u32) -> Trouble {
    let host = Url::parse(&endpoint.url).map_or(String::new(), |url| recipients::authority(&url));
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

/// The disks that directories are on, each once.
fn disks_of(directories: &[PathBuf]) -> Vec<Disk> {
    let mut known = HashSet::new();
    let mut disks = Vec::new();
    for directory in directories {
        let Some(found) = existing(directory).and_then(|path| disk::room(path).ok()) else {
            continue;
        };
        if known.insert(found.file_system) {
            disks.push(Disk {
                path: directory.display().to_string(),
                free_bytes: found.free_bytes,
                total_bytes: found.total_bytes,
            });
        }
    }
    disks
}

/// The directory, or the nearest one above it that is there.
fn existing(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|path| path.exists())
}
