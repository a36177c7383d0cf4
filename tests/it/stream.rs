//! The live log: `GET /v1/webhooks/deliveries/stream`.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use postrider::domain::access::activity::ActivityKind;
use postrider::host::clock::Clock as _;
use postrider::service::By;
use postrider::service::log::live::{ALIVE_EVERY_MS, SLOW_AFTER_MS};
use reqwest::Method;
use serde_json::{Value, json};

use crate::export::{answered, log};
use crate::support::app::{send, start_time};
use crate::support::{Receiver, Reply, TestApp, in_time};

const STREAM: &str = "/v1/webhooks/deliveries/stream";

/// One block of a stream: its fields, comments under an empty name.
type Block = Vec<(String, String)>;

/// A client of the stream.
struct Client {
    answer: reqwest::Response,
    bytes: Vec<u8>,
    blocks: VecDeque<Block>,
}

fn field<'a>(block: &'a Block, name: &str) -> Option<&'a str> {
    block.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// The id of the earliest row of the log.
async fn earliest(app: &TestApp) -> i64 {
    app.rows_of("/v1/webhooks/deliveries?sort=created_at&per_page=1").await[0]["id"].as_i64().unwrap()
}

impl Client {
    /// Opens a stream and reads its beginning.
    async fn open(app: &TestApp, query: &str, last: Option<i64>) -> Client {
        Client::open_as(app, &app.token, query, last).await
    }

    async fn open_as(app: &TestApp, token: &str, query: &str, last: Option<i64>) -> Client {
        let mut request = app.request_as(token, Method::GET, &format!("{STREAM}{query}"));
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        let answer = in_time("the head", request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert!(!answer.headers().contains_key("content-encoding"));
        let mut client = Client { answer, bytes: Vec::new(), blocks: VecDeque::new() };
        let first = client.block().await.unwrap();
        assert_eq!(field(&first, "retry"), Some("2000"));
        client
    }

    /// The next block; `None` at the end.
    async fn block(&mut self) -> Option<Block> {
        loop {
            while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let block = String::from_utf8(self.bytes.drain(..end + 2).collect()).unwrap();
                let pairs = block.trim_end().lines().map(|line| line.split_once(": ").expect("a field"));
                let block = pairs.map(|(n, v)| (n.trim_end_matches(':').to_owned(), v.to_owned())).collect();
                self.blocks.push_back(block);
            }
            if let Some(block) = self.blocks.pop_front() {
                return Some(block);
            }
            let piece = in_time("a piece of the stream", self.answer.chunk()).await.unwrap()?;
            self.bytes.extend(piece);
        }
    }

    /// The next row: `id` and attributes.
    async fn row(&mut self) -> Value {
        let mut block = self.block().await.expect("the stream goes on");
        while field(&block, "") == Some("alive") {
            block = self.block().await.expect("the stream goes on");
        }
        assert_eq!(field(&block, "event"), Some("attempt"), "{block:?}");
        let data: Value = serde_json::from_str(field(&block, "data").unwrap()).unwrap();
        assert_eq!(data["type"], "webhook_delivery");
        assert_eq!(field(&block, "id"), Some(data["id"].to_string().as_str()));
        let mut flat = data["attributes"].clone();
        flat["id"] = data["id"].clone();
        flat
    }

    /// The ids of so many rows.
    async fn ids(&mut self, n: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < n {
            ids.push(self.row().await["id"].as_i64().unwrap());
        }
        ids
    }
}

#[tokio::test]
async fn finished_attempts_arrive_as_the_list_has_them() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500).body("no\nway"));
    let hook = app.webhook(&receiver.url("/"), json!({ "name": "Büro", "retry_schedule": ["2m"] })).await.id;
    let mut client = Client::open(&app, "", None).await;
    app.post_event("a.b", json!(1)).await;
    let first = client.row().await;
    assert_eq!((&first["status"], &first["attempt"]), (&json!("failed"), &json!(1)));
    assert_eq!((&first["endpoint_name"], &first["response_body"]), (&json!("Büro"), &json!("no\nway")));
    assert_eq!(first, app.rows().await[1]);

    // The retry, a manual retry and a test.
    app.clock.advance_ms(120_000);
    let second = client.row().await;
    assert_eq!((&second["status"], &second["trigger"]), (&json!("exhausted"), &json!("retry")));
    let id = &second["id"];
    app.post(&format!("/v1/webhooks/deliveries/{id}/retry"), json!({})).await.expect(202);
    assert_eq!(client.row().await["trigger"], "manual");
    app.post(&format!("/v1/webhooks/{hook}/test"), json!({})).await.expect(200);
    assert_eq!(client.row().await["trigger"], "test");
}

#[tokio::test]
async fn what_was_cancelled_has_ended_too() {
    let app = TestApp::start().await;
    let hook = app.webhook("http://127.0.0.1:9/", json!({})).await.id;
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{hook}"), json!({ "status": "paused" }))
        .await
        .expect(200);
    app.post_event("a.b", json!(1)).await;
    let mut client = Client::open(&app, "?status=cancelled", None).await;
    app.delete(&format!("/v1/webhooks/{hook}")).await.expect(204);
    assert_eq!(client.row().await["status"], "cancelled");
}

#[tokio::test]
async fn stopping_a_bulk_job_wakes_the_stream() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": [] })).await.id;
    app.post_event("a.b", json!(1)).await;
    app.row_when(|row| row["status"] == "exhausted").await;
    // Nothing is sent to a paused webhook, so the retry is still pending when the job is stopped.
    app.with_json(Method::PATCH, &format!("/v1/webhooks/{hook}"), json!({ "status": "paused" }))
        .await
        .expect(200);
    let job = app.post("/v1/webhooks/deliveries/retry", json!({ "filter": {} })).await.expect(202);
    let mut client = Client::open(&app, "?status=cancelled", None).await;
    app.delete(&format!("/v1/jobs/{}", job["data"]["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(client.row().await["status"], "cancelled");
}

#[tokio::test]
async fn the_filters_of_the_list_hold() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let (one, two) = (
        app.webhook(&receiver.url("/1"), json!({})).await,
        app.webhook(&receiver.url("/2"), json!({})).await,
    );
    receiver.reply_with(|r| if r.path == "/1" { Reply::ok() } else { Reply::status(410) });
    let mut by_status = Client::open(&app, "?status=exhausted", None).await;
    let mut by_type = Client::open(&app, "?event_type=c.*", None).await;
    let mut by_hook = Client::open(&app, &format!("?endpoint_id={}&q=1", one.id), None).await;
    app.post_event("a.b", json!(1)).await;
    app.rows_when(|rows| rows.iter().all(|row| row["status"] != "pending")).await;
    app.post_event("c.d", json!(1)).await;
    let row = by_status.row().await;
    assert_eq!((&row["endpoint_id"], &row["response_status"]), (&json!(two.id), &json!(410)));
    assert_eq!(by_type.row().await["event_type"], "c.d");
    for event_type in ["a.b", "c.d"] {
        let row = by_hook.row().await;
        assert_eq!((&row["endpoint_id"], &row["event_type"]), (&json!(one.id), &json!(event_type)));
    }
}

#[tokio::test]
async fn who_comes_back_misses_nothing_although_rows_end_out_of_order() {
    let app = TestApp::start().await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    app.webhook(&slow.url("/"), json!({ "events": ["slow"] })).await;
    app.webhook(&quick.url("/"), json!({ "events": ["quick"] })).await;
    let mut client = Client::open(&app, "", None).await;
    let hold = slow.hold();
    app.post_event("slow", json!(1)).await;
    slow.next().await;
    app.post_event("quick", json!(2)).await;
    let seen = client.row().await["id"].as_i64().unwrap();
    drop(client);
    hold.release();
    app.rows_when(|rows| rows.iter().all(|row| row["status"] == "delivered")).await;
    let mut client = Client::open(&app, "", Some(seen)).await;
    let earlier = client.row().await["id"].as_i64().unwrap();
    assert!(earlier < seen, "it began before the other one, and ended later");
    app.post_event("quick", json!(3)).await;
    let last = client.row().await["id"].as_i64().unwrap();
    assert!(last > seen);
    // And from the other one on.
    let mut client = Client::open(&app, "", Some(earlier)).await;
    assert_eq!(client.row().await["id"], last);
}

#[tokio::test]
async fn a_backlog_of_many_pages_comes_whole_and_once() {
    let app = TestApp::start().await;
    let hook = app.webhook("https://example.com/", json!({})).await.id;
    log(&app, &hook, 1_000, |_| answered(start_time(), 200, "x", 1)).await;
    let mut all = Client::open(&app, "", Some(earliest(&app).await)).await;
    let ids = all.ids(999).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 999);
    // Cut anywhere, and gone on.
    let mut rest = Client::open(&app, "", Some(ids[499])).await;
    assert_eq!(rest.ids(499).await, ids[500..]);
}

#[tokio::test]
async fn a_row_that_is_not_there_makes_a_gap_that_is_told() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    let mut client = Client::open(&app, "", Some(77)).await;
    assert_eq!(field(&client.block().await.unwrap(), "event"), Some("gap"));
    let event = app.post_event("a.b", json!(1)).await;
    assert_eq!(client.row().await["event_id"], event);
    let refused = send(app.request(Method::GET, STREAM).header("last-event-id", "x")).await;
    refused.problems(400);
    assert_eq!(app.get(&format!("{STREAM}?sort=status")).await.problems(422)[0].1.as_deref(), Some("sort"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go_and_can_go_on_where_it_was() {
    let app = TestApp::start().await;
    let hook = app.webhook("https://example.com/", json!({})).await.id;
    let mut following = app.server().services().live.following();
    log(&app, &hook, 1, |_| answered(start_time(), 200, "x", 1)).await;
    // More than sockets and buffers hold.
    log(&app, &hook, 8_000, |_| answered(start_time(), 200, &"𝄞".repeat(500), 1)).await;
    let mut client = Client::open(&app, "", Some(earliest(&app).await)).await;
    assert_eq!(*following.borrow_and_update(), 1);
    // Time passes only for one that waits for the client, so it is moved until that has happened.
    let gone = async {
        while *following.borrow() > 0 {
            app.clock.advance_ms(SLOW_AFTER_MS);
            let _ = tokio::time::timeout(Duration::from_millis(20), following.changed()).await;
        }
    };
    in_time("the end of the slow client", gone).await;
    let mut seen = Vec::new();
    while let Some(block) = client.block().await {
        seen.extend(field(&block, "id").map(|id| id.parse::<i64>().unwrap()));
    }
    assert!((64..7_000).contains(&seen.len()), "{}", seen.len());
    let mut client = Client::open(&app, "", seen.last().copied()).await;
    seen.extend(client.ids(8_000 - seen.len()).await);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 8_000);
}

#[tokio::test]
async fn a_stop_of_the_server_ends_the_stream() {
    let app = TestApp::start().await;
    let mut client = Client::open(&app, "", None).await;
    let stopping = tokio::time::timeout(Duration::from_secs(4), app.stop_within(Duration::ZERO));
    let (stopped, end) = tokio::join!(stopping, client.block());
    stopped.expect("the server waits for no stream");
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_sign_of_life_comes_and_a_revoked_key_ends_with_the_next_one() {
    let app = TestApp::start().await;
    let token = app.key("webhooks:read", None).await;
    let mut client = Client::open_as(&app, &token, "", None).await;
    app.clock.advance_ms(ALIVE_EVERY_MS);
    assert_eq!(field(&client.block().await.unwrap(), ""), Some("alive"));
    let now = app.clock.now();
    let id = token.split('_').nth(1).unwrap();
    let activity = By::system().activity(ActivityKind::KeyRevoked, None, String::new(), json!({}), now);
    assert!(app.server().store().key_revoke(id, now, activity).await.unwrap());
    app.clock.advance_ms(ALIVE_EVERY_MS);
    assert_eq!(client.block().await, None);
    assert_eq!(send(app.request_as(&token, Method::GET, STREAM)).await.status, 401);
}

#[tokio::test]
async fn a_key_that_is_revoked_over_the_api_ends_its_stream_at_once_and_no_other() {
    let app = TestApp::start().await;
    let (token, other) = (app.key("webhooks:read", None).await, app.key("webhooks:read", None).await);
    let mut client = Client::open_as(&app, &token, "", None).await;
    let mut stays = Client::open_as(&app, &other, "", None).await;
    let id = token.split('_').nth(1).unwrap();
    app.delete(&format!("/admin/api/keys/{id}")).await.expect(204);
    // The clock stands still, so no sign of life is due.
    assert_eq!(client.block().await, None);
    app.clock.advance_ms(ALIVE_EVERY_MS);
    assert_eq!(field(&stays.block().await.unwrap(), ""), Some("alive"));
}

#[tokio::test]
async fn an_app_sees_only_its_own_rows() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    let other = app.app("other").await;
    let token = app.key("webhooks:read", Some("other")).await;
    let mut mine = Client::open(&app, "", None).await;
    let event = app.post_event("a.b", json!(1)).await;
    let first = mine.row().await;
    assert_eq!(first["event_id"], event);
    // A row of another app is none to go on behind.
    let mut theirs = Client::open_as(&app, &token, "", first["id"].as_i64()).await;
    assert_eq!(field(&theirs.block().await.unwrap(), "event"), Some("gap"));
    let event = app.post_event("a.b", json!(2)).await;
    assert_eq!(mine.row().await["event_id"], event);
    let made = app
        .request(Method::POST, "/v1/webhooks")
        .header("x-app-id", other.to_string())
        .json_text(json!({ "url": receiver.url("/"), "events": ["*"] }));
    send(made).await.expect(201);
    let posted = app
        .request(Method::POST, "/v1/events")
        .header("x-app-id", other.to_string())
        .json_text(json!({ "event_type": "a.b", "payload": 1 }));
    let event = send(posted).await.expect(202)["data"]["id"].clone();
    assert_eq!(theirs.row().await["event_id"], event);
    let token = app.key("events:write", None).await;
    send(app.request_as(&token, Method::GET, STREAM)).await.problems(403);
}

trait JsonText {
    fn json_text(self, body: Value) -> reqwest::RequestBuilder;
}

impl JsonText for reqwest::RequestBuilder {
    fn json_text(self, body: Value) -> reqwest::RequestBuilder {
        crate::support::app::json_body(self, body.to_string())
    }
}

#[tokio::test]
async fn there_is_room_for_so_many_clients_and_again_when_one_leaves() {
    let app = TestApp::start().await;
    let mut clients = Vec::new();
    for _ in 0..25 {
        clients.push(Client::open(&app, "", None).await);
    }
    let refused = app.get(STREAM).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.problems(503);
    let mut following = app.server().services().live.following();
    drop(clients.pop());
    in_time("a free place", following.wait_for(|n| *n == 24)).await.unwrap();
    Client::open(&app, "", None).await;
}
