//! `postrider bench`: measures this machine.
//!
//! The server runs in a process of its own (to measure its CPU time and memory) and in a temporary
//! directory, with the default configuration except that deliveries may reach loopback. The load generator
//! and the receiver run in this process and are as cheap as possible: [`load`], [`receiver`]. First the
//! same requests go directly to the receiver, as a reference. [`sustained`] is a load of minutes with retention.
//!
//! The figures depend on the machine and the moment. Compare them only within one run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

mod arrivals;
mod child;
mod load;
mod progress;
mod receiver;
mod report;
pub mod sustained;
mod tally;

pub use child::ChildError;
use child::{Child, ChildSettings};
pub use report::{BenchReport, Latencies};
use tally::Tally;

use crate::host::disk::fsync_ms;
use crate::host::temp_directory::TempDirectory;

/// The run ends when nothing arrives for this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// After the last arrival, until the last results are committed.
const SETTLES: Duration = Duration::from_millis(500);

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct BenchPlan {
    /// Events to post.
    pub events: usize,
    /// Concurrent connections that post.
    pub clients: usize,
    /// Webhooks per event.
    pub endpoints: usize,
    /// Other webhooks in the app, which get no event.
    pub webhooks: usize,
    /// Events per request; 1 = `POST /v1/events`, more = `POST /v1/events/batch`.
    pub batch: usize,
    /// Payload size in bytes.
    pub payload: usize,
    /// Parent of the temporary directory: the disk that is measured.
    pub parent: PathBuf,
    /// Whether to show a progress bar on stderr.
    pub shows_progress: bool,
}

/// The reason why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("cannot write to {}. Choose another directory with --data", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("the receiver could not be started")]
    Receiver(#[source] std::io::Error),
    #[error(transparent)]
    Server(#[from] ChildError),
    #[error("a request failed")]
    Request(#[from] load::RequestError),
}

/// Runs the benchmark. Leaves nothing behind but the result.
pub async fn run(plan: &BenchPlan) -> Result<BenchReport, BenchError> {
    let in_parent = |e| BenchError::Directory(plan.parent.clone(), e);
    let directory = TempDirectory::create_in(&plan.parent, "bench").map_err(in_parent)?;
    let fsync_ms = fsync_ms(&directory.path().join("probe")).map_err(in_parent)?;

    let direct_tally = Arc::new(Tally::new(plan.events, 1));
    let direct = direct(plan, &direct_tally).await?;

    let settings = ChildSettings { retention: None, webhooks: plan.endpoints + plan.webhooks };
    let child = Child::start(directory.path(), settings).await?;
    let tally = Arc::new(Tally::new(plan.events, plan.endpoints));
    let receiver = receiver::start(tally.clone()).await.map_err(BenchError::Receiver)?;
    load::create_webhooks((child.address(), child.token()), receiver, plan.endpoints, plan.webhooks).await?;
    let cpu_before = child.figures().cpu_seconds;
    let posting = load::Posting {
        address: child.address(),
        token: Some(child.token()),
        clients: plan.clients,
        batch: plan.batch,
        payload: plan.payload,
    };
    let begun = Instant::now();
    let progress = plan.shows_progress.then(|| progress::show(tally.clone()));
    let refused = posting.run(&tally).await?;
    let accepted_in = begun.elapsed();
    tally.wait(PATIENCE).await;
    drop(progress);
    tokio::time::sleep(SETTLES).await;
    let figures = child.figures();
    let disk_bytes = child.stop().await?;
    Ok(BenchReport::new(report::Measurements {
        plan,
        tally: &tally,
        refused,
        accepted_in,
        cpu_seconds: figures.cpu_seconds - cpu_before,
        peak_resident_bytes: figures.peak_resident_bytes,
        disk_bytes,
        fsync_ms,
        direct,
    }))
}

/// Requests a second directly to the receiver.
async fn direct(plan: &BenchPlan, tally: &Arc<Tally>) -> Result<f64, BenchError> {
    let address = receiver::start(tally.clone()).await.map_err(BenchError::Receiver)?;
    let posting =
        load::Posting { address, token: None, clients: plan.clients, batch: 1, payload: plan.payload };
    let begun = Instant::now();
    posting.run(tally).await?;
    Ok(plan.events as f64 / begun.elapsed().as_secs_f64())
}
