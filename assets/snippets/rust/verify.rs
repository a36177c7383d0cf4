// [dependencies] base64 = "0.22", hmac = "0.13", sha2 = "0.11"
use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether a request is genuine. `header` gives the value of a header, as in
/// `|name| request.headers().get(name)?.to_str().ok()`; `body` holds the bytes as they came.
pub fn verify<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> bool {
    let checked = || {
        let secret = std::env::var("WEBHOOK_SECRET").ok()?;
        let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        if now.abs_diff(timestamp.parse().ok()?) > 300 {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        let given = header("webhook-signature")?.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let mut given = given.filter_map(|one| STANDARD.decode(one).ok());
        given.find(|one| mac.clone().verify_slice(one).is_ok())
    };
    checked().is_some()
}
