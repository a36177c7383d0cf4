//! What an endpoint's settings come to when a request is made: its URL taken apart, its secrets opened, its own
//! headers checked.
//!
//! None of it differs from one request to the next. So it is worked out once for an endpoint as it is stored,
//! and kept until it is stored otherwise. That took 22,000 instructions of each delivery (callgrind).
//! What has been opened is in memory no longer than the key that opens it.
//!
//! Whether a request may go there is not kept: the guard judges that each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use url::Url;

use crate::domain::{Endpoint, EndpointId, SigningSecret, Timestamp, endpoint};
use crate::host::vault::Vault;

use crate::delivery::sending::headers;
use crate::delivery::sending::headers::{PrepareError, SigningHeaders};

/// Endpoints that are kept. When there are more, all are forgotten.
const KEPT: usize = 1_000;

/// Where a request goes, in the forms in which those on its way want it.
pub struct Destination {
    pub url: Url,
    /// `None`: HTTP cannot express it.
    pub uri: Option<Uri>,
    /// `host` or `host:port`.
    pub authority: String,
}

impl From<Url> for Destination {
    fn from(url: Url) -> Destination {
        Destination { uri: url.as_str().parse().ok(), authority: headers::authority(&url), url }
    }
}

/// An endpoint, ready to be sent to.
pub struct Recipient {
    pub destination: Destination,
    /// Newest first, each with when it ends to sign.
    secrets: Vec<(SigningSecret, Option<Timestamp>)>,
    /// The endpoint's own headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Recipient {
    /// Works it out. Secrets that have ended to sign before `at` are left closed.
    pub fn new(
        endpoint: &Endpoint,
        at: Timestamp,
        vault: &Vault,
        signing: &SigningHeaders,
    ) -> Result<Recipient, PrepareError> {
        let url = endpoint::parse_url(&endpoint.settings.url).map_err(PrepareError::Url)?;
        let retired = endpoint.retired_secrets.iter().filter(|retired| retired.valid_until > at);
        let sealed = retired.map(|retired| (&retired.secret, Some(retired.valid_until)));
        let secrets = std::iter::once((&endpoint.secret, None))
            .chain(sealed)
            .map(|(sealed, until)| Ok((vault.open_signing_secret(endpoint.id, sealed)?, until)))
            .collect::<Result<_, PrepareError>>()?;
        Ok(Recipient { destination: url.into(), secrets, headers: signing.own(endpoint, vault)? })
    }

    /// The secrets that sign at this moment, newest first. There is always one.
    pub fn secrets(&self, at: Timestamp) -> impl Iterator<Item = &SigningSecret> + Clone {
        let valid = move |(_, until): &&(_, Option<Timestamp>)| until.is_none_or(|until| until > at);
        self.secrets.iter().filter(valid).map(|(secret, _)| secret)
    }
}

/// An endpoint, and what its settings come to.
type Known = (Arc<Endpoint>, Arc<Recipient>);

/// Those that were sent to lately.
pub(crate) struct Recipients {
    vault: Arc<Vault>,
    signing: SigningHeaders,
    kept: Mutex<HashMap<EndpointId, Known>>,
}

impl Recipients {
    pub(crate) fn new(vault: Arc<Vault>, signing: SigningHeaders) -> Recipients {
        Recipients { vault, signing, kept: Mutex::default() }
    }

    /// The endpoint, ready to be sent to at this moment.
    pub(crate) fn get(
        &self,
        endpoint: &Arc<Endpoint>,
        at: Timestamp,
    ) -> Result<Arc<Recipient>, PrepareError> {
        if let Some(recipient) = self.find(endpoint) {
            return Ok(recipient);
        }
        let recipient = Arc::new(Recipient::new(endpoint, at, &self.vault, &self.signing)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(endpoint.id, (endpoint.clone(), recipient.clone()));
        Ok(recipient)
    }

    fn find(&self, endpoint: &Arc<Endpoint>) -> Option<Arc<Recipient>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, recipient) = kept.get(&endpoint.id)?;
        (Arc::ptr_eq(known, endpoint) || known == endpoint).then(|| recipient.clone())
    }

    /// The configured names of the plain HMAC headers.
    pub(crate) fn signing(&self) -> &SigningHeaders {
        &self.signing
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
        (Recipients::new(vault, SigningHeaders::new(&[]).unwrap()), endpoint, secret)
    }

    #[test]
    fn an_endpoint_that_was_changed_is_worked_out_anew() {
        let (recipients, mut endpoint, secret) = world();
        let first = recipients.get(&Arc::new(endpoint.clone()), at()).unwrap();
        let same = recipients.get(&Arc::new(endpoint.clone()), at()).unwrap();
        assert!(Arc::ptr_eq(&first, &same), "one that is read once more is the same");
        let other = sealed(&mut endpoint, &recipients.vault, 2);
        endpoint.settings.url = "https://other.example/".to_owned();
        let second = recipients.get(&Arc::new(endpoint), at()).unwrap();
        assert_eq!(second.destination.authority, "other.example");
        assert!(second.secrets(at()).eq([&other]) && first.secrets(at()).eq([&secret]));
    }

    #[test]
    fn a_retired_secret_signs_until_its_end_although_it_is_kept() {
        let (recipients, mut endpoint, secret) = world();
        let old = SigningSecret::from_key(&[3; 32]);
        let sealed = recipients.vault.seal_signing_secret(endpoint.id, &old);
        endpoint.retired_secrets = vec![RetiredSecret { secret: sealed, valid_until: at().plus_ms(1) }];
        let recipient = recipients.get(&Arc::new(endpoint), at()).unwrap();
        assert!(recipient.secrets(at()).eq([&secret, &old]));
        assert!(recipient.secrets(at().plus_ms(1)).eq([&secret]));
    }

    #[test]
    fn many_endpoints_take_bounded_room() {
        let (recipients, first, _) = world();
        for _ in 0..=KEPT {
            let mut endpoint = Endpoint::sample(first.app_id, at());
            sealed(&mut endpoint, &recipients.vault, 1);
            recipients.get(&Arc::new(endpoint), at()).unwrap();
        }
        assert!(recipients.kept.lock().unwrap().len() <= KEPT);
    }
}
