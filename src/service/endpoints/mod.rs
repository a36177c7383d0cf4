//! Endpoints: [`manage`] creates, updates, deletes and tests them; [`endpoint_input`] checks what clients send;
//! [`requests`] checks URL, request and secrets together; [`verification`] explains signatures.

pub mod endpoint_input;
pub mod manage;
pub(crate) mod requests;
pub mod verification;
