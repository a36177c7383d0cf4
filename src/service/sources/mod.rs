//! Sources: URLs that take requests of other programs.
//!
//! * [`manage`]: create, read, change, delete; a new URL.
//! * [`receive`]: a request to such a URL, step by step. [`readied`]: a source with everything parsed and opened.
//! * [`masking`]: what the inbound log shows of a request.
//! * [`requests`]: the inbound log, and replaying a request of it. [`preview`]: what would become of a request.
//! * [`context`]: the source of an event, and who declines it.

pub mod context;
pub mod manage;
mod masking;
pub mod preview;
pub mod readied;
pub mod receive;
pub mod requests;
