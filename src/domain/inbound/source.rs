//! A source: a URL that takes requests of another program, and what they become.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::domain::endpoint::MASK;
use crate::domain::expr::Json;
use crate::domain::inbound::challenge::Challenge;
use crate::domain::inbound::verify::{Verifier, input};
use crate::domain::shaping::summary::SummaryTemplates;
use crate::domain::values::ids::SourceId;
use crate::domain::values::preset_mark::{self, PresetMark};
use crate::domain::values::rate::Rate;
use crate::domain::{AppId, Invalid, Sealed, Timestamp};

/// The most sources of an app.
pub const SOURCES_MAX: u32 = 200;
/// The longest name, in characters.
pub const NAME_MAX: usize = 40;
/// The limit of requests unless another is given.
const RATE_DEFAULT: &str = "600/m";
/// The field or part that holds JSON unless another is given.
pub const JSON_FIELD_DEFAULT: &str = "payload";

/// What a person chooses, apart from what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    pub name: String,
    pub is_enabled: bool,
    pub mapping: Mapping,
}

/// What is done with a request; templates as their text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    pub methods: Vec<String>,
    /// `None`: the name of the source and `.event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<String>,
    /// An expression: false = answered with success and dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    pub json_field: String,
    pub response: StaticResponse,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SummaryText>,
    /// Such as `600/m`; 0 = no limit.
    pub rate_limit: Rate,
}

impl Default for Mapping {
    fn default() -> Mapping {
        Mapping {
            methods: ["POST", "PUT"].map(str::to_owned).to_vec(),
            event_type: None,
            resource_id: None,
            dedupe: None,
            accept: None,
            json_field: JSON_FIELD_DEFAULT.to_owned(),
            response: StaticResponse::default(),
            summary: None,
            rate_limit: Rate::parse(RATE_DEFAULT).unwrap_or(Rate::UNLIMITED),
        }
    }
}

/// What a sender is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticResponse {
    pub status: u16,
    pub content_type: String,
    /// `None`: `{"id":"evt_…"}`.
    pub body: Option<String>,
}

impl Default for StaticResponse {
    fn default() -> StaticResponse {
        StaticResponse { status: 200, content_type: "application/json".to_owned(), body: None }
    }
}

/// What an event means to a person; templates. What is not given has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

impl SummaryText {
    /// The templates, parsed. They were checked when they were saved.
    pub fn parsed(&self) -> Result<SummaryTemplates, Invalid> {
        let text = serde_json::to_string(self).unwrap_or_default();
        let json = Json::parse(&text).map_err(|e| Invalid::one("/summary", e.to_string()))?;
        SummaryTemplates::read(&json, "/summary")
    }
}

/// What is secret about a source; sealed as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    pub verify: Vec<Verifier>,
    pub challenge: Option<Challenge>,
}

impl Guard {
    /// The JSON that is sealed.
    pub fn in_clear(&self) -> Value {
        json!({
            "verify": input::in_clear(&self.verify),
            "challenge": self.challenge.as_ref().map(|challenge| challenge_json(challenge, None)),
        })
    }

    /// The attributes with masks.
    pub fn masked(&self) -> (Value, Value) {
        let challenge = self.challenge.as_ref().map(|challenge| challenge_json(challenge, Some(MASK)));
        (input::masked(&self.verify), challenge.unwrap_or_default())
    }

    /// The headers whose values are not shown.
    pub fn hidden_headers(&self) -> Vec<String> {
        self.verify.iter().flat_map(Verifier::headers).map(str::to_ascii_lowercase).collect()
    }

    /// The query parameters whose values are not shown and are no part of a payload.
    pub fn hidden_parameters(&self) -> Vec<String> {
        let of_verifiers = self.verify.iter().filter_map(Verifier::parameter);
        let of_challenge = self.challenge.as_ref().and_then(Challenge::parameter);
        of_verifiers.chain(of_challenge).map(str::to_owned).collect()
    }
}

fn challenge_json(challenge: &Challenge, mask: Option<&str>) -> Value {
    match challenge {
        Challenge::Meta { verify_token } => {
            json!({ "kind": "meta", "verify_token": mask.unwrap_or(verify_token.as_str()) })
        }
        other => Value::from(other.kind()),
    }
}

/// A digest of what a recipe sets of a source.
pub fn digest_of(settings: &SourceSettings) -> String {
    preset_mark::digest(&serde_json::to_vec(&settings.mapping).unwrap_or_default())
}

/// The token of a URL, by its digest; only the digest is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    pub fn of(token: &str) -> TokenHash {
        TokenHash(Sha256::digest(token.as_bytes()).into())
    }
}

/// A token that still works after its successor was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldToken {
    pub hash: TokenHash,
    pub until: Timestamp,
}

/// A source as storage has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: SourceId,
    pub app_id: AppId,
    pub settings: SourceSettings,
    pub token_hash: TokenHash,
    /// The token, to show the URL again.
    pub token: Sealed,
    pub old_token: Option<OldToken>,
    /// A sealed [`Guard`].
    pub guard: Sealed,
    pub preset: Option<PresetMark>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The length of a token: 128 bits in base32.
pub const TOKEN_CHARS: usize = 26;

/// A token of 128 random bits, in base32 of lower-case letters and digits without those that look alike.
pub fn token(random: u128) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let letter = |i: usize| {
        // 26 letters have 130 bits: the first has three of them.
        let shift = 5 * (TOKEN_CHARS - 1 - i);
        let five = usize::try_from((random >> shift) & 31).unwrap_or_default();
        char::from(LETTERS[five])
    };
    (0..TOKEN_CHARS).map(letter).collect()
}

/// The source that an event came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    pub id: SourceId,
    pub name: String,
    pub is_deleted: bool,
    pub summary: Option<SummaryText>,
    /// How often the event was forwarded, this time included.
    pub hops: u32,
}

/// The outcome of an inbound request, in hourly counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    pub accepted: u64,
    pub duplicate: u64,
    pub ignored: u64,
    pub rejected: u64,
}

crate::domain::values::words::words! {
    /// What became of an inbound request.
    pub enum InboundOutcome {
        Accepted = "accepted",
        Duplicate = "duplicate",
        Ignored = "ignored",
        Challenge = "challenge",
        /// A verifier failed.
        Rejected = "rejected",
        /// It cannot be read.
        Invalid = "invalid",
    }
}

/// A source's JSON attributes that a recipe or a client sets, as one object with masks: what a partial change starts
/// from.
pub fn attributes(settings: &SourceSettings, guard: &Guard) -> Map<String, Value> {
    let (verify, challenge) = guard.masked();
    let mapping = &settings.mapping;
    let fields = json!({
        "name": settings.name,
        "enabled": settings.is_enabled,
        "verify": verify,
        "methods": mapping.methods,
        "event_type": mapping.event_type.clone().unwrap_or_else(|| default_type(&settings.name)),
        "resource_id": mapping.resource_id,
        "dedupe": mapping.dedupe,
        "accept": mapping.accept,
        "json_field": mapping.json_field,
        "challenge": challenge,
        "response": mapping.response,
        "summary": mapping.summary.as_ref().map(|summary| json!({
            "title": summary.title,
            "message": summary.message,
            "link": summary.link,
            "level": summary.level,
        })),
        "rate_limit": mapping.rate_limit.to_json(),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The event type of a source without a template.
pub fn default_type(name: &str) -> String {
    format!("{name}.event")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_26_letters_of_128_bits() {
        assert_eq!(token(0), "a".repeat(26));
        assert_eq!(token(u128::MAX), format!("h{}", "7".repeat(25)));
        assert_eq!(token(1), format!("{}b", "a".repeat(25)));
        assert_ne!(TokenHash::of(&token(1)), TokenHash::of(&token(2)));
    }

    #[test]
    fn a_mapping_reads_back_from_storage() {
        let mapping = Mapping { accept: Some("payload.a".to_owned()), ..Mapping::default() };
        let text = serde_json::to_string(&mapping).unwrap();
        assert_eq!(serde_json::from_str::<Mapping>(&text).unwrap(), mapping);
    }
}
