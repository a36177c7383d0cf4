//! The database away: nothing is accepted that might be lost, nobody gets an internal error, nothing is sent twice, and
//! all goes on when it is back. Only with `POSTRIDER_TEST_STORAGE=postgres`; the database is the test's own.

use std::time::Duration;

use postrider::config::Secret;
use serde_json::json;
use tokio::time::Instant;

use crate::support::app::Answer;
use crate::support::own_postgres::OwnPostgres;
use crate::support::postgres::is_wanted;
use crate::support::{Receiver, TestApp, in_time};

/// How soon all goes on.
const GOES_ON_WITHIN: Duration = Duration::from_secs(5);

async fn app(database: &OwnPostgres) -> TestApp {
    TestApp::with(|config| {
        config.storage.url = Some(Secret::new(database.url()));
        config.storage.connections = 6;
        config.encryption_key = Some(Secret::new("a key of tests, with 32 characters or more".to_owned()));
    })
    .await
}

async fn post(app: &TestApp, n: usize) -> Answer {
    app.post("/v1/events", json!({ "event_type": "a", "payload": { "n": n } })).await
}

/// Asks all the time until an answer has this status, and fails on any that is neither this nor 503.
async fn until(app: &TestApp, path: &str, status: u16) {
    in_time(path, async {
        loop {
            let answer = app.get(path).await;
            if answer.status == status {
                return;
            }
            assert_eq!(answer.status, 503, "{path}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn outage(end: fn(&mut OwnPostgres)) {
    if !is_wanted() {
        return;
    }
    let mut database = OwnPostgres::start();
    let (app, receiver) = (app(&database).await, Receiver::start().await);
    app.webhook(&receiver.url("/hook"), json!({ "events": ["a"] })).await;
    post(&app, 0).await.expect(202);
    receiver.next().await;
    app.row_when(|row| row["status"] == "delivered").await;
    // One is in flight as the database goes, and ends while it is away.
    let hold = receiver.hold();
    post(&app, 1).await.expect(202);
    receiver.next().await;

    end(&mut database);
    hold.release();
    for path in ["/v1/webhooks", "/v1/webhooks/deliveries", "/v1/events"] {
        let answer = app.get(path).await;
        assert_eq!(
            (answer.status, answer.header("retry-after").is_some()),
            (503, true),
            "{path}: {}",
            answer.text
        );
    }
    for _ in 0..3 {
        let refused = post(&app, 2).await;
        assert!(refused.header("retry-after").is_some());
        refused.problems(503);
    }
    assert_eq!(app.get("/readyz").await.status, 503);
    assert_eq!(app.get("/healthz").await.status, 200);

    database.begin();
    let begun = Instant::now();
    until(&app, "/readyz", 200).await;
    until(&app, "/v1/webhooks", 200).await;
    let accepted = in_time("an accepted event", async {
        loop {
            let answer = post(&app, 3).await;
            if answer.status == 202 {
                return answer;
            }
            answer.problems(503);
        }
    });
    accepted.await.expect(202);
    in_time("the delivery", receiver.next()).await;
    assert!(begun.elapsed() < GOES_ON_WITHIN, "{:?}", begun.elapsed());
    let rows =
        app.rows_when(|rows| rows.iter().filter(|row| row["status"] == "delivered").count() == 3).await;
    assert_eq!(rows.len(), 3, "what was refused is not there: {rows:#?}");
    let mut sent: Vec<_> = receiver.received().iter().map(|received| received.json()["n"].clone()).collect();
    sent.sort_by_key(|n| n.as_i64());
    assert_eq!(sent.len(), 3, "nothing is sent twice: {sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_shut_down_and_started_again_costs_nothing_but_time() {
    outage(OwnPostgres::stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_and_started_again_costs_nothing_but_time() {
    outage(OwnPostgres::kill).await;
}
