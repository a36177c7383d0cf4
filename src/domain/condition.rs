//! How an endpoint stands: its failures, its hold, and how many deliveries are pending.

use crate::domain::Timestamp;
use crate::domain::attempts::attempt::ErrorKind;
use crate::domain::attempts::trouble::Trouble;
use crate::domain::health::{Cause, Held};

/// The last failure of an endpoint that counted, or that asked for a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    pub kind: ErrorKind,
    pub response_status: Option<u16>,
    /// A sentence for operators.
    pub message: String,
}

impl LastFailure {
    /// Its cause, without the message, which may name a private address.
    pub fn cause(&self) -> Cause {
        Cause { kind: self.kind, response_status: self.response_status }
    }
}

/// How an endpoint stands now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    pub trouble: Trouble,
    pub last_failure: Option<LastFailure>,
    /// Deliveries that are pending, tests apart.
    pub waiting: u64,
}

impl Condition {
    /// The hold as it is now, and why it began.
    pub fn held_at(&self, now: Timestamp) -> Option<Held> {
        let cause = self.last_failure.as_ref().map(LastFailure::cause);
        let hold = self.trouble.hold.hold_at(now)?;
        Some(Held { hold, failures: self.trouble.failures, cause })
    }
}
