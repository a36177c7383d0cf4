//! HTTPS: trusted certificates, and the messages about all others.

use super::*;
use crate::support::certificates::{self, Authority};
use crate::support::{Hostile, Receiver, Then};

/// Sends to `url` from a process that trusts `authority` and nobody else.
pub(super) async fn send_trusting(authority: &Authority, url: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    child::send(url, vec![("SSL_CERT_FILE", file.to_str().unwrap().to_owned())]).await
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_accepted_over_http_1_and_2() {
    let authority = Authority::new();
    let server = authority.server(&["127.0.0.1", "localhost"]);
    let http1 = Receiver::start_tls(server.clone()).await;
    let http2 = Receiver::start_tls(certificates::with_http2(server)).await;
    for (receiver, version) in [(&http1, "HTTP/1.1"), (&http2, "HTTP/2.0")] {
        for host in ["127.0.0.1", "localhost"] {
            let said = send_trusting(&authority, &receiver.url_as(host, "/hook")).await;
            assert_eq!(said, "delivered", "{version} {host}");
            let got = receiver.next().await;
            assert_eq!((got.version.as_str(), &got.body[..]), (version, PAYLOAD));
            assert_eq!(got.header("webhook-timestamp"), Some("1772366400"));
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_a_clear_message() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.expired_server(&["127.0.0.1"])).await;
    let said = send_trusting(&authority, &receiver.url("/")).await;
    assert_eq!(said, format!("tls: the certificate of {} expired on 2001-01-01", receiver.addr()));
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused_with_a_clear_message() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.future_server(&["127.0.0.1"])).await;
    let said = send_trusting(&authority, &receiver.url("/")).await;
    assert!(said.starts_with("tls: ") && said.contains("is not valid yet"), "{said}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_a_clear_message() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.server(&["hooks.example"])).await;
    let said = send_trusting(&authority, &receiver.url_as("localhost", "/")).await;
    assert!(said.starts_with("tls: ") && said.contains("does not match its name"), "{said}");
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn an_untrusted_authority_is_refused_with_a_clear_message() {
    let (authority, other) = (Authority::new(), Authority::new());
    let receiver = Receiver::start_tls(authority.server(&["127.0.0.1"])).await;
    let said = send_trusting(&other, &receiver.url("/")).await;
    assert!(said.starts_with("tls: ") && said.contains("unknown issuer"), "{said}");
    let receiver = Receiver::start_tls(certificates::self_signed_server(&["127.0.0.1"])).await;
    let said = send_trusting(&other, &receiver.url("/")).await;
    assert!(said.starts_with("tls: ") && said.contains("unknown issuer"), "{said}");
}

#[tokio::test]
async fn without_any_authority_https_fails_clearly_and_http_works() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().to_str().unwrap();
    let env = || vec![("SSL_CERT_DIR", nothing.to_owned()), ("SSL_CERT_FILE", format!("{nothing}/none"))];
    let https = Receiver::start_tls(certificates::self_signed_server(&["127.0.0.1"])).await;
    let said = child::send(&https.url("/"), env()).await;
    assert!(said.starts_with("tls: ") && said.contains("no CA certificates were found"), "{said}");
    let http = Receiver::start().await;
    assert_eq!(child::send(&http.url("/"), env()).await, "delivered");
}

#[tokio::test]
async fn a_receiver_that_does_not_speak_tls_is_a_tls_failure() {
    let authority = Authority::new();
    let plain = Hostile::answers("HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close).await;
    let said = send_trusting(&authority, &plain.https_url("/")).await;
    assert!(said.starts_with("tls: ") && said.contains("does not speak TLS"), "{said}");
    for then in [Then::Close, Then::Reset] {
        let closing = Hostile::answers("", then).await;
        let said = send_trusting(&authority, &closing.https_url("/")).await;
        assert!(said.starts_with("tls: ") && said.contains("during the TLS handshake"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_of_x509_version_1_is_refused_with_a_clear_message() {
    let authority = Authority::new();
    let receiver = Receiver::start_tls(authority.version_1_server(&["127.0.0.1"])).await;
    let said = send_trusting(&authority, &receiver.url("/")).await;
    assert!(said.starts_with("tls: ") && said.contains("X.509 version 1 certificate"), "{said}");
}

/// What a server answers that has only a key of a type that the client does not know, such as P-521.
#[tokio::test]
async fn a_handshake_failure_names_the_supported_key_types() {
    let alert = [0x15, 3, 3, 0, 2, 2, 40];
    let hostile = Hostile::answers(alert, Then::Close).await;
    let outcome = Bench::new().send_to(&hostile.https_url("/")).await;
    assert_failed(&outcome, ErrorKind::Tls, "shares no cipher suite or key type");
    assert_failed(&outcome, ErrorKind::Tls, "(not P-521)");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_timeout() {
    let bench = Setup { connect_timeout: "150ms", ..Setup::default() }.bench();
    let silent = Hostile::silent().await;
    let outcome = bench.send_to(&silent.https_url("/")).await;
    assert_failed(&outcome, ErrorKind::Timeout, "within 150ms");
    assert_eq!(outcome.response, None);
}
