//! The queue, as the dispatcher sees it.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn active_endpoints_with_work_are_found_with_their_earliest_time() {
    let world = fresh().await;
    let one = world.add_endpoint(&["a"]).await.id;
    let two = world.add_endpoint(&["b"]).await.id;
    world.add_endpoint(&["c"]).await;
    for (name, at) in [("a", 50), ("a", 20), ("b", 30)] {
        world.take(vec![an_event(name, "1")], now().plus_ms(at)).await;
    }
    let mut found = world.store.queue_endpoints(ShardSet::ALL).await.unwrap();
    found.sort_by_key(|queue| queue.endpoint_id);
    let expected = [(one, 20), (two, 30)]
        .map(|(endpoint_id, at)| EndpointQueue { endpoint_id, earliest: now().plus_ms(at) });
    assert_eq!(found, expected);
    world.set_status(one, EndpointStatus::Paused).await;
    world.set_status(two, EndpointStatus::Disabled).await;
    assert_eq!(world.store.queue_endpoints(ShardSet::ALL).await.unwrap(), []);
    world.set_status(one, EndpointStatus::Active).await;
    world.delete(two).await;
    assert_eq!(world.store.queue_endpoints(ShardSet::ALL).await.unwrap(), expected[..1]);
}

#[tokio::test]
async fn what_is_due_comes_in_order_of_time_and_id() {
    let world = fresh().await;
    let mut endpoint = an_endpoint(world.app, settings(&["*"]));
    endpoint.settings.rate_limit = Some(Rate::per_second(3));
    let id = world.add(endpoint).await.id;
    let mut ids = Vec::new();
    for at in [10, 0, 10, 20] {
        let accepted = world.take(vec![an_event("a", "1")], now().plus_ms(at)).await.remove(0);
        ids.push(accepted.queued[0].attempt_id);
    }
    let due = async |at: i64, limit| world.store.queue_due(id, now().plus_ms(at), limit).await.unwrap();
    let expected = |attempts: &[usize], more, next: Option<i64>| Due {
        attempts: attempts.iter().map(|i| ids[*i]).collect(),
        more,
        next_due: next.map(|at| now().plus_ms(at)),
        rate_limit: Some(Rate::per_second(3)),
        ..Due::default()
    };
    assert_eq!(due(-1, 9).await, expected(&[], false, Some(0)));
    assert_eq!(due(0, 9).await, expected(&[1], false, Some(10)));
    assert_eq!(due(10, 2).await, expected(&[1, 0], true, None));
    assert_eq!(due(10, 3).await, expected(&[1, 0, 2], false, Some(20)));
    assert_eq!(due(20, 4).await, expected(&[1, 0, 2, 3], false, None));
    assert_eq!(due(20, 0).await, expected(&[], true, None));
    world.set_status(id, EndpointStatus::Paused).await;
    assert_eq!(due(20, 9).await, expected(&[], false, None));
    world.set_status(id, EndpointStatus::Active).await;
    world.delete(id).await;
    assert_eq!(due(20, 9).await, Due::default());
}

#[tokio::test]
async fn with_what_is_due_comes_whether_the_endpoint_is_failing() {
    let world = fresh().await;
    let mut endpoint = an_endpoint(world.app, settings(&["*"]));
    endpoint.consecutive_failures = 1;
    let failing = world.add(endpoint).await.id;
    let other = world.add(an_endpoint(world.app, settings(&["*"]))).await.id;
    assert!(world.store.queue_due(failing, now(), 1).await.unwrap().failing);
    assert!(!world.store.queue_due(other, now(), 1).await.unwrap().failing);
}

#[tokio::test]
async fn single_shots_are_a_queue_of_their_own() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    world.finish(first, answered(200, now())).await;
    world.set_status(id, EndpointStatus::Disabled).await;
    let Retried::Queued(attempt, queued) = world.retry(first).await else { panic!() };
    assert_eq!(queued, Queued { attempt_id: attempt.id, endpoint_id: id, due_at: now(), line: Line::Single });
    let singles = async |at| world.store.queue_singles(now().plus_ms(at), 9, ShardSet::ALL).await.unwrap();
    assert_eq!(singles(-1).await, []);
    assert_eq!(singles(0).await, [queued]);
    assert_eq!(world.store.queue_endpoints(ShardSet::ALL).await.unwrap(), []);
    assert_eq!(world.store.queue_cancel(9).await.unwrap(), 0, "a person asked for it");
    let job = world.store.queue_load(vec![attempt.id]).await.unwrap().remove(0);
    assert_eq!((job.budget, job.trigger), (Budget::Single, Trigger::Manual));
    world.delete(id).await;
    assert_eq!(singles(0).await, []);
    assert_eq!(world.store.queue_load(vec![attempt.id]).await.unwrap(), []);
    assert_eq!(world.store.queue_cancel(9).await.unwrap(), 1);
    assert_eq!(world.attempt(attempt.id).await.status, AttemptStatus::Cancelled);
}

/// The client that posted an event may be the last to learn that it is on disk: it may have been sent by
/// then.
#[tokio::test]
async fn what_was_sent_before_its_post_was_answered_is_not_loaded_again() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await;
    // Its endpoint is known from the first load.
    let first = world.post_one("first").await;
    world.store.queue_load(vec![first]).await.unwrap();
    world.finish(first, answered(200, now())).await;

    let mut post = world.store.event_insert(world.app, vec![an_event("slow", "{}")], now());
    assert!((&mut post).now_or_never().is_none(), "the writer is asked, and nobody looks for its answer");
    let later = world.post_one("later").await;
    let due = world.store.queue_due(endpoint.id, now(), 9).await.unwrap().attempts;
    let slow = *due.iter().find(|id| **id != later).expect("what was asked for before is on disk, too");
    let load = async || world.store.queue_load(vec![slow]).await.unwrap().len();
    assert_eq!(load().await, 1);
    world.finish(slow, answered(200, now())).await;

    assert!(matches!(post.await.unwrap(), Taken::All(_)));
    assert_eq!(load().await, 0, "it has been sent");
}

#[tokio::test]
async fn an_attempt_is_loaded_with_all_that_sending_needs() {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await;
    let accepted = world.take(vec![an_event("a.b", "[1]"), an_event("c", "2")], now()).await;
    let ids: Vec<_> = accepted.iter().map(|a| a.queued[0].attempt_id).collect();
    let mut jobs = world.store.queue_load(vec![ids[0], ids[1], AttemptId(999)]).await.unwrap();
    jobs.sort_by_key(|job| job.id);
    assert_eq!(jobs.len(), 2);
    assert_eq!(
        jobs[0],
        LoadedAttempt {
            id: ids[0],
            attempt: 1,
            trigger: Trigger::Event,
            budget: Budget::Schedule { used: 0 },
            delivery_id: ids[0],
            event_id: accepted[0].event.id,
            event_type: event_type("a.b"),
            created_at: now(),
            resource_id: accepted[0].event.resource_id.clone(),
            payload: b"[1]".to_vec().into(),
            endpoint: Arc::new(endpoint.clone()),
            from: None,
        }
    );
    world.finish(ids[0], answered(200, now())).await;
    let left = world.store.queue_load(ids.clone()).await.unwrap();
    assert_eq!(left.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[1]]);
    world.set_status(endpoint.id, EndpointStatus::Paused).await;
    assert_eq!(world.store.queue_load(ids).await.unwrap(), []);
}

#[tokio::test]
async fn what_waits_for_a_lost_endpoint_is_cancelled_in_steps() {
    let world = fresh().await;
    let lost = world.add_endpoint(&["a"]).await.id;
    let off = world.add_endpoint(&["b"]).await.id;
    let paused = world.add_endpoint(&["c"]).await.id;
    for name in ["a", "a", "b", "b", "c"] {
        world.post(name).await;
    }
    world.delete(lost).await;
    world.set_status(off, EndpointStatus::Disabled).await;
    world.set_status(paused, EndpointStatus::Paused).await;
    assert_eq!(world.store.queue_depth(100).await.unwrap(), 5);
    assert_eq!(world.store.queue_depth(2).await.unwrap(), 2);
    assert_eq!(world.store.queue_cancel(3).await.unwrap(), 3);
    assert_eq!(world.store.queue_cancel(3).await.unwrap(), 1);
    assert_eq!(world.store.queue_cancel(3).await.unwrap(), 0);
    assert_eq!(world.store.queue_depth(100).await.unwrap(), 1);
    for row in world.log().await {
        let expected =
            if row.endpoint_id == paused { AttemptStatus::Pending } else { AttemptStatus::Cancelled };
        assert_eq!(row.status, expected);
        assert_eq!(row.due_at.is_some(), row.endpoint_id == paused);
    }
}

#[tokio::test]
async fn a_cancelled_retry_takes_its_time_off_the_row_before() {
    let world = fresh().await;
    let id = world.add_endpoint(&["*"]).await.id;
    let first = world.post_one("a").await;
    world.fail(first).await;
    assert!(world.attempt(first).await.next_retry_at.is_some());
    world.set_status(id, EndpointStatus::Disabled).await;
    world.store.queue_cancel(9).await.unwrap();
    assert_eq!(world.attempt(first).await.next_retry_at, None);
}
