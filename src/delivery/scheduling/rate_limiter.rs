//! Keeps an endpoint's `rate_limit`.

use crate::domain::Timestamp;
use crate::domain::values::rate::Rate;

/// Spaces requests to one endpoint evenly, at least the gap of its rate apart. Idle time saves up no burst.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RateLimiter {
    rate: Option<Rate>,
    /// In microseconds since 1970: at high rates a millisecond holds several requests.
    next_us: i64,
    /// Another node may have sent until then, in microseconds; 0: none has.
    empty_us: i64,
}

impl RateLimiter {
    /// One for an endpoint to which another node may have sent until then.
    pub(crate) fn empty_since(at: Option<Timestamp>) -> RateLimiter {
        let mut limiter = RateLimiter::default();
        if let Some(at) = at {
            limiter.empty_at(at);
        }
        limiter
    }

    /// Another node may have sent until then.
    pub(crate) fn empty_at(&mut self, at: Timestamp) {
        self.empty_us = at.as_millis() * 1_000;
    }

    /// Sets the rate; `None` = no limit.
    pub(crate) fn set_rate(&mut self, rate: Option<Rate>) {
        self.rate = rate;
    }

    /// Allows a request now, or says when the next one is allowed.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let Some(rate) = self.rate else { return Ok(()) };
        let (now_us, gap_us) = (now.as_millis() * 1_000, rate.gap_us());
        if self.empty_us > 0 {
            self.next_us = self.next_us.max(std::mem::take(&mut self.empty_us) + gap_us);
        }
        // Further away than one gap: the clock was set back, or the rate was raised.
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

    /// Whether a new limiter would allow the same.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        let Some(rate) = self.rate else { return true };
        let empty_until = if self.empty_us > 0 { self.empty_us + rate.gap_us() } else { 0 };
        self.next_us.max(empty_until) <= now.as_millis() * 1_000
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
    fn a_clock_that_is_set_back_blocks_nothing() {
        let mut limiter = RateLimiter::default();
        limiter.set_rate(Some(Rate::per_second(1)));
        limiter.take(now()).unwrap();
        assert!(limiter.take(now().plus_ms(-3_600_000)).is_ok());
        assert!(limiter.take(now().plus_ms(-3_600_000)).is_err());
    }

    #[test]
    fn a_rate_of_an_hour_keeps_its_gap() {
        let mut limiter = RateLimiter::default();
        limiter.set_rate(Rate::parse("2/h"));
        limiter.take(now()).unwrap();
        assert_eq!(limiter.take(now().plus_ms(1)), Err(now().plus_ms(1_800_000)));
        assert!(limiter.take(now().plus_ms(1_800_000)).is_ok());
        assert!(!limiter.is_idle(now().plus_ms(3_599_999)) && limiter.is_idle(now().plus_ms(3_600_000)));
    }

    #[test]
    fn a_bucket_is_empty_where_another_node_may_have_sent() {
        let mut limiter = RateLimiter::empty_since(Some(now()));
        limiter.set_rate(Some(Rate::per_second(1)));
        assert!(!limiter.is_idle(now().plus_ms(999)) && limiter.is_idle(now().plus_ms(1_000)));
        assert_eq!(limiter.take(now().plus_ms(10)), Err(now().plus_ms(1_000)));
        assert!(limiter.take(now().plus_ms(1_000)).is_ok());
        assert!(limiter.take(now().plus_ms(1_001)).is_err());
        let mut late = RateLimiter::empty_since(Some(now()));
        late.set_rate(Some(Rate::per_second(1)));
        assert!(late.take(now().plus_ms(60_000)).is_ok(), "long since");
    }

    proptest! {
        #[test]
        fn the_rate_is_kept_over_any_second(rate in 1u32..3_000, steps in proptest::collection::vec(0i64..40, 1..400)) {
            let mut limiter = RateLimiter::default();
            limiter.set_rate(Some(Rate::per_second(rate)));
            let mut now = now();
            let mut sent: Vec<i64> = Vec::new();
            for step in steps {
                now = now.plus_ms(step);
                while limiter.take(now).is_ok() {
                    sent.push(now.as_millis());
                }
                prop_assert!(limiter.take(now).unwrap_err() > now);
            }
            for (i, from) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|t| **t < from + 1_000).count();
                prop_assert!(within as u32 <= rate + rate / 500 + 2, "{} in a second at {}", within, rate);
            }
        }
    }
}
