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
