//! Many at a time, an end and a new start, a second process, a newer file.

use super::*;
use postrider::store::SentAs;
use postrider::store::location::{Location, Purpose};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_at_the_same_time_is_answered() {
    let world = fresh().await;
    world.add_endpoint(&["*"]).await;
    let app = world.app;
    let tasks: Vec<_> = (0..300)
        .map(|i| {
            let store = world.store.clone();
            tokio::spawn(async move {
                // One in ten is for an app that does not exist, which must harm nobody else.
                let app = if i % 10 == 0 { AppId::new(now()) } else { app };
                store.event_insert(app, vec![an_event("a", &i.to_string())], now()).await
            })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for (i, task) in tasks.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(Taken::All(all)) => assert!(ids.insert(all[0].queued[0].attempt_id)),
            other => assert!(i % 10 == 0 && other.is_err(), "{other:?}"),
        }
    }
    let rows = world.log().await;
    assert_eq!((ids.len(), rows.len()), (270, 270));
    assert!(rows.is_sorted_by_key(|row| row.event_id), "events ascend with their rows");
}

#[tokio::test]
async fn everything_is_there_after_a_new_start() {
    everything_is_there_after(async |world| reopen(world).await).await;
}

#[tokio::test]
async fn everything_is_there_after_a_crash() {
    everything_is_there_after(async |world| crash(world).await).await;
}

async fn everything_is_there_after(end: impl AsyncFnOnce(World) -> World) {
    let world = fresh().await;
    let endpoint = world.add_endpoint(&["*"]).await;
    let done = world.post_one("a").await;
    world.finish(done, answered(200, now())).await;
    let pending = world.post_one("a").await;
    let retry = world.fail(pending).await;
    let (log, detail) = (world.log().await, world.detail(done).await);
    let world = end(world).await;
    assert_eq!((world.log().await, world.detail(done).await), (log, detail));
    assert_eq!(world.endpoint(endpoint.id).await.consecutive_failures, 1);
    let due = world.store.queue_due(endpoint.id, now().plus_ms(86_400_000), 9).await.unwrap();
    assert_eq!(due.attempts, [retry]);
    assert_eq!(world.store.app_list().await.unwrap().len(), 1);
    let next = world.post_one("a").await;
    assert!(next > retry, "ids are not used twice");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let world = fresh().await;
    world.store.close().await;
    world.store.close().await;
    assert!(matches!(world.store.ping().await, Err(StoreError::Closed)));
    let write = world.store.event_insert(world.app, vec![an_event("a", "1")], now()).await;
    assert!(matches!(write, Err(StoreError::Closed)));
    let finish = world
        .store
        .attempt_finish(AttemptId(1), answered(200, now()).into(), rules(), SentAs::in_epoch(Epoch::FIRST))
        .await;
    assert!(matches!(finish, Err(StoreError::Closed)));
}

#[tokio::test]
async fn what_was_accepted_before_closing_is_written() {
    let world = fresh().await;
    // The app's filters are known from then on, so that the events reach the writer before the end.
    for _ in 0..2 {
        world.post("a").await;
    }
    let events = (0..50).map(|_| world.store.event_insert(world.app, vec![an_event("a", "1")], now()));
    let all = futures_util::future::join_all(events);
    let (taken, ()) = tokio::join!(all, world.store.close());
    let accepted = taken.iter().filter(|taken| taken.is_ok()).count() as u64;
    assert_eq!(accepted, 50);
    let world = reopen(world).await;
    let page = world.store.event_list(world.app, EventFilter::default(), first_page(1)).await.unwrap();
    assert_eq!(page.total.rows, accepted + 2);
}

#[tokio::test]
async fn a_second_process_may_write_beside() {
    let world = fresh().await;
    let beside = world.factory.open_beside();
    assert_eq!(beside.app_list().await.unwrap().len(), 1);
    let app = App { id: AppId::new(now()), name: "beside".to_owned(), created_at: now() };
    assert!(beside.app_insert(app.clone(), activity(ActivityKind::AppCreated)).await.unwrap());
    assert_eq!(world.store.app_find("beside").await.unwrap(), Some(app.clone()));
    assert_eq!(world.post("a").await.len(), 0);
    // What the other one changes must not be hidden by anything that this one remembers.
    beside
        .endpoint_insert(
            an_endpoint(world.app, settings(&["*"])),
            u32::MAX,
            activity(ActivityKind::EndpointCreated),
        )
        .await
        .unwrap();
    assert_eq!(world.post("a").await.len(), 1);
    beside.close().await;
    assert_eq!(world.post("a").await.len(), 1);
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused() {
    let world = fresh().await;
    world.store.close().await;
    let Some(path) = world.factory.file() else { return };
    // The version stands at byte 60 of the header, big-endian (the file format's description, 1.3).
    let mut bytes = std::fs::read(&path).unwrap();
    let known = i64::from(u32::from_be_bytes(bytes[60..64].try_into().unwrap()));
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    match Location::File(path.clone()).open(Purpose::Server, now()) {
        Err(StoreError::Newer { found: 99, known: k }) => assert_eq!(k, known),
        other => panic!("{:?}", other.err()),
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it was");
}
