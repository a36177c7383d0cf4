//! When the next attempt is due: a pure function of (schedule, step, now, chance).

use crate::domain::{Span, Timestamp};

/// The most retries in a schedule.
pub const SCHEDULE_MAX: usize = 50;
/// The longest wait between two attempts: 30 days, in milliseconds.
pub const WAIT_MAX_MS: u64 = 30 * 86_400_000;

/// The waits between the attempts of a delivery; empty means no retries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule(Vec<Span>);

impl Schedule {
    /// Checks length and waits. The error is a sentence for the caller.
    pub fn new(waits: Vec<Span>) -> Result<Schedule, String> {
        Schedule::check_length(waits.len())?;
        match waits.iter().find(|w| w.as_millis() > WAIT_MAX_MS) {
            Some(wait) => Err(format!("has a wait of {wait}; at most 30d is possible")),
            None => Ok(Schedule(waits)),
        }
    }

    /// Says what is wrong with so many waits, before they are read.
    pub fn check_length(waits: usize) -> Result<(), String> {
        if waits > SCHEDULE_MAX {
            return Err(format!("has {waits} waits; at most {SCHEDULE_MAX} are possible"));
        }
        Ok(())
    }

    /// The waits, first to last.
    pub fn waits(&self) -> &[Span] {
        &self.0
    }

    /// When the retry after `used` earlier ones is due, or `None` when the schedule is used up.
    ///
    /// Jitter moves it later by up to `jitter` (0.1 = 10 %) of the wait, as `unit` (0.0..1.0) says.
    pub fn next_due(&self, used: u32, now: Timestamp, jitter: f64, unit: f64) -> Option<Timestamp> {
        let wait = self.0.get(usize::try_from(used).ok()?)?;
        let extra = (wait.as_millis() as f64 * jitter * unit) as i64;
        Some(now.plus_ms(wait.as_millis_i64()).plus_ms(extra))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(text: &[&str]) -> Schedule {
        Schedule::new(text.iter().map(|t| Span::parse(t).unwrap()).collect()).unwrap()
    }

    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn the_default_schedule_is_three_retries_over_half_an_hour() {
        let s = schedule(&["2m", "8m", "20m"]);
        let now = Timestamp::from_millis(NOW);
        let waits: Vec<_> =
            (0..4).map(|n| s.next_due(n, now, 0.0, 0.0).map(|t| (t.as_millis() - NOW) / 60_000)).collect();
        assert_eq!(waits, [Some(2), Some(8), Some(20), None]);
    }

    #[test]
    fn too_much_is_refused() {
        assert!(Schedule::new(vec![Span::from_secs(1); 51]).is_err());
        assert!(Schedule::new(vec![Span::parse("31d").unwrap()]).is_err());
        assert!(Schedule::new(vec![]).is_ok());
    }

    proptest! {
        #[test]
        fn jitter_only_delays_and_never_beyond_its_share(wait in 0u32..100_000, jitter in 0.0f64..=1.0, unit in 0.0f64..1.0) {
            let s = Schedule::new(vec![Span::from_secs(wait)]).unwrap();
            let now = Timestamp::from_millis(NOW);
            let delay = s.next_due(0, now, jitter, unit).unwrap().as_millis() - NOW;
            let wait = i64::from(wait) * 1_000;
            prop_assert!(delay >= wait);
            prop_assert!(delay as f64 <= wait as f64 * (1.0 + jitter));
        }
    }
}
