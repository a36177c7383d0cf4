//! Results are numbered, inserted and committed in one round trip on PostgreSQL: where that is not possible, nothing of
//! the group is committed. Only with `POSTRIDER_TEST_STORAGE=postgres`.

use postrider::store::location::{Location, Purpose};

use super::*;
use crate::support::postgres::{Database, is_wanted};

#[tokio::test]
async fn a_result_without_a_number_leaves_its_attempt_pending() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = Location::Server(database.server()).open(Purpose::Command, now()).unwrap();
    let app = store.app_find("default").await.unwrap().unwrap().id;
    let endpoint = an_endpoint(app, settings(&["a"]));
    store.endpoint_insert(endpoint, 1, activity(ActivityKind::EndpointCreated)).await.unwrap();
    let taken = store.event_insert(app, vec![an_event("a", "{}")], now()).await.unwrap();
    let Taken::All(accepted) = taken else { panic!("{taken:?}") };
    let id = accepted[0].queued[0].attempt_id;

    let numbers = database.rows("DELETE FROM result_seqs RETURNING app, result_seq").await;
    let sent = || SentAs::in_epoch(Epoch::FIRST);
    store.attempt_finish(id, answered(200, now()).into(), rules(), sent()).await.unwrap_err();
    assert_eq!(database.rows("SELECT id FROM queue").await.len(), 1);
    assert_eq!(database.rows("SELECT id FROM log").await.len(), 0);

    let (row, last): (i64, i64) = (numbers[0].get(0), numbers[0].get(1));
    database.rows(&format!("INSERT INTO result_seqs VALUES ({row}, {last}) RETURNING app")).await;
    let finished = store.attempt_finish(id, answered(200, now()).into(), rules(), sent()).await.unwrap();
    assert!(matches!(finished, Finished::Done { status: AttemptStatus::Delivered, .. }), "{finished:?}");
    assert_eq!(database.rows("SELECT id FROM log").await.len(), 1);
    store.close().await;
}
