//! An app owns endpoints, events and keys, and is what keeps one customer of a box from another.

use crate::domain::{AppId, Timestamp};

/// The app that exists from the start.
pub const DEFAULT_APP: &str = "default";
/// The longest name.
pub const NAME_MAX_CHARS: usize = 100;

/// An owner of endpoints, events and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    /// Unique.
    pub name: String,
    pub created_at: Timestamp,
}
