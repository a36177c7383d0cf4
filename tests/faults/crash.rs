//! `kill -9` at random moments: no accepted event is lost, no finished attempt is sent again, and the next
//! start is quick.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::audit::{Audit, audit};
use crate::load::{Load, TYPES, type_of};
use crate::program::{Program, Running};
use crate::sink::Sink;
use crate::support::HANGS_AFTER;
use crate::{Dice, form, say};

/// What the cycles showed.
#[derive(Debug, Default)]
struct Figures {
    accepted: usize,
    /// Requests more than there are attempts.
    repeated: u32,
    ready: Vec<Duration>,
    /// From readiness until all that was overdue had arrived.
    overdue: Vec<Duration>,
    most_overdue: usize,
}

/// Kills of one directory. Each kill is followed by a check of all of it, so it must not grow without limit.
const KILLS_OF_A_LIFE: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn repeated_kills_lose_nothing_and_repeat_only_requests_in_flight() {
    let mut dice = Dice::of("crash");
    let mut figures = Figures::default();
    let kills = form(4, 100);
    for first in (0..kills).step_by(KILLS_OF_A_LIFE as usize) {
        live(first..kills.min(first + KILLS_OF_A_LIFE), &mut dice, &mut figures).await;
    }
    report(kills, &figures);
}

/// One directory, in which a server is killed repeatedly.
async fn live(kills: Range<u64>, dice: &mut Dice, figures: &mut Figures) {
    let program = Program::new();
    // Some are refused at first, so that there are retries as well.
    let sink = Sink::with(|name, n| if n == 1 && name.ends_with('7') { 503 } else { 200 }).await;
    let token = program.key().await;
    let mut ledger = BTreeSet::new();
    let mut pending_at_kills = BTreeMap::new();
    let mut found: Option<Audit> = None;
    for kill in kills {
        // Sometimes it is killed while it starts; it may have begun to send.
        if found.is_some() && kill % 10 == 9 {
            let starting = program.start(&token).await;
            tokio::time::sleep(Duration::from_micros(dice.below(30_000))).await;
            starting.kill();
            found = Some(after_a_kill(&program, &ledger, &mut pending_at_kills));
        }
        let (running, ready) = program.serve(&token).await;
        figures.ready.push(ready);
        match &found {
            None => webhooks(&running, &sink).await,
            Some(found) => overdue_arrives(found, &sink, figures).await,
        }
        let mut load = Load::start(&running, &kill.to_string());
        load.accepted(1 + dice.below(form(300, 1_500))).await;
        tokio::time::sleep(Duration::from_micros(dice.below(5_000))).await;
        running.kill();
        ledger.extend(load.end().await.accepted);
        found = Some(after_a_kill(&program, &ledger, &mut pending_at_kills));
    }
    let (running, _) = program.serve(&token).await;
    let missing = sink.all_of(ledger.iter(), HANGS_AFTER).await;
    assert!(missing.is_empty(), "never arrived: {missing:?}");
    running.drained().await;
    running.stop().await;
    let end = audit(&program.data());
    figures.repeated += only_what_was_in_flight_came_again(&end, &sink, &pending_at_kills);
    figures.accepted += ledger.len();
}

/// Checks the files after a kill: every accepted event is there. Notes what is pending.
fn after_a_kill(program: &Program, ledger: &BTreeSet<String>, pending: &mut BTreeMap<String, u32>) -> Audit {
    let found = audit(&program.data());
    let lost = found.lost(ledger.iter());
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    for name in found.pending() {
        *pending.entry(name.clone()).or_default() += 1;
    }
    found
}

/// A webhook for each type of events.
pub(crate) async fn webhooks(running: &Running, sink: &Sink) {
    for kind in 0..TYPES {
        running
            .webhook(&sink.url("/"), &type_of(kind), json!({ "retry_schedule": ["1s", "1s", "1s"] }))
            .await;
    }
}

/// Measures from readiness how long what was overdue takes; what was refused waits for its retry.
async fn overdue_arrives(found: &Audit, sink: &Sink, figures: &mut Figures) {
    let ready_at = Instant::now();
    let overdue: Vec<String> = found.pending().filter(|name| !name.ends_with('7')).cloned().collect();
    let missing = sink.all_of(overdue.iter(), HANGS_AFTER).await;
    assert!(missing.is_empty(), "never sent: {missing:?}");
    let took = ready_at.elapsed();
    figures.overdue.push(took);
    figures.most_overdue = figures.most_overdue.max(overdue.len());
    assert!(took < form(Duration::from_secs(10), Duration::from_secs(1)), "{} took {took:?}", overdue.len());
}

/// An event comes once for each of its attempts, and once more for each kill at which it was pending. Gives
/// how many came more often than they have attempts.
fn only_what_was_in_flight_came_again(
    end: &Audit,
    sink: &Sink,
    pending_at_kills: &BTreeMap<String, u32>,
) -> u32 {
    let mut repeated = 0;
    sink.read_all(|seen| {
        for (name, arrivals) in seen {
            let Some(delivery) = end.deliveries.get(name) else {
                panic!("{name} arrived and is not in the log");
            };
            assert!(delivery.is_delivered && delivery.owners == 1, "{name}: {delivery:?}");
            let more = arrivals.count.saturating_sub(delivery.attempts);
            let allowed = pending_at_kills.get(name).copied().unwrap_or(0);
            assert!(more <= allowed, "{name} came {} times, with {delivery:?}", arrivals.count);
            repeated += more;
        }
    });
    repeated
}

fn report(kills: u64, figures: &Figures) {
    let most = |all: &[Duration]| all.iter().max().copied().unwrap_or_default();
    let (ready, overdue) = (most(&figures.ready), most(&figures.overdue));
    say(
        "crash",
        format!(
            "{kills} kills, {} events accepted, 0 lost, {} came again; ready in {ready:.0?} at most; all that was \
             overdue (up to {}) arrived within {overdue:.0?} of that",
            figures.accepted, figures.repeated, figures.most_overdue,
        ),
    );
    assert!(ready < form(Duration::from_secs(10), Duration::from_secs(2)), "ready only after {ready:?}");
}
