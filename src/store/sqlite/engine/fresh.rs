//! What has just been taken in, kept until it is sent, so that it need not be read back.
//!
//! Nearly every attempt is sent a moment after its event is on disk. Reading it back took a thread, a
//! snapshot and five tables, on a connection whose pages every commit makes stale. What this saves is in
//! `docs/benchmarks.md`.
//!
//! It is never the truth, and it must not outlive a change of it. What is here was pending, and its endpoint
//! as it is here, in a certain *generation*. The writer begins a new one, with nothing in it, whenever
//! something was written to endpoints, after an error, and when another process has committed: after its
//! commit, and before anyone is told of it. What belongs to an earlier generation is not let in. Whatever is
//! not here is in the table.
//!
//! Attempts are put in by the writer too, between the commit of their event and that of their result: whoever
//! posted may hear of the first after the second, and what came in then would be sent again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::attempts::attempt::Budget;
use crate::domain::{AttemptId, Endpoint, EndpointId, EventId, EventType, Trigger};
use crate::store::{Accepted, LoadedAttempt};

/// Bytes of payloads after which the half that is being filled becomes the older one.
const HALF_BYTES: usize = 4 << 20;
/// The same in attempts.
const HALF_ATTEMPTS: usize = 4_096;
/// Endpoints that are kept.
const ENDPOINTS: usize = 1_000;

/// A count of the changes that make what is known of endpoints and attempts doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// A first attempt on its way.
#[derive(Debug)]
pub(crate) struct Waiting {
    id: AttemptId,
    event_id: EventId,
    event_type: EventType,
    payload: Bytes,
    endpoint: EndpointId,
}

impl Waiting {
    /// The first attempts of an event with this payload.
    pub(crate) fn of<'a>(accepted: &'a Accepted, payload: &'a Bytes) -> impl Iterator<Item = Waiting> + 'a {
        accepted.queued.iter().map(|queued| Waiting {
            id: queued.attempt_id,
            event_id: accepted.event.id,
            event_type: accepted.event.event_type.clone(),
            payload: payload.clone(),
            endpoint: queued.endpoint_id,
        })
    }
}

/// What is kept. The attempts are in two halves: when the younger one is full, the older one is given up.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<AttemptId, Waiting>,
    old: HashMap<AttemptId, Waiting>,
    young_bytes: usize,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
}

/// The memory, which the writer and those who load share.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    generation: AtomicU64,
    kept: Mutex<Kept>,
}

impl Fresh {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change leaves it as right as it was.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present generation. Asked before what belongs to it is read.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Begins a generation.
    pub(crate) fn renew(&self) {
        let mut kept = self.kept();
        self.generation.fetch_add(1, Ordering::AcqRel);
        *kept = Kept::default();
    }

    /// Keeps first attempts that are on disk since the present generation. For the writer only, which begins
    /// generations.
    pub(crate) fn keep(&self, committed: impl Iterator<Item = Waiting>) {
        let mut kept = self.kept();
        committed.for_each(|waiting| kept.push(waiting));
    }

    /// Keeps endpoints as jobs have them that were read in this generation.
    pub(crate) fn keep_endpoints(&self, generation: Generation, jobs: &[LoadedAttempt]) {
        let mut kept = self.kept();
        if self.generation() != generation || kept.endpoints.len() + jobs.len() > ENDPOINTS {
            return;
        }
        for job in jobs {
            kept.endpoints.entry(job.endpoint.id).or_insert_with(|| job.endpoint.clone());
        }
    }

    /// Gives out what of `attempts` is here, and leaves in it what is to be read.
    pub(crate) fn take(&self, attempts: &mut Vec<AttemptId>) -> Vec<LoadedAttempt> {
        let mut jobs = Vec::with_capacity(attempts.len());
        let mut kept = self.kept();
        attempts.retain(|id| match kept.take(*id) {
            Some(job) => {
                jobs.push(job);
                false
            }
            None => true,
        });
        jobs
    }

    /// Forgets an attempt that has come to its end. For the writer only, which knows that it was kept before.
    pub(crate) fn forget(&self, id: AttemptId) {
        let mut kept = self.kept();
        let _ = kept.remove(id);
    }
}

impl Kept {
    fn push(&mut self, waiting: Waiting) {
        if self.young.len() >= HALF_ATTEMPTS || self.young_bytes >= HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += waiting.payload.len();
        self.young.insert(waiting.id, waiting);
    }

    fn remove(&mut self, id: AttemptId) -> Option<Waiting> {
        if let Some(waiting) = self.young.remove(&id) {
            self.young_bytes -= waiting.payload.len();
            return Some(waiting);
        }
        self.old.remove(&id)
    }

    fn take(&mut self, id: AttemptId) -> Option<LoadedAttempt> {
        let Waiting { event_id, event_type, payload, endpoint, .. } = self.remove(id)?;
        // The first of an endpoint is read; the others find it here.
        let endpoint = self.endpoints.get(&endpoint)?.clone();
        let budget = Budget::Schedule { used: 0 };
        Some(LoadedAttempt {
            id,
            attempt: 1,
            trigger: Trigger::Event,
            budget,
            event_id,
            event_type,
            payload,
            endpoint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::{AppId, Timestamp};
    use crate::store::sqlite::tests::{endpoint, now};
    use crate::store::{Line, Queued};

    struct World {
        fresh: Fresh,
        endpoint: Arc<Endpoint>,
    }

    fn world() -> World {
        World { fresh: Fresh::default(), endpoint: Arc::new(endpoint(AppId::new(now()))) }
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
            self.fresh.keep(Waiting::of(&accepted, payload));
            accepted
        }

        fn know_endpoint(&self, generation: Generation) {
            let job = LoadedAttempt {
                id: AttemptId(0),
                attempt: 2,
                trigger: Trigger::Retry,
                budget: Budget::Single,
                event_id: EventId::new(now()),
                event_type: EventType::parse("a").unwrap(),
                payload: Bytes::new(),
                endpoint: self.endpoint.clone(),
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
}
