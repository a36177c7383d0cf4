//! `bench`: it measures the real server and leaves nothing behind.

use super::*;

#[tokio::test]
async fn every_event_arrives_once_at_every_webhook_and_nothing_stays() {
    let program = Program::empty();
    for (arguments, batch) in [("", 1), ("--batch 7", 7)] {
        let arguments =
            format!("bench --json --events 40 --clients 3 --endpoints 2 --payload 200 {arguments}");
        let (code, stdout, stderr) = program.run(&arguments).await;
        assert_eq!(code, Some(0), "{stderr}");
        let said: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(said["batch"], batch);
        assert_eq!(
            (&said["deliveries"], &said["missing"], &said["duplicates"]),
            (&json!(80), &json!(0), &json!(0))
        );
        for figure in [
            "accepted_per_second",
            "deliveries_per_second",
            "direct_per_second",
            "direct_ratio",
            "peak_memory_bytes",
            "disk_bytes",
            "fsync_ms",
        ] {
            assert!(said[figure].as_f64().unwrap() > 0.0, "{figure}: {said}");
        }
        let times = &said["arrived_after_ms"];
        assert!(
            times["p50"].as_f64() > Some(0.0) && times["max"].as_f64() >= times["p99"].as_f64(),
            "{said}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(program.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}

#[tokio::test]
async fn a_sustained_load_is_measured_minute_by_minute() {
    let program = Program::empty();
    let arguments =
        "bench --minutes 3 --minute-ms 300 --rate 100 --retention 1m --clients 3 --endpoints 2 --webhooks 5";
    let (code, stdout, stderr) = program.run(&format!("{arguments} --json")).await;
    assert_eq!(code, Some(0), "{stderr}");
    let said: Value = serde_json::from_str(&stdout).unwrap();
    let accepted = said["accepted"].as_u64().unwrap();
    // Each client may post once more than its share of 0.9 seconds.
    assert!((1..=100).contains(&accepted), "{said}");
    assert_eq!((&said["deliveries"], &said["missing"]), (&json!(accepted * 2), &json!(0)));
    let minutes = said["minutes"].as_array().unwrap();
    assert_eq!(minutes.len(), 3);
    let sum: f64 = minutes.iter().map(|minute| minute["deliveries_per_second"].as_f64().unwrap() * 0.3).sum();
    assert!(sum <= accepted as f64 * 2.0 + 0.1, "{said}");
    assert!(minutes[2]["disk_bytes"].as_u64() > Some(0) && minutes[2]["memory_bytes"].as_u64() > Some(0));
    let (code, stdout, _) = program.run(arguments).await;
    assert_eq!((code, stdout.matches("minute ").count()), (Some(0), 3), "{stdout}");
    let (code, _, stderr) = program.run("bench --rate 5").await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--minutes"), "{stderr}");
    let (code, _, stderr) = program.run("bench --minutes 1 --retention soon").await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("RETENTION"), "{stderr}");
}

#[tokio::test]
async fn people_read_a_text() {
    let program = Program::new();
    let (code, stdout, stderr) = program.run("bench --events 10 --clients 2").await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for word in
        ["fsync", "one per request", "accepted", "delivered", "direct", "per 10,000 deliveries", "MiB"]
    {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let (code, _, stderr) = program.run("bench --batch 0").await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--batch"), "{stderr}");
}
