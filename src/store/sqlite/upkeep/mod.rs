//! Work on everything that is stored: `retention`, re-encryption of `secrets`, the check of the encryption key
//! ([`key_check`]), `moving` (export and import), and [`transfer`] (everything, to another backend or from it; the
//! statements are in [`transfer_sql`]). `expired` has the large steps of `retention`.

pub(super) mod expired;
pub mod key_check;
pub(super) mod moving;
pub(super) mod retention;
pub(super) mod secrets;
pub(in crate::store) mod transfer;
mod transfer_sql;
