//! Requests of other programs to a *source*: what proves who sent them, and what event they become. Bytes and
//! headers in, a verdict out.
//!
//! * [`request`]: the request, as the rules look at it.
//! * [`verify`]: tokens, signatures and addresses.
//! * [`challenge`]: the questions with which a sender checks a URL before it uses it.
//! * [`payload`]: what the body is as the payload of an event; `form` and `multipart` are two of its forms.
//! * [`mapping`]: event type, resource, dedupe key, hops; [`mapper`] renders them with a source's templates.
//! * [`source`]: a source and its settings; [`input`] reads them from JSON.
//! * [`sample`]: samples of the gallery as events.

pub mod challenge;
mod form;
pub mod input;
pub mod mapper;
pub mod mapping;
mod multipart;
mod object;
pub mod payload;
pub mod request;
pub mod sample;
pub mod source;
pub mod verify;
