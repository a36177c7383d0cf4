//! Walking over the whole log, for exports: like the list, but without counting and without an end.
//!
//! An export may take minutes at a client's pace, so nothing is held between two pages: no connection,
//! and no snapshot that would keep the WAL from being cut. The place where it goes on is a value that
//! the caller keeps, and its size is bounded.

use std::collections::VecDeque;

use async_trait::async_trait;

use crate::domain::attempts::attempt::Attempt;
use crate::domain::{AppId, AttemptId};
use crate::store::{AttemptFilter, LogKey, Result, Sort};

/// The most rows of [`ExportPosition::ahead`]: 800 KB.
pub const EXPORT_AHEAD: usize = 100_000;

/// Where an export goes on; the default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportPosition {
    /// More is looked for behind this row; `None`: from the first one.
    pub after: Option<LogKey>,
    /// Rows that were found, in order, and are still to be read. Orders without an index are sorted
    /// again each time more is looked for, so then many are found at once, up to [`EXPORT_AHEAD`].
    pub ahead: VecDeque<AttemptId>,
    /// Whether there is nothing behind `ahead`.
    pub is_last: bool,
}

/// A part of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPage {
    /// May be empty although there is more.
    pub rows: Vec<Attempt>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<ExportPosition>,
}

/// The log, from end to end.
#[async_trait]
pub trait ExportStore: Send + Sync {
    /// How many rows a filter lets through, counted up to `cap`; 0 if it reads rows one by one.
    async fn export_count(&self, app: AppId, filter: AttemptFilter, cap: u64) -> Result<u64>;
    /// Up to `limit` rows from a place on, in the order of the list. In the default order no row that
    /// was there at the beginning is repeated or left out. A row that has ceased to match the filter is
    /// left out.
    async fn export_page(
        &self,
        app: AppId,
        filter: AttemptFilter,
        sort: Sort,
        from: ExportPosition,
        limit: u32,
    ) -> Result<ExportPage>;
}
