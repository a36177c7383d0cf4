//! Work on everything that is stored: [`retention`], re-encryption of [`secrets`], and [`moving`] (export and
//! import).

pub(super) mod moving;
pub(super) mod retention;
pub(super) mod secrets;
