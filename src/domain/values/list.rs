//! Pages of lists: which one is asked for, and what comes back.

/// Where a page of a list starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start<K> {
    /// At this page, from 1.
    Page(u32),
    /// Behind the row with this key.
    After(K),
}

/// A page that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    pub start: Start<K>,
    /// 1 to 200.
    pub per_page: u32,
}

/// The highest total that is counted.
pub const TOTAL_CAP: u64 = 10_000;

/// How many rows a list has: exact up to [`TOTAL_CAP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    pub rows: u64,
    pub capped: bool,
}

/// A page of what a search has found that reads row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage<T, K> {
    pub rows: Vec<T>,
    /// How many rows were read for it.
    pub scanned: u64,
    /// The key to go on behind; `None` when everything has been read.
    pub next: Option<K>,
}

impl<T, K> Default for SearchPage<T, K> {
    fn default() -> SearchPage<T, K> {
        SearchPage { rows: vec![], scanned: 0, next: None }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K> {
    pub rows: Vec<T>,
    pub total: Total,
    /// The key to go on behind, when there are more rows.
    pub next: Option<K>,
}
