//! What the system and people did, for the activity log: who, when, from where, what.

use crate::domain::values::words::words;
use std::fmt;

use crate::domain::{AppId, Timestamp};

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Postrider itself.
    System,
    /// Someone at the command line of the machine.
    CommandLine,
    /// An API key, by its id without prefix.
    Key(String),
    /// A person, by e-mail.
    User(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::System => f.write_str("system"),
            Actor::CommandLine => f.write_str("cli"),
            Actor::Key(id) => write!(f, "key:{id}"),
            Actor::User(email) => write!(f, "user:{email}"),
        }
    }
}

words! {
    /// What was done.
    pub enum ActivityKind {
        ServerStarted = "server.started",
        ServerStopped = "server.stopped",
        AppCreated = "app.created",
        AppRenamed = "app.renamed",
        KeyCreated = "key.created",
        KeyRevoked = "key.revoked",
        UserCreated = "user.created",
        UserChanged = "user.changed",
        UserDeleted = "user.deleted",
        UserPasswordReset = "user.password_reset",
        /// By themselves.
        UserPasswordChanged = "user.password_changed",
        UserSignedIn = "user.signed_in",
        UserSignedOut = "user.signed_out",
        /// A wrong password, or an address that nobody has.
        UserSignInFailed = "user.sign_in_failed",
        /// Somebody tried so often that they have to wait.
        UserSignInThrottled = "user.sign_in_throttled",
        /// Somebody ended a session, their own or another.
        SessionRevoked = "session.revoked",
        EndpointCreated = "endpoint.created",
        EndpointChanged = "endpoint.changed",
        EndpointDeleted = "endpoint.deleted",
        EndpointStatusChanged = "endpoint.status_changed",
        /// Switched off by the failure counter or a 410.
        EndpointDisabled = "endpoint.disabled",
        EndpointSecretRotated = "endpoint.secret_rotated",
        SourceCreated = "source.created",
        SourceChanged = "source.changed",
        SourceDeleted = "source.deleted",
        /// A source has another URL.
        SourceUrlRotated = "source.url_rotated",
        /// A person vouched for a request of the inbound log.
        SourceRequestReplayed = "source.request_replayed",
        DeliveryRetried = "delivery.retried",
        /// Many deliveries at once.
        DeliveryBulkRetried = "delivery.bulk_retried",
        EndpointRecovered = "endpoint.recovered",
        EndpointSentNow = "endpoint.sent_now",
        EndpointFilterFailed = "endpoint.filter_failed",
        EventReplayed = "event.replayed",
        /// A bulk job was stopped.
        JobCancelled = "job.cancelled",
        /// Old rows were removed.
        RetentionSwept = "retention.swept",
        /// An owner set how long things are kept.
        RetentionChanged = "retention.changed",
        /// Nothing is removed, because the clock is not to be trusted.
        RetentionHeld = "retention.held",
        /// By the clock, not at the command line.
        BackupMade = "backup.made",
        BackupFailed = "backup.failed",
        /// What encrypts secrets at rest is another key now.
        KeyFileRotated = "key_file.rotated",
        /// A person said that the clock is right.
        RetentionClockAccepted = "retention.clock_accepted",
        /// Apps, endpoints and keys of another server were taken in.
        Imported = "server.imported",
        /// Everything was moved here from another kind of storage.
        StorageMoved = "storage.moved",
        /// Until the server ends.
        LogLevelChanged = "log_level.changed",
        /// Where alerts go.
        AlertTargetCreated = "alert_target.created",
        AlertTargetChanged = "alert_target.changed",
        AlertTargetDeleted = "alert_target.deleted",
        /// An alert was told, or could not be, at first.
        AlertSent = "alert.sent",
        AlertFailed = "alert.failed",
    }
}

/// One entry of the activity log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    pub kind: ActivityKind,
    /// The app it is about; `None` for the whole server.
    pub app_id: Option<AppId>,
    pub actor: String,
    /// The client's address, when there was one.
    pub address: Option<String>,
    /// A sentence for people.
    pub summary: String,
    /// The same for programs.
    pub details: serde_json::Value,
    pub created_at: Timestamp,
}
