//! Fault tests: what this program promises when its environment fails, measured on the real program.
//!
//! Each test starts the server as a process of its own, injects a fault (kill, power cut, full disk, hanging
//! receiver, wrong clock) and counts what was lost. Each prints its figures and its seed. The promises, and
//! the figures of the last full run, are in `docs/reliability.md`.
//!
//! By default every test runs in a short form, with limits that a busy machine keeps. The full form is
//!
//! `tests/faults.sh`, which runs them one after the other on a release build (`POSTRIDER_FAULTS=full`,
//! `POSTRIDER_FAULTS_BIN=target/release/postrider`), and `POSTRIDER_FAULTS_SEED=n` repeats the choices of an
//! earlier run.
//!
//! * [`program`]: the server as a process. [`load`]: clients that keep a ledger of what was accepted.
//!   [`sink`]: the receiver that counts. [`audit`]: checks the database of a server that has ended.
//! * [`shim`] and `shim.c`: a layer below the server that simulates power cuts, full disks and failing ones.
//!   [`disk`]: the contents of a disk after a power cut.

#[path = "../it/support/mod.rs"]
mod support;

mod audit;
mod disk;
mod load;
mod program;
mod shim;
mod sink;

mod backlog;
mod backup;
mod clock;
mod crash;
mod full_disk;
mod model;
mod nodes;
mod outage;
mod power;
mod receivers;
mod retention;
mod stop;
mod storm;
mod trace;

use std::sync::OnceLock;

/// Whether this is the full form, with its strict limits.
fn is_full() -> bool {
    std::env::var("POSTRIDER_FAULTS").is_ok_and(|form| form == "full")
}

/// The value for this form.
fn form<T>(short: T, full: T) -> T {
    if is_full() { full } else { short }
}

/// One line of figures.
fn say(topic: &str, figures: impl std::fmt::Display) {
    println!("{topic} ({}): {figures}", form("short", "full"));
}

/// A reproducible random number generator: splitmix64.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    /// Dice of a test of this name, by the seed of the run.
    fn of(test: &str) -> Dice {
        static SEED: OnceLock<u64> = OnceLock::new();
        let seed = *SEED.get_or_init(|| {
            let given = std::env::var("POSTRIDER_FAULTS_SEED").ok();
            given.map_or_else(|| getrandom::u64().unwrap() >> 16, |text| text.parse().unwrap())
        });
        println!("{test}: POSTRIDER_FAULTS_SEED={seed}");
        Dice(test.bytes().fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in `n`.
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
