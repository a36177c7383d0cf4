//! People who sign in to the dashboard, and their roles (section 3 of the contract).

use crate::domain::values::words::words;
use crate::domain::{Scope, Scopes, Timestamp, UserId};

/// The shortest password that is taken, in characters.
pub const PASSWORD_MIN_CHARS: usize = 10;

words! {
    /// What a person may do; a greater role may do more.
    pub enum Role {
        /// Reads.
        Viewer = "viewer",
        /// Also changes endpoints, retries, exports and makes keys.
        Admin = "admin",
        /// Also manages users, apps, retention and backups.
        Owner = "owner",
    }
}

impl Role {
    /// What the role allows, in the words that keys use.
    pub fn scopes(self) -> Scopes {
        match self {
            Role::Viewer => [Scope::WebhooksRead, Scope::EventsRead].into_iter().collect(),
            Role::Admin => Scope::ALL.iter().copied().filter(|s| *s != Scope::Admin).collect(),
            Role::Owner => [Scope::Admin].into_iter().collect(),
        }
    }
}

/// A person. The password's hash stays in storage and is fetched only to check a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// Lower case, unique.
    pub email: String,
    pub role: Role,
    pub created_at: Timestamp,
    pub last_sign_in_at: Option<Timestamp>,
}

/// Brings an address to the one form it is stored and looked up in; `None` if it is none.
pub fn normal_email(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, host) = text.rsplit_once('@')?;
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    let ok = !local.is_empty() && !host.is_empty() && text.len() <= 254 && text.chars().all(plain);
    ok.then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_may_do_everything_and_a_viewer_only_read() {
        assert!(Scope::ALL.iter().copied().all(|s| Role::Owner.scopes().allows(s)));
        assert!(!Role::Admin.scopes().allows(Scope::Admin));
        assert!(Role::Admin.scopes().allows(Scope::WebhooksWrite));
        assert!(!Role::Viewer.scopes().allows(Scope::WebhooksWrite));
    }

    #[test]
    fn addresses_have_one_form() {
        assert_eq!(normal_email(" Ada@Example.COM "), Some("ada@example.com".to_owned()));
        for text in ["", "ada", "@example.com", "ada@", "a da@example.com"] {
            assert_eq!(normal_email(text), None, "{text}");
        }
    }
}
