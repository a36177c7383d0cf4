//! Requests that no client of ours sends: bytes on a socket, against the whole server. Whatever comes, the
//! answer is a refusal in order, nothing is done twice or by halves, and the server goes on.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::{json_body, send};
use crate::support::{HANGS_AFTER, TestApp, in_time};

/// Sends bytes and gives what comes back until the server closes.
async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).await.expect("it listens");
    // A server that has refused already may reset what still comes.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let end = tokio::time::timeout(HANGS_AFTER, stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let asked = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    assert!(end.is_ok(), "the connection stays open after {asked:?}\n{answer}");
    answer
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer.get(at + 9..at + 12)).collect()
}

/// A request with this head (without credentials and end) and body.
fn request(app: &TestApp, head: &str, body: &str) -> Vec<u8> {
    format!("{head}\r\nauthorization: Bearer {}\r\nhost: x\r\n\r\n{body}", app.token).into_bytes()
}

async fn unlimited() -> TestApp {
    TestApp::with(|c| c.limits.requests_per_minute = 0).await
}

#[tokio::test]
async fn a_request_whose_length_is_in_doubt_is_refused_and_nothing_behind_it_is_a_request() {
    let app = unlimited().await;
    let post = "POST /v1/events HTTP/1.1\r\ncontent-type: application/json";
    let event = r#"{"event_type":"a.b","payload":1}"#;
    let smuggled = format!("{event}GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n");
    let (n, all) = (event.len(), smuggled.len());
    let mut wrong = Vec::new();
    for (head, body) in [
        (format!("{post}\r\ncontent-length: {n}\r\ncontent-length: {all}"), &smuggled),
        (format!("{post}\r\ncontent-length: {n}, {all}"), &smuggled),
        (format!("{post}\r\ncontent-length: +{n}"), &smuggled),
        (format!("{post}\r\ncontent-length: -1"), &smuggled),
        (format!("{post}\r\ncontent-length: 0x20"), &smuggled),
        (format!("{post}\r\ncontent-length: {n} {all}"), &smuggled),
        (format!("{post}\r\ncontent-length: 99999999999999999999999999"), &smuggled),
        (format!("{post}\r\ncontent-length:"), &smuggled),
        (format!("{post}\r\ntransfer-encoding: gzip"), &smuggled),
        (format!("{post}\r\ntransfer-encoding: chunked, gzip"), &smuggled),
        (format!("{post}\r\ntransfer-encoding: xchunked"), &smuggled),
        (format!("{post}\r\ntransfer-encoding : chunked"), &smuggled),
        (format!("{post}\r\ncontent-length : {n}"), &smuggled),
        (format!("{post}\r\n content-length: {n}"), &smuggled),
        (format!("{post}\r\nx: y\r\n\tcontent-length: {n}"), &smuggled),
        (format!("{post}\r\ncontent\0-length: {n}"), &smuggled),
        (format!("{post}\r\nx: a\0b\r\ncontent-length: {n}"), &smuggled),
        (format!("{post}\r\nx: a\rb\r\ncontent-length: {n}"), &smuggled),
        ("POST /v1/events HTTP/1.0\r\ntransfer-encoding: chunked".to_owned(), &smuggled),
        ("POST /v1/events\0 HTTP/1.1\r\ncontent-length: 0".to_owned(), &smuggled),
        ("POST /v1/events HTTP/9.9\r\ncontent-length: 0".to_owned(), &smuggled),
        ("POST  /v1/events HTTP/1.1\r\ncontent-length: 0".to_owned(), &smuggled),
        ("POST /v1/ev ents HTTP/1.1\r\ncontent-length: 0".to_owned(), &smuggled),
    ] {
        let answer = raw(&app, &request(&app, &head, body)).await;
        let found = statuses(&answer);
        let is_coding =
            ["encoding: gzip", "encoding: chunked,", "encoding: x"].iter().any(|c| head.contains(c));
        let code = if is_coding { ("501", "\"not_implemented\"") } else { ("400", "\"bad_request\"") };
        if found != [code.0] || !answer.contains(code.1) || answer.contains("smuggled") {
            wrong.push(format!("{head:?}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(app.get("/v1/events").await.json()["meta"]["total"], 0, "nothing was taken");
    app.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_length_beside_chunks_never_decides_where_the_next_request_begins() {
    let app = unlimited().await;
    let event = r#"{"event_type":"a.b","payload":1}"#;
    let chunks = format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len());
    // By its length, the request would end inside the chunks, and the rest would be one of its own.
    for length in [4, event.len(), chunks.len() + 40] {
        for order in [
            format!("content-length: {length}\r\ntransfer-encoding: chunked"),
            format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
        ] {
            let head = format!("POST /v1/events HTTP/1.1\r\ncontent-type: application/json\r\n{order}");
            let behind = "GET /v1/smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let answer = raw(&app, &request(&app, &head, &format!("{chunks}{behind}"))).await;
            // Refused, or read by its chunks; a proxy in front that goes by the length is then given up with
            // the connection (RFC 9112, section 6.3).
            assert!(matches!(statuses(&answer)[..], ["400"] | ["202"]), "{order}: {answer}");
        }
    }
}

#[tokio::test]
async fn lines_end_in_cr_lf_and_there_is_one_host() {
    let app = unlimited().await;
    let event = r#"{"event_type":"a.b","payload":1}"#;
    let post = |head: &str| {
        let head = head.replace("TOKEN", &app.token).replace("LENGTH", &event.len().to_string());
        format!("{head}{event}GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
    };
    let auth = "authorization: Bearer TOKEN\r\ncontent-length: LENGTH";
    for (head, code) in [
        (format!("POST /v1/events HTTP/1.1\nhost: x\r\n{auth}\r\n\r\n"), "bare line feed"),
        (format!("POST /v1/events HTTP/1.1\r\nhost: x\n{auth}\r\n\r\n"), "bare line feed"),
        (format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{auth}\n\n"), "bare line feed"),
        (format!("POST /v1/events HTTP/1.1\r\nhost: x\r\n{auth}\r\n\n"), "bare line feed"),
    ] {
        let answer = raw(&app, &post(&head)).await;
        assert_eq!(statuses(&answer), ["400"], "{head:?}: {answer}");
        assert!(answer.contains(code) && answer.contains("\"bad_request\""), "{answer}");
    }
    for hosts in ["", "host: x\r\nhost: x\r\n", "host: a b\r\n", "host: x/y\r\n", "host: \u{e9}\r\n"] {
        for path in ["/v1/events", "/api/v0/webhooks", "/healthz", "/admin/"] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
            let answer = raw(&app, request.as_bytes()).await;
            assert_eq!(statuses(&answer), ["400"], "{hosts:?} {path}: {answer}");
            assert_eq!(answer.contains("\"statusCode\""), path.starts_with("/api/v0"), "{answer}");
        }
    }
    for request in [
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: my_service:8080\r\nconnection: close\r\n\r\n",
        "\r\nGET /healthz HTTP/1.1\r\nhost: [::1]:80\r\nconnection: close\r\n\r\n",
    ] {
        let answer = raw(&app, request.as_bytes()).await;
        assert!(answer.contains(" 200 OK\r\n") && answer.contains("\"ok\""), "{request:?}: {answer}");
    }
    let coded = "POST /api/v0/webhooks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n";
    let answer = raw(&app, coded.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 501") && answer.contains("\"statusCode\":501"), "{answer}");
    assert_eq!(app.get("/v1/events").await.json()["meta"]["total"], 0, "nothing was taken");
}

#[tokio::test]
async fn chunks_that_are_none_end_the_request() {
    let app = unlimited().await;
    let head = "POST /v1/events HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked";
    let event = r#"{"event_type":"a.b","payload":1}"#;
    for body in [
        format!("zz\r\n{event}\r\n0\r\n\r\n"),
        format!("-1\r\n{event}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{event}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff\r\n{event}"),
        format!("{:x}\r\n{event}XX0\r\n\r\n", event.len()),
        format!("{:x};{}\r\n{event}\r\n0\r\n\r\n", event.len(), "x".repeat(100_000)),
        format!("{:x}\n{event}\r\n0\r\n\r\n", event.len()),
        format!("{:x}\r\n{event}\r\n0\r\nx: y\n\r\n", event.len()),
    ] {
        let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap();
        let _ = stream.write_all(&request(&app, head, &body)).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = in_time("the end", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(statuses(&answer), ["400"], "{}: {answer}", &body[..20]);
        // Nothing behind such a body can be a request.
        assert!(answer.contains("connection: close") && answer.contains("\"bad_request\""), "{answer}");
    }
    assert_eq!(app.get("/v1/events").await.json()["meta"]["total"], 0);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_gets_an_error_in_the_form_of_its_surface() {
    let app = unlimited().await;
    let large = format!("x: {}\r\n", "x".repeat(64 * 1024));
    let pieces = format!("x: {}\r\n", "x".repeat(60_000)).repeat(3);
    for (lines, status, code) in [
        ("x : y\r\n", "400", "bad_request"),
        ("x: y\r\n folded\r\n", "400", "bad_request"),
        ("content-length: 1\r\ncontent-length: 2\r\n", "400", "bad_request"),
        (&"x: y\r\n".repeat(101), "431", "headers_too_large"),
        (&large, "431", "headers_too_large"),
        (&pieces, "431", "headers_too_large"),
    ] {
        for path in ["/v1/webhooks", "/api/v0/webhooks", "/in/abc", "/admin/api/session", "/healthz"] {
            let answer = raw(&app, format!("GET {path} HTTP/1.1\r\n{lines}host: x\r\n\r\n").as_bytes()).await;
            assert_eq!(statuses(&answer), [status], "{path}: {answer}");
            let form = match path {
                "/api/v0/webhooks" => format!("\"statusCode\":{status}"),
                "/in/abc" => "{\"error\":".to_owned(),
                _ => format!("\"code\":\"{code}\""),
            };
            assert!(answer.contains(&form) && answer.contains("connection: close"), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_a_client_says_never_becomes_a_header_of_the_answer_or_of_a_delivery() {
    let app = unlimited().await;
    for id in ["a%0d%0ax-evil: 1", "a\tb", "ä", "x\u{7f}"] {
        let bytes =
            format!("GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n\r\n");
        let answer = raw(&app, bytes.as_bytes()).await;
        assert!(!answer.to_ascii_lowercase().contains("\r\nx-evil"), "{answer}");
    }
    let hook = |name: &str, value: &str| json!({ "url": "https://example.com/", "events": ["*"], "headers": { name: value } });
    for (name, value) in [
        ("X-A", "1\r\nX-Evil: 2"),
        ("X-A", "1\n2"),
        ("X-A", "1\0"),
        ("X-A\r\nX-Evil", "1"),
        ("X-A: 1\r\nX-Evil", "1"),
        ("X A", "1"),
        ("", "1"),
        ("Host", "evil.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("webhook-signature", "v1,forged"),
    ] {
        let answer = app.post("/v1/webhooks", hook(name, value)).await;
        assert_eq!(answer.problems(422)[0].0, "validation_failed", "{name:?}: {value:?}");
    }
    for url in [
        "https://example.com/\r\nx-evil: 1",
        "https://example.com/\0",
        "https://exa\tmple.com/",
        "https://a b/",
    ] {
        let answer = app.post("/v1/webhooks", json!({ "url": url, "events": ["*"] })).await;
        assert_eq!(answer.problems(422)[0].1.as_deref(), Some("/url"), "{url:?}");
    }
}

/// A POST in chunks of 8 KiB, without an announced length.
fn chunked(app: &TestApp, path: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked"
    );
    let mut bytes = request(app, &head, "");
    for chunk in body.as_bytes().chunks(8_192) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn one_byte_over_the_limit_is_too_much_announced_or_not() {
    let app = TestApp::with(|c| c.limits.event_size = 10_000).await;
    let event = |size: usize| format!(r#"{{"event_type":"a.b","payload":"{}"}}"#, "x".repeat(size - 2));
    // Padding stands outside of the object, where nothing has another limit.
    let padded = |size: usize| format!("{{}}{}", " ".repeat(size - 2));
    let plain = 1024 * 1024;
    let batch = 16 * 1024 * 1024;
    for (path, body, expected) in [
        ("/v1/events", event(10_000), 202),
        ("/v1/events", event(10_001), 413),
        ("/v1/webhooks", padded(plain), 422),
        ("/v1/webhooks", padded(plain + 1), 413),
        ("/v1/events/batch", padded(batch), 422),
        ("/v1/events/batch", padded(batch + 1), 413),
        ("/api/v0/webhooks", padded(plain + 1), 413),
        ("/admin/api/apps", padded(plain + 1), 413),
    ] {
        let announced = send(json_body(app.request(Method::POST, path), body.clone())).await;
        assert_eq!(announced.status, expected, "{path}, {} bytes", body.len());
        let answer = raw(&app, &chunked(&app, path, &body)).await;
        assert_eq!(statuses(&answer), [expected.to_string()], "{path}, {} bytes in chunks", body.len());
    }
}

#[tokio::test]
async fn json_nested_deeply_is_taken_as_a_payload_and_refused_elsewhere_without_a_crash() {
    let app = unlimited().await;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [100, 200, 100_000] {
        let body = format!(r#"{{"event_type":"a.b","payload":{}}}"#, nested(depth));
        let answer = send(json_body(app.request(Method::POST, "/v1/events"), body)).await;
        assert!(answer.status == 202 || (depth > 100 && answer.status == 400), "{depth}: {}", answer.text);
        if answer.status == 202 {
            let id = answer.json()["data"]["id"].as_str().unwrap().to_owned();
            let read = app.get(&format!("/v1/events/{id}")).await;
            assert_eq!(read.status, 200);
            assert!(read.text.contains(&nested(depth)), "{depth}");
        }
    }
    for (path, field) in
        [("/v1/webhooks", "headers"), ("/v1/webhooks", "events"), ("/v1/webhooks/deliveries/retry", "filter")]
    {
        let body =
            format!(r#"{{"url":"https://example.com/","events":["*"],"{field}":{}}}"#, nested(100_000));
        let answer = send(json_body(app.request(Method::POST, path), body)).await;
        assert!(matches!(answer.status, 400 | 422), "{path} {field}: {}", answer.text);
    }
    app.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn wildcards_and_quotes_in_filters_are_plain_text() {
    let app = unlimited().await;
    let name = r#"100%_'";\ or 1=1 --"#;
    app.webhook("https://one.invalid/", json!({ "events": ["*"], "name": name, "retry_schedule": [] })).await;
    app.webhook("https://two.invalid/", json!({ "events": ["*"], "name": "plain", "retry_schedule": [] }))
        .await;
    app.post_event("license.assigned", json!(1)).await;
    for (q, of_webhooks) in [
        ("%", 1),
        ("_", 1),
        ("'", 1),
        ("\"", 1),
        ("\\", 1),
        (";", 1),
        ("100%_'", 1),
        ("' or 1=1 --", 0),
        ("%%", 0),
        ("__", 0),
        ("*", 0),
        ("?", 0),
        ("pl_in", 0),
        ("p%n", 0),
        ("plain", 1),
        ("\0", 0),
    ] {
        let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
        for list in ["/v1/webhooks", "/v1/webhooks/deliveries"] {
            let answer = app.get(&format!("{list}?q={q}")).await;
            // A NUL may be refused; anything else is text.
            if q == "%00" && answer.status == 422 {
                continue;
            }
            assert_eq!(answer.expect(200)["meta"]["total"], of_webhooks, "{list} {q}");
        }
    }
    for wild in ["%", "license%25", "_", "license._", "*.assigned", "lic*"] {
        let answer = app.get(&format!("/v1/webhooks/deliveries?event_type={wild}")).await;
        let total = answer.status == 200 && answer.json()["meta"]["total"] != 0;
        assert!(!total, "{wild}: {}", answer.text);
    }
}

#[tokio::test]
async fn numbers_and_times_beyond_all_bounds_are_refused_by_name() {
    let app = unlimited().await;
    for (parameter, value) in [
        ("page", "-1"),
        ("page", "0"),
        ("page", "1e3"),
        ("page", "99999999999999999999"),
        ("page", "0x1"),
        ("page", "٣"),
        ("page", "1.0"),
        ("per_page", "-9223372036854775808"),
        ("per_page", "201"),
        ("per_page", "+5"),
        ("since", "99999-01-01T00:00:00Z"),
        ("since", "-0001-01-01T00:00:00Z"),
        ("until", "2026-02-30T00:00:00Z"),
        ("until", "9999999999999"),
        ("since", "2026-01-01T24:00:00Z"),
        ("since", "2026-01-01T00:00:00+99:99"),
        ("response_status", "-1"),
        ("response_status", "99999999999999999999"),
        ("response_status", "5xxx"),
        ("endpoint_id", "0"),
        ("cursor", "AAAA"),
        ("cursor", "%00"),
        ("sort", "id;drop table attempts"),
    ] {
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let answer = app.get(&format!("/v1/webhooks/deliveries?{parameter}={value}")).await;
        let named: Vec<Option<String>> = answer.problems(422).into_iter().map(|(_, source)| source).collect();
        assert_eq!(named, [Some(parameter.to_owned())], "{value}");
    }
    for (field, value) in [
        ("rate_limit", json!(-1)),
        ("rate_limit", json!(0)),
        ("rate_limit", json!(1e300)),
        ("rate_limit", json!(1.5)),
        ("rate_limit", json!(u64::MAX)),
        ("timeout", json!("99999999999999999999s")),
        ("timeout", json!("-1s")),
        ("timeout", json!(10)),
        ("retry_schedule", json!(["36501d"])),
        ("retry_schedule", json!(vec!["1s"; 1_000])),
        ("name", json!("x".repeat(101))),
        ("name", json!("a\u{0}b")),
        ("events", json!(vec!["*"; 101])),
        ("url", json!(format!("https://example.com/{}", "x".repeat(2_048)))),
    ] {
        let mut body = json!({ "url": "https://example.com/", "events": ["*"] });
        body[field] = value.clone();
        let answer = app.post("/v1/webhooks", body).await;
        let source = answer.problems(422)[0].1.clone().unwrap_or_default();
        assert!(source.starts_with(&format!("/{field}")), "{field} {value}: {source}");
    }
    // As text, since such numbers are none in Rust.
    for number in ["1e999", "-1e999", &"9".repeat(400)] {
        let body = format!(r#"{{"url":"https://example.com/","events":["*"],"rate_limit":{number}}}"#);
        let answer = send(json_body(app.request(Method::POST, "/v1/webhooks"), body)).await;
        assert!(matches!(answer.status, 400 | 422), "{number}: {}", answer.text);
    }
}

#[tokio::test]
async fn invalid_utf8_is_refused_wherever_it_stands() {
    let app = unlimited().await;
    for query in ["q=%FF", "q=%C3%28", "event_type=%80"] {
        let answer = app.get(&format!("/v1/webhooks/deliveries?{query}")).await;
        // Percent-encoded bytes that are no text become U+FFFD, which nothing is called, or are refused.
        assert!(
            answer.status == 422 || (answer.status == 200 && answer.json()["data"] == json!([])),
            "{query}: {}",
            answer.text
        );
    }
    for header in
        ["x-app-id", "x-client-key", "idempotency-key", "x-request-id", "content-type", "authorization"]
    {
        let mut bytes = format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n{header}: "
        )
        .into_bytes();
        bytes.extend_from_slice(b"\xff\xfe\r\n\r\n{}");
        let answer = raw(&app, &bytes).await;
        assert!(
            statuses(&answer).first().is_some_and(|status| status.starts_with('4')),
            "{header}: {answer}"
        );
    }
    let body = b"{\"event_type\":\"a.b\",\"payload\":\"\xff\"}";
    let answer = send(json_body(app.request(Method::POST, "/v1/events"), body.to_vec())).await;
    assert_eq!(answer.problems(400)[0].0, "bad_request");
}

#[tokio::test]
async fn many_headers_and_a_long_line_are_refused_and_the_server_goes_on() {
    let app = unlimited().await;
    let many: String = (0..2_000).map(|i| format!("x-{i}: y\r\n")).collect();
    for bytes in [
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)),
        format!("GET /healthz?{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)),
        format!("{} /healthz HTTP/1.1\r\nhost: x\r\n\r\n", "G".repeat(100_000)),
    ] {
        let answer = raw(&app, bytes.as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [] | ["400"] | ["414"] | ["431"]), "{answer}");
    }
    app.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn a_filter_is_read_as_one_thing_by_list_export_and_retry() {
    let app = unlimited().await;
    for filter in
        [json!({ "q": "%" }), json!({ "status": "nonsense" }), json!({ "since": "99999-01-01T00:00:00Z" })]
    {
        let (name, value) = filter.as_object().unwrap().iter().next().unwrap();
        let text: String = url::form_urlencoded::byte_serialize(value.as_str().unwrap().as_bytes()).collect();
        let list = app.get(&format!("/v1/webhooks/deliveries?{name}={text}")).await.status;
        let export =
            app.get(&format!("/v1/webhooks/deliveries/export?format=csv&{name}={text}")).await.status;
        let retry: Value = json!({ "filter": filter, "dry_run": true });
        let retry = app.post("/v1/webhooks/deliveries/retry", retry).await.status;
        assert_eq!((list, if retry == 202 { 200 } else { retry }), (export, list), "{filter}");
    }
}
