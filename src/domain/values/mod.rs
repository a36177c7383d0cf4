//! Small values that everything else is made of: [`ids`], [`timestamp`], [`span`] (durations), [`headers`],
//! [`histogram`], pages of lists ([`list`]), partial updates ([`change`]), the nearest known name ([`nearest`]),
//! rates ([`rate`]), the recipe that something was made with ([`preset_mark`]),
//! `invalid` input, and enums with words.

pub mod change;
pub mod fold;
pub mod headers;
pub mod histogram;
pub mod ids;
pub mod invalid;
pub mod list;
pub mod nearest;
pub mod preset_mark;
pub mod rate;
pub mod span;
pub mod timestamp;
pub(crate) mod words;
