//! What all surfaces read from a request, and the limits on it.
//!
//! * [`auth`]: credentials and scopes, expressed by the type of an operation's first argument.
//! * [`client`]: the address that a request comes from.
//! * [`body`], [`query`]: JSON bodies and query strings, every problem named by its field.
//!   [`budget`]: what all bodies together may take. [`headers`]: those that may be there once.
//! * [`values`]: one way to read what may come as a query or as a JSON object.
//! * [`paging`]: pages and cursors of lists.
//! * [`limits`]: the rate-limit headers.

pub mod auth;
pub mod body;
pub mod budget;
pub mod client;
pub mod headers;
pub mod limits;
pub mod paging;
pub mod query;
pub mod values;
