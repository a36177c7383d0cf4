//! An endpoint on hold, in one sentence: the same one in its `hold`, its `health` and the system event.

use super::phrases::{attempts, moment};
use super::record::Cause;
use crate::domain::Timestamp;
use crate::domain::attempts::hold::{Hold, HoldReason};

/// A hold and why it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub hold: Hold,
    /// Failed attempts since the last success; those that asked for a pause are not among them.
    pub failures: u32,
    /// Why the last attempt failed that counted, or that asked for a pause.
    pub cause: Option<Cause>,
}

impl Held {
    /// One sentence with the cause and the times.
    pub fn sentence(&self, now: Timestamp) -> String {
        let (since, next) = (moment(self.hold.since, now), moment(self.hold.next_probe_at, now));
        match (self.hold.reason, self.cause) {
            (HoldReason::RateLimited, _) => {
                format!(
                    "On hold since {since} because the receiver limits requests; the next attempt is on {next}."
                )
            }
            (HoldReason::Circuit, Some(cause)) if self.failures > 0 => {
                let (attempts, by) = (attempts(self.failures), cause.words());
                let last = if self.failures > 1 { ", the last" } else { "" };
                format!(
                    "On hold since {since}: {attempts} failed{last} with {by}; the next probe is on {next}."
                )
            }
            (HoldReason::Circuit, _) => format!("On hold since {since}; the next probe is on {next}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempts::attempt::ErrorKind;

    #[test]
    fn the_sentence_names_cause_and_times() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let (since, next_probe_at) = (at("2026-11-29T09:21:00Z"), at("2026-11-29T09:26:00Z"));
        let hold = Hold { reason: HoldReason::Circuit, since, next_probe_at, step: 5 };
        let cause = Some(Cause { kind: ErrorKind::Timeout, response_status: None });
        let sentence = |failures, cause| Held { hold, failures, cause }.sentence(next_probe_at);
        assert_eq!(
            sentence(5, cause),
            "On hold since 29 Nov 09:21 UTC: 5 attempts failed, the last with a timeout; the next probe is on 29 Nov \
             09:26 UTC."
        );
        assert!(sentence(1, cause).contains(": 1 attempt failed with a timeout;"));
        assert_eq!(
            sentence(0, cause),
            "On hold since 29 Nov 09:21 UTC; the next probe is on 29 Nov 09:26 UTC."
        );
        let limited = Held { hold: Hold { reason: HoldReason::RateLimited, ..hold }, failures: 0, cause };
        assert_eq!(
            limited.sentence(next_probe_at),
            "On hold since 29 Nov 09:21 UTC because the receiver limits requests; the next attempt is on 29 Nov 09:26 \
             UTC."
        );
    }
}
