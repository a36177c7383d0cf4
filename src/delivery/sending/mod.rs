//! One request to a receiver.
//!
//! * [`sender`] makes it under one deadline. [`recipients`] holds an endpoint's settings prepared for
//!   sending, [`destination`] is where it goes, [`headers`] writes the headers,
//!   [`jwe`] encrypts the body, [`render`] makes requests of an endpoint's templates.
//!   [`connections`] sends it: [`pool`] keeps open connections, [`connector`] opens new ones and notes in
//!   [`opening`] how, [`dial`] tries the addresses of a name, [`stream`] is the byte stream of one connection,
//!   [`asked`] the body that asks whether a request may be begun.
//! * [`guard`] checks every address, resolved by [`resolver`], before every attempt.
//! * [`failure`] says why a request failed: [`causes`] searches nested errors, [`tls_failure`] describes
//!   those of TLS, [`reachability`] tells trouble of this machine from trouble of a receiver.
//! * [`authorities`]: trusted certificate authorities.
//! * [`client`] is for requests that are not deliveries, [`mail`] for e-mail. [`echo`] is the built-in receiver.
//!
//! Nothing here decides when a request is made.

mod asked;
pub mod authorities;
pub(crate) mod causes;
pub mod client;
pub(super) mod connections;
mod connector;
pub mod destination;
mod dial;
pub mod echo;
pub mod failure;
pub mod guard;
pub mod headers;
pub mod jwe;
pub mod mail;
pub(super) mod opening;
mod pool;
pub(crate) mod reachability;
pub mod recipients;
pub(crate) mod render;
pub(super) mod resolver;
mod route;
pub mod sender;
mod stream;
pub(crate) mod tls_failure;
