//! Statistics and health: what the counts of storage say, for every surface.
//!
//! A series is cut into whole steps: it begins at the step that `since` is in and ends with the step that
//! holds the last moment before `until`, so that no point is a part of one. Its totals are those of the
//! same stretch, except `pending`, which is how many deliveries wait now.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::attempts::delivery::RecentDelivery;
use crate::domain::attempts::status_class::StatusClass;
use crate::domain::health::{
    self, ActivityLabel, HealthSummary, ResponseLabel, State, SuccessLabel, Symptom,
};
use crate::domain::values::histogram::{Bucket, bounds, bucket_of, quantile};
use crate::domain::{Endpoint, EndpointId, FieldError, Invalid, Span, Timestamp};
use crate::host::clock::Clock;
use crate::store::{EndpointFigures, MINUTES_KEPT_MS, Page, PageRequest, Point, Store, Times};

pub use crate::store::{ErrorCount, EventTypeCount, Totals};

use crate::service::{Caller, Kind, Result, ServiceError};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// The most points of a series.
pub const POINTS_MAX: i64 = 1_500;
/// The most kinds of errors that health names.
const ERRORS_MAX: u32 = 20;

/// The stretch of time that statistics are asked for.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// 24 hours before `until` unless given.
    pub since: Option<Timestamp>,
    /// Now unless given.
    pub until: Option<Timestamp>,
    pub step: Option<Span>,
}

/// Response times of a series or of a step, in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PointTimes {
    pub average: Option<f64>,
    pub p50: Option<u64>,
    pub p95: Option<u64>,
    pub p99: Option<u64>,
}

impl PointTimes {
    /// Of all attempts of these points. Percentiles of a series come from the sum of its histograms; they cannot
    /// be computed from the percentiles of its steps.
    fn of(points: &[Point]) -> PointTimes {
        let mut counts: BTreeMap<Bucket, u64> = BTreeMap::new();
        for (bucket, n) in points.iter().flat_map(|point| &point.histogram) {
            *counts.entry(*bucket).or_default() += n;
        }
        let counts: Vec<(Bucket, u64)> = counts.into_iter().collect();
        let sum = |figure: fn(&Point) -> u64| points.iter().map(figure).sum();
        PointTimes {
            average: average(sum(|p| p.response_ms_sum), sum(|p| p.response_count)),
            p50: quantile(&counts, 0.5),
            p95: quantile(&counts, 0.95),
            p99: quantile(&counts, 0.99),
        }
    }
}

/// One step of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct StepStats {
    pub start: Timestamp,
    /// Made in it.
    pub deliveries: u64,
    pub delivered: u64,
    pub exhausted: u64,
    pub failed_attempts: u64,
    /// Attempts by the class of their response's status; `None` in steps that are no whole hours.
    pub statuses: Option<Vec<(StatusClass, u64)>>,
    pub times: PointTimes,
}

/// A series and its totals.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    pub since: Timestamp,
    pub until: Timestamp,
    pub step: Span,
    /// Made in this stretch.
    pub deliveries: u64,
    pub delivered: u64,
    pub exhausted: u64,
    /// Waiting now.
    pub pending: u64,
    pub failed_attempts: u64,
    /// Of the whole series.
    pub times: PointTimes,
    pub series: Vec<StepStats>,
}

/// How an endpoint is doing, in figures and labels. Percentages and averages are exact; surfaces round.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub totals: Totals,
    /// Delivered, of all that finished, in percent.
    pub success_rate: Option<f64>,
    /// Over the finished newest attempts, in ms.
    pub average_response_ms: Option<f64>,
    pub last_24h_events: u64,
    /// Of these events, the ones that are exhausted.
    pub last_24h_failures: u64,
    pub success: SuccessLabel,
    pub response_time: ResponseLabel,
    pub activity: ActivityLabel,
    pub standing: HealthSummary,
}

impl Summary {
    pub(crate) fn of(figures: &EndpointFigures) -> Summary {
        let totals = figures.totals;
        Summary {
            totals,
            success_rate: health::percent(totals.delivered, totals.delivered + totals.exhausted),
            average_response_ms: average(totals.response_ms_sum, totals.response_count),
            last_24h_events: figures.last_24h_deliveries,
            last_24h_failures: figures.last_24h_failed,
            success: health::success(totals.delivered, totals.exhausted),
            response_time: health::response_time(totals.response_ms_sum, totals.response_count),
            activity: health::activity(figures.standing.is_failing, figures.last_24h_deliveries),
            standing: figures.standing.clone(),
        }
    }
}

/// Response times over all time, in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AllTimes {
    pub min: Option<u64>,
    pub median: Option<u64>,
    pub average: Option<f64>,
    pub p95: Option<u64>,
    pub p99: Option<u64>,
    pub max: Option<u64>,
}

/// The health of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    pub summary: Summary,
    /// Failed of the last 24 hours' events, in percent.
    pub failure_rate: Option<f64>,
    pub times: AllTimes,
    pub errors: Vec<ErrorCount>,
    /// Against the 24 hours before: percentage points, and ms. `None` when one of the days has nothing.
    pub success_rate_change: Option<f64>,
    pub average_response_change: Option<f64>,
    pub recommendations: Vec<String>,
}

/// The use cases of statistics.
pub struct Statistics {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Statistics {
    /// Joins the parts.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Statistics {
        Statistics { store, clock }
    }

    /// Statistics of one endpoint or of all of the app, deleted ones included.
    pub async fn stats(
        &self,
        caller: &Caller,
        endpoint: Option<EndpointId>,
        window: Window,
    ) -> Result<Stats> {
        if let Some(id) = endpoint {
            self.endpoint(caller, id).await?;
        }
        let cut = Cut::of(window, self.clock.now())?;
        let app = caller.app_id;
        let points = self.store.stats_points(app, endpoint, cut.since, cut.until, cut.step_ms).await?;
        let totals = self.store.stats_totals(app, endpoint).await?;
        let sum = |count: fn(&Point) -> u64| points.iter().map(count).sum();
        Ok(Stats {
            deliveries: sum(|p| p.deliveries),
            delivered: sum(|p| p.delivered),
            exhausted: sum(|p| p.exhausted),
            pending: totals.pending,
            failed_attempts: sum(|p| p.failed_attempts),
            times: PointTimes::of(&points),
            series: cut.series(&points),
            since: cut.since,
            until: cut.until,
            step: cut.step,
        })
    }

    /// The health of an endpoint.
    pub async fn health(&self, caller: &Caller, id: EndpointId) -> Result<Health> {
        let endpoint = self.endpoint(caller, id).await?;
        let now = self.clock.now();
        let found = self.store.stats_health(caller.app_id, id, ERRORS_MAX, now).await?;
        let mut found = found.ok_or(ServiceError::NotFound(Kind::Endpoint))?;
        found.errors.iter_mut().for_each(|error| caller.hide_address(&mut error.last_message));
        let summary = Summary::of(&found.figures);
        let symptoms: Vec<Symptom<'_>> = found.errors.iter().map(symptom).collect();
        let state = State {
            status: endpoint.status,
            response_time: summary.response_time,
            average_ms: summary.average_response_ms.unwrap_or_default().round() as u64,
            now,
        };
        let (last, before) = (&found.last_24h, &found.day_before);
        Ok(Health {
            failure_rate: health::percent(summary.last_24h_failures, summary.last_24h_events),
            times: all_times(&found.times, summary.average_response_ms),
            success_rate_change: change(last, before, |p| {
                health::percent(p.delivered, p.delivered + p.exhausted)
            }),
            average_response_change: change(last, before, |p| average(p.response_ms_sum, p.response_count)),
            recommendations: health::recommendations(&symptoms, state),
            errors: found.errors,
            summary,
        })
    }

    /// The summaries of these endpoints, in the same order; those that are not of this app are left out.
    pub async fn summaries(
        &self,
        caller: &Caller,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<(EndpointId, Summary)>> {
        let found = self.store.stats_endpoints(caller.app_id, endpoints, self.clock.now()).await?;
        Ok(found.iter().map(|figures| (figures.endpoint_id, Summary::of(figures))).collect())
    }

    /// The health of these endpoints, in the same order; those that are not of this app are left out.
    pub async fn health_of(&self, caller: &Caller, endpoints: Vec<EndpointId>) -> Result<Vec<HealthSummary>> {
        Ok(self.store.endpoint_health(caller.app_id, endpoints, self.clock.now()).await?)
    }

    /// An endpoint's latest deliveries, newest first.
    pub async fn recent(
        &self,
        caller: &Caller,
        endpoint: EndpointId,
        limit: u32,
    ) -> Result<Vec<RecentDelivery>> {
        let mut recent = self.store.delivery_recent(caller.app_id, endpoint, limit).await?;
        let messages = recent.iter_mut().filter_map(|delivery| delivery.error_message.as_mut());
        messages.for_each(|message| caller.hide_address(message));
        Ok(recent)
    }

    /// The types of what clients have posted, by name.
    pub async fn event_types(
        &self,
        caller: &Caller,
        page: PageRequest<String>,
    ) -> Result<Page<EventTypeCount, String>> {
        Ok(self.store.event_type_list(caller.app_id, page).await?)
    }

    async fn endpoint(&self, caller: &Caller, id: EndpointId) -> Result<Endpoint> {
        self.store.endpoint_get(caller.app_id, id).await?.ok_or(ServiceError::NotFound(Kind::Endpoint))
    }
}

fn symptom(error: &ErrorCount) -> Symptom<'_> {
    Symptom {
        kind: error.kind,
        response_status: error.response_status,
        count: error.count,
        message: &error.last_message,
        last_at: error.last_at,
        since: error.since,
    }
}

fn average(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

fn change(last: &Point, before: &Point, figure: impl Fn(&Point) -> Option<f64>) -> Option<f64> {
    Some(figure(last)? - figure(before)?)
}

/// Quantiles come from a histogram, the extremes are exact unless a retry has taken them out of it.
fn all_times(times: &Times, average: Option<f64>) -> AllTimes {
    let counts: &[(Bucket, u64)] = &times.histogram;
    let (Some((first, _)), Some((last, _))) = (counts.first(), counts.last()) else {
        return AllTimes::default();
    };
    let min = times.min_ms.filter(|ms| bucket_of(*ms) == *first).unwrap_or(bounds(*first).0);
    let max = times.max_ms.filter(|ms| bucket_of(*ms) == *last).unwrap_or(bounds(*last).1 - 1);
    let at = |q: f64| quantile(counts, q).map(|ms| ms.clamp(min, max));
    AllTimes { min: Some(min), median: at(0.5), average, p95: at(0.95), p99: at(0.99), max: Some(max) }
}

/// A window, cut into whole steps.
struct Cut {
    since: Timestamp,
    until: Timestamp,
    step: Span,
    step_ms: i64,
}

impl Cut {
    /// Reads what was asked for; the errors name the parameters.
    fn of(window: Window, now: Timestamp) -> Result<Cut> {
        let until = window.until.unwrap_or(now);
        let since = window.since.unwrap_or(until.plus_ms(-DAY_MS));
        if since >= until {
            let name = if window.since.is_some() { "since" } else { "until" };
            return Err(invalid(
                name,
                "leaves nothing: since must be before until, which is now unless given",
            ));
        }
        let length = until.as_millis() - since.as_millis();
        let step = window.step.unwrap_or_else(|| default_step(length, since, now));
        let step_ms = step.as_millis_i64();
        if !(MINUTE_MS..=DAY_MS).contains(&step_ms) || step_ms % MINUTE_MS != 0 {
            return Err(invalid("step", "must be whole minutes from 1m to 1d"));
        }
        if step_ms % HOUR_MS != 0 && since < now.plus_ms(-MINUTES_KEPT_MS) {
            return Err(invalid(
                "step",
                "must be whole hours when since is more than 7 days ago; finer counts are kept for 7 days",
            ));
        }
        let down = |ms: i64| ms - ms.rem_euclid(step_ms);
        let since = Timestamp::from_millis(down(since.as_millis()).max(0));
        let until = Timestamp::from_millis(down(until.as_millis() - 1).max(0) + step_ms);
        let points = (until.as_millis() - since.as_millis()) / step_ms;
        if points > POINTS_MAX {
            let message = format!(
                "makes {points} points of this window, and at most {POINTS_MAX} are possible; take a larger \
                 step (up to 1d) or a shorter window"
            );
            return Err(invalid("step", &message));
        }
        Ok(Cut { since, until, step, step_ms })
    }

    /// All steps, those without counts included.
    fn series(&self, points: &[Point]) -> Vec<StepStats> {
        let mut found = points.iter().peekable();
        let steps = (self.until.as_millis() - self.since.as_millis()) / self.step_ms;
        (0..steps)
            .map(|i| {
                let start_ms = self.since.as_millis() + i * self.step_ms;
                let empty = Point::default();
                let point = found.next_if(|point| point.start_ms == start_ms).unwrap_or(&empty);
                StepStats {
                    start: Timestamp::from_millis(start_ms),
                    deliveries: point.deliveries,
                    delivered: point.delivered,
                    exhausted: point.exhausted,
                    failed_attempts: point.failed_attempts,
                    statuses: (self.step_ms % HOUR_MS == 0).then(|| point.statuses()),
                    times: PointTimes::of(std::slice::from_ref(point)),
                }
            })
            .collect()
    }
}

/// A step that makes between a dozen and some hundred points.
fn default_step(length_ms: i64, since: Timestamp, now: Timestamp) -> Span {
    let fine = since >= now.plus_ms(-MINUTES_KEPT_MS);
    let text = match length_ms {
        0..=7_200_000 if fine => "1m",
        0..=21_600_000 if fine => "5m",
        ..=1_209_600_000 => "1h",
        _ => "1d",
    };
    Span::parse(text).expect("these are spans")
}

fn invalid(parameter: &str, message: &str) -> ServiceError {
    Invalid(vec![FieldError::new(parameter, message)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_series_are_those_of_all_its_responses() {
        let point = |ms: u64, n: u64| Point {
            response_count: n,
            response_ms_sum: ms * n,
            histogram: vec![(bucket_of(ms), n)],
            ..Point::default()
        };
        // Nine of ten were fast, and all of those in the newest hour.
        let points = [point(2_000, 10), point(10, 80), Point::default(), point(10, 10)];
        let whole = PointTimes::of(&points);
        let newest = PointTimes::of(&points[3..]);
        assert_eq!((whole.p50, newest.p95), (newest.p50, newest.p50));
        let slow = PointTimes::of(&points[..1]);
        assert_eq!((whole.p95, whole.p99), (slow.p95, slow.p95));
        assert_eq!(whole.average, Some(209.0));
        assert_eq!(PointTimes::of(&points[2..3]), PointTimes::default());
        assert_eq!(PointTimes::of(&[]), PointTimes::default());
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-01T12:34:56.789Z").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn cut(since: Option<&str>, until: Option<&str>, step: Option<&str>) -> Result<Cut> {
        let step = step.map(|s| Span::parse(s).unwrap());
        Cut::of(Window { since: since.map(at), until: until.map(at), step }, now())
    }

    fn refused(since: Option<&str>, until: Option<&str>, step: Option<&str>) -> String {
        match cut(since, until, step) {
            Err(ServiceError::Invalid(Invalid(errors))) => errors[0].pointer.clone(),
            other => panic!("{:?}", other.map(|cut| cut.step)),
        }
    }

    #[test]
    fn a_window_is_widened_to_whole_steps() {
        let day = cut(None, None, None).unwrap();
        assert_eq!((day.since, day.until), (at("2026-02-28T12:00:00Z"), at("2026-03-01T13:00:00Z")));
        assert_eq!((day.step.to_string(), day.series(&[]).len()), ("1h".to_owned(), 25));
        let whole = cut(Some("2026-03-01T10:00:00Z"), Some("2026-03-01T11:00:00Z"), Some("15m")).unwrap();
        assert_eq!((whole.since, whole.until), (at("2026-03-01T10:00:00Z"), at("2026-03-01T11:00:00Z")));
        assert_eq!(whole.series(&[]).len(), 4);
        assert_eq!((&whole.series(&[])[0].statuses, &day.series(&[])[0].statuses), (&None, &Some(vec![])));
        let days = cut(Some("2026-01-01T05:00:00Z"), None, None).unwrap();
        assert_eq!((days.step.to_string(), days.since), ("1d".to_owned(), at("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn what_cannot_be_answered_is_refused_by_name() {
        let old = Some("2026-02-20T00:00:00Z");
        assert_eq!(refused(None, None, Some("30s")), "step");
        assert_eq!(refused(None, None, Some("90s")), "step");
        assert_eq!(refused(None, None, Some("2d")), "step");
        assert_eq!(refused(old, None, Some("30m")), "step");
        assert_eq!(refused(Some("2026-02-25T00:00:00Z"), None, Some("1m")), "step");
        assert_eq!(refused(Some("2020-01-01T00:00:00Z"), None, None), "step");
        assert_eq!(refused(Some("2026-03-02T00:00:00Z"), None, None), "since");
        assert!(cut(old, None, Some("1h")).is_ok());
        assert!(cut(None, None, Some("1m")).is_ok());
    }

    #[test]
    fn exactly_the_most_points_are_possible() {
        let ends = (Some("2026-02-28T00:00:00Z"), "2026-03-01T01:00:00Z", "2026-03-01T01:00:00.001Z");
        assert_eq!(cut(ends.0, Some(ends.1), Some("1m")).unwrap().series(&[]).len(), 1_500);
        assert_eq!(refused(ends.0, Some(ends.2), Some("1m")), "step");
    }

    #[test]
    fn extremes_are_exact_until_a_retry_takes_them_out() {
        let histogram = vec![(bucket_of(40), 1), (bucket_of(900), 1)];
        let exact = Times { min_ms: Some(41), max_ms: Some(905), histogram: histogram.clone() };
        let found = all_times(&exact, Some(473.0));
        assert_eq!((found.min, found.max, found.median), (Some(41), Some(905), Some(41)));
        let left = Times { min_ms: Some(5), max_ms: Some(9_000), histogram };
        let found = all_times(&left, None);
        assert_eq!((found.min, found.max), (Some(40), Some(bounds(bucket_of(900)).1 - 1)));
        assert_eq!(all_times(&Times::default(), None), AllTimes::default());
    }
}
