//! Payloads and endpoints of just-accepted events, kept until they are sent.
//!
//! Nearly every attempt is sent a moment after its event is on disk. Reading it back took a thread, a
//! snapshot and five tables, on a connection whose pages every commit makes stale. The figures are in
//! `docs/benchmarks.md`.
//!
//! A cache, never authoritative. Entries belong to a *generation*; the writer starts a new, empty one after
//! any change to endpoints, an error, or a commit by another process: after COMMIT, before anyone is
//! notified. Puts for an older generation are dropped. What is not here is in the table.
//!
//! Only the writer puts attempts in, between the commit of the event and that of the result: a client that
//! posted may learn of the first after the second, and what it put in then would be sent twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::attempts::attempt::Budget;
use crate::domain::{AttemptId, Endpoint, EndpointId, EventId, EventType, Timestamp, Trigger};
use crate::store::{Accepted, LoadedAttempt};

/// Bytes of payloads after which the half that is being filled becomes the older one. A payload counts once, however
/// many attempts it has.
const HALF_BYTES: usize = 4 << 20;
/// The same in attempts.
const HALF_ATTEMPTS: usize = 16_384;
/// The most endpoints.
const ENDPOINTS: usize = 1_000;

/// A count of the changes that make what is known of endpoints and attempts doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// An accepted event, and its first attempts, which are on their way.
#[derive(Debug)]
pub(crate) struct FreshEvent {
    event: FreshPayload,
    attempts: Vec<(AttemptId, EndpointId)>,
}

/// What the attempts of an event share.
#[derive(Debug, Clone)]
struct FreshPayload {
    id: EventId,
    event_type: EventType,
    created_at: Timestamp,
    resource_id: Option<String>,
    payload: Bytes,
}

/// A first attempt on its way.
#[derive(Debug)]
struct FreshAttempt {
    event: Arc<FreshPayload>,
    endpoint: EndpointId,
}

impl FreshEvent {
    /// An event with this payload.
    pub(crate) fn of(accepted: &Accepted, payload: &Bytes) -> FreshEvent {
        let event = FreshPayload {
            id: accepted.event.id,
            event_type: accepted.event.event_type.clone(),
            created_at: accepted.event.created_at,
            resource_id: accepted.event.resource_id.clone(),
            payload: payload.clone(),
        };
        let attempts = accepted.queued.iter().map(|queued| (queued.attempt_id, queued.endpoint_id)).collect();
        FreshEvent { event, attempts }
    }
}

/// The entries. The attempts are in two halves: when the younger one is full, the older one is dropped. All attempts of
/// an event are in the same half.
#[derive(Debug, Default)]
struct Memory {
    young: HashMap<AttemptId, FreshAttempt>,
    old: HashMap<AttemptId, FreshAttempt>,
    young_bytes: usize,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
}

/// The cache, shared by the writer and the reads that load attempts.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    generation: AtomicU64,
    memory: Mutex<Memory>,
}

impl Fresh {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each change leaves it as right as it was.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present generation. Asked before what belongs to it is read.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Begins a generation.
    pub(crate) fn renew(&self) {
        let mut memory = self.memory();
        self.generation.fetch_add(1, Ordering::AcqRel);
        *memory = Memory::default();
    }

    /// Keeps first attempts that are on disk since the present generation. For the writer only, which begins
    /// generations.
    pub(crate) fn keep(&self, committed: impl Iterator<Item = FreshEvent>) {
        let mut memory = self.memory();
        committed.for_each(|event| memory.push(event));
    }

    /// Keeps endpoints as jobs have them that were read in this generation.
    pub(crate) fn keep_endpoints(&self, generation: Generation, jobs: &[LoadedAttempt]) {
        let mut memory = self.memory();
        if self.generation() != generation || memory.endpoints.len() + jobs.len() > ENDPOINTS {
            return;
        }
        for job in jobs {
            memory.endpoints.entry(job.endpoint.id).or_insert_with(|| job.endpoint.clone());
        }
    }

    /// Gives out what of `attempts` is here, and leaves in it what is to be read.
    pub(crate) fn take(&self, attempts: &mut Vec<AttemptId>) -> Vec<LoadedAttempt> {
        let mut jobs = Vec::with_capacity(attempts.len());
        let mut memory = self.memory();
        attempts.retain(|id| match memory.take(*id) {
            Some(job) => {
                jobs.push(job);
                false
            }
            None => true,
        });
        jobs
    }

    /// Drops an attempt that has its result. For the writer only, which knows that it was put in before.
    pub(crate) fn forget(&self, id: AttemptId) {
        let mut memory = self.memory();
        let _ = memory.remove(id);
    }
}

impl Memory {
    fn push(&mut self, FreshEvent { event, attempts }: FreshEvent) {
        if attempts.is_empty() {
            return;
        }
        if self.young.len() >= HALF_ATTEMPTS || self.young_bytes >= HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += event.payload.len();
        let event = Arc::new(event);
        for (id, endpoint) in attempts {
            self.young.insert(id, FreshAttempt { event: event.clone(), endpoint });
        }
    }

    fn remove(&mut self, id: AttemptId) -> Option<FreshAttempt> {
        if let Some(attempt) = self.young.remove(&id) {
            // The last one takes the payload with it.
            if Arc::strong_count(&attempt.event) == 1 {
                self.young_bytes -= attempt.event.payload.len();
            }
            return Some(attempt);
        }
        self.old.remove(&id)
    }

    fn take(&mut self, id: AttemptId) -> Option<LoadedAttempt> {
        let FreshAttempt { event, endpoint } = self.remove(id)?;
        // The first of an endpoint is read; the others find it here.
        let endpoint = self.endpoints.get(&endpoint)?.clone();
        let FreshPayload { id: event_id, event_type, created_at, resource_id, payload } =
            Arc::unwrap_or_clone(event);
        let budget = Budget::Schedule { used: 0 };
        Some(LoadedAttempt {
            id,
            attempt: 1,
            trigger: Trigger::Event,
            budget,
            delivery_id: id,
            event_id,
            event_type,
            created_at,
            resource_id,
            payload,
            endpoint,
            from: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AppId;
    use crate::domain::event::Event;
    use crate::store::{Line, Queued};

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    struct World {
        fresh: Fresh,
        endpoint: Arc<Endpoint>,
    }

    fn world() -> World {
        World { fresh: Fresh::default(), endpoint: Arc::new(Endpoint::sample(AppId::new(now()), now())) }
    }

    impl World {
        fn accepted(&self, id: i64) -> Accepted {
            let created_at: Timestamp = now();
            let event_type = EventType::parse("a.b").unwrap();
            Accepted {
                event: Event {
                    id: EventId::new(created_at),
                    event_type,
                    resource_id: None,
                    deliveries: 1,
                    filtered: 0,
                    created_at,
                },
                queued: vec![Queued {
                    attempt_id: AttemptId(id),
                    endpoint_id: self.endpoint.id,
                    due_at: created_at,
                    line: Line::Fresh,
                }],
            }
        }

        fn keep(&self, id: i64, payload: &Bytes) -> Accepted {
            let accepted = self.accepted(id);
            self.fresh.keep([FreshEvent::of(&accepted, payload)].into_iter());
            accepted
        }

        fn know_endpoint(&self, generation: Generation) {
            let job = LoadedAttempt {
                id: AttemptId(0),
                attempt: 2,
                trigger: Trigger::Retry,
                budget: Budget::Single,
                delivery_id: AttemptId(0),
                event_id: EventId::new(now()),
                event_type: EventType::parse("a").unwrap(),
                created_at: now(),
                resource_id: None,
                payload: Bytes::new(),
                endpoint: self.endpoint.clone(),
                from: None,
            };
            self.fresh.keep_endpoints(generation, &[job]);
        }

        /// Which of these are not here.
        fn missing<const N: usize>(&self, ids: [i64; N]) -> Vec<i64> {
            let mut left = ids.map(AttemptId).to_vec();
            self.fresh.take(&mut left);
            left.into_iter().map(|id| id.0).collect()
        }
    }

    #[test]
    fn an_attempt_is_given_out_once_and_with_all_that_it_was_taken_in_with() {
        let world = world();
        world.know_endpoint(world.fresh.generation());
        let accepted = world.keep(7, &Bytes::from_static(b"[1]"));
        let mut ids = vec![AttemptId(6), AttemptId(7)];
        let jobs = world.fresh.take(&mut ids);
        assert_eq!(ids, [AttemptId(6)], "what is not here is left to be read");
        assert_eq!(jobs.len(), 1);
        assert_eq!(
            (jobs[0].id, jobs[0].attempt, jobs[0].budget),
            (AttemptId(7), 1, Budget::Schedule { used: 0 })
        );
        assert_eq!((jobs[0].event_id, &jobs[0].payload[..]), (accepted.event.id, &b"[1]"[..]));
        assert_eq!(world.missing([7]), [7]);
    }

    #[test]
    fn nothing_outlives_a_generation_nor_comes_into_a_later_one() {
        let world = world();
        let generation = world.fresh.generation();
        world.know_endpoint(generation);
        world.keep(1, &Bytes::new());
        world.fresh.renew();
        world.know_endpoint(generation);
        assert_eq!(world.missing([1]), [1]);
        world.keep(2, &Bytes::new());
        assert_eq!(world.missing([2]), [2], "the endpoint is of the earlier generation");
        world.know_endpoint(world.fresh.generation());
        world.keep(3, &Bytes::new());
        assert!(world.missing([3]).is_empty());
    }

    #[test]
    fn an_attempt_that_has_ended_is_forgotten() {
        let world = world();
        world.know_endpoint(world.fresh.generation());
        world.keep(1, &Bytes::new());
        world.fresh.forget(AttemptId(1));
        assert_eq!(world.missing([1]), [1]);
    }

    #[test]
    fn the_oldest_are_given_up_when_more_is_kept_than_there_is_room_for() {
        let world = world();
        world.know_endpoint(world.fresh.generation());
        let payload = Bytes::from(vec![0; HALF_BYTES / 2]);
        for id in 0..6 {
            world.keep(id, &payload);
        }
        assert_eq!(world.missing([0, 1, 2, 3, 4, 5]), [0, 1]);
    }

    #[test]
    fn a_payload_counts_once_until_the_last_attempt_of_its_event_has_left() {
        let world = world();
        world.know_endpoint(world.fresh.generation());
        let bytes = || world.fresh.memory().young_bytes;
        let mut accepted = world.accepted(0);
        let first = accepted.queued[0];
        accepted.queued = (0..10).map(|id| Queued { attempt_id: AttemptId(id), ..first }).collect();
        let payload = Bytes::from(vec![0; HALF_BYTES / 2]);
        world.fresh.keep([FreshEvent::of(&accepted, &payload)].into_iter());
        assert_eq!(bytes(), payload.len());
        assert!(world.missing([0, 1, 2, 3, 4, 5, 6, 7, 8]).is_empty());
        assert_eq!(bytes(), payload.len(), "one of ten is still on its way");
        world.fresh.forget(AttemptId(9));
        assert_eq!(bytes(), 0);
    }
}
