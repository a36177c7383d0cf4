//! A progress bar on stderr.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::tally::Tally;

const EVERY: Duration = Duration::from_millis(200);
const WIDTH: usize = 30;

/// The bar; dropping it clears the line.
pub(super) struct Progress(JoinHandle<()>);

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

/// Shows the progress of a run.
pub(super) fn show(tally: Arc<Tally>) -> Progress {
    Progress(tokio::spawn(async move {
        loop {
            let _ = write!(io::stderr(), "\r{}", bar(tally.arrived(), tally.expected()));
            tokio::time::sleep(EVERY).await;
        }
    }))
}

fn bar(done: usize, all: usize) -> String {
    let full = (done * WIDTH).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
    format!("[{:=<full$}{:width$}] {done} of {all} delivered", "", "", width = WIDTH - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_the_share_of_deliveries() {
        assert_eq!(bar(0, 10), format!("[{}] 0 of 10 delivered", " ".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}] 5 of 10 delivered", "=".repeat(15), " ".repeat(15)));
        assert_eq!(bar(10, 10), format!("[{}] 10 of 10 delivered", "=".repeat(30)));
    }
}
