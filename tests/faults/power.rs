//! Power cuts: every event whose 202 was sent must be on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::time::Instant;

use crate::audit::audit;
use crate::crash::webhooks;
use crate::disk::{Disk, Entry, Loss, Noted, read_journal};
use crate::load::Load;
use crate::program::{Program, Running};
use crate::shim::Shim;
use crate::sink::Sink;
use crate::support::HANGS_AFTER;
use crate::{Dice, form, say};

/// A program whose disk forgets what was not synced, and the journal of what it did.
fn program_without_power() -> (Program, PathBuf) {
    let mut program = Program::new();
    let journal = program.dir().join("journal");
    let shim = Shim::new(&program.disk, program.dir(), Some(&journal));
    for (name, value) in &shim.env {
        program.set(name, value);
    }
    (program, journal)
}

/// Posts until so many are accepted.
async fn post(running: &Running, prefix: &str, count: u64) -> Load {
    let mut load = Load::start(running, prefix);
    load.accepted(count).await;
    load
}

/// The name of the event that an answer is about.
fn answered(answer: &str) -> Option<String> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let json: Value = serde_json::from_str(body).ok()?;
    json["data"]["attributes"]["resource_id"].as_str().map(str::to_owned)
}

/// The moments at which to cut: half of them just after an answer.
fn moments(journal: &[Entry], count: u64, dice: &mut Dice) -> BTreeSet<usize> {
    let answers: Vec<_> = (0..journal.len()).filter(|i| journal[*i].is_answer()).collect();
    assert!(!answers.is_empty(), "nothing was answered");
    let mut moments = BTreeSet::new();
    for _ in 0..count {
        moments.insert(1 + answers[dice.below(answers.len() as u64) as usize]);
        moments.insert(answers[0] + dice.below((journal.len() - answers[0]) as u64) as usize);
    }
    moments
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_event_survives_a_power_cut_at_any_moment() {
    let mut dice = Dice::of("power");
    let (program, journal) = program_without_power();
    let mut disk = Disk::of(&program.disk);
    let sink = Sink::start().await;
    let token = program.key().await;
    // A first start, enough for some checkpoints, an orderly end, and a second life that is cut short.
    let count = form(600, 3_000);
    let (running, _) = program.serve(&token).await;
    webhooks(&running, &sink).await;
    post(&running, "a", count).await.end().await;
    running.stop().await;
    let (running, _) = program.serve(&token).await;
    let load = post(&running, "b", count).await;
    running.kill();
    let ledger = load.end().await;

    let journal = read_journal(&journal);
    let moments = moments(&journal, form(30, 500), &mut dice);
    let (mut answers, mut syncs) = (BTreeSet::new(), 0);
    let place = program.dir().join("cut");
    let (mut deaf, mut lost) = (disk.deaf(), 0);
    for (i, entry) in journal.iter().enumerate() {
        if moments.contains(&i) {
            for loss in [Loss::Everything, Loss::any(&mut dice)] {
                disk.cut(loss, &mut dice, &place);
                let found = audit(&place.join("data"));
                let missing = found.lost(answers.iter());
                assert!(missing.is_empty(), "cut at {i}, {loss:?}: of {} lost {missing:?}", answers.len());
                lost += missing.len();
            }
        }
        if answers.len() < 50 {
            deaf.play(entry);
        }
        match disk.play(entry) {
            Noted::Answer(answer) => answers.extend(answered(&answer)),
            Noted::Sync => syncs += 1,
            Noted::Change => {}
        }
    }
    deaf.cut(Loss::Everything, &mut dice, &place);
    let noticed = audit(&place.join("data")).lost(answers.iter()).len();
    assert!(noticed > 0, "on a disk that does not sync this test notices nothing");
    assert!(ledger.accepted.is_subset(&answers), "every answer is in the journal");
    say(
        "power cuts of one life",
        format!(
            "{} cuts, {} answers, {syncs} syncs, {} changes and answers in all: {lost} lost",
            moments.len() * 2,
            answers.len(),
            journal.len()
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_power_cut_the_server_starts_and_delivers_every_accepted_event() {
    let mut dice = Dice::of("power-cycles");
    let (program, journal) = program_without_power();
    let sink = Sink::start().await;
    let cycles = form(4, 100);
    let mut token = String::new();
    let mut ledger = BTreeSet::new();
    let mut slowest = std::time::Duration::ZERO;
    for cycle in 0..cycles {
        fs::remove_file(&journal).ok();
        let mut disk = Disk::of(&program.disk);
        if cycle == 0 {
            token = program.key().await;
        }
        let (running, ready) = program.serve(&token).await;
        slowest = slowest.max(ready);
        if cycle == 0 {
            webhooks(&running, &sink).await;
        }
        let load = post(&running, &cycle.to_string(), 1 + dice.below(form(200, 800))).await;
        running.kill();
        ledger.extend(load.end().await.accepted);
        for entry in read_journal(&journal) {
            disk.play(&entry);
        }
        let loss = Loss::any(&mut dice);
        disk.cut(loss, &mut dice, &program.disk);
        let found = audit(&program.data());
        let lost = found.lost(ledger.iter());
        assert!(lost.is_empty(), "cut {cycle}, {loss:?}: {} lost: {lost:?}", lost.len());
    }
    let (running, _) = program.serve(&token).await;
    let missing = sink.all_of(ledger.iter(), HANGS_AFTER).await;
    assert!(missing.is_empty(), "never arrived: {missing:?}");
    running.stop().await;
    say(
        "power cuts and starts",
        format!("{cycles} cuts, {} events accepted, 0 lost; slowest start {slowest:.0?}", ledger.len()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_lost_power_can_be_repeated() {
    let mut dice = Dice::of("power-first-start");
    let (program, journal) = program_without_power();
    let empty = Disk::of(&program.disk);
    let (running, _) = program.serve("none").await;
    running.kill();
    let entries = read_journal(&journal);
    let cuts = form(6, 60);
    for _ in 0..cuts {
        let (mut disk, end) = (empty.clone(), dice.below(entries.len() as u64));
        for entry in &entries[..end as usize] {
            disk.play(entry);
        }
        disk.cut(Loss::any(&mut dice), &mut dice, &program.disk);
        let (running, _) = program.serve("none").await;
        running.stop().await;
    }
    say("first starts cut short", format!("{cuts} cuts in {} changes: all started again", entries.len()));
}

/// What a command has made when it ends with 0 is there after a cut: a backup, and what it was restored to.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_backup_or_restore_is_on_the_disk() {
    let mut dice = Dice::of("power-backup");
    let (mut program, journal) = program_without_power();
    let sink = Sink::start().await;
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    webhooks(&running, &sink).await;
    let ledger = post(&running, "a", 100).await.end().await;
    running.stop().await;
    let started = Instant::now();
    let cuts = form(2, 20);
    let cut = |program: &Program, mut disk: Disk, dice: &mut Dice, what: &Path| {
        for entry in read_journal(&journal) {
            disk.play(&entry);
        }
        disk.cut(Loss::Everything, dice, &program.disk);
        assert!(what.exists(), "{what:?} is gone");
        fs::remove_file(&journal).unwrap();
    };
    for n in 0..cuts {
        let file = program.disk.join(format!("backup-{n}"));
        fs::remove_file(&journal).ok();
        let disk = Disk::of(&program.disk);
        program.run(&["backup", file.to_str().unwrap()]).await;
        cut(&program, disk, &mut dice, &file);
        let disk = Disk::of(&program.disk);
        let data = program.disk.join(format!("there-{n}")).join("data");
        program.set("POSTRIDER_DATA_DIR", data.to_str().unwrap());
        program.run(&["restore", file.to_str().unwrap()]).await;
        cut(&program, disk, &mut dice, &data);
        assert!(audit(&data).lost(ledger.accepted.iter()).is_empty());
        program.serve(&token).await.0.stop().await;
        program.set("POSTRIDER_DATA_DIR", program.data().to_str().unwrap().to_owned().as_str());
    }
    say(
        "backups and restores cut after their end",
        format!("{cuts} each, whole, in {:.1?}", started.elapsed()),
    );
}
