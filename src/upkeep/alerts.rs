//! Alerts: checks for problems once a minute and notifies the configured targets.
//!
//! It checks the current *state* (which endpoints are disabled, how old the queue is), not events. So nothing
//! is lost by a restart or by a target that is down, a problem that was fixed meanwhile raises no alert, and
//! a failed notification is tried again a minute later. Sent alerts are stored by kind and subject: the same
//! alert is sent at most once an hour, and a state that lasts is alerted once.
//!
//! Without targets and contacts it reads one small table a minute and nothing else. Requests and mails pass the same
//! guard as deliveries. [`found`] says who is alerted of what.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cluster::Leadership;
use crate::delivery::Sender;
use crate::delivery::sending::mail::Mail;
use crate::delivery::test_slots::TestSlots;
use crate::domain::alert::{Alert, AlertTarget, AlertTry, Form, SILENCE_MS, Smtp, Told, Trouble};
use crate::domain::{Activity, ActivityKind, Actor, AlertKind, AlertTargetId, Timestamp};
use crate::host::clock::Clock;
use crate::host::vault::{CannotOpen, Vault};
use crate::store::{Store, StoreError};
use crate::upkeep::backup::BackupSchedule;
use crate::upkeep::retention::Sweeper;

mod found;

use found::{Address, Key, Observed, PENDING_MAX, Recipient, disks_of, key_of};

/// Interval of the checks.
const EVERY_MS: u32 = 60_000;
/// Maximum alerts to one target in one check; the rest follows with the next check.
const MESSAGES_MAX: usize = 5;
/// Recipients that are notified at the same time.
const AT_ONCE: usize = 16;
/// Number of error kinds that are read to find the latest error.
const ERRORS: u32 = 10;

/// What is checked besides storage.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Directories whose disks are checked.
    pub directories: Vec<PathBuf>,
    /// The URL of the dashboard without trailing slash, if configured.
    pub dashboard: Option<String>,
}

/// Checks, and notifies.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Arc<Vault>,
    sender: Arc<Sender>,
    backups: BackupSchedule,
    sweeper: Sweeper,
    leadership: Arc<dyn Leadership>,
    watched: Watched,
    /// The last alerts. Also in storage, but a full disk must not make alerts repeat.
    sent: Mutex<Option<HashMap<Key, Told>>>,
    checks: watch::Sender<u64>,
    test_slots: TestSlots<AlertTargetId>,
    stop: CancellationToken,
}

impl Alerts {
    /// Joins the parts; nothing runs yet.
    #[allow(clippy::too_many_arguments, reason = "the parts that are joined")]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Arc<Vault>,
        sender: Arc<Sender>,
        backups: BackupSchedule,
        sweeper: Sweeper,
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
            sweeper,
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
        let recipient = Recipient::target(target.clone());
        let tried = self.0.send(&recipient, &alert).await;
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
        let has_contacts = self.store.has_contacts().await?;
        if targets.is_empty() && !has_contacts {
            return Ok(());
        }
        let mut sent = self.sent.lock().await;
        let sent = match &mut *sent {
            Some(sent) => sent,
            none => {
                let told = self.store.alert_told().await?;
                none.insert(told.into_iter().map(|told| (key_of(&told), told)).collect())
            }
        };
        let mut wanted: HashSet<AlertKind> = targets.iter().flat_map(|target| target.kinds.clone()).collect();
        if has_contacts {
            wanted.extend(AlertKind::OF_WEBHOOKS);
        }
        let (now, observed) = (self.clock.now(), self.observe(&wanted).await?);
        let contacts = observed.endpoints.iter().enumerate();
        let contacts = contacts.filter_map(|(at, endpoint)| Recipient::contact(endpoint, at, &targets));
        let contacts: Vec<Recipient> = contacts.collect();
        let recipients: Vec<Recipient> = targets.into_iter().map(Recipient::target).chain(contacts).collect();
        for some in recipients.chunks(AT_ONCE) {
            let mut each = Vec::with_capacity(some.len());
            for recipient in some {
                each.push((recipient, self.troubles_of(recipient, &observed, sent, now).await?));
            }
            let notified =
                each.iter().map(|(recipient, troubles)| self.notify(recipient, troubles, sent, now));
            for news in join_all(notified).await {
                sent.extend(news.into_iter().map(|told| (key_of(&told), told)));
            }
            for (recipient, troubles) in &each {
                self.forget_resolved(recipient, troubles, sent, now).await;
            }
        }
        Ok(())
    }

    /// All current problems that a recipient is alerted of.
    async fn troubles_of(
        &self,
        recipient: &Recipient,
        observed: &Observed,
        sent: &HashMap<Key, Told>,
        now: Timestamp,
    ) -> Result<Vec<Trouble>, StoreError> {
        let since = recipient.untold_since(sent, now);
        let candidates = recipient.exhausted_since(observed, since);
        let exhausted = match candidates.is_empty() {
            true => Vec::new(),
            false => self.store.exhausted_counts(candidates, since, now).await?,
        };
        Ok(recipient.troubles(observed, sent, &exhausted, now))
    }

    /// Reads the state that the subscribed kinds need.
    async fn observe(&self, wanted: &HashSet<AlertKind>) -> Result<Observed, StoreError> {
        let wants = |kind| wanted.contains(&kind);
        let endpoints = match AlertKind::OF_WEBHOOKS.into_iter().any(wants) {
            true => self.store.watched_endpoints().await?,
            false => Vec::new(),
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
        let local = match wants(AlertKind::CannotSend) {
            true => self.store.local_failures(PENDING_MAX).await?,
            false => None,
        };
        let retention = self.sweeper.state().held_back;
        let (backup, clock_ahead_ms) = (self.backups.failure(), self.clock.ahead_ms());
        Ok(Observed { endpoints, due_since, pending, disks, backup, local, retention, clock_ahead_ms })
    }

    /// Sends the alerts that are due to a recipient, and returns those that were sent.
    async fn notify(
        &self,
        recipient: &Recipient,
        troubles: &[Trouble],
        sent: &HashMap<Key, Told>,
        now: Timestamp,
    ) -> Vec<Told> {
        let target = &recipient.target;
        let mut news = Vec::new();
        for trouble in troubles {
            let (kind, subject, mark) = (trouble.kind(), trouble.subject(), trouble.mark());
            let known = sent.get(&(target.id, kind, subject.clone()));
            if known.is_some_and(|known| !known.allows(mark.as_deref(), now)) {
                continue;
            }
            if !target.kinds.contains(&kind) {
                news.extend(self.track(Told { target: target.id, kind, subject, mark, at: now }).await);
                continue;
            }
            let trouble = self.with_history(trouble.clone(), now).await;
            let alert = trouble.alert(self.watched.dashboard.as_deref(), now);
            let tried = self.send(recipient, &alert).await;
            let arrived = tried.error.is_none();
            let told = arrived.then_some(Told { target: target.id, kind, subject, mark, at: now });
            let entry = self.entry(target, &alert, &tried);
            self.record(target, tried, told.clone(), entry).await;
            news.extend(told);
            // A target that fails is tried again in a minute.
            if !arrived || news.len() >= MESSAGES_MAX {
                break;
            }
        }
        news
    }

    /// Notes a problem that is not sent, but that a later alert depends on.
    async fn track(&self, told: Told) -> Option<Told> {
        match self.store.alert_track(told.clone()).await {
            Ok(()) => Some(told),
            Err(error) => {
                tracing::warn!(%error, "a problem could not be tracked");
                None
            }
        }
    }

    /// Sends one alert.
    async fn send(&self, recipient: &Recipient, alert: &Alert) -> AlertTry {
        let target = &recipient.target;
        let sent = match &recipient.address {
            Address::Target => match (&target.smtp, self.open(target)) {
                (_, Err(error)) => Err(error.to_string()),
                (Some(smtp), Ok((_, password))) => self.mail(smtp, password.as_deref(), alert).await,
                (None, Ok((url, token))) => self.post(target.form, &url, token.as_deref(), alert).await,
            },
            Address::Url(url) => self.post(Form::Json, url, None, alert).await,
            Address::Mail(server) => match (&target.smtp, self.open(server)) {
                (Some(smtp), Ok((_, password))) => self.mail(smtp, password.as_deref(), alert).await,
                (_, Err(error)) => Err(error.to_string()),
                (None, _) => Err("there is no mail server".to_owned()),
            },
        };
        AlertTry { at: self.clock.now(), kind: alert.kind, error: sent.err() }
    }

    async fn post(&self, form: Form, url: &Url, token: Option<&str>, alert: &Alert) -> Result<(), String> {
        let Some(posting) = form.posting(url, token, alert) else {
            return Err("it has no mail server; edit it".to_owned());
        };
        let sent = self.sender.post(posting.url, &posting.headers, posting.body).await;
        sent.map(drop).map_err(|failure| failure.message)
    }

    async fn mail(&self, smtp: &Smtp, password: Option<&str>, alert: &Alert) -> Result<(), String> {
        let link = alert.link.as_ref().map_or(String::new(), |link| format!("\n\n{link}"));
        let text = format!("{}{link}\n", alert.text);
        self.sender.mail(smtp, password, &Mail { subject: alert.title.clone(), text, at: alert.at }).await
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
        recipient: &Recipient,
        troubles: &[Trouble],
        sent: &mut HashMap<Key, Told>,
        now: Timestamp,
    ) {
        let id = recipient.target.id;
        let mut lasting: HashSet<(AlertKind, String)> =
            troubles.iter().map(|trouble| (trouble.kind(), trouble.subject())).collect();
        // What has recovered is remembered as failing until that was told.
        for trouble in troubles.iter().filter(|trouble| trouble.kind() == AlertKind::WebhookRecovered) {
            let told = sent.get(&(id, AlertKind::WebhookRecovered, trouble.subject()));
            if told.is_none_or(|told| told.mark != trouble.mark()) {
                lasting.insert((AlertKind::WebhookFailing, trouble.subject()));
            }
        }
        let is_over = |told: &Told| {
            told.target == id
                // The next digest goes on from the last one.
                && told.kind != AlertKind::DeliveriesExhausted
                && !lasting.contains(&(told.kind, told.subject.clone()))
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

    /// Adds the time of the last success and the last error.
    async fn with_history(&self, mut trouble: Trouble, now: Timestamp) -> Trouble {
        let (Trouble::WebhookDisabled { webhook, .. }
        | Trouble::WebhookFailing { webhook, .. }
        | Trouble::WebhookSilent { webhook, .. }) = &mut trouble
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
