//! Bulk jobs: what they mean, how they are queued, how they end.

use super::*;
use postrider::domain::attempts::bulk_job::{JobKind, JobStatus, Work};
use postrider::domain::attempts::hold::DisableRules;
use postrider::store::SentAs;

pub(super) fn note() -> JobNote {
    Box::new(|job| Activity {
        details: serde_json::json!({ "matched": job.matched, "queued": job.queued }),
        ..activity(ActivityKind::DeliveryBulkRetried)
    })
}

fn all() -> Work {
    Work::Retry(AttemptFilter::default())
}

fn recover(endpoint: EndpointId) -> Work {
    Work::Recover { endpoint, since: now(), until: now().plus_ms(1) }
}

impl World {
    async fn count(&self, work: Work) -> u64 {
        self.store.job_count(self.app, work).await.unwrap().unwrap()
    }

    async fn refused(&self, work: Work) -> NoJob {
        let counted = self.store.job_count(self.app, work.clone()).await.unwrap().unwrap_err();
        let made = self.store.job_insert(self.app, work, 0, now(), note()).await.unwrap();
        assert_eq!(made, JobCreation::Refused(counted));
        counted
    }

    /// Makes a job and gives it, with what it has queued and whether there is more.
    async fn make(&self, work: Work) -> (BulkJob, Vec<Queued>, bool) {
        let matched = self.count(work.clone()).await;
        match self.store.job_insert(self.app, work, matched, now(), note()).await.unwrap() {
            JobCreation::Created { job, queued, more } => (job, queued, more),
            JobCreation::Refused(why) => panic!("{why:?}"),
        }
    }

    async fn job(&self, job: &BulkJob) -> BulkJob {
        self.store.job_get(self.app, job.id.unwrap()).await.unwrap().unwrap()
    }

    async fn post_exhausted(&self, name: &str) -> AttemptId {
        let first = self.post_one(name).await;
        self.fail_for_good(first).await
    }

    /// Like [`World::exhaust`], at an endpoint that is never switched off for it.
    async fn fail_for_good(&self, mut id: AttemptId) -> AttemptId {
        loop {
            match self
                .store
                .attempt_finish(id, answered(500, now()).into(), patient(), SentAs::in_epoch(Epoch::FIRST))
                .await
                .unwrap()
            {
                Finished::Done { status: AttemptStatus::Failed, queued, .. } => id = queued[0].attempt_id,
                _ => return id,
            }
        }
    }
}

/// The rules without the failure counter.
fn patient() -> FinishRules {
    FinishRules {
        rules: Rules {
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
            ..rules().rules
        },
        ..rules()
    }
}

fn counts(job: &BulkJob) -> (JobStatus, [u64; 4]) {
    (job.status, [job.matched, job.queued, job.delivered, job.exhausted])
}

#[tokio::test]
async fn a_bulk_retry_lets_exhausted_deliveries_go_on_and_nothing_else() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let last = world.post_exhausted("a").await;
    let delivered = world.post_one("a").await;
    world.finish(delivered, answered(200, now())).await;
    world.post_one("a").await;
    let (job, queued, more) = world.make(all()).await;
    assert_eq!((job.kind, counts(&job), more), (JobKind::Retry, (JobStatus::Running, [1, 1, 0, 0]), false));
    let old = world.attempt(last).await;
    let next = world.attempt(queued[0].attempt_id).await;
    assert_eq!((old.status, old.next_retry_at), (AttemptStatus::Failed, Some(now())));
    assert_eq!((next.attempt, next.trigger, next.delivery_id), (4, Trigger::Manual, old.delivery_id));
    let hint = Queued { attempt_id: next.id, endpoint_id: endpoint, due_at: now(), line: Line::Bulk };
    assert_eq!(queued, [hint]);

    // The whole schedule again, and the numbers go on.
    let retry = world.fail(next.id).await;
    let row = world.attempt(retry).await;
    assert_eq!((row.attempt, row.trigger), (5, Trigger::Retry));
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Running, [1, 1, 0, 0]));
    world.finish(retry, answered(200, now())).await;
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Done, [1, 1, 1, 0]));
}

#[tokio::test]
async fn a_repeated_bulk_retry_doubles_nothing() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    world.post_exhausted("a").await;
    let (_, queued, _) = world.make(all()).await;
    let rows = world.log().await.len();
    let (again, none, _) = world.make(all()).await;
    assert_eq!((counts(&again), none), ((JobStatus::Done, [0, 0, 0, 0]), vec![]));
    assert_eq!(world.log().await.len(), rows);
    // Once that is exhausted, the filter selects it again.
    world.fail_for_good(queued[0].attempt_id).await;
    assert_eq!(world.count(all()).await, 1);
}

#[tokio::test]
async fn a_bulk_retry_leaves_out_lost_endpoints_and_tests() {
    let world = fresh().await;
    let deleted = world.add_endpoint(&["a"]).await.id;
    let disabled = world.add_endpoint(&["b"]).await.id;
    let paused = world.add_endpoint(&["c"]).await.id;
    for name in ["a", "b", "c"] {
        world.post_exhausted(name).await;
    }
    let test = TestDelivery {
        endpoint_id: paused,
        event_id: EventId::at(now()),
        event_type: event_type("webhook.test"),
        payload: b"{}".to_vec().into(),
        created_at: now(),
        outcome: answered(500, now()),
    };
    world.store.test_record(world.app, test).await.unwrap();
    assert_eq!(world.count(all()).await, 3);
    world.delete(deleted).await;
    world.set_status(disabled, EndpointStatus::Disabled).await;
    world.set_status(paused, EndpointStatus::Paused).await;
    let (job, hints, _) = world.make(all()).await;
    assert_eq!((counts(&job), hints), ((JobStatus::Running, [1, 1, 0, 0]), vec![]), "it waits");
    let of = |endpoint| AttemptFilter { endpoint: Some(endpoint), ..AttemptFilter::default() };
    assert_eq!(world.attempt(world.ids(of(paused)).await[0]).await.status, AttemptStatus::Pending);
    let other = world.add_app("other").await;
    assert_eq!(world.store.job_count(other, all()).await.unwrap(), Ok(0));
    assert_eq!(world.store.job_get(other, job.id.unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_filter_says_which_deliveries_are_retried() {
    let world = fresh().await;
    let one = world.add_endpoint(&["a.*"]).await.id;
    let two = world.add_endpoint(&["b.*"]).await.id;
    for name in ["a.x", "a.y", "b.x"] {
        world.post_exhausted(name).await;
    }
    let last = world.post_one("b.y").await;
    world.finish(last, answered(410, now())).await;
    world.set_status(two, EndpointStatus::Active).await;
    let any = AttemptFilter::default;
    let below = |name: &str| Some(TypeFilter::Below(event_type(name)));
    for (filter, expected) in [
        (any(), 4),
        (AttemptFilter { endpoint: Some(one), ..any() }, 2),
        (AttemptFilter { event_type: below("a"), endpoint: Some(two), ..any() }, 0),
        (AttemptFilter { event_type: below("b"), ..any() }, 2),
        (AttemptFilter { response_status: Some(StatusFilter::Exactly(410)), ..any() }, 1),
        (AttemptFilter { response_status: Some(StatusFilter::Class(5)), ..any() }, 3),
        (AttemptFilter { trigger: Some(Trigger::Event), ..any() }, 1),
        (AttemptFilter { trigger: Some(Trigger::Retry), ..any() }, 3),
        (AttemptFilter { error_kind: Some(ErrorKind::Timeout), ..any() }, 0),
        (AttemptFilter { status: vec![AttemptStatus::Failed], ..any() }, 0),
        (AttemptFilter { status: vec![AttemptStatus::Failed, AttemptStatus::Exhausted], ..any() }, 4),
        (AttemptFilter { until: Some(now()), ..any() }, 0),
        (AttemptFilter { q: Some("B.X".to_owned()), ..any() }, 1),
        (AttemptFilter { q: Some("nowhere".to_owned()), ..any() }, 0),
    ] {
        assert_eq!(world.count(Work::Retry(filter.clone())).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn recovery_brings_what_is_missing_and_leaves_what_is_there() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*", "webhook_endpoint.*"]).await.id;
    let cancelled = world.post_one("a.cancelled").await;
    world.set_status(id, EndpointStatus::Disabled).await;
    world.store.queue_cancel(9).await.unwrap();
    assert_eq!(world.post("a.missed").await, []);
    assert_eq!(world.refused(recover(id)).await, NoJob::EndpointDisabled);
    world.set_status(id, EndpointStatus::Active).await;
    let exhausted = world.post_exhausted("a.exhausted").await;
    let delivered = world.post_one("a.delivered").await;
    world.finish(delivered, answered(200, now())).await;
    world.post_one("a.pending").await;

    assert_eq!(world.count(recover(id)).await, 3);
    let (job, queued, _) = world.make(recover(id)).await;
    assert_eq!(counts(&job), (JobStatus::Running, [3, 3, 0, 0]));
    let mut made = Vec::new();
    for hint in &queued {
        let row = world.attempt(hint.attempt_id).await;
        assert_eq!((row.status, row.trigger), (AttemptStatus::Pending, Trigger::Recover));
        made.push((row.event_type.as_str().to_owned(), row.attempt, row.delivery_id == row.id));
    }
    made.sort();
    let expected = [("a.cancelled", 1, true), ("a.exhausted", 4, false), ("a.missed", 1, true)];
    assert_eq!(made, expected.map(|(name, n, new)| (name.to_owned(), n, new)));
    assert_eq!(world.attempt(cancelled).await.status, AttemptStatus::Cancelled);
    assert_eq!(world.attempt(exhausted).await.status, AttemptStatus::Failed);
    assert_eq!(world.count(recover(id)).await, 0, "all of it is pending");
}

#[tokio::test]
async fn recovery_keeps_to_its_window_and_to_what_is_wanted_now() {
    let world = fresh().await;
    for at in [0, 10, 20] {
        world.take(vec![an_event("a", "1"), an_event("b", "1")], now().plus_ms(at)).await;
    }
    let id = world.add_endpoint(&["b"]).await.id;
    let window = |since, until| Work::Recover {
        endpoint: id,
        since: now().plus_ms(since),
        until: now().plus_ms(until),
    };
    for (since, until, expected) in [(0, 20, 2), (0, 21, 3), (1, 21, 2), (10, 11, 1), (11, 20, 0)] {
        assert_eq!(world.count(window(since, until)).await, expected, "{since}..{until}");
    }
    let other = world.add_app("other").await;
    assert_eq!(world.store.job_count(other, window(0, 9)).await.unwrap(), Err(NoJob::EndpointNotFound));
    world.delete(id).await;
    assert_eq!(world.refused(window(0, 9)).await, NoJob::EndpointNotFound);
}

#[tokio::test]
async fn an_endpoint_is_not_told_afterwards_that_it_was_switched_off() {
    let world = fresh().await;
    let gone = world.add_endpoint(&["a", "webhook_endpoint.*"]).await.id;
    let first = world.post_one("a").await;
    world.finish(first, answered(410, now())).await;
    world.set_status(gone, EndpointStatus::Active).await;
    let other = world.add_endpoint(&["webhook_endpoint.*"]).await.id;
    let window = |endpoint| Work::Recover { endpoint, since: now(), until: now().plus_ms(1_000) };
    assert_eq!(world.count(window(other)).await, 1);
    assert_eq!(world.count(window(gone)).await, 1, "only the exhausted one");
}

#[tokio::test]
async fn a_replay_is_a_new_delivery_to_one_or_to_all_that_want_it() {
    let world = fresh().await;
    let one = world.add_endpoint(&["a"]).await.id;
    let two = world.add_endpoint(&["b"]).await.id;
    let off = world.add_endpoint(&["a"]).await.id;
    let event = world.take(vec![an_event("a", "1")], now()).await.remove(0).event.id;
    world.set_status(off, EndpointStatus::Disabled).await;
    let to = |endpoint| Work::Replay { event, endpoint };
    for _ in 0..2 {
        let (job, queued, _) = world.make(to(None)).await;
        assert_eq!(counts(&job), (JobStatus::Running, [1, 1, 0, 0]));
        let row = world.attempt(queued[0].attempt_id).await;
        assert_eq!((row.endpoint_id, row.trigger, row.attempt), (one, Trigger::Replay, 1));
        assert_eq!(row.delivery_id, row.id);
    }
    let (_, queued, _) = world.make(to(Some(two))).await;
    assert_eq!(queued[0].endpoint_id, two, "asked for by name, whatever it wants");
    assert_eq!(world.refused(to(Some(off))).await, NoJob::EndpointDisabled);
    assert_eq!(world.refused(to(Some(EndpointId::new(now())))).await, NoJob::EndpointNotFound);
    let unknown = Work::Replay { event: EventId::new(now()), endpoint: None };
    assert_eq!(world.refused(unknown).await, NoJob::EventNotFound);
}

/// Exhausts so many deliveries at once: their endpoint has no retries.
async fn many_exhausted(world: &World, n: usize) -> EndpointId {
    let mut endpoint = an_endpoint(world.app, settings(&["*"]));
    endpoint.settings.retry_schedule = Some(schedule(&[]));
    let id = world.add(endpoint).await.id;
    let mut left = n;
    while left > 0 {
        let batch = left.min(1_000);
        left -= batch;
        let accepted = world.take(vec![an_event("a", "1"); batch], now()).await;
        let finish = accepted.iter().flat_map(|a| &a.queued).map(|hint| {
            world.store.attempt_finish(
                hint.attempt_id,
                answered(500, now()).into(),
                patient(),
                SentAs::in_epoch(Epoch::FIRST),
            )
        });
        for finished in futures_util::future::join_all(finish).await {
            finished.unwrap();
        }
    }
    id
}

#[tokio::test]
async fn a_large_job_goes_in_steps_and_from_where_it_was_after_a_restart() {
    let world = fresh().await;
    let endpoint = many_exhausted(&world, 2_500).await;
    let (job, queued, more) = world.make(all()).await;
    assert_eq!((queued.len(), more), (1_000, true));
    assert_eq!(counts(&job), (JobStatus::Running, [2_500, 1_000, 0, 0]));
    // What is exhausted meanwhile was not selected when the job was created.
    let fresh = world.post_one("a").await;
    let Finished::Done { .. } = world.finish(fresh, answered(410, now())).await else { panic!() };
    world.set_status(endpoint, EndpointStatus::Active).await;

    let world = reopen(world).await;
    let step = world.store.job_step(now()).await.unwrap();
    assert_eq!((step.queued.len(), step.more), (1_000, true));
    let world = reopen(world).await;
    let step = world.store.job_step(now()).await.unwrap();
    assert_eq!((step.queued.len(), step.more), (500, false));
    assert_eq!(world.store.job_step(now()).await.unwrap(), JobStep::default());
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Running, [2_500, 2_500, 0, 0]));
    assert_eq!(world.attempt(fresh).await.status, AttemptStatus::Exhausted);
    let rows = world.log_by_status().await;
    assert_eq!(rows, [("exhausted", 1), ("failed", 2_500), ("pending", 2_500)]);
}

#[tokio::test]
async fn a_large_recovery_takes_every_event_once_though_all_are_of_one_millisecond() {
    let world = fresh().await;
    for _ in 0..3 {
        world.take(vec![an_event("a", "1"); 900], now()).await;
    }
    let id = world.add_endpoint(&["a"]).await.id;
    let (job, queued, _) = world.make(recover(id)).await;
    assert_eq!((job.matched, queued.len()), (2_700, 1_000));
    while world.store.job_step(now()).await.unwrap().more {}
    assert_eq!(world.job(&job).await.queued, 2_700);
    let events: std::collections::HashSet<_> =
        world.log().await.into_iter().map(|row| row.event_id).collect();
    assert_eq!(events.len(), 2_700);
}

impl World {
    async fn log_by_status(&self) -> Vec<(&'static str, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for row in self.log().await {
            *counts.entry(row.status.as_str()).or_default() += 1;
        }
        counts.into_iter().collect()
    }
}

#[tokio::test]
async fn a_second_job_waits_until_the_first_is_queued_and_counts_none_of_it() {
    let world = fresh().await;
    many_exhausted(&world, 1_200).await;
    let (first, ..) = world.make(all()).await;
    let (second, queued, more) = world.make(all()).await;
    assert_eq!((queued, more), (vec![], true));
    while world.store.job_step(now()).await.unwrap().more {}
    assert_eq!(counts(&world.job(&first).await), (JobStatus::Running, [1_200, 1_200, 0, 0]));
    assert_eq!(counts(&world.job(&second).await), (JobStatus::Done, [0, 0, 0, 0]));
}

#[tokio::test]
async fn a_stopped_job_queues_no_more_and_what_was_not_sent_is_cancelled() {
    let world = fresh().await;
    many_exhausted(&world, 1_200).await;
    let (job, queued, _) = world.make(all()).await;
    let (sent, flying) = (queued[0].attempt_id, queued[1].attempt_id);
    world.finish(sent, answered(200, now())).await;
    let stop = async || {
        let id = job.id.unwrap();
        world.store.job_cancel(world.app, id, activity(ActivityKind::JobCancelled)).await.unwrap()
    };
    assert_eq!(stop().await, Some(true));
    assert_eq!(stop().await, Some(false));
    assert_eq!(world.store.job_step(now()).await.unwrap(), JobStep::default());
    assert_eq!(world.store.queue_load(vec![flying]).await.unwrap(), [], "nothing more of it is sent");
    assert_eq!(world.store.queue_cancel(600).await.unwrap(), 600);
    assert_eq!(world.store.queue_cancel(600).await.unwrap(), 399);
    assert_eq!(world.store.queue_cancel(600).await.unwrap(), 0);
    assert_eq!(
        world.log_by_status().await,
        [("cancelled", 999), ("delivered", 1), ("exhausted", 200), ("failed", 1_000)]
    );
    // It was in flight: what really happened wins.
    world.finish(flying, answered(200, now())).await;
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Cancelled, [1_200, 1_000, 2, 0]));
    let other = world.add_app("other").await;
    let entry = activity(ActivityKind::JobCancelled);
    assert_eq!(world.store.job_cancel(other, job.id.unwrap(), entry).await.unwrap(), None);
}

#[tokio::test]
async fn a_job_is_done_when_every_delivery_has_come_to_an_end() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    for _ in 0..3 {
        world.post_exhausted("a").await;
    }
    let (job, queued, _) = world.make(all()).await;
    world.finish(queued[0].attempt_id, answered(200, now())).await;
    world.fail_for_good(queued[1].attempt_id).await;
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Running, [3, 3, 1, 1]));
    world.set_status(id, EndpointStatus::Disabled).await;
    world.store.queue_cancel(9).await.unwrap();
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Done, [3, 3, 1, 1]));
    world.finish(queued[2].attempt_id, answered(500, now())).await;
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Done, [3, 3, 1, 2]));
    // A person's retry of what a job left behind is none of the job's business.
    let Retried::Queued(again, _) = world.retry(queued[2].attempt_id).await else { panic!() };
    world.finish(again.id, answered(200, now())).await;
    assert_eq!(counts(&world.job(&job).await), (JobStatus::Done, [3, 3, 1, 2]));
}

#[tokio::test]
async fn bulk_rows_are_a_queue_of_their_own() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    world.post_exhausted("a").await;
    let (_, queued, _) = world.make(all()).await;
    let fresh = world.take(vec![an_event("a", "1")], now().plus_ms(5)).await[0].queued[0].attempt_id;
    let due = world.store.queue_due(id, now().plus_ms(5), 9).await.unwrap();
    assert_eq!((due.attempts, due.bulk), (vec![fresh], vec![queued[0].attempt_id]));
    let due = world.store.queue_due(id, now(), 0).await.unwrap();
    assert_eq!((due.more, due.more_bulk, due.next_due), (false, true, Some(now().plus_ms(5))));
    assert_eq!(world.store.queue_endpoints(ShardSet::ALL).await.unwrap()[0].earliest, now());
    assert_eq!(world.store.queue_depth(9).await.unwrap(), 2);
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    let world = fresh().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.make(all()).await.0.id);
    }
    ids.reverse();
    let list = async |start| {
        let page = world.store.job_list(world.app, PageRequest { start, per_page: 2 }).await.unwrap();
        assert_eq!(page.total, Total { rows: 3, capped: false });
        (page.rows.into_iter().map(|job| job.id).collect::<Vec<_>>(), page.next)
    };
    let (first, next) = list(Start::Page(1)).await;
    assert_eq!(first, ids[..2]);
    assert_eq!(list(Start::After(next.unwrap())).await, (ids[2..].to_vec(), None));
    assert_eq!(list(Start::Page(2)).await, (ids[2..].to_vec(), None));
}

#[tokio::test]
async fn what_a_job_has_counted_is_in_the_activity_log() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    world.post_exhausted("a").await;
    world.make(all()).await;
    let entry = world.store.activity_recent(1).await.unwrap().remove(0);
    assert_eq!(entry.kind, ActivityKind::DeliveryBulkRetried);
    assert_eq!(entry.details, serde_json::json!({ "matched": 1, "queued": 1 }));
}
