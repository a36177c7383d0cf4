//! Sessions of people who have signed in.
//!
//! The token is in the browser's cookie and nowhere else: storage has its hash. The token that protects
//! against requests made by other sites is derived from it, so that it needs no keeping either.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::access::key::SecretHash;
use crate::domain::{SessionId, Timestamp, User};

/// How long a session lasts that nobody uses, in milliseconds: 12 hours.
pub const IDLE_MS: i64 = 12 * 3_600_000;
/// How long a session lasts at most, in milliseconds: 7 days.
pub const LONGEST_MS: i64 = 7 * 86_400_000;
/// How long a set-up link works, in milliseconds: 30 minutes.
pub const SETUP_MS: i64 = 30 * 60_000;
/// Bytes of randomness in a token.
pub const TOKEN_BYTES: usize = 32;
/// The most characters that are kept of what a browser calls itself.
pub const USER_AGENT_MAX_CHARS: usize = 300;

/// A session as storage has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    /// Who has signed in, as they are now.
    pub user: User,
    pub token_hash: SecretHash,
    /// Where the sign-in came from.
    pub address: Option<String>,
    /// What the browser called itself then.
    pub user_agent: Option<String>,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
}

impl Session {
    /// When it ends unless it is used.
    pub fn expires_at(&self) -> Timestamp {
        self.last_seen_at.plus_ms(IDLE_MS).min(self.created_at.plus_ms(LONGEST_MS))
    }

    /// Whether it opens anything at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }
}

/// The secret of a session or of a set-up link: lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

impl SessionToken {
    /// From random bytes.
    pub fn from_bytes(bytes: [u8; TOKEN_BYTES]) -> SessionToken {
        SessionToken(hex::encode(bytes))
    }

    /// Reads one; `None` when the text does not have the form of one.
    pub fn parse(text: &str) -> Option<SessionToken> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 2 * TOKEN_BYTES && text.bytes().all(digit)).then(|| SessionToken(text.to_owned()))
    }

    /// As the cookie and the link carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What storage knows it by.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// What `X-CSRF-Token` has to say with this session.
    pub fn csrf(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("any length is a key");
        mac.update(b"postrider/csrf/v1");
        hex::encode(mac.finalize().into_bytes())
    }

    /// Whether `given` is that, in a time that does not depend on where they differ.
    pub fn csrf_matches(&self, given: &str) -> bool {
        self.csrf().as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// Never shows the token.
impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Role, UserId};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_after_a_week_in_any_case() {
        let user = User {
            id: UserId::new(at(0)),
            email: "a@b".into(),
            role: Role::Owner,
            created_at: at(0),
            last_sign_in_at: None,
        };
        let token = SessionToken::from_bytes([1; 32]);
        let mut session = Session {
            id: SessionId::new(at(0)),
            user,
            token_hash: token.hash(),
            address: None,
            user_agent: None,
            created_at: at(0),
            last_seen_at: at(0),
        };
        assert!(session.is_valid_at(at(IDLE_MS - 1)) && !session.is_valid_at(at(IDLE_MS)));
        session.last_seen_at = at(LONGEST_MS - 5);
        assert!(session.is_valid_at(at(LONGEST_MS - 1)) && !session.is_valid_at(at(LONGEST_MS)));
    }

    #[test]
    fn a_token_reads_back_and_shows_itself_nowhere() {
        let token = SessionToken::from_bytes([0xab; 32]);
        assert_eq!(SessionToken::parse(token.as_str()), Some(token.clone()));
        assert!(!format!("{token:?}").contains("ab"));
        for text in ["", "ab", &"AB".repeat(32), &"ag".repeat(32), &"ab".repeat(33)] {
            assert_eq!(SessionToken::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_other_token_belongs_to_one_session() {
        let (one, other) = (SessionToken::from_bytes([1; 32]), SessionToken::from_bytes([2; 32]));
        assert!(one.csrf_matches(&one.csrf()) && !one.csrf_matches(&other.csrf()) && !one.csrf_matches(""));
        assert!(!one.csrf().contains(one.as_str()));
    }
}
