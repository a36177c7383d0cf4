//! The state that a check finds, who is alerted, and of what.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use url::Url;

use crate::delivery::sending::destination;
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::alert::{AlertTarget, CLOCKS_APART_MS, Form, Smtp, Told, Trouble, Webhook};
use crate::domain::{AlertKind, AlertTargetId, EndpointId, EndpointStatus, Sealed, Span, Timestamp};
use crate::host::disk;
use crate::store::{LocalFailures, WatchedEndpoint};

/// Pending deliveries are counted up to here.
pub(super) const PENDING_MAX: u64 = 10_000;
/// How long local failures last before they are told, in ms.
const LOCAL_AFTER_MS: i64 = 60_000;
/// How long nothing may succeed at an endpoint before its contact is told.
const CONTACT_SILENT_AFTER: &str = "1d";

/// What was told last: to whom, of which kind, about what.
pub(super) type Key = (AlertTargetId, AlertKind, String);

/// Its key.
pub(super) fn key_of(told: &Told) -> Key {
    (told.target, told.kind, told.subject.clone())
}

/// The space of a disk.
pub(super) struct DiskState {
    path: String,
    free_bytes: u64,
    total_bytes: u64,
}

/// The state found by a check, as far as anybody is alerted of it.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) endpoints: Vec<WatchedEndpoint>,
    pub(super) due_since: Option<Timestamp>,
    pub(super) pending: u64,
    pub(super) disks: Vec<DiskState>,
    pub(super) backup: Option<(Timestamp, String)>,
    pub(super) local: Option<LocalFailures>,
    /// Why retention deletes nothing.
    pub(super) retention: Option<String>,
    /// How far the clock of the database is ahead of this machine's, where they were compared.
    pub(super) clock_ahead_ms: Option<i64>,
}

/// How a recipient is reached.
pub(super) enum Address {
    /// As the target says.
    Target,
    /// The contact of an endpoint: a URL.
    Url(Url),
    /// The contact of an endpoint: an e-mail address, by the mail server of this target.
    Mail(Box<AlertTarget>),
}

/// Who is alerted: a target, or the contact of an endpoint, which hears of that endpoint only.
pub(super) struct Recipient {
    /// Of a contact: one that is made up, with the endpoint's id.
    pub(super) target: AlertTarget,
    pub(super) address: Address,
    /// The place of the endpoint in [`Observed::endpoints`].
    only: Option<usize>,
}

impl Recipient {
    /// A target.
    pub(super) fn target(target: AlertTarget) -> Recipient {
        Recipient { target, address: Address::Target, only: None }
    }

    /// The contact of an endpoint. `None`: it has none, or there is no target whose mail server could be used.
    pub(super) fn contact(
        endpoint: &WatchedEndpoint,
        place: usize,
        targets: &[AlertTarget],
    ) -> Option<Recipient> {
        let contact = endpoint.contact.as_ref()?;
        let (form, address, smtp) = match Url::parse(contact) {
            Ok(url) if contact.contains("://") => (Form::Json, Address::Url(url), None),
            _ => {
                let server = targets.iter().find(|target| target.smtp.is_some())?;
                let smtp = server.smtp.clone().map(|smtp| Smtp { to: vec![contact.clone()], ..smtp });
                (Form::Email, Address::Mail(Box::new(server.clone())), smtp)
            }
        };
        let target = AlertTarget {
            id: AlertTargetId::from_uuid(endpoint.id.as_uuid()),
            name: format!("the contact of {}", endpoint.name),
            form,
            url: Sealed(vec![]),
            host: String::new(),
            token: None,
            smtp,
            kinds: AlertKind::OF_WEBHOOKS.to_vec(),
            queue_age: Span::from_secs(0),
            silent_after: Span::parse(CONTACT_SILENT_AFTER).unwrap_or_else(|| Span::from_secs(86_400)),
            disk_free_mib: 0,
            is_enabled: true,
            // It hears of what lasts, too: a person who sets a contact wants to know that.
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            last_try: None,
        };
        Some(Recipient { target, address, only: Some(place) })
    }

    /// The endpoints that it hears of.
    fn endpoints<'a>(&self, observed: &'a Observed) -> &'a [WatchedEndpoint] {
        match self.only {
            Some(place) => observed.endpoints.get(place..=place).unwrap_or_default(),
            None => &observed.endpoints,
        }
    }

    /// Since when exhausted deliveries have not been told.
    pub(super) fn untold_since(&self, sent: &HashMap<Key, Told>, now: Timestamp) -> Timestamp {
        let key = (self.target.id, AlertKind::DeliveriesExhausted, String::new());
        let last = sent.get(&key).map_or(self.target.created_at, |told| told.at);
        last.max(now.plus_ms(-86_400_000))
    }

    /// Endpoints of which deliveries may have become exhausted since then.
    pub(super) fn exhausted_since(&self, observed: &Observed, since: Timestamp) -> Vec<EndpointId> {
        if !self.target.kinds.contains(&AlertKind::DeliveriesExhausted) {
            return Vec::new();
        }
        let minute = since.plus_ms(-60_000);
        let recent =
            |endpoint: &&WatchedEndpoint| endpoint.record.last_exhausted_at.is_some_and(|at| at > minute);
        self.endpoints(observed).iter().filter(recent).map(|endpoint| endpoint.id).collect()
    }

    /// All current problems that it is alerted of, sent or not, and those that a later alert depends on.
    pub(super) fn troubles(
        &self,
        observed: &Observed,
        sent: &HashMap<Key, Told>,
        exhausted: &[(EndpointId, u64)],
        now: Timestamp,
    ) -> Vec<Trouble> {
        let target = &self.target;
        let mut found: Vec<Trouble> = Vec::new();
        for endpoint in self.endpoints(observed) {
            self.of_endpoint(endpoint, sent, now, &mut found);
        }
        found.extend(self.digest(observed, exhausted, sent, now));
        if self.only.is_none() {
            of_server(target, observed, now, &mut found);
        }
        let is_news = |trouble: &Trouble| trouble.happened_at().is_none_or(|at| at >= target.created_at);
        found.retain(|trouble| self.needs(trouble.kind()) && is_news(trouble));
        found
    }

    /// Whether it is alerted of a kind, or a later alert depends on that.
    fn needs(&self, kind: AlertKind) -> bool {
        let kinds = &self.target.kinds;
        let is_tracked = kind == AlertKind::WebhookFailing && kinds.contains(&AlertKind::WebhookRecovered);
        is_tracked || kinds.contains(&kind)
    }

    fn of_endpoint(
        &self,
        endpoint: &WatchedEndpoint,
        sent: &HashMap<Key, Told>,
        now: Timestamp,
        found: &mut Vec<Trouble>,
    ) {
        let record = &endpoint.record;
        match (endpoint.status, endpoint.disabled_at) {
            (EndpointStatus::Disabled, Some(at)) => {
                let reason = endpoint.status_reason.clone().unwrap_or_default();
                found.push(Trouble::WebhookDisabled { webhook: webhook_of(endpoint), reason, at });
            }
            (EndpointStatus::Active, _) => {
                if endpoint.is_failing {
                    let (failures, is_on_hold) = (endpoint.consecutive_failures, endpoint.is_on_hold);
                    found.push(Trouble::WebhookFailing {
                        webhook: webhook_of(endpoint),
                        failures,
                        is_on_hold,
                    });
                } else {
                    let key = (self.target.id, AlertKind::WebhookFailing, endpoint.id.to_string());
                    let failing = sent.get(&key).filter(|told| told.mark.is_some());
                    if let (Some(told), Some(at)) = (failing, record.last_success_at)
                        && at >= told.at
                    {
                        let failing_since = told.at;
                        found.push(Trouble::WebhookRecovered {
                            webhook: webhook_of(endpoint),
                            failing_since,
                            at,
                        });
                    }
                }
                let limit = &self.target.silent_after;
                if let (Some(since), true) = (record.failing_since, record.failures > 0)
                    && now >= since.plus_ms(limit.as_millis_i64())
                {
                    let (failures, limit) = (record.failures, limit.clone());
                    found.push(Trouble::WebhookSilent {
                        webhook: webhook_of(endpoint),
                        since,
                        failures,
                        limit,
                    });
                }
            }
            _ => {}
        }
    }

    fn digest(
        &self,
        observed: &Observed,
        exhausted: &[(EndpointId, u64)],
        sent: &HashMap<Key, Told>,
        now: Timestamp,
    ) -> Option<Trouble> {
        let counts: HashMap<EndpointId, u64> = exhausted.iter().copied().collect();
        let mut webhooks: Vec<(Webhook, u64)> = self
            .endpoints(observed)
            .iter()
            .filter_map(|endpoint| Some((webhook_of(endpoint), *counts.get(&endpoint.id)?)))
            .collect();
        webhooks.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let since = self.untold_since(sent, now);
        (!webhooks.is_empty()).then_some(Trouble::DeliveriesExhausted { webhooks, since })
    }
}

/// What is wrong with the server.
fn of_server(target: &AlertTarget, observed: &Observed, now: Timestamp, found: &mut Vec<Trouble>) {
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
    if let Some(LocalFailures { since, pending, message }) = observed.local.clone()
        && now >= since.plus_ms(LOCAL_AFTER_MS)
    {
        found.push(Trouble::CannotSend { since, pending, reason: message });
    }
    if let Some(reason) = observed.retention.clone() {
        found.push(Trouble::RetentionPaused { reason });
    }
    let is_apart = |ahead_ms: &i64| ahead_ms.saturating_abs() >= CLOCKS_APART_MS;
    found.extend(observed.clock_ahead_ms.filter(is_apart).map(|ahead_ms| Trouble::ClockWrong { ahead_ms }));
}

fn webhook_of(endpoint: &WatchedEndpoint) -> Webhook {
    let host = Url::parse(&endpoint.url).map_or(String::new(), |url| destination::authority(&url));
    Webhook {
        id: endpoint.id,
        app_id: endpoint.app_id,
        name: endpoint.name.clone(),
        host,
        app: Some(endpoint.app_name.clone()).filter(|name| name != DEFAULT_APP),
        since: None,
        last_error: None,
    }
}

/// The disks of the directories, each once.
pub(super) fn disks_of(directories: &[PathBuf]) -> Vec<DiskState> {
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
