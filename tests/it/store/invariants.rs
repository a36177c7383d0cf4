//! What must be true after whatever happens, tried with random sequences of operations.

use std::collections::BTreeMap;

use postrider::domain::histogram::{Bucket, bucket_of};
use proptest::prelude::*;

use super::*;

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
    Test {
        endpoint: usize,
        code: u16,
    },
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
        1 => (0usize..2, code()).prop_map(|(endpoint, code)| Step::Test { endpoint, code }),
    ];
    proptest::collection::vec(step, 1..60)
}

async fn run(steps: Vec<Step>) {
    let world = fresh().await;
    let mut endpoints = Vec::new();
    for name in ["a", "b", "c"] {
        endpoints.push(world.add_endpoint(&[name, "webhook_endpoint.*"]).await.id);
    }
    let mut deleted = false;
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
            Step::Test { endpoint, code } => {
                let test = TestDelivery {
                    endpoint_id: endpoints[endpoint],
                    event_id: EventId::new(now()),
                    event_type: event_type("webhook.test"),
                    payload: b"{}".to_vec().into(),
                    created_at: now(),
                    outcome: answered(code, now()),
                };
                world.store.test_record(world.app, test).await.unwrap();
            }
        }
        check(&world).await;
    }
}

async fn check(world: &World) {
    let log = world.log().await;
    one_row_of_a_delivery_is_not_failed(&log);
    next_retry_is_when_the_pending_successor_is_due(&log);
    roll_ups_equal_the_log(world, &log).await;
    let depth = log.iter().filter(|row| row.status == AttemptStatus::Pending).count();
    assert_eq!(world.store.queue_depth(10_000).await.unwrap(), depth as u64);
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

async fn roll_ups_equal_the_log(world: &World, log: &[Attempt]) {
    let mut expected: BTreeMap<(EndpointId, Timestamp), HourStats> = BTreeMap::new();
    let mut times: BTreeMap<(EndpointId, Timestamp), BTreeMap<Bucket, u64>> = BTreeMap::new();
    for row in log.iter().filter(|row| row.trigger != Trigger::Test) {
        let Some(hour) = row.attempted_at.map(Timestamp::hour) else { continue };
        let key = (row.endpoint_id, hour);
        let stats = expected.entry(key).or_insert(HourStats {
            endpoint_id: row.endpoint_id,
            hour,
            delivered: 0,
            exhausted: 0,
            failed_attempts: 0,
            response_ms_sum: 0,
            histogram: vec![],
        });
        use AttemptStatus::{Delivered, Exhausted, Failed};
        let failed = matches!(row.status, Failed | Exhausted);
        stats.delivered += u64::from(row.status == Delivered);
        stats.exhausted += u64::from(row.status == Exhausted);
        stats.failed_attempts += u64::from(failed && row.error_kind != Some(ErrorKind::Interrupted));
        if let Some(ms) = row.response_time_ms {
            stats.response_ms_sum += u64::from(ms);
            *times.entry(key).or_default().entry(bucket_of(ms.into())).or_default() += 1;
        }
    }
    for (key, counts) in times {
        expected.get_mut(&key).unwrap().histogram = counts.into_iter().collect();
    }
    let (since, until) = (now().plus_ms(-86_400_000), now().plus_ms(10 * 86_400_000));
    let mut hours = world.store.stats_hours(world.app, None, since, until).await.unwrap();
    hours.sort_by_key(|stats| (stats.endpoint_id, stats.hour));
    assert_eq!(hours, expected.into_values().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_log_stays_sound_and_the_roll_ups_equal_it(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
