//! Leases: how long a node may send after it renewed, and when others may take what it held.
//!
//! Both sides use clocks of their own that nobody sets. The holder counts from the start of the statement that renewed
//! the lease, less a margin; a taker from when it first saw that renewal, which is later. So a shard has never two
//! holders that both may send, as long as their clocks run equally fast, within the margin.

/// What the clocks of a machine show at one moment, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockReading {
    /// Since the machine was started, the time included in which it slept.
    pub boot: i64,
    /// Since some start, as the system measures time that has passed.
    pub steady: i64,
    /// The time of day.
    pub wall: i64,
}

/// Clocks that went apart by more than this have jumped.
const JUMP_MS: i64 = 1_000;

/// How much earlier a holder stops than others may begin.
pub fn margin_ms(lease_ms: i64) -> i64 {
    lease_ms / 10
}

/// How long the database may be silent before a taker begins to count again.
pub fn gap_ms(lease_ms: i64) -> i64 {
    lease_ms / 3
}

/// The lease of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    since: ClockReading,
    until: i64,
}

impl Lease {
    /// Renewed by a statement that was started at `started`.
    pub fn renewed(started: ClockReading, lease_ms: i64) -> Lease {
        Lease { since: started, until: started.boot + lease_ms - margin_ms(lease_ms) }
    }

    /// Whether something may be begun. Not after a clock has jumped: nobody knows which of them is right.
    pub fn is_good(&self, now: ClockReading) -> bool {
        let passed = now.boot - self.since.boot;
        let goes_with = |then: i64, now: i64| (now - then - passed).abs() <= JUMP_MS;
        passed >= 0
            && now.boot < self.until
            && goes_with(self.since.steady, now.steady)
            && goes_with(self.since.wall, now.wall)
    }
}

/// What a node has seen of another one's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    renewal: i64,
    since: i64,
    last: i64,
}

impl Witness {
    /// The first look, at `now` by this node's steady clock.
    pub fn first(renewal: i64, now: i64) -> Witness {
        Witness { renewal, since: now, last: now }
    }

    /// The database has answered again. Says whether the node has renewed meanwhile.
    pub fn saw(&mut self, renewal: i64, lease_ms: i64, now: i64) -> bool {
        let was_silent = now < self.last || now - self.last > gap_ms(lease_ms);
        let has_renewed = renewal != self.renewal;
        if has_renewed || was_silent {
            *self = Witness::first(renewal, now);
        }
        self.last = now;
        has_renewed
    }

    /// Whether the node has not renewed for its whole lease, although it could have.
    pub fn is_over(&self, lease_ms: i64, now: i64) -> bool {
        now - self.since >= lease_ms && now - self.last <= gap_ms(lease_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: i64 = 10_000;

    fn at(ms: i64) -> ClockReading {
        ClockReading { boot: 5_000 + ms, steady: 3_000 + ms, wall: 1_700_000_000_000 + ms }
    }

    #[test]
    fn a_lease_counts_from_the_start_of_its_renewal_less_the_margin() {
        let lease = Lease::renewed(at(0), LEASE);
        assert!(lease.is_good(at(0)) && lease.is_good(at(8_999)));
        assert!(!lease.is_good(at(9_000)));
    }

    #[test]
    fn nothing_is_begun_after_a_clock_has_jumped() {
        let lease = Lease::renewed(at(0), LEASE);
        for jump in [-1_001, 1_001, 3_600_000] {
            assert!(
                !lease.is_good(ClockReading { wall: at(10).wall + jump, ..at(10) }),
                "the time of day was set"
            );
            assert!(
                !lease.is_good(ClockReading { steady: at(10).steady + jump, ..at(10) }),
                "the machine slept"
            );
        }
        assert!(lease.is_good(ClockReading { wall: at(10).wall + 999, ..at(10) }), "a small correction");
        assert!(!lease.is_good(at(-1)), "time does not go back");
    }

    #[test]
    fn a_lease_is_over_when_one_renewal_was_seen_for_all_of_it() {
        let mut witness = Witness::first(7, 0);
        for now in (500..LEASE).step_by(500) {
            witness.saw(7, LEASE, now);
            assert!(!witness.is_over(LEASE, now), "{now}");
        }
        let mut renewed = witness;
        witness.saw(7, LEASE, LEASE);
        assert!(witness.is_over(LEASE, LEASE));
        renewed.saw(8, LEASE, LEASE);
        assert!(!renewed.is_over(LEASE, LEASE));
    }

    #[test]
    fn a_silent_database_proves_nothing() {
        let mut witness = Witness::first(7, 0);
        witness.saw(7, LEASE, gap_ms(LEASE));
        witness.saw(7, LEASE, 2 * gap_ms(LEASE) + 1);
        assert!(!witness.is_over(LEASE, LEASE), "it counts from the last gap");
        let mut old = Witness::first(7, 0);
        for now in (0..=LEASE).step_by(1_000) {
            old.saw(7, LEASE, now);
        }
        assert!(
            old.is_over(LEASE, LEASE) && !old.is_over(LEASE, LEASE + gap_ms(LEASE) + 1),
            "too old to act on"
        );
    }

    proptest! {
        /// Whatever the times of renewals and looks: while a taker may take, the holder may not begin.
        #[test]
        fn a_taker_never_begins_while_the_holder_may_send(
            lease_ms in 3_000i64..60_000,
            renewals in proptest::collection::vec((0i64..8_000, 0i64..2_000), 1..12),
            looks in proptest::collection::vec(1i64..2_000, 1..200),
        ) {
            // Each renewal starts some time after the one before, and is committed a moment after its start.
            let mut committed: Vec<(i64, i64, i64)> = Vec::new();
            let mut now = 0;
            for (number, (wait, takes)) in renewals.iter().enumerate() {
                let start = now + wait;
                now = start + takes;
                committed.push((number as i64, start, now));
            }
            let seen_at = |t: i64| committed.iter().rev().find(|(_, _, at)| *at <= t).map_or(-1, |(n, ..)| *n);
            let mut t = 0;
            let mut witness = Witness::first(seen_at(0), 0);
            for step in looks {
                t += step;
                witness.saw(seen_at(t), lease_ms, t);
                if witness.is_over(lease_ms, t) {
                    // The database refuses a takeover when a renewal has been committed since.
                    let last = committed.iter().rev().find(|(_, _, at)| *at <= t);
                    if let Some((_, start, _)) = last {
                        prop_assert!(!Lease::renewed(at(*start), lease_ms).is_good(at(t)));
                    }
                }
            }
        }
    }
}
