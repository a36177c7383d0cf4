//! Filters and orders of the delivery log, against a small log that has some of everything.

use reqwest::Method;
use serde_json::{Value, json};

use super::assert_invalid;
use crate::support::app::send;
use crate::support::{Receiver, Reply, TestApp};

struct Log {
    app: TestApp,
    /// Name → id of the webhooks.
    good: String,
    bad: String,
}

/// Oldest first, a minute apart: delivered 200 (license.assigned), delivered 204 (license.assigned),
/// failed 500 + exhausted 404 (user.x), test 200, exhausted connect error (user.y), pending (paused).
async fn log() -> Log {
    let app = TestApp::with(|c| c.limits.requests_per_minute = 0).await;
    let receiver = Receiver::start().await;
    let url = |path: &str| receiver.url(path);
    let good = app.webhook(&url("/good"), json!({ "name": "Good One", "events": ["license.*"] })).await.id;
    let bad = app
        .webhook(&url("/bad"), json!({ "name": "bad_100%", "events": ["user.x"], "retry_schedule": ["1m"] }))
        .await
        .id;
    let nowhere = app
        .webhook(
            "http://127.0.0.1:1/",
            json!({ "name": "nowhere", "events": ["user.y"], "retry_schedule": [] }),
        )
        .await
        .id;
    app.webhook(&url("/paused"), json!({ "name": "paused", "events": ["other"], "status": "paused" })).await;

    let settled = async |n: usize| {
        app.rows_when(|rows| rows.len() == n && rows[0]["status"] != "pending").await;
    };
    app.post_event("license.assigned", json!(1)).await;
    settled(1).await;
    app.clock.advance_ms(60_000);
    receiver.reply_once(Reply::status(204));
    app.post_event("license.assigned.late", json!(1)).await;
    settled(2).await;
    app.clock.advance_ms(60_000);
    receiver.reply_once(Reply::status(500));
    receiver.reply_once(Reply::status(404));
    app.post_event("user.x", json!(1)).await;
    app.rows_when(|rows| rows.len() == 4).await;
    app.clock.advance_ms(60_000);
    settled(4).await;
    send(app.request(Method::POST, &format!("/v1/webhooks/{good}/test"))).await.expect(200);
    app.clock.advance_ms(60_000);
    app.post_event("user.y", json!(1)).await;
    settled(6).await;
    app.clock.advance_ms(60_000);
    app.post_event("other", json!(1)).await;
    let _ = nowhere;
    Log { app, good, bad }
}

impl Log {
    /// The rows that a query finds, as `event_type/status/attempt`, in order.
    async fn found(&self, query: &str) -> Vec<String> {
        let rows = self.app.rows_of(&format!("/v1/webhooks/deliveries?{query}")).await;
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let rows = rows.iter();
        rows.map(|r| format!("{}/{}/{}", text(&r["event_type"]), text(&r["status"]), r["attempt"])).collect()
    }
}

const ASSIGNED: &str = "license.assigned/delivered/1";
const LATE: &str = "license.assigned.late/delivered/1";
const X1: &str = "user.x/failed/1";
const X2: &str = "user.x/exhausted/2";
const TEST: &str = "webhook.test/delivered/1";
const Y: &str = "user.y/exhausted/1";
const OTHER: &str = "other/pending/1";

#[tokio::test]
async fn each_filter_finds_its_rows() {
    let log = log().await;
    let (good, bad) =
        (format!("endpoint_id={}", log.good), format!("endpoint_id={}&status=exhausted", log.bad));
    for (query, rows) in [
        ("", &[OTHER, Y, TEST, X2, X1, LATE, ASSIGNED][..]),
        ("status=delivered", &[TEST, LATE, ASSIGNED]),
        ("status=failed&status=pending", &[OTHER, X1]),
        ("status=pending&status=pending", &[OTHER]),
        ("status=cancelled", &[]),
        ("event_type=license.assigned", &[ASSIGNED]),
        ("event_type=license.*", &[LATE, ASSIGNED]),
        ("event_type=license.assigned.*", &[LATE]),
        ("event_type=nothing", &[]),
        (&good, &[TEST, LATE, ASSIGNED]),
        (&bad, &[X2]),
        ("endpoint_id=f47ac10b-58cc-4372-a567-0e02b2c3d479", &[]),
        ("response_status=204", &[LATE]),
        ("response_status=2xx", &[TEST, LATE, ASSIGNED]),
        ("response_status=4xx", &[X2]),
        ("response_status=500", &[X1]),
        ("error_kind=http_status", &[X2, X1]),
        ("error_kind=connect", &[Y]),
        ("error_kind=dns", &[]),
        ("trigger=event", &[OTHER, Y, X1, LATE, ASSIGNED]),
        ("trigger=retry", &[X2]),
        ("trigger=test", &[TEST]),
        ("since=2026-03-01T12:04:00Z", &[OTHER, Y]),
        ("since=2026-03-01T12:01:00Z&until=2026-03-01T12:02:00Z", &[LATE]),
        ("since=2026-03-01T13:01:00%2B01:00&until=2026-03-01T07:02:00-05:00", &[LATE]),
        ("until=2026-03-01T12:00:00Z", &[]),
        ("until=2026-03-01T12:00:00.001Z", &[ASSIGNED]),
        ("since=2027-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", &[]),
        ("q=good+one", &[TEST, LATE, ASSIGNED]),
        ("q=%2Fbad", &[X2, X1]),
        ("q=USER", &[Y, X2, X1]),
        ("q=%25", &[X2, X1]),
        ("q=_", &[X2, X1]),
        ("q=nobody", &[]),
        ("q=&status=pending", &[OTHER]),
        (
            "q=bad&status=failed&response_status=5xx&trigger=event&error_kind=http_status&event_type=user.x",
            &[X1],
        ),
    ] {
        assert_eq!(log.found(query).await, rows, "{query}");
    }
    let path = format!("/v1/webhooks/{}/deliveries?event_type=license.*", log.good);
    assert_eq!(log.app.rows_of(&path).await.len(), 2);
}

#[tokio::test]
async fn each_order_has_nulls_last_and_ties_by_id() {
    let log = log().await;
    for (sort, rows) in [
        ("created_at", [ASSIGNED, LATE, X1, X2, TEST, Y, OTHER]),
        ("-created_at", [OTHER, Y, TEST, X2, X1, LATE, ASSIGNED]),
        ("attempted_at", [ASSIGNED, LATE, X1, X2, TEST, Y, OTHER]),
        ("-attempted_at", [Y, TEST, X2, X1, LATE, ASSIGNED, OTHER]),
        ("status", [ASSIGNED, LATE, TEST, X2, Y, X1, OTHER]),
        ("-status", [OTHER, X1, Y, X2, TEST, LATE, ASSIGNED]),
        ("response_status", [ASSIGNED, TEST, LATE, X2, X1, Y, OTHER]),
        ("-response_status", [X1, X2, LATE, TEST, ASSIGNED, OTHER, Y]),
    ] {
        assert_eq!(log.found(&format!("sort={sort}")).await, rows, "{sort}");
    }
    for (sort, descending) in [("response_time_ms", false), ("-response_time_ms", true)] {
        let rows = log.app.rows_of(&format!("/v1/webhooks/deliveries?sort={sort}")).await;
        let times: Vec<Option<i64>> = rows.iter().map(|r| r["response_time_ms"].as_i64()).collect();
        let some: Vec<i64> = times.iter().flatten().copied().collect();
        assert!(times[some.len()..].iter().all(Option::is_none), "nulls last: {times:?}");
        assert!(if descending { some.is_sorted_by(|a, b| a >= b) } else { some.is_sorted() }, "{times:?}");
    }
}

#[tokio::test]
async fn every_order_is_walked_without_repeating_or_omitting() {
    let log = log().await;
    for field in ["", "created_at", "attempted_at", "status", "response_status", "response_time_ms"] {
        for sign in ["", "-"] {
            let sort = if field.is_empty() { String::new() } else { format!("sort={sign}{field}&") };
            let all: Vec<Value> = log.app.rows_of(&format!("/v1/webhooks/deliveries?{sort}")).await;
            let mut walked = Vec::new();
            let mut next = Value::from(format!("/v1/webhooks/deliveries?{sort}per_page=2"));
            while let Some(path) = next.as_str() {
                walked.extend(log.app.rows_of(path).await);
                next = log.app.get(path).await.json()["links"]["next"].clone();
            }
            assert_eq!(walked, all, "{sort}");
        }
    }
}

#[tokio::test]
async fn every_bad_parameter_is_named() {
    let app = TestApp::start().await;
    let id = app.webhook(super::URL, json!({})).await.id;
    let lists = ["/v1/webhooks/deliveries".to_owned(), format!("/v1/webhooks/{id}/deliveries")];
    for list in &lists {
        for (query, parameters) in [
            ("status=done", &["status"][..]),
            ("status=pending&status=done&status=x", &["status", "status"]),
            ("status=pending,failed", &["status"]),
            ("status=", &["status"]),
            ("event_type=*", &["event_type"]),
            ("event_type=a.*.b", &["event_type"]),
            ("response_status=99", &["response_status"]),
            ("response_status=5XX", &["response_status"]),
            ("response_status=ok", &["response_status"]),
            ("error_kind=slow", &["error_kind"]),
            ("trigger=cron", &["trigger"]),
            ("since=now", &["since"]),
            ("until=2026-02-30T00:00:00Z", &["until"]),
            ("sort=id", &["sort"]),
            ("sort=--status", &["sort"]),
            ("sort=", &["sort"]),
            ("sort=status&sort=created_at", &["sort"]),
            ("view=rows", &["view"]),
            ("sort=last_activity_at", &["sort"]),
            ("event_id=", &["event_id"]),
            ("event_id=0198c2f46b2f7d1199aa3c4e5f607182", &["event_id"]),
            ("resource_id=", &["resource_id"]),
            ("delivery_id=0x1", &["delivery_id"]),
            ("delivery_id=-1", &["delivery_id"]),
            ("state=failed", &["state"]),
            ("Status=failed", &["Status"]),
            (
                "status=x&since=x&until=x&sort=x&trigger=x&per_page=x&nothing=x",
                &["status", "since", "until", "sort", "trigger", "per_page", "nothing"],
            ),
        ] {
            assert_invalid(&app.get(&format!("{list}?{query}")).await, parameters.to_vec());
        }
        let long = "x".repeat(201);
        assert_invalid(&app.get(&format!("{list}?q={long}")).await, vec!["q"]);
        let long = "x".repeat(256);
        assert_invalid(&app.get(&format!("{list}?resource_id={long}")).await, vec!["resource_id"]);
    }
    assert_invalid(&app.get(&format!("{}?endpoint_id=none", lists[0])).await, vec!["endpoint_id"]);
    assert_invalid(&app.get(&format!("{}?endpoint_id={id}", lists[1])).await, vec!["endpoint_id"]);
}

#[tokio::test]
async fn ids_find_their_rows_in_the_log_and_in_a_bulk_retry() {
    let log = log().await;
    let rows = log.app.rows().await;
    let x2 = rows.iter().find(|row| row["status"] == "exhausted" && row["event_type"] == "user.x").unwrap();
    let (event, delivery) = (x2["event_id"].as_str().unwrap(), &x2["delivery_id"]);
    for query in [format!("event_id={event}"), format!("delivery_id={delivery}"), format!("q={event}")] {
        assert_eq!(log.found(&query).await, [X2, X1], "{query}");
    }
    assert_eq!(log.found(&format!("event_id={event}&status=failed")).await, [X1]);
    assert_eq!(log.found(&format!("delivery_id={}", x2["id"])).await, [""; 0]);
    let body = json!({ "event_type": "other", "payload": 1, "resource_id": "Order 7/ü" });
    log.app.post("/v1/events", body).await.expect(202);
    for (query, found) in [
        ("resource_id=Order+7%2F%C3%BC", 1),
        ("resource_id=Order+7", 0),
        ("q=Order+7%2F%C3%BC", 1),
        ("q=Order+7", 0),
    ] {
        assert_eq!(log.found(query).await.len(), found, "{query}");
        assert_eq!(
            log.app.get(&format!("/v1/events?{query}")).await.json()["meta"]["total"],
            found,
            "{query}"
        );
    }
    for (filter, matched) in [
        (json!({ "event_id": event }), 1),
        (json!({ "delivery_id": delivery }), 1),
        (json!({ "delivery_id": x2["id"] }), 0),
        (json!({ "q": event }), 1),
        (json!({ "resource_id": "Order 7/ü" }), 0),
    ] {
        let body = json!({ "filter": filter, "dry_run": true });
        let job = log.app.post("/v1/webhooks/deliveries/retry", body).await.expect(202);
        assert_eq!(job["data"]["attributes"]["matched"], matched, "{filter}");
    }
    let export = log.app.get(&format!("/v1/webhooks/deliveries/export?format=jsonl&event_id={event}")).await;
    assert_eq!(export.text.lines().count(), 2);
}

#[tokio::test]
async fn deliveries_are_listed_by_their_newest_attempt() {
    let log = log().await;
    assert_eq!(log.found("view=deliveries").await, [OTHER, Y, TEST, X2, LATE, ASSIGNED]);
    assert_eq!(log.found("view=attempts&status=failed").await, [X1]);
    assert_eq!(log.found("view=deliveries&status=failed").await, [""; 0]);
    assert_eq!(
        log.found("view=deliveries&sort=-last_activity_at").await,
        [OTHER, Y, TEST, X2, LATE, ASSIGNED]
    );
    let cursor = log.app.get("/v1/webhooks/deliveries?view=deliveries&per_page=1").await.json();
    let next = cursor["links"]["next"].as_str().unwrap().replace("view=deliveries", "view=attempts");
    assert_invalid(&log.app.get(&next).await, vec!["cursor"]);
}

#[tokio::test]
async fn a_pending_delivery_shows_how_its_last_attempt_ended() {
    let app = TestApp::start().await;
    let id = app.webhook("http://127.0.0.1:1/", json!({ "retry_schedule": ["1h"] })).await.id;
    app.post_event("a", json!(1)).await;
    let attempts = app.rows_when(|rows| rows.len() == 2).await;
    assert!(attempts[0].get("last_error_kind").is_none(), "{:?}", attempts[0]);
    let names = ["last_response_status", "last_error_kind", "last_error_message", "last_attempted_at"];
    let expected = [
        Value::Null,
        json!("connect"),
        attempts[1]["error_message"].clone(),
        attempts[1]["attempted_at"].clone(),
    ];
    for path in ["/v1/webhooks/deliveries".to_owned(), format!("/v1/webhooks/{id}/deliveries")] {
        let rows = app.rows_of(&format!("{path}?view=deliveries&error_kind=connect&status=pending")).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(names.map(|name| rows[0][name].clone()), expected);
        let path = format!("{path}/export?view=deliveries&format=");
        let line: Value = serde_json::from_str(&app.get(&format!("{path}jsonl")).await.text).unwrap();
        assert_eq!(names.map(|name| line[name].clone()), expected);
        let csv = app.get(&format!("{path}csv")).await.text;
        assert!(csv.lines().next().unwrap().ends_with(&format!(",response_body,{}", names.join(","))));
        app.get(&format!("{path}xlsx")).await.text.starts_with("PK").then_some(()).expect("a workbook");
    }
    let detail = app.get(&format!("/v1/webhooks/deliveries/{}", attempts[0]["id"])).await.attributes();
    assert_eq!(names.map(|name| detail[name].clone()), expected);
    let detail = app.get(&format!("/v1/webhooks/deliveries/{}", attempts[1]["id"])).await.attributes();
    assert!(names.iter().all(|name| detail.get(name).is_none()), "{detail}");
}

#[tokio::test]
async fn texts_are_searched_row_by_row_and_the_page_says_how_far() {
    let log = log().await;
    assert_eq!(log.found("error=REFUSED").await, [Y]);
    assert_eq!(log.found("error=http&sort=-created_at").await, [X2, X1]);
    assert_eq!(log.found("view=deliveries&error=http").await, [X2]);
    assert_eq!(log.found("contains=1&event_type=license.*").await, [LATE, ASSIGNED]);
    assert_eq!(log.found("contains=nothing").await, [""; 0]);
    let page = log.app.get("/v1/webhooks/deliveries?error=http&per_page=1").await.json();
    let meta = &page["meta"];
    assert_eq!((&meta["complete"], meta.get("total")), (&json!(false), None), "{meta}");
    assert_eq!(page["links"]["prev"], Value::Null);
    let page = log.app.get(page["links"]["next"].as_str().unwrap()).await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["meta"]["complete"]), (1, &json!(true)));
    assert!(page["meta"]["scanned"].as_u64().unwrap() >= 1 && page["links"]["next"].is_null());
    let events = log.app.get("/v1/events?contains=1&event_type=license.*").await.json();
    assert_eq!((events["data"].as_array().unwrap().len(), &events["meta"]["complete"]), (2, &json!(true)));
    let export = log.app.get("/v1/webhooks/deliveries/export?format=jsonl&error=http").await;
    assert_eq!(export.text.lines().count(), 2);

    for list in ["/v1/webhooks/deliveries", "/v1/webhooks/deliveries/export?format=csv&", "/v1/events"] {
        let of = |query: &str| format!("{list}{}{query}", if list.ends_with('&') { "" } else { "?" });
        assert_invalid(&log.app.get(&of("contains=")).await, vec!["contains"]);
        if list == "/v1/events" {
            assert_invalid(&log.app.get(&of("contains=1&page=2")).await, vec!["page"]);
            continue;
        }
        assert_invalid(&log.app.get(&of("error=")).await, vec!["error"]);
        assert_invalid(&log.app.get(&of("error=x&sort=status")).await, vec!["sort"]);
        assert_invalid(&log.app.get(&of("contains=x&sort=created_at")).await, vec!["sort"]);
    }
    assert_invalid(&log.app.get("/v1/webhooks/deliveries?error=x&page=2").await, vec!["page"]);
    assert_invalid(&log.app.get("/v1/webhooks/deliveries/stream?contains=x").await, vec!["contains"]);
}

#[tokio::test]
async fn payloads_are_searched_only_with_the_scope_to_read_them() {
    let log = log().await;
    let key = log.app.key("webhooks:read,webhooks:write", None).await;
    let get = async |path: &str| send(log.app.request_as(&key, Method::GET, path)).await.status;
    assert_eq!(get("/v1/webhooks/deliveries?contains=1").await, 403);
    assert_eq!(get("/v1/webhooks/deliveries/export?format=csv&contains=1").await, 403);
    assert_eq!(get("/v1/webhooks/deliveries?error=1").await, 200);
    let filter = |filter: Value| json!({ "filter": filter, "dry_run": true });
    let retry = "/v1/webhooks/deliveries/retry";
    assert_invalid(&log.app.post(retry, filter(json!({ "contains": "x" }))).await, vec!["/filter/contains"]);
    let job = log.app.post(retry, filter(json!({ "error": "REFUSED" }))).await.expect(202);
    assert_eq!(job["data"]["attributes"]["matched"], 1);
}
