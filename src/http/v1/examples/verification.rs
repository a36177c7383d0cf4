//! Examples of verification. The code is the shortest there is; a real answer has more of it.

use serde_json::{Value, json};

use super::{EVENT, WEBHOOK, one};

/// What an operation is sent and what it answers.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    Some(match operation {
        "get_verification" => (Value::Null, one(verification())),
        "verify_signature" => (seen(), one(result())),
        _ => return None,
    })
}

fn verification() -> Value {
    let standard = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    json!({
        "type": "webhook_verification",
        "id": WEBHOOK,
        "attributes": {
            "scheme": "standard_webhooks",
            "headers": ["webhook-id", "webhook-timestamp", "webhook-signature", "X-Webhook-Signature"],
            "tolerance_seconds": 300,
            "secret_variable": "WEBHOOK_SECRET",
            "schemes": [
                {
                    "name": "standard_webhooks",
                    "headers": standard,
                    "content": "{webhook-id}.{webhook-timestamp}.{body}",
                    "key": "the base64 part of the secret, after whsec_, decoded",
                    "format": "v1,<base64>; several, separated by spaces, while a rotation overlaps",
                },
                {
                    "name": "hmac_sha256",
                    "headers": ["X-Webhook-Signature"],
                    "content": "{body}",
                    "key": "the whole secret, whsec_ included",
                    "format": "sha256=<hexadecimal digits>, of the newest secret only",
                },
            ],
            "encryption": null,
            "notes": ["Verify the bytes of the body as they arrive, before anything parses them."],
            "snippets": [{
                "language": "python",
                "title": "Verify X-Webhook-Signature (HMAC over the body)",
                "code": include_str!("../../../../assets/snippets/python/plain.py"),
            }],
        },
    })
}

fn seen() -> Value {
    json!({
        "headers": {
            "webhook-id": EVENT,
            "webhook-timestamp": "1777612478",
            "webhook-signature": "v1,uUHjfn2cYT0RrNqWYm0r6q2dQz0Nw2pGQ7tG1oTfE1A=",
        },
        "body": "{\"seats\":5,\"license\":\"L-1\"}",
        "received_at": "2026-05-01T05:14:38Z",
    })
}

fn result() -> Value {
    let detail = "The body is the same JSON in other bytes (27 bytes were sent, 27 arrived): it was parsed and \
                  re-serialized. Verify the raw bytes before parsing the body.";
    json!({
        "type": "webhook_verification_result",
        "id": WEBHOOK,
        "attributes": {
            "valid": false,
            "scheme": "standard_webhooks",
            "reason": "body_reserialised",
            "detail": detail,
            "tolerance_seconds": 300,
            "checks": [{
                "scheme": "standard_webhooks",
                "header": "webhook-signature",
                "valid": false,
                "reason": "body_reserialised",
                "detail": detail,
            }],
        },
    })
}
