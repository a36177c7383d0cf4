//! **The** transition function: everything that can happen to an attempt, and nothing else.
//!
//! ```text
//!              cancel                        finish, while it was in flight
//!  pending ─────────────▶ cancelled ──────────────────────────────▶ delivered | exhausted
//!     │ finish
//!     ├──▶ pending                           the same attempt is due later (a local failure)
//!     ├──▶ delivered
//!     ├──▶ exhausted ──supersede──▶ failed   + next attempt, due now
//!     └──▶ failed                            + next attempt, due later
//! ```
//!
//! Storage calls [`apply`] inside the transaction that writes its answer, so the row, the next row, the
//! endpoint's failure counter and the endpoint's status change together or not at all. The rules are
//! sections 1 and 8 of the contract.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{AttemptStatus, Budget, ErrorKind, Outcome, Trigger};
use crate::domain::attempts::retry::Schedule;
use crate::domain::endpoint::EndpointStatus;

/// The shortest and the longest wait after a local failure, in milliseconds.
const LOCAL_WAIT_MS: (i64, i64) = (1_000, 60_000);
/// How long an attempt may fail locally before it is exhausted: three days, in milliseconds.
const LOCAL_AT_MOST_MS: i64 = 3 * 86_400_000;

/// The attempt as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    pub status: AttemptStatus,
    pub attempt: u32,
    pub trigger: Trigger,
    pub budget: Budget,
    /// The time of its first local failure.
    pub local_since: Option<Timestamp>,
}

/// The endpoint as it stands when something happens to one of its attempts.
#[derive(Debug, Clone, Copy)]
pub struct EndpointNow<'a> {
    /// `None` when it was deleted.
    pub status: Option<EndpointStatus>,
    pub consecutive_failures: u32,
    pub schedule: &'a Schedule,
}

/// What the rules need besides the row: the policy, the time, and chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Failed attempts in a row that disable an endpoint; 0 = never.
    pub disable_after_failures: u32,
    /// Share of a wait by which it may be longer.
    pub jitter: f64,
    /// Chance, `0.0..1.0`.
    pub unit: f64,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The request is done.
    Finish { outcome: &'a Outcome, endpoint: EndpointNow<'a>, rules: Rules },
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
}

/// What becomes of the endpoint's failure counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Keep,
    Clear,
    Increment,
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
    pub counter: Counter,
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
        (Pending, Input::Finish { outcome, endpoint, rules }) => {
            Ok(finish(current, outcome, endpoint, rules))
        }
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
            let next = Next { attempt: current.attempt + 1, trigger, budget, due_at: now };
            Ok(Transition { next: Some(next), ..only(Failed) })
        }
        (Delivered | Failed | Exhausted, Input::Finish { .. }) => impossible(current, "finished again"),
        (Delivered | Failed | Exhausted | Cancelled, Input::Cancel) => impossible(current, "cancelled"),
        (Pending | Delivered | Failed | Cancelled, Input::Supersede { .. }) => {
            impossible(current, "superseded")
        }
    }
}

fn only(status: AttemptStatus) -> Transition {
    Transition { status, next: None, again_at: None, counter: Counter::Keep, disable: None }
}

fn impossible(current: Current, verb: &'static str) -> Result<Transition, Impossible> {
    Err(Impossible { status: current.status, verb })
}

fn finish(current: Current, outcome: &Outcome, endpoint: EndpointNow<'_>, rules: Rules) -> Transition {
    let Some(failure) = &outcome.failure else {
        let counter = if current.trigger == Trigger::Test { Counter::Keep } else { Counter::Clear };
        return Transition { counter, ..only(AttemptStatus::Delivered) };
    };
    if current.trigger == Trigger::Test {
        return only(AttemptStatus::Exhausted);
    }
    if failure.kind == ErrorKind::Local {
        return local(current, outcome.finished_at);
    }
    if failure.kind == ErrorKind::Interrupted {
        return interrupted(current, outcome.finished_at, endpoint);
    }

    // A single shot leaves the endpoint's status alone, whatever comes back.
    let disable = match current.budget {
        Budget::Single => None,
        Budget::Schedule { .. } => disable(outcome, endpoint, rules),
    };
    let open = disable.is_none() && accepts(endpoint.status);
    let next = if open { scheduled(current, outcome, endpoint.schedule, rules) } else { None };
    let status = if next.is_some() { AttemptStatus::Failed } else { AttemptStatus::Exhausted };
    Transition { status, next, again_at: None, counter: Counter::Increment, disable }
}

/// Whether an endpoint in this state still gets retries of deliveries that have begun.
fn accepts(status: Option<EndpointStatus>) -> bool {
    matches!(status, Some(EndpointStatus::Active | EndpointStatus::Paused))
}

fn disable(outcome: &Outcome, endpoint: EndpointNow<'_>, rules: Rules) -> Option<Disable> {
    if !accepts(endpoint.status) {
        return None;
    }
    if outcome.is_gone() {
        return Some(Disable::Gone);
    }
    let failures = endpoint.consecutive_failures.saturating_add(1);
    let limit = rules.disable_after_failures;
    (limit > 0 && failures >= limit).then_some(Disable::Failures(failures))
}

fn scheduled(current: Current, outcome: &Outcome, schedule: &Schedule, rules: Rules) -> Option<Next> {
    let Budget::Schedule { used } = current.budget else { return None };
    let due_at =
        schedule.next_due(used, outcome.finished_at, rules.jitter, rules.unit, outcome.not_before)?;
    let budget = Budget::Schedule { used: used + 1 };
    Some(Next { attempt: current.attempt + 1, trigger: Trigger::Retry, budget, due_at })
}

/// A local failure counts nowhere and uses no retry: the same attempt is due after 1 s, which doubles to 60
/// s, until it has failed in this way for [`LOCAL_AT_MOST_MS`] (section 2 of `contract/outages.md`). Waiting
/// as long as it has already waited is what doubles the wait.
fn local(current: Current, now: Timestamp) -> Transition {
    let since = current.local_since.unwrap_or(now);
    let waited = now.as_millis().saturating_sub(since.as_millis());
    if waited >= LOCAL_AT_MOST_MS {
        return only(AttemptStatus::Exhausted);
    }
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
    let next = Next { attempt: current.attempt + 1, trigger, budget: current.budget, due_at: now };
    Transition { next: Some(next), ..only(AttemptStatus::Failed) }
}

#[cfg(test)]
mod tests;
