//! Endpoints, events, the pending attempts between them, and bulk jobs.

mod bulk_jobs;
mod endpoints;
mod events;
mod pending;

pub use bulk_jobs::{JOB_STEP, JobMade, JobNote, JobStep, JobStore, NoJob};
pub use endpoints::EndpointStore;
pub use events::{Accepted, EventStore, EventTypeCount, Taken};
pub use pending::{Due, EndpointQueue, FinishRules, Finished, LoadedAttempt, Oldest, QueueStore, Queued};
