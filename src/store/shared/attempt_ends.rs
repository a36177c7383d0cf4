//! What the end of an attempt leads to, as far as no rule of the domain says it.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{Budget, ErrorKind, Failure, Outcome};
use crate::domain::attempts::transition::Transition;
use crate::domain::attempts::trouble::Trouble;
use crate::domain::condition::LastFailure;
use crate::store::Line;
use crate::store::shared::attempt_rows::Stored;

/// The line in which an attempt of this row's delivery is scheduled.
pub(crate) fn line(row: &Stored, budget: Budget) -> Line {
    match budget {
        Budget::Single => Line::Single,
        _ if row.job.is_some() => Line::Bulk,
        _ => Line::Fresh,
    }
}

/// Whether the hold of the endpoint ends with this.
pub(crate) fn ends_hold(before: Trouble, answer: &Transition) -> bool {
    before.hold.hold.is_some() && answer.trouble.is_some_and(|after| after.hold.hold.is_none())
}

/// The outcome of a row that is exhausted because it was held for too long. Nothing was sent for it, so it shows the
/// failure before it, and counts nowhere as an attempt.
pub(crate) fn held_too_long(
    row: &Stored,
    failure: Option<LastFailure>,
    hold_since: Option<Timestamp>,
    now: Timestamp,
) -> Outcome {
    let (kind, cause) = match &failure {
        Some(failure) => (failure.kind, failure.message.as_str()),
        None => (ErrorKind::Connect, "The webhook was on hold."),
    };
    let held_since = row.current.held_since.or(hold_since).unwrap_or(row.current.due_at);
    let message = format!("Held since {}, which is as long as it may. {cause}", held_since.to_short_text());
    Outcome {
        attempted_at: None,
        finished_at: now,
        response_time_ms: None,
        request: None,
        response: None,
        failure: Some(Failure { kind, message }),
        not_before: None,
        route: None,
        is_final: false,
    }
}
