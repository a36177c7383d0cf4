//! Alerts: what is told to people who are not looking, in sentences, and how each kind of messenger wants
//! to hear it.
//!
//! [`Trouble`] is what is wrong; [`Trouble::alert`] puts it into words; [`Form::posting`] makes a request
//! of these. All of it is pure: when something is told, and whether it was told before, is decided in
//! [`crate::upkeep::alerts`].

use serde_json::json;
use url::Url;

use super::{AlertTargetId, EndpointId, Sealed, Span, Timestamp};
use crate::domain::values::words::words;

mod posting;
mod sentences;
mod smtp;
mod trouble;

pub use posting::Posting;
pub use sentences::Webhook;
pub use smtp::{ADDRESS_MAX_CHARS, RECIPIENTS_MAX, Smtp, SmtpTls, USER_MAX_CHARS, check_address, read_host};
pub use trouble::Trouble;

/// The most targets of a server.
pub const TARGETS_MAX: u32 = 20;
/// The longest name of a target, in characters.
pub const NAME_MAX_CHARS: usize = 100;
/// The longest token, in bytes.
pub const TOKEN_MAX: usize = 1_024;
/// How long nothing of the same kind is told again about the same thing, in ms.
pub const SILENCE_MS: i64 = 3_600_000;
/// How far the clocks of the database and of a node may be apart, in ms. Receivers refuse requests that are some
/// minutes old.
pub const CLOCKS_APART_MS: i64 = 60_000;
/// The largest limit of free space, in MiB: a pebibyte.
pub const DISK_FREE_MIB_MAX: u32 = 1 << 30;

words! {
    /// What is told.
    pub enum AlertKind {
        /// The failure counter or a 410 switched a webhook off.
        WebhookDisabled = "webhook_disabled",
        /// Attempts to a webhook fail: it is on hold, or half of the failures that disable it have been counted.
        WebhookFailing = "webhook_failing",
        /// A webhook of which [`AlertKind::WebhookFailing`] was told works again.
        WebhookRecovered = "webhook_recovered",
        /// Nothing has succeeded at a webhook for too long.
        WebhookSilent = "webhook_silent",
        /// Deliveries have no retries left.
        DeliveriesExhausted = "deliveries_exhausted",
        /// The oldest delivery has waited for too long.
        QueueLate = "queue_late",
        /// Nearly nothing is free on a disk.
        DiskLow = "disk_low",
        /// A scheduled backup failed.
        BackupFailed = "backup_failed",
        /// This server cannot send anything.
        CannotSend = "cannot_send",
        /// Retention deletes nothing, because the clock is not trusted.
        RetentionPaused = "retention_paused",
        /// The clock of the database, or that of a node, is wrong.
        ClockWrong = "clock_wrong",
    }
}

words! {
    /// How a messenger is spoken to.
    pub enum Form {
        /// Any URL: a JSON object.
        Json = "json",
        /// The URL of a topic.
        Ntfy = "ntfy",
        /// The URL of the server.
        Gotify = "gotify",
        /// The URL of a channel's webhook.
        Discord = "discord",
        /// The URL of an incoming webhook, of Slack or of what understands the same (Mattermost, Rocket.Chat).
        Slack = "slack",
        /// A mail server (SMTP).
        Email = "email",
    }
}

/// How pressing something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Today.
    Normal,
    /// Soon.
    High,
    /// Now: events are about to be refused.
    Highest,
}

impl AlertKind {
    /// The kinds that are about one webhook, and go to its contact, too.
    pub const OF_WEBHOOKS: [AlertKind; 5] = [
        AlertKind::WebhookDisabled,
        AlertKind::WebhookFailing,
        AlertKind::WebhookRecovered,
        AlertKind::WebhookSilent,
        AlertKind::DeliveriesExhausted,
    ];

    /// How pressing it is.
    pub fn urgency(self) -> Urgency {
        match self {
            AlertKind::WebhookFailing
            | AlertKind::WebhookRecovered
            | AlertKind::DeliveriesExhausted
            | AlertKind::RetentionPaused => Urgency::Normal,
            AlertKind::WebhookDisabled
            | AlertKind::WebhookSilent
            | AlertKind::QueueLate
            | AlertKind::BackupFailed
            | AlertKind::ClockWrong => Urgency::High,
            AlertKind::DiskLow | AlertKind::CannotSend => Urgency::Highest,
        }
    }
}

/// Where alerts go. The URL is a secret as much as the token: anyone who knows it may post there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    pub id: AlertTargetId,
    pub name: String,
    pub form: Form,
    pub url: Sealed,
    /// Host and port of the URL, for people.
    pub host: String,
    /// Of [`Form::Email`]: the password.
    pub token: Option<Sealed>,
    /// Of [`Form::Email`]: the server and the addresses.
    pub smtp: Option<Smtp>,
    /// Never empty.
    pub kinds: Vec<AlertKind>,
    /// How long the oldest delivery may wait.
    pub queue_age: Span,
    /// How long nothing may succeed at a webhook.
    pub silent_after: Span,
    /// How much should be free, in MiB.
    pub disk_free_mib: u32,
    pub is_enabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The last try, of an alert or by a person.
    pub last_try: Option<AlertTry>,
}

/// A try to tell something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTry {
    pub at: Timestamp,
    pub kind: AlertKind,
    /// Why it was not told, in a sentence; `None`: it was.
    pub error: Option<String>,
}

/// What was told last to a target, of a kind about a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub target: AlertTargetId,
    pub kind: AlertKind,
    /// What it is about: a webhook's id, a path; empty: the server.
    pub subject: String,
    /// See [`Trouble::mark`].
    pub mark: Option<String>,
    pub at: Timestamp,
}

impl Told {
    /// Whether it is time to tell, at `now`, of a trouble with this mark.
    pub fn allows(&self, mark: Option<&str>, now: Timestamp) -> bool {
        let silent = (0..SILENCE_MS).contains(&(now.as_millis() - self.at.as_millis()));
        let is_known = mark.is_some() && mark == self.mark.as_deref();
        !silent && !is_known
    }
}

/// A trouble in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub kind: AlertKind,
    pub subject: String,
    /// A few words on one line.
    pub title: String,
    /// What is wrong, since when, and what to do.
    pub text: String,
    /// The page of the dashboard, when it is known where that is.
    pub link: Option<String>,
    pub at: Timestamp,
    /// Whether a person only tries whether it arrives.
    pub is_test: bool,
}

impl Alert {
    /// The same as a test, which says so and leads to the page of alerts.
    #[must_use]
    pub fn as_test(self, dashboard: Option<&str>) -> Alert {
        let title = format!("Test: {}", self.title);
        let text = format!("This is a test; nothing is wrong. The alert would read: {}", self.text);
        let link = dashboard.map(|base| format!("{base}/alerts"));
        Alert { title, text, link, is_test: true, ..self }
    }
}

/// One line: names may have line breaks in them.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `2026-03-01 12:04 UTC`
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..16])
}

/// `25 minutes`, `3 hours`, `2 days`
fn roughly(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    let (n, unit) = match minutes {
        0..120 => (minutes, "minute"),
        120..2_880 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

/// `812 MiB`, `39.5 GiB`
fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mib @ 0..1_024 => format!("{mib} MiB"),
        mib => format!("{:.1} GiB", mib as f64 / 1_024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + minutes * 60_000)
    }

    #[test]
    fn the_same_is_told_once_and_nothing_more_than_hourly() {
        let told = |mark: Option<&str>| Told {
            target: AlertTargetId::new(at(0)),
            kind: AlertKind::QueueLate,
            subject: String::new(),
            mark: mark.map(str::to_owned),
            at: at(0),
        };
        assert!(!told(Some("a")).allows(Some("b"), at(59)), "another one waits for the hour");
        assert!(told(Some("a")).allows(Some("b"), at(60)));
        assert!(!told(Some("a")).allows(Some("a"), at(600)), "the same is not told again");
        assert!(told(None).allows(None, at(60)), "what has no mark is told each hour");
        assert!(told(Some("a")).allows(None, at(60)) && told(None).allows(Some("a"), at(60)));
        assert!(told(None).allows(None, at(-1)), "a clock that was set back does not silence it");
    }

    #[test]
    fn times_and_sizes_are_in_words() {
        assert_eq!(minute(at(0)), "2023-11-14 22:13 UTC");
        let words = [0, 1, 119, 120, 2_879, 2_880].map(|m| roughly(m * 60_000));
        assert_eq!(words, ["0 minutes", "1 minute", "119 minutes", "2 hours", "47 hours", "2 days"]);
        assert_eq!([size(812 << 20), size((39 << 30) + (512 << 20))], ["812 MiB", "39.5 GiB"]);
        assert_eq!(one_line(" a\nb\t c "), "a b c");
    }
}
