//! The form of a webhook that filters events and shapes requests: conditions, the line, the live check, the preview.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn a_filter_is_built_from_conditions_and_checked_with_recent_events() {
    let stage = Stage::set().await;
    for action in ["published", "deleted", "published"] {
        stage.app.post_event("release.changed", json!({ "action": action, "draft": false })).await;
    }
    let page = stage.signed_in(Role::Admin, "webhooks/new").await;
    page.fill("URL", &stage.receiver.url("/hook")).await;
    page.press("All events").await;
    page.press("Add condition").await;
    page.fill("Path of condition 1", "payload.action").await;
    page.fill("Value of condition 1", "published").await;
    page.sees_in(".filter-check", "True for 2 of 3 of the newest events").await;
    page.press("Add condition").await;
    page.fill("Path of condition 2", "payload.draft").await;
    page.choose("Operator of condition 2", "is not true").await;
    page.sees_in("form code", "payload.action == 'published' and not payload.draft").await;
    page.press("Line").await;
    let line = page.until("the line", "labelled('Expression')?.value").await;
    assert_eq!(line, "payload.action == 'published' and not payload.draft");
    page.press("Create webhook").await;
    page.sees("is ready").await;
    let list = stage.app.get("/v1/webhooks").await.expect(200);
    assert_eq!(list["data"][0]["attributes"]["filter"], line);

    // The line is read back as conditions.
    let id = list["data"][0]["id"].as_str().unwrap();
    page.goto(&format!("webhooks/{id}/edit")).await;
    page.until("two conditions", "all('.filter-row').length === 2").await;
    page.press("Remove condition 1").await;
    page.press("Save changes").await;
    page.sees_in(".facts", "not payload.draft").await;

    // An event that is declined says so.
    let event = stage.app.post_event("release.changed", json!({ "draft": true })).await;
    page.goto(&format!("events/{event}")).await;
    page.sees_in(".facts", "1 webhook, by filter").await;
    page.sees("their filters declined the event").await;
    page.close_despite(|c| c.contains("status of 422")).await;
}

#[tokio::test]
async fn a_line_that_is_too_clever_for_conditions_stays_a_line() {
    let stage = Stage::set().await;
    let filter = "(payload.a or payload.b) and payload.c < 10 * 1024";
    let made = stage.app.webhook(&stage.receiver.url("/"), json!({ "filter": filter })).await;
    let page = stage.signed_in(Role::Admin, &format!("webhooks/{}/edit", made.id)).await;
    page.until("the line", "labelled('Expression')?.value.includes('10 * 1024')").await;
    page.press("Conditions").await;
    page.sees("This line is not simple enough for conditions.").await;
    page.press("Save changes").await;
    page.sees_in(".facts", filter).await;
    page.close().await;
}

#[tokio::test]
async fn a_request_is_shaped_previewed_and_sent() {
    let stage = Stage::set().await;
    stage.app.post_event("order.paid", json!({ "order": 17 })).await;
    let page = stage.signed_in(Role::Admin, "webhooks/new").await;
    page.fill("URL", &stage.receiver.url("/hook/{{ secrets.path }}")).await;
    page.press("All events").await;
    page.press("A request of your own").await;
    // A number of 19 digits is not rounded on its way.
    page.fill("Body", r#"{"text": "Order {{ payload.order }}", "chat": 1234567890123456789}"#).await;
    page.press("Add secret").await;
    page.fill("Name of secret 1", "path").await;
    page.fill("Value of secret 1", "very-secret").await;
    page.sees_in(".preview-card", "\"text\": \"Order 17\"").await;
    page.sees_in(".preview-card", "/hook/********").await;
    page.press("Create webhook").await;
    page.sees("Signing secret").await;
    page.press("Send test").await;
    page.sees("Test delivered").await;
    let sent = stage.receiver.next().await;
    assert_eq!(sent.path, "/hook/very-secret");
    assert_eq!(sent.body.as_ref(), br#"{"text":"Order 17","chat":1234567890123456789}"#);

    let list = stage.app.get("/v1/webhooks").await.expect(200);
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    page.goto(&format!("webhooks/{id}?part=request")).await;
    page.sees_in(".request-template", "1234567890123456789").await;
    let html = page.js("return document.documentElement.outerHTML", vec![]).await;
    assert!(!html.as_str().unwrap().contains("very-secret"), "no secret is shown");

    // The secret is kept when something else changes.
    page.goto(&format!("webhooks/{id}/edit")).await;
    page.fill("Body", r#"{"text": "Paid: {{ payload.order }}"}"#).await;
    page.press("Save changes").await;
    page.sees("updated.").await;
    stage.app.post_event("order.paid", json!({ "order": 18 })).await;
    let sent = stage.receiver.next().await;
    assert_eq!(
        (sent.path.as_str(), sent.body.as_ref()),
        ("/hook/very-secret", &br#"{"text":"Paid: 18"}"#[..])
    );
    page.close_despite(|c| c.contains("status of 422")).await;
}

#[tokio::test]
async fn a_broken_template_is_shown_beside_the_body() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "webhooks/new").await;
    page.fill("URL", &stage.receiver.url("/hook")).await;
    page.press("All events").await;
    page.press("A request of your own").await;
    page.fill("Body", r#"{"text": "{{ payload.order"}"#).await;
    page.press("Create webhook").await;
    let beside = "labelled('Body').closest('.field').querySelector('.field-error')?.innerText";
    let error = page.until("the error", beside).await;
    assert!(error.as_str().unwrap().contains("line 1"), "{error}");
    page.fill("Body", "{").await;
    page.press("Create webhook").await;
    page.sees("Not valid JSON").await;
    page.close_despite(|c| c.contains("status of 422")).await;
}

#[tokio::test]
async fn a_failed_render_is_explained_in_the_delivery() {
    let stage = Stage::set().await;
    let url = stage.receiver.url("/hook/{{ payload.name }}");
    let hook =
        json!({ "request": { "content": "json", "body": { "a": "{{ payload.name }}" } }, "name": "Chat" });
    stage.app.webhook(&url, hook).await;
    let row = stage.ended_event("file.added", json!({ "name": ".." })).await;
    let page = stage.signed_in(Role::Admin, &format!("webhook-deliveries/{}", row["id"])).await;
    page.sees_in(".note.bad", "Template error").await;
    page.sees_in(".note.bad", "Nothing was sent. Correct the request of the webhook, then retry").await;
    page.press("Edit the webhook").await;
    page.sees_in("h1", "Edit Chat").await;
    page.close_despite(|c| c.contains("status of 422")).await;
}

/// Lines that conditions can show, as conditions make them.
const SIMPLE: [&str; 9] = [
    "payload.action == 'published' and not payload.release.prerelease",
    "payload.alerts[0].labels.severity in ['critical', 'page'] and payload.status == 'firing'",
    "event.source == 'sonarr' or payload.eventType != 'Test'",
    "payload['a b'].c not in [1, 'a,b', true, none]",
    r"payload.text is search('\\d+ \'quoted\'')",
    "payload.n >= -1.5 and payload.code == '5'",
    "payload.gone is not defined or payload.here is defined",
    "payload.empty == ''",
    "payload.size < 10",
];
/// Lines that stay lines.
const OTHER: [&str; 6] = [
    "payload.disk.free_bytes < 10 * 1024",
    "payload.a and payload.b or payload.c",
    "(payload.a)",
    "not payload.a == 1",
    "payload.a == payload.b",
    "payload.ref is match('^refs')",
];

#[tokio::test]
async fn simple_lines_are_read_back_as_they_were_written() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "").await;
    let read = "const [lines, done] = arguments;
        import(document.querySelector('script[src$=\"main.js\"]').src.replace('main.js', 'pages/webhooks/filter-line.js'))
          .then(({ rowsOf, lineOf }) => done(lines.map((line) => { const rows = rowsOf(line); return rows && lineOf(rows); })))";
    let lines = json!(SIMPLE.iter().chain(&OTHER).collect::<Vec<_>>());
    let again = page.js_later(read, vec![lines]).await;
    let expected: Vec<Option<&str>> = SIMPLE.iter().copied().map(Some).chain(OTHER.map(|_| None)).collect();
    assert_eq!(again, json!(expected));
    for filter in SIMPLE.iter().chain(&OTHER) {
        let body = json!({
            "webhook": { "url": "https://example.com/", "events": ["*"], "filter": filter },
            "event": { "event_type": "a", "payload": {} },
        });
        stage.app.post("/v1/webhooks/preview", body).await.expect(200);
    }
    page.close().await;
}
