//! One server for a database: the second one is refused, and the first one writes only while it has its lock. Only with
//! `POSTRIDER_TEST_STORAGE=postgres`.

use postrider::store::location::{Location, Purpose};
use tokio_postgres::{Client, NoTls};

use super::*;
use crate::support::in_time;
use crate::support::postgres::{Database, is_wanted};

/// The lock of the server that writes.
const LOCK: i64 = 0x706f_7374_7269_6402;
/// The sessions that have it or wait for it.
const SESSIONS: &str = "FROM pg_locks WHERE locktype = 'advisory' \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND (classid::bigint << 32 | objid::bigint) = $1";

/// Ends the session that has the lock, and waits for its end.
async fn cut(client: &Client) {
    let sql = format!("SELECT pg_terminate_backend(pid, 10000) {SESSIONS} AND granted");
    let ended = client.query(&sql, &[&LOCK]).await.unwrap();
    assert!(ended.len() == 1 && ended[0].get::<_, bool>(0), "one session has the lock");
}

/// A session of somebody else.
async fn session(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.server().url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A server on the database.
fn open(database: &Database) -> Result<Arc<dyn Backend>> {
    Location::Server(database.server()).open(Purpose::Server, now())
}

async fn post(store: &dyn Backend) -> Result<Taken> {
    let app = store.app_find("default").await.unwrap().unwrap().id;
    store.event_insert(app, vec![an_event("a", "1")], now()).await
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_one_has_ended() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let first = open(&database).unwrap();
    let refused = open(&database).err().expect("the second one is refused");
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    assert_eq!(
        refused.to_string(),
        "the database is in use by another Postrider server. Stop that one first: several nodes on one database come \
         in a later version"
    );
    post(&*first).await.unwrap();
    let command = Location::Server(database.server()).open(Purpose::Command, now()).unwrap();
    post(&*command).await.unwrap();
    command.close().await;
    assert!(open(&database).is_err(), "a command ends without the lock");
    first.close().await;
    let next = open(&database).unwrap();
    post(&*next).await.unwrap();
    next.close().await;
}

#[tokio::test]
async fn a_server_goes_on_after_its_connection_was_cut() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = open(&database).unwrap();
    post(&*store).await.unwrap();
    let other = session(&database).await;
    for _ in 0..2 {
        cut(&other).await;
        post(&*store).await.unwrap();
    }
    assert!(matches!(open(&database), Err(StoreError::InUse { .. })), "it has its lock again");
    store.close().await;
}

#[tokio::test]
async fn a_server_without_its_lock_does_not_write() {
    if !is_wanted() {
        return;
    }
    let database = Database::new();
    let store = open(&database).unwrap();
    let (other, thief) = (session(&database).await, session(&database).await);
    let taking = tokio::spawn(async move {
        thief.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.unwrap();
        thief
    });
    in_time("another session that waits for the lock", async {
        let waiting = format!("SELECT 1 {SESSIONS} AND NOT granted");
        while other.query(&waiting, &[&LOCK]).await.unwrap().is_empty() {}
    })
    .await;
    cut(&other).await;
    let thief = taking.await.unwrap();
    assert!(matches!(post(&*store).await, Err(StoreError::Overloaded)));
    thief.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.unwrap();
    post(&*store).await.unwrap();
    store.close().await;
}
