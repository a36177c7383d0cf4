//! What proves who sent a request. A source has up to four verifiers, and all of them must hold.
//!
//! Every comparison with a secret takes constant time, and of several secrets each is compared. A reason says what
//! was wrong for the owner of the source; it never holds a secret or an expected signature. The sender is not told.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::endpoint::HEADER_NAME_MAX;
use crate::domain::inbound::request::InboundRequest;
use crate::domain::signing::verification::STANDARD_HEADERS;
use crate::domain::{Span, Timestamp};

mod hmac;
pub mod input;
mod schemes;

/// The most verifiers of a source.
pub const VERIFIERS_MAX: usize = 4;
/// The most secrets of a verifier: the current one and its successor or predecessor.
pub const SECRETS_MAX: usize = 2;
/// The headers of senders that use Svix: the same signature under other names.
const SVIX_HEADERS: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];
const STRIPE_HEADER: &str = "Stripe-Signature";
const SLACK_HEADERS: [&str; 2] = ["X-Slack-Request-Timestamp", "X-Slack-Signature"];
const AUTHORIZATION: &str = "authorization";

/// A secret in clear, which does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    pub fn new(text: impl Into<String>) -> SecretText {
        SecretText(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A verifier with its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    pub check: Check,
    /// One, or two while it is rotated; none for [`Check::Address`] only.
    pub secrets: Vec<SecretText>,
    /// Whether the secrets were given as a list, which reads back as one.
    pub is_list: bool,
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A secret that is sent as it is.
    Token {
        place: TokenPlace,
        name: Option<String>,
        prefix: Option<String>,
    },
    /// `Authorization: Basic`.
    Basic {
        username: String,
    },
    /// An HMAC over the body, perhaps with other parts of the request.
    Hmac(HmacCheck),
    /// Standard Webhooks.
    Standard,
    Stripe,
    Slack,
    /// The address of the client.
    Address {
        networks: Vec<IpNet>,
    },
}

crate::domain::values::words::words! {
    /// Where a token is.
    pub enum TokenPlace {
        Header = "header",
        Query = "query",
        /// The password of `Authorization: Basic`, whatever the user name.
        BasicPassword = "basic_password",
    }
}

crate::domain::values::words::words! {
    /// The hash function of an HMAC.
    pub enum Algorithm {
        Sha256 = "sha256",
        Sha1 = "sha1",
        Sha512 = "sha512",
    }
}

crate::domain::values::words::words! {
    /// How a signature is written.
    pub enum Encoding {
        Hex = "hex",
        Base64 = "base64",
    }
}

crate::domain::values::words::words! {
    /// How the secret of an HMAC is written.
    pub enum KeyForm {
        Text = "text",
        Hex = "hex",
        Base64 = "base64",
    }
}

/// An HMAC, as many senders have their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacCheck {
    pub header: String,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub prefix: Option<String>,
    pub content: Content,
    pub key: KeyForm,
    /// The header with the time of the request.
    pub timestamp: Option<String>,
    pub tolerance: Span,
}

/// What a signature is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// As it was given.
    pub text: String,
    pub pieces: Vec<Piece>,
}

/// A piece of [`Content`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Body,
    Timestamp,
    Header(String),
    Url,
}

impl Verifier {
    /// The word for the kind.
    pub fn kind(&self) -> &'static str {
        match &self.check {
            Check::Token { .. } => "token",
            Check::Basic { .. } => "basic",
            Check::Hmac(_) => "hmac",
            Check::Standard => "standard",
            Check::Stripe => "stripe",
            Check::Slack => "slack",
            Check::Address { .. } => "address",
        }
    }

    /// Whether the request is by who knows the secret. The error is a reason, such as "hmac: X-Signature is missing".
    pub fn verify(&self, request: &InboundRequest, now: Timestamp) -> Result<(), String> {
        let holds = match &self.check {
            Check::Token { place, name, prefix } => {
                self.token(*place, name.as_deref().unwrap_or_default(), prefix.as_deref(), request)
            }
            Check::Basic { username } => self.basic(username, request),
            Check::Hmac(check) => hmac::verify(check, &self.secrets, request, now),
            Check::Standard => schemes::standard(&self.secrets, request, now),
            Check::Stripe => schemes::stripe(&self.secrets, request, now),
            Check::Slack => schemes::slack(&self.secrets, request, now),
            Check::Address { networks } => is_in(networks, request.client),
        };
        holds.map_err(|reason| format!("{}: {reason}", self.kind()))
    }

    /// The headers that it reads, which are not shown in the inbound log.
    pub fn headers(&self) -> Vec<&str> {
        match &self.check {
            Check::Token { place: TokenPlace::Header, name, .. } => name.iter().map(String::as_str).collect(),
            Check::Token { place: TokenPlace::BasicPassword, .. } | Check::Basic { .. } => {
                vec![AUTHORIZATION]
            }
            Check::Hmac(check) => check.headers(),
            Check::Standard => [STANDARD_HEADERS, SVIX_HEADERS].concat(),
            Check::Stripe => vec![STRIPE_HEADER],
            Check::Slack => SLACK_HEADERS.to_vec(),
            Check::Token { place: TokenPlace::Query, .. } | Check::Address { .. } => vec![],
        }
    }

    /// The query parameter that it reads.
    pub fn parameter(&self) -> Option<&str> {
        match &self.check {
            Check::Token { place: TokenPlace::Query, name, .. } => name.as_deref(),
            _ => None,
        }
    }

    fn token(
        &self,
        place: TokenPlace,
        name: &str,
        prefix: Option<&str>,
        request: &InboundRequest,
    ) -> Result<(), String> {
        let (what, found) = match place {
            TokenPlace::Header => (name, request.header(name).map(str::to_owned)),
            TokenPlace::Query => (name, request.parameter(name).map(str::to_owned)),
            TokenPlace::BasicPassword => ("Authorization", Some(credentials(request)?.1)),
        };
        let found = found.ok_or_else(|| match place {
            TokenPlace::Query => format!("the query parameter {what} is missing"),
            _ => format!("{what} is missing"),
        })?;
        let token = match prefix {
            Some(prefix) => after_prefix(&found, prefix)
                .ok_or_else(|| format!("{what} does not begin with {}", prefix.trim_end()))?,
            None => &found,
        };
        let is_known = any_secret(&self.secrets, |secret| is_equal(token.as_bytes(), secret.as_bytes()));
        if is_known { Ok(()) } else { Err(format!("{what} has another value")) }
    }

    fn basic(&self, username: &str, request: &InboundRequest) -> Result<(), String> {
        let (name, password) = credentials(request)?;
        let is_user = is_equal(name.as_bytes(), username.as_bytes());
        let holds =
            any_secret(&self.secrets, |secret| is_user & is_equal(password.as_bytes(), secret.as_bytes()));
        if holds { Ok(()) } else { Err("the user name or the password is another one".to_owned()) }
    }
}

/// Whether a text can be the name of a header (RFC 9110, section 5.6.2).
fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= HEADER_NAME_MAX && name.bytes().all(token)
}

/// Compares in a time that depends neither on the contents nor on the length of the secret.
fn is_equal(one: &[u8], other: &[u8]) -> Choice {
    Sha256::digest(one).ct_eq(&Sha256::digest(other))
}

/// Whether it holds for one of the secrets; each of them is tried.
fn any_secret(secrets: &[SecretText], holds: impl Fn(&str) -> Choice) -> bool {
    secrets.iter().fold(Choice::from(0), |any, secret| any | holds(secret.as_str())).into()
}

/// What follows a prefix. Those of `Authorization` are read in any case (RFC 9110, section 11.1).
fn after_prefix<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    let is_scheme = ["bearer", "basic"].iter().any(|scheme| prefix.trim_end().eq_ignore_ascii_case(scheme));
    let fits = if is_scheme { start.eq_ignore_ascii_case(prefix) } else { start == prefix };
    fits.then(|| if is_scheme { rest.trim_start() } else { rest })
}

/// User name and password of `Authorization: Basic` (RFC 7617).
fn credentials(request: &InboundRequest) -> Result<(String, String), String> {
    let value = request.header(AUTHORIZATION).ok_or("Authorization is missing")?;
    let encoded = after_prefix(value, "Basic ").ok_or("Authorization is not Basic")?;
    let unreadable = || "Authorization does not have a user name and a password in base64".to_owned();
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| unreadable())?;
    let text = String::from_utf8(decoded).map_err(|_| unreadable())?;
    let (name, password) = text.split_once(':').ok_or_else(unreadable)?;
    Ok((name.to_owned(), password.to_owned()))
}

fn is_in(networks: &[IpNet], client: Option<IpAddr>) -> Result<(), String> {
    let client = client.ok_or("the address of the client is not known")?.to_canonical();
    if networks.iter().any(|network| network.contains(&client)) {
        Ok(())
    } else {
        Err(format!("{client} is in none of the networks"))
    }
}

/// Whether a time is close enough to now; the error is a reason. Milliseconds begin where seconds would be in the
/// year 5138.
fn is_recent(what: &str, text: &str, tolerance_ms: i64, now: Timestamp) -> Result<(), String> {
    const FIRST_MS: i64 = 100_000_000_000;
    let time: i64 = text.parse().map_err(|_| format!("{what} is no whole number of seconds"))?;
    let ms = if time >= FIRST_MS { time } else { time.saturating_mul(1_000) };
    let late = now.as_millis().saturating_sub(ms);
    if late.unsigned_abs() <= tolerance_ms.unsigned_abs() {
        return Ok(());
    }
    let (seconds, direction) = (late.unsigned_abs() / 1_000, if late > 0 { "old" } else { "in the future" });
    Err(format!(
        "the signature is right, but {what} is {seconds} s {direction}; compare the clocks of both machines"
    ))
}

#[cfg(test)]
mod tests;
