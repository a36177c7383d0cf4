//! Endpoints: [`manage`] creates, updates, deletes and tests them; [`endpoint_input`] checks what clients send;
//! [`verification`] explains signatures.

pub mod endpoint_input;
pub mod manage;
pub mod verification;
