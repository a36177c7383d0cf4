//! Signatures over request bodies.
//!
//! There are two kinds. [`standard`] is Standard Webhooks 1.0 (standardwebhooks.com): it covers id, timestamp
//! and body, so a copied request is useless after some minutes, and during a rotation it has one signature
//! for each valid secret. [`plain`] is the simple form that many receivers support: HMAC over the body alone.
//!
//! The two use different keys: `standard` the decoded bytes, `plain` the whole string `whsec_…` as it was
//! shown. The contract requires this (section 7); it must not be unified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::SigningSecret;

/// The value of `webhook-signature`: for each secret `v1,` and the base64 of HMAC-SHA256 over
/// `id.timestamp.body`, separated by spaces. `timestamp` is in seconds since 1970. Receivers accept
/// any of them; the newest is first.
pub fn standard<'a>(
    secrets: impl IntoIterator<Item = &'a SigningSecret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let seconds = timestamp.to_string();
    // What one secret needs: a value that fills its memory becomes a header without a copy.
    let mut value = String::with_capacity(47);
    for secret in secrets {
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(standard_mac(secret, id, &seconds, body), &mut value);
    }
    value
}

/// The value of each header in `signing.headers`: `sha256=` and the hexadecimal HMAC-SHA256 over the
/// body, keyed with the whole secret string.
pub fn plain(secret: &SigningSecret, body: &[u8]) -> String {
    const NAME: &[u8] = b"sha256=";
    let mut value = vec![0; NAME.len() + 64];
    value[..NAME.len()].copy_from_slice(NAME);
    let mac = hmac_sha256(secret.as_str().as_bytes(), &[body]);
    hex::encode_to_slice(mac, &mut value[NAME.len()..]).expect("there is room for 32 bytes");
    String::from_utf8(value).expect("hexadecimal digits are ASCII")
}

/// The signature that [`standard`] encodes for this secret.
pub fn standard_mac(secret: &SigningSecret, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    hmac_sha256(secret.key(), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
}

/// Whether two signatures are equal. The comparison takes constant time.
pub fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Whether `signature` is the one that [`plain`] makes with this secret. The comparison takes
/// constant time.
pub fn is_plain(signature: &[u8], secret: &SigningSecret, body: &[u8]) -> bool {
    hmac_sha256(secret.as_str().as_bytes(), &[body]).ct_eq(signature).into()
}

/// HMAC-SHA256 (RFC 2104) over the parts, one after another.
fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

    fn secret() -> SigningSecret {
        SigningSecret::parse(SECRET).unwrap()
    }

    #[test]
    fn the_published_vector_of_standard_webhooks_matches() {
        let value = standard([&secret()], ID, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(value, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn several_secrets_sign_in_their_order() {
        let other = SigningSecret::from_key(&[9; 32]);
        let alone = |s| standard([s], ID, 1, b"{}");
        let both = standard([&other, &secret()], ID, 1, b"{}");
        assert_eq!(both, format!("{} {}", alone(&other), alone(&secret())));
        assert_eq!(standard([], ID, 1, b"{}"), "");
    }

    #[test]
    fn the_published_library_creates_the_same_signature() {
        let library = standardwebhooks::Webhook::new(SECRET).unwrap();
        proptest!(|(body in ".{0,200}", id in "evt_[0-9a-f]{32}", at in 0i64..4_000_000_000)| {
            let theirs = library.sign(&id, at, body.as_bytes()).unwrap();
            prop_assert_eq!(standard([&secret()], &id, at, body.as_bytes()), theirs);
        });
    }

    #[test]
    fn the_plain_signature_is_keyed_with_the_whole_string() {
        let body = br#"{"a":1}"#;
        let expected = hex::encode(hmac_sha256(SECRET.as_bytes(), &[body]));
        assert_eq!(plain(&secret(), body), format!("sha256={expected}"));
        assert_ne!(expected, hex::encode(hmac_sha256(secret().key(), &[body])));
    }

    /// RFC 4231, sections 4.2 to 4.8 (4.6, a shortened output, apart).
    #[test]
    fn the_vectors_of_rfc_4231_match() {
        let fifty = [0xdd; 50];
        let fifty_cd = [0xcd; 50];
        let counting: Vec<u8> = (1..=25).collect();
        let long_data = b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.";
        let cases: [(&[u8], &[u8], &str); 6] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &fifty, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (&counting, &fifty_cd, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (&[0xaa; 131], long_data, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        ];
        for (key, data, expected) in cases {
            assert_eq!(hex::encode(hmac_sha256(key, &[data])), expected);
            let (front, back) = data.split_at(data.len() / 2);
            assert_eq!(hex::encode(hmac_sha256(key, &[front, back])), expected, "in two parts");
        }
    }
}
