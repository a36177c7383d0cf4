//! The document. Its number changes when an older program could no longer read it rightly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::values::preset_mark::PresetMark;

/// The number of this form.
pub const FORM: u32 = 1;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`FORM`]
    pub postrider_export: u32,
    /// Of the program that wrote it, for people.
    #[serde(default)]
    pub version: Option<String>,
    /// RFC 3339, for people.
    #[serde(default)]
    pub exported_at: Option<String>,
    /// Whether signing secrets and secret header values are in it.
    #[serde(default)]
    pub with_secrets: bool,
    pub apps: Vec<AppPart>,
}

/// An app with what it owns. Webhooks and keys are read one by one, so that a problem names its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPart {
    #[serde(default)]
    pub id: Option<String>,
    pub name: String,
    #[serde(default)]
    pub created_at: Option<String>,
    /// [`WebhookPart`]s
    #[serde(default)]
    pub webhooks: Vec<Value>,
    /// [`SourcePart`]s
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Value>,
    /// [`KeyPart`]s
    #[serde(default)]
    pub keys: Vec<Value>,
}

/// A webhook. What is not given gets its default; a signing secret that is not given is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookPart {
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    pub url: String,
    #[serde(default)]
    pub description: Option<String>,
    pub events: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// Name → value; `None` in a document without secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub encrypted: bool,
    #[serde(default)]
    pub retry_schedule: Option<Vec<String>>,
    #[serde(default)]
    pub timeout: Option<String>,
    #[serde(default)]
    pub rate_limit: Option<Value>,
    #[serde(default)]
    pub contact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset_mark: Option<PresetMark>,
    #[serde(default = "active")]
    pub status: String,
    #[serde(default)]
    pub created_at: Option<String>,
    /// `whsec_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
}

fn active() -> String {
    "active".to_owned()
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderPart {
    Plain(String),
    Secret {
        /// `None` in a document without secrets.
        secret: Option<String>,
    },
}

/// A source. What is not given gets its default; a token that is not given is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourcePart {
    #[serde(default)]
    pub id: Option<String>,
    /// The end of the URL; in a document with secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset_mark: Option<PresetMark>,
    #[serde(default)]
    pub created_at: Option<String>,
    /// As in `/v1/sources`.
    #[serde(flatten)]
    pub attributes: Map<String, Value>,
}

/// A key: not the secret, but its hash, with which it goes on working.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPart {
    /// Without prefix.
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    /// In hexadecimal.
    pub secret_sha256: String,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub expires_at: Option<String>,
    #[serde(default)]
    pub revoked_at: Option<String>,
}
