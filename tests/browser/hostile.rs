//! Hostile text stays text: names, URLs, headers, payloads and responses that look like markup or scripts.

use postrider::domain::Role;
use serde_json::json;

use crate::stage::Stage;
use crate::support::Reply;

/// Would set a variable if anything made an element of it; the last characters turn text around.
const IMG: &str = "<img/src=x/onerror=window.__owned=1>";
const SCRIPT: &str = "</script><script>window.__owned=1</script>";
const TURNED: &str = "\u{202e}gpj.exe\u{202d}";

/// What only markup of others could have brought into the page.
const FOREIGN: &str = "return [window.__owned ?? null,
    [...document.querySelectorAll('img,iframe,object,embed,script:not([src]),base:not(head > base),form[action],[onerror],[onload],[onclick]')].map((e) => e.outerHTML),
    [...document.querySelectorAll('a[href]')].map((a) => a.protocol).filter((p) => !/^https?:$/.test(p))]";

#[tokio::test]
async fn hostile_text_stays_inert_on_every_page_that_shows_it() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Owner, "").await;
    let name = format!("{IMG}{SCRIPT}{TURNED}");
    let name: String = name.chars().take(100).collect();
    let body = format!("{IMG}{SCRIPT}{TURNED}{{\"a\":1}}");
    let response = body.clone();
    stage.receiver.reply_with(move |_| {
        Reply::status(500).header("x-note", IMG).header("content-type", "text/html").body(response.clone())
    });
    let fields = json!({
        "name": name, "description": format!("{IMG}{SCRIPT}{TURNED}"), "retry_schedule": [],
        "headers": { "X-Own": IMG, "X-Script": SCRIPT },
    });
    let url = format!("{}?q=%22%3E{IMG}&r=javascript:alert(1)&{SCRIPT}", stage.receiver.url("/hook"));
    let hook = stage.app.webhook(&url, fields).await.id;
    let payload = json!({ IMG: SCRIPT, "turned": TURNED, "link": "javascript:window.__owned=1" });
    let event = json!({ "event_type": "order.paid", "payload": payload, "resource_id": IMG });
    let event =
        stage.app.post("/v1/events", event).await.expect(202)["data"]["id"].as_str().unwrap().to_owned();
    let row = stage.app.row_when(|row| row["status"] == "exhausted").await["id"].clone();
    let row = row.as_str().map_or_else(|| row.to_string(), str::to_owned);
    stage.app.app(&name).await;
    let key = json!({ "name": name, "scopes": ["webhooks:read"] });
    stage.app.post("/admin/api/keys", key).await.expect(201);

    for (path, must_show) in [
        (String::new(), None),
        ("webhook-deliveries?q=img%2Fsrc".to_owned(), None),
        (format!("webhook-deliveries?open={row}"), Some(SCRIPT)),
        (format!("webhook-deliveries/{row}"), Some(SCRIPT)),
        ("events".to_owned(), None),
        (format!("events/{event}"), None),
        ("webhooks".to_owned(), None),
        (format!("webhooks/{hook}"), None),
        (format!("webhooks/{hook}/edit"), None),
        ("keys".to_owned(), None),
        ("apps".to_owned(), None),
        ("logs".to_owned(), None),
        (format!("webhook-deliveries?q={IMG}&event_type={SCRIPT}&endpoint_id={IMG}"), None),
        (format!("sign-in?next=javascript:window.__owned=1//{SCRIPT}"), None),
    ] {
        page.goto(&path).await;
        page.settled().await;
        if let Some(words) = must_show {
            page.sees(words).await;
        }
        assert_eq!(page.js(FOREIGN, vec![]).await, json!([null, [], []]), "at {path}");
    }
    // The log itself shows it word for word.
    page.goto("webhook-deliveries").await;
    page.sees_in("tbody tr", IMG).await;
    page.press(&format!("Retry delivery {row}")).await;
    page.sees_in(".toast", "is being sent").await;
    assert_eq!(page.js(FOREIGN, vec![]).await, json!([null, [], []]));
    page.close_despite(|c| c.contains("Failed to load resource") && c.contains("422")).await;
}
