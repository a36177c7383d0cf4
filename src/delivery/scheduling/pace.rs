//! How fast one endpoint may be sent to, if it has a rate limit.

use crate::domain::Timestamp;

/// Keeps an endpoint's `rate_limit`: requests are at least `1/rate` apart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    rate: Option<u32>,
    /// In microseconds since 1970: at high rates a millisecond holds several requests.
    next_us: i64,
}

impl Pace {
    /// Sets the rate, in requests a second; `None` = no limit.
    pub(crate) fn set_rate(&mut self, rate: Option<u32>) {
        self.rate = rate;
    }

    /// Takes a turn, or says when there will be one.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let Some(rate) = self.rate else { return Ok(()) };
        let (now_us, gap_us) = (now.as_millis() * 1_000, 1_000_000 / i64::from(rate.max(1)));
        // Further away than a turn can be: the clock was set back, or the rate was raised.
        if self.next_us > now_us + gap_us + 1_000 {
            self.next_us = now_us;
        }
        // Within the current millisecond is soon enough.
        if self.next_us >= now_us + 1_000 {
            return Err(Timestamp::from_millis(self.next_us / 1_000));
        }
        self.next_us = self.next_us.max(now_us) + gap_us;
        Ok(())
    }

    /// Whether forgetting this pace would change nothing.
    pub(crate) fn is_rested(&self, now: Timestamp) -> bool {
        self.rate.is_none() || self.next_us <= now.as_millis() * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_a_pace() {
        let mut pace = Pace::default();
        pace.set_rate(Some(1));
        pace.take(now()).unwrap();
        assert!(pace.take(now().plus_ms(-3_600_000)).is_ok());
        assert!(pace.take(now().plus_ms(-3_600_000)).is_err());
    }

    proptest! {
        #[test]
        fn a_pace_is_kept_over_any_second(rate in 1u32..3_000, steps in proptest::collection::vec(0i64..40, 1..400)) {
            let mut pace = Pace::default();
            pace.set_rate(Some(rate));
            let mut now = now();
            let mut sent: Vec<i64> = Vec::new();
            for step in steps {
                now = now.plus_ms(step);
                while pace.take(now).is_ok() {
                    sent.push(now.as_millis());
                }
                prop_assert!(pace.take(now).unwrap_err() > now);
            }
            for (i, from) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|t| **t < from + 1_000).count();
                prop_assert!(within as u32 <= rate + rate / 500 + 2, "{} in a second at {}", within, rate);
            }
        }
    }
}
