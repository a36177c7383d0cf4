//! A disk that is full, and one that fails.
//!
//! Where the system allows it (Linux, root) the disk is a tmpfs of a few megabytes, elsewhere the layer of
//! `shim.c` refuses what goes beyond a limit.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::audit::audit;
use crate::crash::webhooks;
use crate::disk::{Disk, Loss, read_journal};
use crate::load::{Load, event, type_of};
use crate::program::{Program, Running};
use crate::shim::{Number, Shim};
use crate::sink::Sink;
use crate::support::{HANGS_AFTER, in_time};
use crate::{Dice, form, say};

const SIZE: i64 = 24 << 20;

/// A small disk, of whichever kind there can be.
enum SmallDisk {
    Tmpfs(PathBuf),
    Shim(Shim),
}

impl SmallDisk {
    /// Puts the program's directory on a small disk.
    fn under(program: &mut Program, wants_shim: bool) -> SmallDisk {
        if !wants_shim {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE},mode=0755"), "tmpfs"]).arg(&program.disk);
            if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return SmallDisk::Tmpfs(program.disk.clone());
            }
        }
        let shim = Shim::new(&program.disk, program.dir(), None);
        shim.env.iter().for_each(|(name, value)| program.set(name, value));
        shim.set(Number::Space, SIZE);
        SmallDisk::Shim(shim)
    }

    fn kind(&self) -> &'static str {
        match self {
            SmallDisk::Tmpfs(_) => "a tmpfs",
            SmallDisk::Shim(_) => "a layer that refuses",
        }
    }

    /// Takes all the space that is left.
    fn fill(&self, program: &Program) {
        match self {
            SmallDisk::Tmpfs(place) => {
                let mut filler =
                    File::options().append(true).create(true).open(place.join("filler")).unwrap();
                for size in [64 << 10, 4 << 10] {
                    while filler.write_all(&vec![1; size]).is_ok() {}
                }
            }
            SmallDisk::Shim(shim) => shim.set(Number::Space, used(&program.disk)),
        }
    }

    /// Gives back what [`SmallDisk::fill`] has taken.
    fn free(&self) {
        match self {
            SmallDisk::Tmpfs(place) => fs::remove_file(place.join("filler")).unwrap(),
            SmallDisk::Shim(shim) => shim.set(Number::Space, SIZE),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let SmallDisk::Tmpfs(place) = self {
            Command::new("umount").arg("-l").arg(place).status().ok();
        }
    }
}

fn used(dir: &Path) -> i64 {
    let entries = fs::read_dir(dir).unwrap().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => used(&entry.path()),
            Ok(found) => i64::try_from(found.len()).unwrap(),
            Err(_) => 0,
        })
        .sum()
}

/// Posts until one is refused for want of space, or until one is accepted; gives the names of the accepted.
async fn post_until(running: &Running, prefix: &str, wanted: u16, accepted: &mut Vec<String>) {
    let until = Instant::now() + HANGS_AFTER;
    for n in 0.. {
        let name = format!("{prefix}-{n}");
        let (status, answer) = running.post("/v1/events", event(&name, 0, 20_000)).await;
        match status {
            202 => accepted.push(name),
            507 => assert_eq!(answer["errors"][0]["code"], "storage_full", "{answer}"),
            _ => panic!("{status}: {answer}"),
        }
        if status == wanted {
            return;
        }
        assert!(Instant::now() < until, "{wanted} never came");
        if status == 507 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn full_and_free_again(wants_shim: bool) {
    let mut program = Program::new();
    let disk = SmallDisk::under(&mut program, wants_shim);
    let sink = Sink::start().await;
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    running.webhook(&sink.url("/"), &type_of(0), json!({})).await;
    let mut accepted = Vec::new();
    post_until(&running, "before", 202, &mut accepted).await;
    running.drained().await;

    // Requests are in flight when the last space goes: their results have nowhere to go.
    sink.hold(true);
    for n in 0..5 {
        let name = format!("flying-{n}");
        assert_eq!(running.post("/v1/events", event(&name, 0, 100)).await.0, 202);
        accepted.push(name);
    }
    assert!(sink.all_of(accepted.iter(), HANGS_AFTER).await.is_empty());
    disk.fill(&program);
    post_until(&running, "filling", 507, &mut accepted).await;
    sink.hold(false);
    // Reads go on, and sending pauses: what comes due is not sent while no result can be written.
    let (status, list) = running.get("/v1/webhooks/deliveries").await;
    assert_eq!(status, 200, "{list}");
    assert_eq!(running.get("/readyz").await.0, 200);
    for n in 0..20 {
        let (status, _) = running.post("/v1/events", event(&format!("refused-{n}"), 0, 20_000)).await;
        assert_eq!(status, 507);
    }
    let sent_while_full = sink.total();
    assert!(sent_while_full <= accepted.len() as u64, "something was sent twice");

    if let SmallDisk::Shim(shim) = &disk {
        assert!(shim.get(Number::SpaceRefused) > 0, "the layer is not below the server");
    }
    disk.free();
    let freed_at = Instant::now();
    post_until(&running, "after", 202, &mut accepted).await;
    let took = freed_at.elapsed();
    assert!(sink.all_of(accepted.iter(), HANGS_AFTER).await.is_empty());
    running.drained().await;
    let all_after = freed_at.elapsed();
    running.stop().await;
    let found = audit(&program.data());
    assert!(found.lost(accepted.iter()).is_empty());
    for name in &accepted {
        assert_eq!(
            sink.of(name).map(|a| a.count),
            Some(1),
            "{name}: a result was lost and it was sent again"
        );
        assert!(found.deliveries[name].is_delivered);
    }
    assert!(!found.deliveries.keys().any(|name| name.starts_with("refused")), "a 507 was taken all the same");
    say(
        "full disk",
        format!(
            "{}: {} accepted, 0 lost, 0 sent twice; 202 again {took:.0?} after there was space, all results written after \
             {all_after:.0?}",
            disk.kind(),
            accepted.len()
        ),
    );
    let limit = form(Duration::from_secs(20), Duration::from_secs(5));
    assert!(took < limit && all_after < limit, "{took:?}, {all_after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_events_loses_no_result_and_recovers_when_there_is_space() {
    full_and_free_again(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_full_disk_refuses_events_loses_no_result_and_recovers() {
    full_and_free_again(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_sweeper_frees_the_space_that_it_needs() {
    let mut program = Program::new();
    program.set("POSTRIDER_RETENTION__LOGS", "1s");
    program.set("POSTRIDER_RETENTION__EVENTS", "1s");
    let disk = SmallDisk::under(&mut program, false);
    let sink = Sink::start().await;
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    running.webhook(&sink.url("/"), &type_of(0), json!({})).await;
    let mut accepted = Vec::new();
    // Not filled from outside: what the server has written itself fills the disk.
    post_until(&running, "old", 507, &mut accepted).await;
    assert!(sink.all_of(accepted.iter(), HANGS_AFTER).await.is_empty());
    let started = Instant::now();
    // What is finished and a second old may go; the first try may come before that.
    let swept = in_time("a sweep that removes something", async {
        loop {
            let (status, swept): (u16, Value) = running.post("/v1/retention/sweep", json!({})).await;
            let events = swept["data"]["attributes"]["events"].as_u64().unwrap_or(0);
            if status == 200 && events > 0 {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let swept_after = started.elapsed();
    let freed_at = Instant::now();
    post_until(&running, "new", 202, &mut accepted).await;
    let took = freed_at.elapsed();
    assert!(sink.all_of(accepted.iter(), HANGS_AFTER).await.is_empty());
    running.stop().await;
    audit(&program.data());
    say(
        "full disk, swept",
        format!("{}: {swept} events removed in {swept_after:.1?}; 202 again {took:.0?} later", disk.kind()),
    );
    assert!(took < form(Duration::from_secs(20), Duration::from_secs(5)), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_fsync_nothing_more_is_accepted_and_a_restart_is_clean() {
    let mut program = Program::new();
    let journal = program.dir().join("journal");
    let shim = Shim::new(&program.disk, program.dir(), Some(&journal));
    shim.env.iter().for_each(|(name, value)| program.set(name, value));
    let mut disk = Disk::of(&program.disk);
    let mut dice = Dice::of("failed-fsync");
    let sink = Sink::start().await;
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    webhooks(&running, &sink).await;
    let mut load = Load::start(&running, "before");
    load.accepted(50).await;
    shim.set(Number::FailSync, 1);
    let code = running.ended().await;
    let ledger = load.end().await;
    shim.set(Number::FailSync, 0);
    assert_eq!(code, Some(1), "{}", program.log());
    assert!(program.log().contains("fsync"), "{}", program.log());
    assert!(shim.get(Number::SyncsFailed) > 0);
    assert!(ledger.refused.iter().all(|status| [500, 503].contains(status)), "{:?}", ledger.refused);

    // What was answered while the disk was well is there, and what is answered after the new start, too,
    // although the kernel still shows the lost part of the WAL to every reader.
    let (running, _) = program.serve(&token).await;
    let mut accepted = ledger.accepted;
    let mut load = Load::start(&running, "after");
    load.accepted(50).await;
    accepted.extend(load.end().await.accepted);
    assert!(sink.all_of(accepted.iter(), HANGS_AFTER).await.is_empty());
    running.kill();
    for entry in read_journal(&journal) {
        disk.play(&entry);
    }
    disk.cut(Loss::Everything, &mut dice, &program.disk);
    let found = audit(&program.data());
    let lost = found.lost(accepted.iter());
    assert!(lost.is_empty(), "a power cut later {} of {} are lost: {lost:?}", lost.len(), accepted.len());
    say(
        "failed fsync",
        format!(
            "exit code 1, {} accepted before and after a new start, 0 lost, not even by a power cut then",
            accepted.len()
        ),
    );
}
