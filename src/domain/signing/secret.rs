//! Signing secrets in clear, and values that are encrypted at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of randomness in a signing secret (Standard Webhooks asks for 24 to 64).
pub const SIGNING_SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// `whsec_` and the base64 of the key, as Standard Webhooks writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    text: String,
    key: Vec<u8>,
}

impl SigningSecret {
    /// From the key's bytes.
    pub fn from_key(key: &[u8]) -> SigningSecret {
        SigningSecret { text: format!("{PREFIX}{}", STANDARD.encode(key)), key: key.to_vec() }
    }

    /// Reads `whsec_…`.
    pub fn parse(text: &str) -> Option<SigningSecret> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        Some(SigningSecret { text: text.to_owned(), key })
    }

    /// The whole string, which is the key of the plain HMAC headers.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The decoded bytes, which are the key of `webhook-signature`.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Never shows the secret.
impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// An encrypted value, as storage has it; only the vault can open it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_does_not_show_itself() {
        let secret = SigningSecret::from_key(&[7; SIGNING_SECRET_BYTES]);
        assert_eq!(SigningSecret::parse(secret.as_str()), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&secret.as_str()[PREFIX.len()..]));
    }
}
