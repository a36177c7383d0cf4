//! What can be wrong, and the sentences about it.

use super::sentences::{self, Words};
use super::*;

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
        /// Failures in a row.
        failures: u32,
        /// Whether only probes are sent.
        is_on_hold: bool,
    },
    WebhookRecovered {
        webhook: Webhook,
        /// When it was told that it fails.
        failing_since: Timestamp,
        /// Its last success.
        at: Timestamp,
    },
    WebhookSilent {
        webhook: Webhook,
        /// When its first failure without a success after it was.
        since: Timestamp,
        failures: u32,
        limit: Span,
    },
    DeliveriesExhausted {
        /// Webhooks and how many of their deliveries are exhausted, the most first; never empty.
        webhooks: Vec<(Webhook, u64)>,
        since: Timestamp,
    },
    CannotSend {
        since: Timestamp,
        /// Attempts that fail for it.
        pending: u64,
        reason: String,
    },
    RetentionPaused {
        /// Sentences.
        reason: String,
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
    ClockWrong {
        /// How far the database's clock is ahead of this machine's.
        ahead_ms: i64,
    },
}

impl Trouble {
    /// Its kind.
    pub fn kind(&self) -> AlertKind {
        match self {
            Trouble::WebhookDisabled { .. } => AlertKind::WebhookDisabled,
            Trouble::WebhookFailing { .. } => AlertKind::WebhookFailing,
            Trouble::WebhookRecovered { .. } => AlertKind::WebhookRecovered,
            Trouble::WebhookSilent { .. } => AlertKind::WebhookSilent,
            Trouble::DeliveriesExhausted { .. } => AlertKind::DeliveriesExhausted,
            Trouble::CannotSend { .. } => AlertKind::CannotSend,
            Trouble::RetentionPaused { .. } => AlertKind::RetentionPaused,
            Trouble::QueueLate { .. } => AlertKind::QueueLate,
            Trouble::DiskLow { .. } => AlertKind::DiskLow,
            Trouble::BackupFailed { .. } => AlertKind::BackupFailed,
            Trouble::ClockWrong { .. } => AlertKind::ClockWrong,
        }
    }

    /// What it is about; see [`Told::subject`].
    pub fn subject(&self) -> String {
        match self {
            Trouble::WebhookDisabled { webhook, .. }
            | Trouble::WebhookFailing { webhook, .. }
            | Trouble::WebhookRecovered { webhook, .. }
            | Trouble::WebhookSilent { webhook, .. } => webhook.id.to_string(),
            Trouble::DiskLow { path, .. } => path.clone(),
            Trouble::QueueLate { .. }
            | Trouble::BackupFailed { .. }
            | Trouble::DeliveriesExhausted { .. }
            | Trouble::CannotSend { .. }
            | Trouble::ClockWrong { .. }
            | Trouble::RetentionPaused { .. } => String::new(),
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
            Trouble::WebhookRecovered { failing_since: at, .. }
            | Trouble::WebhookSilent { since: at, .. } => Some(at.as_millis().to_string()),
            Trouble::RetentionPaused { .. } => Some("paused".to_owned()),
            Trouble::ClockWrong { .. } => Some("wrong".to_owned()),
            Trouble::QueueLate { .. }
            | Trouble::DiskLow { .. }
            | Trouble::DeliveriesExhausted { .. }
            | Trouble::CannotSend { .. } => None,
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
            app_id: crate::domain::AppId::new(now),
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
            AlertKind::WebhookFailing => Trouble::WebhookFailing { webhook, failures: 10, is_on_hold: true },
            AlertKind::WebhookRecovered => {
                Trouble::WebhookRecovered { webhook, failing_since: now.plus_ms(-4 * 3_600_000), at: now }
            }
            AlertKind::WebhookSilent => Trouble::WebhookSilent {
                webhook,
                since: now.plus_ms(-24 * 3_600_000),
                failures: 292,
                limit: Span::parse("1d").unwrap_or_else(|| Span::from_secs(86_400)),
            },
            AlertKind::DeliveriesExhausted => {
                Trouble::DeliveriesExhausted { webhooks: vec![(webhook, 12)], since: now.plus_ms(-3_600_000) }
            }
            AlertKind::CannotSend => Trouble::CannotSend {
                since: now.plus_ms(-3 * 60_000),
                pending: 412,
                reason: "the name example.com does not resolve at the moment".to_owned(),
            },
            AlertKind::RetentionPaused => Trouble::RetentionPaused {
                reason: "The clock says a day more than this server has seen last.".to_owned(),
            },
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
            AlertKind::ClockWrong => Trouble::ClockWrong { ahead_ms: 3_600_000 },
        }
    }

    /// Title, text, and the page of the dashboard.
    fn words(&self, now: Timestamp) -> Words {
        match self {
            Trouble::WebhookDisabled { webhook, reason, at } => sentences::disabled(webhook, reason, *at),
            Trouble::WebhookFailing { webhook, failures, is_on_hold } => {
                sentences::failing(webhook, *failures, *is_on_hold)
            }
            Trouble::WebhookRecovered { webhook, failing_since, at } => {
                sentences::recovered(webhook, *failing_since, *at)
            }
            Trouble::WebhookSilent { webhook, since, failures, limit } => {
                sentences::silent(webhook, *since, *failures, limit)
            }
            Trouble::DeliveriesExhausted { webhooks, since } => sentences::exhausted(webhooks, *since),
            Trouble::QueueLate { since, pending, cap, limit } => {
                sentences::late(*since, (*pending, *cap), limit, now)
            }
            Trouble::DiskLow { path, free_bytes, total_bytes, limit_bytes } => {
                sentences::disk_low(path, *free_bytes, *total_bytes, *limit_bytes)
            }
            Trouble::BackupFailed { reason, at } => sentences::backup_failed(reason, *at),
            Trouble::CannotSend { since, pending, reason } => {
                sentences::cannot_send(*since, *pending, reason)
            }
            Trouble::RetentionPaused { reason } => sentences::retention_paused(reason),
            Trouble::ClockWrong { ahead_ms } => sentences::clock_wrong(*ahead_ms),
        }
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
        assert!(text.starts_with("\"Example\" (example.com) has failed 10 times in a row."), "{text}");
        assert!(text.ends_with("its deliveries stay pending, and are sent when it works again."), "{text}");
        let (title, text, _) = said(AlertKind::WebhookRecovered);
        assert_eq!(title, "Webhook \"Example\" works again");
        assert!(text.contains("its last success was at 2026-03-01 12:00 UTC."), "{text}");
        let (title, text, _) = said(AlertKind::WebhookSilent);
        assert_eq!(title, "Nothing has reached webhook \"Example\"");
        assert!(
            text.contains("since 2026-02-28 12:00 UTC (the limit is 1d): 292 attempts failed."),
            "{text}"
        );
        let (title, text, _) = said(AlertKind::DeliveriesExhausted);
        assert_eq!(title, "12 deliveries have no retries left");
        assert!(text.contains("since 2026-03-01 11:00 UTC: 12 of \"Example\" (example.com). Fix"), "{text}");
        let (title, text, _) = said(AlertKind::CannotSend);
        assert_eq!(title, "This server cannot send");
        assert!(
            text.starts_with("Since 2026-03-01 11:57 UTC attempts fail for a cause of this server:"),
            "{text}"
        );
        assert_eq!(said(AlertKind::RetentionPaused).0, "Retention is paused");
        let (title, text, link) = said(AlertKind::QueueLate);
        assert_eq!(title, "Deliveries are 25 minutes late");
        assert!(text.contains("since 2026-03-01 11:35 UTC (the limit is 15m); 412 deliveries are pending"));
        assert!(link.ends_with("/webhook-deliveries?status=pending"));
        let (title, text, _) = said(AlertKind::DiskLow);
        assert_eq!(title, "Only 812 MiB are free");
        assert!(text.starts_with("812 MiB of 40.0 GiB are free on the disk of /var/lib/postrider"));
        let (_, text, _) = said(AlertKind::BackupFailed);
        assert!(text.starts_with("The backup of 2026-03-01 12:00 UTC failed: No space left on device."));
        let (title, text, _) = said(AlertKind::ClockWrong);
        assert_eq!(title, "The clock of the database is 60 minutes ahead");
        assert!(
            text.starts_with("The clock of the database is 60 minutes ahead of that of the node"),
            "{text}"
        );
        assert_eq!(sentences::clock_wrong(3_599_990).0, title);
        let (title, ..) = sentences::clock_wrong(-86_400_000 * 3);
        assert_eq!(title, "The clock of the database is 3 days behind");
    }

    #[test]
    fn a_digest_names_five_webhooks_and_counts_the_others() {
        let now = Timestamp::from_millis(0);
        let Trouble::DeliveriesExhausted { webhooks, since } =
            Trouble::example(AlertKind::DeliveriesExhausted, now)
        else {
            panic!("it is of its kind")
        };
        let webhooks = (0..7).map(|n| (webhooks[0].0.clone(), 7 - n)).collect();
        let alert = Trouble::DeliveriesExhausted { webhooks, since }.alert(None, now);
        assert_eq!(alert.title, "28 deliveries have no retries left");
        assert!(
            alert.text.contains("3 of \"Example\" (example.com), 3 of 2 other webhooks. Fix"),
            "{}",
            alert.text
        );
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
