//! Encryption at rest of signing secrets and secret header values.
//!
//! XChaCha20-Poly1305 with a random nonce before each ciphertext. Every value is bound to its *place* (the
//! endpoint and the field), so that a value copied to another row of the database does not decrypt. The key
//! is derived from the configured `encryption_key`, or from the key file in the data directory, by HKDF-
//! SHA256.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::domain::alert::AlertTarget;
use crate::domain::endpoint::{Endpoint, HeaderValue};
use crate::domain::inbound::source::Source;
use crate::domain::{AlertTargetId, EndpointId, Sealed, SigningSecret, SourceId};

const NONCE_BYTES: usize = 24;
const KEY_INFO: &[u8] = b"postrider/vault/v1";
/// Place and content of the check value.
const CHECK_PLACE: &str = "key check";
const CHECK_TEXT: &[u8] = b"postrider";
const CURSOR_KEY_INFO: &[u8] = b"postrider/cursors/v1";

/// Seals and opens.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    /// Decrypts values of the previous key during a rotation.
    previous: Option<XChaCha20Poly1305>,
    cursor_key: [u8; 32],
}

/// A value that does not decrypt: it was encrypted with another key, belongs to another place, or is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an encrypted value ({place}) cannot be decrypted: check that encryption_key or the key file is the one it was written with"
)]
pub struct CannotOpen {
    place: String,
}

/// What a database shows about the key that it was written with.
#[derive(Debug, Clone, Default)]
pub struct KeyEvidence {
    /// The check value, once there is one: it alone decides.
    pub check: Option<Sealed>,
    /// Sealed signing secrets of endpoints, in databases of earlier versions.
    pub signing_secrets: Vec<(EndpointId, Sealed)>,
    /// Sealed URLs of alert targets, likewise.
    pub alert_urls: Vec<(AlertTargetId, Sealed)>,
}

impl Vault {
    /// A vault whose key is derived from `secret` (the configured key, or the key file's content).
    pub fn new(secret: &[u8]) -> Vault {
        Vault { cipher: cipher(secret), previous: None, cursor_key: derived(secret, CURSOR_KEY_INFO) }
    }

    /// The vault of a key file: the first line encrypts and decrypts; a second line, present during a
    /// rotation, decrypts values of the previous key.
    pub fn of_key_file(text: &str) -> Vault {
        let mut lines = text.lines().map(str::as_bytes);
        let vault = Vault::new(lines.next().unwrap_or_default());
        Vault { previous: lines.next().map(cipher), ..vault }
    }

    /// Seals with one key and opens with that and another one: for changing the key.
    pub fn with_previous(secret: &[u8], previous: &[u8]) -> Vault {
        Vault { previous: Some(cipher(previous)), ..Vault::new(secret) }
    }

    /// The key that cursors of lists are signed with: the same after a restart.
    pub fn cursor_key(&self) -> [u8; 32] {
        self.cursor_key
    }

    /// A new check value.
    pub fn seal_key_check(&self) -> Sealed {
        self.seal(CHECK_PLACE, CHECK_TEXT)
    }

    /// Whether this is the key of a database. A database without any secret was written with no key yet.
    pub fn opens(&self, evidence: &KeyEvidence) -> bool {
        if let Some(check) = &evidence.check {
            return self.open(CHECK_PLACE, check).is_ok_and(|text| text == CHECK_TEXT);
        }
        evidence.signing_secrets.iter().all(|(id, sealed)| self.open_signing_secret(*id, sealed).is_ok())
            && evidence.alert_urls.iter().all(|(id, sealed)| self.open_alert(*id, "url", sealed).is_ok())
    }

    /// Encrypts all secrets of an endpoint again, with the current key.
    pub fn reseal(&self, endpoint: &mut Endpoint) -> Result<(), CannotOpen> {
        let id = endpoint.id;
        let reseal = |place: &str, sealed: &mut Sealed| {
            *sealed = self.seal(place, &self.open(place, sealed)?);
            Ok(())
        };
        reseal(&signing_place(id), &mut endpoint.secret)?;
        for retired in &mut endpoint.retired_secrets {
            reseal(&signing_place(id), &mut retired.secret)?;
        }
        for header in &mut endpoint.settings.headers {
            if let HeaderValue::Secret(sealed) = &mut header.value {
                reseal(&header_place(id, &header.name), sealed)?;
            }
        }
        for secret in &mut endpoint.settings.secrets {
            reseal(&template_place(id, &secret.name), &mut secret.sealed)?;
        }
        Ok(())
    }

    /// The same for a target of alerts.
    pub fn reseal_alert(&self, target: &mut AlertTarget) -> Result<(), CannotOpen> {
        let id = target.id;
        let reseal = |field: &str, sealed: &mut Sealed| {
            let place = alert_place(id, field);
            *sealed = self.seal(&place, &self.open(&place, sealed)?);
            Ok(())
        };
        reseal("url", &mut target.url)?;
        target.token.as_mut().map_or(Ok(()), |token| reseal("token", token))
    }

    /// The same for a source.
    pub fn reseal_source(&self, source: &mut Source) -> Result<(), CannotOpen> {
        let id = source.id;
        for (field, sealed) in [("token", &mut source.token), ("guard", &mut source.guard)] {
            let place = source_place(id, field);
            *sealed = self.seal(&place, &self.open(&place, sealed)?);
        }
        Ok(())
    }

    /// Seals a secret of a source: its `token` or its `guard`.
    pub fn seal_source(&self, source: SourceId, field: &str, value: &str) -> Sealed {
        self.seal(&source_place(source, field), value.as_bytes())
    }

    /// Opens a secret of a source.
    pub fn open_source(&self, source: SourceId, field: &str, sealed: &Sealed) -> Result<String, CannotOpen> {
        let place = source_place(source, field);
        let value = self.open(&place, sealed)?;
        String::from_utf8(value).map_err(|_| CannotOpen { place })
    }

    /// Seals an endpoint's signing secret.
    pub fn seal_signing_secret(&self, endpoint: EndpointId, secret: &SigningSecret) -> Sealed {
        self.seal(&signing_place(endpoint), secret.key())
    }

    /// Opens an endpoint's signing secret.
    pub fn open_signing_secret(
        &self,
        endpoint: EndpointId,
        sealed: &Sealed,
    ) -> Result<SigningSecret, CannotOpen> {
        self.open(&signing_place(endpoint), sealed).map(|key| SigningSecret::from_key(&key))
    }

    /// Seals the value of an endpoint's secret header.
    pub fn seal_header(&self, endpoint: EndpointId, name: &str, value: &str) -> Sealed {
        self.seal(&header_place(endpoint, name), value.as_bytes())
    }

    /// Opens the value of an endpoint's secret header.
    pub fn open_header(
        &self,
        endpoint: EndpointId,
        name: &str,
        sealed: &Sealed,
    ) -> Result<String, CannotOpen> {
        let place = header_place(endpoint, name);
        let value = self.open(&place, sealed)?;
        String::from_utf8(value).map_err(|_| CannotOpen { place })
    }

    /// Seals a secret that the templates of an endpoint's request use.
    pub fn seal_template(&self, endpoint: EndpointId, name: &str, value: &str) -> Sealed {
        self.seal(&template_place(endpoint, name), value.as_bytes())
    }

    /// Opens a secret that the templates of an endpoint's request use.
    pub fn open_template(
        &self,
        endpoint: EndpointId,
        name: &str,
        sealed: &Sealed,
    ) -> Result<String, CannotOpen> {
        let place = template_place(endpoint, name);
        let value = self.open(&place, sealed)?;
        String::from_utf8(value).map_err(|_| CannotOpen { place })
    }

    /// Seals a secret of a target of alerts: its `url` or its `token`.
    pub fn seal_alert(&self, target: AlertTargetId, field: &str, value: &str) -> Sealed {
        self.seal(&alert_place(target, field), value.as_bytes())
    }

    /// Opens a secret of a target of alerts.
    pub fn open_alert(
        &self,
        target: AlertTargetId,
        field: &str,
        sealed: &Sealed,
    ) -> Result<String, CannotOpen> {
        let place = alert_place(target, field);
        let value = self.open(&place, sealed)?;
        String::from_utf8(value).map_err(|_| CannotOpen { place })
    }

    fn seal(&self, place: &str, plain: &[u8]) -> Sealed {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the operating system gives randomness");
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("encryption fails only for messages of many gigabytes");
        Sealed([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, place: &str, sealed: &Sealed) -> Result<Vec<u8>, CannotOpen> {
        let failed = || CannotOpen { place: place.to_owned() };
        let (nonce, body) = sealed.0.split_at_checked(NONCE_BYTES).ok_or_else(failed)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| failed())?;
        let try_with = |cipher: &XChaCha20Poly1305| {
            let payload = Payload { msg: body, aad: place.as_bytes() };
            cipher.decrypt(&XNonce::from(nonce), payload).ok()
        };
        try_with(&self.cipher).or_else(|| self.previous.as_ref().and_then(try_with)).ok_or_else(failed)
    }
}

fn cipher(secret: &[u8]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&derived(secret, KEY_INFO).into())
}

fn derived(secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0u8; 32];
    Hkdf::<Sha256>::new(None, secret)
        .expand(info, &mut key)
        .expect("32 bytes is a length that HKDF-SHA256 can give");
    key
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

fn source_place(id: SourceId, field: &str) -> String {
    format!("source {id} {field}")
}

fn alert_place(target: AlertTargetId, field: &str) -> String {
    format!("alert target {target}, {field}")
}

fn signing_place(endpoint: EndpointId) -> String {
    format!("endpoint {endpoint}, signing secret")
}

fn header_place(endpoint: EndpointId, name: &str) -> String {
    format!("endpoint {endpoint}, header {}", name.to_ascii_lowercase())
}

fn template_place(endpoint: EndpointId, name: &str) -> String {
    format!("endpoint {endpoint}, secret {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn endpoint() -> EndpointId {
        EndpointId::new(Timestamp::from_millis(0))
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_with_its_key() {
        let vault = Vault::new(b"key");
        let (here, elsewhere) = (endpoint(), endpoint());
        let sealed = vault.seal_header(here, "Authorization", "Bearer x");
        assert_eq!(vault.open_header(here, "authorization", &sealed).unwrap(), "Bearer x");
        assert!(vault.open_header(elsewhere, "authorization", &sealed).is_err());
        assert!(vault.open_template(here, "authorization", &sealed).is_err());
        assert!(vault.open_header(here, "x-other", &sealed).is_err());
        assert!(Vault::new(b"other").open_header(here, "authorization", &sealed).is_err());
    }

    #[test]
    fn a_key_file_with_two_lines_opens_with_both_and_seals_with_the_first() {
        let (old, new, both) =
            (Vault::of_key_file("old"), Vault::of_key_file("new"), Vault::of_key_file("new\nold"));
        let here = endpoint();
        let sealed = old.seal_header(here, "a", "value");
        assert!(new.open_header(here, "a", &sealed).is_err());
        assert_eq!(both.open_header(here, "a", &sealed).unwrap(), "value");
        let sealed = both.seal_header(here, "a", "value");
        assert!(old.open_header(here, "a", &sealed).is_err());
        assert_eq!(new.open_header(here, "a", &sealed).unwrap(), "value");
        assert_eq!(Vault::new(b"new").open_header(here, "a", &sealed).unwrap(), "value");
    }

    #[test]
    fn the_check_value_or_else_every_secret_proves_the_key() {
        let (old, new) = (Vault::new(b"old"), Vault::new(b"new"));
        let both = Vault::of_key_file("new\nold");
        assert!(new.opens(&KeyEvidence::default()), "nothing is encrypted yet");
        let checked = KeyEvidence { check: Some(old.seal_key_check()), ..KeyEvidence::default() };
        assert!(old.opens(&checked) && both.opens(&checked) && !new.opens(&checked));
        let (here, secret) = (endpoint(), SigningSecret::from_key(&[1; 32]));
        let sealed = |vault: &Vault| (here, vault.seal_signing_secret(here, &secret));
        let mixed =
            KeyEvidence { signing_secrets: vec![sealed(&old), sealed(&new)], ..KeyEvidence::default() };
        assert!(!old.opens(&mixed) && !new.opens(&mixed) && both.opens(&mixed));
    }

    #[test]
    fn damaged_values_do_not_open() {
        let vault = Vault::new(b"key");
        let here = endpoint();
        let secret = SigningSecret::from_key(&[1; 32]);
        let sealed = vault.seal_signing_secret(here, &secret);
        assert_eq!(vault.open_signing_secret(here, &sealed).unwrap(), secret);
        for i in 0..sealed.0.len() {
            let mut bent = sealed.clone();
            bent.0[i] ^= 1;
            assert!(vault.open_signing_secret(here, &bent).is_err(), "byte {i}");
        }
        assert!(vault.open_signing_secret(here, &Sealed(vec![0; 5])).is_err());
    }

    #[test]
    fn a_sealed_value_does_not_contain_the_plain_text() {
        let sealed = Vault::new(b"key").seal_header(endpoint(), "a", "a-known-secret-value");
        assert!(!sealed.0.windows(7).any(|w| w == b"a-known"));
    }
}
