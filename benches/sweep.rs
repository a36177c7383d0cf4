//! How much a sweep of a million rows slows down posting events.
//!
//!     cargo bench --bench sweep
//!     POSTRIDER_BENCH_RATE=500                             events a second
//!     POSTRIDER_BENCH_SWEEP_SECS=120                       ends the sweep early
//!     POSTRIDER_BENCH_ROWS=… POSTRIDER_BENCH_DIR=…         as for log_queries
//!
//! Events of 1 KiB come at a steady rate, whatever becomes of those before (so nothing that waits hides),
//! and each one's attempt is finished; the time from when an event was due to when it is on disk is
//! measured: without a sweep, while one removes the older half of the log, and once more without. It
//! prints a table in Markdown and ends with exit code 1 when the sweep doubles the p99.
//!
//! With POSTRIDER_BENCH_POLICY_SECS=60 it measures instead whether retention keeps up: on an empty log, with the
//! real clock, and a policy of so many seconds. First nothing expires for as long as the policy is, then it runs for
//! POSTRIDER_BENCH_SECS=300 with the policy and prints a line for each POSTRIDER_BENCH_LINE_SECS=10. With
//! POSTRIDER_BENCH_RATE=0, 64 clients post as fast as they can.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log::{END, monotonic, options, type_name};
use postrider::cluster::AlwaysLeader;
use postrider::domain::attempts::attempt::{Outcome, Request, Response};
use postrider::domain::attempts::hold::DisableRules;
use postrider::domain::attempts::retry::Schedule;
use postrider::domain::attempts::transition::Rules;
use postrider::domain::retention::{Rule, Rules as Retention};
use postrider::domain::{AppId, Epoch, EventType, Headers, Span, Timestamp};
use postrider::host::clock::{Clock, FakeClock, SystemClock};
use postrider::store::sqlite::{Options, SqliteStore};
use postrider::store::{
    AppStore as _, EventStore as _, FinishRules, NewEvent, QueueStore as _, SentAs, Store, Taken,
};
use postrider::upkeep::retention::Sweeper;

mod log;

/// How long is measured without a sweep, each time.
const QUIET: Duration = Duration::from_secs(30);
const RATIO_MAX: f64 = 2.0;

/// Clients that post as fast as they can.
const CLIENTS: usize = 64;

struct Load {
    store: Arc<SqliteStore>,
    app: AppId,
    clock: Arc<dyn Clock>,
    rules: FinishRules,
    /// Of the events of the present phase, in ms.
    times: Mutex<Vec<f64>>,
    stop: AtomicBool,
}

impl Load {
    /// Takes one event that was due at `due_ns` to its end.
    async fn one(&self, due_ns: u64) {
        let now = self.clock.now();
        let event = NewEvent {
            event_type: EventType::parse(&type_name(1)).expect("it is well-formed"),
            payload: bytes::Bytes::from(format!("\"{}\"", "x".repeat(1_022))),
            resource_id: None,
            idempotency_key: None,
        };
        let taken = self.store.event_insert(self.app, vec![event], now).await;
        self.times.lock().expect("nobody panics").push((monotonic() - due_ns) as f64 / 1e6);
        let Taken::All(accepted) = taken.expect("storage takes events") else { panic!("there is no key") };
        for queued in accepted.iter().flat_map(|accepted| &accepted.queued) {
            let finished = self
                .store
                .attempt_finish(
                    queued.attempt_id,
                    outcome(now).into(),
                    self.rules.clone(),
                    SentAs::in_epoch(Epoch::FIRST),
                )
                .await;
            finished.expect("storage takes results");
        }
    }

    /// Posts at a steady rate until it is stopped.
    async fn run(self: Arc<Load>, rate: u64) {
        if rate == 0 {
            let client = |load: Arc<Load>| async move {
                while !load.stop.load(Ordering::Relaxed) {
                    load.one(monotonic()).await;
                }
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(self.clone()))).collect();
            for client in clients {
                client.await.expect("a client ends");
            }
            return;
        }
        let (begun, mut posted) = (monotonic(), 0);
        while !self.stop.load(Ordering::Relaxed) {
            let due = begun + posted * 1_000_000_000 / rate;
            match due.checked_sub(monotonic()) {
                Some(left) if left > 0 => tokio::time::sleep(Duration::from_nanos(left)).await,
                _ => {
                    let load = self.clone();
                    tokio::spawn(async move { load.one(due).await });
                    posted += 1;
                }
            }
        }
    }

    /// The times since the last call: how many, p50, p99 and the longest, in ms.
    fn taken(&self) -> (usize, f64, f64, f64) {
        let mut times = std::mem::take(&mut *self.times.lock().expect("nobody panics"));
        times.sort_by(f64::total_cmp);
        let at = |q: f64| times[((times.len() as f64 * q) as usize).min(times.len() - 1)];
        (times.len(), at(0.5), at(0.99), at(1.0))
    }
}

fn outcome(now: Timestamp) -> Outcome {
    let headers: Headers = [("content-type", "application/json")].into_iter().collect();
    let request = Request {
        method: None,
        url: "https://receiver.example/hooks".to_owned(),
        headers: headers.clone(),
        body: None,
    };
    Outcome {
        attempted_at: Some(now),
        finished_at: now.plus_ms(40),
        response_time_ms: Some(40),
        request: Some(request),
        response: Some(Response { status: 200, headers, body: b"ok".to_vec(), body_truncated: false }),
        failure: None,
        not_before: None,
        is_final: false,
        route: None,
    }
}

fn main() -> ExitCode {
    let (dir, _scratch) = log::directory();
    let policy = number("POSTRIDER_BENCH_POLICY_SECS");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let ratio = runtime.expect("a runtime").block_on(async {
        let path = dir.join("sweep.db");
        let remove = || {
            for end in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(dir.join(format!("sweep.db{end}")));
            }
        };
        // A run that was broken off leaves a WAL that must not be taken for this file's.
        remove();
        if let Some(policy) = policy {
            keeps_up(&path, policy).await;
            remove();
            return 0.0;
        }
        std::fs::copy(log::file(&dir, log::rows()).await, &path).expect("the log is copied");
        let conn = rusqlite::Connection::open(&path).expect("the log");
        // One webhook gets the events of the load; the others are out of it.
        conn.execute_batch("UPDATE endpoints SET status = 'disabled' WHERE id > 1").expect("there are some");
        drop(conn);
        let ratio = measure(&path).await;
        remove();
        ratio
    });
    if ratio < RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

async fn load(path: &std::path::Path, options: Options, clock: Arc<dyn Clock>) -> Arc<Load> {
    let store = SqliteStore::open(path, options).expect("the log");
    let app = store.app_find("default").await.expect("storage answers").expect("there is one app").id;
    let rules = FinishRules {
        rules: Rules {
            circuit_failures: 0,
            disable: DisableRules { failures: 0, after_ms: 0 },
            hold_at_most_ms: 0,
            jitter: 0.0,
            unit: 0.0,
        },
        default_schedule: Arc::new(Schedule::new(vec![]).expect("no retries are a schedule")),
    };
    let (times, stop) = (Mutex::default(), AtomicBool::new(false));
    Arc::new(Load { store, app, clock, rules, times, stop })
}

/// Whether rows go as fast as they come.
async fn keeps_up(path: &std::path::Path, policy: u64) {
    let rate = number("POSTRIDER_BENCH_RATE").unwrap_or(2_000);
    let (secs, line) =
        (number("POSTRIDER_BENCH_SECS").unwrap_or(300), number("POSTRIDER_BENCH_LINE_SECS").unwrap_or(10));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // The first opening creates the tables; the endpoint is added before anybody serves.
    SqliteStore::open(path, Options::new(clock.now())).expect("a new log").close().await;
    log::add_endpoint(path).expect("there is none");
    let load = load(path, Options::new(clock.now()), clock.clone()).await;
    let running = tokio::spawn(load.clone().run(rate));
    tokio::time::sleep(Duration::from_secs(5)).await;
    load.taken();
    println!(
        "| second | events a second | p50: ms | p99: ms | longest: ms | file: MB | rows | oldest, past its time: s |\n|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    let begun = monotonic();
    let look = rusqlite::Connection::open(path).expect("the log");
    let span = Span::parse(&format!("{policy}s")).expect("a length of time");
    let rule = Rule { span, is_configured: true };
    let shared: Arc<dyn Store> = load.store.clone();
    let rules = Retention { logs: rule.clone(), events: rule };
    let sweeper = Sweeper::new(shared, clock.clone(), Arc::new(AlwaysLeader::default()), rules);
    let mut sweeping = None;
    loop {
        let second = (monotonic() - begun) / 1_000_000_000;
        if second >= policy && sweeping.is_none() {
            sweeping = Some(sweeper.start());
            println!("| sweeping | | | | | | | |");
        }
        if second >= policy + secs {
            break;
        }
        tokio::time::sleep(Duration::from_secs(line)).await;
        let (events, p50, p99, longest) = load.taken();
        let one = |sql: &str| look.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        let (rows, oldest) =
            (one("SELECT count(*) FROM attempts"), one("SELECT min(created_at) FROM attempts"));
        let late = (clock.now().as_millis() - oldest) / 1_000 - policy as i64;
        let file = one("PRAGMA page_count") as f64 * 4_096.0 / 1e6;
        println!(
            "| {} | {} | {p50:.1} | {p99:.1} | {longest:.1} | {file:.0} | {rows} | {} |",
            second + line,
            events as u64 / line,
            late.max(0)
        );
    }
    sweeper.stop();
    load.stop.store(true, Ordering::Relaxed);
    running.await.expect("the load ends");
    tokio::time::sleep(Duration::from_secs(3)).await;
    load.store.close().await;
}

async fn measure(path: &std::path::Path) -> f64 {
    let rate = number("POSTRIDER_BENCH_RATE").unwrap_or(500);
    let clock = Arc::new(FakeClock::new(Timestamp::from_millis(END)));
    let load = load(path, options(), clock.clone()).await;
    let store = load.store.clone();
    let running = tokio::spawn(load.clone().run(rate));
    // The first seconds fill caches.
    tokio::time::sleep(Duration::from_secs(5)).await;
    load.taken();

    println!("| {rate} events a second | events | p50: ms | p99: ms | longest: ms |\n|---|--:|--:|--:|--:|");
    let line = |what: &str, (events, p50, p99, longest): (usize, f64, f64, f64)| {
        println!("| {what} | {events} | {p50:.1} | {p99:.1} | {longest:.1} |");
        p99
    };
    tokio::time::sleep(QUIET).await;
    let before = line("before", load.taken());
    let half = Span::parse(&format!("{}d", log::DAYS / 2)).expect("days are a length of time");
    let half = Rule { span: half, is_configured: true };
    let shared: Arc<dyn Store> = store.clone();
    let sweeper = Sweeper::new(
        shared,
        clock,
        Arc::new(AlwaysLeader::default()),
        Retention { logs: half.clone(), events: half },
    );
    let begun = monotonic();
    let limit = number("POSTRIDER_BENCH_SWEEP_SECS");
    let stopper = sweeper.clone();
    let stopping = tokio::spawn(async move {
        if let Some(secs) = limit {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            stopper.stop();
        }
    });
    let swept = sweeper.sweep(None).await.expect("the sweep finishes");
    stopping.abort();
    let took = (monotonic() - begun) as f64 / 1e9;
    let during = line("while sweeping", load.taken());
    tokio::time::sleep(QUIET).await;
    let after = line("after", load.taken());
    load.stop.store(true, Ordering::Relaxed);
    running.await.expect("the load ends");
    // Requests in flight may finish.
    tokio::time::sleep(Duration::from_secs(3)).await;
    store.close().await;
    let quiet = before.max(after);
    println!(
        "\nThe sweep removed {} attempts and {} events in {took:.0} s ({:.0} rows a second) and gave {} pages \
         back. p99 while sweeping is {:.2} times the higher one without.",
        swept.attempts,
        swept.events,
        (swept.attempts + swept.events) as f64 / took,
        swept.pages,
        during / quiet
    );
    during / quiet
}
