//! Reading the log of attempts: lists, exports, the live stream, overviews, statistics.

mod export;
mod health;
mod list;
mod live;
mod overview;
mod recent;
mod statistics;

pub use export::{EXPORT_AHEAD, ExportPage, ExportPosition, ExportStore};
pub use health::HealthStore;
pub use list::{LogStore, Retried, TestDelivery};
pub use live::{LiveStore, ResultPage, ResultSeq};
pub use overview::{DueFigures, EndpointBrief, EventOutcome, HourCount, OverviewStore, StorageFacts};
pub use recent::RecentStore;
pub use statistics::{
    EndpointFigures, ErrorCount, HealthFigures, MINUTES_KEPT_MS, Point, StatsStore, Times, Totals,
};
