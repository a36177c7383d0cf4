//! An endpoint's settings, prepared for sending: parsed URL, decrypted secrets, validated headers. Cached.
//!
//! The cache entry is replaced when the stored endpoint differs. Without the cache, preparing costs 22,000
//! instructions of each delivery (callgrind). Decrypted secrets stay in memory, as does the key that decrypts
//! them.
//!
//! Whether a request may go to the URL is not cached: the guard checks it before every attempt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{HeaderName, HeaderValue};

use crate::domain::endpoint::{EndpointHeader, SIGNING_SECRETS_MAX, check_header_name};
use crate::domain::shaping::origin_of;
use crate::domain::{Endpoint, EndpointId, SigningSecret, Timestamp, endpoint};
use crate::host::vault::Vault;

use crate::delivery::sending::destination::{Destination, PrepareError};
use crate::delivery::sending::render::Shaped;

/// The most endpoints in the cache. It is emptied when it is full.
const CACHE_LIMIT: usize = 1_000;

/// An endpoint's settings, prepared for sending.
pub struct Recipient {
    /// Of a shaped endpoint scheme, host and port only.
    pub destination: Destination,
    /// Newest first, each with the time when it stops signing.
    secrets: Vec<(SigningSecret, Option<Timestamp>)>,
    /// The endpoint's own headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `None`: a plain endpoint.
    pub shaped: Option<Box<Shaped>>,
}

impl Recipient {
    /// Prepares an endpoint. Secrets that have expired at `at` are not decrypted. `signing_headers` are the
    /// configured names of the plain HMAC headers: an endpoint's own header of such a name is left out.
    pub fn new(
        endpoint: &Endpoint,
        at: Timestamp,
        vault: &Vault,
        signing_headers: &[String],
    ) -> Result<Recipient, PrepareError> {
        let shaped = Shaped::of(endpoint, vault, signing_headers)?;
        let url = &endpoint.settings.url;
        let url = if shaped.is_some() { origin_of(url) } else { url };
        let url = endpoint::parse_url(url).map_err(PrepareError::Url)?;
        let retired = endpoint.retired_secrets.iter().filter(|retired| retired.valid_until > at);
        let sealed = retired.map(|retired| (&retired.secret, Some(retired.valid_until)));
        let sealed = sealed.take(SIGNING_SECRETS_MAX - 1);
        let secrets = std::iter::once((&endpoint.secret, None))
            .chain(sealed)
            .map(|(sealed, until)| Ok((vault.open_signing_secret(endpoint.id, sealed)?, until)))
            .collect::<Result<_, PrepareError>>()?;
        let headers = own_headers(endpoint, vault, signing_headers)?;
        Ok(Recipient { destination: url.into(), secrets, headers, shaped })
    }

    /// The secrets that sign at this moment, newest first; never empty.
    pub fn secrets(&self, at: Timestamp) -> impl Iterator<Item = &SigningSecret> + Clone {
        let valid = move |(_, until): &&(_, Option<Timestamp>)| until.is_none_or(|until| until > at);
        self.secrets.iter().filter(valid).map(|(secret, _)| secret)
    }
}

/// The endpoint's own headers. Names were checked when they were set; they are checked again, because the
/// configured names of signing headers may have changed since then.
fn own_headers(
    endpoint: &Endpoint,
    vault: &Vault,
    signing_headers: &[String],
) -> Result<Vec<(HeaderName, HeaderValue)>, PrepareError> {
    let own = endpoint.settings.headers.iter();
    own.filter(|header| check_header_name(&header.name, signing_headers).is_ok())
        .map(|header| own_header(endpoint.id, header, vault))
        .collect()
}

fn own_header(
    endpoint: EndpointId,
    header: &EndpointHeader,
    vault: &Vault,
) -> Result<(HeaderName, HeaderValue), PrepareError> {
    let cannot = || PrepareError::Header { name: header.name.clone() };
    let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| cannot())?;
    let value = match &header.value {
        endpoint::HeaderValue::Plain(value) => HeaderValue::from_str(value).map_err(|_| cannot())?,
        endpoint::HeaderValue::Secret(sealed) => {
            let opened = vault.open_header(endpoint, &header.name, sealed)?;
            let mut value = HeaderValue::from_str(&opened).map_err(|_| cannot())?;
            // Keeps it out of HPACK's tables and of debug output, and tells the log to mask it.
            value.set_sensitive(true);
            value
        }
    };
    Ok((name, value))
}

/// An endpoint as it was stored, and its prepared settings.
type CachedRecipient = (Arc<Endpoint>, Arc<Recipient>);

/// A cache of prepared endpoints.
pub(crate) struct Recipients {
    vault: Arc<Vault>,
    signing_headers: Vec<String>,
    cache: Mutex<HashMap<EndpointId, CachedRecipient>>,
}

impl Recipients {
    pub(crate) fn new(vault: Arc<Vault>, signing_headers: Vec<String>) -> Recipients {
        Recipients { vault, signing_headers, cache: Mutex::default() }
    }

    /// The endpoint, prepared for sending at this moment.
    pub(crate) fn get(
        &self,
        endpoint: &Arc<Endpoint>,
        at: Timestamp,
    ) -> Result<Arc<Recipient>, PrepareError> {
        if let Some(recipient) = self.find(endpoint) {
            return Ok(recipient);
        }
        let recipient = Arc::new(Recipient::new(endpoint, at, &self.vault, &self.signing_headers)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        cache.insert(endpoint.id, (endpoint.clone(), recipient.clone()));
        Ok(recipient)
    }

    fn find(&self, endpoint: &Arc<Endpoint>) -> Option<Arc<Recipient>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, recipient) = cache.get(&endpoint.id)?;
        (Arc::ptr_eq(known, endpoint) || known == endpoint).then(|| recipient.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AppId;
    use crate::domain::endpoint::RetiredSecret;

    fn at() -> Timestamp {
        Timestamp::from_millis(1_000)
    }

    fn sealed(endpoint: &mut Endpoint, vault: &Vault, key: u8) -> SigningSecret {
        let secret = SigningSecret::from_key(&[key; 32]);
        endpoint.secret = vault.seal_signing_secret(endpoint.id, &secret);
        secret
    }

    fn world() -> (Recipients, Endpoint, SigningSecret) {
        let vault = Arc::new(Vault::new(b"key"));
        let mut endpoint = Endpoint::sample(AppId::new(at()), at());
        let secret = sealed(&mut endpoint, &vault, 1);
        (Recipients::new(vault, vec![]), endpoint, secret)
    }

    #[test]
    fn a_changed_endpoint_is_prepared_again() {
        let (recipients, mut endpoint, secret) = world();
        let first = recipients.get(&Arc::new(endpoint.clone()), at()).unwrap();
        let same = recipients.get(&Arc::new(endpoint.clone()), at()).unwrap();
        assert!(Arc::ptr_eq(&first, &same), "an equal endpoint that was read again is a hit");
        let other = sealed(&mut endpoint, &recipients.vault, 2);
        endpoint.settings.url = "https://other.example/".to_owned();
        let second = recipients.get(&Arc::new(endpoint), at()).unwrap();
        assert_eq!(second.destination.authority, "other.example");
        assert!(second.secrets(at()).eq([&other]) && first.secrets(at()).eq([&secret]));
    }

    #[test]
    fn a_cached_retired_secret_signs_until_it_expires() {
        let (recipients, mut endpoint, secret) = world();
        let old = SigningSecret::from_key(&[3; 32]);
        let sealed = recipients.vault.seal_signing_secret(endpoint.id, &old);
        endpoint.retired_secrets = vec![RetiredSecret { secret: sealed, valid_until: at().plus_ms(1) }];
        let recipient = recipients.get(&Arc::new(endpoint), at()).unwrap();
        assert!(recipient.secrets(at()).eq([&secret, &old]));
        assert!(recipient.secrets(at().plus_ms(1)).eq([&secret]));
    }

    #[test]
    fn no_more_secrets_sign_than_may_however_many_are_stored() {
        let (recipients, mut endpoint, _) = world();
        let retired = |key: u8| RetiredSecret {
            secret: recipients.vault.seal_signing_secret(endpoint.id, &SigningSecret::from_key(&[key; 32])),
            valid_until: at().plus_ms(1),
        };
        endpoint.retired_secrets = (10..30).map(retired).collect();
        let recipient = recipients.get(&Arc::new(endpoint), at()).unwrap();
        assert_eq!(recipient.secrets(at()).count(), SIGNING_SECRETS_MAX);
    }

    #[test]
    fn the_cache_is_bounded() {
        let (recipients, first, _) = world();
        for _ in 0..=CACHE_LIMIT {
            let mut endpoint = Endpoint::sample(first.app_id, at());
            sealed(&mut endpoint, &recipients.vault, 1);
            recipients.get(&Arc::new(endpoint), at()).unwrap();
        }
        assert!(recipients.cache.lock().unwrap().len() <= CACHE_LIMIT);
    }
}
