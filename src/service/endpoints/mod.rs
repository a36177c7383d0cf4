//! Endpoints: [`manage`] creates, updates, deletes and tests them; [`endpoint_input`] checks what clients send;
//! [`requests`] checks URL, request and secrets together; [`verification`] explains signatures.
//! [`preview`] shows what would be sent, [`testing`] sends a test, both with an event of [`trial`].

pub mod endpoint_input;
pub mod manage;
pub mod preview;
pub(crate) mod requests;
pub mod testing;
pub mod trial;
pub mod verification;
