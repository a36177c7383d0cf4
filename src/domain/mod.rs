//! What Postrider is about, as plain types and pure functions: no async, no I/O, no HTTP, no SQL.
//!
//! * [`endpoint`], [`event`], [`event_type`], [`pattern`]: who subscribes to what.
//! * [`attempts`]: a delivery and its attempts; the transition function; retry times; bulk jobs.
//! * [`signing`]: secrets, signatures, and why a signature does not verify.
//! * [`network`]: which addresses may be reached at all.
//! * [`delivery_filter`]: which events an endpoint wants, by their content.
//! * [`filter`]: which rows of a list are selected, and their order.
//! * [`cluster`]: leases, and how nodes divide the shards.
//! * [`condition`]: an endpoint's failures and its hold. [`health`]: how an endpoint is doing.
//! * [`alert`]: what people are notified of.
//! * [`inbound`]: requests of other programs to a source, and what event they become.
//! * [`expr`]: the language of templates and filters.
//! * [`gallery`]: recipes for senders and receivers.
//! * [`retention`]: how long data is kept, and who decides. [`sweep`]: what sweeps remove, and their pace.
//! * [`shaping`]: requests, URLs and summaries from templates.
//! * [`shard`]: how endpoints are divided among nodes.
//! * [`access`]: apps, keys, users, sessions, scopes, and the activity log.
//! * [`values`]: ids, times, durations, headers, histograms, pages.

pub mod access;
pub mod alert;
pub mod attempts;
pub mod cluster;
pub mod condition;
pub mod delivery_filter;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod expr;
pub mod filter;
pub mod gallery;
pub mod health;
pub mod inbound;
pub mod network;
pub mod pattern;
pub mod retention;
pub mod shaping;
pub mod shard;
pub mod signing;
pub mod sweep;
pub mod values;

pub use access::activity::{Activity, ActivityKind, Actor};
pub use access::app::App;
pub use access::key::Key;
pub use access::scope::{Scope, Scopes};
pub use access::session::{Session, SessionToken};
pub use access::user::{Role, User};
pub use alert::{AlertKind, AlertTarget};
pub use attempts::attempt::{AttemptStatus, Budget, ErrorKind, Outcome, Response, Trigger};
pub use attempts::bulk_job::{BulkJob, JobKind, JobStatus};
pub use cluster::NodeId;
pub use endpoint::{Endpoint, EndpointStatus};
pub use event::Origin;
pub use event_type::EventType;
pub use pattern::EventPattern;
pub use shard::{Epoch, Shard, ShardSet};
pub use signing::secret::{Sealed, SigningSecret};
pub use values::headers::Headers;
pub use values::ids::{
    AlertTargetId, AppId, AttemptId, EndpointId, EventId, JobId, SessionId, SourceId, UserId,
};
pub use values::invalid::{FieldError, Invalid};
pub use values::span::Span;
pub use values::timestamp::Timestamp;
