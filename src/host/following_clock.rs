//! A clock that shows the time of another machine: of the database, which several nodes share. So times that they store
//! and send agree, whatever their own clocks show.
//!
//! It goes by the steady clock of this machine between two measurements, and never goes back: where it turns out to be
//! ahead, it goes at half its speed until it is not.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::domain::Timestamp;
use crate::domain::cluster::lease::ClockReading;
use crate::host::clock::Clock;

/// The longest nap: the other clock may be set meanwhile.
const NAP_MS: i64 = 1_000;

/// What was measured last.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// When, by the steady clock of this machine.
    since: i64,
    /// What this clock showed then.
    shown: i64,
    /// How far it was ahead then; not below 0.
    ahead: i64,
    /// How far the other clock was ahead of that of this machine.
    apart: i64,
}

impl Course {
    fn at(&self, passed: i64) -> i64 {
        let elapsed = (passed - self.since).max(0);
        self.shown + (elapsed / 2).max(elapsed - self.ahead)
    }
}

/// A clock that follows another one. Until that was measured it shows the time of this machine.
pub struct FollowingClock {
    own: Arc<dyn Clock>,
    course: Mutex<Option<Course>>,
}

impl FollowingClock {
    /// One that has measured nothing yet.
    pub fn new(own: Arc<dyn Clock>) -> FollowingClock {
        FollowingClock { own, course: Mutex::new(None) }
    }

    /// The other clock showed `time`, `age_ms` ago.
    pub fn measured(&self, time: Timestamp, age_ms: i64) {
        let (time, passed) = (time.as_millis() + age_ms, self.own.passed_ms());
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = course.map_or(time, |course| course.at(passed));
        let apart = time - self.own.now().as_millis();
        *course = Some(Course { since: passed, shown: shown.max(time), ahead: (shown - time).max(0), apart });
    }
}

impl Clock for FollowingClock {
    fn now(&self) -> Timestamp {
        let course = *self.course.lock().unwrap_or_else(PoisonError::into_inner);
        match course {
            Some(course) => Timestamp::from_millis(course.at(self.own.passed_ms())),
            None => self.own.now(),
        }
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = at.as_millis().saturating_sub(self.now().as_millis());
                if left <= 0 {
                    return;
                }
                self.own.sleep_ms(u32::try_from(left.min(NAP_MS)).unwrap_or(1)).await;
            }
        })
    }

    fn passed_ms(&self) -> i64 {
        self.own.passed_ms()
    }

    fn is_synchronized(&self) -> bool {
        self.own.is_synchronized()
    }

    fn sleep_ms(&self, ms: u32) -> BoxFuture<'_, ()> {
        self.own.sleep_ms(ms)
    }

    fn ahead_ms(&self) -> Option<i64> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner).map(|course| course.apart)
    }

    fn reading(&self) -> ClockReading {
        self.own.reading()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::clock::FakeClock;

    fn clocks() -> (Arc<FakeClock>, FollowingClock) {
        let own = Arc::new(FakeClock::new(Timestamp::from_millis(500_000)));
        (own.clone(), FollowingClock::new(own))
    }

    #[test]
    fn it_shows_the_other_time_whatever_the_own_clock_is_set_to() {
        let (own, clock) = clocks();
        assert_eq!((clock.now().as_millis(), clock.ahead_ms()), (500_000, None), "nothing is known yet");
        clock.measured(Timestamp::from_millis(9_000_000), 20);
        assert_eq!(clock.now().as_millis(), 9_000_020);
        assert_eq!(clock.ahead_ms(), Some(8_500_020));
        own.set(Timestamp::from_millis(0));
        own.advance_ms(1_000);
        assert_eq!(clock.now().as_millis(), 9_001_020);
        clock.measured(Timestamp::from_millis(12_000_000), 0);
        assert_eq!(clock.now().as_millis(), 12_000_000, "forward at once");
        assert_eq!(clock.ahead_ms(), Some(11_999_000));
    }

    #[test]
    fn it_never_goes_back_nor_stands_still_and_is_right_again_in_the_end() {
        let (own, clock) = clocks();
        clock.measured(Timestamp::from_millis(10_000), 0);
        clock.measured(Timestamp::from_millis(9_000), 0);
        assert_eq!(clock.now().as_millis(), 10_000);
        let mut last = clock.now().as_millis();
        for second in 1..=4 {
            own.advance_ms(500);
            clock.measured(Timestamp::from_millis(9_000 + second * 500), 0);
            assert!((last + 249..=last + 500).contains(&clock.now().as_millis()), "{second}");
            last = clock.now().as_millis();
        }
        own.advance_ms(500);
        assert_eq!(clock.now().as_millis(), 9_000 + 2_500);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_by_the_other_time() {
        let (own, clock) = clocks();
        let clock = Arc::new(clock);
        clock.measured(Timestamp::from_millis(1_000), 0);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep_until(Timestamp::from_millis(1_300)).await })
        };
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        own.advance_ms(300);
        sleeper.await.unwrap();
    }
}
