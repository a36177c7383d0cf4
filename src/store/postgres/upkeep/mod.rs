//! Work on everything that is stored: `retention`, re-encryption of `secrets`, and `moving` (export and import).
//! `expired` has the large steps of `retention`, `shrink` gives space back.

pub(super) mod expired;
pub(super) mod moving;
pub(super) mod retention;
pub(super) mod secrets;
pub(super) mod shrink;
