//! Encrypted bodies: JWE in compact form (RFC 7516) with a key that sender and receiver derive.
//!
//! `alg` is `dir` (RFC 7518, section 4.5): the content is encrypted directly with the shared key, so the
//! second of the five parts is empty. `enc` is `A256GCM` (section 5.3). The key is HKDF-SHA256 (RFC 5869) of
//! the signing secret's decoded bytes, without salt, 32 bytes long, with the info `postrider/jwe/v1`; so the
//! key that signs never encrypts.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::domain::SigningSecret;

/// The media type of an encrypted body (RFC 7515, section 9.2.1).
pub const CONTENT_TYPE: &str = "application/jose";
const HEADER: &str = r#"{"alg":"dir","enc":"A256GCM"}"#;
const KEY_INFO: &[u8] = b"postrider/jwe/v1";
/// RFC 7518, section 5.3: a 96-bit initialization vector and a 128-bit tag.
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Encrypts a body with a random initialization vector, so two encryptions of one body differ.
pub fn encrypt(secret: &SigningSecret, body: &[u8]) -> String {
    let mut iv = [0u8; IV_BYTES];
    getrandom::fill(&mut iv).expect("the operating system gives randomness");
    encrypt_with(iv, secret, body)
}

/// Encrypts with a given initialization vector, which must never be used twice with one secret.
fn encrypt_with(iv: [u8; IV_BYTES], secret: &SigningSecret, body: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(HEADER);
    // RFC 7516, section 5.1, step 14: the encoded header is the additional authenticated data.
    let payload = Payload { msg: body, aad: header.as_bytes() };
    let sealed = Aes256Gcm::new(&content_key(secret).into())
        .encrypt(&Nonce::from(iv), payload)
        .expect("encryption fails only for messages of many gigabytes");
    let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG_BYTES);

    let mut jwe = String::with_capacity(header.len() + 4 + 16 + 22 + ciphertext.len().div_ceil(3) * 4);
    jwe.push_str(&header);
    jwe.push_str("..");
    URL_SAFE_NO_PAD.encode_string(iv, &mut jwe);
    jwe.push('.');
    URL_SAFE_NO_PAD.encode_string(ciphertext, &mut jwe);
    jwe.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut jwe);
    jwe
}

/// The content encryption key, as the receiver derives it.
fn content_key(secret: &SigningSecret) -> [u8; 32] {
    let mut key = [0u8; 32];
    Hkdf::<Sha256>::new(None, secret.key())
        .expand(KEY_INFO, &mut key)
        .expect("32 bytes is a length that HKDF-SHA256 can give");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, Mac as _};

    fn secret() -> SigningSecret {
        SigningSecret::from_key(&[7; 32])
    }

    /// HKDF written out from HMAC (RFC 5869, sections 2.2 and 2.3), for one block of output.
    fn derive(ikm: &[u8]) -> [u8; 32] {
        let hmac = |key: &[u8], data: &[u8]| -> [u8; 32] {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(data);
            mac.finalize().into_bytes().into()
        };
        let prk = hmac(&[0; 32], ikm);
        hmac(&prk, b"postrider/jwe/v1\x01")
    }

    fn decrypt(secret: &SigningSecret, jwe: &str) -> Option<Vec<u8>> {
        let parts: Vec<&str> = jwe.split('.').collect();
        let [header, key, iv, ciphertext, tag] = parts[..] else { panic!("five parts: {jwe}") };
        assert_eq!(key, "", "dir has no encrypted key");
        let header_json: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!(header_json, serde_json::json!({"alg": "dir", "enc": "A256GCM"}));
        let iv: [u8; 12] = URL_SAFE_NO_PAD.decode(iv).unwrap().try_into().unwrap();
        let sealed =
            [URL_SAFE_NO_PAD.decode(ciphertext).unwrap(), URL_SAFE_NO_PAD.decode(tag).unwrap()].concat();
        Aes256Gcm::new(&derive(secret.key()).into())
            .decrypt(&Nonce::from(iv), Payload { msg: &sealed, aad: header.as_bytes() })
            .ok()
    }

    #[test]
    fn an_encrypted_body_decrypts_to_itself() {
        for body in [b"".as_slice(), b"{}", "{\"name\":\"Zoë\"}".as_bytes(), &[0xff; 5_000]] {
            assert_eq!(decrypt(&secret(), &encrypt(&secret(), body)).unwrap(), body);
        }
    }

    #[test]
    fn another_secret_or_a_changed_tag_does_not_decrypt() {
        let jwe = encrypt(&secret(), b"{\"a\":1}");
        assert!(decrypt(&SigningSecret::from_key(&[8; 32]), &jwe).is_none());
        let cut = jwe.rfind('.').unwrap() + 1;
        let tampered = format!("{}{}", &jwe[..cut], URL_SAFE_NO_PAD.encode([0; 16]));
        assert!(decrypt(&secret(), &tampered).is_none());
    }

    /// Made with another implementation (Python's cryptography, which is OpenSSL), for this secret, the
    /// initialization vector 00 01 … 0b, and the same key derivation.
    #[test]
    fn the_output_matches_another_implementation() {
        let iv = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            encrypt_with(iv, &secret(), br#"{"event":"license.assigned"}"#),
            "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAECAwQFBgcICQoL.sw3b85N1_bXS7gNwdG6zjbuNXRBQ_USia_8CJw.-XcCPjdHShgop_kYiNBNwQ"
        );
    }

    /// Made by jwcrypto 1.6.1, a JOSE library for Python, for this secret.
    #[test]
    fn the_output_of_a_jose_library_decrypts() {
        let jwe = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..sfREsVnsCLwuXCYE.\
                   ZIL4BWLVL2VpO_rKFjsfvquXqSH1WslpyeGy3ttPPUNXELRs6pyZSap3.aiOns-v0tXSvid7Cj2FL4A";
        let payload = "{\"event\":\"license.assigned\",\"name\":\"Zoë\"}";
        assert_eq!(decrypt(&secret(), jwe).unwrap(), payload.as_bytes());
    }

    #[test]
    fn two_encryptions_of_one_body_differ() {
        assert_ne!(encrypt(&secret(), b"{}"), encrypt(&secret(), b"{}"));
    }
}
