//! Which recipe of the gallery something was made with.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The recipe that a source or an endpoint was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresetMark {
    pub name: String,
    pub version: u32,
    /// Of the attributes as the recipe set them; see [`digest`].
    pub digest: String,
}

/// A digest of attributes that are no secret: whether they were changed since a recipe set them.
pub fn digest(attributes: &[u8]) -> String {
    hex::encode(&Sha256::digest(attributes)[..16])
}
