//! Log lines: what they carry, and their level while the server runs.

use super::*;

/// The lines of the log as JSON; what is none is left out.
fn lines(program: &Program) -> Vec<Value> {
    program.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn set_level(running: &Running, level: Value) -> (u16, Value) {
    let body = json!({ "level": level }).to_string();
    let answer = json_body(running.request(Method::PUT, "/admin/api/log-level"), body).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn lines_carry_the_ids_of_requests_and_attempts_in_both_formats() {
    for format in ["json", "text"] {
        let mut program = Program::new();
        program.env.push(("POSTRIDER_LOG__FORMAT", format.to_owned()));
        let (running, receiver) = (program.serve().await, Receiver::start().await);
        receiver.reply(Reply::status(500));
        running.post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await;
        let event = json!({ "event_type": "a.b", "payload": 1 });
        let request = running.request(Method::POST, "/v1/events").header("x-request-id", "my-own-id");
        assert_eq!(json_body(request, event.to_string()).send().await.unwrap().status(), 202);
        receiver.next().await;
        running.signal("TERM");
        assert_eq!(running.ended().await.code, Some(0));
        let log = program.log();
        if format == "text" {
            assert!(log.contains("request_id=my-own-id") && log.contains("attempt_id="), "{log}");
            continue;
        }
        let lines = lines(&program);
        let answered = lines.iter().find(|line| line["spans"][0]["request_id"] == "my-own-id");
        assert_eq!(answered.unwrap_or_else(|| panic!("{log}"))["path"], "/v1/events");
        let failed = lines.iter().find(|line| line["message"] == "not delivered").unwrap();
        assert!(failed["attempt_id"].is_i64() && failed["endpoint_id"].is_string(), "{failed}");
    }
}

#[tokio::test]
async fn the_level_is_changed_while_the_server_runs() {
    let mut program = Program::new();
    program.env.push(("POSTRIDER_LOG__LEVEL", "warn".to_owned()));
    program.env.push(("POSTRIDER_LOG__FORMAT", "json".to_owned()));
    let running = program.serve().await;
    let answered =
        |program: &Program| lines(program).iter().filter(|line| line["message"] == "answered").count();
    assert_eq!(answered(&program), 0);
    let changed = set_level(&running, json!("warn,postrider::http=debug")).await;
    assert_eq!(changed, (200, json!({ "level": "warn,postrider::http=debug", "configured": "warn" })));
    running.get("/healthz").await;
    let before = answered(&program);
    assert!(before > 0, "{}", program.log());
    assert_eq!(
        set_level(&running, Value::Null).await,
        (200, json!({ "level": "warn", "configured": "warn" }))
    );
    let before = answered(&program);
    running.get("/healthz").await;
    assert_eq!(answered(&program), before);
    let (status, refused) = set_level(&running, json!("loud")).await;
    assert_eq!((status, &refused["errors"][0]["source"]["pointer"]), (422, &json!("/level")));
    assert!(refused.to_string().contains("off, error, warn"), "{refused}");
    let activity = running.request(Method::GET, "/v1/activity?kind=log_level.changed").send().await.unwrap();
    let activity: Value = serde_json::from_str(&activity.text().await.unwrap()).unwrap();
    assert_eq!(activity["meta"]["total"], 2);
}
