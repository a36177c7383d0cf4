//! Endpoints, events, sources, the pending attempts between them, bulk jobs, and the epochs of shards.

mod bulk_jobs;
mod endpoints;
mod events;
mod pending;
mod shards;
mod sources;

pub use bulk_jobs::{JOB_STEP, JobCreation, JobNote, JobStep, JobStore, NoJob};
pub use endpoints::{Changed, EndpointStore, Rotation, SendNow};
pub use events::{Accepted, EventStore, EventTypeCount, Taken};
pub use pending::{
    Due, DueHold, EndpointQueue, FinishRules, Finished, Line, LoadedAttempt, Oldest, QueueStore, Queued,
    SentAs,
};
pub use shards::ShardStore;
pub use sources::{
    BodyContent, InboundBody, InboundDetail, InboundEntry, InboundEvent, InboundFilter, InboundRow,
    InboundTaken, SourceStore, SourceUse, SourceWrite,
};
