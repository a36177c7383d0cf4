//! Statistics: counts that are kept in the same transactions as the rows they count, so that reading
//! them costs the same however long the log is, and retention changes none of them. Tests count nowhere.
//!
//! Two words to keep apart: a *delivery* counts once, where its newest attempt stands; an *attempt*
//! counts each time.

use async_trait::async_trait;

use crate::domain::attempts::status_class::StatusClass;
use crate::domain::health::HealthSummary;
use crate::domain::values::histogram::Bucket;
use crate::domain::{AppId, EndpointId, ErrorKind, Timestamp};
use crate::store::Result;

/// How long counts by the minute are kept, in ms; those by the hour are kept forever.
pub const MINUTES_KEPT_MS: i64 = 7 * 86_400_000;

/// What happened in a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Point {
    /// When it begins, in ms since 1970.
    pub start_ms: i64,
    /// Deliveries that were made in it.
    pub deliveries: u64,
    /// Of these, the ones that are exhausted now.
    pub failed_deliveries: u64,
    /// Attempts sent in it that were delivered.
    pub delivered: u64,
    /// Attempts sent in it that are exhausted now.
    pub exhausted: u64,
    /// Attempts sent in it that failed, the last ones of deliveries included, interrupted ones not.
    pub failed_attempts: u64,
    /// Attempts sent in it that have a response time, and the sum of these times.
    pub response_count: u64,
    pub response_ms_sum: u64,
    /// Of the same attempts, ascending; empty where it was not asked for.
    pub histogram: Vec<(Bucket, u64)>,
    /// Failed attempts by the class of their response's status, only in steps of whole hours. Those from before
    /// classes were counted are in none.
    pub failed_statuses: Vec<(StatusClass, u64)>,
}

impl Point {
    /// Attempts by the class of their response's status, without empty classes. A delivered one had a 2xx; of failed
    /// ones from before classes were counted it is not known.
    pub fn statuses(&self) -> Vec<(StatusClass, u64)> {
        let known: u64 = self.failed_statuses.iter().map(|(_, count)| count).sum();
        let count = |class: StatusClass| {
            let of_class = self.failed_statuses.iter().filter(|(of, _)| *of == class);
            let more = match class {
                StatusClass::Success => self.delivered,
                StatusClass::Other => self.failed_attempts.saturating_sub(known),
                _ => 0,
            };
            of_class.map(|(_, count)| count).sum::<u64>() + more
        };
        let all = StatusClass::ALL.iter().map(|class| (*class, count(*class)));
        all.filter(|(_, count)| *count > 0).collect()
    }
}

/// Deliveries as they stand now, over all time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// All of them: the sum of the four that follow.
    pub deliveries: u64,
    pub delivered: u64,
    pub exhausted: u64,
    pub pending: u64,
    pub cancelled: u64,
    /// Every attempt that failed, interrupted ones left out.
    pub failed_attempts: u64,
    /// Finished newest attempts (delivered or exhausted) that have a response time, and its sum.
    pub response_count: u64,
    pub response_ms_sum: u64,
    /// When an attempt was last sent.
    pub last_attempted_at: Option<Timestamp>,
}

/// How an endpoint is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointFigures {
    pub endpoint_id: EndpointId,
    pub totals: Totals,
    /// Health and what lists sort by.
    pub standing: HealthSummary,
    /// Deliveries made in the last 24 hours, to the minute, and how many of them are exhausted now.
    pub last_24h_deliveries: u64,
    pub last_24h_failed: u64,
}

/// Failed attempts that failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCount {
    pub kind: ErrorKind,
    /// `None`: no response arrived.
    pub response_status: Option<u16>,
    pub count: u64,
    pub last_message: String,
    /// When the last of them ended.
    pub last_at: Timestamp,
    /// When the first of them was sent that no delivered attempt has followed, as far back as the log
    /// reaches. `None`: something was delivered after the last of them.
    pub since: Option<Timestamp>,
}

/// Response times of the finished newest attempts of an endpoint, over all time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// The extremes of all that ever were in the histogram; a retry may have taken them out of it.
    pub min_ms: Option<u64>,
    pub max_ms: Option<u64>,
    /// Ascending.
    pub histogram: Vec<(Bucket, u64)>,
}

/// All that the health of an endpoint is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthFigures {
    pub figures: EndpointFigures,
    /// The last 24 hours, to the minute, without histogram.
    pub last_24h: Point,
    /// The 24 hours before.
    pub day_before: Point,
    /// The most frequent first.
    pub errors: Vec<ErrorCount>,
    pub times: Times,
}

/// Statistics.
#[async_trait]
pub trait StatsStore: Send + Sync {
    /// Steps of `step_ms` over an app's endpoints (deleted ones included) or one of them: those in which
    /// something happened, by their start, from `since` to before `until`. `step_ms` is whole minutes, and
    /// `since` and `until` are multiples of it. Whole hours reach back without limit, finer steps for
    /// [`MINUTES_KEPT_MS`].
    async fn stats_points(
        &self,
        app: AppId,
        endpoint: Option<EndpointId>,
        since: Timestamp,
        until: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<Point>>;
    /// The totals of an app's endpoints, deleted ones included, or of one of them.
    async fn stats_totals(&self, app: AppId, endpoint: Option<EndpointId>) -> Result<Totals>;
    /// The figures of these endpoints of the app, in the same order; unknown ones are left out.
    async fn stats_endpoints(
        &self,
        app: AppId,
        endpoints: Vec<EndpointId>,
        now: Timestamp,
    ) -> Result<Vec<EndpointFigures>>;
    /// Everything about the health of an endpoint, with up to `errors` kinds of errors.
    async fn stats_health(
        &self,
        app: AppId,
        endpoint: EndpointId,
        errors: u32,
        now: Timestamp,
    ) -> Result<Option<HealthFigures>>;
    /// Whether storage answers; for `/readyz`.
    async fn ping(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_status_and_unknown_ones_are_other() {
        let failed_statuses =
            vec![(StatusClass::Success, 1), (StatusClass::ServerError, 3), (StatusClass::None, 2)];
        let point = Point { delivered: 5, failed_attempts: 9, failed_statuses, ..Point::default() };
        let words: Vec<_> =
            point.statuses().into_iter().map(|(class, count)| (class.as_str(), count)).collect();
        assert_eq!(words, [("2xx", 6), ("5xx", 3), ("none", 2), ("other", 3)]);
        assert_eq!(Point::default().statuses(), []);
    }
}
