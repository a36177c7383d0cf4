//! `kill -9` in the middle of sweeps: what is left of the log is whole, what is pending is sent, and the next
//! sweep goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::audit;
use crate::crash::webhooks;
use crate::load::Load;
use crate::program::{Program, Running};
use crate::sink::Sink;
use crate::support::app::json_body;
use crate::support::{HANGS_AFTER, in_time};
use crate::{Dice, form, say};

/// Sweeps until it is told to stop; how many rows went.
async fn sweep_again_and_again(running: &Running) -> u64 {
    let mut removed = 0;
    loop {
        // The server is killed meanwhile.
        let request = json_body(running.request(Method::POST, "/v1/retention/sweep"), "{}");
        let Ok(answer) = request.send().await else { return removed };
        let swept: Value =
            answer.text().await.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        removed += swept["data"]["attributes"]["attempts"].as_u64().unwrap_or(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_of_sweeps_leave_the_log_whole() {
    let mut dice = Dice::of("retention");
    let mut program = Program::new();
    program.set("POSTRIDER_RETENTION__LOGS", "1s");
    program.set("POSTRIDER_RETENTION__EVENTS", "1s");
    // Some are refused at first, so that there are deliveries with several rows.
    let sink = Sink::with(|name, n| if n == 1 && name.ends_with('7') { 503 } else { 200 }).await;
    let token = program.key().await;
    let (mut ledger, mut removed) = (BTreeSet::new(), 0);
    let kills = form(4, 50);
    for kill in 0..kills {
        let (running, _) = program.serve(&token).await;
        if kill == 0 {
            webhooks(&running, &sink).await;
        }
        let mut load = Load::start(&running, &format!("swept-{kill}"));
        let load_and_kill = async {
            load.accepted(1 + dice.below(form(600, 3_000))).await;
            tokio::time::sleep(Duration::from_micros(dice.below(1_500_000))).await;
            running.signal("KILL");
        };
        let (swept, ()) = tokio::join!(sweep_again_and_again(&running), load_and_kill);
        removed += swept;
        running.kill();
        ledger.extend(load.end().await.accepted);
        whole(&program, kill);
    }
    let (running, _) = program.serve(&token).await;
    let missing = sink.all_of(ledger.iter(), HANGS_AFTER).await;
    assert!(missing.is_empty(), "never arrived: {missing:?}");
    running.drained().await;
    in_time("a log without rows", async {
        loop {
            let (_, swept): (u16, Value) = running.post("/v1/retention/sweep", json!({})).await;
            removed += swept["data"]["attributes"]["attempts"].as_u64().unwrap_or(0);
            let (_, rows) = running.get("/v1/webhooks/deliveries").await;
            let rows: Value = serde_json::from_str(&rows).unwrap();
            if rows["meta"]["total"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    running.stop().await;
    whole(&program, kills);
    say(
        "retention",
        format!(
            "{kills} kills during sweeps, {} events accepted, 0 lost; sweeps that ended removed {removed} rows",
            ledger.len()
        ),
    );
    assert!(removed > 0);
}

/// Every delivery that is left has all its rows and one owner.
fn whole(program: &Program, kill: u64) {
    for (name, found) in audit(&program.data()).deliveries {
        assert!(found.attempts == 0 || found.owners == 1, "kill {kill}: {name}: {found:?}");
    }
}
