//! The sentences of alerts: for each kind a title, a text, and the page of the dashboard.

use super::{minute, one_line, roughly, size};
use crate::domain::{AppId, EndpointId, Span, Timestamp};

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

/// Title, text and page.
pub(super) type Words = (String, String, String);

fn of_webhook(webhook: &Webhook, title: &str, text: String) -> Words {
    let name = format!("\"{}\"", one_line(&webhook.name));
    (title.replace("{}", &name), text, format!("webhooks/{}", webhook.id))
}

pub(super) fn disabled(webhook: &Webhook, reason: &str, at: Timestamp) -> Words {
    let text = format!(
        "{} gets no more events since {}. {reason}{} Fix the receiver, set the webhook to active, and recover what \
         it missed.",
        webhook.called(),
        minute(at),
        webhook.history(),
    );
    of_webhook(webhook, "Webhook {} was disabled", text)
}

pub(super) fn failing(webhook: &Webhook, failures: u32, is_on_hold: bool) -> Words {
    let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times in a row") };
    let held = match is_on_hold {
        true => " It is on hold: its deliveries stay pending, and are sent when it works again.",
        false => "",
    };
    let text = format!("{} has failed {times}.{}{held}", webhook.called(), webhook.history());
    of_webhook(webhook, "Webhook {} is failing", text)
}

pub(super) fn recovered(webhook: &Webhook, failing_since: Timestamp, at: Timestamp) -> Words {
    let text = format!(
        "{} works again; its last success was at {}. The alert that it was failing was sent at {}.",
        webhook.called(),
        minute(at),
        minute(failing_since),
    );
    of_webhook(webhook, "Webhook {} works again", text)
}

pub(super) fn silent(webhook: &Webhook, since: Timestamp, failures: u32, limit: &Span) -> Words {
    let attempts = if failures == 1 { "1 attempt".to_owned() } else { format!("{failures} attempts") };
    let text = format!(
        "Nothing has succeeded at {} since {} (the limit is {limit}): {attempts} failed.{}",
        webhook.called(),
        minute(since),
        webhook.history(),
    );
    of_webhook(webhook, "Nothing has reached webhook {}", text)
}

/// The most webhooks that a digest names.
const NAMED_MAX: usize = 5;

pub(super) fn exhausted(webhooks: &[(Webhook, u64)], since: Timestamp) -> Words {
    let total: u64 = webhooks.iter().map(|(_, count)| count).sum();
    let (deliveries, have) = if total == 1 { ("delivery", "has") } else { ("deliveries", "have") };
    let mut named: Vec<String> = webhooks
        .iter()
        .take(NAMED_MAX)
        .map(|(webhook, count)| format!("{count} of {}", webhook.called()))
        .collect();
    if webhooks.len() > NAMED_MAX {
        let more: u64 = webhooks.iter().skip(NAMED_MAX).map(|(_, count)| count).sum();
        named.push(format!("{more} of {} other webhooks", webhooks.len() - NAMED_MAX));
    }
    (
        format!("{total} {deliveries} {have} no retries left"),
        format!(
            "{total} {deliveries} {have} no retries left since {}: {}. Fix the receivers, then retry them in the \
             delivery log.",
            minute(since),
            named.join(", "),
        ),
        "webhook-deliveries?status=exhausted".to_owned(),
    )
}

pub(super) fn late(since: Timestamp, (pending, cap): (u64, u64), limit: &Span, now: Timestamp) -> Words {
    let waits = roughly(now.as_millis() - since.as_millis());
    let more = if pending >= cap { "more than " } else { "" };
    let (deliveries, are) = if pending == 1 { ("delivery", "is") } else { ("deliveries", "are") };
    (
        format!("Deliveries are {waits} late"),
        format!(
            "The oldest delivery has been due since {} (the limit is {limit}); {more}{pending} {deliveries} {are} \
             pending. Either a receiver takes less than it is sent, or the server cannot keep up.",
            minute(since),
        ),
        "webhook-deliveries?status=pending".to_owned(),
    )
}

pub(super) fn disk_low(path: &str, free_bytes: u64, total_bytes: u64, limit_bytes: u64) -> Words {
    (
        format!("Only {} are free", size(free_bytes)),
        format!(
            "{} of {} are free on the disk of {path}, less than the limit of {}. When nothing is left, events are \
             refused and nothing is sent. Free some space, or shorten retention.",
            size(free_bytes),
            size(total_bytes),
            size(limit_bytes),
        ),
        "retention".to_owned(),
    )
}

pub(super) fn backup_failed(reason: &str, at: Timestamp) -> Words {
    (
        "The backup failed".to_owned(),
        format!("The backup of {} failed: {reason}. It is tried again within ten minutes.", minute(at)),
        "logs?kind=backup.failed".to_owned(),
    )
}

pub(super) fn cannot_send(since: Timestamp, pending: u64, reason: &str) -> Words {
    (
        "This server cannot send".to_owned(),
        format!(
            "Since {} attempts fail for a cause of this server: {}. {pending} of them are pending and are tried \
             again each minute; no retries are used up. Check the server's network, its resolver and its limits \
             with postrider doctor.",
            minute(since),
            one_line(reason).trim_end_matches('.'),
        ),
        "webhook-deliveries?status=pending".to_owned(),
    )
}

pub(super) fn retention_paused(reason: &str) -> Words {
    (
        "Retention is paused".to_owned(),
        format!("Nothing is deleted: {}", one_line(reason)),
        "retention".to_owned(),
    )
}

pub(super) fn clock_wrong(ahead_ms: i64) -> Words {
    // To the nearest minute: clocks are compared over a network.
    let apart = roughly(ahead_ms.saturating_abs().saturating_add(30_000));
    let (title, words) = if ahead_ms < 0 { ("behind", "behind") } else { ("ahead", "ahead of") };
    (
        format!("The clock of the database is {apart} {title}"),
        format!(
            "The clock of the database is {apart} {words} that of the node that leads, so one of them is wrong. Times \
             that are stored or sent are the database's; receivers refuse requests that seem to be old. Set both \
             clocks by NTP; postrider doctor compares them.",
        ),
        "about".to_owned(),
    )
}

impl Webhook {
    /// `"Shop" (shop.example.com, app billing)`
    pub(super) fn called(&self) -> String {
        let app = self.app.as_ref().map_or(String::new(), |app| format!(", app {}", one_line(app)));
        format!("\"{}\" ({}{app})", one_line(&self.name), self.host)
    }

    /// Since when and why, as far as it is known; begins with a space.
    pub(super) fn history(&self) -> String {
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
