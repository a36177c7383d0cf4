//! API keys: an id, a secret of which only a hash is kept, and what the pair allows.
//!
//! A key is presented as a token `<prefix>_<id>_<secret>`, or as `<prefix>_<id>` and `<secret>` in two
//! headers. Neither id nor secret contains an underscore, so a token is read from its right end and
//! the prefix may be anything.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::{AppId, Scopes, Timestamp};

/// Bytes of randomness in a key's secret.
pub const SECRET_BYTES: usize = 32;
/// Bytes of randomness in a key's id.
pub const ID_BYTES: usize = 8;

/// A key as storage has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Without the prefix.
    pub id: String,
    pub app_id: AppId,
    pub name: String,
    pub scopes: Scopes,
    pub secret_hash: SecretHash,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    /// Whether the key opens anything at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// SHA-256 of a secret. The secret has 256 random bits, so a slow hash would add nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of `secret`.
    pub fn of(secret: &str) -> SecretHash {
        SecretHash(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether `secret` is the one, in a time that does not depend on where they differ.
    pub fn matches(&self, secret: &str) -> bool {
        SecretHash::of(secret).0.ct_eq(&self.0).into()
    }
}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// What a client presented, taken apart; not yet checked against anything.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    pub id: String,
    pub secret: String,
}

impl Presented {
    /// Reads a token; `None` when it does not have the form of one.
    pub fn from_token(prefix: &str, token: &str) -> Option<Presented> {
        let rest = token.strip_prefix(prefix)?.strip_prefix('_')?;
        let (id, secret) = rest.split_once('_')?;
        Presented::new(id, secret)
    }

    /// Reads the pair of headers; `None` when they do not have the form of a pair.
    pub fn from_pair(prefix: &str, client_key: &str, client_secret: &str) -> Option<Presented> {
        let id = client_key.strip_prefix(prefix)?.strip_prefix('_')?;
        Presented::new(id, client_secret)
    }

    fn new(id: &str, secret: &str) -> Option<Presented> {
        let plain = |s: &str| (1..=128).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
        (plain(id) && plain(secret)).then(|| Presented { id: id.to_owned(), secret: secret.to_owned() })
    }
}

/// The public half, as a client sends it.
pub fn client_key(prefix: &str, id: &str) -> String {
    format!("{prefix}_{id}")
}

/// Both halves in one.
pub fn token(prefix: &str, id: &str, secret: &str) -> String {
    format!("{prefix}_{id}_{secret}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_a_pair_are_the_same_key() {
        for prefix in ["prk", "mxcep", "my_own"] {
            let token = token(prefix, "a1", "b2");
            let pair = Presented::from_pair(prefix, &client_key(prefix, "a1"), "b2");
            assert!(pair.is_some());
            assert!(Presented::from_token(prefix, &token) == pair);
        }
    }

    #[test]
    fn malformed_tokens_are_refused() {
        for token in
            ["", "prk", "prk_", "prk_a", "prk_a_", "prk__b", "xyz_a_b", "prk_a_b_c", "prk_a_b ", "prka_b"]
        {
            assert!(Presented::from_token("prk", token).is_none(), "{token}");
        }
    }

    #[test]
    fn a_hash_matches_its_secret_only() {
        let hash = SecretHash::of("secret");
        assert!(hash.matches("secret") && !hash.matches("Secret") && !hash.matches(""));
    }

    #[test]
    fn a_key_ends_when_it_expires_or_is_revoked() {
        let at = Timestamp::from_millis;
        let mut key = Key {
            id: "a".into(),
            app_id: AppId::new(at(0)),
            name: "n".into(),
            scopes: Scopes::NONE,
            secret_hash: SecretHash::of("s"),
            created_at: at(0),
            expires_at: Some(at(10)),
            revoked_at: None,
            last_used_at: None,
        };
        assert!(key.is_valid_at(at(9)) && !key.is_valid_at(at(10)));
        key.revoked_at = Some(at(5));
        assert!(!key.is_valid_at(at(9)));
    }
}
