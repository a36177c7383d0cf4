//! Encrypted payloads, decrypted by an independent JOSE library: jwcrypto for Python.
//!
//! No Rust crate fits: josekit needs OpenSSL, and biscuit and its forks enable `serde_json/preserve_order`,
//! which would change how the whole server writes JSON in tests and only there. The unit tests of the
//! encryption, which always run, have an output of jwcrypto as a known answer, and the receiver snippets
//! decrypt the same payloads with four more implementations.

use super::*;
use crate::support::programs::{has_python_with, run};

/// Derives the key from HMAC alone (RFC 5869, one block of output).
const SCRIPT: &str = r#"
import base64, hashlib, hmac, os, sys
from jwcrypto import jwe, jwk
from jwcrypto.common import base64url_encode

def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()

secret = base64.b64decode(os.environ["WEBHOOK_SECRET"][len("whsec_"):])
key = mac(mac(bytes(32), secret), b"postrider/jwe/v1\x01")
token = jwe.JWE(algs=["dir", "A256GCM"])
token.deserialize(open("body.jwe").read(), jwk.JWK(kty="oct", k=base64url_encode(key)))
sys.stdout.buffer.write(token.payload)
"#;

#[tokio::test]
async fn a_jose_library_decrypts_the_payload() {
    if !has_python_with("jwcrypto").await {
        return;
    }
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = app.webhook(&receiver.url("/"), json!({ "encrypted": true })).await;
    let dir = tempfile::tempdir().unwrap();
    for payload in ["{\"card\":  \"4111\"}", "\"Zo\u{eb}\"", "0"] {
        post_raw(&app, "a.b", payload).await;
        std::fs::write(dir.path().join("body.jwe"), receiver.next().await.body).unwrap();
        let output = run(dir.path(), "python3", &["-c", SCRIPT], &[("WEBHOOK_SECRET", &hook.secret)]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), payload, "{output:?}");
    }
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let output = run(dir.path(), "python3", &["-c", SCRIPT], &[("WEBHOOK_SECRET", other)]).await;
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[tokio::test]
async fn the_log_shows_the_encrypted_body_and_the_event_the_plain_one() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.webhook(&receiver.url("/"), json!({ "encrypted": true })).await;
    let event = app.post_event("a.b", json!({ "card": "4111" })).await;
    let sent = receiver.next().await.body;
    let row = app.row_when(|row| row["status"] == "delivered").await;
    let path = format!("/v1/webhooks/deliveries/{}", row["id"]);
    // A key that may only read deliveries sees the JWE and nothing of the payload.
    let reader = app.key("webhooks:read", None).await;
    let answer = send(app.request_as(&reader, Method::GET, &path)).await;
    assert!(!answer.text.contains("4111"));
    let request = &answer.attributes()["request"];
    assert_eq!(request["body"].as_str().unwrap().as_bytes(), sent);
    assert_eq!(request["headers"]["content-type"], "application/jose");
    let event_path = format!("/v1/events/{event}");
    assert_eq!(send(app.request_as(&reader, Method::GET, &event_path)).await.status, 403);
    // A key that may read events finds the payload by the row's event_id.
    let events = app.key("webhooks:read,events:read", None).await;
    let detail = send(app.request_as(&events, Method::GET, &path)).await.attributes();
    let event_path = format!("/v1/events/{}", detail["event_id"].as_str().unwrap());
    let event = send(app.request_as(&events, Method::GET, &event_path)).await.attributes();
    assert_eq!(event["payload"], json!({ "card": "4111" }));
}
