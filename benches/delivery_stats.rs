//! Whether statistics of a webhook cost the same on a long log as on a short one.
//!
//!     cargo bench --bench delivery_stats                   1,000 and 2,000,000 attempts
//!     POSTRIDER_BENCH_ROWS=… POSTRIDER_BENCH_DIR=…         as for log_queries
//!
//! The webhook is the one with half of the rows. Both logs are asked in turn through the storage traits. It
//! prints a table in Markdown and ends with exit code 1 when the ratio of `delivery_stats` is not below 1.5.
//! The other questions read more rows where more has happened in the last two days, or where there are more
//! kinds of outcomes, up to a bound that has nothing to do with the length of the log.

use std::process::ExitCode;
use std::sync::Arc;

use log::{END, ENDPOINTS, endpoint_id, median, monotonic, options};
use postrider::domain::{AppId, EndpointId, Timestamp};
use postrider::store::sqlite::SqliteStore;
use postrider::store::{AppStore as _, RecentStore as _, StatsStore as _};

mod log;

const SMALL: u64 = 1_000;
const RATIO_MAX: f64 = 1.5;
const ROUNDS: usize = 2_000;

const QUESTIONS: [(&str, Question); 4] = [
    ("`delivery_stats` and `health` of a webhook", Question::One),
    ("the same of all 20 webhooks", Question::All),
    ("`recent_events`, 50 of them", Question::Recent),
    ("`GET /v1/webhooks/{id}/health`", Question::Health),
];

#[derive(Clone, Copy)]
enum Question {
    One,
    All,
    Recent,
    Health,
}

struct Log {
    store: Arc<SqliteStore>,
    app: AppId,
}

impl Log {
    /// Asks once and gives the time in µs.
    async fn ask(&self, question: Question) -> f64 {
        let now = Timestamp::from_millis(END);
        let begun = monotonic();
        match question {
            Question::One => self.figures(vec![endpoint_id(1)]).await,
            Question::All => self.figures((1..=ENDPOINTS).map(endpoint_id).collect()).await,
            Question::Recent => {
                let found = self.store.delivery_recent(self.app, endpoint_id(1), 50).await;
                assert_eq!(found.expect("storage answers").len(), 50);
            }
            Question::Health => {
                let found = self.store.stats_health(self.app, endpoint_id(1), 20, now).await;
                assert!(found.expect("storage answers").is_some());
            }
        }
        (monotonic() - begun) as f64 / 1_000.0
    }

    async fn figures(&self, endpoints: Vec<EndpointId>) {
        let wanted = endpoints.len();
        let found = self.store.stats_endpoints(self.app, endpoints, Timestamp::from_millis(END)).await;
        let found = found.expect("storage answers");
        assert_eq!(found.len(), wanted);
        assert!(found[0].totals.delivered > 0, "there is something to count");
    }
}

fn main() -> ExitCode {
    let (dir, _scratch) = log::directory();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let ratios = runtime.block_on(async {
        let mut logs = Vec::new();
        for rows in [SMALL, log::rows()] {
            let path = log::file(&dir, rows).await;
            let store = SqliteStore::open(&path, options()).expect("the log");
            let app = store.app_find("default").await.expect("storage answers").expect("there is one app").id;
            logs.push(Log { store, app });
        }
        println!("| median of {ROUNDS} | {SMALL} attempts: µs | {}: µs | ratio |", log::rows());
        println!("|---|--:|--:|--:|");
        let mut ratios = Vec::new();
        for (what, question) in QUESTIONS {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (log, times) in logs.iter().zip(&mut times) {
                    times.push(log.ask(question).await);
                }
            }
            let [small, large] = times.map(median);
            println!("| {what} | {small:.0} | {large:.0} | {:.2} |", large / small);
            ratios.push(large / small);
        }
        ratios
    });
    if ratios[0] < RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
