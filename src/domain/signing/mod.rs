//! Signatures over request bodies ([`signature`]), the secrets behind them ([`secret`]), and why a signature
//! does not verify ([`verification`]).

pub mod secret;
pub mod signature;
pub mod verification;
