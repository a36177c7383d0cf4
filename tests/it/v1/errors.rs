//! Whatever goes wrong, the answer is the envelope (section 4).

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{URL, assert_invalid, details, raw};
use crate::support::app::{json_body, send};
use crate::support::{TestApp, in_time};

fn code(code: &str) -> Vec<(String, Option<String>)> {
    vec![(code.to_owned(), None)]
}

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let app = TestApp::start().await;
    for path in ["/v1", "/v1/", "/v1/nothing", "/v2/webhooks", "/v1/webhooks/", "/docs/nothing.js", "/%FF"] {
        assert_eq!(app.get(path).await.problems(404), code("not_found"), "{path}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_told_with_those_it_has() {
    let app = TestApp::start().await;
    let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    for (method, path, allow) in [
        (Method::DELETE, "/v1/webhooks".to_owned(), "GET, HEAD, POST"),
        (Method::POST, format!("/v1/webhooks/{id}"), "GET, HEAD, PUT, PATCH, DELETE"),
        (Method::GET, "/v1/events/batch".to_owned(), "POST"),
        (Method::PUT, "/v1/webhooks/deliveries".to_owned(), "GET, HEAD"),
        (Method::GET, format!("/v1/webhooks/{id}/test"), "POST"),
        (Method::OPTIONS, "/v1/webhooks".to_owned(), "GET, HEAD, POST"),
        (Method::TRACE, "/v1/events".to_owned(), "GET, HEAD, POST"),
        (Method::POST, "/healthz".to_owned(), "GET, HEAD"),
        (Method::POST, "/openapi.json".to_owned(), "GET, HEAD"),
    ] {
        let answer = send(app.request(method.clone(), &path)).await;
        assert_eq!(answer.problems(405), code("method_not_allowed"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = TestApp::start().await;
    for path in ["/v1/webhooks", "/openapi.json", "/docs", "/healthz"] {
        let answer = send(app.request(Method::HEAD, path)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
    assert_eq!(send(app.request(Method::HEAD, "/v1/events/batch")).await.status, 405);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_bad_request() {
    let app = TestApp::start().await;
    for body in [
        "",
        "{",
        "{\"url\":}",
        "[]",
        "\"text\"",
        "1",
        "null",
        "{} {}",
        "{\"a\":1,}",
        "\u{feff}{}",
        "{\"a\":01}",
    ] {
        let answer = send(json_body(app.request(Method::POST, "/v1/webhooks"), body)).await;
        assert_eq!(answer.problems(400), code("bad_request"), "{body:?}");
        assert!(details(&answer)[0].starts_with("The body is"), "{body:?}: {}", answer.text);
    }
    for body in [&b"{\"url\":\"\xff\"}"[..], b"{\"events\":[\"\xc3\x28\"]}", b"\xff\xfe"] {
        let answer = send(json_body(app.request(Method::POST, "/v1/webhooks"), body)).await;
        assert_eq!(answer.problems(400), code("bad_request"), "{body:?}");
    }
}

#[tokio::test]
async fn another_content_type_is_unsupported() {
    let app = TestApp::start().await;
    let body = json!({ "url": URL, "events": ["*"] }).to_string();
    let with = |found: &str| {
        app.request(Method::POST, "/v1/webhooks").header("content-type", found).body(body.clone())
    };
    for found in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""]
    {
        let answer = send(with(found)).await;
        assert_eq!(answer.problems(415), code("unsupported_media_type"), "{found}");
    }
    for found in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
    ] {
        send(with(found)).await.expect(201);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let app = TestApp::with(|c| c.limits.event_size = 1_024).await;
    let big = format!("{{\"event_type\":\"a.b\",\"payload\":\"{}\"}}", "x".repeat(200 * 1_024));
    let answer = send(json_body(app.request(Method::POST, "/v1/events"), big.clone())).await;
    assert_eq!(answer.problems(413), code("payload_too_large"));

    let mut request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        app.token
    )
    .into_bytes();
    for chunk in big.as_bytes().chunks(4_096).take(20) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    let answer = raw(&app, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["errors"][0]["code"], "payload_too_large");
    assert_eq!(app.get("/v1/events").await.json()["meta"]["total"], 0);
}

#[tokio::test]
async fn a_body_may_come_in_chunks_without_an_announced_length() {
    let app = TestApp::start().await;
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         1a\r\n{{\"event_type\":\"a.b\",\"paylo\r\n8\r\nad\":[1]}}\r\n0\r\n\r\n",
        app.token
    );
    let answer = raw(&app, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let app = TestApp::start().await;
    let with = |id: &str| app.request(Method::GET, "/v1/nothing").header("x-request-id", id);
    let answer = send(with("abc-123")).await;
    answer.problems(404);
    assert_eq!(answer.header("x-request-id"), Some("abc-123"));
    let first = app.get("/v1/webhooks").await;
    let made = first.header("x-request-id").unwrap().to_owned();
    assert!(!made.is_empty());
    assert_ne!(app.get("/v1/webhooks").await.header("x-request-id"), Some(made.as_str()));
    for odd in ["", "a b", "\u{e9}", &"x".repeat(129)] {
        let answer = send(with(odd)).await;
        answer.problems(404);
        assert_ne!(answer.header("x-request-id"), Some(odd), "{odd:?}");
    }
    assert_eq!(send(with(&"x".repeat(128))).await.header("x-request-id"), Some("x".repeat(128).as_str()));
}

#[tokio::test]
async fn every_problem_is_in_one_answer() {
    let app = TestApp::start().await;
    let body = json!({
        "url": "ftp://example.com/",
        "nam": "x",
        "description": "x".repeat(501),
        "events": ["ok.type", "not ok", 1],
        "encrypted": "yes",
        "timeout": "31s",
        "rate_limit": 0,
        "retry_schedule": ["2m", "soon"],
        "headers": { "Host": "x", "X-Ok": "y", "X-Bad": 5 },
        "status": "sleeping",
    });
    let answer = app.post("/v1/webhooks", body).await;
    assert_invalid(
        &answer,
        vec![
            "/url",
            "/nam",
            "/description",
            "/events",
            "/encrypted",
            "/timeout",
            "/rate_limit",
            "/retry_schedule/1",
            "/headers/Host",
            "/headers/X-Bad",
            "/status",
        ],
    );
    assert!(answer.text.contains("did you mean name?"), "{}", answer.text);
}

#[tokio::test]
async fn an_unknown_field_is_named_with_the_nearest_known_one() {
    let app = TestApp::start().await;
    let hook = app.webhook(URL, json!({})).await;
    let own = format!("/v1/webhooks/{}", hook.id);
    for (method, path, body, pointer, near) in [
        (
            Method::POST,
            "/v1/webhooks",
            json!({ "url": URL, "events": ["*"], "retrySchedule": [] }),
            "/retrySchedule",
            "retry_schedule",
        ),
        (Method::PATCH, own.as_str(), json!({ "evnts": ["*"] }), "/evnts", "events"),
        (
            Method::PUT,
            own.as_str(),
            json!({ "url": URL, "events": ["*"], "Timeout": "1s" }),
            "/Timeout",
            "timeout",
        ),
        (Method::POST, &format!("{own}/test"), json!({ "type": "a.b" }), "/type", "event_type"),
        (Method::POST, &format!("{own}/rotate-secret"), json!({ "overlaps": "1h" }), "/overlaps", "overlap"),
        (Method::POST, "/v1/events", json!({ "event_type": "a", "payload": 1, "data": 1 }), "/data", ""),
        (
            Method::POST,
            "/v1/events/batch",
            json!({ "events": [{ "event_type": "a", "payload": 1, "paylod": 1 }] }),
            "/events/0/paylod",
            "payload",
        ),
    ] {
        let answer = app.with_json(method.clone(), path, body).await;
        assert_invalid(&answer, vec![pointer]);
        let detail = &details(&answer)[0];
        assert!(detail.contains(near) && detail.contains(pointer.trim_start_matches('/')), "{detail}");
    }
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_refused() {
    let app = TestApp::start().await;
    let body = format!("{{\"url\":\"{URL}\",\"events\":[\"*\"],\"url\":\"{URL}2\"}}");
    assert_invalid(&send(json_body(app.request(Method::POST, "/v1/webhooks"), body)).await, vec!["/url"]);
    let twice =
        format!("{{\"url\":\"{URL}\",\"events\":[\"*\"],\"headers\":{{\"X-A\":\"1\",\"X-A\":\"2\"}}}}");
    assert_invalid(
        &send(json_body(app.request(Method::POST, "/v1/webhooks"), twice)).await,
        vec!["/headers/X-A"],
    );
}

#[tokio::test]
async fn a_malformed_id_is_not_found() {
    let app = TestApp::start().await;
    let ids = [
        "none",
        "0",
        "-1",
        "f47ac10b58cc4372a5670e02b2c3d479",
        "99999999999999999999",
        "evt_1",
        "%00",
        "%FF",
        "a%2Fb",
        "..%2f",
    ];
    for id in ids {
        for path in
            ["/v1/webhooks/{}", "/v1/webhooks/{}/deliveries", "/v1/webhooks/deliveries/{}", "/v1/events/{}"]
        {
            let path = path.replace("{}", id);
            assert_eq!(app.get(&path).await.problems(404), code("not_found"), "{path}");
        }
        let path = format!("/v1/webhooks/deliveries/{id}/retry");
        assert_eq!(send(app.request(Method::POST, &path)).await.problems(404), code("not_found"), "{path}");
    }
}

#[tokio::test]
async fn a_header_that_is_too_large_or_broken_ends_in_a_clean_refusal() {
    let app = TestApp::start().await;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(100 * 1_024));
    let answer = raw(&app, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{}", &answer[..answer.len().min(200)]);
    let answer = raw(&app, b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    app.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_body_in_a_content_coding_is_unsupported() {
    let app = TestApp::start().await;
    let body = json!({ "event_type": "a.b", "payload": 1 }).to_string();
    let with = |path: &str, coding: &str| {
        json_body(app.request(Method::POST, path), body.clone()).header("content-encoding", coding)
    };
    for path in ["/v1/events", "/v1/events/batch", "/v1/webhooks", "/admin/api/apps", "/admin/api/session"] {
        for coding in ["gzip", "GZIP", "br", "identity, gzip", "x"] {
            assert_eq!(
                send(with(path, coding)).await.problems(415),
                code("unsupported_media_type"),
                "{path}"
            );
        }
    }
    let of_v0 = send(with("/api/v0/webhooks", "gzip")).await;
    assert_eq!((of_v0.status, &of_v0.json()["statusCode"]), (415, &json!(415)));
    send(with("/v1/events", "identity")).await.expect(202);
}

#[tokio::test]
async fn so_many_mistakes_are_told_and_no_more() {
    let app = TestApp::start().await;
    let hook = |field: &str, value: Value| {
        let mut body = json!({ "url": URL, "events": ["*"] });
        body[field] = value;
        body
    };
    let unknown: Value =
        (0..200).map(|i| (format!("unknown{i}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    for (path, body, told) in [
        ("/v1/webhooks", hook("retry_schedule", json!(vec![""; 100_000])), 1),
        ("/v1/webhooks", hook("events", json!(vec![""; 100_000])), 1),
        ("/v1/webhooks", hook("events", json!(vec![""; 100])), 50),
        ("/v1/webhooks", hook("headers", unknown.clone()), 1),
        ("/v1/webhooks", unknown.clone(), 50),
        ("/v1/events/batch", json!({ "events": vec![unknown.clone(); 20] }), 50),
        ("/v1/events/batch", json!({ "events": vec![json!(1); 1_000] }), 50),
        ("/v1/events/batch", json!({ "events": vec![json!({ "event_type": "", "payload": 1 }); 1_000] }), 50),
        ("/v1/webhooks/deliveries/retry", json!({ "filter": unknown.clone() }), 50),
        ("/admin/api/keys", json!({ "name": "a", "scopes": vec![""; 100_000] }), 50),
        ("/admin/api/keys", json!({ "name": "a", "scopes": vec!["events:read"; 51] }), 1),
        ("/v1/sources", unknown.clone(), 50),
    ] {
        let answer = app.post(path, body).await;
        assert_eq!(
            answer.problems(422).len(),
            told,
            "{path}: {}",
            &answer.text[..answer.text.len().min(500)]
        );
    }
    for path in ["/v1/webhooks", "/v1/events", "/v1/webhooks/deliveries", "/v1/jobs", "/v1/activity"] {
        for query in ["a&".repeat(500), "page=1&".repeat(500)] {
            assert_eq!(app.get(&format!("{path}?{query}")).await.problems(422).len(), 50, "{path}");
        }
    }
    let of_v0 = app.post("/api/v0/webhooks", hook("events", json!(vec![""; 100]))).await;
    let details = of_v0.expect(422)["details"].as_str().unwrap().matches("events/").count();
    assert_eq!(details, 50);
    let long = app.post("/v1/webhooks", hook("status", json!("x".repeat(500_000)))).await;
    assert!(long.problems(422).len() == 1 && long.text.len() < 5_000, "{} bytes", long.text.len());
}

#[tokio::test]
async fn an_error_before_the_body_was_read_leaves_the_connection_usable_or_says_that_it_closes() {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 20).await;
    let reader = app.key("webhooks:read", None).await;
    let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap();
    let mut got = vec![0; 16 * 1_024];
    let body = "x".repeat(50_000);
    let app_token = app.token.clone();
    for (method, path, token, status) in [
        ("POST", "/v1/events", "nonsense", "401"),
        ("POST", "/v1/events", reader.as_str(), "403"),
        ("POST", "/v1/nothing", app_token.as_str(), "404"),
        ("POST", "/healthz", "", "405"),
        ("PUT", "/api/v0/webhooks", "", "405"),
        ("POST", "/admin/api/session", "", "413"),
    ] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let n = in_time("an answer", stream.read(&mut got)).await.unwrap();
        let answer = String::from_utf8_lossy(&got[..n]).to_ascii_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{path}: {answer}");
        assert!(!answer.contains("connection: close"), "{path}: {answer}");
    }
    let head = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n";
    let answer = raw(&app, &[head.as_bytes(), &[b'x'; 200_000]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_browser_is_led_to_the_dashboard_and_finds_an_icon() {
    let app =
        TestApp::with(|c| c.public_url = postrider::config::PublicUrl::parse("https://x.invalid/hooks"))
            .await;
    for (path, location) in [("/", "/admin/"), ("/hooks", "/hooks/admin/"), ("/hooks/", "/hooks/admin/")] {
        let answer = send(app.client.get(format!("{}{path}", app.base))).await;
        assert_eq!((answer.status, answer.header("location")), (302, Some(location)), "{path}");
    }
    for path in ["/favicon.ico", "/hooks/favicon.ico"] {
        let answer = app.client.get(format!("{}{path}", app.base)).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"image/x-icon".parse().unwrap())
        );
        assert!(answer.bytes().await.unwrap().starts_with(&[0, 0, 1, 0]));
    }
    assert_eq!(send(app.request(Method::POST, "/")).await.problems(405), code("method_not_allowed"));
}
