//! The clock guard of retention: a wrong clock must not empty the log.
//!
//! Storage keeps the latest time seen. When the clock is more than a day ahead of it, nothing is deleted until
//! the clock can be trusted: the system says that it is synchronized, or it has kept pace with the monotonic
//! clock for an hour ([`Steadiness`]), or the server is started with `serve --accept-clock`. A server that was
//! off for more than a day looks the same as a wrong clock at first, and sweeps again by itself.

use serde_json::json;

use crate::domain::Timestamp;
use crate::domain::access::activity::{Activity, ActivityKind, Actor};
use crate::host::clock::Clock;

/// Maximum distance of the clock from the latest time seen.
const TRUSTED_MS: i64 = 86_400_000;
/// How long the clock must keep pace before it is trusted by itself.
const STEADY_MS: i64 = 3_600_000;
/// How far it may be off meanwhile: time servers correct small errors in steps.
const OFF_MS: i64 = 2_000;

/// What can be done about a clock that is not trusted.
pub const ADVICE: &str = "Sweeping starts again by itself when the system says that its clock is synchronized, or after \
     an hour with a steady clock. If the clock is wrong, set it right; if it is right, serve --accept-clock starts \
     sweeping at once.";

/// Whether the clock says a time that is too far ahead of the latest one seen.
pub(super) fn is_ahead(now: Timestamp, seen: Timestamp) -> bool {
    now > seen.plus_ms(TRUSTED_MS)
}

/// Since when the time of day has kept pace with the monotonic clock.
#[derive(Debug)]
pub(super) struct Steadiness {
    passed_ms: i64,
    now: Timestamp,
}

impl Steadiness {
    pub(super) fn new(clock: &dyn Clock) -> Steadiness {
        Steadiness { passed_ms: clock.passed_ms(), now: clock.now() }
    }

    /// Whether the clock is right as far as this machine can tell. Starts again when the time of day was set
    /// since the last call.
    pub(super) fn is_trusted(&mut self, clock: &dyn Clock) -> bool {
        let passed = clock.passed_ms() - self.passed_ms;
        let moved = clock.now().as_millis() - self.now.as_millis();
        if (moved - passed).abs() > OFF_MS {
            *self = Steadiness::new(clock);
        }
        clock.passed_ms() - self.passed_ms >= STEADY_MS || clock.is_synchronized()
    }
}

/// The entry of the activity log about a clock that was accepted.
pub(super) fn accepted(by: &Actor, now: Timestamp, seen: Timestamp) -> Activity {
    Activity {
        kind: ActivityKind::RetentionClockAccepted,
        app_id: None,
        actor: by.to_string(),
        address: None,
        summary: format!("The clock was accepted: it is {now}."),
        details: json!({ "now": now.to_string(), "seen": seen.to_string() }),
        created_at: now,
    }
}

/// The entry of the activity log about a clock that is not trusted.
pub(super) fn held(now: Timestamp, seen: Timestamp) -> Activity {
    Activity {
        kind: ActivityKind::RetentionHeld,
        app_id: None,
        actor: Actor::System.to_string(),
        address: None,
        summary: format!("Retention is paused: the clock says {now}, more than a day after {seen}. {ADVICE}"),
        details: json!({ "now": now.to_string(), "seen": seen.to_string() }),
        created_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::clock::FakeClock;

    #[test]
    fn a_clock_is_trusted_after_an_hour_at_the_pace_of_the_monotonic_one() {
        let clock = FakeClock::new(Timestamp::from_millis(1_000_000));
        let mut steadiness = Steadiness::new(&clock);
        clock.advance_ms(STEADY_MS - 1);
        assert!(!steadiness.is_trusted(&clock));
        // Corrected a little, as time servers do.
        clock.set(clock.now().plus_ms(OFF_MS));
        clock.advance_ms(1);
        assert!(steadiness.is_trusted(&clock));
        clock.set(clock.now().plus_ms(1));
        assert!(!steadiness.is_trusted(&clock), "the hour begins again");
        clock.set_synchronized(true);
        assert!(steadiness.is_trusted(&clock));
    }
}
