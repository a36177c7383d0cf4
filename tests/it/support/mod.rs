//! What the tests share.
//!
//! * [`app`]: a whole server in the process, with a fake clock.
//! * [`endpoints`]: endpoints for tests below the HTTP surfaces.
//! * [`receiver`]: a receiver of webhooks that records what it gets and answers as it is told.
//! * [`hostile`]: receivers that misbehave, down to single bytes.
//! * [`programs`]: interpreters of other languages, where they are installed.
//! * [`postgres`]: a database server, for tests on PostgreSQL; [`own_postgres`]: one that a test may stop;
//!   [`pooler`]: PgBouncer in front of it.
//! * [`certificates`]: certificates that are good, expired, or for somebody else.
//!
//! Tests never sleep in order to wait for something: they wait for the thing itself, under
//! [`in_time`], so that a test that hangs fails instead.

#![allow(dead_code, reason = "each part of the tree uses some of it")]

use std::future::Future;
use std::time::Duration;

pub(crate) mod app;
pub(crate) mod certificates;
pub(crate) mod endpoints;
pub(crate) mod hostile;
pub(crate) mod own_postgres;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod receiver;

#[allow(unused_imports, reason = "the tests of faults start processes")]
pub(crate) use app::TestApp;
#[allow(unused_imports, reason = "the browser's tests need no receivers that misbehave")]
pub(crate) use hostile::{Hostile, Then};
#[allow(unused_imports, reason = "the tests of faults count what arrives")]
pub(crate) use receiver::{Receiver, Reply};

/// How long anything may take in a test before it counts as hanging. Generous: machines are busy.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(30);

/// Waits for something that must happen; fails the test when it does not.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANGS_AFTER, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {HANGS_AFTER:?}"),
    }
}
