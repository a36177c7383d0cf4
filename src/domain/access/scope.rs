//! What a key may do. The table is section 3 of the contract.

use std::fmt;

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// List and read endpoints, statistics, health, the delivery log; send a test.
    WebhooksRead,
    /// Create, change, delete, pause and rotate endpoints; retry and recover deliveries.
    WebhooksWrite,
    /// See signing secrets after creation (`/api/v0` reads).
    WebhooksSecrets,
    /// Post events.
    EventsWrite,
    /// Read events with their payloads.
    EventsRead,
    /// Everything, in every app.
    Admin,
}

impl Scope {
    /// All of them, in the order they are shown.
    pub const ALL: [Scope; 6] = [
        Scope::WebhooksRead,
        Scope::WebhooksWrite,
        Scope::WebhooksSecrets,
        Scope::EventsWrite,
        Scope::EventsRead,
        Scope::Admin,
    ];

    /// The name in the API, on the command line and in storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::WebhooksRead => "webhooks:read",
            Scope::WebhooksWrite => "webhooks:write",
            Scope::WebhooksSecrets => "webhooks:secrets",
            Scope::EventsWrite => "events:write",
            Scope::EventsRead => "events:read",
            Scope::Admin => "admin",
        }
    }

    /// Reads a scope's name; Devdraft's spelling is taken as the scope it means.
    pub fn parse(text: &str) -> Option<Scope> {
        match text {
            "webhook:read" => Some(Scope::WebhooksRead),
            "webhook:create" | "webhook:update" | "webhook:delete" => Some(Scope::WebhooksWrite),
            _ => Scope::ALL.into_iter().find(|s| s.as_str() == text),
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
        Scope::ALL.into_iter().filter(move |s| self.0 & s.bit() != 0)
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
        for a in Scope::ALL {
            for b in Scope::ALL {
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
        let all: Scopes = Scope::ALL.into_iter().collect();
        assert_eq!(Scopes::parse_list(&all.to_string()), Ok(all));
    }
}
