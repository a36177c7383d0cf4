//! A backup under load has every event that was accepted before it started.

use std::time::Duration;

use rusqlite::Connection;

use crate::audit::audit;
use crate::crash::webhooks;
use crate::load::Load;
use crate::program::Program;
use crate::sink::Sink;
use crate::{form, say};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_every_event_accepted_before_it() {
    let mut program = Program::new();
    let sink = Sink::start().await;
    let token = program.key().await;
    let (running, _) = program.serve(&token).await;
    webhooks(&running, &sink).await;
    let mut load = Load::start(&running, "a");
    let (backups, mut held, mut slowest) = (form(2, 20), 0, Duration::ZERO);
    for n in 1..=backups {
        load.accepted(n * form(100, 2_000)).await;
        let before = load.so_far();
        let started = tokio::time::Instant::now();
        let file = program.dir().join(format!("backup-{n}"));
        program.run(&["backup", file.to_str().unwrap()]).await;
        slowest = slowest.max(started.elapsed());
        let conn = Connection::open(&file).unwrap();
        let sound: String = conn.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        drop(conn);
        let place = program.dir().join(format!("restored-{n}"));
        let data = place.join("data");
        let own = program.data();
        program.set("POSTRIDER_DATA_DIR", data.to_str().unwrap());
        program.run(&["restore", file.to_str().unwrap()]).await;
        let found = audit(&data);
        let lost = found.lost(before.iter());
        assert!(lost.is_empty(), "backup {n}: of {} are not in it: {lost:?}", before.len());
        held = before.len();
        if n == backups {
            // The restored server sends what was pending.
            let (restored, _) = program.serve(&token).await;
            restored.drained().await;
            restored.stop().await;
        }
        program.set("POSTRIDER_DATA_DIR", own.to_str().unwrap());
        std::fs::remove_dir_all(&place).unwrap();
    }
    let posted_on = load.so_far().len() > held;
    load.end().await;
    running.stop().await;
    assert!(posted_on, "nothing was posted while the last backup was made");
    say(
        "backups under load",
        format!(
            "{backups} made, restored and whole; the last held all {held} accepted before; slowest {slowest:.1?}"
        ),
    );
}
