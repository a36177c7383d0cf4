//! Counts on PostgreSQL: nodes that count for the same endpoint do not wait for each other, and statistics say the same
//! before and after what they counted is added up. Only with `POSTRIDER_TEST_STORAGE=postgres`.

use std::time::Duration;

use postrider::store::location::{Location, Purpose};
use tokio_postgres::NoTls;

use super::*;
use crate::support::in_time;
use crate::support::postgres::{Database, is_wanted};

/// Rows that are counted and not added up.
const ADDED: &str = "SELECT (SELECT count(*) FROM totals_added) + (SELECT count(*) FROM total_times_added) \
     + (SELECT count(*) FROM total_errors_added) + (SELECT count(*) FROM minutes_added) \
     + (SELECT count(*) FROM minute_times_added) + (SELECT count(*) FROM rollup_statuses_added) \
     + (SELECT count(*) FROM event_types_added)";
/// The rows that counts are added to.
const SUMS: [&str; 9] = [
    "totals",
    "total_times",
    "total_errors",
    "minutes",
    "minute_times",
    "rollups",
    "rollup_times",
    "rollup_statuses",
    "event_types",
];

async fn added(database: &Database) -> i64 {
    database.rows(ADDED).await[0].get(0)
}

async fn all_added_up(database: &Database) {
    in_time("adding counts up", async {
        while added(database).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Posts an event, which fails once and is then delivered.
async fn deliver(store: &dyn Backend, app: AppId) {
    let taken = store.event_insert(app, vec![an_event("a", "{}")], now()).await.unwrap();
    let Taken::All(accepted) = taken else { panic!("{taken:?}") };
    let mut id = accepted[0].queued[0].attempt_id;
    for status in [500, 200] {
        let sent = SentAs::in_epoch(Epoch::FIRST);
        let finished = store.attempt_finish(id, answered(status, now()).into(), rules(), sent).await.unwrap();
        let Finished::Done { queued, .. } = finished else { panic!("{finished:?}") };
        id = queued.first().map_or(id, |next| next.attempt_id);
    }
}

/// All that statistics say.
async fn statistics(store: &dyn Backend, app: AppId, endpoint: EndpointId) -> String {
    let (since, until) = (now().plus_ms(-3_600_000), now().plus_ms(3_600_000));
    let types = store.event_type_list(app, first_page(10)).await.unwrap();
    format!(
        "{:#?} {:#?} {:#?} {:#?} {:#?} {:#?} {:#?}",
        types.rows,
        store.stats_totals(app, None).await.unwrap(),
        store.stats_points(app, None, since, until, 60_000).await.unwrap(),
        store.stats_points(app, Some(endpoint), since, until, 3_600_000).await.unwrap(),
        store.stats_health(app, endpoint, 10, now()).await.unwrap(),
        store.app_health(app, now()).await.unwrap(),
        store.endpoint_hours(app, vec![endpoint], since).await.unwrap(),
    )
}

#[tokio::test]
async fn nodes_count_side_by_side_and_statistics_do_not_depend_on_when_it_is_added_up() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let open = || Location::Server(database.server()).open(Purpose::Command, now()).unwrap();
    let (one, other) = (open(), open());
    let app = one.app_find("default").await.unwrap().unwrap().id;
    let endpoint = an_endpoint(app, settings(&["a"]));
    let id = endpoint.id;
    one.endpoint_insert(endpoint, 1, activity(ActivityKind::EndpointCreated)).await.unwrap();
    deliver(&*one, app).await;
    all_added_up(&database).await;

    let (mut client, connection) = tokio_postgres::connect(&database.server().url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let locks = client.transaction().await.unwrap();
    for table in SUMS {
        let rows = locks.query(&format!("SELECT 1 FROM {table} FOR UPDATE"), &[]).await.unwrap();
        assert!(!rows.is_empty(), "{table}");
    }
    for store in [&one, &other, &one] {
        in_time("a delivery while the sums are locked", deliver(&**store, app)).await;
    }
    let before = statistics(&*other, app, id).await;
    assert!(added(&database).await > 0);
    locks.rollback().await.unwrap();
    all_added_up(&database).await;
    assert_eq!(statistics(&*one, app, id).await, before);
    let totals = one.stats_totals(app, Some(id)).await.unwrap();
    assert_eq!((totals.deliveries, totals.delivered, totals.failed_attempts, totals.pending), (4, 4, 4, 0));
    let types = one.event_type_list(app, first_page(10)).await.unwrap();
    assert_eq!(types.rows[0].event_type, event_type("a"));
    assert_eq!(types.rows[0].count, 4);

    // Two nodes that are gone before anything was added up: the next one does it.
    let locks = client.transaction().await.unwrap();
    locks.query("SELECT 1 FROM event_types FOR UPDATE", &[]).await.unwrap();
    deliver(&*one, app).await;
    deliver(&*other, app).await;
    let before = statistics(&*one, app, id).await;
    one.close().await;
    other.close().await;
    locks.rollback().await.unwrap();
    let next = open();
    all_added_up(&database).await;
    assert_eq!(statistics(&*next, app, id).await, before);
    next.close().await;
}
