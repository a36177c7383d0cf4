//! What can be wrong, and the sentences about it.

use super::*;

/// A webhook that is in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: EndpointId,
    pub app_id: AppId,
    pub name: String,
    /// Host and port of its URL.
    pub host: String,
    /// The name of its app; `None` where there is only one.
    pub app: Option<String>,
    /// Since when nothing was delivered, if that is known.
    pub since: Option<Timestamp>,
    /// What went wrong last, in the log's words.
    pub last_error: Option<String>,
}

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    WebhookDisabled {
        webhook: Webhook,
        /// A sentence.
        reason: String,
        at: Timestamp,
    },
    WebhookFailing {
        webhook: Webhook,
        /// Failures in a row, and how many of them switch it off.
        failures: u32,
        limit: u32,
    },
    QueueLate {
        /// Since when the oldest delivery is due.
        since: Timestamp,
        /// Deliveries that are pending, counted up to the cap.
        pending: u64,
        cap: u64,
        limit: Span,
    },
    DiskLow {
        path: String,
        free_bytes: u64,
        total_bytes: u64,
        limit_bytes: u64,
    },
    BackupFailed {
        reason: String,
        at: Timestamp,
    },
}

impl Trouble {
    /// Its kind.
    pub fn kind(&self) -> AlertKind {
        match self {
            Trouble::WebhookDisabled { .. } => AlertKind::WebhookDisabled,
            Trouble::WebhookFailing { .. } => AlertKind::WebhookFailing,
            Trouble::QueueLate { .. } => AlertKind::QueueLate,
            Trouble::DiskLow { .. } => AlertKind::DiskLow,
            Trouble::BackupFailed { .. } => AlertKind::BackupFailed,
        }
    }

    /// What it is about; see [`Told::subject`].
    pub fn subject(&self) -> String {
        match self {
            Trouble::WebhookDisabled { webhook, .. } | Trouble::WebhookFailing { webhook, .. } => {
                webhook.id.to_string()
            }
            Trouble::DiskLow { path, .. } => path.clone(),
            Trouble::QueueLate { .. } | Trouble::BackupFailed { .. } => String::new(),
        }
    }

    /// What tells this trouble from an earlier one of the same kind and subject: the same mark is told
    /// once. `None`: it is told again each hour for as long as it lasts, because it only gets worse.
    pub fn mark(&self) -> Option<String> {
        match self {
            Trouble::WebhookDisabled { at, .. } | Trouble::BackupFailed { at, .. } => {
                Some(at.as_millis().to_string())
            }
            // Once for each time that it fails in a row; it is forgotten when something arrives.
            Trouble::WebhookFailing { .. } => Some("failing".to_owned()),
            Trouble::QueueLate { .. } | Trouble::DiskLow { .. } => None,
        }
    }

    /// The moment that it is of, for those that are one; a target that is made later does not hear of it.
    pub fn happened_at(&self) -> Option<Timestamp> {
        match self {
            Trouble::WebhookDisabled { at, .. } | Trouble::BackupFailed { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Puts it into words at `now`. `dashboard` is the URL of the dashboard, without a slash at the end.
    pub fn alert(&self, dashboard: Option<&str>, now: Timestamp) -> Alert {
        let (title, text, page) = self.words(now);
        let link = dashboard.map(|base| format!("{base}/{page}"));
        Alert { kind: self.kind(), subject: self.subject(), title, text, link, at: now, is_test: false }
    }

    /// An example of a kind, for trying a target.
    pub fn example(kind: AlertKind, now: Timestamp) -> Trouble {
        let webhook = Webhook {
            id: EndpointId::new(now),
            app_id: AppId::new(now),
            name: "Example".to_owned(),
            host: "example.com".to_owned(),
            app: None,
            since: Some(now.plus_ms(-4 * 3_600_000)),
            last_error: Some("HTTP 500 Internal Server Error".to_owned()),
        };
        match kind {
            AlertKind::WebhookDisabled => Trouble::WebhookDisabled {
                webhook,
                reason: "Disabled after 20 failed attempts in a row.".to_owned(),
                at: now,
            },
            AlertKind::WebhookFailing => Trouble::WebhookFailing { webhook, failures: 10, limit: 20 },
            AlertKind::QueueLate => Trouble::QueueLate {
                since: now.plus_ms(-25 * 60_000),
                pending: 412,
                cap: 10_000,
                limit: Span::parse("15m").unwrap_or_else(|| Span::from_secs(900)),
            },
            AlertKind::DiskLow => Trouble::DiskLow {
                path: "/var/lib/postrider".to_owned(),
                free_bytes: 812 << 20,
                total_bytes: 40 << 30,
                limit_bytes: 1 << 30,
            },
            AlertKind::BackupFailed => {
                Trouble::BackupFailed { reason: "No space left on device".to_owned(), at: now }
            }
        }
    }

    /// Title, text, and the page of the dashboard.
    fn words(&self, now: Timestamp) -> (String, String, String) {
        match self {
            Trouble::WebhookDisabled { webhook, reason, at } => (
                format!("Webhook \"{}\" was disabled", one_line(&webhook.name)),
                format!(
                    "{} gets no more events since {}. {reason}{} Fix the receiver, set the webhook to active, \
                     and recover what it missed.",
                    webhook.called(),
                    minute(*at),
                    webhook.history(),
                ),
                format!("webhooks/{}", webhook.id),
            ),
            Trouble::WebhookFailing { webhook, failures, limit } => (
                format!("Webhook \"{}\" is failing", one_line(&webhook.name)),
                format!(
                    "{} has failed {failures} times in a row; it is disabled after {limit}.{}",
                    webhook.called(),
                    webhook.history(),
                ),
                format!("webhooks/{}", webhook.id),
            ),
            Trouble::QueueLate { since, pending, cap, limit } => {
                let waits = roughly(now.as_millis() - since.as_millis());
                let more = if pending >= cap { "more than " } else { "" };
                let (deliveries, are) =
                    if *pending == 1 { ("delivery", "is") } else { ("deliveries", "are") };
                (
                    format!("Deliveries are {waits} late"),
                    format!(
                        "The oldest delivery has been due since {} (the limit is {limit}); {more}{pending} \
                         {deliveries} {are} pending. Either a receiver takes less than it is sent, or the \
                         server cannot keep up.",
                        minute(*since),
                    ),
                    "webhook-deliveries?status=pending".to_owned(),
                )
            }
            Trouble::DiskLow { path, free_bytes, total_bytes, limit_bytes } => (
                format!("Only {} are free", size(*free_bytes)),
                format!(
                    "{} of {} are free on the disk of {path}, less than the limit of {}. When nothing is left, \
                     events are refused and nothing is sent. Free some space, or shorten retention.",
                    size(*free_bytes),
                    size(*total_bytes),
                    size(*limit_bytes),
                ),
                "retention".to_owned(),
            ),
            Trouble::BackupFailed { reason, at } => (
                "The backup failed".to_owned(),
                format!(
                    "The backup of {} failed: {reason}. It is tried again within ten minutes.",
                    minute(*at)
                ),
                "logs?kind=backup.failed".to_owned(),
            ),
        }
    }
}

impl Webhook {
    /// `"Shop" (shop.example.com, app billing)`
    fn called(&self) -> String {
        let app = self.app.as_ref().map_or(String::new(), |app| format!(", app {}", one_line(app)));
        format!("\"{}\" ({}{app})", one_line(&self.name), self.host)
    }

    /// Since when and why, as far as it is known; begins with a space.
    fn history(&self) -> String {
        let mut text = String::new();
        if let Some(since) = self.since {
            text += &format!(" Nothing was delivered since {}.", minute(since));
        }
        if let Some(error) = &self.last_error {
            let error = one_line(error);
            let end = if error.ends_with('.') { "" } else { "." };
            text += &format!(" The last failure: {error}{end}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_in_sentences_with_names_numbers_and_times() {
        let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        let said = |kind| {
            let alert = Trouble::example(kind, now).alert(Some("https://h.example/hooks/admin"), now);
            (alert.title, alert.text, alert.link.unwrap())
        };
        let (title, text, link) = said(AlertKind::WebhookDisabled);
        assert_eq!(title, "Webhook \"Example\" was disabled");
        assert_eq!(
            text,
            "\"Example\" (example.com) gets no more events since 2026-03-01 12:00 UTC. Disabled after 20 failed \
             attempts in a row. Nothing was delivered since 2026-03-01 08:00 UTC. The last failure: HTTP 500 \
             Internal Server Error. Fix the receiver, set the webhook to active, and recover what it missed."
        );
        assert!(link.starts_with("https://h.example/hooks/admin/webhooks/0"), "{link}");
        let (title, text, _) = said(AlertKind::WebhookFailing);
        assert_eq!(title, "Webhook \"Example\" is failing");
        assert!(
            text.starts_with(
                "\"Example\" (example.com) has failed 10 times in a row; it is disabled after 20."
            )
        );
        let (title, text, link) = said(AlertKind::QueueLate);
        assert_eq!(title, "Deliveries are 25 minutes late");
        assert!(text.contains("since 2026-03-01 11:35 UTC (the limit is 15m); 412 deliveries are pending"));
        assert!(link.ends_with("/webhook-deliveries?status=pending"));
        let (title, text, _) = said(AlertKind::DiskLow);
        assert_eq!(title, "Only 812 MiB are free");
        assert!(text.starts_with("812 MiB of 40.0 GiB are free on the disk of /var/lib/postrider"));
        let (_, text, _) = said(AlertKind::BackupFailed);
        assert!(text.starts_with("The backup of 2026-03-01 12:00 UTC failed: No space left on device."));
    }

    #[test]
    fn a_name_with_line_breaks_stays_on_its_line_and_an_app_is_named() {
        let now = Timestamp::from_millis(0);
        let mut trouble = Trouble::example(AlertKind::WebhookFailing, now);
        if let Trouble::WebhookFailing { webhook, .. } = &mut trouble {
            (webhook.name, webhook.app) = ("A\r\nB".to_owned(), Some("billing".to_owned()));
        }
        let alert = trouble.alert(None, now);
        assert_eq!((alert.title.as_str(), alert.link), ("Webhook \"A B\" is failing", None));
        assert!(alert.text.starts_with("\"A B\" (example.com, app billing) has"), "{}", alert.text);
    }
}
