//! A sustained load: events at a given rate for some minutes, with retention at work, measured minute by minute.
//!
//! Nothing is remembered for each event: its payload says when it was posted, so a run of hours takes no more memory
//! than one of a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::arrivals::Arrivals;
use super::child::{Child, ChildSettings};
use super::load::{Client, RequestError, envelope};
use super::{BenchError, BenchPlan, load, receiver};
use crate::host::temp_directory::TempDirectory;

/// After the last post, until everything has arrived.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// The parameters of a sustained load, beyond those of every run.
#[derive(Debug, Clone)]
pub struct SustainedPlan {
    pub minutes: u32,
    /// The length of a minute, which tests shorten.
    pub minute: Duration,
    /// Events a second; 0 = as many as the clients can post.
    pub rate: u32,
    /// The server's `retention.logs` and `retention.events`.
    pub retention: String,
}

/// One minute of the run.
#[derive(Debug, Clone, Serialize)]
pub struct Minute {
    pub minute: u32,
    pub accepted_per_second: f64,
    pub deliveries_per_second: f64,
    /// From post to 202, in ms.
    pub accepted_after_ms_p99: f64,
    /// From post to arrival, in ms.
    pub arrived_after_ms_p99: f64,
    /// Of the database and its write-ahead log.
    pub disk_bytes: u64,
    /// Of the server.
    pub memory_bytes: u64,
    pub cpu_seconds: f64,
}

impl Minute {
    /// The line that is printed for it.
    pub fn line(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        format!(
            "  minute {:<4}{:>7.0} accepted/s, p99 {:.1} ms; {:>7.0} delivered/s, p99 {:.1} ms; \
             {:.1} MiB on disk, {:.1} MiB of memory, {:.0} s of CPU",
            self.minute,
            self.accepted_per_second,
            self.accepted_after_ms_p99,
            self.deliveries_per_second,
            self.arrived_after_ms_p99,
            mib(self.disk_bytes),
            mib(self.memory_bytes),
            self.cpu_seconds,
        )
    }
}

/// The result of a sustained load.
#[derive(Debug, Clone, Serialize)]
pub struct SustainedReport {
    pub version: &'static str,
    pub processors: usize,
    pub clients: usize,
    pub endpoints: usize,
    pub webhooks: usize,
    pub payload_bytes: usize,
    /// Wanted events a second; 0 = as many as the clients can post.
    pub rate: u32,
    pub retention: String,
    pub accepted: u64,
    /// Events that were not accepted with 202.
    pub refused: u64,
    pub deliveries: u64,
    /// Accepted and not delivered.
    pub missing: u64,
    pub minutes: Vec<Minute>,
}

/// Counts of the whole run, and latencies of the running minute.
#[derive(Debug)]
struct Counts {
    begun: Instant,
    accepted: AtomicU64,
    refused: AtomicU64,
    arrived: AtomicU64,
    accepted_after: Latency,
    arrived_after: Latency,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            begun: Instant::now(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            accepted_after: Latency::new(),
            arrived_after: Latency::new(),
        }
    }

    /// Microseconds since the start; an event carries those of its post.
    fn now(&self) -> usize {
        usize::try_from(self.begun.elapsed().as_micros()).unwrap_or(usize::MAX)
    }

    fn since(&self, posted: usize) -> u64 {
        u64::try_from(self.now().saturating_sub(posted)).unwrap_or(u64::MAX)
    }
}

impl Arrivals for Counts {
    fn arrive(&self, event: usize, _endpoint: usize) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.arrived_after.observe(self.since(event));
    }
}

/// Latencies in buckets, each a twelfth wider than the one before: a quantile is exact to 8 %.
#[derive(Debug)]
struct Latency(Vec<AtomicU64>);

/// Buckets of [`Latency`]: up to ten minutes.
const BUCKETS: usize = 256;
const GROWTH: f64 = 13.0 / 12.0;

impl Latency {
    fn new() -> Latency {
        Latency((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }

    fn observe(&self, microseconds: u64) {
        let bucket = (microseconds.max(1) as f64).log(GROWTH) as usize;
        self.0[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The 99th percentile in ms of what was observed since the last call.
    fn take_p99(&self) -> f64 {
        let counts: Vec<u64> = self.0.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if all > 0 && seen * 100 >= all * 99 {
                return GROWTH.powi(i32::try_from(bucket + 1).unwrap_or(i32::MAX)) / 1_000.0;
            }
        }
        0.0
    }
}

/// Runs the load and calls `on_minute` after each minute. Leaves nothing behind but the result.
pub async fn run(
    plan: &BenchPlan,
    sustained: &SustainedPlan,
    on_minute: impl Fn(&Minute),
) -> Result<SustainedReport, BenchError> {
    let in_parent = |e| BenchError::Directory(plan.parent.clone(), e);
    let directory = TempDirectory::create_in(&plan.parent, "bench").map_err(in_parent)?;
    let settings =
        ChildSettings { retention: Some(&sustained.retention), webhooks: plan.endpoints + plan.webhooks };
    let child = Child::start(directory.path(), settings).await?;
    let counts = Arc::new(Counts::new());
    let receiver = receiver::start(counts.clone()).await.map_err(BenchError::Receiver)?;
    load::create_webhooks((child.address(), child.token()), receiver, plan.endpoints, plan.webhooks).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..plan.clients {
        let client = Client::connect(child.address(), Some(child.token())).await?;
        let pace = Pace::of(sustained.rate, number, plan.clients);
        clients.spawn(post(client, pace, plan.payload, counts.clone(), stop.clone()));
    }
    let minutes = minutes(sustained, &counts, &child, on_minute).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.map_err(RequestError::from)??;
    }
    let expected = counts.accepted.load(Ordering::Relaxed) * plan.endpoints as u64;
    let since = Instant::now();
    while counts.arrived.load(Ordering::Relaxed) < expected && since.elapsed() < PATIENCE {
        tokio::time::sleep(POLL).await;
    }
    child.stop().await?;
    let deliveries = counts.arrived.load(Ordering::Relaxed);
    Ok(SustainedReport {
        version: env!("CARGO_PKG_VERSION"),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        clients: plan.clients,
        endpoints: plan.endpoints,
        webhooks: plan.webhooks,
        payload_bytes: plan.payload,
        rate: sustained.rate,
        retention: sustained.retention.clone(),
        accepted: counts.accepted.load(Ordering::Relaxed),
        refused: counts.refused.load(Ordering::Relaxed),
        deliveries,
        missing: expected.saturating_sub(deliveries),
        minutes,
    })
}

/// Measures each minute at its end.
async fn minutes(
    sustained: &SustainedPlan,
    counts: &Counts,
    child: &Child,
    on_minute: impl Fn(&Minute),
) -> Vec<Minute> {
    let mut minutes = Vec::new();
    let mut before = (0, 0);
    for number in 1..=sustained.minutes {
        tokio::time::sleep_until(counts.begun + sustained.minute * number).await;
        let now = (counts.accepted.load(Ordering::Relaxed), counts.arrived.load(Ordering::Relaxed));
        let figures = child.figures();
        let minute = Minute {
            minute: number,
            accepted_per_second: (now.0 - before.0) as f64 / sustained.minute.as_secs_f64(),
            deliveries_per_second: (now.1 - before.1) as f64 / sustained.minute.as_secs_f64(),
            accepted_after_ms_p99: counts.accepted_after.take_p99(),
            arrived_after_ms_p99: counts.arrived_after.take_p99(),
            disk_bytes: child.disk_bytes(),
            memory_bytes: figures.resident_bytes,
            cpu_seconds: figures.cpu_seconds,
        };
        before = now;
        on_minute(&minute);
        minutes.push(minute);
    }
    minutes
}

/// When a client posts.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Duration,
    every: Duration,
}

impl Pace {
    /// The share of one of `clients` in a rate; `None`: one event after another.
    fn of(rate: u32, number: usize, clients: usize) -> Option<Pace> {
        let gap = 1.0 / f64::from(rate);
        (rate > 0).then(|| Pace {
            first: Duration::from_secs_f64(gap * number as f64),
            every: Duration::from_secs_f64(gap * clients as f64),
        })
    }
}

async fn post(
    mut client: Client,
    pace: Option<Pace>,
    size: usize,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
) -> Result<(), RequestError> {
    let mut due = counts.begun + pace.map_or(Duration::ZERO, |pace| pace.first);
    while !stop.load(Ordering::Relaxed) {
        if let Some(pace) = pace {
            tokio::time::sleep_until(due).await;
            due += pace.every;
        }
        let posted = counts.now();
        let (status, _) = client.post("/v1/events", envelope(posted, size)).await?;
        if status.is_success() {
            counts.accepted.fetch_add(1, Ordering::Relaxed);
            counts.accepted_after.observe(counts.since(posted));
        } else {
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_within_a_twelfth_and_of_one_minute_only() {
        let latency = Latency::new();
        assert_eq!(latency.take_p99(), 0.0);
        for ms in 1..=1_000 {
            latency.observe(ms * 1_000);
        }
        let p99 = latency.take_p99();
        assert!((990.0..990.0 * GROWTH).contains(&p99), "{p99}");
        latency.observe(1_000);
        assert!(latency.take_p99() < 1.2);
        latency.observe(u64::MAX);
        assert!(latency.take_p99() > 600_000.0, "the last bucket takes the rest");
    }

    #[test]
    fn the_clients_share_a_rate() {
        assert!(Pace::of(0, 0, 4).is_none());
        let pace = Pace::of(2_000, 3, 64).unwrap();
        assert_eq!((pace.first, pace.every), (Duration::from_micros(1_500), Duration::from_millis(32)));
    }
}
