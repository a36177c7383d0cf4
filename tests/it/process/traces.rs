//! Traces, where the program was built with the feature `otel`.

use super::*;

#[tokio::test]
async fn requests_and_attempts_are_sent_to_a_collector() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let mut program = Program::new();
    program.env.push(("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url("")));
    program.env.push(("OTEL_EXPORTER_OTLP_HEADERS", "x-team=hooks".to_owned()));
    program.env.push(("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()));
    let running = program.serve().await;
    running.post("/v1/webhooks", json!({ "url": receiver.url("/"), "events": ["*"] })).await;
    running.post("/v1/events", json!({ "event_type": "traced.once", "payload": 1 })).await;
    receiver.next().await;
    let token = running.token.clone();
    running.signal("TERM");
    assert_eq!(running.ended().await.code, Some(0), "{}", program.log());
    let sent = collector.received();
    assert!(!sent.is_empty(), "{}", program.log());
    for batch in &sent {
        assert_eq!((batch.method.as_str(), batch.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(batch.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(batch.header("x-team"), Some("hooks"));
    }
    let all: Vec<u8> = sent.iter().flat_map(|batch| batch.body.to_vec()).collect();
    let has = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    for text in ["postrider", "request", "attempt", "traced.once", "/v1/events", "http.response.status_code"]
    {
        assert!(has(text), "{text} is in no span");
    }
    assert!(!has(&token), "no credential is in a span");
}
