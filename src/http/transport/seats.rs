//! Who is connected, and who has to go when there are too many.
//!
//! A connection that waits for its client (idle, or a head or body that is still to come) can be closed
//! without loss: HTTP clients expect it. So at the limit the one that has waited longest makes room for a
//! new one, and one address (for IPv6: a /64) holds no more than its share. Connections that are being
//! served are never closed. When all are, new ones are turned away, except from this machine: a few seats
//! are kept for its health checks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::service::people::buckets::network;

/// Seats beyond the limit for connections from this machine.
const SPARE: usize = 16;

/// All seats.
pub(super) struct Seats {
    limit: usize,
    /// The most of one address.
    share: usize,
    since: Instant,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    all: HashMap<u64, Arc<Work>>,
    by_network: HashMap<IpAddr, usize>,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Work {
    network: Option<IpAddr>,
    since: Instant,
    /// In the upper half how many requests are being served; in the lower half, in milliseconds since the
    /// start, when the last of them came to its end.
    state: AtomicU64,
    close: CancellationToken,
}

/// A taken seat; free again when it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    pub(super) work: Arc<Work>,
}

/// One request that is being served, until it is dropped.
pub(super) struct Serving(Arc<Work>);

const ONE: u64 = 1 << 48;
const TIME: u64 = ONE - 1;

impl Work {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(TIME) & TIME
    }

    /// A request begins.
    pub(super) fn serve(self: &Arc<Work>) -> Serving {
        self.goes_on();
        Serving(self.clone())
    }

    /// A request that waited for its client goes on.
    pub(super) fn goes_on(&self) {
        self.state.fetch_add(ONE, Ordering::Relaxed);
    }

    /// A request waits for its client, or has come to its end.
    pub(super) fn waits(&self) {
        let now = self.now();
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            Some(((state & !TIME).saturating_sub(ONE)) | now)
        });
    }

    /// Since when it has been waiting for its client, in milliseconds; `None` while a request is being
    /// served.
    fn waiting_since(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Relaxed);
        (state < ONE).then_some(state & TIME)
    }

    /// Whether no request is being served.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting_since().is_some()
    }

    /// Waits until the connection has to make room.
    pub(super) async fn told_to_close(&self) {
        self.close.cancelled().await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.waits();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.lock().expect("no panic happens while this is held").free(self.id);
    }
}

impl Taken {
    fn free(&mut self, id: u64) {
        let Some(work) = self.all.remove(&id) else { return };
        let Some(network) = work.network else { return };
        if let Some(n) = self.by_network.get_mut(&network) {
            *n -= 1;
            if *n == 0 {
                self.by_network.remove(&network);
            }
        }
    }

    /// Closes the connection that has waited longest, of one network or of all. `false`: none waits.
    fn make_room(&mut self, of: Option<IpAddr>) -> bool {
        let candidates = self.all.iter().filter(|(_, work)| of.is_none() || work.network == of);
        let waiting = candidates.filter_map(|(id, work)| Some((work.waiting_since()?, *id)));
        let Some((_, id)) = waiting.min() else { return false };
        if let Some(work) = self.all.get(&id) {
            work.close.cancel();
        }
        self.free(id);
        true
    }
}

impl Seats {
    pub(super) fn new(limit: usize) -> Arc<Seats> {
        let limit = limit.max(1);
        let share = (limit / 2).max(1);
        Arc::new(Seats { limit, share, since: Instant::now(), taken: Mutex::default() })
    }

    /// A seat for a new connection; `None`: it is turned away. `peer` is `None` for those that no share
    /// applies to: Unix sockets and trusted proxies, which speak for many.
    pub(super) fn take(self: &Arc<Seats>, peer: Option<IpAddr>) -> Option<Seat> {
        let network = peer.map(network);
        let mut taken = self.taken.lock().expect("no panic happens while this is held");
        if let Some(network) = network
            && taken.by_network.get(&network).is_some_and(|n| *n >= self.share)
            && !taken.make_room(Some(network))
        {
            return None;
        }
        let is_local = network.is_none_or(|network| network.is_loopback());
        let has_room = taken.all.len() < self.limit
            || taken.make_room(None)
            || (is_local && taken.all.len() < self.limit + SPARE);
        if !has_room {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        let work = Arc::new(Work {
            network,
            since: self.since,
            state: AtomicU64::new(0),
            close: CancellationToken::new(),
        });
        // A new one has waited for no time.
        work.state.store(work.now(), Ordering::Relaxed);
        taken.all.insert(id, work.clone());
        if let Some(network) = network {
            *taken.by_network.entry(network).or_default() += 1;
        }
        Some(Seat { seats: self.clone(), id, work })
    }

    /// Closes the connection that has waited longest, when the system has no more file handles.
    pub(super) fn make_room(&self) {
        self.taken.lock().expect("no panic happens while this is held").make_room(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn is_closed(seat: &Seat) -> bool {
        seat.work.close.is_cancelled()
    }

    async fn a_second() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_limit_the_one_that_has_waited_longest_makes_room() {
        let seats = Seats::new(3);
        let busy = seats.take(ip("192.0.2.1")).unwrap();
        let _serving = busy.work.serve();
        a_second().await;
        let [old, other] = ["192.0.2.2", "192.0.2.3"].map(|peer| seats.take(ip(peer)).unwrap());
        a_second().await;
        drop(old.work.serve());
        let new = seats.take(ip("192.0.2.4")).unwrap();
        assert!(is_closed(&other) && !is_closed(&old) && !is_closed(&busy) && !is_closed(&new));
        drop(other);
        let _another = seats.take(ip("192.0.2.5")).unwrap();
        assert!(is_closed(&old), "the seat of a closed one is not counted twice");
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_holds_no_more_than_its_share() {
        let seats = Seats::new(6);
        let attacker = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"];
        let held: Vec<Seat> = attacker.iter().map(|peer| seats.take(ip(peer)).unwrap()).collect();
        a_second().await;
        let guest = seats.take(ip("2001:db8:0:1::1")).unwrap();
        let more = seats.take(ip("2001:db8::4")).unwrap();
        assert!(is_closed(&held[0]) && !is_closed(&guest) && !is_closed(&more));
        let serving: Vec<Serving> = held[1..].iter().chain([&more]).map(|seat| seat.work.serve()).collect();
        assert!(seats.take(ip("2001:db8::5")).is_none(), "none of its own waits");
        assert!(seats.take(ip("2001:db8:0:2::1")).is_some());
        drop(serving);
        assert!(seats.take(ip("2001:db8::5")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_served_only_this_machine_still_comes_in() {
        let seats = Seats::new(4);
        let peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
        let held: Vec<Seat> = peers.iter().map(|peer| seats.take(ip(peer)).unwrap()).collect();
        let _serving: Vec<Serving> = held.iter().map(|seat| seat.work.serve()).collect();
        assert!(seats.take(ip("192.0.2.5")).is_none());
        let _check = seats.take(ip("127.0.0.1")).unwrap();
        assert!(held.iter().all(|seat| !is_closed(seat)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_for_its_body_is_not_being_served() {
        let seats = Seats::new(1);
        let seat = seats.take(ip("192.0.2.1")).unwrap();
        let serving = seat.work.serve();
        assert!(!seat.work.is_waiting());
        seat.work.waits();
        assert!(seat.work.is_waiting());
        seat.work.goes_on();
        drop(serving);
        assert!(seat.work.is_waiting());
    }
}
