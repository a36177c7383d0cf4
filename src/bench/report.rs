//! The result of a benchmark, as JSON and as text.

use std::fmt::Write as _;

use serde::Serialize;

use super::BenchPlan;
use super::tally::Tally;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    pub version: &'static str,
    pub processors: usize,
    pub events: usize,
    pub clients: usize,
    pub endpoints: usize,
    pub webhooks: usize,
    pub batch: usize,
    pub payload_bytes: usize,
    /// First arrivals.
    pub deliveries: usize,
    /// Accepted with 202 but not delivered.
    pub missing: usize,
    /// Arrivals after the first.
    pub duplicates: usize,
    /// Events that were not accepted with 202.
    pub refused: usize,
    pub accepted_per_second: f64,
    /// From the first post to the last arrival.
    pub deliveries_per_second: f64,
    /// From post to 202, in ms.
    pub accepted_after_ms: Latencies,
    /// From post to first arrival, in ms.
    pub arrived_after_ms: Latencies,
    /// Of the server.
    pub cpu_seconds_per_10000_deliveries: f64,
    /// Of the server.
    pub peak_memory_bytes: u64,
    pub disk_bytes: u64,
    pub disk_bytes_per_delivery: f64,
    /// One write of 4 KiB with fsync, the median of ten.
    pub fsync_ms: f64,
    /// The same requests sent directly to the receiver.
    pub direct_per_second: f64,
    /// Ratio of the direct rate to the delivery rate.
    pub direct_ratio: f64,
}

/// A distribution, in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latencies {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latencies {
    /// Of ascending times.
    fn of(sorted: &[f64]) -> Latencies {
        let Some(last) = sorted.last() else { return Latencies::default() };
        let at = |q: f64| sorted[((sorted.len() as f64 * q) as usize).min(sorted.len() - 1)];
        Latencies { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: *last }
    }
}

/// The measurements of a run.
pub(super) struct Measurements<'a> {
    pub(super) plan: &'a BenchPlan,
    pub(super) tally: &'a Tally,
    pub(super) refused: usize,
    pub(super) accepted_in: std::time::Duration,
    pub(super) cpu_seconds: f64,
    pub(super) peak_resident_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) fsync_ms: f64,
    pub(super) direct: f64,
}

impl BenchReport {
    pub(super) fn new(measured: Measurements<'_>) -> BenchReport {
        let Measurements { plan, tally, direct, .. } = measured;
        let deliveries = tally.arrived();
        let rate = ratio(deliveries as f64, tally.seconds());
        BenchReport {
            version: env!("CARGO_PKG_VERSION"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            events: plan.events,
            clients: plan.clients,
            endpoints: plan.endpoints,
            webhooks: plan.webhooks,
            batch: plan.batch,
            payload_bytes: plan.payload,
            deliveries,
            missing: (tally.accepted() * plan.endpoints).saturating_sub(deliveries),
            duplicates: tally.duplicates(),
            refused: measured.refused,
            accepted_per_second: ratio(tally.accepted() as f64, measured.accepted_in.as_secs_f64()),
            deliveries_per_second: rate,
            accepted_after_ms: Latencies::of(&tally.until_accepted()),
            arrived_after_ms: Latencies::of(&tally.until_arrived()),
            cpu_seconds_per_10000_deliveries: ratio(measured.cpu_seconds * 10_000.0, deliveries as f64),
            peak_memory_bytes: measured.peak_resident_bytes,
            disk_bytes: measured.disk_bytes,
            disk_bytes_per_delivery: ratio(measured.disk_bytes as f64, deliveries as f64),
            fsync_ms: measured.fsync_ms,
            direct_per_second: direct,
            direct_ratio: ratio(direct, rate),
        }
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "Postrider {}, {} processors, fsync {:.1} ms\n{} events of {} bytes",
            self.version, self.processors, self.fsync_ms, self.events, self.payload_bytes
        );
        let how = match self.batch {
            1 => "one per request".to_owned(),
            n => format!("{n} per request"),
        };
        let others = match self.webhooks {
            0 => String::new(),
            n => format!(" and {n} that get no event"),
        };
        let _ = writeln!(text, ", {how}, {} clients, {} webhooks{others}\n", self.clients, self.endpoints);
        let mut line = |what: &str, figure: String| {
            let _ = writeln!(text, "  {what:<12}{figure}");
        };
        let times = |t: &Latencies| format!("p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", t.p50, t.p99, t.max);
        let (accepted, arrived) = (times(&self.accepted_after_ms), times(&self.arrived_after_ms));
        line("accepted", format!("{:.0} events a second; 202 after {accepted}", self.accepted_per_second));
        line("delivered", format!("{:.0} a second; arrived after {arrived}", self.deliveries_per_second));
        let (direct, times) = (self.direct_per_second, self.direct_ratio);
        line(
            "direct",
            format!("{direct:.0} requests a second without Postrider, {times:.1} times the delivery rate"),
        );
        line("processor", format!("{:.2} s per 10,000 deliveries", self.cpu_seconds_per_10000_deliveries));
        line("memory", format!("{:.1} MiB peak", self.peak_memory_bytes as f64 / f64::from(1 << 20)));
        line("disk", format!("{:.0} bytes per delivery", self.disk_bytes_per_delivery));
        for (count, what) in [
            (self.refused, "events were rejected"),
            (self.missing, "deliveries are missing"),
            (self.duplicates, "duplicate deliveries"),
        ] {
            if count > 0 {
                line("problem", format!("{count} {what}"));
            }
        }
        text
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_quantiles() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(Latencies::of(&hundred), Latencies { p50: 51.0, p90: 91.0, p99: 100.0, max: 100.0 });
        assert_eq!(Latencies::of(&[]), Latencies::default());
    }
}
