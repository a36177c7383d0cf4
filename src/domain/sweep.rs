//! Sweeps: what they removed, and their pace.
//!
//! A sweep removes expired rows in steps; a step is one transaction, and other writers wait for it. So a step
//! is short and the rest after it long, as long as that is enough. [`next`] is the control loop: it is told
//! what the last step met and says how long the next one may take and how long to rest before it. It looks at
//! the result only (is the oldest expired row getting older?), not at rates that differ from machine to
//! machine:
//!
//! * Nobody else writes: each step is twice as long as the one before, up to [`LENGTH_ALONE`], because rows
//!   that are removed together share the pages that they change. It ends early if another writer comes.
//! * Others write: [`LENGTH`] and a share of the writer's idle time; the rows that are due are spread over
//!   [`SPREAD`].
//! * Rows are removed more than [`LATE`] after their time, and this is not getting better: the *pressure* rises.
//!   It doubles the share first, and then the length of a step. It falls again when the rows are in time.

use std::time::Duration;

use crate::domain::Timestamp;

/// What sweeps removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows of the delivery log.
    pub attempts: u64,
    pub events: u64,
    /// Entries of the activity log.
    pub activity: u64,
    /// Pages returned to the file system.
    pub pages: u64,
    /// Whether attempts and events are an estimate.
    pub is_estimated: bool,
}

impl Swept {
    /// Whether anything that a person knows of was removed.
    pub fn is_something(&self) -> bool {
        self.attempts + self.events + self.activity > 0
    }
}

impl std::ops::AddAssign for Swept {
    fn add_assign(&mut self, more: Swept) {
        self.attempts += more.attempts;
        self.events += more.events;
        self.activity += more.activity;
        self.pages += more.pages;
        self.is_estimated |= more.is_estimated;
    }
}

/// Sweeps since the start of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepState {
    /// Time and result of the last sweep.
    pub last: Option<(Timestamp, Swept)>,
    /// Time of the next sweep.
    pub next_at: Option<Timestamp>,
    /// Why nothing is removed; a sentence.
    pub held_back: Option<String>,
}

/// How long a step may take while others write: about as long as a commit.
pub const LENGTH: Duration = Duration::from_micros(1_500);
/// The same under the highest pressure.
pub const LENGTH_MAX: Duration = Duration::from_millis(150);
/// The same while nobody else writes. It changes as many pages as the writer keeps in memory.
pub const LENGTH_ALONE: Duration = Duration::from_millis(120);
/// How long the removal of what is due takes if there is no hurry.
pub const SPREAD: Duration = Duration::from_secs(25);
/// From here on rows are late. It is more than the time between two sweeps and [`SPREAD`].
pub const LATE: Duration = Duration::from_secs(75);
/// The longest rest.
pub const REST_MAX: Duration = Duration::from_secs(1);

/// The writer is idle to this share if nobody else writes.
const ALONE: f64 = 0.98;
/// Share of the idle time that a sweep takes without pressure.
const SHARE: f64 = 0.12;
/// The largest share of all time.
const SHARE_MAX: f64 = 0.7;
/// A writer that is never idle is treated as if it were, to this share.
const IDLE_MIN: f64 = 0.2;
/// What a step costs the writer, in multiples of its run: its pages are committed, too.
const COST: f64 = 2.0;
/// Doublings of the share before steps become longer, and of both together.
const SHARE_DOUBLINGS: f64 = 2.5;
const PRESSURE_MAX: f64 = 9.0;
/// Seconds until the pressure has risen or fallen by one doubling.
const RISE_SECS: f64 = 8.0;
const FALL_SECS: f64 = 30.0;
/// Late rows have to get this much less late in each second; otherwise the pressure rises.
const CATCH_UP: f64 = 0.1;

/// The memory of the control loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Doublings.
    pressure: f64,
    /// How late the rows of an earlier step were.
    late: Option<Duration>,
    next: StepLength,
    /// Time since `late` was noted.
    since: Duration,
}

impl Pace {
    /// The length of the next step.
    pub fn length(&self) -> StepLength {
        self.next
    }
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { pressure: 0.0, late: None, next: StepLength::of(LENGTH), since: Duration::ZERO }
    }
}

/// What the last step met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Expired rows that are left, estimated.
    pub backlog: u64,
    /// Rows that the step removed.
    pub rows: u64,
    /// How long after their time they were removed; `None`: nothing was.
    pub late: Option<Duration>,
    /// How long the step ran, without its commit.
    pub ran: Duration,
    /// Time since the end of the step before.
    pub elapsed: Duration,
    /// The share of that time in which the writer had nothing to do but this.
    pub idle: f64,
    /// Whether a person waits for the end of the sweep.
    pub is_requested: bool,
}

/// How long a step may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLength {
    pub most: Duration,
    /// The same from the moment when others wait for the writer.
    pub contended: Duration,
}

impl StepLength {
    fn of(length: Duration) -> StepLength {
        StepLength { most: length, contended: length }
    }
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub length: StepLength,
    /// The rest before it.
    pub rest: Duration,
}

/// The control loop: the pace after a step, and the next step.
pub fn next(pace: Pace, seen: &Seen) -> (Pace, Plan) {
    let mut pace = pace;
    press(&mut pace, seen);
    let idle = seen.idle.clamp(0.0, 1.0);
    let cost = seen.ran.as_secs_f64() * COST;
    let rest = if idle >= ALONE {
        pace.next = StepLength { most: (pace.next.most * 2).min(LENGTH_ALONE), contended: LENGTH };
        cost * (1.0 - SHARE_MAX)
    } else {
        let longer = (pace.pressure - SHARE_DOUBLINGS).max(0.0).exp2();
        pace.next = StepLength::of(LENGTH.mul_f64(longer).min(LENGTH_MAX));
        let share = SHARE * idle.max(IDLE_MIN) * pace.pressure.exp2();
        let least = cost * (1.0 / share.min(SHARE_MAX) - 1.0);
        if seen.is_requested { least } else { least.max(spread(seen) - seen.ran.as_secs_f64()) }
    };
    let rest = Duration::from_secs_f64(rest.clamp(0.0, REST_MAX.as_secs_f64()));
    (pace, Plan { length: pace.next, rest })
}

/// Seconds from one step to the next with which the backlog is removed in time.
fn spread(seen: &Seen) -> f64 {
    if seen.backlog == 0 { 0.0 } else { seen.rows as f64 / seen.backlog as f64 * SPREAD.as_secs_f64() }
}

/// Changes the pressure. A step says little about a trend: only after a second the rows are compared.
fn press(pace: &mut Pace, seen: &Seen) {
    pace.since += seen.elapsed;
    let Some(late) = seen.late else { return };
    let Some(before) = pace.late else {
        (pace.late, pace.since) = (Some(late), Duration::ZERO);
        return;
    };
    let secs = pace.since.as_secs_f64();
    if secs < 1.0 {
        return;
    }
    let gained = before.as_secs_f64() - late.as_secs_f64();
    let change = if late > LATE && gained < CATCH_UP * secs { 1.0 / RISE_SECS } else { -1.0 / FALL_SECS };
    // After a long time without expired rows nothing is known of a trend.
    pace.pressure = (pace.pressure + change * secs.min(RISE_SECS)).clamp(0.0, PRESSURE_MAX);
    (pace.late, pace.since) = (Some(late), Duration::ZERO);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen() -> Seen {
        Seen {
            backlog: 90_000,
            rows: 30,
            late: Some(Duration::from_secs(30)),
            ran: LENGTH,
            elapsed: Duration::from_millis(20),
            idle: 0.6,
            is_requested: false,
        }
    }

    #[test]
    fn steps_are_short_while_others_write_and_grow_when_nobody_does() {
        let (mut pace, plan) = next(Pace::default(), &seen());
        assert_eq!(plan.length, StepLength::of(LENGTH));
        assert!(plan.rest > 10 * LENGTH, "{plan:?}");
        for _ in 0..10 {
            let (after, plan) = next(pace, &Seen { idle: 1.0, ..seen() });
            assert!(plan.length.most > pace.length().most || plan.length.most == LENGTH_ALONE);
            assert_eq!(plan.length.contended, LENGTH, "it ends early if somebody comes");
            pace = after;
        }
        assert_eq!(pace.length().most, LENGTH_ALONE);
        assert_eq!(next(pace, &seen()).1.length, StepLength::of(LENGTH), "somebody writes");
    }

    #[test]
    fn what_is_due_is_spread_unless_somebody_waits_for_it() {
        let few = Seen { backlog: 2_000, ..seen() };
        let (_, plan) = next(Pace::default(), &few);
        assert!((0.3..0.4).contains(&plan.rest.as_secs_f64()), "{plan:?}");
        let (_, requested) = next(Pace::default(), &Seen { is_requested: true, ..few });
        assert!(requested.rest < plan.rest / 5, "{requested:?} {plan:?}");
    }

    /// A machine: costs in seconds of the writer.
    #[derive(Debug, Clone, Copy)]
    struct Machine {
        /// Rows that arrive, and expire, a second.
        rate: f64,
        /// Writing a row.
        write: f64,
        /// Removing one of many rows, and of one in the shortest step.
        remove: (f64, f64),
    }

    impl Machine {
        /// Of a row in a step of this length.
        fn cost(&self, length: f64) -> f64 {
            let (least, most) = self.remove;
            least + (most - least) * (LENGTH.as_secs_f64() / length).sqrt()
        }

        /// Sweeps for so many seconds; how late rows were at most and at the end, and the longest step.
        fn run(&self, secs: f64, backlog: f64) -> (f64, f64, f64) {
            let (mut now, mut pace, mut left) = (0.0, Pace::default(), backlog);
            let (mut worst, mut late, mut longest, mut took) = (0.0_f64, 0.0, 0.0_f64, 0.0);
            let tick = 30.0;
            while now < secs {
                let length = pace.length().most.as_secs_f64();
                let rows = (length / self.cost(length)).min(left);
                late = left / self.rate;
                let ran = rows * self.cost(length);
                let seen = Seen {
                    backlog: left as u64,
                    rows: rows as u64,
                    late: Some(Duration::from_secs_f64(late)),
                    ran: Duration::from_secs_f64(ran),
                    elapsed: Duration::from_secs_f64(took),
                    idle: 1.0 - self.rate * self.write,
                    is_requested: false,
                };
                let (after, plan) = next(pace, &seen);
                // Others get what they need; a sweep takes its turn among them.
                took = (ran * COST).max(1e-4) + plan.rest.as_secs_f64();
                pace = after;
                (now, left) = (now + took, left - rows + self.rate * took);
                longest = longest.max(length);
                worst = worst.max(late);
                if left < 1.0 {
                    (now, left) = (now + tick, self.rate * tick);
                }
            }
            (worst, late, longest)
        }
    }

    #[test]
    fn at_a_low_rate_no_step_gets_longer_even_with_a_large_backlog() {
        let machine = Machine { rate: 200.0, write: 1e-3, remove: (30e-6, 60e-6) };
        let (_, _, longest) = machine.run(1_200.0, 2_000_000.0);
        assert_eq!(longest, LENGTH.as_secs_f64());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn no_row_is_fifteen_minutes_late_at_a_rate_that_can_be_sustained(
            rate in 1.0..20_000.0_f64,
            write in 20e-6..200e-6_f64,
            least in 10e-6..80e-6_f64,
            extra in 1.0..4.0_f64,
        ) {
            let machine = Machine { rate, write, remove: (least, least * extra) };
            // What is left to the sweeper suffices if it removes many rows at once.
            let need = rate * machine.cost(LENGTH_MAX.as_secs_f64()) * COST;
            prop_assume!(need < 0.6 && need + rate * write < 0.95);
            let (worst, _, _) = machine.run(1_200.0, 0.0);
            prop_assert!(worst < 600.0, "{worst}");
        }

        #[test]
        fn whatever_a_step_meets_the_next_one_has_its_bounds(
            backlog: u64,
            rows in 0..1_000_000_u64,
            late in proptest::option::of(0..10_000_000_000_u64),
            ran in 0..100_000_000_u64,
            elapsed in 0..10_000_000_000_u64,
            idle in -1.0..2.0_f64,
            is_requested: bool,
            times in 1..20,
        ) {
            let seen = Seen {
                backlog,
                rows,
                late: late.map(Duration::from_millis),
                ran: Duration::from_micros(ran),
                elapsed: Duration::from_micros(elapsed),
                idle,
                is_requested,
            };
            let mut pace = Pace::default();
            for _ in 0..times {
                let plan;
                (pace, plan) = next(pace, &seen);
                prop_assert!((LENGTH..=LENGTH_MAX).contains(&plan.length.most), "{plan:?}");
                prop_assert!((LENGTH..=plan.length.most).contains(&plan.length.contended), "{plan:?}");
                prop_assert!(plan.rest <= REST_MAX);
                prop_assert_eq!(plan.length, pace.length());
            }
        }
    }
}
