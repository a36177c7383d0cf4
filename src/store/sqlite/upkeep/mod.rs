//! Work on everything that is stored: `retention`, re-encryption of `secrets`, the check of the encryption key
//! ([`key_check`]), and `moving` (export and import). `expired` has the large steps of `retention`.

pub(super) mod expired;
pub mod key_check;
pub(super) mod moving;
pub(super) mod retention;
pub(super) mod secrets;
