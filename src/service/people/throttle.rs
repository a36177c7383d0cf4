//! How fast passwords can be guessed: by address, by account, and by both together.
//!
//! An address may fail some times in a row and then one time after the other. An account that many fail
//! at, from wherever, is guarded: from then on each address has one try in a while, on a clock of its own.
//! So guessing is slow, and still nobody can keep somebody else out: whoever comes from an address that did
//! not fail gets their try at once, however many guess at their account meanwhile. Where people share an
//! address with somebody who guesses (behind a proxy), those who have signed in from there before keep a
//! clock of their own as well.
//!
//! All of it is in memory: a restart forgives everything, which costs an attacker more time than it gives.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use crate::domain::Timestamp;
use crate::domain::access::key::SecretHash;

use crate::service::people::limits::{ADDRESSES_MAX, Buckets, Rate, network};
use crate::service::{Result, ServiceError};

/// Failures of an address: so many in a row, and then one every 6 seconds.
const BY_ADDRESS: Rate = Rate { limit: 10, period_ms: 60_000 };
/// Failures at an account until it is guarded: so many in a row, and then one every 30 seconds.
const BY_ACCOUNT: Rate = Rate { limit: 20, period_ms: 600_000 };
/// Tries of one address at a guarded account.
const BY_BOTH: Rate = Rate { limit: 1, period_ms: 30_000 };

/// How long an address whose tries are refused is noted once, in milliseconds.
const NOTED_ONCE_IN_MS: i64 = 600_000;

/// An account, by a digest of what was typed: nobody's input is kept, and every key has the same size.
type Account = [u8; 32];
/// `None` stands for those for whom there is no room.
type Key<K> = Option<K>;

struct Kept {
    addresses: Buckets<Key<IpAddr>>,
    accounts: Buckets<Key<Account>>,
    pairs: Buckets<Key<(Account, IpAddr)>>,
    /// Who has signed in from where since the start.
    known: HashSet<(Account, IpAddr)>,
    /// Since when the refusals of an address are noted.
    noted: HashMap<IpAddr, Timestamp>,
}

/// Counts failed sign-ins.
pub(crate) struct Throttle(Mutex<Kept>);

/// A try that was let through. Unless it is said to have been right, it counts as wrong.
#[derive(Debug)]
pub(crate) struct Try {
    account: Account,
    address: IpAddr,
    /// Whether the two were counted each for itself, or together.
    apart: bool,
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle(Mutex::new(Kept {
            addresses: Buckets::new(BY_ADDRESS),
            accounts: Buckets::new(BY_ACCOUNT),
            pairs: Buckets::new(BY_BOTH),
            known: HashSet::new(),
            noted: HashMap::new(),
        }))
    }
}

impl Throttle {
    /// Asks whether somebody may try now. `account` is what they call themselves.
    ///
    /// # Errors
    /// [`ServiceError::RateLimited`] when they have to wait.
    pub(crate) fn begin(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<Try> {
        let account = SecretHash::of(&account.trim().to_lowercase()).0;
        let address = network(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
        let mut kept = self.0.lock().expect("no panic happens while this is held");
        let by_address = kept.addresses.look(&room(&kept.addresses, address), 1, now).wait_secs;
        let by_account = kept.accounts.look(&room(&kept.accounts, account), 1, now).wait_secs;
        let apart = by_address.is_none() && by_account.is_none();
        if apart {
            let (address, account) = (room(&kept.addresses, address), room(&kept.accounts, account));
            kept.addresses.take(address, 1, now);
            kept.accounts.take(account, 1, now);
        } else {
            // Strangers have to wait for their address; a guarded account is slow for everybody alike.
            let known = kept.known.contains(&(account, address));
            let stranger = by_address.filter(|_| !known);
            let pair = room(&kept.pairs, (account, address));
            let wait = stranger.or_else(|| kept.pairs.take(pair, 1, now).wait_secs);
            if let Some(retry_after_secs) = wait {
                return Err(ServiceError::RateLimited { retry_after_secs });
            }
        }
        Ok(Try { account, address, apart })
    }

    /// Whether a refusal of this address is to be noted: the first in a while is. Who is refused goes on at
    /// will, and must not be able to fill a log by it.
    pub(crate) fn is_news(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let address = network(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
        let mut kept = self.0.lock().expect("no panic happens while this is held");
        let is_over = |since: &Timestamp| now.as_millis() - since.as_millis() >= NOTED_ONCE_IN_MS;
        if kept.noted.len() >= ADDRESSES_MAX && !kept.noted.contains_key(&address) {
            kept.noted.retain(|_, since| !is_over(since));
        }
        let is_news = kept.noted.get(&address).is_none_or(is_over);
        let has_room = kept.noted.len() < ADDRESSES_MAX || kept.noted.contains_key(&address);
        if is_news && has_room {
            kept.noted.insert(address, now);
        }
        is_news && has_room
    }

    /// The password was right: the try does not count.
    pub(crate) fn succeeded(&self, it: Try, now: Timestamp) {
        let mut kept = self.0.lock().expect("no panic happens while this is held");
        if it.apart {
            let (address, account) = (room(&kept.addresses, it.address), room(&kept.accounts, it.account));
            kept.addresses.give_back(&address, 1, now);
            kept.accounts.give_back(&account, 1, now);
        } else {
            let pair = room(&kept.pairs, (it.account, it.address));
            kept.pairs.give_back(&pair, 1, now);
        }
        if kept.known.len() < ADDRESSES_MAX {
            kept.known.insert((it.account, it.address));
        }
    }
}

/// The bucket of a key: its own, as long as there is room.
fn room<K: std::hash::Hash + Eq>(buckets: &Buckets<Key<K>>, key: K) -> Key<K> {
    let key = Some(key);
    if buckets.len() < ADDRESSES_MAX || buckets.contains(&key) { key } else { None }
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
        for i in 0..ADDRESSES_MAX as u32 + 50 {
            news(&world, i.to_be_bytes());
        }
        assert!(world.throttle.0.lock().unwrap().noted.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn a_crowd_takes_no_more_memory_than_there_is_room_for() {
        let world = World::new();
        for i in 0..ADDRESSES_MAX as u32 + 50 {
            let [a, b, c, d] = i.to_be_bytes();
            world.fails(&format!("{i}@example.com"), [a, b, c, d]);
        }
        let kept = world.throttle.0.lock().unwrap();
        assert!(kept.addresses.len() <= ADDRESSES_MAX + 1 && kept.accounts.len() <= ADDRESSES_MAX + 1);
    }
}
