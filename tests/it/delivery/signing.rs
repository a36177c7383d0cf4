//! The request that a receiver gets, and how its signature is verified.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;
use crate::support::receiver::Received;

/// Whether the published library of Standard Webhooks produces one of the request's signatures.
fn is_signed_by(got: &Received, secret: &str) -> bool {
    let timestamp = got.header("webhook-timestamp").unwrap().parse().expect("whole seconds");
    let library = standardwebhooks::Webhook::new(secret).unwrap();
    let signature = library.sign(got.header("webhook-id").unwrap(), timestamp, &got.body).unwrap();
    got.header("webhook-signature").unwrap().split(' ').any(|one| one == signature)
}

/// The plain signature, computed without the server's code.
fn plain(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn signatures(got: &Received) -> usize {
    got.header("webhook-signature").unwrap().split(' ').count()
}

#[tokio::test]
async fn an_event_arrives_byte_for_byte_and_its_signature_verifies() {
    let app = TestApp::with(|config| {
        config.signing.headers = vec!["X-Signature-MexCep".to_owned(), "X-Second".to_owned()];
    })
    .await;
    let receiver = Receiver::start().await;
    let fields = json!({ "events": ["license.*"], "headers": { "X-Own": "mine" } });
    let hook = app.webhook(&receiver.url("/hook?x=1"), fields).await;
    let payload = "{ \"z\": 1.0,\n  \"a\": 12345678901234567890123 , \"é\":\"\\u00e9\" }";
    // The library compares the timestamp with the real time.
    app.clock.set(postrider::host::clock::Clock::now(&postrider::host::clock::SystemClock));
    let event = post_raw(&app, "license.assigned", payload).await;

    let got = receiver.next().await;
    assert_eq!(got.body, payload.as_bytes());
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/hook?x=1"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("webhook-id"), Some(event.as_str()));
    assert_eq!(got.header("x-webhook-event"), Some("license.assigned"));
    assert_eq!(got.header("x-webhook-attempt"), Some("1"));
    assert_eq!(got.header("x-own"), Some("mine"));
    let mut headers = reqwest::header::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, got.header(name).unwrap().parse().unwrap());
    }
    standardwebhooks::Webhook::new(&hook.secret).unwrap().verify(&got.body, &headers).unwrap();
    let expected = plain(&hook.secret, payload.as_bytes());
    assert_eq!(got.header("x-signature-mexcep"), Some(expected.as_str()));
    assert_eq!(got.header("x-second"), Some(expected.as_str()));
    assert_eq!(got.header("x-webhook-signature"), None, "only the configured names are used");
}

#[tokio::test]
async fn all_attempts_have_the_same_id_and_each_its_own_timestamp() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    receiver.reply_once(Reply::status(500));
    let hook = app.webhook(&receiver.url("/"), json!({ "retry_schedule": ["2m"] })).await;
    let payload = "[1.50,  2]";
    let event = post_raw(&app, "a.b", payload).await;
    app.rows_when(|rows| statuses(rows) == ["pending", "failed"]).await;
    app.clock.advance_ms(120_000);
    let got = receiver.next_n(2).await;
    for (i, (request, timestamp)) in got.iter().zip(["1772366400", "1772366520"]).enumerate() {
        assert_eq!(request.header("webhook-id"), Some(event.as_str()));
        assert_eq!(request.header("webhook-timestamp"), Some(timestamp));
        assert_eq!(request.header("x-webhook-attempt"), Some((i + 1).to_string().as_str()));
        assert_eq!(request.body, payload.as_bytes());
        assert!(is_signed_by(request, &hook.secret));
    }
}

#[tokio::test]
async fn both_secrets_sign_while_a_rotation_overlaps() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", hook.id);
    let rotate = |body| app.post(&path, body);
    let rotated = rotate(json!({ "overlap": "1h" })).await.expect(200);
    let second = rotated["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    assert_ne!(second, hook.secret);

    app.post_event("a.b", json!(1)).await;
    let got = receiver.next().await;
    assert_eq!(signatures(&got), 2);
    assert!(is_signed_by(&got, &hook.secret) && is_signed_by(&got, &second));
    assert_eq!(got.header("x-webhook-signature"), Some(plain(&second, &got.body).as_str()));

    app.clock.advance_ms(3_600_000);
    app.post_event("a.b", json!(2)).await;
    let got = receiver.next().await;
    assert_eq!(signatures(&got), 1);
    assert!(!is_signed_by(&got, &hook.secret) && is_signed_by(&got, &second));

    let rotated = rotate(json!({ "overlap": "0s" })).await.expect(200);
    let third = rotated["data"]["attributes"]["signing_secret"].as_str().unwrap().to_owned();
    app.post_event("a.b", json!(3)).await;
    let got = receiver.next().await;
    assert_eq!(signatures(&got), 1);
    assert!(!is_signed_by(&got, &second) && is_signed_by(&got, &third));
}

#[tokio::test]
async fn a_rotation_without_a_body_overlaps_for_a_day() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({})).await;
    send(app.request(Method::POST, &format!("/v1/webhooks/{}/rotate-secret", hook.id))).await.expect(200);
    app.clock.advance_ms(86_400_000 - 1);
    app.post_event("a.b", json!(1)).await;
    assert!(is_signed_by(&receiver.next().await, &hook.secret));
    app.clock.advance_ms(1);
    app.post_event("a.b", json!(2)).await;
    assert!(!is_signed_by(&receiver.next().await, &hook.secret));
}

#[tokio::test]
async fn an_encrypted_payload_opens_only_with_the_secret_of_its_endpoint() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "encrypted": true })).await;
    let payload = "{\"card\":  \"4111\"}";
    post_raw(&app, "a.b", payload).await;
    let got = receiver.next().await;
    assert_eq!(got.header("content-type"), Some("application/jose"));
    assert!(is_signed_by(&got, &hook.secret));
    assert_eq!(got.header("x-webhook-signature"), Some(plain(&hook.secret, &got.body).as_str()));

    let jwe = String::from_utf8(got.body.to_vec()).unwrap();
    let parts: Vec<&str> = jwe.split('.').collect();
    let bytes = |i: usize| URL_SAFE_NO_PAD.decode(parts[i]).unwrap();
    assert_eq!(parts.len(), 5);
    let head: Value = serde_json::from_slice(&bytes(0)).unwrap();
    assert_eq!((&head["alg"], &head["enc"]), (&json!("dir"), &json!("A256GCM")));
    assert_eq!(parts[1], "");
    let secret = STANDARD.decode(hook.secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut key = [0u8; 32];
    hkdf::Hkdf::<Sha256>::new(None, &secret).expand(b"postrider/jwe/v1", &mut key).unwrap();
    let opened = open_a256gcm(&key, &bytes(2), parts[0].as_bytes(), &[bytes(3), bytes(4)].concat());
    assert_eq!(opened, payload.as_bytes());

    // The log shows what was sent, and that is the JWE.
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let detail = app.get(&format!("/v1/webhooks/deliveries/{}", row["id"])).await.attributes();
    assert_eq!(detail["request"]["body"], jwe);
}

fn open_a256gcm(key: &[u8; 32], nonce: &[u8], associated: &[u8], sealed: &[u8]) -> Vec<u8> {
    use aes_gcm::aead::{Aead as _, Payload};
    let nonce: [u8; 12] = nonce.try_into().expect("the nonce has 96 bits");
    let cipher = <aes_gcm::Aes256Gcm as aes_gcm::KeyInit>::new(key.into());
    let sealed = Payload { msg: sealed, aad: associated };
    cipher.decrypt(&nonce.into(), sealed).expect("the secret opens it")
}
