//! Responses and connections that curl, browsers or Go's client accept: the status decides.

use super::*;
use crate::support::certificates::{self, Authority};
use crate::support::{Hostile, Receiver, Reply, Then};

/// A response with these header lines and an empty body.
fn with_lines(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n")
}

async fn outcome_of(response: String) -> Outcome {
    let hostile = Hostile::answers(response, Then::Stall).await;
    Bench::new().send_to(&hostile.url("/")).await
}

#[tokio::test]
async fn a_thousand_header_lines_are_accepted_and_one_more_is_refused() {
    let lines = |n: usize| -> String { (0..n).map(|i| format!("x-{i}: y\r\n")).collect() };
    for n in [101, 999] {
        assert_delivered(&outcome_of(with_lines(&lines(n))).await);
    }
    let outcome = outcome_of(with_lines(&lines(1_000))).await;
    assert_failed(
        &outcome,
        ErrorKind::Protocol,
        "HTTP 200, but the headers of the response are over 1000 lines",
    );
    assert_eq!(outcome.response.unwrap().status, 200);
}

#[tokio::test]
async fn headers_of_256_kib_are_accepted_and_larger_ones_are_refused() {
    let lines = |n: usize, bytes: usize| format!("x: {}\r\n", "y".repeat(bytes)).repeat(n);
    for accepted in [lines(255, 1_000), lines(1, 250_000)] {
        assert_delivered(&outcome_of(with_lines(&accepted)).await);
    }
    for refused in [lines(300, 1_000), lines(1, 270_000), lines(1, 500_000), lines(1, 900_000)] {
        let outcome = outcome_of(with_lines(&refused)).await;
        assert_failed(&outcome, ErrorKind::Protocol, "over 1000 lines or 256 KiB");
        assert_eq!(outcome.response.unwrap().status, 200);
    }
}

#[tokio::test]
async fn trailers_are_ignored_however_many_and_malformed_they_are() {
    let lines = |n: usize| -> String { (0..n).map(|i| format!("x-{i}: y\r\n")).collect() };
    for trailers in
        [lines(101), lines(1_500), format!("x: {}\r\n", "y".repeat(30_000)), "a: b\r\n c\r\n".into()]
    {
        let response =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n{trailers}\r\n");
        let outcome = outcome_of(response).await;
        assert_delivered(&outcome);
        assert_eq!(outcome.response.unwrap().body, b"body");
    }
}

#[tokio::test]
async fn folded_header_lines_are_joined_with_spaces() {
    let outcome = outcome_of(with_lines("x-folded: one\r\n two\r\n\tthree\r\nx-next: 1\r\n")).await;
    assert_delivered(&outcome);
    let response = outcome.response.unwrap();
    let folded: Vec<_> = response.headers.get("x-folded").unwrap().split_whitespace().collect();
    assert_eq!(folded, ["one", "two", "three"]);
    assert_eq!(response.headers.get("x-next"), Some("1"));
}

#[tokio::test]
async fn malformed_header_lines_are_ignored() {
    for line in ["no colon", "two words: x", ": no name", "spaced : x", "ümlaut: x", "x[]: y"] {
        let outcome = outcome_of(with_lines(&format!("{line}\r\nx-next: 1\r\n"))).await;
        assert_delivered(&outcome);
        assert_eq!(outcome.response.unwrap().headers.get("x-next"), Some("1"), "{line:?}");
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_read_keeps_its_status() {
    for (head, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", 200),
        ("HTTP/1.1 200 OK\r\nnul: a\0b\r\ncontent-length: 0\r\n\r\n", 200),
        ("HTTP/1.1 404 No\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 404),
    ] {
        let hostile = Hostile::answers(head, Then::Stall).await;
        let outcome = Bench::new().send_to(&hostile.url("/")).await;
        assert_failed(&outcome, ErrorKind::Protocol, &format!("HTTP {status}, but the headers"));
        assert_eq!(outcome.response.unwrap().status, status);
    }
    let cut = Hostile::answers("HTTP/1.1 503 No\r\nretry-af", Then::Close).await;
    let outcome = Bench::new().send_to(&cut.url("/")).await;
    assert_failed(
        &outcome,
        ErrorKind::Protocol,
        "HTTP 503, but the connection broke in the middle of the response",
    );
    assert_eq!(outcome.response.unwrap().status, 503);
}

#[tokio::test]
async fn tls_without_close_notify_ends_a_response_that_has_no_length() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = authority.server_with(&["127.0.0.1"], version);
        for (response, expected) in [
            ("HTTP/1.0 200 OK\r\n\r\nold style", "delivered"),
            ("HTTP/1.0 200 OK\r\n\r\n", "delivered"),
            ("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", "delivered"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody", "delivered"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody",
                "protocol: the connection broke in the middle",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n",
                "protocol: the connection broke in the middle",
            ),
            ("HTTP/1.0 200 O", "protocol: HTTP 200, but the connection broke"),
            ("", "protocol: the connection was closed before a response arrived"),
        ] {
            let hostile = Hostile::answers_tls(server.clone(), response).await;
            let said = tls::send_trusting(&authority, &hostile.https_url("/")).await;
            assert!(said.starts_with(expected), "{version:?} {response:?}: {said}");
            assert!(!said.contains("docs.rs"), "{said}");
        }
    }
}

#[tokio::test]
async fn large_headers_over_http_2_are_accepted_up_to_the_same_limits() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(certificates::with_http2(authority.server(&["127.0.0.1"]))).await;
    for (lines, bytes, expected) in [
        (4, 4_500, "delivered"),
        (10, 4_000, "delivered"),
        (250, 1_000, "delivered"),
        (900, 10, "delivered"),
        (1_100, 10, "protocol: HTTP 200, but the headers of the response are over 1000 lines"),
        (
            300,
            1_000,
            "protocol: the response over HTTP/2 is malformed, or the headers of the response are over",
        ),
    ] {
        let mut reply = Reply::ok().body("thanks");
        for i in 0..lines {
            reply = reply.header(&format!("x-{i}"), &"v".repeat(bytes));
        }
        receiver.reply(reply);
        let said = tls::send_trusting(&authority, &receiver.url("/")).await;
        assert!(said.starts_with(expected), "{lines} lines of {bytes}: {said}");
    }
}

#[tokio::test]
async fn a_request_on_a_reused_connection_that_was_closed_starts_again_once() {
    let bench = Bench::new();
    let hostile = Hostile::closes_reused("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "").await;
    for sent in 1..=3 {
        assert_delivered(&bench.send_to(&hostile.url("/")).await);
        assert_eq!(hostile.connections(), [1, 2, 3][sent - 1], "{sent}");
    }
}

#[tokio::test]
async fn a_request_does_not_start_again_after_one_byte_of_a_response() {
    let bench = Bench::new();
    let hostile = Hostile::closes_reused("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "H").await;
    assert_delivered(&bench.send_to(&hostile.url("/")).await);
    assert_failed(
        &bench.send_to(&hostile.url("/")).await,
        ErrorKind::Protocol,
        "closed before a response arrived",
    );
    assert_eq!(hostile.connections(), 1);
}

/// An HTTP/2 receiver that refuses the first `refused` requests. Returns its port, and counts requests.
async fn refusing(
    server: rustls::ServerConfig,
    refused: usize,
) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let (tls, count) = (tokio_rustls::TlsAcceptor::from(Arc::new(server)), requests.clone());
    tokio::spawn(async move {
        loop {
            let (tls, count) = (tls.clone(), count.clone());
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if count.fetch_add(1, Ordering::SeqCst) < refused {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        respond.send_response(hyper::Response::new(()), true).unwrap();
                    }
                }
            });
        }
    });
    (port, requests)
}

#[tokio::test]
async fn a_request_that_an_http_2_peer_refused_starts_again_once() {
    let authority = Authority::new();
    for (refused, expected) in [(1, "delivered"), (9, "protocol: the receiver refused the request twice")] {
        let server = certificates::with_http2(authority.server(&["127.0.0.1"]));
        let (port, requests) = refusing(server, refused).await;
        let said = tls::send_trusting(&authority, &format!("https://127.0.0.1:{port}/")).await;
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(requests.load(std::sync::atomic::Ordering::SeqCst), 2);
    }
}
