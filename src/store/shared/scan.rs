//! Searching by texts that are in no index: rows are read in order until a page is full or the budget is used up;
//! the next page goes on behind the row that was read last. So a page takes a bounded time, however many rows there
//! are.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::network::without_address;
use crate::domain::values::fold::fold;

/// How much one page may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) time: Duration,
    pub(crate) rows: u64,
}

impl Budget {
    pub(crate) const USUAL: Budget = Budget { time: Duration::from_millis(200), rows: u64::MAX };
}

/// A row's place in the order, and its id.
pub(crate) type Place = (i64, i64);

/// What a search has found.
pub(crate) struct Scanned {
    pub(crate) found: Vec<Place>,
    pub(crate) scanned: u64,
    /// Where it goes on; `None`: everything has been read.
    pub(crate) next: Option<Place>,
}

/// A page that is being read.
pub(crate) struct Scan {
    per_page: usize,
    rows: u64,
    end: Instant,
    found: Vec<Place>,
    scanned: u64,
    /// Where the next page goes on, once this one has ended.
    next: Option<Place>,
}

impl Scan {
    pub(crate) fn new(per_page: usize, budget: Budget) -> Scan {
        let end = Instant::now() + budget.time;
        Scan { per_page, rows: budget.rows, end, found: Vec::new(), scanned: 0, next: None }
    }

    /// A row was read. `true`: the page ends.
    pub(crate) fn saw(&mut self, row: Place, is_meant: bool) -> bool {
        self.scanned += 1;
        if is_meant {
            self.found.push(row);
            // One more than a page shows that there is a next one.
            if self.found.len() > self.per_page {
                self.found.pop();
                self.next = self.found.last().copied();
                return true;
            }
        }
        let is_over = self.scanned >= self.rows || self.is_late();
        if is_over {
            self.next = Some(row);
        }
        is_over
    }

    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.end
    }

    /// The page goes on behind a place, without a row there.
    pub(crate) fn stop_at(&mut self, place: Place) {
        self.next = Some(place);
    }

    pub(crate) fn done(self) -> Scanned {
        Scanned { found: self.found, scanned: self.scanned, next: self.next }
    }
}

/// Whether bytes contain a text, as people see them: what is not UTF-8 is U+FFFD.
pub(crate) fn bytes_contain(bytes: Option<&[u8]>, text: &str) -> bool {
    bytes.is_some_and(|bytes| String::from_utf8_lossy(bytes).contains(text))
}

/// Whether a message has a folded part, as far as the caller may see it.
pub(crate) fn has_error(message: &str, part: &str, with_addresses: bool) -> bool {
    let shown = if with_addresses { None } else { without_address(message) };
    fold(shown.as_deref().unwrap_or(message)).contains(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_what_people_see() {
        assert!(bytes_contain(Some(b"{\"a\":\"x%_y\"}"), "x%_y"));
        assert!(!bytes_contain(Some(b"abc"), "B") && !bytes_contain(None, "a"));
        assert!(bytes_contain(Some(b"a\xffb"), "\u{fffd}b"));
        let message = "db.example resolves to 10.0.0.7, which is private; allow 10.0.0.7/32 in network.allow";
        assert!(has_error(message, "10.0.0.7", true) && !has_error(message, "10.0.0.7", false));
        assert!(has_error("Connection REFUSED", "refused", false));
    }
}
