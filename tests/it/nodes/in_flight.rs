//! What one node is sending, and what the others answer meanwhile. Only with `POSTRIDER_TEST_STORAGE=postgres`.

use serde_json::{Value, json};

use crate::support::postgres::is_wanted;
use crate::support::{Receiver, Reply, TestApp, in_time};

/// Waits until each of two nodes has its half of the shards.
async fn shared(app: &TestApp) {
    in_time("the shards to be spread", async {
        loop {
            let overview = app.get("/admin/api/overview").await.expect(200);
            let shards = overview["nodes"].as_array().unwrap().iter().map(|node| &node["shards"]);
            if shards.eq([&json!(128), &json!(128)]) {
                return;
            }
        }
    })
    .await;
}

fn retry(row: &Value) -> String {
    format!("/v1/webhooks/deliveries/{}/retry", row["id"].as_i64().unwrap())
}

#[tokio::test]
async fn what_any_node_is_sending_is_in_flight_for_all() {
    if !is_wanted() {
        return;
    }
    let one = TestApp::start().await;
    let other = one.beside("other").await;
    shared(&one).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hold = receiver.hold();
    let webhook = one.webhook(&receiver.url("/"), json!({})).await;
    let send_now = format!("/v1/webhooks/{}/send-now", webhook.id);
    one.post_event("a", json!({})).await;
    receiver.next().await;
    let pending = one.row_when(|row| row["status"] == "pending").await;
    for node in [&one, &other] {
        let problem = node.post(&retry(&pending), json!({})).await.expect(409);
        assert_eq!(problem["errors"][0]["code"], "conflict", "{problem}");
        let queued = node.post(&send_now, json!({})).await.expect(202);
        assert_eq!(queued["data"]["attributes"]["queued"], 0);
    }
    hold.release();
    let next = one.row_when(|row| row["attempt"] == 2 && row["status"] == "pending").await;
    // It waits for its time, and is not in flight anywhere.
    other.post(&retry(&next), json!({})).await.expect(202);
    receiver.next().await;
    other.stop_within(std::time::Duration::from_secs(5)).await;
}
