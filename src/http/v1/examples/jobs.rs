//! Examples of recovery work: the receiver was down in the night, and gets what it missed.

use serde_json::{Value, json};

use super::{TIME, WEBHOOK, list, one};

/// A job's id.
pub(crate) const JOB: &str = "0198c2f4-7d20-7a51-8e6c-1f2a3b4c5d6e";

/// What an operation is sent and what it answers.
pub(super) fn of(operation: &str) -> Option<(Value, Value)> {
    let nothing = Value::Null;
    Some(match operation {
        "retry_deliveries" => (bulk_retry(), one(dry_run())),
        "recover_webhook" => (recover(), one(job("recover", "running", [38, 38, 21, 0]))),
        "replay_event" => (json!({ "webhook_id": WEBHOOK }), one(job("replay", "running", [1, 1, 0, 0]))),
        "list_jobs" => (nothing, list("/v1/jobs", job("recover", "done", [38, 38, 37, 1]))),
        "get_job" => (nothing, one(job("recover", "done", [38, 38, 37, 1]))),
        "cancel_job" => (nothing.clone(), nothing),
        _ => return None,
    })
}

/// A dry run first, so that sending the example as it stands changes nothing.
fn bulk_retry() -> Value {
    json!({
        "filter": {
            "status": "exhausted",
            "endpoint_id": WEBHOOK,
            "response_status": "5xx",
            "since": "2026-04-30T22:00:00Z",
            "until": "2026-05-01T05:00:00Z",
        },
        "dry_run": true,
    })
}

fn recover() -> Value {
    json!({ "since": "2026-04-30T22:00:00Z", "until": "2026-05-01T05:00:00Z", "dry_run": false })
}

fn dry_run() -> Value {
    let mut job = job("retry", "dry_run", [38, 0, 0, 0]);
    job["id"] = Value::Null;
    job
}

/// `[matched, queued, delivered, exhausted]`
fn job(kind: &str, status: &str, [matched, queued, delivered, exhausted]: [u64; 4]) -> Value {
    json!({
        "type": "bulk_job",
        "id": JOB,
        "attributes": {
            "kind": kind,
            "status": status,
            "matched": matched,
            "queued": queued,
            "delivered": delivered,
            "exhausted": exhausted,
            "created_at": TIME,
        },
    })
}
