//! What all surfaces read from a request, and the limits on it.
//!
//! * [`auth`]: credentials and scopes, expressed by the type of an operation's first argument.
//! * [`body`], [`query`]: JSON bodies and query strings, every problem named by its field.
//! * [`paging`]: pages and cursors of lists.
//! * [`limits`]: the rate-limit headers.
//! * [`nearest`]: "did you mean" for unknown names.

pub mod auth;
pub mod body;
pub mod limits;
pub mod nearest;
pub mod paging;
pub mod query;
