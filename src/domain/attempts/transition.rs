//! **The** transition function: everything that can happen to an attempt, and nothing else.
//!
//! ```text
//!              cancel                        finish, while it was in flight
//!  pending ─────────────▶ cancelled ──────────────────────────────▶ delivered | exhausted
//!     │ finish
//!     ├──▶ pending                           the same attempt is due later (a local failure)
//!     ├──▶ delivered
//!     ├──▶ exhausted ──supersede──▶ failed   + next attempt, due now
//!     │                                      (also given up: held for too long)
//!     └──▶ failed                            + next attempt, due later
//! ```
//!
//! Storage calls [`apply`] inside the transaction that writes its answer, so the row, the next row, the
//! endpoint's failure counter and the endpoint's status change together or not at all. The rules are
//! sections 1 and 8 of the contract.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{AttemptStatus, Budget, ErrorKind, Outcome, Trigger};
use crate::domain::attempts::hold::{DisableRules, Hold, HoldRules};
use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::trouble::{News, Trouble, TroubleRules};
use crate::domain::endpoint::EndpointStatus;

/// The shortest and the longest wait after a local failure, in milliseconds.
const LOCAL_WAIT_MS: (i64, i64) = (1_000, 60_000);

/// The attempt as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    pub status: AttemptStatus,
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
    pub due_at: Timestamp,
    /// The time of its first local failure.
    pub local_since: Option<Timestamp>,
    /// Since when its delivery has been held, once it was.
    pub held_since: Option<Timestamp>,
}

/// The endpoint as it stands when something happens to one of its attempts.
#[derive(Debug, Clone, Copy)]
pub struct EndpointNow<'a> {
    /// `None` when it was deleted.
    pub status: Option<EndpointStatus>,
    pub trouble: Trouble,
    pub schedule: &'a Schedule,
}

/// What the rules need besides the row: the policy, the time, and chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Failures in a row that put an endpoint on hold; 0 = never.
    pub circuit_failures: u32,
    pub disable: DisableRules,
    /// How long a delivery may be held, or fail locally, before it is exhausted; 0 = no limit.
    pub hold_at_most_ms: i64,
    /// Share of a wait by which it may be longer.
    pub jitter: f64,
    /// Chance, `0.0..1.0`.
    pub unit: f64,
}

impl Rules {
    fn trouble(self) -> TroubleRules {
        let Rules { circuit_failures, jitter, unit, disable, .. } = self;
        TroubleRules { hold: HoldRules { circuit_failures, jitter: jitter > 0.0, unit }, disable }
    }

    /// Whether something that began at `since` has gone on for too long.
    fn is_too_long(self, since: Timestamp, now: Timestamp) -> bool {
        self.hold_at_most_ms > 0 && now.as_millis().saturating_sub(since.as_millis()) >= self.hold_at_most_ms
    }
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The request is done. `is_probe`: it was sent as a probe of its endpoint's hold.
    Finish { outcome: &'a Outcome, endpoint: EndpointNow<'a>, rules: Rules, is_probe: bool },
    /// It has been held for too long.
    GiveUp,
    /// The endpoint was deleted or disabled.
    Cancel,
    /// Someone wants an exhausted delivery to go on now.
    Supersede { trigger: Trigger, budget: Budget, now: Timestamp },
}

/// The attempt that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
    pub due_at: Timestamp,
    pub held_since: Option<Timestamp>,
}

/// Why an endpoint is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disable {
    /// So many failed attempts in a row.
    Failures(u32),
    /// The receiver answered 410.
    Gone,
}

impl Disable {
    /// The endpoint's `status_reason`.
    pub fn reason(self) -> String {
        match self {
            Disable::Failures(n) => format!("Disabled after {n} failed attempts in a row."),
            Disable::Gone => "Disabled because the receiver answered 410 Gone.".to_owned(),
        }
    }
}

/// The answer: what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    pub status: AttemptStatus,
    pub next: Option<Next>,
    /// When the same attempt is due again; set only if it stays pending.
    pub again_at: Option<Timestamp>,
    /// What the endpoint's failures are from now on; `None` if they stay as they are.
    pub trouble: Option<Trouble>,
    pub news: Option<News>,
    pub disable: Option<Disable>,
}

/// What cannot happen to an attempt in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an attempt that is {status} cannot be {verb}")]
pub struct Impossible {
    pub status: AttemptStatus,
    pub verb: &'static str,
}

/// Says what becomes of an attempt.
pub fn apply(current: Current, input: Input<'_>) -> Result<Transition, Impossible> {
    use AttemptStatus::{Cancelled, Delivered, Exhausted, Failed, Pending};
    match (current.status, input) {
        (Pending, Input::Finish { outcome, endpoint, rules, is_probe }) => {
            Ok(finish(current, outcome, endpoint, rules, is_probe))
        }
        (Pending, Input::GiveUp) => Ok(only(Exhausted)),
        // Nothing was sent, so it stays cancelled.
        (Cancelled, Input::Finish { outcome, .. }) if outcome.is_local() => {
            impossible(current, "finished by a local failure")
        }
        // It was in flight when its endpoint was deleted or disabled. What really happened wins over
        // the mark, and nothing follows.
        (Cancelled, Input::Finish { outcome, .. }) => {
            let status = if outcome.failure.is_none() { Delivered } else { Exhausted };
            Ok(only(status))
        }
        (Pending, Input::Cancel) => Ok(only(Cancelled)),
        (Exhausted, Input::Supersede { trigger, budget, now }) => {
            let next = next(current, trigger, budget, now, None);
            Ok(Transition { next: Some(next), ..only(Failed) })
        }
        (Delivered | Failed | Exhausted, Input::Finish { .. }) => impossible(current, "finished again"),
        (Delivered | Failed | Exhausted | Cancelled, Input::Cancel) => impossible(current, "cancelled"),
        (Delivered | Failed | Exhausted | Cancelled, Input::GiveUp) => impossible(current, "given up"),
        (Pending | Delivered | Failed | Cancelled, Input::Supersede { .. }) => {
            impossible(current, "superseded")
        }
    }
}

fn only(status: AttemptStatus) -> Transition {
    Transition { status, next: None, again_at: None, trouble: None, news: None, disable: None }
}

fn impossible(current: Current, verb: &'static str) -> Result<Transition, Impossible> {
    Err(Impossible { status: current.status, verb })
}

fn next(
    current: Current,
    trigger: Trigger,
    budget: Budget,
    due_at: Timestamp,
    held_since: Option<Timestamp>,
) -> Next {
    Next { attempt: current.attempt + 1, trigger, budget, due_at, held_since }
}

fn finish(
    current: Current,
    outcome: &Outcome,
    endpoint: EndpointNow<'_>,
    rules: Rules,
    is_probe: bool,
) -> Transition {
    let now = outcome.finished_at;
    let Some(failure) = &outcome.failure else {
        if current.trigger == Trigger::Test {
            return only(AttemptStatus::Delivered);
        }
        let (trouble, news) = endpoint.trouble.after_success(is_probe, now, rules.trouble());
        let trouble = (trouble != endpoint.trouble).then_some(trouble);
        return Transition { trouble, news, ..only(AttemptStatus::Delivered) };
    };
    if current.trigger == Trigger::Test {
        return only(AttemptStatus::Exhausted);
    }
    if failure.kind == ErrorKind::Local {
        return local(current, now, rules);
    }
    if failure.kind == ErrorKind::Interrupted {
        return interrupted(current, now, endpoint);
    }

    let failed = endpoint.trouble.after_failure(outcome, current.budget, is_probe, rules.trouble());
    let disable = match current.budget {
        Budget::Schedule { .. } if accepts(endpoint.status) => {
            let by_count = failed.is_disabled.then_some(Disable::Failures(failed.trouble.failures));
            if outcome.is_gone() { Some(Disable::Gone) } else { by_count }
        }
        // A single shot leaves the endpoint's status alone, whatever comes back.
        _ => None,
    };
    let next = match failed.hold {
        _ if disable.is_some() || !accepts(endpoint.status) || outcome.is_last() => None,
        Some(hold) => held(current, hold, now, rules),
        None => scheduled(current, outcome, endpoint.schedule, rules),
    };
    let status = if next.is_some() { AttemptStatus::Failed } else { AttemptStatus::Exhausted };
    let news = failed.news.filter(|_| disable.is_none());
    Transition { status, next, again_at: None, trouble: Some(failed.trouble), news, disable }
}

/// Whether an endpoint in this state still gets retries of deliveries that have begun.
fn accepts(status: Option<EndpointStatus>) -> bool {
    matches!(status, Some(EndpointStatus::Active | EndpointStatus::Paused))
}

fn scheduled(current: Current, outcome: &Outcome, schedule: &Schedule, rules: Rules) -> Option<Next> {
    let Budget::Schedule { used } = current.budget else { return None };
    let due_at = schedule.next_due(used, outcome.finished_at, rules.jitter, rules.unit)?;
    let budget = Budget::Schedule { used: used + 1 };
    Some(next(current, Trigger::Retry, budget, due_at, current.held_since))
}

/// On hold a failure uses up no retry: the next attempt is due when the next probe is.
fn held(current: Current, hold: Hold, now: Timestamp, rules: Rules) -> Option<Next> {
    if current.budget == Budget::Single {
        return None;
    }
    let held_since = current.held_since.unwrap_or(current.due_at.max(hold.since));
    if rules.is_too_long(held_since, now) {
        return None;
    }
    Some(next(current, Trigger::Retry, current.budget, hold.next_probe_at, Some(held_since)))
}

/// A local failure counts nowhere and uses no retry: the same attempt is due after 1 s, which doubles to 60
/// s, until it has failed in this way for as long as it may be held (section 2 of `contract/outages.md`).
/// Waiting as long as it has already waited is what doubles the wait.
fn local(current: Current, now: Timestamp, rules: Rules) -> Transition {
    let since = current.local_since.unwrap_or(now);
    if rules.is_too_long(since, now) {
        return only(AttemptStatus::Exhausted);
    }
    let waited = now.as_millis().saturating_sub(since.as_millis());
    let again_at = now.plus_ms(waited.clamp(LOCAL_WAIT_MS.0, LOCAL_WAIT_MS.1));
    Transition { again_at: Some(again_at), ..only(AttemptStatus::Pending) }
}

/// An interrupted attempt does not count: the next one is due at once and has the same budget.
fn interrupted(current: Current, now: Timestamp, endpoint: EndpointNow<'_>) -> Transition {
    let wanted = match current.budget {
        Budget::Single => endpoint.status.is_some(),
        Budget::Schedule { .. } => accepts(endpoint.status),
    };
    if !wanted {
        return only(AttemptStatus::Exhausted);
    }
    let trigger = if current.budget == Budget::Single { current.trigger } else { Trigger::Retry };
    let next = next(current, trigger, current.budget, now, current.held_since);
    Transition { next: Some(next), ..only(AttemptStatus::Failed) }
}

#[cfg(test)]
mod tests;
