//! Partitions of PostgreSQL: sending touches those of its own rows only, however many there are, so it holds few locks.
//! Only with `POSTRIDER_TEST_STORAGE=postgres`.

use postrider::store::location::{Location, Purpose};
use tokio_postgres::NoTls;

use super::*;
use crate::support::in_time;
use crate::support::postgres::{Database, is_wanted};

/// The partitions that have no row.
const OTHERS: &str = "SELECT i.inhrelid::regclass::text FROM pg_inherits i \
     WHERE i.inhparent IN ('log'::regclass, 'events'::regclass) \
     AND i.inhrelid NOT IN (SELECT tableoid FROM log UNION SELECT tableoid FROM events)";

/// More than after which the server reuses the plan of a prepared statement.
const TIMES: usize = 12;

/// Posts an event, loads its attempt in another process, fails it, and delivers its retry.
async fn deliver(store: &dyn Backend, other: &dyn Backend, app: AppId) {
    let taken = store.event_insert(app, vec![an_event("a", "{}")], now()).await.unwrap();
    let Taken::All(accepted) = taken else { panic!("{taken:?}") };
    let mut id = accepted[0].queued[0].attempt_id;
    for status in [500, 200] {
        let loaded = other.queue_load(vec![id]).await.unwrap();
        assert_eq!((loaded[0].id, &loaded[0].payload[..]), (id, &b"{}"[..]));
        let sent = SentAs::in_epoch(Epoch::FIRST);
        let finished = store.attempt_finish(id, answered(status, now()).into(), rules(), sent).await.unwrap();
        let Finished::Done { queued, .. } = finished else { panic!("{finished:?}") };
        id = queued.first().map_or(id, |next| next.attempt_id);
    }
}

#[tokio::test]
async fn sending_touches_only_the_partitions_of_its_own_rows() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let open = || Location::Server(database.server()).open(Purpose::Command, now()).unwrap();
    let (store, other) = (open(), open());
    let app = store.app_find("default").await.unwrap().unwrap().id;
    let endpoint = an_endpoint(app, settings(&["a"]));
    store.endpoint_insert(endpoint, 1, activity(ActivityKind::EndpointCreated)).await.unwrap();
    deliver(&*store, &*other, app).await;

    let (mut client, connection) = tokio_postgres::connect(&database.server().url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let locks = client.transaction().await.unwrap();
    let names: Vec<String> = locks.query(OTHERS, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(names.len() > 10, "partitions of other days: {names:?}");
    locks.batch_execute(&format!("LOCK TABLE {}", names.join(", "))).await.unwrap();
    for _ in 0..TIMES {
        in_time("a delivery while other partitions are locked", deliver(&*store, &*other, app)).await;
    }
    locks.rollback().await.unwrap();
    store.close().await;
    other.close().await;
}
