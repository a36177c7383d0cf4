//! Examples of the OpenAPI document: one body to send and one answer for each operation. A test holds them
//! to their schemas.

use serde_json::{Value, json};

pub(super) const USER: &str = "0198c2f4-0000-7000-8000-00000000000a";
pub(super) const APP: &str = "0198c2f4-0000-7000-8000-000000000001";
pub(super) const SESSION: &str = "0198c2f4-6c01-7d5e-8f00-4d1b2a3c4e5f";
pub(super) const KEY: &str = "8f14e45fceea167a";
pub(super) const ALERT_TARGET: &str = "0198c2f4-0000-7000-8000-0000000000a1";
const EVENT: &str = "evt_0198c2f46a1e7c339d0a5b7e3f1c2a48";
const WEBHOOK: &str = "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48";
const TIME: &str = "2026-05-01T05:14:38.120Z";

/// What an operation is sent and what it answers; null where there is no body.
pub(super) fn of(operation: &str) -> (Value, Value) {
    let nothing = Value::Null;
    match operation {
        "get_state" => (nothing, json!({ "setup_required": false, "signed_in": true })),
        "set_up" => (
            json!({ "token": "0".repeat(64), "email": "ada@example.com", "password": "correct horse" }),
            session(),
        ),
        "check_setup" => (json!({ "token": "0".repeat(64) }), json!({ "open": true })),
        "sign_in" => (json!({ "email": "ada@example.com", "password": "correct horse" }), session()),
        "get_session" => (nothing, session()),
        "change_password" => {
            (json!({ "current_password": "correct horse", "new_password": "battery staple" }), nothing)
        }
        "list_sessions" => (nothing, whole(session_entry())),
        "list_users" => (nothing, whole(user())),
        "create_user" => (json!({ "email": "bob@example.com", "role": "viewer" }), with_password()),
        "change_user" => (json!({ "role": "admin" }), user()),
        "list_apps" => (nothing, whole(app())),
        "create_app" | "rename_app" => (json!({ "name": "shop" }), app()),
        "list_keys" => (nothing, whole(key())),
        "create_key" => (json!({ "name": "ci", "scopes": ["events:write"], "expires": "90d" }), new_key()),
        "get_overview" => (nothing, overview()),
        "list_webhook_health" => (nothing, whole(health())),
        "list_event_outcomes" => (nothing, whole(outcome())),
        "get_event_context" => (nothing, context()),
        "make_echo_webhook" => (nothing, json!({ "id": WEBHOOK })),
        "get_retention" => (nothing, retention()),
        "change_retention" => (json!({ "logs": "30d" }), retention()),
        "get_about" => (nothing, about()),
        "get_log_level" => (nothing, log_level("info")),
        "change_log_level" => {
            let level = "info,postrider::delivery=debug";
            (json!({ "level": level }), log_level(level))
        }
        "list_alert_targets" => (nothing, whole(alert_target())),
        "create_alert_target" => (
            json!({ "name": "Phone", "form": "ntfy", "url": "https://ntfy.sh/my-topic", "token": "tk_example" }),
            alert_target(),
        ),
        "change_alert_target" => (json!({ "kinds": ["webhook_disabled", "disk_low"] }), alert_target()),
        "test_alert_target" => (json!({ "kind": "queue_late" }), alert_try()),
        _ => (nothing.clone(), nothing),
    }
}

fn whole(one: Value) -> Value {
    json!({ "data": [one] })
}

fn session() -> Value {
    json!({
        "email": "ada@example.com",
        "role": "owner",
        "csrf_token": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
        "apps": [{ "id": APP, "name": "default" }],
    })
}

fn session_entry() -> Value {
    json!({
        "id": SESSION,
        "email": "ada@example.com",
        "address": "192.0.2.10",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "created_at": TIME,
        "last_seen_at": TIME,
        "expires_at": "2026-05-01T17:14:38.120Z",
        "current": true,
    })
}

fn user() -> Value {
    json!({
        "id": USER,
        "email": "bob@example.com",
        "role": "viewer",
        "created_at": TIME,
        "last_sign_in_at": null,
    })
}

fn with_password() -> Value {
    let mut made = user();
    made["password"] = json!("k4mxt-9wqzr-h2vpn-c7yjd");
    made
}

fn app() -> Value {
    json!({ "id": APP, "name": "shop", "created_at": TIME })
}

fn key() -> Value {
    json!({
        "id": KEY,
        "client_key": format!("prk_{KEY}"),
        "name": "ci",
        "scopes": ["events:write"],
        "created_at": TIME,
        "expires_at": "2026-07-30T05:14:38.120Z",
        "last_used_at": null,
        "revoked_at": null,
    })
}

fn new_key() -> Value {
    let secret = "0".repeat(64);
    let mut made = key();
    made["token"] = json!(format!("prk_{KEY}_{secret}"));
    made["client_secret"] = json!(secret);
    made
}

fn labels() -> Value {
    json!({ "success_rate": "warning", "response_time": "fast", "activity": "failing" })
}

fn failing() -> Value {
    let message = "No success since 1 May 05:14 UTC: 4 attempts failed with HTTP 500.";
    json!({ "state": "failing", "since": TIME, "message": message })
}

fn overview() -> Value {
    json!({
        "queue": { "pending": 3, "due": 1, "oldest_due_at": TIME, "in_flight": 1 },
        "webhooks": { "active": 4, "paused": 0, "disabled": 1 },
        "states": {
            "disabled": 1, "paused": 0, "on_hold": 0, "failing": 1, "degraded": 0, "idle": 1, "healthy": 2,
        },
        "attention": [{
            "id": WEBHOOK,
            "name": "Licences",
            "url": "https://example.com/hook",
            "status": "active",
            "status_reason": null,
            "health": failing(),
            "waiting": 2,
            "labels": labels(),
            "reason": failing()["message"],
        }],
        "nodes": [node("a", 128, true), node("b", 128, false)],
        "configurations_differ": false,
    })
}

fn node(name: &str, shards: u32, leads: bool) -> Value {
    json!({
        "name": name,
        "version": env!("CARGO_PKG_VERSION"),
        "since": TIME,
        "shards": shards,
        "in_flight": 1,
        "last_seen_at": TIME,
        "leader": leads,
        "listening": true,
    })
}

fn health() -> Value {
    json!({
        "id": WEBHOOK,
        "health": failing(),
        "labels": labels(),
        "success_rate": 93.75,
        "last_24h": { "events": 16, "failures": 1 },
        "series": [{ "start": "2026-05-01T05:00:00.000Z", "delivered": 15, "exhausted": 1 }],
    })
}

fn outcome() -> Value {
    json!({ "id": EVENT, "delivered": 3, "pending": 0, "retrying": 1, "exhausted": 0, "cancelled": 0 })
}

fn context() -> Value {
    json!({
        "source": { "id": "0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a77", "name": "uptime_kuma", "deleted": false },
        "summary": { "title": "NAS", "message": "connect ECONNREFUSED", "link": null, "level": "error" },
        "declined": [{ "id": WEBHOOK, "name": "Phone" }],
        "webhook": { "preset": "ntfy", "filter": "payload.heartbeat", "shaped": true },
    })
}

fn retention() -> Value {
    json!({
        "logs": { "value": "30d", "source": "page" },
        "events": { "value": "30d", "source": "default" },
        "sizes": {
            "database_bytes": 73_400_320,
            "free_bytes": 1_048_576,
            "attempts": 120_412,
            "events": 80_020,
            "oldest_attempt_at": "2026-04-01T05:14:38.120Z",
        },
        "last_sweep": { "at": TIME, "attempts": 412, "events": 260 },
        "next_sweep_at": "2026-05-01T05:15:08.120Z",
        "held_back": null,
    })
}

fn log_level(level: &str) -> Value {
    json!({ "level": level, "configured": "info" })
}

fn alert_try() -> Value {
    json!({ "at": TIME, "kind": "queue_late", "sent": true, "error": null })
}

fn alert_target() -> Value {
    json!({
        "id": ALERT_TARGET,
        "name": "Phone",
        "form": "ntfy",
        "host": "ntfy.sh",
        "has_token": true,
        "port": null,
        "tls": null,
        "user": null,
        "has_password": false,
        "from": null,
        "to": null,
        "silent_after": "1d",
        "kinds": ["webhook_disabled", "disk_low"],
        "queue_age": "15m",
        "disk_free_mib": 1024,
        "enabled": true,
        "created_at": TIME,
        "updated_at": TIME,
        "last_try": alert_try(),
    })
}

fn about() -> Value {
    let mut node = node("a", 256, true);
    node["state"] = json!("live");
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": TIME,
        "data_dir": "/var/lib/postrider",
        "public_url": "https://hooks.example.com",
        "storage": {
            "kind": "sqlite", "version": "3.50.4", "database_bytes": 73_400_320, "wal_bytes": 4_124_152,
        },
        "cluster": { "nodes": [node], "configurations_differ": false },
        "network": { "allow": ["192.168.1.0/24"] },
        "delivery": {
            "timeout": "10s",
            "connect_timeout": "5s",
            "retry_schedule": ["2m", "8m", "20m"],
            "jitter": 0.1,
            "concurrency": 256,
            "endpoint_concurrency": 10,
            "disable_after_failures": 20,
            "response_body_limit": 16_384,
        },
        "signing_headers": ["X-Webhook-Signature"],
        "limits": { "requests_per_minute": 600, "events_per_second": 0, "event_size": 262_144 },
        "retention": { "logs": "30d", "events": "30d" },
        "links": { "docs": "/docs", "openapi": "/openapi.json", "health": "/healthz" },
    })
}
