//! Backups by the clock.

use std::path::Path;

use postrider::config::Config;
use postrider::domain::Span;
use serde_json::json;

use crate::support::{TestApp, in_time, postgres};

const HOUR_MS: i64 = 3_600_000;

fn hourly(config: &mut Config) {
    config.backup.every = Span::parse("1h").unwrap();
    config.backup.keep = 2;
}

/// Waits until so many entries of a kind are in the activity log.
async fn noted(app: &TestApp, kind: &str, count: usize) {
    in_time(kind, async {
        while app.get(&format!("/v1/activity?kind={kind}")).await.json()["meta"]["total"] != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn one_is_made_each_time_and_the_newest_are_kept() {
    // A server on PostgreSQL makes no backups.
    if postgres::is_wanted() {
        return;
    }
    let app = TestApp::with(hourly).await;
    noted(&app, "backup.made", 1).await;
    app.post_event("a.b", json!(1)).await;
    for n in 2..=3 {
        app.clock.advance_ms(HOUR_MS);
        noted(&app, "backup.made", n).await;
    }
    let dir = app.dir.path().join("data/backups");
    let expected = ["postrider-20260301T130000Z.backup", "postrider-20260301T140000Z.backup"];
    assert_eq!(files(&dir), expected);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("\npostrider_backups_total 3.0\n"), "{metrics}");
    let last = postrider::host::clock::Clock::now(&*app.clock).as_millis() / 1_000;
    assert!(metrics.contains(&format!("\npostrider_backup_last_success_timestamp_seconds {last}.0\n")));

    // The interval counts from the newest existing backup.
    let app = app.restart().await;
    app.clock.advance_ms(HOUR_MS - 1_000);
    app.get("/healthz").await;
    assert_eq!(files(&dir), expected);
    app.clock.advance_ms(1_000);
    noted(&app, "backup.made", 4).await;
    assert_eq!(files(&dir)[1], "postrider-20260301T150000Z.backup");
}

#[tokio::test]
async fn one_that_fails_is_told_and_tried_again_before_the_next_is_due() {
    if postgres::is_wanted() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("full");
    std::fs::write(&dir, "a file in the way").unwrap();
    let app = TestApp::with(|config| {
        hourly(config);
        config.backup.dir = Some(dir.clone());
    })
    .await;
    noted(&app, "backup.failed", 1).await;
    std::fs::remove_file(&dir).unwrap();
    app.clock.advance_ms(600_000);
    noted(&app, "backup.made", 1).await;
    assert_eq!(files(&dir).len(), 1);
    assert!(app.get("/metrics").await.text.contains("\npostrider_backup_failures_total 1.0\n"));
}
