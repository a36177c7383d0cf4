//! What the page of an event shows besides the event.

use serde_json::{Value, json};

use crate::support::{Receiver, TestApp};

const CONTEXT: &str = "/admin/api/event-context";

/// A source that tells a summary, and an event that came by it: the source's and the event's id.
async fn event_of_source(app: &TestApp) -> (String, String) {
    let attributes = json!({
        "name": "nas",
        "event_type": "nas.{{ payload.state }}",
        "summary": { "title": "{{ payload.name }} is {{ payload.state }}", "level": "error" },
    });
    let made = app.post("/v1/sources", attributes).await.expect(201);
    let url = made["data"]["attributes"]["url"].as_str().unwrap();
    let answer = app.client.post(url).body(r#"{"name":"disk","state":"down"}"#).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    (made["data"]["id"].as_str().unwrap().to_owned(), answer["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_context_of_an_event_has_its_source_its_summary_and_who_declines_it() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let hook = |name: &str, filter: &str| json!({ "name": name, "filter": filter, "events": ["nas.*"] });
    let declines = app.webhook(&receiver.url("/a"), hook("Quiet", "summary.level == 'info'")).await;
    app.webhook(&receiver.url("/b"), hook("Loud", "event.source == 'nas'")).await;
    app.webhook(&receiver.url("/c"), json!({ "filter": "false", "events": ["other"] })).await;
    let (source, event) = event_of_source(&app).await;
    let context = |deleted: bool| {
        json!({
            "source": { "id": source, "name": "nas", "deleted": deleted },
            "summary": { "title": "disk is down", "message": "name: disk\nstate: down", "link": null,
                         "level": "error" },
            "declined": [{ "id": declines.id, "name": "Quiet" }],
            "webhook": null,
        })
    };
    let path = format!("{CONTEXT}?event={event}");
    assert_eq!(app.get(&path).await.expect(200), context(false));
    app.delete(&format!("/v1/sources/{source}")).await.expect(204);
    assert_eq!(app.get(&path).await.expect(200), context(true));
}

#[tokio::test]
async fn what_is_unknown_or_of_another_app_has_no_context() {
    let app = TestApp::start().await;
    let nothing = json!({ "source": null, "summary": null, "declined": [], "webhook": null });
    assert_eq!(app.get(CONTEXT).await.expect(200), nothing);
    let unknown = "event=evt_0198c2f46a1e7c339d0a5b7e3f1c2a48&webhook=0198c2f4-6a1e-7c33-9d0a-5b7e3f1c2a48";
    assert_eq!(app.get(&format!("{CONTEXT}?{unknown}")).await.expect(200), nothing);
    let (_, event) = event_of_source(&app).await;
    let other = app.app("Other").await;
    let request = app.request(reqwest::Method::GET, &format!("{CONTEXT}?event={event}"));
    let answer = crate::support::app::send(request.header("X-App-Id", other.to_string())).await;
    assert_eq!(answer.expect(200), nothing);
    assert_eq!(app.get(&format!("{CONTEXT}?event=none")).await.problems(422).len(), 1);
}

#[tokio::test]
async fn the_context_says_how_a_webhook_shapes_its_requests() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let shaped = json!({ "filter": "payload.a", "request": { "body": { "text": "{{ payload.a }}" } } });
    let hook = app.webhook(&receiver.url("/"), shaped).await;
    let event = app.post_event("a", json!({ "a": 1 })).await;
    let context = app.get(&format!("{CONTEXT}?event={event}&webhook={}", hook.id)).await.expect(200);
    assert_eq!(context["webhook"], json!({ "preset": null, "filter": "payload.a", "shaped": true }));
    assert_eq!(context["source"], Value::Null);
    assert_eq!(context["summary"]["title"], "a");
}
