//! Test deliveries (`POST /v1/webhooks/{id}/test`).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::support::app::disable_after;

async fn test(app: &TestApp, hook: &Webhook, body: Value) -> Value {
    let path = format!("/v1/webhooks/{}/test", hook.id);
    app.post(&path, body).await.expect(200)["data"]["attributes"].clone()
}

#[tokio::test]
async fn a_test_is_sent_at_once_in_every_status_and_changes_nothing() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "events": ["license.*"] })).await;
    for status in ["active", "paused", "disabled"] {
        let before = patch(&app, &hook, json!({ "status": status })).await;
        for answer in [200, 410, 500] {
            receiver.reply(Reply::status(answer));
            let result = test(&app, &hook, json!({})).await;
            assert_eq!(result["delivered"], answer == 200);
            assert_eq!(result["http_status"], answer);
            assert!(result["response_time_ms"].is_number());
            assert_eq!(result["error"].is_null(), answer == 200, "{result}");
            let got = receiver.next().await;
            assert_eq!(got.header("x-webhook-event"), Some("webhook.test"));
        }
        assert_eq!(app.webhook_attributes(&hook.id).await, before);
    }
    let rows = app.rows().await;
    assert_eq!(rows.len(), 9);
    assert!(rows.iter().all(|row| row["trigger"] == "test" && row["attempt"] == 1));
    assert_chains(&rows);
    assert_eq!(app.get("/v1/events").await.expect(200)["data"], json!([]), "tests are not events of the app");
}

#[tokio::test]
async fn a_test_takes_an_event_type_and_reports_an_unreachable_receiver() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    test(&app, &hook, json!({ "event_type": "license.assigned" })).await;
    assert_eq!(receiver.next().await.header("x-webhook-event"), Some("license.assigned"));
    drop(receiver);
    let hostile = Hostile::closes_at_once().await;
    patch(&app, &hook, json!({ "url": hostile.url("/") })).await;
    let result = test(&app, &hook, json!({})).await;
    assert_eq!((&result["delivered"], &result["http_status"]), (&json!(false), &Value::Null));
    assert!(result["error"].is_string(), "{result}");
}

/// Requests a test and hangs up while it is in flight; returns when the server has noticed.
async fn test_and_hang_up(app: &TestApp, receiver: &Receiver, hook: &Webhook) {
    let mut client = TcpStream::connect(app.server().address().to_string()).await.unwrap();
    let head = format!(
        "POST /v1/webhooks/{}/test HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
        hook.id, app.token
    );
    client.write_all(head.as_bytes()).await.unwrap();
    receiver.next().await;
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    in_time("the end of the connection", client.read_to_end(&mut answer)).await.ok();
    assert_eq!(answer, b"", "the server has closed the connection");
}

#[tokio::test]
async fn a_test_is_logged_although_its_client_has_hung_up() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let hold = receiver.hold();
    test_and_hang_up(&app, &receiver, &hook).await;
    hold.release();
    let row = app.row_when(|row| row["trigger"] == "test").await;
    assert_eq!((&row["status"], &row["response_status"]), (&json!("delivered"), &json!(200)));
}

#[tokio::test]
async fn a_stop_waits_for_a_test_whose_client_has_hung_up() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let hold = receiver.hold();
    test_and_hang_up(&app, &receiver, &hook).await;
    let stopping = tokio::spawn(app.stop_within(Duration::from_secs(25)));
    hold.release();
    let app = in_time("the stop", stopping).await.unwrap().start().await;
    assert_eq!(statuses(&app.rows().await), ["delivered"]);
}

#[tokio::test]
async fn a_test_that_a_stop_interrupts_is_logged_as_it_was_sent() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/hook"), json!({})).await;
    let hold = receiver.hold();
    test_and_hang_up(&app, &receiver, &hook).await;
    let app = in_time("the stop", app.stop_within(Duration::ZERO)).await.start().await;
    hold.release();
    let row = app.row_when(|row| row["trigger"] == "test").await;
    assert_eq!((&row["status"], &row["error_kind"]), (&json!("exhausted"), &json!("interrupted")));
    let detail = app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.attributes();
    assert_eq!(detail["request"]["url"], receiver.url("/hook"), "{detail}");
    assert_eq!(receiver.count(), 1, "and it is not sent again");
}

#[tokio::test]
async fn a_test_that_is_sent_again_still_counts_nowhere() {
    let app = TestApp::with(|config| disable_after(config, 1)).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    test(&app, &hook, json!({})).await;
    let row = app.row_when(|row| row["trigger"] == "test").await;
    retry(&app, &row).await.expect(202);
    app.rows_when(|rows| statuses(rows) == ["exhausted", "failed"]).await;
    let now = app.webhook_attributes(&hook.id).await;
    assert_eq!((&now["status"], &now["consecutive_failures"]), (&json!("active"), &json!(0)));
}

#[tokio::test]
async fn two_tests_to_one_webhook_may_be_in_flight_and_a_third_is_429() {
    let app = TestApp::start().await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let second = app.webhook(&other.url("/"), json!({})).await;
    let hold = receiver.hold();
    let path = format!("/v1/webhooks/{}/test", hook.id);
    let request = || json_body(app.request(Method::POST, &path), "{}");
    let waiting = [tokio::spawn(send(request())), tokio::spawn(send(request()))];
    receiver.next_n(2).await;
    let refused = app.post(&path, json!({})).await;
    assert_eq!(refused.problems(429)[0].0, "rate_limit_exceeded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        test(&app, &second, json!({})).await["delivered"],
        true,
        "another webhook has slots of its own"
    );
    hold.release();
    for test in waiting {
        in_time("the response", test).await.unwrap().expect(200);
    }
    assert_eq!(test(&app, &hook, json!({})).await["delivered"], true, "the slots are free again");
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn twenty_tests_may_be_in_flight_in_total_also_when_their_clients_have_hung_up() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hold = receiver.hold();
    let mut hooks = Vec::new();
    for n in 0..11 {
        hooks.push(app.webhook(&receiver.url(&format!("/{n}")), json!({})).await);
    }
    for hook in &hooks[..10] {
        test_and_hang_up(&app, &receiver, hook).await;
        test_and_hang_up(&app, &receiver, hook).await;
    }
    let path = format!("/v1/webhooks/{}/test", hooks[10].id);
    assert_eq!(app.post(&path, json!({})).await.problems(429)[0].0, "rate_limit_exceeded");
    hold.release();
    app.rows_when(|rows| rows.len() == 20).await;
    assert_eq!(test(&app, &hooks[10], json!({})).await["delivered"], true);
}
