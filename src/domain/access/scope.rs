//! What a key may do. The table is section 3 of the contract.

use crate::domain::values::words::words;
use std::fmt;

words! {
    /// One permission. Devdraft's names of scopes are read as the scopes that they mean.
    pub enum Scope {
        /// List and read endpoints, statistics, health, the delivery log; send a test.
        WebhooksRead = "webhooks:read" | "webhook:read",
        /// Create, change, delete, pause and rotate endpoints; retry and recover deliveries.
        WebhooksWrite = "webhooks:write" | "webhook:create" | "webhook:update" | "webhook:delete",
        /// See signing secrets after creation (`/api/v0` reads).
        WebhooksSecrets = "webhooks:secrets",
        /// Post events.
        EventsWrite = "events:write",
        /// Read events with their payloads.
        EventsRead = "events:read",
        /// Everything, in every app.
        Admin = "admin",
    }
}

impl Scope {
    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// None at all.
    pub const NONE: Scopes = Scopes(0);

    /// Whether `scope` is allowed: it is in the set, or `admin` is.
    pub fn allows(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether every scope of `other` is allowed, so that it may be handed out.
    pub fn allows_all(self, other: Scopes) -> bool {
        other.iter().all(|s| self.allows(s))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes in the order they are shown.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |s| self.0 & s.bit() != 0)
    }

    /// Reads names separated by commas or spaces. The error is the first name that is no scope.
    pub fn parse_list(text: &str) -> Result<Scopes, String> {
        text.split([',', ' '])
            .filter(|name| !name.is_empty())
            .map(|name| Scope::parse(name).ok_or_else(|| name.to_owned()))
            .collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, s| bits | s.bit()))
    }
}

/// Names separated by commas, which [`Scopes::parse_list`] reads.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.iter().enumerate() {
            let sep = if i == 0 { "" } else { "," };
            write!(f, "{sep}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devdrafts_spelling_is_the_matching_scope() {
        let scopes = Scopes::parse_list("webhook:read,webhook:create,webhook:update,webhook:delete").unwrap();
        assert_eq!(scopes.to_string(), "webhooks:read,webhooks:write");
    }

    #[test]
    fn admin_allows_everything_and_others_only_themselves() {
        for a in Scope::ALL.iter().copied() {
            for b in Scope::ALL.iter().copied() {
                let set: Scopes = [a].into_iter().collect();
                assert_eq!(set.allows(b), a == b || a == Scope::Admin, "{a} {b}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_named() {
        assert_eq!(Scopes::parse_list("webhooks:read, events"), Err("events".to_owned()));
    }

    #[test]
    fn a_set_reads_back() {
        let all: Scopes = Scope::ALL.iter().copied().collect();
        assert_eq!(Scopes::parse_list(&all.to_string()), Ok(all));
    }
}
