//! Receivers that cannot be reached, are too slow, or do not speak HTTP.

use super::*;
use crate::support::{Hostile, Receiver, Then};

fn impatient() -> Bench {
    Setup { timeout: "250ms", ..Setup::default() }.bench()
}

/// An address where nothing listens.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_closed_port_is_a_connect_failure() {
    let addr = closed_port().await;
    let outcome = Bench::new().send_to(&format!("http://{addr}/x?token=secret")).await;
    assert_failed(&outcome, ErrorKind::Connect, &format!("connection refused by {addr}"));
    assert!(!failure(&outcome).message.contains("secret"));
    assert_eq!((outcome.response_time_ms, &outcome.response), (None, &None));
    assert!(outcome.request.is_some() && outcome.attempted_at.is_some());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_dns_failure() {
    let none = Setup { lookup: always(&[]), ..Setup::default() }.bench();
    assert_failed(&none.send_to("http://nobody.example/").await, ErrorKind::Dns, "nobody.example");
    let outcome = Bench::new().send_to("http://nobody.invalid/").await;
    assert_failed(&outcome, ErrorKind::Dns, "the name nobody.invalid does not resolve");
    assert_eq!(outcome.response_time_ms, None);
}

#[tokio::test]
async fn a_lookup_that_hangs_is_local_if_nothing_else_worked() {
    struct Hanging;
    impl Lookup for Hanging {
        fn lookup(
            &self,
            _: &str,
        ) -> futures_util::future::BoxFuture<'static, io::Result<Vec<std::net::SocketAddr>>> {
            Box::pin(std::future::pending())
        }
    }
    let lookup: Option<Arc<dyn Lookup>> = Some(Arc::new(Hanging));
    let bench = Setup { connect_timeout: "100ms", lookup, ..Setup::default() }.bench();
    let outcome = bench.send_to("http://slow.example/").await;
    assert_failed(&outcome, ErrorKind::Local, "the name in slow.example did not resolve within 100ms");
}

#[tokio::test]
async fn a_receiver_that_never_responds_is_a_timeout() {
    let hostile = Hostile::silent().await;
    let outcome = impatient().send_to(&hostile.url("/")).await;
    assert_failed(&outcome, ErrorKind::Timeout, "no response within 250ms");
    assert!(outcome.response_time_ms.unwrap() >= 250);
    assert_eq!(outcome.response, None);
}

#[tokio::test]
async fn an_endpoints_own_timeout_wins_over_the_configured_one() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let hold = receiver.hold();
    let job = bench.job_with(&receiver.url("/"), |endpoint, _| {
        endpoint.settings.timeout = Span::parse("100ms");
    });
    assert_failed(&bench.send(&job).await, ErrorKind::Timeout, "no response within 100ms");
    drop(hold);
    let hasty = Setup { timeout: "1ms", ..Setup::default() }.bench();
    let job = hasty.job_with(&receiver.url("/"), |endpoint, _| {
        endpoint.settings.timeout = Span::parse("20s");
    });
    assert_delivered(&hasty.send(&job).await);
}

#[tokio::test]
async fn a_response_that_arrives_byte_by_byte_and_stalls_is_a_timeout() {
    let bench = impatient();
    let hostile = Hostile::drips("HTTP/1.1 200 OK\r\ncontent-le").await;
    assert_failed(&bench.send_to(&hostile.url("/")).await, ErrorKind::Timeout, "no response within 250ms");
}

#[tokio::test]
async fn a_body_that_does_not_end_in_time_is_a_timeout_and_its_start_is_stored() {
    let bench = impatient();
    let hostile = Hostile::drips("HTTP/1.1 503 No\r\nRetry-After: 60\r\ncontent-length: 9\r\n\r\npart").await;
    let outcome = bench.send_to(&hostile.url("/")).await;
    assert_failed(&outcome, ErrorKind::Timeout, "the response began but did not end within 250ms");
    assert!(outcome.not_before.is_some());
    let response = outcome.response.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (503, b"part".as_slice()));
    assert_eq!(response.headers.get("content-length"), Some("9"));
}

#[tokio::test]
async fn a_2xx_whose_body_does_not_end_is_not_delivered() {
    let hostile = Hostile::answers("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Then::Stall).await;
    let outcome = impatient().send_to(&hostile.url("/")).await;
    assert_failed(&outcome, ErrorKind::Timeout, "did not end");
    assert_eq!(outcome.response.unwrap().status, 200);
}

#[tokio::test]
async fn endless_interim_responses_are_a_protocol_failure() {
    let hostile = Hostile::endless("", b"HTTP/1.1 100 Continue\r\n\r\n").await;
    let outcome = Bench::new().send_to(&hostile.url("/")).await;
    assert_failed(&outcome, ErrorKind::Protocol, "interim responses (1xx) and no final one");
    assert_eq!(hostile.connections(), 1, "a request on a new connection is not repeated");
}

#[tokio::test]
async fn endless_headers_are_a_protocol_failure() {
    for line in ["x: y\r\n", "x"] {
        let hostile = Hostile::endless("HTTP/1.1 200 OK\r\n", line.as_bytes()).await;
        let outcome = Bench::new().send_to(&hostile.url("/")).await;
        assert_failed(
            &outcome,
            ErrorKind::Protocol,
            "HTTP 200, but the headers of the response are over 1000 lines or 256 KiB",
        );
    }
}

#[tokio::test]
async fn closing_without_a_response_is_a_protocol_failure() {
    let bench = Bench::new();
    let closing = Hostile::answers("", Then::Close).await;
    let outcome = bench.send_to(&closing.url("/")).await;
    assert_failed(&outcome, ErrorKind::Protocol, "the connection was closed before a response arrived");
    assert_eq!(closing.connections(), 1, "a request on a new connection is not repeated");
    let partial = Hostile::answers("HTTP/1.1 200 OK\r\nconte", Then::Close).await;
    assert_failed(&bench.send_to(&partial.url("/")).await, ErrorKind::Protocol, "broke in the middle");
    let at_once = Hostile::closes_at_once().await;
    assert_eq!(failure(&bench.send_to(&at_once.url("/")).await).kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_reset_is_a_protocol_failure() {
    let hostile = Hostile::answers("", Then::Reset).await;
    let outcome = Bench::new().send_to(&hostile.url("/")).await;
    assert_failed(&outcome, ErrorKind::Protocol, "the connection was reset before a response arrived");
    assert!(outcome.response_time_ms.is_some());
    assert_eq!(hostile.connections(), 1, "a request on a new connection is not repeated");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_a_protocol_failure_and_its_start_is_stored() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart";
    for then in [Then::Close, Then::Reset] {
        let hostile = Hostile::answers(answer, then).await;
        let outcome = Bench::new().send_to(&hostile.url("/")).await;
        assert_eq!(failure(&outcome).kind, ErrorKind::Protocol, "{outcome:?}");
        // A reset may overtake what was sent before it.
        if then == Then::Close {
            assert_failed(&outcome, ErrorKind::Protocol, "in the middle of the response");
            assert_eq!(outcome.response.unwrap().body, b"part");
        }
    }
}

#[tokio::test]
async fn a_response_that_is_not_http_is_a_protocol_failure() {
    let bench = Bench::new();
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 999999 Huge\r\n\r\n",
        "HTTP/1.1 20 Short\r\n\r\n",
        "\0\0\0\0\0\0\0\0",
    ] {
        let hostile = Hostile::answers(garbage, Then::Stall).await;
        let outcome = bench.send_to(&hostile.url("/")).await;
        assert_failed(&outcome, ErrorKind::Protocol, "the response is not HTTP");
    }
}

#[tokio::test]
async fn a_broken_chunk_is_a_protocol_failure() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\nzzz\r\n";
    let hostile = Hostile::answers(answer, Then::Stall).await;
    let outcome = Bench::new().send_to(&hostile.url("/")).await;
    assert_eq!(failure(&outcome).kind, ErrorKind::Protocol);
    assert_eq!(outcome.response.unwrap().body, b"part");
}

#[tokio::test]
async fn no_message_contains_path_or_query() {
    let bench = impatient();
    let receivers = [
        Hostile::silent().await,
        Hostile::answers("", Then::Close).await,
        Hostile::answers("", Then::Reset).await,
        Hostile::answers("garbage", Then::Close).await,
        Hostile::answers("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", Then::Close).await,
    ];
    for hostile in &receivers {
        for url in [hostile.url("/secret-path?secret=1"), hostile.https_url("/secret-path?secret=1")] {
            let outcome = bench.send_to(&url).await;
            assert!(!failure(&outcome).message.contains("secret"), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_receiver_that_closes_after_each_response_without_notice_gets_every_request() {
    let bench = Bench::new();
    let hostile = Hostile::answers("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Then::Close).await;
    for connections in 1..=20 {
        assert_delivered(&bench.send_to(&hostile.url("/")).await);
        assert_eq!(hostile.connections(), connections);
    }
}

#[tokio::test]
async fn a_response_before_the_request_was_read_counts() {
    let bench = Bench::new();
    let hostile = Hostile::answers_early("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
    let mut job = bench.job(&hostile.url("/"));
    job.payload = Bytes::from(vec![b'7'; 8 * 1_024 * 1_024]);
    assert_failed(&bench.send(&job).await, ErrorKind::HttpStatus, "HTTP 413");
}

#[tokio::test]
async fn a_receiver_that_speaks_first_is_a_protocol_failure() {
    let hostile = Hostile::speaks_first("SSH-2.0-OpenSSH_9.6\r\n").await;
    // Whether its words come before the request or after is a matter of chance.
    let outcome = Bench::new().send_to(&hostile.url("/")).await;
    assert_eq!(failure(&outcome).kind, ErrorKind::Protocol, "{outcome:?}");
    assert!(!failure(&outcome).message.contains("was closed before a response"), "{outcome:?}");
}
