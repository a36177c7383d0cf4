//! An endpoint, as far as the end of an attempt concerns it.

use crate::domain::attempts::retry::Schedule;
use crate::domain::attempts::transition::EndpointNow;
use crate::domain::attempts::trouble::Trouble;
use crate::domain::{EndpointId, EndpointStatus};

/// The endpoint of an attempt that ends.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) id: EndpointId,
    /// `None` when it was deleted.
    pub(crate) status: Option<EndpointStatus>,
    pub(crate) trouble: Trouble,
    /// `None`: the configured one.
    pub(crate) schedule: Option<Schedule>,
}

impl EndpointState {
    /// As the rules see it.
    pub(crate) fn now<'a>(&'a self, default_schedule: &'a Schedule) -> EndpointNow<'a> {
        let schedule = self.schedule.as_ref().unwrap_or(default_schedule);
        EndpointNow { status: self.status, trouble: self.trouble, schedule }
    }
}
