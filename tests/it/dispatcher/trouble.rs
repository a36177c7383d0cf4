//! The dispatcher when sending panics, storage refuses results, or the clock jumps.

use postrider::store::{QueueStore as _, StoreError};

use super::*;

#[tokio::test]
async fn a_panic_while_sending_loses_neither_the_slot_nor_the_delivery() {
    let bench = Bench::new(1, 1).await;
    let endpoint = bench.responsive("a").await;
    bench.post("a", 2).await;
    bench.flight_to(endpoint).await.ends(End::Panic);
    bench.flight_to(endpoint).await.ends(End::Answer(200));
    bench.finished(1, AttemptStatus::Failed, endpoint).await;
    let rows = bench.rows(endpoint).await;
    let failed = rows.iter().find(|row| row.status == AttemptStatus::Failed).unwrap();
    let detail = bench.store.attempt_get(bench.app, failed.id).await.unwrap().unwrap();
    assert_eq!(detail.request.unwrap().url, "http://receiver.example/", "the request may have been sent");
    bench.clock.advance_ms(60_000);
    let again = bench.flight_to(endpoint).await;
    assert_eq!(again.payload, "0");
}

#[tokio::test]
async fn nothing_is_sent_while_results_cannot_be_committed_and_sending_resumes_afterwards() {
    let bench = Bench::new(4, 1).await;
    let (a, b) = (bench.responsive("a").await, bench.responsive("b").await);
    bench.post("a", 20).await;
    bench.post("b", 20).await;
    let first = [bench.flight().await, bench.flight().await];
    // Another process holds the lock for longer than the writer waits.
    let other = rusqlite::Connection::open(bench.dir.path().join("db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for flight in first {
        flight.ends(End::Answer(200));
    }
    let (mut sent, mut quiet) = (2, 0);
    while quiet < 3 && sent < 40 {
        // The writer works in order, so the results queued before this command have been refused by now.
        assert!(matches!(bench.store.queue_cancel(1).await, Err(StoreError::Overloaded)));
        quiet += 1;
        while let Ok(flight) = bench.flights.lock().await.try_recv() {
            flight.ends(End::Answer(200));
            (sent, quiet) = (sent + 1, 0);
        }
    }
    assert!(sent < 10, "{sent} were sent although no result could be committed");
    other.execute_batch("ROLLBACK").unwrap();
    bench.clock.advance_ms(500);
    while sent < 40 {
        bench.flight().await.ends(End::Answer(200));
        sent += 1;
    }
    bench.finished(21, AttemptStatus::Delivered, a).await;
    bench.finished(21, AttemptStatus::Delivered, b).await;
}

#[tokio::test]
async fn an_attempt_without_a_hint_is_found_although_the_clock_was_set_back() {
    let bench = Bench::new(4, 1).await;
    let endpoint = bench.responsive("a").await;
    bench.post("a", 1).await;
    bench.flight_to(endpoint).await.ends(End::Answer(500));
    bench.finished(1, AttemptStatus::Failed, endpoint).await;
    // The test dates this event itself, so it is due whatever the clock says.
    bench.clock.set(start_time());
    let forgotten = NewEvent {
        event_type: EventType::parse("a").unwrap(),
        payload: Bytes::from_static(b"\"forgotten\""),
        resource_id: None,
        idempotency_key: None,
    };
    let long_ago = start_time().plus_ms(-7_200_000);
    bench.store.event_insert(bench.app, vec![forgotten], long_ago).await.unwrap();
    bench.clock.set(start_time().plus_ms(-3_600_000));
    bench.clock.advance_ms(5_000);
    assert_eq!(bench.flight_to(endpoint).await.payload, "\"forgotten\"");
}

#[tokio::test]
async fn a_stop_sends_nothing_more_and_leaves_the_rest_pending() {
    let bench = Bench::new(1, 1).await;
    let endpoint = bench.responsive("a").await;
    bench.post("a", 5).await;
    let flight = bench.flight_to(endpoint).await;
    let dispatcher = bench.node.dispatcher.clone();
    let stopping = tokio::spawn(async move { dispatcher.stop(Duration::from_secs(20)).await });
    tokio::task::yield_now().await;
    flight.ends(End::Answer(200));
    in_time("the stop", stopping).await.unwrap();
    let statuses = bench.statuses(endpoint).await;
    assert_eq!(statuses.iter().filter(|s| **s == AttemptStatus::Pending).count(), 4, "{statuses:?}");
}
