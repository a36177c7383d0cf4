//! `postrider bench`: what this machine can do.
//!
//! The server runs as it does for everyone, in a process of its own (so that its processor time and memory
//! are its own) and in a throw-away directory, with the default configuration but for one thing: it may
//! reach loopback. Who posts and who receives are here, as cheap as they can be: [`load`], [`receiver`].
//! First the same requests go straight to the receiver; how many times as fast that is says how much of the
//! machine's pace is left.
//!
//! Times and rates are of this machine in this minute. They are compared with others of the same run only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

mod child;
mod load;
mod progress;
mod receiver;
mod report;
mod tally;

use child::Child;
pub use child::ChildError;
pub use report::{Report, Times};
use tally::Tally;

use crate::host::disk::fsync_ms;
use crate::host::throw_away::ThrowAway;

/// How long nothing may arrive before what is missing is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// After the last arrival, until the last results are written.
const SETTLES: Duration = Duration::from_millis(500);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Events to post.
    pub events: usize,
    /// Connections that post at the same time.
    pub clients: usize,
    /// Webhooks that want each event.
    pub endpoints: usize,
    /// Events of one request; 1 = one by one (`POST /v1/events`), more = `POST /v1/events/batch`.
    pub batch: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// Where the throw-away directory is made: the disk that is measured.
    pub parent: PathBuf,
    /// Whether progress is shown on stderr.
    pub shows_progress: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("nothing can be written to {}; name another place with --data", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("the receiver could not be started")]
    Receiver(#[source] std::io::Error),
    #[error(transparent)]
    Server(#[from] ChildError),
    #[error("a request failed")]
    Request(#[from] load::RequestError),
}

/// Measures. Takes as long as it takes; nothing of it stays but the result.
pub async fn run(plan: &Plan) -> Result<Report, BenchError> {
    let in_parent = |e| BenchError::Directory(plan.parent.clone(), e);
    let directory = ThrowAway::make_in(&plan.parent, "bench").map_err(in_parent)?;
    let fsync_ms = fsync_ms(&directory.path().join("probe")).map_err(in_parent)?;

    let direct_tally = Arc::new(Tally::new(plan.events, 1));
    let direct = straight(plan, &direct_tally).await?;

    let child = Child::start(directory.path()).await?;
    let tally = Arc::new(Tally::new(plan.events, plan.endpoints));
    let receiver = receiver::start(tally.clone()).await.map_err(BenchError::Receiver)?;
    for endpoint in 0..plan.endpoints {
        load::make_webhook(child.address(), child.token(), &format!("http://{receiver}/{endpoint}")).await?;
    }
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
    Ok(Report::new(report::Measured {
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

/// Requests a second when nothing is between those who post and the receiver.
async fn straight(plan: &Plan, tally: &Arc<Tally>) -> Result<f64, BenchError> {
    let address = receiver::start(tally.clone()).await.map_err(BenchError::Receiver)?;
    let posting =
        load::Posting { address, token: None, clients: plan.clients, batch: 1, payload: plan.payload };
    let begun = Instant::now();
    posting.run(tally).await?;
    Ok(plan.events as f64 / begun.elapsed().as_secs_f64())
}
