//! What all lists have in common: where a page starts, whether there is more, and how far is counted.

use crate::store::{Page, TOTAL_CAP, Total};

/// A list with nothing in it.
pub(crate) fn empty<T, K>() -> Page<T, K> {
    Page { rows: vec![], total: total(0), next: None }
}

/// How many rows come before a page.
pub(crate) fn skipped(page: u32, per_page: u32) -> i64 {
    i64::from(page.saturating_sub(1)) * i64::from(per_page)
}

/// The total that a count up to one above the cap means.
pub(crate) fn total(counted: u64) -> Total {
    Total { rows: counted.min(TOTAL_CAP), capped: counted > TOTAL_CAP }
}

/// Makes a page of rows of which one more than `per_page` was asked for, to see whether there is more.
pub(crate) fn page_of<T, K>(
    mut rows: Vec<T>,
    per_page: u32,
    total: Total,
    key: impl Fn(&T) -> K,
) -> Page<T, K> {
    let more = rows.len() > per_page as usize;
    rows.truncate(per_page as usize);
    let next = if more { rows.last().map(key) } else { None };
    Page { rows, total, next }
}
