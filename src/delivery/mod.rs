//! From a pending row to a request at the receiver, and back to a finished row.
//!
//! * [`dispatcher`] is what the rest of the program holds; it tells the [`scheduler`] by [`messages`].
//! * [`scheduler`] decides which attempt is sent next: a bounded [`lane`] for each endpoint, served in
//!   [`turns`], within [`slots`] and the endpoint's [`pace`]; [`claims`] knows what is in memory, [`poll`] asks
//!   the table, and [`wakes`] says when to look at a lane again.
//! * [`courier`] loads an attempt, has it sent, and writes what became of it.
//! * [`jobs`] queues bulk work in the background.
//! * [`sender`] makes one request: [`recipients`] knows where to and with which secrets, [`headers`] says what
//!   is in it besides the body, [`jwe`] encrypts, [`connections`] holds the connections, [`failure`] puts what
//!   went wrong into words.
//! * [`client`] is for other errands than deliveries.
//! * [`authorities`] says whose word counts for a receiver's certificate.
//! * [`guard`] says where a request may go, before every attempt; [`resolver`] asks the system for addresses.
//!
//! Delivery knows storage and the domain; no HTTP surface and no service.

pub mod authorities;
pub mod client;
pub mod failure;
pub mod guard;
pub mod headers;
pub mod jwe;
pub mod recipients;
pub mod sender;

pub use guard::{Guard, GuardError, Lookup};
pub use meters::Meters;
pub use sender::{Sender, SenderConfig, SenderError};
mod claims;
mod connections;
pub mod courier;
pub mod dispatcher;
mod echo;
pub mod jobs;
mod lane;
mod messages;
pub mod meters;
mod pace;
mod poll;
mod resolver;
mod scheduler;
mod slots;
mod turns;
mod wakes;
