//! The URLs that other programs post to: what they are answered, and what becomes of a request.

use postrider::config::PublicUrl;
use reqwest::Method;
use serde_json::{Value, json};

use super::{error, log, newest, post, source, stranger};
use crate::support::app::{Answer, send};
use crate::support::receiver::Receiver;
use crate::support::{TestApp, in_time};

const GITHUB_SECRET: &str = "It's a Secret to Everybody";

#[tokio::test]
async fn a_request_becomes_an_event_that_is_delivered_byte_for_byte() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({ "events": ["my-app.*"] })).await;
    let (id, path) =
        source(&app, json!({ "name": "my-app", "event_type": "my-app.{{ payload.kind }}" })).await;
    let body = " {\"z\":1.0, \"kind\":\"new file\"}\n";
    let answer = post(&app, &path, body).await;
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let event = answer.expect(200)["id"].as_str().unwrap().to_owned();
    let got = receiver.next().await;
    assert_eq!((got.body.as_ref(), got.header("webhook-id")), (body.as_bytes(), Some(event.as_str())));
    assert_eq!(got.header("x-webhook-event"), Some("my-app.new_file"));
    assert_eq!(got.header("x-postrider-hops"), Some("1"));
    let row = log(&app, &id).await.remove(0);
    let expected = json!({
        "id": row["id"], "source_id": id, "received_at": row["received_at"], "outcome": "accepted",
        "reason": null, "client_ip": "127.0.0.1", "method": "POST", "path": null, "status": 200,
        "event_id": event, "event_type": "my-app.new_file", "size": body.len(),
    });
    assert_eq!(row, expected);
    let counts = app.get(&format!("/v1/sources/{id}")).await.attributes()["counts_24h"].clone();
    assert_eq!(counts, json!({ "accepted": 1, "duplicate": 0, "ignored": 0, "rejected": 0 }));
}

#[tokio::test]
async fn unknown_disabled_and_deleted_urls_have_one_answer() {
    let app = TestApp::start().await;
    let (id, path) = source(&app, json!({ "name": "a" })).await;
    let unknown = format!("/in/{}", "a".repeat(26));
    for other in [unknown.as_str(), "/in/x", "/in/x/y"] {
        assert_eq!(post(&app, other, "{}").await.expect(404), error("not found"), "{other}");
    }
    app.with_json(Method::PATCH, &format!("/v1/sources/{id}"), json!({ "enabled": false })).await.expect(200);
    let disabled = post(&app, &path, "{}").await;
    assert_eq!(disabled.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    assert_eq!(disabled.expect(404), error("not found"));
    app.delete(&format!("/v1/sources/{id}")).await.expect(204);
    assert_eq!(post(&app, &path, "{}").await.expect(404), error("not found"));
}

#[tokio::test]
async fn unknown_urls_cost_the_address_and_known_ones_do_not() {
    let app = TestApp::with(|config| config.limits.requests_per_minute = 3).await;
    let (_, path) = source(&app, json!({ "name": "a" })).await;
    let unknown = format!("/in/{}", "a".repeat(26));
    let mut statuses = vec![];
    for _ in 0..4 {
        statuses.push(post(&app, &unknown, "{}").await.status);
    }
    assert_eq!(statuses, [404, 404, 404, 429]);
    assert_eq!(post(&app, &path, "{}").await.status, 200);
}

#[tokio::test]
async fn a_signature_is_checked_and_the_log_says_why_it_fails() {
    let app = TestApp::start().await;
    let preset = json!({ "name": "github", "inputs": { "secret": GITHUB_SECRET } });
    let (id, path) = source(&app, json!({ "preset": preset })).await;
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let deliver = |body: &'static str, signature: Option<&str>, kind: &str| {
        let mut request = stranger(&app, Method::POST, &path).body(body).header("x-github-event", kind);
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        send(request.header("x-github-delivery", format!("delivery-{kind}")))
    };
    assert_eq!(deliver("Hello, World!", None, "push").await.expect(401), error("not verified"));
    let missing = "hmac: X-Hub-Signature-256 is missing".to_owned();
    assert_eq!(newest(&app, &id).await, ("rejected".to_owned(), Some(missing)));
    assert_eq!(deliver("Hello, World!\n", Some(signature), "push").await.expect(401), error("not verified"));
    let other = "hmac: does not match; the body has 14 bytes and ends in a line break".to_owned();
    assert_eq!(newest(&app, &id).await, ("rejected".to_owned(), Some(other)));
    assert_eq!(deliver("Hello, World!", Some(signature), "ping").await.expect(200), json!({ "id": null }));
    assert_eq!(newest(&app, &id).await.0, "ignored");
    let first = deliver("Hello, World!", Some(signature), "push").await.expect(200);
    let again = deliver("Hello, World!", Some(signature), "push").await.expect(200);
    assert_eq!(first, again, "a repetition is answered as the first time");
    let rows = log(&app, &id).await;
    assert_eq!((&rows[0]["outcome"], &rows[1]["outcome"]), (&json!("duplicate"), &json!("accepted")));
    assert_eq!(rows[0]["event_id"], rows[1]["event_id"]);
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_order_of_the_contract() {
    let app = TestApp::with(|config| {
        config.inbound.body_size = 1_000;
        config.limits.event_size = 500;
    })
    .await;
    let verify = json!([{"kind":"token","in":"query","name":"token","secret":"s3"}]);
    let (id, path) = source(&app, json!({ "name": "a", "verify": verify })).await;
    let path = format!("{path}?token=s3");
    let ask = |method: Method, content_type: &str, body: String| {
        send(stranger(&app, method, &path).header("content-type", content_type).body(body))
    };
    let not_allowed = ask(Method::GET, "application/json", String::new()).await;
    assert_eq!(not_allowed.header("allow"), Some("POST, PUT"));
    assert_eq!(not_allowed.expect(405), error("method not allowed"));
    for (content_type, body, status, text) in [
        ("application/json", "{broken".to_owned(), 422, "not JSON"),
        ("application/json", "[".repeat(129) + &"]".repeat(129), 422, "not JSON"),
        ("text/plain", "x".repeat(1_001), 413, "body too large"),
        ("text/plain", "x".repeat(600), 413, "body too large"),
        ("text/plain; charset=utf-16", "x".to_owned(), 415, "unsupported body"),
        ("multipart/form-data; boundary=B", "--B\r\n".to_owned(), 422, "not multipart"),
    ] {
        assert_eq!(ask(Method::POST, content_type, body).await.expect(status), error(text), "{content_type}");
        let (outcome, reason) = newest(&app, &id).await;
        assert!(outcome == "invalid" && reason.unwrap().starts_with("body: "), "{content_type}");
    }
    let gzip = stranger(&app, Method::POST, &path).header("content-encoding", "gzip").body("{}");
    assert_eq!(send(gzip).await.expect(415), error("unsupported body"));
    let unverified = stranger(&app, Method::POST, path.split('?').next().unwrap()).body("{broken");
    assert_eq!(send(unverified).await.expect(401), error("not verified"));
    for (hops, status) in [("5", 508), ("99999999999999999999", 508), ("4", 200), ("x", 200)] {
        let request = stranger(&app, Method::POST, &path).header("x-postrider-hops", hops).body("{}");
        assert_eq!(send(request).await.status, status, "{hops}");
    }
    assert_eq!(ask(Method::PUT, "application/json", "{}".to_owned()).await.status, 200);
    assert_eq!(ask(Method::POST, "text/plain", String::new()).await.status, 200);
    let head = send(stranger(&app, Method::HEAD, &path)).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let before = log(&app, &id).await.len();
    assert_eq!(send(stranger(&app, Method::HEAD, "/in/unknown")).await.status, 404);
    assert_eq!(log(&app, &id).await.len(), before);
}

#[tokio::test]
async fn no_secret_of_a_request_is_in_its_log() {
    let app = TestApp::start().await;
    let verify = json!([{"kind":"token","in":"query","name":"token","secret":"s3cr3t"}]);
    let (id, path) = source(&app, json!({ "name": "a", "verify": verify })).await;
    let token = path.strip_prefix("/in/").unwrap();
    let request = stranger(&app, Method::POST, &format!("{path}/a%20b?token=s3cr3t&x=1"))
        .header("authorization", "Bearer hidden")
        .header("cookie", "hidden=1")
        .header("x-original-uri", format!("/in/{token}?token=1"))
        .header("content-type", "application/json")
        .body("{\"a\":1}");
    send(request).await.expect(200);
    let row = log(&app, &id).await.remove(0);
    assert_eq!(row["path"], "a b");
    let detail = app.get(&format!("/v1/sources/{id}/requests/{}", row["id"])).await;
    for secret in ["s3cr3t", "hidden", token] {
        assert!(!detail.text.contains(secret), "{secret}: {}", detail.text);
    }
    let detail = detail.attributes();
    assert_eq!(detail["headers"]["authorization"], "********");
    assert_eq!(detail["headers"]["x-original-uri"], "/in/********?token=1");
    assert_eq!(detail["query"], json!({ "token": "********", "x": "1" }));
    assert_eq!((&detail["body"], &detail["body_truncated"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn limits_of_a_source_and_of_all_are_told_with_a_time() {
    let app = TestApp::with(|config| config.inbound.requests_per_minute = 5).await;
    let (id, path) = source(&app, json!({ "name": "a", "rate_limit": "2/m" })).await;
    let (_, other) = source(&app, json!({ "name": "b", "rate_limit": 0 })).await;
    let mut statuses = vec![];
    for path in [&path, &path, &path, &other, &other] {
        statuses.push(post(&app, path, "{}").await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200]);
    let limited = post(&app, &other, "{}").await;
    assert_eq!(limited.header("retry-after"), Some("12"));
    assert_eq!(limited.expect(429), error("rate limit exceeded"));
    assert_eq!(log(&app, &id).await.len(), 2, "what is over a limit is in no log");
    app.clock.advance_ms(60_000);
    assert_eq!(post(&app, &path, "{}").await.status, 200);
}

#[tokio::test]
async fn challenges_are_answered_as_text_and_make_no_event() {
    let app = TestApp::start().await;
    let text = |answer: Answer| {
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.status, 200);
        answer.text
    };
    let (id, path) =
        source(&app, json!({ "name": "meta", "challenge": {"kind":"meta","verify_token":"t0k"} })).await;
    let ask = |token: &str| {
        let query = format!("?hub.mode=subscribe&hub.challenge=1158&hub.verify_token={token}");
        send(stranger(&app, Method::GET, &format!("{path}{query}")))
    };
    assert_eq!(text(ask("t0k").await), "1158");
    assert_eq!(ask("other").await.expect(401), error("not verified"));
    let rows = log(&app, &id).await;
    assert_eq!((&rows[0]["outcome"], &rows[1]["outcome"]), (&json!("rejected"), &json!("challenge")));
    let (_, path) = source(&app, json!({ "name": "dropbox", "challenge": "dropbox" })).await;
    let get = |query: &str| send(stranger(&app, Method::GET, &format!("{path}?{query}")));
    assert_eq!(text(get("challenge=abc").await), "abc");
    assert_eq!(get("challenge=%0Aabc").await.expect(422), error("unfit challenge"));
    assert_eq!(get("x=1").await.status, 405);
    let preset = json!({ "name": "slack", "inputs": { "secret": "8f742231b10e8888abcd99yyyzzz85a5" } });
    let (_, path) = source(&app, json!({ "preset": preset })).await;
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
    let body = format!("{{\"type\":\"url_verification\",\"challenge\":\"{challenge}\"}}");
    let sent = post(&app, &path, "{\"type\":\"url_verification\",\"challenge\":\"x\"}").await;
    assert_eq!(sent.expect(401), error("not verified"), "Slack signs its challenge");
    let at = postrider::host::clock::Clock::now(&*app.clock).as_secs();
    let key = hmac_sha256(b"8f742231b10e8888abcd99yyyzzz85a5", format!("v0:{at}:{body}").as_bytes());
    let request = stranger(&app, Method::POST, &path)
        .header("x-slack-request-timestamp", at.to_string())
        .header("x-slack-signature", format!("v0={key}"))
        .body(body);
    assert_eq!(text(send(request).await), challenge);
    assert_eq!(app.get("/v1/events").await.expect(200)["meta"]["total"], 0);
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    hex::encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_source_may_answer_with_a_status_and_a_text_of_its_own() {
    let app = TestApp::start().await;
    let response = json!({ "status": 202, "content_type": "text/plain", "body": "ok" });
    let (_, path) = source(&app, json!({ "name": "a", "response": response })).await;
    let answer = post(&app, &path, "{}").await;
    assert_eq!((answer.status, answer.text.as_str()), (202, "ok"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let (_, path) = source(&app, json!({ "name": "b", "response": { "status": 204 } })).await;
    let answer = post(&app, &path, "{}").await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
}

#[tokio::test]
async fn a_type_that_is_none_is_unmapped_and_marked() {
    let app = TestApp::start().await;
    let (id, path) = source(&app, json!({ "name": "a", "event_type": "{{ payload.type }}" })).await;
    for (body, reason) in
        [("{}", "event type: empty"), ("{\"type\":\"webhook_endpoint.disabled\"}", "event type: reserved")]
    {
        post(&app, &path, body).await.expect(200);
        let row = log(&app, &id).await.remove(0);
        assert_eq!((&row["event_type"], &row["reason"]), (&json!("a.unmapped"), &json!(reason)));
        assert_eq!(row["outcome"], "accepted");
    }
}

#[tokio::test]
async fn sources_may_have_an_address_and_a_base_path_of_their_own() {
    let app = TestApp::with(|config| {
        config.inbound.listen = Some(([127, 0, 0, 1], 0).into());
        config.inbound.public_url = PublicUrl::parse("https://hooks.example.com/wh");
        config.public_url = PublicUrl::parse("https://dashboard.example.com/admin-only");
    })
    .await;
    let made = app.post("/v1/sources", json!({ "name": "a" })).await;
    let url = made.attributes()["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("https://hooks.example.com").unwrap().to_owned();
    assert!(path.starts_with("/wh/in/"), "{path}");
    let inbound = format!("http://{}", app.server().inbound_address());
    let ask = |base: &str, path: &str| send(app.client.post(format!("{base}{path}")).body("{}"));
    assert_eq!(ask(&inbound, &path).await.status, 200);
    assert_eq!(ask(&inbound, path.strip_prefix("/wh").unwrap()).await.status, 200);
    assert_eq!(ask(&app.base, &path).await.status, 404, "the main address does not serve it");
    let healthy = send(app.client.get(format!("{inbound}/healthz"))).await;
    assert_eq!(healthy.status, 200);
    for path in ["/v1/sources", "/admin", "/metrics", "/"] {
        assert_eq!(send(app.client.get(format!("{inbound}{path}"))).await.status, 404, "{path}");
    }
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({})).await;
    ask(&inbound, &path).await.expect(200);
    in_time("the delivery", receiver.next()).await;
}

#[tokio::test]
async fn filters_see_the_source_and_its_summary_however_many_they_are() {
    let app = TestApp::start().await;
    for n in 0..70 {
        let filter = format!("event.source == 'shop' and summary.title == 'Order {n}'");
        app.webhook("http://127.0.0.1:1/", json!({ "filter": filter })).await;
    }
    let summary = json!({ "title": "Order {{ payload.n }}" });
    let (id, path) = source(&app, json!({ "name": "shop", "summary": summary })).await;
    let event = post(&app, &path, "{\"n\":68}").await.expect(200)["id"].clone();
    let log_row = log(&app, &id).await.remove(0)["id"].clone();
    let again = app.post(&format!("/v1/sources/{id}/requests/{log_row}/replay"), json!({})).await;
    let again = again.expect(202)["data"]["id"].clone();
    for event in [event, again] {
        let event = event.as_str().unwrap();
        let attributes = app.get(&format!("/v1/events/{event}")).await.attributes();
        assert_eq!((&attributes["deliveries"], &attributes["filtered"]), (&json!(1), &json!(69)));
    }
}
