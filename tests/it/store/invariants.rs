//! What must be true after whatever happens, tried with random sequences of operations.

use std::collections::BTreeMap;

use postrider::domain::attempts::status_class::StatusClass;
use postrider::domain::values::histogram::{Bucket, bucket_of};
use proptest::prelude::*;

use super::*;
use postrider::domain::attempts::bulk_job::Work;

#[derive(Debug, Clone)]
enum Step {
    Post {
        endpoint: usize,
    },
    /// Ends a pending attempt.
    Finish {
        pick: usize,
        code: u16,
        minutes: i64,
    },
    Unanswered {
        pick: usize,
        kind: ErrorKind,
    },
    Interrupted {
        pick: usize,
    },
    Retry {
        pick: usize,
    },
    Status {
        endpoint: usize,
        status: EndpointStatus,
    },
    Delete {
        endpoint: usize,
    },
    Cancel {
        limit: u32,
    },
    /// Lets everything that is exhausted go on.
    RetryAll,
    Recover {
        endpoint: usize,
    },
    /// Stops a job.
    Stop {
        pick: usize,
    },
    Test {
        endpoint: usize,
        code: u16,
    },
    /// Storage is closed and opened again.
    Reopen,
    /// The process ends without a word, and another one opens what it left.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let code = || proptest::sample::select(vec![200u16, 204, 302, 410, 429, 500, 503]);
    let kind = proptest::sample::select(vec![ErrorKind::Timeout, ErrorKind::Dns, ErrorKind::Interrupted]);
    let status = proptest::sample::select(EndpointStatus::ALL);
    let any = || 0usize..1_000;
    let step = prop_oneof![
        5 => (0usize..3).prop_map(|endpoint| Step::Post { endpoint }),
        8 => (any(), code(), 0i64..300).prop_map(|(pick, code, minutes)| Step::Finish { pick, code, minutes }),
        2 => (any(), kind).prop_map(|(pick, kind)| Step::Unanswered { pick, kind }),
        1 => any().prop_map(|pick| Step::Interrupted { pick }),
        4 => any().prop_map(|pick| Step::Retry { pick }),
        2 => (0usize..3, status).prop_map(|(endpoint, status)| Step::Status { endpoint, status }),
        1 => (2usize..3).prop_map(|endpoint| Step::Delete { endpoint }),
        2 => (1u32..4).prop_map(|limit| Step::Cancel { limit }),
        1 => Just(Step::RetryAll),
        1 => (0usize..3).prop_map(|endpoint| Step::Recover { endpoint }),
        1 => any().prop_map(|pick| Step::Stop { pick }),
        1 => (0usize..2, code()).prop_map(|(endpoint, code)| Step::Test { endpoint, code }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

async fn run(steps: Vec<Step>) {
    let mut world = fresh().await;
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c"] {
        endpoints.push(world.add_endpoint(&[name, "webhook_endpoint.*"]).await.id);
    }
    let mut deleted = false;
    let mut jobs: Vec<MadeJob> = Vec::new();
    for step in steps {
        let log = world.log().await;
        // In flight may also be what was cancelled meanwhile.
        let open = |row: &&Attempt| {
            row.status == AttemptStatus::Pending
                || (row.status == AttemptStatus::Cancelled && row.id.0 % 3 == 0)
        };
        let pending: Vec<AttemptId> = log.iter().filter(open).map(|row| row.id).collect();
        let chosen = |pick: usize| pending.get(pick % pending.len().max(1)).copied();
        let alive = |endpoint: usize| !(deleted && endpoint == 2);
        match step {
            Step::Reopen => {
                world = reopen(world).await;
                assert_eq!(world.log().await, log, "after an orderly end");
            }
            Step::Crash => {
                world = crash(world).await;
                assert_eq!(world.log().await, log, "after a crash");
            }
            Step::Post { endpoint } => {
                world.post(["a", "b", "c"][endpoint]).await;
            }
            Step::Finish { pick, code, minutes } => {
                let Some(id) = chosen(pick) else { continue };
                world.finish(id, answered(code, now().plus_ms(minutes * 60_000))).await;
            }
            Step::Unanswered { pick, kind } => {
                let Some(id) = chosen(pick) else { continue };
                world.finish(id, unanswered(kind, now())).await;
            }
            Step::Interrupted { pick } => {
                let Some(id) = chosen(pick) else { continue };
                world.finish(id, interrupted(now())).await;
            }
            Step::Retry { pick } => {
                let Some(row) = log.get(pick % log.len().max(1)) else { continue };
                world.retry(row.id).await;
            }
            Step::Status { endpoint, status } if alive(endpoint) => {
                world.set_status(endpoints[endpoint], status).await;
            }
            Step::Delete { endpoint } if alive(endpoint) => {
                world.delete(endpoints[endpoint]).await;
                deleted = true;
            }
            Step::Status { .. } | Step::Delete { .. } => {}
            Step::Cancel { limit } => assert!(world.store.queue_cancel(limit).await.unwrap() <= limit),
            Step::RetryAll => jobs.extend(make_job(&world, Work::Retry(AttemptFilter::default())).await),
            Step::Recover { endpoint } => {
                let until = now().plus_ms(365 * 86_400_000);
                let work = Work::Recover { endpoint: endpoints[endpoint], since: now(), until };
                jobs.extend(make_job(&world, work).await);
            }
            Step::Stop { pick } => {
                let Some(job) = jobs.get(pick % jobs.len().max(1)) else { continue };
                let entry = activity(ActivityKind::JobCancelled);
                world.store.job_cancel(world.app, job.id, entry).await.unwrap();
            }
            Step::Test { endpoint, code } => {
                let test = TestDelivery {
                    endpoint_id: endpoints[endpoint],
                    event_id: EventId::at(now()),
                    event_type: event_type("webhook.test"),
                    payload: b"{}".to_vec().into(),
                    created_at: now(),
                    outcome: answered(code, now()),
                };
                world.store.test_record(world.app, test).await.unwrap();
            }
        }
        check(&world, &endpoints).await;
        jobs_count_what_the_log_shows(&world, &jobs).await;
    }
}

/// A job and the attempts it made.
struct MadeJob {
    id: JobId,
    made: Vec<AttemptId>,
}

async fn make_job(world: &World, work: Work) -> Option<MadeJob> {
    let before: Vec<_> = world.log().await.iter().map(|row| row.id).collect();
    let note = Box::new(|_: &BulkJob| activity(ActivityKind::DeliveryBulkRetried));
    let counted = world.store.job_count(world.app, work.clone()).await.unwrap();
    let answer = world.store.job_insert(world.app, work, 0, now(), note).await.unwrap();
    let (JobCreation::Created { job, more: false, .. }, Ok(counted)) = (&answer, counted) else {
        assert_eq!(answer, JobCreation::Refused(counted.unwrap_err()));
        return None;
    };
    let log = world.log().await;
    let made: Vec<_> = log.iter().map(|row| row.id).filter(|id| !before.contains(id)).collect();
    assert_eq!((job.matched, job.queued, counted), (made.len() as u64, made.len() as u64, job.queued));
    Some(MadeJob { id: job.id.unwrap(), made })
}

async fn jobs_count_what_the_log_shows(world: &World, jobs: &[MadeJob]) {
    let log = world.log().await;
    let deliveries = deliveries(&log);
    for MadeJob { id, made } in jobs {
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for first in made {
            let rows = deliveries.values().find(|rows| rows.iter().any(|row| row.id == *first)).unwrap();
            let own = rows.iter().skip_while(|row| row.id != *first);
            // The schedule's retries are the job's; what somebody asks for later is not.
            let last = own.take_while(|row| row.id == *first || row.trigger == Trigger::Retry).last();
            let end = match last.unwrap().status {
                AttemptStatus::Failed => AttemptStatus::Exhausted,
                status => status,
            };
            *ends.entry(end.as_str()).or_default() += 1;
        }
        let ended = |name: &str| ends.get(name).copied().unwrap_or(0);
        let job = world.store.job_get(world.app, *id).await.unwrap().unwrap();
        assert_eq!((job.delivered, job.exhausted), (ended("delivered"), ended("exhausted")), "{ends:?}");
        match job.status {
            JobStatus::Running => assert!(ended("pending") > 0, "it has nothing left to do"),
            JobStatus::Done => assert_eq!(ended("pending"), 0),
            JobStatus::Cancelled => {}
            JobStatus::DryRun => panic!("a dry run is not kept"),
        }
    }
}

async fn check(world: &World, endpoints: &[EndpointId]) {
    let log = world.log().await;
    one_row_of_a_delivery_is_not_failed(&log);
    next_retry_is_when_the_pending_successor_is_due(&log);
    statistics_equal_the_log(world, &log, endpoints).await;
    let depth = log.iter().filter(|row| row.status == AttemptStatus::Pending).count();
    assert_eq!(world.store.queue_depth(10_000).await.unwrap(), depth as u64);
    assert_eq!(world.store.meters().queue_depth.get(), depth as i64, "the meter");
}

fn deliveries(log: &[Attempt]) -> BTreeMap<AttemptId, Vec<&Attempt>> {
    let mut deliveries: BTreeMap<AttemptId, Vec<&Attempt>> = BTreeMap::new();
    for row in log {
        deliveries.entry(row.delivery_id).or_default().push(row);
    }
    deliveries
}

fn one_row_of_a_delivery_is_not_failed(log: &[Attempt]) {
    for (id, rows) in deliveries(log) {
        assert_eq!(rows[0].id, id);
        let numbers: Vec<u32> = rows.iter().map(|row| row.attempt).collect();
        assert_eq!(numbers, (1..=rows.len() as u32).collect::<Vec<_>>());
        let (last, others) = rows.split_last().unwrap();
        assert_ne!(last.status, AttemptStatus::Failed, "{last:?}");
        assert!(others.iter().all(|row| row.status == AttemptStatus::Failed));
    }
}

fn next_retry_is_when_the_pending_successor_is_due(log: &[Attempt]) {
    for rows in deliveries(log).values() {
        for (i, row) in rows.iter().enumerate() {
            let expected = rows.get(i + 1).and_then(|next| next.due_at);
            assert_eq!(row.next_retry_at, expected, "{row:?}");
        }
    }
}

/// What a reader of the whole log would count for an endpoint in steps of `step_ms`.
fn counted(log: &[Attempt], endpoint: EndpointId, step_ms: i64) -> Vec<Point> {
    let start = |at: Timestamp| at.as_millis() - at.as_millis().rem_euclid(step_ms);
    let mut expected: BTreeMap<i64, Point> = BTreeMap::new();
    let mut times: BTreeMap<i64, BTreeMap<Bucket, u64>> = BTreeMap::new();
    let mut statuses: BTreeMap<i64, BTreeMap<StatusClass, u64>> = BTreeMap::new();
    for rows in deliveries(log).values() {
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        if first.endpoint_id != endpoint || first.trigger == Trigger::Test {
            continue;
        }
        let made = expected.entry(start(first.created_at)).or_default();
        made.deliveries += 1;
        made.failed_deliveries += u64::from(last.status == AttemptStatus::Exhausted);
        for row in rows {
            let Some(at) = row.attempted_at.map(start) else { continue };
            let sent = expected.entry(at).or_default();
            sent.delivered += u64::from(row.status == AttemptStatus::Delivered);
            sent.exhausted += u64::from(row.status == AttemptStatus::Exhausted);
            if did_fail(row) {
                sent.failed_attempts += 1;
                let class = StatusClass::of(row.response_status);
                *statuses.entry(at).or_default().entry(class).or_default() += 1;
            }
            if let Some(ms) = row.response_time_ms {
                sent.response_count += 1;
                sent.response_ms_sum += u64::from(ms);
                *times.entry(at).or_default().entry(bucket_of(ms.into())).or_default() += 1;
            }
        }
    }
    for (at, counts) in times {
        expected.entry(at).or_default().histogram = counts.into_iter().collect();
    }
    for (at, counts) in statuses.into_iter().filter(|_| step_ms % 3_600_000 == 0) {
        expected.entry(at).or_default().failed_statuses = counts.into_iter().collect();
    }
    let points = expected.into_iter().map(|(start_ms, point)| Point { start_ms, ..point });
    points.filter(something).collect()
}

fn did_fail(row: &Attempt) -> bool {
    let failed = matches!(row.status, AttemptStatus::Failed | AttemptStatus::Exhausted);
    failed && row.error_kind != Some(ErrorKind::Interrupted)
}

fn something(point: &Point) -> bool {
    *point != Point { start_ms: point.start_ms, ..Point::default() }
}

async fn statistics_equal_the_log(world: &World, log: &[Attempt], endpoints: &[EndpointId]) {
    const DAY: i64 = 86_400_000;
    let today = Timestamp::from_millis(now().as_millis() - now().as_millis().rem_euclid(DAY));
    let (since, until) = (today.plus_ms(-DAY), today.plus_ms(10 * DAY));
    let mut sum = 0;
    for endpoint in endpoints {
        for step_ms in [60_000, 7 * 60_000, 3_600_000, DAY] {
            let (since, until) = if step_ms == 7 * 60_000 {
                let whole = |t: Timestamp| Timestamp::from_millis(t.as_millis() / step_ms * step_ms);
                (whole(since), whole(until))
            } else {
                (since, until)
            };
            let found = world.store.stats_points(world.app, Some(*endpoint), since, until, step_ms);
            let found: Vec<Point> = found.await.unwrap().into_iter().filter(something).collect();
            assert_eq!(found, counted(log, *endpoint, step_ms), "steps of {step_ms} ms");
        }
        let found = world.store.stats_health(world.app, *endpoint, 99, now()).await.unwrap();
        let Some(health) = found else { continue };
        sum += health.figures.totals.deliveries;
        totals_equal_the_log(&health, log, *endpoint);
    }
    let all = world.store.stats_totals(world.app, None).await.unwrap();
    assert_eq!(all.deliveries, sum);
}

fn totals_equal_the_log(health: &HealthFigures, log: &[Attempt], endpoint: EndpointId) {
    let own = |row: &&Attempt| row.endpoint_id == endpoint && row.trigger != Trigger::Test;
    let count = |is: &dyn Fn(&Attempt) -> bool| log.iter().filter(own).filter(|row| is(row)).count() as u64;
    let status = |status| count(&|row| row.status == status);
    use AttemptStatus::{Cancelled, Delivered, Exhausted, Pending};
    let newest = |row: &&Attempt| matches!(row.status, Delivered | Exhausted);
    let times: Vec<u64> =
        log.iter().filter(own).filter(newest).filter_map(|row| row.response_time_ms).map(u64::from).collect();
    let expected = Totals {
        deliveries: count(&|row| row.id == row.delivery_id),
        delivered: status(Delivered),
        exhausted: status(Exhausted),
        pending: status(Pending),
        cancelled: status(Cancelled),
        failed_attempts: count(&did_fail),
        response_count: times.len() as u64,
        response_ms_sum: times.iter().sum(),
        last_attempted_at: log.iter().filter(own).filter_map(|row| row.attempted_at).max(),
    };
    let totals = health.figures.totals;
    assert_eq!(totals, expected);
    assert_eq!(totals.deliveries, totals.delivered + totals.exhausted + totals.pending + totals.cancelled);
    let mut buckets: BTreeMap<Bucket, u64> = BTreeMap::new();
    for ms in times {
        *buckets.entry(bucket_of(ms)).or_default() += 1;
    }
    assert_eq!(health.times.histogram, buckets.into_iter().collect::<Vec<_>>());
    assert_eq!(health.errors.iter().map(|error| error.count).sum::<u64>(), totals.failed_attempts);
    let standing = &health.figures.standing;
    assert_eq!(standing.waiting, totals.pending);
    let counts = |row: &Attempt| did_fail(row) && !matches!(row.error_kind, Some(ErrorKind::Local));
    assert_eq!(standing.last_failure_at.is_some(), count(&counts) > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_log_stays_sound_and_the_roll_ups_equal_it(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
