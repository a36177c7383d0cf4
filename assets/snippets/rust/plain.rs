// [dependencies] hex = "0.4", hmac = "0.13", sha2 = "0.11"
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether a request is genuine. `header` gives the value of a header, as in
/// `|name| request.headers().get(name)?.to_str().ok()`; `body` holds the bytes as they came.
pub fn verify<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> bool {
    let checked = || {
        let given = hex::decode(header("x-webhook-signature")?.strip_prefix("sha256=")?).ok()?;
        let secret = std::env::var("WEBHOOK_SECRET").ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        mac.update(body);
        mac.verify_slice(&given).ok()
    };
    checked().is_some()
}
