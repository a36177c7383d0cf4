//! How an endpoint stands: its failures, its hold, and how many deliveries are pending.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::ErrorKind;
use crate::domain::attempts::hold::{Hold, HoldReason};
use crate::domain::attempts::trouble::Trouble;

/// The last failure of an endpoint that counted, or that asked for a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    pub kind: ErrorKind,
    pub response_status: Option<u16>,
    /// A sentence for operators.
    pub message: String,
}

impl LastFailure {
    /// The cause in few words, for a sentence: "HTTP 500", or the message without its full stop.
    pub fn cause(&self) -> String {
        match self.response_status {
            Some(status) => format!("HTTP {status}"),
            None => self.message.trim_end_matches('.').to_owned(),
        }
    }
}

/// How an endpoint stands now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    pub trouble: Trouble,
    pub last_failure: Option<LastFailure>,
    /// Deliveries that are pending, tests apart.
    pub waiting: u64,
}

impl Condition {
    /// The hold as it is now.
    pub fn hold_at(&self, now: Timestamp) -> Option<Hold> {
        self.trouble.hold.hold_at(now)
    }

    /// Why it is on hold, in one sentence with the cause and times.
    pub fn hold_message(&self, hold: &Hold) -> String {
        let cause = self.last_failure.as_ref().map(LastFailure::cause);
        let (since, next) = (hold.since.to_short_text(), hold.next_probe_at.to_short_text());
        match hold.reason {
            HoldReason::Circuit => format!(
                "On hold since {since}: attempts failed{}. The next probe is sent at {next}.",
                cause.map(|cause| format!(" ({cause})")).unwrap_or_default()
            ),
            HoldReason::RateLimited => format!(
                "On hold since {since}: the receiver asked for a pause{}. The next attempt is sent at {next}.",
                cause.map(|cause| format!(" ({cause})")).unwrap_or_default()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempts::hold::HoldState;

    #[test]
    fn the_message_of_a_hold_names_cause_and_times() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let hold = Hold {
            reason: HoldReason::Circuit,
            since: at("2026-11-29T09:21:00Z"),
            next_probe_at: at("2026-11-29T09:26:00Z"),
            step: 5,
        };
        let trouble =
            Trouble { hold: HoldState { hold: Some(hold), ..HoldState::default() }, ..Trouble::default() };
        let failure =
            LastFailure { kind: ErrorKind::HttpStatus, response_status: Some(500), message: "m.".into() };
        let condition = Condition { trouble, last_failure: Some(failure), waiting: 3 };
        assert_eq!(
            condition.hold_message(&hold),
            "On hold since 29 Nov 09:21 UTC: attempts failed (HTTP 500). The next probe is sent at 29 Nov 09:26 UTC."
        );
    }
}
