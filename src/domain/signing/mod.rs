//! Signatures over request bodies ([`signature`]), the secrets behind them ([`secret`]), and why
//! verification fails ([`verification`]).

pub mod secret;
pub mod signature;
pub mod verification;
