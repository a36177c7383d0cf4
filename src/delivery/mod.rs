//! From a pending row to a request at the receiver, and back to a finished row.
//!
//! * [`scheduling`] decides which attempt is sent next, and when.
//! * [`courier`] loads an attempt, has it sent, and commits its result. [`begin`] is asked before the first byte.
//! * [`sending`] makes one request.
//! * [`meters`] counts. [`test_slots`] limits tests in flight.
//!
//! Delivery knows storage and the domain; no HTTP surface and no service.

pub use meters::Meters;
pub use sending::guard::{Guard, GuardError, Lookup};
pub use sending::sender::{Sender, SenderConfig, SenderError};
pub mod begin;
pub mod courier;
pub mod meters;
pub mod scheduling;
pub mod sending;
pub mod test_slots;
