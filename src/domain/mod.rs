//! What Postrider is about, as plain types and pure functions: no async, no I/O, no HTTP, no SQL.
//!
//! * [`attempt`]: one HTTP request of a delivery, and what became of it.
//! * [`delivery`]: a chain of attempts, seen as one.
//! * [`transition`]: **the** function that says how an attempt changes; every other layer asks it.
//! * [`retry`]: when the next attempt is due; [`retry_after`] reads a receiver's wish about that.
//! * [`endpoint`], [`event`], [`pattern`]: who wants what.
//! * [`filter`], [`list`]: which rows of a list are meant, and its pages.
//! * [`job`]: recovery work over many deliveries.
//! * [`alert`]: what is told to people who are not looking.
//! * [`retention`]: how long things are kept, and who says so.
//! * [`health`]: how an endpoint is doing, in words.
//! * [`signature`]: what a request is signed with; [`verification`]: why a signature does not hold.
//! * [`network`]: which addresses may be reached at all.
//! * [`app`], [`key`], [`user`], [`session`], [`scope`]: who may do what.
//! * [`headers`], [`ids`], [`timestamp`], [`span`], [`secret`], [`histogram`], [`invalid`]: small values.

pub mod activity;
pub mod alert;
pub mod app;
pub mod attempt;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod filter;
pub mod headers;
pub mod health;
pub mod histogram;
pub mod ids;
pub mod invalid;
pub mod job;
pub mod key;
pub mod list;
pub mod network;
pub mod pattern;
pub mod retention;
pub mod retry;
pub mod retry_after;
pub mod scope;
pub mod secret;
pub mod session;
pub mod signature;
pub mod span;
pub mod timestamp;
pub mod transition;
pub mod user;
pub mod verification;

pub use activity::{Activity, ActivityKind, Actor};
pub use alert::{AlertKind, AlertTarget};
pub use app::App;
pub use attempt::{AttemptStatus, Budget, ErrorKind, Outcome, Response, Trigger};
pub use endpoint::{Endpoint, EndpointStatus};
pub use event::{EventType, Origin};
pub use headers::Headers;
pub use ids::{AlertTargetId, AppId, AttemptId, EndpointId, EventId, JobId, SessionId, UserId};
pub use invalid::{FieldError, Invalid};
pub use job::{BulkJob, JobKind, JobStatus};
pub use key::Key;
pub use pattern::EventPattern;
pub use scope::{Scope, Scopes};
pub use secret::{Sealed, SigningSecret};
pub use session::{Session, SessionToken};
pub use span::Span;
pub use timestamp::Timestamp;
pub use user::{Role, User};
