//! One request to a receiver.
//!
//! * [`sender`] makes it under one deadline. [`recipients`] holds an endpoint's settings prepared for sending,
//!   [`headers`] writes the headers, [`jwe`] encrypts the body, [`connections`] keeps connections.
//! * [`guard`] checks every address, resolved by [`resolver`], before every attempt.
//! * [`failure`] describes what went wrong. [`authorities`]: trusted certificate authorities.
//! * [`client`] is for requests that are not deliveries. [`echo`] is the built-in receiver.
//!
//! Nothing here decides when a request is made.

pub mod authorities;
pub mod client;
pub(super) mod connections;
pub mod echo;
pub mod failure;
pub mod guard;
pub mod headers;
pub mod jwe;
pub mod recipients;
pub(super) mod resolver;
pub mod sender;
