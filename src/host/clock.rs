//! Time and randomness behind traits, so that tests control every rule that depends on them.
//!
//! Nothing else in the crate reads the time of day (a lint forbids it). Storage methods take `now` as a
//! parameter; everything that waits uses [`Clock::sleep_until`]. The exception are network timeouts, which
//! use tokio's timer, because a real socket does not follow a fake clock.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, OnceLock};

use futures_util::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::domain::Timestamp;
use crate::domain::cluster::lease::ClockReading;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;
    /// Completes when [`Clock::now`] reaches `at`, or at once if it has passed.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
    /// Milliseconds since some start, whatever happens to the time of day.
    fn passed_ms(&self) -> i64;
    /// Whether the system says that it keeps the time of day synchronized with others.
    fn is_synchronized(&self) -> bool;
    /// Completes after `ms` milliseconds, whatever happens to the time of day.
    fn sleep_ms(&self, ms: u32) -> BoxFuture<'_, ()>;
    /// How far the clock that this one follows was ahead of this machine's when they were compared last. `None`: it
    /// follows no other.
    fn ahead_ms(&self) -> Option<i64> {
        None
    }
    /// What all clocks of the machine show, for leases.
    fn reading(&self) -> ClockReading {
        let passed = self.passed_ms();
        ClockReading { boot: passed, steady: passed, wall: self.now().as_millis() }
    }
}

/// A source of randomness for jitter; not for secrets.
pub trait Chance: Send + Sync + 'static {
    /// A number in `0.0..1.0`, evenly distributed.
    fn unit(&self) -> f64;
}

/// The operating system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = at.as_millis() - self.now().as_millis();
                if left <= 0 {
                    return;
                }
                // The wall clock may be set while we sleep; checking each minute bounds the effect of a
                // jump.
                let nap = u64::try_from(left.min(60_000)).unwrap_or(0);
                tokio::time::sleep(std::time::Duration::from_millis(nap)).await;
            }
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn passed_ms(&self) -> i64 {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        let passed = START.get_or_init(std::time::Instant::now).elapsed();
        i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
    }

    fn is_synchronized(&self) -> bool {
        // systemd-timesyncd creates it with the first answer of a time server after the system's start. The kernel's
        // own flag (adjtimex) needs a system call that no safe crate here offers.
        std::path::Path::new("/run/systemd/timesync/synchronized").exists()
    }

    fn sleep_ms(&self, ms: u32) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(std::time::Duration::from_millis(ms.into())))
    }

    fn reading(&self) -> ClockReading {
        // Elsewhere the clock that never goes back counts the time that the machine slept.
        #[cfg(target_os = "linux")]
        const BOOT: ClockId = ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        const BOOT: ClockId = ClockId::Monotonic;
        let ms = |id| {
            let time = clock_gettime(id);
            time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
        };
        ClockReading { boot: ms(BOOT), steady: ms(ClockId::Monotonic), wall: ms(ClockId::Realtime) }
    }
}

/// The operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn unit(&self) -> f64 {
        let bits = getrandom::u64().unwrap_or(0) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

/// A clock that moves only when a test moves it.
#[derive(Debug)]
pub struct FakeClock {
    now: AtomicI64,
    /// Elapsed time, which continues when the time of day is set back.
    passed: AtomicI64,
    is_synchronized: AtomicBool,
    moved: Notify,
}

impl FakeClock {
    /// A clock set to `now`.
    pub fn new(now: Timestamp) -> FakeClock {
        FakeClock {
            now: AtomicI64::new(now.as_millis()),
            passed: AtomicI64::new(0),
            is_synchronized: AtomicBool::new(false),
            moved: Notify::new(),
        }
    }

    /// Moves the clock forward and wakes the sleepers that are due.
    pub fn advance_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
        self.passed.fetch_add(ms, Ordering::SeqCst);
        self.moved.notify_waiters();
    }

    /// Sets what [`Clock::is_synchronized`] says.
    pub fn set_synchronized(&self, is_synchronized: bool) {
        self.is_synchronized.store(is_synchronized, Ordering::SeqCst);
    }

    /// Sets the time of day, forward or back, as an administrator does; no time elapses.
    pub fn set(&self, to: Timestamp) {
        self.now.store(to.as_millis(), Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

impl FakeClock {
    /// Checks again after every move of the clock.
    async fn wait_for(&self, reached: impl Fn(&FakeClock) -> bool) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the time is read, so that a move in between is not missed.
            moved.as_mut().enable();
            if reached(self) {
                return;
            }
            moved.await;
        }
    }
}

impl Clock for FakeClock {
    fn passed_ms(&self) -> i64 {
        self.passed.load(Ordering::SeqCst)
    }

    fn is_synchronized(&self) -> bool {
        self.is_synchronized.load(Ordering::SeqCst)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_for(move |clock| clock.now() >= at))
    }

    fn sleep_ms(&self, ms: u32) -> BoxFuture<'_, ()> {
        // From the call, not from the first poll.
        let until = self.passed.load(Ordering::SeqCst) + i64::from(ms);
        Box::pin(self.wait_for(move |clock| clock.passed.load(Ordering::SeqCst) >= until))
    }
}

/// Randomness that always returns the same number.
#[derive(Debug)]
pub struct FakeChance(Mutex<f64>);

impl FakeChance {
    /// Always returns `unit`.
    pub fn new(unit: f64) -> FakeChance {
        FakeChance(Mutex::new(unit))
    }

    /// Returns `unit` from now on.
    pub fn set(&self, unit: f64) {
        *self.0.lock().expect("no panic happens while this lock is held") = unit;
    }
}

impl Chance for FakeChance {
    fn unit(&self) -> f64 {
        *self.0.lock().expect("no panic happens while this lock is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_fake_clock_reaches_its_time() {
        let clock = Arc::new(FakeClock::new(Timestamp::from_millis(1_000)));
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep_until(Timestamp::from_millis(3_000)).await })
        };
        clock.advance_ms(1_000);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance_ms(1_000);
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn elapsed_time_does_not_depend_on_the_time_of_day() {
        let clock = FakeClock::new(Timestamp::from_millis(100_000));
        let mut nap = clock.sleep_ms(500);
        clock.set(Timestamp::from_millis(900_000));
        assert!(futures_util::poll!(&mut nap).is_pending());
        clock.set(Timestamp::from_millis(0));
        clock.advance_ms(500);
        nap.await;
    }

    #[test]
    fn system_chance_stays_below_one() {
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&SystemChance.unit()));
        }
    }
}
