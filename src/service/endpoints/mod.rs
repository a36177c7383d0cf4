//! Endpoints: [`manage`] creates, updates, deletes and tests them; [`endpoint_input`] checks what clients send;
//! [`header_values`] encrypts header values; [`requests`] checks URL, request and secrets together;
//! [`verification`] explains signatures. [`preview`] shows what would be sent, [`testing`] sends a test, both with
//! an event of [`trial`].

pub mod endpoint_input;
mod header_values;
pub mod manage;
pub mod preview;
pub(crate) mod requests;
pub mod testing;
pub mod trial;
pub mod verification;
