//! What a receiver gets.

use base64::Engine as _;
use postrider::domain::endpoint::MASK;

use super::*;
use crate::support::{Receiver, Reply};

const AGENT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));

#[tokio::test]
async fn a_request_is_a_post_of_the_unchanged_payload() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    assert_delivered(&bench.send_to(&receiver.url("/hooks?a=1&b=%20x")).await);
    let got = receiver.next().await;
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/hooks?a=1&b=%20x"));
    assert_eq!(&got.body[..], PAYLOAD);
    assert_eq!(got.header("content-length"), Some(PAYLOAD.len().to_string().as_str()));
}

#[tokio::test]
async fn the_headers_are_those_of_the_contract() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let job = bench.job(&receiver.url("/"));
    bench.send(&job).await;
    let got = receiver.next().await;
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("user-agent"), Some(AGENT));
    assert_eq!(got.header("host"), Some(receiver.addr().to_string().as_str()));
    assert_eq!(got.header("x-webhook-event"), Some("license.assigned"));
    assert_eq!(got.header("x-webhook-attempt"), Some("3"));
    assert_eq!(got.header("webhook-id"), Some(job.event_id.to_string().as_str()));
    // 2026-03-01T12:00:00.750Z in whole seconds.
    assert_eq!(got.header("webhook-timestamp"), Some("1772366400"));
    for absent in ["accept-encoding", "referer", "cookie", "transfer-encoding", "expect"] {
        assert_eq!(got.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn the_signatures_match_those_that_receivers_compute() {
    let setup = Setup {
        signing_headers: vec!["X-Signature-MexCep".to_owned(), "X-Webhook-Signature".to_owned()],
        ..Setup::default()
    };
    let (bench, receiver) = (setup.bench(), Receiver::start().await);
    bench.send_to(&receiver.url("/")).await;
    let got = receiver.next().await;
    let library = standardwebhooks::Webhook::new(bench.secret.as_str()).unwrap();
    let expected = library.sign(got.header("webhook-id").unwrap(), 1_772_366_400, &got.body).unwrap();
    assert_eq!(got.header("webhook-signature"), Some(expected.as_str()));
    let plain = postrider::domain::signing::signature::plain(&bench.secret, PAYLOAD);
    assert_eq!(got.header("x-signature-mexcep"), Some(plain.as_str()));
    assert_eq!(got.header("x-webhook-signature"), Some(plain.as_str()));
}

#[tokio::test]
async fn each_valid_secret_signs_during_a_rotation_and_an_expired_one_does_not() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let mut old = Vec::new();
    let job = bench.job_with(&receiver.url("/"), |endpoint, vault| {
        for (key, until) in
            [(1, "2026-03-01T12:00:00.751Z"), (2, "2026-03-01T12:00:00.750Z"), (3, "2026-03-05T00:00:00Z")]
        {
            let (secret, sealed) = retired(endpoint, vault, key, until);
            endpoint.retired_secrets.push(sealed);
            old.push(secret);
        }
    });
    bench.send(&job).await;
    let got = receiver.next().await;
    let id = got.header("webhook-id").unwrap();
    let sign = |s: &SigningSecret| {
        standardwebhooks::Webhook::new(s.as_str()).unwrap().sign(id, 1_772_366_400, PAYLOAD).unwrap()
    };
    let expected = format!("{} {} {}", sign(&bench.secret), sign(&old[0]), sign(&old[2]));
    assert_eq!(got.header("webhook-signature"), Some(expected.as_str()));
    let plain = postrider::domain::signing::signature::plain(&bench.secret, PAYLOAD);
    assert_eq!(got.header("x-webhook-signature"), Some(plain.as_str()));
}

#[tokio::test]
async fn own_headers_are_sent_and_secret_ones_are_masked_in_the_log() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let job = bench.job_with(&receiver.url("/"), |endpoint, vault| {
        let sealed = vault.seal_header(endpoint.id, "Authorization", "Bearer top-secret");
        endpoint.settings.headers = vec![
            own_header("X-Tenant", "acme"),
            EndpointHeader { name: "Authorization".to_owned(), value: HeaderValue::Secret(sealed) },
        ];
    });
    let outcome = bench.send(&job).await;
    let got = receiver.next().await;
    assert_eq!(got.header("x-tenant"), Some("acme"));
    assert_eq!(got.header("authorization"), Some("Bearer top-secret"));
    let logged = outcome.request.as_ref().unwrap();
    assert_eq!(logged.headers.get("authorization"), Some(MASK));
    assert!(!format!("{outcome:?}").contains("top-secret"));
}

#[tokio::test]
async fn own_headers_override_none_of_ours() {
    // Such names are refused when they are set; but names in `signing.headers` can change afterwards.
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let names = [
        "x-webhook-SIGNATURE",
        "Host",
        "Content-Type",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "User-Agent",
        "webhook-id",
        "X-Webhook-Event",
    ];
    let job = bench.job_with(&receiver.url("/"), |endpoint, _| {
        endpoint.settings.headers = names.iter().map(|name| own_header(name, "forged")).collect();
        endpoint.settings.headers.push(own_header("Accept", "application/json"));
    });
    assert_delivered(&bench.send(&job).await);
    let got = receiver.next().await;
    assert!(got.headers.iter().all(|(_, value)| value != "forged"), "{:?}", got.headers);
    assert_eq!(got.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn the_log_shows_exactly_what_was_sent_in_its_order() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let url = receiver.url("/hooks?token=x");
    let job = bench.job_with(&url, |endpoint, _| {
        endpoint.settings.headers = vec![own_header("X-Tenant", "acme")];
    });
    let outcome = bench.send(&job).await;
    let (got, logged) = (receiver.next().await, outcome.request.unwrap());
    assert_eq!(logged.headers, got.headers.iter().cloned().collect());
    assert_eq!(logged.url, url);
    assert_eq!(logged.body, None, "the payload is kept once, with the event");
}

#[tokio::test]
async fn an_encrypted_endpoint_gets_a_jwe_and_signatures_over_it() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let job = bench.job_with(&receiver.url("/"), |endpoint, _| endpoint.settings.encrypted = true);
    let outcome = bench.send(&job).await;
    let got = receiver.next().await;
    assert_eq!(got.header("content-type"), Some("application/jose"));
    let jwe = std::str::from_utf8(&got.body).unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwe.split('.').next().unwrap());
    assert_eq!(header.unwrap(), br#"{"alg":"dir","enc":"A256GCM"}"#);
    assert!(!jwe.contains("licence"));
    let library = standardwebhooks::Webhook::new(bench.secret.as_str()).unwrap();
    let expected = library.sign(got.header("webhook-id").unwrap(), 1_772_366_400, &got.body).unwrap();
    assert_eq!(got.header("webhook-signature"), Some(expected.as_str()));
    let plain = postrider::domain::signing::signature::plain(&bench.secret, &got.body);
    assert_eq!(got.header("x-webhook-signature"), Some(plain.as_str()));
    let logged = outcome.request.unwrap();
    assert_eq!(logged.body.as_deref(), Some(&got.body[..]));
    assert_eq!(logged.headers, got.headers.iter().cloned().collect());
}

#[tokio::test]
async fn each_attempt_has_its_own_timestamp_and_the_same_id() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let job = bench.job(&receiver.url("/"));
    bench.send(&job).await;
    bench.clock.advance_ms(120_000);
    let outcome = bench.send(&job).await;
    let both = receiver.next_n(2).await;
    assert_eq!(both[0].header("webhook-id"), both[1].header("webhook-id"));
    assert_eq!(both[0].header("webhook-timestamp"), Some("1772366400"));
    assert_eq!(both[1].header("webhook-timestamp"), Some("1772366520"));
    assert_eq!(outcome.attempted_at, Some(Timestamp::parse("2026-03-01T12:02:00.750Z").unwrap()));
}

#[tokio::test]
async fn a_large_payload_is_sent_whole() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let mut job = bench.job(&receiver.url("/"));
    job.payload = Bytes::from(vec![b'7'; 5 * 1_024 * 1_024]);
    assert_delivered(&bench.send(&job).await);
    assert_eq!(receiver.next().await.body, job.payload);
}

#[tokio::test]
async fn connections_are_reused() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    receiver.reply(Reply::ok().body("thanks"));
    for _ in 0..5 {
        assert_delivered(&bench.send_to(&receiver.url("/")).await);
    }
    assert_eq!((receiver.count(), receiver.connections()), (5, 1));
}

#[tokio::test]
async fn attempts_run_concurrently() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let hold = receiver.hold();
    let job = bench.job(&receiver.url("/"));
    let release = async {
        receiver.next_n(4).await;
        hold.release();
    };
    let sends = futures_util::future::join_all((0..4).map(|_| bench.send(&job)));
    let (outcomes, ()) = tokio::join!(sends, release);
    outcomes.iter().for_each(assert_delivered);
}

#[tokio::test]
async fn a_secret_that_cannot_be_decrypted_is_a_failure_and_nothing_is_sent() {
    let (bench, receiver) = (Bench::new(), Receiver::start().await);
    let job = bench.job_with(&receiver.url("/"), |endpoint, _| endpoint.secret.0[30] ^= 1);
    let outcome = bench.send(&job).await;
    assert_failed(&outcome, ErrorKind::Local, "cannot be decrypted");
    assert_eq!((outcome.response_time_ms, outcome.request), (None, None));
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_signing_header_that_would_collide_is_refused_at_the_start() {
    for name in ["Content-Type", "webhook-signature", "bad name", ""] {
        let clock = Arc::new(FakeClock::new(Timestamp::from_millis(0)));
        let config = SenderConfig {
            timeout: Span::from_secs(1),
            connect_timeout: Span::from_secs(1),
            response_body_limit: 1,
            signing_headers: vec![name.to_owned()],
            policy: NetworkPolicy::default(),
        };
        let error = Sender::new(config, clock, Arc::new(Vault::new(b"k"))).unwrap_err();
        assert!(error.to_string().starts_with("signing.headers: "), "{error}");
    }
}
