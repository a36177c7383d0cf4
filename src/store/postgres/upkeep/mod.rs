//! Work on everything that is stored: `retention`, re-encryption of `secrets`, `moving` (export and import), and
//! [`transfer`] (everything, to another backend or from it; [`copy`] is the form of its rows). `expired` has the large
//! steps of `retention`, [`whole`] those that drop a partition, `shrink` gives space back.

mod copy;
pub(super) mod expired;
pub(super) mod moving;
pub(super) mod retention;
pub(super) mod secrets;
pub(super) mod shrink;
pub(in crate::store) mod transfer;
pub(super) mod whole;
