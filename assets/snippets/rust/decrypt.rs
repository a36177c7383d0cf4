// [dependencies] aes-gcm = "0.11", base64 = "0.22", hkdf = "0.13", sha2 = "0.11"
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;

/// The payload, or `None` if it was not encrypted with this secret. Verify the signature first: it is
/// over the body as it came.
pub fn decrypt(body: &str) -> Option<Vec<u8>> {
    let secret = std::env::var("WEBHOOK_SECRET").ok()?;
    let secret = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, &secret).expand(b"postrider/jwe/v1", &mut key).ok()?;
    let parts: Vec<&str> = body.split('.').collect();
    let [header, _, iv, ciphertext, tag] = parts[..] else { return None };
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let iv: [u8; 12] = bytes(iv)?.try_into().ok()?;
    let sealed = [bytes(ciphertext)?, bytes(tag)?].concat();
    let payload = Payload { msg: &sealed, aad: header.as_bytes() };
    Aes256Gcm::new(&key.into()).decrypt(&Nonce::from(iv), payload).ok()
}
