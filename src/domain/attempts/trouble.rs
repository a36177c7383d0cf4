//! What is remembered of an endpoint's failures: the counter that disables it, its hold, and whether the app
//! was told of the outage. One value, changed by the results of attempts only.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::{Budget, Outcome};
use crate::domain::attempts::hold::{Availability, DisableRules, Hold, HoldReason, HoldRules, HoldState};

/// An endpoint's failures. The default is an endpoint without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trouble {
    pub hold: HoldState,
    /// Failed attempts in a row.
    pub failures: u32,
    /// When the first of them was known.
    pub failed_since: Option<Timestamp>,
    /// Whether `webhook_endpoint.failing` was emitted for this outage.
    pub is_announced: bool,
}

/// A change for the better or the worse that is worth an event of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The circuit has opened, or half of the failures that disable have happened.
    Failing,
    /// The first success since then.
    Recovered,
}

/// The rules about an endpoint's failures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TroubleRules {
    pub hold: HoldRules,
    pub disable: DisableRules,
}

/// What a failure does to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) trouble: Trouble,
    /// The hold for which the attempt costs no retry.
    pub(super) hold: Option<Hold>,
    pub(super) is_disabled: bool,
    pub(super) news: Option<News>,
}

impl Trouble {
    /// After a 2xx.
    pub(super) fn after_success(
        self,
        is_probe: bool,
        now: Timestamp,
        rules: TroubleRules,
    ) -> (Trouble, Option<News>) {
        let hold = self.hold.after(Availability::Delivered, is_probe, now, rules.hold);
        let news = self.is_announced.then_some(News::Recovered);
        (Trouble { hold, ..Trouble::default() }, news)
    }

    /// After a failure that counts, of an attempt with this budget.
    pub(super) fn after_failure(
        self,
        outcome: &Outcome,
        budget: Budget,
        is_probe: bool,
        rules: TroubleRules,
    ) -> Failed {
        let now = outcome.finished_at;
        let availability = Availability::of(outcome);
        let hold = self.hold_after(availability, budget, is_probe, now, rules.hold);
        let is_limited = matches!(availability, Some(Availability::RateLimited { .. }));
        let waits = is_limited || availability == Some(Availability::Unavailable);
        let trouble = if is_limited {
            Trouble { hold, ..self }
        } else {
            let failures = self.failures.saturating_add(1);
            Trouble { hold, failures, failed_since: self.failed_since.or(Some(now)), ..self }
        };
        let first_at = trouble.failed_since.unwrap_or(now);
        // A single shot leaves the endpoint's status alone, and so does a receiver that asks for a pause.
        let is_disabled =
            budget != Budget::Single && !is_limited && rules.disable.disable(trouble.failures, first_at, now);
        let is_circuit = |state: HoldState| state.hold.is_some_and(|h| h.reason == HoldReason::Circuit);
        let is_half = !is_limited && rules.disable.is_half(trouble.failures);
        let is_news = !self.is_announced && !is_disabled && (is_circuit(hold) || is_half);
        Failed {
            trouble: Trouble { is_announced: self.is_announced || is_news, ..trouble },
            hold: hold.hold.filter(|_| waits),
            is_disabled,
            news: is_news.then_some(News::Failing),
        }
    }

    fn hold_after(
        self,
        availability: Option<Availability>,
        budget: Budget,
        is_probe: bool,
        now: Timestamp,
        rules: HoldRules,
    ) -> HoldState {
        match availability {
            // What a person asked for does not count, unless it is a probe.
            Some(Availability::Unavailable) if budget == Budget::Single && !is_probe => self.hold,
            Some(availability) => self.hold.after(availability, is_probe, now, rules),
            // Nothing was asked of the receiver: no failure in the row, and no end of a hold.
            None => HoldState { row: None, ..self.hold },
        }
    }
}
