//! How fast passwords can be guessed: by address, by account, and by both together.
//!
//! An address may fail some times in a row and then once in a while, whatever it tries ([`Networks`]: many
//! IPv6 addresses of one line count as few). After too many failures from any address an account is
//! *guarded*: each address then gets one try per 30 s, on a clock of its own. So guessing is slow, and
//! still nobody can lock somebody else out: who comes from an address that did not fail can try at once,
//! however many guess at the account meanwhile. Where people share an address with somebody who guesses
//! (behind a proxy), users who have signed in from there before keep a clock of their own as well.
//!
//! All of it is in memory: a restart forgives everything, which costs an attacker more time than it gives. Several
//! nodes remember together ([`super::shared_throttle`]).
//! No crowd can fill it: the oldest entries are forgotten, and nobody is made to share another's.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard};

use crate::domain::Timestamp;
use crate::domain::access::key::SecretHash;

use crate::service::people::buckets::{Buckets, Networks, Rate, Recent, STRANGERS_MAX, network, networks};
use crate::service::{Result, ServiceError};
use crate::store::SignInLevel;

/// Failures of an address: so many in a row, and then one every 6 seconds.
const BY_ADDRESS: Rate = Rate { limit: 10, period_ms: 60_000 };
/// Failures at an account until it is guarded: so many in a row, and then one every 30 seconds.
const BY_ACCOUNT: Rate = Rate { limit: 20, period_ms: 600_000 };
/// Tries of one address at a guarded account.
const BY_BOTH: Rate = Rate { limit: 1, period_ms: 30_000 };

/// How long an address whose tries are refused is noted once, in milliseconds.
const NOTED_ONCE_IN_MS: i64 = 600_000;

/// How long it is remembered by several nodes who has signed in from where, in milliseconds: 30 days.
const KNOWN_FOR_MS: i64 = 30 * 86_400_000;
/// What is kept by name besides buckets of addresses.
const OTHERS: usize = 4;

/// An account, by a digest of what was typed: nobody's input is kept, and every key has the same size.
type Account = [u8; 32];

/// What is remembered.
pub(crate) struct Memory {
    addresses: Networks,
    accounts: Buckets<Account>,
    pairs: Buckets<(Account, IpAddr)>,
    /// Who has signed in from where since the start.
    known: Recent<(Account, IpAddr), Timestamp>,
    /// Since when the refusals of an address are noted.
    noted: Recent<IpAddr, Timestamp>,
}

/// Counts failed sign-ins of this process.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<Memory>);

/// Who tries to sign in, from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    account: Account,
    pub(crate) address: IpAddr,
}

/// A try that was let through. Unless it succeeds, it counts as a failure.
#[derive(Debug)]
pub(crate) struct Try {
    names: Names,
    paid: Paid,
}

impl Try {
    /// Whose it is.
    pub(crate) fn names(&self) -> Names {
        self.names
    }
}

/// What a try has paid with.
#[derive(Debug, Clone, Copy)]
struct Paid {
    address: bool,
    account: bool,
    pair: bool,
}

impl Names {
    /// `account` is what somebody calls themselves.
    pub(crate) fn of(account: &str, address: Option<IpAddr>) -> Names {
        let account = SecretHash::of(&account.trim().to_lowercase()).0;
        Names { account, address: address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()) }
    }

    fn pair(&self) -> (Account, IpAddr) {
        (self.account, network(self.address))
    }

    /// What is remembered of them, by name: in the order of [`Memory::import`].
    pub(crate) fn texts(&self) -> Vec<String> {
        let (account, network) = (hex::encode(&self.account[..16]), network(self.address));
        let addresses = networks(self.address).enumerate();
        let mut texts: Vec<String> =
            addresses.map(|(at, network)| format!("address {at} {network}")).collect();
        texts.extend([
            format!("account {account}"),
            format!("pair {account} {network}"),
            format!("known {account} {network}"),
            format!("noted {network}"),
        ]);
        texts
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            addresses: Networks::new(BY_ADDRESS),
            accounts: Buckets::new(BY_ACCOUNT, STRANGERS_MAX),
            pairs: Buckets::new(BY_BOTH, STRANGERS_MAX),
            known: Recent::new(STRANGERS_MAX),
            noted: Recent::new(STRANGERS_MAX),
        }
    }
}

impl Memory {
    /// Asks whether somebody may try now.
    ///
    /// # Errors
    /// [`ServiceError::RateLimited`] when they have to wait.
    pub(crate) fn begin(&mut self, names: &Names, now: Timestamp) -> Result<Try> {
        let (Names { account, address }, pair) = (*names, names.pair());
        let by_address = self.addresses.check(address, now).wait_secs;
        let is_guarded = self.accounts.check(&account, 1, now).wait_secs.is_some();
        // Strangers wait for their address. A person who has signed in from there has a bucket of their own.
        let is_known = self.known.get(&pair).is_some();
        if let Some(retry_after_secs) = by_address.filter(|_| !is_known) {
            return Err(ServiceError::RateLimited { retry_after_secs });
        }
        let paid = Paid {
            address: by_address.is_none(),
            account: by_address.is_none() && !is_guarded,
            pair: by_address.is_some() || is_guarded,
        };
        if paid.pair
            && let Some(retry_after_secs) = self.pairs.take(pair, 1, now).wait_secs
        {
            return Err(ServiceError::RateLimited { retry_after_secs });
        }
        if paid.address {
            self.addresses.take(address, now);
        }
        if paid.account {
            self.accounts.take(account, 1, now);
        }
        Ok(Try { names: *names, paid })
    }

    /// Whether a refusal of this address is to be noted: the first in a while is. Who is refused goes on at
    /// will, and must not be able to fill a log by it.
    pub(crate) fn is_news(&mut self, address: IpAddr, now: Timestamp) -> bool {
        let address = network(address);
        let is_over = |since: &Timestamp| now.as_millis() - since.as_millis() >= NOTED_ONCE_IN_MS;
        let is_news = self.noted.get(&address).is_none_or(is_over);
        if is_news {
            self.noted.set(address, now);
        }
        is_news
    }

    /// The password was right: the try does not count.
    pub(crate) fn succeeded(&mut self, it: Try, now: Timestamp) {
        let Try { names, paid } = it;
        if paid.address {
            self.addresses.give_back(names.address, now);
        }
        if paid.account {
            self.accounts.give_back(&names.account, 1, now);
        }
        if paid.pair {
            self.pairs.give_back(&names.pair(), 1, now);
        }
        self.known.set(names.pair(), now);
    }

    /// Takes in what is kept elsewhere, by [`Names::texts`].
    pub(crate) fn import(&mut self, names: &Names, levels: &[Option<SignInLevel>]) {
        let (of_addresses, rest) = levels.split_at(levels.len().saturating_sub(OTHERS));
        self.addresses.import(names.address, of_addresses);
        let mut rest = rest.iter().copied();
        let mut next = || rest.next().flatten();
        if let Some(level) = next() {
            self.accounts.import(names.account, level);
        }
        if let Some(level) = next() {
            self.pairs.import(names.pair(), level);
        }
        if let Some(level) = next() {
            self.known.set(names.pair(), level.at);
        }
        if let Some(level) = next() {
            self.noted.set(network(names.address), level.at);
        }
    }

    /// The reverse of [`Memory::import`].
    pub(crate) fn export(&self, names: &Names, levels: &mut [Option<SignInLevel>], now: Timestamp) {
        let at = |at: Option<&Timestamp>, kept_ms| {
            at.map(|at| SignInLevel { missing: 0, at: *at, until: at.plus_ms(kept_ms) })
        };
        let addresses = self.addresses.export(names.address, now);
        let rest = [
            self.accounts.export(&names.account, now),
            self.pairs.export(&names.pair(), now),
            at(self.known.get(&names.pair()), KNOWN_FOR_MS),
            at(self.noted.get(&network(names.address)), NOTED_ONCE_IN_MS),
        ];
        for (level, now_so) in levels.iter_mut().zip(addresses.into_iter().chain(rest)) {
            *level = now_so;
        }
    }
}

impl Throttle {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().expect("no panic happens while this is held")
    }

    /// See [`Memory::begin`].
    pub(crate) fn begin(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<Try> {
        self.memory().begin(&Names::of(account, address), now)
    }

    /// See [`Memory::is_news`].
    pub(crate) fn is_news(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        self.memory().is_news(Names::of("", address).address, now)
    }

    /// See [`Memory::succeeded`].
    pub(crate) fn succeeded(&self, it: Try, now: Timestamp) {
        self.memory().succeeded(it, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        throttle: Throttle,
        now: Timestamp,
    }

    impl World {
        fn new() -> World {
            World { throttle: Throttle::default(), now: Timestamp::from_millis(1_700_000_000_000) }
        }

        fn wait(&mut self, secs: i64) {
            self.now = self.now.plus_ms(secs * 1_000);
        }

        /// A wrong try; how long to wait, if it was not let through.
        fn fails(&self, account: &str, address: [u8; 4]) -> Option<u64> {
            match self.throttle.begin(account, Some(address.into()), self.now) {
                Ok(_) => None,
                Err(ServiceError::RateLimited { retry_after_secs }) => Some(retry_after_secs),
                Err(other) => panic!("{other}"),
            }
        }

        /// A right try; whether it was let through.
        fn succeeds(&self, account: &str, address: [u8; 4]) -> bool {
            let it = self.throttle.begin(account, Some(address.into()), self.now);
            it.map(|it| self.throttle.succeeded(it, self.now)).is_ok()
        }
    }

    const A: [u8; 4] = [192, 0, 2, 1];
    const B: [u8; 4] = [192, 0, 2, 2];

    #[test]
    fn an_address_that_guesses_has_to_wait_whatever_it_guesses_at() {
        let mut world = World::new();
        for i in 0..10 {
            assert_eq!(world.fails(&format!("user{i}@example.com"), A), None);
        }
        assert_eq!(world.fails("other@example.com", A), Some(6));
        assert!(!world.succeeds("other@example.com", A), "a right one is not told from a wrong one");
        assert!(world.succeeds("other@example.com", B));
        world.wait(6);
        assert!(world.succeeds("other@example.com", A), "it never lasts");
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let world = World::new();
        assert!((0..1_000).all(|_| world.succeeds("ada@example.com", A)));
        assert_eq!(world.fails("ada@example.com", A), None);
    }

    #[test]
    fn an_account_that_is_guessed_at_from_everywhere_is_slow_for_each_address_by_itself() {
        let mut world = World::new();
        for i in 0..20 {
            assert_eq!(world.fails("ada@example.com", [198, 51, 100, i]), None);
        }
        for i in 100..110 {
            assert_eq!(world.fails("ada@example.com", [198, 51, 100, i]), None, "one try each");
            assert_eq!(world.fails(" ADA@example.com", [198, 51, 100, i]), Some(30), "however it is written");
        }
        assert!(world.succeeds("ada@example.com", A), "nobody keeps somebody else out");
        assert!(world.succeeds("eve@example.com", [198, 51, 100, 100]), "other accounts are not guarded");
        assert_eq!((world.fails("ada@example.com", A), world.fails("ada@example.com", A)), (None, Some(30)));
        world.wait(30);
        assert!(world.succeeds("ada@example.com", A));
    }

    #[test]
    fn who_has_come_from_an_address_is_not_kept_out_by_a_guesser_there() {
        let mut world = World::new();
        assert!(world.succeeds("ada@example.com", A));
        for _ in 0..600 {
            world.fails("eve@example.com", A);
        }
        assert!(world.succeeds("ada@example.com", A));
        assert_eq!((world.fails("ada@example.com", A), world.fails("ada@example.com", A)), (None, Some(30)));
        world.wait(30);
        for _ in 0..600 {
            world.fails("eve@example.com", A);
        }
        assert!(world.succeeds("ada@example.com", A));
    }

    #[test]
    fn of_the_refusals_of_an_address_one_in_a_while_is_news() {
        let mut world = World::new();
        let news = |world: &World, address: [u8; 4]| world.throttle.is_news(Some(address.into()), world.now);
        assert!(news(&world, A) && news(&world, B));
        assert!((0..1_000).all(|_| !news(&world, A)));
        world.wait(600);
        assert!(news(&world, A) && !news(&world, A));
        for i in 0..STRANGERS_MAX as u32 + 50 {
            news(&world, i.to_be_bytes());
        }
        assert!(world.throttle.0.lock().unwrap().noted.len() <= STRANGERS_MAX);
    }

    #[test]
    fn a_crowd_takes_bounded_memory_and_locks_nobody_out() {
        let world = World::new();
        assert!(world.succeeds("ada@example.com", A));
        for i in 0..3 * STRANGERS_MAX as u32 {
            world.fails(&format!("{i}@example.com"), i.to_be_bytes());
        }
        let memory = world.throttle.0.lock().unwrap();
        assert!(memory.addresses.len() <= STRANGERS_MAX && memory.accounts.len() <= STRANGERS_MAX);
        drop(memory);
        for _ in 0..10 {
            assert_eq!(world.fails("eve@example.com", B), None, "a fresh address has its own bucket");
        }
        assert_eq!(world.fails("eve@example.com", B), Some(6), "and no more than that");
        assert!(world.succeeds("ada@example.com", A));
    }

    #[test]
    fn many_addresses_of_one_line_guess_little_more_than_one() {
        let world = World::new();
        let fails = |account: &str, text: String| {
            world.throttle.begin(account, Some(text.parse().unwrap()), world.now).is_err()
        };
        let of_56 = (0..20_000)
            .filter(|i| !fails(&format!("{i}@example.com"), format!("2001:db8:0:{:x}::{:x}", i % 256, i)));
        assert_eq!(of_56.count(), 40);
        assert!(!fails("ada@example.com", "2001:db8:1::1".to_owned()), "another line is not concerned");
        assert!(world.succeeds("ada@example.com", A));
    }

    #[test]
    fn an_address_pays_for_tries_at_guarded_accounts_as_well() {
        let world = World::new();
        for account in 0..30 {
            for i in 0..20 {
                world.fails(&format!("{account}@example.com"), [198, 51, account, i]);
            }
        }
        let tries = (0..30).filter(|i| world.fails(&format!("{i}@example.com"), A).is_none());
        assert_eq!(tries.count(), 10);
    }
}
