//! How responses are read, stored and judged by their status.

use super::*;
use crate::support::{Hostile, Receiver, Reply, Then};

/// 64 KiB of zeros, compressed to 96 bytes.
const BOMB: &str = "1f8b0800000000000203edc101010000008090feafee080a0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000006aeb8e97d700000100";

#[tokio::test]
async fn a_2xx_is_delivered_and_its_response_is_stored() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    for status in [200, 201, 202, 204, 299] {
        let body = if status == 204 { "" } else { "thanks" };
        receiver.reply(Reply::status(status).body(body));
        let outcome = bench.send_to(&receiver.url("/")).await;
        assert_delivered(&outcome);
        let now = Timestamp::parse("2026-03-01T12:00:00.750Z").unwrap();
        assert_eq!((outcome.attempted_at, outcome.finished_at), (Some(now), now));
        assert!(outcome.response_time_ms.is_some());
        let response = outcome.response.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (status, body.as_bytes()));
        assert!(!response.body_truncated);
    }
}

#[tokio::test]
async fn any_other_status_is_a_failure_with_a_stored_response() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    for (status, message) in [
        (400, "HTTP 400 Bad Request"),
        (404, "HTTP 404 Not Found"),
        (410, "HTTP 410 Gone"),
        (500, "HTTP 500 Internal Server Error"),
        (503, "HTTP 503 Service Unavailable"),
        (599, "HTTP 599"),
    ] {
        receiver.reply(Reply::status(status).body("why"));
        let outcome = bench.send_to(&receiver.url("/")).await;
        assert_eq!(failure(&outcome).kind, ErrorKind::HttpStatus);
        assert_eq!(failure(&outcome).message, message);
        assert_eq!(outcome.is_gone(), status == 410);
        assert!(outcome.response_time_ms.is_some());
        assert_eq!(outcome.response.unwrap().body, b"why");
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let (bench, receiver, elsewhere) = (Bench::new(), Receiver::start().await, Receiver::start().await);
    for status in [301, 302, 303, 307, 308] {
        receiver.reply(Reply::status(status).header("location", &elsewhere.url("/")));
        let outcome = bench.send_to(&receiver.url("/")).await;
        assert_failed(&outcome, ErrorKind::HttpStatus, "redirects are never followed");
        assert_eq!(outcome.response.unwrap().status, status);
    }
    assert_eq!((receiver.count(), elsewhere.connections()), (5, 0));
}

#[tokio::test]
async fn retry_after_counts_with_429_and_503_only() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let after = |s: &str| Some(Timestamp::parse(s).unwrap());
    for (status, value, expected) in [
        (429, "90", after("2026-03-01T12:01:30.750Z")),
        (503, "Sun, 01 Mar 2026 13:00:00 GMT", after("2026-03-01T13:00:00Z")),
        (429, "999999999", after("2026-03-02T12:00:00.750Z")),
        (429, "soon", None),
        (429, "-1", None),
        (500, "90", None),
        (200, "90", None),
        (302, "90", None),
    ] {
        receiver.reply(Reply::status(status).header("Retry-After", value));
        let outcome = bench.send_to(&receiver.url("/")).await;
        assert_eq!(outcome.not_before, expected, "{status} {value}");
    }
}

#[tokio::test]
async fn repeated_headers_and_invalid_bytes_are_stored() {
    let bench = Bench::new();
    let answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Odd: caf\xe9\r\nSet-Cookie: b=2\r\ncontent-length: 0\r\n\r\n";
    let hostile = Hostile::answers(*answer, Then::Stall).await;
    let response = bench.send_to(&hostile.url("/")).await.response.unwrap();
    let values = |name: &str| -> Vec<&str> {
        response.headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| v).collect()
    };
    assert_eq!(values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(values("x-odd"), ["caf\u{fffd}"]);
}

#[tokio::test]
async fn only_part_of_very_large_headers_is_stored() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let mut reply = Reply::ok().body("thanks");
    for i in 0..50 {
        reply = reply.header(&format!("x-{i}"), &"v".repeat(5_000));
    }
    receiver.reply(reply);
    let outcome = bench.send_to(&receiver.url("/")).await;
    assert_delivered(&outcome);
    let kept = outcome.response.unwrap().headers.bytes();
    assert!((50_000..=65_536).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_body_is_stored_up_to_the_limit_and_the_status_decides() {
    let setup = Setup { response_body_limit: 1_000, ..Setup::default() };
    let (bench, receiver) = (setup.bench(), Receiver::start().await);
    for (length, truncated) in [(0, false), (999, false), (1_000, false), (1_001, true), (200_000, true)] {
        for status in [200, 500] {
            receiver.reply(Reply::status(status).body(vec![b'x'; length]));
            let outcome = bench.send_to(&receiver.url("/")).await;
            assert_eq!(outcome.failure.is_none(), status == 200);
            let response = outcome.response.unwrap();
            assert_eq!((response.body.len(), response.body_truncated), (length.min(1_000), truncated));
        }
    }
}

#[tokio::test]
async fn an_endless_body_is_truncated_and_the_connection_is_closed() {
    let bench = Bench::new();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let hostile = Hostile::endless(head, b"5\r\nhello\r\n").await;
    for connections in 1..=2 {
        let outcome = bench.send_to(&hostile.url("/")).await;
        assert_delivered(&outcome);
        let response = outcome.response.unwrap();
        assert_eq!((response.body.len(), response.body_truncated), (16 * 1_024, true));
        assert_eq!(hostile.connections(), connections, "a connection with unread data is not reused");
    }
}

#[tokio::test]
async fn a_body_that_stalls_at_the_limit_is_delivered() {
    let bench = Setup { response_body_limit: 10, ..Setup::default() }.bench();
    for (body, truncated) in [("0123456789", true), ("0123456789ab", true)] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{body}");
        let hostile = Hostile::answers(answer, Then::Stall).await;
        let outcome = bench.send_to(&hostile.url("/")).await;
        assert_delivered(&outcome);
        let response = outcome.response.unwrap();
        assert_eq!(
            (response.body.as_slice(), response.body_truncated),
            (b"0123456789".as_slice(), truncated)
        );
    }
    // The end of a chunked body that fills the limit exactly is seen.
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n";
    let hostile = Hostile::answers(answer, Then::Stall).await;
    let outcome = bench.send_to(&hostile.url("/")).await;
    assert!(!outcome.response.unwrap().body_truncated);
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_complete() {
    let hostile = Hostile::answers("HTTP/1.0 200 OK\r\n\r\nold style", Then::Close).await;
    let outcome = Bench::new().send_to(&hostile.url("/")).await;
    assert_delivered(&outcome);
    assert_eq!(outcome.response.unwrap().body, b"old style");
}

#[tokio::test]
async fn a_compressed_body_is_stored_as_it_arrived() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let bomb = hex::decode(BOMB).unwrap();
    receiver.reply(Reply::ok().header("content-encoding", "gzip").body(bomb.clone()));
    let outcome = bench.send_to(&receiver.url("/")).await;
    assert_delivered(&outcome);
    let response = outcome.response.unwrap();
    assert_eq!((response.body, response.body_truncated), (bomb, false));
    assert_eq!(response.headers.get("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn interim_responses_before_the_final_one_are_skipped() {
    let answer =
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let hostile = Hostile::answers(answer, Then::Stall).await;
    let outcome = Bench::new().send_to(&hostile.url("/")).await;
    assert_delivered(&outcome);
    assert_eq!(outcome.response.unwrap().body, b"ok");
}

#[tokio::test]
async fn a_thousand_interim_responses_are_accepted() {
    let answer = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000) + "HTTP/1.1 204 No Content\r\n\r\n";
    let hostile = Hostile::answers(answer, Then::Stall).await;
    assert_delivered(&Bench::new().send_to(&hostile.url("/")).await);
}
