//! The content of `/metrics`: the meters of each part, and some values read at the time of the scrape.
//!
//! Nothing runs between scrapes. A scrape reads atomics, runs a few storage queries whose cost follows the number
//! of endpoints, and reads file sizes and `/proc`.
//!
//! Counters are those of one node. What is the same for all nodes that share a database (pending attempts,
//! endpoints, the size of storage) is told by the node that leads, and by no other: so the sum over all nodes is
//! right.
//!
//! Names follow the conventions of Prometheus: base units, `_total` for counters. The library writes
//! OpenMetrics; [`plain`] converts it to the older text format that every tool reads.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::cluster::Ownership;
use crate::delivery;
use crate::domain::health::HealthState;
use crate::domain::{ErrorKind, Shard, Timestamp};
use crate::host::clock::Clock;
use crate::host::meter::{Counter, Histogram};
use crate::host::process::Process;
use crate::service::sources::receive::InboundMeters;
use crate::store::{Backend, Oldest, StorageSize, StoreError, StoreMeters};
use crate::upkeep::backup;

/// The sources of the metrics.
pub struct Metrics {
    store: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    sources: MeterSources,
    started_at: Timestamp,
}

/// The meters of each part.
#[derive(Debug, Clone)]
pub struct MeterSources {
    pub storage: Arc<StoreMeters>,
    pub delivery: Arc<delivery::Meters>,
    pub backups: Arc<backup::BackupMeters>,
    /// Log lines dropped because nobody read stderr.
    pub log_lines_dropped: Counter,
    pub inbound: InboundMeters,
    /// `None` where no other node can share the storage.
    pub cluster: Option<ClusterSources>,
}

/// What a node knows of its part in the cluster.
#[derive(Clone)]
pub struct ClusterSources {
    pub ownership: Arc<Ownership>,
    /// Whether this node leads.
    pub leads: watch::Receiver<bool>,
}

impl fmt::Debug for ClusterSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSources").field("leads", &self.leads).finish_non_exhaustive()
    }
}

impl MeterSources {
    /// Whether this node tells what is the same for all nodes.
    fn tells_for_all(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| *cluster.leads.borrow())
    }
}

impl Metrics {
    /// `sources`: the meters of the parts of one server.
    pub fn new(store: Arc<dyn Backend>, clock: Arc<dyn Clock>, sources: MeterSources) -> Metrics {
        // Not from `/proc`, which may hide the boot time.
        let started_at = clock.now();
        Metrics { store, clock, sources, started_at }
    }

    /// All current values in OpenMetrics text.
    ///
    /// # Errors
    /// When the storage query fails.
    pub async fn openmetrics(&self) -> Result<String, StoreError> {
        let whole = match self.sources.tells_for_all() {
            true => Some(self.whole().await?),
            false => None,
        };
        let process = tokio::task::spawn_blocking(Process::own).await.unwrap_or_default();
        let scrape = Scrape {
            sources: self.sources.clone(),
            whole,
            now: self.clock.now(),
            process,
            started_at: self.started_at,
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut text = String::with_capacity(16 * 1_024);
        encode(&mut text, &registry).expect("writing to a string does not fail");
        Ok(text)
    }

    async fn whole(&self) -> Result<Whole, StoreError> {
        let now = self.clock.now();
        let listed = self.store.nodes(now).await?;
        let gone = listed.iter().filter(|node| node.is_gone(now)).count();
        Ok(Whole {
            depth: self.store.pending_of_all().await?,
            oldest: self.store.queue_oldest().await?,
            health: self.store.health_counts(now).await?,
            size: self.store.size().await?,
            nodes: (listed.len() - gone, gone),
        })
    }

    /// The same in the text format 0.0.4 of Prometheus.
    ///
    /// # Errors
    /// As [`Metrics::openmetrics`].
    pub async fn text(&self) -> Result<String, StoreError> {
        Ok(plain(&self.openmetrics().await?))
    }
}

/// The older format names a counter by its sample and has no units and no end mark.
fn plain(openmetrics: &str) -> String {
    let counter = |line: &str| {
        line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")).map(str::to_owned)
    };
    let counters: HashSet<String> = openmetrics.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(openmetrics.len() + 512);
    for line in openmetrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(name) => {
                text += &format!("# {kind} {name}_total {rest}\n");
            }
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

/// The values of one scrape.
#[derive(Debug)]
struct Scrape {
    sources: MeterSources,
    /// `None` where another node tells it.
    whole: Option<Whole>,
    now: Timestamp,
    process: Process,
    started_at: Timestamp,
}

/// What is the same for all nodes that share a storage.
#[derive(Debug)]
struct Whole {
    depth: u64,
    oldest: Oldest,
    health: Vec<(HealthState, u64)>,
    size: StorageSize,
    /// Live ones, and those that are gone.
    nodes: (usize, usize),
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        self.product(&mut page)?;
        self.storage(&mut page)?;
        if let Some(whole) = &self.whole {
            self.whole(whole, &mut page)?;
        }
        if let Some(cluster) = &self.sources.cluster {
            self.cluster(cluster, &mut page)?;
        }
        self.backups(&mut page)?;
        self.process(&mut page)
    }
}

impl Scrape {
    fn product(&self, page: &mut Page<'_>) -> fmt::Result {
        let MeterSources { storage, delivery, .. } = &self.sources;
        page.counter("postrider_events_accepted", "Accepted events", storage.events_accepted.get() as f64)?;
        page.counter(
            "postrider_events_filtered",
            "Deliveries that were not made, because the filter of an endpoint declined the event",
            storage.events_filtered.get() as f64,
        )?;
        page.attempts(delivery)?;
        let failed =
            delivery.attempts().into_iter().filter(|(_, kind, _)| *kind == Some(ErrorKind::Template));
        page.counter(
            "postrider_render_failures",
            "Attempts whose request could not be rendered, without tests",
            failed.map(|(_, _, count)| count).sum::<u64>() as f64,
        )?;
        page.counter(
            "postrider_endpoint_holds",
            "Holds of endpoints that began",
            storage.holds.get() as f64,
        )?;
        page.inbound(&self.sources.inbound)?;
        page.histogram(
            "postrider_attempt_duration_seconds",
            "From the first byte sent to the end of an attempt",
            &delivery.duration,
        )?;
        page.gauge(
            "postrider_in_flight",
            "Requests to receivers in flight, including tests",
            delivery.in_flight.get() as f64,
        )
    }

    fn whole(&self, whole: &Whole, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(
            "postrider_queue_depth",
            "Pending attempts: due, scheduled, or in flight",
            whole.depth as f64,
        )?;
        // Attempts due in the future are not late.
        let age = |due: Option<Timestamp>| {
            due.map_or(0.0, |due| (self.now.as_millis() - due.as_millis()).max(0) as f64 / 1_000.0)
        };
        page.gauge(
            "postrider_queue_oldest_pending_seconds",
            "Time since the oldest pending attempt was due, including paused endpoints",
            age(whole.oldest.of_all),
        )?;
        page.gauge(
            "postrider_queue_lag_seconds",
            "Time since the oldest pending attempt of an active endpoint was due",
            age(whole.oldest.of_active),
        )?;
        page.endpoints(&whole.health)?;
        page.gauge(
            "postrider_store_size_bytes",
            "Size of the database file and its write-ahead log",
            whole.size.bytes as f64,
        )?;
        page.gauge(
            "postrider_store_wal_size_bytes",
            "Size of the write-ahead log alone",
            whole.size.wal_bytes as f64,
        )?;
        if self.sources.cluster.is_some() { page.nodes(whole.nodes) } else { Ok(()) }
    }

    fn storage(&self, page: &mut Page<'_>) -> fmt::Result {
        page.histogram(
            "postrider_writer_group_size",
            "Commands per commit",
            &self.sources.storage.group_size,
        )?;
        page.histogram(
            "postrider_writer_commit_seconds",
            "Duration of a commit, including fsync",
            &self.sources.storage.commit,
        )
    }

    fn cluster(&self, cluster: &ClusterSources, page: &mut Page<'_>) -> fmt::Result {
        let meters = cluster.ownership.meters();
        let held = cluster.ownership.held();
        let held = Shard::all().filter(|shard| held.contains(*shard)).count();
        let is_leader = u8::from(*cluster.leads.borrow());
        page.gauge(
            "postrider_cluster_shards_held",
            "Shards of endpoints that this node sends to",
            held as f64,
        )?;
        page.gauge("postrider_cluster_leader", "1 on the node that leads, else 0", f64::from(is_leader))?;
        page.histogram(
            "postrider_cluster_renewal_seconds",
            "Duration of a renewal of this node's lease",
            &meters.renewal,
        )?;
        page.histogram(
            "postrider_cluster_commit_seconds",
            "Duration of a commit on the database server, network included",
            &self.sources.storage.commit,
        )?;
        for (name, help, counter) in [
            ("renewals", "Renewals of this node's lease", &meters.renewals),
            ("renewal_failures", "Renewals that failed", &meters.renewal_failures),
            ("shards_taken", "Shards taken that were free or of a node that is gone", &meters.shards_taken),
            ("shards_handed_over", "Shards handed over in good order", &meters.shards_handed_over),
            ("shards_lost", "Shards lost without a handover", &meters.shards_lost),
            (
                "stale_results",
                "Results refused because the shard has changed hands since the request was sent",
                &meters.stale_results,
            ),
            ("notifications_sent", "Notifications sent to other nodes", &meters.notifications_sent),
            (
                "notifications_received",
                "Notifications received from other nodes",
                &meters.notifications_received,
            ),
            (
                "notifications_lost",
                "Notifications that could not be sent or read",
                &meters.notifications_lost,
            ),
            (
                "listening_lost",
                "Losses of the connection that listens for notifications",
                &meters.listening_lost,
            ),
        ] {
            page.counter(&format!("postrider_cluster_{name}"), help, counter.get() as f64)?;
        }
        Ok(())
    }

    fn backups(&self, page: &mut Page<'_>) -> fmt::Result {
        let backups = &self.sources.backups;
        page.counter("postrider_backups", "Scheduled backups created", backups.created.get() as f64)?;
        page.counter(
            "postrider_backup_failures",
            "Scheduled backups that failed",
            backups.failed.get() as f64,
        )?;
        page.gauge(
            "postrider_backup_last_success_timestamp_seconds",
            "Time of the last scheduled backup of this process, in seconds since 1970; 0 = none",
            backups.last_at.get() as f64,
        )
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let p = &self.process;
        page.counter(
            "postrider_log_lines_dropped",
            "Log lines dropped because stderr was not read",
            self.sources.log_lines_dropped.get() as f64,
        )?;
        page.info("postrider_build", "The running version", env!("CARGO_PKG_VERSION"))?;
        page.gauge("process_resident_memory_bytes", "Resident memory", p.resident_bytes as f64)?;
        page.gauge("process_virtual_memory_bytes", "Virtual memory", p.virtual_bytes as f64)?;
        page.counter("process_cpu_seconds", "CPU time used, user and system", p.cpu_seconds)?;
        page.gauge("process_open_fds", "Open file descriptors", p.open_fds as f64)?;
        page.gauge("process_max_fds", "Limit of open file descriptors", p.max_fds as f64)?;
        page.gauge("process_threads", "Threads", p.threads as f64)?;
        page.gauge(
            "process_start_time_seconds",
            "Start time, in seconds since 1970",
            self.started_at.as_millis() as f64 / 1_000.0,
        )
    }
}

/// The page during encoding.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let read = histogram.read();
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)
    }

    fn info(&mut self, name: &str, help: &str, version: &str) -> fmt::Result {
        let name = format!("{name}_info");
        let mut encoder = self.0.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        let labels = [("version", version)];
        ConstGauge::new(1_i64).encode(encoder.encode_family(&labels)?)
    }

    fn inbound(&mut self, inbound: &InboundMeters) -> fmt::Result {
        let help = "Requests to sources by what became of them";
        let name = "postrider_inbound_requests";
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (outcome, count) in inbound.all() {
            ConstCounter::new(count).encode(encoder.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }

    fn nodes(&mut self, (live, gone): (usize, usize)) -> fmt::Result {
        let help = "Nodes that share the database, by whether they renew their lease";
        let mut encoder =
            self.0.encode_descriptor("postrider_cluster_nodes", help, None, MetricType::Gauge)?;
        for (state, count) in [("live", live), ("gone", gone)] {
            ConstGauge::new(count as f64).encode(encoder.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }

    fn endpoints(&mut self, health: &[(HealthState, u64)]) -> fmt::Result {
        let help = "Endpoints by the state of their health, without deleted ones";
        let mut encoder = self.0.encode_descriptor("postrider_endpoints", help, None, MetricType::Gauge)?;
        for (state, count) in health {
            let labels = [("state", state.as_str())];
            ConstGauge::new(*count as f64).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn attempts(&mut self, delivery: &delivery::Meters) -> fmt::Result {
        let help = "Finished attempts by outcome and error kind, without tests";
        let mut encoder = self.0.encode_descriptor("postrider_attempts", help, None, MetricType::Counter)?;
        for (status, kind, count) in delivery.attempts() {
            let labels =
                [("outcome", status.as_str()), ("error_kind", kind.map_or("", |kind| kind.as_str()))];
            ConstCounter::new(count).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_by_their_samples() {
        let openmetrics = "# HELP a Some thing.\n# TYPE a counter\n# UNIT a seconds\na_total 1\n\
                           # HELP ab b.\n# TYPE ab gauge\nab 2\n# EOF\n";
        let expected = "# HELP a_total Some thing.\n# TYPE a_total counter\na_total 1\n\
                        # HELP ab b.\n# TYPE ab gauge\nab 2\n";
        assert_eq!(plain(openmetrics), expected);
    }
}
