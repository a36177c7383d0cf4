//! The end of an attempt.

use super::*;
use postrider::domain::event::ENDPOINT_DISABLED;
use postrider::domain::values::change::Change;

#[tokio::test]
async fn a_2xx_ends_the_delivery_and_keeps_what_was_sent_and_answered() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let accepted = world.take(vec![an_event("a", "[1]")], now()).await.remove(0);
    let id = accepted.queued[0].attempt_id;
    let outcome = answered(201, now().plus_ms(7));
    let done = world.finish(id, outcome.clone()).await;
    let status = AttemptStatus::Delivered;
    assert_eq!(done, Finished::Done { status, queued: vec![], disabled: false, hold_changed: false });
    let detail = world.detail(id).await;
    let row = &detail.attempt;
    assert_eq!((row.status, row.response_status, row.response_time_ms), (status, Some(201), Some(25)));
    assert_eq!((row.attempted_at, row.due_at, row.next_retry_at), (Some(now().plus_ms(7)), None, None));
    assert_eq!(row.response_body.as_deref(), Some("thanks"));
    assert_eq!((&row.error_kind, &row.error_message), (&None, &None));
    assert_eq!((detail.request, detail.response), (outcome.request, outcome.response));
    assert_eq!(detail.request_body.as_deref(), Some(b"[1]".as_slice()));
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!(world.finish(id, answered(500, now())).await, Finished::Stale);
    assert_eq!(world.finish(AttemptId(999), answered(500, now())).await, Finished::Stale);
    assert_eq!(world.attempt(id).await.status, status);
}

#[tokio::test]
async fn a_failure_schedules_the_next_attempt() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let finished_at = now().plus_ms(25);
    let Finished::Done { status, queued, disabled, .. } = world.finish(first, answered(500, now())).await
    else {
        panic!()
    };
    assert_eq!((status, disabled, queued.len()), (AttemptStatus::Failed, false, 1));
    let due_at = finished_at.plus_ms(60_000);
    let attempt_id = queued[0].attempt_id;
    assert_eq!(queued[0], Queued { attempt_id, endpoint_id: endpoint, due_at, line: Line::Fresh });
    let row = world.attempt(attempt_id).await;
    assert_eq!((row.attempt, row.trigger, row.status), (2, Trigger::Retry, AttemptStatus::Pending));
    assert_eq!((row.delivery_id, row.due_at, row.created_at), (first, Some(due_at), finished_at));
    let before = world.attempt(first).await;
    assert_eq!((before.next_retry_at, before.error_kind), (Some(due_at), Some(ErrorKind::HttpStatus)));
    assert_eq!(before.error_message.as_deref(), Some("HTTP 500"));
    assert_eq!(world.endpoint(endpoint).await.consecutive_failures, 1);
}

#[tokio::test]
async fn only_the_newest_finished_attempt_says_when_the_next_is_due() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let first = world.post_one("a").await;
    let second = world.fail(first).await;
    let third = world.fail(second).await;
    let times = async || {
        let mut times = Vec::new();
        for id in [first, second, third] {
            times.push(world.attempt(id).await.next_retry_at.is_some());
        }
        times
    };
    assert_eq!(times().await, [false, true, false]);
    world.finish(third, answered(500, now())).await;
    assert_eq!(times().await, [false; 3]);
    let attempts = world.detail(second).await.attempts;
    let steps: Vec<_> = attempts.iter().map(|a| (a.id, a.attempt, a.status)).collect();
    use AttemptStatus::{Exhausted, Failed};
    assert_eq!(steps, [(first, 1, Failed), (second, 2, Failed), (third, 3, Exhausted)]);
}

#[tokio::test]
async fn an_endpoints_own_schedule_wins() {
    let world = fresh().await;
    let mut endpoint = an_endpoint(world.app, settings(&["*"]));
    endpoint.settings.retry_schedule = Some(schedule(&[]));
    world.add(endpoint).await;
    let id = world.post_one("a").await;
    let done = world.finish(id, answered(500, now())).await;
    let status = AttemptStatus::Exhausted;
    assert_eq!(done, Finished::Done { status, queued: vec![], disabled: false, hold_changed: false });
}

#[tokio::test]
async fn a_changed_schedule_counts_for_the_next_result() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    world.finish(world.post_one("a").await, answered(200, now())).await;
    let second = world.post_one("a").await;
    let patch = EndpointPatch { retry_schedule: Change::Set(schedule(&[])), ..EndpointPatch::default() };
    let kind = activity(ActivityKind::EndpointChanged);
    world.store.endpoint_update(world.app, endpoint, patch, now(), kind).await.unwrap().unwrap();
    world.finish(second, answered(500, now())).await;
    assert_eq!(world.attempt(second).await.status, AttemptStatus::Exhausted);
}

#[tokio::test]
async fn the_request_is_kept_when_no_answer_came() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let id = world.post_one("a").await;
    let mut outcome = unanswered(ErrorKind::Timeout, now());
    outcome.request.as_mut().unwrap().body = Some(b"jwe".to_vec());
    world.finish(id, outcome.clone()).await;
    let detail = world.detail(id).await;
    assert_eq!((detail.request, detail.response), (outcome.request, None));
    assert_eq!(detail.request_body.as_deref(), Some(b"jwe".as_slice()));
    assert_eq!((detail.attempt.response_status, detail.attempt.response_body), (None, None));
    assert_eq!(detail.attempt.error_kind, Some(ErrorKind::Timeout));
}

#[tokio::test]
async fn a_success_clears_the_failure_counter() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let second = world.fail(first).await;
    world.finish(second, answered(200, now())).await;
    assert_eq!(world.endpoint(endpoint).await.consecutive_failures, 0);
}

#[tokio::test]
async fn the_attempt_that_reaches_the_limit_switches_its_endpoint_off() {
    let world = fresh().await;
    let failing = world.add_endpoint(&["a", "webhook_endpoint.*"]).await.id;
    let watcher = world.add_endpoint(&["webhook_endpoint.disabled"]).await.id;
    world.add_endpoint(&["*"]).await;
    let other = world.add_app("other").await;
    world.add(an_endpoint(other, settings(&["webhook_endpoint.*"]))).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.post("a").await[0]);
    }
    for id in &ids[..4] {
        world.fail(*id).await;
    }
    assert_eq!(world.endpoint(failing).await.status, EndpointStatus::Active);
    let at = now().plus_ms(500);
    let Finished::Done { status, queued, disabled, .. } = world.finish(ids[4], answered(503, at)).await
    else {
        panic!()
    };
    assert_eq!((status, disabled, queued.len()), (AttemptStatus::Exhausted, true, 1));
    let endpoint = world.endpoint(failing).await;
    assert_eq!((endpoint.status, endpoint.consecutive_failures), (EndpointStatus::Disabled, 5));
    let reason = "Disabled after 5 failed attempts in a row.";
    assert_eq!(endpoint.status_reason.as_deref(), Some(reason));
    assert_eq!(endpoint.updated_at, at.plus_ms(25));

    let row = world.attempt(queued[0].attempt_id).await;
    assert_eq!((row.endpoint_id, row.event_type.as_str()), (watcher, ENDPOINT_DISABLED));
    let event = world.store.event_get(world.app, row.event_id).await.unwrap().unwrap();
    assert_eq!(event.event.deliveries, 1);
    let payload: serde_json::Value = serde_json::from_slice(&event.payload.unwrap()).unwrap();
    assert_eq!(payload["data"]["endpoint_id"], failing.to_string());
    assert_eq!(payload["data"]["url"], "https://example.com/hook");
    assert_eq!(payload["data"]["consecutive_failures"], 5);

    let entry = world.store.activity_recent(1).await.unwrap().remove(0);
    assert_eq!((entry.kind, entry.actor.as_str()), (ActivityKind::EndpointDisabled, "system"));
    assert_eq!(entry.app_id, Some(world.app));
    assert!(
        world.store.queue_endpoints(ShardSet::ALL).await.unwrap().iter().all(|q| q.endpoint_id != failing)
    );
    assert_eq!(world.post("a").await.len(), 1, "only to the one that wants all");
}

#[tokio::test]
async fn a_410_switches_off_at_once() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let done = world.finish(first, answered(410, now())).await;
    let status = AttemptStatus::Exhausted;
    assert_eq!(done, Finished::Done { status, queued: vec![], disabled: true, hold_changed: false });
    let reason = world.endpoint(id).await.status_reason.unwrap();
    assert!(reason.contains("410"), "{reason}");
}

#[tokio::test]
async fn an_interrupted_attempt_is_due_again_at_once_and_counts_nowhere() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    let Finished::Done { status, queued, .. } = world.finish(first, interrupted(now())).await else {
        panic!()
    };
    assert_eq!((status, queued[0].due_at), (AttemptStatus::Failed, now().plus_ms(25)));
    let row = world.attempt(first).await;
    assert_eq!((row.attempted_at, row.error_kind), (None, Some(ErrorKind::Interrupted)));
    assert_eq!(world.endpoint(endpoint).await.consecutive_failures, 0);
    let totals = world.store.stats_totals(world.app, None).await.unwrap();
    assert_eq!((totals.failed_attempts, totals.pending, totals.exhausted), (0, 1, 0));
    let job = world.store.queue_load(vec![queued[0].attempt_id]).await.unwrap().remove(0);
    assert_eq!((job.attempt, job.budget), (2, Budget::Schedule { used: 0 }));
}

#[tokio::test]
async fn what_was_in_flight_when_its_endpoint_went_is_told_as_it_happened() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let (one, two) = (world.post_one("a").await, world.post_one("a").await);
    world.delete(id).await;
    assert_eq!(world.store.queue_cancel(9).await.unwrap(), 2);
    let ends = [(one, 200, AttemptStatus::Delivered), (two, 500, AttemptStatus::Exhausted)];
    for (id, code, status) in ends {
        let done = world.finish(id, answered(code, now())).await;
        assert_eq!(done, Finished::Done { status, queued: vec![], disabled: false, hold_changed: false });
        assert_eq!(world.attempt(id).await.status, status);
    }
}

#[tokio::test]
async fn a_receivers_wish_moves_the_retry_later() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let id = world.post_one("a").await;
    let wish = now().plus_ms(3_600_000);
    let outcome = Outcome { not_before: Some(wish), ..answered(429, now()) };
    let Finished::Done { queued, .. } = world.finish(id, outcome).await else { panic!() };
    assert_eq!(queued[0].due_at, wish);
    assert_eq!(world.attempt(id).await.next_retry_at, Some(wish));
}
